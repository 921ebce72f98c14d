/* See tally.h. Open addressing; clients are keyed hashes, so their low bits are as good as any. */
#include "server/tally.h"

/* Where the client is or would be. The table is never full, so there is an end. */
static unsigned slot_of(const struct tally *t, uint64_t client)
{
    unsigned i = (unsigned)(client / 2 % TALLY_SLOTS); /* the lowest bit of all is 1 */
    while (t->slots[i].client && t->slots[i].client != client)
        i = (i + 1) % TALLY_SLOTS;
    return i;
}

void tally_add(struct tally *t, uint64_t client, uint64_t bytes)
{
    unsigned i = slot_of(t, client);
    uint64_t sum = bytes;
    if (t->slots[i].client || t->count < TALLY_MAX) {
        t->count += t->slots[i].client == 0;
        t->slots[i].client = client;
        sum = t->slots[i].bytes += bytes;
    }
    if (sum > t->most) t->most = sum;
}

uint64_t tally_of(const struct tally *t, uint64_t client, uint64_t bytes)
{
    unsigned i = slot_of(t, client);
    return t->slots[i].client ? t->slots[i].bytes : bytes;
}
