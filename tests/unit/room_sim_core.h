/* What the files of the simulation (room_sim.h) share: its state and its clients. Not for others.
 */
#ifndef TESTS_ROOM_SIM_CORE_H
#define TESTS_ROOM_SIM_CORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "chat/encoder.h"
#include "chat/feed.h"
#include "chat/hub.h"
#include "chat/room.h"
#include "gated_store.h"
#include "journal/local.h"
#include "room_model.h"
#include "room_sim.h"

enum { SIM_WORKERS = 3, SIM_SOCKETS = 48, SIM_NONCE_MAX = 24 };

enum sock_state { SOCK_OUT, SOCK_ENTERING, SOCK_IN };

/* A client, and its connection if it has one. */
struct sock {
    struct member member;
    enum sock_state state;
    unsigned number;
    unsigned room;
    unsigned worker;
    enum encoding encoding;
    bool stalled;
    bool settled;          /* comes as a client would after the last disturbance */
    struct visit *visit;   /* ENTERING */
    struct replay *replay; /* IN, and the past is read from the store */
    struct buf got;        /* less than a frame */
    struct view view;
    /* What the client remembers. */
    bool known;
    struct id last;
    unsigned last_room;
    char nonce[SIM_NONCE_MAX];
    uint64_t nonce_label;
};

/* What comes back from the store's threads, in the order in which it came. */
struct job {
    struct slink link;
    void (*run)(struct job *j);
};

struct sim {
    uint64_t random;
    struct model model;
    struct gate gate;
    struct journal *journal;
    struct hub *hub;
    struct hub_options options;
    struct encoder encoder;        /* the workers' */
    struct encoder writer_encoder; /* the store's */
    struct ws_inflater *inflater;
    struct buf inflated;
    struct slink *dirty[SIM_WORKERS];
    struct delivery delivery;
    struct sock socks[SIM_SOCKETS];
    pthread_mutex_t lock;
    struct slink *jobs;
    struct slink **jobs_end;
    unsigned jobs_out; /* visits and replays that wait for the store */
    unsigned retries;
    bool calm; /* nothing fails any more */
    bool retention;
    unsigned sockets;      /* in use */
    unsigned change_every; /* so many events are a change, one way or the other */
    uint64_t now_ms;
    atomic_llong wall_ms;
    struct sim_counts *counts;
};

extern struct sim *sim; /* the callbacks have no argument for it */

uint64_t sim_rnd(uint64_t below);

/* The wall clock; any thread. */
int64_t sim_read_wall(void);

/* Memory is short in one of n calls, until fail_alloc_off; only when none of the store's threads
 * could be hit. */
void sim_maybe_fail(uint64_t n);

struct slice sim_name_of_room(unsigned room);
struct slice sim_name_of_sock(const struct sock *s, char out[static 8]);

/* The room a client is in. */
struct room *sim_room_of(const struct sock *s);

/* A client begins to come in; leaves, wherever it is; its socket took bytes; takes them again. */
void sim_enter(struct sock *s);
void sim_leave(struct sock *s);
void sim_receive(struct sock *s, const void *bytes, size_t len);
void sim_unstall(struct sock *s);

/* For struct delivery. */
ssize_t sim_on_send(struct member *m, const struct iovec *iov, int n, size_t bytes);
void sim_on_lag(struct member *m, uint64_t lag);

/* Readers turned dirty: their workers get them, and flush them when they run. */
void sim_push_woken(struct slink *woken);
void sim_run_worker(unsigned worker);

/* Does what the store's threads have sent back, one thing. False: there is nothing. */
bool sim_run_job(void);

#endif
