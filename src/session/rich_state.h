/* What the files of the rich session share: a client of the subprotocol parlor.v1 (protocol.md
 * section 5) and its subscriptions.
 *
 * Each room it is in is a subscription: a member of its own, with a place of its own in that room's
 * log. The subscriptions share the socket, so deliveries end on frame boundaries
 * (conn_deliver_frames), and while bytes wait in the connection's `out` no subscription gets
 * anything. */
#ifndef SESSION_RICH_STATE_H
#define SESSION_RICH_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "chat/feed.h"
#include "session/ephemeral.h"

struct conn;
struct pending_join;
struct replay;

enum { RICH_FRAME_MAX_BYTES = 64 * 1024 }; /* of a frame that is no message and no page of them */

/* Of one connection. */
enum {
    RICH_ROOMS_MAX = 100,     /* those it is about to enter included */
    RICH_QUESTIONS_MAX = 128, /* answers on their way; then it is not read from */
    RICH_PAGES_MAX = 3,       /* pages of history on their way; likewise */
    RICH_REQUESTS = 100,      /* in 10 s: all but what the rate is for, if there is one */
};

/* A room the connection is in, or about to be in (then it has no feed yet). */
struct subscription {
    struct ephemeral_member as;
    struct list link;             /* in its session */
    struct pending_join *joining; /* while it is about to enter; not owned */
    struct replay *replay;        /* while its past comes from the store; owned */
    int64_t since_ms;             /* 1970 */
    char *name;    /* it is known by in this room, if not by the connection's first */
    bool answered; /* the join was, with joined or an error */
    bool typing;   /* as the others were told */
    uint8_t name_len;
    uint8_t room_len;
    uint8_t ref_len; /* of the join, until it is answered */
    char text[];     /* room, ref */
};

/* A frame for a room that is being entered, or whose answer is long while the client has yet to
 * take what it was sent. One at most: what is behind it stays in the socket. */
struct rich_waiting {
    size_t len;
    char json[];
};

struct rich {
    struct list subscriptions;
    struct list asked;            /* questions that are not answered yet (rich_ask.c) */
    struct rich_waiting *waiting; /* then nothing is read until its time has come; owned */
    uint8_t subscription_count;
    uint8_t questions; /* asked of the store or the workers, not answered yet */
    uint8_t pages;     /* those of them for a page of history */
    bool asks_members; /* who is in a room; then nothing is read until that is answered */
    bool new_guest;    /* its key is one that it was given here */
    bool expiry_told;  /* that its token ends */
    uint8_t home_len;
    uint64_t typing_next_ms;
    uint64_t requests_next_us;
    struct subscription *home; /* NULL once it was left */
    char home_name[];
};

#endif
