/* What is given to a journal; apart, since many submit and few need to know the journal. */
#ifndef JOURNAL_SUBMISSION_H
#define JOURNAL_SUBMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "store/store.h"

/* An event on its way, and what became of it. */
struct submission {
    struct slice room; /* set by room_submit, as is epoch: EVENT_EPOCH_LEN bytes */
    const char *epoch;
    struct store_event event; /* borrowed; seq is set, and ts_ms if dup */
    int64_t now_ms;           /* since 1970, by a clock that does not jump: for nonces */
    void *tag;                /* comes back in store_done, iff 0 is returned and !dup */
    struct slink *waiter;     /* the caller's, for a dup whose first is not committed yet */
    bool dup;     /* the nonce was seen: nothing was submitted, seq and ts_ms are of the first */
    bool waiting; /* the waiter was taken; journal_settle gives it back */
};

#endif
