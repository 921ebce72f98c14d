/* See sqlite_rooms.h. */
#include "store/sqlite_rooms.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROOM_CACHE_MAX = 8192,
    TAIL_MAX = 64, /* events, which a reader of the row has to read too */
    TAIL_MAX_BYTES = 64 << 10,
    IMPORT_OUTAGES = 16, /* a million ids, see journal/local.c */
};

void sqlite_rooms_forget(struct sqlite_store *s)
{
    struct sqlite_room *room = NULL;
    struct sqlite_room *next = NULL;
    s->due = NULL;
    HASH_ITER(hh, s->rooms, room, next)
    {
        room->due = false;
        room->refused = false;
        if (room->over) {
            sqlite_rooms_gone(room);
            continue;
        }
        HASH_DEL(s->rooms, room); /* the analyzer does not follow it NOLINT(*-unix.Malloc) */
        free(room);
    }
}

void sqlite_rooms_fini(struct sqlite_store *s)
{
    while (sqlite_rooms_next_over(s)) {
    }
    sqlite_rooms_forget(s);
}

void sqlite_rooms_bound(struct sqlite_store *s)
{
    struct sqlite_room *room = NULL;
    struct sqlite_room *next = NULL;
    if (HASH_COUNT(s->rooms) <= ROOM_CACHE_MAX) return;
    HASH_ITER(hh, s->rooms, room, next)
    {
        if (room->over) continue;
        HASH_DEL(s->rooms, room); /* the analyzer does not follow it NOLINT(*-unix.Malloc) */
        free(room);
    }
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
    }
    int end = sqlite3_reset(stmt);
    bool sound = rc == SQLITE_ROW && sqlite_db_sane(room->last_seq) &&
                 sqlite_db_sane(room->row_bytes + room->bytes);
    room->found = sound;
    return sound ? SQLITE_OK : end ? end : SQLITE_CORRUPT;
}

static int find_row(struct sqlite_store *s, struct sqlite_room *room)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_FIND_ROOM];
    sqlite3_bind_text(stmt, 1, room->name, (int)room->name_len, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    bool sound = rc == SQLITE_ROW && sqlite3_column_bytes(stmt, 1) == EVENT_EPOCH_LEN;
    if (sound) {
        room->id = sqlite3_column_int64(stmt, 0);
        memcpy(room->epoch, sqlite3_column_text(stmt, 1), EVENT_EPOCH_LEN);
        room->last_seq = sqlite3_column_int64(stmt, 2);
        room->outages = sqlite3_column_int64(stmt, 3);
        room->row_count = sqlite3_column_int64(stmt, 4);
        room->row_bytes = sqlite3_column_int64(stmt, 5);
        sound = sqlite_db_sane(room->last_seq) && sqlite_db_sane(room->row_count) &&
                sqlite_db_sane(room->row_bytes) && room->outages >= -(int64_t)STORE_SEQ_MAX &&
                sqlite_db_sane_outages(s->outages - room->outages);
    }
    int end = sqlite3_reset(stmt);
    if (sound) return find_tail(s, room);
    if (rc == SQLITE_DONE) return SQLITE_OK;
    return end ? end : SQLITE_CORRUPT;
}

int sqlite_rooms_find(struct sqlite_store *s, struct slice name, struct sqlite_room **out)
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

/* How many outages a room that is written now has seen. Whoever an import was taken from may have
 * gone on, and clients have the ids of both: the room goes on behind what it can have given. */
static int64_t outages_seen(const struct sqlite_store *s)
{
    return s->outages - (s->import ? IMPORT_OUTAGES : 0);
}

/* A room whose first event has one before it was imported, has lost its first batch, or was gone
 * with all it had. */
int sqlite_rooms_add(struct sqlite_store *s, struct sqlite_room *room, const struct store_record *r)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_ADD_ROOM];
    sqlite3_bind_text(stmt, 1, room->name, (int)room->name_len, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, r->epoch, EVENT_EPOCH_LEN, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, (int64_t)r->prev_seq);
    sqlite3_bind_int64(stmt, 4, outages_seen(s));
    sqlite3_bind_int64(stmt, 5, r->event.ts_ms);
    int rc = sqlite_run(stmt);
    if (rc) return rc;
    room->outages = outages_seen(s);
    room->id = sqlite3_last_insert_rowid(s->db);
    memcpy(room->epoch, r->epoch, EVENT_EPOCH_LEN);
    room->found = true;
    return SQLITE_OK;
}

void sqlite_rooms_note_over(struct sqlite_store *s, struct sqlite_room *room)
{
    const struct store_keep *keep = &s->base.keep;
    int64_t count = room->row_count + room->count;
    int64_t events = sqlite_rooms_excess(count, keep->max_events);
    int64_t bytes = sqlite_rooms_excess(room->row_bytes + room->bytes, keep->max_bytes);
    if ((!events && !bytes) || count <= 1) return; /* the newest stays, however large */
    if (store_is_own((struct slice){room->name, room->name_len})) return;
    bool much = events >= STORE_TRIM_MAX || bytes >= STORE_TRIM_MAX_BYTES / 4;
    if (much) s->base.trim_need = TRIM_NOW;
    if (s->base.trim_need == TRIM_NONE) s->base.trim_need = TRIM_SOON;
    sqlite_rooms_list_over(s, room);
}

void sqlite_rooms_list_over(struct sqlite_store *s, struct sqlite_room *room)
{
    if (room->over) return;
    room->over = true;
    room->next_over = NULL;
    *(s->over_end ? s->over_end : &s->over) = room;
    s->over_end = &room->next_over;
}

struct sqlite_room *sqlite_rooms_next_over(struct sqlite_store *s)
{
    struct sqlite_room *room = s->over;
    if (!room) return NULL;
    s->over = room->next_over;
    if (!s->over) s->over_end = NULL;
    room->over = false;
    return room;
}

static void make_due(struct sqlite_store *s, struct sqlite_room *room)
{
    if (room->due) return;
    room->due = true;
    room->next_due = s->due;
    s->due = room;
}

void sqlite_rooms_refused(struct sqlite_store *s, struct sqlite_room *room)
{
    if (!room->found) return; /* whoever loads it makes a new epoch */
    room->refused = true;
    make_due(s, room);
}

void sqlite_rooms_grow(struct sqlite_store *s, struct sqlite_room *room,
                       const struct store_record *r, int64_t changed)
{
    room->last_seq = (int64_t)r->event.seq;
    room->count++;
    room->bytes += (int64_t)r->bytes + changed;
    bool due = changed || room->behind || room->count >= TAIL_MAX ||
               room->bytes >= TAIL_MAX_BYTES || room->outages != outages_seen(s);
    if (due) make_due(s, room);
    sqlite_rooms_note_over(s, room);
}

/* The row takes in its tail. */
static int write_row(struct sqlite_store *s, struct sqlite_room *room)
{
    const int64_t values[] = {room->id, room->last_seq, room->outages, room->count, room->bytes};
    room->row_count += room->count;
    room->row_bytes += room->bytes;
    room->count = 0;
    room->bytes = 0;
    room->behind = false;
    return sqlite_run_with(s->stmt[WRITE_SET_ROOM], values, 5);
}

int sqlite_rooms_write(struct sqlite_store *s)
{
    int rc = SQLITE_OK;
    while (s->due && !rc) {
        struct sqlite_room *room = s->due;
        s->due = room->next_due;
        room->due = false;
        room->outages = room->refused ? room->outages - 1 : outages_seen(s);
        room->refused = false;
        rc = write_row(s, room);
    }
    return rc;
}

int sqlite_rooms_settle(struct sqlite_store *s, struct sqlite_room *room)
{
    return write_row(s, room); /* with its own outages: it has not gone on since the last one */
}

void sqlite_rooms_shrink(struct sqlite_room *room, int64_t count, int64_t bytes)
{
    room->row_count -= count;
    room->row_bytes -= bytes;
}

void sqlite_rooms_gone(struct sqlite_room *room)
{
    room->found = false;
    room->id = 0; /* another may get it */
    room->last_seq = 0;
    room->row_count = room->row_bytes = 0;
    room->count = room->bytes = 0;
    room->behind = false;
    room->marks = -1;
}
