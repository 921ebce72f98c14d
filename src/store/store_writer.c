/* The writer thread: commits what is queued in batches, and between them does retention, indexing
 * for search, and what has to be done when the disk fails. See store_core.h. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/store_core.h"

enum {
    RETRY_MAX_MS = 5000,
    REFUSALS_MAX = 16, /* for damage that a batch is searched for; then a room in which there is
                          some is given up for the rest of it */
    LOOK_US = 1000 * 1000,
    INDEX_IDLE_US = 100 * 1000,   /* without a batch for so long the writer is idle */
    INDEX_PAUSE_US = 5000 * 1000, /* to gather messages in, if no search waits */
    INDEX_SHARE = 16,             /* what a busy writer spends on indexing: one part in so many of
                                     what the batches cost */
};

enum job { JOB_BATCH, JOB_LOOK, JOB_TRIM, JOB_INDEX, JOB_RECOVER, JOB_STOP };

/* When to try again; the next wait is longer. */
static int64_t back_off_us(unsigned *wait_ms)
{
    int64_t at_us = clock_us(CLOCK_MONOTONIC) + (int64_t)*wait_ms * 1000;
    *wait_ms = *wait_ms * 2 < RETRY_MAX_MS ? *wait_ms * 2 : RETRY_MAX_MS;
    return at_us;
}

static void on_failure(struct store *s)
{
    s->retry_at_us = back_off_us(&s->retry_ms);
    store_set_health(s, false);
}

static int look(struct store *s)
{
    s->look_at_us = clock_us(CLOCK_MONOTONIC) + LOOK_US;
    return s->backend->ops->look ? s->backend->ops->look(s->backend) : 0;
}

/* Tells what the backend has met, if it has. */
static void report(struct store *s, const char *what, struct slice room)
{
    struct store_trouble t = {.what = what, .room = room};
    const struct store_backend_ops *ops = s->backend->ops;
    if (ops->trouble && ops->trouble(s->backend, STORE_WRITER, &t))
        store_note_trouble(s, &t, false);
}

static struct store_record *record_of(struct slink *l)
{
    return container_of(l, struct store_record, link);
}

/* Of this record alone, while the batch goes on. */
static bool is_refusal(int err)
{
    return err == ERR_STORE_ORDER || err == ERR_ROOMS_FULL || err == ERR_STORE_FULL;
}

/* Puts the records up to stop into one transaction, but for those that are decided. On error *at is
 * set to the first that must not be in the next one with those before it. */
static int commit_part(struct store *s, struct slink *part, const struct slink *stop,
                       struct slink **at)
{
    struct store_backend *b = s->backend;
    struct slink *middle = *at = part;
    bool odd = false;
    int err = b->ops->begin(b);
    for (struct slink *l = part; l != stop && !err; l = l->next) {
        struct store_record *r = record_of(l);
        if (r->decided) continue;
        *at = l;
        r->err = b->ops->put(b, r);
        if (!is_refusal(r->err)) err = r->err;
        if (odd) middle = middle->next;
        odd = !odd;
    }
    if (!err) {
        *at = middle;
        err = b->ops->commit(b);
    }
    if (err) b->ops->rollback(b);
    return err;
}

static void decide(struct slink *part, const struct slink *stop)
{
    for (; part != stop; part = part->next)
        record_of(part)->decided = true;
}

static void refuse(struct store_record *r)
{
    r->err = ERR_STORE_DAMAGED;
    r->decided = true;
}

/* What comes after r in its room is refused untried. */
static void give_up_room(const struct store_record *r)
{
    for (struct slink *l = r->link.next; l; l = l->next) {
        struct store_record *later = record_of(l);
        if (!later->decided && store_record_same_room(later, r)) refuse(later);
    }
}

/* Number n of those that were refused after a try, so far all before last. */
static void refuse_tried(struct slink *batch, struct store_record *last, unsigned n)
{
    refuse(last);
    if (n == REFUSALS_MAX)
        for (struct slink *l = batch; l != &last->link; l = l->next)
            if (record_of(l)->err == ERR_STORE_DAMAGED) give_up_room(record_of(l));
    if (n >= REFUSALS_MAX) give_up_room(last);
}

/* Finds what cannot be stored, alone, and stores the rest: SQLite allows no more writing in a
 * transaction that has met damage. *refused is set to how much was refused after a try. */
static int commit_parts(struct store *s, struct slink *all, unsigned *refused)
{
    struct slink *batch = all;
    struct slink *stop = NULL;
    bool alone = false; /* the first one has failed, and is tried by itself */
    *refused = 0;
    while (batch) {
        struct slink *at;
        if (record_of(batch)->decided) {
            batch = batch->next;
            continue;
        }
        int err = commit_part(s, batch, stop, &at);
        if (err == ERR_STORE_DAMAGED && !alone) {
            alone = at == batch;
            stop = alone ? batch->next : at;
            continue;
        }
        if (err && err != ERR_STORE_DAMAGED) return err;
        if (err) refuse_tried(all, record_of(batch), ++*refused);
        decide(batch, stop);
        batch = stop;
        stop = NULL;
        alone = false;
    }
    return 0;
}

/* In one transaction; only if there is damage, in some more. */
static int commit_batch(struct store *s, struct slink *batch)
{
    unsigned refused = 0;
    int err = look(s);
    if (!err) err = commit_parts(s, batch, &refused);
    if (err || !refused) return err;
    err = s->backend->ops->refuse(s->backend, batch);
    for (struct slink *l = batch; l && err; l = l->next) /* not alone: as all that fails with it */
        if (record_of(l)->err == ERR_STORE_DAMAGED) record_of(l)->decided = false;
    return err;
}

/* Retention and indexing may wait: what damage, a lack of memory or another program does to them is
 * no reason to refuse messages. True if it was nothing else; *at_us and *wait_ms say when they go
 * on. */
static bool may_wait(int err, int64_t *at_us, unsigned *wait_ms)
{
    if (err != ERR_STORE_DAMAGED && err != ERR_NOMEM && err != ERR_BUSY) return false;
    *at_us = back_off_us(wait_ms);
    return true;
}

/* Fills done; counts the events. */
static unsigned settle_batch(struct store *s, struct slink *batch, uint64_t *committed,
                             uint64_t *failed)
{
    unsigned n = 0;
    while (batch) {
        struct store_record *r = record_of(batch);
        batch = batch->next;
        int mine = r->decided ? r->err : ERR_STORE;
        if (mine == ERR_STORE_DAMAGED) report(s, r->mark ? "a read marker" : "an event", r->room);
        if (!r->mark) ++*(mine ? failed : committed);
        if (mine == ERR_ROOMS_FULL) store_tell(s, STORE_ROOMS_FULL, s->options.limits.max_rooms);
        s->done[n++] = (struct store_done){r->tag, r->room, &r->event, mine, r->mark};
    }
    return n;
}

static void free_batch(struct slink *batch)
{
    while (batch) {
        struct store_record *r = record_of(batch);
        batch = batch->next;
        store_record_free(r);
    }
}

/* Takes a batch off the queue, with its weight. */
static struct slink *take_batch_locked(struct store *s, uint64_t *bytes)
{
    struct slink *batch = s->queue;
    struct slink **end = &batch;
    for (unsigned n = 0; *end && n < STORE_BATCH_MAX && *bytes < STORE_BATCH_MAX_BYTES; n++) {
        *bytes += record_of(*end)->bytes;
        end = &(*end)->next;
    }
    s->queue = *end;
    *end = NULL;
    if (!s->queue) s->queue_end = &s->queue;
    return batch;
}

static void tell_fullness(struct store *s)
{
    struct store_backend *b = s->backend;
    uint64_t bytes = atomic_load(&b->bytes);
    bool full = atomic_load(&b->full);
    if (full != s->was_full) store_tell(s, full ? STORE_FULL : STORE_NOT_FULL, bytes);
    s->was_full = full;
    if (b->trims_rooms) store_tell(s, STORE_TRIMS, bytes);
    b->trims_rooms = false;
}

static void do_batch(struct store *s)
{
    uint64_t bytes = 0;
    uint64_t committed = 0;
    uint64_t failed = 0;
    pthread_mutex_lock(&s->lock);
    struct slink *batch = take_batch_locked(s, &bytes);
    pthread_mutex_unlock(&s->lock);

    bool try = atomic_load(&s->healthy);
    int err = try ? commit_batch(s, batch) : ERR_STORE;
    if (try && err) on_failure(s);
    if (!err) s->retry_ms = s->options.retry_first_ms;
    unsigned n = settle_batch(s, batch, &committed, &failed);
    report(s, "a batch", (struct slice){NULL, 0});

    pthread_mutex_lock(&s->lock);
    s->completed += n;
    s->stats.in_flight -= n;
    s->marks -= n - committed - failed;
    s->stats.in_flight_bytes -= bytes;
    s->stats.batches += try;
    s->stats.failed += failed;
    s->stats.committed += committed;
    pthread_cond_broadcast(&s->progress);
    pthread_mutex_unlock(&s->lock);
    if (s->options.on_done) s->options.on_done(s->options.ctx, s->done, n);
    free_batch(batch);
    tell_fullness(s);
    s->batch_at_us = clock_us(CLOCK_MONOTONIC);
    s->trim_turns = 1 + n / STORE_TRIM_MAX + bytes / STORE_TRIM_MAX_BYTES;
    s->index_turn = true;
    s->unindexed = s->backend->ops->index != NULL;
}

/* The time that retention by age goes by. */
static int64_t believed_ms(struct store *s)
{
    static const enum store_notice notices[] = {[GUARDED_CLOCK_AHEAD] = STORE_CLOCK_JUMPED,
                                                [GUARDED_CLOCK_BEHIND] = STORE_CLOCK_BACK,
                                                [GUARDED_CLOCK_SETTLED] = STORE_CLOCK_BELIEVED};
    const struct store_options *o = &s->options;
    struct guarded_clock *clock = &s->clock;
    if (!o->keep.max_age_ms) return 0;
    enum guarded_clock_news news =
        guarded_clock_tick(clock, o->now_ms(), o->elapsed_ms(), o->keep.max_age_ms);
    if (news != GUARDED_CLOCK_STEADY) store_tell(s, notices[news], clock->news_ms / 1000);
    return clock->believed_ms;
}

static void do_trim(struct store *s)
{
    uint64_t trimmed = 0;
    int err = look(s);
    if (!err) err = s->backend->ops->trim(s->backend, believed_ms(s), &trimmed);
    s->trim_at_us = clock_us(CLOCK_MONOTONIC) + (int64_t)s->options.trim_pause_ms * 1000;
    s->trim_failed = err != 0;
    if (!err) s->trim_wait_ms = s->options.retry_first_ms;
    if (err && !may_wait(err, &s->trim_at_us, &s->trim_wait_ms)) on_failure(s);
    report(s, "what retention removes", (struct slice){NULL, 0});
    if (s->trim_turns) s->trim_turns--;
    tell_fullness(s);
    pthread_mutex_lock(&s->lock);
    s->stats.trimmed += trimmed;
    pthread_mutex_unlock(&s->lock);
}

static void do_recover(struct store *s)
{
    if (s->backend->ops->recover(s->backend) == 0)
        store_set_health(s, true);
    else
        on_failure(s);
    report(s, "the database", (struct slice){NULL, 0});
}

static void do_index(struct store *s)
{
    bool more = false;
    int64_t start_us = clock_us(CLOCK_THREAD_CPUTIME_ID); /* waiting is no work of its own */
    int err = look(s);
    if (!err) err = s->backend->ops->index(s->backend, &more);
    if (!err) s->index_wait_ms = s->options.retry_first_ms;
    if (err && !may_wait(err, &s->index_at_us, &s->index_wait_ms)) on_failure(s);
    report(s, "what is to be indexed", (struct slice){NULL, 0});
    int64_t end_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
    s->index_cpu_us = end_us + (end_us - start_us) * INDEX_SHARE;
    s->index_pause_us = more ? 0 : clock_us(CLOCK_MONOTONIC) + INDEX_PAUSE_US;
    s->index_turn = false;
    s->unindexed = err || more;
    pthread_mutex_lock(&s->lock);
    s->search_failed = false;
    if (!s->unindexed) s->indexed = s->completed + 1;
    if (store_queue_first(&s->reads, STORE_SEARCHES)) pthread_cond_broadcast(&s->requests);
    pthread_mutex_unlock(&s->lock);
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* When the next step of indexing is due; INT64_MAX: not before there is something new. A search
 * that waits lets it alternate with batches; an idle writer does it soon, but gathers what comes in
 * between, since a step for one message costs as much as its commit. A busy one does what its
 * batches have earned for it, so that messages do not pay for searches; what is left waits for a
 * quiet moment or a search. */
static int64_t index_due_us_locked(const struct store *s, int64_t now_us)
{
    bool wanted = s->unindexed || s->search_failed;
    if (!wanted || s->closing || (s->queue && !s->index_turn)) return INT64_MAX;
    if (store_queue_first(&s->reads, STORE_SEARCHES) || s->search_failed) return s->index_at_us;
    int64_t due_us = most(s->index_pause_us, s->index_at_us);
    if (due_us > now_us || clock_us(CLOCK_THREAD_CPUTIME_ID) >= s->index_cpu_us) return due_us;
    return most(due_us, s->batch_at_us + INDEX_IDLE_US);
}

static int64_t trim_due_us_locked(const struct store *s)
{
    enum trim_need need = s->backend->trim_need;
    if (s->closing || (s->queue && !s->trim_turns)) return INT64_MAX;
    if (need == TRIM_NOW && !s->trim_failed) return 0;
    return need != TRIM_NONE || s->options.keep.max_age_ms ? s->trim_at_us : INT64_MAX;
}

static int64_t look_due_us_locked(const struct store *s)
{
    return s->backend->ops->look && !s->closing ? s->look_at_us : INT64_MAX;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static enum job next_job(struct store *s)
{
    enum job job = JOB_STOP;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        int64_t now_us = clock_us(CLOCK_MONOTONIC);
        bool healthy = atomic_load(&s->healthy);
        int64_t trim_us = healthy ? trim_due_us_locked(s) : INT64_MAX;
        int64_t index_us = healthy ? index_due_us_locked(s, now_us) : INT64_MAX;
        bool retries = !healthy && !s->queue && !s->closing;
        int64_t retry_us = retries ? s->retry_at_us : INT64_MAX;
        int64_t look_us = healthy ? look_due_us_locked(s) : INT64_MAX;
        int64_t due_us = least(least(trim_us, index_us), least(retry_us, look_us));
        if (now_us >= due_us) {
            job = due_us == look_us    ? JOB_LOOK
                  : due_us == trim_us  ? JOB_TRIM
                  : due_us == index_us ? JOB_INDEX
                                       : JOB_RECOVER;
            break;
        }
        if (s->queue) {
            job = JOB_BATCH;
            break;
        }
        if (s->closing) break;
        s->writer_waits = true;
        if (due_us == INT64_MAX)
            pthread_cond_wait(&s->work, &s->lock);
        else
            store_wait_locked(s, &s->work, due_us);
        s->writer_waits = false;
    }
    pthread_mutex_unlock(&s->lock);
    return job;
}

void *store_writer_main(void *arg)
{
    struct store *s = arg;
    report(s, "the database, at the start", (struct slice){NULL, 0});
    for (;;) {
        switch (next_job(s)) {
        case JOB_BATCH:
            do_batch(s);
            break;
        case JOB_LOOK:
            if (look(s)) on_failure(s);
            break;
        case JOB_TRIM:
            do_trim(s);
            break;
        case JOB_INDEX:
            do_index(s);
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
