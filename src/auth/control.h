/* What all acts (act.h) up to now amount to: who is revoked, who has which role, how rooms are set.
 * It is a function of the acts in their order, so whoever replays the control log has the same.
 *
 * Any thread asks; asking allocates nothing, and where there are no acts of a kind it costs a load.
 * Acts are applied by one thread at a time. */
#ifndef AUTH_CONTROL_H
#define AUTH_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/right.h"
#include "base/buf.h"

struct act;
struct control;
struct identity;
struct room_settings;

/* NULL if memory is short. */
struct control *control_new(void);
void control_free(struct control *c);

/* Makes place for what the act is going to change: what is committed must not fail after that for
 * want of memory. ERR_NOMEM. Each that succeeds is followed by control_apply or control_give_up
 * with an act of the same content. Any thread. */
int control_reserve(struct control *c, const struct act *a);

/* The act is decided, at ts_ms (Unix time), and holds when this returns. */
void control_apply(struct control *c, const struct act *a, int64_t ts_ms);
void control_give_up(struct control *c, const struct act *a);

/* Whether what it came in with is revoked: its user, session or token was after that was issued, in
 * the same second, or it does not say when it was. */
bool control_is_revoked(struct control *c, const struct identity *who);

/* The role that the user was given in the room. False: none. */
bool control_role(struct control *c, struct slice room, struct slice user, enum right *out);

/* Puts what was set for this room over what the configuration says. Patterns of what is set are
 * room, borrowed. */
void control_settings(struct control *c, struct slice room, struct room_settings *s);

#endif
