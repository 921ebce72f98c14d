/* The control log: acts (auth/act.h) in the order in which they were decided, in a room of the
 * journal that no client can name. It is the only way to what holds (auth/control.h): an act is
 * committed, then it holds, then whoever asked is told. At the start all of it is read again.
 *
 * docs/decisions/0016-control-log.md. Any thread, but for open and free. */
#ifndef SERVER_CONTROL_LOG_H
#define SERVER_CONTROL_LOG_H

#include <stdint.h>

#include "auth/act.h"
#include "base/list.h"
#include "proto/id.h"

#define CONTROL_LOG_ROOM "/control"

struct control;
struct control_log;
struct journal;
struct log;
struct store;
struct store_done;

/* Reads the log, and waits for that. NULL after having logged why: who was revoked must not come
 * back because it cannot be read. All is borrowed. */
struct control_log *control_log_open(struct store *store, struct journal *journal,
                                     struct control *control, struct log *log);

/* After the store is closed, and before the journal is freed. NULL is nothing. */
void control_log_free(struct control_log *l);

/* An act that is asked for. */
struct control_request {
    struct slink link; /* the log's */
    struct act act;    /* given back with on_decided */
    struct id id;      /* set before on_decided, as is ts_ms */
    int64_t ts_ms;
    /* It is committed, and holds; or err says why not. Any thread; must not block. */
    void (*on_decided)(struct control_request *r, int err);
};

/* Calls on_decided once, perhaps before it returns. */
void control_log_submit(struct control_log *l, struct control_request *r);

/* An event of the log is decided. The store's writer thread. */
void control_log_on_done(struct control_log *l, const struct store_done *done);

#endif
