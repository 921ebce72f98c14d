/* The store as its callers see it: everything is a request in a queue. See store.h for the promises
 * and store_core.h for the invariants. */
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/store_backend.h"
#include "store/store_core.h"

enum {
    READERS_DEFAULT = 2,
    TRIM_PAUSE_MS = 1000,
    RETRY_FIRST_MS = 100,
    NONCE_MS = 300000,
};

static int64_t wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

static int64_t elapsed_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

unsigned store_reader_count(const struct store_options *options)
{
    unsigned n = options->readers ? options->readers : READERS_DEFAULT;
    return n < STORE_READERS_MAX ? n : STORE_READERS_MAX;
}

bool store_make_secret(uint8_t out[static STORE_SECRET_BYTES])
{
    return getrandom(out, STORE_SECRET_BYTES, 0) == STORE_SECRET_BYTES;
}

/* ---- callers ---- */

static bool text_too_long(const struct store_event *e)
{
    return e->username.len > STORE_TEXT_MAX_BYTES || e->user.len > STORE_TEXT_MAX_BYTES ||
           e->message.len > STORE_TEXT_MAX_BYTES || e->data.len > STORE_TEXT_MAX_BYTES ||
           e->nonce.len > STORE_TEXT_MAX_BYTES;
}

/* Whether there is a place for it. */
static bool has_place_locked(const struct store *s, const struct store_record *r)
{
    const struct store_stats *stats = &s->stats;
    uint64_t marks_max = s->options.in_flight_max / STORE_MARKS_SHARE;
    if (r->mark && s->marks && s->marks >= marks_max) return false;
    return stats->in_flight < s->options.in_flight_max &&
           (stats->in_flight == 0 ||
            stats->in_flight_bytes + r->bytes <= STORE_IN_FLIGHT_MAX_BYTES);
}

static void push_locked(struct store *s, struct store_record *r)
{
    r->link.next = NULL;
    *s->queue_end = &r->link;
    s->queue_end = &r->link.next;
    s->accepted++;
    s->stats.in_flight++;
    s->stats.in_flight_bytes += r->bytes;
    s->marks += r->mark;
}

/* The event as it is kept: only a message has a state, and a deleted one has no text. */
static struct store_event normal_form(const struct store_event *event)
{
    struct store_event e = *event;
    if (e.kind != STORE_MESSAGE) {
        e.deleted = false;
        e.edited_ms = 0;
    }
    if (e.deleted) {
        e.message = (struct slice){NULL, 0};
        e.data = (struct slice){NULL, 0};
    }
    return e;
}

static void wake_writer_locked(struct store *s)
{
    if (!s->writer_waits) return;
    s->writer_waits = false;
    pthread_cond_signal(&s->work);
}

/* There was no place in the queue. Not told here: the caller may hold the lock of a room. */
static void note_refused(struct store *s)
{
    int64_t now_ms = s->options.now_ms();
    pthread_mutex_lock(&s->lock);
    s->stats.refused++;
    s->stats.refused_last_ms = now_ms;
    s->refused_in_flight = s->stats.in_flight;
    pthread_mutex_unlock(&s->lock);
}

static int append_record(struct store *s, const struct store_append *a, bool mark)
{
    CHECK(a->room.len > 0 && a->room.len <= STORE_NAME_MAX_BYTES);
    CHECK(a->event->seq > 0 && a->event->seq <= STORE_SEQ_MAX);
    if (text_too_long(a->event)) return ERR_TOO_LONG;
    if (!atomic_load(&s->healthy)) return ERR_STORE;
    if (store_full(s) && !store_is_own(a->room)) return ERR_STORE_FULL;
    struct store_event event = normal_form(a->event);
    struct store_record *r = store_record_new(a->room, &event);
    if (!r) return ERR_NOMEM;
    memcpy(r->epoch, a->epoch, EVENT_EPOCH_LEN);
    r->prev_seq = a->prev_seq;
    r->tag = a->tag;
    r->mark = mark;

    pthread_mutex_lock(&s->lock);
    bool open = !s->closing && atomic_load(&s->healthy);
    bool ok = open && has_place_locked(s, r);
    if (ok) push_locked(s, r);
    if (ok && !a->kick_follows) wake_writer_locked(s);
    pthread_mutex_unlock(&s->lock);
    if (ok) return 0;
    store_record_free(r);
    if (open) note_refused(s);
    return ERR_STORE;
}

int store_append(struct store *s, const struct store_append *a)
{
    return append_record(s, a, false);
}

int store_move_mark(struct store *s, const struct store_move *m)
{
    const struct store_event e = {.seq = m->mark.seq, .username = m->mark.user};
    const struct store_append a = {.room = m->room,
                                   .epoch = m->epoch,
                                   .event = &e,
                                   .tag = m->tag,
                                   .kick_follows = m->kick_follows};
    return append_record(s, &a, true);
}

void store_kick(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->queue) wake_writer_locked(s);
    pthread_mutex_unlock(&s->lock);
}

/* Queues a copy of what, with its texts. */
static int request(struct store *s, const struct read_request *what)
{
    struct slice name = what->query.room;
    struct slice text = what->text;
    struct read_request *r = malloc(sizeof *r + name.len + text.len);
    if (!r) return ERR_NOMEM;
    memcpy(r, what, sizeof *r);
    if (name.len) memcpy(r->bytes, name.ptr, name.len);
    if (text.len) memcpy(r->bytes + name.len, text.ptr, text.len);
    r->query.room.ptr = r->bytes;
    r->text.ptr = r->bytes + name.len;

    pthread_mutex_lock(&s->lock);
    r->after = s->accepted;
    int err = s->closing ? ERR_STORE_READ : store_queue_push(&s->reads, r);
    if (!err) {
        pthread_cond_signal(&s->requests);
        if (what->kind == REQUEST_SEARCH) pthread_cond_signal(&s->work); /* indexing hurries now */
    }
    pthread_mutex_unlock(&s->lock);
    if (err) free(r);
    return err; /* cppcheck-suppress memleak ; the queue has it */
}

static void check_room(struct slice room)
{
    CHECK(room.len > 0 && room.len <= STORE_NAME_MAX_BYTES);
}

int store_load_room(struct store *s, const struct store_asker *asker, struct slice room,
                    store_room_fn *fn, void *ctx)
{
    check_room(room);
    struct read_request r = {
        .kind = REQUEST_ROOM, .query = {.room = room}, .on_room = fn, .ctx = ctx};
    if (asker) r.asker = *asker;
    r.asker.account = NULL;
    return request(s, &r);
}

int store_read_page(struct store *s, const struct store_query *q, store_page_fn *fn, void *ctx)
{
    check_room(q->room);
    CHECK(q->limit > 0 && q->limit <= STORE_PAGE_MAX);
    struct read_request r = {
        .kind = REQUEST_PAGE, .asker = q->asker, .query = *q, .on_page = fn, .ctx = ctx};
    if (r.query.position > STORE_SEQ_MAX + 1) r.query.position = STORE_SEQ_MAX + 1;
    return request(s, &r);
}

int store_search(struct store *s, const struct store_asker *asker, const struct store_search *q,
                 store_page_fn *fn, void *ctx)
{
    check_room(q->room);
    CHECK(q->limit > 0 && q->limit <= STORE_PAGE_MAX);
    if (q->text.len > STORE_SEARCH_MAX_BYTES) return ERR_BAD_REQUEST;
    struct buf text = {0};
    int err = s->backend->ops->parse(s->backend, q->text, &text);
    if (!err) {
        uint64_t before = q->before > STORE_SEQ_MAX ? STORE_SEQ_MAX + 1 : q->before;
        struct read_request r = {
            .kind = REQUEST_SEARCH,
            .patience_us = clock_us(CLOCK_MONOTONIC) + STORE_INDEX_WAIT_MS * 1000,
            .query = {.room = q->room, .position = before, .limit = q->limit},
            .text = {(const char *)text.data, text.len},
            .on_page = fn,
            .ctx = ctx,
        };
        if (asker) r.asker = *asker;
        err = request(s, &r);
    }
    buf_fini(&text);
    return err;
}

int store_list_rooms(struct store *s, const struct store_rooms_query *q, store_rooms_fn *fn,
                     void *ctx)
{
    CHECK(q->limit > 0 && q->limit <= STORE_ROOMS_MAX);
    struct read_request r = {.kind = REQUEST_ROOMS,
                             .asker = q->asker,
                             .query = {.room = q->after, .limit = q->limit},
                             .on_rooms = fn,
                             .ctx = ctx};
    return request(s, &r);
}

bool store_healthy(const struct store *s)
{
    return atomic_load(&s->healthy);
}

bool store_full(const struct store *s)
{
    return atomic_load_explicit(&s->backend->full, memory_order_relaxed);
}

void store_stats(struct store *s, struct store_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
    out->rooms = atomic_load(&s->backend->rooms);
    out->bytes = atomic_load(&s->backend->bytes);
    out->faults = atomic_load(&s->backend->faults);
}

void store_tell_refused(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    bool news = s->refused_told != s->stats.refused;
    uint64_t in_flight = s->refused_in_flight;
    s->refused_told = s->stats.refused;
    pthread_mutex_unlock(&s->lock);
    if (news) store_tell(s, STORE_QUEUE_FULL, in_flight);
}

void store_problem(struct store *s, char out[static STORE_PROBLEM_MAX])
{
    pthread_mutex_lock(&s->lock);
    memcpy(out, s->problem, STORE_PROBLEM_MAX);
    pthread_mutex_unlock(&s->lock);
}

/* ---- life ---- */

static void init_sync(struct store *s)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, &attr);
    pthread_cond_init(&s->requests, &attr);
    pthread_cond_init(&s->progress, NULL);
    pthread_condattr_destroy(&attr);
}

static void set_options(struct store *s, const struct store_options *options)
{
    struct store_options *o = &s->options;
    *o = *options;
    o->readers = store_reader_count(options);
    if (o->in_flight_max == 0 || o->in_flight_max > STORE_IN_FLIGHT_MAX)
        o->in_flight_max = STORE_IN_FLIGHT_MAX;
    if (!o->trim_pause_ms) o->trim_pause_ms = TRIM_PAUSE_MS;
    if (!o->retry_first_ms) o->retry_first_ms = RETRY_FIRST_MS;
    if (!o->nonce_ms) o->nonce_ms = NONCE_MS;
    if (!o->now_ms) o->now_ms = wall_ms;
    if (!o->elapsed_ms) o->elapsed_ms = elapsed_ms;
    s->retry_ms = o->retry_first_ms;
    s->trim_wait_ms = s->index_wait_ms = o->retry_first_ms;
}

static void stop_threads(struct store *s, bool writer)
{
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->requests);
    pthread_mutex_unlock(&s->lock);
    if (writer) pthread_join(s->writer, NULL);
    for (unsigned i = 0; i < s->reader_count; i++)
        pthread_join(s->readers[i].thread, NULL);
}

static void store_free(struct store *s)
{
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->requests);
    pthread_cond_destroy(&s->progress);
    s->backend->ops->close(s->backend, atomic_load(&s->healthy));
    free(s);
}

struct store *store_start(struct store_backend *b, const struct store_options *options)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s) {
        b->ops->close(b, true);
        return NULL;
    }
    s->backend = b;
    s->queue_end = &s->queue;
    store_queue_init(&s->reads);
    s->unindexed = b->ops->index != NULL;
    atomic_init(&s->healthy, true);
    set_options(s, options);
    b->keep = options->keep;
    b->limits = options->limits;
    s->trim_turns = 1; /* to see what is there */
    guarded_clock_init(&s->clock, b->newest_ms, s->options.now_ms(), s->options.elapsed_ms());
    guarded_clock_init(&s->nonce_clock, 0, s->options.now_ms(), s->options.elapsed_ms());
    init_sync(s);
    if (b->failing) store_set_health(s, false);
    bool writer = pthread_create(&s->writer, NULL, store_writer_main, s) == 0;
    if (writer) pthread_setname_np(s->writer, "store-writer");
    bool ok = writer;
    for (unsigned i = 0; ok && i < s->options.readers; i++) {
        struct reader_thread *r = &s->readers[i];
        *r = (struct reader_thread){.store = s, .index = i};
        ok = pthread_create(&r->thread, NULL, store_reader_main, r) == 0;
        if (ok) pthread_setname_np(r->thread, "store-reader");
        s->reader_count += ok;
    }
    if (ok) return s;
    stop_threads(s, writer);
    store_free(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (!s) return;
    stop_threads(s, true);
    store_free(s);
}
