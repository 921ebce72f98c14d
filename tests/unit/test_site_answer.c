/* auth/site_answer: whom a site's answer names, what it may not say, and that of its rights only
 * those in the room are kept that was asked about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/pattern.h"
#include "auth/site_answer.h"
#include "base/err.h"
#include "fail_alloc.h"

static const uint64_t NOW_MS = 1700000000000;
static const struct slice none = {NULL, 0};

static struct claims *read_in(const char *json, struct slice room)
{
    struct claims *c;
    const char *why;
    int err = site_answer_read(slice_of(json), room, NOW_MS, &c, &why);
    if (err) fail_msg("%s: %d %s", json, err, why);
    return c;
}

static void test_user(void **state)
{
    (void)state;
    struct claims *c = read_in("{\"user\":\"42\"}", none);
    assert_true(slice_is(c->user, "42"));
    assert_int_equal(c->name.len + c->sid.len + c->jti.len, 0);
    assert_true(c->expires_ms == UINT64_MAX);
    assert_false(c->has_rooms);
    claims_free(c);
    c = read_in(" {\"user\":\"42\",\"username\":\"\xc3\x84nn\",\"session\":\"s1\",\"more\":[{}],"
                "\"expires\":1700000000.5,\"rights\":{\"lobby\":\"write\",\"team-*\":\"own\"}}\n",
                none);
    assert_true(slice_is(c->name, "\xc3\x84nn"));
    assert_true(slice_is(c->sid, "s1"));
    assert_true(c->expires_ms == NOW_MS + 500);
    assert_true(c->has_rooms);
    assert_int_equal(c->room_count, 2);
    assert_int_equal(pattern_best(c->rooms, 2, SLICE_LIT("team-a"))->right, RIGHT_OWN);
    claims_free(c);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        /* answer, a word of why */
        {"", "JSON object"},
        {"null", "JSON object"},
        {"[]", "JSON object"},
        {"\"42\"", "JSON object"},
        {"{\"user\":\"42\"", "JSON object"},
        {"{\"user\":\"42\"}}", "JSON object"},
        {"{\"user\":\"1\",\"user\":\"2\"}", "JSON object"},
        {"<html>{\"user\":\"42\"}", "JSON object"},
        {"{}", "\"user\""},
        {"{\"user\":42}", "\"user\""},
        {"{\"user\":null}", "\"user\""},
        {"{\"user\":\"\"}", "\"user\""},
        {"{\"user\":\"a\\nb\"}", "\"user\""},
        {"{\"user\":\"guest:1\"}", "\"user\""},
        {"{\"user\":\"a\",\"username\":1}", "\"username\""},
        {"{\"user\":\"a\",\"username\":\"a\\u0085\"}", "\"username\""},
        {"{\"user\":\"a\",\"session\":{}}", "\"session\""},
        {"{\"user\":\"a\",\"expires\":\"1800000000\"}", "\"expires\""},
        {"{\"user\":\"a\",\"expires\":null}", "\"expires\""},
        {"{\"user\":\"a\",\"expires\":-1}", "\"expires\""},
        {"{\"user\":\"a\",\"expires\":1e300}", "\"expires\""},
        {"{\"user\":\"a\",\"expires\":1700000000}", "past"},
        {"{\"user\":\"a\",\"rights\":null}", "\"rights\""},
        {"{\"user\":\"a\",\"rights\":\"write\"}", "\"rights\""},
        {"{\"user\":\"a\",\"rights\":{\"lobby\":\"Write\"}}", "\"rights\""},
        {"{\"user\":\"a\",\"rights\":{\"lobby\":1}}", "\"rights\""},
        {"{\"user\":\"a\",\"rights\":{\"a/b\":\"read\"}}", "\"rights\""},
        {"{\"user\":\"a\",\"rights\":{\"\":\"read\"}}", "\"rights\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct claims *c = (struct claims *)(uintptr_t)1;
        const char *why = NULL;
        int err = site_answer_read(slice_of(rows[i][0]), none, NOW_MS, &c, &why);
        if (err != ERR_BAD_JSON || c || !strstr(why, rows[i][1]))
            fail_msg("%s: %d %s", rows[i][0], err, why ? why : "");
    }
}

static void test_lengths(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        char json[512];
        struct claims *c;
        const char *why;
        snprintf(json, sizeof json, "{\"user\":\"%0*d\"}", CLAIMS_USER_MAX + over, 1);
        int err = site_answer_read(slice_of(json), none, NOW_MS, &c, &why);
        assert_int_equal(err, over ? ERR_BAD_JSON : 0);
        claims_free(c);
    }
}

/* Of what a site says when it was asked about one room, nothing holds for another. */
static void test_one_room(void **state)
{
    (void)state;
    static const char json[] =
        "{\"user\":\"a\",\"rights\":{\"lobby\":\"read\",\"team-*\":\"write\"}}";
    static const struct {
        const char *room;
        enum right right;
    } rows[] = {
        {"lobby", RIGHT_READ}, {"team-a", RIGHT_WRITE}, {"team-*", RIGHT_WRITE}, {"x", RIGHT_NONE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct claims *c = read_in(json, slice_of(rows[i].room));
        assert_int_equal(c->room_count, 1);
        assert_true(slice_is(c->rooms[0].pattern, rows[i].room));
        assert_int_equal(c->rooms[0].right, rows[i].right);
        claims_free(c);
    }
    struct claims *c = read_in("{\"user\":\"a\"}", SLICE_LIT("lobby"));
    assert_false(c->has_rooms);
    claims_free(c);
}

static void test_no_memory(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    for (long n = 0;; n++) {
        struct claims *c;
        const char *why;
        fail_alloc_after(n);
        int err = site_answer_read(SLICE_LIT("{\"user\":\"a\",\"username\":\"b\"}"), none, NOW_MS,
                                   &c, &why);
        fail_alloc_off();
        claims_free(c);
        assert_int_equal(fail_alloc_live(), live);
        if (!err) return;
        assert_int_equal(err, ERR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lengths),   cmocka_unit_test(test_one_room),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
