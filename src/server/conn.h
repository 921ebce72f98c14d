/* A connection: one socket, from accept to close, on one worker.
 *
 * It speaks HTTP until an upgrade makes it a WebSocket of a room or of the echo route. An idle
 * WebSocket owns this struct and nothing else: input is read into the worker's buffer, output goes
 * straight to the socket, and only what is incomplete or refused by the socket is kept.
 *
 * Output order: `out` has bytes of the connection's own (HTTP responses, pongs, refusals, close
 * frames) that the socket did not take. While it is not empty the member is blocked, and what
 * enters it begins on a frame boundary (feed_take_frame_rest), so a frame of the room and one of
 * our own never mix.
 *
 * Closing has two phases. conn_drop marks and unlinks at once: no timer, room or event knows the
 * connection any more. The worker frees it at the end of the turn. */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "chat/feed.h"
#include "net/socket.h"
#include "net/stream.h"
#include "net/timer.h"
#include "proto/ws_deflate.h"

struct api_call;
struct conn;
struct handshake;
struct identity;
struct listener;
struct replay;
struct rich;
struct room;
struct session_ops;
struct unsent;
struct worker;
struct ws_reader;

/* One setter (conn_set_state) checks the edges. */
enum conn_state {
    CONN_HTTP,    /* reading request heads, answering */
    CONN_OPEN,    /* a WebSocket */
    CONN_CLOSING, /* our last bytes are on their way, or the peer's close frame is; input is ignored
                     but for that */
    CONN_LINGER,  /* our side is shut; waiting for the peer's end, so that no reset overtakes our
                     last bytes */
    CONN_DEAD,    /* unlinked; freed at the end of the turn */
};

/* What is spoken on a connection: HTTP, and WebSocket from the upgrade on. Whatever is called may
 * end the connection. */
struct conn_ops {
    /* Takes of its input; returns how much: 0 if what is there is not whole. May change data. */
    size_t (*on_input)(struct conn *c, uint8_t *data, size_t len);

    /* What it had to send has left. True: the socket takes less than there is besides. */
    bool (*on_writable)(struct conn *c);

    void (*on_timeout)(struct conn *c);

    /* It goes, from whatever state. */
    void (*on_drop)(struct conn *c);

    /* Tells the peer why, and ends it. */
    void (*refuse)(struct conn *c, int err);

    /* Memory of what has come and is not whole, besides c->in. */
    size_t (*input_bytes)(const struct conn *c);
};

enum {
    CONN_OUT_PAUSE_BYTES = 64 * 1024,      /* unsent: stop reading from this peer */
    CONN_OUT_MAX_BYTES = 48 * 1024 * 1024, /* unsent: cut */
    CONN_CLOSE_TIMEOUT_MS = 10000,         /* for the last bytes and the peer's end */
    /* What a peer may waste: a point for each refusal, for each CONN_WASTE_BYTES of what was
     * refused, inflated, and for each ping. With CONN_WASTE_MAX of them not forgiven yet: 1008. */
    CONN_WASTE_MAX = 100,
    CONN_WASTE_FORGIVEN_MS = 500,
    CONN_WASTE_BYTES = 4096,
    CONN_LAG_BURST = 4,          /* times lag-max-bytes that a member may lag for a moment */
    CONN_OVER_TIMEOUT_MS = 1000, /* of one beyond a limit, answer and end included */
    CONN_KEPT_MIN_BYTES = 256, /* input beyond it is counted: no rest of a head or small message */
    /* What is done for one connection before the others have their turn. What is left of its input
     * waits for the next one. */
    CONN_TURN_WORK = 32,
    CONN_FRAME_WORK = 1,    /* of a frame, or message, ... */
    CONN_WORK_BYTES = 4096, /* ... and one more for each so many bytes of it, inflated */
    CONN_HEAVY_BYTES = 512, /* from which on they are counted for the client, too */
    CONN_REQUEST_WORK = 4,  /* of an HTTP request: its answer is a system call of its own */
};

struct conn {
    struct worker *worker;
    struct stream stream;
    struct member member; /* beside fd: a delivery touches these and nothing else. Unused by rich
                             clients, which may be in many rooms */
    struct timer timer;
    union {
        struct {                           /* before the upgrade */
            uint8_t peer[SOCKET_IP_BYTES]; /* who holds the other end, or speaks through a proxy of
                                              bytes, see client.h */
            struct api_call *api;          /* the API's request that is not answered yet; owned */
            struct handshake *handshake;   /* that waits, and holds the input; owned */
        };
        struct {                      /* from then on */
            struct ws_reader *reader; /* of a message that has begun, or NULL; owned, but for the
                                         worker's, which it is while input is looked at */
            uint64_t rate_next_us;    /* when the rate's bucket is full again */
            uint64_t waste_ms;        /* when all that it wasted is forgiven */
            int64_t since_ms;         /* when it began, since 1970 */
        };
    };
    struct ws_past past;
    struct buf in;                     /* received, not consumed */
    struct unsent *out;                /* to send, not taken by the socket; or NULL; owned */
    const struct session_ops *session; /* what is said on it, from before its upgrade to its end */
    union {                            /* of the session; owned */
        struct replay *replay;         /* bare: while its past comes from the store */
        struct rich *rich;
    };
    struct identity *identity; /* who the other end is; a reference */
    union {
        uint64_t last_seen_ms;  /* when it last sent something, or took some of `out` */
        struct conn *next_reap; /* DEAD */
    };
    uint64_t behind_ms;    /* since when its socket takes less than it was offered, or 0 */
    uint32_t guest;        /* number behind the guest name */
    uint16_t head_scanned; /* of `in`, while reading a request head */
    int8_t over_limit;     /* 0, or the error it is turned away with */
    uint8_t state;         /* enum conn_state */
    uint8_t window_bits;   /* of our deflate; 0: not negotiated */
    uint8_t replays;       /* pages of the past that are on their way for it */
    bool upgraded : 1;     /* peer is gone */
    bool kept_alive : 1;   /* between two HTTP requests */
    bool paused : 1;       /* not reading: out is too long */
    bool held : 1;         /* not reading: the request before is not answered yet */
    bool watch_out : 1;    /* EPOLLOUT is on */
    bool peer_ended : 1;   /* read end of file */
    bool awaits_close : 1; /* CLOSING: the peer owes us a close frame */
    bool on_loopback : 1;  /* its listener's address is one */
    bool counted : 1;      /* in the server's connections */
    bool counted_ip : 1;   /* in the server's counts per address, as ip */
    bool trusted : 1;      /* the peer is a proxy that may name the client */
    bool proxied : 1;      /* a header of the PROXY protocol comes first, or came */
    bool proxy_due : 1;    /* it has not come yet */
    bool own : 1;          /* the last request was of a program on this machine, see client.c */
    bool unfinished : 1;   /* a message has begun, and its time runs */
    bool deferred : 1;     /* not reading: the rest of its input waits for the worker's next turn */
    uint8_t ip[SOCKET_IP_BYTES]; /* the client's, see client.h */
    uint32_t kept; /* bytes of its input in memory, as far as they are counted: unfinished messages
                      and requests, and what cannot be looked at yet. Set by client_keep_input */
};

/* Takes over fd, which this listener of the worker has accepted. It may be gone at once, as one
 * beyond a limit. */
void conn_accept(struct worker *w, int fd, const uint8_t peer[static SOCKET_IP_BYTES],
                 const struct listener *l);

/* Turns the connection away with this error: it has CONN_OVER_TIMEOUT_MS left, or less. */
void conn_set_over(struct conn *c, int err);

/* It may stay after all. */
void conn_clear_over(struct conn *c);

/* Ends its session: it is in no room any more. */
void conn_leave(struct conn *c);

/* Closes an open WebSocket for this error of who it is, or what it may do; its session says so in
 * its own words first. The connection may be dead afterwards. */
void conn_end(struct conn *c, int err);

/* The connection that io is part of; NULL if io is of something else, or NULL. */
struct conn *conn_of(struct io *io);

/* The timers' entry point. */
void conn_on_timeout(struct conn *c);

/* The checked setter. */
void conn_set_state(struct conn *c, enum conn_state state);

/* (Re)starts the connection's timer with one of enum timeout. */
void conn_set_timeout(struct conn *c, int timeout);

/* Sends bytes of the connection's own, whole frames or responses, in order with everything else.
 * Keeps what the socket does not take. The connection may be dead afterwards. */
void conn_send(struct conn *c, const void *data, size_t len);

/* After the last conn_send: no more input; shuts our side once everything is sent and, with
 * awaits_close, the peer's close frame is there (RFC 6455 section 7.1.1: then it knows that it was
 * closed, and not cut), for CONN_CLOSE_TIMEOUT_MS at most. */
void conn_finish(struct conn *c);

/* Bytes of a page of history for this connection: so many, but little of what it may lag. */
size_t conn_page_bytes(const struct conn *c, size_t most);

/* Memory is short and it has been behind for long: it has to go, and may come back. */
void conn_close_behind(struct conn *c);

/* Its client has more unfinished input than there is memory for. */
void conn_close_unfinished(struct conn *c);

/* Bytes that closing it gives back, besides c->kept: what it has to send, and what its rooms keep
 * for it, which others may share. */
uint64_t conn_behind_bytes(const struct conn *c);

/* Stops and goes on reading; what was not consumed is presented again. */
void conn_hold(struct conn *c);
void conn_release(struct conn *c);

/* What reads its frames, while its input is looked at: the worker's, unless a message has begun.
 * conn_park_reader follows, which keeps what has begun; if there is no memory for that, the
 * connection is dropped. */
struct ws_reader *conn_take_reader(struct conn *c);
void conn_park_reader(struct conn *c);

/* Whether input is taken: nothing has to be waited for before. */
bool conn_reads(const struct conn *c);

/* Counts what an input handler does, and with how much; it stops where conn_may_work says no. */
void conn_work(struct conn *c, unsigned work, size_t bytes);
bool conn_may_work(const struct conn *c);

/* A further turn for what the last one has left of its input. */
void conn_go_on(struct conn *c);

/* Bytes of our own that the socket has not taken yet. */
size_t conn_unsent(const struct conn *c);

/* Offers them to the socket once more; if it takes some, the peer was seen in this turn. epoll
 * tells only when a third of the socket's buffer is free, which a slow peer may need minutes for.
 */
void conn_offer(struct conn *c);

/* First phase of closing, without another byte. Harmless when dead. */
void conn_drop(struct conn *c);

/* Second phase: frees. */
void conn_free(struct conn *c);

/* struct delivery's functions, for the member of a connection. */
ssize_t conn_deliver(struct member *m, const struct iovec *iov, int n, size_t bytes);
void conn_on_lag(struct member *m, uint64_t lag_bytes);

/* The same for a rich client, whatever room they are of: its rooms share the socket, so it is never
 * left in the middle of a frame; the rest of one goes to `out`. */
ssize_t conn_deliver_frames(struct conn *c, const struct iovec *iov, int n, size_t bytes);
/* on_lag: closes it, unless it was so for a moment only. */
void conn_lags(struct conn *c, const struct room *room, uint64_t lag_bytes);

#endif
