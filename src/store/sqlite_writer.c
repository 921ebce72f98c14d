/* The writing half of the SQLite store; the writer thread's. What is known of rooms is in
 * sqlite_rooms.c, retention in sqlite_trim.c.
 *
 * A COMMIT whose fsync fails leaves complete frames, commit mark included, in the WAL, which a
 * later recovery could take for committed although their senders were told that they failed.
 * Rollback therefore writes over them at once: the next transaction starts at the same place in the
 * WAL, and its first frame breaks the chain of checksums. */
#include <string.h>

#include "base/err.h"
#include "store/sqlite_db.h"
#include "store/sqlite_rooms.h"

enum {
    PUT_COST = 256, /* bytes that an event or marker takes in the file beside its texts, which take
                       up to twice their size: a page may stay half empty */
    UNSYNCED_MAX = STORE_IN_FLIGHT_MAX / 2, /* the other half is in flight, see store_sqlite.c */
};

#define SEARCHABLE "kind = 0 AND deleted = 0 AND message IS NOT NULL"

/* Of a message or edit, in bytes. */
#define TEXTS_WEIGHT                                                                               \
    "coalesce(length(CAST(message AS BLOB)), 0) + coalesce(length(CAST(data AS BLOB)), 0)"

/* The message ?2 of the room ?1, and its edits. */
#define WITH_EDITS                                                                                 \
    "room = ?1 AND " EITHER " AND seq IN (SELECT ?2 UNION ALL SELECT seq FROM edits"               \
    " WHERE room = ?1 AND target = ?2)"

/* Of the marker of the room ?1 that is moved now. */
#define MOVED "(SELECT coalesce(max(moved), 0) + 1 FROM marks WHERE room = ?1)"

static const char *const sql[WRITE_STMT_COUNT] = {
    [WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [WRITE_COMMIT] = "COMMIT",
    [WRITE_ROLLBACK] = "ROLLBACK",
    [WRITE_FIND_ROOM] = "SELECT id, epoch, last_seq, outages, count, bytes FROM rooms"
                        " WHERE name = ?1",
    [WRITE_FIND_TAIL] = "SELECT coalesce(max(seq), ?2), count(*), coalesce(sum(bytes), 0)"
                        " FROM events WHERE room = ?1 AND " EITHER " AND seq > ?2",
    [WRITE_ADD_ROOM] =
        "INSERT INTO rooms(name, epoch, last_seq, trimmed_seq, outages, count, bytes, oldest_ms)"
        " VALUES(?1, ?2, 0, ?3, ?4, 0, 0, ?5)",
    [WRITE_SET_ROOM] = "UPDATE rooms SET last_seq = ?2, outages = ?3, count = count + ?4,"
                       " bytes = bytes + ?5 WHERE id = ?1",
    [WRITE_ADD_EVENT] = "INSERT INTO events(room, seq, ts_ms, kind, target, reply_to, edited_ms,"
                        " deleted, bytes, username, user, message, data, nonce)"
                        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
    [WRITE_COUNT_OUTAGE] = "UPDATE meta SET outages = outages + ?1, clean = ?2, seal = ?3"
                           " RETURNING outages",
    [WRITE_SET_CHECKPOINTS] = "UPDATE meta SET checkpoints = ?1, seal = ?2",
    [WRITE_SET_REMOVED] = "UPDATE meta SET removed = ?1",
    [WRITE_DROP_ROOM] = "DELETE FROM rooms WHERE id = ?1",
    [WRITE_DROP_MARKS] = "DELETE FROM marks WHERE room = ?1",
    [WRITE_TRIMMED_ROOM] = "SELECT name, count, bytes, oldest_ms, EXISTS(SELECT 1" ROOM_TAIL
                           " FROM rooms WHERE id = ?1",
    [WRITE_NEXT_ROOM] = "SELECT id FROM rooms WHERE id >= ?1 AND " CLIENTS " ORDER BY id",
    [WRITE_AGED_ROOM] =
        "SELECT id FROM rooms WHERE oldest_ms < ?1 AND " CLIENTS " ORDER BY oldest_ms",
    [WRITE_LARGEST_ROOM] =
        "SELECT id FROM rooms WHERE bytes >= ?1 AND " CLIENTS " ORDER BY bytes DESC",
    [WRITE_OLDEST_ROOM] = "SELECT id FROM rooms WHERE " CLIENTS " ORDER BY oldest_ms",
    [WRITE_OLDEST] = MERGE("SELECT seq, ts_ms, bytes, CASE kind WHEN 0 THEN (SELECT total(count)"
                           "  FROM reaction_counts WHERE room = ?1 AND target = seq) ELSE 0 END"
                           " FROM events WHERE room = ?1",
                           "0") " ORDER BY seq LIMIT ?2",
    [WRITE_DELETE] = "DELETE FROM events WHERE room = ?1 AND " EITHER " AND seq <= ?2",
    [WRITE_TRIMMED] = "UPDATE rooms SET trimmed_seq = ?2, count = count - ?3, bytes = bytes - ?4,"
                      " oldest_ms = ?5 WHERE id = ?1",
    [WRITE_SET_OLDEST] = "UPDATE rooms SET oldest_ms = ?2 WHERE id = ?1",
    [WRITE_PAGES] = "PRAGMA page_count",
    [WRITE_FREE_PAGES] = "PRAGMA freelist_count",
    [WRITE_FORGET_EDITS] = "DELETE FROM edits WHERE room = ?1 AND target BETWEEN ?2 AND ?3",
    [WRITE_FORGET_REACTIONS] = "DELETE FROM reactions WHERE room = ?1 AND target BETWEEN ?2 AND ?3",
    [WRITE_FORGET_COUNTS] =
        "DELETE FROM reaction_counts WHERE room = ?1 AND target BETWEEN ?2 AND ?3",
    [WRITE_FIND_TARGET] = "SELECT id, bytes FROM events WHERE room = ?1 AND " SHOWN " = 1"
                          " AND seq = ?2",
    [WRITE_EDIT] = "UPDATE events SET bytes = bytes - coalesce(length(CAST(message AS BLOB)), 0)"
                   " + ?2, message = ?3, edited_ms = ?4 WHERE id = ?1 RETURNING bytes",
    [WRITE_ADD_EDIT] = "INSERT INTO edits(room, target, seq) VALUES(?1, ?2, ?3)",
    [WRITE_OLD_EDIT] =
        "SELECT seq, " TEXTS_WEIGHT " FROM events WHERE room = ?1 AND " SHOWN " = 0"
        " AND seq = (SELECT seq FROM edits WHERE room = ?1 AND target = ?2 ORDER BY seq DESC"
        " LIMIT 1 OFFSET ?3)",
    [WRITE_WIPE_EDIT] = "UPDATE events SET bytes = bytes - (" TEXTS_WEIGHT "), message = NULL,"
                        " data = NULL WHERE room = ?1 AND " SHOWN " = 0 AND seq = ?3",
    [WRITE_DROP_EDIT] = "DELETE FROM edits WHERE room = ?1 AND target = ?2 AND seq <= ?3",
    [WRITE_TEXTS_WEIGHT] = "SELECT sum(" TEXTS_WEIGHT ") FROM events WHERE " WITH_EDITS,
    [WRITE_WIPE_TEXTS] = "UPDATE events SET bytes = bytes - (" TEXTS_WEIGHT "), message = NULL,"
                         " data = NULL, deleted = (kind = 0) WHERE " WITH_EDITS,
    [WRITE_REACT] = "INSERT OR IGNORE INTO reactions(room, target, emoji, who)"
                    " SELECT ?1, ?2, ?3, ?4 WHERE ?6 > (SELECT total(count) FROM reaction_counts"
                    "  WHERE room = ?1 AND target = ?2) AND (EXISTS(SELECT 1 FROM reaction_counts"
                    "  WHERE room = ?1 AND target = ?2 AND emoji = ?3) OR ?5 > (SELECT count(*)"
                    "  FROM reaction_counts WHERE room = ?1 AND target = ?2))",
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
                      " message FROM events WHERE room = ?1 AND " SHOWN " = 1 AND seq BETWEEN ?2"
                      " AND ?3 AND id <= ?4 AND message IS NOT NULL",
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

int sqlite_writer_begin(struct store_backend *b)
{
    struct sqlite_store *s = store_of(b);
    sqlite_rooms_bound(s);
    s->new_rooms = 0;
    if (s->import_lost) return ERR_STORE;
    if (s->import && !sqlite3_get_autocommit(s->db)) return 0;
    s->in_batch = 0;
    bool sync = !s->relaxed || s->unsynced + STORE_BATCH_MAX > UNSYNCED_MAX;
    int rc = sqlite_db_sync(s, sync);
    if (!rc) rc = sqlite_run(s->stmt[WRITE_BEGIN]);
    return rc ? sqlite_db_fail(s, rc) : 0;
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
static int put_mark_row(struct sqlite_store *s, struct sqlite_room *room,
                        const struct store_record *r)
{
    int rc = run_mark(s, WRITE_MOVE_MARK, room->id, r);
    if (rc || sqlite3_changes(s->db) > 0) return rc;
    sqlite3_bind_int64(s->stmt[WRITE_COUNT_MARKS], 1, room->id);
    if (room->marks < 0) rc = sqlite_db_number(s->stmt[WRITE_COUNT_MARKS], &room->marks);
    if (!rc) rc = run_mark(s, WRITE_ADD_MARK, room->id, r);
    if (rc || sqlite3_changes(s->db) == 0) return rc;
    if (room->marks++ < STORE_MARKS_MAX) return SQLITE_OK;
    room->marks--;
    return sqlite_run_with(s->stmt[WRITE_DROP_MARK], &room->id, 1);
}

/* Makes the row. 0 or an error of put. */
static int add_room(struct sqlite_store *s, struct sqlite_room *room, const struct store_record *r)
{
    uint64_t most = s->base.limits.max_rooms;
    bool own = store_is_own(r->room);
    if (most && !own && atomic_load(&s->base.rooms) + s->new_rooms >= most) return ERR_ROOMS_FULL;
    int rc = sqlite_rooms_add(s, room, r);
    if (rc) return sqlite_db_fail(s, rc);
    s->new_rooms += !own;
    return 0;
}

static int put_event_row(struct sqlite_store *s, struct sqlite_room *room,
                         const struct store_record *r)
{
    int err = room->found ? 0 : add_room(s, room, r);
    if (err) return err;
    if (memcmp(room->epoch, r->epoch, EVENT_EPOCH_LEN) != 0 ||
        (int64_t)r->event.seq <= room->last_seq)
        return ERR_STORE_ORDER;
    int64_t changed = 0;
    int rc = add_event(s, room->id, r);
    if (!rc && r->event.kind != STORE_MESSAGE)
        rc = sqlite_state_apply(s, room->id, &r->event, &changed);
    if (rc) return sqlite_db_fail(s, rc);
    s->in_batch++;
    sqlite_rooms_grow(s, room, r, changed);
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
    sqlite3_bind_int64(stmt, 3, sqlite_file_seal(s->main_life, (uint64_t)s->checkpoints, clean));
    int rc = sqlite3_step(stmt);
    bool counted = rc == SQLITE_ROW;
    if (counted) {
        outages = sqlite3_column_int64(stmt, 0);
        rc = sqlite3_step(stmt);
    }
    int end = sqlite3_reset(stmt);
    if (rc != SQLITE_DONE || !counted) return end ? end : SQLITE_CORRUPT;
    s->outages = outages;
    return end;
}

int sqlite_writer_put(struct store_backend *b, const struct store_record *r)
{
    struct sqlite_store *s = store_of(b);
    struct sqlite_room *room = NULL;
    int64_t cost = 2 * (int64_t)r->bytes + PUT_COST;
    int rc = sqlite_rooms_find(s, r->room, &room);
    if (rc) return sqlite_db_fail(s, rc);
    if (b->limits.max_bytes && cost > s->space && !store_is_own(r->room)) {
        atomic_store_explicit(&b->full, true, memory_order_relaxed);
        if (!r->mark) sqlite_rooms_refused(s, room);
        return ERR_STORE_FULL;
    }
    if (b->limits.max_bytes) s->space -= cost;
    if (!r->mark) return put_event_row(s, room, r);
    if (!room->found || memcmp(room->epoch, r->epoch, EVENT_EPOCH_LEN) != 0) return ERR_STORE_ORDER;
    rc = put_mark_row(s, room, r);
    return rc ? sqlite_db_fail(s, rc) : 0;
}

/* Whether the store as a whole can take an event; takes it back. 0 or an error of put. */
static int probe(struct sqlite_store *s)
{
    const struct store_record nothing = {.bytes = 0};
    int rc = sqlite_run(s->stmt[WRITE_BEGIN]);
    if (!rc) rc = add_event(s, 0, &nothing);
    int err = rc ? sqlite_db_fail(s, rc) : 0;
    sqlite_db_rollback(s);
    return err;
}

/* Whether r is the last of its room in the batch whose seq was given: later ones that were stored
 * say that it was, later ones that were refused will. */
static bool counts(const struct store_record *r)
{
    if (r->mark || r->err != ERR_STORE_DAMAGED) return false;
    for (struct slink *l = r->link.next; l; l = l->next) {
        const struct store_record *later = container_of(l, struct store_record, link);
        bool said = !later->mark && (!later->err || later->err == ERR_STORE_DAMAGED);
        if (said && store_record_same_room(later, r)) return false;
    }
    return true;
}

/* The rows of the rooms count an outage of their own. An SQLITE_ code. */
static int count_room_outages(struct sqlite_store *s, struct slink *batch)
{
    int rc = sqlite_run(s->stmt[WRITE_BEGIN]);
    for (struct slink *l = batch; l && !rc; l = l->next) {
        const struct store_record *r = container_of(l, struct store_record, link);
        if (!counts(r)) continue;
        sqlite_bind_slice(s->stmt[WRITE_ROOM_OUTAGE], 1, r->room);
        rc = sqlite_run(s->stmt[WRITE_ROOM_OUTAGE]);
    }
    if (!rc) rc = sqlite_run(s->stmt[WRITE_COMMIT]);
    if (rc) sqlite_db_rollback(s);
    return rc;
}

int sqlite_writer_refuse(struct store_backend *b, struct slink *batch)
{
    struct sqlite_store *s = store_of(b);
    if (probe(s)) return ERR_STORE;
    int rc = sqlite_db_sync(s, true); /* a power cut would take the outages back */
    if (!rc && count_room_outages(s, batch)) rc = count_outage(s, 1, false); /* a row is damaged */
    if (rc) sqlite_db_fail(s, rc);
    sqlite_rooms_forget(s);
    sqlite_file_settle(s);
    return rc ? ERR_STORE : 0;
}

int sqlite_writer_commit(struct store_backend *b)
{
    struct sqlite_store *s = store_of(b);
    int rc = sqlite_rooms_write(s);
    if (!rc && !s->import) rc = sqlite_run(s->stmt[WRITE_COMMIT]);
    if (rc) return sqlite_db_fail(s, rc);
    if (s->new_rooms) atomic_fetch_add(&b->rooms, s->new_rooms);
    (void)sqlite_trim_measure(s); /* else with the next one */
    if (s->import) {
        sqlite_watch_note(s, FILE_WAL); /* it may have got pages already */
        return 0;
    }
    s->unsynced = s->sync_now == SYNC_FULL ? 0 : s->unsynced + s->in_batch;
    sqlite_file_committed(s);
    sqlite_file_settle(s);
    return 0;
}

void sqlite_writer_rollback(struct store_backend *b)
{
    struct sqlite_store *s = store_of(b);
    int code = sqlite3_extended_errcode(s->db);
    bool io = (code & 0xff) == SQLITE_IOERR && !sqlite_is_unreadable(code);
    sqlite_db_rollback(s);
    sqlite_rooms_forget(s);
    s->import_lost = s->import != NULL;
    s->removed = -1;                   /* not known any more */
    if (io) count_outage(s, 1, false); /* see the top of this file; if it fails, recover tries on */
    if (!io) sqlite_search_mend(s);    /* an edit may have met it, and is tried again */
    (void)sqlite_trim_measure(s);      /* what was put has taken no space */
    sqlite_file_settle(s);
}

int sqlite_writer_trim(struct store_backend *b, int64_t now_ms, uint64_t *trimmed)
{
    bool passed = false;
    int err = sqlite_trim_step(store_of(b), now_ms, trimmed, &passed);
    if (err && err != ERR_BUSY) sqlite_writer_rollback(b);
    return passed ? 0 : err;
}

int sqlite_writer_index(struct store_backend *b, bool *more)
{
    int err = sqlite_search_step(store_of(b), more);
    if (err && err != ERR_BUSY) sqlite_writer_rollback(b);
    return err;
}

/* 0 if an event could be stored now: then the outage is counted. */
static int go_on(struct sqlite_store *s)
{
    int err = s->taken ? probe(s) : 0;
    if (err) return err;
    int rc = s->taken ? count_outage(s, 1, false) : sqlite_file_take(s);
    return rc ? sqlite_db_fail(s, rc) : 0;
}

int sqlite_writer_recover(struct store_backend *b)
{
    struct sqlite_store *s = store_of(b);
    if (s->import_lost) return ERR_STORE;
    int err = s->taken ? sqlite_watch_recover(s) : 0;
    if (err) return err;
    /* With a full disk the WAL cannot grow, but once all of it is in the database it starts again
     * from its beginning. */
    bool whole;
    sqlite_watch_write_back(s, &whole);
    int rc = sqlite_db_sync(s, true);
    if (rc) return sqlite_db_fail(s, rc);
    if (s->taken) sqlite_search_mend(s); /* if it fails, only searches do */
    err = go_on(s);
    sqlite_db_rollback(s);
    s->checkpoint_at = 0; /* or the stamp would be older than what was written back above */
    if (s->taken) sqlite_file_settle(s);
    if (err) return err;
    s->unsynced = 0;
    (void)sqlite_trim_measure(s);
    return 0;
}

/* What is there. Damage is no reason not to start: then less is known to be there. An SQLITE_ code.
 */
static int take_stock(struct sqlite_store *s)
{
    int64_t rooms = 0;
    int rc = sqlite_db_ask(s->db, "SELECT count(*) FROM rooms WHERE " CLIENTS, &rooms);
    atomic_init(&s->base.rooms, (uint64_t)rooms);
    if (!rc || sqlite_db_error(rc) == ERR_STORE_DAMAGED)
        rc = sqlite_db_ask(
            s->db, "SELECT coalesce((SELECT ts_ms FROM events ORDER BY id DESC LIMIT 1), 0)",
            &s->base.newest_ms);
    return sqlite_db_error(rc) == ERR_STORE_DAMAGED ? SQLITE_OK : rc;
}

int sqlite_writer_open(struct sqlite_store *s)
{
    int rc = SQLITE_OK;
    for (int i = 0; i < WRITE_STMT_COUNT && !rc; i++)
        rc = sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i], NULL);
    sqlite_file_hook(s);
    if (!rc) rc = sqlite_db_ask(s->db, "PRAGMA page_size", &s->page_bytes);
    if (!rc) rc = sqlite_db_ask(s->db, "SELECT indexed FROM meta", &s->indexed);
    if (!rc) rc = take_stock(s);
    if (!rc && !s->import) sqlite_trim_all(s);
    return rc;
}

/* The mark "not in use" may get into the database file only after all else: it also says that a
 * -wal beside the file is not its own. If this fails, the next start counts an outage. */
static void mark_clean(struct sqlite_store *s)
{
    bool whole = false;
    if (!s->taken || sqlite_watch_look(&s->base) || sqlite_watch_write_back(s, &whole) || !whole)
        return;
    if (!sqlite_db_sync(s, true)) count_outage(s, 0, true);
}

void sqlite_writer_close(struct sqlite_store *s, bool clean)
{
    if (clean) mark_clean(s);
    sqlite_rooms_fini(s);
    for (int i = 0; i < WRITE_STMT_COUNT; i++)
        sqlite3_finalize(s->stmt[i]);
    /* The last to close writes the -wal back and removes it, by its name. */
    bool lost = sqlite_watch_lost(s);
    if (lost) sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(s->db);
    if (!lost && !s->files.touched) sqlite_file_closed(s);
}
