/* What the store has to say to an operator, as lines of the log: its health, its trouble, its file.
 */
#ifndef SERVER_STORE_LOG_H
#define SERVER_STORE_LOG_H

#include <stdint.h>

#include "base/buf.h"

struct server;
struct store_options;

/* Fills in the callbacks, and ctx. They are called on the store's threads. */
void store_log_options(struct server *s, struct store_options *o);

/* While the store fails, an event of this room was refused, or this client (SOCKET_IP_BYTES) is
 * told of one; either may be NULL. Any thread. */
void store_log_refused(struct server *s, struct slice room, const uint8_t *ip);

#endif
