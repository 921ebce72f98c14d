/* What the tests of the store share: an opened store, what its callbacks have seen, and questions
 * asked and waited for. */
#ifndef TESTS_STORE_WORLD_H
#define TESTS_STORE_WORLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "store/store.h"

enum { WORLD_WAIT_S = 60 };

extern const char world_epoch[];

/* What the callbacks have seen. */
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t count;
    size_t failed;
    size_t calls;
    size_t turns; /* of health */
    bool hold;    /* on_done waits, so that appends pile up */
    struct store_done *done;
};

struct world {
    bool sqlite;
    char dir[64];
    char path[96];
    struct seen seen;
    struct store *store;
};

/* The answer to a question, copied out of its callback. */
struct answer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ready;
    int err;
    struct store_room room;
    size_t count;
    bool more_before;
    bool more_after;
    uint64_t seqs[STORE_PAGE_MAX];
    char text[256]; /* of the first event, all texts in a row */
    size_t text_len;
    struct store_event first;
};

/* Questions wait for their answer and return its error; hold makes on_done wait, so that appends
 * pile up. */
void world_hold(struct seen *seen, bool hold);
void world_wait_done(struct seen *seen, size_t count);
void world_nap(void);

/* A counter of seen, under its lock. */
size_t world_count(struct seen *seen, const size_t *counter);

bool world_wait_health(struct store *s, bool healthy);
struct store *world_open(struct world *w, struct store_options o);
int world_add(struct world *w, const char *room, uint64_t seq, struct slice message);
void world_fill(struct world *w, const char *room, uint64_t from, uint64_t to);
void answer_on_room(void *ctx, int err, const struct store_room *room);
void answer_init(struct answer *a);
int answer_wait(struct answer *a);
int world_load(struct world *w, const char *room, struct answer *a);
int world_ask(struct world *w, const struct store_query *q, struct answer *a);
int world_setup_memory(void **state);
int world_setup_sqlite(void **state);
int world_teardown(void **state);

#define world_page(w, room, direction, position, limit, a)                                         \
    world_ask(w, &(struct store_query){{(room), strlen(room)}, (direction), (position), (limit)}, a)

#endif
