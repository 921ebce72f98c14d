/* Memory in use, counted where it is taken and given back, against what it may be.
 *
 * Why: what peers can make the server keep has to have one sum, or each part is within its own
 * limit and all of them together are not. Counting is one relaxed addition; who finds the sum too
 * large decides what to do about it. Any thread. */
#ifndef BASE_ACCOUNT_H
#define BASE_ACCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct account {
    atomic_uint_fast64_t used; /* bytes */
    uint64_t max;              /* of account_may; account_add does not ask */
};

static inline uint64_t account_used(const struct account *a)
{
    return atomic_load_explicit(&a->used, memory_order_relaxed);
}

static inline void account_add(struct account *a, uint64_t bytes)
{
    atomic_fetch_add_explicit(&a->used, bytes, memory_order_relaxed);
}

static inline void account_sub(struct account *a, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&a->used, bytes, memory_order_relaxed);
}

/* Something took `before` bytes and takes `now`. */
static inline void account_change(struct account *a, uint64_t before, uint64_t now)
{
    if (before != now) account_add(a, now - before);
}

/* Whether so much more would be within the max. What does not fit at all may when nothing else is
 * there, so that it is not refused for ever. */
static inline bool account_may(const struct account *a, uint64_t bytes)
{
    uint64_t used = account_used(a);
    return used == 0 || (used <= a->max && bytes <= a->max - used);
}

#endif
