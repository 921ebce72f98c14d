/* Who has most: the sums of one look at connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/tally.h"

/* As conn_client makes them: odd, never 0. */
static uint64_t client(uint64_t n)
{
    return n * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static void test_sums(void **state)
{
    (void)state;
    struct tally t = {0};
    for (int i = 0; i < 100; i++)
        tally_add(&t, client(7), 1000);
    tally_add(&t, client(8), 64000);
    assert_int_equal(tally_of(&t, client(7), 1000), 100000);
    assert_int_equal(tally_of(&t, client(8), 64000), 64000);
    assert_int_equal(tally_of(&t, client(9), 5), 5);
    assert_int_equal(t.most, 100000);
}

/* Clients whose numbers lie together do not share a sum. */
static void test_neighbours(void **state)
{
    (void)state;
    struct tally t = {0};
    for (uint64_t i = 0; i < 50; i++)
        tally_add(&t, 2 * (uint64_t)TALLY_SLOTS * (i + 1) - 1, i + 1);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(tally_of(&t, 2 * (uint64_t)TALLY_SLOTS * (i + 1) - 1, 0), i + 1);
    assert_int_equal(t.most, 50);
}

/* Beyond the table's end connections stand for themselves, and the heaviest of them is known. */
static void test_full(void **state)
{
    (void)state;
    struct tally t = {0};
    for (uint64_t i = 1; i <= 4 * TALLY_SLOTS; i++) {
        tally_add(&t, client(i), 10);
        tally_add(&t, client(i), 10);
    }
    assert_int_equal(t.count, TALLY_MAX);
    assert_int_equal(tally_of(&t, client(1), 10), 20);
    assert_int_equal(tally_of(&t, client(4 * TALLY_SLOTS), 10), 10);
    assert_int_equal(t.most, 20);
    tally_add(&t, client(5 * TALLY_SLOTS), 500);
    assert_int_equal(t.most, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
