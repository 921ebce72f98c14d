/* See ws_deflate.h.
 *
 * Choices that a reader of zlib's manual would question:
 *  - Window of 256 bytes. Raw deflate refuses windowBits 8, but zlib never looks further back than
 *    its window less 262 bytes, so the stream for 9 has distances of at most 250 and serves 8.
 *  - Memory goes through calloc of this program, not of the library, so that the tests can make
 *    each allocation of zlib fail.
 *  - MEM_LEVEL is below the default of 8. Every message resets its stream, and a reset clears the
 *    hash table: 64 KiB at level 8, 16 here. Measured on chat text of 64 bytes to 60 KB: a sixth
 *    less time for the small ones, output larger by at most a thousandth, and a stream for 15 bits
 *    takes 160 KiB instead of 256.
 */
#include "proto/ws_deflate.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST /* zlib.h: input is const */
#include <zlib.h>

#include "base/check.h"
#include "base/err.h"

enum {
    RAW_BITS_MIN = 9, /* zlib's smallest raw deflate window */
    STREAMS = WS_WINDOW_BITS_MAX - RAW_BITS_MIN + 1,
    MEM_LEVEL = 6,
    TAIL_BYTES = 4,          /* 00 00 ff ff, what a sync flush ends with */
    FLUSH_SPACE = 16,        /* zlib wants over 6 bytes of space to flush in one go */
    INFLATE_MIN_SPACE = 512, /* first growth of an output without capacity */
    PAST_MIN_BYTES = 128     /* first size of what is kept of a client; at most its window */
};

static_assert(PAST_MIN_BYTES <= 1 << WS_WINDOW_BITS_MIN && 1 << WS_WINDOW_BITS_MAX <= UINT16_MAX,
              "a window holds what is kept, and a uint16_t its size");

static const uint8_t tail[TAIL_BYTES] = {0x00, 0x00, 0xff, 0xff};

struct ws_deflater {
    int level;
    z_stream streams[STREAMS];
    bool made[STREAMS];
};

struct ws_inflater {
    z_stream stream;
    bool fresh; /* nothing was read since the last reset */
};

static void *zlib_alloc(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    return calloc(items, size);
}

static void zlib_free(void *opaque, void *ptr)
{
    (void)opaque;
    free(ptr);
}

/* zlib counts in unsigned int: it is fed, and given space, in portions. */
static unsigned portion(size_t n)
{
    const size_t most = 1u << 30;
    return (unsigned)(n < most ? n : most);
}

struct ws_deflater *ws_deflater_new(int level)
{
    CHECK(level >= 1 && level <= 9);
    struct ws_deflater *d = calloc(1, sizeof(*d));
    if (d) d->level = level;
    return d;
}

void ws_deflater_free(struct ws_deflater *d)
{
    if (!d) return;
    for (int i = 0; i < STREAMS; i++) {
        if (d->made[i]) deflateEnd(&d->streams[i]);
    }
    free(d);
}

/* The stream for a window, fresh for a message; NULL if memory is short. */
static z_stream *deflate_stream(struct ws_deflater *d, unsigned window_bits)
{
    CHECK(window_bits >= WS_WINDOW_BITS_MIN && window_bits <= WS_WINDOW_BITS_MAX);
    int bits = window_bits < RAW_BITS_MIN ? RAW_BITS_MIN : (int)window_bits;
    z_stream *z = &d->streams[bits - RAW_BITS_MIN];
    if (d->made[bits - RAW_BITS_MIN]) {
        CHECK(deflateReset(z) == Z_OK);
        return z;
    }
    *z = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free};
    int ret = deflateInit2(z, d->level, Z_DEFLATED, -bits, MEM_LEVEL, Z_DEFAULT_STRATEGY);
    if (ret != Z_OK) {
        CHECK(ret == Z_MEM_ERROR);
        return NULL;
    }
    d->made[bits - RAW_BITS_MIN] = true;
    return z;
}

/* Compresses all of `in`, and a flush, behind out->len, which moves on. */
static int deflate_all(z_stream *z, const uint8_t *in, size_t len, struct buf *out, size_t limit)
{
    bool flushed = false;
    while (!flushed) {
        size_t space = limit - out->len;
        if (!space) return ERR_TOO_LONG;
        unsigned fed = portion(len);
        size_t want = deflateBound(z, fed) + FLUSH_SPACE;
        int err = buf_reserve(out, want < space ? want : space, limit);
        if (err) return err;
        space = (out->cap < limit ? out->cap : limit) - out->len;

        z->next_in = in;
        z->avail_in = fed;
        z->next_out = out->data + out->len;
        z->avail_out = portion(space);
        unsigned given = z->avail_out;
        int ret = deflate(z, fed == len ? Z_SYNC_FLUSH : Z_NO_FLUSH);
        CHECK(ret == Z_OK || ret == Z_BUF_ERROR);
        out->len += given - z->avail_out;
        in = z->next_in;
        len -= fed - z->avail_in;
        flushed = len == 0 && z->avail_out > 0;
    }
    return 0;
}

/* One parameter over the usual five: it mirrors ws_inflater_run, and a struct for a window size
 * would be used here alone. */
// NOLINTNEXTLINE(readability-function-size)
int ws_deflater_run(struct ws_deflater *d, unsigned window_bits, const uint8_t *in, size_t len,
                    struct buf *out, size_t max_bytes)
{
    size_t start = out->len;
    if (start > max_bytes) return ERR_TOO_LONG;
    z_stream *z = deflate_stream(d, window_bits);
    if (!z) return ERR_NOMEM;

    /* Room for the tail, which is dropped below, and for a byte more: zlib says that it is done by
     * leaving space. */
    const size_t extra = TAIL_BYTES + 1;
    size_t limit = max_bytes > SIZE_MAX - extra ? SIZE_MAX : max_bytes + extra;
    int err = deflate_all(z, in, len, out, limit);
    if (err) {
        buf_truncate(out, start);
        return err;
    }
    CHECK(out->len - start > TAIL_BYTES);
    out->len -= TAIL_BYTES;
    DCHECK(memcmp(out->data + out->len, tail, TAIL_BYTES) == 0);
    return 0;
}

struct ws_inflater *ws_inflater_new(void)
{
    struct ws_inflater *i = calloc(1, sizeof(*i));
    if (!i) return NULL;
    i->stream = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free};
    if (inflateInit2(&i->stream, -WS_WINDOW_BITS_MAX) == Z_OK) return i;
    free(i);
    return NULL;
}

void ws_inflater_free(struct ws_inflater *i)
{
    if (!i) return;
    inflateEnd(&i->stream);
    free(i);
}

/* One call of zlib's inflate, its result in *ret, with what space out has or gets. At max_bytes it
 * is given one byte elsewhere: the message is too big only if zlib needs that. */
static int inflate_step(z_stream *z, struct buf *out, size_t max_bytes, int *ret)
{
    if (out->len == out->cap && out->len < max_bytes) {
        size_t space = max_bytes - out->len;
        if (space > INFLATE_MIN_SPACE) space = INFLATE_MIN_SPACE;
        int err = buf_reserve(out, space, max_bytes);
        if (err) return err;
    }
    size_t end = out->cap < max_bytes ? out->cap : max_bytes;
    bool full = out->len == end;
    uint8_t probe = 0;
    z->next_out = full ? &probe : out->data + out->len;
    z->avail_out = full ? 1 : portion(end - out->len);
    unsigned given = z->avail_out;
    *ret = inflate(z, Z_NO_FLUSH);
    if (full) return z->avail_out ? 0 : ERR_WS_TOO_BIG;
    out->len += given - z->avail_out;
    return 0;
}

static void inflate_restart(struct ws_inflater *i)
{
    CHECK(inflateReset(&i->stream) == Z_OK);
    i->fresh = true;
}

/* Inflates n bytes, going on with a new stream behind every final block. */
static int inflate_part(struct ws_inflater *i, const uint8_t *in, size_t n, struct buf *out,
                        size_t max_bytes)
{
    z_stream *z = &i->stream;
    bool more = n > 0;
    while (more) {
        unsigned fed = portion(n);
        z->next_in = in;
        z->avail_in = fed;
        int ret;
        int err = inflate_step(z, out, max_bytes, &ret);
        if (err) return err;
        in = z->next_in;
        n -= fed - z->avail_in;
        i->fresh = false;
        more = n > 0 || z->avail_out == 0;
        switch (ret) {
        case Z_OK:
        case Z_BUF_ERROR: /* no progress without more input: not an error */
            break;
        case Z_STREAM_END:
            inflate_restart(i);
            more = n > 0;
            break;
        case Z_MEM_ERROR:
            return ERR_NOMEM;
        default:
            return ERR_WS_DATA;
        }
    }
    return 0;
}

/* True iff all input is used up and the last block ended with it, so that the tail was read as the
 * empty block that it is and not as the rest of something cut short. zlib.h has the bits of
 * data_type at inflate(). */
static bool at_block_end(const z_stream *z)
{
    const int unused_bits = 63;
    const int block_end = 128;
    return (z->data_type & block_end) && !(z->data_type & unused_bits);
}

static int inflate_message(struct ws_inflater *i, struct slice in, struct buf *out,
                           size_t max_bytes)
{
    size_t start = out->len;
    if (start > max_bytes) return ERR_WS_TOO_BIG;

    /* Nothing at all, or nothing behind a final block, needs no tail to be complete. Section
     * 7.2.3.4 would have a 00 byte there, but what a sender without it means is clear. */
    int err = inflate_part(i, (const uint8_t *)in.ptr, in.len, out, max_bytes);
    if (!err && !i->fresh) {
        err = inflate_part(i, tail, TAIL_BYTES, out, max_bytes);
        if (!err && (i->fresh || !at_block_end(&i->stream))) err = ERR_WS_DATA;
    }
    if (err) buf_truncate(out, start);
    return err;
}

int ws_inflater_run(struct ws_inflater *i, const uint8_t *in, size_t len, struct buf *out,
                    size_t max_bytes)
{
    inflate_restart(i);
    return inflate_message(i, (struct slice){(const char *)in, len}, out, max_bytes);
}

void ws_past_fini(struct ws_past *past)
{
    free(past->data);
    past->data = NULL;
    past->len = 0;
    past->cap = 0;
}

/* Room for n bytes, n <= 2^bits. */
static int past_reserve(struct ws_past *past, size_t n)
{
    size_t cap = past->cap ? past->cap : PAST_MIN_BYTES;
    if (n <= past->cap) return 0;
    while (cap < n)
        cap *= 2;
    uint8_t *data = realloc(past->data, cap);
    if (!data) return ERR_NOMEM;
    past->data = data;
    past->cap = (uint16_t)cap;
    return 0;
}

/* Appends what a message was, and lets go of what lies outside of the window. */
static int past_add(struct ws_past *past, const uint8_t *data, size_t n)
{
    const size_t window = (size_t)1 << past->bits;
    if (n > window) {
        data += n - window;
        n = window;
    }
    size_t keep = past->len < window - n ? past->len : window - n;
    int err = past_reserve(past, keep + n);
    if (err) return err;
    if (keep < past->len) memmove(past->data, past->data + past->len - keep, keep);
    memcpy(past->data + keep, data, n);
    past->len = (uint16_t)(keep + n);
    return 0;
}

int ws_inflater_run_on(struct ws_inflater *i, struct ws_past *past, struct slice in,
                       struct buf *out, size_t max_bytes)
{
    CHECK(past->bits >= WS_WINDOW_BITS_MIN && past->bits <= WS_WINDOW_BITS_MAX);
    size_t start = out->len;
    inflate_restart(i);
    if (past->len > 0) {
        int ret = inflateSetDictionary(&i->stream, past->data, past->len);
        if (ret == Z_MEM_ERROR) return ERR_NOMEM;
        CHECK(ret == Z_OK);
    }
    int err = inflate_message(i, in, out, max_bytes);
    if (err || out->len == start) return err;
    return past_add(past, out->data + start, out->len - start);
}
