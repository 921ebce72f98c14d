/* Nonces: expiry to the millisecond, caps, keys that look alike, each allocation failed in turn,
 * and random work compared with a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "fail_alloc.h"
#include "journal/nonces.h"

enum { T0 = 1000000000, ALL = 1 << 30 };

static struct nonce_key key(struct slice user, struct slice nonce)
{
    return (struct nonce_key){user, nonce};
}

static struct nonce *add(struct nonces *n, const char *user, const char *nonce, int64_t ts_ms)
{
    struct nonce_key k = {{user, strlen(user)}, {nonce, strlen(nonce)}};
    return nonces_add(n, &k, (uint64_t)ts_ms, ts_ms, ts_ms);
}

static struct nonce *find(const struct nonces *n, const char *user, const char *nonce)
{
    struct nonce_key k = {{user, strlen(user)}, {nonce, strlen(nonce)}};
    return nonces_find(n, &k);
}

static void test_life_of_an_entry(void **state)
{
    (void)state;
    struct nonces n = {0};
    assert_null(find(&n, "ann", "1"));
    assert_int_equal(nonces_count(&n), 0);
    assert_int_equal(nonces_bytes(&n), 0);
    assert_int_equal(nonces_expire(&n, T0, ALL), 0);

    char user[] = "ann";
    char text[] = "1";
    struct nonce_key k = {{user, 3}, {text, 1}};
    struct nonce *entry = nonces_add(&n, &k, 7, T0 - 5, T0);
    assert_non_null(entry);
    memset(user, 'x', 3); /* the texts were copied */
    text[0] = 'x';
    assert_ptr_equal(find(&n, "ann", "1"), entry);
    assert_null(nonces_find(&n, &k));
    assert_int_equal(entry->seq, 7);
    assert_int_equal(entry->ts_ms, T0 - 5);
    assert_true(entry->pending);
    assert_null(entry->waiters);
    size_t bytes = nonces_bytes(&n);
    assert_int_equal(bytes, sizeof *entry + sizeof(uint16_t) + 4 + sizeof(UT_hash_table) +
                                HASH_INITIAL_NUM_BUCKETS * sizeof(UT_hash_bucket));

    struct nonce *other = add(&n, "bob", "1", T0);
    assert_int_equal(nonces_count(&n), 2);
    assert_int_equal(nonces_bytes(&n), bytes + sizeof *entry + sizeof(uint16_t) + 4);
    nonces_settle(entry);
    assert_false(entry->pending);
    nonces_remove(&n, other);
    assert_null(find(&n, "bob", "1"));
    assert_ptr_equal(find(&n, "ann", "1"), entry);
    assert_int_equal(nonces_bytes(&n), bytes);
    nonces_remove(&n, entry);
    assert_int_equal(nonces_bytes(&n), 0);
    assert_int_equal(fail_alloc_live(), 0);

    /* A refused nonce may be used again. */
    assert_non_null(add(&n, "bob", "1", T0));
    nonces_fini(&n);
    assert_int_equal(nonces_count(&n), 0);
    assert_int_equal(fail_alloc_live(), 0);
}

static void test_keys(void **state)
{
    (void)state;
    static const struct nonce_key keys[] = {
        {{"ab", 2}, {"c", 1}},    {{"a", 1}, {"bc", 2}},    {{"", 0}, {"abc", 3}},
        {{"abc", 3}, {"", 0}},    {{"abc", 3}, {"\0", 1}},  {{"abc\0", 4}, {"", 0}},
        {{NULL, 0}, {NULL, 0}},   {{"\1\0", 2}, {"", 0}},   {{"", 0}, {"\1\0", 2}},
        {{"\0\0", 2}, {"\0", 1}}, {{"\0", 1}, {"\0\0", 2}}, {{"a", 1}, {"a", 1}},
        {{"a", 1}, {"A", 1}},
    };
    enum { KEYS = sizeof keys / sizeof *keys };
    struct nonces n = {0};
    struct nonce *entries[KEYS];
    for (size_t i = 0; i < KEYS; i++) {
        assert_null(nonces_find(&n, &keys[i]));
        entries[i] = nonces_add(&n, &keys[i], i, T0, T0);
        assert_non_null(entries[i]);
    }
    for (size_t i = 0; i < KEYS; i++)
        assert_ptr_equal(nonces_find(&n, &keys[i]), entries[i]);
    nonces_fini(&n);
}

static void test_key_sizes(void **state)
{
    (void)state;
    static char text[NONCE_KEY_MAX + 1];
    memset(text, 'k', sizeof text);
    struct nonces n = {0};
    for (size_t user = 0; user <= NONCE_KEY_MAX; user += 64) {
        struct nonce_key fits =
            key((struct slice){text, user}, (struct slice){text, NONCE_KEY_MAX - user});
        struct nonce_key over =
            key((struct slice){text, user}, (struct slice){text, NONCE_KEY_MAX - user + 1});
        struct nonce *entry = nonces_add(&n, &fits, user, T0, T0);
        assert_non_null(entry);
        assert_ptr_equal(nonces_find(&n, &fits), entry);
        assert_null(nonces_add(&n, &over, user, T0, T0));
        assert_null(nonces_find(&n, &over));
    }
    struct nonce_key huge = key((struct slice){text, SIZE_MAX}, (struct slice){text, 2});
    assert_null(nonces_add(&n, &huge, 1, T0, T0));
    assert_null(nonces_find(&n, &huge));
    assert_int_equal(nonces_count(&n), NONCE_KEY_MAX / 64 + 1);
    nonces_fini(&n);
    assert_int_equal(fail_alloc_live(), 0);
}

static void test_expiry(void **state)
{
    (void)state;
    struct nonces n = {0};
    nonces_settle(add(&n, "ann", "1", T0));
    nonces_settle(add(&n, "ann", "2", T0 + 1));
    assert_int_equal(nonces_expire(&n, T0 + NONCE_KEEP_MS, ALL), 0);
    assert_int_equal(nonces_expire(&n, T0 + NONCE_KEEP_MS + 1, ALL), 1);
    assert_null(find(&n, "ann", "1"));
    assert_non_null(find(&n, "ann", "2"));
    assert_int_equal(nonces_expire(&n, T0 + NONCE_KEEP_MS + 2, 0), 0);
    assert_int_equal(nonces_expire(&n, T0 + NONCE_KEEP_MS + 2, 1), 1);
    assert_int_equal(fail_alloc_live(), 0);

    /* A pending one stays, however old, and what is behind it waits. */
    struct nonce *first = add(&n, "ann", "1", T0);
    nonces_settle(add(&n, "ann", "2", T0 + 1));
    assert_int_equal(nonces_expire(&n, T0 + 2 * NONCE_KEEP_MS, ALL), 0);
    nonces_settle(first);
    assert_int_equal(nonces_expire(&n, T0 + 2 * NONCE_KEEP_MS, ALL), 2);

    /* The clock was set back by an hour, then by a second: nothing expires before its time. */
    const int64_t hour_ms = 3600 * 1000;
    nonces_settle(add(&n, "ann", "1", T0 + hour_ms));
    nonces_settle(add(&n, "ann", "2", T0));
    nonces_settle(add(&n, "ann", "3", T0 - 1000));
    assert_int_equal(nonces_expire(&n, T0 + NONCE_KEEP_MS + 1, ALL), 0);
    assert_int_equal(nonces_expire(&n, T0 + hour_ms + NONCE_KEEP_MS, ALL), 0);
    assert_int_equal(nonces_expire(&n, T0 + hour_ms + NONCE_KEEP_MS + 1, ALL), 3);
    assert_int_equal(fail_alloc_live(), 0);
}

/* Adding takes out more than it puts in, so it catches up, but never much at once. */
static void test_adding_expires(void **state)
{
    (void)state;
    enum { OLD = 41 };
    struct nonces n = {0};
    char text[16];
    for (int i = 0; i < OLD; i++) {
        snprintf(text, sizeof text, "old%d", i);
        nonces_settle(add(&n, "ann", text, T0));
    }
    size_t count = OLD;
    for (int i = 0; i < OLD; i++) {
        snprintf(text, sizeof text, "new%d", i);
        assert_non_null(add(&n, "ann", text, T0 + NONCE_KEEP_MS + 1));
        size_t old = count - (size_t)i;
        count += 1 - (old < NONCES_ADD_EXPIRES ? old : NONCES_ADD_EXPIRES);
        assert_int_equal(nonces_count(&n), count);
    }
    assert_int_equal(nonces_count(&n), OLD);
    assert_null(find(&n, "ann", "old40"));
    nonces_fini(&n);
}

static void test_full(void **state)
{
    (void)state;
    struct nonces n = {0};
    for (uint32_t i = 0; i < NONCES_MAX; i++) {
        struct nonce_key k = {SLICE_LIT("u"), {(const char *)&i, sizeof i}};
        struct nonce *entry = nonces_add(&n, &k, i, T0, T0);
        assert_non_null(entry);
        nonces_settle(entry);
    }
    assert_null(add(&n, "ann", "1", T0 + NONCE_KEEP_MS));
    assert_int_equal(nonces_count(&n), NONCES_MAX);
    assert_true(nonces_bytes(&n) < (size_t)NONCES_MAX * 200);
    assert_non_null(add(&n, "ann", "1", T0 + NONCE_KEEP_MS + 1));
    assert_int_equal(nonces_count(&n), NONCES_MAX + 1 - NONCES_ADD_EXPIRES);
    nonces_fini(&n);
    assert_int_equal(fail_alloc_live(), 0);
}

/* Every allocation of some hundred additions, which grow the table several times. */
static void test_short_memory(void **state)
{
    (void)state;
    enum { ADDED = 700 };
    for (long fail_at = 0; fail_at < ADDED + 20; fail_at++) {
        struct nonces n = {0};
        size_t expected = 0;
        fail_alloc_after(fail_at);
        for (int i = 0; i < ADDED; i++) {
            struct nonce_key k = {SLICE_LIT("ann"), {(const char *)&i, sizeof i}};
            struct nonce *entry = nonces_add(&n, &k, (uint64_t)i, T0, T0);
            assert_ptr_equal(nonces_find(&n, &k), entry);
            expected += entry != NULL;
            if (!entry) fail_alloc_off(); /* one fails, the next ones find memory again */
        }
        fail_alloc_off();
        assert_int_equal(nonces_count(&n), expected);
        assert_true(expected >= ADDED - 1);
        assert_int_equal(fail_alloc_live(), expected + 2);
        nonces_fini(&n);
        assert_int_equal(fail_alloc_live(), 0);
    }
}

/* ---- random work against an array ---- */

enum { MODEL_MAX = 4000, KEYS = 3000, STEPS = 60000, SEEDS = 6 };

struct model_entry {
    char text[16]; /* user and nonce */
    uint8_t user_len;
    uint8_t len;
    uint64_t seq;
    int64_t ts_ms;
    int64_t from_ms;
    bool pending;
    struct nonce *entry;
};

struct world {
    uint64_t random;
    int64_t now_ms;
    uint64_t seq;
    struct nonces n;
    struct model_entry model[MODEL_MAX]; /* oldest first */
    size_t count;
    size_t expired, refused, failed, found;
};

static uint64_t rnd(struct world *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % below;
}

/* Each text is used with four places at which the user ends and the nonce begins. */
static struct model_entry entry_of(struct world *w)
{
    unsigned number = (unsigned)rnd(w, KEYS);
    struct model_entry e = {.user_len = (uint8_t)(number % 4 + 1)};
    e.len = (uint8_t)snprintf(e.text, sizeof e.text, "%04x", number / 4);
    return e;
}

static struct nonce_key key_of(const struct model_entry *e)
{
    return (struct nonce_key){{e->text, e->user_len},
                              {e->text + e->user_len, (size_t)(e->len - e->user_len)}};
}

static size_t model_find(const struct world *w, const struct model_entry *e)
{
    size_t i = 0;
    while (i < w->count && (w->model[i].user_len != e->user_len ||
                            memcmp(w->model[i].text, e->text, sizeof e->text) != 0))
        i++;
    return i;
}

static void model_remove(struct world *w, size_t i)
{
    w->count--;
    memmove(&w->model[i], &w->model[i + 1], (w->count - i) * sizeof *w->model);
}

static size_t model_expire(struct world *w, size_t max_steps)
{
    size_t steps = 0;
    while (steps < max_steps && w->count > 0 && !w->model[0].pending &&
           w->now_ms - w->model[0].from_ms > NONCE_KEEP_MS) {
        model_remove(w, 0);
        steps++;
    }
    w->expired += steps;
    return steps;
}

static void try_to_post(struct world *w)
{
    struct model_entry e = entry_of(w);
    struct nonce_key k = key_of(&e);
    size_t i = model_find(w, &e);
    struct nonce *entry = nonces_find(&w->n, &k);
    if (i < w->count) {
        assert_ptr_equal(entry, w->model[i].entry);
        assert_int_equal(entry->seq, w->model[i].seq);
        assert_int_equal(entry->ts_ms, w->model[i].ts_ms);
        assert_int_equal(entry->pending, w->model[i].pending);
        w->found++;
        return;
    }
    assert_null(entry);
    bool short_memory = rnd(w, 30) == 0;
    e.seq = ++w->seq;
    e.ts_ms = w->now_ms - (int64_t)rnd(w, 50);
    e.from_ms = w->now_ms;
    e.pending = true;
    if (short_memory) fail_alloc_after((long)rnd(w, 3));
    e.entry = nonces_add(&w->n, &k, e.seq, e.ts_ms, w->now_ms);
    fail_alloc_off();
    model_expire(w, NONCES_ADD_EXPIRES);
    if (!e.entry) {
        assert_true(short_memory);
        assert_null(nonces_find(&w->n, &k));
        w->failed++;
        return;
    }
    assert_true(w->count < MODEL_MAX);
    w->model[w->count++] = e;
}

/* The store is done with one of the pending: mostly the oldest, mostly it is committed. */
static void complete(struct world *w)
{
    size_t i = 0;
    while (i < w->count && (!w->model[i].pending || rnd(w, 10) == 0))
        i++;
    if (i == w->count) return;
    if (rnd(w, 8) > 0) {
        if (!w->model[i].pending) return;
        nonces_settle(w->model[i].entry);
        w->model[i].pending = false;
    } else {
        nonces_remove(&w->n, w->model[i].entry);
        model_remove(w, i);
        w->refused++;
    }
}

static void step(struct world *w)
{
    w->now_ms += (int64_t)rnd(w, 600);
    if (rnd(w, 300) == 0) w->now_ms -= (int64_t)rnd(w, 20000);
    switch (rnd(w, 8)) {
    case 0: {
        size_t max_steps = (size_t)rnd(w, 6);
        size_t expired = nonces_expire(&w->n, w->now_ms, max_steps);
        assert_int_equal(expired, model_expire(w, max_steps));
        break;
    }
    case 1:
    case 2:
    case 3:
        complete(w);
        break;
    default:
        try_to_post(w);
    }
    assert_int_equal(nonces_count(&w->n), w->count);
    assert_int_equal(fail_alloc_live(), w->count > 0 ? w->count + 2 : 0);
    assert_int_equal(nonces_bytes(&w->n) > 0, w->count > 0);
}

static void test_random_work(void **state)
{
    (void)state;
    static struct world w; /* too large for a small stack */
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        w = (struct world){.random = seed * 0x9e3779b97f4a7c15U + 1, .now_ms = T0};
        for (int i = 0; i < STEPS; i++)
            step(&w);
        print_message("left %zu, expired %zu, refused %zu, no memory %zu, found %zu\n", w.count,
                      w.expired, w.refused, w.failed, w.found);
        assert_true(w.expired > 100 && w.refused > 100 && w.failed > 100 && w.found > 100);
        nonces_fini(&w.n);
        assert_int_equal(fail_alloc_live(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_of_an_entry), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_key_sizes),        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_adding_expires),   cmocka_unit_test(test_full),
        cmocka_unit_test(test_short_memory),     cmocka_unit_test(test_random_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
