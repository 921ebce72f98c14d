/* Is a page one of this server's own? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/origin.h"

static struct slice of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

struct pair {
    const char *origin;
    const char *host;
};

static void test_same(void **state)
{
    (void)state;
    static const struct pair same[] = {
        {"http://localhost:8000", "localhost:8000"},
        {"https://chat.example.org", "chat.example.org"},
        {"https://chat.example.org", "chat.example.org:443"},
        {"https://chat.example.org:443", "chat.example.org"},
        {"http://chat.example.org", "chat.example.org"},
        {"http://chat.example.org", "chat.example.org:80"},
        {"http://chat.example.org", "chat.example.org:"},
        {"https://chat.example.org:8443", "chat.example.org:8443"},
        {"https://Chat.Example.ORG", "chat.eXample.org"},
        {"HTTPS://chat.example.org", "chat.example.org"},
        {"https://chat.example.org.", "chat.example.org"},
        {"https://chat.example.org", "chat.example.org.:443"},
        {"http://192.168.1.7:8000", "192.168.1.7:8000"},
        {"http://[::1]:8000", "[::1]:8000"},
        {"http://[2001:db8::A]", "[2001:DB8::a]"},
        {"https://[2001:db8::a]", "[2001:db8::a]:443"},
        {"http://localhost:8000", "localhost:08000"},
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        if (!origin_is_same(of(same[i].origin), of(same[i].host)))
            fail_msg("%s is not %s", same[i].origin, same[i].host);
}

static void test_not_same(void **state)
{
    (void)state;
    static const struct pair other[] = {
        {"http://localhost:3000", "localhost:8000"},
        {"http://localhost", "localhost:8000"},
        {"http://localhost:8000", "localhost"},
        {"https://chat.example.org", "chat.example.org:80"},
        {"http://chat.example.org", "chat.example.org:443"},
        {"https://chat.example.org:8443", "chat.example.org"},
        {"https://chat.example.org", "chat.example.org.evil.example"},
        {"https://chat.example.org.evil.example", "chat.example.org"},
        {"https://evilchat.example.org", "chat.example.org"},
        {"https://chat.example.org..", "chat.example.org"},
        {"http://[::1]:8000", "[::2]:8000"},
        {"http://[::1]:8000", "localhost:8000"},
        {"http://127.0.0.1:8000", "localhost:8000"},
        {"null", "null"},
        {"", ""},
        {"http://", ""},
        {"http://:80", ":80"},
        {"https://chat.example.org/", "chat.example.org"},
        {"https://user@chat.example.org", "chat.example.org"},
        {"https://chat.example.org https://b", "chat.example.org"},
        {"file://", ""},
        {"app://chat.example.org", "chat.example.org"},
        {"capacitor://localhost", "localhost"},
        {"http://a:0", "a:0"},
        {"http://a:65536", "a:65536"},
        {"http://a:4294967376", "a:80"},
        {"http://a:8x", "a:8x"},
        {"http://[::1", "[::1"},
        {"http://[]", "[]"},
        {"http://[::1]x", "[::1]x"},
        {"http://a,b", "a,b"},
        {"://a", "a"},
    };
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        if (origin_is_same(of(other[i].origin), of(other[i].host)))
            fail_msg("%s is %s", other[i].origin, other[i].host);
    assert_false(origin_is_same((struct slice){NULL, 0}, of("a")));
    assert_false(origin_is_same(of("http://a"), (struct slice){NULL, 0}));
    assert_false(origin_is_same((struct slice){"http://a\0b", 10}, (struct slice){"a\0b", 3}));
}

/* What is neither: a name, or nothing at all. */
static const char *const names[] = {"example.org",
                                    "localhost.example.org",
                                    "notlocalhost",
                                    "evil.example:8000",
                                    "1.2.3",
                                    "1.2.3.4.5",
                                    "1.2.3.256",
                                    "1.2.3.4..",
                                    "1.2.3.4.evil.org",
                                    "",
                                    ".localhost",
                                    "localhost:x",
                                    "localhost:80.evil.org",
                                    "localhost:80@evil.org",
                                    ".localhost.org",
                                    "0x7f.0.0.1",
                                    "0177.0.0.1",
                                    "2130706433",
                                    "127.1",
                                    "127.0.0.1evil",
                                    "1..2.3",
                                    "localhost:8:8",
                                    "local host",
                                    "xlocalhost:80",
                                    "127.0.0.1.nip.io",
                                    "127.0.0.1:80.evil.org",
                                    "::1",
                                    "[127.0.0.1]",
                                    "[::1%lo]",
                                    "[::1",
                                    "[]",
                                    "[:]",
                                    "[::1].org",
                                    "[::1]evil.org",
                                    "[localhost]"};

static void test_local(void **state)
{
    (void)state;
    static const char *const local[] = {
        "localhost",  "localhost:8000", "LocalHost.:8000",    "a.localhost",
        "127.0.0.1",  "127.0.0.1:8000", "127.255.255.254:80", "127.0.0.1.",
        "[::1]:8000", "[0:0::1]",       "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]:80"};
    static const char *const addresses[] = {
        "10.0.0.255", "192.168.1.7:8000", "128.0.0.1",         "[fe80::1]", "[::2]:80",
        "[::]",       "[2001:db8::]",     "[::ffff:10.0.0.1]", "0.0.0.0",   "[::127.0.0.1]"};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (!origin_host_is_local(of(local[i]))) fail_msg("%s is not local", local[i]);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (origin_host_is_local(of(names[i]))) fail_msg("%s is local", names[i]);
        if (origin_host_is_address(of(names[i]))) fail_msg("%s is an address", names[i]);
    }
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        if (origin_host_is_local(of(addresses[i]))) fail_msg("%s is local", addresses[i]);
        if (!origin_host_is_address(of(addresses[i]))) fail_msg("%s is none", addresses[i]);
    }
    assert_true(origin_host_is_address(of("127.0.0.1:8000")));
    assert_true(origin_host_is_address(of("[::1]:8000")));
    assert_false(origin_host_is_address(of("a.localhost")));
    assert_true(origin_host_is(of("chat.example.org:8000"), of("https://chat.example.org")));
    assert_true(origin_host_is(of("Chat.Example.org."), of("https://chat.example.org:8443")));
    assert_false(origin_host_is(of("chat.example.org"), of("https://example.org")));
    assert_false(origin_host_is(of("null"), of("null")));
}

static void test_local_origin(void **state)
{
    (void)state;
    static const char *const local[] = {"",
                                        "null",
                                        "http://localhost",
                                        "https://localhost:3000",
                                        "http://app.localhost:3000",
                                        "http://127.0.0.1:8000",
                                        "http://[::1]:8000",
                                        "http://[::ffff:127.0.0.1]",
                                        "capacitor://localhost"};
    static const char *const foreign[] = {"https://example.org",
                                          "http://10.0.0.1",
                                          "http://localhost.example.org",
                                          "http://localhost:80@example.org",
                                          "http://127.0.0.1:80.example.org",
                                          "http://[::1].example.org",
                                          "http://localhost/",
                                          "localhost",
                                          "nul",
                                          "file://"};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (!origin_is_local(of(local[i]))) fail_msg("%s is not local", local[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (origin_is_local(of(foreign[i]))) fail_msg("%s is local", foreign[i]);
    assert_true(origin_is_local((struct slice){NULL, 0}));
}

/* What comes from a stranger is to be pasted into a shell. */
static void test_option(void **state)
{
    (void)state;
    char out[ORIGIN_OPTION_MAX];
    static const struct pair good[] = {
        {"https://app.example.org", "--origins https://app.example.org"},
        {"http://localhost:3000", "--origins http://localhost:3000"},
        {"null", "--origins null"},
        {"http://[::1]:3000", "--origins 'http://[::1]:3000'"},
        {"capacitor://localhost", "--origins capacitor://localhost"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(origin_option(of(good[i].origin), out));
        assert_string_equal(out, good[i].host);
    }
    static const char *const bad[] = {"",
                                      "https://a b",
                                      "https://$(reboot)",
                                      "https://a;reboot",
                                      "https://a'b",
                                      "https://a\"b",
                                      "https://a\\b",
                                      "https://a/b",
                                      "https://a`b`",
                                      "$x://a",
                                      "https://\xc3\xa9",
                                      "https://a\x1b[1m",
                                      "nul"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (origin_option(of(bad[i]), out)) fail_msg("\"%s\" was made an option", bad[i]);
        assert_string_equal(out, "");
    }
    assert_true(origin_host_option(of("chat.example.org:8000"), out));
    assert_string_equal(out, "--origins http://chat.example.org:8000");
    assert_false(origin_host_option(of("a;b"), out));
    char longest[ORIGIN_BYTES_MAX + 2] = "https://";
    memset(longest + 8, 'a', sizeof longest - 9);
    longest[sizeof longest - 1] = '\0';
    assert_false(origin_option(of(longest), out));
    assert_true(origin_host_option(of(longest + 8), out)); /* one letter less */
    longest[ORIGIN_BYTES_MAX] = '\0';
    assert_true(origin_option(of(longest), out));
    assert_int_equal(strlen(out), ORIGIN_BYTES_MAX + sizeof "--origins " - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),   cmocka_unit_test(test_not_same),
        cmocka_unit_test(test_local),  cmocka_unit_test(test_local_origin),
        cmocka_unit_test(test_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
