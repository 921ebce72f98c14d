/* The chat envelope: what is read from a client, in which order it is refused, and the exact bytes
 * of what is sent out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "encode_check.h"
#include "fail_alloc.h"
#include "proto/envelope.h"

enum { NO_LIMIT = 1 << 24 };

/* Parses out of a block of exactly its size, so that the sanitizer sees a read past the end. The
 * block is the caller's to free, as the slices point into it. */
static int parse(struct slice json, size_t max, struct buf *scratch, struct envelope_input *in,
                 char **copy)
{
    *copy = malloc(json.len ? json.len : 1);
    assert_non_null(*copy);
    if (json.len) memcpy(*copy, json.ptr, json.len);
    return envelope_parse((struct slice){*copy, json.len}, max, scratch, in);
}

static bool same(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

struct good_case {
    const char *json;
    struct slice message;
    const char *username;
    const char *data;
};

#define FFFD "\xef\xbf\xbd"

static const struct good_case good[] = {
    {"{\"message\":\"Hello World\"}", {"Hello World", 11}, "", ""},
    {"{\"username\":\"currentUser\",\"message\":\"hi\"}", {"hi", 2}, "currentUser", ""},
    {" \t\r\n{ \"message\" : \"a\" , \"username\" : \"b\" } \n", {"a", 1}, "b", ""},
    {"{\"message\":\" a \"}", {" a ", 3}, "", ""},
    {"{\"message\":\" \"}", {" ", 1}, "", ""},
    {"{\"message\":\"a\\u0000b\"}", {"a\0b", 3}, "", ""},
    {"{\"message\":\"\\u0000\"}", {"\0", 1}, "", ""},
    {"{\"message\":\"\\ud800\"}", {FFFD, 3}, "", ""},
    {"{\"message\":\"\\udc00\\ud800\"}", {FFFD FFFD, 6}, "", ""},
    {"{\"message\":\"\\ud83d\\ude00\"}", {"\xf0\x9f\x98\x80", 4}, "", ""},
    {"{\"message\":\"\xf0\x9f\x98\x80\"}", {"\xf0\x9f\x98\x80", 4}, "", ""},
    {"{\"mess\\u0061ge\":\"a\",\"\\u0075sername\":\"b\",\"dat\\u0061\":1}", {"a", 1}, "b", "1"},
    /* Of repeated keys the last wins, whatever the ones before it were. */
    {"{\"message\":\"a\",\"message\":\"b\"}", {"b", 1}, "", ""},
    {"{\"message\":1,\"message\":\"b\"}", {"b", 1}, "", ""},
    {"{\"message\":\"\",\"message\":\"b\"}", {"b", 1}, "", ""},
    {"{\"message\":\"a\\n\",\"mess\\u0061ge\":\"b\\n\"}", {"b\n", 2}, "", ""},
    {"{\"message\":\"a\",\"username\":null,\"username\":\"b\"}", {"a", 1}, "b", ""},
    {"{\"message\":\"a\",\"data\":1,\"data\":[2]}", {"a", 1}, "", "[2]"},
    /* Names are trimmed, also those that had to be decoded. */
    {"{\"message\":\"a\",\"username\":\"  b c\\u00a0\"}", {"a", 1}, "b c", ""},
    {"{\"message\":\"a\",\"username\":\"\\ud800\"}", {"a", 1}, FFFD, ""},
    {"{\"message\":\"a\",\"username\":\"\\n\\u0062\\n\"}", {"a", 1}, "b", ""},
    /* data is handed on as it was written. */
    {"{\"message\":\"a\",\"data\":null}", {"a", 1}, "", "null"},
    {"{\"message\":\"a\",\"data\":false}", {"a", 1}, "", "false"},
    {"{\"message\":\"a\",\"data\":\"\"}", {"a", 1}, "", "\"\""},
    {"{\"message\":\"a\",\"data\":-1.50e+3}", {"a", 1}, "", "-1.50e+3"},
    {"{\"message\":\"a\",\"data\": { \"x\" : [ 1 , {} ] } }",
     {"a", 1},
     "",
     "{ \"x\" : [ 1 , {} ] }"},
    {"{\"data\":\"\\u0041\\ud800\",\"message\":\"a\"}", {"a", 1}, "", "\"\\u0041\\ud800\""},
    /* Other keys do not matter, nor do these further down or in other letters. */
    {"{\"type\":\"message\",\"message\":\"a\",\"x\":{\"message\":1,\"data\":2}}", {"a", 1}, "", ""},
    {"{\"message\":\"a\",\"Message\":1,\"messages\":2,\"messag\":3,\"\":4}", {"a", 1}, "", ""},
    {"{\"message\":\"a\",\"message\\u0000\":1}", {"a", 1}, "", ""},
    {"{\"message\":\"{\\\"message\\\":\\\"x\\\"}\"}", {"{\"message\":\"x\"}", 15}, "", ""},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        const struct good_case *c = &good[i];
        struct buf scratch = {0};
        struct envelope_input in;
        char *copy;
        int err = parse(slice_of(c->json), 0, &scratch, &in, &copy);
        if (err) fail_msg("%d: %s", err, c->json);
        if (!same(in.message, c->message) || !same(in.username, slice_of(c->username)) ||
            !same(in.data, slice_of(c->data)))
            fail_msg("%.*s, %.*s, %.*s: %s", (int)in.message.len, in.message.ptr,
                     (int)in.username.len, in.username.ptr, (int)in.data.len, in.data.ptr, c->json);
        free(copy);
        /* Without escapes nothing was copied and nothing allocated. */
        if (!strchr(c->json, '\\')) assert_null(scratch.data);

        /* Every truncation is bad_json, but for white space behind the end. */
        size_t len = (size_t)(strrchr(c->json, '}') - c->json);
        for (size_t cut = 0; cut <= len; cut++) {
            err = parse((struct slice){c->json, cut}, 0, &scratch, &in, &copy);
            if (err != ERR_BAD_JSON) fail_msg("%d: %.*s", err, (int)cut, c->json);
            free(copy);
        }
        buf_fini(&scratch);
    }
}

struct bad_case {
    const char *json;
    int err;
};

static const struct bad_case bad[] = {
    {"", ERR_BAD_JSON},
    {" ", ERR_BAD_JSON},
    {"hello", ERR_BAD_JSON},
    {"\"message\"", ERR_BAD_JSON},
    {"null", ERR_BAD_JSON},
    {"[]", ERR_BAD_JSON},
    {"[{\"message\":\"a\"}]", ERR_BAD_JSON},
    {"{\"message\":\"a\"}}", ERR_BAD_JSON},
    {"{\"message\":\"a\"} {}", ERR_BAD_JSON},
    {"{\"message\":\"a\"},", ERR_BAD_JSON},
    {"{\"message\":\"a\",}", ERR_BAD_JSON},
    {"{,\"message\":\"a\"}", ERR_BAD_JSON},
    {"{\"message\" \"a\"}", ERR_BAD_JSON},
    {"{\"message\":\"a\" \"b\":1}", ERR_BAD_JSON},
    {"{message:\"a\"}", ERR_BAD_JSON},
    {"{'message':'a'}", ERR_BAD_JSON},
    {"{\"message\":\"a\nb\"}", ERR_BAD_JSON},
    {"{\"message\":\"\\x\"}", ERR_BAD_JSON},
    {"{\"message\":\"\\ud8\"}", ERR_BAD_JSON},
    {"{\"message\":a}", ERR_BAD_JSON},
    {"{\"message\":}", ERR_BAD_JSON},
    {"{\"message\":\"a\",\"x\":01}", ERR_BAD_JSON},
    {"{\"message\":\"a\",\"data\":}", ERR_BAD_JSON},
    {"{\"message\":\"a\",\"data\":[1,]}", ERR_BAD_JSON},
    {"\xef\xbb\xbf{\"message\":\"a\"}", ERR_BAD_JSON},
    {"{\"message\":\"a\"}//", ERR_BAD_JSON},
    {"{]", ERR_BAD_JSON},
    /* Bad JSON comes first, wherever it stands. */
    {"{\"message\":1,\"username\":1,\"x\":}", ERR_BAD_JSON},
    {"{\"message\":\"\",", ERR_BAD_JSON},

    {"{}", ERR_BAD_MESSAGE},
    {" { } ", ERR_BAD_MESSAGE},
    {"{\"username\":\"a\"}", ERR_BAD_MESSAGE},
    {"{\"message\":\"\"}", ERR_BAD_MESSAGE},
    {"{\"message\":null}", ERR_BAD_MESSAGE},
    {"{\"message\":1}", ERR_BAD_MESSAGE},
    {"{\"message\":true}", ERR_BAD_MESSAGE},
    {"{\"message\":[\"a\"]}", ERR_BAD_MESSAGE},
    {"{\"message\":{\"message\":\"a\"}}", ERR_BAD_MESSAGE},
    {"{\"message\":\"a\",\"message\":\"\"}", ERR_BAD_MESSAGE},
    {"{\"message\":\"a\",\"message\":1}", ERR_BAD_MESSAGE},
    {"{\"Message\":\"a\"}", ERR_BAD_MESSAGE},
    {"{\"username\":1,\"message\":1}", ERR_BAD_MESSAGE},
    {"{\"username\":\"system\"}", ERR_BAD_MESSAGE},

    {"{\"message\":\"a\",\"username\":null}", ERR_BAD_USERNAME},
    {"{\"message\":\"a\",\"username\":1}", ERR_BAD_USERNAME},
    {"{\"message\":\"a\",\"username\":[\"b\"]}", ERR_BAD_USERNAME},
    {"{\"message\":\"a\",\"username\":\"\"}", ERR_BAD_USERNAME},
    {"{\"message\":\"a\",\"username\":\" \"}", ERR_BAD_USERNAME},
    {"{\"message\":\"a\",\"username\":\" system \"}", ERR_BAD_USERNAME},
    {"{\"message\":\"a\",\"username\":\"syste\\u006d\"}", ERR_BAD_USERNAME},
    {"{\"message\":\"a\",\"username\":\"a\\u0000\"}", ERR_BAD_USERNAME},
    {"{\"message\":\"a\",\"username\":\"a\\nb\"}", ERR_BAD_USERNAME},
    {"{\"message\":\"a\",\"username\":\"b\",\"username\":1}", ERR_BAD_USERNAME},
};

static void test_bad(void **state)
{
    (void)state;
    struct buf scratch = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct envelope_input in;
        char *copy;
        int err = parse(slice_of(bad[i].json), 0, &scratch, &in, &copy);
        if (err != bad[i].err) fail_msg("%d instead of %d: %s", err, bad[i].err, bad[i].json);
        free(copy);
    }
    struct envelope_input in;
    assert_int_equal(envelope_parse((struct slice){0}, 0, &scratch, &in), ERR_BAD_JSON);
    assert_int_equal(envelope_parse((struct slice){"{\"message\":\"a\"}\0", 16}, 0, &scratch, &in),
                     ERR_BAD_JSON);
    buf_fini(&scratch);
}

static int parse_text(const char *json, size_t max)
{
    struct buf scratch = {0};
    struct envelope_input in;
    char *copy;
    int err = parse(slice_of(json), max, &scratch, &in, &copy);
    free(copy);
    buf_fini(&scratch);
    return err;
}

static void test_limits(void **state)
{
    (void)state;
    assert_int_equal(parse_text("{\"message\":\"12345\"}", 5), 0);
    assert_int_equal(parse_text("{\"message\":\"123456\"}", 5), ERR_TOO_LONG);
    assert_int_equal(parse_text("{\"message\":\"123456\"}", 0), 0);
    /* What counts is the decoded text. */
    assert_int_equal(parse_text("{\"message\":\"\\u0061\\u0061\\u0061\\u0061\\u0061\"}", 5), 0);
    assert_int_equal(parse_text("{\"message\":\"\\ud800\\ud800\"}", 6), 0);
    assert_int_equal(parse_text("{\"message\":\"\\ud800\\ud800\"}", 5), ERR_TOO_LONG);
    /* The order of refusals: message before name, name before data. */
    assert_int_equal(parse_text("{\"username\":1,\"message\":\"123456\"}", 5), ERR_TOO_LONG);
    assert_int_equal(parse_text("{\"username\":1,\"message\":\"123456\",}", 5), ERR_BAD_JSON);

    static char text[2 * ENVELOPE_DATA_MAX];
    for (int extra = 0; extra <= 1; extra++) {
        int n = sprintf(text, "{\"data\":\"");
        memset(text + n, 'd', ENVELOPE_DATA_MAX - 2 + (size_t)extra);
        strcpy(text + n + ENVELOPE_DATA_MAX - 2 + extra, "\",\"message\":\"a\"}");
        assert_int_equal(parse_text(text, 0), extra ? ERR_TOO_LONG : 0);
        strcpy(strrchr(text, '}'), ",\"username\":1}");
        assert_int_equal(parse_text(text, 0), ERR_BAD_USERNAME);
    }
    /* A key that is ignored may be as long as the frame lets it. */
    memcpy(text, "{\"dada\"", 7);
    strcpy(strstr(text, ",\"username\""), "}");
    assert_int_equal(parse_text(text, 0), 0);
}

static void test_depth(void **state)
{
    (void)state;
    enum { DEPTH = 64 }; /* with the envelope itself */
    for (int depth = DEPTH - 2; depth <= DEPTH; depth++) {
        char text[256] = "{\"message\":\"a\",\"data\":";
        size_t n = strlen(text);
        memset(text + n, '[', (size_t)depth);
        memset(text + n + depth, ']', (size_t)depth);
        text[n + 2 * (size_t)depth] = '}';
        assert_int_equal(parse_text(text, 0), depth < DEPTH ? 0 : ERR_BAD_JSON);
        memcpy(text + 16, "x\" :  ", 6); /* the same under a key that is ignored */
        assert_int_equal(parse_text(text, 0), depth < DEPTH ? 0 : ERR_BAD_JSON);
    }
}

/* A megabyte of escapes; scratch is reserved once and what it holds does not move. */
static void test_big(void **state)
{
    (void)state;
    enum { ESCAPES = 100000 };
    char *text = malloc(ESCAPES * 12 + 64);
    assert_non_null(text);
    char *at = stpcpy(text, "{\"username\":\"\\u0061nn\",\"message\":\"");
    for (int i = 0; i < ESCAPES; i++)
        at = stpcpy(at, "\\ud83d\\ude00");
    strcpy(at, "\"}");
    struct buf scratch = {0};
    struct envelope_input in;
    fail_alloc_after(1);
    assert_int_equal(envelope_parse(slice_of(text), 0, &scratch, &in), 0);
    fail_alloc_off();
    assert_int_equal(in.message.len, ESCAPES * 4);
    assert_true(utf8_valid(in.message.ptr, in.message.len));
    assert_true(same(in.username, slice_of("ann")));
    assert_true(scratch.cap <= strlen(text));

    /* A scratch that is large enough is used again. */
    fail_alloc_after(0);
    assert_int_equal(envelope_parse(slice_of(text), 0, &scratch, &in), 0);
    fail_alloc_off();
    buf_fini(&scratch);
    fail_alloc_after(0);
    assert_int_equal(envelope_parse(slice_of(text), 0, &scratch, &in), ERR_NOMEM);
    fail_alloc_off();
    assert_null(scratch.data);
    free(text);
}

static const struct envelope_message sample = {
    .room = {"lobby", 5},
    .username = {"ann", 3},
    .message = {"hi", 2},
    .id = {.epoch = {'k', '3', 'f', '9', '0', 'a', 'b', 'c'}, .seq = 1052},
    .ts_ms = 1790000000123,
};

static int bare(const void *m, struct buf *out, size_t max_bytes)
{
    return envelope_encode_bare(m, out, max_bytes);
}

static int full(const void *m, struct buf *out, size_t max_bytes)
{
    return envelope_encode_full(m, out, max_bytes);
}

static void test_encode_bare(void **state)
{
    (void)state;
    struct envelope_message m = sample;
    const struct slice hi = SLICE_LIT("{\"message\":\"hi\",\"username\":\"ann\"}");
    encode_check(bare, &m, hi);
    const struct envelope_reaction reaction = {SLICE_LIT("+1"), 2};
    m.data = SLICE_LIT("{\"x\":1}");
    m.user = SLICE_LIT("u1");
    m.nonce = SLICE_LIT("n1");
    m.reply_to = 7;
    m.edited_ms = 1;
    m.reactions = &reaction;
    m.reaction_count = 1;
    encode_check(bare, &m, hi);
    m.message = SLICE_LIT("\"\\/\b\f\n\r\t\x01\x1f\x7f\0<>&'\xe2\x80\xa8\xf0\x9f\x98\x80");
    m.username = SLICE_LIT("a\"b");
    encode_check(
        bare, &m,
        SLICE_LIT("{\"message\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000<>&'\xe2\x80\xa8"
                  "\xf0\x9f\x98\x80\",\"username\":\"a\\\"b\"}"));
}

static void test_encode_full(void **state)
{
    (void)state;
    struct envelope_message m = sample;
    encode_check(
        full, &m,
        SLICE_LIT("{\"type\":\"message\",\"room\":\"lobby\",\"id\":\"k3f90abc-1052\",\"seq\":1052,"
                  "\"ts\":1790000000123,\"username\":\"ann\",\"message\":\"hi\"}"));
    m.data = SLICE_LIT("[1, \"\\ud800\"]");
    m.room = SLICE_LIT("a\"b\\");
    m.message = SLICE_LIT("x\ny");
    m.id.seq = 0;
    m.ts_ms = 0;
    encode_check(
        full, &m,
        SLICE_LIT("{\"type\":\"message\",\"room\":\"a\\\"b\\\\\",\"id\":\"k3f90abc-0\",\"seq\":0,"
                  "\"ts\":0,"
                  "\"username\":\"ann\",\"message\":\"x\\ny\",\"data\":[1, \"\\ud800\"]}"));
    m = sample;
    m.id.seq = ID_SEQ_MAX;
    m.ts_ms = INT64_MIN;
    m.message.len = 0;
    encode_check(
        full, &m,
        SLICE_LIT("{\"type\":\"message\",\"room\":\"lobby\",\"id\":\"k3f90abc-9007199254740991\","
                  "\"seq\":9007199254740991,\"ts\":-9223372036854775808,\"username\":\"ann\","
                  "\"message\":\"\"}"));
}

static void test_encode_optional(void **state)
{
    (void)state;
    const struct envelope_reaction reactions[] = {
        {SLICE_LIT("\xf0\x9f\x91\x8d"), 2}, {SLICE_LIT("\""), 1}, {SLICE_LIT("ok"), UINT32_MAX}};
    struct envelope_message m = sample;
    m.user = SLICE_LIT("u\"1");
    m.data = SLICE_LIT("null");
    m.reply_to = 1051;
    m.nonce = SLICE_LIT("n\n1");
    m.edited_ms = 1790000000456;
    m.reactions = reactions;
    m.reaction_count = 3;
    encode_check(
        full, &m,
        SLICE_LIT(
            "{\"type\":\"message\",\"room\":\"lobby\",\"id\":\"k3f90abc-1052\",\"seq\":1052,"
            "\"ts\":1790000000123,\"username\":\"ann\",\"message\":\"hi\",\"user\":\"u\\\"1\","
            "\"data\":null,\"reply_to\":\"k3f90abc-1051\",\"nonce\":\"n\\n1\","
            "\"edited\":1790000000456,\"reactions\":{\"\xf0\x9f\x91\x8d\":2,\"\\\"\":1,"
            "\"ok\":4294967295}}"));
}

/* jansson reads every member as what was given, with each of these texts in all of them. */
static void test_encode_oracle(void **state)
{
    (void)state;
    const struct slice texts[] = {
        SLICE_LIT("a\"b\\c/"),
        SLICE_LIT("\x01\x02\x03\x04\x05\x06\x07\b\t\n\x0b\f\r\x0e\x0f\x10\x11\x12\x13\x14"
                  "\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f"),
        SLICE_LIT("\0a\0\0"),
        SLICE_LIT("\xc2\x80\xe2\x80\xa8\xef\xbf\xbf\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct slice t = texts[i];
        struct envelope_message m = sample;
        m.room = m.username = m.message = m.user = m.nonce = t;
        struct buf out = {0};
        assert_int_equal(envelope_encode_full(&m, &out, NO_LIMIT), 0);
        json_t *got =
            json_loadb((char *)out.data, out.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        json_t *want =
            json_pack("{s:s,s:s%,s:s,s:I,s:I,s:s%,s:s%,s:s%,s:s%}", "type", "message", "room",
                      t.ptr, t.len, "id", "k3f90abc-1052", "seq", (json_int_t)1052, "ts",
                      (json_int_t)1790000000123, "username", t.ptr, t.len, "message", t.ptr, t.len,
                      "user", t.ptr, t.len, "nonce", t.ptr, t.len);
        assert_non_null(want);
        if (!json_equal(got, want)) fail_msg("%.*s", (int)out.len, (char *)out.data);
        json_decref(got);
        json_decref(want);
        buf_fini(&out);
    }
}

/* Every refusal there can be is one that a client can show, and parses as an envelope but for the
 * name, which only the server may use. */
static void test_encode_refusal(void **state)
{
    (void)state;
    struct buf out = {0};
    struct buf scratch = {0};
    for (int err = -1; err > -(int)ERR_COUNT; err--) {
        struct envelope_input in;
        out.len = 0;
        assert_int_equal(envelope_encode_refusal(err, &out, NO_LIMIT), 0);
        size_t len = out.len;
        assert_int_equal(envelope_encode_refusal(err, &out, 2 * len - 1), ERR_TOO_LONG);
        assert_int_equal(out.len, len);
        struct slice json = {(char *)out.data, out.len};
        assert_int_equal(envelope_parse(json, 0, &scratch, &in), ERR_BAD_USERNAME);
    }
    out.len = 0;
    assert_int_equal(envelope_encode_refusal(ERR_BAD_MESSAGE, &out, NO_LIMIT), 0);
    assert_true(same((struct slice){(char *)out.data, out.len},
                     slice_of("{\"message\":\"Not sent: \\\"message\\\" has to be a string that is "
                              "not empty\",\"username\":\"system\","
                              "\"error\":{\"code\":\"bad_message\"}}")));
    buf_fini(&out);
    fail_alloc_after(0);
    assert_int_equal(envelope_encode_refusal(ERR_BAD_JSON, &out, NO_LIMIT), ERR_NOMEM);
    fail_alloc_off();
    buf_fini(&out);
    buf_fini(&scratch);
}

/* What was read comes out and reads the same: with each code point of interest in each position. */
static void test_round_trip(void **state)
{
    (void)state;
    struct buf out = {0};
    struct buf scratch = {0};
    for (uint32_t c = 0; c < 0x10000; c += c < 0x900 ? 1 : 61) {
        char text[64];
        struct envelope_input in;
        sprintf(text, "{\"message\":\"a\\u%04" PRIx32 "\\u%04" PRIX32 "b\"}", c, c);
        assert_int_equal(envelope_parse(slice_of(text), 0, &scratch, &in), 0);
        assert_true(utf8_valid(in.message.ptr, in.message.len));
        struct envelope_message m = {.message = in.message, .username = SLICE_LIT("u")};
        out.len = 0;
        assert_int_equal(envelope_encode_bare(&m, &out, NO_LIMIT), 0);

        struct buf again = {0};
        struct envelope_input back;
        struct slice json = {(char *)out.data, out.len};
        assert_int_equal(envelope_parse(json, 0, &again, &back), 0);
        assert_true(same(back.message, in.message));
        buf_fini(&again);
    }
    buf_fini(&out);
    buf_fini(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),          cmocka_unit_test(test_bad),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_big),           cmocka_unit_test(test_encode_bare),
        cmocka_unit_test(test_encode_full),   cmocka_unit_test(test_encode_refusal),
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_encode_optional),
        cmocka_unit_test(test_encode_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
