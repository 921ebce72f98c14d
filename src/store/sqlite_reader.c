/* The reading half of the SQLite store. Every reader thread has a connection of its own that can
 * only read; a page and what is said of its room are one read transaction. */
#include <string.h>

#include "base/err.h"
#include "store/sqlite_db.h"

#define EVENT_COLUMNS "seq, ts_ms, kind, target, reply_to, username, user, message, data, nonce"

enum { COLUMN_TEXTS = 5 };

static const char *const sql[READ_STMT_COUNT] = {
    [READ_BEGIN] = "BEGIN",
    [READ_END] = "COMMIT",
    [READ_ROOM] = "SELECT id, epoch, last_seq, trimmed_seq, (SELECT outages FROM meta) - outages,"
                  " (SELECT min(seq) FROM events WHERE room = rooms.id) FROM rooms WHERE name = ?1",
    [READ_AFTER] = "SELECT " EVENT_COLUMNS " FROM events WHERE room = ?1 AND seq > ?2"
                   " ORDER BY seq LIMIT ?3",
    [READ_BEFORE] = "SELECT " EVENT_COLUMNS " FROM events WHERE room = ?1 AND seq < ?2"
                    " ORDER BY seq DESC LIMIT ?3",
};

static struct sqlite_reader *reader_of(struct store_backend *b, unsigned reader)
{
    return &((struct sqlite_store *)b)->readers[reader];
}

int sqlite_reader_open(struct sqlite_store *s, struct sqlite_reader *r, const char *path)
{
    int rc = sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!rc) rc = sqlite3_busy_timeout(r->db, s->busy_ms);
    if (!rc) rc = sqlite3_exec(r->db, "PRAGMA query_only=1", NULL, NULL, NULL);
    for (int i = 0; i < READ_STMT_COUNT && !rc; i++)
        rc = sqlite3_prepare_v3(r->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &r->stmt[i], NULL);
    return rc;
}

void sqlite_reader_close(struct sqlite_reader *r)
{
    for (int i = 0; i < READ_STMT_COUNT; i++)
        sqlite3_finalize(r->stmt[i]);
    sqlite3_close(r->db);
}

static int find_room(struct sqlite_reader *r, struct slice name, int64_t *id,
                     struct store_room *out)
{
    sqlite3_stmt *stmt = r->stmt[READ_ROOM];
    sqlite3_bind_text(stmt, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    int err = rc == SQLITE_DONE ? ERR_NOT_FOUND : ERR_STORE;
    if (rc == SQLITE_ROW && sqlite3_column_bytes(stmt, 1) == STORE_EPOCH_LEN) {
        uint64_t last = (uint64_t)sqlite3_column_int64(stmt, 2);
        *id = sqlite3_column_int64(stmt, 0);
        memcpy(out->epoch, sqlite3_column_text(stmt, 1), STORE_EPOCH_LEN);
        out->last_seq = last;
        out->trimmed_seq = (uint64_t)sqlite3_column_int64(stmt, 3);
        out->next_seq = store_next_seq(last, (uint64_t)sqlite3_column_int64(stmt, 4));
        out->first_seq = (uint64_t)sqlite3_column_int64(stmt, 5);
        err = 0;
    }
    sqlite3_reset(stmt);
    return err;
}

int sqlite_reader_load(struct store_backend *b, unsigned reader, struct slice room,
                       struct store_room *out)
{
    int64_t id;
    return find_room(reader_of(b, reader), room, &id, out);
}

static struct slice column_text(sqlite3_stmt *row, int column)
{
    if (sqlite3_column_type(row, column) == SQLITE_NULL) return (struct slice){NULL, 0};
    const char *text = (const char *)sqlite3_column_text(row, column);
    return (struct slice){text ? text : "", (size_t)sqlite3_column_bytes(row, column)};
}

static struct store_record *record_of(sqlite3_stmt *row)
{
    struct store_event e = {
        .seq = (uint64_t)sqlite3_column_int64(row, 0),
        .ts_ms = sqlite3_column_int64(row, 1),
        .kind = (enum store_kind)sqlite3_column_int(row, 2),
        .target = (uint64_t)sqlite3_column_int64(row, 3),
        .reply_to = (uint64_t)sqlite3_column_int64(row, 4),
        .username = column_text(row, COLUMN_TEXTS),
        .user = column_text(row, COLUMN_TEXTS + 1),
        .message = column_text(row, COLUMN_TEXTS + 2),
        .data = column_text(row, COLUMN_TEXTS + 3),
        .nonce = column_text(row, COLUMN_TEXTS + 4),
    };
    return store_record_new((struct slice){NULL, 0}, &e);
}

struct span {
    enum read_stmt stmt;
    int64_t room;
    uint64_t position;
    size_t limit;
    size_t *bytes;
};

/* Appends the span's events to out in the order of the query; *more is set if there are others. */
static int collect(struct sqlite_reader *r, const struct span *span, struct store_answer *out,
                   bool *more)
{
    sqlite3_stmt *stmt = r->stmt[span->stmt];
    size_t count = 0;
    int err = 0;
    int rc;
    sqlite3_bind_int64(stmt, 1, span->room);
    sqlite3_bind_int64(stmt, 2, (int64_t)span->position);
    sqlite3_bind_int64(stmt, 3, (int64_t)span->limit + 1);
    *more = false;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        *more = true; /* unless this one fits */
        if (count == span->limit) break;
        struct store_record *record = record_of(stmt);
        if (!record) {
            err = ERR_NOMEM;
            break;
        }
        *span->bytes += record->bytes;
        if (count > 0 && *span->bytes > STORE_PAGE_MAX_BYTES) {
            store_record_free(record);
            break;
        }
        *more = false;
        out->records[out->count++] = record;
        count++;
    }
    sqlite3_reset(stmt);
    if (err) return err;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERR_STORE;
}

static void reverse(struct store_answer *out)
{
    for (size_t i = 0, j = out->count; i + 1 < j; i++) {
        struct store_record *r = out->records[--j];
        out->records[j] = out->records[i];
        out->records[i] = r;
    }
}

static int read_spans(struct sqlite_reader *r, int64_t room, const struct store_query *q,
                      struct store_answer *out)
{
    size_t bytes = 0;
    bool after = q->direction == STORE_AFTER;
    size_t before = q->direction == STORE_BEFORE ? q->limit : after ? 0 : q->limit / 2;
    int err = 0;
    if (!after) {
        struct span span = {READ_BEFORE, room, q->position, before, &bytes};
        err = collect(r, &span, out, &out->more_before);
        reverse(out);
    }
    if (!err && q->direction != STORE_BEFORE) {
        uint64_t from = after || q->position == 0 ? q->position : q->position - 1;
        struct span span = {READ_AFTER, room, from, q->limit - before, &bytes};
        err = collect(r, &span, out, &out->more_after);
    }
    return err;
}

int sqlite_reader_page(struct store_backend *b, unsigned reader, const struct store_query *q,
                       struct store_answer *out)
{
    struct sqlite_reader *r = reader_of(b, reader);
    int64_t room = 0;
    if (sqlite_run(r->stmt[READ_BEGIN])) return ERR_STORE;
    int err = find_room(r, q->room, &room, &out->room);
    if (!err) err = read_spans(r, room, q, out);
    sqlite_run(r->stmt[READ_END]);
    return err;
}
