/* Addresses of JWK Sets: what is taken, how it is shown, what is refused and in what words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "auth/fetch_url.h"
#include "base/err.h"

static void test_taken(void **state)
{
    (void)state;
    static const struct {
        const char *given, *text, *shown;
        bool is_plain;
    } rows[] = {
        {"https://a.example/keys", "https://a.example/keys", "https://a.example/keys", false},
        {"HTTPS://a.example", "https://a.example/", "https://a.example/", false},
        {"https://a.example:8443/k?key=secret#top", "https://a.example:8443/k?key=secret",
         "https://a.example:8443/k", false},
        {"https://10.0.0.1/k", "https://10.0.0.1/k", "https://10.0.0.1/k", false},
        {"http://localhost:3000/k?a=b", "http://localhost:3000/k?a=b", "http://localhost:3000/k",
         true},
        {"http://issuer.localhost/k", "http://issuer.localhost/k", "http://issuer.localhost/k",
         true},
        {"http://127.0.0.1/k", "http://127.0.0.1/k", "http://127.0.0.1/k", true},
        {"http://127.9.9.9/k", "http://127.9.9.9/k", "http://127.9.9.9/k", true},
        {"http://[::1]:80/k", "http://[::1]:80/k", "http://[::1]:80/k", true},
        {"http://2130706433/k", "http://127.0.0.1/k", "http://127.0.0.1/k", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fetch_url url;
        const char *why = "?";
        assert_int_equal(fetch_url_parse(rows[i].given, &url, &why), 0);
        assert_null(why);
        assert_string_equal(url.text, rows[i].text);
        assert_string_equal(url.shown, rows[i].shown);
        assert_int_equal(url.is_plain, rows[i].is_plain);
    }
}

static void check_refused(const char *given, const char *word)
{
    struct fetch_url url;
    const char *why = NULL;
    int err = fetch_url_parse(given, &url, &why);
    if (err != ERR_CONFIG || !why || !strstr(why, word))
        fail_msg("%s: %d, %s", given, err, why ? why : "");
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"http://a.example/k", "https://"},
        {"http://10.0.0.1/k", "https://"},
        {"http://192.168.0.1/k", "https://"},
        {"http://0.0.0.0/k", "https://"},
        {"http://[::]/k", "https://"},
        {"http://[fe80::1]/k", "https://"},
        {"http://localhost.a.example/k", "https://"},
        {"http://notlocalhost/k", "https://"},
        {"http://2130706432.example/k", "https://"},
        {"http://3232235521/k", "https://"},
        {"ftp://localhost/k", "begin with"},
        {"file:///etc/passwd", "begin with"},
        {"file://localhost/etc/passwd", "begin with"},
        {"gopher://localhost/k", "begin with"},
        {"ldap://localhost/k", "begin with"},
        {"ws://localhost/k", "begin with"},
        {"https://user@a.example/k", "user"},
        {"https://user:pass@a.example/k", "user"},
        {"https://:pass@a.example/k", "user"},
        {"https://@a.example/k", "user"},
        {"http://localhost@a.example/k", "user"},
        {"http://localhost\\@a.example/k", "user"},
        {"", "no URL"},
        {"a.example/k", "no URL"},
        {"/etc/passwd", "no URL"},
        {"https:a.example", "no URL"},
        {"https://", "no URL"},
        {"https://a.example/a b", "no URL"},
        {"https://a.example/\r\nX: y", "no URL"},
        {"https://a.example:99999/", "no URL"},
        {"https://a%00.example/", "no URL"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_refused(rows[i][0], rows[i][1]);
}

static void test_length(void **state)
{
    (void)state;
    char text[FETCH_URL_MAX + 1] = "https://a/";
    memset(text + 10, 'x', FETCH_URL_MAX - 1 - 10);
    struct fetch_url url;
    const char *why;
    assert_int_equal(fetch_url_parse(text, &url, &why), 0);
    assert_string_equal(url.text, text);
    text[FETCH_URL_MAX - 1] = 'x';
    check_refused(text, "2047");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
