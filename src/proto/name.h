/* The names people choose: rooms (protocol section 1) and users (section 3). Two names are the same
 * iff their bytes are, so what is let in here is exactly what everybody compares. Any thread. */
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

/* Makes of a user name that is valid UTF-8 what others are shown: outer white space trimmed, and
 * characters gone that nobody sees (look.h), so that what looks the same is rather the same. Else
 * it is left as it was typed, and not normalized: who sent it has to recognise it, and a name in
 * any script is its own. *name points into in, or into out if anything inside had to go. Cleaning
 * what was cleaned changes nothing.
 *
 * ERR_BAD_USERNAME unless 1..NAME_USER_MAX bytes remain, without control characters and ends of
 * lines, that are not marks alone and do not look like "system", the server's own name. Names in
 * ASCII cost a pass over their bytes. */
int name_user_clean(struct slice in, char out[static NAME_USER_MAX], struct slice *name);

/* U+0000 to U+001F, and U+007F to U+009F, in valid UTF-8. Any thread. */
bool name_has_control(struct slice s);

/* True iff text is not empty and has no control characters and no white space: the name of a
 * reaction. text is valid UTF-8. */
bool name_is_word(struct slice text);

#endif
