/* See fair_queue.h. */
#include "server/fair_queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void fair_queue_fini(struct fair_queue *t)
{
    free(t->deferred);
}

int fair_queue_defer(struct fair_queue *t, uint64_t key, uint64_t client)
{
    if (t->deferred_count == t->deferred_cap) {
        size_t cap = t->deferred_cap ? t->deferred_cap * 2 : FAIR_QUEUE_DEFERRED_MAX;
        struct fair_queue_deferred *grown = realloc(t->deferred, cap * sizeof *grown);
        if (!grown) return ERR_NOMEM;
        t->deferred = grown;
        t->deferred_cap = cap;
    }
    t->deferred[t->deferred_count++] = (struct fair_queue_deferred){key, client};
    return 0;
}

/* Clients are keyed hashes whose lowest bit is 1. */
static unsigned spending_slot(uint64_t client)
{
    return (unsigned)(client / 2 % FAIR_QUEUE_SPENDINGS);
}

void fair_queue_spend(struct fair_queue *t, uint64_t client, size_t bytes)
{
    struct fair_queue_spending *s = &t->spendings[spending_slot(client)];
    if (s->client != client || s->turn != t->turn)
        *s = (struct fair_queue_spending){client, t->turn, 0};
    s->bytes += bytes;
    if (s->bytes > FAIR_QUEUE_CLIENT_BYTES) t->spent_turn = t->turn;
}

bool fair_queue_has_spent(const struct fair_queue *t, uint64_t client)
{
    if (t->spent_turn != t->turn) return false; /* nobody has */
    const struct fair_queue_spending *s = &t->spendings[spending_slot(client)];
    return s->client == client && s->turn == t->turn && s->bytes > FAIR_QUEUE_CLIENT_BYTES;
}

static bool has_client(const struct fair_queue_deferred *some, size_t count, uint64_t client)
{
    for (size_t i = 0; i < count; i++)
        if (some[i].client == client) return true;
    return false;
}

/* One connection of each client, and then whoever has waited longest: so who has many connections
 * waits behind his own. */
size_t fair_queue_take(struct fair_queue *t,
                       struct fair_queue_deferred out[static FAIR_QUEUE_DEFERRED_MAX])
{
    size_t n = 0;
    size_t left = 0;
    size_t i = 0;
    if (t->deferred_count == 0) return 0;
    for (; i < t->deferred_count && n < FAIR_QUEUE_DEFERRED_MAX; i++) {
        if (has_client(out, n, t->deferred[i].client))
            t->deferred[left++] = t->deferred[i];
        else
            out[n++] = t->deferred[i];
    }
    size_t behind = t->deferred_count - i;
    size_t fill = FAIR_QUEUE_DEFERRED_MAX - n < left ? FAIR_QUEUE_DEFERRED_MAX - n : left;
    memcpy(out + n, t->deferred, fill * sizeof *out);
    memmove(t->deferred, t->deferred + fill, (left - fill) * sizeof *out);
    memmove(t->deferred + left - fill, t->deferred + i, behind * sizeof *out);
    t->deferred_count = left - fill + behind;
    return n + fill;
}
