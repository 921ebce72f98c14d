/* A room: a name, a sequence, and one log per encoding that has a member.
 *
 * Why: a message is numbered and turned into its final frame once per encoding, under the room's
 * own lock (a few microseconds; 150 where it deflates 16 KiB), and from then on only read. Members
 * join at the head of the log in one atomic step, so what has a larger seq arrives and nothing
 * arrives twice. What was said goes to the store in the same step, and what a member missed comes
 * from the recent past of the log or, before that, from the store.
 *
 * Invariants (under the lock)
 *  1. A bare log has chunks iff one of its readers is dirty or one of its members lags. The others
 *     keep their recent past too (recent.h).
 *  2. dirty_count of a log is the number of its readers, attached or detached, with dirty set.
 *  3. seq counts up by one per event and is the number of the newest that the store accepted; head
 *     is the newest that is in the logs. They differ only under `strict`, where an event enters the
 *     logs once it is committed.
 *  4. Nobody joins or publishes before the room is READY: only then its seq is known.
 *
 * Lock order: hub, room, store. None is held across a system call that waits. */
#ifndef CHAT_ROOM_H
#define CHAT_ROOM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/table.h"
#include "chat/frame_log.h"
#include "chat/marks.h"
#include "chat/nonces.h"
#include "chat/presence.h"
#include "chat/recent.h"
#include "chat/typing.h"
#include "proto/id.h"
#include "store/store.h"

struct hub;
struct reader;
struct scribe;

/* What a member receives, protocol.md section 2, each plain or with permessage-deflate. */
enum encoding {
    ENCODING_BARE,
    ENCODING_BARE_DEFLATE,
    ENCODING_FULL,
    ENCODING_FULL_DEFLATE,
    ENCODING_RICH,
    ENCODING_RICH_DEFLATE,
    ENCODING_COUNT,
};

enum {
    ROOM_EPOCH_LEN = STORE_EPOCH_LEN,
    ROOM_DEFLATE_MIN_BYTES = 200, /* below, deflate costs more than it saves */
    ROOM_FRAME_MAX_BYTES = 1 << 26,
    ROOM_HISTORY_DEFAULT = 50, /* messages given to who cannot be resumed */
};

enum room_state { ROOM_COLD, ROOM_LOADING, ROOM_READY };

struct room_log {
    struct frame_log log;
    struct recent recent; /* unused by the bare ones */
    struct list readers;
    unsigned dirty_count;
};

struct room {
    pthread_mutex_t lock;
    uint64_t seq;
    uint64_t head;
    uint64_t trimmed_seq; /* what retention may have taken, as far as is known */
    char epoch[ROOM_EPOCH_LEN];
    uint8_t state;     /* enum room_state */
    uint8_t encodings; /* bit e: logs[e] has a reader; spares publishing a look at the others */
    uint8_t filling;   /* bit e: the past of logs[e] is being read from the store */
    uint8_t name_len;
    uint64_t recent_bytes; /* of the logs, as counted in the hub's sum */
    uint64_t own_bytes;    /* of all but the chunks, as counted in the hub's account */
    struct slink *waits;   /* of struct room_wait: for the load, or for a log to be filled */
    uint64_t load_client;  /* who asked last for the load */
    uint64_t fill_client;  /* and for a log to be filled */
    unsigned loads;        /* asked for and not answered yet */
    unsigned fills[ENCODING_COUNT]; /* likewise; more than one if more than one client waits */
    struct nonces nonces;
    uint32_t waited_nonces; /* those with waiters, which keep the room in memory */
    struct marks marks;
    size_t marks_bytes; /* as they are counted */
    struct presence presence;
    struct typing *typing; /* NULL: nobody types */
    atomic_uint
        whispers; /* of both, that workers have yet to give to members (session/whisper.h) */
    struct room_log logs[ENCODING_COUNT];

    /* Under the hub's lock. */
    unsigned refs;         /* readers, waits, requests to the store, callers */
    struct list warm_link; /* in the hub's list of rooms with a recent past */
    UT_hash_handle hh;     /* in the hub's table, by name */

    atomic_bool used; /* since the hub looked for something to forget */
    struct hub *hub;
    char name[]; /* not terminated */
};

/* An event to be published, and what became of it. */
struct publish {
    struct store_event event; /* borrowed; seq is set, and ts_ms if dup */
    void *tag;                /* comes back in store_done, iff 0 is returned and !dup */
    struct slink *waiter;     /* the caller's, for a dup whose first is not committed yet */
    bool dup;     /* the nonce was seen: nothing was published, seq and ts_ms are of the first */
    bool waiting; /* the waiter was taken, and comes back in struct room_done */
};

/* Numbers the event, hands it to the store and, unless the hub is strict, appends it to every log
 * that has a reader; all of that or, on error, nothing. The caller kicks the store (store_kick)
 * when it has published what it has to for now. Readers that turned dirty are chained by dirty_link
 * into *woken (NULL-terminated), and the caller hands each to its worker. Returns 0, or ERR_STORE,
 * ERR_NOMEM, ERR_TOO_LONG. Any thread. */
int room_publish(struct room *room, struct scribe *s, struct publish *p, struct slink **woken);

/* A read marker to be moved. */
struct reading {
    struct store_mark mark; /* borrowed */
    void *tag;              /* comes back in store_done, iff 0 is returned and !old */
    bool old;               /* the marker is there already, or further on: nothing was to be done */
};

/* Hands the move to the store; the caller kicks it as after room_publish. Returns 0, or
 * ERR_NO_MESSAGE (seq is 0, or beyond the head), ERR_STORE, ERR_NOMEM. Any thread. */
int room_read(struct room *room, struct reading *r);

/* The seq up to which the user has read; 0: not known. Any thread. */
uint64_t room_read_seq(struct room *room, struct slice user);

/* The store has committed the move of a marker: from now on the room knows it. If memory is short,
 * it does so only once it is loaded anew. The store's writer thread. */
void room_on_read(struct room *room, const struct store_mark *mark);

/* The store is done with an event of the room. Under strict: it is delivered now. A nonce is
 * settled; *waiters are those who sent it again. After an error the recent past is forgotten, since
 * the event may be in it. The store's writer thread. */
void room_on_done(struct room *room, struct scribe *s, const struct store_done *done,
                  struct slink **woken, struct slink **waiters);

/* A member of this log that had a cursor of its own needs it no more. */
void room_relax(struct room *room, enum encoding encoding);

/* After reader_flush: true if the reader has read everything (it is clean now), or is detached (it
 * is freed, together with the room if it was the last). False: it stays dirty, flush it again. */
bool room_settle(struct reader *r);

/* Whether members of this encoding can resume, and which events they see. */
static inline bool encoding_keeps(unsigned e)
{
    return e >= ENCODING_FULL;
}

static inline bool encoding_is_rich(unsigned e)
{
    return e >= ENCODING_RICH;
}

static inline bool encoding_is_deflate(unsigned e)
{
    return e & 1;
}

#endif
