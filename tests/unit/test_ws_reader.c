/* ws_reader: every vector is fed whole, byte by byte and at every two-way split, and has to give
 * the same events; errors at the very byte that shows them. Bytes are presented in blocks of exact
 * size, so that the address sanitizer sees a step beyond them. */
#include "proto/ws_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "fail_alloc.h"

static const size_t NO_LIMIT = SIZE_MAX;

/* ---- A client connection, its reader, and what came out as text ---- */

struct peer {
    struct ws_reader reader;
    struct ws_reader_options options;
    struct ws_inflater *inflater;
    struct buf inflated;
    struct buf rest; /* what the reader left */
    struct buf log;  /* events as text */
    int err;
    bool closed;
};

static void peer_init(struct peer *p, struct ws_reader_options options)
{
    *p = (struct peer){.options = options};
    if (!options.deflate) return;
    p->inflater = ws_inflater_new();
    assert_non_null(p->inflater);
    p->options.inflater = p->inflater;
    p->options.inflated = &p->inflated;
}

static void peer_fini(struct peer *p)
{
    ws_reader_fini(&p->reader);
    ws_inflater_free(p->inflater);
    buf_fini(&p->inflated);
    buf_fini(&p->rest);
    buf_fini(&p->log);
}

static void say(struct peer *p, const void *data, size_t len)
{
    assert_int_equal(buf_append(&p->log, data, len, NO_LIMIT), 0);
}

static void say_event(struct peer *p, const struct ws_event *ev)
{
    static const char *const names[] = {"none", "", "ping", "pong", "close"};
    char head[32];
    int n = snprintf(head, sizeof(head), "%s(", names[ev->type]);
    if (ev->type == WS_EVENT_MESSAGE)
        n = snprintf(head, sizeof(head), "%s(", ev->opcode == WS_TEXT ? "text" : "binary");
    if (ev->type == WS_EVENT_CLOSE) n = snprintf(head, sizeof(head), "close(%d,", ev->close_code);
    assert_non_null(ev->data);
    say(p, head, (size_t)n);
    say(p, ev->data, ev->len);
    say(p, ") ", 2);
}

/* Presents rest and chunk together, in a block of just that size. Failing allocations, if on, hit
 * only the reader. */
static void peer_receive(struct peer *p, const uint8_t *chunk, size_t len, long fail_after)
{
    if (p->err || p->closed) return;
    size_t n = p->rest.len + len;
    uint8_t *block = malloc(n ? n : 1);
    assert_non_null(block);
    if (p->rest.len) memcpy(block, p->rest.data, p->rest.len);
    if (len) memcpy(block + p->rest.len, chunk, len);
    struct ws_input in = {block, n};
    struct ws_event ev;
    do {
        if (fail_after >= 0) fail_alloc_after(fail_after);
        p->err = ws_reader_next(&p->reader, &p->options, &in, &ev);
        fail_alloc_off();
        if (p->err) {
            assert_true(ev.type == WS_EVENT_NONE || ev.type == WS_EVENT_CLOSE);
            say(p, err_info(p->err)->word, strlen(err_info(p->err)->word));
        } else if (ev.type != WS_EVENT_NONE) {
            say_event(p, &ev);
        }
        p->closed = ev.type == WS_EVENT_CLOSE;
    } while (!p->err && !p->closed && ev.type != WS_EVENT_NONE);
    p->rest.len = 0;
    if (!p->err && !p->closed) {
        assert_true(in.len <= WS_READER_REST_MAX);
        assert_true(in.data + in.len == block + n);
        if (in.len && in.len <= len) /* unchanged, as it has to be presented again */
            assert_memory_equal(in.data, chunk + len - in.len, in.len);
        assert_int_equal(buf_append(&p->rest, in.data, in.len, NO_LIMIT), 0);
        /* idle: no buffer */
        if (p->reader.opcode == WS_CONTINUATION) assert_null(p->reader.message.data);
    }
    free(block);
}

static void assert_log(const struct peer *p, const char *want, size_t want_len)
{
    if (p->log.len != want_len || (want_len && memcmp(p->log.data, want, want_len) != 0))
        fail_msg("got  %.*s\nwant %.*s", (int)p->log.len, (const char *)p->log.data, (int)want_len,
                 want);
}

/* ---- Frames as a client writes them ---- */

enum length_form { MINIMAL, FORM_16, FORM_64 };

static void put_frame_as(struct buf *wire, uint8_t first, const void *payload, size_t len,
                         enum length_form form)
{
    static const uint8_t masks[][4] = {
        {0x37, 0xFA, 0x21, 0x3D}, {0, 0, 0, 0}, {0xFF, 0x01, 0x80, 0x7F}};
    const uint8_t *mask = masks[wire->len % 3];
    uint8_t head[14] = {first};
    size_t n = 2;
    if (form == MINIMAL && len > 125) form = len > 65535 ? FORM_64 : FORM_16;
    unsigned extended = form == FORM_64 ? 8 : form == FORM_16 ? 2 : 0;
    head[1] = (uint8_t)(0x80 | (form == FORM_64 ? 127 : form == FORM_16 ? 126 : len));
    for (unsigned i = 0; i < extended; i++)
        head[n++] = (uint8_t)((uint64_t)len >> (8 * (extended - 1 - i)));
    memcpy(head + n, mask, 4);
    assert_int_equal(buf_append(wire, head, n + 4, NO_LIMIT), 0);
    size_t start = wire->len;
    assert_int_equal(buf_append(wire, payload, len, NO_LIMIT), 0);
    for (size_t i = 0; i < len; i++)
        wire->data[start + i] ^= mask[i % 4];
}

static void put_frame(struct buf *wire, uint8_t first, const void *payload, size_t len)
{
    put_frame_as(wire, first, payload, len, MINIMAL);
}

/* ---- Vectors ---- */

enum { WHOLE = -1 };

struct piece {
    uint8_t first; /* FIN, RSV and opcode */
    const char *payload;
    int len; /* WHOLE: that of the string */
};

struct vector {
    struct piece pieces[6];
    const char *want;
    int error_byte;   /* offset of the byte that shows the error, seen from the end of the wire;
                         0: the last byte, or no error */
    unsigned options; /* below */
    const char *raw;  /* instead of pieces */
    int raw_len;
};

enum { DEFLATE = 1, TEXT_ONLY = 2, MAX_8 = 4 };

#define FIN 0x80
#define RSV1 0x40
#define RSV2 0x20
#define RSV3 0x10
#define CONT 0
#define TEXT 1
#define BIN 2
#define CLOSE 8
#define PING 9
#define PONG 10
#define S(literal) (literal), WHOLE
#define RAW(literal) .raw = (literal), .raw_len = sizeof(literal) - 1
#define DIGITS_25 "0123456789012345678901234"
#define DIGITS_125 DIGITS_25 DIGITS_25 DIGITS_25 DIGITS_25 DIGITS_25
#define HELLO_DEFLATED "\xF2\x48\xCD\xC9\xC9\x07\x00", 7

static const struct vector vectors[] = {
    /* RFC 6455 section 5.7, the client's side */
    {RAW("\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"), .want = "text(Hello) "},
    {RAW("\x8A\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"), .want = "pong(Hello) "},
    {{{TEXT, S("Hel")}, {FIN | CONT, S("lo")}}, .want = "text(Hello) "},
    /* messages, empty and not, whole and in fragments */
    {{{FIN | TEXT, S("")}}, .want = "text() "},
    {{{FIN | BIN, S("")}}, .want = "binary() "},
    {{{FIN | BIN, S("\xFF\x80\x01")}}, .want = "binary(\xFF\x80\x01) "},
    {{{FIN | TEXT, S("a")}, {FIN | TEXT, S("b")}, {FIN | BIN, S("c")}},
     .want = "text(a) text(b) binary(c) "},
    {{{TEXT, S("")}, {CONT, S("")}, {FIN | CONT, S("")}}, .want = "text() "},
    {{{TEXT, S("")}, {CONT, S("x")}, {CONT, S("")}, {FIN | CONT, S("")}, {FIN | TEXT, S("y")}},
     .want = "text(x) text(y) "},
    {{{TEXT, S("")}, {FIN | CONT, S("all of it")}}, .want = "text(all of it) "},
    {{{BIN, S("ab")}, {CONT, S("cd")}, {CONT, S("ef")}, {FIN | CONT, S("gh")}},
     .want = "binary(abcdefgh) "},
    /* control frames, also between fragments */
    {{{FIN | PING, S("")}, {FIN | PONG, S("")}}, .want = "ping() pong() "},
    {{{TEXT, S("Hel")}, {FIN | PING, S("p")}, {FIN | PONG, S("q")}, {FIN | CONT, S("lo")}},
     .want = "ping(p) pong(q) text(Hello) "},
    {{{TEXT, S("a")}, {FIN | CLOSE, S("\x03\xE8")}, {FIN | CONT, S("b")}}, .want = "close(1000,) "},
    {{{FIN | PING, S(DIGITS_125)}, {FIN | PONG, S(DIGITS_125)}},
     .want = "ping(" DIGITS_125 ") pong(" DIGITS_125 ") "},
    {{{FIN | PING, S("p")}, {FIN | TEXT, S("t")}, {FIN | CLOSE, S("\x03\xE9 bye")}},
     .want = "ping(p) text(t) close(1001, bye) "},
    {{{FIN | CLOSE, S("")}, {FIN | TEXT, S("late")}}, .want = "close(0,) "},
    {{{FIN | CLOSE, S("\x0F\xA0\xE2\x82\xAC")}}, .want = "close(4000,\xE2\x82\xAC) "},
    /* close frames that are wrong */
    {{{FIN | CLOSE, S("x")}}, .want = "protocol"},
    {{{FIN | CLOSE, S("\x03\xE7")}}, .want = "protocol"}, /* 999 */
    {{{FIN | CLOSE, "\0\0", 2}}, .want = "protocol"},     /* 0 */
    {{{FIN | CLOSE, S("\x03\xEC")}}, .want = "protocol"}, /* 1004 */
    {{{FIN | CLOSE, S("\x03\xED")}}, .want = "protocol"}, /* 1005 */
    {{{FIN | CLOSE, S("\x03\xEE")}}, .want = "protocol"}, /* 1006 */
    {{{FIN | CLOSE, S("\x03\xF7")}}, .want = "protocol"}, /* 1015 */
    {{{FIN | CLOSE, S("\x13\x88")}}, .want = "protocol"}, /* 5000 */
    {{{FIN | CLOSE, S("\x03\xE8\xC0")}}, .want = "bad_utf8"},
    {{{FIN | CLOSE, S("\x03\xE8ok\xE2\x82")}}, .want = "bad_utf8"},
    {RAW("\x88\xFE"), .want = "protocol"}, /* over 125 bytes */
    {RAW("\x89\xFF"), .want = "protocol"},
    {RAW("\x08"), .want = "protocol"}, /* fragmented */
    {RAW("\x09"), .want = "protocol"},
    {RAW("\x0A"), .want = "protocol"},
    /* reserved bits and opcodes; nothing masked */
    {RAW("\xA1"), .want = "protocol"},
    {RAW("\x91"), .want = "protocol"},
    {RAW("\xC1"), .want = "protocol"},
    {RAW("\xC2"), .want = "protocol"},
    {RAW("\xC9"), .want = "protocol"},
    {RAW("\xC9"), .want = "protocol", .options = DEFLATE},
    {RAW("\xC8"), .want = "protocol", .options = DEFLATE},
    {RAW("\xE1"), .want = "protocol", .options = DEFLATE},
    {RAW("\xD1"), .want = "protocol", .options = DEFLATE},
    {RAW("\x83"), .want = "protocol"},
    {RAW("\x84"), .want = "protocol"},
    {RAW("\x85"), .want = "protocol"},
    {RAW("\x86"), .want = "protocol"},
    {RAW("\x87"), .want = "protocol"},
    {RAW("\x8B"), .want = "protocol"},
    {RAW("\x8C"), .want = "protocol"},
    {RAW("\x8F"), .want = "protocol"},
    {RAW("\x81\x05"), .want = "protocol"},
    {RAW("\x88\x00"), .want = "protocol"},
    {RAW("\x81\x7E"), .want = "protocol"},
    /* lengths in a longer form than needed, and of 2^63 */
    {RAW("\x81\xFE\x00\x7D"), .want = "protocol"},
    {RAW("\x81\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF"), .want = "protocol"},
    {RAW("\x81\xFF\x00\x00\x00\x00\x00\x00\x00\x05"), .want = "protocol"},
    {RAW("\x81\xFF\x80"), .want = "protocol"},
    {RAW("\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), .want = ""},
    {RAW("\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), .want = "too_big", .options = MAX_8},
    /* order of fragments */
    {RAW("\x80"), .want = "protocol"},
    {RAW("\x00"), .want = "protocol"},
    {{{FIN | TEXT, S("a")}, {FIN | CONT, S("b")}}, .want = "text(a) protocol", .error_byte = 6},
    {{{TEXT, S("a")}, {FIN | TEXT, S("b")}}, .want = "protocol", .error_byte = 6},
    {{{TEXT, S("a")}, {BIN, S("b")}}, .want = "protocol", .error_byte = 6},
    {{{TEXT, S("a")}, {FIN | PING, S("")}, {FIN | CONT, S("b")}, {CONT, S("c")}},
     .want = "ping() text(ab) protocol",
     .error_byte = 6},
    /* UTF-8: at the byte, across fragments, at the end */
    {{{FIN | TEXT, S("\xCE\xBA\xE1\xBD\xB9")}}, .want = "text(\xCE\xBA\xE1\xBD\xB9) "},
    {{{TEXT, S("\xCE")},
      {CONT, S("\xBA\xE1")},
      {FIN | PING, S("\xFF")},
      {FIN | CONT, S("\xBD\xB9")}},
     .want = "ping(\xFF) text(\xCE\xBA\xE1\xBD\xB9) "},
    {{{FIN | TEXT, S("ok\xF4\x90 edited")}}, .want = "bad_utf8", .error_byte = 7},
    {{{TEXT, S("\xCE\xBA\xF4")}, {FIN | CONT, S("\x90 edited")}},
     .want = "bad_utf8",
     .error_byte = 7},
    {{{TEXT, S("\xED")}, {CONT, S("")}, {CONT, S("\xA0\x80")}},
     .want = "bad_utf8",
     .error_byte = 1},
    {{{FIN | TEXT, S("cut \xE2\x82")}}, .want = "bad_utf8"},
    {{{TEXT, S("cut \xE2\x82")}, {FIN | CONT, S("")}}, .want = "bad_utf8"},
    {{{TEXT, S("\xE2\x82")}, {CONT, S("")}}, .want = ""},
    {{{FIN | TEXT, S("a\xC3")}, {FIN | TEXT, S("\xBC")}}, .want = "bad_utf8", .error_byte = 7},
    {{{FIN | BIN, S("\xC3")}, {FIN | TEXT, S("\xC3\xBC")}}, .want = "binary(\xC3) text(\xC3\xBC) "},
    /* limits: a frame, the sum, from the head alone */
    {{{FIN | TEXT, S("12345678")}}, .want = "text(12345678) ", .options = MAX_8},
    {RAW("\x81\x89"), .want = "too_big", .options = MAX_8},
    {RAW("\x01\x89"), .want = "too_big", .options = MAX_8},
    {RAW("\x81\xFE\x00\x7E"), .want = "too_big", .options = MAX_8},
    {{{TEXT, S("12345")}, {CONT, S("678")}, {FIN | CONT, S("")}, {FIN | TEXT, S("12345678")}},
     .want = "text(12345678) text(12345678) ",
     .options = MAX_8},
    {{{TEXT, S("12345")}, {FIN | PING, S("long enough")}, {FIN | CONT, S("6789")}},
     .want = "ping(long enough) too_big",
     .error_byte = 8,
     .options = MAX_8},
    /* binary refused at its first byte */
    {RAW("\x82"), .want = "binary", .options = TEXT_ONLY},
    {RAW("\x02"), .want = "binary", .options = TEXT_ONLY},
    {RAW("\xC2"), .want = "binary", .options = TEXT_ONLY | DEFLATE},
    {{{FIN | TEXT, S("a")}, {FIN | PING, S("")}}, .want = "text(a) ping() ", .options = TEXT_ONLY},
    /* RFC 7692 section 7.2.3, and next to plain messages */
    {{{FIN | RSV1 | TEXT, HELLO_DEFLATED}}, .want = "text(Hello) ", .options = DEFLATE},
    {{{FIN | TEXT, S("Hello")}}, .want = "text(Hello) ", .options = DEFLATE},
    {{{RSV1 | TEXT, "\xF2\x48\xCD", 3}, {FIN | CONT, "\xC9\xC9\x07\x00", 4}},
     .want = "text(Hello) ",
     .options = DEFLATE},
    {{{RSV1 | BIN, "\xF2", 1},
      {FIN | PING, S("p")},
      {CONT, "\x48\xCD\xC9\xC9", 4},
      {FIN | CONT, "\x07\x00", 2},
      {FIN | TEXT, S("plain")},
      {FIN | RSV1 | TEXT, HELLO_DEFLATED}},
     .want = "ping(p) binary(Hello) text(plain) text(Hello) ",
     .options = DEFLATE},
    {{{FIN | RSV1 | TEXT, "\xF3\x48\xCD\xC9\xC9\x07\x00\x00", 8}},
     .want = "text(Hello) ",
     .options = DEFLATE},
    {{{FIN | RSV1 | TEXT, "\0", 1}, {FIN | RSV1 | BIN, S("")}},
     .want = "text() binary() ",
     .options = DEFLATE},
    {{{FIN | RSV1 | TEXT, "\x06", 1}}, .want = "bad_data", .options = DEFLATE},
    {{{RSV1 | TEXT, "\xF2\x48", 2}, {FIN | CONT, S("")}}, .want = "bad_data", .options = DEFLATE},
    {{{RSV1 | TEXT, "\xF2\x48", 2}, {FIN | RSV1 | CONT, S("")}},
     .want = "protocol",
     .error_byte = 5,
     .options = DEFLATE},
    {{{FIN | RSV1 | TEXT, "\0\1\0\xFE\xFF\xC3\0", 7}}, .want = "bad_utf8", .options = DEFLATE},
    {{{FIN | RSV1 | BIN, "\0\1\0\xFE\xFF\xC3\0", 7}}, .want = "binary(\xC3) ", .options = DEFLATE},
    {{{FIN | RSV1 | TEXT, HELLO_DEFLATED}}, .want = "text(Hello) ", .options = DEFLATE | MAX_8},
    {{{FIN | RSV1 | TEXT, "\x4A\x4C\x84\x02\x00\x00", 6}},
     .want = "text(aaaaaaaaa) ",
     .options = DEFLATE},
    {{{FIN | RSV1 | TEXT, "\x4A\x4C\x84\x02\x00\x00", 6}},
     .want = "too_big",
     .options = DEFLATE | MAX_8},
};

static void make_wire(const struct vector *v, struct buf *wire)
{
    if (v->raw) {
        assert_int_equal(buf_append(wire, v->raw, (size_t)v->raw_len, NO_LIMIT), 0);
        return;
    }
    for (size_t i = 0; i < 6 && v->pieces[i].payload; i++) {
        const struct piece *p = &v->pieces[i];
        put_frame(wire, p->first, p->payload,
                  p->len == WHOLE ? strlen(p->payload) : (size_t)p->len);
    }
}

static struct ws_reader_options vector_options(const struct vector *v)
{
    return (struct ws_reader_options){.max_message_bytes = v->options & MAX_8 ? 8 : 0,
                                      .deflate = v->options & DEFLATE,
                                      .text_only = v->options & TEXT_ONLY};
}

/* Feeds the wire in three parts. */
static void assert_split(const struct vector *v, const struct buf *wire, size_t a, size_t b)
{
    struct peer p;
    peer_init(&p, vector_options(v));
    peer_receive(&p, wire->data, a, -1);
    peer_receive(&p, wire->data + a, b - a, -1);
    peer_receive(&p, wire->data + b, wire->len - b, -1);
    assert_log(&p, v->want, strlen(v->want));
    peer_fini(&p);
}

static void test_vectors_at_every_split(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct buf wire = {0};
        make_wire(&vectors[i], &wire);
        for (size_t a = 0; a <= wire.len; a++) {
            assert_split(&vectors[i], &wire, a, wire.len);
            assert_split(&vectors[i], &wire, a, a + (wire.len - a) / 2);
        }
        buf_fini(&wire);
    }
    assert_int_equal(fail_alloc_live(), live);
}

static void test_vectors_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *v = &vectors[i];
        struct buf wire = {0};
        make_wire(v, &wire);
        struct peer p;
        peer_init(&p, vector_options(v));
        size_t fed = 0;
        while (fed < wire.len && !p.err && !p.closed)
            peer_receive(&p, wire.data + fed++, 1, -1);
        assert_log(&p, v->want, strlen(v->want));
        /* the error came with the byte that shows it, not before, not later */
        if (p.err && fed != wire.len - (size_t)v->error_byte)
            fail_msg("vector %zu: error at byte %zu of %u", i, fed, wire.len);
        peer_fini(&p);
        buf_fini(&wire);
    }
}

/* ---- Lengths ---- */

static void fill_text(uint8_t *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)('a' + (i * 7 + i / 251 + seed) % 26);
}

static void assert_one_message(const struct buf *wire, size_t cut, const uint8_t *text, size_t n)
{
    struct peer p;
    peer_init(&p, (struct ws_reader_options){.max_message_bytes = n});
    peer_receive(&p, wire->data, cut, -1);
    peer_receive(&p, wire->data + cut, wire->len - cut, -1);
    assert_int_equal(p.err, 0);
    assert_int_equal(p.log.len, n + strlen("text() "));
    assert_memory_equal(p.log.data + strlen("text("), text, n);
    peer_fini(&p);
}

static void test_length_forms(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,   1,   3,    4,     124,   125,   126,
                                   127, 128, 1000, 65534, 65535, 65536, 65537};
    uint8_t *text = malloc(65537);
    assert_non_null(text);
    fill_text(text, 65537, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i];
        struct buf wire = {0};
        put_frame(&wire, FIN | TEXT, text, n);
        for (size_t cut = 0; cut <= wire.len; cut++) {
            bool edge = cut < 32 || wire.len - cut < 32 || n < 2000;
            if (edge || cut % 4999 == 0) assert_one_message(&wire, cut, text, n);
        }
        buf_fini(&wire);

        /* every form that is longer than the shortest is refused */
        for (enum length_form form = FORM_16; form <= FORM_64; form++) {
            if (form == FORM_16 && n > 65535) continue;
            bool minimal = form == FORM_16 ? n > 125 : n > 65535;
            put_frame_as(&wire, FIN | TEXT, text, n, form);
            struct peer p;
            peer_init(&p, (struct ws_reader_options){0});
            peer_receive(&p, wire.data, wire.len, -1);
            assert_int_equal(p.err, minimal ? 0 : ERR_WS_PROTOCOL);
            peer_fini(&p);
            buf_fini(&wire);
        }
    }
    free(text);
}

/* ---- Masks ---- */

static void test_mask_phases(void **state)
{
    (void)state;
    uint8_t text[61];
    fill_text(text, sizeof(text), 3);
    struct buf wire = {0};
    put_frame(&wire, TEXT, text, sizeof(text)); /* a frame in chunks of every size */
    put_frame(&wire, FIN | CONT, text, 0);
    for (size_t chunk = 1; chunk < wire.len; chunk++) {
        struct peer p;
        peer_init(&p, (struct ws_reader_options){0});
        for (size_t i = 0; i < wire.len; i += chunk)
            peer_receive(&p, wire.data + i, i + chunk < wire.len ? chunk : wire.len - i, -1);
        assert_int_equal(p.log.len, sizeof(text) + strlen("text() "));
        assert_memory_equal(p.log.data + strlen("text("), text, sizeof(text));
        peer_fini(&p);
    }
    buf_fini(&wire);
}

/* ---- Memory and size ---- */

static void test_zero_copy(void **state)
{
    (void)state;
    struct buf wire = {0};
    put_frame(&wire, FIN | TEXT, "first", 5);
    put_frame(&wire, FIN | TEXT, "second", 6);
    long live = fail_alloc_live();
    struct ws_reader reader = {0};
    struct ws_reader_options options = {0};
    struct ws_input in = {wire.data, wire.len};
    struct ws_event ev;
    assert_int_equal(ws_reader_next(&reader, &options, &in, &ev), 0);
    assert_ptr_equal(ev.data, wire.data + 6);
    assert_memory_equal(ev.data, "first", 5);
    assert_int_equal(ws_reader_next(&reader, &options, &in, &ev), 0);
    assert_ptr_equal(ev.data, wire.data + 11 + 6);
    assert_int_equal(ws_reader_next(&reader, &options, &in, &ev), 0);
    assert_int_equal(ev.type, WS_EVENT_NONE);
    assert_null(ev.data);
    assert_int_equal(fail_alloc_live(), live);
    ws_reader_fini(&reader);
    buf_fini(&wire);
}

static void test_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct ws_reader) <= 72);
}

static void test_claimed_length_allocates_nothing(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    struct ws_reader reader = {0};
    struct ws_reader_options options = {.max_message_bytes = (size_t)16 << 20};
    uint8_t bytes[] = {0x82, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 'x', 'y'};
    struct ws_input in = {bytes, 14};
    struct ws_event ev;
    assert_int_equal(ws_reader_next(&reader, &options, &in, &ev), 0);
    assert_int_equal(in.len, 0);
    assert_int_equal(fail_alloc_live(), live);
    in = (struct ws_input){bytes + 14, 2};
    assert_int_equal(ws_reader_next(&reader, &options, &in, &ev), 0);
    assert_int_equal(in.len, 0);
    assert_true(reader.message.cap <= 1024);
    ws_reader_fini(&reader);
    assert_int_equal(fail_alloc_live(), live);
}

/* Conformance suites send this many in one message. */
static void test_65537_fragments(void **state)
{
    (void)state;
    enum { COUNT = 65537 };
    struct buf wire = {0};
    size_t stars = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        put_frame(&wire, i == 0 ? TEXT : i == COUNT - 1 ? FIN | CONT : CONT, "*", i % 3 ? 1 : 0);
        stars += i % 3 != 0;
        if (i % 9999 == 5) put_frame(&wire, FIN | PING, "", 0);
    }
    for (size_t chunk = 1000; chunk <= wire.len; chunk = chunk * 40 + 1) {
        struct peer p;
        peer_init(&p, (struct ws_reader_options){0});
        for (size_t i = 0; i < wire.len; i += chunk)
            peer_receive(&p, wire.data + i, i + chunk < wire.len ? chunk : wire.len - i, -1);
        assert_int_equal(p.err, 0);
        assert_int_equal(p.log.len, 7 * strlen("ping() ") + strlen("text() ") + stars);
        peer_fini(&p);
    }
    buf_fini(&wire);
}

/* Each byte copied a constant number of times: capacity at least doubles when it grows. */
static void test_16_mib_in_chunks(void **state)
{
    (void)state;
    const size_t n = (size_t)16 << 20;
    const size_t chunk = 4096;
    uint8_t *text = malloc(n);
    assert_non_null(text);
    fill_text(text, n, 1);
    struct buf wire = {0};
    put_frame(&wire, FIN | TEXT, text, n);
    struct ws_reader reader = {0};
    struct ws_reader_options options = {.max_message_bytes = n};
    struct ws_event ev = {0};
    size_t growths = 0;
    for (size_t i = 0; i < wire.len; i += chunk) {
        struct ws_input in = {wire.data + i, wire.len - i < chunk ? wire.len - i : chunk};
        size_t cap = reader.message.cap;
        assert_int_equal(ws_reader_next(&reader, &options, &in, &ev), 0);
        assert_int_equal(in.len, 0);
        growths += reader.message.cap != cap;
        assert_true(reader.message.cap <= 2 * (i + chunk));
    }
    assert_int_equal(ev.type, WS_EVENT_MESSAGE);
    assert_int_equal(ev.len, n);
    assert_memory_equal(ev.data, text, n);
    assert_in_range(growths, 1, 20);
    ws_reader_fini(&reader);
    buf_fini(&wire);
    free(text);
}

static void test_bomb(void **state)
{
    (void)state;
    const size_t bomb = (size_t)16 << 20;
    struct ws_deflater *deflater = ws_deflater_new(9);
    uint8_t *zeros = calloc(1, bomb);
    assert_non_null(deflater);
    assert_non_null(zeros);
    struct buf deflated = {0};
    struct buf wire = {0};
    assert_int_equal(ws_deflater_run(deflater, 15, zeros, bomb, &deflated, NO_LIMIT), 0);
    put_frame(&wire, FIN | RSV1 | BIN, deflated.data, deflated.len);
    struct peer p;
    peer_init(&p, (struct ws_reader_options){.deflate = true, .max_message_bytes = 65536});
    peer_receive(&p, wire.data, wire.len, -1);
    assert_int_equal(p.err, ERR_WS_TOO_BIG);
    assert_true(p.inflated.cap <= 2 * 65536);
    peer_fini(&p);
    buf_fini(&deflated);
    buf_fini(&wire);
    free(zeros);
    ws_deflater_free(deflater);
}

/* Fails the n-th allocation of every call: either nothing needed it, or the error says so. */
static void test_every_allocation_fails(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    unsigned failed = 0;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *v = &vectors[i];
        struct buf wire = {0};
        make_wire(v, &wire);
        for (size_t chunk = 1; chunk <= wire.len + 1; chunk += wire.len) {
            for (long n = 0; n < 4; n++) {
                struct peer p;
                peer_init(&p, vector_options(v));
                for (size_t k = 0; k < wire.len; k += chunk)
                    peer_receive(&p, wire.data + k, chunk < wire.len - k ? chunk : wire.len - k, n);
                if (p.err == ERR_NOMEM)
                    failed++;
                else
                    assert_log(&p, v->want, strlen(v->want));
                peer_fini(&p);
            }
        }
        buf_fini(&wire);
    }
    assert_true(failed > 50);
    assert_int_equal(fail_alloc_live(), live);
}

/* After whatever ended the reading: the way goes on from frame to frame, up to the close frame. */
static void skim_finds_close(const struct buf *broken, bool is_error)
{
    struct buf wire = {0};
    if (broken->len) assert_int_equal(buf_append(&wire, broken->data, broken->len, NO_LIMIT), 0);
    put_frame_as(&wire, 0x81, "text", 4, MINIMAL);
    put_frame_as(&wire, 0x01, "\x88\x80\x88\x80", 4, MINIMAL);
    put_frame_as(&wire, 0x89, "", 0, MINIMAL);
    put_frame_as(&wire, 0x80, "\x88", 1, FORM_64);
    put_frame_as(&wire, 0xF7, "\x88", 1, FORM_16);
    size_t at = wire.len;
    put_frame_as(&wire, 0x88, "\x03\xe8", 2, MINIMAL);
    struct ws_reader r = {0};
    struct ws_event ev;
    struct ws_input in = {wire.data, broken->len};
    const struct ws_reader_options options = {.max_message_bytes = 300, .text_only = true};
    assert_int_equal(ws_reader_next(&r, &options, &in, &ev) != 0, is_error);
    in.len = 0;
    bool found = false;
    while (!found && in.data + in.len < wire.data + wire.len) {
        in.len++;
        found = ws_reader_skim(&r, &in);
        assert_true(found || in.len < 14);
        assert_null(r.message.data);
    }
    assert_true(found);
    assert_true(in.data == wire.data + at);
    buf_fini(&wire);
}

static void test_skim(void **state)
{
    (void)state;
    static const char big[1000];
    struct buf wire = {0};
    skim_finds_close(&wire, false);
    put_frame_as(&wire, 0x82, "x", 1, MINIMAL); /* binary */
    skim_finds_close(&wire, true);
    wire.len = 0;
    put_frame_as(&wire, 0x81, big, sizeof(big), MINIMAL);
    skim_finds_close(&wire, true);
    wire.len = 0;
    put_frame_as(&wire, 0x01, "half a message", 14, MINIMAL);
    skim_finds_close(&wire, false);
    buf_fini(&wire);

    struct ws_reader r = {0};
    uint8_t lost[] = {0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct ws_input in = {lost, sizeof(lost)};
    assert_true(ws_reader_skim(&r, &in));
}

/* What is half received can go before the reader does; what was lent cannot. */
static void test_forget(void **state)
{
    (void)state;
    struct buf wire = {0};
    put_frame_as(&wire, 0x01, "half ", 5, MINIMAL);
    size_t half = wire.len;
    put_frame_as(&wire, 0x80, "and half", 8, MINIMAL);
    for (int whole = 0; whole < 2; whole++) {
        struct ws_reader r = {0};
        struct ws_event ev;
        uint8_t bytes[64];
        memcpy(bytes, wire.data, wire.len);
        struct ws_input in = {bytes, whole ? wire.len : half};
        const struct ws_reader_options options = {.max_message_bytes = 300};
        assert_int_equal(ws_reader_bytes(&r), 0);
        assert_int_equal(ws_reader_next(&r, &options, &in, &ev), 0);
        assert_true(ws_reader_bytes(&r) >= 5);
        ws_reader_forget(&r);
        if (whole)
            assert_memory_equal(ev.data, "half and half", 13);
        else
            assert_int_equal(ws_reader_bytes(&r), 0);
        ws_reader_fini(&r);
    }
    buf_fini(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_at_every_split),
        cmocka_unit_test(test_vectors_byte_by_byte),
        cmocka_unit_test(test_length_forms),
        cmocka_unit_test(test_mask_phases),
        cmocka_unit_test(test_zero_copy),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_claimed_length_allocates_nothing),
        cmocka_unit_test(test_65537_fragments),
        cmocka_unit_test(test_16_mib_in_chunks),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_skim),
        cmocka_unit_test(test_forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
