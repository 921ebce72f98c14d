/* The past of a member that memory does not hold any more, read from the store page by page.
 *
 * The member is in the room already, at the head of its log, and blocked; what was said since waits
 * for it there. A page is asked for only once everything before it has left, and is small, so a
 * member that reads slowly holds little memory, and the store is not asked for what nobody takes.
 * Pages are encoded on the store's thread. */
#ifndef SESSION_REPLAY_H
#define SESSION_REPLAY_H

#include <stdbool.h>

#include "base/buf.h"
#include "chat/hub.h"

struct conn;
struct replay;

enum {
    REPLAY_MAX = 1000,    /* protocol.md section 6 */
    REPLAY_PAGES_MAX = 3, /* on their way to one connection; the others of its rooms wait */
};

/* How it went; the owner's part. Worker's thread. */
struct replay_owner {
    /* Before the first byte: whether the member is resumed, and how many events will follow. */
    void (*on_begin)(struct conn *c, struct replay *r, bool recovered, uint64_t replayed);
    /* Over, at the event `last`; the member is to be resumed. more: further events were left out.
     * The owner frees the replay. */
    void (*on_end)(struct conn *c, struct replay *r, uint64_t last, bool more);
    /* The store did not answer. The owner frees the replay. */
    void (*on_error)(struct conn *c, struct replay *r, int err);
};

/* After a join with from_store; m is borrowed as long as the replay exists. NULL if memory is
 * short. Nothing is called before this returns. */
struct replay *replay_new(struct member *m, const struct join *j, const struct replay_owner *owner);

struct member *replay_member(const struct replay *r);
const struct join *replay_join(const struct replay *r);

/* The connection's socket has taken everything: asks for the next page, unless enough pages are on
 * their way to it for others of its rooms; then it is called again. */
void replay_go_on(struct conn *c, struct replay *r);

/* NULL is ignored. An answer that is on its way finds nothing. */
void replay_free(struct replay *r);

#endif
