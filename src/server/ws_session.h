/* The WebSocket life of a connection: frames in, control frames answered, messages handed to the
 * chat or echoed, closing with a code and a reason. Worker's thread. */
#ifndef SERVER_WS_SESSION_H
#define SERVER_WS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct conn;
struct server_options;

/* The 101 response is sent: the connection is a WebSocket from here on. */
void ws_session_start(struct conn *c);

/* Consumes input, see conn.h. */
size_t ws_session_on_input(struct conn *c, uint8_t *data, size_t len);

/* The largest message that is taken: without a limit of the operator's, memory still has one. */
size_t ws_session_message_limit(const struct server_options *o, bool echo);

/* A ping period is over. */
void ws_session_on_timeout(struct conn *c);

/* The connection broke without a close frame. */
void ws_session_on_lost(struct conn *c);

/* A chat member's message that is whole; json is borrowed for the call. */
void ws_session_on_text(struct conn *c, struct slice json);

/* Counts points of what the peer wastes, see conn.h. False: it is too much, and the connection is
 * closing. */
bool ws_session_waste(struct conn *c, unsigned points);

/* Sends a text frame of the server's own. */
void ws_session_send_text(struct conn *c, const uint8_t *text, size_t len);

/* Closes with a code and a reason of at most 123 bytes (RFC 6455 section 7.1.2). */
void ws_session_close(struct conn *c, unsigned code, const char *reason);

#endif
