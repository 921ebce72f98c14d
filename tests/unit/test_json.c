/* The JSON scanner: what it takes, what it refuses, how strings are decoded and written. */
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
#include "fail_alloc.h"
#include "proto/json.h"

enum { NO_LIMIT = 1 << 24 };

/* Scans text as one whole value out of a block of exactly its size, so that the sanitizer sees a
 * read past the end. */
static int scan(const char *text, size_t len, unsigned depth)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    struct json j = {copy, copy + len};
    struct slice raw = {0};
    int err = json_scan_value(&j, depth, &raw);
    if (!err && j.at != j.end) err = ERR_BAD_JSON;
    if (!err) {
        assert_ptr_equal(raw.ptr, copy);
        assert_int_equal(raw.len, len);
    }
    free(copy);
    return err;
}

static void test_values(void **state)
{
    (void)state;
    static const char *const good[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "1234567890123456789012345678901234567890",
        "0.5",
        "-0.0",
        "1e5",
        "1E+5",
        "1e-5",
        "0e0",
        "1.25e999",
        "\"\"",
        "\"a\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\\uFFFF\\uabcD\"",
        "\"\x7f\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1]",
        "[1,2]",
        "[ 1 , 2 ]",
        "[[],[[]],{}]",
        "{\"a\":1}",
        "{ \"a\" : 1 }",
        "{\"a\":1,\"a\":2}",
        "{\"\":{\"\":[]}}",
        "[\n\t\r {\"a\":[1,{\"b\":null}]}\n]",
        "\"\xd0\xb6\xf0\x9f\x98\x80\"",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        size_t len = strlen(good[i]);
        if (scan(good[i], len, 0)) fail_msg("refused: %s", good[i]);
        /* A number may end anywhere after a digit; of all others every truncation is wrong. */
        if (good[i][0] == '-' || (good[i][0] >= '0' && good[i][0] <= '9')) continue;
        for (size_t cut = 0; cut < len; cut++)
            if (!scan(good[i], cut, 0)) fail_msg("taken: %.*s", (int)cut, good[i]);
    }
}

static const char *const not_values[] = {
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "NaN",
    "Infinity",
    "-Infinity",
    "undefined",
    "01",
    "-",
    "-01",
    "+1",
    "1.",
    ".5",
    "-.5",
    "1e",
    "1e+",
    "0x10",
    "1_000",
    "00",
    "'a'",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u\"",
    "\"\\u00\"",
    "\"\\u00g0\"",
    "\"\\U0041\"",
    "\"\\0\"",
    "\"\n\"",
    "\"\t\"",
    "\"\x1f\"",
    "\"\x01\"",
    "\"abcdefgh\x01\"",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1 2]",
    "[1:2]",
    "{",
    "}",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,}",
    "{\"a\"}",
    "{\"a\",1}",
    "{a:1}",
    "{1:1}",
    "{null:1}",
    "{\"a\":1 \"b\":2}",
    "[}",
    "{]",
    "[{]}",
    "{\"a\":[}",
    "{\"a\":1]",
    "[1}",
    "[]]",
    "{}}",
    "1 1",
    "[] []",
    "/**/1",
    "[1]//",
    "\xef\xbb\xbf[]",
    "{{}:1}",
    "{[]:1}",
    "[\"a\":1]",
    "{\"a\"::1}",
    "[1,,2]",
    "\f1",
};

static void test_not_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(not_values) / sizeof(*not_values); i++)
        if (!scan(not_values[i], strlen(not_values[i]), 0)) fail_msg("taken: %s", not_values[i]);
    assert_int_equal(scan("\"a\0b\"", 5, 0), ERR_BAD_JSON);
    assert_int_equal(scan("1\0", 2, 0), ERR_BAD_JSON);
}

/* Alternates arrays and objects, so that the record of what is open is put to the test. */
static size_t nested(char *out, unsigned depth)
{
    char *at = out;
    for (unsigned i = 0; i < depth; i++)
        at = stpcpy(at, i * 7 % 3 ? "[" : "{\"k\":");
    *at++ = '1';
    for (unsigned i = depth; i-- > 0;)
        *at++ = i * 7 % 3 ? ']' : '}';
    return (size_t)(at - out);
}

static void test_depth(void **state)
{
    (void)state;
    char text[8 * (JSON_DEPTH_MAX + 1)];
    for (unsigned depth = 0; depth <= JSON_DEPTH_MAX; depth++) {
        size_t len = nested(text, depth);
        assert_int_equal(scan(text, len, 0), 0);
        assert_int_equal(scan(text, len, JSON_DEPTH_MAX - depth), 0);
        assert_int_equal(scan(text, len, JSON_DEPTH_MAX - depth + 1), depth ? ERR_BAD_JSON : 0);
    }
    size_t len = nested(text, JSON_DEPTH_MAX + 1);
    assert_int_equal(scan(text, len, 0), ERR_BAD_JSON);
    /* Width is not depth. */
    enum { WIDTH = 10000 };
    char *wide = malloc(3 * WIDTH + 1);
    assert_non_null(wide);
    for (size_t i = 0; i < WIDTH; i++)
        memcpy(wide + 3 * i, i ? ",[]" : "[[]", 3);
    wide[3 * WIDTH] = ']';
    assert_int_equal(scan(wide, 3 * WIDTH + 1, JSON_DEPTH_MAX - 2), 0);
    free(wide);
    char *deep = malloc(1000000);
    assert_non_null(deep);
    memset(deep, '[', 1000000);
    assert_int_equal(scan(deep, 1000000, 0), ERR_BAD_JSON);
    free(deep);
}

struct decoding {
    const char *json;
    struct slice text;
};

static void test_string_decoding(void **state)
{
    (void)state;
    static const struct decoding table[] = {
        {"\"\"", {"", 0}},
        {"\"plain text of some length\"", {"plain text of some length", 25}},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", {"\"\\/\b\f\n\r\t", 8}},
        {"\"mess\\u0061ge\"", {"message", 7}},
        {"\"a\\u0000b\"", {"a\0b", 3}},
        {"\"\\u0000\"", {"\0", 1}},
        {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
         {"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11}},
        {"\"\\ud7ff\\ue000\"", {"\xed\x9f\xbf\xee\x80\x80", 6}},
        {"\"\\ud83d\\ude00\"", {"\xf0\x9f\x98\x80", 4}},
        {"\"\\uD83D\\uDE00\"", {"\xf0\x9f\x98\x80", 4}},
        {"\"\\ud800\\udc00\\udbff\\udfff\"", {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8}},
        {"\"\\ud800\"", {"\xef\xbf\xbd", 3}},
        {"\"\\udc00\"", {"\xef\xbf\xbd", 3}},
        {"\"\\udbff\"", {"\xef\xbf\xbd", 3}},
        {"\"\\udfff\"", {"\xef\xbf\xbd", 3}},
        {"\"\\ud800x\"", {"\xef\xbf\xbdx", 4}},
        {"\"\\ud800\\n\"", {"\xef\xbf\xbd\n", 4}},
        {"\"\\ud800\\u0041\"",
         {"\xef\xbf\xbd"
          "A",
          4}},
        {"\"\\ud800\\ue000\"", {"\xef\xbf\xbd\xee\x80\x80", 6}},
        {"\"\\udc00\\ud800\"", {"\xef\xbf\xbd\xef\xbf\xbd", 6}},
        {"\"\\ud800\\ud800\\udc00\"", {"\xef\xbf\xbd\xf0\x90\x80\x80", 7}},
        {"\"\\ud800\\udc00\\udc00\"", {"\xf0\x90\x80\x80\xef\xbf\xbd", 7}},
        {"\"\\ud800\\ud800\\ud800\"", {"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9}},
        {"\"\\ud83d \\ude00\"", {"\xef\xbf\xbd \xef\xbf\xbd", 7}},
        {"\"\xd0\xb6\\n\xd0\xb6\"", {"\xd0\xb6\n\xd0\xb6", 5}},
        {"\"12345678\\n12345678\\t1\"", {"12345678\n12345678\t1", 19}},
    };
    struct buf scratch = {0};
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        size_t len = strlen(table[i].json);
        char *copy = malloc(len);
        assert_non_null(copy);
        memcpy(copy, table[i].json, len);
        struct json j = {copy, copy + len};
        struct slice text;
        buf_fini(&scratch);
        assert_int_equal(json_scan_string(&j, &scratch, &text), 0);
        assert_ptr_equal(j.at, j.end);
        assert_int_equal(text.len, table[i].text.len);
        assert_int_equal(memcmp(text.ptr, table[i].text.ptr, text.len), 0);
        /* No copy without need. */
        bool escaped = memchr(copy, '\\', len) != NULL;
        assert_int_equal(text.ptr >= copy && text.ptr < copy + len, !escaped);
        assert_int_equal(scratch.len, escaped ? text.len : 0);
        for (size_t cut = 0; cut < len; cut++) {
            j = (struct json){copy, copy + cut};
            buf_fini(&scratch);
            assert_int_equal(json_scan_string(&j, &scratch, &text), ERR_BAD_JSON);
            assert_int_equal(scratch.len, 0);
        }
        free(copy);
    }
    buf_fini(&scratch);
}

/* A lone surrogate in front of a broken escape is still a broken escape. */
static void test_string_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\"\\ud800\\u\"",
        "\"\\ud800\\ud8\"",
        "\"\\ud800\\x\"",
        "\"\\ud800\\uzzzz\"",
        "\"\\ud80\"",
        "\"\\ug000\"",
        "\"\\u 000\"",
        "\"\\u+000\"",
        "\"\\u-000\"",
        "\"ok\\n\n\"",
        "\"ok\\n\x02\"",
        "x",
        "'a'",
    };
    struct buf scratch = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct json j = {bad[i], bad[i] + strlen(bad[i])};
        struct slice text;
        assert_int_equal(json_scan_string(&j, &scratch, &text), ERR_BAD_JSON);
        assert_int_equal(scratch.len, 0);
    }
    buf_fini(&scratch);
}

/* Every byte at every offset of a word, alone and among plain text: found iff it is special. */
static void test_every_byte_everywhere(void **state)
{
    (void)state;
    struct buf out = {0};
    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < 20; at++) {
            char text[22];
            char want[32];
            memset(text, 'a', sizeof(text));
            text[at] = (char)c;
            char escape[8] = {(char)c};
            size_t escape_len = 1;
            const char *letter = c ? strchr("\"\"\\\\\bb\ff\nn\rr\tt", (int)c) : NULL;
            if (letter && (c < 0x20 || c == '"' || c == '\\'))
                escape_len = (size_t)sprintf(escape, "\\%c", letter[1]);
            else if (c < 0x20)
                escape_len = (size_t)sprintf(escape, "\\u%04x", c);
            size_t n = 0;
            want[n++] = '"';
            memset(want + n, 'a', at);
            n += at;
            memcpy(want + n, escape, escape_len);
            n += escape_len;
            memset(want + n, 'a', 21 - at);
            n += 21 - at;
            want[n++] = '"';

            out.len = 0;
            assert_int_equal(json_append_string(&out, (struct slice){text, 22}, n), 0);
            assert_int_equal(out.len, n);
            assert_int_equal(json_string_bytes((struct slice){text, 22}), n);
            assert_int_equal(memcmp(out.data, want, n), 0);
            assert_int_equal(json_append_string(&out, (struct slice){text, 22}, 2 * n - 1),
                             ERR_TOO_LONG);
            assert_int_equal(out.len, n);

            /* The same byte bare inside quotes is taken iff it needs no escape. */
            char bare[24];
            bare[0] = '"';
            memcpy(bare + 1, text, 22);
            bare[23] = '"';
            bool special = c < 0x20 || c == '"' || c == '\\';
            int err = scan(bare, 24, 0);
            assert_int_equal(err, special ? ERR_BAD_JSON : 0);
        }
    }
    buf_fini(&out);
}

static void test_append_appends(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(json_append_string(&out, (struct slice){0}, 1), ERR_TOO_LONG);
    assert_int_equal(json_append_string(&out, (struct slice){0}, 2), 0);
    assert_int_equal(json_string_bytes((struct slice){0}), 2);
    assert_int_equal(json_append_string(&out, SLICE_LIT("a\n"), NO_LIMIT), 0);
    assert_int_equal(out.len, 7);
    assert_int_equal(memcmp(out.data, "\"\"\"a\\n\"", 7), 0);
    assert_int_equal(json_append_string(&out, (struct slice){"aaaaaaaaaa", 10}, 8), ERR_TOO_LONG);
    assert_int_equal(out.len, 7);
    buf_fini(&out);
    fail_alloc_after(0);
    assert_int_equal(json_append_string(&out, SLICE_LIT("a"), NO_LIMIT), ERR_NOMEM);
    fail_alloc_off();
    assert_int_equal(out.len, 0);
}

/* All the 16-bit units in pairs that matter, written and read again. */
static void test_surrogate_orders(void **state)
{
    (void)state;
    static const unsigned units[] = {0x0041, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xD7FF, 0xE000};
    enum { UNITS = sizeof(units) / sizeof(*units) };
    struct buf scratch = {0};
    for (size_t n = 0; n < UNITS * UNITS * UNITS; n++) {
        unsigned u[3] = {units[n % UNITS], units[n / UNITS % UNITS], units[n / UNITS / UNITS]};
        char text[32];
        int len = sprintf(text, "\"\\u%04x\\u%04X\\u%04x\"", u[0], u[1], u[2]);
        size_t want = 0;
        for (size_t i = 0; i < 3; i++) {
            bool high = u[i] >= 0xD800 && u[i] <= 0xDBFF;
            bool pair = high && i < 2 && u[i + 1] >= 0xDC00 && u[i + 1] <= 0xDFFF;
            want += pair ? 4 : u[i] == 0x41 ? 1 : 3;
            i += pair;
        }
        struct json j = {text, text + len};
        struct slice out;
        scratch.len = 0;
        assert_int_equal(json_scan_string(&j, &scratch, &out), 0);
        assert_int_equal(out.len, want);
    }
    buf_fini(&scratch);
}

static bool value_is(const struct json_value *v, enum json_kind kind, const char *text)
{
    return v->kind == kind && slice_is(v->text, text);
}

/* A document read by a table; what it may hold besides is tested through its users, the envelope
 * and the rich frames. */
static void test_fields(void **state)
{
    (void)state;
    static const struct json_field fields[] = {
        {SLICE_LIT("a"), false}, {SLICE_LIT("b"), true}, {SLICE_LIT("ab"), false}};
    struct json_value v[3];
    struct buf scratch = {0};
    struct slice json =
        SLICE_LIT("{\"x\":{\"a\":0},\"a\":\"\\u0031\",\"b\":\"\\u0032\",\"b\":[ ]}");
    assert_int_equal(json_scan_fields(json, &scratch, fields, 2, v), 0);
    assert_true(value_is(&v[0], JSON_KIND_STRING, "1"));
    assert_true(value_is(&v[1], JSON_KIND_RAW, "[ ]"));
    scratch.len = 0;
    json = (struct slice)SLICE_LIT("{\"b\":\"\\n\",\"a\":null}");
    assert_int_equal(json_scan_fields(json, &scratch, fields, 3, v), 0);
    assert_true(value_is(&v[0], JSON_KIND_RAW, "null"));
    assert_true(value_is(&v[1], JSON_KIND_RAW, "\"\\n\""));
    assert_int_equal(v[2].kind, JSON_KIND_ABSENT);
    /* What was read before the document went wrong is kept, but only if it was whole. */
    scratch.len = 0;
    json = (struct slice)SLICE_LIT("{\"a\":\"x\",\"b\":01}");
    assert_int_equal(json_scan_fields(json, &scratch, fields, 3, v), ERR_BAD_JSON);
    assert_true(value_is(&v[0], JSON_KIND_STRING, "x"));
    assert_int_equal(v[1].kind, JSON_KIND_ABSENT);
    assert_int_equal(json_scan_fields((struct slice){0}, &scratch, fields, 3, v), ERR_BAD_JSON);
    assert_int_equal(v[0].kind, JSON_KIND_ABSENT);
    buf_fini(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),         cmocka_unit_test(test_not_values),
        cmocka_unit_test(test_depth),          cmocka_unit_test(test_string_decoding),
        cmocka_unit_test(test_string_refused), cmocka_unit_test(test_every_byte_everywhere),
        cmocka_unit_test(test_append_appends), cmocka_unit_test(test_surrogate_orders),
        cmocka_unit_test(test_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
