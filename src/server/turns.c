/* See turns.h. */
#include "server/turns.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void turns_fini(struct turns *t)
{
    free(t->deferred);
}

int turns_defer(struct turns *t, uint64_t key, uint64_t client)
{
    if (t->deferred_count == t->deferred_cap) {
        size_t cap = t->deferred_cap ? t->deferred_cap * 2 : TURNS_DEFERRED_MAX;
        struct turns_deferred *grown = realloc(t->deferred, cap * sizeof *grown);
        if (!grown) return ERR_NOMEM;
        t->deferred = grown;
        t->deferred_cap = cap;
    }
    t->deferred[t->deferred_count++] = (struct turns_deferred){key, client};
    return 0;
}

/* Clients are keyed hashes whose lowest bit is 1. */
static unsigned spending_slot(uint64_t client)
{
    return (unsigned)(client / 2 % TURNS_SPENDINGS);
}

void turns_spend(struct turns *t, uint64_t client, size_t bytes)
{
    struct turns_spending *s = &t->spendings[spending_slot(client)];
    if (s->client != client || s->turn != t->turn) *s = (struct turns_spending){client, t->turn, 0};
    s->bytes += bytes;
    if (s->bytes > TURNS_CLIENT_BYTES) t->spent_turn = t->turn;
}

bool turns_has_spent(const struct turns *t, uint64_t client)
{
    if (t->spent_turn != t->turn) return false; /* nobody has */
    const struct turns_spending *s = &t->spendings[spending_slot(client)];
    return s->client == client && s->turn == t->turn && s->bytes > TURNS_CLIENT_BYTES;
}

static bool has_client(const struct turns_deferred *some, size_t count, uint64_t client)
{
    for (size_t i = 0; i < count; i++)
        if (some[i].client == client) return true;
    return false;
}

/* One connection of each client, and then whoever has waited longest: so who has many connections
 * waits behind his own. */
size_t turns_take(struct turns *t, struct turns_deferred out[static TURNS_DEFERRED_MAX])
{
    size_t n = 0;
    size_t left = 0;
    size_t i = 0;
    if (t->deferred_count == 0) return 0;
    for (; i < t->deferred_count && n < TURNS_DEFERRED_MAX; i++) {
        if (has_client(out, n, t->deferred[i].client))
            t->deferred[left++] = t->deferred[i];
        else
            out[n++] = t->deferred[i];
    }
    size_t behind = t->deferred_count - i;
    size_t fill = TURNS_DEFERRED_MAX - n < left ? TURNS_DEFERRED_MAX - n : left;
    memcpy(out + n, t->deferred, fill * sizeof *out);
    memmove(t->deferred, t->deferred + fill, (left - fill) * sizeof *out);
    memmove(t->deferred + left - fill, t->deferred + i, behind * sizeof *out);
    t->deferred_count = left - fill + behind;
    return n + fill;
}
