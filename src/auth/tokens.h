/* Whom the server believes about who somebody is: keys (key_source.h), what is demanded of a token
 * (jwt.h), and the identity that comes of one. Any thread. */
#ifndef AUTH_TOKENS_H
#define AUTH_TOKENS_H

#include <stdint.h>

#include "auth/jwt.h"
#include "base/buf.h"

struct identity;
struct key_source;
struct tokens;

/* Takes over the source of the keys; the rules are copied. NULL if memory is short, and the source
 * is still the caller's. */
struct tokens *tokens_new(struct key_source *keys, const struct jwt_rules *rules);

/* NULL is nothing. */
void tokens_free(struct tokens *t);

/* Who the token, of any bytes, says it is at this time (Unix time in ms); t: NULL where no token is
 * believed. 0: *out is a reference, the caller's. Else *out is NULL: ERR_TOKEN and *why, static
 * text that shows nothing of the token; ERR_NO_KEYS, likewise: the key may be there
 * soon; or ERR_NOMEM. Costs
 * a signature (jwt.h). */
int tokens_identify(struct tokens *t, struct slice token, uint64_t now_ms, struct identity **out,
                    const char **why);

#endif
