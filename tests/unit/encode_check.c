/* See encode_check.h. */
#include "encode_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "fail_alloc.h"

enum { NO_LIMIT = 1 << 24, ALLOCATIONS_MAX = 100 };

static void check_bytes(encode_check_fn *encode, const void *frame, struct slice want)
{
    struct buf out = {0};
    assert_int_equal(encode(frame, &out, want.len), 0);
    if (out.len != want.len || memcmp(out.data, want.ptr, want.len) != 0)
        fail_msg("%.*s instead of %.*s", (int)out.len, (char *)out.data, (int)want.len, want.ptr);
    assert_int_equal(encode(frame, &out, 2 * want.len - 1), ERR_TOO_LONG);
    assert_int_equal(out.len, want.len);
    assert_int_equal(encode(frame, &out, 2 * want.len), 0);
    assert_int_equal(memcmp(out.data + want.len, want.ptr, want.len), 0);
    buf_fini(&out);
}

static void check_limits(encode_check_fn *encode, const void *frame, size_t len)
{
    for (size_t limit = 0; limit < len; limit++) {
        struct buf out = {0};
        assert_int_equal(encode(frame, &out, limit), ERR_TOO_LONG);
        assert_int_equal(out.len, 0);
        buf_fini(&out);
    }
}

static void check_memory(encode_check_fn *encode, const void *frame, size_t len)
{
    int err = ERR_NOMEM;
    for (long n = 0; err; n++) {
        struct buf out = {0};
        assert_true(n < ALLOCATIONS_MAX);
        fail_alloc_after(n);
        err = encode(frame, &out, NO_LIMIT);
        fail_alloc_off();
        assert_int_equal(err, err ? ERR_NOMEM : 0);
        assert_int_equal(out.len, err ? 0 : len);
        assert_true(err || n > 0);
        buf_fini(&out);
    }
}

void encode_check(encode_check_fn *encode, const void *frame, struct slice want)
{
    check_bytes(encode, frame, want);
    check_limits(encode, frame, want.len);
    check_memory(encode, frame, want.len);
}
