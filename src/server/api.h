/* The HTTP API, docs/api.md: what http_session.c and conn.c need of it.
 *
 * One request of the API on a connection is a call (api_call.h). It is owned by the connection, as
 * c->api, from its head to its answer; while it waits for the store or another worker the
 * connection is held, so that answers keep the order of the requests. What other threads have is
 * never the call but a question, which finds its call by the connection's name or nobody. A call
 * that ends before its answer came closes its connection, so a late answer never finds another one.
 *
 * Whoever has the key may do everything: read, post under any name, change any message. No CORS
 * headers are sent, so no page of another origin can use it. Worker's thread. */
#ifndef SERVER_API_H
#define SERVER_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct api_call;
struct conn;
struct http_request;

/* A request head whose path begins with API_PREFIX: answers it, or begins a call. */
void api_on_request(struct conn *c, const struct http_request *r);

/* Bytes behind the head of a call that waits for its body; returns how many of them it took. */
size_t api_on_body(struct conn *c, const uint8_t *data, size_t len);

/* Everything that was sent for a call has left; one that streams goes on. */
void api_on_writable(struct conn *c);

/* Memory of what came of a body. */
size_t api_input_bytes(const struct api_call *call);

/* Ends the call with this error, and the connection with it. */
void api_refuse(struct conn *c, int err);

/* The time for a body, or for an answer, is over. */
void api_on_timeout(struct conn *c);

/* The connection goes: frees its call, if it has one. */
void api_drop(struct conn *c);

#endif
