/* Fuzzes the frames of parlor.v1 with any bytes; what is not UTF-8 never gets here from a socket,
 * but must do no harm. Properties, of UTF-8: jansson agrees on whether it is an object; the ref is
 * the one that jansson reads, it comes back in an ack and an error unchanged, and both are JSON;
 * what is taken keeps its limits, and every frame made of it is JSON with the same texts. */
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/utf8.h"
#include "proto/envelope.h"
#include "proto/json.h"
#include "proto/rich.h"
#include "store/store.h"

enum { FRAME_MAX = 1 << 22, MESSAGE_MAX = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct id id = {.epoch = {'k', '3', 'f', '9', '0', 'a', 'b', 'c'}, .seq = 7};

static void same(struct slice a, struct slice b)
{
    CHECK(a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0));
}

/* An upper bound of its depth that needs no parser. */
static size_t brackets(struct slice json)
{
    size_t count = 0;
    for (size_t i = 0; i < json.len; i++)
        count += json.ptr[i] == '[' || json.ptr[i] == '{';
    return count;
}

/* NULL where jansson cannot follow: it knows no lone surrogates, no numbers out of its range, no
 * NUL in a key, and version 2.14 passes over a raw NUL behind a number. */
static json_t *decoded(struct slice json)
{
    if (json.len == 0 || memchr(json.ptr, '\0', json.len)) return NULL;
    return json_loadb(json.ptr, json.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
}

static void agrees_on_object(struct slice json, int err)
{
    json_t *root = decoded(json);
    if (!root) return;
    if (!json_is_object(root)) CHECK(err == ERR_BAD_JSON);
    if (json_is_object(root) && brackets(json) <= JSON_DEPTH_MAX) CHECK(err != ERR_BAD_JSON);
    json_decref(root);
}

/* Our frame, read back: it is JSON, and these two members are what they should be. */
static void reads_as(const struct buf *frame, const char *key, struct slice text, struct slice ref)
{
    struct json_field fields[] = {{{key, strlen(key)}, false}, {SLICE_LIT("ref"), true}};
    struct json_value values[2];
    struct buf scratch = {0};
    struct slice json = {(const char *)frame->data, frame->len};
    CHECK(utf8_valid(frame->data, frame->len));
    CHECK(json_scan_fields(json, &scratch, fields, 2, values) == 0);
    CHECK(values[0].kind == JSON_KIND_STRING);
    same(values[0].text, text);
    same(values[1].text, ref);
    buf_fini(&scratch);
}

/* By jansson: the ref of the frame that came is the ref of the frame that goes. */
static void same_ref(struct slice came, const struct buf *goes)
{
    json_t *from = decoded(came);
    if (!from) return;
    json_t *to = decoded((struct slice){(const char *)goes->data, goes->len});
    CHECK(to && json_equal(json_object_get(from, "ref"), json_object_get(to, "ref")));
    json_decref(from);
    json_decref(to);
}

static void echoes(struct slice json, const struct rich_input *in, int err)
{
    struct buf out = {0};
    struct slice room = SLICE_LIT("lobby");
    struct rich_ack a = {.ref = in->ref, .room = room, .id = id};
    CHECK(in->ref.len <= RICH_REF_MAX);
    CHECK(rich_encode_ack(&a, &out, FRAME_MAX) == 0);
    reads_as(&out, "room", room, in->ref);
    if (in->ref.len && err != ERR_BAD_JSON && err != ERR_NOMEM) same_ref(json, &out);
    out.len = 0;
    err = err ? err : ERR_STORE;
    CHECK(rich_encode_error(in->ref, err, 1, &out, FRAME_MAX) == 0);
    const char *word = err_info(err)->word;
    reads_as(&out, "code", (struct slice){word, strlen(word)}, in->ref);
    buf_fini(&out);
}

static void keeps_limits(const struct rich_input *in)
{
    CHECK(in->room.len == 0 || name_room_check(in->room) == 0);
    CHECK(in->message.len <= MESSAGE_MAX && in->data.len <= ENVELOPE_DATA_MAX);
    CHECK(in->username.len <= NAME_USER_MAX && in->nonce.len <= RICH_NONCE_MAX);
    CHECK(in->emoji.len <= RICH_EMOJI_MAX);
    CHECK(in->id.seq <= ID_SEQ_MAX && in->reply_to.seq <= ID_SEQ_MAX && in->at.seq <= ID_SEQ_MAX);
    CHECK(in->limit <= (in->type == RICH_JOIN ? RICH_JOIN_MAX : RICH_PAGE_MAX));
    CHECK((in->type == RICH_HISTORY) <= (in->limit > 0));
    CHECK((in->type == RICH_CHANGE) == (in->kind > 0));
    bool speaks = in->type == RICH_MESSAGE || in->type == RICH_CHANGE;
    enum event_text text = speaks ? event_kinds[in->kind].text : EVENT_TEXT_NONE;
    CHECK((text == EVENT_TEXT_MESSAGE) == (in->message.len > 0));
    CHECK((text == EVENT_TEXT_EMOJI) == (in->emoji.len > 0));
}

static void encodes(const struct rich_input *in)
{
    struct buf out = {0};
    struct rich_event e = {.kind = &event_kinds[in->message.len ? STORE_EDIT : STORE_REACT],
                           .room = in->room,
                           .target = in->id.epoch[0] ? in->id : id,
                           .id = id,
                           .username = in->username,
                           .user = in->nonce,
                           .text = in->message.len ? in->message : in->emoji};
    CHECK(rich_encode_event(&e, &out, FRAME_MAX) == 0);
    reads_as(&out, in->message.len ? "message" : "emoji", e.text, (struct slice){0});
    out.len = 0;
    struct envelope_reaction reaction = {in->emoji, 1};
    struct envelope_message m = {.room = in->room,
                                 .username = in->username,
                                 .message = in->message,
                                 .data = in->data,
                                 .id = id,
                                 .nonce = in->nonce,
                                 .reply_to = in->reply_to.seq,
                                 .reactions = &reaction,
                                 .reaction_count = 1};
    CHECK(envelope_encode_full(&m, &out, FRAME_MAX) == 0);
    reads_as(&out, "message", in->message, (struct slice){0});
    reads_as(&out, "room", in->room, (struct slice){0});
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rich_input in;
    struct buf scratch = {0};
    struct slice json = {(const char *)data, size};
    int err = rich_parse(json, MESSAGE_MAX, &scratch, &in);
    CHECK(err <= 0 && scratch.len <= size);
    if (err == 0) keeps_limits(&in);
    if (utf8_valid(data, size)) {
        agrees_on_object(json, err);
        echoes(json, &in, err);
        if (err == 0) encodes(&in);
    }
    buf_fini(&scratch);
    return 0;
}
