/* proto/cookie: which cookies of a request are picked, and that they stay as they came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "proto/cookie.h"
#include "proto/http.h"

/* The lines are headers of a request; what is picked of them by these names has to be this. */
static void check_picked(const char *names, const char *lines, const char *want)
{
    char head[2048];
    char out[256];
    size_t len;
    struct http_request r;
    int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    assert_int_equal(http_request_parse(head, (size_t)n, &r), 0);
    assert_int_equal(cookie_pick(&r, slice_of(names), out, sizeof out, &len), 0);
    if (len != strlen(want) || memcmp(out, want, len) != 0)
        fail_msg("%s of %s: %.*s", names, lines, (int)len, out);
}

static void test_picked(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"sid", "Cookie: sid=1\r\n", "sid=1"},
        {"sid", "cookie:a=b;sid=1 ;c=d\r\n", "sid=1"},
        {"sid,csrf", "Cookie: x=0; csrf=2; sid=1\r\n", "csrf=2; sid=1"},
        {" sid , csrf ", "Cookie: csrf=2; sid=1\r\n", "csrf=2; sid=1"},
        /* Values as they came, whatever is in them. */
        {"sid", "Cookie: sid=a=b==\r\n", "sid=a=b=="},
        {"sid", "Cookie: sid=\"a b, c\"\r\n", "sid=\"a b, c\""},
        {"sid", "Cookie: sid=\r\n", "sid="},
        {"sid", "Cookie: sid=\xc3\xa9%0d%0a\r\n", "sid=\xc3\xa9%0d%0a"},
        /* The site sees both, as it would from the browser. */
        {"sid", "Cookie: sid=1; sid=2\r\n", "sid=1; sid=2"},
        {"sid", "Cookie: sid=1\r\nCookie: a=b\r\nCookie: sid=2\r\n", "sid=1; sid=2"},
        /* Others are nobody's business. */
        {"sid", "Cookie: SID=1; sidx=2; xsid=3; sid\r\n", ""},
        {"sid", "Cookie: a=\"; sid=1; \"\r\n", "sid=1"},
        {"sid", "Cookie: ;;; =1; sid =2\r\n", ""},
        {"sid", "Cookie: \r\n", ""},
        {"sid", "X-Cookie: sid=1\r\n", ""},
        {"sid", "", ""},
        {"", "Cookie: sid=1\r\n", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_picked(rows[i][0], rows[i][1], rows[i][2]);
}

static void test_too_much(void **state)
{
    (void)state;
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=12345; a=6\r\n\r\n";
    char out[12];
    size_t len;
    struct http_request r;
    assert_int_equal(http_request_parse(head, sizeof head - 1, &r), 0);
    assert_int_equal(cookie_pick(&r, SLICE_LIT("a"), out, 12, &len), 0);
    assert_int_equal(len, 12);
    for (size_t cap = 0; cap < 12; cap++)
        assert_int_equal(cookie_pick(&r, SLICE_LIT("a"), out, cap, &len), ERR_HEAD_TOO_LARGE);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {"sessionid",    "a,b",
                                       " a , b ",      "__Host-sid",
                                       "_app_session", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"};
    static const char *const bad[] = {
        "",    " ",   ",",     "a,,b",     "a b",
        "a=b", "a;b", "\"a\"", "\xc3\xa9", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!cookie_names_valid(slice_of(good[i]))) fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (cookie_names_valid(slice_of(bad[i]))) fail_msg("%s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picked),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
