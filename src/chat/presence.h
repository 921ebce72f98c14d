/* Presence: who came into a room and who left it, told to its rich clients (protocol section 5).
 *
 * Why: telling every member of every change costs the square of the members, and is what brings
 * large rooms down when everybody reconnects. So a small room tells each change at once, a larger
 * one tells the balance of the changes once a second, and a very large one only the count. A small
 * one that has told of many within a second does as a larger one: else a few who come and go all
 * the time would make all others listen to that.
 *
 * What is told is a balance: somebody who came and left since the last frame is not in the next
 * one. A frame names everybody who came and left since the one before, or nobody: if names could
 * not be kept (too many, too large a room, no memory) it has the count alone, and who needs the
 * names asks with `who`.
 *
 * Invariants
 *  1. names holds each name with one sign only: all of its entries came, or all of them left. Hence
 *     with no names lost, count - told_count is the entries that came less those that left.
 *  2. names_lost: names is empty until the next frame.
 *  3. What is not told yet has either a timer running or the caller's PRESENCE_NOW in its hands.
 *
 * Embedded in the room and called under its lock. No clock: now_ms is that of the loops, and may
 * differ a little between the workers. A zeroed struct is an empty room and owns no memory, which
 * is also so whenever everything is told. */
#ifndef CHAT_PRESENCE_H
#define CHAT_PRESENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "chat/room.h"
#include "proto/name.h"
#include "proto/rich.h"

enum {
    PRESENCE_EACH_MAX = 50,     /* members up to which every change is told at once */
    PRESENCE_AT_ONCE_MAX = 20,  /* frames of theirs in a second; then the next waits as above */
    PRESENCE_NAMES_MAX = 500,   /* members up to which names are told */
    PRESENCE_PENDING_MAX = 100, /* names in a frame; with more changes it has the count alone */
    PRESENCE_INTERVAL_MS = 1000,
};

/* Somebody who came or left. Not to be told apart from others of the same name. */
struct presence_name {
    bool joined;
    uint8_t len;
    char text[NAME_USER_MAX];
};

struct presence {
    struct presence_name *names; /* oldest first */
    uint64_t last_ms;            /* when the last frame was told */
    uint64_t second_ms;          /* when the first of those was that second_count counts */
    uint32_t count;              /* members; for everybody to read */
    uint32_t told_count;
    uint8_t name_count;
    uint8_t name_cap;
    uint8_t second_count;
    bool names_lost;
    bool timer; /* the caller's timer runs */
};

/* What is to be told. frame points into the two arrays, so the struct must not be copied. */
struct presence_news {
    struct rich_presence frame; /* room is the caller's to fill in */
    struct slice slices[PRESENCE_PENDING_MAX];
    struct presence_name names[PRESENCE_PENDING_MAX];
};

/* Frees what is not told yet. No timer may call later. */
void presence_fini(struct presence *p);

/* A member came, or left: counts, notes the name (copied; 1..NAME_USER_MAX bytes), and says when to
 * tell. With short memory the name is not noted, the count is. */
enum presence_due presence_join(struct presence *p, struct slice username, uint64_t now_ms);
enum presence_due presence_leave(struct presence *p, struct slice username, uint64_t now_ms);

/* Members came (1) or left (-1) while there was nobody to tell. */
void presence_count(struct presence *p, int change);

/* The timer that was asked for with PRESENCE_LATER fired; early is harmless, it is asked for again.
 */
enum presence_due presence_on_timer(struct presence *p, uint64_t now_ms);

/* Instead of presence_take, for who cannot tell now: what is new waits as if a frame had been told.
 */
enum presence_due presence_put_off(struct presence *p, uint64_t now_ms);

/* PRESENCE_INTERVAL_MS after the last frame: up to PRESENCE_EACH_MAX members no frame waits for it
 * but behind PRESENCE_AT_ONCE_MAX others, above none is told before it. */
uint64_t presence_deadline_ms(const struct presence *p);

/* Moves what is new since the last frame into *news. False: nothing is, and *news is of no use;
 * never so right after PRESENCE_NOW. If the frame then cannot be sent, its names are not told
 * again; the count is with the next change. */
bool presence_take(struct presence *p, uint64_t now_ms, struct presence_news *news);

#endif
