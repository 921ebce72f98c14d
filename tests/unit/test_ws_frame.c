/* ws_frame and ws_close: heads at every length boundary, the server's frames of RFC 6455 section
 * 5.7, masking at every phase and alignment, close reasons cut between code points. */
#include "proto/ws_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/utf8.h"
#include "fail_alloc.h"
#include "proto/ws_close.h"

static void test_heads(void **state)
{
    (void)state;
    static const struct {
        uint64_t payload;
        size_t size;
        uint8_t head[WS_HEAD_MAX];
    } cases[] = {
        {0, 2, {0x82, 0}},
        {1, 2, {0x82, 1}},
        {125, 2, {0x82, 125}},
        {126, 4, {0x82, 126, 0, 126}},
        {127, 4, {0x82, 126, 0, 127}},
        {256, 4, {0x82, 126, 1, 0}},
        {65535, 4, {0x82, 126, 0xFF, 0xFF}},
        {65536, 10, {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
        {UINT64_C(0x0102030405060708), 10, {0x82, 127, 1, 2, 3, 4, 5, 6, 7, 8}},
        {INT64_MAX, 10, {0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t head[WS_HEAD_MAX];
        assert_int_equal(ws_frame_head(head, WS_BINARY, false, cases[i].payload), cases[i].size);
        assert_memory_equal(head, cases[i].head, cases[i].size);
        assert_int_equal(ws_frame_head_size(cases[i].payload), cases[i].size);
        assert_int_equal(ws_frame_size(head), cases[i].size + cases[i].payload);
    }
    for (uint64_t n = 0; n < 70000; n++) {
        uint8_t head[WS_HEAD_MAX];
        size_t size = ws_frame_head(head, WS_TEXT, true, n);
        if (head[0] != 0xC1 || ws_frame_size(head) != size + n) fail_msg("%u", (unsigned)n);
    }
}

static void assert_appended(enum ws_opcode op, bool rsv1, struct slice payload, const char *frame,
                            size_t n)
{
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "before", 6, 6), 0);
    assert_int_equal(ws_frame_append(&out, op, rsv1, payload, 6 + n - 1), ERR_TOO_LONG);
    assert_int_equal(out.len, 6);
    assert_int_equal(ws_frame_append(&out, op, rsv1, payload, 6 + n), 0);
    assert_int_equal(out.len, 6 + n);
    assert_memory_equal(out.data, "before", 6);
    assert_memory_equal(out.data + 6, frame, n);
    assert_int_equal(ws_frame_size(out.data + 6), n);
    buf_fini(&out);
}

static void test_rfc_examples(void **state)
{
    (void)state;
    struct slice hello = SLICE_LIT("Hello");
    assert_appended(WS_TEXT, false, hello, "\x81\x05Hello", 7);
    assert_appended(WS_PING, false, hello, "\x89\x05Hello", 7);
    assert_appended(WS_PONG, false, (struct slice){NULL, 0}, "\x8A\x00", 2);
    static const char deflated[] = "\xF2\x48\xCD\xC9\xC9\x07"; /* the literal's NUL is the last */
    assert_appended(WS_TEXT, true, (struct slice){deflated, 7},
                    "\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00", 9);

    static char big[65536];
    static char frame[65536 + 10];
    memcpy(frame, "\x82\x7E\x01\x00", 4);
    assert_appended(WS_BINARY, false, (struct slice){big, 256}, frame, 4 + 256);
    memcpy(frame, "\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00", 10);
    assert_appended(WS_BINARY, false, (struct slice){big, 65536}, frame, 10 + 65536);
}

static void test_append_without_memory(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    struct buf out = {0};
    fail_alloc_after(0);
    assert_int_equal(ws_frame_append(&out, WS_TEXT, false, (struct slice){"x", 1}, 100), ERR_NOMEM);
    assert_int_equal(ws_frame_append_close(&out, 1000, "bye", 100), ERR_NOMEM);
    fail_alloc_off();
    assert_int_equal(out.len, 0);
    assert_int_equal(fail_alloc_live(), live);
}

static void assert_close(uint16_t code, const char *reason, size_t reason_bytes)
{
    struct buf out = {0};
    assert_int_equal(ws_frame_append_close(&out, code, reason, 127), 0);
    assert_int_equal(out.len, 4 + reason_bytes);
    assert_int_equal(out.data[0], 0x88);
    assert_int_equal(out.data[1], 2 + reason_bytes);
    assert_int_equal(out.data[2] << 8 | out.data[3], code);
    if (reason_bytes) assert_memory_equal(out.data + 4, reason, reason_bytes);
    assert_true(utf8_valid(out.data + 4, reason_bytes));
    buf_fini(&out);
}

static void test_close(void **state)
{
    (void)state;
    assert_close(1000, NULL, 0);
    assert_close(1000, "", 0);
    assert_close(4202, "too slow", 8);

    /* a code point of 1 to 4 bytes across the limit of 123, at each place */
    static const char *const points[] = {"a", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t width = 1; width <= 4; width++) {
        for (size_t before = 110; before <= 130; before++) {
            char reason[200] = {0};
            memset(reason, 'x', before);
            strcat(reason, points[width - 1]);
            size_t kept = before + width <= 123 ? before + width : before < 123 ? before : 123;
            assert_close(1011, reason, kept);
        }
    }

    struct buf out = {0};
    assert_int_equal(ws_frame_append_close(&out, 0, "not looked at", 2), 0);
    assert_int_equal(out.len, 2);
    assert_memory_equal(out.data, "\x88\x00", 2);
    assert_int_equal(ws_frame_append_close(&out, 1000, "bye", 2 + 6), ERR_TOO_LONG);
    assert_int_equal(out.len, 2);
    buf_fini(&out);
}

static void test_every_reason_fits(void **state)
{
    (void)state;
    for (int err = -1; err > -(int)ERR_COUNT; err--)
        assert_close(1011, err_info(err)->text, strlen(err_info(err)->text));
}

static void test_unmask(void **state)
{
    (void)state;
    static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    uint8_t hello[] = {0x7F, 0x9F, 0x4D, 0x51, 0x58};
    ws_unmask(hello, sizeof(hello), mask, 0);
    assert_memory_equal(hello, "Hello", 5);

    for (unsigned phase = 0; phase < 4; phase++) {
        for (size_t start = 0; start < 9; start++) {
            for (size_t n = 0; n < 40; n++) {
                uint8_t got[64];
                uint8_t want[64];
                for (size_t i = 0; i < sizeof(got); i++)
                    got[i] = want[i] = (uint8_t)(i * 29 + 7);
                for (size_t i = 0; i < n; i++)
                    want[start + i] ^= mask[(phase + i) % 4];
                ws_unmask(got + start, n, mask, phase);
                assert_memory_equal(got, want, sizeof(got)); /* the neighbours too */
            }
        }
    }
}

static void test_close_codes(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        bool want = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                    (code >= 3000 && code <= 4999);
        if (ws_close_code_valid((uint16_t)code) != want) fail_msg("%u", code);
    }
    static const uint16_t never[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        assert_false(ws_close_code_valid(never[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_rfc_examples),
        cmocka_unit_test(test_append_without_memory),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_every_reason_fits),
        cmocka_unit_test(test_unmask),
        cmocka_unit_test(test_close_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
