/* Retention of the SQLite store: one small transaction a step, without fsync (events that come back
 * after a power cut are removed again), so that a batch waits a few ms for it at most. */
#include "base/err.h"
#include "store/sqlite_db.h"

struct excess {
    int64_t room;
    int64_t events;
    int64_t bytes;
    int64_t before_ms; /* events older than this */
};

/* What goes from one room now: the oldest events, up to the cap. */
struct cut {
    int64_t seq;
    int64_t count;
    int64_t bytes;
};

/* A tail is written away first: it would be met again in every sweep, and retention may take some
 * of it. */
static int measure(struct sqlite_store *s, sqlite3_stmt *row, const struct store_keep *keep,
                   int64_t now_ms, struct excess *e)
{
    const struct slice name = {(const char *)sqlite3_column_text(row, 1),
                               (size_t)sqlite3_column_bytes(row, 1)};
    int64_t count = sqlite3_column_int64(row, 2);
    int64_t bytes = sqlite3_column_int64(row, 3);
    *e = (struct excess){.room = sqlite3_column_int64(row, 0), .before_ms = INT64_MIN};
    if (sqlite3_column_int(row, 4)) {
        int rc = sqlite_writer_settle(s, name, &count, &bytes);
        if (rc) return rc;
    }
    if (keep->max_events && (uint64_t)count > keep->max_events)
        e->events = count - (int64_t)keep->max_events;
    if (keep->max_bytes && (uint64_t)bytes > keep->max_bytes)
        e->bytes = bytes - (int64_t)keep->max_bytes;
    if (keep->max_age_ms && now_ms > 0 && keep->max_age_ms < (uint64_t)now_ms)
        e->before_ms = now_ms - (int64_t)keep->max_age_ms;
    return SQLITE_OK;
}

static int choose(struct sqlite_store *s, const struct excess *e, int64_t limit, struct cut *cut)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_OLDEST];
    *cut = (struct cut){0};
    sqlite3_bind_int64(stmt, 1, e->room);
    sqlite3_bind_int64(stmt, 2, limit);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        bool go = cut->count < e->events || cut->bytes < e->bytes ||
                  sqlite3_column_int64(stmt, 1) < e->before_ms;
        if (!go) {
            rc = SQLITE_DONE;
            break;
        }
        cut->seq = sqlite3_column_int64(stmt, 0);
        cut->count++;
        cut->bytes += sqlite3_column_int64(stmt, 2);
    }
    int end = sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : end;
}

static int apply(struct sqlite_store *s, int64_t room, const struct cut *cut)
{
    const int64_t values[] = {room, cut->seq, cut->count, cut->bytes};
    int rc = sqlite_search_remove(s, room, 0, cut->seq);
    if (!rc) rc = sqlite_state_forget(s, room, 0, cut->seq);
    if (!rc) rc = sqlite_run_with(s->stmt[WRITE_DELETE], values, 2);
    return rc ? rc : sqlite_run_with(s->stmt[WRITE_TRIMMED], values, 4);
}

/* Looks at the next rooms; *next is set to the id to go on with, 0 at the end of the sweep. */
static int sweep(struct sqlite_store *s, const struct store_keep *keep, int64_t now_ms,
                 int64_t *next, uint64_t *trimmed)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_SWEEP];
    int64_t at = s->sweep_id;
    int rc;
    sqlite3_bind_int64(stmt, 1, at);
    *next = 0;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct excess e;
        struct cut cut;
        *next = sqlite3_column_int64(stmt, 0);
        if (*trimmed >= STORE_TRIM_MAX) {
            rc = SQLITE_DONE;
            break;
        }
        rc = measure(s, stmt, keep, now_ms, &e);
        if (!rc) rc = choose(s, &e, (int64_t)(STORE_TRIM_MAX - *trimmed), &cut);
        if (!rc && cut.count) rc = apply(s, e.room, &cut);
        if (rc) break;
        *trimmed += (uint64_t)cut.count;
        if (*trimmed < STORE_TRIM_MAX) *next = e.room + 1;
    }
    int end = sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc != SQLITE_ROW && rc ? rc : end;
}

int sqlite_trim_step(struct store_backend *b, const struct store_keep *keep, int64_t now_ms,
                     uint64_t *trimmed, bool *more)
{
    struct sqlite_store *s = (struct sqlite_store *)b;
    int64_t next = 0;
    int64_t indexed = s->indexed;
    uint64_t count = 0;
    sqlite_writer_bound(s);
    int rc = sqlite_writer_sync(s, false);
    if (!rc) rc = sqlite_run(s->stmt[WRITE_BEGIN]);
    if (!rc) rc = sweep(s, keep, now_ms, &next, &count);
    if (!rc && count) rc = sqlite_search_trimmed(s, &indexed);
    if (!rc) rc = sqlite_run(s->stmt[WRITE_COMMIT]);
    if (rc) {
        int err = sqlite_writer_fail(s, rc);
        sqlite_writer_rollback(b);
        return err;
    }
    s->sweep_id = next;
    s->indexed = indexed;
    *trimmed = count;
    *more = next != 0;
    return 0;
}
