/* A client of the seed's API (protocol.md section 3), with or without full objects: a member of one
 * room. What a message goes through: parse, rate, room; or a refusal that says why. */
#ifndef SESSION_BARE_H
#define SESSION_BARE_H

#include "chat/hub.h"
#include "server/session.h"

extern const struct session_ops bare_session;

/* After the 101: what the member missed is sent, or asked for. Worker's thread. */
void bare_start(struct conn *c, const struct join *j);

#endif
