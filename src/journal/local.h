/* The journal of one machine: numbers under the room's lock, delivers in the same step (or, if it
 * is to be strict, when the store has committed), commits through the store. */
#ifndef JOURNAL_LOCAL_H
#define JOURNAL_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "journal/journal.h"

/* The store is borrowed. strict: nothing is delivered before it is committed. step: between the
 * seqs of a room, 1 but for tests, which find with more who takes a gap for a loss. NULL if memory
 * is short. */
struct journal *journal_local_new(struct store *store, bool strict, unsigned step);

/* The seq that a room goes on with after all that may have been given in it, kept or not. For the
 * tests of a store, too: that is what it counts outages for. Above STORE_SEQ_MAX: there is none
 * left. */
uint64_t journal_local_next_seq(const struct store_room *room, unsigned step);

#endif
