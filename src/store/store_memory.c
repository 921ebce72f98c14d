/* See store_memory.h. A room keeps its events in an array sorted by seq, with a gap at the front
 * where retention has removed some.
 *
 * The lock is held by the writer from begin to commit or rollback, so readers never see half a
 * batch; the writer's work between them is short and does no I/O. Events put in this batch are
 * chained by their links and undone from the newest to the oldest. */
/* uthash would exit; a room that cannot be made is an error instead. */
#define HASH_NONFATAL_OOM 1
#include "store/store_memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/err.h"
#include "store/store_backend.h"

enum { EVENTS_MIN_CAP = 16, TRIM_ROOMS = 64 };

struct mem_room {
    UT_hash_handle hh;
    char epoch[STORE_EPOCH_LEN];
    uint64_t last_seq; /* 0: nothing was ever committed, the room does not exist yet */
    uint64_t trimmed_seq;
    uint64_t outages; /* of the store, at the last commit */
    uint64_t bytes;
    struct store_record **events;
    size_t first;
    size_t end; /* events[first..end) are kept */
    size_t cap;
    size_t name_len;
    char name[];
};

/* How to undo one put. */
struct undo {
    struct mem_room *room;
    uint64_t last_seq;
    uint64_t outages;
};

struct mem {
    struct store_backend base;
    pthread_mutex_t lock;
    struct mem_room *rooms;
    struct mem_room *sweep; /* where retention goes on; NULL: at the beginning */
    uint64_t outages;
    unsigned undo_count;
    struct undo undo[STORE_BATCH_MAX];
};

static struct mem *mem_of(struct store_backend *b)
{
    return (struct mem *)b;
}

static struct mem_room *find(struct mem *m, struct slice name)
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

static int mem_put(struct store_backend *b, struct store_record *r)
{
    struct mem *m = mem_of(b);
    struct mem_room *room = find(m, r->room);
    if (!room) room = add(m, r->room);
    if (!room) return ERR_NOMEM;
    if (room->last_seq == 0) memcpy(room->epoch, r->epoch, STORE_EPOCH_LEN);
    if (memcmp(room->epoch, r->epoch, STORE_EPOCH_LEN) != 0 || r->event.seq <= room->last_seq)
        return ERR_STORE_ORDER;
    int err = reserve(room);
    if (err) return err;

    m->undo[m->undo_count++] = (struct undo){room, room->last_seq, room->outages};
    room->events[room->end++] = r;
    room->last_seq = r->event.seq;
    room->outages = m->outages;
    room->bytes += r->bytes;
    r->taken = true;
    return 0;
}

static int mem_commit(struct store_backend *b)
{
    pthread_mutex_unlock(&mem_of(b)->lock);
    return 0;
}

static void mem_rollback(struct store_backend *b)
{
    struct mem *m = mem_of(b);
    while (m->undo_count > 0) {
        const struct undo *u = &m->undo[--m->undo_count];
        struct store_record *r = u->room->events[--u->room->end];
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
    int64_t age_ms = now_ms - room->events[room->first]->event.ts_ms;
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
            struct store_record *r = room->events[room->first++];
            room->bytes -= r->bytes;
            room->trimmed_seq = r->event.seq;
            store_record_free(r);
            ++*trimmed;
        }
        if (!too_much(room, keep, now_ms)) room = room->hh.next;
    }
    m->sweep = room;
    *more = room != NULL;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static void describe(const struct mem *m, const struct mem_room *room, struct store_room *out)
{
    *out = (struct store_room){
        .first_seq = room->first < room->end ? room->events[room->first]->event.seq : 0,
        .last_seq = room->last_seq,
        .trimmed_seq = room->trimmed_seq,
        .next_seq = store_next_seq(room->last_seq, m->outages - room->outages),
    };
    memcpy(out->epoch, room->epoch, STORE_EPOCH_LEN);
}

static int mem_load(struct store_backend *b, unsigned reader, struct slice name,
                    struct store_room *out)
{
    (void)reader;
    struct mem *m = mem_of(b);
    pthread_mutex_lock(&m->lock);
    struct mem_room *room = find(m, name);
    bool found = room && room->last_seq;
    if (found) describe(m, room, out);
    pthread_mutex_unlock(&m->lock);
    return found ? 0 : ERR_NOT_FOUND;
}

/* Index of the first event with seq >= the given one. */
static size_t lower_bound(const struct mem_room *room, uint64_t seq)
{
    size_t low = room->first;
    size_t high = room->end;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (room->events[mid]->event.seq < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Chooses [from, to): up to n_before events that end at index `at`, up to n_after that begin there.
 */
static void choose(const struct mem_room *room, size_t at, const size_t n[2], size_t range[2])
{
    size_t bytes = 0;
    size_t from = at;
    size_t to = at;
    while (from > room->first && at - from < n[0]) {
        bytes += room->events[from - 1]->bytes;
        if (bytes > STORE_PAGE_MAX_BYTES && from < at) break;
        from--;
    }
    while (to < room->end && to - at < n[1]) {
        bytes += room->events[to]->bytes;
        if (bytes > STORE_PAGE_MAX_BYTES && to > from) break;
        to++;
    }
    range[0] = from;
    range[1] = to;
}

static int copy_page(const struct mem_room *room, const struct store_query *q,
                     struct store_answer *out)
{
    bool after = q->direction == STORE_AFTER;
    size_t n[2] = {q->limit, 0};
    if (q->direction == STORE_AROUND) n[0] = q->limit / 2;
    if (after) n[0] = 0;
    if (q->direction != STORE_BEFORE) n[1] = q->limit - n[0];
    size_t range[2];
    choose(room, lower_bound(room, after ? q->position + 1 : q->position), n, range);
    out->more_before = !after && range[0] > room->first;
    out->more_after = q->direction != STORE_BEFORE && range[1] < room->end;
    for (size_t i = range[0]; i < range[1]; i++) {
        struct store_record *copy =
            store_record_new((struct slice){NULL, 0}, &room->events[i]->event);
        if (!copy) return ERR_NOMEM;
        out->records[out->count++] = copy;
    }
    return 0;
}

static int mem_page(struct store_backend *b, unsigned reader, const struct store_query *q,
                    struct store_answer *out)
{
    (void)reader;
    struct mem *m = mem_of(b);
    pthread_mutex_lock(&m->lock);
    int err = ERR_NOT_FOUND;
    struct mem_room *room = find(m, q->room);
    if (room && room->last_seq) {
        describe(m, room, &out->room);
        err = copy_page(room, q, out);
    }
    pthread_mutex_unlock(&m->lock);
    return err;
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
            store_record_free(room->events[i]);
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
    .load = mem_load,
    .page = mem_page,
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
