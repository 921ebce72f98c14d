/* The journal: what came after what in a room, whether it was said before, and when it is safe.
 *
 * Why: a room only has to show events in their order. Who gives them their order is another matter:
 * on one machine it is a counter under the room's own lock (local.h), and what it numbers is
 * delivered in the same step; several machines have to ask something that all of them believe, and
 * deliver what comes back from there. So a room submits an event (room_submit) and delivers what is
 * numbered (room_deliver), and does not know how far apart the two are.
 *
 * Promises
 *  1. The seqs of a room grow, over crashes too, and none is given twice. They may have gaps, and
 *     nobody may draw conclusions from that none is there.
 *  2. An event is delivered once, in the order of seqs: to the sink while it is submitted, or, if
 *     the journal is late, by room_deliver when it is safe.
 *  3. What was taken (0, and no dup) is decided once: a store_done with its tag comes to the
 *     on_done that the store was opened with.
 *
 * A room has its struct journal_room; whatever has one as an argument is called under the lock of
 * that room, but for journal_load, whose room nobody else knows yet. */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "journal/nonces.h"
#include "journal/submission.h"
#include "store/store.h"

struct journal;

/* What a journal knows of a room in memory. Zeroed: a room in which nothing was ever said. */
struct journal_room {
    uint64_t seq;           /* the newest that was given, or may have been: the head of a room that
                               was just loaded */
    struct nonces nonces;   /* of the last minutes */
    uint32_t waited_nonces; /* those with waiters, which keep the room in memory */
};

/* The room, to a journal that is not late: prepare, for all that can fail, then deliver. The event
 * has its seq. */
struct journal_sink {
    int (*prepare)(struct journal_sink *sink, const struct store_event *e);
    void (*deliver)(struct journal_sink *sink, const struct store_event *e);
};

struct journal_ops {
    int (*load)(struct journal *j, const struct store_loaded *loaded, struct journal_room *out);
    int (*submit)(struct journal *j, struct journal_room *r, struct submission *s,
                  struct journal_sink *sink);
    int (*move_mark)(struct journal *j, const struct store_move *m);
    void (*settle)(struct journal *j, struct journal_room *r, const struct store_done *done,
                   struct slink **waiters);
    void (*kick)(struct journal *j);
    void (*free)(struct journal *j);
};

/* First in the struct of each. */
struct journal {
    const struct journal_ops *ops;
    bool late;   /* delivers by room_deliver, not in journal_submit */
    bool shared; /* others submit, too: a load may not have waited for what they said */
};

/* What the store says of a room becomes what the journal knows of it. out is zeroed; ERR_NOMEM: it
 * is to be freed all the same. A reader thread of the store. */
static inline int journal_load(struct journal *j, const struct store_loaded *loaded,
                               struct journal_room *out)
{
    return j->ops->load(j, loaded, out);
}

/* Takes the event, a copy of it; tells the sink if it is not late. The journal begins with it at
 * the next journal_kick, or before. Returns 0; or, and nothing has changed, ERR_STORE (not now),
 * ERR_STORE_FULL, ERR_NOMEM, ERR_TOO_LONG (a text), or what sink->prepare returned. Never blocks.
 * Any thread. */
static inline int journal_submit(struct journal *j, struct journal_room *r, struct submission *s,
                                 struct journal_sink *sink)
{
    return j->ops->submit(j, r, s, sink);
}

/* Takes a read marker; as store_move_mark. Any thread. */
static inline int journal_move_mark(struct journal *j, const struct store_move *m)
{
    return j->ops->move_mark(j, m);
}

/* An event is decided: its nonce may be used again, or never. *waiters are those who sent it again
 * and wait for that. Any thread. */
static inline void journal_settle(struct journal *j, struct journal_room *r,
                                  const struct store_done *done, struct slink **waiters)
{
    j->ops->settle(j, r, done, waiters);
}

/* What was taken is on its way from now on: to be called when a thread has submitted all that it
 * has to for now, without locks. Any thread. */
static inline void journal_kick(struct journal *j)
{
    j->ops->kick(j);
}

/* NULL is ignored. The store it works with is closed already. */
static inline void journal_free(struct journal *j)
{
    if (j) j->ops->free(j);
}

/* Of what it knows of a room. */
static inline size_t journal_room_bytes(const struct journal_room *r)
{
    return nonces_bytes(&r->nonces);
}

/* Forgets up to max_steps nonces that are old; returns how many. */
static inline size_t journal_room_expire(struct journal_room *r, int64_t now_ms, size_t max_steps)
{
    return nonces_expire(&r->nonces, now_ms, max_steps);
}

/* Somebody waits in it, who has no other reference. */
static inline bool journal_room_is_waited(const struct journal_room *r)
{
    return r->waited_nonces > 0;
}

static inline void journal_room_fini(struct journal_room *r)
{
    nonces_fini(&r->nonces);
}

#endif
