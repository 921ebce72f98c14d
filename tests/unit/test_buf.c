/* Buffers and slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "fail_alloc.h"

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        struct slice text;
        uint64_t number;
    } good[] = {
        {SLICE_LIT("0"), 0},
        {SLICE_LIT("007"), 7},
        {SLICE_LIT("18446744073709551614"), UINT64_MAX - 1},
        {SLICE_LIT("18446744073709551615"), UINT64_MAX},
        {SLICE_LIT("18446744073709551616"), UINT64_MAX},
        {SLICE_LIT("99999999999999999999999999"), UINT64_MAX},
    };
    static const struct slice bad[] = {SLICE_LIT(""),   SLICE_LIT("-1"),  SLICE_LIT("+1"),
                                       SLICE_LIT(" 1"), SLICE_LIT("1\0"), SLICE_LIT("1e3"),
                                       SLICE_LIT("/"),  SLICE_LIT(":"),   SLICE_LIT("1\xb2")};
    uint64_t n = 42;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(slice_to_u64(bad[i], &n));
        assert_int_equal(n, 42);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(slice_to_u64(good[i].text, &n));
        assert_true(n == good[i].number);
    }
}

static void test_equality(void **state)
{
    (void)state;
    const struct slice none = {NULL, 0};
    assert_true(slice_equal(none, SLICE_LIT("")));
    assert_true(slice_equal(SLICE_LIT("a\0b"), SLICE_LIT("a\0b")));
    assert_false(slice_equal(SLICE_LIT("a\0b"), SLICE_LIT("a\0c")));
    assert_false(slice_equal(SLICE_LIT("a"), SLICE_LIT("ab")));
    assert_true(slice_is(none, "") && slice_is(SLICE_LIT("ab"), "ab"));
    assert_false(slice_is(SLICE_LIT("a\0"), "a"));
}

/* What does not fit, by the caller's limit or at all, leaves the buffer as it was. */
static void test_limits(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_append(&b, "abc", 3, 3), 0);
    assert_int_equal(buf_append(&b, "d", 1, 3), ERR_TOO_LONG);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, SIZE_MAX), ERR_TOO_LONG);
    assert_int_equal(buf_reserve(&b, UINT32_MAX - 2, SIZE_MAX), ERR_TOO_LONG);
    fail_alloc_after(0);
    assert_int_equal(buf_reserve(&b, 1000, SIZE_MAX), ERR_NOMEM);
    fail_alloc_off();
    assert_true(b.len == 3 && b.data[0] == 'a' && b.data[2] == 'c');
    assert_int_equal(buf_append(&b, "defg", 4, SIZE_MAX), 0);
    buf_drop(&b, 2);
    buf_truncate(&b, 4);
    assert_true(slice_is((struct slice){(const char *)b.data, b.len}, "cdef"));
    buf_fini(&b);
    assert_null(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
