/* Frames for the rich members of a room that are not part of its log: typing and presence.
 *
 * They are worth nothing later, so they are not numbered, stored or replayed, and a member whose
 * socket is full is passed over (counted in parlor_whispers_dropped_total). Each worker with rich
 * members of the room gets a copy and hands it to them: a few in a turn, one frame after the other,
 * while messages have their turns in between. */
#ifndef SESSION_EPHEMERAL_H
#define SESSION_EPHEMERAL_H

#include "base/buf.h"
#include "chat/feed.h"
#include "chat/room.h"

enum {
    EPHEMERAL_OFFERS_MAX = 1024, /* members that a worker looks at in a turn */
    EPHEMERAL_MAX_BYTES = 64 * 1024,
    EPHEMERAL_TYPING_MS = 1000, /* a client that types all the time is told of so often */
    EPHEMERALS_OF_ROOM_MAX = 4, /* on their way, for each worker; what else is due waits a second */
};

struct conn;
struct room;
struct worker;

/* A rich member, as ephemerals find it. */
struct ephemeral_member {
    struct member member;
    struct conn *conn;
    uint32_t ephemeral; /* number of the last that it was offered */
};

/* A member types, or stopped: tells the other rich members, at once or with those who do within a
 * second of the last that was told. */
void ephemeral_typing(struct worker *w, const struct member *m, struct slice name, bool on);

/* Does what a join or leave says is due. */
void ephemeral_presence(struct worker *w, struct room *room, enum presence_due due);

#endif
