/* Since when the store fails, and how many frames and calls were refused for it: what an operator
 * asks first. The store's thread begins and ends it; any thread asks. */
#ifndef SERVER_OUTAGE_H
#define SERVER_OUTAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct server;

enum { OUTAGE_TEXT_MAX = 128 };

/* All zero: there is none. */
struct outage {
    _Atomic int64_t since_ms; /* since 1970; 0: the store works */
    _Atomic uint64_t refused_before;
};

struct outage_sum {
    int64_t since_ms;
    uint64_t lasted_ms;
    uint64_t refused;
};

/* False, and nothing changes, if it has begun already. */
bool outage_begin(struct server *s);

/* False if there is none; else *sum is what it comes to. */
bool outage_look(struct server *s, struct outage_sum *sum);
void outage_end(struct server *s);

/* For people: "the store fails since 2026-11-23T10:00:00Z (12 s): 34 refused". */
void outage_text(const struct outage_sum *sum, char out[static OUTAGE_TEXT_MAX]);

#endif
