/* See nonces.h. */
#include "journal/nonces.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/name.h"
#include "proto/rich.h"

static_assert(sizeof(struct nonces) <= 16, "every room has one");
static_assert((int)NAME_USER_MAX + (int)RICH_NONCE_MAX <= (int)NONCE_KEY_MAX,
              "what a client may send can be kept");
static_assert(NONCE_KEY_MAX <= UINT16_MAX, "the length of the user fits");

/* The bytes that the table compares: the length in front makes ("ab","c") another key than
 * ("a","bc"). */
struct key_bytes {
    char data[sizeof(uint16_t) + NONCE_KEY_MAX];
    size_t len;
};

/* False: longer than any key that is kept. */
static bool key_write(const struct nonce_key *key, struct key_bytes *out)
{
    if (key->user.len > NONCE_KEY_MAX || key->nonce.len > NONCE_KEY_MAX - key->user.len)
        return false;
    uint16_t user_len = (uint16_t)key->user.len;
    char *at = out->data;
    memcpy(at, &user_len, sizeof user_len);
    at += sizeof user_len;
    if (user_len > 0) memcpy(at, key->user.ptr, user_len);
    at += user_len;
    if (key->nonce.len > 0) memcpy(at, key->nonce.ptr, key->nonce.len);
    out->len = (size_t)(at - out->data) + key->nonce.len;
    return true;
}

static struct nonce *find_entry(const struct nonces *n, const struct key_bytes *key)
{
    struct nonce *entry;
    HASH_FIND(hh, n->first, key->data, key->len, entry);
    return entry;
}

struct nonce *nonces_find(const struct nonces *n, const struct nonce_key *key)
{
    struct key_bytes bytes;
    return n->first && key_write(key, &bytes) ? find_entry(n, &bytes) : NULL;
}

struct nonce *nonces_add(struct nonces *n, const struct nonce_key *key, uint64_t seq, int64_t ts_ms,
                         int64_t now_ms)
{
    nonces_expire(n, now_ms, NONCES_ADD_EXPIRES);
    struct key_bytes bytes;
    if (nonces_count(n) >= NONCES_MAX || !key_write(key, &bytes)) return NULL;
    DCHECK(!find_entry(n, &bytes));
    struct nonce *entry = malloc(sizeof *entry + bytes.len);
    if (!entry) return NULL;
    *entry = (struct nonce){.seq = seq, .ts_ms = ts_ms, .from_ms = now_ms, .pending = true};
    memcpy(entry->key, bytes.data, bytes.len);
    HASH_ADD_KEYPTR(hh, n->first, entry->key, bytes.len, entry);
    if (!entry->hh.tbl) {
        free(entry);
        return NULL;
    }
    n->entry_bytes += sizeof *entry + bytes.len;
    return entry;
}

void nonces_settle(struct nonce *entry)
{
    CHECK(entry->pending);
    entry->pending = false;
}

void nonces_remove(struct nonces *n, struct nonce *entry)
{
    CHECK(!entry->waiters);
    n->entry_bytes -= sizeof *entry + entry->hh.keylen;
    HASH_DELETE(hh, n->first, entry);
    free(entry);
}

void nonces_fini(struct nonces *n)
{
    struct nonce *entry = n->first;
    HASH_CLEAR(hh, n->first);
    while (entry) {
        struct nonce *next = entry->hh.next;
        CHECK(!entry->waiters);
        free(entry);
        entry = next;
    }
    n->entry_bytes = 0;
}

bool nonce_is_old(const struct nonce *entry, int64_t now_ms)
{
    return !entry->pending && entry->from_ms < now_ms - NONCE_KEEP_MS;
}

size_t nonces_expire(struct nonces *n, int64_t now_ms, size_t max_steps)
{
    size_t steps = 0;
    struct nonce *entry;
    while (steps < max_steps && (entry = n->first) && nonce_is_old(entry, now_ms)) {
        CHECK(!entry->hh.prev); /* so that removing it moves n->first on */
        nonces_remove(n, entry);
        steps++;
    }
    return steps;
}

size_t nonces_count(const struct nonces *n)
{
    return HASH_COUNT(n->first);
}

size_t nonces_bytes(const struct nonces *n)
{
    if (!n->first) return 0;
    const UT_hash_table *table = n->first->hh.tbl;
    return n->entry_bytes + sizeof *table + table->num_buckets * sizeof *table->buckets;
}
