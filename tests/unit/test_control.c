/* auth/act and auth/control: what can be decided, and what all of it amounts to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/act.h"
#include "auth/control.h"
#include "auth/identity.h"
#include "auth/jwk.h"
#include "auth/jwt.h"
#include "base/err.h"
#include "fail_alloc.h"
#include "token_maker.h"

static const struct slice lobby = SLICE_LIT("lobby");
static const struct slice ann = SLICE_LIT("ann");

/* ---- reading an act ---- */

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum act_kind kind;
        const char *room;
        const char *subject;
    } good[] = {
        {"{\"act\":\"revoke\",\"user\":\"ann\"}", ACT_REVOKE_USER, "", "ann"},
        {"{\"act\":\"revoke\",\"user\":\"guest:1\"}", ACT_REVOKE_USER, "", "guest:1"},
        {"{\"session\":\"s 1\",\"act\":\"revoke\"}", ACT_REVOKE_SESSION, "", "s 1"},
        {" {\"act\":\"revoke\",\"token\":\"j\",\"reason\":\"lost\"} ", ACT_REVOKE_TOKEN, "", "j"},
        {"{\"act\":\"grant\",\"room\":\"lobby\",\"user\":\"ann\",\"right\":\"own\"}", ACT_GRANT,
         "lobby", "ann"},
        {"{\"act\":\"grant\",\"room\":\"lobby\",\"user\":\"ann\",\"right\":null}", ACT_GRANT,
         "lobby", "ann"},
        {"{\"act\":\"set\",\"room\":\"lobby\",\"access_guests\":\"none\"}", ACT_SET, "lobby", ""},
        {"{\"act\":\"set\",\"room\":\"lobby\",\"access_guests\":\"write\","
         "\"access_signed_in\":\"own\"}",
         ACT_SET, "lobby", ""},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct act a;
        const char *why;
        assert_int_equal(act_read(slice_of(good[i].json), &a, &why), 0);
        assert_int_equal(a.kind, good[i].kind);
        assert_true(slice_is(a.room, good[i].room));
        assert_true(slice_is(a.subject, good[i].subject));
        act_fini(&a);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"act\":\"ban\",\"user\":\"ann\"}",
        "{\"act\":1,\"user\":\"ann\"}",
        "{\"act\":\"revoke\"}",
        "{\"act\":\"revoke\",\"user\":\"\"}",
        "{\"act\":\"revoke\",\"user\":7}",
        "{\"act\":\"revoke\",\"user\":\"a\\nb\"}",
        "{\"act\":\"revoke\",\"user\":\"a\\u0000b\"}",
        "{\"act\":\"revoke\",\"user\":\"a\",\"session\":\"b\"}",
        "{\"act\":\"revoke\",\"user\":\"a\",\"user\":\"b\"}",
        "{\"act\":\"revoke\",\"user\":\"a\",\"room\":\"lobby\"}",
        "{\"act\":\"revoke\",\"user\":\"a\",\"reason\":7}",
        "{\"act\":\"revoke\",\"user\":\"a\"}x",
        "{\"act\":\"grant\",\"user\":\"ann\",\"right\":\"own\"}",
        "{\"act\":\"grant\",\"room\":\"a/b\",\"user\":\"ann\",\"right\":\"own\"}",
        "{\"act\":\"grant\",\"room\":\"lobby\",\"right\":\"own\"}",
        "{\"act\":\"grant\",\"room\":\"lobby\",\"user\":\"ann\"}",
        "{\"act\":\"grant\",\"room\":\"lobby\",\"user\":\"ann\",\"right\":\"owner\"}",
        "{\"act\":\"grant\",\"room\":\"lobby\",\"user\":\"ann\",\"right\":true}",
        "{\"act\":\"set\",\"room\":\"lobby\"}",
        "{\"act\":\"set\",\"access_guests\":\"none\"}",
        "{\"act\":\"set\",\"room\":\"lobby\",\"access_guests\":\"moderate\"}",
        "{\"act\":\"set\",\"room\":\"lobby\",\"access-guests\":\"none\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct act a;
        const char *why = NULL;
        int err = act_read(slice_of(bad[i]), &a, &why);
        if (err != ERR_BAD_JSON && err != ERR_BAD_FIELD) fail_msg("%s: %d", bad[i], err);
        assert_non_null(why);
    }
    char *large = calloc(1, ACT_BYTES_MAX + 2);
    struct act a;
    const char *why;
    memset(large, ' ', ACT_BYTES_MAX + 1);
    memcpy(large, "{\"act\":\"revoke\",\"user\":\"ann\"}", 29);
    assert_int_equal(act_read((struct slice){large, ACT_BYTES_MAX + 1}, &a, &why), ERR_BAD_JSON);
    assert_int_equal(act_read((struct slice){large, ACT_BYTES_MAX}, &a, &why), 0);
    act_fini(&a);
    free(large);
}

/* ---- what they amount to ---- */

static void decide(struct control *c, const char *json, int64_t ts_ms)
{
    struct act a;
    const char *why;
    if (act_read(slice_of(json), &a, &why) != 0) fail_msg("%s: %s", json, why);
    assert_int_equal(control_reserve(c, &a), 0);
    control_apply(c, &a, ts_ms);
    act_fini(&a);
}

/* Somebody who is signed in by a real token with these claims too. */
static struct identity *signed_in(const char *more)
{
    static const struct slice secret = SLICE_LIT("0123456789abcdef0123456789abcdef");
    const struct token_signer signer = {.hash = "SHA256", .secret = secret};
    const struct jwt_rules rules = {.max_age_s = 36000};
    char payload[256];
    const char *why;
    struct jwk_set *keys;
    struct claims *claims;
    int len = snprintf(payload, sizeof payload, "{\"sub\":\"ann\",\"exp\":20000%s}", more);
    char *token = token_make(&signer, "{\"alg\":\"HS256\"}", (struct slice){payload, (size_t)len});
    assert_int_equal(jwk_set_from_secret(secret, &keys, &why), 0);
    assert_int_equal(jwt_verify(keys, &rules, slice_of(token), 10000000, &claims), JWT_OK);
    struct identity *i;
    assert_int_equal(identity_new_token(claims, &i), 0);
    jwk_set_unref(keys);
    free(token);
    return i;
}

static void expect_revoked(struct control *c, const char *more, bool want)
{
    struct identity *i = signed_in(more);
    if (control_is_revoked(c, i) != want) fail_msg("{%s} %d", more, !want);
    identity_unref(i);
}

/* "a token with an `iat` up to that second, or none, is revoked" */
static void test_revoked(void **state)
{
    (void)state;
    struct control *c = control_new();
    assert_non_null(c);
    expect_revoked(c, "", false);
    decide(c, "{\"act\":\"revoke\",\"user\":\"bob\"}", 9000999);
    decide(c, "{\"act\":\"revoke\",\"session\":\"ann\"}", 9000999);
    decide(c, "{\"act\":\"revoke\",\"token\":\"ann\"}", 9000999);
    expect_revoked(c, ",\"iat\":8000,\"jti\":\"j\",\"sid\":\"s\"", false);
    decide(c, "{\"act\":\"revoke\",\"user\":\"ann\"}", 9000999);
    expect_revoked(c, "", true);
    expect_revoked(c, ",\"iat\":8999", true);
    expect_revoked(c, ",\"iat\":9000", true);
    expect_revoked(c, ",\"iat\":9000.9", true);
    expect_revoked(c, ",\"iat\":9001", false);
    decide(c, "{\"act\":\"revoke\",\"user\":\"ann\"}", 8000000); /* does not go back */
    expect_revoked(c, ",\"iat\":9000", true);
    assert_false(control_is_revoked(c, &identity_nobody));
    assert_false(control_is_revoked(c, &identity_api));
    control_free(c);
}

static void test_revoked_part(void **state)
{
    (void)state;
    struct control *c = control_new();
    decide(c, "{\"act\":\"revoke\",\"session\":\"phone\"}", 9000000);
    decide(c, "{\"act\":\"revoke\",\"token\":\"j1\"}", 9000000);
    expect_revoked(c, ",\"iat\":8000,\"sid\":\"phone\"", true);
    expect_revoked(c, ",\"sid\":\"phone\"", true);
    expect_revoked(c, ",\"iat\":8000,\"sid\":\"laptop\"", false);
    expect_revoked(c, ",\"iat\":8000,\"jti\":\"j1\"", true);
    expect_revoked(c, ",\"iat\":8000,\"jti\":\"phone\"", false);
    expect_revoked(c, ",\"iat\":8000", false);
    control_free(c);
}

static void test_roles(void **state)
{
    (void)state;
    struct control *c = control_new();
    enum right right = RIGHT_OWN;
    assert_false(control_role(c, lobby, ann, &right));
    decide(c, "{\"act\":\"grant\",\"room\":\"lobby\",\"user\":\"ann\",\"right\":\"moderate\"}", 1);
    assert_true(control_role(c, lobby, ann, &right));
    assert_int_equal(right, RIGHT_MODERATE);
    assert_false(control_role(c, SLICE_LIT("lobb"), ann, &right));
    assert_false(control_role(c, SLICE_LIT("lobb"), SLICE_LIT("yann"), &right));
    assert_false(control_role(c, lobby, SLICE_LIT("bob"), &right));
    assert_false(control_role(c, lobby, (struct slice){NULL, 0}, &right));
    decide(c, "{\"act\":\"grant\",\"room\":\"lobby\",\"user\":\"ann\",\"right\":\"none\"}", 2);
    assert_true(control_role(c, lobby, ann, &right));
    assert_int_equal(right, RIGHT_NONE);
    decide(c, "{\"act\":\"grant\",\"room\":\"lobby\",\"user\":\"ann\",\"right\":null}", 3);
    assert_false(control_role(c, lobby, ann, &right));
    control_free(c);
}

static enum right guests_in(struct control *c, struct slice room, enum right signed_in_is)
{
    struct room_settings s = {
        .access = {{SLICE_LIT("*"), RIGHT_READ}, {SLICE_LIT("*"), RIGHT_READ}}};
    control_settings(c, room, &s);
    assert_int_equal(s.access[ROOM_ACCESS_SIGNED_IN].right, signed_in_is);
    return s.access[ROOM_ACCESS_GUESTS].right;
}

/* What is left out stays as it was set before; null is as configured. */
static void test_settings(void **state)
{
    (void)state;
    struct control *c = control_new();
    assert_int_equal(guests_in(c, lobby, RIGHT_READ), RIGHT_READ);
    decide(c, "{\"act\":\"set\",\"room\":\"lobby\",\"access_guests\":\"none\"}", 1);
    assert_int_equal(guests_in(c, lobby, RIGHT_READ), RIGHT_NONE);
    assert_int_equal(guests_in(c, ann, RIGHT_READ), RIGHT_READ);
    decide(c, "{\"act\":\"set\",\"room\":\"lobby\",\"access_signed_in\":\"write\"}", 2);
    assert_int_equal(guests_in(c, lobby, RIGHT_WRITE), RIGHT_NONE);
    decide(c, "{\"act\":\"set\",\"room\":\"lobby\",\"access_guests\":null}", 3);
    assert_int_equal(guests_in(c, lobby, RIGHT_WRITE), RIGHT_READ);
    decide(c, "{\"act\":\"set\",\"room\":\"lobby\",\"access_signed_in\":null}", 4);
    assert_int_equal(guests_in(c, lobby, RIGHT_READ), RIGHT_READ);
    control_free(c);
}

/* What was reserved and came to nothing changes nothing; with two on their way each counts. */
static void test_given_up(void **state)
{
    (void)state;
    struct control *c = control_new();
    struct act a;
    const char *why;
    enum right right;
    assert_int_equal(act_read(SLICE_LIT("{\"act\":\"grant\",\"room\":\"lobby\",\"user\":\"ann\","
                                        "\"right\":\"own\"}"),
                              &a, &why),
                     0);
    assert_int_equal(control_reserve(c, &a), 0);
    assert_int_equal(control_reserve(c, &a), 0);
    assert_false(control_role(c, lobby, ann, &right));
    control_give_up(c, &a);
    assert_false(control_role(c, lobby, ann, &right));
    control_apply(c, &a, 1);
    assert_true(control_role(c, lobby, ann, &right));
    act_fini(&a);
    control_free(c);
}

/* Wherever memory is short, what is committed later cannot fail for it. */
static void test_memory(void **state)
{
    (void)state;
    static const struct slice json =
        SLICE_LIT("{\"act\":\"set\",\"room\":\"lobby\",\"access_guests\":\"none\"}");
    bool done = false;
    for (long n = 0; !done; n++) {
        struct act a;
        const char *why;
        fail_alloc_after(n);
        struct control *c = control_new();
        int err = act_read(json, &a, &why);
        int reserved = c && !err ? control_reserve(c, &a) : ERR_NOMEM;
        fail_alloc_off();
        assert_true(err == 0 || err == ERR_NOMEM);
        done = reserved == 0;
        if (done) {
            fail_alloc_after(0);
            control_apply(c, &a, 1);
            fail_alloc_off();
            assert_int_equal(guests_in(c, lobby, RIGHT_READ), RIGHT_NONE);
        }
        if (!err) act_fini(&a);
        control_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_revoked),  cmocka_unit_test(test_revoked_part),
        cmocka_unit_test(test_roles),    cmocka_unit_test(test_settings),
        cmocka_unit_test(test_given_up), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
