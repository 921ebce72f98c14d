/* Whose a connection is, and what that one still may do. c->peer is who holds the other end of the
 * socket, or whom the PROXY protocol names; c->ip is the client that limits, budgets and logs go
 * by: the peer, unless it is a trusted proxy that names another (docs/decisions/0006). An IPv6
 * client is a /64, and c->ip its first address.
 *
 * A peer that is no trusted proxy is counted when it is accepted, so that it needs to say nothing
 * to be over its limit; the client of a proxy is counted while a request of its own
 * is being answered or its WebSocket is open, since one connection may bring requests of many.
 * Worker's thread. */
#ifndef SERVER_CLIENT_H
#define SERVER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "server/budget.h"

struct conn;
struct http_request;
struct proxy_source;

/* The client as a number that nobody can choose, and never 0. */
uint64_t client_id(const struct conn *c);

/* c->peer is accepted. Returns 0, or why it is to be turned away: ERR_FULL, ERR_MANY_CONNECTS. */
int client_on_accept(struct conn *c);

/* The peer, a trusted one, began with this header. Returns as client_on_accept. */
int client_on_proxy(struct conn *c, const struct proxy_source *source);

/* A request on the connection: sets c->ip. Returns as client_on_accept. */
int client_on_request(struct conn *c, const struct http_request *r);

/* The request is a handshake: it is what a connection is of a peer that is no proxy. Returns 0 or
 * ERR_MANY_CONNECTS. */
int client_on_handshake(struct conn *c);

/* The request is answered, and the connection stays for further ones, perhaps of other clients. */
void client_on_answered(struct conn *c);

/* The connection is gone. */
void client_on_drop(struct conn *c);

/* Takes one from the client's budget, or tells that there is none left. True for whoever has none:
 * the API, and loopback as long as that is exempt. */
bool client_take(struct conn *c, enum budget_kind kind);

/* The same for what weighs so many bytes for others: one for each KiB begun, see budget_take. */
enum { CLIENT_TOKEN_BYTES = 1024 };
bool client_take_bytes(struct conn *c, enum budget_kind kind, size_t bytes);

/* True if client_take would be; nothing is taken. */
bool client_may(struct conn *c, enum budget_kind kind);

/* Time until the budget behind this error has one again, 0 if it is none of a budget's. */
uint32_t client_wait_ms(struct conn *c, int err);

/* The connection keeps so much of its client's input from now on, see c->kept: counts it. False:
 * that is more than the client's share, and the connection has to go (or nothing was counted, for
 * lack of memory). Less than before is always true. */
bool client_keep_input(struct conn *c, uint32_t bytes);

/* Takes memory for what the client keeps of its compression, 2^bits bytes, out of the server's
 * account for that, after giving back what it had; bits 0 takes none. False: there is not enough
 * left, or the client has its share. */
bool client_keep_past(struct conn *c, unsigned bits);

#endif
