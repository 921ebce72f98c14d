/* See store_memory.h. The ops table, and batches: the lock is held by the writer from begin to
 * commit or rollback, so readers never see half a batch; the writer's work between them is short
 * and does no I/O. */
#include "store/store_memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/memory_db.h"

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
    if (!room || room->last_seq == 0 || memcmp(room->epoch, r->epoch, EVENT_EPOCH_LEN) != 0)
        return ERR_STORE_ORDER;
    struct mem_undo *u = &m->undo[m->undo_count];
    *u = (struct mem_undo){.room = room};
    int err = memory_marks_put(u, r->event.username, r->event.seq);
    if (!err) m->undo_count++;
    return err;
}

/* Takes the newest event out again. */
static void drop_newest(struct mem_room *room)
{
    memory_state_drop(room, room->events[--room->end]);
}

static int put_event(struct mem *m, struct mem_room *room, const struct store_record *r)
{
    if (room->last_seq == 0) {
        memcpy(room->epoch, r->epoch, EVENT_EPOCH_LEN);
        room->trimmed_seq = r->prev_seq;
    }
    if (memcmp(room->epoch, r->epoch, EVENT_EPOCH_LEN) != 0 || r->event.seq <= room->last_seq)
        return ERR_STORE_ORDER;
    int err = memory_rooms_reserve(room);
    if (err) return err;
    struct mem_event *event = memory_event_new(room, &r->event);
    if (!event) return ERR_NOMEM;

    struct mem_undo *u = &m->undo[m->undo_count];
    *u = (struct mem_undo){
        .room = room, .event = event, .last_seq = room->last_seq, .outages = room->outages};
    room->events[room->end++] = event;
    room->bytes += r->bytes;
    err = memory_state_apply(u);
    if (err) {
        drop_newest(room);
        return err;
    }
    m->undo_count++;
    room->last_seq = r->event.seq;
    room->outages = m->outages;
    return 0;
}

static int mem_put(struct store_backend *b, const struct store_record *r)
{
    struct mem *m = mem_of(b);
    uint64_t most = b->limits.max_rooms;
    if (r->mark) return put_mark(m, r);
    struct mem_room *room = memory_find(m, r->room);
    bool limited = most && !store_is_own(r->room);
    if (!room && limited && HASH_COUNT(m->rooms) >= most) return ERR_ROOMS_FULL;
    if (!room) room = memory_rooms_add(m, r->room);
    if (!room) return ERR_NOMEM;
    int err = put_event(m, room, r);
    if (err && room->last_seq == 0) memory_rooms_free(room);
    return err;
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
    memory_trim_note(m);
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
        memory_state_undo(u);
        drop_newest(u->room);
        u->room->last_seq = u->last_seq;
        u->room->outages = u->outages;
        if (u->last_seq == 0) memory_rooms_free(u->room); /* this was the first that it had */
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

static const char *mem_reason(struct store_backend *b)
{
    (void)b;
    return "the server is out of memory";
}

static void mem_close(struct store_backend *b, bool clean)
{
    (void)clean;
    struct mem *m = mem_of(b);
    while (m->rooms)
        memory_rooms_free(m->rooms);
    while (m->own)
        memory_rooms_free(m->own);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static const struct store_backend_ops ops = {
    .begin = mem_begin,
    .put = mem_put,
    .commit = mem_commit,
    .rollback = mem_rollback,
    .recover = mem_recover,
    .trim = memory_trim_step,
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
    if (options->secret && !store_make_secret(options->secret)) return NULL;
    struct mem *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->base.ops = &ops;
    pthread_mutex_init(&m->lock, NULL);
    list_init(&m->over);
    for (int i = 0; i < MEM_CLASSES; i++)
        list_init(&m->classes[i]);
    m->oldest_ms = INT64_MAX;
    return store_start(&m->base, options);
}
