/* Chunked bodies: every vector whole, split at every place, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/http_chunks.h"

enum { BODY_MAX = 70000 };

struct reading {
    struct http_chunks chunks;
    char body[BODY_MAX];
    size_t len;
    size_t used;
    int result;
};

/* Feeds bytes that lie in memory of their own. */
static void feed(struct reading *r, const char *bytes, size_t len)
{
    if (r->result || len == 0) return;
    char *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    struct slice in = {copy, len};
    while (in.len > 0 && !r->result) {
        struct slice data;
        r->result = http_chunks_read(&r->chunks, &in, &data);
        assert_true(r->len + data.len <= BODY_MAX);
        if (data.len) memcpy(r->body + r->len, data.ptr, data.len);
        r->len += data.len;
    }
    r->used += len - in.len;
    free(copy);
}

static struct reading got;

static int read_split(const char *bytes, size_t len, size_t split)
{
    memset(&got, 0, sizeof got);
    feed(&got, bytes, split);
    feed(&got, bytes + split, len - split);
    return got.result;
}

static int read_bytes(const char *bytes, size_t len)
{
    memset(&got, 0, sizeof got);
    for (size_t i = 0; i < len; i++)
        feed(&got, bytes + i, 1);
    return got.result;
}

static void check(const char *bytes, int result, const char *body, size_t used)
{
    if (got.result != result) fail_msg("\"%s\": %d, not %d", bytes, got.result, result);
    if (result != 1) return;
    assert_int_equal(got.used, used);
    assert_int_equal(got.len, strlen(body));
    assert_memory_equal(got.body, body, got.len);
}

static void is(const char *bytes, int result, const char *body, size_t used)
{
    size_t len = strlen(bytes);
    for (size_t split = 0; split <= len; split++) {
        read_split(bytes, len, split);
        check(bytes, result, body, used);
    }
    read_bytes(bytes, len);
    check(bytes, result, body, used);
}

static void good(const char *bytes, const char *body)
{
    is(bytes, 1, body, strlen(bytes));
}

static void test_good(void **state)
{
    (void)state;
    good("0\r\n\r\n", "");
    good("5\r\nhello\r\n0\r\n\r\n", "hello");
    good("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", "hello world");
    good("00000005\r\nhello\r\n000\r\n\r\n", "hello");
    good("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a");
    good("5;ext\r\nhello\r\n0;last=\"x;y\"\r\n\r\n", "hello");
    good("5 \t; a=b\r\nhello\r\n0\r\n\r\n", "hello");
    good("2\r\n\r\n\r\n0\r\n\r\n", "\r\n");
    good("0\r\nExpires: never\r\nX-Sum:1\r\nX-Empty:\r\n\r\n", "");
    is("0\r\n\r\nGET / HTTP/1.1\r\n", 1, "", 5);
}

static void test_unfinished(void **state)
{
    (void)state;
    static const char *const parts[] = {"",
                                        "5",
                                        "5\r\nhel",
                                        "5\r\nhello\r\n",
                                        "0\r\n",
                                        "0\r\nA: b",
                                        "0\r\n\r",
                                        "5\r\nhello\r\n0\r\n",
                                        "ffffffff\r\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        is(parts[i], 0, NULL, 0);
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+5\r\n",
        "0x5\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n", /* blanks end in a semicolon, or are none */
        "5 5\r\n",
        "5\nhello\r\n0\r\n\r\n", /* each of these but the first libhttp-parser takes */
        "5\rXhello\r\n0\r\n\r\n",
        "5\r\nhelloXY0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;\x01\r\nhello\r\n0\r\n\r\n",
        "5;\x7f\r\nhello\r\n0\r\n\r\n",
        "0\n\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\rX",
        "0\r\nno colon\r\n\r\n",
        "0\r\n folded: x\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\nA: \x08\r\n\r\n",
        "5\r\nhello\r\n\r\n",
        "00000000000000005\r\nhello\r\n", /* 17 digits */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        is(bad[i], ERR_BAD_REQUEST, NULL, 0);
    is("100000000\r\n", ERR_BODY_TOO_LARGE, NULL, 0);
    is("fffffffffffffffff\r\n", ERR_BODY_TOO_LARGE, NULL, 0);
    is("8000000000000005\r\nhello\r\n", ERR_BODY_TOO_LARGE, NULL, 0);
    const char nul[] = "5;a\0b\r\nhello\r\n0\r\n\r\n";
    assert_int_equal(read_bytes(nul, sizeof nul - 1), ERR_BAD_REQUEST);
}

/* A sender cannot make us read for ever what is not the body. */
static void test_extra_limit(void **state)
{
    (void)state;
    static char bytes[HTTP_CHUNKS_EXTRA_MAX_BYTES + 64];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "5;", 2);
    assert_int_equal(read_split(bytes, 2 + HTTP_CHUNKS_EXTRA_MAX_BYTES, 100), 0);
    assert_int_equal(read_split(bytes, sizeof bytes, 100), ERR_HEAD_TOO_LARGE);
    memcpy(bytes, "0\r\nA:", 5);
    assert_int_equal(read_split(bytes, sizeof bytes, 100), ERR_HEAD_TOO_LARGE);

    memset(&got, 0, sizeof got);
    size_t chunks = 0;
    for (; !got.result && chunks < HTTP_CHUNKS_EXTRA_MAX_BYTES; chunks++)
        feed(&got, "1;x\r\nb\r\n", 8);
    assert_int_equal(got.result, ERR_HEAD_TOO_LARGE);
    assert_in_range(chunks, HTTP_CHUNKS_EXTRA_MAX_BYTES / 2, HTTP_CHUNKS_EXTRA_MAX_BYTES / 2 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_extra_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
