/* What the files of the store's moving part share: its state. store_front.c has the callers and the
 * life, store_writer.c and store_reader.c the threads.
 *
 * Invariants (under lock)
 *  1. in_flight counts the records queued or in the batch being committed, and never passes
 *     in_flight_max; marks, the markers among them, never pass their share of it, or one;
 *     completed + in_flight is the number of appends ever accepted.
 *  2. While unhealthy nothing is accepted, so when the queue is empty and the writer recovers,
 *     every append of before has been completed, and counting one outage covers them all.
 *  3. A batch is decided (committed or rolled back) before it leaves in_flight; health is lost
 *     before that, so a load that waited for the batch sees the loss.
 *  4. indexed > n means that the first n appends, and everything of earlier lives, are in the index
 *     for search; indexed is at most completed + 1.
 *
 * The lock is held for a few instructions only, never across a call of the backend or a callback.
 */
#ifndef STORE_STORE_CORE_H
#define STORE_STORE_CORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/guarded_clock.h"
#include "base/list.h"
#include "store/store.h"
#include "store/store_backend.h"
#include "store/store_queue.h"

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
    struct store_queue reads;
    unsigned searching; /* readers that do a search */
    bool search_failed; /* since the last step of indexing, which looks after the index */
    uint64_t marks;     /* in flight */
    uint64_t accepted;
    uint64_t completed;
    uint64_t indexed;
    struct store_stats stats;
    uint64_t refused_in_flight; /* when the last was refused */
    uint64_t refused_told;      /* of stats.refused */
    bool closing;
    bool writer_waits;                      /* for work, and was not woken yet */
    atomic_bool healthy;                    /* written under lock */
    int64_t noticed_us[STORE_NOTICE_COUNT]; /* when it was said; 0: never */
    char problem[STORE_PROBLEM_MAX];        /* as told by on_health; empty while healthy */
    /* The writer's own. */
    int64_t look_at_us;
    int64_t retry_at_us;
    unsigned retry_ms;
    unsigned
        trim_wait_ms; /* after a failure of retention alone; doubled up to the cap, as are... */
    unsigned index_wait_ms; /* ...this, of indexing alone, */
    int64_t index_at_us;    /* which is not tried again before */
    int64_t trim_at_us;
    bool trim_failed;           /* and is not tried again before that */
    uint64_t trim_turns;        /* steps of retention before the next batch: it has to keep pace */
    struct guarded_clock clock; /* what retention by age goes by */
    struct guarded_clock nonce_clock; /* what nonces grow old by; under lock */
    bool was_full;                    /* as it was said */
    bool unindexed;                   /* there may be something to index */
    bool index_turn;                  /* a batch has had its turn since the last step of indexing */
    int64_t index_pause_us;           /* no step before it, once everything was indexed */
    int64_t index_cpu_us;             /* of its thread's time: a busy one does no step before it */
    int64_t batch_at_us;              /* end of the last batch */
    pthread_t writer;
    struct reader_thread readers[STORE_READERS_MAX];
    unsigned reader_count;
    struct store_done done[STORE_BATCH_MAX];
};

/* Begins to fail, or ends it. The writer thread, or before it starts. */
void store_set_health(struct store *s, bool healthy);

/* Thread functions; arg is the struct store, and the struct reader_thread. */
void *store_writer_main(void *arg);
void *store_reader_main(void *arg);

/* Counts the trouble, fills in count and the times, and tells on_trouble. read: a question could
 * not be answered. Without the lock. Any thread. */
void store_note_trouble(struct store *s, struct store_trouble *t, bool read);

/* Tells the operator, what comes again and again not more often than every STORE_NOTICE_S. Without
 * the lock. Any thread. */
void store_tell(struct store *s, enum store_notice what, uint64_t number);

/* Waits until the cond is signalled or it is at_us. Conds of the store use CLOCK_MONOTONIC. */
static inline void store_wait_locked(struct store *s, pthread_cond_t *cond, int64_t at_us)
{
    struct timespec t = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};
    pthread_cond_timedwait(cond, &s->lock, &t);
}

#endif
