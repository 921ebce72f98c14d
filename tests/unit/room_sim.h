/* The chat core under a seeded simulation: one process, several workers, a few rooms, many clients
 * of every encoding over a real store.
 *
 * Clients come live, with `history` or with `since` (their last event, an older one, one of another
 * epoch), stall, take half a frame, vanish, are too slow and come back. They post, edit, delete,
 * react, and send again what they have sent. Memory runs out, the store fails, retention trims, the
 * budget forgets rooms. The simulation is also the server: it flushes feeds, answers those who
 * have to be served from the store, and brings the store's decisions to the rooms. Every frame is
 * held against the model (room_model.h).
 *
 * All of it happens on one thread in an order that follows from the seed alone, because the store's
 * threads only run when the simulation waits for them (gated_store.h). The exception is retention,
 * which the store does when it finds the time. */
#ifndef TESTS_ROOM_SIM_H
#define TESTS_ROOM_SIM_H

#include <stdint.h>

/* How often what happened, so that a simulation that tests nothing is noticed. */
struct sim_counts {
    uint64_t received, published, lags, lost, resumed, unresumed, memory, store, newest, fills;
    uint64_t dups, waited, failed_batches, refused, no_memory, trims;
};

struct sim_options {
    uint64_t seed;
    unsigned steps;
    const char *path; /* of a database; NULL: in memory */
};

/* Runs one; adds to *counts. */
void room_sim_run(const struct sim_options *o, struct sim_counts *counts);

#endif
