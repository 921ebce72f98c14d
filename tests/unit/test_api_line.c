/* Lines of an export: what is written is read as the same event, and what is wrong is refused with
 * a word about what it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_line.h"
#include "base/err.h"
#include "fail_alloc.h"

static struct buf out;
static struct buf scratch;

static int free_bufs(void **state)
{
    (void)state;
    buf_fini(&out);
    buf_fini(&scratch);
    return 0;
}

/* Parses out of a block of exactly its size. */
static const char *parse(const void *text, size_t len, char **copy, struct api_line *line)
{
    *copy = malloc(len ? len : 1);
    assert_non_null(*copy);
    memcpy(*copy, text, len);
    return api_line_parse((struct slice){*copy, len}, &scratch, line);
}

static void same(struct slice a, struct slice b)
{
    assert_true(!a.ptr == !b.ptr);
    assert_int_equal(a.len, b.len);
    if (a.len) assert_memory_equal(a.ptr, b.ptr, a.len);
}

static void round_trip(const struct store_event *e)
{
    struct api_line line;
    char *copy;
    out.len = 0;
    assert_int_equal(api_line_put_event(e, &out), 0);
    assert_int_equal(out.data[out.len - 1], '\n');
    assert_null(memchr(out.data, '\n', out.len - 1)); /* one line, whatever is in it */
    const char *why = parse(out.data, out.len - 1, &copy, &line);
    if (why) fail_msg("%s: %.*s", why, (int)out.len, (char *)out.data);
    assert_int_equal(line.type, API_LINE_EVENT);
    const struct store_event *got = &line.event;
    assert_true(got->seq == e->seq && got->ts_ms == e->ts_ms && got->kind == e->kind);
    assert_true(got->target == e->target && got->reply_to == e->reply_to);
    assert_true(got->edited_ms == e->edited_ms && got->deleted == e->deleted);
    same(got->username, e->username);
    same(got->user, e->user);
    same(got->message, e->message);
    same(got->data, e->data);
    same(got->nonce, e->nonce);
    free(copy);
}

static void test_events(void **state)
{
    (void)state;
    static const char text[] =
        "\x01 \n\r\t \"quoted\\\" \x7f \xc3\xa9 \xe2\x80\xa8 \xf0\x9f\x8e\x89";
    const struct slice all = {text, sizeof text}; /* with its NUL */
    const struct store_event events[] = {
        {.seq = 1, .username = SLICE_LIT("u"), .message = SLICE_LIT("m")},
        {.seq = STORE_SEQ_MAX, .ts_ms = 1790000000123, .username = SLICE_LIT("u"), .message = all},
        {.seq = 2, .ts_ms = -5, .username = SLICE_LIT("u"), .message = SLICE_LIT("")},
        {.seq = 3,
         .username = all,
         .user = SLICE_LIT("id"),
         .message = SLICE_LIT("m"),
         .data = SLICE_LIT("{\"a\":\n[1.10, 1e999]}"),
         .nonce = SLICE_LIT("n"),
         .reply_to = 1,
         .edited_ms = 7},
        {.seq = 4, .username = SLICE_LIT("u"), .user = SLICE_LIT(""), .deleted = true},
        {.seq = 5,
         .kind = STORE_EDIT,
         .target = 3,
         .username = SLICE_LIT("system"),
         .message = all},
        {.seq = 6, .kind = STORE_EDIT, .target = 4, .username = SLICE_LIT("u")},
        {.seq = 7, .kind = STORE_DELETE, .target = 4, .username = SLICE_LIT("u")},
        {.seq = 8,
         .kind = STORE_REACT,
         .target = 3,
         .username = SLICE_LIT("u"),
         .message = SLICE_LIT("+1")},
        {.seq = 9,
         .kind = STORE_UNREACT,
         .target = 3,
         .username = SLICE_LIT("u"),
         .message = SLICE_LIT("+1")},
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        round_trip(&events[i]);
}

static void test_room_and_end(void **state)
{
    (void)state;
    struct api_line line;
    char *copy;
    out.len = 0;
    assert_int_equal(api_line_put_room(SLICE_LIT("a \"b\" \xc3\xa9"), "k3f9d2a7", &out), 0);
    assert_null(parse(out.data, out.len - 1, &copy, &line));
    assert_int_equal(line.type, API_LINE_ROOM);
    same(line.room, SLICE_LIT("a \"b\" \xc3\xa9"));
    assert_memory_equal(line.epoch, "k3f9d2a7", EVENT_EPOCH_LEN);
    free(copy);
    out.len = 0;
    assert_int_equal(api_line_put_end(1234567, &out), 0);
    assert_null(parse(out.data, out.len - 1, &copy, &line));
    assert_int_equal(line.type, API_LINE_END);
    assert_true(line.events == 1234567);
    free(copy);
}

#define EVENT(rest) "{\"type\":\"event\",\"seq\":5,\"ts\":1," rest "}"
#define MESSAGE "\"kind\":\"message\",\"username\":\"u\""

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *why;
    } table[] = {
        {"", "JSON"},
        {"[]", "JSON"},
        {"{}", "type"},
        {"{\"type\":7}", "type"},
        {"{\"type\":\"rooms\"}", "type"},
        {"{\"type\":\"end\"}", "events"},
        {"{\"type\":\"end\",\"events\":-1}", "events"},
        {"{\"type\":\"end\",\"events\":1.5}", "events"},
        {"{\"type\":\"end\",\"events\":\"1\"}", "events"},
        {"{\"type\":\"room\",\"epoch\":\"abcdefgh\"}", "room"},
        {"{\"type\":\"room\",\"room\":\"\",\"epoch\":\"abcdefgh\"}", "room"},
        {"{\"type\":\"room\",\"room\":\"a/b\",\"epoch\":\"abcdefgh\"}", "room"},
        {"{\"type\":\"room\",\"room\":\"..\",\"epoch\":\"abcdefgh\"}", "room"},
        {"{\"type\":\"room\",\"room\":\"a\"}", "epoch"},
        {"{\"type\":\"room\",\"room\":\"a\",\"epoch\":\"abcdefg\"}", "epoch"},
        {"{\"type\":\"room\",\"room\":\"a\",\"epoch\":\"abcdef-1\"}", "epoch"},
        {"{\"type\":\"event\"}", "kind"},
        {EVENT("\"kind\":0"), "kind"},
        {EVENT("\"kind\":\"Message\""), "kind"},
        {"{\"type\":\"event\"," MESSAGE ",\"message\":\"m\",\"ts\":1}", "seq"},
        {"{\"type\":\"event\"," MESSAGE ",\"message\":\"m\",\"ts\":1,\"seq\":0}", "seq"},
        {"{\"type\":\"event\"," MESSAGE ",\"message\":\"m\",\"ts\":1,\"seq\":9007199254740992}",
         "seq"},
        {"{\"type\":\"event\"," MESSAGE
         ",\"message\":\"m\",\"ts\":1,\"seq\":99999999999999999999999}",
         "seq"},
        {"{\"type\":\"event\"," MESSAGE ",\"message\":\"m\",\"seq\":1}", "ts"},
        {"{\"type\":\"event\"," MESSAGE ",\"message\":\"m\",\"seq\":1,\"ts\":\"x\"}", "ts"},
        {"{\"type\":\"event\"," MESSAGE ",\"message\":\"m\",\"seq\":1,\"ts\":1e3}", "ts"},
        {EVENT("\"kind\":\"message\",\"message\":\"m\""), "username"},
        {EVENT("\"kind\":\"message\",\"message\":\"m\",\"username\":\"\""), "username"},
        {EVENT(MESSAGE), "text"},
        {EVENT(MESSAGE ",\"message\":7"), "message"},
        {EVENT(MESSAGE ",\"message\":null"), "message"},
        {EVENT(MESSAGE ",\"message\":\"m\",\"deleted\":true"), "text"},
        {EVENT(MESSAGE ",\"data\":\"1\",\"deleted\":true"), "text"},
        {EVENT(MESSAGE ",\"message\":\"m\",\"deleted\":false"), "deleted"},
        {EVENT(MESSAGE ",\"message\":\"m\",\"target\":1"), "target"},
        {EVENT(MESSAGE ",\"message\":\"m\",\"reply_to\":-1"), "reply_to"},
        {EVENT(MESSAGE ",\"message\":\"m\",\"data\":{}"), "data"},
        {EVENT(MESSAGE ",\"message\":\"m\",\"data\":\"\""), "data"},
        {EVENT(MESSAGE ",\"message\":\"m\",\"data\":\"1 2\""), "data"},
        {EVENT(MESSAGE ",\"message\":\"m\",\"data\":\"{\\\"a\\\"}\""), "data"},
        {EVENT("\"kind\":\"edit\",\"username\":\"u\",\"message\":\"m\""), "target"},
        {EVENT("\"kind\":\"delete\",\"username\":\"u\",\"target\":1,\"deleted\":true"), "change"},
        {EVENT("\"kind\":\"edit\",\"username\":\"u\",\"target\":1,\"edited\":1"), "change"},
        {EVENT("\"kind\":\"react\",\"username\":\"u\",\"target\":1"), "reaction"},
        {EVENT("\"kind\":\"react\",\"username\":\"u\",\"target\":1,\"message\":\"a b\""),
         "reaction"},
        {EVENT(MESSAGE ",\"message\":\"\xff\""), "UTF-8"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct api_line line;
        char *copy;
        const char *why = parse(table[i].line, strlen(table[i].line), &copy, &line);
        if (!why) fail_msg("accepted: %s", table[i].line);
        if (!strstr(why, table[i].why)) fail_msg("\"%s\" for %s", why, table[i].line);
        free(copy);
    }
}

/* A line that is cut anywhere is no line. */
static void test_cut(void **state)
{
    (void)state;
    static const char text[] = EVENT(MESSAGE ",\"message\":\"a\\u0000b\",\"data\":\"[1]\"");
    for (size_t len = 0; len + 1 < sizeof text; len++) {
        struct api_line line;
        char *copy;
        assert_non_null(parse(text, len, &copy, &line));
        free(copy);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    const struct store_event e = {.seq = 1,
                                  .username = SLICE_LIT("u"),
                                  .message = SLICE_LIT("a\nb"),
                                  .data = SLICE_LIT("[]")};
    for (long n = 0; n < 3; n++) {
        struct buf b = {0};
        fail_alloc_after(n);
        int err = api_line_put_event(&e, &b);
        fail_alloc_off();
        assert_true(err == ERR_NOMEM ? b.len == 0 : err == 0);
        assert_true(n > 0 || err == ERR_NOMEM);
        buf_fini(&b);
    }
    static const char text[] = EVENT(MESSAGE ",\"message\":\"a\\n\"");
    struct buf none = {0};
    struct api_line line;
    fail_alloc_after(0);
    const char *why = api_line_parse(SLICE_LIT(text), &none, &line);
    fail_alloc_off();
    assert_non_null(why);
    buf_fini(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),    cmocka_unit_test(test_room_and_end),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_cut),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, free_bufs);
}
