/* See site_cache.h. */
#include "auth/site_cache.h"

#include <stdlib.h>
#include <string.h>

#include "auth/identity.h"
#include "base/table.h"

struct site_cached {
    UT_hash_handle hh;
    struct list link;
    struct identity *identity;
    int64_t until_ms;
    size_t bytes;
    uint8_t key[SITE_KEY_BYTES];
};

void site_cache_init(struct site_cache *c)
{
    *c = (struct site_cache){0};
    list_init(&c->order);
}

static void cached_drop(struct site_cache *c, struct site_cached *e)
{
    HASH_DEL(c->by_key, e); /* the analyzer does not follow it NOLINT(*-core.NullDereference) */
    list_remove(&e->link);
    c->count--;
    c->bytes -= e->bytes;
    identity_unref(e->identity);
    free(e);
}

static struct site_cached *cached_oldest(const struct site_cache *c)
{
    return list_empty(&c->order) ? NULL : container_of(c->order.next, struct site_cached, link);
}

void site_cache_fini(struct site_cache *c)
{
    struct site_cached *e;
    while ((e = cached_oldest(c)))
        cached_drop(c, e);
}

static struct site_cached *cached_find(const struct site_cache *c, const uint8_t *key)
{
    struct site_cached *e;
    HASH_FIND(hh, c->by_key, key, SITE_KEY_BYTES, e);
    return e;
}

struct identity *site_cache_find(struct site_cache *c, const uint8_t key[static SITE_KEY_BYTES],
                                 int64_t now_ms)
{
    struct site_cached *e = cached_find(c, key);
    if (!e) return NULL;
    if (now_ms < e->until_ms) return identity_ref(e->identity);
    cached_drop(c, e);
    return NULL;
}

static bool cache_is_full(const struct site_cache *c)
{
    return c->count >= SITE_CACHE_ENTRIES || c->bytes > SITE_CACHE_BYTES;
}

void site_cache_add(struct site_cache *c, const uint8_t key[static SITE_KEY_BYTES],
                    struct identity *identity, int64_t until_ms)
{
    struct site_cached *e = cached_find(c, key);
    if (e) cached_drop(c, e);
    while ((e = cached_oldest(c)) && cache_is_full(c))
        cached_drop(c, e);
    e = malloc(sizeof *e);
    if (!e) return;
    *e = (struct site_cached){.until_ms = until_ms, .bytes = sizeof *e + identity_bytes(identity)};
    memcpy(e->key, key, SITE_KEY_BYTES);
    HASH_ADD(hh, c->by_key, key, SITE_KEY_BYTES, e);
    if (!e->hh.tbl) {
        free(e);
        return;
    }
    e->identity = identity_ref(identity);
    list_init(&e->link);
    list_push(&c->order, &e->link);
    c->count++;
    c->bytes += e->bytes;
}

void site_cache_forget(struct site_cache *c, struct slice user)
{
    struct list *next;
    for (struct list *at = c->order.next; at != &c->order; at = next) {
        struct site_cached *e = container_of(at, struct site_cached, link);
        next = at->next;
        if (!user.ptr || slice_equal(identity_user(e->identity), user)) cached_drop(c, e);
    }
}
