/* A question that may outlive its connection: asked of the store, of a room or of other workers,
 * and answered on the worker of whoever asked, where the connection may be gone by then.
 *
 * The first member of a larger struct, which the answerer fills in and on_answer owns. The way back
 * never fails: the link for it is part of the question. */
#ifndef SERVER_PENDING_H
#define SERVER_PENDING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/task.h"
#include "store/store.h"

struct room;

struct pending {
    struct task task;
    struct conn_ref conn;
    struct room *room;       /* a reference, or NULL */
    struct account *account; /* where memory for the answer is counted, or NULL */
    uint32_t bytes;          /* of it */
    int err;                 /* why there is no answer */
    atomic_bool gone;        /* nobody wants it any more; on_answer is called all the same */
    /* c: NULL if the connection is gone. Calls pending_fini. Worker's thread. */
    void (*on_answer)(struct conn *c, struct pending *p);
};

/* room: NULL, or a room of which the caller has a reference; another one is taken. Worker's thread,
 * but for pending_answer. */
void pending_init(struct pending *p, const struct conn *c, struct room *room,
                  void (*on_answer)(struct conn *c, struct pending *p));

/* Who asks the store, whose callback gets the pending as its ctx: c, as long as the answer is
 * wanted, which takes so many bytes of the account's memory. NULL, 0: of none. */
struct store_asker pending_asker(struct pending *p, const struct conn *c, struct account *account,
                                 uint32_t bytes);

/* The answer is there, or err says why not. Any thread. */
void pending_answer(struct pending *p, int err);

/* Gives back what it has taken; after pending_undo it was never asked. */
void pending_fini(struct pending *p);
void pending_undo(struct pending *p);

#endif
