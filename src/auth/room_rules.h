/* What the configuration says of rooms by their names, as far as it matters to rights:
 *
 *     [room "team-*"]
 *     access-guests = none
 *
 * Each setting of a room is taken for itself: from the pattern that fits the room best (pattern.h)
 * among those that state this setting; where none does, from the server's default, which is in the
 * table below. So `[room "*"]` is how an operator changes the default, and a more exact section
 * changes what it states and nothing else.
 *
 * An object of rules is immutable: any thread may read it. To change rules, make another one. */
#ifndef AUTH_ROOM_RULES_H
#define AUTH_ROOM_RULES_H

#include <stddef.h>

#include "auth/pattern.h"
#include "auth/right.h"
#include "base/buf.h"

/* X(symbol, key, the server's default, the most it may give): what those have of whom neither a
 * token nor a role in the room says more. The default is an open server's. Anybody can be a guest,
 * so being one is worth no more than to write. */
#define ROOM_SETTINGS(X)                                                                           \
    X(ROOM_ACCESS_GUESTS, "access-guests", RIGHT_WRITE, RIGHT_WRITE)                               \
    X(ROOM_ACCESS_SIGNED_IN, "access-signed-in", RIGHT_WRITE, RIGHT_OWN)

enum room_setting {
#define X(symbol, key, fallback, most) symbol,
    ROOM_SETTINGS(X)
#undef X
        ROOM_SETTING_COUNT
};

enum {
    ROOM_RULES_MAX = 256,      /* patterns that state the same setting */
    ROOM_RULES_WHY_MAX = 512,  /* bytes, with the NUL */
    ROOM_RULES_SHOWN_MAX = 64, /* bytes of bad text that are shown */
};

/* A line of the configuration: KEY = VALUE in the section [room "PATTERN"]. */
struct room_line {
    struct slice pattern;
    struct slice key;
    struct slice value; /* a right's word */
};

struct room_rules_error {
    size_t line; /* which of the lines, from 0 */
    char why[ROOM_RULES_WHY_MAX];
};

struct room_rules;

/* Rules of these lines, in any order; lines of one section need not stand together. 0: *out is for
 * room_rules_free, and holds nothing of the lines. ERR_CONFIG: *wrong is the first line that cannot
 * be, and why, fit for a log: a bad pattern, key or value, a right that is too much for whom it is
 * given to, the same pattern and key again, or more than ROOM_RULES_MAX patterns for a key.
 * ERR_NOMEM: *wrong is not set. On errors *out is NULL. */
int room_rules_new(const struct room_line *lines, size_t count, struct room_rules **out,
                   struct room_rules_error *wrong);

/* NULL is nothing. */
void room_rules_free(struct room_rules *rules);

/* The settings of one room. */
struct room_settings {
    /* By enum room_setting. pattern: of the section that stated it; empty: the server's default. */
    struct room_right access[ROOM_SETTING_COUNT];
};

/* What is so in a room of this name, which need not exist; rules: NULL where there are none.
 * Patterns are borrowed from the rules. Allocates nothing. */
void room_rules_settings(const struct room_rules *rules, struct slice room,
                         struct room_settings *out);

#endif
