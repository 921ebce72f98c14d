/* Entering a room, which may take a question to the store: whoever asks is told later, on its
 * worker's thread, and a connection that is gone by then leaves nothing behind. */
#ifndef SESSION_ENTRY_H
#define SESSION_ENTRY_H

#include "chat/hub.h"
#include "server/pending.h"

/* Part of a larger struct. Answered when wait.room is ready, or wait.err says why not; whoever is
 * told goes on waiting (entry_join) or ends it (entry_fini). */
struct entry {
    struct pending p;
    struct room_wait wait;
};

static inline struct entry *entry_of(struct pending *p)
{
    return container_of(p, struct entry, p);
}

/* Both refuse what would make a room where the client's budget has no more of them
 * (ERR_MANY_ROOMS).
 */

/* Begins to enter; e is zeroed. Returns 0: the room is ready at once; ERR_AGAIN: on_answer will be
 * called, and until then e has to stay; else an error. */
int entry_start(struct entry *e, struct conn *c, struct slice room,
                void (*on_answer)(struct conn *c, struct pending *p));

/* As room_join, under the name that the connection has by now, and the others will be told of it;
 * on ERR_AGAIN on_answer will be called again. Other errors leave e to the caller. */
int entry_join(struct entry *e, struct join *j, struct member *m);

/* Gives the reference on the room back, if there is one. */
void entry_fini(struct entry *e);

#endif
