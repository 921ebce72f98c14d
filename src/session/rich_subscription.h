/* The subscriptions of a rich client: making, finding, naming, starting and leaving. */
#ifndef SESSION_RICH_SUBSCRIPTION_H
#define SESSION_RICH_SUBSCRIPTION_H

#include "chat/hub.h"
#include "server/session.h"
#include "session/rich_state.h"

/* ERR_NOMEM, ERR_TOO_MANY_ROOMS. It is linked, and not in the room yet. */
int subscription_new(struct conn *c, struct slice room, struct slice ref,
                     struct subscription **out);

/* By name; empty: home. NULL if there is none. */
struct subscription *subscription_find(const struct rich *rich, struct slice room);

/* The same for one that is in the room; else NULL. */
struct subscription *subscription_find_joined(const struct rich *rich, struct slice room);

struct slice subscription_room(const struct subscription *s);
struct slice subscription_ref(const struct subscription *s);

/* The name that the members of the room were told. Another one is told to the room that is spoken
 * in and to no other, so that a message makes at most one presence frame. */
struct slice subscription_name(const struct subscription *s, char guest[static SESSION_GUEST_LEN]);

/* Remembers that they were told another one. ERR_NOMEM: no change. */
int subscription_set_name(struct subscription *s, struct slice name);

/* Tells its members, if it is in it, that one they knew as `had` goes by `now`, and types no more
 * under the old name. */
void subscription_rename(struct subscription *s, struct slice had, struct slice now);

/* Whoever it is now is signed in, and goes by one name in all rooms. before: by which the
 * connection went where they were told no other. */
void subscription_take_name(struct subscription *s, struct slice before);

/* After room_join: tells the client, and brings what it missed. */
void subscription_start(struct subscription *s, const struct join *j);

/* The socket takes bytes: sends what it missed. True: it takes less than there is. The subscription
 * may be gone. */
bool subscription_go_on(struct subscription *s);

/* Leaves the room if it is in it, and frees it. */
void subscription_free(struct subscription *s);

#endif
