/* Who is in a room. Members belong to their workers and a room keeps no list of names, so each
 * worker is asked for its own; the answer comes when the last has given it.
 *
 * All who ask for a room in one turn of a worker share one list of them: it is asked for after the
 * sockets of that turn, so that it is newer than each of their questions. What it takes is counted
 * as an answer is. */
#ifndef SESSION_OCCUPANTS_H
#define SESSION_OCCUPANTS_H

#include "base/buf.h"
#include "base/list.h"
#include "proto/rich.h"

struct room;
struct worker;

enum { OCCUPANTS_MAX = 200 /* protocol.md section 5 */, OCCUPANTS_MAX_BYTES = 96 * 1024 };

/* Borrowed. */
struct occupants_answer {
    const struct rich_members *members;
    struct slice frame; /* the same as rich_end_members writes it */
};

/* Somebody who asks; embedded. */
struct occupants_wait {
    struct list link; /* the list's */
    /* On the worker that asked; the answer is of no use if err is set. */
    void (*done)(struct occupants_wait *wait, int err, const struct occupants_answer *answer);
};

/* Asks; done will be called, in a later turn. ERR_NOMEM: it will not. Worker's thread; the caller
 * has a reference on the room or a member in it. */
int occupants_ask(struct worker *w, struct room *room, struct occupants_wait *wait);

#endif
