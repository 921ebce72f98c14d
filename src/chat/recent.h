/* The recent past of a log that keeps it: which of the kept frames is which event.
 *
 * Why: a member that comes back should cost a cursor, not a query. As long as its `since` is not
 * older than from_seq, everything it missed lies in the chunks, already encoded, and five thousand
 * members that come back at once share it.
 *
 * Invariants (under the room's lock)
 *  1. The entries are in order of seq and of offset; an entry's offset is where its frame begins.
 *  2. Every event of this log with from_seq < seq <= head of the room has an entry.
 *  3. The kept chunks hold at least what the entries name.
 *
 * Caps: RECENT_MAX entries, RECENT_MAX_BYTES of chunks, and what retention allows; over all rooms
 * the hub's memory budget, which forgets whole logs. */
#ifndef CHAT_RECENT_H
#define CHAT_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "chat/frame_log.h"

enum {
    RECENT_MAX = 1000, /* protocol.md section 6: more are never replayed at once */
    RECENT_MAX_BYTES = 512 * 1024,
};

struct recent_entry {
    uint64_t seq : 63;
    uint64_t message : 1; /* not a change of one */
    int64_t ts_ms;
    uint64_t offset;
};

struct recent {
    struct recent_entry *entries;
    uint32_t start; /* of the first entry in use */
    uint32_t count;
    uint32_t cap;
    bool filled; /* as much of the past as is wanted was read from the store already */
    uint64_t from_seq;
};

/* Room for one more entry. ERR_NOMEM. */
int recent_reserve(struct recent *r);

/* Notes a committed frame; there is room. Then trims to the limits. */
void recent_note(struct recent *r, struct frame_log *log, const struct recent_entry *e,
                 const struct recent_limits *limits);

/* Lets go of what is older than the limits' age; whether there was any. */
bool recent_expire(struct recent *r, struct frame_log *log, int64_t now_ms,
                   const struct recent_limits *limits);

/* Forgets everything up to head. */
void recent_forget(struct recent *r, struct frame_log *log, uint64_t head);

/* Takes over older events, in order, which have been encoded into `older` and lie right before what
 * is known; from_seq becomes the given one. offset of the entries is in older. ERR_NOMEM: nothing
 * changed. */
struct recent_past {
    struct frame_log older;
    struct recent_entry *entries;
    uint32_t count;
    uint64_t from_seq;
};
int recent_prepend(struct recent *r, struct frame_log *log, struct recent_past *past);

/* Drops the oldest of it until it is within max_bytes of frames or has one entry. */
void recent_past_trim(struct recent_past *past, uint64_t max_bytes);

/* Number of entries with a larger seq. */
uint32_t recent_after(const struct recent *r, uint64_t seq);

/* Number of entries from the n-th newest message on; all if there are fewer. *complete: there were
 * n. */
uint32_t recent_newest(const struct recent *r, unsigned n, bool *complete);

/* Sets the cursor, at rest, to the newest `count` entries (at least one). */
void recent_seek(const struct recent *r, const struct frame_log *log, uint32_t count,
                 struct cursor *c);

/* Memory it takes, chunks included. */
uint64_t recent_bytes(const struct recent *r, const struct frame_log *log);

/* Memory of the entries alone. */
uint64_t recent_index_bytes(const struct recent *r);

void recent_fini(struct recent *r);

#endif
