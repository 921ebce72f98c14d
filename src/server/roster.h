/* Who is in a room. Members belong to their workers and a room keeps no list of names, so each
 * worker is asked for its own; the answer comes when the last has given it. */
#ifndef SERVER_ROSTER_H
#define SERVER_ROSTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "proto/name.h"
#include "server/task.h"

struct room;
struct server;

enum { ROSTER_MAX = 200 }; /* protocol.md section 5 */

struct roster_name {
    int64_t since_ms; /* 1970 */
    uint8_t len;
    char text[NAME_USER_MAX];
};

struct roster {
    struct task done;      /* the caller's: runs on its worker; frees with roster_free */
    struct worker *caller; /* the caller's */
    struct room *room;     /* a reference */
    atomic_uint left;      /* workers that have not answered */
    pthread_mutex_t lock;
    unsigned count;
    struct roster_name names[ROSTER_MAX];
};

/* Sets up *r, part of the caller's struct, and asks. ERR_NOMEM: nothing will come, *r is as it was.
 * Worker's thread; the caller has a reference on the room or a member in it. */
int roster_ask(struct roster *r, struct worker *caller, struct room *room);

/* Gives back what roster_ask took; the struct itself is the caller's. */
void roster_fini(struct roster *r);

#endif
