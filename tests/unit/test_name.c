/* Room names and user names: the rules of protocol sections 1 and 3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "proto/name.h"

static void room_is(struct slice raw, struct slice want)
{
    char out[NAME_ROOM_MAX];
    size_t len = 0;
    if (name_room_decode(raw, out, &len)) fail_msg("refused: %.*s", (int)raw.len, raw.ptr);
    assert_int_equal(len, want.len);
    assert_int_equal(memcmp(out, want.ptr, len), 0);
}

static void room_refused(struct slice raw)
{
    char out[NAME_ROOM_MAX];
    size_t len;
    if (name_room_decode(raw, out, &len) != ERR_BAD_ROOM)
        fail_msg("taken: %.*s", (int)raw.len, raw.ptr);
}

static void test_room_names(void **state)
{
    (void)state;
    room_is(SLICE_LIT("testroom"), SLICE_LIT("testroom"));
    room_is(SLICE_LIT("a"), SLICE_LIT("a"));
    room_is(SLICE_LIT("..."), SLICE_LIT("..."));
    room_is(SLICE_LIT(".a"), SLICE_LIT(".a"));
    room_is(SLICE_LIT("a+b"), SLICE_LIT("a+b"));
    room_is(SLICE_LIT("%20"), SLICE_LIT(" "));
    room_is(SLICE_LIT("%D0%B6"), SLICE_LIT("\xd0\xb6"));
    room_is(SLICE_LIT("%d0%b6"), SLICE_LIT("\xd0\xb6"));
    room_is(SLICE_LIT("\xd0\xb6"), SLICE_LIT("\xd0\xb6"));
    room_is(SLICE_LIT("%25"), SLICE_LIT("%"));
    room_is(SLICE_LIT("%252F"), SLICE_LIT("%2F")); /* decoded once */
    room_is(SLICE_LIT("%C2%A0"), SLICE_LIT("\xc2\xa0"));
    room_is(SLICE_LIT("%F0%9F%98%80"), SLICE_LIT("\xf0\x9f\x98\x80"));
    room_is(SLICE_LIT("%EF%BF%BF"), SLICE_LIT("\xef\xbf\xbf"));
}

static void test_room_names_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "%2e",
        "%2E%2e",
        ".%2E",
        "/",
        "a/b",
        "a%2Fb",
        "%2f",
        "%",
        "%4",
        "a%4",
        "%zz",
        "%4g",
        "%g4",
        "%%41",
        "%-1",
        "% 1",
        "%00",
        "a%00b",
        "%1F",
        "%7F",
        "%0A",
        "a%0d",
        "%C2%80",
        "%C2%9F",
        "%C2%85",
        "x%c2%85x",
        "%FF",
        "%80",
        "%C3",
        "%C0%80",
        "%E0%80%80",
        "%ED%A0%80",
        "%ED%BF%BF",
        "%F4%90%80%80",
        "%F8%88%80%80%80",
        "%C2",
        "\xc2",
        "\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        room_refused((struct slice){bad[i], strlen(bad[i])});
    room_refused((struct slice){"a\0b", 3});
    /* The end of the segment is the end: hex digits behind it are not looked at. */
    room_refused((struct slice){"a%41", 3});
    room_refused((struct slice){"a%41", 2});
}

/* Every byte by itself: what is let in is exactly printable ASCII without '/' and '.'. */
static void test_room_single_bytes(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char raw[4];
        char out[NAME_ROOM_MAX];
        size_t len;
        sprintf(raw, "%%%02x", c);
        int err = name_room_decode((struct slice){raw, 3}, out, &len);
        bool good = c >= 0x20 && c < 0x7F && c != '/' && c != '.';
        assert_int_equal(err, good ? 0 : ERR_BAD_ROOM);
    }
}

static void test_room_length(void **state)
{
    (void)state;
    char raw[3 * NAME_ROOM_MAX + 3];
    char want[NAME_ROOM_MAX + 1];
    memset(want, 'a', sizeof(want));
    for (size_t i = 0; i < sizeof(raw); i++)
        raw[i] = "%61"[i % 3];
    room_is((struct slice){raw, 3 * NAME_ROOM_MAX}, (struct slice){want, NAME_ROOM_MAX});
    room_refused((struct slice){raw, 3 * NAME_ROOM_MAX + 3});
    room_is((struct slice){want, NAME_ROOM_MAX}, (struct slice){want, NAME_ROOM_MAX});
    room_refused((struct slice){want, NAME_ROOM_MAX + 1});
}

static void user_is(struct slice in, struct slice want)
{
    struct slice out = {0};
    if (name_user_trim(in, &out)) fail_msg("refused: %.*s", (int)in.len, in.ptr);
    assert_int_equal(out.len, want.len);
    assert_int_equal(memcmp(out.ptr, want.ptr, out.len), 0);
    assert_true(out.ptr >= in.ptr && out.ptr + out.len <= in.ptr + in.len);
}

static void user_refused(struct slice in)
{
    struct slice out = {0};
    if (name_user_trim(in, &out) != ERR_BAD_USERNAME) fail_msg("taken: %.*s", (int)in.len, in.ptr);
    assert_null(out.ptr);
}

static const char *const spaces[] = {
    "\t",           "\n",           "\v",           "\f",           "\r",           " ",
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82",
    "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
    "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f",
    "\xe3\x80\x80",
};
enum { SPACES = sizeof(spaces) / sizeof(*spaces) };

static void test_user_trim_each_space(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPACES; i++) {
        for (size_t k = 0; k < SPACES; k++) {
            char text[32];
            int len = sprintf(text, "%s%sann%s%s", spaces[i], spaces[k], spaces[k], spaces[i]);
            user_is((struct slice){text, (size_t)len}, SLICE_LIT("ann"));
            len = sprintf(text, "%s%s", spaces[i], spaces[k]);
            user_refused((struct slice){text, (size_t)len});
            len = sprintf(text, "%ssystem%s", spaces[i], spaces[k]);
            user_refused((struct slice){text, (size_t)len});
        }
    }
    /* Neighbours of white space that are none: zero-width space and BOM are kept. */
    user_is(SLICE_LIT("\xe2\x80\x8b"), SLICE_LIT("\xe2\x80\x8b"));
    user_is(SLICE_LIT("\xef\xbb\xbf"), SLICE_LIT("\xef\xbb\xbf"));
    user_is(SLICE_LIT(" \xf0\x9f\x98\x80 "), SLICE_LIT("\xf0\x9f\x98\x80"));
    user_is(SLICE_LIT("\xc3\x85 "), SLICE_LIT("\xc3\x85")); /* a tail byte 85 is no U+0085 */
    user_is(SLICE_LIT("\xc3\xa0"), SLICE_LIT("\xc3\xa0"));
    user_is(SLICE_LIT("\xf0\x92\x80\x80"), SLICE_LIT("\xf0\x92\x80\x80"));
}

static void test_user_rules(void **state)
{
    (void)state;
    user_is(SLICE_LIT("a"), SLICE_LIT("a"));
    user_is(SLICE_LIT("ann bee"), SLICE_LIT("ann bee"));
    user_is(SLICE_LIT("System"), SLICE_LIT("System"));
    user_is(SLICE_LIT("systems"), SLICE_LIT("systems"));
    user_is(SLICE_LIT("syste"), SLICE_LIT("syste"));
    user_is(SLICE_LIT("<b>\"x\"</b>"), SLICE_LIT("<b>\"x\"</b>"));
    user_is(SLICE_LIT("\xc2\xa1"), SLICE_LIT("\xc2\xa1"));
    user_refused(SLICE_LIT(""));
    user_refused((struct slice){0});
    user_refused(SLICE_LIT("system"));
    user_refused(SLICE_LIT("a\nb"));
    user_refused(SLICE_LIT("a\tb"));
    user_refused(SLICE_LIT("a\0"));
    user_refused(SLICE_LIT("\0"));
    user_refused(SLICE_LIT("\x1f"
                           "a"));
    user_refused(SLICE_LIT("a\x7f"));
    user_refused(SLICE_LIT("a\xc2\x85"
                           "b"));
    user_refused(SLICE_LIT("\xc2\x80"));
    user_refused(SLICE_LIT("\xc2\x9f"));

    char text[NAME_USER_MAX + 3];
    memset(text, 'a', sizeof(text));
    user_is((struct slice){text, NAME_USER_MAX}, (struct slice){text, NAME_USER_MAX});
    user_refused((struct slice){text, NAME_USER_MAX + 1});
    /* The limit counts what is left after trimming. */
    text[0] = ' ';
    text[NAME_USER_MAX + 1] = ' ';
    user_is((struct slice){text, NAME_USER_MAX + 2}, (struct slice){text + 1, NAME_USER_MAX});
}

/* A name that is decoded already: nothing in it is an escape, the rules are the same. */
static void test_room_check(void **state)
{
    (void)state;
    char text[NAME_ROOM_MAX + 1];
    memset(text, 'a', sizeof(text));
    assert_int_equal(name_room_check(SLICE_LIT("lobby")), 0);
    assert_int_equal(name_room_check(SLICE_LIT("%2F+ %")), 0);
    assert_int_equal(name_room_check(SLICE_LIT("\xf0\x9f\x98\x80")), 0);
    assert_int_equal(name_room_check((struct slice){text, NAME_ROOM_MAX}), 0);
    assert_int_equal(name_room_check((struct slice){text, NAME_ROOM_MAX + 1}), ERR_BAD_ROOM);
    const struct slice bad[] = {
        {NULL, 0},         SLICE_LIT(""),     SLICE_LIT("."),     SLICE_LIT(".."),
        SLICE_LIT("a/b"),  SLICE_LIT("\0"),   SLICE_LIT("a\x7f"), SLICE_LIT("\xc2\x85"),
        SLICE_LIT("\xff"), SLICE_LIT("\xc2"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(name_room_check(bad[i]), ERR_BAD_ROOM);
}

static void test_words(void **state)
{
    (void)state;
    const struct slice good[] = {
        SLICE_LIT("a"),
        SLICE_LIT("+1"),
        SLICE_LIT("\xf0\x9f\x91\x8d"),
        SLICE_LIT("\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb"), /* joined by U+200D */
        SLICE_LIT("\xe2\x9d\xa4\xef\xb8\x8f"),
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(name_is_word(good[i]));
    const struct slice bad[] = {
        {NULL, 0},
        SLICE_LIT(""),
        SLICE_LIT(" "),
        SLICE_LIT("a "),
        SLICE_LIT(" a"),
        SLICE_LIT("a b"),
        SLICE_LIT("a\tb"),
        SLICE_LIT("\0"),
        SLICE_LIT("a\0"),
        SLICE_LIT("a\x7f"),
        SLICE_LIT("\xc2\x85"),
        SLICE_LIT("a\xc2\xa0"),
        SLICE_LIT("\xf0\x9f\x91\x8d\xe3\x80\x80\xf0\x9f\x91\x8d"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(name_is_word(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_names),           cmocka_unit_test(test_room_names_refused),
        cmocka_unit_test(test_room_single_bytes),    cmocka_unit_test(test_room_length),
        cmocka_unit_test(test_user_trim_each_space), cmocka_unit_test(test_user_rules),
        cmocka_unit_test(test_room_check),           cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
