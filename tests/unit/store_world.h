/* What the tests of the store share: an opened store, what its callbacks have seen, questions asked
 * and waited for; and the table of backends (in store_world.c), against each of which the tests of
 * what every store promises are run. */
#ifndef TESTS_STORE_WORLD_H
#define TESTS_STORE_WORLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "store/store.h"

enum { WORLD_WAIT_S = 60 };

/* In a child process, where cmocka's assertions do not work. */
#define NEED(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "line %d: %s\n", __LINE__, #cond);                                     \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

extern const char world_epoch[];

/* A store_done, which is only good during its call. */
struct completion {
    void *tag;
    uint64_t seq;
    int err;
    bool mark;
};

/* What the callbacks have seen. */
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t count;
    size_t failed;
    size_t calls;
    size_t turns;                /* of health */
    const struct store *watched; /* or NULL: told_first is whether it was healthy when it failed */
    bool told_first;
    size_t troubles;
    int trouble_code; /* of the last one */
    size_t upgrades;  /* of the file */
    size_t notices[STORE_NOTICE_COUNT];
    uint64_t notice; /* the number of the last one */
    bool hold;       /* on_done waits, so that appends pile up */
    struct completion *done;
};

struct world;
struct CMUnitTest;

/* An implementation of the store; and what a test may ask of it where not all are the same. */
struct world_backend {
    const char *name; /* of the group, and behind the name of each test, in what cmocka prints */
    struct store *(*open)(const struct world *w, struct store_options o);
    void (*check)(const char *path); /* of a closed store, expects that it is sound; or NULL */
    bool refuses_when_full;          /* can do without store_limits.trim_when_full */
    bool durable;                    /* what is committed is there when it is opened again */
    bool one_file;                   /* all of it is in the file world.path */
    bool indexed; /* loading, listing and searching do not walk over the events of a room */
};

struct world {
    const struct world_backend *backend;
    bool quiet; /* does not tell why a file cannot be opened */
    bool sound; /* at the end the file has to pass the check of its backend */
    char dir[64];
    char path[96];
    struct seen seen;
    size_t put; /* by world_put and world_mark */
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
    size_t marks;
    bool more_before;
    bool more_after;
    uint64_t total;
    char shown[8192]; /* the whole answer as text, see world_expect_page */
    size_t shown_len;
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
int64_t world_now_ms(void); /* of a clock that does not go back */

/* A counter of seen, under its lock. */
size_t world_count(struct seen *seen, const size_t *counter);

bool world_wait_health(struct store *s, bool healthy);
/* Fills in what world_open gives to a store. */
void world_callbacks(struct world *w, struct store_options *o);
struct store *world_open(struct world *w, struct store_options o);
int world_add(struct world *w, const char *room, uint64_t seq, struct slice message);

/* Appends the event to the room, with a ts_ms of its seq and by "ann" unless it says otherwise, and
 * expects that it is accepted. */
void world_put(struct world *w, const char *room, struct store_event e);

/* Puts the event while nothing else is in flight, and returns when its on_done holds the writer,
 * who then takes nothing more: until world_hold is called with false. */
void world_hold_writer(struct world *w, const char *room, uint64_t seq);

/* Moves a read marker of the room, and expects that it is accepted. */
void world_mark(struct world *w, const char *room, const char *user, uint64_t seq);

/* Waits until all that was put is committed, without an error. */
void world_settle(struct world *w);

void world_fill(struct world *w, const char *room, uint64_t from, uint64_t to);

/* Waits for the child process, which has to exit and not to die of a signal. */
int world_exit_status(pid_t child);

/* Closes the store; a child process opens it, fills room r and ends without closing it, as if it
 * was killed: the -wal has events that nothing else has. */
void world_fill_and_die(struct world *w, uint64_t from, uint64_t to);

void answer_on_room(void *ctx, int err, const struct store_loaded *loaded);
void answer_on_page(void *ctx, int err, const struct store_page *page);
void answer_on_rooms(void *ctx, int err, const struct store_rooms *rooms);
void answer_init(struct answer *a);
int answer_wait(struct answer *a);
int world_load(struct world *w, const char *room, struct answer *a);
int world_ask(struct world *w, const struct store_query *q, struct answer *a);
int world_search(struct world *w, const struct store_search *q, struct answer *a);

/* Asks again for as long as the search gave up waiting for the index: it may have missed something,
 * or been refused. */
int world_search_indexed(struct world *w, const struct store_search *q, struct answer *a);
int world_list(struct world *w, const char *after, unsigned limit, struct answer *a);

/* The page as text: of each event its seq, the letter of its kind (m e d r u) and "=" and its
 * message if there is one; "!" if it is deleted, "~" and edited_ms if that is set, and in braces
 * its reactions. Then "<" and ">" for more_before and more_after, and "#" and total if that is set.
 */
void world_expect_page(struct world *w, const struct store_query *q, const char *want);

/* The newest 100 of room, with reactions. */
void world_expect(struct world *w, const char *room, const char *want);

/* The seqs found in room by the text, and "<" for more_before. Asks again when the search gave up
 * waiting for the index; one that did not wait so long has to know everything. */
void world_expect_found(struct world *w, const char *room, const char *text, const char *want);

/* Runs the SQL, which may be several statements, on the file of a closed store, and expects that it
 * succeeds. */
void world_sql(const char *path, const char *sql);

/* The file of a closed store: what SQLite itself checks, what has to be true between its tables,
 * and that the index for search holds exactly the messages it should. */
void world_check_file(const char *path);

/* Makes of the file of a closed store what one of schema 3, or 5, had. */
void world_to_schema_3(const char *path);
void world_to_schema_5(const char *path);

void world_remove_files(const struct world *w);

/* Run in main the tests of an array, and return how many have failed: with each backend in turn,
 * whose name stands behind that of a test, or those for SQLite alone. Each test has a world of its
 * own; one with its own setup calls world_setup there. */
#define WORLD_RUN_EVERY(tests) world_run_every((tests), sizeof(tests) / sizeof *(tests))
#define WORLD_RUN_SQLITE(tests) world_run_sqlite((tests), sizeof(tests) / sizeof *(tests))
int world_run_every(const struct CMUnitTest *tests, size_t count);
int world_run_sqlite(const struct CMUnitTest *tests, size_t count);
int world_setup(void **state);
int world_teardown(void **state);

#define world_page(w, name, towards, at, most, a)                                                  \
    world_ask(w,                                                                                   \
              &(struct store_query){.room = {(name), strlen(name)},                                \
                                    .direction = (towards),                                        \
                                    .position = (at),                                              \
                                    .limit = (most)},                                              \
              a)

#endif
