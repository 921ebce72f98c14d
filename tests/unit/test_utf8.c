/* utf8: against an independent decoder, at every split point, and failing at the earliest byte. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The other way to say it: decode, then judge the code point. Only for whole texts. */
static bool reference_valid(const uint8_t *p, size_t n)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < n;) {
        uint32_t c = p[i++];
        if (c < 0x80) continue;
        unsigned more;
        if ((c & 0xE0) == 0xC0) {
            more = 1;
            c &= 0x1F;
        } else if ((c & 0xF0) == 0xE0) {
            more = 2;
            c &= 0x0F;
        } else if ((c & 0xF8) == 0xF0) {
            more = 3;
            c &= 0x07;
        } else {
            return false;
        }
        for (unsigned k = 0; k < more; k++) {
            if (i == n || (p[i] & 0xC0) != 0x80) return false;
            c = c << 6 | (p[i++] & 0x3F);
        }
        if (c < smallest[more] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return false;
    }
    return true;
}

struct sample {
    const char *text;
    int fails_at; /* index of the byte that must be refused; OK; or OPEN at the end */
};

enum { OK = -1, OPEN = -2 };

/* Greek and Deseret texts with an error in them are the kind of case conformance suites use. */
static const struct sample samples[] = {
    {"", OK},
    {"Hello-\xC2\xB5@\xC3\x9F\xC3\xB6\xC3\xA4\xC3\xBC\xC3\xA0\xC3\xA1-UTF-8!!", OK},
    {"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5", OK},
    {"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80"
     "edited",
     12}, /* surrogate: its second byte shows it */
    {"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80"
     "edited",
     12}, /* U+110000 */
    {"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE", OPEN},
    {"\x7F", OK},
    {"\xC2\x80", OK},
    {"\xDF\xBF", OK},
    {"\xE0\xA0\x80", OK},
    {"\xED\x9F\xBF", OK},
    {"\xEE\x80\x80", OK},
    {"\xEF\xBF\xBD", OK},
    {"\xEF\xBF\xBF", OK},
    {"\xF0\x90\x80\x80", OK},
    {"\xF0\x90\x90\xB7\xF0\x90\x90\xB7", OK},
    {"\xF4\x8F\xBF\xBF", OK},
    {"\xF0\x9F\x98\x80!", OK},
    {"\x80", 0},
    {"\xBF", 0},
    {"a\x80", 1},
    {"\xC0\xAF", 0},
    {"\xC1\xBF", 0},
    {"\xC2", OPEN},
    {"\xC2\x41", 1},
    {"\xC2\xC2\x80", 1},
    {"\xE0\x80\xAF", 1},
    {"\xE0\x9F\xBF", 1},
    {"\xE1\x80", OPEN},
    {"\xE1\x80\x41", 2},
    {"\xED\xA0\x80", 1},
    {"\xED\xAF\xBF\xED\xBF\xBF", 1},
    {"\xF0\x80\x80\xAF", 1},
    {"\xF0\x8F\xBF\xBF", 1},
    {"\xF0\x90\x80", OPEN},
    {"\xF1\x80\x80\xC0", 3},
    {"\xF4\x90\x80\x80", 1},
    {"\xF5\x80\x80\x80", 0},
    {"\xF8\x88\x80\x80\x80", 0},
    {"\xFC\x84\x80\x80\x80\x80", 0},
    {"\xFE", 0},
    {"\xFF", 0},
};

/* Feeds byte by byte; OK, OPEN or the index of the refused byte. */
static int outcome(const uint8_t *p, size_t n)
{
    struct utf8 u = {0};
    for (size_t i = 0; i < n; i++) {
        if (!utf8_feed(&u, p + i, 1)) return (int)i;
    }
    return utf8_complete(&u) ? OK : OPEN;
}

static void test_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        const uint8_t *p = (const uint8_t *)samples[i].text;
        size_t n = strlen(samples[i].text);
        assert_int_equal(outcome(p, n), samples[i].fails_at);
        assert_int_equal(utf8_valid(p, n), samples[i].fails_at == OK);
        assert_int_equal(reference_valid(p, n), samples[i].fails_at == OK);
    }
}

static void test_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        const uint8_t *p = (const uint8_t *)samples[i].text;
        size_t n = strlen(samples[i].text);
        int fails_at = samples[i].fails_at;
        for (size_t cut = 0; cut <= n; cut++) {
            struct utf8 u = {0};
            bool first = utf8_feed(&u, p, cut);
            assert_int_equal(first, fails_at < 0 || (size_t)fails_at >= cut);
            if (!first) continue;
            assert_int_equal(utf8_feed(&u, p + cut, n - cut), fails_at < 0);
            if (fails_at < 0) assert_int_equal(utf8_complete(&u), fails_at == OK);
        }
    }
}

static void test_all_sequences_up_to_three(void **state)
{
    (void)state;
    for (uint32_t v = 0; v < 0x10000; v++) {
        uint8_t two[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        if (utf8_valid(two, 2) != reference_valid(two, 2)) fail_msg("%04x", v);
    }
    for (uint32_t v = 0xC00000; v < 0x1000000; v++) {
        uint8_t three[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        if (utf8_valid(three, 3) != reference_valid(three, 3)) fail_msg("%06x", v);
    }
}

static void test_four_byte_edges(void **state)
{
    (void)state;
    static const uint8_t edge[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F,
                                   0xA0, 0xBF, 0xC0, 0xE0, 0xF4, 0xFF};
    const unsigned n = sizeof(edge);
    for (uint32_t v = 0xE000; v < 0x10000; v++) {
        for (unsigned k = 0; k < n * n; k++) {
            uint8_t four[4] = {(uint8_t)(v >> 8), (uint8_t)v, edge[k / n], edge[k % n]};
            if (utf8_valid(four, 4) != reference_valid(four, 4)) fail_msg("%04x %u", v, k);
        }
    }
}

static void test_all_code_points(void **state)
{
    (void)state;
    for (uint32_t c = 0x10000; c <= 0x110000; c++) {
        uint8_t four[4] = {(uint8_t)(0xF0 | c >> 18), (uint8_t)(0x80 | (c >> 12 & 0x3F)),
                           (uint8_t)(0x80 | (c >> 6 & 0x3F)), (uint8_t)(0x80 | (c & 0x3F))};
        if (utf8_valid(four, 4) != (c <= 0x10FFFF)) fail_msg("U+%X", c);
    }
}

/* The run of ASCII is skipped in words: a bad byte may hide at any place and alignment. */
static void test_ascii_runs(void **state)
{
    (void)state;
    uint8_t text[64];
    for (size_t start = 0; start < 9; start++) {
        for (size_t n = 0; start + n <= sizeof(text); n++) {
            memset(text, 0xFF, sizeof(text));
            memset(text + start, 'a', n);
            assert_true(utf8_valid(text + start, n));
            for (size_t bad = 0; bad < n; bad++) {
                text[start + bad] = 0x80;
                assert_int_equal(outcome(text + start, n), bad);
                assert_false(utf8_valid(text + start, n));
                text[start + bad] = 'a';
            }
        }
    }
}

static void test_nothing(void **state)
{
    (void)state;
    struct utf8 u = {0};
    assert_true(utf8_feed(&u, NULL, 0));
    assert_true(utf8_complete(&u));
    assert_true(utf8_valid(NULL, 0));
    assert_true(utf8_feed(&u, (const uint8_t *)"\xE2", 1));
    assert_true(utf8_feed(&u, NULL, 0));
    assert_false(utf8_complete(&u));
    assert_true(sizeof(struct utf8) <= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_all_sequences_up_to_three),
        cmocka_unit_test(test_four_byte_edges),
        cmocka_unit_test(test_all_code_points),
        cmocka_unit_test(test_ascii_runs),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
