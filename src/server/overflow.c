/* See overflow.h. */
#include "server/overflow.h"

#include <stddef.h>
#include <string.h>

/* Notes that the client has one more, or one less; returns how many it had. */
static unsigned overflow_count(struct overflow *o, uint64_t client, int change)
{
    unsigned had = 0;
    for (unsigned i = 0; i < o->count; i++) {
        if (o->clients[i] != client) continue;
        had = o->of_client[i];
        o->of_client[i] = (unsigned)((int)had + change);
    }
    return had;
}

void overflow_remove(struct overflow *o, const struct conn *c)
{
    unsigned i = 0;
    while (i < o->count && o->conns[i] != c)
        i++;
    if (i == o->count) return;
    overflow_count(o, o->clients[i], -1);
    o->count--;
    memmove(&o->conns[i], &o->conns[i + 1], (o->count - i) * sizeof o->conns[0]);
    memmove(&o->clients[i], &o->clients[i + 1], (o->count - i) * sizeof o->clients[0]);
    memmove(&o->of_client[i], &o->of_client[i + 1], (o->count - i) * sizeof o->of_client[0]);
}

struct conn *overflow_add(struct overflow *o, struct conn *c, uint64_t client)
{
    struct conn *victim = NULL;
    if (o->count == o->most) {
        unsigned at = 0;
        for (unsigned i = 1; i < o->count; i++)
            if (o->of_client[i] > o->of_client[at]) at = i;
        victim = o->conns[at];
        overflow_remove(o, victim);
    }
    unsigned had = overflow_count(o, client, 1);
    o->conns[o->count] = c;
    o->clients[o->count] = client;
    o->of_client[o->count++] = had + 1;
    return victim;
}
