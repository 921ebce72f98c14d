/* Buckets: what an address has, what it gets back, that addresses and kinds do not share, and what
 * happens when there are more addresses than entries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "server/budget.h"

#define START UINT64_C(1000000)

static struct budgets *make(uint32_t messages)
{
    const struct budget_options options = {
        {[BUDGET_MESSAGES] = messages, [BUDGET_CONNECTS] = 10, [BUDGET_HISTORY] = 3}};
    struct budgets *b = budget_new(&options);
    assert_non_null(b);
    return b;
}

/* The n-th of many addresses: an IPv6 /64 each. */
static const uint8_t *address(uint32_t n)
{
    static _Thread_local uint8_t ip[IP_BYTES];
    ip[0] = 0x20;
    memcpy(ip + 4, &n, sizeof n);
    return ip;
}

static unsigned take_all(struct budgets *b, uint32_t n, enum budget_kind kind, uint64_t now_ms)
{
    unsigned taken = 0;
    while (taken < 100000 && budget_take(b, address(n), kind, 1, now_ms))
        taken++;
    return taken;
}

static void test_bucket(void **state)
{
    (void)state;
    struct budgets *b = make(100);
    assert_int_equal(take_all(b, 1, BUDGET_MESSAGES, START), 100);
    assert_false(budget_take(b, address(1), BUDGET_MESSAGES, 0, START));
    assert_int_equal(budget_wait_ms(b, address(1), BUDGET_MESSAGES, START), 100);
    assert_false(budget_take(b, address(1), BUDGET_MESSAGES, 1, START + 99));
    assert_int_equal(budget_wait_ms(b, address(1), BUDGET_MESSAGES, START + 99), 1);
    assert_true(budget_take(b, address(1), BUDGET_MESSAGES, 0, START + 100));
    assert_int_equal(budget_wait_ms(b, address(1), BUDGET_MESSAGES, START + 100), 0);
    assert_int_equal(take_all(b, 1, BUDGET_MESSAGES, START + 100), 1);
    assert_int_equal(take_all(b, 1, BUDGET_MESSAGES, START + 5100), 50);
    assert_int_equal(take_all(b, 1, BUDGET_MESSAGES, START + 60000), 100);
    assert_int_equal(take_all(b, 2, BUDGET_MESSAGES, START), 100); /* another address */
    assert_int_equal(take_all(b, 1, BUDGET_CONNECTS, START), 10);  /* another kind */
    assert_int_equal(take_all(b, 1, BUDGET_HISTORY, START), 3);
    budget_free(b);
}

static void test_many_at_once(void **state)
{
    (void)state;
    struct budgets *b = make(100);
    assert_true(budget_take(b, address(1), BUDGET_MESSAGES, 60, START));
    assert_true(budget_take(b, address(1), BUDGET_MESSAGES, 40, START));
    assert_false(budget_take(b, address(1), BUDGET_MESSAGES, 1, START));
    budget_free(b);
}

/* Who has one gets as many as it wants, and waits until it has paid; for a period at most. */
static void test_debt(void **state)
{
    (void)state;
    struct budgets *b = make(100);
    assert_true(budget_take(b, address(1), BUDGET_MESSAGES, 99, START));
    assert_true(budget_take(b, address(1), BUDGET_MESSAGES, 31, START));
    assert_int_equal(budget_wait_ms(b, address(1), BUDGET_MESSAGES, START), 3100);
    assert_false(budget_take(b, address(1), BUDGET_MESSAGES, 1, START + 3099));
    assert_true(budget_take(b, address(1), BUDGET_MESSAGES, 100000, START + 3100));
    assert_int_equal(budget_wait_ms(b, address(1), BUDGET_MESSAGES, START + 3100), 10100);
    assert_false(budget_take(b, address(1), BUDGET_MESSAGES, 1, START + 13199));
    assert_int_equal(take_all(b, 1, BUDGET_MESSAGES, START + 13200), 1);
    assert_int_equal(take_all(b, 1, BUDGET_MESSAGES, START + 40000), 100);
    budget_free(b);
}

static void test_off(void **state)
{
    (void)state;
    struct budgets *b = make(0);
    assert_int_equal(take_all(b, 1, BUDGET_MESSAGES, START), 100000);
    assert_int_equal(budget_wait_ms(b, address(1), BUDGET_MESSAGES, START), 0);
    budget_free(b);
}

/* With ten times as many addresses as entries, nobody is refused what is left of a budget, and who
 * has spent all of it is not forgotten for those that have spent little. */
static void test_full(void **state)
{
    (void)state;
    enum { HEAVY = 20 };
    struct budgets *b = make(100);
    for (uint32_t n = 0; n < HEAVY; n++)
        assert_int_equal(take_all(b, n, BUDGET_MESSAGES, START), 100);
    for (uint32_t n = 0; n < 10 * BUDGET_SETS * BUDGET_WAYS; n++)
        assert_true(budget_take(b, address(1000 + n), BUDGET_MESSAGES, 1, START + 1));
    for (uint32_t n = 0; n < HEAVY; n++)
        assert_false(budget_take(b, address(n), BUDGET_MESSAGES, 1, START + 2));
    /* Once their buckets are full again they take no entry from anybody. */
    for (uint32_t n = 0; n < BUDGET_SETS; n++)
        assert_int_equal(take_all(b, 2000000 + n, BUDGET_HISTORY, START + 20000), 3);
    budget_free(b);
}

enum { THREADS = 4, TRIES = 50000 };

struct race {
    struct budgets *b;
    atomic_uint taken;
};

static void *run(void *arg)
{
    struct race *race = arg;
    for (unsigned i = 0; i < TRIES; i++)
        if (budget_take(race->b, address(7), BUDGET_MESSAGES, 1, START))
            atomic_fetch_add(&race->taken, 1);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct race race = {.b = make(1000)};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &race), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(race.taken, 1000);
    budget_free(race.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket), cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_debt),   cmocka_unit_test(test_off),
        cmocka_unit_test(test_full),   cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
