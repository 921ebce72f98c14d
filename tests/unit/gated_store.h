/* A real store whose threads take turns with the test: a batch is shown to the test and the writer
 * waits until it has been looked at, and questions are answered only when the test lets them be.
 * So what happens between an append and its commit, or between a question and its answer, is the
 * test's choice, and is the same in every run.
 *
 * The writer waits in on_done. The reader (there is one) waits in the answers to questions of the
 * gate's own, the marks, which the test puts behind its questions: to open one mark is to have
 * everything answered up to the next, and every room loaded that was asked for.
 *
 * All functions are for the test's thread. They assert, and give up after a minute. */
#ifndef TESTS_GATED_STORE_H
#define TESTS_GATED_STORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

enum { GATE_MARKS_MAX = 4096 };

struct gate {
    struct store *store;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;

    const struct store_done *done; /* the batch the writer shows; NULL: it does not wait */
    size_t done_count;
    size_t done_next;
    bool holds; /* the test knows that the writer waits */
    uint64_t accepted;
    uint64_t decided;
    void (*on_batch)(void *ctx, const struct store_done *done, size_t count);
    void *ctx;

    uint64_t put; /* marks, numbered from 1 */
    uint64_t reached;
    uint64_t opened;
    uint64_t accepted_at[GATE_MARKS_MAX]; /* when the mark was put */
};

/* keep, now_ms and what else is wanted of the options are the caller's. path NULL: in memory.
 * on_batch is called on the test's thread as soon as a batch is decided. */
void gate_open(struct gate *g, struct store_options options, const char *path,
               void (*on_batch)(void *ctx, const struct store_done *done, size_t count), void *ctx);

/* After store_append took an event. If the writer was idle it has decided this one on return. */
void gate_appended(struct gate *g);

/* The next of the decided events, once; NULL: all have been seen, or there are none. */
const struct store_done *gate_next_done(struct gate *g);

/* Everything was seen: lets the writer decide what is queued, or get well again. False: nothing to
 * do. */
bool gate_turn_writer(struct gate *g);

/* Whether the writer waits, so that nothing of the store's runs while the test does. */
bool gate_holds(const struct gate *g);

/* Behind a question to the store, or what may have been one. */
void gate_mark(struct gate *g);

/* Has the questions up to the next mark answered. False: there are none, or they wait for events
 * that are not decided yet. */
bool gate_answer(struct gate *g);

/* No more waiting; closes the store. */
void gate_close(struct gate *g);

#endif
