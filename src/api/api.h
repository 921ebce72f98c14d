/* The HTTP API, docs/api.md.
 *
 * One request of the API on a connection is a call (api_call.h). It is owned by the connection, as
 * c->api, from its head to its answer; while it waits for the store or another worker the
 * connection is held, so that answers keep the order of the requests. What other threads have is
 * never the call but a question, which finds its call by the connection's name or nobody. A call
 * that ends before its answer came closes its connection, so a late answer never finds another one.
 *
 * Whoever has the key may do everything: read, post under any name, change any message. No CORS
 * headers are sent, so no page of another origin can use it. Worker's thread. */
#ifndef API_API_H
#define API_API_H

#include "http/http_session.h"

extern const struct http_api api_http;

#endif
