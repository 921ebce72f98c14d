/* The WebSocket handshake as HTTP has it (RFC 6455 section 4.2): reading it, and its two ends.
 * Worker's thread. */
#ifndef HTTP_HTTP_HANDSHAKE_H
#define HTTP_HTTP_HANDSHAKE_H

#include <stdbool.h>

#include "base/buf.h"
#include "http/http_answer.h"
#include "proto/ws_handshake.h"

struct conn;
struct http_request;

/* Reads it, and takes memory for what the client keeps of its compression. False: it is none that
 * can be taken, and was answered. */
bool http_handshake_read(struct conn *c, const struct http_request *r, struct ws_handshake *h);

/* Sends the 101 and turns the connection into a WebSocket. False: it did not come to that, and was
 * answered as m says, or dropped. */
bool http_handshake_finish(struct conn *c, struct http_manner m, const struct ws_handshake *h,
                           struct slice subprotocol);

/* Why somebody is refused. */
struct http_refusal {
    int err;
    const char *text; /* says more than the table's; UTF-8 */
};

/* Refuses who asks by a close code, since a browser would hide the status of a refused handshake
 * from its page; before that in a frame of the kind that the client asked for, which it may show as
 * it shows others. */
void http_handshake_refuse(struct conn *c, struct http_manner m, const struct ws_handshake *h,
                           struct slice subprotocol, const struct http_refusal *refusal);

/* Whether the page that asks may (origin_gate.h), in the session that c has already. False: it was
 * told why not. */
bool http_handshake_may(struct conn *c, const struct http_request *r, const struct ws_handshake *h,
                        struct slice subprotocol);

#endif
