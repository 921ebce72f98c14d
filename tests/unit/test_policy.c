/* auth/identity and auth/policy: who somebody is, and what it may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/identity.h"
#include "auth/jwk.h"
#include "auth/jwt.h"
#include "auth/policy.h"
#include "auth/rights.h"
#include "auth/room_rules.h"
#include "base/err.h"
#include "fail_alloc.h"
#include "token_maker.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static const struct policy open_server = {.rules = NULL};
static const struct slice room = SLICE_LIT("lobby");
static const struct slice none = {NULL, 0};
static const struct author by_guest = {SLICE_LIT("guest:ann")};
static const struct author by_nobody = {{NULL, 0}}; /* a guest without a key */

/* Somebody who is signed in, by a real token with these claims too. */
static struct identity *signed_in_with(const char *user, const char *name, const char *more)
{
    static const struct slice secret = SLICE_LIT("0123456789abcdef0123456789abcdef");
    const struct token_signer signer = {.hash = "SHA256", .secret = secret};
    const struct jwt_rules rules = {.max_age_s = 3600};
    char payload[256];
    const char *why;
    struct jwk_set *keys;
    struct claims *claims;
    int len = snprintf(payload, sizeof payload, "{\"sub\":\"%s\",\"name\":\"%s\",\"exp\":2000%s}",
                       user, name, more);
    char *token = token_make(&signer, "{\"alg\":\"HS256\"}", (struct slice){payload, (size_t)len});
    assert_int_equal(jwk_set_from_secret(secret, &keys, &why), 0);
    const struct slice bytes = {token, strlen(token)};
    assert_int_equal(jwt_verify(keys, &rules, bytes, 1000000, &claims), JWT_OK);
    struct identity *i;
    assert_int_equal(identity_new_token(claims, &i), 0);
    jwk_set_unref(keys);
    free(token);
    return i;
}

/* What is said to somebody who has this right and wants to do that. */
static int refusal_of(enum right right, enum action action)
{
    if (right >= policy_right(action)) return 0;
    bool reads = right == RIGHT_READ && policy_right(action) == RIGHT_WRITE;
    return reads ? ERR_READ_ONLY : ERR_NO_RIGHT;
}

static void expect_name(const struct identity *i, const char *name)
{
    assert_true(slice_is(identity_name(i), name));
}

static void test_names(void **state)
{
    (void)state;
    struct identity *given = identity_new_guest(none, SLICE_LIT("ann"), none);
    struct identity *spoken =
        identity_new_guest(SLICE_LIT("guest:1"), SLICE_LIT("ann"), SLICE_LIT("bob"));
    expect_name(given, "ann");
    expect_name(spoken, "bob");
    assert_true(slice_is(identity_given(spoken), "ann"));
    assert_true(slice_is(identity_spoken(spoken), "bob"));
    assert_true(slice_is(identity_user(spoken), "guest:1"));
    expect_name(&identity_nobody, "");
    expect_name(&identity_api, "system");
    assert_null(identity_user(given).ptr);
    assert_true(identity_is_guest(spoken) && identity_is_guest(&identity_nobody));
    assert_false(identity_is_guest(&identity_api));
    identity_unref(given);
    identity_unref(spoken);
    fail_alloc_after(0);
    assert_null(identity_new_guest(none, SLICE_LIT("ann"), none));
    fail_alloc_off();
}

static void test_references(void **state)
{
    (void)state;
    struct identity *ann = identity_new_guest(none, SLICE_LIT("ann"), none);
    assert_ptr_equal(identity_ref(ann), ann);
    identity_unref(ann);
    expect_name(ann, "ann");
    identity_unref(ann);
    for (int i = 0; i < 3; i++) { /* these stay however often they are given back */
        identity_unref(&identity_nobody);
        assert_ptr_equal(identity_ref(&identity_api), &identity_api);
    }
    expect_name(&identity_api, "system");
}

static void test_actions_of_events(void **state)
{
    (void)state;
    assert_int_equal(policy_action(STORE_MESSAGE), ACTION_PUBLISH);
    assert_int_equal(policy_action(STORE_EDIT), ACTION_EDIT);
    assert_int_equal(policy_action(STORE_DELETE), ACTION_DELETE);
    assert_int_equal(policy_action(STORE_REACT), ACTION_REACT);
    assert_int_equal(policy_action(STORE_UNREACT), ACTION_REACT);
}

/* Who has said it may change it, and nobody else but the API; what a guest without a key has said
 * is nobody's, also not that of one with the same name. */
static void test_authors(void **state)
{
    (void)state;
    struct identity *ann = identity_new_guest(SLICE_LIT("guest:ann"), SLICE_LIT("ann"), none);
    struct identity *renamed = identity_new_guest(SLICE_LIT("guest:ann"), none, SLICE_LIT("bob"));
    struct identity *other = identity_new_guest(SLICE_LIT("guest:an"), SLICE_LIT("ann"), none);
    struct identity *keyless = identity_new_guest(none, SLICE_LIT("ann"), none);
    static const enum action changes[] = {ACTION_EDIT, ACTION_DELETE};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        assert_int_equal(may(&open_server, ann, changes[i], room, &by_guest), 0);
        assert_int_equal(may(&open_server, renamed, changes[i], room, &by_guest), 0);
        assert_int_equal(may(&open_server, other, changes[i], room, &by_guest), ERR_FORBIDDEN);
        assert_int_equal(may(&open_server, keyless, changes[i], room, &by_guest), ERR_FORBIDDEN);
        assert_int_equal(may(&open_server, ann, changes[i], room, &by_nobody), ERR_FORBIDDEN);
        assert_int_equal(may(&open_server, keyless, changes[i], room, &by_nobody), ERR_FORBIDDEN);
        assert_int_equal(may(&open_server, ann, changes[i], room, NULL), ERR_FORBIDDEN);
        assert_int_equal(may(&open_server, &identity_nobody, changes[i], room, &by_nobody),
                         ERR_FORBIDDEN);
        assert_int_equal(may(&open_server, &identity_api, changes[i], room, &by_guest), 0);
    }
    identity_unref(ann);
    identity_unref(renamed);
    identity_unref(other);
    identity_unref(keyless);
}

static struct identity *signed_in(const char *user, const char *name)
{
    return signed_in_with(user, name, "");
}

/* What a token says of rooms is complete: no other room is one of its rooms. */
static void test_rooms_of_a_token(void **state)
{
    (void)state;
    static const struct {
        const char *room;
        enum right right;
    } cases[] = {{"lobby", RIGHT_READ},
                 {"team-a", RIGHT_WRITE},
                 {"team-b", RIGHT_NONE},
                 {"lobby2", RIGHT_NONE},
                 {"ops", RIGHT_OWN}};
    struct identity *ann = signed_in_with("u1", "ann",
                                          ",\"parlor\":{\"rooms\":{\"lobby\":\"read\",\"team-*\":"
                                          "\"write\",\"team-b\":\"none\",\"ops\":\"own\"}}");
    struct identity *shut_out = signed_in_with("u2", "bob", ",\"parlor\":{\"rooms\":{}}");
    const struct author u1 = {SLICE_LIT("u1")};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct slice name = slice_of(cases[i].room);
        for (int a = 0; a < ACTION_COUNT; a++) {
            enum action action = (enum action)a;
            int want = refusal_of(cases[i].right, action);
            assert_int_equal(may(&open_server, ann, action, name, &u1), want);
            assert_int_equal(may(&open_server, shut_out, action, name, &u1), ERR_NO_RIGHT);
            assert_int_equal(may(&open_server, &identity_api, action, name, &u1), 0);
        }
    }
    identity_unref(ann);
    identity_unref(shut_out);
}

/* What somebody says who is signed in belongs to the user, not to the name. */
static void test_authors_who_are_signed_in(void **state)
{
    (void)state;
    struct identity *guest = identity_new_guest(none, SLICE_LIT("ann"), none);
    struct identity *named_u1 = identity_new_guest(none, SLICE_LIT("u1"), none);
    struct identity *ann = signed_in("u1", "ann");
    struct identity *renamed = signed_in("u1", "anna");
    struct identity *other = signed_in("u2", "ann");
    const struct author u1 = {SLICE_LIT("u1")};
    assert_true(slice_is(identity_user(ann), "u1"));
    assert_true(slice_is(identity_name(ann), "ann"));
    assert_int_equal(identity_expires_ms(ann), 2000000);
    assert_true(identity_expires_ms(guest) == UINT64_MAX);
    assert_int_equal(may(&open_server, ann, ACTION_EDIT, room, &u1), 0);
    assert_int_equal(may(&open_server, renamed, ACTION_EDIT, room, &u1), 0);
    assert_int_equal(may(&open_server, other, ACTION_EDIT, room, &u1), ERR_FORBIDDEN);
    assert_int_equal(may(&open_server, guest, ACTION_EDIT, room, &u1), ERR_FORBIDDEN);
    assert_int_equal(may(&open_server, named_u1, ACTION_EDIT, room, &u1), ERR_FORBIDDEN);
    assert_int_equal(may(&open_server, ann, ACTION_EDIT, room, &by_guest), ERR_FORBIDDEN);
    assert_int_equal(may(&open_server, ann, ACTION_EDIT, room, &by_nobody), ERR_FORBIDDEN);
    assert_int_equal(may(&open_server, ann, ACTION_MARK, room, NULL), 0);
    identity_unref(guest);
    identity_unref(named_u1);
    identity_unref(ann);
    identity_unref(renamed);
    identity_unref(other);
}

static void test_open_to_all(void **state)
{
    (void)state;
    static const enum action open[] = {ACTION_JOIN,    ACTION_HISTORY, ACTION_SEARCH, ACTION_WHO,
                                       ACTION_PUBLISH, ACTION_REACT,   ACTION_TYPE};
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        assert_int_equal(may(&open_server, &identity_nobody, open[i], room, NULL), 0);
        assert_int_equal(may(&open_server, &identity_api, open[i], room, &by_guest), 0);
    }
}

/* What moderators and owners do: nobody is one. */
static void test_acts(void **state)
{
    (void)state;
    struct identity *ann = identity_new_guest(none, SLICE_LIT("ann"), none);
    for (int action = ACTION_KICK; action < ACTION_COUNT; action++) {
        assert_int_equal(may(&open_server, ann, (enum action)action, room, NULL), ERR_NO_RIGHT);
        assert_int_equal(may(&open_server, &identity_api, (enum action)action, room, NULL), 0);
    }
    identity_unref(ann);
}

/* Who cannot come back as the same has no read marker. */
static void test_markers(void **state)
{
    (void)state;
    struct identity *keyless = identity_new_guest(none, SLICE_LIT("ann"), none);
    struct identity *ann = identity_new_guest(SLICE_LIT("guest:ann"), none, none);
    assert_int_equal(may(&open_server, keyless, ACTION_MARK, room, NULL), ERR_UNAUTHORIZED);
    assert_int_equal(may(&open_server, &identity_nobody, ACTION_MARK, room, NULL),
                     ERR_UNAUTHORIZED);
    assert_int_equal(may(&open_server, ann, ACTION_MARK, room, NULL), 0);
    identity_unref(keyless);
    identity_unref(ann);
}

static struct room_rules *rules_of(const struct room_line *lines, size_t count)
{
    struct room_rules *rules;
    struct room_rules_error wrong;
    if (room_rules_new(lines, count, &rules, &wrong) != 0) fail_msg("%s", wrong.why);
    return rules;
}

/* Each action, in a room that gives each right, to a guest, to who is signed in, and to who has a
 * token that says otherwise. */
static void test_rooms_by_setting(void **state)
{
    (void)state;
    struct identity *guest = identity_new_guest(SLICE_LIT("guest:ann"), none, none);
    struct identity *user = signed_in("u1", "ann");
    struct identity *other =
        signed_in_with("u1", "ann", ",\"parlor\":{\"rooms\":{\"lobby\":\"read\"}}");
    const struct author u1 = {SLICE_LIT("u1")};
    for (int r = 0; r < RIGHT_COUNT; r++) {
        enum right right = (enum right)r;
        enum right guests = right > RIGHT_WRITE ? RIGHT_WRITE : right;
        const struct room_line lines[] = {
            {SLICE_LIT("lob*"), SLICE_LIT("access-signed-in"), slice_of(right_word(right))},
            {SLICE_LIT("lob*"), SLICE_LIT("access-guests"), slice_of(right_word(guests))},
        };
        struct room_rules *rules = rules_of(lines, COUNT_OF(lines));
        const struct policy p = {.rules = rules};
        for (int a = 0; a < ACTION_COUNT; a++) {
            enum action action = (enum action)a;
            assert_int_equal(may(&p, guest, action, room, &by_guest), refusal_of(guests, action));
            assert_int_equal(may(&p, user, action, room, &u1), refusal_of(right, action));
            assert_int_equal(may(&p, other, action, room, &u1), refusal_of(RIGHT_READ, action));
            assert_int_equal(may(&p, &identity_api, action, room, NULL), 0);
        }
        assert_int_equal(policy_right_in(&p, guest, room), guests);
        assert_int_equal(policy_right_in(&p, user, room), right);
        assert_int_equal(policy_right_in(&p, other, room), RIGHT_READ);
        assert_int_equal(policy_right_in(&p, &identity_api, room), RIGHT_OWN);
        assert_int_equal(policy_right_in(&p, user, SLICE_LIT("den")), RIGHT_WRITE);
        assert_int_equal(policy_right_in(&p, other, SLICE_LIT("den")), RIGHT_NONE);
        room_rules_free(rules);
    }
    identity_unref(guest);
    identity_unref(user);
    identity_unref(other);
}

/* Judging takes no memory, so it cannot fail for lack of it. */
static void test_no_memory_to_judge(void **state)
{
    (void)state;
    const struct room_line line = {SLICE_LIT("team-*"), SLICE_LIT("access-guests"),
                                   SLICE_LIT("none")};
    struct room_rules *rules = rules_of(&line, 1);
    const struct policy p = {.rules = rules};
    fail_alloc_after(0);
    assert_int_equal(may(&p, &identity_nobody, ACTION_JOIN, SLICE_LIT("team-a"), NULL),
                     ERR_NO_RIGHT);
    assert_int_equal(may(&p, &identity_nobody, ACTION_JOIN, SLICE_LIT("team"), NULL), 0);
    fail_alloc_off();
    room_rules_free(rules);
}

/* Of somebody who is not here: as far as the settings go. */
static void test_explain(void **state)
{
    (void)state;
    const struct room_line line = {SLICE_LIT("team-*"), SLICE_LIT("access-guests"),
                                   SLICE_LIT("none")};
    struct room_rules *rules = rules_of(&line, 1);
    const struct policy p = {.rules = rules};
    struct rights_verdict v;
    policy_explain(&p, none, SLICE_LIT("team-a"), &v);
    assert_int_equal(v.right, RIGHT_NONE);
    assert_int_equal(v.reason, RIGHTS_BY_SETTING);
    assert_true(slice_is(v.pattern, "team-*"));
    policy_explain(&p, SLICE_LIT("guest:u1"), SLICE_LIT("team-a"), &v);
    assert_int_equal(v.right, RIGHT_NONE);
    policy_explain(&p, SLICE_LIT("u1"), SLICE_LIT("team-a"), &v);
    assert_int_equal(v.right, RIGHT_WRITE);
    assert_int_equal(v.reason, RIGHTS_BY_DEFAULT);
    assert_int_equal(v.pattern.len, 0);
    room_rules_free(rules);
}

static void test_words_of_actions(void **state)
{
    (void)state;
    for (int a = 0; a < ACTION_COUNT; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(policy_word((enum action)a), policy_word((enum action)b));
    assert_string_equal(policy_word(ACTION_PUBLISH), "message");
    assert_string_equal(policy_word(ACTION_MARK), "read");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_actions_of_events),
        cmocka_unit_test(test_authors),
        cmocka_unit_test(test_authors_who_are_signed_in),
        cmocka_unit_test(test_rooms_of_a_token),
        cmocka_unit_test(test_rooms_by_setting),
        cmocka_unit_test(test_no_memory_to_judge),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_words_of_actions),
        cmocka_unit_test(test_open_to_all),
        cmocka_unit_test(test_acts),
        cmocka_unit_test(test_markers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
