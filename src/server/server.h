/* The server: workers, their listeners, and what they share. main fills the options, starts, waits
 * for a signal, drains. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/options.h"

struct server;
struct store;
struct store_options;

/* What is there before the store is opened. NULL after having logged why not. */
struct server *server_new(const struct server_options *options);

/* Fills in the store's callbacks that tell how it is. */
void server_store_options(struct server *server, struct store_options *out);

/* Takes the store and the journal that works with it, binds every address and starts the worker
 * threads, which inherit the caller's signal mask. ERR_IO after having logged why not; server_free
 * has to follow in any case. */
int server_start(struct server *server, struct store *store, struct journal *journal);

/* Stops listening and closes every WebSocket with 1012, paced; the workers end when the last is
 * gone or drain_timeout_ms is over. `now` ends them without waiting. Returns at once. Any thread.
 */
void server_drain(struct server *server, bool now);

/* Waits until a drained server's workers have ended, closes the store, then frees it all, the
 * journal too. */
void server_free(struct server *server);

/* True once all workers have ended. Any thread. */
bool server_ended(const struct server *server);

#endif
