/* A log-linear histogram of times: 64 steps per power of two, so a percentile is off by at most
 * 1.6 %, and recording costs a few instructions. That matters here: the generator records every
 * delivery, and shares the machine with the server it measures. */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

enum {
    HIST_SUB_BITS = 6,
    HIST_MAX_BITS = 40,
    HIST_SLOTS = (HIST_MAX_BITS - HIST_SUB_BITS + 1) * 64
};

struct hist {
    uint64_t count;
    uint64_t slot[HIST_SLOTS];
};

/* Counts one value; values of 2^40 (18 minutes in ns) and more count as the largest. */
static inline void hist_add(struct hist *h, uint64_t value)
{
    const uint64_t max = (UINT64_C(1) << HIST_MAX_BITS) - 1;
    if (value > max) value = max;
    unsigned top = 63U - (unsigned)__builtin_clzll(value | 1);
    unsigned shift = top > HIST_SUB_BITS ? top - HIST_SUB_BITS : 0;
    h->slot[(uint64_t)shift * 64 + (value >> shift)]++;
    h->count++;
}

/* The value that per_mille of a thousand recorded values do not exceed; 0 when nothing was
 * recorded. per_mille is 0..1000. */
uint64_t hist_at(const struct hist *h, unsigned per_mille);

#endif
