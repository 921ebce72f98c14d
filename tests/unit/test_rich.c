/* The exact bytes of the frames that only rich clients are sent; jansson is the oracle for texts
 * that need escapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "encode_check.h"
#include "proto/envelope.h"
#include "proto/rich.h"
#include "store/store.h"

enum { NO_LIMIT = 1 << 24 };

#define ID_A "k3f90abc-1052"
#define ID_B "k3f90abc-7"

#define HEAD_ID                                                                                    \
    {                                                                                              \
        .epoch = {'k', '3', 'f', '9', '0', 'a', 'b', 'c'}, .seq = 1052                             \
    }
#define TARGET_ID                                                                                  \
    {                                                                                              \
        .epoch = {'k', '3', 'f', '9', '0', 'a', 'b', 'c'}, .seq = 7                                \
    }

/* The texts that a frame is filled with; the numbers are in the functions below. */
struct texts {
    struct slice ref;
    struct slice room;
    struct slice name;
    struct slice other;
};

static const struct texts plain = {{"\"r1\"", 4}, {"lobby", 5}, {"ann", 3}, {"bob", 3}};
static const struct texts no_ref = {{NULL, 0}, {"lobby", 5}, {"ann", 3}, {"bob", 3}};

static int welcome(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_welcome w = {.server = t->other,
                                   .user = t->other,
                                   .username = t->name,
                                   .room = t->room,
                                   .limits = {65536, 16384, 20, 100},
                                   .ping_ms = 25000};
    return rich_encode_welcome(&w, out, max_bytes);
}

static int welcome_guest(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_welcome w = {.server = t->other,
                                   .user = t->other,
                                   .username = t->name,
                                   .guest_key = t->name,
                                   .room = t->room};
    return rich_encode_welcome(&w, out, max_bytes);
}

static int auth_ack(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_auth_ack a = {
        .ref = t->ref, .user = t->other, .username = t->name, .expires_ms = 1790000000123};
    return rich_encode_auth_ack(&a, out, max_bytes);
}

static int auth_ack_for_good(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_auth_ack a = {
        .ref = t->ref, .user = t->other, .username = t->name, .expires_ms = UINT64_MAX};
    return rich_encode_auth_ack(&a, out, max_bytes);
}

static int ack(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_ack a = {
        .ref = t->ref, .room = t->room, .id = HEAD_ID, .ts_ms = 1790000000123, .dup = true};
    return rich_encode_ack(&a, out, max_bytes);
}

static int error(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    return rich_encode_error(t->ref, ERR_RATE_LIMITED, 1500, out, max_bytes);
}

static int error_for_good(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    return rich_encode_error(t->ref, ERR_BAD_ID, 0, out, max_bytes);
}

static int joined(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_joined j = {.ref = t->ref,
                                  .room = t->room,
                                  .head = HEAD_ID,
                                  .recovered = true,
                                  .replayed = 3,
                                  .members = 12,
                                  .right = SLICE_LIT("write")};
    return rich_encode_joined(&j, out, max_bytes);
}

static int joined_read(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_joined j = {
        .room = t->room, .head = HEAD_ID, .members = 1, .right = SLICE_LIT("read"), .read_seq = 7};
    return rich_encode_joined(&j, out, max_bytes);
}

static int left(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    return rich_encode_left(t->ref, t->room, 0, out, max_bytes);
}

static int left_put_out(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    return rich_encode_left(t->ref, t->room, ERR_NO_RIGHT, out, max_bytes);
}

static int history_start(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    return rich_begin_history(t->ref, t->room, out, max_bytes);
}

static int history_stop(const void *frame, struct buf *out, size_t max_bytes)
{
    (void)frame;
    return rich_end_history(true, out, max_bytes);
}

/* The beginning and the end, as one. */
static int encode_members(const struct texts *t, const struct rich_members *m, struct buf *out,
                          size_t max_bytes)
{
    size_t before = out->len;
    int err = rich_begin_members(t->ref, out, max_bytes);
    if (!err) err = rich_end_members(m, out, max_bytes);
    if (err) buf_truncate(out, before);
    return err;
}

static int members(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_member list[] = {{.username = t->name, .user = t->other, .since_ms = 1},
                                       {.username = t->other, .since_ms = 2}};
    const struct rich_members m = {
        .room = t->room, .count = 500, .members = list, .member_count = 2};
    return encode_members(t, &m, out, max_bytes);
}

static int members_none(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_members m = {.room = t->room};
    return encode_members(t, &m, out, max_bytes);
}

static int typing(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    return rich_encode_typing(t->room, t->name, true, out, max_bytes);
}

static int presence(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_presence p = {.room = t->room,
                                    .joined = &t->name,
                                    .joined_count = 1,
                                    .join = true,
                                    .username = t->name,
                                    .count = 3};
    return rich_encode_presence(&p, out, max_bytes);
}

static int presence_many(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct slice names[] = {t->name, t->other};
    const struct rich_presence p = {
        .room = t->room, .left = names, .left_count = 2, .username = t->other, .count = 60};
    return rich_encode_presence(&p, out, max_bytes);
}

static int presence_count(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_presence p = {.room = t->room, .join = true, .count = 501};
    return rich_encode_presence(&p, out, max_bytes);
}

static struct rich_event event_of(const struct texts *t, enum store_kind kind)
{
    return (struct rich_event){.kind = &event_kinds[kind],
                               .room = t->room,
                               .target = TARGET_ID,
                               .id = HEAD_ID,
                               .ts_ms = 1790000000123,
                               .username = t->name,
                               .user = t->other,
                               .text = t->name};
}

static int edit(const void *frame, struct buf *out, size_t max_bytes)
{
    struct rich_event e = event_of(frame, STORE_EDIT);
    return rich_encode_event(&e, out, max_bytes);
}

static int delete (const void *frame, struct buf *out, size_t max_bytes)
{
    struct rich_event e = event_of(frame, STORE_DELETE);
    e.user.len = 0;
    return rich_encode_event(&e, out, max_bytes);
}

static int react(const void *frame, struct buf *out, size_t max_bytes)
{
    struct rich_event e = event_of(frame, STORE_REACT);
    return rich_encode_event(&e, out, max_bytes);
}

static int unreact(const void *frame, struct buf *out, size_t max_bytes)
{
    struct rich_event e = event_of(frame, STORE_UNREACT);
    e.user.len = 0;
    return rich_encode_event(&e, out, max_bytes);
}

static int gap(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    const struct rich_gap g = {.room = t->room, .from = 1053, .to = 2000, .next = HEAD_ID};
    return rich_encode_gap(&g, out, max_bytes);
}

static int notice(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    return rich_encode_notice(t->room, t->name, t->other, out, max_bytes);
}

static int notice_to_all(const void *frame, struct buf *out, size_t max_bytes)
{
    const struct texts *t = frame;
    return rich_encode_notice((struct slice){0}, t->name, t->other, out, max_bytes);
}

static int bye(const void *frame, struct buf *out, size_t max_bytes)
{
    (void)frame;
    return rich_encode_bye(1012, 4200, out, max_bytes);
}

/* A frame, and what it is with these texts. */
struct sent {
    encode_check_fn *encode;
    const struct texts *texts;
    const char *want;
};

#define EVENT_IDS "\"id\":\"" ID_B "\",\"event_id\":\"" ID_A "\",\"seq\":1052,\"ts\":1790000000123,"

static const struct sent sent[] = {
    {welcome, &plain,
     "{\"type\":\"welcome\",\"version\":\"parlor.v1\",\"server\":\"bob\",\"user\":\"bob\","
     "\"username\":\"ann\",\"room\":\"lobby\",\"limits\":{\"frame_bytes\":65536,\"message_bytes\":"
     "16384,\"rate\":20,"
     "\"rooms\":100},\"ping_s\":25}"},
    {welcome_guest, &plain,
     "{\"type\":\"welcome\",\"version\":\"parlor.v1\",\"server\":\"bob\",\"user\":\"bob\","
     "\"username\":\"ann\",\"guest\":{\"id\":\"bob\",\"key\":\"ann\"},\"room\":\"lobby\","
     "\"limits\":{\"frame_bytes\":0,\"message_bytes\":0,\"rate\":0,\"rooms\":0},\"ping_s\":0}"},
    {auth_ack, &plain,
     "{\"type\":\"ack\",\"ref\":\"r1\",\"user\":\"bob\",\"username\":\"ann\","
     "\"expires\":1790000000123}"},
    {auth_ack_for_good, &no_ref, "{\"type\":\"ack\",\"user\":\"bob\",\"username\":\"ann\"}"},
    {ack, &plain,
     "{\"type\":\"ack\",\"ref\":\"r1\",\"room\":\"lobby\",\"id\":\"" ID_A
     "\",\"seq\":1052,\"ts\":1790000000123,\"dup\":true}"},
    {ack, &no_ref,
     "{\"type\":\"ack\",\"room\":\"lobby\",\"id\":\"" ID_A
     "\",\"seq\":1052,\"ts\":1790000000123,\"dup\":true}"},
    {error, &plain,
     "{\"type\":\"error\",\"ref\":\"r1\",\"code\":\"rate_limited\",\"detail\":\"too many messages, "
     "wait a moment\",\"temporary\":true,\"retry_after_ms\":1500}"},
    {error_for_good, &no_ref,
     "{\"type\":\"error\",\"code\":\"bad_id\",\"detail\":\"this is not the id of a message\","
     "\"temporary\":false}"},
    {joined, &plain,
     "{\"type\":\"joined\",\"ref\":\"r1\",\"room\":\"lobby\",\"epoch\":\"k3f90abc\",\"seq\":1052,"
     "\"id\":\"" ID_A "\",\"recovered\":true,\"replayed\":3,\"members\":12,"
     "\"right\":\"write\"}"},
    {joined_read, &no_ref,
     "{\"type\":\"joined\",\"room\":\"lobby\",\"epoch\":\"k3f90abc\",\"seq\":1052,"
     "\"id\":\"" ID_A "\",\"recovered\":false,\"replayed\":0,\"members\":1,"
     "\"right\":\"read\",\"read\":\"k3f90abc-7\"}"},
    {left, &plain, "{\"type\":\"left\",\"ref\":\"r1\",\"room\":\"lobby\"}"},
    {left_put_out, &no_ref,
     "{\"type\":\"left\",\"room\":\"lobby\",\"code\":\"forbidden\",\"detail\":\"your rights in "
     "this room do not go so far\"}"},
    {history_start, &plain,
     "{\"type\":\"history\",\"ref\":\"r1\",\"room\":\"lobby\",\"messages\":["},
    {history_stop, &plain, "],\"more\":true}"},
    {members, &plain,
     "{\"type\":\"members\",\"ref\":\"r1\",\"room\":\"lobby\",\"count\":500,\"members\":["
     "{\"username\":\"ann\",\"user\":\"bob\",\"since\":1},{\"username\":\"bob\",\"since\":2}]}"},
    {members_none, &no_ref, "{\"type\":\"members\",\"room\":\"lobby\",\"count\":0,\"members\":[]}"},
    {typing, &plain, "{\"type\":\"typing\",\"room\":\"lobby\",\"username\":\"ann\",\"on\":true}"},
    {presence, &plain,
     "{\"type\":\"presence\",\"room\":\"lobby\",\"event\":\"join\",\"username\":\"ann\","
     "\"count\":3}"},
    {presence_many, &plain,
     "{\"type\":\"presence\",\"room\":\"lobby\",\"event\":\"leave\",\"username\":\"bob\","
     "\"joined\":[],\"left\":[\"ann\",\"bob\"],\"count\":60}"},
    {presence_count, &plain, "{\"type\":\"presence\",\"room\":\"lobby\",\"count\":501}"},
    {edit, &plain,
     "{\"type\":\"edit\",\"room\":\"lobby\"," EVENT_IDS
     "\"username\":\"ann\",\"user\":\"bob\",\"message\":\"ann\"}"},
    {delete, &plain, "{\"type\":\"delete\",\"room\":\"lobby\"," EVENT_IDS "\"username\":\"ann\"}"},
    {react, &plain,
     "{\"type\":\"react\",\"room\":\"lobby\"," EVENT_IDS
     "\"username\":\"ann\",\"user\":\"bob\",\"emoji\":\"ann\"}"},
    {unreact, &plain,
     "{\"type\":\"unreact\",\"room\":\"lobby\"," EVENT_IDS
     "\"username\":\"ann\",\"emoji\":\"ann\"}"},
    {gap, &plain,
     "{\"type\":\"gap\",\"room\":\"lobby\",\"from\":1053,\"to\":2000,\"next\":\"" ID_A "\"}"},
    {notice, &plain,
     "{\"type\":\"notice\",\"room\":\"lobby\",\"code\":\"ann\",\"detail\":\"bob\"}"},
    {notice_to_all, &plain, "{\"type\":\"notice\",\"code\":\"ann\",\"detail\":\"bob\"}"},
    {bye, &plain, "{\"type\":\"bye\",\"code\":1012,\"retry_after_ms\":4200}"},
};

static void test_encode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sent) / sizeof(*sent); i++)
        encode_check(sent[i].encode, sent[i].texts, slice_of(sent[i].want));
}

static json_t *decode(struct slice json)
{
    json_t *root = json_loadb(json.ptr, json.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    if (!root) fail_msg("jansson refuses %.*s", (int)json.len, json.ptr);
    return root;
}

/* Puts the texts of `now` in the places of those of `plain`. */
static json_t *filled(json_t *value, const struct texts *now)
{
    const struct slice from[] = {plain.room, plain.name, plain.other};
    const struct slice to[] = {now->room, now->name, now->other};
    json_t *copy = json_deep_copy(value);
    json_t *child;
    const char *key;
    size_t index;
    for (size_t i = 0; json_is_string(value) && i < sizeof(from) / sizeof(*from); i++) {
        if (!slice_is(from[i], json_string_value(value))) continue;
        json_decref(copy);
        return json_stringn(to[i].ptr, to[i].len);
    }
    json_object_foreach(value, key, child)
    {
        json_object_set_new(copy, key, filled(child, now));
    }
    json_array_foreach(value, index, child)
    {
        json_array_set_new(copy, index, filled(child, now));
    }
    return copy;
}

static void check_hostile(const struct sent *s, const struct texts *texts)
{
    struct buf out = {0};
    struct texts now = *texts;
    now.ref = s->texts->ref;
    assert_int_equal(s->encode(&now, &out, NO_LIMIT), 0);
    json_t *got = decode((struct slice){(char *)out.data, out.len});
    json_t *was = decode(slice_of(s->want));
    json_t *want = filled(was, &now);
    assert_non_null(want);
    if (!json_equal(got, want)) fail_msg("%.*s", (int)out.len, (char *)out.data);
    json_decref(got);
    json_decref(was);
    json_decref(want);
    buf_fini(&out);
}

static void test_encode_oracle(void **state)
{
    (void)state;
    const struct texts hostile[] = {
        {.room = SLICE_LIT("a\"b\\c/\\\""), .name = SLICE_LIT("\""), .other = SLICE_LIT("\\")},
        {.room = SLICE_LIT("\x01\x02\x03\x04\x05\x06\x07\b\t\n\x0b\f\r\x0e\x0f\x10"),
         .name = SLICE_LIT("\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f"),
         .other = SLICE_LIT("\0")},
        {.room = SLICE_LIT("\0\0x\0"), .name = SLICE_LIT("\0"), .other = SLICE_LIT("x\0")},
        {.room = SLICE_LIT("\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"),
         .name = SLICE_LIT("\xc2\x80\xe2\x80\xa8\xef\xbf\xbf"),
         .other = SLICE_LIT("\xf0\x90\x80\x80\"")},
    };
    for (size_t i = 0; i < sizeof(sent) / sizeof(*sent); i++) {
        if (sent[i].encode == history_start || sent[i].encode == history_stop) continue;
        for (size_t k = 0; k < sizeof(hostile) / sizeof(*hostile); k++)
            check_hostile(&sent[i], &hostile[k]);
    }
}

/* A page of history is put together out of three encoders. */
static void test_history_page(void **state)
{
    (void)state;
    struct buf out = {0};
    struct slice room = SLICE_LIT("a\"b");
    assert_int_equal(rich_begin_history(SLICE_LIT("17"), room, &out, NO_LIMIT), 0);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct envelope_message m = {.room = room,
                                     .username = SLICE_LIT("ann"),
                                     .message = SLICE_LIT("]}"),
                                     .id = TARGET_ID,
                                     .reply_to = seq - 1};
        m.id.seq = seq;
        if (seq > 1) assert_int_equal(buf_append(&out, ",", 1, NO_LIMIT), 0);
        assert_int_equal(envelope_encode_full(&m, &out, NO_LIMIT), 0);
    }
    assert_int_equal(rich_end_history(false, &out, NO_LIMIT), 0);
    json_t *page = decode((struct slice){(char *)out.data, out.len});
    json_t *messages = json_object_get(page, "messages");
    assert_int_equal(json_integer_value(json_object_get(page, "ref")), 17);
    assert_true(json_is_false(json_object_get(page, "more")));
    assert_int_equal(json_array_size(messages), 3);
    json_t *last = json_array_get(messages, 2);
    assert_string_equal(json_string_value(json_object_get(last, "id")), "k3f90abc-3");
    assert_string_equal(json_string_value(json_object_get(last, "reply_to")), "k3f90abc-2");
    json_decref(page);
    buf_fini(&out);
}

/* Every error can be told, and is called temporary iff its close code says to come back. */
static void test_errors(void **state)
{
    (void)state;
    for (int err = -1; err > -(int)ERR_COUNT; err--) {
        struct buf out = {0};
        const struct err_info *info = err_info(err);
        unsigned code = info->close_code;
        assert_int_equal(rich_encode_error(SLICE_LIT("-1"), err, 0, &out, NO_LIMIT), 0);
        json_t *got = decode((struct slice){(char *)out.data, out.len});
        bool temporary = code / 100 == 41 || code / 100 == 42 || code == 1012 || code == 1013;
        json_t *want = json_pack("{s:s,s:i,s:s,s:s,s:b}", "type", "error", "ref", -1, "code",
                                 info->word, "detail", info->text, "temporary", temporary);
        assert_true(json_equal(got, want));
        json_decref(got);
        json_decref(want);
        buf_fini(&out);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    struct buf out = {0};
    static const uint32_t pings_ms[][2] = {{0, 0},    {1, 1},    {999, 1},
                                           {1000, 1}, {1001, 2}, {UINT32_MAX, 4294968}};
    for (size_t i = 0; i < sizeof(pings_ms) / sizeof(*pings_ms); i++) {
        const struct rich_welcome w = {.ping_ms = pings_ms[i][0]};
        out.len = 0;
        assert_int_equal(rich_encode_welcome(&w, &out, NO_LIMIT), 0);
        json_t *got = decode((struct slice){(char *)out.data, out.len});
        assert_int_equal(json_integer_value(json_object_get(got, "ping_s")), pings_ms[i][1]);
        json_decref(got);
    }
    const struct rich_joined j = {.head = {.epoch = {'0', '0', '0', '0', '0', '0', '0', '0'}},
                                  .replayed = INT64_MAX};
    out.len = 0;
    assert_int_equal(rich_encode_joined(&j, &out, NO_LIMIT), 0);
    json_t *got = decode((struct slice){(char *)out.data, out.len});
    assert_string_equal(json_string_value(json_object_get(got, "id")), "00000000-0");
    assert_int_equal(json_integer_value(json_object_get(got, "replayed")), INT64_MAX);
    assert_true(json_is_false(json_object_get(got, "recovered")));
    json_decref(got);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),       cmocka_unit_test(test_encode_oracle),
        cmocka_unit_test(test_history_page), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
