/* The reading half of the SQLite store. Every reader thread has a connection of its own that can
 * only read; a page and what is said of its room are one read transaction. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "store/sqlite_db.h"

#define EVENT_COLUMNS                                                                              \
    "seq, ts_ms, kind, target, reply_to, edited_ms, deleted, username, user, message, data, nonce"

enum { COLUMN_KIND = 2, COLUMN_TEXTS = 7 };

#define ROOM_COLUMNS                                                                               \
    "id, epoch, " ROOM_LAST_SEQ ", trimmed_seq, (SELECT outages FROM meta) - outages,"             \
    " (SELECT min(seq) FROM (" MERGE("SELECT min(seq) AS seq FROM events WHERE room = rooms.id",   \
                                     "0") "))"

/* ?4: which events there are beside messages, 0 or, for none, NULL. */
#define WANTED(columns, range)                                                                     \
    MERGE("SELECT " columns " FROM events WHERE room = ?1 AND " range, "?4")

static const char *const sql[READ_STMT_COUNT] = {
    [READ_BEGIN] = "BEGIN",
    [READ_END] = "COMMIT",
    [READ_ROOM] = "SELECT " ROOM_COLUMNS " FROM rooms WHERE name = ?1",
    [READ_AFTER] = WANTED(EVENT_COLUMNS, "seq > ?2") " ORDER BY seq LIMIT ?3",
    [READ_BEFORE] = WANTED(EVENT_COLUMNS, "seq < ?2") " ORDER BY seq DESC LIMIT ?3",
    [READ_COUNT_AFTER] = "SELECT count(*) FROM (" WANTED("1", "seq > ?2") " LIMIT ?3)",
    [READ_COUNT_BEFORE] = "SELECT count(*) FROM (" WANTED("1", "seq < ?2") " LIMIT ?3)",
    [READ_NEWEST] = "SELECT coalesce(min(seq), 0), count(*) FROM (" WANTED(
        "seq", "seq < ?2") " ORDER BY seq DESC LIMIT ?3)",
    [READ_REACTIONS] = "SELECT target, emoji, count FROM reaction_counts"
                       " WHERE room = ?1 AND target BETWEEN ?2 AND ?3 ORDER BY target, first",
    [READ_NONCES] = "SELECT seq, ts_ms, coalesce(user, username), nonce FROM events"
                    " WHERE room = ?1 AND ts_ms > ?2 AND nonce IS NOT NULL AND kind = 0"
                    " ORDER BY ts_ms DESC LIMIT ?3",
    [READ_MARKS] = "SELECT user, seq FROM marks WHERE room = ?1 ORDER BY moved LIMIT ?2",
    [READ_SEARCH] = "SELECT " EVENT_COLUMNS " FROM search CROSS JOIN events"
                    " ON events.id = search.rowid WHERE search MATCH ?1 AND search.rowid <"
                    " coalesce((SELECT id FROM events WHERE room = ?2 AND " SHOWN " = 1"
                    "  AND seq >= ?3 ORDER BY seq LIMIT 1), 9223372036854775807)"
                    " ORDER BY search.rowid DESC LIMIT ?4",
    [READ_ROOMS] =
        "SELECT " ROOM_COLUMNS ", name, " ROOM_COUNT ", " ROOM_BYTES
        ", (SELECT ts_ms FROM (" MERGE("SELECT ts_ms, seq FROM events WHERE room = rooms.id",
                                       "0") " ORDER BY seq DESC LIMIT 1))"
                                            " FROM rooms WHERE name > ?1 AND " CLIENTS
                                            " ORDER BY name LIMIT ?2",
};

static struct sqlite_reader *reader_of(struct store_backend *b, unsigned reader)
{
    return &((struct sqlite_store *)b)->readers[reader];
}

int sqlite_reader_open(struct sqlite_store *s, struct sqlite_reader *r, const char *path)
{
    int rc = sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!rc) rc = sqlite3_busy_timeout(r->db, s->busy_ms);
    if (!rc) rc = sqlite3_exec(r->db, "PRAGMA query_only=1; PRAGMA temp_store=2", NULL, NULL, NULL);
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

static bool is_epoch(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    bool sound = text && sqlite3_column_bytes(row, column) == EVENT_EPOCH_LEN;
    for (int i = 0; i < EVENT_EPOCH_LEN && sound; i++)
        sound = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z');
    return sound;
}

/* Fills out from a row of ROOM_COLUMNS. 0 or ERR_STORE_READ. */
static int read_room_columns(sqlite3_stmt *row, struct store_room *out)
{
    bool sound = is_epoch(row, 1) && sqlite_db_sane_outages(sqlite3_column_int64(row, 4));
    for (int i = 2; i <= 5; i++)
        sound = sound && sqlite_db_sane(sqlite3_column_int64(row, i));
    if (!sound) return ERR_STORE_READ;
    memcpy(out->epoch, sqlite3_column_text(row, 1), EVENT_EPOCH_LEN);
    out->last_seq = (uint64_t)sqlite3_column_int64(row, 2);
    out->trimmed_seq = (uint64_t)sqlite3_column_int64(row, 3);
    out->outages = (uint64_t)sqlite3_column_int64(row, 4);
    out->first_seq = (uint64_t)sqlite3_column_int64(row, 5);
    return 0;
}

static int find_room(struct sqlite_reader *r, struct slice name, int64_t *id,
                     struct store_room *out)
{
    sqlite3_stmt *stmt = r->stmt[READ_ROOM];
    sqlite3_bind_text(stmt, 1, name.ptr, (int)name.len, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    int err = rc == SQLITE_DONE ? ERR_NOT_FOUND : ERR_STORE_READ;
    if (rc == SQLITE_ROW) {
        *id = sqlite3_column_int64(stmt, 0);
        err = read_room_columns(stmt, out);
    }
    sqlite3_reset(stmt);
    return err;
}

/* Begins a transaction that sees the room; to be ended in any case. */
static int begin_in_room(struct sqlite_reader *r, struct slice name, int64_t *id,
                         struct store_room *out)
{
    return sqlite_run(r->stmt[READ_BEGIN]) ? ERR_STORE_READ : find_room(r, name, id, out);
}

/* Keeps what SQLite has met, for the log; a row that cannot be is damage too. The error that it is.
 */
static int note_trouble(struct sqlite_reader *r, int err)
{
    if (err != ERR_STORE_READ) return err;
    int code = sqlite3_extended_errcode(r->db);
    bool none = code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE;
    r->met =
        (struct sqlite_trouble){none ? SQLITE_CORRUPT : code, sqlite3_system_errno(r->db), false};
    return (code & 0xff) == SQLITE_NOMEM ? ERR_NOMEM : err;
}

static int end(struct sqlite_reader *r, int err)
{
    err = note_trouble(r, err);
    if (!sqlite3_get_autocommit(r->db)) sqlite_run(r->stmt[READ_END]);
    return err;
}

static struct slice column_text(sqlite3_stmt *row, int column)
{
    if (sqlite3_column_type(row, column) == SQLITE_NULL) return (struct slice){NULL, 0};
    const char *text = (const char *)sqlite3_column_text(row, column);
    return (struct slice){text ? text : "", (size_t)sqlite3_column_bytes(row, column)};
}

/* What goes into a frame has to be UTF-8, or its reader would have to give up the connection. */
static bool is_text(struct slice text)
{
    return utf8_valid(text.ptr, text.len);
}

/* Damage that is passed over, but told. */
static void note_passed(struct sqlite_reader *r)
{
    r->met = (struct sqlite_trouble){SQLITE_CORRUPT, 0, false};
}

static int read_nonces(sqlite3_stmt *stmt, struct store_nonces *out)
{
    int err = 0;
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && !err) {
        struct store_nonce nonce = {
            .seq = (uint64_t)sqlite3_column_int64(stmt, 0),
            .ts_ms = sqlite3_column_int64(stmt, 1),
            .user = column_text(stmt, 2),
            .nonce = column_text(stmt, 3),
        };
        err = nonce.seq <= STORE_SEQ_MAX ? store_nonces_add(out, &nonce) : ERR_STORE_READ;
    }
    sqlite3_reset(stmt);
    if (err) return err == ERR_FULL ? 0 : err;
    return rc == SQLITE_DONE ? 0 : ERR_STORE_READ;
}

static int read_marks(struct sqlite_reader *r, int64_t room, struct store_marks *out)
{
    sqlite3_stmt *stmt = r->stmt[READ_MARKS];
    int err = 0;
    int rc;
    sqlite3_bind_int64(stmt, 1, room);
    sqlite3_bind_int64(stmt, 2, STORE_MARKS_MAX);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && !err) {
        const struct store_mark mark = {(uint64_t)sqlite3_column_int64(stmt, 1),
                                        column_text(stmt, 0)};
        if (mark.seq > 0 && mark.seq <= STORE_SEQ_MAX && is_text(mark.user))
            err = store_marks_add(out, &mark);
        else
            note_passed(r); /* it is no reason to keep everybody out of the room */
    }
    sqlite3_reset(stmt);
    if (err) return err;
    return rc == SQLITE_DONE ? 0 : ERR_STORE_READ;
}

int sqlite_reader_load(struct store_backend *b, unsigned reader, struct slice room,
                       int64_t since_ms, struct store_load *out)
{
    struct sqlite_reader *r = reader_of(b, reader);
    int64_t id = 0;
    int err = begin_in_room(r, room, &id, &out->room);
    if (!err) {
        sqlite3_stmt *stmt = r->stmt[READ_NONCES];
        sqlite3_bind_int64(stmt, 1, id);
        sqlite3_bind_int64(stmt, 2, since_ms);
        sqlite3_bind_int64(stmt, 3, STORE_NONCES_MAX);
        err = read_nonces(stmt, &out->nonces);
    }
    if (!err) err = read_marks(r, id, &out->marks);
    return end(r, err);
}

/* Whether it is an event that somebody has written, and not what a broken disk made of one. */
static bool is_sound_event(const struct store_event *e, int64_t kind)
{
    return kind >= 0 && kind < STORE_KIND_COUNT && e->seq > 0 && e->seq <= STORE_SEQ_MAX &&
           e->target <= STORE_SEQ_MAX && e->reply_to <= STORE_SEQ_MAX && is_text(e->username) &&
           is_text(e->user) && is_text(e->message) && is_text(e->data) && is_text(e->nonce);
}

/* The event of a row. 0, ERR_STORE_READ or ERR_NOMEM. */
static int read_event(sqlite3_stmt *row, struct store_record **out)
{
    int64_t kind = sqlite3_column_int64(row, COLUMN_KIND);
    struct store_event e = {
        .seq = (uint64_t)sqlite3_column_int64(row, 0),
        .ts_ms = sqlite3_column_int64(row, 1),
        .kind = (enum store_kind)kind,
        .target = (uint64_t)sqlite3_column_int64(row, 3),
        .reply_to = (uint64_t)sqlite3_column_int64(row, 4),
        .edited_ms = sqlite3_column_int64(row, 5),
        .deleted = sqlite3_column_int(row, 6) != 0,
        .username = column_text(row, COLUMN_TEXTS),
        .user = column_text(row, COLUMN_TEXTS + 1),
        .message = column_text(row, COLUMN_TEXTS + 2),
        .data = column_text(row, COLUMN_TEXTS + 3),
        .nonce = column_text(row, COLUMN_TEXTS + 4),
    };
    if (!is_sound_event(&e, kind)) return ERR_STORE_READ;
    *out = store_record_new((struct slice){NULL, 0}, &e);
    return *out ? 0 : ERR_NOMEM;
}

/* Appends the rows of a prepared question for events to out, until the span is full, and resets it.
 * 0, ERR_STORE_READ or ERR_NOMEM. */
static int collect(sqlite3_stmt *stmt, struct store_span *span, struct store_answer *out)
{
    int err = 0;
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct store_record *record = NULL;
        err = read_event(stmt, &record);
        if (err) break;
        if (!store_answer_take(span, record->bytes)) {
            store_record_free(record);
            break;
        }
        out->records[out->count++] = record;
    }
    sqlite3_reset(stmt);
    if (err) return err;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERR_STORE_READ;
}

struct source {
    struct sqlite_reader *reader;
    int64_t room;
};

static void bind_span(sqlite3_stmt *stmt, int64_t room, const struct store_span *span)
{
    sqlite3_bind_int64(stmt, 1, room);
    sqlite3_bind_int64(stmt, 2, (int64_t)span->position);
    sqlite3_bind_int64(stmt, 3, (int64_t)span->limit);
    if (span->messages_only)
        sqlite3_bind_null(stmt, 4);
    else
        sqlite3_bind_int(stmt, 4, 0);
}

static int collect_span(void *ctx, struct store_span *span, struct store_answer *out)
{
    const struct source *source = ctx;
    sqlite3_stmt *stmt = source->reader->stmt[span->backward ? READ_BEFORE : READ_AFTER];
    bind_span(stmt, source->room, span);
    sqlite3_bind_int64(stmt, 3, (int64_t)span->limit + 1); /* to see whether there are more */
    return collect(stmt, span, out);
}

static int count_events(const struct source *source, const struct store_query *q, uint64_t *total)
{
    if (!q->count_max || q->direction == STORE_AROUND) return 0;
    bool after = q->direction == STORE_AFTER;
    sqlite3_stmt *stmt = source->reader->stmt[after ? READ_COUNT_AFTER : READ_COUNT_BEFORE];
    struct store_span span = {
        .position = q->position, .limit = q->count_max, .messages_only = q->messages_only};
    bind_span(stmt, source->room, &span);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) *total = (uint64_t)sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 0 : ERR_STORE_READ;
}

/* Gives the message of seq its reactions. */
static int attach(struct store_answer *out, size_t *at, uint64_t seq,
                  const struct store_reaction *reactions, size_t n)
{
    while (*at < out->count && out->records[*at]->event.seq < seq)
        ++*at;
    if (*at == out->count || out->records[*at]->event.seq != seq) return 0;
    return store_answer_react(out, out->records[*at], reactions, n);
}

/* One query for the whole page, whose rows come in the order of the messages. */
static int read_reactions(sqlite3_stmt *stmt, struct store_answer *out)
{
    struct store_reaction reactions[STORE_REACTIONS_MAX];
    uint64_t seq = 0;
    size_t at = 0;
    size_t n = 0;
    int err = 0;
    int rc;
    while (!err && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        uint64_t target = (uint64_t)sqlite3_column_int64(stmt, 0);
        if (target != seq) {
            err = attach(out, &at, seq, reactions, n);
            seq = target;
            n = 0;
        }
        if (err || n == STORE_REACTIONS_MAX) continue;
        struct slice emoji = column_text(stmt, 1);
        err = store_arena_copy(&out->arena, &emoji);
        reactions[n++] = (struct store_reaction){emoji, (uint32_t)sqlite3_column_int64(stmt, 2)};
    }
    sqlite3_reset(stmt);
    if (err) return err;
    return rc == SQLITE_DONE ? attach(out, &at, seq, reactions, n) : ERR_STORE_READ;
}

static int read_page_reactions(const struct source *source, struct store_answer *out)
{
    if (out->count == 0) return 0;
    sqlite3_stmt *stmt = source->reader->stmt[READ_REACTIONS];
    sqlite3_bind_int64(stmt, 1, source->room);
    sqlite3_bind_int64(stmt, 2, (int64_t)out->records[0]->event.seq);
    sqlite3_bind_int64(stmt, 3, (int64_t)out->records[out->count - 1]->event.seq);
    return read_reactions(stmt, out);
}

/* Finds the oldest of the newest by the index alone, and makes of q the question for those from
 * there on. */
static int seek_newest(const struct source *source, struct store_query *q, uint64_t *total)
{
    if (q->direction != STORE_NEWEST) return 0;
    sqlite3_stmt *stmt = source->reader->stmt[READ_NEWEST];
    const struct store_span span = {
        .position = q->position, .limit = q->limit, .messages_only = q->messages_only};
    bind_span(stmt, source->room, &span);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        uint64_t first = (uint64_t)sqlite3_column_int64(stmt, 0);
        *total = (uint64_t)sqlite3_column_int64(stmt, 1);
        q->direction = STORE_AFTER;
        q->position = first ? first - 1 : q->position;
        q->count_max = 0;
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 0 : ERR_STORE_READ;
}

int sqlite_reader_page(struct store_backend *b, unsigned reader, const struct store_query *q,
                       struct store_answer *out)
{
    struct source source = {.reader = reader_of(b, reader)};
    int err = begin_in_room(source.reader, q->room, &source.room, &out->room);
    struct store_query mine = *q;
    if (!err) err = seek_newest(&source, &mine, &out->total);
    if (!err) err = store_answer_page(out, &mine, collect_span, &source);
    if (!err) err = count_events(&source, &mine, &out->total);
    if (!err && q->reactions) err = read_page_reactions(&source, out);
    return end(source.reader, err);
}

/* The row of the search: FTS5's expression, with the room as a word. 0 or ERR_NOMEM. */
static int make_match(struct buf *out, int64_t room, struct slice words)
{
    char head[64];
    int n = snprintf(head, sizeof head, "in_room:\"%lld\" AND words:(", (long long)room);
    size_t max_bytes = words.len + sizeof head + 1; /* they have a cap, see sqlite_search_parse */
    int err = buf_append(out, head, (size_t)n, max_bytes);
    if (!err) err = buf_append(out, words.ptr, words.len, max_bytes);
    return err ? err : buf_append(out, ")", 1, max_bytes);
}

static int read_matches(struct sqlite_reader *r, int64_t room, const struct store_search *q,
                        struct store_answer *out)
{
    struct buf match = {0};
    struct store_span span = {.limit = q->limit, .sure = 1, .max_bytes = STORE_PAGE_MAX_BYTES};
    int err = make_match(&match, room, q->text);
    if (!err) {
        sqlite3_stmt *stmt = r->stmt[READ_SEARCH];
        sqlite3_bind_text(stmt, 1, (const char *)match.data, (int)match.len, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 2, room);
        sqlite3_bind_int64(stmt, 3, (int64_t)q->before);
        sqlite3_bind_int64(stmt, 4, (int64_t)q->limit + 1);
        err = collect(stmt, &span, out);
    }
    out->more_before = span.more;
    buf_fini(&match);
    return err;
}

int sqlite_reader_search(struct store_backend *b, unsigned reader, const struct store_search *q,
                         struct store_answer *out)
{
    struct sqlite_store *s = (struct sqlite_store *)b;
    struct sqlite_reader *r = reader_of(b, reader);
    int64_t room = 0;
    /* The index is made anew while others read, and what is read here is as it was when the
     * transaction began. */
    unsigned whole = atomic_load(&s->index_whole);
    int err = begin_in_room(r, q->room, &room, &out->room);
    if (err) return end(r, err);
    err = whole ? read_matches(r, room, q, out) : ERR_STORE_READ;
    bool damaged = err == ERR_STORE_READ && sqlite_db_notice(s, r->db);
    bool lacked = !whole || atomic_load(&s->index_whole) != whole;
    if (!err && lacked) err = ERR_STORE_READ;
    bool mends = err == ERR_STORE_READ && (damaged || lacked);
    err = end(r, err);
    if (mends) r->met.mends = true;
    return err;
}

static int add_listed_room(sqlite3_stmt *row, struct store_room_list *out)
{
    struct store_room_info *info = &out->rooms[out->count];
    *info = (struct store_room_info){
        .name = column_text(row, 6),
        .events = (uint64_t)sqlite3_column_int64(row, 7),
        .bytes = (uint64_t)sqlite3_column_int64(row, 8),
        .last_ts_ms = sqlite3_column_int64(row, 9),
    };
    int err = read_room_columns(row, &info->room);
    bool named = info->name.len <= STORE_NAME_MAX_BYTES && is_text(info->name);
    if (!err && !named) err = ERR_STORE_READ;
    if (!err) err = store_arena_copy(&out->names, &info->name);
    if (!err) out->count++;
    return err;
}

int sqlite_reader_list(struct store_backend *b, unsigned reader, struct slice after, unsigned limit,
                       struct store_room_list *out)
{
    struct sqlite_reader *r = reader_of(b, reader);
    sqlite3_stmt *stmt = r->stmt[READ_ROOMS];
    int err = 0;
    int rc;
    sqlite_bind_slice(stmt, 1, after.ptr ? after : SLICE_LIT(""));
    sqlite3_bind_int64(stmt, 2, (int64_t)limit + 1);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && !err && !out->more) {
        if (out->count == limit)
            out->more = true;
        else
            err = add_listed_room(stmt, out);
        if (err == ERR_STORE_READ) note_passed(r); /* the other rooms can be listed */
        if (err == ERR_STORE_READ) err = 0;
    }
    sqlite3_reset(stmt);
    if (!err && rc != SQLITE_DONE && rc != SQLITE_ROW) err = ERR_STORE_READ;
    return note_trouble(r, err);
}
