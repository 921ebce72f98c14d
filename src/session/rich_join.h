/* How a rich client enters rooms: its home before the upgrade, others when it asks. Worker's
 * thread.
 */
#ifndef SESSION_RICH_JOIN_H
#define SESSION_RICH_JOIN_H

#include "chat/hub.h"

struct conn;
struct member;
struct rich_input;

/* The zeroed member with which the session is to join its home (pending_join_member). */
struct member *rich_join_home(struct conn *c);

/* A join frame: makes the subscription, and enters the room, or waits for it. 0, or an error to be
 * answered.
 */
int rich_join(struct conn *c, const struct rich_input *in);

#endif
