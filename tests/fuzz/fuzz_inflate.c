/* Compressed payloads from a peer: any bytes are either refused or inflate within the limit, the
 * same whoever came before; and what our deflater writes at any window size inflates to what it
 * was given, also with zlib and a window of exactly that size.
 *
 * Input: one byte of mode (its low three bits: window bits - 8), two of limit, then the data. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "proto/ws_deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SMALLEST_CAP = 512, INPUT_MAX = 64 << 10 };

struct codec {
    struct ws_deflater *deflater;
    struct ws_inflater *inflater;
};

static void check_inflate(struct codec *c, const uint8_t *in, size_t n, size_t limit)
{
    struct buf out = {0};
    int err = ws_inflater_run(c->inflater, in, n, &out, limit);
    CHECK(err == 0 || err == ERR_WS_TOO_BIG || err == ERR_WS_DATA);
    CHECK(out.len <= limit);
    CHECK(!err || out.len == 0);
    CHECK(out.cap <= 2 * limit + SMALLEST_CAP);

    /* Nothing of this message is left in the inflater; an output that has bytes and room already
     * makes no difference. */
    struct buf again = {0};
    CHECK(buf_append(&again, "before", 6, 6) == 0);
    CHECK(buf_reserve(&again, 1000, SIZE_MAX) == 0);
    CHECK(ws_inflater_run(c->inflater, in, n, &again, 6 + limit) == err);
    CHECK(again.len == 6 + out.len && memcmp(again.data, "before", 6) == 0);
    CHECK(out.len == 0 || memcmp(again.data + 6, out.data, out.len) == 0);

    /* The limit is exact. */
    if (!err && out.len > 0) {
        again.len = 0;
        CHECK(ws_inflater_run(c->inflater, in, n, &again, out.len) == 0);
        again.len = 0;
        CHECK(ws_inflater_run(c->inflater, in, n, &again, out.len - 1) == ERR_WS_TOO_BIG);
    }
    buf_fini(&again);
    buf_fini(&out);
}

/* The bytes as two messages of a client that keeps its context: the first is what it is alone, the
 * second may refer to it; what is kept is the end of both, within the window. */
static void check_context(struct codec *c, unsigned bits, const uint8_t *in, size_t n, size_t limit)
{
    struct ws_past past = {.bits = (uint8_t)bits};
    struct buf alone = {0};
    struct buf out = {0};
    size_t first = n / 2;
    int err = ws_inflater_run_on(c->inflater, &past, (struct slice){(const char *)in, first}, &out,
                                 limit);
    CHECK(ws_inflater_run(c->inflater, in, first, &alone, limit) == err);
    CHECK(alone.len == out.len && (out.len == 0 || memcmp(alone.data, out.data, out.len) == 0));
    if (!err)
        err = ws_inflater_run_on(c->inflater, &past,
                                 (struct slice){(const char *)in + first, n - first}, &out, limit);
    CHECK(err == 0 || err == ERR_WS_TOO_BIG || err == ERR_WS_DATA);
    size_t window = (size_t)1 << bits;
    CHECK(past.cap <= window && past.len == (out.len < window ? out.len : window));
    CHECK(past.len == 0 || memcmp(past.data, out.data + out.len - past.len, past.len) == 0);
    ws_past_fini(&past);
    buf_fini(&alone);
    buf_fini(&out);
}

/* Byte by byte, so that every distance has to come out of the window. */
static void check_window(const struct buf *deflated, unsigned bits, const uint8_t *text, size_t n)
{
    z_stream z = {0};
    CHECK(inflateInit2(&z, -(int)bits) == Z_OK);
    z.next_in = deflated->data;
    z.avail_in = (unsigned)deflated->len;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte;
        z.next_out = &byte;
        z.avail_out = 1;
        CHECK(inflate(&z, Z_NO_FLUSH) == Z_OK && z.avail_out == 0);
        CHECK(byte == text[i]);
    }
    inflateEnd(&z);
}

static void check_round_trip(struct codec *c, unsigned bits, const uint8_t *text, size_t n)
{
    struct buf deflated = {0};
    struct buf inflated = {0};
    CHECK(ws_deflater_run(c->deflater, bits, text, n, &deflated, SIZE_MAX) == 0);
    CHECK(deflated.len > 0 && deflated.len <= n + n / 1000 + 64);
    CHECK(ws_inflater_run(c->inflater, deflated.data, deflated.len, &inflated, n) == 0);
    CHECK(inflated.len == n && (n == 0 || memcmp(inflated.data, text, n) == 0));
    check_window(&deflated, bits, text, n);

    size_t exact = deflated.len;
    deflated.len = 0;
    CHECK(ws_deflater_run(c->deflater, bits, text, n, &deflated, exact) == 0);
    CHECK(deflated.len == exact);
    CHECK(ws_deflater_run(c->deflater, bits, text, n, &deflated, 2 * exact - 1) == ERR_TOO_LONG);
    CHECK(deflated.len == exact);
    buf_fini(&deflated);
    buf_fini(&inflated);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct codec codec; /* as in a worker: one for many messages */
    if (!codec.deflater) codec = (struct codec){ws_deflater_new(6), ws_inflater_new()};
    CHECK(codec.deflater && codec.inflater);
    if (size < 3 || size > INPUT_MAX) return 0;
    size_t limit = (size_t)data[1] << 8 | data[2];
    check_inflate(&codec, data + 3, size - 3, limit);
    check_context(&codec, WS_WINDOW_BITS_MIN + (data[0] >> 3 & 7), data + 3, size - 3, limit);
    check_round_trip(&codec, WS_WINDOW_BITS_MIN + (data[0] & 7), data + 3, size - 3);
    return 0;
}
