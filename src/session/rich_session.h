/* A client of the subprotocol parlor.v1 (protocol.md section 5): typed frames, acks, several rooms
 * on one socket. Worker's thread. */
#ifndef SESSION_RICH_SESSION_H
#define SESSION_RICH_SESSION_H

#include "base/buf.h"
#include "chat/hub.h"
#include "server/session.h"

struct conn;

extern const struct session_ops rich_session;

/* Makes it the session of a connection whose home is this room, with the first subscription.
 * ERR_NOMEM. */
int rich_session_new(struct conn *c, struct slice home);

/* The 101 is sent: welcome, joined, and what was missed. guest_key: of a guest that is new; else
 * empty. */
void rich_session_start(struct conn *c, const struct join *j, struct slice guest_key);

#endif
