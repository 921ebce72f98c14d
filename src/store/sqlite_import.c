/* An import, whole or not at all: everything that is appended is one transaction, which is
 * committed when the store is closed. So kill -9, a full disk or a bad line at the end leave
 * nothing behind that could be taken for a room; SQLite's own recovery is what takes it back.
 *
 * That there was one has to be said at the next start, and a transaction that is gone tells of
 * nothing. So a table is made before it, and dropped in it. Older Parlors do not look at that. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "store/sqlite_db.h"

#define MARK "unfinished_import"

int sqlite_import_begin(struct sqlite_store *s)
{
    char sql[160];
    snprintf(sql, sizeof sql,
             "BEGIN IMMEDIATE; CREATE TABLE " MARK "(began_s INTEGER NOT NULL);"
             "INSERT INTO " MARK " VALUES(%lld); COMMIT",
             (long long)time(NULL));
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

int sqlite_import_undone(struct sqlite_store *s, int64_t *began_s)
{
    *began_s = 0;
    if (sqlite3_table_column_metadata(s->db, NULL, MARK, NULL, NULL, NULL, NULL, NULL, NULL))
        return SQLITE_OK; /* there is no such table */
    int rc = sqlite_db_ask(s->db, "SELECT coalesce(max(began_s), 0) FROM " MARK, began_s);
    return rc ? rc : sqlite3_exec(s->db, "DROP TABLE " MARK, NULL, NULL, NULL);
}

/* The mark goes with the transaction, or alone; false if it stays. */
static bool drop_mark(struct sqlite_store *s, const char *sql)
{
    errno = 0;
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (rc) sqlite_db_fail(s, rc);
    return rc == SQLITE_OK;
}

enum store_import sqlite_import_end(struct sqlite_store *s, bool keep)
{
    enum store_import end = STORE_IMPORT_NONE;
    bool open = !sqlite3_get_autocommit(s->db); /* else nothing came, or it is gone */
    if (open && keep && drop_mark(s, "DROP TABLE " MARK "; COMMIT")) {
        sqlite_file_committed(s);
        end = STORE_IMPORT_KEEP;
    } else {
        if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        /* If the last fsync of a commit fails, all of it is in the -wal nevertheless, and is there
         * at the next start, unless this takes its place. */
        bool gone = drop_mark(s, "DROP TABLE " MARK);
        if (keep && open && !gone) end = STORE_IMPORT_UNKNOWN;
        if (keep && !open && gone && !s->import_lost) end = STORE_IMPORT_KEEP;
    }
    sqlite_file_settle(s);
    return end;
}
