/* What an implementation of the store provides: blocking functions, called by the threads of the
 * store that are named here. No queue, no thread and no retry of its own.
 *
 * The writer's calls come as begin, put..., commit or rollback, never nested; a put that returns
 * ERR_STORE_ORDER, ERR_ROOMS_FULL or ERR_STORE_FULL has changed nothing and the batch goes on; any
 * other error of begin, put or commit is followed by rollback. If that error is ERR_STORE_DAMAGED,
 * something in the batch cannot be stored, though the rest may be: it is done again in parts, and
 * what fails with that as the only one of its transaction is refused, at last with what was not
 * even tried because much in its room was. After any other error comes recover, until that
 * succeeds. Readers run beside the writer and see committed batches only. */
#ifndef STORE_STORE_BACKEND_H
#define STORE_STORE_BACKEND_H

#include <stdatomic.h>

#include "store/store.h"
#include "store/store_answer.h"
#include "store/store_record.h"

struct store_backend;

enum { STORE_WRITER = STORE_READERS_MAX }; /* beside the numbers of readers */

/* When retention has something to do. */
enum trim_need {
    TRIM_NONE, /* not before something is written, or gets too old */
    TRIM_SOON, /* at the end of the pause */
    TRIM_NOW,
};

struct store_backend_ops {
    /* Writer thread. 0, ERR_STORE, ERR_STORE_DAMAGED or ERR_NOMEM. put also changes what the
     * event's target has become, and takes markers as well as events (r->mark). */
    int (*begin)(struct store_backend *b);
    int (*put)(struct store_backend *b, const struct store_record *r);
    int (*commit)(struct store_backend *b);
    void (*rollback)(struct store_backend *b);

    /* After the transactions of a batch: its records with ERR_STORE_DAMAGED were accepted, are
     * refused alone, and have to count as an outage of their rooms. 0, or ERR_STORE: they are not
     * alone, no event could be stored. NULL: never ERR_STORE_DAMAGED. */
    int (*refuse)(struct store_backend *b, struct slink *batch);

    /* After a failure: makes sure that nothing of the failed batch can come back, and counts the
     * outage, so that no seq that was accepted and lost is given again. An error as long as
     * no event could be stored. */
    int (*recover)(struct store_backend *b);

    /* Looks whether the files are still what they should be: before each batch and each step of the
     * others, and every second. 0 or ERR_STORE; recover follows. NULL: there are none. */
    int (*look)(struct store_backend *b);

    /* One step of retention: looks at some rooms, removes about STORE_TRIM_MAX events in a
     * transaction of its own. *trimmed is set to their number. Sets b->trim_need. A room with
     * damage is passed over, which trouble tells of; that is no error. Errors of put, as of index:
     * messages do not wait for what damage does to them. Also ERR_BUSY: another program writes. */
    int (*trim)(struct store_backend *b, int64_t now_ms, uint64_t *trimmed);

    /* One step of indexing for search, in a transaction of its own; *more is set to false when
     * everything committed is indexed. NULL: search needs no index. */
    int (*index)(struct store_backend *b, bool *more);

    /* Turns the text of a store_search into what `search` takes, appended to out. 0, ERR_NOMEM, or
     * ERR_BAD_REQUEST: no word. Any thread. */
    int (*parse)(struct store_backend *b, struct slice text, struct buf *out);

    /* Reader thread number `reader`. 0, ERR_NOT_FOUND, ERR_STORE_READ or ERR_NOMEM; also on error
     * they leave what they have collected in out, and the caller frees it. load adds the nonces of
     * messages newer than since_ms and the markers, page fills in reactions and total too. The text
     * of search is what parse has made. */
    int (*load)(struct store_backend *b, unsigned reader, struct slice room, int64_t since_ms,
                struct store_load *out);
    int (*page)(struct store_backend *b, unsigned reader, const struct store_query *q,
                struct store_answer *out);
    int (*search)(struct store_backend *b, unsigned reader, const struct store_search *q,
                  struct store_answer *out);
    int (*list)(struct store_backend *b, unsigned reader, struct slice after, unsigned limit,
                struct store_room_list *out);

    /* Why the last call of the writer failed. Static, or valid until its next call. Writer thread.
     */
    const char *(*reason)(struct store_backend *b);

    /* Fills in text, code, os_error and damage of what the last call of this reader, or of the
     * writer for STORE_WRITER, met; false: nothing since it was asked last. Its own thread. NULL:
     * nothing can be met. */
    bool (*trouble)(struct store_backend *b, unsigned who, struct store_trouble *out);

    /* After all threads have ended. clean: every append that was accepted is committed. Frees b. */
    void (*close)(struct store_backend *b, bool clean);
};

/* First member of an implementation's own struct. */
struct store_backend {
    const struct store_backend_ops *ops;
    struct store_keep keep; /* set by store_start, as are the limits */
    struct store_limits limits;

    /* The implementation's, on the writer's thread: before store_start, in commit and in trim. */
    int64_t newest_ms; /* ts_ms of the newest event at start; 0: none */
    enum trim_need trim_need;
    bool trims_rooms; /* it makes place, see limits.trim_when_full; set by it, cleared by its caller
                       */

    /* Written on the writer's thread, read by any. */
    atomic_uint_fast64_t rooms;
    atomic_uint_fast64_t bytes;
    atomic_bool full;            /* appends are refused */
    atomic_uint_fast64_t faults; /* for the statistics */

    bool failing; /* at the start: recover has to succeed before anything is put */
};

/* Starts the threads. Takes the backend, also on error (then it is closed as clean). NULL if memory
 * or threads are short. */
struct store *store_start(struct store_backend *b, const struct store_options *options);

/* Fills it with random bytes that nobody can guess; false: the system has none. */
bool store_make_secret(uint8_t out[static STORE_SECRET_BYTES]);

/* Readers that store_start will run for these options. */
unsigned store_reader_count(const struct store_options *options);

#endif
