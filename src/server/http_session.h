/* The HTTP life of a connection: request heads in, answers out, or an upgrade to a WebSocket.
 * Worker's thread. */
#ifndef SERVER_HTTP_SESSION_H
#define SERVER_HTTP_SESSION_H

#include <stddef.h>
#include <stdint.h>

struct conn;

/* Consumes at most one request head, or bytes of one body, see conn.h. */
size_t http_on_input(struct conn *c, uint8_t *data, size_t len);

/* The connection is dropped: its header of the PROXY protocol is none, or not to be believed. */
void http_on_bad_proxy(struct conn *c, const char *why);

/* Answers what has come of a request with this error, as its last. */
void http_refuse(struct conn *c, int err);

/* The time for a request head, or between two, is over. */
void http_on_timeout(struct conn *c);

#endif
