/* Patterns of room names, and which of several counts for a room. There is one matcher, so what a
 * token says of rooms and what the configuration says of them is read the same way.
 *
 * A pattern that ends in `*` fits every name that begins with what stands before it, also that
 * beginning alone; `*` fits all. Any other pattern fits the one name that it is, and a `*` that is
 * not at its end is an ordinary character. Names are bytes (proto/name.h): nothing is folded.
 *
 * Pure, allocates nothing, any thread. */
#ifndef AUTH_PATTERN_H
#define AUTH_PATTERN_H

#include <stddef.h>

#include "auth/right.h"
#include "base/buf.h"

/* A right in the rooms that a pattern fits. */
struct room_right {
    struct slice pattern; /* as name_room_check lets in */
    enum right right;
};

/* The one of a list that counts for a room: the name itself before any pattern with a `*`, of those
 * the longest. NULL: none fits. Patterns in the list differ, so there is at most one, whatever
 * their order. Takes 2 to 4 ns for each of the list (docs/decisions/0011-rights.md). */
const struct room_right *pattern_best(const struct room_right *list, size_t count,
                                      struct slice room);

#endif
