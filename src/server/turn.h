/* The life of a worker's thread: turn after turn until the server has drained.
 *
 * A turn: timers, deferred input, socket events, tasks, post, mailbox, room flush, expiry, sweep,
 * reap. Time is read once a turn. */
#ifndef SERVER_TURN_H
#define SERVER_TURN_H

#include <stdbool.h>

struct server;
struct server_address;
struct worker;

/* Allocates what the worker owns. ERR_NOMEM or ERR_IO; turn_fini cleans up in any case. */
int turn_init(struct worker *w, struct server *server, unsigned index);
void turn_fini(struct worker *w);

/* Gives back what arrived after the thread had ended. True: there were tasks, which may have posted
 * others to any worker. */
bool turn_empty(struct worker *w);

/* Adds the listening socket of one of the server's addresses; owns fd on success. */
int turn_listen(struct worker *w, int fd, const struct server_address *address);

/* The thread's main function; arg is the worker. */
void *turn_run(void *arg);

#endif
