/* A worker's mailbox: any thread posts links, one thread takes them all. The link is part of the
 * sender's object, so posting never allocates and never fails; what arrives is bounded by the
 * number of such objects.
 *
 * The eventfd is written only if the worker sleeps: under load a post costs one compare-and-swap.
 * Invariant: a link posted before mailbox_sleep returned true wakes the worker; the two sides store
 * (head, asleep) and then load the other's, in sequentially consistent order, so one of them sees.
 */
#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "net/loop.h"

struct mailbox {
    _Atomic(struct slink *) head;
    atomic_bool asleep;
    struct io io;     /* of an eventfd, readable when woken; the owner adds it to its loop */
    uint64_t wakeups; /* owner's: times it was woken */
};

/* ERR_IO with errno if there is no eventfd. */
int mailbox_init(struct mailbox *mb);
void mailbox_fini(struct mailbox *mb);

/* Hands the link, and what it is part of, to the owner. Any thread. */
void mailbox_post(struct mailbox *mb, struct slink *link);

/* Makes the eventfd readable in any case. Any thread. */
void mailbox_wake(struct mailbox *mb);

/* Takes everything posted so far, oldest first. Owner. */
struct slink *mailbox_take(struct mailbox *mb);

/* Before waiting: true if there is nothing to take, and the owner may wait for it. Owner. */
bool mailbox_sleep(struct mailbox *mb);

/* After waiting. Owner. */
void mailbox_awake(struct mailbox *mb);

#endif
