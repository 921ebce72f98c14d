/* Whose a request is: what proxies appended counts, what a client wrote in front does not, and
 * what cannot be read leaves the peer's address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/forwarded.h"

#define PEER "10.0.0.1"

static struct ip_net trusted[2];
static struct forwarded_rules rules = {.trusted = trusted, .trusted_count = 2};

static struct slice slice(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static int set_up(void **state)
{
    (void)state;
    bool good = ip_net_parse(slice("10.0.0.0/8"), &trusted[0]);
    return good && ip_net_parse(slice("2001:db8:1::/48"), &trusted[1]) ? 0 : -1;
}

/* lines: whole header lines. want: the client, or NULL if nothing can be said. */
static void expect(const char *lines, const char *want)
{
    char head[4096];
    struct http_request r;
    uint8_t ip[IP_BYTES];
    uint8_t wanted[IP_BYTES];
    int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    assert_true(n > 0 && (size_t)n < sizeof head);
    char *copy = malloc((size_t)n);
    assert_non_null(copy);
    memcpy(copy, head, (size_t)n);
    assert_int_equal(http_request_parse(copy, (size_t)n, &r), 0);
    assert_true(ip_parse(slice(PEER), ip));
    assert_true(ip_parse(slice(want ? want : PEER), wanted));
    bool found = forwarded_client(&r, &rules, ip);
    free(copy);
    if (found != (want != NULL) || memcmp(ip, wanted, IP_BYTES) != 0) fail_msg("%s", lines);
}

static void test_x_forwarded_for(void **state)
{
    (void)state;
    rules.header = FORWARDED_X_FORWARDED_FOR;
    expect("", NULL);
    expect("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1");
    expect("x-forwarded-for:\t 192.0.2.1 \t\r\n", "192.0.2.1");
    expect("X-Forwarded-For: 192.0.2.1:4711\r\n", "192.0.2.1");
    expect("X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1");
    expect("X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1");
    expect("X-Forwarded-For: [2001:db8::1]:4711\r\n", "2001:db8::1");
    expect("X-Forwarded-For: ::ffff:192.0.2.1\r\n", "192.0.2.1");
    /* From the right, and no further than trust reaches. */
    expect("X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n", "192.0.2.1");
    expect("X-Forwarded-For: 198.51.100.9, 192.0.2.1,10.0.0.2, 2001:db8:1::5\r\n", "192.0.2.1");
    expect("X-Forwarded-For: junk!, \", 192.0.2.1\r\n", "192.0.2.1");
    expect("X-Forwarded-For: 198.51.100.9\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1");
    expect("X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\nX-Forwarded-For: 10.0.0.2\r\n",
           "192.0.2.1");
    expect("X-Forwarded-For: 10.9.9.9, 10.0.0.2\r\n", "10.9.9.9"); /* from within */
    /* Empty elements say nothing. */
    expect("X-Forwarded-For: \r\n", NULL);
    expect("X-Forwarded-For: ,\r\n", NULL);
    expect("X-Forwarded-For: 192.0.2.1, ,\r\n", "192.0.2.1");
    /* What cannot be read is not passed over: what stands left of it is not the proxy's word. */
    static const char *const bad[] = {"unknown",
                                      "192.0.2.1, unknown",
                                      "192.0.2.1, junk, 10.0.0.2",
                                      "192.0.2.256",
                                      "192.0.2.1:x",
                                      "192.0.2.1:",
                                      "192.0.2.1:123456",
                                      "[2001:db8::1",
                                      "[2001:db8::1]x",
                                      "[192.0.2.1]",
                                      "\"192.0.2.1\"",
                                      "192.0.2.1;",
                                      "fe80::1%eth0",
                                      "[]",
                                      "[",
                                      ":",
                                      "192.0.2.1 1",
                                      "_hidden"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[256];
        snprintf(line, sizeof line, "X-Forwarded-For: %s\r\n", bad[i]);
        expect(line, NULL);
    }
    /* Other headers are not heard. */
    expect("X-Real-IP: 192.0.2.1\r\nForwarded: for=192.0.2.2\r\n", NULL);
    expect("X-Forwarded-For: 192.0.2.3\r\nX-Real-IP: 192.0.2.1\r\n", "192.0.2.3");
}

static void test_hops(void **state)
{
    (void)state;
    char lines[4096] = "X-Forwarded-For: 192.0.2.1";
    rules.header = FORWARDED_X_FORWARDED_FOR;
    for (int i = 1; i < FORWARDED_HOPS_MAX; i++)
        strcat(lines, ",10.0.0.2");
    char more[sizeof lines + 16];
    strcpy(more, lines);
    strcat(more, ",10.0.0.2\r\n");
    strcat(lines, "\r\n");
    expect(lines, "192.0.2.1");
    expect(more, NULL);
}

static void test_forwarded(void **state)
{
    (void)state;
    rules.header = FORWARDED_RFC7239;
    expect("", NULL);
    expect("Forwarded: for=192.0.2.1\r\n", "192.0.2.1");
    expect("Forwarded: For=\"192.0.2.1:4711\"\r\n", "192.0.2.1");
    expect("Forwarded: for=192.0.2.1;proto=http;by=203.0.113.43\r\n", "192.0.2.1");
    expect("Forwarded: by=203.0.113.43; for=192.0.2.1\r\n", "192.0.2.1");
    expect("Forwarded: FOR=\"[2001:db8:cafe::17]:4711\"\r\n", "2001:db8:cafe::17");
    expect("Forwarded: for=198.51.100.9, for=192.0.2.1;secret=x, for=10.0.0.2\r\n", "192.0.2.1");
    expect("Forwarded: for=198.51.100.9\r\nForwarded: for=192.0.2.1\r\n", "192.0.2.1");
    expect("Forwarded: for=\"x, for=192.0.2.1\r\n",
           "192.0.2.1"); /* an open quote of the client's */
    expect("Forwarded: for=192.0.2.1;host=\"a\\\"b\"\r\n", "192.0.2.1");
    static const char *const bad[] = {
        "for=unknown",
        "for=_hidden",
        "for=\"_SEVKISEK\"",
        "192.0.2.1",
        "proto=http",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;",
        "for=192.0.2.1;;proto=http",
        "for= 192.0.2.1",
        "for =192.0.2.1",
        "for=\"192.0.2.1",
        "for=\"192.0.2.1\"x",
        "for=",
        "=192.0.2.1",
        "for=192.0.2.1;host=\"a,for=198.51.100.9\"", /* of the client's Host */
        "for=192.0.2.1;host=\"a,for=198.51.100.9;x=\\\"\"",
        "for=\"192.0.2.\\1\"",
        "for=\"",
        "for=\"\\",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[256];
        snprintf(line, sizeof line, "Forwarded: %s\r\n", bad[i]);
        expect(line, NULL);
    }
    expect("X-Forwarded-For: 192.0.2.1\r\n", NULL);
}

static void test_x_real_ip(void **state)
{
    (void)state;
    rules.header = FORWARDED_X_REAL_IP;
    expect("X-Real-IP: 192.0.2.1\r\n", "192.0.2.1");
    expect("X-Real-IP: 10.9.9.9\r\n", "10.9.9.9");
    expect("X-Real-IP: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n", NULL);
    expect("X-Real-IP: 192.0.2.1, 192.0.2.2\r\n", NULL);
    expect("X-Real-IP: \r\n", NULL);
    expect("X-Forwarded-For: 192.0.2.1\r\n", NULL);
}

static bool tells(const char *lines, bool (*what)(const struct http_request *r))
{
    char head[512];
    struct http_request r;
    int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    assert_int_equal(http_request_parse(head, (size_t)n, &r), 0);
    return what(&r);
}

static bool marked(const char *lines)
{
    return tells(lines, forwarded_is_marked);
}

static bool names_client(const char *lines)
{
    return tells(lines, forwarded_names_client);
}

static void test_marked(void **state)
{
    (void)state;
    assert_false(marked("X-Forwarded: a\r\nX-Real: b\r\nAccept: Via\r\n"));
    assert_true(marked("x-forwarded-proto: https\r\n"));
    assert_true(marked("X-Forwarded-For:\r\n"));
    assert_true(marked("Forwarded: x\r\n"));
    assert_true(marked("x-real-ip: x\r\n"));
    assert_true(marked("Via: 1.1 x\r\n"));
}

static void test_names_client(void **state)
{
    (void)state;
    assert_false(names_client("X-Forwarded-Proto: https\r\nVia: 1.1 x\r\nX-Real: b\r\n"));
    assert_true(names_client("x-forwarded-for: 192.0.2.1\r\n"));
    assert_true(names_client("Via: 1.1 x\r\nFORWARDED: for=unknown\r\n"));
    assert_true(names_client("X-Real-IP: x\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x_forwarded_for), cmocka_unit_test(test_hops),
        cmocka_unit_test(test_forwarded),       cmocka_unit_test(test_x_real_ip),
        cmocka_unit_test(test_marked),          cmocka_unit_test(test_names_client),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
