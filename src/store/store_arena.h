/* Memory for what an answer is made of: many small texts that are wanted together and freed
 * together. Blocks never move, so pointers into them stay valid while more is added. */
#ifndef STORE_STORE_ARENA_H
#define STORE_STORE_ARENA_H

#include <stddef.h>

#include "base/buf.h"
#include "base/list.h"

/* Zero-initialised: empty. */
struct store_arena {
    struct slink *blocks;
    char *at;
    size_t left;
};

/* size bytes, aligned for pointers and numbers, valid until store_arena_fini. NULL if memory is
 * short. */
void *store_arena_alloc(struct store_arena *a, size_t size);

/* Replaces the text by a copy in the arena; a NULL ptr stays. 0 or ERR_NOMEM. */
int store_arena_copy(struct store_arena *a, struct slice *text);

/* Frees everything, and leaves an empty arena. */
void store_arena_fini(struct store_arena *a);

#endif
