/* The stage of tests that look at one situation of a room at a time: a hub on a store whose threads
 * wait for the test, and guests who join, speak and hear. All of it asserts. */
#ifndef TESTS_ROOM_STAGE_H
#define TESTS_ROOM_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "chat/encoder.h"
#include "chat/feed.h"
#include "chat/hub.h"
#include "gated_store.h"
#include "journal/journal.h"

enum { GUESTS = 6, WORKERS = 3, WALL_MS = 1000000 };

/* A member, and everything it was sent: payloads, one after the other, each behind a newline. */
struct guest {
    struct member member;
    struct join join;
    bool woken;
    bool entered; /* join.room is a reference */
    size_t takes; /* bytes its socket takes before it blocks */
    struct buf bytes;
    char text[8192];
};

struct stage {
    struct gate gate;
    struct hub *hub;
    struct encoder encoder;
    struct delivery delivery;
    struct slink *dirty[WORKERS];
    struct guest guests[GUESTS];
    struct journal *journal;
    unsigned lags;
    long live;
};

extern struct stage *stage; /* the callbacks have no argument for it */

extern const struct hub_options plenty;
extern const struct slice lobby;

/* Opens store and hub; strict: as journal_local_new. begin: it is not. end closes everything, and
 * checks that all memory is given back. */
void begin_as(const struct hub_options *options, const struct store_keep *keep, bool strict);
void begin(const struct hub_options *options, const struct store_keep *keep);
void end(void);

void leave(struct guest *g);

/* What a call has woken is dirty, as on the worker's list; flushing sends it. */
void push_woken(struct slink *woken);
void flush(unsigned worker);
void flush_all(void);

/* The store has decided everything, and every room that has to know is told, as by the server. */
void settle_store(void);

/* Everybody leaves, and the server starts again. */
void restart(const struct hub_options *options);

/* As hub_enter. */
int ask_to_enter(struct guest *g, struct slice name);

/* Enters the room; everything the store has to say is said. */
void enter(struct guest *g, struct slice name);

/* Tries to join; ERR_AGAIN: on_wake will say when to try again. */
int try_join(struct guest *g);

struct guest *guest_in(int i, struct slice name, enum encoding encoding);

struct guest *join_live(int i, struct slice name, enum encoding encoding);

/* A member that has seen everything up to seq. */
struct guest *coming_back(int i, struct slice name, enum encoding encoding, uint64_t seq);

int publish(struct guest *g, const struct store_event *e);

void say(struct guest *g, const char *text);

void edit(struct guest *g, uint64_t target, const char *text);

/* What the guest was sent: the texts of its frames, separated by spaces. */
const char *heard(struct guest *g);

/* Joins at last, whatever the store has to be asked. Returns how often it was. */
unsigned join_at_last(struct guest *g);

#endif
