/* The seats of a rich client: making, finding, naming, starting and leaving. */
#ifndef SESSION_RICH_SEAT_H
#define SESSION_RICH_SEAT_H

#include "chat/hub.h"
#include "server/session.h"
#include "session/rich_state.h"

/* ERR_NOMEM, ERR_TOO_MANY_ROOMS. It is linked, and not in the room yet. */
int seat_new(struct conn *c, struct slice room, struct slice ref, struct seat **out);

/* By name; empty: home. NULL if there is none. */
struct seat *seat_find(const struct rich *rich, struct slice room);

/* The same for one that is in the room; else NULL. */
struct seat *seat_find_joined(const struct rich *rich, struct slice room);

struct slice seat_room(const struct seat *s);
struct slice seat_ref(const struct seat *s);

/* The name that the members of the room were told. Another one is told to the room that is spoken
 * in and to no other, so that a message makes at most one presence frame. */
struct slice seat_name(const struct seat *s, char guest[static SESSION_GUEST_LEN]);

/* Remembers that they were told another one. ERR_NOMEM: no change. */
int seat_set_name(struct seat *s, struct slice name);

/* After room_join: tells the client, and brings what it missed. */
void seat_start(struct seat *s, const struct join *j);

/* The socket takes bytes: sends what it missed. True: it takes less than there is. The seat may be
 * gone. */
bool seat_go_on(struct seat *s);

/* Leaves the room if it is in it, and frees it. */
void seat_free(struct seat *s);

#endif
