/* Who speaks on a WebSocket: the name it goes by, how much it may say, and what refusals cost it.
 * What bare and rich clients share. Worker's thread. */
#ifndef SESSION_SPEAKER_H
#define SESSION_SPEAKER_H

#include <stdbool.h>

#include "base/buf.h"
#include "chat/room.h"
#include "server/session.h"

struct conn;

/* protocol.md section 3: the name of what is said: of who is signed in, the identity's; else the
 * one that it says, the URL's, or a guest name, written to guest. */
struct slice speaker_choose_name(const struct conn *c, struct slice said,
                                 char guest[static SESSION_GUEST_LEN]);

/* An event of this kind, of what the connection says under this name (or without one, as above):
 * with its user and the time. The name is borrowed from said, the identity or guest. */
struct store_event speaker_event(const struct conn *c, enum store_kind kind, struct slice said,
                                 char guest[static SESSION_GUEST_LEN]);

/* The name the connection is known by now: the one it last spoke under. */
struct slice speaker_name(const struct conn *c, char guest[static SESSION_GUEST_LEN]);

/* It speaks under this name now, which is how it is known from here on. Names that were borrowed of
 * it before, this one included, may be gone after it. */
void speaker_note_name(struct conn *c, struct slice name);

/* Tells the rich members of a room that this one goes by another name. */
void speaker_rename_in(const struct conn *c, struct room *room, struct slice from, struct slice to);

/* Takes a token off the bucket; false if there is none. */
bool speaker_within_rate(const struct conn *c, uint32_t rate, uint64_t *next_us);

/* Whether the connection's rate and the client's budget have room for a message, or a change of
 * one, that says this to the room; takes it. Of a few KiB that are sent, compression and escapes
 * can make the budget's worth of messages hundreds of times as many: so what counts is what the
 * others have to read. */
bool speaker_may_speak(struct conn *c, struct slice text, struct slice data);

/* Counts a refusal; false: it was one too many, and the connection is closing. */
bool speaker_note_refusal(struct conn *c, int err);

#endif
