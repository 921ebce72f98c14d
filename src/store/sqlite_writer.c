/* The writing half of the SQLite store; the writer thread's.
 *
 * The row of a room is read once and then kept in a cache. It is as of its last_seq: what came
 * after is its tail, of which the cache holds the sums, and whoever reads the row counts the tail
 * from the events. Writing the row with every batch would cost a lone message a third of its
 * writing; so it is written when the tail gets long, when the sums would no longer follow from the
 * events (an edit or a delete has changed older ones), and with the first events after an outage,
 * which it has to know of. A tail that is met without the cache knowing of it is written away too,
 * so that nobody adds it up again and again: by the next batch, and by retention. The cache holds
 * what is committed only between transactions: a rollback empties it.
 *
 * A COMMIT whose fsync fails leaves complete frames, commit mark included, in the WAL, which a
 * later recovery could take for committed although their senders were told that they failed.
 * Rollback therefore writes over them at once: the next transaction starts at the same place in the
 * WAL, and its first frame breaks the chain of checksums. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/table.h"
#include "store/sqlite_db.h"

enum {
    ROOM_CACHE_MAX = 8192,
    SYNC_NORMAL = 1,
    SYNC_FULL = 2,
    TAIL_MAX = 64,                          /* events, which a reader of the row has to read too */
    UNSYNCED_MAX = STORE_IN_FLIGHT_MAX / 2, /* the other half is in flight, see store_sqlite.c */
};

struct sqlite_room {
    UT_hash_handle hh;
    struct sqlite_room *next_due;
    bool due;    /* the row is written at the end of this batch */
    bool found;  /* the row and its epoch are known */
    bool behind; /* the tail was found with the row */
    char epoch[STORE_EPOCH_LEN];
    int64_t id;
    int64_t last_seq; /* the tail included */
    int64_t outages;  /* of the row */
    int64_t count;    /* of the tail */
    int64_t bytes;    /* what the row's have to become larger by */
    int64_t marks;    /* -1: not counted yet */
    size_t name_len;
    char name[];
};

#define SEARCHABLE "kind = 0 AND deleted = 0 AND message IS NOT NULL"

/* Of a message or edit, in bytes. */
#define TEXTS_WEIGHT                                                                               \
    "coalesce(length(CAST(message AS BLOB)), 0) + coalesce(length(CAST(data AS BLOB)), 0)"

/* The message ?2 of the room ?1, and its edits. */
#define WITH_EDITS                                                                                 \
    "room = ?1 AND seq IN (SELECT ?2 UNION ALL SELECT seq FROM edits"                              \
    " WHERE room = ?1 AND target = ?2)"

/* Of the marker of the room ?1 that is moved now. */
#define MOVED "(SELECT coalesce(max(moved), 0) + 1 FROM marks WHERE room = ?1)"

static const char *const sql[WRITE_STMT_COUNT] = {
    [WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [WRITE_COMMIT] = "COMMIT",
    [WRITE_ROLLBACK] = "ROLLBACK",
    [WRITE_FIND_ROOM] = "SELECT id, epoch, last_seq, outages FROM rooms WHERE name = ?1",
    [WRITE_FIND_TAIL] = "SELECT coalesce(max(seq), ?2), count(*), coalesce(sum(bytes), 0)"
                        " FROM events WHERE room = ?1 AND seq > ?2",
    [WRITE_ADD_ROOM] =
        "INSERT INTO rooms(name, epoch, last_seq, trimmed_seq, outages, count, bytes)"
        " VALUES(?1, ?2, 0, ?3, ?4, 0, 0)",
    [WRITE_SET_ROOM] = "UPDATE rooms SET last_seq = ?2, outages = ?3, count = count + ?4,"
                       " bytes = bytes + ?5 WHERE id = ?1",
    [WRITE_ADD_EVENT] = "INSERT INTO events(room, seq, ts_ms, kind, target, reply_to, edited_ms,"
                        " deleted, bytes, username, user, message, data, nonce)"
                        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
    [WRITE_COUNT_OUTAGE] = "UPDATE meta SET outages = outages + ?1, clean = ?2 RETURNING outages",
    [WRITE_SWEEP] = "SELECT id, name, count, bytes, EXISTS(SELECT 1" ROOM_TAIL
                    " FROM rooms WHERE id >= ?1 ORDER BY id LIMIT 64",
    [WRITE_OLDEST] = "SELECT seq, ts_ms, bytes FROM events WHERE room = ?1 ORDER BY seq LIMIT ?2",
    [WRITE_DELETE] = "DELETE FROM events WHERE room = ?1 AND seq <= ?2",
    [WRITE_TRIMMED] = "UPDATE rooms SET trimmed_seq = ?2, count = count - ?3, bytes = bytes - ?4"
                      " WHERE id = ?1",
    [WRITE_FORGET_EDITS] = "DELETE FROM edits WHERE room = ?1 AND target BETWEEN ?2 AND ?3",
    [WRITE_FORGET_REACTIONS] = "DELETE FROM reactions WHERE room = ?1 AND target BETWEEN ?2 AND ?3",
    [WRITE_FORGET_COUNTS] =
        "DELETE FROM reaction_counts WHERE room = ?1 AND target BETWEEN ?2 AND ?3",
    [WRITE_FIND_TARGET] = "SELECT id, bytes FROM events WHERE room = ?1 AND seq = ?2 AND kind = 0"
                          " AND deleted = 0",
    [WRITE_EDIT] = "UPDATE events SET bytes = bytes - coalesce(length(CAST(message AS BLOB)), 0)"
                   " + ?2, message = ?3, edited_ms = ?4 WHERE id = ?1 RETURNING bytes",
    [WRITE_ADD_EDIT] = "INSERT INTO edits(room, target, seq) VALUES(?1, ?2, ?3)",
    [WRITE_TEXTS_WEIGHT] = "SELECT sum(" TEXTS_WEIGHT ") FROM events WHERE " WITH_EDITS,
    [WRITE_WIPE_TEXTS] = "UPDATE events SET bytes = bytes - (" TEXTS_WEIGHT "), message = NULL,"
                         " data = NULL, deleted = (kind = 0) WHERE " WITH_EDITS,
    [WRITE_REACT] = "INSERT OR IGNORE INTO reactions(room, target, emoji, who)"
                    " SELECT ?1, ?2, ?3, ?4 WHERE EXISTS(SELECT 1 FROM reaction_counts"
                    "  WHERE room = ?1 AND target = ?2 AND emoji = ?3) OR ?5 > (SELECT count(*)"
                    "  FROM reaction_counts WHERE room = ?1 AND target = ?2)",
    [WRITE_COUNT_REACT] = "INSERT INTO reaction_counts(room, target, emoji, first, count)"
                          " VALUES(?1, ?2, ?3, ?4, 1) ON CONFLICT DO UPDATE SET count = count + 1",
    [WRITE_UNREACT] = "DELETE FROM reactions WHERE room = ?1 AND target = ?2 AND emoji = ?3"
                      " AND who = ?4",
    [WRITE_COUNT_LAST] = "DELETE FROM reaction_counts WHERE room = ?1 AND target = ?2"
                         " AND emoji = ?3 AND count <= 1",
    [WRITE_COUNT_UNREACT] = "UPDATE reaction_counts SET count = count - 1 WHERE room = ?1"
                            " AND target = ?2 AND emoji = ?3",
    [WRITE_UNINDEXED] = "SELECT id, bytes FROM events WHERE id > ?1 ORDER BY id LIMIT ?2",
    [WRITE_INDEX] = "INSERT INTO search(rowid, in_room, words) SELECT id, room, message FROM events"
                    " WHERE id > ?1 AND id <= ?2 AND " SEARCHABLE,
    [WRITE_UNINDEX] = "INSERT INTO search(search, rowid, in_room, words) SELECT 'delete', id, room,"
                      " message FROM events WHERE room = ?1 AND seq BETWEEN ?2 AND ?3"
                      " AND id <= ?4 AND " SEARCHABLE,
    [WRITE_SET_INDEXED] = "UPDATE meta SET indexed = ?1",
    [WRITE_CLEAR_INDEX] = "INSERT INTO search(search) VALUES('delete-all')",
    [WRITE_LAST_ID] = "SELECT max(id) FROM events",
    [WRITE_MOVE_MARK] = "UPDATE marks SET seq = ?3, moved = " MOVED " WHERE room = ?1 AND user = ?2"
                        " AND seq < ?3",
    [WRITE_ADD_MARK] = "INSERT OR IGNORE INTO marks(room, user, seq, moved)"
                       " VALUES(?1, ?2, ?3, " MOVED ")",
    [WRITE_COUNT_MARKS] = "SELECT count(*) FROM marks WHERE room = ?1",
    [WRITE_DROP_MARK] = "DELETE FROM marks WHERE room = ?1 AND moved = (SELECT min(moved)"
                        " FROM marks WHERE room = ?1)",
    [WRITE_ROOM_OUTAGE] = "UPDATE rooms SET outages = outages - 1 WHERE name = ?1",
};

static struct sqlite_store *store_of(struct store_backend *b)
{
    return (struct sqlite_store *)b;
}

/* What may be wrong with one place of the file only. A broken constraint is damage: no statement of
 * ours breaks one. */
static int error_of(int code)
{
    switch (code & 0xff) {
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

int sqlite_writer_fail(struct sqlite_store *s, int rc)
{
    if (rc == SQLITE_NOMEM) { /* ours as well as SQLite's, which then has a message too */
        snprintf(s->reason, sizeof s->reason, "the server is out of memory");
        return ERR_NOMEM;
    }
    int code = sqlite3_extended_errcode(s->db);
    if ((code & 0xff) != (rc & 0xff)) code = rc; /* ours: a row that cannot be */
    snprintf(s->reason, sizeof s->reason, "%s (SQLite %d)", sqlite3_errmsg(s->db), code);
    bool mends = sqlite_search_notice(s, s->db);
    int err = error_of(code);
    if (err != ERR_STORE)
        s->met = (struct sqlite_trouble){code, sqlite3_system_errno(s->db), mends};
    return err;
}

int sqlite_writer_sync(struct sqlite_store *s, bool sync)
{
    int mode = sync ? SYNC_FULL : SYNC_NORMAL;
    if (s->sync_now == mode) return SQLITE_OK;
    int rc = sqlite3_exec(s->db, sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                          NULL, NULL, NULL);
    if (!rc) s->sync_now = mode;
    return rc;
}

/* Nothing is lost with a tail: it is added up again from its events. */
static void forget(struct sqlite_store *s)
{
    struct sqlite_room *room = s->rooms;
    s->due = NULL;
    HASH_CLEAR(hh, s->rooms);
    while (room) {
        struct sqlite_room *next = room->hh.next;
        free(room);
        room = next;
    }
}

void sqlite_writer_bound(struct sqlite_store *s)
{
    if (HASH_COUNT(s->rooms) > ROOM_CACHE_MAX) forget(s);
}

int sqlite_writer_begin(struct store_backend *b)
{
    struct sqlite_store *s = store_of(b);
    sqlite_writer_bound(s);
    s->in_batch = 0;
    if (s->import_lost) return ERR_STORE;
    if (s->import && !sqlite3_get_autocommit(s->db)) return 0;
    bool sync = !s->relaxed || s->unsynced + STORE_BATCH_MAX > UNSYNCED_MAX;
    int rc = sqlite_writer_sync(s, sync);
    if (!rc) rc = sqlite_run(s->stmt[WRITE_BEGIN]);
    return rc ? sqlite_writer_fail(s, rc) : 0;
}

/* What has come since the row was written, in whatever life. */
static int find_tail(struct sqlite_store *s, struct sqlite_room *room)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_FIND_TAIL];
    sqlite3_bind_int64(stmt, 1, room->id);
    sqlite3_bind_int64(stmt, 2, room->last_seq);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        room->last_seq = sqlite3_column_int64(stmt, 0);
        room->count = sqlite3_column_int64(stmt, 1);
        room->bytes = sqlite3_column_int64(stmt, 2);
        room->behind = room->count > 0;
        room->found = true;
    }
    int end = sqlite3_reset(stmt);
    if (rc == SQLITE_ROW) return SQLITE_OK;
    return end ? end : SQLITE_CORRUPT;
}

static int find_row(struct sqlite_store *s, struct sqlite_room *room)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_FIND_ROOM];
    sqlite3_bind_text(stmt, 1, room->name, (int)room->name_len, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    bool sound = rc == SQLITE_ROW && sqlite3_column_bytes(stmt, 1) == STORE_EPOCH_LEN;
    if (sound) {
        room->id = sqlite3_column_int64(stmt, 0);
        memcpy(room->epoch, sqlite3_column_text(stmt, 1), STORE_EPOCH_LEN);
        room->last_seq = sqlite3_column_int64(stmt, 2);
        room->outages = sqlite3_column_int64(stmt, 3);
    }
    int end = sqlite3_reset(stmt);
    if (sound) return find_tail(s, room);
    if (rc == SQLITE_DONE) return SQLITE_OK;
    return end ? end : SQLITE_CORRUPT;
}

/* A room that begins above 1 was imported, or lost its first batch: what came before is not here.
 */
static int add_row(struct sqlite_store *s, struct sqlite_room *room, const struct store_record *r)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_ADD_ROOM];
    sqlite3_bind_text(stmt, 1, room->name, (int)room->name_len, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, r->epoch, STORE_EPOCH_LEN, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, (int64_t)r->event.seq - 1);
    sqlite3_bind_int64(stmt, 4, s->outages);
    int rc = sqlite_run(stmt);
    if (rc) return rc;
    room->outages = s->outages;
    room->id = sqlite3_last_insert_rowid(s->db);
    memcpy(room->epoch, r->epoch, STORE_EPOCH_LEN);
    room->found = true;
    return SQLITE_OK;
}

/* The cached room, with its row read if it has one. An SQLITE_ code. */
static int find_room(struct sqlite_store *s, struct slice name, struct sqlite_room **out)
{
    struct sqlite_room *room;
    HASH_FIND(hh, s->rooms, name.ptr, name.len, room);
    if (!room) {
        room = calloc(1, sizeof *room + name.len);
        if (!room) return SQLITE_NOMEM;
        memcpy(room->name, name.ptr, name.len);
        room->name_len = name.len;
        room->marks = -1;
        HASH_ADD_KEYPTR(hh, s->rooms, room->name, room->name_len, room);
        if (!room->hh.tbl) {
            free(room);
            return SQLITE_NOMEM;
        }
    }
    *out = room;
    return room->found ? SQLITE_OK : find_row(s, room);
}

static int add_event(struct sqlite_store *s, int64_t room, const struct store_record *r)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_ADD_EVENT];
    const struct store_event *e = &r->event;
    const int64_t numbers[] = {room,         (int64_t)e->seq,    e->ts_ms,
                               (int)e->kind, (int64_t)e->target, (int64_t)e->reply_to,
                               e->edited_ms, e->deleted,         (int64_t)r->bytes};
    const struct slice texts[] = {e->username, e->user, e->message, e->data, e->nonce};
    for (int i = 0; i < 9; i++)
        sqlite3_bind_int64(stmt, 1 + i, numbers[i]);
    for (int i = 0; i < 5; i++)
        sqlite_bind_slice(stmt, 10 + i, texts[i]);
    return sqlite_run(stmt);
}

static int count_marks(struct sqlite_store *s, struct sqlite_room *room)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_COUNT_MARKS];
    sqlite3_bind_int64(stmt, 1, room->id);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) room->marks = sqlite3_column_int64(stmt, 0);
    int end = sqlite3_reset(stmt);
    if (rc == SQLITE_ROW) return SQLITE_OK;
    return end ? end : SQLITE_CORRUPT;
}

static int run_mark(struct sqlite_store *s, enum write_stmt which, int64_t room,
                    const struct store_record *r)
{
    sqlite3_stmt *stmt = s->stmt[which];
    sqlite3_bind_int64(stmt, 1, room);
    sqlite_bind_slice(stmt, 2, r->event.username);
    sqlite3_bind_int64(stmt, 3, (int64_t)r->event.seq);
    return sqlite_run(stmt);
}

/* A marker is moved, or else made unless it is further on already. An SQLITE_ code. */
static int put_mark(struct sqlite_store *s, struct sqlite_room *room, const struct store_record *r)
{
    int rc = run_mark(s, WRITE_MOVE_MARK, room->id, r);
    if (rc || sqlite3_changes(s->db) > 0) return rc;
    if (room->marks < 0) rc = count_marks(s, room);
    if (!rc) rc = run_mark(s, WRITE_ADD_MARK, room->id, r);
    if (rc || sqlite3_changes(s->db) == 0) return rc;
    if (room->marks++ < STORE_MARKS_MAX) return SQLITE_OK;
    room->marks--;
    return sqlite_run_with(s->stmt[WRITE_DROP_MARK], &room->id, 1);
}

static int put_event(struct sqlite_store *s, struct sqlite_room *room, const struct store_record *r)
{
    int rc = room->found ? SQLITE_OK : add_row(s, room, r);
    if (rc) return sqlite_writer_fail(s, rc);
    if (memcmp(room->epoch, r->epoch, STORE_EPOCH_LEN) != 0 ||
        (int64_t)r->event.seq <= room->last_seq)
        return ERR_STORE_ORDER;
    int64_t changed = 0;
    rc = add_event(s, room->id, r);
    if (!rc && r->event.kind != STORE_MESSAGE)
        rc = sqlite_state_apply(s, room->id, &r->event, &changed);
    if (rc) return sqlite_writer_fail(s, rc);
    room->last_seq = (int64_t)r->event.seq;
    room->count++;
    room->bytes += (int64_t)r->bytes + changed;
    s->in_batch++;
    bool due = changed || room->behind || room->count >= TAIL_MAX || room->outages != s->outages;
    if (due && !room->due) {
        room->due = true;
        room->next_due = s->due;
        s->due = room;
    }
    return 0;
}

/* In a transaction of its own, or in one after whose rollback it is counted again. An SQLITE_ code.
 */
static int count_outage(struct sqlite_store *s, int add, bool clean)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_COUNT_OUTAGE];
    int64_t outages = s->outages;
    sqlite3_bind_int(stmt, 1, add);
    sqlite3_bind_int(stmt, 2, clean);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        outages = sqlite3_column_int64(stmt, 0);
        rc = sqlite3_step(stmt);
    }
    int end = sqlite3_reset(stmt);
    if (rc != SQLITE_DONE) return end ? end : SQLITE_CORRUPT;
    s->outages = outages;
    return end;
}

int sqlite_writer_put(struct store_backend *b, struct store_record *r)
{
    struct sqlite_store *s = store_of(b);
    struct sqlite_room *room = NULL;
    int rc = find_room(s, r->room, &room);
    if (rc) return sqlite_writer_fail(s, rc);
    if (!r->mark) return put_event(s, room, r);
    if (!room->found || memcmp(room->epoch, r->epoch, STORE_EPOCH_LEN) != 0) return ERR_STORE_ORDER;
    rc = put_mark(s, room, r);
    return rc ? sqlite_writer_fail(s, rc) : 0;
}

/* Whether the store as a whole can take an event; takes it back. An SQLITE_ code. */
static int probe(struct sqlite_store *s)
{
    const struct store_record nothing = {.bytes = 0};
    int rc = sqlite_run(s->stmt[WRITE_BEGIN]);
    if (!rc) rc = add_event(s, 0, &nothing);
    if (rc) sqlite_writer_fail(s, rc);
    if (!sqlite3_get_autocommit(s->db)) sqlite_run(s->stmt[WRITE_ROLLBACK]);
    return rc;
}

int sqlite_writer_refuse(struct store_backend *b, struct store_record *r)
{
    struct sqlite_store *s = store_of(b);
    int rc = probe(s);
    if (!rc && !r->mark) {
        sqlite3_stmt *stmt = s->stmt[WRITE_ROOM_OUTAGE];
        sqlite_bind_slice(stmt, 1, r->room);
        rc = sqlite_writer_sync(s, false);
        if (!rc && sqlite_run(stmt)) rc = count_outage(s, 1, false); /* its row is damaged, too */
        forget(s);
    }
    if (!rc) return 0;
    sqlite_writer_fail(s, rc);
    return ERR_STORE;
}

/* The row takes in its tail. */
static int write_row(struct sqlite_store *s, struct sqlite_room *room)
{
    const int64_t values[] = {room->id, room->last_seq, room->outages, room->count, room->bytes};
    room->count = 0;
    room->bytes = 0;
    room->behind = false;
    return sqlite_run_with(s->stmt[WRITE_SET_ROOM], values, 5);
}

int sqlite_writer_settle(struct sqlite_store *s, struct slice name, int64_t *count, int64_t *bytes)
{
    struct sqlite_room *room = NULL;
    int rc = find_room(s, name, &room);
    if (!rc && !room->found) rc = SQLITE_CORRUPT;
    if (rc) return rc;
    *count += room->count;
    *bytes += room->bytes;
    return write_row(s, room); /* with its own outages: it has not gone on since the last one */
}

int sqlite_writer_commit(struct store_backend *b)
{
    struct sqlite_store *s = store_of(b);
    int rc = SQLITE_OK;
    while (s->due && !rc) {
        struct sqlite_room *room = s->due;
        s->due = room->next_due;
        room->due = false;
        room->outages = s->outages;
        rc = write_row(s, room);
    }
    if (!rc && !s->import) rc = sqlite_run(s->stmt[WRITE_COMMIT]);
    if (rc) return sqlite_writer_fail(s, rc);
    s->unsynced = s->sync_now == SYNC_FULL ? 0 : s->unsynced + s->in_batch;
    return 0;
}

void sqlite_writer_rollback(struct store_backend *b)
{
    struct sqlite_store *s = store_of(b);
    int code = sqlite3_extended_errcode(s->db);
    bool io = (code & 0xff) == SQLITE_IOERR && !sqlite_is_unreadable(code);
    if (!sqlite3_get_autocommit(s->db)) sqlite_run(s->stmt[WRITE_ROLLBACK]);
    forget(s);
    s->import_lost = s->import != NULL;
    if (io) count_outage(s, 1, false); /* see the top of this file; if it fails, recover tries on */
    if (!io) sqlite_search_mend(s);    /* an edit may have met it, and is tried again */
}

int sqlite_writer_recover(struct store_backend *b)
{
    struct sqlite_store *s = store_of(b);
    if (s->import_lost) return ERR_STORE;
    /* With a full disk the WAL cannot grow, but once all of it is in the database it starts again
     * from its beginning. */
    sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    int rc = sqlite_writer_sync(s, true);
    if (!rc) sqlite_search_mend(s); /* if it fails, only searches do */
    if (!rc) rc = probe(s);
    if (!rc) rc = count_outage(s, 1, false);
    if (rc) return sqlite_writer_fail(s, rc);
    s->unsynced = 0;
    return 0;
}

int sqlite_writer_open(struct sqlite_store *s)
{
    int rc = SQLITE_OK;
    for (int i = 0; i < WRITE_STMT_COUNT && !rc; i++)
        rc = sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i], NULL);
    if (!rc) rc = sqlite_writer_sync(s, true);
    if (rc) return rc;

    sqlite3_stmt *stmt;
    rc = sqlite3_prepare_v2(s->db, "SELECT clean, indexed FROM meta", -1, &stmt, NULL);
    if (rc) return rc;
    rc = sqlite3_step(stmt);
    bool clean = rc == SQLITE_ROW && sqlite3_column_int(stmt, 0);
    s->indexed = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 1) : 0;
    int end = sqlite3_finalize(stmt);
    if (rc != SQLITE_ROW) return end ? end : SQLITE_CORRUPT;
    return count_outage(s, clean ? 0 : 1, false);
}

void sqlite_writer_close(struct sqlite_store *s, bool clean)
{
    if (clean && s->stmt[WRITE_COUNT_OUTAGE] && !sqlite_writer_sync(s, true))
        count_outage(s, 0, true); /* if it fails, the next start counts an outage */
    forget(s);
    for (int i = 0; i < WRITE_STMT_COUNT; i++)
        sqlite3_finalize(s->stmt[i]);
    sqlite3_close(s->db);
}
