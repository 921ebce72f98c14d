/* The WebSocket opening handshake: RFC 6455's own example, every way to get it wrong, and the
 * negotiation of permessage-deflate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "fail_alloc.h"
#include "proto/http.h"
#include "proto/ws_handshake.h"

enum { NO_LIMIT = 4096 };

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define START "GET /chat HTTP/1.1\r\nHost: h\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define REST "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"

/* Static, because slices of the result point into it. */
static char head[16384];

static int handshake(const char *text, bool allow_deflate, struct ws_handshake *h)
{
    struct http_request r;
    int n = snprintf(head, sizeof(head), "%s\r\n", text);
    int err = http_request_parse(head, (size_t)n, &r);
    if (err) fail_msg("no request: %s", head);
    memset(h, 0x55, sizeof(*h));
    return ws_handshake_parse(&r, allow_deflate, h);
}

static void response_is(const struct ws_handshake *h, struct slice protocol, const char *want)
{
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "x", 1, NO_LIMIT), 0);
    assert_int_equal(ws_handshake_response(h, protocol, &out, NO_LIMIT), 0);
    if (out.len != strlen(want) + 1 || memcmp(out.data + 1, want, out.len - 1) != 0)
        fail_msg("%.*s", (int)out.len, (char *)out.data);
    buf_fini(&out);
}

/* RFC 6455 section 1.3. */
static void test_rfc_example(void **state)
{
    (void)state;
    struct ws_handshake h;
    assert_int_equal(handshake("GET /chat HTTP/1.1\r\n"
                               "Host: server.example.com\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Key: " KEY "\r\n"
                               "Origin: http://example.com\r\n"
                               "Sec-WebSocket-Protocol: chat, superchat\r\n"
                               "Sec-WebSocket-Version: 13\r\n",
                               true, &h),
                     0);
    assert_string_equal(h.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_false(h.deflate);
    assert_int_equal(h.server_window_bits, 15);
    assert_string_equal(h.extensions, "");
    assert_true(slice_is(h.protocols, "chat, superchat"));
    response_is(&h, (struct slice){0},
                "HTTP/1.1 101 Switching Protocols\r\n"
                "Upgrade: websocket\r\n"
                "Connection: Upgrade\r\n"
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                "\r\n");
    response_is(&h, SLICE_LIT("chat"),
                "HTTP/1.1 101 Switching Protocols\r\n"
                "Upgrade: websocket\r\n"
                "Connection: Upgrade\r\n"
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                "Sec-WebSocket-Protocol: chat\r\n"
                "\r\n");
}

static void test_response_with_deflate(void **state)
{
    (void)state;
    struct ws_handshake h;
    assert_int_equal(handshake(START UPGRADE REST "Sec-WebSocket-Extensions: permessage-deflate; "
                                                  "client_max_window_bits\r\n",
                               true, &h),
                     0);
    const char *want = "HTTP/1.1 101 Switching Protocols\r\n"
                       "Upgrade: websocket\r\n"
                       "Connection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                       "Sec-WebSocket-Protocol: parlor.v1\r\n"
                       "Sec-WebSocket-Extensions: permessage-deflate; "
                       "server_no_context_takeover; client_max_window_bits=10\r\n"
                       "\r\n";
    response_is(&h, SLICE_LIT("parlor.v1"), want);

    /* Every limit below the size, and memory short at every allocation: nothing is left behind. */
    for (size_t limit = 0; limit < strlen(want); limit++) {
        struct buf out = {0};
        assert_int_equal(ws_handshake_response(&h, SLICE_LIT("parlor.v1"), &out, limit),
                         ERR_TOO_LONG);
        assert_int_equal(out.len, 0);
        buf_fini(&out);
    }
    int err = ERR_NOMEM;
    for (long n = 0; err; n++) {
        struct buf out = {0};
        fail_alloc_after(n);
        err = ws_handshake_response(&h, SLICE_LIT("parlor.v1"), &out, NO_LIMIT);
        fail_alloc_off();
        assert_int_equal(out.len, err ? 0 : strlen(want));
        if (err) assert_int_equal(err, ERR_NOMEM);
        if (n == 0) assert_int_equal(err, ERR_NOMEM);
        buf_fini(&out);
        assert_true(n < 100);
    }
}

struct request_case {
    const char *text;
    int err;
};

static void test_requests(void **state)
{
    (void)state;
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define K "Sec-WebSocket-Key: " KEY "\r\n"
#define WITH_KEY(key) START UPGRADE V13 "Sec-WebSocket-Key: " key "\r\n"
    static const struct request_case table[] = {
        {START UPGRADE REST, 0},
        {START REST UPGRADE, 0},
        {START "upgrade: WebSocket\r\nCONNECTION: keep-alive, UPGRADE\r\n" REST, 0},
        {START "Upgrade: h2c, websocket\r\nConnection: upgrade\r\n" REST, 0},
        {START
         "Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: x\r\nConnection: upgrade\r\n" REST,
         0},
        {"GET / HTTP/1.2\r\nHost: h\r\n" UPGRADE REST, 0},
        {START UPGRADE REST "Content-Length: 0\r\n", 0},
        {WITH_KEY("AAAAAAAAAAAAAAAAAAAAAA=="), 0},
        {WITH_KEY("//////////++++++++++Zw=="), 0},

        {START, ERR_UPGRADE_REQUIRED},
        {START REST, ERR_UPGRADE_REQUIRED},
        {START "Connection: Upgrade\r\n" REST, ERR_UPGRADE_REQUIRED},
        {START "Connection: Upgrade\r\nUpgrade: h2c\r\n" REST, ERR_UPGRADE_REQUIRED},
        {START "Connection: Upgrade\r\nUpgrade: websocket2\r\n" REST, ERR_UPGRADE_REQUIRED},
        {"POST / HTTP/1.1\r\nHost: h\r\n", ERR_UPGRADE_REQUIRED},

        {START "Upgrade: websocket\r\n" REST, ERR_BAD_UPGRADE},
        {START "Upgrade: websocket\r\nConnection: close\r\n" REST, ERR_BAD_UPGRADE},
        {"POST / HTTP/1.1\r\nHost: h\r\n" UPGRADE REST, ERR_BAD_UPGRADE},
        {"HEAD / HTTP/1.1\r\nHost: h\r\n" UPGRADE REST, ERR_BAD_UPGRADE},
        {"GET / HTTP/1.0\r\nHost: h\r\n" UPGRADE REST, ERR_BAD_UPGRADE},
        {START UPGRADE REST "Content-Length: 1\r\n", ERR_BAD_UPGRADE},
        {START UPGRADE REST "Transfer-Encoding: chunked\r\n", ERR_BAD_UPGRADE},

        {START UPGRADE K, ERR_BAD_VERSION},
        {START UPGRADE K "Sec-WebSocket-Version: 8\r\n", ERR_BAD_VERSION},
        {START UPGRADE K "Sec-WebSocket-Version: 14\r\n", ERR_BAD_VERSION},
        {START UPGRADE K "Sec-WebSocket-Version: 013\r\n", ERR_BAD_VERSION},
        {START UPGRADE K "Sec-WebSocket-Version: 13, 8\r\n", ERR_BAD_VERSION},
        {START UPGRADE K "Sec-WebSocket-Version:\r\n", ERR_BAD_VERSION},
        {START UPGRADE K V13 "Sec-WebSocket-Version: 8\r\n", ERR_BAD_VERSION},

        {START UPGRADE V13, ERR_BAD_UPGRADE},
        {START UPGRADE V13 K K, ERR_BAD_UPGRADE},
        {WITH_KEY(""), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhlIHNhbXBsZSBub25jZQ="), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhlIHNhbXBsZSBub25jZQ"), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhlIHNhbXBsZSBub25jZQ==="), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhlIHNhbXBsZSBub25jZQA="), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhlIHNhbXBsZSBub25jZQAA"), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhlIHNhbXBsZSBub25jZ==="), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhlIHNhbXBsZ-Bub25jZQ=="), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhlIHNhb_BsZSBub25jZQ=="), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhl HNhbXBsZSBub25jZQ=="), ERR_BAD_UPGRADE},
        {WITH_KEY("dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ=="), ERR_BAD_UPGRADE},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct ws_handshake h;
        int err = handshake(table[i].text, true, &h);
        if (err != table[i].err) fail_msg("%d instead of %d: %s", err, table[i].err, table[i].text);
    }
#undef V13
#undef K
#undef WITH_KEY
}

struct offer_case {
    const char *offer;    /* value of Sec-WebSocket-Extensions; "|" stands between two headers */
    const char *answer;   /* behind ANSWER; NULL: declined */
    unsigned window_bits; /* 0: the whole handshake is refused */
};

#define ANSWER "permessage-deflate; server_no_context_takeover"
#define ALONE "; client_no_context_takeover"
#define PMD "permessage-deflate"
#define SBITS "server_max_window_bits"
#define CBITS "client_max_window_bits"

static const struct offer_case offers[] = {
    {PMD, "", 15},
    {"Permessage-Deflate", "", 15},
    {PMD "; client_max_window_bits", "; client_max_window_bits=10", 15},
    {PMD ";" CBITS, "; client_max_window_bits=10", 15},
    {PMD " \t;\t " CBITS " ", "; client_max_window_bits=10", 15},
    {PMD "; server_no_context_takeover", "", 15},
    {PMD "; client_no_context_takeover", ALONE, 15},
    {PMD "; client_no_context_takeover; " CBITS, ALONE, 15},
    {PMD "; client_no_context_takeover; " CBITS "=14", ALONE "; client_max_window_bits=14", 15},
    {PMD "; client_no_context_takeover; server_no_context_takeover", ALONE, 15},
    {PMD "; " SBITS "=8", "; server_max_window_bits=8", 8},
    {PMD "; " SBITS "=9", "; server_max_window_bits=9", 9},
    {PMD "; " SBITS "=10", "; server_max_window_bits=10", 10},
    {PMD "; " SBITS "=15", "; server_max_window_bits=15", 15},
    {PMD "; " SBITS "=\"12\"", "; server_max_window_bits=12", 12},
    {PMD "; " SBITS "=\"1\\2\"", "; server_max_window_bits=12", 12},
    {PMD "; " SBITS " = 12", "; server_max_window_bits=12", 12},
    {PMD "; SERVER_MAX_WINDOW_BITS=12", "; server_max_window_bits=12", 12},
    {PMD "; " CBITS "=8", "; client_max_window_bits=8", 15},
    {PMD "; " CBITS "=\"15\"", "; client_max_window_bits=10", 15},
    {PMD "; " CBITS "=9", "; client_max_window_bits=9", 15},
    {PMD "; " CBITS "=11", "; client_max_window_bits=10", 15},
    {PMD "; " CBITS "=15; " SBITS "=15; client_no_context_takeover; server_no_context_takeover",
     ALONE "; server_max_window_bits=15; client_max_window_bits=15", 15},
    {PMD "; " SBITS "=10; " CBITS, "; server_max_window_bits=10; client_max_window_bits=10", 10},
    /* Unknown extensions do not matter. */
    {"x-webkit-deflate-frame, " PMD, "", 15},
    {"foo; a=1; b=\"2\"; c, " PMD "; " CBITS, "; client_max_window_bits=10", 15},
    {PMD ", foo", "", 15},
    {"foo|" PMD, "", 15},
    {"foo", NULL, 15},
    {PMD "x", NULL, 15},
    {"", NULL, 15},
    {", ,", NULL, 15},
    {", " PMD " ,, ", "", 15},
    /* The first acceptable offer wins. */
    {PMD "; " SBITS "=9, " PMD, "; server_max_window_bits=9", 9},
    {PMD ", " PMD "; " SBITS "=9", "", 15},
    {PMD "; foo, " PMD "; " SBITS "=9", "; server_max_window_bits=9", 9},
    {PMD "; " SBITS "=7, " PMD, "", 15},
    {PMD "; " SBITS "=16|" PMD "; " SBITS "=11", "; server_max_window_bits=11", 11},
    /* Declined. */
    {PMD "; foo", NULL, 15},
    {PMD "; foo=1", NULL, 15},
    {PMD "; " SBITS, NULL, 15},
    {PMD "; " SBITS "=7", NULL, 15},
    {PMD "; " SBITS "=16", NULL, 15},
    {PMD "; " SBITS "=0", NULL, 15},
    {PMD "; " SBITS "=08", NULL, 15},
    {PMD "; " SBITS "=\"08\"", NULL, 15},
    {PMD "; " SBITS "=010", NULL, 15},
    {PMD "; " SBITS "=1", NULL, 15},
    {PMD "; " SBITS "=100", NULL, 15},
    {PMD "; " SBITS "=4294967304", NULL, 15},
    {PMD "; " SBITS "=+9", NULL, 15},
    {PMD "; " SBITS "=-9", NULL, 15},
    {PMD "; " SBITS "=9x", NULL, 15},
    {PMD "; " SBITS "=x", NULL, 15},
    {PMD "; " SBITS "=9; " SBITS "=9", NULL, 15},
    {PMD "; " SBITS "=7; " SBITS "=9", NULL, 15},
    {PMD "; " SBITS "; " SBITS "=9", NULL, 15},
    {PMD "; " CBITS "=7", NULL, 15},
    {PMD "; " CBITS "=16", NULL, 15},
    {PMD "; " CBITS "=09", NULL, 15},
    {PMD "; " CBITS "=abcdefghijklmnop", NULL, 15},
    {PMD "; " CBITS "; " CBITS, NULL, 15},
    {PMD "; " CBITS "=9; " CBITS, NULL, 15},
    {PMD "; server_no_context_takeover=1", NULL, 15},
    {PMD "; client_no_context_takeover=true", NULL, 15},
    {PMD "; client_no_context_takeover=\"\\a\"", NULL, 15},
    {PMD "; server_no_context_takeover; server_no_context_takeover", NULL, 15},
    {PMD "; client_no_context_takeover; client_no_context_takeover", NULL, 15},
    /* Against the grammar of RFC 6455 section 9.1. */
    {PMD ";", NULL, 0},
    {PMD "; ;", NULL, 0},
    {PMD ";; " CBITS, NULL, 0},
    {PMD "; " CBITS "=", NULL, 0},
    {PMD "; =9", NULL, 0},
    {PMD "; " CBITS "=\"\"", NULL, 0},
    {PMD "; " CBITS "=\"9", NULL, 0},
    {PMD "; " CBITS "=\"9\\", NULL, 0},
    {PMD "; " CBITS "=\"9\\\"", NULL, 0},
    {PMD "; " CBITS "=\" 9\"", NULL, 0},
    {PMD "; " CBITS "=\"9;\"", NULL, 0},
    {PMD "; " CBITS "=\"9\"9", NULL, 0},
    {PMD "; " CBITS "=9 9", NULL, 0},
    {PMD " " CBITS, NULL, 0},
    {PMD "=9", NULL, 0},
    {";" PMD, NULL, 0},
    {"\"" PMD "\"", NULL, 0},
    {PMD ", @", NULL, 0},
    {PMD "|@", NULL, 0},
    {"\xd0\xb6", NULL, 0},
};

static void test_offers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++) {
        const struct offer_case *c = &offers[i];
        char text[1024];
        char want[256] = "";
        struct ws_handshake h;
        const char *bar = strchr(c->offer, '|');
        size_t first = bar ? (size_t)(bar - c->offer) : strlen(c->offer);
        snprintf(text, sizeof(text),
                 START UPGRADE "Sec-WebSocket-Extensions: %.*s\r\n" REST "%s%s%s", (int)first,
                 c->offer, bar ? "Sec-WebSocket-Extensions: " : "", bar ? bar + 1 : "",
                 bar ? "\r\n" : "");
        int err = handshake(text, true, &h);
        if (err != (c->window_bits ? 0 : ERR_BAD_UPGRADE)) fail_msg("%d: %s", err, c->offer);
        assert_int_equal(handshake(text, false, &h), err);
        if (err) continue;
        assert_false(h.deflate);
        assert_string_equal(h.extensions, "");
        assert_int_equal(h.server_window_bits, 15);

        assert_int_equal(handshake(text, true, &h), 0);
        if (c->answer) snprintf(want, sizeof(want), ANSWER "%s", c->answer);
        if (strcmp(h.extensions, want) != 0) fail_msg("%s for %s", h.extensions, c->offer);
        assert_int_equal(h.deflate, c->answer != NULL);
        assert_int_equal(h.server_window_bits, c->window_bits);
    }
}

/* All combinations that can be accepted, in both orders, fit and say what was asked. */
static void test_all_window_bits(void **state)
{
    (void)state;
    for (unsigned s = 7; s <= 16; s++) {
        for (unsigned c = 7; c <= 16; c++) {
            char text[512];
            char want[256];
            struct ws_handshake h;
            snprintf(text, sizeof(text),
                     START UPGRADE REST "Sec-WebSocket-Extensions: " PMD "; " CBITS "=%u; " SBITS
                                        "=%u\r\n",
                     c, s);
            assert_int_equal(handshake(text, true, &h), 0);
            bool good = s >= 8 && s <= 15 && c >= 8 && c <= 15;
            snprintf(want, sizeof(want), ANSWER "; " SBITS "=%u; " CBITS "=%u", s, c < 10 ? c : 10);
            assert_string_equal(h.extensions, good ? want : "");
            assert_int_equal(h.server_window_bits, good ? s : 15);
        }
    }
}

/* What a client keeps has to be kept here too, or it has to be told not to. */
static void test_client_context(void **state)
{
    (void)state;
    static const struct {
        const char *offer;
        unsigned past_bits;
        const char *demanded; /* behind ANSWER, once there is no memory for it */
    } table[] = {
        {PMD, 15, ALONE},
        {PMD "; " CBITS, 10, ALONE},
        {PMD "; " CBITS "=15", 10, ALONE "; client_max_window_bits=15"},
        {PMD "; " CBITS "=8; " SBITS "=9", 8,
         ALONE "; server_max_window_bits=9; client_max_window_bits=8"},
        {PMD "; server_no_context_takeover", 15, ALONE},
        {PMD "; client_no_context_takeover", 0, ALONE},
        {PMD "; client_no_context_takeover; " CBITS "=12", 0, ALONE "; client_max_window_bits=12"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        char text[512];
        char want[256];
        struct ws_handshake h;
        snprintf(text, sizeof(text), START UPGRADE REST "Sec-WebSocket-Extensions: %s\r\n",
                 table[i].offer);
        assert_int_equal(handshake(text, true, &h), 0);
        assert_int_equal(ws_handshake_past_bits(&h), table[i].past_bits);
        unsigned server_bits = h.server_window_bits;
        ws_handshake_keep_nothing(&h, true);
        snprintf(want, sizeof(want), ANSWER "%s", table[i].demanded);
        assert_string_equal(h.extensions, want);
        assert_true(h.deflate);
        assert_int_equal(h.server_window_bits, server_bits);
        assert_int_equal(ws_handshake_past_bits(&h), 0);
        ws_handshake_keep_nothing(&h, false);
        assert_string_equal(h.extensions, "");
        assert_false(h.deflate);
        assert_int_equal(h.server_window_bits, 15);
        assert_int_equal(ws_handshake_past_bits(&h), 0);
    }
    struct ws_handshake none;
    assert_int_equal(handshake(START UPGRADE REST, true, &none), 0);
    assert_int_equal(ws_handshake_past_bits(&none), 0);
}

static void test_many_offers(void **state)
{
    (void)state;
    char text[12000];
    size_t n = (size_t)sprintf(text, START UPGRADE REST "Sec-WebSocket-Extensions: ");
    for (int i = 0; i < 300; i++)
        n += (size_t)sprintf(text + n, PMD "; a%d, ", i);
    sprintf(text + n, PMD "\r\n");
    struct ws_handshake h;
    assert_int_equal(handshake(text, true, &h), 0);
    assert_string_equal(h.extensions, ANSWER);
}

static void test_protocols(void **state)
{
    (void)state;
    struct ws_handshake h;
    assert_int_equal(handshake(START UPGRADE REST, true, &h), 0);
    assert_int_equal(h.protocols.len, 0);
    assert_int_equal(handshake(START UPGRADE REST
                               "sec-websocket-protocol: a\r\nSec-WebSocket-Protocol: b\r\n",
                               true, &h),
                     0);
    assert_true(slice_is(h.protocols, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_example),     cmocka_unit_test(test_response_with_deflate),
        cmocka_unit_test(test_requests),        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_all_window_bits), cmocka_unit_test(test_many_offers),
        cmocka_unit_test(test_protocols),       cmocka_unit_test(test_client_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
