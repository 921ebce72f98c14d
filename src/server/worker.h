/* A worker: one thread, one loop, its own listeners, its own connections. Everything here belongs
 * to that thread, except what is marked shared. What it does in a turn is in turn.h. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chat/encoder.h"
#include "chat/feed.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/timer.h"
#include "ops/metrics.h"
#include "server/fair_queue.h"
#include "server/options.h"
#include "server/task.h"

struct budgets;
struct conn;
struct guarded_clock;
struct hub;
struct outage;
struct overflow;
struct peer_counts;
struct occupants;
struct ws_inflater;
struct ws_reader;

enum {
    WORKER_EVENTS_MAX = 512,        /* socket events handled in a turn */
    WORKER_EXPIRY_MS = 1000,        /* between two looks at whose token has ended */
    WORKER_EXPIRY_WARN_MS = 60000,  /* before it ends, its owner is told */
    WORKER_ACCEPTS_MAX = 64,        /* connections accepted per listener and turn */
    WORKER_READ_BYTES = 64 * 1024,  /* read from one connection in a turn */
    WORKER_REST_BYTES = 128 * 1024, /* of a connection's unconsumed input before them */
    WORKER_ACCEPT_PAUSE_MS = 100,   /* when descriptors or memory for sockets ran out */
    WORKER_DRAIN_TICK_MS = 10,
    WORKER_SWEEP_MS = 1000,      /* between two looks for what time takes away */
    WORKER_PRESSURE_MS = 100,    /* between two looks whether memory is short */
    WORKER_PRESSED_MS = 10,      /* while it is, and for each ... */
    WORKER_PRESSED_SLOTS = 1000, /* ... so many connections a ms more */
    WORKER_WEIGH_MS = 200,      /* from then on until somebody is closed: all workers have looked */
    WORKER_BEHIND_MS = 1000,    /* who is behind for so long may have to go then */
    WORKER_BEHIND_BYTES = 4096, /* unless what it has yet to take is less */
    WORKER_DRAIN_MIN_PER_TICK = 16,
    WORKER_BYE_MIN_MS = 1000,
    WORKER_BYE_RETURNS_PER_S = 1000, /* connections of a worker that are asked to come back */
};

enum timeout {
    TIMEOUT_HANDSHAKE,
    TIMEOUT_KEEPALIVE,
    TIMEOUT_PING,
    TIMEOUT_CLOSE,
    TIMEOUT_OVER,
    TIMEOUT_COUNT
};

struct listener {
    struct io io; /* its socket is owned */
    struct worker *worker;
    const struct server_address *address; /* of the server's options */
    bool on_loopback;                     /* it is one */
};

struct worker {
    struct server *server;
    unsigned index;
    pthread_t thread;
    struct loop loop;
    struct mailbox mailbox; /* shared: readers that turned dirty */
    struct mailbox tasks;   /* shared: answers of other threads */
    struct listener listeners[SERVER_ADDRESSES_MAX];
    size_t listener_count;
    int spare_fd; /* given up for a moment to turn connections away when descriptors run out */
    uint64_t accept_again_ms; /* 0, or when the paused listeners are watched again */

    struct timer_queue timeouts[TIMEOUT_COUNT];
    uint64_t now_ms;             /* monotonic, of this turn */
    int64_t wall_ms;             /* since 1970, of this turn */
    int64_t believed_ms;         /* the same, by a clock that does not jump */
    struct guarded_clock *clock; /* which is this one */

    struct slink *dirty_first; /* readers to flush in this turn */
    struct slink **dirty_end;
    struct slink *outgoing; /* readers of other workers that turned dirty in this turn */
    unsigned published;     /* events in this turn, which the store has yet to look at */
    struct conn *reap;      /* closed in this turn, freed at its end */
    uint32_t conn_count;
    uint32_t behind_count;     /* of them those whose socket takes less than it was offered */
    uint32_t keeper_count;     /* of them those that keep input, see conn.h */
    uint64_t pressure_at_ms;   /* when run_pressure looks next */
    uint64_t pressed_ms;       /* since when it has found memory short, or 0 */
    _Atomic uint64_t heaviest; /* shared: most bytes that closing one client's gives back, then */
    uint64_t sweep_at_ms;      /* of the first worker: when hub_sweep is due */
    struct fair_queue fair;
    struct overflow *overflow;
    uint64_t over_budget_ms; /* not before is a refusal logged again */

    uint8_t *input;           /* WORKER_REST_BYTES + WORKER_READ_BYTES */
    struct ws_reader *reader; /* see conn_take_reader */
    struct ws_inflater *inflater;
    struct buf inflated;
    struct buf text; /* scratch for decoded text */
    struct buf reply;
    struct buf metrics_text; /* as it was rendered in this turn, or empty */
    struct encoder encoder;
    struct delivery delivery;
    struct delivery rich_delivery;
    struct timer_queue later; /* tasks that have a time */
    struct slink *ephemerals; /* that members have yet to be given, oldest first */
    struct slink **ephemerals_end;
    struct task telling;         /* goes on with them in the next turn, if there are any */
    uint32_t ephemeral_number;   /* of the newest */
    struct occupants *occupants; /* asked for in this turn, by room */
    uint64_t delivery_sends;
    uint64_t delivery_bytes;

    int64_t expiry_ms;        /* since 1970: when run_expiry looks next; INT64_MAX: at nobody */
    int64_t expiry_looked_ms; /* and when it last has */

    bool over; /* the loop has ended */
    bool draining;
    uint64_t drain_deadline_ms;
    uint64_t drain_tick_ms;
    uint32_t drain_slot;
    uint32_t drain_per_tick;
    uint32_t bye_random;

    struct metrics metrics; /* written here, read by all */
};

/* What the workers of a server share. */
struct server {
    struct server_options options;
    struct hub *hub;
    struct peer_counts *peers;
    struct worker *workers;
    unsigned worker_count;
    unsigned started;
    uint64_t start_ms;
    uint64_t own_fds;         /* open before the first connection */
    uint32_t max_connections; /* in force: the option, or what descriptors allow */
    uint32_t max_per_client;  /* likewise, or half of them: nobody shuts out all others */
    struct budgets *budgets;
    atomic_bool
        loopback_exempt; /* a program on this machine that forwards for nobody has no budget */
    _Atomic uint64_t not_heard_ms; /* not before is a proxy that is not trusted logged again */
    atomic_uint connections;
    atomic_uint ended;
    atomic_bool draining;
    atomic_bool stopping;
    uint8_t *api_key; /* its digest, see auth/api_key.h; NULL: no API */
    uint64_t guest_seed;
    atomic_uint guests;
    struct encoder encoder; /* the store's writer thread's */
    struct outage *outage;
    struct control_log *control_log;
    _Atomic int64_t trouble_told_ms; /* when the log was last told of trouble of the store */
};

/* A sum over all workers: of a metric; of the connections open now; of what was refused because the
 * store fails. Any thread. */
uint64_t worker_sum(const struct server *s, enum metric which);
uint64_t worker_connections(const struct server *s);
uint64_t worker_refused(const struct server *s);

/* Somebody's token ends then (Unix time in ms; UINT64_MAX: never). Worker's own thread. */
static inline void worker_note_expiry(struct worker *w, uint64_t ms)
{
    if (ms > INT64_MAX) return;
    int64_t look_ms = (int64_t)ms - WORKER_EXPIRY_WARN_MS;
    int64_t soonest_ms = w->expiry_looked_ms + WORKER_EXPIRY_MS;
    if (look_ms < soonest_ms) look_ms = soonest_ms;
    if (look_ms < w->expiry_ms) w->expiry_ms = look_ms;
}

/* A feed is to be flushed in this turn. Worker's own thread. */
void worker_add_dirty(struct worker *w, struct slink *link);

/* Hands readers that turned dirty to their workers. Worker's own thread. */
void worker_post_dirty(struct worker *w, struct slink *woken);

#endif
