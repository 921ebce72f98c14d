/* Addresses and networks: what is one, what is none, and what lies in which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/ip.h"

static struct slice slice(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static void test_parse(void **state)
{
    (void)state;
    uint8_t ip[IP_BYTES];
    static const uint8_t v4[IP_BYTES] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
    assert_true(ip_parse(slice("192.0.2.1"), ip));
    assert_memory_equal(ip, v4, IP_BYTES);
    assert_true(ip_parse(slice("::ffff:192.0.2.1"), ip)); /* the same client */
    assert_memory_equal(ip, v4, IP_BYTES);
    static const uint8_t v6[IP_BYTES] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    assert_true(ip_parse(slice("2001:DB8::1"), ip));
    assert_memory_equal(ip, v6, IP_BYTES);
    static const char *const bad[] = {
        "",           "1.2.3",     "1.2.3.256",
        "1.2.3.4 ",   " ::1",      "::1%eth0",
        "[::1]",      "1.2.3.4:5", "localhost",
        "01.2.3.4.5", ":",         "1111:2222:3333:4444:5555:6666:123.123.123.1234567890"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (ip_parse(slice(bad[i]), ip)) fail_msg("\"%s\" was taken", bad[i]);
        assert_memory_equal(ip, v6, IP_BYTES);
    }
    assert_false(ip_parse((struct slice){"::1\0", 4}, ip));
    assert_false(ip_parse((struct slice){NULL, 0}, ip));
}

static bool loopback(const char *text)
{
    uint8_t ip[IP_BYTES];
    assert_true(ip_parse(slice(text), ip));
    return ip_is_loopback(ip);
}

static void test_loopback(void **state)
{
    (void)state;
    assert_true(loopback("127.0.0.1"));
    assert_true(loopback("127.255.0.9"));
    assert_true(loopback("::1"));
    assert_false(loopback("126.0.0.1"));
    assert_false(loopback("::2"));
    assert_false(loopback("::"));
}

static bool has(const char *net_text, const char *text)
{
    struct ip_net net;
    uint8_t ip[IP_BYTES];
    assert_true(ip_net_parse(slice(net_text), &net));
    assert_true(ip_parse(slice(text), ip));
    return ip_net_has(&net, ip);
}

static void test_nets(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.1.2"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("192.0.2.64/27", "192.0.2.95"));
    assert_false(has("192.0.2.64/27", "192.0.2.96"));
    assert_false(has("192.0.2.64/27", "192.0.2.63"));
    assert_true(has("192.0.2.1", "192.0.2.1"));
    assert_false(has("192.0.2.1", "192.0.2.2"));
    assert_true(has("0.0.0.0/0", "8.8.8.8"));
    assert_false(has("0.0.0.0/0", "2001:db8::1")); /* an IPv4 network holds no IPv6 address */
    assert_true(has("::/0", "2001:db8::1"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("2001:db8::1", "2001:db8::1"));
    assert_false(has("2001:db8::1/128", "2001:db8::2"));
}

static void test_net_texts(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"10.0.0.0/8", "10.0.0.0/8"},       {"10.1.2.3", "10.1.2.3/32"},
        {"0.0.0.0/0", "0.0.0.0/0"},         {"::/0", "::/0"},
        {"2001:db8::/32", "2001:db8::/32"}, {"::1", "::1/128"},
        {"::ffff:0.0.0.0/96", "0.0.0.0/0"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[IP_NET_TEXT_MAX];
        struct ip_net net;
        assert_true(ip_net_parse(slice(texts[i][0]), &net));
        ip_net_text(&net, text);
        assert_string_equal(text, texts[i][1]);
    }
    static const char *const bad[] = {
        "",           "/8",          "10.0.0.0/",       "10.0.0.0/33",
        "10.0.0.1/8", "10.0.0.0/08", "10.0.0.0/-1",     "10.0.0.0/8 ",
        "::1/129",    "::1/64",      "2001:db8::/1000", "10.0.0.0/8/8",
        "x/8"};
    struct ip_net net;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (ip_net_parse(slice(bad[i]), &net)) fail_msg("\"%s\" was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_nets),
        cmocka_unit_test(test_net_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
