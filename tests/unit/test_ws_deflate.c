/* ws_deflate: RFC 7692 section 7.2.3, round trips at every window size read back with exactly that
 * window, bounds to the byte, bombs, bad data, memory failing at every allocation. */
#include "proto/ws_deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/err.h"
#include "fail_alloc.h"

static const size_t NO_LIMIT = SIZE_MAX;

struct codec {
    struct ws_deflater *deflater;
    struct ws_inflater *inflater;
};

static int set_up(void **state)
{
    static struct codec codec;
    codec = (struct codec){ws_deflater_new(6), ws_inflater_new()};
    *state = &codec;
    return codec.deflater && codec.inflater ? 0 : -1;
}

static int tear_down(void **state)
{
    struct codec *codec = *state;
    ws_deflater_free(codec->deflater);
    ws_inflater_free(codec->inflater);
    return 0;
}

static void assert_inflates(struct ws_inflater *inflater, const char *in, size_t len,
                            const char *text)
{
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "before", 6, NO_LIMIT), 0);
    assert_int_equal(ws_inflater_run(inflater, (const uint8_t *)in, len, &out, NO_LIMIT), 0);
    assert_int_equal(out.len, 6 + strlen(text));
    assert_memory_equal(out.data, "before", 6);
    assert_memory_equal(out.data + 6, text, strlen(text));
    buf_fini(&out);
}

static void assert_refused(struct ws_inflater *inflater, const char *in, size_t len)
{
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "before", 6, NO_LIMIT), 0);
    assert_int_equal(ws_inflater_run(inflater, (const uint8_t *)in, len, &out, NO_LIMIT),
                     ERR_WS_DATA);
    assert_int_equal(out.len, 6);
    buf_fini(&out);
    assert_inflates(inflater, "\xF2\x48\xCD\xC9\xC9\x07", 7, "Hello"); /* it goes on working */
}

#define BYTES(literal) (literal), sizeof(literal) - 1

static void test_rfc_examples(void **state)
{
    struct ws_inflater *i = ((struct codec *)*state)->inflater;
    assert_inflates(i, BYTES("\xF2\x48\xCD\xC9\xC9\x07\x00"), "Hello"); /* 7.2.3.1 */
    /* 7.2.3.2: the second message refers to the first, which was not agreed on */
    assert_refused(i, BYTES("\xF2\x00\x11\x00\x00"));
    assert_inflates(i, BYTES("\x00\x05\x00\xFA\xFF\x48\x65\x6C\x6C\x6F\x00"), "Hello"); /* .3 */
    assert_inflates(i, BYTES("\xF3\x48\xCD\xC9\xC9\x07\x00\x00"), "Hello");             /* .4 */
    assert_inflates(i, BYTES("\xF2\x48\x05\x00\x00\x00\xFF\xFF\xCA\xC9\xC9\x07\x00"),
                    "Hello");              /* .5 */
    assert_inflates(i, BYTES("\x00"), ""); /* 7.2.3.6 */
}

static void test_final_blocks(void **state)
{
    struct ws_inflater *i = ((struct codec *)*state)->inflater;
    /* two final blocks, then the empty block whose end was cut off; then without it */
    assert_inflates(i, BYTES("\xF3\x48\xCD\xC9\xC9\x07\x00\xF3\x48\xCD\xC9\xC9\x07\x00\x00"),
                    "HelloHello");
    assert_inflates(i, BYTES("\xF3\x48\xCD\xC9\xC9\x07\x00"), "Hello");
    assert_inflates(i, BYTES("\x03\x00"), "");
    assert_inflates(i, BYTES("\x03\x00\xF2\x48\xCD\xC9\xC9\x07\x00"), "Hello");
    assert_inflates(i, BYTES(""), "");
    /* what comes behind a final block is its own stream: no reaching back */
    assert_refused(i, BYTES("\xF3\x48\xCD\xC9\xC9\x07\x00\xF2\x00\x11\x00\x00"));

    struct buf in = {0};
    struct buf out = {0};
    for (int k = 0; k < 100000; k++)
        assert_int_equal(buf_append(&in, "\x03\x00", 2, NO_LIMIT), 0);
    assert_int_equal(ws_inflater_run(i, in.data, in.len, &out, 0), 0);
    assert_int_equal(out.len, 0);
    buf_fini(&in);
    buf_fini(&out);
}

static void test_bad_data(void **state)
{
    struct ws_inflater *i = ((struct codec *)*state)->inflater;
    assert_refused(i, BYTES("\x06"));                         /* block type 3 */
    assert_refused(i, BYTES("\x00\x05\x00\x05\x00Hello"));    /* length and its complement */
    assert_refused(i, BYTES("\x00\x05\x00\xFA\xFFHell"));     /* stored block cut short */
    assert_refused(i, BYTES("\x00\x00\x00\xFF"));             /* inside its length */
    assert_refused(i, BYTES("\x02\x02\x00"));                 /* distance before the start */
    assert_refused(i, BYTES("\x04\xFF\xFF\xFF\xFF\xFF\xFF")); /* code lengths */
    assert_refused(i, BYTES("\xFF\xFF\xFF\xFF"));
    /* Hello, cut short: the tail must not complete it */
    for (size_t n = 1; n < 6; n++)
        assert_refused(i, "\xF2\x48\xCD\xC9\xC9\x07", n);
}

/* Fills with text of some redundancy; kind 0: zeros, 1: noise, 2: words, 3: repeats far apart. */
static void fill(uint8_t *p, size_t n, unsigned kind)
{
    uint32_t random = 12345 + kind;
    for (size_t i = 0; i < n; i++) {
        random = random * 1664525 + 1013904223;
        uint8_t noise = (uint8_t)(random >> 24);
        if (kind == 0) p[i] = 0;
        if (kind == 1) p[i] = noise;
        if (kind == 2) p[i] = (uint8_t) "the quick brown fox "[noise % 20];
        size_t back = 245 + i / 64 % 20;
        if (kind == 3) p[i] = i >= back ? p[i - back] : noise;
    }
}

/* Inflates with zlib and a window of exactly 2^bits, a byte at a time, so that every distance has
 * to come out of that window. */
static void assert_fits_window(const struct buf *deflated, unsigned bits, const uint8_t *text,
                               size_t n)
{
    z_stream z = {0};
    assert_int_equal(inflateInit2(&z, -(int)bits), Z_OK);
    z.next_in = deflated->data;
    z.avail_in = (unsigned)deflated->len;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = 0;
        z.next_out = &byte;
        z.avail_out = 1;
        if (inflate(&z, Z_NO_FLUSH) != Z_OK || z.avail_out != 0) fail_msg("%s", z.msg);
        if (byte != text[i]) fail_msg("byte %zu", i);
    }
    inflateEnd(&z);
}

static void test_round_trips(void **state)
{
    struct codec *codec = *state;
    static const size_t sizes[] = {0,   1,    2,    10,   63,    64,    250,   256,    257,   300,
                                   511, 1000, 4096, 5000, 16384, 32768, 40000, 100000, 300000};
    uint8_t *text = malloc(300000);
    assert_non_null(text);
    struct buf deflated = {0};
    struct buf inflated = {0};
    for (unsigned bits = WS_WINDOW_BITS_MIN; bits <= WS_WINDOW_BITS_MAX; bits++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            for (unsigned kind = 0; kind < 4; kind++) {
                size_t n = sizes[s];
                fill(text, n, kind);
                deflated.len = 0;
                inflated.len = 0;
                assert_int_equal(
                    ws_deflater_run(codec->deflater, bits, text, n, &deflated, NO_LIMIT), 0);
                assert_int_equal(
                    ws_inflater_run(codec->inflater, deflated.data, deflated.len, &inflated, n), 0);
                assert_int_equal(inflated.len, n);
                if (n) assert_memory_equal(inflated.data, text, n);
                assert_fits_window(&deflated, bits, text, n);
                if (n == 0) assert_int_equal(deflated.len, 1);
                if (n == 0) assert_int_equal(deflated.data[0], 0);
                if (kind == 0 && n >= 1000) assert_true(deflated.len < n / 10);
            }
        }
    }
    buf_fini(&deflated);
    buf_fini(&inflated);
    free(text);
}

/* The stream for 256 bytes is zlib's for 512. That it would fail the test above if distances were
 * longer is shown by the one for 1024. */
static void test_window_test_can_fail(void **state)
{
    struct codec *codec = *state;
    uint8_t text[900] = {0};
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i < 450 ? (uint8_t)(i * i >> 3 ^ i * 7) : text[i - 450];
    struct buf deflated = {0};
    assert_int_equal(ws_deflater_run(codec->deflater, 10, text, sizeof(text), &deflated, NO_LIMIT),
                     0);
    z_stream z = {0};
    assert_int_equal(inflateInit2(&z, -8), Z_OK);
    z.next_in = deflated.data;
    z.avail_in = (unsigned)deflated.len;
    int ret = Z_OK;
    for (size_t i = 0; i < sizeof(text) && ret == Z_OK; i++) {
        uint8_t byte;
        z.next_out = &byte;
        z.avail_out = 1;
        ret = inflate(&z, Z_NO_FLUSH);
    }
    assert_int_equal(ret, Z_DATA_ERROR);
    inflateEnd(&z);
    buf_fini(&deflated);
}

/* Messages must not depend on those before: a broadcast is compressed once for all. */
static void test_no_context_takeover(void **state)
{
    struct codec *codec = *state;
    struct buf first = {0};
    struct buf second = {0};
    const uint8_t *text = (const uint8_t *)"Hello Hello Hello";
    assert_int_equal(ws_deflater_run(codec->deflater, 15, text, 17, &first, NO_LIMIT), 0);
    assert_int_equal(ws_deflater_run(codec->deflater, 15, text, 17, &second, NO_LIMIT), 0);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    /* appended, not replaced */
    assert_int_equal(ws_deflater_run(codec->deflater, 9, text, 17, &first, NO_LIMIT), 0);
    assert_memory_equal(first.data, second.data, second.len);
    assert_inflates(codec->inflater, (char *)first.data + second.len, first.len - second.len,
                    "Hello Hello Hello");
    buf_fini(&first);
    buf_fini(&second);
}

/* ---- A client that keeps its context, on zlib itself ---- */

struct keeper {
    z_stream z;
    uint8_t out[1 << 17];
};

static size_t keeper_send(struct keeper *k, const uint8_t *text, size_t len)
{
    k->z.next_in = (uint8_t *)text;
    k->z.avail_in = (unsigned)len;
    k->z.next_out = k->out;
    k->z.avail_out = sizeof(k->out);
    assert_int_equal(deflate(&k->z, Z_SYNC_FLUSH), Z_OK);
    size_t n = sizeof(k->out) - k->z.avail_out;
    assert_true(n > 4 && k->z.avail_in == 0);
    return n - 4;
}

/* Messages that repeat earlier ones, near and far, of every size up to beyond the window. */
static void keep_context(struct ws_inflater *inflater, unsigned bits)
{
    static struct keeper k;
    static uint8_t text[70000];
    struct ws_past past = {.bits = (uint8_t)bits};
    struct buf out = {0};
    size_t alone = 0;
    k.z = (z_stream){0};
    assert_int_equal(
        deflateInit2(&k.z, 6, Z_DEFLATED, -(int)(bits < 9 ? 9 : bits), 8, Z_DEFAULT_STRATEGY),
        Z_OK);
    fill(text, sizeof(text), 3);
    for (unsigned i = 0; i < 400; i++) {
        size_t len = i % 7 == 0 ? (i * 977) % sizeof(text) : 40 + i % 300;
        size_t from = (i * 37) % (sizeof(text) - len);
        size_t n = keeper_send(&k, text + from, len);
        out.len = 0;
        assert_int_equal(buf_append(&out, "x", 1, NO_LIMIT), 0);
        struct slice in = {(char *)k.out, n};
        assert_int_equal(ws_inflater_run_on(inflater, &past, in, &out, NO_LIMIT), 0);
        assert_int_equal(out.len, 1 + len);
        assert_memory_equal(out.data + 1, text + from, len);
        assert_true(past.len <= 1u << bits && past.cap <= 1u << bits);
        out.len = 0;
        alone += ws_inflater_run(inflater, k.out, n, &out, NO_LIMIT) == 0;
    }
    assert_true(alone < 300); /* most of them are nothing without those before */
    assert_int_equal(past.len, 1u << bits);
    deflateEnd(&k.z);
    ws_past_fini(&past);
    assert_int_equal(past.bits, bits);
    buf_fini(&out);
}

static void test_context_takeover(void **state)
{
    struct codec *codec = *state;
    for (unsigned bits = 9; bits <= 15; bits++)
        keep_context(codec->inflater, bits);
}

/* Little was sent: little is kept. Each allocation failing: an error, and nothing is lost. */
static void test_context_costs_what_was_sent(void **state)
{
    struct codec *codec = *state;
    long live = fail_alloc_live();
    struct ws_past past = {.bits = 15};
    struct buf out = {0};
    struct slice hello = SLICE_LIT("\xf2\x48\xcd\xc9\xc9\x07\x00");
    assert_int_equal(ws_inflater_run_on(codec->inflater, &past, hello, &out, 5), 0);
    assert_true(past.len == 5 && past.cap <= 128);
    assert_int_equal(ws_inflater_run_on(codec->inflater, &past, SLICE_LIT("\0"), &out, 5), 0);
    assert_int_equal(past.len, 5);
    assert_int_equal(ws_inflater_run_on(codec->inflater, &past, hello, &out, 5), ERR_WS_TOO_BIG);
    /* RFC 7692 section 7.2.3.2: the second one refers to the first. */
    out.len = 0;
    struct slice again = SLICE_LIT("\xf2\x00\x11\x00\x00");
    assert_int_equal(ws_inflater_run_on(codec->inflater, &past, again, &out, 5), 0);
    assert_memory_equal(out.data, "Hello", 5);
    ws_past_fini(&past);
    out.len = 0;
    assert_int_equal(ws_inflater_run_on(codec->inflater, &past, again, &out, 5), ERR_WS_DATA);
    assert_null(past.data);
    fail_alloc_after(0);
    assert_int_equal(ws_inflater_run_on(codec->inflater, &past, hello, &out, 5), ERR_NOMEM);
    fail_alloc_off();
    buf_fini(&out);
    assert_int_equal(fail_alloc_live(), live);
}

static void test_deflate_limit_to_the_byte(void **state)
{
    struct codec *codec = *state;
    uint8_t text[3000];
    for (unsigned kind = 0; kind < 4; kind++) {
        for (size_t n = 0; n <= sizeof(text); n = n * 2 + 1) {
            fill(text, n, kind);
            struct buf whole = {0};
            assert_int_equal(ws_deflater_run(codec->deflater, 12, text, n, &whole, NO_LIMIT), 0);
            struct buf out = {0};
            assert_int_equal(buf_append(&out, "before", 6, NO_LIMIT), 0);
            assert_int_equal(ws_deflater_run(codec->deflater, 12, text, n, &out, 6 + whole.len - 1),
                             ERR_TOO_LONG);
            assert_int_equal(out.len, 6);
            assert_int_equal(ws_deflater_run(codec->deflater, 12, text, n, &out, 6 + whole.len), 0);
            assert_int_equal(out.len, 6 + whole.len);
            assert_memory_equal(out.data + 6, whole.data, whole.len);
            assert_int_equal(ws_deflater_run(codec->deflater, 12, text, n, &out, 1), ERR_TOO_LONG);
            buf_fini(&whole);
            buf_fini(&out);
        }
    }
}

static void test_inflate_limit_to_the_byte(void **state)
{
    struct codec *codec = *state;
    uint8_t text[3000];
    struct buf deflated = {0};
    for (size_t n = 1; n <= sizeof(text); n += n < 600 ? 1 : 97) {
        fill(text, n, 2);
        deflated.len = 0;
        assert_int_equal(ws_deflater_run(codec->deflater, 15, text, n, &deflated, NO_LIMIT), 0);
        struct buf out = {0};
        assert_int_equal(ws_inflater_run(codec->inflater, deflated.data, deflated.len, &out, n - 1),
                         ERR_WS_TOO_BIG);
        assert_int_equal(out.len, 0);
        assert_int_equal(ws_inflater_run(codec->inflater, deflated.data, deflated.len, &out, n), 0);
        assert_int_equal(out.len, n);
        assert_memory_equal(out.data, text, n);
        buf_fini(&out);
    }
    struct buf out = {.len = 0};
    assert_int_equal(buf_append(&out, "before", 6, NO_LIMIT), 0);
    assert_int_equal(ws_inflater_run(codec->inflater, deflated.data, deflated.len, &out, 5),
                     ERR_WS_TOO_BIG);
    assert_int_equal(out.len, 6);
    buf_fini(&out);
    buf_fini(&deflated);
}

static void test_bomb(void **state)
{
    struct codec *codec = *state;
    const size_t bomb = (size_t)64 << 20;
    const size_t limit = (size_t)64 << 10;
    uint8_t *zeros = calloc(1, bomb);
    assert_non_null(zeros);
    struct buf deflated = {0};
    assert_int_equal(ws_deflater_run(codec->deflater, 15, zeros, bomb, &deflated, NO_LIMIT), 0);
    free(zeros);
    assert_true(deflated.len < bomb / 1000);
    struct buf out = {0};
    assert_int_equal(ws_inflater_run(codec->inflater, deflated.data, deflated.len, &out, limit),
                     ERR_WS_TOO_BIG);
    assert_int_equal(out.len, 0);
    assert_true(out.cap <= 2 * limit);
    buf_fini(&out);
    buf_fini(&deflated);
}

static void test_output_follows_content(void **state)
{
    struct codec *codec = *state;
    struct buf out = {0};
    static const uint8_t hello[] = {0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00};
    assert_int_equal(ws_inflater_run(codec->inflater, hello, sizeof(hello), &out, (size_t)1 << 30),
                     0);
    assert_true(out.cap <= 1024);
    buf_fini(&out);
}

static int use_all(struct ws_deflater **d, struct ws_inflater **i, struct buf *deflated,
                   struct buf *inflated)
{
    static const uint8_t text[5000] = "Hello, Hello";
    *d = ws_deflater_new(1);
    *i = ws_inflater_new();
    if (!*d || !*i) return ERR_NOMEM;
    for (unsigned bits = 8; bits <= 10; bits++) {
        deflated->len = 0;
        inflated->len = 0;
        int err = ws_deflater_run(*d, bits, text, sizeof(text), deflated, NO_LIMIT);
        if (!err) err = ws_inflater_run(*i, deflated->data, deflated->len, inflated, NO_LIMIT);
        if (err) return err;
        assert_int_equal(inflated->len, sizeof(text));
        assert_memory_equal(inflated->data, text, sizeof(text));
    }
    return 0;
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    int err = ERR_NOMEM;
    for (long n = 0; err; n++) {
        assert_in_range(n, 0, 100);
        struct ws_deflater *d;
        struct ws_inflater *i;
        struct buf deflated = {0};
        struct buf inflated = {0};
        fail_alloc_after(n);
        err = use_all(&d, &i, &deflated, &inflated);
        fail_alloc_off();
        if (err) assert_int_equal(err, ERR_NOMEM);
        if (err) assert_int_equal(inflated.len % 5000, 0);
        /* whatever failed, the same objects work when memory is back */
        if (d && i) {
            uint8_t byte = 'x';
            deflated.len = inflated.len = 0;
            assert_int_equal(ws_deflater_run(d, 15, &byte, 1, &deflated, NO_LIMIT), 0);
            assert_int_equal(ws_inflater_run(i, deflated.data, deflated.len, &inflated, 1), 0);
            assert_int_equal(inflated.data[0], 'x');
        }
        ws_deflater_free(d);
        ws_inflater_free(i);
        buf_fini(&deflated);
        buf_fini(&inflated);
        assert_int_equal(fail_alloc_live(), live);
        if (!err) assert_true(n > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_examples),
        cmocka_unit_test(test_final_blocks),
        cmocka_unit_test(test_bad_data),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_window_test_can_fail),
        cmocka_unit_test(test_no_context_takeover),
        cmocka_unit_test(test_context_takeover),
        cmocka_unit_test(test_context_costs_what_was_sent),
        cmocka_unit_test(test_deflate_limit_to_the_byte),
        cmocka_unit_test(test_inflate_limit_to_the_byte),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_output_follows_content),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
