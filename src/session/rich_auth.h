/* The frame `auth`: who the connection is becomes known later than with its handshake, or for
 * longer (protocol.md section 10, source 5). Worker's thread. */
#ifndef SESSION_RICH_AUTH_H
#define SESSION_RICH_AUTH_H

#include "base/buf.h"

struct conn;
struct rich_input;

/* A guest that is new may become any guest, and any guest a user, once; who is somebody stays that,
 * and has the rights and the end of the newer token from now on. The rooms are told another name,
 * and those that the new rights do not open are left. 0, with an ack, or an error to be answered,
 * and nothing has changed. Costs a message of the rate, as it may cost a signature. */
int rich_auth(struct conn *c, const struct rich_input *in);

/* It goes by the name of its identity from now on, and all its rooms are told. before: the name
 * that it had in those which were told no other. */
void rich_auth_take_name(struct conn *c, struct slice before);

/* What it may do has changed: leaves the rooms that it may not enter any more, and is told which.
 */
void rich_auth_review(struct conn *c);

#endif
