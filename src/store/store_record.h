/* An event that owns its texts, in one block: what waits in the store's queue, and what a page is
 * made of. In the queue a read marker is one too. */
#ifndef STORE_STORE_RECORD_H
#define STORE_STORE_RECORD_H

#include "base/list.h"
#include "store/store.h"

enum { STORE_RECORD_COST = 64 }; /* what an event weighs beside its texts, for keep.max_bytes */

struct store_record {
    struct slink link;
    void *tag;
    struct slice room; /* in this block; empty in a page */
    char epoch[EVENT_EPOCH_LEN];
    uint64_t prev_seq;        /* as of store_append */
    int err;                  /* the outcome of this one */
    bool decided;             /* committed, or refused: err is final */
    bool mark;                /* no event: the marker of event.username, at event.seq */
    struct store_event event; /* its texts are in this block */
    size_t bytes;             /* weight: texts plus STORE_RECORD_COST */
};

/* Bytes of all texts of the event. */
size_t store_record_texts(const struct store_event *event);

/* A copy; room may be empty. NULL if memory is short. The caller owns it. Any thread. */
struct store_record *store_record_new(struct slice room, const struct store_event *event);

bool store_record_same_room(const struct store_record *a, const struct store_record *b);

/* NULL is ignored. */
void store_record_free(struct store_record *r);

#endif
