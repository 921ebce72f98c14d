/* After an act (auth/act.h) all connections are looked at again, on all workers: who is revoked is
 * closed, and whoever is in a room that it may not read any more leaves it. When done is called
 * nothing is accepted or delivered that the act forbids.
 *
 * Why all, and no index of users: acts are rare, connections many, and each would pay for the index
 * with its memory. A turn has at most REVIEW_LOOKS looks (docs/decisions/0016-control-log.md). */
#ifndef SERVER_REVIEW_H
#define SERVER_REVIEW_H

#include <stdatomic.h>
#include <stdint.h>

#include "server/task.h"

struct review;
struct server;

enum { REVIEW_LOOKS = 8192, REVIEW_CLOSES = 256 }; /* in a turn, on each worker */

struct review_part {
    struct task task;
    struct review *review;
    uint32_t slot; /* where it goes on */
};

struct review {
    atomic_uint left; /* workers that are not through */
    void (*done)(struct review *r);
    struct review_part parts[];
};

/* For a server with so many workers: how large one is. */
static inline size_t review_bytes(unsigned workers)
{
    return sizeof(struct review) + workers * sizeof(struct review_part);
}

/* Begins; done is called once, on some worker's thread. Any thread. */
void review_start(struct server *s, struct review *r, void (*done)(struct review *r));

#endif
