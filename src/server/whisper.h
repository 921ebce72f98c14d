/* Frames for the rich members of a room that are not part of its log: typing and presence.
 *
 * They are worth nothing later, so they are not numbered, stored or replayed, and a member whose
 * socket is full is passed over (counted in parlor_whispers_dropped_total). Each worker with rich
 * members of the room gets a copy and hands it to them. */
#ifndef SERVER_WHISPER_H
#define SERVER_WHISPER_H

#include "base/buf.h"
#include "chat/presence.h"

struct member;
struct room;
struct worker;

/* To all rich members but one (or NULL). json is copied; short memory drops the whisper. Worker's
 * thread; the caller has a reference on the room or a member in it. */
void whisper_send(struct worker *w, struct room *room, const struct member *except,
                  struct slice json);

/* Does what a join or leave says is due. */
void whisper_presence(struct worker *w, struct room *room, enum presence_due due);

/* Phase: tells what was due a second ago. */
void whisper_run_timers(struct worker *w);

/* Gives up what is still due, at the end. */
void whisper_drop_timers(struct worker *w);

#endif
