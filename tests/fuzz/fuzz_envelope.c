/* Fuzzes the chat envelope with any bytes that are UTF-8, which is what the WebSocket layer lets
 * through. Properties: what is refused is refused for one of the reasons of protocol section 3;
 * what is taken keeps its limits; the frame made of it is valid UTF-8 and reads back as the same
 * message and name, and so does the full one; jansson agrees that both are JSON. */
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/utf8.h"
#include "proto/envelope.h"
#include "proto/json.h"
#include "proto/name.h"

enum { FRAME_MAX = 1 << 22, MESSAGE_MAX = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct slice a, struct slice b)
{
    CHECK(a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0));
}

static void inside(struct slice s, const void *start, size_t len)
{
    const char *from = start;
    CHECK(s.len == 0 || (s.ptr >= from && s.ptr + s.len <= from + len));
}

/* Reads a frame of ours the way a client would, and by jansson where it can follow: it knows no
 * lone surrogates, and data may hold some. */
static void reads_as(const struct buf *frame, const struct envelope_input *in, struct slice data)
{
    struct buf scratch = {0};
    struct envelope_input back;
    struct slice json = {(const char *)frame->data, frame->len};
    CHECK(utf8_valid(frame->data, frame->len));
    CHECK(envelope_parse(json, 0, &scratch, &back) == 0);
    same(back.message, in->message);
    same(back.username, in->username);
    same(back.data, data);
    buf_fini(&scratch);
    if (data.len == 0) {
        json_t *root =
            json_loadb(json.ptr, json.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        CHECK(root);
        json_t *message = json_object_get(root, "message");
        CHECK(json_string_length(message) == in->message.len);
        CHECK(memcmp(json_string_value(message), in->message.ptr, in->message.len) == 0);
        json_decref(root);
    }
}

static void encodes(const struct envelope_input *in)
{
    struct envelope_message m = {
        .room = SLICE_LIT("room"),
        .username = in->username.len ? in->username : SLICE_LIT("guest-abcd"),
        .message = in->message,
        .data = in->data,
        .id = {.epoch = {'k', '3', 'f', '9', '0', 'a', 'b', 'c'}, .seq = 7},
        .ts_ms = 1790000000123,
    };
    struct envelope_input want = *in;
    want.username = m.username;
    struct buf out = {0};
    CHECK(envelope_encode_bare(&m, &out, FRAME_MAX) == 0);
    reads_as(&out, &want, (struct slice){0});
    size_t len = out.len;
    out.len = 0;
    CHECK(envelope_encode_bare(&m, &out, len - 1) == ERR_TOO_LONG && out.len == 0);
    CHECK(envelope_encode_full(&m, &out, FRAME_MAX) == 0);
    reads_as(&out, &want, in->data);
    buf_fini(&out);
}

static unsigned tree_depth(json_t *value)
{
    unsigned deepest = 0;
    const char *key;
    size_t index;
    json_t *child;
    if (!json_is_object(value) && !json_is_array(value)) return 0;
    json_object_foreach(value, key, child)
    {
        unsigned depth = tree_depth(child);
        if (depth > deepest) deepest = depth;
    }
    json_array_foreach(value, index, child)
    {
        unsigned depth = tree_depth(child);
        if (depth > deepest) deepest = depth;
    }
    return deepest + 1;
}

/* What we refuse jansson refuses too, but for its larger depth and a slip of version 2.14, which
 * passes over a raw NUL behind a number. The other way round it refuses more than RFC 8259 does:
 * escapes of lone surrogates, numbers out of its range, NUL in a key. Repeated keys are left out,
 * because its tree does not show how deep the first one was. */
static void jansson_refuses(const char *json, size_t len)
{
    if (memchr(json, '\0', len)) return;
    json_t *root = json_loadb(json, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    if (!root) return;
    CHECK(!json_is_object(root) || tree_depth(root) > JSON_DEPTH_MAX);
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope_input in;
    struct buf scratch = {0};
    struct slice json = {(const char *)data, size};
    if (!utf8_valid(data, size)) return 0;
    int err = envelope_parse(json, MESSAGE_MAX, &scratch, &in);
    CHECK(err == 0 || err == ERR_BAD_JSON || err == ERR_BAD_MESSAGE || err == ERR_TOO_LONG ||
          err == ERR_BAD_USERNAME);
    CHECK(scratch.len <= size);
    if (err == ERR_BAD_JSON && size > 0) jansson_refuses(json.ptr, size);
    if (err == 0) {
        CHECK(in.message.len > 0 && in.message.len <= MESSAGE_MAX);
        CHECK(in.username.len <= NAME_USER_MAX && in.data.len <= ENVELOPE_DATA_MAX);
        inside(in.data, data, size);
        if (scratch.len == 0) {
            inside(in.message, data, size);
            if (in.username.ptr != in.name) inside(in.username, data, size);
        }
        encodes(&in);
    }
    buf_fini(&scratch);
    return 0;
}
