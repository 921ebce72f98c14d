/* See http_chunks.h. One state for each place between two bytes that matters; step() takes one byte
 * of what is not the body's. */
#include "proto/http_chunks.h"

#include <stdbool.h>

#include "base/ascii.h"
#include "base/err.h"

/* The name says what is expected. */
enum state {
    SIZE, /* or the end of its line */
    SEMICOLON,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* or the end of all */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
};

static int expect(struct http_chunks *k, bool good, enum state next)
{
    if (!good) return ERR_BAD_REQUEST;
    k->state = (uint8_t)next;
    return 0;
}

static int on_size(struct http_chunks *k, char c)
{
    int digit = ascii_hex_value(c);
    if (digit < 0) {
        if (k->digits == 0) return ERR_BAD_REQUEST;
        if (c == '\r') return expect(k, true, SIZE_LF);
        if (c == ';') return expect(k, true, EXTENSION);
        return expect(k, ascii_is_blank(c), SEMICOLON); /* RFC 9110 section 5.6.3 */
    }
    if (++k->digits > HTTP_CHUNKS_DIGITS_MAX) return ERR_BAD_REQUEST;
    k->left = k->left << 4 | (uint64_t)digit;
    return k->left > UINT32_MAX ? ERR_BODY_TOO_LARGE : 0;
}

/* Text up to the CR of its line; no other control bytes but HT. */
static int on_text(struct http_chunks *k, char c, enum state next)
{
    if (c == '\r') return expect(k, true, next);
    unsigned char byte = (unsigned char)c;
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F) ? 0 : ERR_BAD_REQUEST;
}

static int count_extra(struct http_chunks *k)
{
    return ++k->extra_bytes > HTTP_CHUNKS_EXTRA_MAX_BYTES ? ERR_HEAD_TOO_LARGE : 0;
}

/* A line of the trailer section, which begins with a name and its colon. */
static int on_trailer(struct http_chunks *k, char c)
{
    int err = count_extra(k);
    if (err) return err;
    if (k->state == TRAILER_VALUE) return on_text(k, c, TRAILER_LF);
    if (k->state == TRAILER_NAME && c == ':') return expect(k, true, TRAILER_VALUE);
    return expect(k, ascii_is_token(c), TRAILER_NAME);
}

/* One byte that is none of the body's. 1: it was the last. */
static int step(struct http_chunks *k, char c)
{
    int err;
    switch ((enum state)k->state) {
    case SIZE:
        return on_size(k, c);
    case SEMICOLON:
        if ((err = count_extra(k))) return err;
        if (ascii_is_blank(c)) return 0;
        return expect(k, c == ';', EXTENSION);
    case EXTENSION:
        err = count_extra(k);
        return err ? err : on_text(k, c, SIZE_LF);
    case SIZE_LF:
        k->digits = 0;
        return expect(k, c == '\n', k->left ? DATA : TRAILER);
    case DATA:
    case DATA_CR:
        return expect(k, c == '\r', DATA_LF);
    case DATA_LF:
        return expect(k, c == '\n', SIZE);
    case TRAILER:
        if (c == '\r') return expect(k, true, END_LF);
        return on_trailer(k, c);
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return on_trailer(k, c);
    case TRAILER_LF:
        return expect(k, c == '\n', TRAILER);
    case END_LF:
        break;
    }
    return c == '\n' ? 1 : ERR_BAD_REQUEST;
}

int http_chunks_read(struct http_chunks *k, struct slice *in, struct slice *data)
{
    *data = (struct slice){in->ptr, 0};
    while (in->len > 0) {
        if (k->state == DATA) {
            size_t take = in->len < k->left ? in->len : (size_t)k->left;
            *data = (struct slice){in->ptr, take};
            k->left -= take;
            if (k->left == 0) k->state = DATA_CR;
            in->ptr += take;
            in->len -= take;
            return 0;
        }
        int done = step(k, *in->ptr);
        if (done < 0) return done;
        in->ptr++;
        in->len--;
        if (done) return done;
    }
    return 0;
}
