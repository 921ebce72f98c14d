/* Room names and user names: the rules of protocol sections 1 and 3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include "base/err.h"
#include "proto/look.h"
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

static int clean(struct slice in, char out[static NAME_USER_MAX], struct slice *name)
{
    char *copy = malloc(in.len + 1); /* of just that size, for the sanitizer */
    assert_non_null(copy);
    if (in.len) memcpy(copy, in.ptr, in.len);
    *name = (struct slice){0};
    int err = name_user_clean((struct slice){copy, in.len}, out, name);
    if (name->ptr && name->ptr != out) { /* in copy, which goes */
        assert_true(name->ptr >= copy && name->ptr + name->len <= copy + in.len);
        memcpy(out, name->ptr, name->len);
        name->ptr = out;
    }
    free(copy);
    return err;
}

static void user_is(struct slice in, struct slice want)
{
    char text[NAME_USER_MAX];
    char again[NAME_USER_MAX];
    struct slice out;
    struct slice same;
    if (clean(in, text, &out)) fail_msg("refused: %.*s", (int)in.len, in.ptr);
    if (out.len != want.len || memcmp(out.ptr, want.ptr, out.len) != 0)
        fail_msg("'%.*s' became '%.*s'", (int)in.len, in.ptr, (int)out.len, out.ptr);
    assert_int_equal(clean(out, again, &same), 0);
    assert_true(same.len == out.len && memcmp(same.ptr, out.ptr, out.len) == 0);
}

static void user_stays(struct slice in)
{
    user_is(in, in);
}

static void user_refused(struct slice in)
{
    char text[NAME_USER_MAX];
    struct slice out;
    if (clean(in, text, &out) != ERR_BAD_USERNAME) fail_msg("taken: %.*s", (int)in.len, in.ptr);
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

/* Names of every script, and what people put into names. */
static const char *const everywhere[] = {
    "José",
    "Jose\u0301",
    "Zoë Müller",
    "Łukasz",
    "Nguyễn Văn Ánh",
    "Ⓐnarchist",
    "ﬁona",
    "Åsa",
    "Å",
    "Анна",
    "Мария",
    "Ольга Сергеевна",
    "Σωκράτης",
    "Ελένη",
    "Հայկ",
    "გიორგი",
    "אבנר",
    "שָׁלוֹם",
    "محمد",
    "فاطمة",
    "عَلِيّ",
    "علی‌رضا",
    "می‌خواهم",
    "ܝܘܚܢܢ",
    "ދިވެހި",
    "ߒߞߏ",
    "राम",
    "क़मर",
    "श्री",
    "क्‍ष",
    "অমিত",
    "র‍্যাব",
    "ਗੁਰਪ੍ਰੀਤ",
    "ગીતા",
    "ରାମ",
    "தமிழ்",
    "తెలుగు",
    "ಕನ್ನಡ",
    "ശിവന്‍",
    "ශ්‍රී",
    "สมชาย",
    "ລາວ",
    "བཀྲ་ཤིས",
    "မောင်",
    "ភាសាខ្មែរ",
    "አበበ",
    "ᏣᎳᎩ",
    "ᓄᓇᕗᑦ",
    "ᠪᠠᠲᠤ",
    "明子",
    "李小龙",
    "ひろし",
    "カタカナ",
    "ﾊﾝｶｸ",
    "김철수",
    "각",
    "ꆈꌠ",
    "𐐀𐐁",
    "𝒜𝓃𝓃",
    "ann bee",
    "O'Brien",
    "J. R. R. T.",
    "ann_1999",
    "🦀",
    "👩‍💻",
    "👨‍👩‍👧‍👦",
    "👍🏽",
    "❤️",
    "❤️‍🔥",
    "🏳️‍🌈",
    "1️⃣ first",
    "🇩🇪",
    "☎︎",
    "sister",
    "systems",
    "syste",
    "ecosystem",
    "5ystem",
    "Syst3m",
    "my system",
    "Systemd",
    "[systems]",
    "system 2",
    "2system",
    "system①",
    "(my) system",
    "system (ann)",
    "s.y.s.t.e.m.",
    "~ann~",
    "[bot]",
    "¯\\_(ツ)_/¯",
    "✔",
    "!",
    "🅰️🅱️",
    "🆂🅰🅼",
    "система",
    "σύστημα",
    "系統",
    "システム",
    "\u0600\u0661\u0662",
    "myst",
};

static void test_user_stays(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(everywhere) / sizeof(*everywhere); i++)
        user_stays((struct slice){everywhere[i], strlen(everywhere[i])});
}

static void test_user_nobody_sees(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } table[] = {
        {"ann\u200b", "ann"},           {"\u200bann", "ann"},       {"a\u200bn\u200bn", "ann"},
        {"\ufeffann", "ann"},           {"an\u00adn", "ann"},       {"ann\u2060", "ann"},
        {"a\u200dnn", "ann"},           {"a\u200cnn", "ann"},       {"ann\u200d", "ann"},
        {"\u202eann", "ann"},           {"a\u202dnn\u202c", "ann"}, {"\u2066ann\u2069", "ann"},
        {"ann\u200e", "ann"},           {"\u200fann", "ann"},       {"\u061cann", "ann"},
        {"ann\u3164", "ann"},           {"an\u115fn", "ann"},       {"ann\uffa0", "ann"},
        {"ann\ufe0f", "ann"},           {"ann\ufe00", "ann"},       {"1\ufe0f", "1"},
        {"ann\U000e0041", "ann"},       {"ann\U000e0100", "ann"},   {"\ufff9ann\ufffb", "ann"},
        {"ann \u200b ", "ann"},         {" \u200b ann", "ann"},     {"\u2800ann\u2800", "ann"},
        {"\u0645\u200c", "\u0645"},     {"\u200c\u0645", "\u0645"}, {"❤\ufe0f\ufe0f", "❤\ufe0f"},
        {"👩\u200d\u200d💻", "👩\u200d💻"}, {"👩\u200d", "👩"},           {"क्\u200d\u200d", "क्\u200d"},
        {"\u017f\u034f", "\u017f"},     {"Анна\u200b", "Анна"},     {"a\u180eb", "ab"},
        {"葛\U000e0100", "葛"},         {"ann\U00013430", "ann"},   {"ann\U0001343f", "ann"},
        {"an\U00016fe4n", "ann"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        user_is((struct slice){table[i].in, strlen(table[i].in)},
                (struct slice){table[i].out, strlen(table[i].out)});

    static const char *const nothing[] = {
        "\u200b", "\u3164",   "\u202e",        "\ufeff",     "\u115f\u1160", "\u2800",
        "\u00ad", "\u200d",   "\u200b \u200b", "\U000e0001", "\ufe0f",       " \u3164 \u2800",
        "\u2028", "a\u2028b", "a\u2029b",      "\ufffc",     "\U0001d159",
    };
    for (size_t i = 0; i < sizeof(nothing) / sizeof(*nothing); i++)
        user_refused((struct slice){nothing[i], strlen(nothing[i])});

    /* The limit counts what is left. */
    char text[1024] = "";
    for (int i = 0; i < NAME_USER_MAX; i++)
        strcat(text, "a\u200b");
    user_is((struct slice){text, strlen(text)},
            SLICE_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    strcat(text, "a");
    user_refused((struct slice){text, strlen(text)});
}

/* No mark makes another name of it, nor does what formats text and is not seen. */
static void system_marked_is_refused(void)
{
    for (UChar32 c = 0x80; c <= UCHAR_MAX_VALUE; c++) {
        if ((U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_CF_MASK)) == 0) continue;
        if (u_hasBinaryProperty(c, UCHAR_PREPENDED_CONCATENATION_MARK)) continue;
        UErrorCode err = U_ZERO_ERROR;
        UChar wide[16];
        char text[16];
        int32_t len;
        const UChar32 name[] = {'s', 'y', 's', c, 't', 'e', 'm'};
        u_strFromUTF32(wide, 16, &len, name, 7, &err);
        u_strToUTF8(text, sizeof(text), &len, wide, len, &err);
        assert_true(U_SUCCESS(err));
        user_refused((struct slice){text, (size_t)len});
    }
}

static void test_user_system(void **state)
{
    (void)state;
    static const char *const names[] = {
        "system",           "System",           "SYSTEM",           "sYsTeM",
        "systern",          "SYSTERN",          " system ",         "sys tem",
        "s y s t e m",      "system\u200b",     "\u200bsystem",     "sys\u200btem",
        "\u202esystem",     "system\u3164",     "ѕystem",           "ѕуѕтем",
        "ЅУЅТЕМ",           "Ѕуѕтем",           "ѕуѕtеm",           "systеm",
        "ЅΥЅΤΕΜ",           "ꜱʏꜱᴛᴇᴍ",           "ｓｙｓｔｅｍ",     "ＳＹＳＴＥＭ",
        "𝐬𝐲𝐬𝐭𝐞𝐦",           "𝚂𝚈𝚂𝚃𝙴𝙼",           "ⓢⓨⓢⓣⓔⓜ",           "ꓢꓬꓢꓔꓰꓟ",
        "🅂🅈🅂🅃🄴🄼",           "🇸🇾🇸🇹🇪🇲",           "systém",           "s\u0336ystem",
        "sy\u0332stem",     "sys\u00a0tem",     "sys\u200atem",     "systeｍ",
        "ſystem",           "ſyſtem",           "🆂🆈🆂🆃🅴🅼",           "🅢🅨🅢🅣🅔🅜",
        "🅂🅨ⓢ🆃ém",           "⒮⒴⒮⒯⒠⒨",           "🄢🄨🄢🄣🄔🄜",           "[system]",
        "(system)",         "system:",          "system.",          "_system",
        "-system-",         "<system>",         "|system|",         "*** SYSTEM ***",
        "\"system\"",       "'system'",         "@system",          "$system",
        "system!?",         "system✔",          "✔ system",         "✔\ufe0fsystem",
        "system ✔\ufe0f",   "🤖 System 🤖", "🤖ѕуѕтем", "«system»",
        "「ｓｙｓｔｅｍ」", "system™",          "system©",          "· system ·",
        "system\ufffd",     "system\ufffc",     "system\ue000",     "\u0301system",
        "system\u00a8",     "[ѕуѕtеm]",         "👩\u200d💻 system",  "system \u0301.",
        "‘system’",         "¡SYSTEM!",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        user_refused((struct slice){names[i], strlen(names[i])});
    system_marked_is_refused();
}

/* They are marks of something; alone they are drawn onto what stands before the name. */
static void test_user_marks(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\u0301", "\u0301\u0301", " \u0301", "\u0301 \u0302", "\u20dd",       "\u0336",
        "\u093e", "\u094d",       "\u0e49",  "\u064b",        "\u094d\u200d", "\u200b\u0301",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        user_refused((struct slice){bad[i], strlen(bad[i])});
    user_stays(SLICE_LIT("a\u0301"));
    user_stays(SLICE_LIT(".\u0301"));
    user_stays(SLICE_LIT("◌\u0301"));
}

/* Every string near it: what costs no table says the same of ASCII as the tables do. */
static void test_ascii_is_no_shortcut(void **state)
{
    (void)state;
    static const char letters[] = "sSyYtTeEmMrRnN5$1lI|0O \"'`.-_:[";
    for (unsigned round = 0; round < 40000; round++) {
        char text[16];
        static const char *const words[] = {"system", "systern", "[system]", "-systern:"};
        size_t len = (size_t)sprintf(text, "%s", words[round % 4]);
        uint32_t random = round * 2654435761u;
        for (unsigned i = 0; i <= round % 3; i++) {
            random = random * 1664525 + 1013904223;
            text[(random >> 8) % len] = letters[(random >> 16) % (sizeof(letters) - 1)];
        }
        bool fast = look_is_system((struct slice){text, len});
        text[len++] = '\xcc'; /* U+0301: a mark, which does not count, but is not ASCII */
        text[len++] = '\x81';
        if (fast != look_is_system((struct slice){text, len})) fail_msg("%.*s", (int)len, text);
    }
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
        cmocka_unit_test(test_room_names),
        cmocka_unit_test(test_room_names_refused),
        cmocka_unit_test(test_room_single_bytes),
        cmocka_unit_test(test_room_length),
        cmocka_unit_test(test_user_trim_each_space),
        cmocka_unit_test(test_user_rules),
        cmocka_unit_test(test_user_stays),
        cmocka_unit_test(test_user_nobody_sees),
        cmocka_unit_test(test_user_system),
        cmocka_unit_test(test_user_marks),
        cmocka_unit_test(test_ascii_is_no_shortcut),
        cmocka_unit_test(test_room_check),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
