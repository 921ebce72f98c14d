/* What is said on a WebSocket: by a bare client, a rich one, or to the echo route. Frames are
 * websocket.c's; what is in them is a session's, of which connections, workers and frames know this
 * struct only. A function is NULL where there is nothing to do. Worker's thread. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"

struct conn;
struct member;

enum { SESSION_GUEST_LEN = 10 }; /* "guest-" and four characters */

/* A member of a room, as others are told of it. */
struct session_member {
    struct slice name; /* as long as the member is there and goes by it, or in guest */
    struct slice user; /* likewise; empty: it is nobody */
    int64_t since_ms;  /* 1970 */
    char guest[SESSION_GUEST_LEN];
};

struct session_ops {
    /* A message that is whole, of text unless it is binary; borrowed for the call. 0, or why it was
     * refused, which the peer was told. */
    int (*on_message)(struct conn *c, struct slice message, bool binary);

    /* What the connection had to send for itself has left: its rooms go on. True: the socket takes
     * less than they have. */
    bool (*on_writable)(struct conn *c);

    /* After on_writable, if there is still nothing of its own to be sent. */
    void (*on_sent)(struct conn *c);

    /* It goes by another name from now on: its rooms are told. */
    void (*rename)(struct conn *c, struct slice from, struct slice to);

    /* Leaves every room, and frees what it has of its own. */
    void (*leave)(struct conn *c);

    /* Who it is was told anew, and goes by another name than before: all its rooms are told. */
    void (*take_name)(struct conn *c, struct slice before);

    /* The server is going, and says when to come back, before it closes the WebSocket. */
    void (*bye)(struct conn *c, unsigned code, uint32_t retry_after_ms);

    /* Its token ends soon; may be said more than once. */
    void (*warn_end)(struct conn *c);

    /* It is about to be closed for this error of who it is: tells it so in its own words, if it has
     * no other way to know. */
    void (*tell_end)(struct conn *c, int err);

    /* What it may do has changed: leaves the rooms that it may not read any more. */
    void (*review)(struct conn *c);

    /* Memory of what the peer has sent and that waits. */
    size_t (*input_bytes)(const struct conn *c);

    /* What its rooms keep for it, see feed_lag. */
    uint64_t (*lag_bytes)(const struct conn *c);

    /* Of a member of a room; the first two are struct delivery's. */
    ssize_t (*deliver)(struct member *m, const struct iovec *iov, int n, size_t bytes);
    void (*on_lag)(struct member *m, uint64_t lag_bytes);
    void (*describe)(struct member *m, struct session_member *out);

    bool unlimited; /* frames of any kind and size, and as many as the peer likes */
};

#endif
