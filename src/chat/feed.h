/* A feed: one worker's place in one log, and the members of the room that stand at it.
 *
 * Why: a member that has everything needs no state of its own. The worker keeps one cursor for all
 * of them and, when the room is dirty, sends log[cursor..end] to each with one call. Only a member
 * whose socket would block, or who joined in the middle of a turn, has a cursor of its own.
 *
 * Invariants
 *  1. members[0..current_count) have no cursor; members[current_count..member_count) have one.
 *  2. A clean feed has read everything and is at rest: cursor.chunk is NULL.
 *  3. An own cursor without a chunk stands where the feed stands, and the feed is at rest.
 *  4. Everything is delivered in log order or the member is told to close; nothing is skipped.
 *  5. A dirty feed is on its way to or in its worker's list of dirty feeds; only the worker
 * that takes it from there may free it.
 *
 * Threads: a feed, its members and its cursor belong to one worker. A publisher on another thread
 * touches only `dirty`, `start` and `dirty_link`, while the feed is clean and under the room's
 * lock; the mailbox then hands the feed, and with it these fields, to the worker. And `lost`, at
 * any time. */
#ifndef CHAT_FEED_H
#define CHAT_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "chat/frame_log.h"

struct room;
struct member;

struct feed {
    struct room *room;
    struct list link;        /* in its log's list, under the room's lock */
    struct slink dirty_link; /* owned by whoever turned it dirty, then by the worker's list */
    struct cursor cursor;    /* the worker's */
    struct cursor start;     /* from the publisher: where the first unread chunk begins */
    struct member **members;
    uint32_t member_count;
    uint32_t current_count;
    uint32_t member_cap;
    uint16_t worker;
    uint8_t encoding;
    bool dirty;    /* under the room's lock */
    bool detached; /* left the log while dirty: its worker frees it */
    /* An event could not be put into the log: the members have to resume. Set with dirty, under the
     * room's lock; taken by the worker. */
    atomic_bool lost;
};

/* One connection in one room; embedded in the connection. Zeroed: in no room. */
struct member {
    struct feed *feed;    /* NULL: in no room */
    struct cursor cursor; /* used only behind current_count */
    uint32_t index;       /* in feed->members */
    bool blocked;         /* does not take bytes now; feed_resume says when it does again */
};

/* How bytes leave; filled in by the server. */
struct delivery {
    /* Offers bytes to the member's socket. Returns how many it took; fewer than offered means that
     * it is blocked until feed_resume. Negative: the member is gone, and the callee has already
     * taken it out of the room. Must not publish or join. */
    ssize_t (*send)(struct member *m, const struct iovec *iov, int n, size_t bytes);
    /* The member lags by more than lag_max_bytes: the callee takes it out of the room, or lets it
     * stay, and is asked again at the next flush. 0: an event was lost for lack of memory, and the
     * callee has to take it out. */
    void (*on_lag)(struct member *m, uint64_t lag_bytes);
    uint64_t lag_max_bytes; /* 0: no limit */
    uint64_t frames;        /* counted up: frames completely handed over */
};

enum { FEED_SPAN_MAX = 16 }; /* chunks per send: the rest of a long backlog goes next turn */

/* Adds a member that is up to date (at->chunk NULL and the offset of the feed) or has a place of
 * its own; takes over the reference in *at. ERR_NOMEM: nothing changed, *at still the caller's. */
int feed_add(struct feed *r, struct member *m, struct cursor *at);

/* Takes the member out and gives its chunk back. */
void feed_remove(struct member *m);

/* For a dirty feed. Sends what is new, once, to every member that takes it, and checks the lag of
 * the others. Returns true if there is more to send at once. The caller then settles the feed
 * (room_settle). */
bool feed_flush(struct feed *r, struct delivery *d);

/* The socket of a blocked member takes bytes again: sends from its own place. */
void feed_resume(struct member *m, struct delivery *d);

/* Stops deliveries to the member until feed_resume, e.g. because a frame of the connection's own
 * is only half sent. */
void feed_block(struct member *m);

/* Bytes of the log that are there for a member of a feed, and that it was not sent yet although
 * others were. */
uint64_t feed_lag(const struct member *m);

/* If the member's socket has half a frame of the log, that frame's rest (which the caller has to
 * send before anything else); the member moves on behind it. *rest is appended to, up to max_bytes.
 * Errors as buf_append, the member unmoved. */
int feed_take_frame_rest(struct member *m, struct buf *rest, size_t max_bytes);

/* Checks invariants 1-3 (tests and debug builds). */
void feed_check(const struct feed *r);

#endif
