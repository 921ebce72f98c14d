/* The questions that wait for a reader of the store, in the order of fairness.
 *
 * Why: one address that asks more than the disk can answer must not make everybody else wait behind
 * it. So there is a queue for each client, and the clients take turns; and what somebody needs to
 * get in at all comes before what is nice to read.
 *
 * Invariants (under the store's lock)
 *  1. A client exists while something of its own waits, and is in the list of turns of each class
 *     in which something does.
 *  2. waiting is the number of requests in all. At STORE_READS_MAX only those are taken whose
 * client has less than STORE_CLIENT_READS_SURE waiting: a few that ask much cannot fill the queue
 * for all others. That of a client other than 0 never passes STORE_CLIENT_READS_MAX. */
#ifndef STORE_STORE_QUEUE_H
#define STORE_STORE_QUEUE_H

#include "base/list.h"
#include "store/store.h"

enum store_class {
    STORE_QUICK,    /* rooms to be loaded, single messages: what entering and changing wait for */
    STORE_PAGES,    /* the rest but searches */
    STORE_SEARCHES, /* apart, since they may have to wait for the index */
    STORE_CLASS_COUNT,
};

enum request_kind { REQUEST_ROOM, REQUEST_PAGE, REQUEST_SEARCH, REQUEST_ROOMS };

/* A question for a reader. */
struct read_request {
    struct slink link;
    enum request_kind kind;
    struct store_asker asker;
    uint64_t after;           /* appends that have to be completed first */
    int64_t patience_us;      /* REQUEST_SEARCH: when to go on without the index */
    struct store_query query; /* of the others: room, position and limit of it */
    struct slice text;        /* REQUEST_SEARCH */
    store_room_fn *on_room;   /* one of the three */
    store_page_fn *on_page;
    store_rooms_fn *on_rooms;
    void *ctx;
    char bytes[]; /* of query.room and text */
};

struct store_client;

struct store_queue {
    struct store_client *clients; /* uthash, by number */
    struct list turns[STORE_CLASS_COUNT];
    unsigned waiting;
    unsigned passed[STORE_CLASS_COUNT]; /* requests of others since its last, while it had some */
};

enum { STORE_QUICK_ROW_MAX = 16 }; /* then the others have a turn: they are not to be starved */

void store_queue_init(struct store_queue *q);

/* Takes the request over. ERR_BUSY (the client has too much waiting) or ERR_NOMEM: the caller keeps
 * it. */
int store_queue_push(struct store_queue *q, struct read_request *r);

/* The next request of the class; NULL if there is none. */
struct read_request *store_queue_first(const struct store_queue *q, enum store_class class);

/* Takes out what store_queue_first gives, which has to exist. Its client is the last from now on.
 */
struct read_request *store_queue_pop(struct store_queue *q, enum store_class class);

#endif
