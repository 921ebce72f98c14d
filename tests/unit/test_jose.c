/* auth/jose: base64url has one spelling, and a JSON object one meaning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jose.h"
#include "base/err.h"
#include "fail_alloc.h"
#include "token_maker.h"

static struct slice slice(const char *text)
{
    return (struct slice){text, strlen(text)};
}

/* want: the bytes, or NULL: refused. */
static void expect_bytes(const char *text, const char *want)
{
    uint8_t out[64];
    size_t len = 99;
    bool good = jose_decode(slice(text), out, sizeof out, &len);
    if (good != (want != NULL)) fail_msg("%s", text);
    if (!want) return;
    assert_int_equal(len, strlen(want));
    assert_memory_equal(out, want, len);
}

static void test_base64url(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",     "Zm9vA",  "Zg==",   "Zg=",  "Zm8=", "Zm9v=", "Z",       "Zm9v ",
        " Zm9v", "Zm9v\n", "Zm\n9v", "Zm.v", "Zm+v", "Zm/v",  "Zm\x80v", "Zh",
        "Zn",    "Zm9",    "Zm9vYn", "Zm%v", "Zm@v", "Zm[v",  "Zm`v",    "Zm{v"};
    expect_bytes("", ""); /* RFC 4648 section 10 */
    expect_bytes("Zg", "f");
    expect_bytes("Zm8", "fo");
    expect_bytes("Zm9v", "foo");
    expect_bytes("Zm9vYg", "foob");
    expect_bytes("Zm9vYmE", "fooba");
    expect_bytes("Zm9vYmFy", "foobar");
    expect_bytes("-_-_", "\xfb\xff\xbf");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_bytes(bad[i], NULL);
    uint8_t out[3];
    size_t len;
    assert_true(jose_decode(slice("Zm9v"), out, 3, &len));
    assert_false(jose_decode(slice("Zm9v"), out, 2, &len));
    assert_false(jose_decode((struct slice){"Zm9v\0", 5}, out, 3, &len));
}

static void test_encode(void **state)
{
    (void)state;
    char out[9] = "????????";
    jose_encode("", 0, out);
    assert_string_equal(out, "????????");
    jose_encode("foo", 3, out);
    assert_string_equal(out, "Zm9v????"); /* and no NUL */
    jose_encode("\xfb\xff\xbf\0\0\0", 6, out);
    assert_string_equal(out, "-_-_AAAA");
}

/* What was encoded comes back, and of all texts of its length only one does. */
static void test_base64url_is_one(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned char in[] = {(unsigned char)byte, (unsigned char)~byte};
        for (size_t n = 1; n <= 2; n++) {
            char *text = token_base64url(in, n);
            size_t end = strlen(text) - 1;
            char last = text[end];
            unsigned same = 0;
            for (const char *c = alphabet; *c; c++) {
                uint8_t out[2];
                size_t len;
                text[end] = *c;
                if (!jose_decode(slice(text), out, 2, &len)) continue;
                if (len != n || memcmp(in, out, n) != 0) continue;
                same++;
                assert_int_equal(*c, last);
            }
            assert_int_equal(same, 1);
            free(text);
        }
    }
}

static void expect_object(struct slice text, int want)
{
    json_t *value = NULL;
    int err = jose_object(text, &value);
    if (err != want) fail_msg("%.*s: %d", (int)text.len, text.ptr, err);
    assert_true((value != NULL) == (err == 0));
    json_decref(value);
}

static void test_objects(void **state)
{
    (void)state;
    static const char *const good[] = {"{}", " \r\n\t{ } \n", "{\"a\":1,\"A\":2}",
                                       "{\"\\u00e4\":[{\"a\":1},{\"a\":1}]}"};
    static const char *const bad[] = {"",
                                      " ",
                                      "[]",
                                      "1",
                                      "null",
                                      "\"a\"",
                                      "{",
                                      "{}}",
                                      "{}x",
                                      "{},",
                                      "{}{}",
                                      "\xef\xbb\xbf{}",
                                      "{\"a\":1,\"a\":1}",
                                      "{\"a\":1,\"\\u0061\":2}",
                                      "{\"x\":{\"a\":1,\"b\":2,\"a\":3}}",
                                      "{'a':1}",
                                      "{a:1}",
                                      "{\"a\":1,}",
                                      "{\"a\":NaN}",
                                      "{\"a\":Infinity}",
                                      "{\"a\":-}",
                                      "{\"a\":1e999}",
                                      "{\"a\":-1e999}",
                                      "{\"a\":99999999999999999999}",
                                      "{\"a\":01}",
                                      "{\"a\":\"\\u0000\"}",
                                      "{\"a\\u0000\":1}",
                                      "{\"a\":\"\\ud800\"}",
                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":\"\xc0\x80\"}",
                                      "{\"a\":\"\xed\xa0\x80\"}",
                                      "{\"a\":\"\x01\"}",
                                      "{\"a\":\"\n\"}",
                                      "{}/**/",
                                      "{\"a\":0x1}",
                                      "{\"a\":tru}"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        expect_object(slice(good[i]), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_object(slice(bad[i]), ERR_BAD_JSON);
    expect_object((struct slice){"{}\0", 3}, ERR_BAD_JSON);
    expect_object((struct slice){"{\"a\":1\0}", 8}, ERR_BAD_JSON); /* jansson 2.14 takes this */
    expect_object((struct slice){"{\"a\":\"b\0c\"}", 11}, ERR_BAD_JSON);
}

/* An object, and arrays inside it: depth of them in all. */
static void expect_depth(size_t depth, int want)
{
    char text[8192];
    size_t n = 0;
    n += (size_t)snprintf(text, sizeof text, "{\"a\":");
    memset(text + n, '[', depth - 1);
    memset(text + n + depth - 1, ']', depth - 1);
    n += 2 * (depth - 1);
    text[n++] = '}';
    expect_object((struct slice){text, n}, want);
}

static void test_depth(void **state)
{
    (void)state;
    expect_depth(64, 0);
    expect_depth(65, ERR_BAD_JSON);
    expect_depth(4000, ERR_BAD_JSON);
}

static void test_text(void **state)
{
    (void)state;
    json_t *value = NULL;
    assert_int_equal(jose_object(slice("{\"a\":\"b\",\"c\":1,\"d\":\"\"}"), &value), 0);
    assert_true(slice_is(jose_text(json_object_get(value, "a")), "b"));
    assert_null(jose_text(json_object_get(value, "c")).ptr);
    assert_null(jose_text(json_object_get(value, "x")).ptr);
    assert_non_null(jose_text(json_object_get(value, "d")).ptr);
    json_decref(value);
}

/* jansson and OpenSSL allocate by libc; through these, what fail_alloc.h wraps. */
static void *own_malloc(size_t size)
{
    return malloc(size);
}

static void own_free(void *ptr)
{
    free(ptr);
}

static void test_memory(void **state)
{
    (void)state;
    const char *text = "{\"a\":[1,2.5,\"x\",{\"b\":null}],\"c\":{\"d\":\"e\"}}";
    json_set_alloc_funcs(own_malloc, own_free);
    expect_object(slice(text), 0);
    int err = -1;
    for (long n = 0; err; n++) {
        json_t *value = NULL;
        long live = fail_alloc_live();
        fail_alloc_after(n);
        err = jose_object(slice(text), &value);
        fail_alloc_off();
        assert_true(err == 0 || err == ERR_NOMEM || err == ERR_BAD_JSON);
        if (n == 0) assert_int_equal(err, ERR_NOMEM);
        json_decref(value);
        assert_int_equal(fail_alloc_live(), live);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64url), cmocka_unit_test(test_base64url_is_one),
        cmocka_unit_test(test_encode),    cmocka_unit_test(test_objects),
        cmocka_unit_test(test_depth),     cmocka_unit_test(test_text),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
