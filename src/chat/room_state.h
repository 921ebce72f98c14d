/* What a room is made of, for the files of this folder alone: to everybody else it is opaque.
 *
 * Invariants (under the lock)
 *  1. A bare log has chunks iff one of its feeds is dirty or one of its members lags. The others
 *     keep their recent past too (recent.h).
 *  2. dirty_count of a log is the number of its feeds, attached or detached, with dirty set.
 *  3. head is the seq of the newest event that is in the logs, or was before they forgot it. What
 *     the journal has given beyond it (order) is delivered when it is safe.
 *  4. Nobody joins or submits before the room is READY: only then its head is known.
 *
 * Lock order: hub, room, store. None is held across a system call that waits. */
#ifndef CHAT_ROOM_STATE_H
#define CHAT_ROOM_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/table.h"
#include "chat/presence.h"
#include "chat/read_markers.h"
#include "chat/recent.h"
#include "chat/room.h"
#include "chat/typing.h"
#include "journal/journal.h"

struct hub;

enum room_state { ROOM_COLD, ROOM_LOADING, ROOM_READY };

struct room_log {
    struct frame_log log;
    struct recent recent; /* unused by the bare ones */
    struct list feeds;
    unsigned dirty_count;
};

struct room {
    pthread_mutex_t lock;
    struct journal_room order;
    uint64_t head;
    uint64_t trimmed_seq; /* what retention may have taken, as far as is known */
    char epoch[EVENT_EPOCH_LEN];
    uint8_t state;     /* enum room_state */
    uint8_t encodings; /* bit e: logs[e] has a feed; spares publishing a look at the others */
    uint8_t filling;   /* bit e: the past of logs[e] is being read from the store */
    uint8_t name_len;
    uint64_t recent_bytes;          /* of the logs, as counted in the hub's sum */
    uint64_t own_bytes;             /* of all but the chunks, as counted in the hub's account */
    struct slink *waits;            /* of struct join: for the load, or for a log to be filled */
    uint64_t load_client;           /* who asked last for the load */
    uint64_t fill_client;           /* and for a log to be filled */
    unsigned loads;                 /* asked for and not answered yet */
    uint64_t loading_seq;           /* the newest event that came meanwhile; 0: none */
    unsigned fills[ENCODING_COUNT]; /* likewise; more than one if more than one client waits */
    struct read_markers markers;
    size_t markers_bytes; /* as they are counted */
    struct presence presence;
    struct typing *typing; /* NULL: nobody types */
    atomic_uint
        ephemerals; /* of both, that workers have yet to give to members (session/ephemeral.h) */
    struct room_log *logs[ENCODING_COUNT]; /* NULL: nobody has wanted it yet, see hub_log_locked */

    /* Under the hub's lock. */
    unsigned refs;         /* feeds, waits, requests to the store, callers */
    struct list warm_link; /* in the hub's list of rooms with a recent past */
    UT_hash_handle hh;     /* in the hub's table, by name */

    atomic_bool used; /* since the hub looked for something to forget */
    struct hub *hub;
    char name[]; /* not terminated */
};

/* Stops if an invariant of the locked room does not hold; of a log that is full of feeds it looks
 * at each. At the beginning and end of what changes a room, in debug builds. */
#ifdef PARLOR_DEBUG
void room_check_locked(const struct room *room);
#else
static inline void room_check_locked(const struct room *room)
{
    (void)room;
}
#endif

#endif
