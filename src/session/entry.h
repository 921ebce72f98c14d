/* Entering a room, which may take a question to the store: whoever asks is told later, on its
 * worker's thread, and a connection that is gone by then leaves nothing behind. */
#ifndef SESSION_ENTRY_H
#define SESSION_ENTRY_H

#include "chat/hub.h"
#include "server/task.h"

struct entry {
    struct room_wait wait;
    struct task task;
    struct conn_name conn;
    /* The room is ready, or wait.err says why not; calls entry_free or goes on waiting. */
    void (*resume)(struct conn *c, struct entry *e);
};

/* Both refuse what would make a room where the client's budget has no more of them
 * (ERR_MANY_ROOMS).
 */

/* Begins to enter; e is zeroed but for what resume needs and from now on owned by this module until
 * resume is called. Returns 0: the room is
 * ready at once; ERR_AGAIN: resume will be called; else an error, and e is freed. */
int entry_start(struct entry *e, struct conn *c, struct slice room);

/* As room_join, under the name that the connection has by now, and the others will be told of it;
 * on ERR_AGAIN resume will be called again. Other errors leave e to the caller. */
int entry_join(struct entry *e, struct join *j, struct member *m);

/* Gives the reference on the room back. */
void entry_free(struct entry *e);

#endif
