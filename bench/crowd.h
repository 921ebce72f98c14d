/* The crowd: all clients of a run in their rooms, with the talkers among them, and the loop that
 * drives them. A case (load.c) says how many and what they do; the crowd does it and counts.
 *
 * Client i is in room i % rooms. The talkers of a room stand at even distances among its members,
 * so that no talker profits from being served first. Ways to talk:
 *   window  closed loop: a talker keeps that many texts on the way, and sends the next when one of
 *           its own comes back to it. This is what "as fast as it can" means here.
 *   acked   the same, but the talkers are rich and send the next text when one was acked.
 *   rate    texts a second, each only after the one before has reached everybody. So a server that
 *           is held up by the machine for a moment gets no backlog to merge, and the figure stays
 *           that of one text at a time.
 *   bounce  a room's two talkers answer each other: always one text on the way in a room, never
 *           two that a server could merge by luck of timing.
 *
 * For cases about history a crowd can go away and come back with the id of an older text
 * (crowd_reset, crowd_rewind, crowd_connect): then everything after that text has to arrive again.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "hist.h"
#include "stamp.h"

enum { CROWD_WINDOW_MAX = 64, CROWD_TALKERS_MAX = 200, CROWD_CLIENTS_MAX = 19000 };

struct crowd_options {
    uint16_t port;
    uint32_t rooms;
    uint32_t clients; /* in all rooms together */
    uint32_t talkers; /* in each room */
    uint32_t window;
    double rate; /* texts a second and talker; 0: closed loop with window */
    bool bounce;
    bool acked;
    enum client_rung rung;
    uint32_t at_once; /* connections being opened at the same time */
    bool spin;        /* never sleep in epoll_wait */
};

struct talker {
    uint32_t client;
    uint32_t sent;
    uint32_t on_the_way;
    uint32_t acked;
    bool ready; /* is in the list of those that may send */
};

struct crowd {
    struct crowd_options opt;
    struct client_net net;
    struct client *clients;
    struct talker *talkers;       /* room * opt.talkers + index */
    struct track *tracks;         /* client * opt.talkers + index */
    uint64_t *sent_ns;            /* talker * CROWD_WINDOW_MAX + ref % CROWD_WINDOW_MAX, if rich */
    char (*ids)[CLIENT_ID_BYTES]; /* of the text that crowd_mark sent, by room */
    uint32_t *ready;
    uint32_t ready_count;
    char needle[STAMP_NEEDLE_LEN];

    bool talking;
    bool measuring; /* record latencies and deliveries */
    bool marking;   /* keep the id of the next text in each room */
    double rate_due_ns;
    uint64_t now_ns; /* monotonic; read once for each event */

    uint32_t opening; /* clients between connect and open */
    uint32_t open;
    struct verdict verdict;
    uint64_t foreign;    /* text frames that hold no intact text of this run */
    uint64_t misrouted;  /* texts of another room */
    uint64_t deliveries; /* within the measured window */
    uint64_t due;        /* arrivals there have to be: each text at each member of its room */
    uint64_t acks_due;   /* texts sent, if rich */
    uint64_t acks;       /* of them acked */
    uint64_t acks_measured;
    uint64_t progress_ns; /* when a text was last sent, arrived or was acked */
    uint32_t missed;      /* texts a client that came back has to receive; 0: nobody came back */
    struct hist latency;
    struct hist ack;
    struct hist resumed; /* from the start of connecting to the last text missed */
    struct hist shake;
    char first_foreign[128];
};

uint64_t crowd_clock_ns(void);

/* Allocates; 0, or -1 when memory or epoll fails. crowd_free closes everything and frees. */
int crowd_init(struct crowd *w, const struct crowd_options *opt);
void crowd_free(struct crowd *w);

/* Connects clients [from, to), `at_once` at a time, and waits until all are open. 0; -1 when a
 * client died or nothing happened for 20 s. */
int crowd_connect(struct crowd *w, uint32_t from, uint32_t to);

/* Resets all connections, so that crowd_connect can begin anew. */
void crowd_reset(struct crowd *w);

/* The talkers begin to talk, and go on in crowd_run until crowd_drain. */
void crowd_talk(struct crowd *w);

/* Runs the loop for a time. */
void crowd_run(struct crowd *w, uint64_t ns);

/* Each talker sends this many texts at once (no window, no rate). */
void crowd_say(struct crowd *w, uint32_t texts);

/* Runs the loop until every text sent has arrived at every member (and was acked). 0; -1 when
 * nothing arrived for patience_ns. */
int crowd_await(struct crowd *w, uint64_t patience_ns);

/* Each talker sends a text and waits for it as crowd_await does; with one talker in a room, its id
 * is what crowd_rewind goes back to. Not for bare clients, which get no ids. */
int crowd_mark(struct crowd *w, uint64_t patience_ns);

/* After crowd_reset: the next crowd_connect resumes after the text of crowd_mark, which was the
 * room's number `mark`. Everything since has to arrive once more, and resumed begins anew. One
 * talker a room. */
void crowd_rewind(struct crowd *w, uint32_t mark);

/* crowd_await without a talker talking; then 100 ms more for texts nobody should get; then counts
 * what is missing as lost.
 */
void crowd_drain(struct crowd *w, uint64_t patience_ns);

#endif
