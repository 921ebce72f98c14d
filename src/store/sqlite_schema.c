/* The schema of the SQLite store and its versions. PRAGMA user_version is the number of migrations
 * a file has seen; each runs once, in order, those that are missing in one transaction or two.
 *
 * events is a plain table with an index rather than WITHOUT ROWID: messages of all rooms are then
 * written at one end of the file, so a batch for a thousand rooms dirties a few pages, not a
 * thousand. That a seq comes once in a room is the writer's business (rooms.last_seq). events_seq
 * has the messages of a room apart from its other events, so that a page of messages passes over
 * none of these; a partial index for messages alone would be one page more for each of them to be
 * written. Small columns come first, since long texts are on pages of their own. The row of a
 * room is as of its last_seq: a few newer events may not be in it yet, see sqlite_writer.c.
 * rooms.outages is the meta.outages of the room's last commit; see journal/local.c. rooms.oldest_ms
 * is the time of its oldest event, which changes only when retention takes that one; with the index
 * on it, and the one on bytes, retention finds who is due without a walk over all. marks are read
 * markers; marks.moved counts up within the room and says which was moved longest ago; marks_moved
 * has all that is read when the room is loaded. meta.secret is the store's, see store.h; a new file
 * has one from the transaction on that makes its tables. */
#include "base/err.h"
#include "store/sqlite_db.h"

#include <stdio.h>
#include <string.h>

enum { APPLICATION_ID = 0x5061726c }; /* "Parl" */

static const char *const migrations[] = {
    "CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), clean INTEGER NOT NULL,"
    "  outages INTEGER NOT NULL, indexed INTEGER NOT NULL);"
    "INSERT INTO meta VALUES(1, 1, 0, 0);"
    "CREATE TABLE rooms(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL,"
    "  last_seq INTEGER NOT NULL, trimmed_seq INTEGER NOT NULL, outages INTEGER NOT NULL,"
    "  count INTEGER NOT NULL, bytes INTEGER NOT NULL);"
    "CREATE TABLE events(id INTEGER PRIMARY KEY, room INTEGER NOT NULL, seq INTEGER NOT NULL,"
    "  ts_ms INTEGER NOT NULL, kind INTEGER NOT NULL, target INTEGER NOT NULL,"
    "  reply_to INTEGER NOT NULL, edited_ms INTEGER NOT NULL, deleted INTEGER NOT NULL,"
    "  bytes INTEGER NOT NULL, username TEXT, user TEXT, message TEXT, data TEXT, nonce TEXT);"
    "CREATE INDEX events_seq ON events(room, seq, kind, deleted);"
    "CREATE INDEX events_nonces ON events(room, ts_ms) WHERE nonce IS NOT NULL;"
    "CREATE TABLE edits(room INTEGER NOT NULL, target INTEGER NOT NULL, seq INTEGER NOT NULL,"
    "  PRIMARY KEY(room, target, seq)) WITHOUT ROWID;"
    "CREATE TABLE reactions(room INTEGER NOT NULL, target INTEGER NOT NULL, emoji TEXT NOT NULL,"
    "  who TEXT NOT NULL, PRIMARY KEY(room, target, emoji, who)) WITHOUT ROWID;"
    "CREATE TABLE reaction_counts(room INTEGER NOT NULL, target INTEGER NOT NULL,"
    "  emoji TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,"
    "  PRIMARY KEY(room, target, emoji)) WITHOUT ROWID;"
    "CREATE VIRTUAL TABLE search USING fts5(in_room, words, content='', columnsize=0,"
    "  detail=column, tokenize='unicode61 remove_diacritics 2');",
    "CREATE TABLE marks(room INTEGER NOT NULL, user TEXT NOT NULL, seq INTEGER NOT NULL,"
    "  moved INTEGER NOT NULL, PRIMARY KEY(room, user)) WITHOUT ROWID;"
    "CREATE INDEX marks_moved ON marks(room, moved, seq);",
    /* Only so that no older Parlor opens it: one would take last_seq of a row for the newest. */
    "",
    /* Rooms that have nothing go, and the texts of edits that 64 others have followed. */
    "ALTER TABLE rooms ADD COLUMN oldest_ms INTEGER;"
    "UPDATE rooms SET oldest_ms = (SELECT ts_ms FROM events WHERE room = rooms.id"
    "  ORDER BY seq LIMIT 1);"
    "DELETE FROM marks WHERE room IN (SELECT id FROM rooms WHERE oldest_ms IS NULL);"
    "DELETE FROM rooms WHERE oldest_ms IS NULL;"
    "CREATE INDEX rooms_oldest ON rooms(oldest_ms);"
    "CREATE INDEX rooms_bytes ON rooms(bytes);"
    "CREATE TEMP TABLE old AS SELECT room, target, seq FROM (SELECT room, target, seq,"
    "  row_number() OVER (PARTITION BY room, target ORDER BY seq DESC) AS n FROM edits)"
    "  WHERE n > 64;"
    "UPDATE events SET bytes = bytes - coalesce(length(CAST(message AS BLOB)), 0)"
    "  - coalesce(length(CAST(data AS BLOB)), 0), message = NULL, data = NULL WHERE id IN"
    "  (SELECT e.id FROM old CROSS JOIN events e ON e.room = old.room AND e.seq = old.seq);"
    "UPDATE rooms SET bytes = (SELECT coalesce(sum(events.bytes), 0) FROM events"
    "  WHERE room = rooms.id AND seq <= last_seq) WHERE id IN (SELECT room FROM old);"
    "DELETE FROM edits WHERE EXISTS(SELECT 1 FROM old) AND (room, target, seq) IN"
    "  (SELECT room, target, seq FROM old);"
    "DROP TABLE temp.old;"
    /* What says whether it is the file that ran last, see sqlite_file.c. */
    "ALTER TABLE meta ADD COLUMN life INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE meta ADD COLUMN checkpoints INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE meta ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE meta ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;",
    /* It was (room, seq, kind, deleted): a page of messages walked over all that was none. */
    "DROP INDEX events_seq;"
    "CREATE INDEX events_seq ON events(room, " SHOWN ", seq);",
    "ALTER TABLE meta ADD COLUMN secret BLOB; UPDATE meta SET secret = new_secret();",
};

enum {
    SCHEMA_VERSION = sizeof migrations / sizeof *migrations,
    SORTS = 4, /* from this version on a migration has no temporary table */
};

int sqlite_schema_explain(sqlite3 *db, int rc, char *text, size_t size)
{
    const char *why = sqlite3_errmsg(db);
    switch (rc & 0xff) {
    case SQLITE_NOTADB:
        why = "it is not an SQLite database";
        break;
    case SQLITE_CORRUPT:
        why = "the database is corrupt";
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        why = "the database is locked by another process";
        break;
    case SQLITE_FULL:
        why = "the disk is full";
        break;
    default:
        break;
    }
    snprintf(text, size, "%s", why);
    return ERR_STORE;
}

/* SQL function new_secret(). SQLite's own randomness is not made for secrets. */
static void new_secret(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    uint8_t secret[STORE_SECRET_BYTES];
    (void)argc;
    (void)argv;
    if (store_make_secret(secret))
        sqlite3_result_blob(ctx, secret, sizeof secret, SQLITE_TRANSIENT);
    else
        sqlite3_result_error(ctx, "the system has no random numbers", -1);
    explicit_bzero(secret, sizeof secret);
}

/* Takes the schema from one version to another. An SQLITE_ code. */
static int migrate_to(sqlite3 *db, int64_t from, int64_t to)
{
    char sql[96];
    int rc =
        sqlite3_create_function(db, "new_secret", 0, SQLITE_UTF8, NULL, new_secret, NULL, NULL);
    if (!rc) rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (int64_t v = from; !rc && v < to; v++)
        rc = sqlite3_exec(db, migrations[v], NULL, NULL, NULL);
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%lld; COMMIT",
             APPLICATION_ID, (long long)to);
    if (!rc) rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc;
}

static bool wants_file(int rc)
{
    int kind = rc & 0xff;
    return kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN || kind == SQLITE_FULL;
}

/* To the newest, once nothing but sorts needs a place. Those are as large as the file, and may go
 * into a temporary file where one is possible; where not, they take memory. An SQLITE_ code. */
static int migrate_sorting(sqlite3 *db, int64_t version)
{
    int rc = sqlite3_exec(db, "PRAGMA temp_store=1", NULL, NULL, NULL);
    if (!rc) rc = migrate_to(db, version, SCHEMA_VERSION);
    if (wants_file(rc)) {
        if (!sqlite3_get_autocommit(db)) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        rc = sqlite3_exec(db, "PRAGMA temp_store=2", NULL, NULL, NULL);
        if (!rc) rc = migrate_to(db, version, SCHEMA_VERSION);
    }
    return rc ? rc : sqlite3_exec(db, "PRAGMA temp_store=2", NULL, NULL, NULL);
}

static int migrate(sqlite3 *db, int64_t version)
{
    if (version == 0) return migrate_to(db, 0, SCHEMA_VERSION);
    int rc = version < SORTS ? migrate_to(db, version, SORTS) : SQLITE_OK;
    return rc ? rc : migrate_sorting(db, version < SORTS ? SORTS : version);
}

/* Whose database it is, and of which version. 0, or ERR_STORE with text. */
static int identify(sqlite3 *db, int64_t *version, char *text, size_t text_size)
{
    int64_t id = 0;
    int64_t tables = 0;
    int rc = sqlite_db_ask(db, "PRAGMA application_id", &id);
    if (!rc) rc = sqlite_db_ask(db, "PRAGMA user_version", version);
    if (!rc) rc = sqlite_db_ask(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc) return sqlite_schema_explain(db, rc, text, text_size);
    if (id != APPLICATION_ID && (id || *version || tables)) {
        snprintf(text, text_size, "it is a database of another program");
        return ERR_STORE;
    }
    if (*version > SCHEMA_VERSION) {
        snprintf(text, text_size,
                 "it was written by a newer Parlor (schema %lld, this one knows %d)",
                 (long long)*version, SCHEMA_VERSION);
        return ERR_STORE;
    }
    return 0;
}

int sqlite_schema_secret(sqlite3 *db, uint8_t out[static STORE_SECRET_BYTES])
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT secret FROM meta", -1, &stmt, NULL);
    if (!rc) rc = sqlite3_step(stmt);
    bool there = rc == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == STORE_SECRET_BYTES;
    if (there) memcpy(out, sqlite3_column_blob(stmt, 0), STORE_SECRET_BYTES);
    sqlite3_finalize(stmt);
    if (there) return SQLITE_OK;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
}

bool sqlite_schema_older(sqlite3 *db)
{
    int64_t version = 0;
    char text[128];
    return identify(db, &version, text, sizeof text) == 0 && version && version < SCHEMA_VERSION;
}

int sqlite_schema_current(sqlite3 *db, char *text, size_t text_size)
{
    int64_t version = 0;
    int err = identify(db, &version, text, text_size);
    if (err || version == SCHEMA_VERSION) return err;
    snprintf(text, text_size, "%s (schema %lld, this one checks %d)",
             version ? "it was written by an older Parlor; start the server on it first"
                     : "there is nothing in it",
             (long long)version, SCHEMA_VERSION);
    return ERR_STORE;
}

/* Counts what the one is to have, and db has not, or otherwise. An SQLITE_ code. */
static int count_differences(sqlite3 *one, sqlite3 *db, int64_t *faults)
{
    sqlite3_stmt *wanted = NULL;
    sqlite3_stmt *there = NULL;
    int rc = sqlite3_prepare_v2(one, "SELECT type, name, coalesce(sql, '') FROM sqlite_schema", -1,
                                &wanted, NULL);
    if (!rc)
        rc = sqlite3_prepare_v2(db,
                                "SELECT count(*) FROM sqlite_schema WHERE type = ?1 AND name = ?2"
                                " AND coalesce(sql, '') = ?3",
                                -1, &there, NULL);
    while (!rc && (rc = sqlite3_step(wanted)) == SQLITE_ROW) {
        int64_t count = 0;
        for (int i = 0; i < 3; i++)
            sqlite3_bind_value(there, i + 1, sqlite3_column_value(wanted, i));
        rc = sqlite_db_number(there, &count);
        *faults += count != 1;
    }
    sqlite3_finalize(wanted);
    sqlite3_finalize(there);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int sqlite_schema_faults(sqlite3 *db, int64_t *faults)
{
    sqlite3 *fresh = NULL;
    int rc = sqlite_db_ask(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'", faults);
    if (!rc) rc = sqlite3_open(":memory:", &fresh);
    if (!rc) rc = migrate(fresh, 0);
    if (!rc) rc = count_differences(fresh, db, faults);
    sqlite3_close(fresh);
    return rc;
}

int sqlite_schema_prepare(sqlite3 *db, char *text, size_t text_size)
{
    int64_t version = 0;
    int err = identify(db, &version, text, text_size);
    if (err) return err;
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    /* Sorts, and what a statement may have to undo, stay in memory, and both are bounded: a
     * temporary file may not be possible, where the root is read-only or descriptors are short, and
     * would then fail the messages of others too. */
    int rc = sqlite3_exec(db,
                          "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
                          "PRAGMA journal_size_limit=67108864; PRAGMA secure_delete=1;"
                          "PRAGMA temp_store=2",
                          NULL, NULL, NULL);
    if (!rc && version < SCHEMA_VERSION) rc = migrate(db, version);
    return rc ? sqlite_schema_explain(db, rc, text, text_size) : 0;
}
