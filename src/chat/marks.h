/* Read markers: how far each user has read a room, as far as the store has committed it (protocol
 * section 5).
 *
 * Why this shape: a member that comes back is told its marker, and five thousand that come back at
 * once must not ask the disk. So the room has all of them, loaded with it. The order in which the
 * table (uthash) keeps its entries is that of their last move; at STORE_MARKS_MAX the first goes,
 * as it does in the store.
 *
 * Embedded in the room and called under its lock. A zeroed struct is empty; an empty one owns no
 * memory. */
#ifndef CHAT_MARKS_H
#define CHAT_MARKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "store/store.h"

struct mark;

struct marks {
    struct mark *first; /* uthash; the one moved longest ago first */
    size_t entry_bytes;
};

/* The seq up to which the user has read; 0: not known. */
uint64_t marks_find(const struct marks *m, struct slice user);

/* Moves the user's marker to mark->seq, or makes it; one that is there already or further on stays
 * where it is. The name is copied. 0, or ERR_NOMEM with nothing changed. */
int marks_move(struct marks *m, const struct store_mark *mark);

/* Forgets all but the `most` that were moved last; all, if memory is too short for another table.
 */
void marks_shrink(struct marks *m, size_t most);

size_t marks_count(const struct marks *m);

/* Bytes that were asked of the allocator. */
size_t marks_bytes(const struct marks *m);

void marks_fini(struct marks *m);

#endif
