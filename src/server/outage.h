/* Since when the store fails, and what was refused for it: how many frames and calls, and of whose
 * messages: what an operator asks first. The store's thread begins and ends it; any thread asks.
 *
 * Rooms and clients are counted by what their keyed hashes fall on, so that nobody has to be kept:
 * a few of thousands are counted as one. */
#ifndef SERVER_OUTAGE_H
#define SERVER_OUTAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/socket.h"

struct log;

enum { OUTAGE_SINCE_MAX = 32, OUTAGE_TEXT_MAX = 192, OUTAGE_CELLS = 1 << 16 };

struct outage_set {
    _Atomic uint64_t cells[OUTAGE_CELLS / 64]; /* a bit each */
    _Atomic uint64_t count;
};

/* All zero: there is none. */
struct outage {
    _Atomic int64_t since_ms; /* since 1970; 0: the store works */
    _Atomic uint64_t refused_before;
    _Atomic uint64_t messages;
    struct outage_set rooms;
    struct outage_set clients;
};

struct outage_sum {
    int64_t since_ms;
    uint64_t lasted_ms;
    uint64_t refused;  /* frames and calls */
    uint64_t messages; /* of them: events */
    uint64_t rooms;    /* theirs */
    uint64_t clients;  /* that were told of one, or of a read marker */
};

/* Begins; refused: what was refused for the store's sake so far. False, and nothing changes, if it
 * has begun already. */
bool outage_begin(struct outage *o, uint64_t refused);

/* False if there is none; else *sum is what it comes to, with what was refused by now. */
bool outage_look(const struct outage *o, uint64_t refused, struct outage_sum *sum);
void outage_end(struct outage *o);

/* An event for this room was refused; this client is told of one. Nothing without an outage. Any
 * thread. */
void outage_note_message(struct outage *o, struct log *log, struct slice room);
void outage_note_client(struct outage *o, struct log *log,
                        const uint8_t ip[static SOCKET_IP_BYTES]);

/* For people: "2026-11-23T10:00:00Z". */
void outage_since(const struct outage_sum *sum, char out[static OUTAGE_SINCE_MAX]);

/* For people: "the store fails since 2026-11-23T10:00:00Z (12 s): 34 refused, of them 21 messages
 * in 3 rooms from 2 clients". */
void outage_text(const struct outage_sum *sum, char out[static OUTAGE_TEXT_MAX]);

#endif
