/* Getting into a room by any door, which may take a question to the store: whoever asks is told
 * later, on its worker's thread, and a connection that is gone by then leaves nothing behind. */
#ifndef SESSION_PENDING_JOIN_H
#define SESSION_PENDING_JOIN_H

#include "chat/hub.h"
#include "proto/name.h"
#include "server/pending.h"

/* A join with its way back to the connection; part of a larger struct, or alone. Answered when
 * join.room is ready, or join.err says why not; whoever is told goes on (pending_join_member) or
 * ends it (pending_join_fini). */
struct pending_join {
    struct pending p;
    struct join join;
    uint8_t room_len;
    char room[NAME_ROOM_MAX];
};

static inline struct pending_join *pending_join_of(struct pending *p)
{
    return container_of(p, struct pending_join, p);
}

static inline struct slice pending_join_room(const struct pending_join *g)
{
    return (struct slice){g->room, g->room_len};
}

/* room: at most NAME_ROOM_MAX bytes; copied. */
void pending_join_set_room(struct pending_join *g, struct slice room);

/* Both refuse what would make a room where the client's budget has no more of them
 * (ERR_MANY_ROOMS).
 */

/* Begins to enter; g has its room, what it asks for, and is else zeroed. Returns 0: the room is
 * ready at once; ERR_AGAIN: on_answer will be called, and until then g has to stay; else an error.
 */
int pending_join_start(struct pending_join *g, struct conn *c,
                       void (*on_answer)(struct conn *c, struct pending *p));

/* As room_join, under the name that the connection has by now, and the others will be told of it;
 * on ERR_AGAIN on_answer will be called again. Other errors leave g to the caller. */
int pending_join_member(struct pending_join *g, struct member *m);

/* Gives the reference on the room back, if there is one. */
void pending_join_fini(struct pending_join *g);

#endif
