/* A client of the subprotocol parlor.v1 (protocol.md section 5): typed frames, acks, several rooms
 * on one socket. Worker's thread.
 *
 * Each room it is in is a seat: a member of its own, with a place of its own in that room's log.
 * The seats share the socket, so deliveries end on frame boundaries (conn_deliver_frames), and
 * while bytes wait in the connection's `out` no seat gets anything. */
#ifndef SERVER_RICH_SESSION_H
#define SERVER_RICH_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "chat/hub.h"
#include "server/chat_session.h"

struct conn;
struct entry;

enum { RICH_FRAME_MAX_BYTES = 64 * 1024 }; /* of a frame that is no message and no page of them */

/* Of one connection. */
enum {
    RICH_ROOMS_MAX = 100,     /* those it is about to enter included */
    RICH_QUESTIONS_MAX = 128, /* answers on their way; more are refused */
    RICH_PAGES_MAX = 3,       /* pages of history on their way; then it is not read from. And
                                 pages for rooms it enters; then the others wait */
    RICH_REQUESTS = 100,      /* in 10 s: all but messages and their changes, if there is a rate */
};

/* Makes the session of a connection whose home is this room, with the first seat. ERR_NOMEM. */
int rich_session_new(struct conn *c, struct slice home);

/* Joins the home; as entry_join. */
int rich_session_join_home(struct conn *c, struct entry *e, struct join *j);

/* The 101 is sent: welcome, joined, and what was missed. */
void rich_session_start(struct conn *c, const struct join *j);

/* As chat_session_on_message. */
int rich_session_on_message(struct conn *c, struct slice json);

/* The socket takes bytes again. True: a seat is still blocked. */
bool rich_session_on_writable(struct conn *c);

/* All that the connection had to send is sent. */
void rich_session_on_sent(struct conn *c);

/* The server is going: says when to come back. */
void rich_session_bye(struct conn *c, unsigned code, uint32_t retry_after_ms);

/* Leaves every room and frees the session. */
void rich_session_end(struct conn *c);

/* Memory of the frame that waits for a room. */
size_t rich_session_waiting_bytes(const struct conn *c);

/* What its rooms keep for it, see reader_lag. */
uint64_t rich_session_lag_bytes(const struct conn *c);

/* The name that a rich member is known by in its room. */
struct slice rich_session_name(struct member *m, char guest[static CHAT_GUEST_LEN]);

/* struct delivery's functions. */
ssize_t rich_session_deliver(struct member *m, const struct iovec *iov, int n, size_t bytes);
void rich_session_on_lag(struct member *m, uint64_t lag_bytes);

#endif
