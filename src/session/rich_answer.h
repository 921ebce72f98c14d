/* How a rich client is answered. Worker's thread. */
#ifndef SESSION_RICH_ANSWER_H
#define SESSION_RICH_ANSWER_H

#include "base/buf.h"

struct conn;
struct pending_ack;

/* Sends what is in the worker's `text` as one frame, unless err. */
void rich_send(struct conn *c, int err);

/* Counts and answers a refusal. */
void rich_refuse(struct conn *c, struct slice ref, int err);

/* Goes on reading, if there is no other reason not to. */
void rich_release(struct conn *c);

/* The first frame: who it is, and what holds here. guest_key: of a guest that is new; else empty.
 */
void rich_tell_welcome(struct conn *c, struct slice guest_key);

/* The `tell` of everything that gets an ack. */
void rich_tell_ack(struct conn *c, const struct pending_ack *r);

#endif
