/* auth/identity and auth/policy: who somebody is, and what it may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/identity.h"
#include "auth/policy.h"
#include "base/err.h"
#include "fail_alloc.h"

static const struct slice room = SLICE_LIT("lobby");
static const struct slice none = {NULL, 0};

static void expect_name(const struct identity *i, const char *name)
{
    assert_true(slice_is(identity_name(i), name));
}

static void test_names(void **state)
{
    (void)state;
    struct identity *given = identity_new_guest(SLICE_LIT("ann"), none, true);
    struct identity *spoken = identity_new_guest(SLICE_LIT("ann"), SLICE_LIT("bob"), true);
    expect_name(given, "ann");
    expect_name(spoken, "bob");
    assert_true(slice_is(identity_given(spoken), "ann"));
    expect_name(&identity_nobody, "");
    expect_name(&identity_api, "system");
    assert_int_equal(identity_user(spoken).len, 0);
    identity_unref(given);
    identity_unref(spoken);
    fail_alloc_after(0);
    assert_null(identity_new_guest(SLICE_LIT("ann"), none, true));
    fail_alloc_off();
}

static void test_references(void **state)
{
    (void)state;
    struct identity *ann = identity_new_guest(SLICE_LIT("ann"), none, true);
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

/* Who has said it may change it, and nobody else but the API. */
static void test_authors(void **state)
{
    (void)state;
    struct identity *ann = identity_new_guest(SLICE_LIT("url"), SLICE_LIT("ann"), true);
    static const enum action changes[] = {ACTION_EDIT, ACTION_DELETE};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        assert_int_equal(may(ann, changes[i], room, SLICE_LIT("ann")), 0);
        assert_int_equal(may(ann, changes[i], room, SLICE_LIT("url")), ERR_FORBIDDEN);
        assert_int_equal(may(ann, changes[i], room, SLICE_LIT("an")), ERR_FORBIDDEN);
        assert_int_equal(may(ann, changes[i], room, none), ERR_FORBIDDEN);
        assert_int_equal(may(&identity_nobody, changes[i], room, none), ERR_FORBIDDEN);
        assert_int_equal(may(&identity_api, changes[i], room, SLICE_LIT("ann")), 0);
    }
    identity_unref(ann);
}

static void test_open_to_all(void **state)
{
    (void)state;
    static const enum action open[] = {ACTION_JOIN,    ACTION_HISTORY, ACTION_SEARCH, ACTION_WHO,
                                       ACTION_PUBLISH, ACTION_REACT,   ACTION_TYPE};
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        assert_int_equal(may(&identity_nobody, open[i], room, none), 0);
        assert_int_equal(may(&identity_api, open[i], room, SLICE_LIT("ann")), 0);
    }
}

/* What moderators and owners do: nobody is one. */
static void test_acts(void **state)
{
    (void)state;
    struct identity *ann = identity_new_guest(SLICE_LIT("ann"), none, true);
    for (int action = ACTION_KICK; action < ACTION_COUNT; action++) {
        assert_int_equal(may(ann, (enum action)action, room, none), ERR_FORBIDDEN);
        assert_int_equal(may(&identity_api, (enum action)action, room, none), 0);
    }
    identity_unref(ann);
}

/* A name that goes with its connection has no read marker. */
static void test_markers(void **state)
{
    (void)state;
    struct identity *guest = identity_new_guest(none, SLICE_LIT("guest-ab12"), false);
    struct identity *ann = identity_new_guest(SLICE_LIT("ann"), none, true);
    assert_int_equal(may(guest, ACTION_MARK, room, none), ERR_UNAUTHORIZED);
    assert_int_equal(may(&identity_nobody, ACTION_MARK, room, none), ERR_UNAUTHORIZED);
    assert_int_equal(may(ann, ACTION_MARK, room, none), 0);
    identity_unref(guest);
    identity_unref(ann);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_actions_of_events),
        cmocka_unit_test(test_authors),
        cmocka_unit_test(test_open_to_all),
        cmocka_unit_test(test_acts),
        cmocka_unit_test(test_markers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
