/* See store_memory.h. A room keeps its events in an array sorted by seq, with a gap at the front
 * where retention has removed some.
 *
 * The lock is held by the writer from begin to commit or rollback, so readers never see half a
 * batch; the writer's work between them is short and does no I/O. */
#include "store/store_memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/memory_db.h"

enum { EVENTS_MIN_CAP = 16, TRIM_ROOMS = 64 };

struct mem_room *memory_find(struct mem *m, struct slice name)
{
    struct mem_room *room;
    HASH_FIND(hh, m->rooms, name.ptr, name.len, room);
    return room;
}

static struct mem_room *add(struct mem *m, struct slice name)
{
    struct mem_room *room = calloc(1, sizeof *room + name.len);
    if (!room) return NULL;
    memcpy(room->name, name.ptr, name.len);
    room->name_len = name.len;
    HASH_ADD_KEYPTR(hh, m->rooms, room->name, room->name_len, room);
    if (room->hh.tbl) return room;
    free(room);
    return NULL;
}

/* Makes room for one more at the end. */
static int reserve(struct mem_room *room)
{
    if (room->end < room->cap) return 0;
    size_t kept = room->end - room->first;
    if (kept && room->first > kept) { /* the gap is the larger part */
        memmove(room->events, room->events + room->first, kept * sizeof *room->events);
        room->first = 0;
        room->end = kept;
        return 0;
    }
    size_t cap = room->cap ? room->cap * 2 : EVENTS_MIN_CAP;
    void *events = realloc(room->events, cap * sizeof *room->events);
    if (!events) return ERR_NOMEM;
    room->events = events;
    room->cap = cap;
    return 0;
}

static int mem_begin(struct store_backend *b)
{
    struct mem *m = mem_of(b);
    pthread_mutex_lock(&m->lock);
    m->undo_count = 0;
    return 0;
}

static int put_mark(struct mem *m, const struct store_record *r)
{
    struct mem_room *room = memory_find(m, r->room);
    if (!room || room->last_seq == 0 || memcmp(room->epoch, r->epoch, STORE_EPOCH_LEN) != 0)
        return ERR_STORE_ORDER;
    struct mem_undo *u = &m->undo[m->undo_count];
    *u = (struct mem_undo){.room = room, .event = &r->event};
    int err = memory_marks_put(u);
    if (!err) m->undo_count++;
    return err;
}

static int mem_put(struct store_backend *b, struct store_record *r)
{
    struct mem *m = mem_of(b);
    if (r->mark) return put_mark(m, r);
    struct mem_room *room = memory_find(m, r->room);
    if (!room) room = add(m, r->room);
    if (!room) return ERR_NOMEM;
    if (room->last_seq == 0) {
        memcpy(room->epoch, r->epoch, STORE_EPOCH_LEN);
        room->trimmed_seq = r->event.seq - 1; /* as in sqlite_writer.c */
    }
    if (memcmp(room->epoch, r->epoch, STORE_EPOCH_LEN) != 0 || r->event.seq <= room->last_seq)
        return ERR_STORE_ORDER;
    int err = reserve(room);
    if (err) return err;

    struct mem_undo *u = &m->undo[m->undo_count];
    *u = (struct mem_undo){
        .room = room, .event = &r->event, .last_seq = room->last_seq, .outages = room->outages};
    room->events[room->end++] = (struct mem_event){.record = r};
    err = memory_state_apply(u);
    if (err) {
        room->end--;
        return err;
    }
    m->undo_count++;
    room->last_seq = r->event.seq;
    room->outages = m->outages;
    room->bytes += r->bytes;
    r->taken = true;
    return 0;
}

static int mem_commit(struct store_backend *b)
{
    struct mem *m = mem_of(b);
    for (unsigned i = 0; i < m->undo_count; i++)
        if (m->undo[i].mark)
            memory_marks_commit(&m->undo[i]);
        else
            memory_state_commit(&m->undo[i]);
    for (unsigned i = 0; i < m->undo_count; i++)
        if (m->undo[i].mark) memory_marks_trim(m->undo[i].room);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static void mem_rollback(struct store_backend *b)
{
    struct mem *m = mem_of(b);
    while (m->undo_count > 0) {
        const struct mem_undo *u = &m->undo[--m->undo_count];
        if (u->mark) {
            memory_marks_undo(u);
            continue;
        }
        struct store_record *r = u->room->events[u->room->end - 1].record;
        memory_state_undo(u);
        u->room->end--;
        r->taken = false;
        u->room->bytes -= r->bytes;
        u->room->last_seq = u->last_seq;
        u->room->outages = u->outages;
    }
    pthread_mutex_unlock(&m->lock);
}

static int mem_recover(struct store_backend *b)
{
    struct mem *m = mem_of(b);
    pthread_mutex_lock(&m->lock);
    m->outages++;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static bool too_much(const struct mem_room *room, const struct store_keep *keep, int64_t now_ms)
{
    if (room->first == room->end) return false;
    int64_t age_ms = now_ms - room->events[room->first].record->event.ts_ms;
    return (keep->max_events && room->end - room->first > keep->max_events) ||
           (keep->max_bytes && room->bytes > keep->max_bytes) ||
           (keep->max_age_ms && age_ms > 0 && (uint64_t)age_ms > keep->max_age_ms);
}

static int mem_trim(struct store_backend *b, const struct store_keep *keep, int64_t now_ms,
                    uint64_t *trimmed, bool *more)
{
    struct mem *m = mem_of(b);
    pthread_mutex_lock(&m->lock);
    struct mem_room *room = m->sweep ? m->sweep : m->rooms;
    for (unsigned i = 0; room && i < TRIM_ROOMS && *trimmed < STORE_TRIM_MAX; i++) {
        while (*trimmed < STORE_TRIM_MAX && too_much(room, keep, now_ms)) {
            struct mem_event *oldest = &room->events[room->first];
            room->trimmed_seq = oldest->record->event.seq;
            memory_state_drop(room, oldest);
            room->first++;
            ++*trimmed;
        }
        if (!too_much(room, keep, now_ms)) room = room->hh.next;
    }
    m->sweep = room;
    *more = room != NULL;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static const char *mem_reason(struct store_backend *b)
{
    (void)b;
    return "the server is out of memory";
}

static void mem_close(struct store_backend *b, bool clean)
{
    (void)clean;
    struct mem *m = mem_of(b);
    struct mem_room *room = m->rooms;
    HASH_CLEAR(hh, m->rooms);
    while (room) {
        struct mem_room *next = room->hh.next;
        for (size_t i = room->first; i < room->end; i++)
            memory_state_drop(room, &room->events[i]);
        memory_marks_free(room);
        free(room->events);
        free(room);
        room = next;
    }
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static const struct store_backend_ops ops = {
    .begin = mem_begin,
    .put = mem_put,
    .commit = mem_commit,
    .rollback = mem_rollback,
    .recover = mem_recover,
    .trim = mem_trim,
    .parse = memory_parse,
    .load = memory_load,
    .page = memory_page,
    .search = memory_search,
    .list = memory_list,
    .reason = mem_reason,
    .close = mem_close,
};

struct store *store_memory_open(const struct store_options *options)
{
    struct mem *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->base.ops = &ops;
    pthread_mutex_init(&m->lock, NULL);
    return store_start(&m->base, options);
}
