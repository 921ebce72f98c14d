/* The read markers of a room in memory: forward only, the cap, each allocation failed in turn, and
 * random moves compared with a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/read_markers.h"
#include "fail_alloc.h"

static int move(struct read_markers *m, const char *user, uint64_t seq)
{
    const struct store_mark mark = {seq, {user, strlen(user)}};
    return read_markers_move(m, &mark);
}

static uint64_t find(const struct read_markers *m, const char *user)
{
    return read_markers_find(m, (struct slice){user, strlen(user)});
}

static void test_forward_only(void **state)
{
    (void)state;
    struct read_markers m = {0};
    char name[] = "ann";
    assert_int_equal(find(&m, "ann"), 0);
    assert_int_equal(read_markers_count(&m), 0);
    assert_int_equal(move(&m, name, 5), 0);
    name[0] = 'x'; /* it was copied */
    assert_int_equal(find(&m, "ann"), 5);
    assert_int_equal(find(&m, "an"), 0);
    assert_int_equal(find(&m, "anna"), 0);
    assert_int_equal(move(&m, "ann", 3), 0);
    assert_int_equal(move(&m, "ann", 5), 0);
    assert_int_equal(find(&m, "ann"), 5);
    assert_int_equal(move(&m, "ann", 6), 0);
    assert_int_equal(find(&m, "ann"), 6);
    assert_int_equal(read_markers_count(&m), 1);
    read_markers_fini(&m);
    assert_int_equal(find(&m, "ann"), 0);
    read_markers_fini(&m);
}

/* At the cap whoever has moved longest ago goes; an older seq is no move. */
static void test_cap(void **state)
{
    (void)state;
    struct read_markers m = {0};
    char name[16];
    for (unsigned i = 0; i < STORE_MARKS_MAX; i++) {
        snprintf(name, sizeof name, "u%u", i);
        assert_int_equal(move(&m, name, 2), 0);
    }
    assert_int_equal(move(&m, "u0", 3), 0);
    assert_int_equal(move(&m, "u1", 1), 0);
    assert_int_equal(move(&m, "a", 1), 0);
    assert_int_equal(move(&m, "b", 1), 0);
    assert_int_equal(read_markers_count(&m), STORE_MARKS_MAX);
    assert_int_equal(find(&m, "u0"), 3);
    assert_int_equal(find(&m, "u1"), 0);
    assert_int_equal(find(&m, "u2"), 0);
    assert_int_equal(find(&m, "u3"), 2);
    assert_int_equal(find(&m, "b"), 1);
    read_markers_fini(&m);
}

/* Also when the table has to grow; a move never fails. */
static void test_no_memory(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    struct read_markers m = {0};
    char name[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "u%u", i);
        int err = ERR_NOMEM;
        for (long n = 0; err; n++) {
            fail_alloc_after(n);
            err = move(&m, name, 1);
            fail_alloc_off();
            assert_true(err == 0 || err == ERR_NOMEM);
            assert_int_equal(read_markers_count(&m), i + (err == 0));
            assert_int_equal(find(&m, name), err == 0);
        }
    }
    fail_alloc_after(0);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "u%u", i);
        assert_int_equal(move(&m, name, 2), 0);
        assert_int_equal(find(&m, name), 2);
    }
    fail_alloc_off();
    assert_int_equal(read_markers_count(&m), 1000);
    read_markers_fini(&m);
    assert_int_equal(fail_alloc_live(), live);
}

enum { USERS = 300, MOVES = 100000 };

static void test_random(void **state)
{
    (void)state;
    struct read_markers m = {0};
    uint64_t want[USERS] = {0};
    size_t count = 0;
    unsigned seed = 1;
    for (int i = 0; i < MOVES; i++) {
        char name[16];
        unsigned user = (unsigned)rand_r(&seed) % USERS;
        uint64_t seq = 1 + (uint64_t)rand_r(&seed) % (unsigned)(i + 10);
        snprintf(name, sizeof name, "u%u", user);
        assert_int_equal(move(&m, name, seq), 0);
        count += want[user] == 0;
        if (want[user] < seq) want[user] = seq;
        assert_int_equal(find(&m, name), want[user]);
        assert_int_equal(read_markers_count(&m), count);
    }
    read_markers_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_only),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
