/* Work that another thread has for a worker: an answer of the store, a frame for the members of a
 * room. Part of a larger struct, which run owns and frees. */
#ifndef SERVER_TASK_H
#define SERVER_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "net/timer.h"

struct conn;
struct worker;

struct task {
    struct slink link;
    void (*run)(struct worker *w, struct task *t); /* on the worker's thread */
};

/* Any thread. The worker runs what is posted also after its loop has ended, with no connection
 * left, so that what the task owns is given back. */
void worker_post(struct worker *w, struct task *t);

enum { TASK_LATER_MS = 1000 };

/* A task with a time. */
struct later {
    struct task task;
    struct timer timer; /* timer_init */
};

/* It is run in TASK_LATER_MS, or when the worker's loop ends. False: that has ended; nothing is
 * taken. Worker's own thread. */
bool worker_post_later(struct worker *w, struct later *l);

/* A connection as another thread may remember it: it may be gone when the answer comes. */
struct conn_ref {
    struct worker *worker;
    uint64_t key;
};

struct conn_ref conn_ref(const struct conn *c);

/* NULL if it is gone. Its worker's thread. */
struct conn *conn_find(const struct conn_ref *name);

#endif
