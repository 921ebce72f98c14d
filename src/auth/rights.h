/* Which right somebody has in a room, and why (protocol section 11, docs/decisions/0011-rights.md).
 * In this order:
 *
 *  1. What its token says of rooms. That is complete: a room which no pattern fits is none of its
 *     rooms. A token that says nothing of rooms, and a guest, have what the settings of the room
 *     give to those who are signed in, and to guests.
 *  2. A role given in the room raises that, and never lowers it; but `none` given as a role is
 *     none, whatever the rest says.
 *
 * The decision follows from its question alone: of a room it asks the name and the settings, not
 * whether it exists. Pure, allocates nothing, any thread. */
#ifndef AUTH_RIGHTS_H
#define AUTH_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/right.h"
#include "base/buf.h"

struct room_right;
struct room_settings;

/* X(symbol, word for programs, text for operators). What decided. */
#define RIGHTS_REASONS(X)                                                                          \
    X(RIGHTS_BY_DEFAULT, "default",                                                                \
      "the server's default, as no setting says anything else of this room")                       \
    X(RIGHTS_BY_SETTING, "setting", "the access setting of rooms with this pattern")               \
    X(RIGHTS_BY_TOKEN, "token", "this pattern in the rooms of the token")                          \
    X(RIGHTS_NOT_IN_TOKEN, "not_in_token", "this room is not among the rooms of the token")        \
    X(RIGHTS_BY_ROLE, "role", "the role given in this room")

enum rights_reason {
#define X(symbol, word, text) symbol,
    RIGHTS_REASONS(X)
#undef X
        RIGHTS_REASON_COUNT
};

/* Static texts. */
const char *rights_reason_word(enum rights_reason reason);
const char *rights_reason_text(enum rights_reason reason);

/* Who asks, and where. All is borrowed. */
struct rights_question {
    struct slice room; /* a room's name */
    bool signed_in;    /* else a guest */
    bool has_rooms;    /* its token says in which rooms it may do what: rooms, which may be none */
    const struct room_right *rooms; /* patterns differ */
    size_t room_count;
    bool has_role; /* it was given a role in this room */
    enum right role;
    const struct room_settings *settings; /* of this room */
};

struct rights_verdict {
    enum right right;
    enum rights_reason reason;
    struct slice pattern; /* that decided, borrowed from the question; empty where there is none */
};

struct rights_verdict rights_decide(const struct rights_question *q);

#endif
