/* Connections beyond a limit. They are worth an answer (503, or 429), and whoever watches a full
 * server asks over just such a connection; but nobody is to hold descriptors with them. So a worker
 * keeps a few, each for CONN_OVER_TIMEOUT_MS. A further one takes the place of the oldest of the
 * client that has most of them: so a client that has one loses it to nobody as long as another has
 * two. Worker's thread. */
#ifndef SERVER_OVERFLOW_H
#define SERVER_OVERFLOW_H

#include <stdint.h>

struct conn;

enum { OVERFLOW_MIN = 2, OVERFLOW_MAX = 128 }; /* of a worker */

struct overflow {
    struct conn *conns[OVERFLOW_MAX]; /* the oldest first */
    uint64_t clients[OVERFLOW_MAX];   /* whose they are, see client_id() */
    unsigned of_client[OVERFLOW_MAX]; /* how many the client of each has */
    unsigned count;
    unsigned most; /* OVERFLOW_MIN..OVERFLOW_MAX: fewer where descriptors are few */
};

/* Puts it in. Returns the one whose place it has taken, which has to go and is out already; NULL:
 * there was a free one. */
struct conn *overflow_add(struct overflow *o, struct conn *c, uint64_t client);

/* Harmless if it is not in. */
void overflow_remove(struct overflow *o, const struct conn *c);

#endif
