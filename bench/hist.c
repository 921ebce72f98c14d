/* See hist.h. */
#include "hist.h"

/* Slots 0..127 hold one value each; above, slot s covers 2^(s/64 - 1) values. */
static uint64_t slot_upper(unsigned s)
{
    if (s < 128) return s;
    unsigned shift = s / 64 - 1;
    return (((uint64_t)(s % 64) + 64 + 1) << shift) - 1;
}

uint64_t hist_at(const struct hist *h, unsigned per_mille)
{
    if (h->count == 0) return 0;
    uint64_t want = (h->count * per_mille + 999) / 1000;
    if (want == 0) want = 1;
    uint64_t seen = 0;
    for (unsigned s = 0; s < HIST_SLOTS; s++) {
        seen += h->slot[s];
        if (seen >= want) return slot_upper(s);
    }
    return slot_upper(HIST_SLOTS - 1);
}
