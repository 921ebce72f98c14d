/* auth/site_cache: what is remembered, until when, and that it is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/identity.h"
#include "auth/site_cache.h"
#include "fail_alloc.h"

enum { LARGE = 8000 };

static const struct slice none = {NULL, 0};

static void write_key(uint8_t key[static SITE_KEY_BYTES], unsigned n)
{
    memset(key, 0, SITE_KEY_BYTES);
    memcpy(key, &n, sizeof n);
}

/* One that the site has named, to a question of so many bytes. */
static struct identity *identity_of(const char *user, size_t bytes)
{
    static const uint8_t ip[IP_BYTES];
    static char cookie[LARGE];
    const struct site_fields f = {.cookies = {cookie, bytes}, .ip = ip};
    const struct claims claims = {.user = slice_of(user), .expires_ms = UINT64_MAX};
    struct site_question *q = site_question_new(&f);
    struct identity *i;
    assert_int_equal(identity_new_site(claims_copy(&claims), q, UINT64_MAX, &i), 0);
    site_question_unref(q);
    return i;
}

static void add(struct site_cache *c, unsigned n, struct identity *i, int64_t until_ms)
{
    uint8_t key[SITE_KEY_BYTES];
    write_key(key, n);
    site_cache_add(c, key, i, until_ms);
}

/* NULL, or who it is, of whom the cache or the test has a reference. */
static struct identity *look(struct site_cache *c, unsigned n, int64_t now_ms)
{
    uint8_t key[SITE_KEY_BYTES];
    write_key(key, n);
    struct identity *i = site_cache_find(c, key, now_ms);
    if (i) identity_unref(i);
    return i;
}

static void test_remembered(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    struct site_cache c;
    struct identity *ann = identity_of("ann", 1);
    struct identity *bob = identity_of("bob", 1);
    site_cache_init(&c);
    assert_null(look(&c, 1, 0));
    add(&c, 1, ann, 100);
    add(&c, 2, bob, 200);
    assert_ptr_equal(look(&c, 1, 99), ann);
    assert_null(look(&c, 1, 100));
    assert_int_equal(c.count, 1);
    add(&c, 2, ann, 300); /* in the place of the other */
    assert_ptr_equal(look(&c, 2, 250), ann);
    assert_int_equal(c.count, 1);
    site_cache_fini(&c);
    assert_int_equal(c.bytes, 0);
    identity_unref(ann);
    identity_unref(bob);
    assert_int_equal(fail_alloc_live(), live);
}

static void test_forgotten(void **state)
{
    (void)state;
    struct site_cache c;
    struct identity *ann = identity_of("ann", 1);
    struct identity *bob = identity_of("bob", 1);
    site_cache_init(&c);
    add(&c, 1, ann, 100);
    add(&c, 2, bob, 100);
    add(&c, 3, ann, 100);
    site_cache_forget(&c, SLICE_LIT("ann"));
    assert_null(look(&c, 1, 0));
    assert_null(look(&c, 3, 0));
    assert_ptr_equal(look(&c, 2, 0), bob);
    add(&c, 1, ann, 100);
    site_cache_forget(&c, none);
    assert_int_equal(c.count, 0);
    site_cache_fini(&c);
    identity_unref(ann);
    identity_unref(bob);
}

/* The oldest go first, by their number and by their bytes. */
static void check_bounded(size_t bytes, unsigned count)
{
    struct site_cache c;
    struct identity *i = identity_of("ann", bytes);
    site_cache_init(&c);
    for (unsigned n = 0; n < count; n++) {
        add(&c, n, i, 100);
        assert_true(c.count <= SITE_CACHE_ENTRIES);
        assert_true(c.bytes <= SITE_CACHE_BYTES + 2 * identity_bytes(i));
    }
    assert_true(c.count < count);
    assert_ptr_equal(look(&c, count - 1, 0), i);
    assert_ptr_equal(look(&c, count - (unsigned)c.count, 0), i);
    assert_null(look(&c, count - (unsigned)c.count - 1, 0));
    site_cache_fini(&c);
    identity_unref(i);
}

static void test_bounded(void **state)
{
    (void)state;
    check_bounded(1, SITE_CACHE_ENTRIES + 10);
    check_bounded(LARGE, SITE_CACHE_BYTES / LARGE + 10);
}

static void test_no_memory(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    struct site_cache c;
    struct identity *ann = identity_of("ann", 1);
    site_cache_init(&c);
    for (long n = 0; c.count == 0; n++) {
        fail_alloc_after(n);
        add(&c, 1, ann, 100);
        fail_alloc_off();
        assert_true((look(&c, 1, 0) == ann) == (c.count == 1));
        assert_in_range(n, 0, 10);
    }
    site_cache_fini(&c);
    identity_unref(ann);
    assert_int_equal(fail_alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembered),
        cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
