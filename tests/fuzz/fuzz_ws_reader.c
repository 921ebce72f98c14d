/* Any bytes as a client's: where the input is split must not matter. The same bytes are fed whole,
 * byte by byte and in pieces of pseudo-random size, and have to give the same events and the same
 * error. Events are also checked for what ws_reader.h promises of each.
 *
 * Input: one byte of options, one that seeds the pieces, then the wire. A wire of random bytes is
 * nearly always refused at once, so with option MASK the second byte of each frame found by
 * walking the wire gets its mask bit. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/utf8.h"
#include "proto/ws_close.h"
#include "proto/ws_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEFLATE = 1, TEXT_ONLY = 2, SMALL_LIMIT = 4, MASK = 8 };
enum { LIMIT = 64 << 10, LIMIT_SMALL = 200, WIRE_MAX = 32 << 10 };

struct run {
    struct ws_reader reader;
    struct ws_reader_options options;
    struct buf inflated;
    struct buf rest;
    struct buf log;
    int err;
    bool closed;
};

static void note(struct run *r, const void *data, size_t len)
{
    CHECK(buf_append(&r->log, data, len, SIZE_MAX) == 0);
}

static void check_event(struct run *r, const struct ws_event *ev)
{
    CHECK(ev->data);
    switch (ev->type) {
    case WS_EVENT_MESSAGE:
        CHECK(ev->len <= r->options.max_message_bytes);
        CHECK(ev->opcode == WS_TEXT || (ev->opcode == WS_BINARY && !r->options.text_only));
        if (ev->opcode == WS_TEXT) CHECK(utf8_valid(ev->data, ev->len));
        break;
    case WS_EVENT_PING:
    case WS_EVENT_PONG:
        CHECK(ev->len <= WS_CONTROL_MAX);
        break;
    case WS_EVENT_CLOSE:
        CHECK(ev->len <= WS_CONTROL_MAX - 2);
        CHECK(ev->close_code ? ws_close_code_valid(ev->close_code) : ev->len == 0);
        CHECK(utf8_valid(ev->data, ev->len));
        break;
    default:
        CHECK(ev->type == WS_EVENT_CLOSE); /* no other type exists */
    }
    uint32_t head[4] = {ev->type, ev->type == WS_EVENT_MESSAGE ? ev->opcode : 0, ev->close_code,
                        (uint32_t)ev->len};
    note(r, head, sizeof(head));
    note(r, ev->data, ev->len);
}

static void receive(struct run *r, const uint8_t *chunk, size_t len)
{
    if (r->err || r->closed) return;
    size_t n = r->rest.len + len;
    uint8_t *block = malloc(n ? n : 1); /* of the exact size: a step beyond it is seen */
    CHECK(block);
    if (r->rest.len) memcpy(block, r->rest.data, r->rest.len);
    if (len) memcpy(block + r->rest.len, chunk, len);
    struct ws_input in = {block, n};
    struct ws_event ev;
    for (;;) {
        size_t before = in.len;
        r->err = ws_reader_next(&r->reader, &r->options, &in, &ev);
        if (r->err || ev.type == WS_EVENT_NONE) break;
        CHECK(in.len < before || r->reader.opcode == WS_CONTINUATION);
        check_event(r, &ev);
        r->closed = ev.type == WS_EVENT_CLOSE;
        if (r->closed) break;
    }
    r->rest.len = 0;
    if (r->err) {
        bool closed = ws_reader_skim(&r->reader, &in);
        CHECK(closed || in.len < 14);
        CHECK(in.data + in.len == block + n && !r->reader.message.data);
    }
    if (!r->err && !r->closed) {
        CHECK(in.len <= WS_READER_REST_MAX && in.data + in.len == block + n);
        CHECK(buf_append(&r->rest, in.data, in.len, WS_READER_REST_MAX) == 0);
        CHECK(r->reader.opcode != WS_CONTINUATION || !r->reader.message.data);
        CHECK(r->reader.message.cap <= 2 * r->options.max_message_bytes);
    }
    free(block);
}

/* Feeds the wire in pieces of 1 to `most` bytes and returns what happened. */
static struct run run(const struct ws_reader_options *options, const struct buf *wire, size_t most,
                      uint32_t seed)
{
    struct run r = {.options = *options};
    r.options.inflated = &r.inflated;
    for (size_t i = 0; i < wire->len;) {
        seed = seed * 1664525 + 1013904223;
        size_t n = 1 + (most > 1 ? (seed >> 16) % most : 0);
        if (n > wire->len - i || most == SIZE_MAX) n = wire->len - i;
        receive(&r, wire->data + i, n);
        i += n;
    }
    note(&r, &r.err, sizeof(r.err));
    return r;
}

static void run_fini(struct run *r)
{
    ws_reader_fini(&r->reader);
    buf_fini(&r->inflated);
    buf_fini(&r->rest);
    buf_fini(&r->log);
}

static void set_masks(struct buf *wire)
{
    for (size_t i = 0; i + 10 <= wire->len;) {
        uint8_t *p = wire->data + i;
        uint64_t payload = p[1] & 0x7f;
        p[1] |= 0x80;
        size_t head = 2 + 4;
        if (payload == 126) {
            payload = (uint64_t)p[2] << 8 | p[3];
            head += 2;
        } else if (payload == 127) {
            return;
        }
        i += head + (size_t)payload;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ws_inflater *inflater; /* as in a worker: one for many connections */
    if (!inflater) inflater = ws_inflater_new();
    CHECK(inflater);
    if (size < 2 || size > WIRE_MAX) return 0;
    struct ws_reader_options options = {
        .max_message_bytes = data[0] & SMALL_LIMIT ? LIMIT_SMALL : LIMIT,
        .deflate = data[0] & DEFLATE,
        .text_only = data[0] & TEXT_ONLY,
        .inflater = inflater,
    };
    struct buf wire = {0};
    CHECK(buf_append(&wire, data + 2, size - 2, WIRE_MAX) == 0);
    if (data[0] & MASK) set_masks(&wire);

    struct run whole = run(&options, &wire, SIZE_MAX, 0);
    static const size_t pieces[] = {1, 7, 300};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct run split = run(&options, &wire, pieces[i], data[1]);
        CHECK(split.log.len == whole.log.len);
        CHECK(memcmp(split.log.data, whole.log.data, whole.log.len) == 0);
        run_fini(&split);
    }
    run_fini(&whole);
    buf_fini(&wire);
    return 0;
}
