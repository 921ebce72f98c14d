/* From what somebody carries to who it is: a token, or a guest's key, in a handshake or in a frame
 * of parlor.v1. Worker's thread. */
#ifndef SESSION_SIGN_IN_H
#define SESSION_SIGN_IN_H

#include <stdbool.h>

#include "auth/guest_key.h"
#include "base/buf.h"

struct conn;
struct identity;

struct credential {
    struct slice text; /* any bytes */
    bool guest;        /* a guest's key, else a token */
};

/* Who it is of, at the time of this turn; a guest keeps the names that the connection has. 0: *out
 * is a reference, the caller's. ERR_TOKEN, ERR_GUEST_KEY or ERR_NO_KEYS, which the log was told of:
 * *why says it, static text that shows nothing of what was carried; or ERR_NOMEM. */
int sign_in_identify(const struct conn *c, const struct credential *from, struct identity **out,
                     const char **why);

/* Makes the connection a new guest's, under the names that it has, with this key. ERR_NOMEM. */
int sign_in_new_guest(struct conn *c, char key[static GUEST_KEY_LEN]);

/* Who the connection is from now on; takes the reference. Names borrowed of the identity before may
 * be gone after it. */
void sign_in_become(struct conn *c, struct identity *now);

#endif
