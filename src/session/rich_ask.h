/* Frames that ask the store or the other workers. Worker's thread. */
#ifndef SESSION_RICH_ASK_H
#define SESSION_RICH_ASK_H

#include "proto/rich.h"
#include "session/rich_state.h"

/* 0, or an error to be answered. */
int rich_ask_history(struct conn *c, struct subscription *s, const struct rich_input *in);
int rich_ask_members(struct conn *c, struct subscription *s, const struct rich_input *in);

/* A change of a message: looks at the message first, then publishes. */
int rich_ask_change(struct conn *c, struct subscription *s, const struct rich_input *in);

/* The session ends: what was asked for it is wanted no more. */
void rich_ask_drop(struct rich *rich);

#endif
