/* See ws_frame.h. */
#include "proto/ws_frame.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"

enum {
    FIN = 0x80,
    RSV1 = 0x40,
    OPCODE_CONTROL = 0x08,
    LENGTH_16 = 126, /* in the 7-bit length: the real one follows in two bytes */
    LENGTH_64 = 127, /* ... in eight */
    CLOSE_CODE_BYTES = 2
};

static void put_be(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static uint64_t get_be(const uint8_t *in, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | in[i];
    return value;
}

size_t ws_frame_head_size(uint64_t payload_bytes)
{
    if (payload_bytes < LENGTH_16) return 2;
    return payload_bytes <= UINT16_MAX ? 4 : 10;
}

size_t ws_frame_head(uint8_t out[static WS_HEAD_MAX], enum ws_opcode op, bool rsv1,
                     uint64_t payload_bytes)
{
    CHECK(!(op & OPCODE_CONTROL) || (payload_bytes <= WS_CONTROL_MAX && !rsv1));
    CHECK(payload_bytes <= INT64_MAX);
    size_t size = ws_frame_head_size(payload_bytes);
    out[0] = (uint8_t)(FIN | (rsv1 ? RSV1 : 0) | (unsigned)op);
    if (size == 2) {
        out[1] = (uint8_t)payload_bytes;
    } else if (size == 4) {
        out[1] = LENGTH_16;
        put_be(out + 2, payload_bytes, 2);
    } else {
        out[1] = LENGTH_64;
        put_be(out + 2, payload_bytes, 8);
    }
    return size;
}

uint64_t ws_frame_size(const uint8_t *frame)
{
    uint8_t length = frame[1];
    DCHECK(length <= LENGTH_64); /* a mask bit would mean bytes of a peer */
    uint64_t payload = length;
    if (length == LENGTH_16) payload = get_be(frame + 2, 2);
    if (length == LENGTH_64) payload = get_be(frame + 2, 8);
    return ws_frame_head_size(payload) + payload;
}

int ws_frame_append(struct buf *out, enum ws_opcode op, bool rsv1, struct slice payload,
                    size_t max_bytes)
{
    if (payload.len > max_bytes) return ERR_TOO_LONG;
    uint8_t head[WS_HEAD_MAX];
    size_t head_bytes = ws_frame_head(head, op, rsv1, payload.len);
    int err = buf_reserve(out, head_bytes + payload.len, max_bytes);
    if (err) return err;
    memcpy(out->data + out->len, head, head_bytes);
    if (payload.len) memcpy(out->data + out->len + head_bytes, payload.ptr, payload.len);
    buf_commit(out, head_bytes + payload.len);
    return 0;
}

/* How many bytes of the text to keep: at most max, and none of a code point cut in two. */
static size_t cut_text(const char *text, size_t max)
{
    size_t n = strnlen(text, max + 1);
    if (n <= max) return n;
    n = max;
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    return n;
}

int ws_frame_append_close(struct buf *out, uint16_t code, const char *reason, size_t max_bytes)
{
    uint8_t payload[WS_CONTROL_MAX];
    size_t len = 0;
    if (code) {
        put_be(payload, code, CLOSE_CODE_BYTES);
        len = CLOSE_CODE_BYTES;
        size_t reason_bytes = reason ? cut_text(reason, WS_CONTROL_MAX - CLOSE_CODE_BYTES) : 0;
        if (reason_bytes) memcpy(payload + len, reason, reason_bytes);
        len += reason_bytes;
    }
    struct slice whole = {(const char *)payload, len};
    return ws_frame_append(out, WS_CLOSE, false, whole, max_bytes);
}

void ws_unmask(uint8_t *p, size_t n, const uint8_t mask[static WS_MASK_BYTES], unsigned phase)
{
    uint8_t turned[8];
    for (unsigned i = 0; i < sizeof(turned); i++)
        turned[i] = mask[(phase + i) & 3];
    uint64_t key;
    memcpy(&key, turned, sizeof(key));
    for (; n >= sizeof(key); n -= sizeof(key), p += sizeof(key)) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        word ^= key;
        memcpy(p, &word, sizeof(word));
    }
    for (size_t i = 0; i < n; i++)
        p[i] ^= turned[i];
}
