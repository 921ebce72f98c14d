/* Who is typing in a room: gathered, and told to its rich members once a second.
 *
 * Why: each frame that says so costs a send to every member, so those who type at the same time
 * are told in one go; and nobody looks at more than a few names, so of many only the first are
 * told. What is not told is lost, which is harmless: who goes on typing says so again.
 *
 * A room has one from when somebody begins to type until a second has passed in which nobody did.
 * Called under the room's lock. */
#ifndef CHAT_TYPING_H
#define CHAT_TYPING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/name.h"

enum {
    TYPING_TOLD_MAX = 10,
    TYPING_INTERVAL_MS = 1000,
    TYPING_MEMBERS_MAX = 500, /* in a larger room nobody is told */
};

struct member;

struct typist {
    const struct member *member; /* it is not told of itself; never followed */
    bool on;
    uint8_t len;
    char name[NAME_USER_MAX];
};

struct typing {
    unsigned count;
    struct typist typists[TYPING_TOLD_MAX]; /* to be told, first come */
};

/* A member types, or stopped: notes that, or that it does not fit. *t is NULL at first. True: it is
 * the first in a while; call typing_take soon, and again TYPING_INTERVAL_MS later as long as that
 * returns true. With short memory nothing is noted. */
bool typing_note(struct typing **t, const struct member *m, struct slice name, bool on);

/* The member has left. */
void typing_forget(struct typing *t, const struct member *m);

/* Moves what is to be told to *news; or, if that is nothing, frees *t and returns false. */
bool typing_take(struct typing **t, struct typing *news);

#endif
