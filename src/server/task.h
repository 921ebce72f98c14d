/* Work that another thread has for a worker: an answer of the store, a frame for the members of a
 * room. Part of a larger struct, which run owns and frees. */
#ifndef SERVER_TASK_H
#define SERVER_TASK_H

#include <stdint.h>

#include "base/list.h"

struct conn;
struct worker;

struct task {
    struct slink link;
    void (*run)(struct worker *w, struct task *t); /* on the worker's thread */
};

/* Any thread. The worker runs what is posted also after its loop has ended, with no connection
 * left, so that what the task owns is given back. */
void worker_post(struct worker *w, struct task *t);

/* A connection as another thread may remember it: it may be gone when the answer comes. */
struct conn_name {
    struct worker *worker;
    uint64_t key;
};

struct conn_name conn_name(const struct conn *c);

/* NULL if it is gone. Its worker's thread. */
struct conn *conn_find(const struct conn_name *name);

#endif
