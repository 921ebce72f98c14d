/* What a name looks like, by ICU: characters that nobody sees, and names that nobody can tell from
 * the server's own (Unicode TS 39).
 *
 * ICU's tables are opened once for the process and never change, so all of this is for any
 * thread. */
#ifndef PROTO_LOOK_H
#define PROTO_LOOK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Opens ICU's tables, once, before other threads start: later it would be in the middle of a
 * message. 0, or ERR_NOMEM (or its data is not installed). */
int look_init(void);

/* Copies text, which is valid UTF-8, without what is not seen: default-ignorable characters and
 * controls of direction and layout, but not the joiners of scripts that are written with them
 * (Indic scripts, Persian) nor those that emoji are made of. Never longer than text. ERR_TOO_LONG:
 * over max bytes. Idempotent. */
int look_strip(struct slice text, char *out, size_t max, size_t *len);

/* Whether people would read "system": whatever the script, the case, marks and spaces, and
 * whatever stands around it that is no letter and no digit. text is valid UTF-8 of at most LOOK_MAX
 * bytes. Pure ASCII asks no table. False too if memory is short. */
enum { LOOK_MAX = 64 };
bool look_is_system(struct slice text);

/* Whether there is nothing in it but marks, which need something to be marks of, and white space.
 */
bool look_is_marks(struct slice text);

#endif
