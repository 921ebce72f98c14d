/* The WebSocket life of a connection: frames in, control frames answered, messages handed to the
 * session, closing with a code and a reason. Worker's thread. */
#ifndef SERVER_WEBSOCKET_H
#define SERVER_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/ws_frame.h"

struct conn;
struct server_options;

extern const struct conn_ops websocket_ops;

/* The 101 response is sent: the connection is a WebSocket from here on, of c->session. */
void websocket_start(struct conn *c);

/* The largest message that is taken: without a limit of the operator's, memory still has one. */
size_t websocket_message_limit(const struct server_options *o, bool unlimited);

/* A message that is whole; borrowed for the call. */
void websocket_on_message(struct conn *c, struct slice message, bool binary);

/* Counts points of what the peer wastes, see conn.h. False: it is too much, and the connection is
 * closing. */
bool websocket_waste(struct conn *c, unsigned points);

/* Sends a frame of the server's own; rsv1: it is deflated. The second: a text. */
void websocket_send(struct conn *c, enum ws_opcode op, bool rsv1, struct slice payload);
void websocket_send_text(struct conn *c, const uint8_t *text, size_t len);

/* Closes with a code and a reason of at most 123 bytes (RFC 6455 section 7.1.2). */
void websocket_close(struct conn *c, unsigned code, const char *reason);

/* The same with those of an error. */
void websocket_refuse(struct conn *c, int err);

#endif
