/* One WebSocket client of the load generator: connects, shakes hands, sends masked frames, cuts the
 * received bytes into frames, answers pings (RFC 6455). It does not fragment and offers no
 * extension; a fragmented, masked or compressed frame from the server ends it as a protocol error,
 * loudly. Single-threaded; the epoll loop is the caller's. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stamp.h"

enum client_state { CLIENT_FREE, CLIENT_CONNECTING, CLIENT_SHAKING, CLIENT_OPEN, CLIENT_DEAD };

/* How a client asks, and so what it is sent: Parlor's three rungs. Every server knows the first. */
enum client_rung { CLIENT_BARE, CLIENT_FULL, CLIENT_RICH };

enum {
    CLIENT_ID_BYTES = 64,       /* of a message id, with its NUL */
    CLIENT_FRAME_MAX = 8 + 250, /* header, mask and payload of client_frame */
};

struct client {
    int fd;
    uint8_t state; /* enum client_state */
    uint32_t room;
    int32_t talker; /* index among the talkers of the room; -1 for a listener */
    struct stamp_hint hint;
    uint16_t seq_at;   /* where the server's number stood in the last message */
    uint64_t last_seq; /* that number */
    uint32_t resumed;  /* texts received since it came back */
    uint32_t rest_len; /* bytes of an unfinished response head or frame, kept between reads */
    uint32_t rest_cap;
    uint8_t *rest;
    uint64_t started_ns;
};

/* What all clients of a run share. */
struct client_net {
    int epfd;
    uint16_t port;                  /* on 127.0.0.1 */
    uint32_t run;                   /* part of the room names, so that runs do not meet */
    enum client_rung rung;          /* CLIENT_BARE unless the caller changes it */
    char (*since)[CLIENT_ID_BYTES]; /* the caller's, by room: the id to resume after, or empty;
                                       NULL: nobody resumes */
    char key[25];                   /* Sec-WebSocket-Key, the same for all clients of the run */
    char accept[29];                /* the answer RFC 6455 section 4.2.2 demands */
    uint8_t *scratch;               /* where every read lands */
    char first_death[160];          /* why the first dead client died; empty while all live */
    uint64_t dead;
    /* Called with each whole text frame. Not called again for a client it has killed. */
    void (*on_text)(void *arg, struct client *c, const char *payload, size_t len);
    void *arg;
};

/* Makes the key and its answer and the read buffer, which client_net_fini frees. -1 if memory is
 * short. */
int client_net_init(struct client_net *net, int epfd, uint16_t port, uint32_t run);
void client_net_fini(struct client_net *net);

/* Begins to connect client number `index` (which goes into epoll's data) from one of eight loopback
 * source addresses, so that ports do not run out. 0, or -1 with the client dead. */
int client_connect(struct client_net *net, struct client *c, uint32_t index, uint64_t now_ns);

/* Handles whatever epoll said about this client: errors show as a failing connect or read. */
void client_on_event(struct client_net *net, struct client *c, uint32_t index);

/* Sends len bytes of ready frames. A server that lets the socket buffer fill up kills the client:
 * the windows of the cases are far smaller than the buffer. */
void client_send(struct client_net *net, struct client *c, const void *bytes, size_t len);

/* Writes one masked frame (RFC 6455 section 5.3) of at most 250 bytes of payload, so at most
 * CLIENT_FRAME_MAX; returns its length. */
size_t client_frame(uint8_t *out, unsigned opcode, const void *payload, size_t len);

/* Marks dead and closes; remembers the first reason. */
void client_kill(struct client_net *net, struct client *c, const char *reason);

/* Closes with a reset, which leaves no TIME_WAIT behind, and frees. */
void client_reset(struct client *c);

#endif
