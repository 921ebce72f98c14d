/* Is a database file sound? What SQLite itself checks, and what has to be true between the tables:
 * the order of ids, epochs, what messages have become, markers, nonces, the index for search. It
 * only reads, in one read transaction, so it may run beside a server. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "store/sqlite_db.h"
#include "store/store_sqlite.h"

enum { BUSY_MS = 5000, FAULTS_SHOWN = 10 };

/* A query that gives the number of faults; one without a name prepares for those after it. */
struct check {
    const char *name;
    const char *sql;
};

#define LENGTH(column) "coalesce(length(CAST(" column " AS BLOB)), 0)"
#define TAIL_MAX "64"
#define SEQ_MAX "9007199254740991" /* STORE_SEQ_MAX */
#define OUTAGES_MAX "4294967295"   /* see sqlite_db_sane_outages */
#define TEXT_MAX "16777216"        /* STORE_TEXT_MAX_BYTES */
#define ONE(symbol, word, text, action) " + 1"
#define SECRET_BYTES "32"                    /* STORE_SECRET_BYTES */
#define KIND_COUNT "0" EVENT_KIND_TABLE(ONE) /* STORE_KIND_COUNT */

/* For the events m and e that are looked up by their seq: see EITHER. */
#define SEEK_M "AND (m.kind = 0 AND m.deleted = 0) IN (0, 1)"
#define SEEK_E "AND (e.kind = 0 AND e.deleted = 0) IN (0, 1)"

/* The event before m, of those shown or of the others: without a sort of all. */
#define BEFORE_M(shown)                                                                            \
    "(SELECT id FROM events WHERE room = m.room AND " SHOWN " = " shown " AND seq < m.seq"         \
    " ORDER BY seq DESC LIMIT 1)"

static const struct check checks[] = {
    {"what the database says of itself",
     "SELECT (SELECT count(*) <> 1 FROM meta) + (SELECT count(*) FROM meta WHERE clean NOT IN (0, "
     "1)"
     "  OR indexed NOT BETWEEN 0 AND " SEQ_MAX " OR checkpoints NOT BETWEEN 0 AND " SEQ_MAX
     "  OR removed NOT BETWEEN 0 AND " SEQ_MAX
     "  OR typeof(secret) <> 'blob' OR length(secret) <> " SECRET_BYTES ")"},
    {"the weight and number of a room's events",
     "SELECT count(*) FROM rooms WHERE count <> (SELECT count(*) FROM events WHERE room = rooms.id"
     " AND seq <= last_seq) OR bytes <> (SELECT coalesce(sum(events.bytes), 0) FROM events"
     " WHERE room = rooms.id AND seq <= last_seq)"},
    {"rows of rooms that lag too far",
     "SELECT count(*) FROM rooms WHERE (SELECT count(*) FROM events WHERE room = rooms.id"
     " AND seq > last_seq) >= " TAIL_MAX},
    {"names and numbers of rooms",
     "SELECT count(*) FROM rooms WHERE typeof(name) <> 'text' OR NOT utf8(name)"
     " OR " LENGTH("name") " NOT BETWEEN 1 AND 255 OR last_seq NOT BETWEEN 0 AND " SEQ_MAX
                           " OR trimmed_seq NOT BETWEEN 0 AND " SEQ_MAX
                           " OR count NOT BETWEEN 0 AND " SEQ_MAX
                           " OR bytes NOT BETWEEN 0 AND " SEQ_MAX},
    {"outages", "SELECT (SELECT count(*) FROM meta WHERE outages NOT BETWEEN 0 AND " OUTAGES_MAX ")"
                " + (SELECT count(*) FROM rooms, meta WHERE meta.outages - rooms.outages"
                "  NOT BETWEEN 0 AND " OUTAGES_MAX ")"},
    {"epochs", "SELECT count(*) FROM rooms WHERE length(epoch) <> 8 OR epoch GLOB '*[^0-9a-z]*'"},
    {"the time of a room's oldest event",
     "SELECT count(*) FROM rooms WHERE oldest_ms IS NOT (SELECT ts_ms FROM events"
     " WHERE room = rooms.id ORDER BY seq LIMIT 1)"},
    {"what is without a room",
     "SELECT count(*) FROM (SELECT room FROM events UNION SELECT room FROM edits UNION"
     " SELECT room FROM reactions UNION SELECT room FROM reaction_counts) WHERE room NOT IN"
     " (SELECT id FROM rooms)"},
    {"the weight of an event",
     "SELECT count(*) FROM events WHERE bytes <> 64 + " LENGTH("username") " + " LENGTH(
         "user") " + " LENGTH("message") " + " LENGTH("data") " + " LENGTH("nonce")},
    {"numbers and kinds", "SELECT count(*) FROM events WHERE id NOT BETWEEN 1 AND " SEQ_MAX
                          " OR seq NOT BETWEEN 1 AND " SEQ_MAX " OR kind < 0 OR kind >= " KIND_COUNT
                          " OR deleted NOT IN (0, 1) OR typeof(ts_ms) <> 'integer'"
                          " OR typeof(edited_ms) <> 'integer' OR target NOT BETWEEN 0 AND " SEQ_MAX
                          " OR reply_to NOT BETWEEN 0 AND " SEQ_MAX},
    {"texts", "SELECT count(*) FROM events WHERE NOT utf8(username)"
              " OR NOT utf8(user) OR NOT utf8(message) OR NOT utf8(data) OR NOT utf8(nonce)"},
    {"the length of texts",
     "SELECT count(*) FROM events WHERE max(" LENGTH("username") ", " LENGTH("user") ", " LENGTH(
         "message") ", " LENGTH("data") ", " LENGTH("nonce") ") > " TEXT_MAX},
    {"ids that were given twice",
     "SELECT count(*) FROM events m WHERE EXISTS(SELECT 1 FROM events WHERE room = m.room"
     " AND " EITHER " AND seq = m.seq AND id < m.id)"},
    {"the order of ids",
     "SELECT count(*) FROM events m WHERE id < " BEFORE_M("0") " OR id < " BEFORE_M("1")},
    {"events that retention has removed",
     "SELECT count(*) FROM rooms WHERE trimmed_seq >= (SELECT min(seq) FROM events"
     " WHERE room = rooms.id)"},
    {"deletions",
     "SELECT count(*) FROM events d CROSS JOIN events m ON m.room = d.room AND m.seq = d.target"
     " " SEEK_M " WHERE d.kind = 2 AND m.kind = 0 AND NOT m.deleted"},
    {"texts of deleted messages",
     "SELECT (SELECT count(*) FROM events WHERE deleted AND (message IS NOT NULL"
     "  OR data IS NOT NULL OR kind <> 0)) + (SELECT count(*) FROM edits CROSS JOIN events m"
     "  ON m.room = edits.room AND m.seq = edits.target " SEEK_M " CROSS JOIN events e"
     "  ON e.room = edits.room AND e.seq = edits.seq " SEEK_E " WHERE m.deleted"
     "  AND (e.message IS NOT NULL OR e.data IS NOT NULL))"},
    {"the number of edits of a message",
     "SELECT count(*) FROM (SELECT 1 FROM edits GROUP BY room, target HAVING count(*) > 64)"},
    {"edits",
     "SELECT (SELECT count(*) FROM edits CROSS JOIN events m ON edits.room = m.room"
     "  AND edits.target = m.seq " SEEK_M " CROSS JOIN events e"
     "  ON e.room = m.room AND e.seq = edits.seq " SEEK_E
     "  WHERE e.seq = (SELECT max(seq) FROM edits x WHERE x.room = m.room AND x.target = m.seq)"
     "  AND (e.message IS NOT m.message OR m.edited_ms <> e.ts_ms)) + (SELECT count(*) FROM edits"
     "  WHERE NOT EXISTS(SELECT 1 FROM events m WHERE m.room = edits.room"
     "  AND m.seq = edits.target AND m.kind = 0 " SEEK_M "))"
     " + (SELECT count(*) FROM events e CROSS JOIN events m ON m.room = e.room"
     "  AND m.seq = e.target " SEEK_M " WHERE e.kind = 1 AND e.message IS NOT NULL AND m.kind = 0"
     "  AND NOT m.deleted AND m.seq < e.seq AND NOT EXISTS(SELECT 1 FROM edits"
     "  WHERE room = e.room AND target = e.target AND seq = e.seq))"},
    {"reactions",
     "SELECT (SELECT count(*) FROM reaction_counts c WHERE count <> (SELECT count(*)"
     "  FROM reactions r WHERE r.room = c.room AND r.target = c.target AND r.emoji = c.emoji))"
     " + (SELECT count(*) FROM (SELECT room, target, emoji FROM reactions EXCEPT"
     "  SELECT room, target, emoji FROM reaction_counts)) + (SELECT count(*) FROM reactions r"
     "  WHERE NOT EXISTS(SELECT 1 FROM events m WHERE m.room = r.room AND m.seq = r.target"
     "  AND m.kind = 0 AND NOT m.deleted " SEEK_M "))"},
    {"nonces",
     "SELECT abs((SELECT count(*) FROM events NOT INDEXED WHERE nonce IS NOT NULL)"
     " - (SELECT count(*) FROM events INDEXED BY events_nonces WHERE nonce IS NOT NULL))"},
    {"read markers",
     "SELECT (SELECT count(*) FROM (SELECT 1 FROM marks GROUP BY room HAVING count(*) > 10000"
     "  OR count(DISTINCT moved) < count(*))) + (SELECT count(*) FROM marks"
     "  WHERE seq NOT BETWEEN 1 AND " SEQ_MAX
     " OR NOT utf8(user) OR NOT EXISTS(SELECT 1 FROM rooms WHERE id = room))"},
    {"how far messages are indexed",
     "SELECT count(*) FROM meta WHERE indexed > (SELECT coalesce(max(id), 0) FROM events)"},
    /* The same index made anew has the same words. */
    {NULL, "CREATE VIRTUAL TABLE temp.again USING fts5(in_room, words, content='', columnsize=0,"
           "  detail=column, tokenize='unicode61 remove_diacritics 2')"},
    {NULL,
     "INSERT INTO temp.again(rowid, in_room, words) SELECT id, room, message FROM events"
     " WHERE id <= (SELECT indexed FROM meta) AND kind = 0 AND NOT deleted AND message NOT NULL"},
    {NULL, "CREATE VIRTUAL TABLE temp.is_now USING fts5vocab('main', 'search', 'instance')"},
    {NULL, "CREATE VIRTUAL TABLE temp.should_be USING fts5vocab('temp', 'again', 'instance')"},
    {"the index for search",
     "SELECT (SELECT count(*) FROM (SELECT term, doc, col FROM is_now EXCEPT"
     "  SELECT term, doc, col FROM should_be)) + (SELECT count(*) FROM (SELECT term, doc, col"
     "  FROM should_be EXCEPT SELECT term, doc, col FROM is_now))"},
};

/* utf8(X): whether it is text that may be sent, or NULL. */
static void is_utf8(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    (void)count;
    const unsigned char *text = sqlite3_value_text(values[0]);
    size_t len = (size_t)sqlite3_value_bytes(values[0]);
    bool none = sqlite3_value_type(values[0]) == SQLITE_NULL;
    sqlite3_result_int(ctx, none || (text && utf8_valid(text, len)));
}

/* True if the tables and indexes are those of a new database. */
static bool check_schema(sqlite3 *db, FILE *out)
{
    int64_t faults = 0;
    int rc = sqlite_schema_faults(db, &faults);
    if (rc) fprintf(out, "damaged  tables and indexes: %s\n", sqlite3_errstr(rc));
    if (faults) fprintf(out, "damaged  tables and indexes: %lld\n", (long long)faults);
    if (!rc && !faults) fprintf(out, "ok       tables and indexes\n");
    return !rc && !faults;
}

/* Lines of SQLite's own check. True if it finds nothing. */
static bool check_pages(sqlite3 *db, FILE *out)
{
    sqlite3_stmt *stmt = NULL;
    bool sound = true;
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA integrity_check(%d)", FAULTS_SHOWN);
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    while (stmt && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *line = (const char *)sqlite3_column_text(stmt, 0);
        if (line && strcmp(line, "ok") == 0) continue;
        sound = false;
        fprintf(out, "damaged  pages: %s\n", line ? line : "?");
    }
    if (rc != SQLITE_DONE) fprintf(out, "damaged  pages: %s\n", sqlite3_errmsg(db));
    sqlite3_finalize(stmt);
    sound = sound && rc == SQLITE_DONE;
    if (sound) fprintf(out, "ok       pages\n");
    return sound;
}

static bool run_check(sqlite3 *db, const struct check *c, FILE *out)
{
    sqlite3_stmt *stmt;
    int64_t faults = 0;
    const char *name = c->name ? c->name : "the index for search";
    int rc = sqlite3_prepare_v2(db, c->sql, -1, &stmt, NULL);
    if (!rc) rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) faults = sqlite3_column_int64(stmt, 0);
    bool ran = rc == SQLITE_ROW || rc == SQLITE_DONE;
    if (!ran) fprintf(out, "damaged  %s: %s\n", name, sqlite3_errmsg(db));
    if (faults) fprintf(out, "damaged  %s: %lld\n", name, (long long)faults);
    if (ran && !faults && c->name) fprintf(out, "ok       %s\n", name);
    sqlite3_finalize(stmt);
    return ran && !faults;
}

static int cannot(sqlite3 *db, int rc, const char *path, FILE *out)
{
    char why[STORE_SQLITE_TEXT_MAX];
    sqlite_schema_explain(db, rc, why, sizeof why);
    fprintf(out, "damaged  cannot read %s: %s\n", path, why);
    return ERR_STORE;
}

int store_sqlite_check(const char *path, FILE *out)
{
    sqlite3 *db = NULL;
    char why[STORE_SQLITE_TEXT_MAX] = "";
    unsigned bad = 0;
    int rc = sqlite_file_open_read(path, &db);
    if (!rc) rc = sqlite3_busy_timeout(db, BUSY_MS);
    if (!rc)
        rc = sqlite3_create_function(db, "utf8", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                     is_utf8, NULL, NULL);
    if (!rc) rc = sqlite3_exec(db, "BEGIN; SELECT 1 FROM sqlite_schema", NULL, NULL, NULL);
    if (rc) {
        int err = cannot(db, rc, path, out);
        sqlite3_close(db);
        return err;
    }
    int err = sqlite_schema_current(db, why, sizeof why);
    if (err) fprintf(out, "damaged  %s: %s\n", path, why);
    bad += !check_pages(db, out);
    bad += !err && !check_schema(db, out);
    for (size_t i = 0; i < sizeof checks / sizeof *checks && !err; i++)
        bad += !run_check(db, &checks[i], out);
    if (bad) err = ERR_STORE;
    sqlite3_close(db);
    return err;
}
