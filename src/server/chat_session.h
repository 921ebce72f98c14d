/* What a chat member's message goes through: parse, name, rate, room; or a refusal that says why.
 * Bare clients here; rich_session.h has those of parlor.v1, and shares names and rates. */
#ifndef SERVER_CHAT_SESSION_H
#define SERVER_CHAT_SESSION_H

#include <stdbool.h>

#include "base/buf.h"
#include "chat/hub.h"

struct conn;

enum { CHAT_GUEST_LEN = 10 }; /* "guest-" and four characters */

/* A whole text message from a member; borrowed for the call. 0, or why it was refused, which the
 * member was told. Worker's thread, as all of these. */
int chat_session_on_message(struct conn *c, struct slice json);

/* After the 101: what the member missed is sent, or asked for. */
void chat_session_start(struct conn *c, const struct join *j);

/* Leaves every room, whichever kind of client. */
void chat_session_leave(struct conn *c);

/* protocol.md section 3: the given name, the URL's, or a guest name, written to guest. */
struct slice chat_choose_name(const struct conn *c, struct slice given,
                              char guest[static CHAT_GUEST_LEN]);

/* The name the connection is known by now: the one it last spoke under. */
struct slice chat_name(const struct conn *c, char guest[static CHAT_GUEST_LEN]);

/* Who the connection is where something belongs to a person: who may change a message, and whose a
 * read marker is. Until the server knows who people are, that is the name it goes by, as chat_name.
 * False: nobody that could come back, only the guest of this connection; *user is set even so. The
 * one place where this is decided. */
bool chat_user(const struct conn *c, char guest[static CHAT_GUEST_LEN], struct slice *user);

/* It speaks under this name now, which is how it is known from here on. */
void chat_note_name(struct conn *c, struct slice name);

/* Tells the rich members of a room that somebody goes by another name. */
void chat_rename_in(struct conn *c, struct room *room, struct slice from, struct slice to);

/* Takes a token off the bucket; false if there is none. */
bool chat_within_rate(const struct conn *c, uint32_t rate, uint64_t *next_us);

/* Whether the connection's rate and the client's budget have room for a message, or a change of
 * one, that says this to the room; takes it. Of a few KiB that are sent, compression and escapes
 * can make the budget's worth of messages hundreds of times as many: so what counts is what the
 * others have to read. */
bool chat_may_speak(struct conn *c, struct slice text, struct slice data);

/* Whether an error says that the server cannot do now what it was rightly asked for. */
bool chat_is_our_fault(int err);

/* Counts a refusal; false: it was one too many, and the connection is closing. */
bool chat_note_refusal(struct conn *c, int err);

#endif
