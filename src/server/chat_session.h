/* What a chat member's message goes through: parse, name, rate, room; or a refusal that says why.
 */
#ifndef SERVER_CHAT_SESSION_H
#define SERVER_CHAT_SESSION_H

#include "base/buf.h"

struct conn;

/* A whole text message from a member; borrowed for the call. Worker's thread. */
void chat_session_on_message(struct conn *c, struct slice json);

#endif
