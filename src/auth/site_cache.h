/* Who somebody is, as the site said a moment ago, by the key of the question (site_question.h). It
 * is bounded by SITE_CACHE_ENTRIES and SITE_CACHE_BYTES; beyond, the oldest go. The caller locks,
 * and gives the time: monotonic milliseconds. */
#ifndef AUTH_SITE_CACHE_H
#define AUTH_SITE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "auth/site_question.h"
#include "base/buf.h"
#include "base/list.h"

struct identity;
struct site_cached;

enum { SITE_CACHE_ENTRIES = 10000, SITE_CACHE_BYTES = 16 << 20 };

struct site_cache {
    struct site_cached *by_key;
    struct list order; /* oldest first */
    size_t count;
    size_t bytes;
};

void site_cache_init(struct site_cache *c);
void site_cache_fini(struct site_cache *c);

/* A reference; NULL: nothing is known, or not any more. */
struct identity *site_cache_find(struct site_cache *c, const uint8_t key[static SITE_KEY_BYTES],
                                 int64_t now_ms);

/* Remembers who it is until then, unless memory is short. It takes the place of what was known. */
void site_cache_add(struct site_cache *c, const uint8_t key[static SITE_KEY_BYTES],
                    struct identity *identity, int64_t until_ms);

/* What is known of this user; ptr NULL: of all. */
void site_cache_forget(struct site_cache *c, struct slice user);

#endif
