/* What one client may do, on however many connections: a bucket for each kind of doing and address.
 * The rate of a connection holds beside it; this is for who hangs up and dials again.
 *
 * The table has a fixed size and never allocates: BUDGET_WAYS entries for each value of a keyed
 * hash, so nobody can choose who shares one with whom. An address whose buckets are all full is not
 * remembered at all, its entry is free for the next. If all entries of a set are in use, the one
 * that is nearest to that is forgotten, which gives it a full bucket: someone with more addresses
 * than the table holds gains no more than those addresses would have had without it, and an address
 * that spends more than its neighbours is the last to be forgotten.
 *
 * Any thread; a lock per few sets is held for some dozen instructions. */
#ifndef SERVER_BUDGET_H
#define SERVER_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"

enum budget_kind {
    BUDGET_MESSAGES, /* and edits, deletions, reactions; one for each KiB begun of what they say */
    BUDGET_CONNECTS, /* TCP connections, or handshakes where a proxy keeps the connection */
    BUDGET_ROOMS,    /* rooms that did not exist */
    BUDGET_HISTORY,  /* questions for what was said before */
    BUDGET_REQUESTS, /* whatever is asked for, or told: HTTP, frames that are no messages */
    BUDGET_SIGN_INS, /* questions to the site who somebody is */
    BUDGET_KINDS
};

enum {
    BUDGET_PERIOD_MS = 10000,
    BUDGET_WAYS = 8,
    BUDGET_SETS = 8192, /* times BUDGET_WAYS: addresses that are remembered at most */
};

/* How many in BUDGET_PERIOD_MS, as many of them at once; 0: no limit. At most 1,000,000. */
struct budget_options {
    uint32_t most[BUDGET_KINDS];
};

struct budgets;

/* NULL if memory is short. */
struct budgets *budget_new(const struct budget_options *options);
void budget_free(struct budgets *b);

/* Takes n from the client's bucket; false, and nothing taken, if it has none. What it has less than
 * n it owes, up to a bucket full: so whatever n is, it is had at some time, and paid for. n = 0
 * tells whether it has any. ip is the client's (socket_ip_client); now_ms must not go back by much.
 */
bool budget_take(struct budgets *b, const uint8_t ip[static IP_BYTES], enum budget_kind kind,
                 unsigned n, uint64_t now_ms);

/* Time until the bucket has one again; 0 if it has. */
uint32_t budget_wait_ms(struct budgets *b, const uint8_t ip[static IP_BYTES], enum budget_kind kind,
                        uint64_t now_ms);

#endif
