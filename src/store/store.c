/* The moving part of every store: the queue of appends, the writer thread that commits them in
 * batches, the readers, and what happens when the disk fails. See store.h for the promises.
 *
 * Invariants (under lock)
 *  1. in_flight counts the records queued or in the batch being committed, and never passes
 *     in_flight_max; completed + in_flight is the number of appends ever accepted.
 *  2. While unhealthy nothing is accepted, so when the queue is empty and the writer recovers,
 * every append of before has been completed, and counting one outage covers them all.
 *  3. A batch is decided (committed or rolled back) before it leaves in_flight; health is lost
 *     before that, so a load that waited for the batch sees the loss.
 *
 * The lock is held for a few instructions only, never across a call of the backend or a callback.
 */
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/err.h"
#include "store/store_backend.h"

enum {
    READERS_DEFAULT = 2,
    TRIM_PAUSE_MS = 1000,
    RETRY_FIRST_MS = 100,
    RETRY_MAX_MS = 5000,
};

struct read_request {
    struct slink link;
    uint64_t after; /* appends that have to be completed first */
    struct store_query query;
    store_room_fn *on_room; /* one of the two */
    store_page_fn *on_page;
    void *ctx;
    char name[];
};

struct reader_thread {
    struct store *store;
    unsigned index;
    pthread_t thread;
};

struct store {
    struct store_backend *backend;
    struct store_options options;
    pthread_mutex_t lock;
    pthread_cond_t work;     /* for the writer */
    pthread_cond_t requests; /* for the readers */
    pthread_cond_t progress; /* completed has grown */
    struct slink *queue;     /* oldest first */
    struct slink **queue_end;
    struct slink *reads;
    struct slink **reads_end;
    unsigned reads_waiting;
    uint64_t accepted;
    uint64_t completed;
    struct store_stats stats;
    bool closing;
    atomic_bool healthy; /* written under lock */
    /* The writer's own. */
    int64_t retry_at_ms;
    unsigned retry_ms;
    int64_t trim_at_ms;
    bool trim_turn; /* a batch has had its turn since the last step of retention */
    pthread_t writer;
    struct reader_thread readers[STORE_READERS_MAX];
    unsigned reader_count;
    struct store_done done[STORE_BATCH_MAX];
};

enum job { JOB_BATCH, JOB_TRIM, JOB_RECOVER, JOB_STOP };

static int64_t clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

uint64_t store_next_seq(uint64_t last, uint64_t outages)
{
    uint64_t room = STORE_SEQ_MAX - last;
    uint64_t lost = outages > room / STORE_IN_FLIGHT_MAX ? room : outages * STORE_IN_FLIGHT_MAX;
    return last + lost + 1;
}

unsigned store_reader_count(const struct store_options *options)
{
    unsigned n = options->readers ? options->readers : READERS_DEFAULT;
    return n < STORE_READERS_MAX ? n : STORE_READERS_MAX;
}

/* ---- callers ---- */

static bool text_too_long(const struct store_event *e)
{
    return e->username.len > STORE_TEXT_MAX_BYTES || e->user.len > STORE_TEXT_MAX_BYTES ||
           e->message.len > STORE_TEXT_MAX_BYTES || e->data.len > STORE_TEXT_MAX_BYTES ||
           e->nonce.len > STORE_TEXT_MAX_BYTES;
}

static bool may_accept_locked(const struct store *s, size_t bytes)
{
    return !s->closing && atomic_load(&s->healthy) &&
           s->stats.in_flight < s->options.in_flight_max &&
           (s->stats.in_flight == 0 ||
            s->stats.in_flight_bytes + bytes <= STORE_IN_FLIGHT_MAX_BYTES);
}

int store_append(struct store *s, const struct store_append *a)
{
    CHECK(a->room.len > 0 && a->room.len <= STORE_NAME_MAX_BYTES);
    CHECK(a->event->seq > 0 && a->event->seq <= STORE_SEQ_MAX);
    if (text_too_long(a->event)) return ERR_TOO_LONG;
    if (!atomic_load(&s->healthy)) return ERR_STORE;
    struct store_record *r = store_record_new(a->room, a->event);
    if (!r) return ERR_NOMEM;
    memcpy(r->epoch, a->epoch, STORE_EPOCH_LEN);
    r->tag = a->tag;

    pthread_mutex_lock(&s->lock);
    bool ok = may_accept_locked(s, r->bytes);
    if (ok) {
        bool wake = !s->queue;
        r->link.next = NULL;
        *s->queue_end = &r->link;
        s->queue_end = &r->link.next;
        s->accepted++;
        s->stats.in_flight++;
        s->stats.in_flight_bytes += r->bytes;
        if (wake) pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
    if (ok) return 0;
    store_record_free(r);
    return ERR_STORE;
}

static int request(struct store *s, const struct read_request *what)
{
    struct slice name = what->query.room;
    CHECK(name.len > 0 && name.len <= STORE_NAME_MAX_BYTES);
    struct read_request *r = malloc(sizeof *r + name.len);
    if (!r) return ERR_NOMEM;
    memcpy(r, what, sizeof *r);
    memcpy(r->name, name.ptr, name.len);
    r->query.room.ptr = r->name;

    pthread_mutex_lock(&s->lock);
    bool ok = !s->closing && s->reads_waiting < STORE_READS_MAX;
    if (ok) {
        r->after = s->accepted;
        r->link.next = NULL;
        *s->reads_end = &r->link;
        s->reads_end = &r->link.next;
        s->reads_waiting++;
        pthread_cond_signal(&s->requests);
    }
    pthread_mutex_unlock(&s->lock);
    if (!ok) free(r);
    return ok ? 0 : ERR_STORE; /* cppcheck-suppress memleak ; the queue has it */
}

int store_load_room(struct store *s, struct slice room, store_room_fn *fn, void *ctx)
{
    struct read_request r = {.query = {.room = room}, .on_room = fn, .ctx = ctx};
    return request(s, &r);
}

int store_read_page(struct store *s, const struct store_query *q, store_page_fn *fn, void *ctx)
{
    CHECK(q->limit > 0 && q->limit <= STORE_PAGE_MAX);
    struct read_request r = {.query = *q, .on_page = fn, .ctx = ctx};
    if (r.query.position > STORE_SEQ_MAX + 1) r.query.position = STORE_SEQ_MAX + 1;
    return request(s, &r);
}

bool store_healthy(const struct store *s)
{
    return atomic_load(&s->healthy);
}

void store_stats(struct store *s, struct store_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
}

/* ---- the writer ---- */

static void set_health(struct store *s, bool healthy)
{
    pthread_mutex_lock(&s->lock);
    bool changed = atomic_exchange(&s->healthy, healthy) != healthy;
    pthread_mutex_unlock(&s->lock);
    if (!changed || !s->options.on_health) return;
    const char *text = healthy ? "messages are stored again" : s->backend->ops->reason(s->backend);
    s->options.on_health(s->options.ctx, healthy, text);
}

static void on_failure(struct store *s)
{
    s->retry_at_ms = clock_ms(CLOCK_MONOTONIC) + s->retry_ms;
    s->retry_ms = s->retry_ms * 2 < RETRY_MAX_MS ? s->retry_ms * 2 : RETRY_MAX_MS;
    set_health(s, false);
}

static int commit_batch(struct store *s, struct slink *batch)
{
    struct store_backend *b = s->backend;
    int err = b->ops->begin(b);
    for (struct slink *l = batch; l && !err; l = l->next) {
        struct store_record *r = container_of(l, struct store_record, link);
        r->err = b->ops->put(b, r);
        if (r->err != ERR_STORE_ORDER) err = r->err;
    }
    if (!err) err = b->ops->commit(b);
    if (err) b->ops->rollback(b);
    return err;
}

/* Fills done, and frees the records that the backend does not keep. */
static unsigned settle_batch(struct store *s, struct slink *batch, int err, uint64_t *failed)
{
    unsigned n = 0;
    while (batch) {
        struct store_record *r = container_of(batch, struct store_record, link);
        batch = batch->next;
        int mine = err ? ERR_STORE : r->err;
        if (mine) ++*failed;
        s->done[n++] = (struct store_done){r->tag, r->event.seq, mine};
        if (!r->taken) store_record_free(r);
    }
    return n;
}

/* Takes up to STORE_BATCH_MAX records off the queue, with their weight. */
static struct slink *take_batch_locked(struct store *s, uint64_t *bytes)
{
    struct slink *batch = s->queue;
    struct slink **end = &batch;
    for (unsigned n = 0; *end && n < STORE_BATCH_MAX; n++) {
        *bytes += container_of(*end, struct store_record, link)->bytes;
        end = &(*end)->next;
    }
    s->queue = *end;
    *end = NULL;
    if (!s->queue) s->queue_end = &s->queue;
    return batch;
}

static void do_batch(struct store *s)
{
    uint64_t bytes = 0;
    uint64_t failed = 0;
    pthread_mutex_lock(&s->lock);
    struct slink *batch = take_batch_locked(s, &bytes);
    pthread_mutex_unlock(&s->lock);

    bool try = atomic_load(&s->healthy);
    int err = try ? commit_batch(s, batch) : ERR_STORE;
    if (try && err) on_failure(s);
    if (!err) s->retry_ms = s->options.retry_first_ms;
    unsigned n = settle_batch(s, batch, err, &failed);

    pthread_mutex_lock(&s->lock);
    s->completed += n;
    s->stats.in_flight -= n;
    s->stats.in_flight_bytes -= bytes;
    s->stats.batches += try;
    s->stats.failed += failed;
    s->stats.committed += n - failed;
    pthread_cond_broadcast(&s->progress);
    pthread_mutex_unlock(&s->lock);
    if (s->options.on_done) s->options.on_done(s->options.ctx, s->done, n);
    s->trim_turn = true;
}

static void do_trim(struct store *s)
{
    uint64_t trimmed = 0;
    bool more = false;
    int64_t now_ms = s->options.now_ms();
    int err = s->backend->ops->trim(s->backend, &s->options.keep, now_ms, &trimmed, &more);
    if (err) on_failure(s);
    s->trim_at_ms = clock_ms(CLOCK_MONOTONIC) + (more ? 0 : s->options.trim_pause_ms);
    s->trim_turn = false;
    pthread_mutex_lock(&s->lock);
    s->stats.trimmed += trimmed;
    pthread_mutex_unlock(&s->lock);
}

static void do_recover(struct store *s)
{
    if (s->backend->ops->recover(s->backend) == 0)
        set_health(s, true);
    else
        on_failure(s);
}

static void wait_until_locked(struct store *s, int64_t at_ms)
{
    struct timespec t = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};
    pthread_cond_timedwait(&s->work, &s->lock, &t);
}

static enum job next_job(struct store *s)
{
    const struct store_keep *keep = &s->options.keep;
    bool trims = keep->max_age_ms || keep->max_events || keep->max_bytes;
    enum job job = JOB_STOP;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        int64_t now_ms = clock_ms(CLOCK_MONOTONIC);
        bool healthy = atomic_load(&s->healthy);
        bool trim_due = healthy && trims && !s->closing && now_ms >= s->trim_at_ms;
        if (s->queue) {
            job = trim_due && s->trim_turn ? JOB_TRIM : JOB_BATCH;
            break;
        }
        if (s->closing) break;
        if (trim_due || (!healthy && now_ms >= s->retry_at_ms)) {
            job = trim_due ? JOB_TRIM : JOB_RECOVER;
            break;
        }
        if (healthy && !trims)
            pthread_cond_wait(&s->work, &s->lock);
        else
            wait_until_locked(s, healthy ? s->trim_at_ms : s->retry_at_ms);
    }
    pthread_mutex_unlock(&s->lock);
    return job;
}

static void *writer_main(void *arg)
{
    struct store *s = arg;
    for (;;) {
        switch (next_job(s)) {
        case JOB_BATCH:
            do_batch(s);
            break;
        case JOB_TRIM:
            do_trim(s);
            break;
        case JOB_RECOVER:
            do_recover(s);
            break;
        case JOB_STOP:
            if (!atomic_load(&s->healthy)) do_recover(s);
            return NULL;
        }
    }
}

/* ---- the readers ---- */

static void answer_page(struct store *s, unsigned reader, const struct read_request *r)
{
    struct store_answer answer = {.count = 0};
    int err = s->backend->ops->page(s->backend, reader, &r->query, &answer);
    if (err) {
        r->on_page(r->ctx, err, NULL);
    } else {
        const struct store_event *events[STORE_PAGE_MAX];
        for (size_t i = 0; i < answer.count; i++)
            events[i] = &answer.records[i]->event;
        struct store_page page = {answer.room, events, answer.count, answer.more_before,
                                  answer.more_after};
        r->on_page(r->ctx, 0, &page);
    }
    for (size_t i = 0; i < answer.count; i++)
        store_record_free(answer.records[i]);
}

static void answer_room(struct store *s, unsigned reader, const struct read_request *r)
{
    struct store_room room;
    int err = ERR_STORE;
    if (atomic_load(&s->healthy))
        err = s->backend->ops->load(s->backend, reader, r->query.room, &room);
    r->on_room(r->ctx, err, err ? NULL : &room);
}

/* The next request whose appends are decided; NULL at the end. */
static struct read_request *take_request(struct store *s)
{
    struct read_request *r = NULL;
    pthread_mutex_lock(&s->lock);
    while (!s->reads && !s->closing)
        pthread_cond_wait(&s->requests, &s->lock);
    if (s->reads) {
        r = container_of(s->reads, struct read_request, link);
        s->reads = r->link.next;
        if (!s->reads) s->reads_end = &s->reads;
        s->reads_waiting--;
        s->stats.reads++;
        while (s->completed < r->after)
            pthread_cond_wait(&s->progress, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

static void *reader_main(void *arg)
{
    struct reader_thread *me = arg;
    struct read_request *r;
    while ((r = take_request(me->store))) {
        if (r->on_room)
            answer_room(me->store, me->index, r);
        else
            answer_page(me->store, me->index, r);
        free(r);
    }
    return NULL;
}

/* ---- life ---- */

static void init_sync(struct store *s)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, &attr);
    pthread_cond_init(&s->requests, NULL);
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
    if (!o->now_ms) o->now_ms = wall_ms;
    s->retry_ms = o->retry_first_ms;
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
    s->reads_end = &s->reads;
    atomic_init(&s->healthy, true);
    set_options(s, options);
    init_sync(s);
    bool writer = pthread_create(&s->writer, NULL, writer_main, s) == 0;
    bool ok = writer;
    for (unsigned i = 0; ok && i < s->options.readers; i++) {
        struct reader_thread *r = &s->readers[i];
        *r = (struct reader_thread){.store = s, .index = i};
        ok = pthread_create(&r->thread, NULL, reader_main, r) == 0;
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
