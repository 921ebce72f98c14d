/* The names people choose: rooms (protocol section 1) and users (section 3). Two names are the same
 * iff their bytes are, so what is let in here is exactly what everybody compares. Pure; any
 * thread. */
#ifndef PROTO_NAME_H
#define PROTO_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum {
    NAME_ROOM_MAX = 128, /* bytes after decoding */
    NAME_USER_MAX = 64   /* bytes after trimming */
};

/* Decodes one path segment into a room name: *len bytes in out, not NUL-terminated. ERR_BAD_ROOM
 * unless the result is 1..NAME_ROOM_MAX bytes of valid UTF-8 without control characters
 * (U+0000-001F, U+007F-009F) and '/', and neither "." nor "..". out and *len are then of no use. */
int name_room_decode(struct slice raw_segment, char out[static NAME_ROOM_MAX], size_t *len);

/* The same rules for a name that is decoded already: ERR_BAD_ROOM. */
int name_room_check(struct slice name);

/* Trims outer Unicode white space off a user name that is valid UTF-8; *out points into in.
 * ERR_BAD_USERNAME unless 1..NAME_USER_MAX bytes without control characters remain that are not
 * "system", the server's own name. */
int name_user_trim(struct slice in, struct slice *out);

/* True iff text is not empty and has no control characters and no white space: the name of a
 * reaction. text is valid UTF-8. */
bool name_is_word(struct slice text);

#endif
