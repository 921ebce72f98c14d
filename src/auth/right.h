/* What somebody may do in a room (protocol section 11): one of five steps, of which each holds all
 * below it. What each is for is in the table of actions (policy.h); who has which is decided in
 * rights.h. Any thread. */
#ifndef AUTH_RIGHT_H
#define AUTH_RIGHT_H

#include <stdbool.h>

#include "base/buf.h"

/* X(symbol, word in tokens, in the configuration and in answers). From the least to the most: they
 * are compared as numbers. */
#define RIGHT_TABLE(X)                                                                             \
    X(RIGHT_NONE, "none")                                                                          \
    X(RIGHT_READ, "read")                                                                          \
    X(RIGHT_WRITE, "write")                                                                        \
    X(RIGHT_MODERATE, "moderate")                                                                  \
    X(RIGHT_OWN, "own")

enum right {
#define X(symbol, word) symbol,
    RIGHT_TABLE(X)
#undef X
        RIGHT_COUNT
};

/* Static text. */
const char *right_word(enum right right);

/* False, and *out is as it was: no right has exactly this word. */
bool right_find(struct slice word, enum right *out);

/* Two conditions on whom one acts on and what one gives, which come on top of the right that the
 * act itself takes (policy_right): alone they allow nothing. */

/* Whether somebody with the right `own` may act on somebody who has `theirs`: it has to be strictly
 * lower, so equals leave each other alone, owners too. */
bool right_acts_on(enum right own, enum right theirs);

/* Whether somebody with the right `own` may give the right `given`: it has to be strictly lower,
 * but for an owner, who may make others owners. */
bool right_grants(enum right own, enum right given);

#endif
