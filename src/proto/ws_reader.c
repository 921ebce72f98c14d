/* See ws_reader.h.
 *
 * A call goes around one loop: payload of the open data frame if there is one, else the next head.
 * Data payload is taken as it comes, so the input never holds it back; heads and control frames are
 * only taken whole, so no state is kept for a part of them. They are short, and the caller keeps
 * the rest in its buffer.
 *
 * Invariants, between calls:
 *  1. left > 0 only while a data frame is open, and then opcode says that a message is.
 *  2. opcode == WS_CONTINUATION: no message is open. What is still in `message` was lent to the
 *     caller by the last call, or inflated for it, and the next one frees it. No code point is
 *     open in utf8.
 *  3. message.len + left never passes max_message_bytes: the head was refused otherwise.
 *  4. Everything in the input was looked at: an error that a peer's bytes can show so far was
 *     raised. Checks follow the order of the bytes, so where the input is split decides nothing.
 */
#include "proto/ws_reader.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "proto/ws_close.h"

enum {
    FIN = 0x80,
    RSV1 = 0x40,
    RSV2_RSV3 = 0x30,
    OPCODE = 0x0f,
    OPCODE_CONTROL = 0x08,
    MASKED = 0x80,
    LENGTH = 0x7f,
    LENGTH_16 = 126, /* in the 7-bit length: the real one follows in two bytes */
    LENGTH_64 = 127, /* ... in eight */
    CLOSE_CODE_BYTES = 2
};

static_assert(sizeof(struct ws_reader) <= 48, "every connection has one");

struct head {
    size_t bytes;     /* of the head itself; 0: not known yet */
    uint64_t payload; /* bytes */
    uint8_t opcode;
    bool final;
    bool compressed;
};

static size_t size_limit(const struct ws_reader_options *o)
{
    return o->max_message_bytes ? o->max_message_bytes : SIZE_MAX;
}

/* The first byte of a head, against the options and against the message that may be open. */
static int check_first(const struct ws_reader *r, const struct ws_reader_options *o, uint8_t first)
{
    bool message_open = ws_reader_in_message(r);
    if (first & RSV2_RSV3) return ERR_WS_PROTOCOL;
    switch (first & OPCODE) {
    case WS_TEXT:
    case WS_BINARY:
        if (message_open) return ERR_WS_PROTOCOL;
        if ((first & RSV1) && !o->deflate) return ERR_WS_PROTOCOL;
        if ((first & OPCODE) == WS_BINARY && o->text_only) return ERR_WS_BINARY;
        return 0;
    case WS_CONTINUATION:
        return message_open && !(first & RSV1) ? 0 : ERR_WS_PROTOCOL;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        return (first & FIN) && !(first & RSV1) ? 0 : ERR_WS_PROTOCOL;
    default:
        return ERR_WS_PROTOCOL;
    }
}

/* The second byte and the extended length behind it, as far as n bytes have them. Sets h->bytes and
 * h->payload once the length is known. Longer forms than needed are refused: section 5.2 has "the
 * minimal number of bytes MUST be used". */
static int read_length(const uint8_t *p, size_t n, struct head *h)
{
    if (!(p[1] & MASKED)) return ERR_WS_PROTOCOL;
    unsigned length = p[1] & LENGTH;
    if ((h->opcode & OPCODE_CONTROL) && length > WS_CONTROL_MAX) return ERR_WS_PROTOCOL;
    unsigned extended = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
    uint64_t payload = extended ? 0 : length;
    if (extended == 8 && n > 2 && (p[2] & 0x80)) return ERR_WS_PROTOCOL;
    if (n < 2 + extended) return 0;
    for (unsigned i = 0; i < extended; i++)
        payload = payload << 8 | p[2 + i];
    if (ws_frame_head_size(payload) != 2 + extended) return ERR_WS_PROTOCOL;
    h->payload = payload;
    h->bytes = 2 + extended + WS_MASK_BYTES;
    return 0;
}

/* Reads the head at the front of the input without consuming it. 1: it is there whole; 0: it is
 * not, and nothing is wrong with it so far; or an error. */
static int read_head(const struct ws_reader *r, const struct ws_reader_options *o,
                     const struct ws_input *in, struct head *h)
{
    *h = (struct head){0};
    if (in->len < 1) return 0;
    uint8_t first = in->data[0];
    int err = check_first(r, o, first);
    if (err) return err;
    h->opcode = first & OPCODE;
    h->final = first & FIN;
    h->compressed = first & RSV1;

    if (in->len < 2) return 0;
    err = read_length(in->data, in->len, h);
    if (err) return err;
    if (!h->bytes) return 0;
    bool control = h->opcode & OPCODE_CONTROL;
    if (!control && h->payload > size_limit(o) - r->message.len) return ERR_WS_TOO_BIG;
    return in->len >= h->bytes;
}

static void consume(struct ws_input *in, size_t n)
{
    in->data += n;
    in->len -= n;
}

static int close_event(struct ws_event *ev)
{
    if (ev->len == 0) return 0;
    if (ev->len < CLOSE_CODE_BYTES) return ERR_WS_PROTOCOL;
    ev->close_code = (uint16_t)(ev->data[0] << 8 | ev->data[1]);
    if (!ws_close_code_valid(ev->close_code)) return ERR_WS_PROTOCOL;
    ev->data += CLOSE_CODE_BYTES;
    ev->len -= CLOSE_CODE_BYTES;
    return utf8_valid(ev->data, ev->len) ? 0 : ERR_WS_UTF8;
}

/* Takes a control frame whose head is at the front of the input, if it is there whole. */
static int take_control(const struct head *h, struct ws_input *in, struct ws_event *ev)
{
    size_t payload = (size_t)h->payload;
    if (in->len < h->bytes + payload) return 0;
    uint8_t *data = in->data + h->bytes;
    ws_unmask(data, payload, data - WS_MASK_BYTES, 0);
    consume(in, h->bytes + payload);

    struct ws_event event = {.opcode = h->opcode, .data = data, .len = payload};
    if (h->opcode == WS_CLOSE) {
        int err = close_event(&event);
        if (err) {
            ev->type = WS_EVENT_CLOSE;
            return err;
        }
    }
    event.type = h->opcode == WS_CLOSE  ? WS_EVENT_CLOSE
                 : h->opcode == WS_PING ? WS_EVENT_PING
                                        : WS_EVENT_PONG;
    *ev = event;
    return 0;
}

/* Opens a data frame, and with it a message unless one is open, consuming the head. */
static void open_frame(struct ws_reader *r, const struct head *h, struct ws_input *in)
{
    if (h->opcode != WS_CONTINUATION) {
        DCHECK(!r->message.data);
        r->opcode = h->opcode;
        r->compressed = h->compressed;
    }
    memcpy(r->mask, in->data + h->bytes - WS_MASK_BYTES, WS_MASK_BYTES);
    r->phase = 0;
    r->final = h->final;
    r->left = h->payload;
    consume(in, h->bytes);
}

/* Consumes what the input has of the open frame's payload: unmasked, and text checked. */
static int take_payload(struct ws_reader *r, struct ws_input *in, const uint8_t **data, size_t *len)
{
    size_t n = r->left < in->len ? (size_t)r->left : in->len;
    ws_unmask(in->data, n, r->mask, r->phase);
    *data = in->data;
    *len = n;
    r->phase = (uint8_t)((r->phase + n) & 3);
    r->left -= n;
    consume(in, n);
    if (r->opcode != WS_TEXT || r->compressed) return 0;
    return utf8_feed(&r->utf8, *data, n) ? 0 : ERR_WS_UTF8;
}

static int reader_inflate(const struct ws_reader_options *o, struct slice in)
{
    o->inflated->len = 0;
    if (o->past && o->past->bits)
        return ws_inflater_run_on(o->inflater, o->past, in, o->inflated, size_limit(o));
    return ws_inflater_run(o->inflater, (const uint8_t *)in.ptr, in.len, o->inflated,
                           size_limit(o));
}

/* Ends the open message, whose payload as received is given. */
static int finish_message(struct ws_reader *r, const struct ws_reader_options *o,
                          const uint8_t *data, size_t len, struct ws_event *ev)
{
    static const uint8_t nothing[1];
    enum ws_opcode opcode = r->opcode;
    r->opcode = WS_CONTINUATION;
    if (r->compressed) {
        int err = reader_inflate(o, (struct slice){(const char *)data, len});
        if (err) return err;
        data = o->inflated->data;
        len = o->inflated->len;
        if (opcode == WS_TEXT && !utf8_valid(data, len)) return ERR_WS_UTF8;
    } else if (opcode == WS_TEXT && !utf8_complete(&r->utf8)) {
        return ERR_WS_UTF8;
    }
    *ev = (struct ws_event){
        .type = WS_EVENT_MESSAGE, .opcode = opcode, .data = len ? data : nothing, .len = len};
    return 0;
}

/* Goes on with the open data frame; an event only if its message ends here. */
static int take_data(struct ws_reader *r, const struct ws_reader_options *o, struct ws_input *in,
                     struct ws_event *ev)
{
    /* If nothing of the message came before, left is all of it: then it need not be copied. */
    bool zero_copy = r->final && r->message.len == 0 && r->left <= in->len;
    const uint8_t *data;
    size_t len;
    int err = take_payload(r, in, &data, &len);
    if (err) return err;
    if (zero_copy) return finish_message(r, o, data, len, ev);

    err = buf_append(&r->message, data, len, size_limit(o));
    if (err) return err;
    if (r->left > 0 || !r->final) return 0;
    return finish_message(r, o, r->message.data, r->message.len, ev);
}

int ws_reader_next(struct ws_reader *r, const struct ws_reader_options *o, struct ws_input *in,
                   struct ws_event *ev)
{
    *ev = (struct ws_event){.type = WS_EVENT_NONE};
    if (r->opcode == WS_CONTINUATION && r->message.data) buf_fini(&r->message);
    /* Every turn but the last consumes a head or payload, so the input bounds the loop. */
    for (;;) {
        if (r->left == 0) {
            struct head h;
            int whole = read_head(r, o, in, &h);
            if (whole <= 0) return whole;
            if (h.opcode & OPCODE_CONTROL) return take_control(&h, in, ev);
            open_frame(r, &h, in);
        }
        if (r->left > 0 && in->len == 0) return 0;
        int err = take_data(r, o, in, ev);
        if (err || ev->type != WS_EVENT_NONE) return err;
    }
}

/* No rule but those that say where a frame ends. */
bool ws_reader_skim(struct ws_reader *r, struct ws_input *in)
{
    buf_fini(&r->message);
    for (;;) {
        size_t n = r->left < in->len ? (size_t)r->left : in->len;
        consume(in, n);
        r->left -= n;
        if (r->left > 0 || in->len < 2) return false;
        const uint8_t *p = in->data;
        unsigned length = p[1] & LENGTH;
        unsigned extended = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
        size_t head = 2 + extended + (p[1] & MASKED ? WS_MASK_BYTES : 0);
        if (in->len < head) return false;
        if ((p[0] & OPCODE) == WS_CLOSE || (extended == 8 && p[2] & 0x80)) return true;
        uint64_t payload = extended ? 0 : length;
        for (unsigned i = 0; i < extended; i++)
            payload = payload << 8 | p[2 + i];
        r->left = payload;
        consume(in, head);
    }
}

void ws_reader_forget(struct ws_reader *r)
{
    if (ws_reader_in_message(r)) buf_fini(&r->message); /* else it may be lent: invariant 2 */
}

void ws_reader_fini(struct ws_reader *r)
{
    buf_fini(&r->message);
    *r = (struct ws_reader){0};
}
