/* Who is typing: what is gathered between two tellings, who of many is told, and when it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "chat/feed.h"
#include "chat/typing.h"
#include "fail_alloc.h"

static struct member members[TYPING_TOLD_MAX + 5];

static bool note(struct typing **t, unsigned member, const char *name, bool on)
{
    return typing_note(t, &members[member], (struct slice){name, strlen(name)}, on);
}

static void expect(const struct typing *t, unsigned i, unsigned member, const char *name, bool on)
{
    const struct typist *typist = &t->typists[i];
    assert_ptr_equal(typist->member, &members[member]);
    assert_int_equal(typist->len, strlen(name));
    assert_memory_equal(typist->name, name, typist->len);
    assert_int_equal(typist->on, on);
}

static void test_rounds(void **state)
{
    (void)state;
    struct typing *t = NULL;
    struct typing news;
    assert_true(note(&t, 0, "ann", true));
    assert_false(note(&t, 1, "bob", true));
    assert_true(typing_take(&t, &news));
    assert_int_equal(news.count, 2);
    expect(&news, 0, 0, "ann", true);
    expect(&news, 1, 1, "bob", true);
    assert_false(note(&t, 1, "bob", true)); /* not at once: within a second of the others */
    assert_false(note(&t, 1, "robert", false));
    assert_true(typing_take(&t, &news));
    assert_int_equal(news.count, 1);
    expect(&news, 0, 1, "robert", false);
    assert_false(typing_take(&t, &news));
    assert_null(t);
    assert_int_equal(fail_alloc_live(), 0);
    assert_true(note(&t, 2, "cid", true)); /* at once again */
    assert_true(typing_take(&t, &news));
    assert_false(typing_take(&t, &news));
    assert_false(typing_take(&t, &news));
}

static void test_many(void **state)
{
    (void)state;
    struct typing *t = NULL;
    struct typing news;
    for (unsigned i = 0; i < TYPING_TOLD_MAX + 5; i++)
        assert_int_equal(note(&t, i, "somebody", true), i == 0);
    assert_false(note(&t, 3, "somebody else", false)); /* who is among them can still change */
    assert_true(typing_take(&t, &news));
    assert_int_equal(news.count, TYPING_TOLD_MAX);
    for (unsigned i = 0; i < TYPING_TOLD_MAX; i++)
        expect(&news, i, i, i == 3 ? "somebody else" : "somebody", i != 3);
    assert_false(typing_take(&t, &news));
}

static void test_forget(void **state)
{
    (void)state;
    struct typing *t = NULL;
    struct typing news;
    typing_forget(t, &members[0]);
    for (unsigned i = 0; i < 4; i++)
        note(&t, i, "somebody", true);
    typing_forget(t, &members[3]);
    typing_forget(t, &members[1]);
    typing_forget(t, &members[1]);
    typing_forget(t, &members[9]);
    assert_true(typing_take(&t, &news));
    assert_int_equal(news.count, 2);
    expect(&news, 0, 0, "somebody", true);
    expect(&news, 1, 2, "somebody", true);
    assert_false(typing_take(&t, &news));
}

static void test_short_memory(void **state)
{
    (void)state;
    struct typing *t = NULL;
    struct typing news;
    fail_alloc_after(0);
    assert_false(note(&t, 0, "ann", true));
    fail_alloc_off();
    assert_null(t);
    assert_false(typing_take(&t, &news));
    assert_true(note(&t, 0, "ann", true));
    assert_true(typing_take(&t, &news));
    assert_false(typing_take(&t, &news));
    assert_int_equal(fail_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
