/* See overflow.h. */
#include "server/overflow.h"

#include <string.h>

#include "server/conn.h"

/* Notes that the client has one more, or one less; returns how many it had. */
static unsigned count_client(struct overflow *o, const struct conn *c, int change)
{
    unsigned had = 0;
    for (unsigned i = 0; i < o->count; i++) {
        if (memcmp(o->conns[i]->ip, c->ip, SOCKET_IP_BYTES) != 0) continue;
        had = o->of_client[i];
        o->of_client[i] = (unsigned)((int)had + change);
    }
    return had;
}

void overflow_remove(struct overflow *o, struct conn *c)
{
    unsigned i = 0;
    while (i < o->count && o->conns[i] != c)
        i++;
    if (i == o->count) return;
    count_client(o, c, -1);
    o->count--;
    memmove(&o->conns[i], &o->conns[i + 1], (o->count - i) * sizeof o->conns[0]);
    memmove(&o->of_client[i], &o->of_client[i + 1], (o->count - i) * sizeof o->of_client[0]);
}

void overflow_add(struct overflow *o, struct conn *c)
{
    if (o->count == o->most) {
        unsigned victim = 0;
        for (unsigned i = 1; i < o->count; i++)
            if (o->of_client[i] > o->of_client[victim]) victim = i;
        conn_drop(o->conns[victim]); /* which takes it out */
    }
    unsigned had = count_client(o, c, 1);
    o->conns[o->count] = c;
    o->of_client[o->count++] = had + 1;
}
