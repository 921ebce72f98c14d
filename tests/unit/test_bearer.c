/* Where a handshake carries a token: the first place that is used counts, and what is there twice
 * is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/bearer.h"
#include "proto/http.h"

#define OFFER "Sec-WebSocket-Protocol: "

static struct bearer got;

/* lines: whole header lines. */
static int read_from(const char *query, const char *lines, bool authorization)
{
    static char head[4096];
    static struct http_request r;
    int n = snprintf(head, sizeof head, "GET /ws/chat/a/%s HTTP/1.1\r\nHost: a\r\n%s\r\n", query,
                     lines);
    assert_int_equal(http_request_parse(head, (size_t)n, &r), 0);
    return bearer_read(&r, authorization, &got);
}

/* token: NULL: none is carried. */
static void expect(const char *query, const char *lines, const char *token, const char *selected)
{
    assert_int_equal(read_from(query, lines, true), 0);
    assert_int_equal(got.carried, token != NULL);
    if (token) assert_true(slice_is(got.token, token));
    if (selected)
        assert_string_equal(got.subprotocol, selected);
    else
        assert_null(got.subprotocol);
}

static void test_places(void **state)
{
    (void)state;
    expect("", "", NULL, NULL);
    expect("?username=ann", OFFER "chat, parlor.v1\r\n", NULL, "parlor.v1");
    expect("?token=a.b.c", "", "a.b.c", NULL);
    expect("?token=a%2Eb%2ec&token=d", "", "a.b.c", NULL);
    expect("?token=", "", "", NULL);
    expect("?token=q", OFFER "parlor.v1, bearer.o\r\n", "o", "parlor.v1");
    expect("?token=q", OFFER "bearer.o,parlor.bare\r\n", "o", "parlor.bare");
    expect("", OFFER "parlor.bare, bearer., parlor.v1\r\n", "", "parlor.v1");
    expect("", OFFER "parlor.bare\r\nsec-websocket-protocol: bearer.o\r\n", "o", "parlor.bare");
    expect("", OFFER "BEARER.o\r\n", NULL, NULL);
    expect("?token=q", "Authorization: Bearer h\r\n" OFFER "parlor.v1, bearer.o\r\n", "h",
           "parlor.v1");
    expect("", "authorization: bEARER   h\r\n", "h", NULL);
    expect("?token=q", "Authorization: Basic YTpi\r\n", "q", NULL);
    expect("?token=q", "Authorization: Bearer\r\n", "", NULL);
    expect("?token=q", "Authorization: Bearers h\r\n", "q", NULL);
    expect("", "Authorization: Basic YTpi\r\nAuthorization: Bearer h\r\n", "h", NULL);
}

/* A guest's key counts where no token does. */
static void test_guest(void **state)
{
    (void)state;
    expect("", OFFER "parlor.v1, guest.k\r\n", "k", "parlor.v1");
    assert_true(got.guest);
    expect("", OFFER "guest.k\r\nsec-websocket-protocol: parlor.bare\r\n", "k", "parlor.bare");
    assert_true(got.guest);
    expect("", OFFER "parlor.v1, guest.\r\n", "", "parlor.v1");
    assert_true(got.guest);
    expect("", OFFER "parlor.v1, guest.k, bearer.o\r\n", "o", "parlor.v1");
    assert_false(got.guest);
    expect("?token=q", OFFER "parlor.v1, guest.k\r\n", "q", "parlor.v1");
    assert_false(got.guest);
    expect("", "Authorization: Bearer h\r\n" OFFER "parlor.v1, guest.k\r\n", "h", "parlor.v1");
    assert_false(got.guest);
    expect("", OFFER "parlor.v1, GUEST.k, guests\r\n", NULL, "parlor.v1");
    assert_int_equal(read_from("", OFFER "guest.k\r\n", true), ERR_BEARER_ALONE);
    assert_int_equal(read_from("?token=q", OFFER "guest.k\r\n", true), ERR_BEARER_ALONE);
    assert_int_equal(read_from("", OFFER "parlor.v1, guest.k, guest.k\r\n", true), ERR_BAD_REQUEST);
}

static void test_another_authorization(void **state)
{
    (void)state;
    assert_int_equal(read_from("", "Authorization: Bearer h\r\nAuthorization: Bearer h\r\n", false),
                     0);
    assert_false(got.carried);
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(read_from("", OFFER "bearer.o\r\n", true), ERR_BEARER_ALONE);
    assert_int_equal(read_from("", OFFER "chat, bearer.o, PARLOR.V1\r\n", true), ERR_BEARER_ALONE);
    assert_int_equal(read_from("", OFFER "parlor.v1, bearer.o, bearer.o\r\n", true),
                     ERR_BAD_REQUEST);
    assert_int_equal(read_from("", "Authorization: Bearer a\r\nauthorization: Bearer a\r\n", true),
                     ERR_BAD_REQUEST);
    assert_int_equal(read_from("?token=%zz", "", true), ERR_BAD_REQUEST);
    /* Even of one that is not looked at, the browser could select nothing. */
    assert_int_equal(read_from("", "Authorization: Bearer h\r\n" OFFER "bearer.o\r\n", true),
                     ERR_BEARER_ALONE);
}

static void test_long(void **state)
{
    (void)state;
    static char query[BEARER_TOKEN_MAX + 16];
    static char head[BEARER_TOKEN_MAX + 256];
    struct http_request r;
    for (size_t over = 0; over <= 1; over++) {
        memset(query, 'a', sizeof query);
        query[BEARER_TOKEN_MAX + over] = '\0';
        int n = snprintf(head, sizeof head, "GET /?token=%s HTTP/1.1\r\nHost: a\r\n\r\n", query);
        assert_int_equal(http_request_parse(head, (size_t)n, &r), 0);
        assert_int_equal(bearer_read(&r, true, &got), over ? ERR_TOO_LONG : 0);
        if (!over) assert_int_equal(got.token.len, BEARER_TOKEN_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_guest),
        cmocka_unit_test(test_another_authorization),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
