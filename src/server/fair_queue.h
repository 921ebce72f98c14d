/* A fair queue of input: whose turn it is on a worker. What is done for one connection before the
 * others have their turn is bounded, and so is what is done for one client on all of its
 * connections; what is left of their input waits here. Clients are numbers, see client_id().
 * Worker's thread. */
#ifndef SERVER_FAIR_QUEUE_H
#define SERVER_FAIR_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FAIR_QUEUE_CLIENT_BYTES = 1024 * 1024, /* of a client's messages handled in a turn, inflated */
    FAIR_QUEUE_SPENDINGS = 64,             /* clients of a turn that are told apart */
    FAIR_QUEUE_DEFERRED_MAX = 16, /* connections whose rest of input is handled in a turn */
};

/* A connection whose rest of input waits for another turn. */
struct fair_queue_deferred {
    uint64_t key;    /* of the loop */
    uint64_t client; /* whose it is */
};

/* What was handled of a client's input in a turn. */
struct fair_queue_spending {
    uint64_t client;
    uint64_t turn;
    size_t bytes;
};

/* All zero: nobody waits. */
struct fair_queue {
    uint64_t turn;       /* counts them */
    uint64_t spent_turn; /* the last one in which a client had all it may */
    struct fair_queue_spending
        spendings[FAIR_QUEUE_SPENDINGS]; /* by client; who comes last has the place */
    unsigned work_left; /* in this turn, for the connection whose input is handled */
    struct fair_queue_deferred
        *deferred; /* whose turn comes next, in order; each connection once */
    size_t deferred_count;
    size_t deferred_cap;
};

void fair_queue_fini(struct fair_queue *t);

/* The connection's rest waits for a later turn. ERR_NOMEM. */
int fair_queue_defer(struct fair_queue *t, uint64_t key, uint64_t client);

/* Takes out those whose turn it is, oldest first but one of each client before a second of any.
 * Returns how many. */
size_t fair_queue_take(struct fair_queue *t,
                       struct fair_queue_deferred out[static FAIR_QUEUE_DEFERRED_MAX]);

/* Bytes of the client's messages were handled in this turn; whether they are more than
 * FAIR_QUEUE_CLIENT_BYTES by now: then the rest waits for its turn. */
void fair_queue_spend(struct fair_queue *t, uint64_t client, size_t bytes);
bool fair_queue_has_spent(const struct fair_queue *t, uint64_t client);

#endif
