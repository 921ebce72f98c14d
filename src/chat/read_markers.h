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
#ifndef CHAT_READ_MARKERS_H
#define CHAT_READ_MARKERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "store/store.h"

struct marker;

struct read_markers {
    struct marker *first; /* uthash; the one moved longest ago first */
    size_t entry_bytes;
};

/* The seq up to which the user has read; 0: not known. */
uint64_t read_markers_find(const struct read_markers *m, struct slice user);

/* Moves the user's marker to mark->seq, or makes it; one that is there already or further on stays
 * where it is. The name is copied. 0, or ERR_NOMEM with nothing changed. */
int read_markers_move(struct read_markers *m, const struct store_mark *mark);

/* Forgets all but the `most` that were moved last; all, if memory is too short for another table.
 */
void read_markers_shrink(struct read_markers *m, size_t most);

size_t read_markers_count(const struct read_markers *m);

/* Bytes that were asked of the allocator. */
size_t read_markers_bytes(const struct read_markers *m);

void read_markers_fini(struct read_markers *m);

#endif
