/* The ground of the SQLite store (see sqlite_db.h): what an error of the writer's connection means,
 * whether its commits are synced, and the few questions that everybody asks of a connection. */
#include "store/sqlite_db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

int sqlite_db_error(int code)
{
    switch (code & 0xff) {
    case SQLITE_ERROR: /* our statements are right: a table is not there any more */
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return ERR_STORE_DAMAGED;
    case SQLITE_IOERR:
        return sqlite_is_unreadable(code) ? ERR_STORE_DAMAGED : ERR_STORE;
    default:
        return ERR_STORE;
    }
}

bool sqlite_db_notice(struct sqlite_store *s, sqlite3 *db)
{
    int code = sqlite3_extended_errcode(db);
    /* Some damage shows as a broken constraint, of which no statement of ours can break one. That
     * of a table of ours has a code that says which kind. */
    if (code != SQLITE_CORRUPT_VTAB && code != SQLITE_CONSTRAINT) return false;
    atomic_store(&s->index_damaged, true);
    atomic_store(&s->index_whole, 0);
    return true;
}

int sqlite_db_fail(struct sqlite_store *s, int rc)
{
    if (rc == SQLITE_NOMEM) { /* ours as well as SQLite's, which then has a message too */
        snprintf(s->reason, sizeof s->reason, "the server is out of memory");
        return ERR_NOMEM;
    }
    bool mine = sqlite3_errcode(s->db) != (rc & 0xff); /* not SQLite's, which has no text for it */
    int code = mine ? rc : sqlite3_extended_errcode(s->db);
    int err = sqlite_db_error(code);
    int kind = code & 0xff;
    bool io = kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN;
    int error = mine ? 0 : sqlite3_system_errno(s->db); /* which a COMMIT does not set */
    if (!error && io) error = errno;
    const char *path = s->files.path[mine && io ? FILE_WITNESS : FILE_MAIN];
    const char *text = mine ? sqlite3_errstr(rc) : sqlite3_errmsg(s->db);
    if (kind == SQLITE_FULL || error == ENOSPC || error == EDQUOT)
        snprintf(s->reason, sizeof s->reason, "the disk is full (%s): %.180s",
                 strerror(error == EDQUOT ? EDQUOT : ENOSPC), path);
    else if (error == EFBIG)
        snprintf(s->reason, sizeof s->reason, "the limit on the size of files is reached: %.180s",
                 path);
    else if (io)
        snprintf(s->reason, sizeof s->reason, "%s (SQLite %d, %s): %.140s", text, code,
                 error ? strerror(error) : "errno unknown", path);
    else
        snprintf(s->reason, sizeof s->reason, "%s%s (SQLite %d)",
                 err == ERR_STORE_DAMAGED ? "the database is damaged: " : "", text, code);
    bool mends = sqlite_db_notice(s, s->db);
    if (err != ERR_STORE) s->met = (struct sqlite_trouble){code, error, mends};
    return err;
}

void sqlite_db_rollback(struct sqlite_store *s)
{
    if (!sqlite3_get_autocommit(s->db)) sqlite_run(s->stmt[WRITE_ROLLBACK]);
}

int sqlite_db_sync(struct sqlite_store *s, bool sync)
{
    int mode = sync ? SYNC_FULL : SYNC_NORMAL;
    if (s->sync_now == mode) return SQLITE_OK;
    int rc = sqlite3_exec(s->db, sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                          NULL, NULL, NULL);
    if (!rc) s->sync_now = mode;
    return rc;
}

int sqlite_db_number(sqlite3_stmt *stmt, int64_t *out)
{
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) *out = sqlite3_column_int64(stmt, 0);
    int end = sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? SQLITE_OK : end ? end : SQLITE_CORRUPT;
}

int sqlite_db_ask(sqlite3 *db, const char *question, int64_t *out)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, question, -1, &stmt, NULL);
    if (!rc) rc = sqlite_db_number(stmt, out);
    sqlite3_finalize(stmt);
    return rc;
}

int sqlite_db_quick_check(sqlite3 *db)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
    if (rc) return rc;
    bool sound = sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == 2;
    int end = sqlite3_finalize(stmt);
    return sound ? SQLITE_OK : end ? end : SQLITE_CORRUPT;
}
