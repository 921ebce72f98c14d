/* The HTTP request head: what is taken, what is refused, and that collecting it is linear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/http.h"

/* Parses out of a block of exactly its size, so that the sanitizer sees a read past the end. The
 * block is the caller's to free, as the slices point into it. */
static int parse(const char *text, size_t len, char **copy, struct http_request *r)
{
    size_t scanned = 0;
    *copy = malloc(len ? len : 1);
    assert_non_null(*copy);
    memcpy(*copy, text, len);
    assert_int_equal(http_head_size(*copy, len, &scanned), len);
    return http_request_parse(*copy, len, r);
}

static void expect(const char *text, int want)
{
    struct http_request r;
    char *copy;
    int err = parse(text, strlen(text), &copy, &r);
    if (err != want) fail_msg("%d instead of %d: %s", err, want, text);
    free(copy);
}

static void same(struct slice a, const char *b)
{
    bool equal = a.len == strlen(b) && (a.len == 0 || memcmp(a.ptr, b, a.len) == 0);
    if (!equal) fail_msg("\"%.*s\" instead of \"%s\"", (int)a.len, a.ptr, b);
}

static void test_simple_request(void **state)
{
    (void)state;
    struct http_request r;
    char *copy;
    const char *text = "GET /ws/chat/a%20b/?username=ann&x HTTP/1.1\r\n"
                       "Host: localhost:8000\r\n"
                       "X-Empty:\r\n"
                       "X-Blank: \t \r\n"
                       "x-padded: \t a b \t \r\n"
                       "X-Padded: second\r\n"
                       "\r\n";
    assert_int_equal(parse(text, strlen(text), &copy, &r), 0);
    same(r.method, "GET");
    same(r.target, "/ws/chat/a%20b/?username=ann&x");
    same(r.path, "/ws/chat/a%20b/");
    same(r.query, "username=ann&x");
    assert_true(r.is_get && !r.is_head && r.keep_alive && !r.has_body && !r.upgrade);
    assert_int_equal(r.minor, 1);
    assert_int_equal(r.header_count, 5);
    same(http_header_get(&r, "HOST"), "localhost:8000");
    same(http_header_get(&r, "x-empty"), "");
    same(http_header_get(&r, "x-blank"), "");
    same(http_header_get(&r, "X-PADDED"), "a b");
    assert_null(http_header_get(&r, "X-Pad").ptr);
    assert_null(http_header_get(&r, "").ptr);
    free(copy);
}

struct target_case {
    const char *line;
    const char *path; /* NULL: refused */
    const char *query;
};

static const struct target_case target_cases[] = {
    {"GET / HTTP/1.1", "/", ""},
    {"GET /? HTTP/1.1", "/", ""},
    {"GET /?a?b HTTP/1.1", "/", "a?b"},
    {"GET //x//y HTTP/1.1", "//x//y", ""},
    {"GET /a:b@c HTTP/1.1", "/a:b@c", ""},
    {"GET /\xd0\xb6 HTTP/1.1", "/\xd0\xb6", ""},
    {"HEAD / HTTP/1.1", "/", ""},
    {"DELETE /x HTTP/1.0", "/x", ""},
    {"OPTIONS * HTTP/1.1", "*", ""},
    {"GET http://h HTTP/1.1", "/", ""},
    {"GET http://h/ HTTP/1.1", "/", ""},
    {"GET http://h:80/a/b?c=d HTTP/1.1", "/a/b", "c=d"},
    {"GET HTTPS://[::1]:8/a HTTP/1.1", "/a", ""},
    {"GET http://h?q=/ HTTP/1.1", "/", "q=/"},
    {"GET ws://h/ws/chat/r/ HTTP/1.1", "/ws/chat/r/", ""},
    {"\r\nGET /late HTTP/1.1", "/late", ""},
    {"GET * HTTP/1.1", NULL, NULL},
    {"GET http:///x HTTP/1.1", NULL, NULL},
    {"GET http:// HTTP/1.1", NULL, NULL},
    {"GET http://:80/x HTTP/1.1", NULL, NULL},
    {"GET http://u@h/ HTTP/1.1", NULL, NULL},
    {"GET http://u:p@h/ HTTP/1.1", NULL, NULL},
    {"GET http:/x HTTP/1.1", NULL, NULL},
    {"GET x HTTP/1.1", NULL, NULL},
    {"GET h:80 HTTP/1.1", NULL, NULL},
    {"CONNECT h:80 HTTP/1.1", NULL, NULL},
    {"CONNECT /x HTTP/1.1", NULL, NULL},
    {"GET /#f HTTP/1.1", NULL, NULL},
    {"GET /?q#f HTTP/1.1", NULL, NULL},
    {"GET  / HTTP/1.1", NULL, NULL},
    {"GET /  HTTP/1.1", NULL, NULL},
    {"GET / HTTP/1.1 ", NULL, NULL},
    {" GET / HTTP/1.1", NULL, NULL},
    {"GET\t/ HTTP/1.1", NULL, NULL},
    {"GET /a b HTTP/1.1", NULL, NULL},
    {"GET /a\tb HTTP/1.1", NULL, NULL},
    {"GET /", NULL, NULL},
    {"GET / ", NULL, NULL},
    {"GET / HTTP", NULL, NULL},
    {"GET / HTTP/1", NULL, NULL},
    {"GET / HTTP/1.", NULL, NULL},
    {"GET / http/1.1", NULL, NULL},
    {"GET / HTTP/0.9", NULL, NULL},
    {"GET / HTTP/2.0", NULL, NULL},
    {"GET / HTTP/1.10", NULL, NULL},
    {"GET / HTTP/11.1", NULL, NULL},
    {"GET / ICE/1.1", NULL, NULL},
    {"SOURCE / ICE/1.0", NULL, NULL},
    {"get / HTTP/1.1", NULL, NULL},
    {"GETS / HTTP/1.1", NULL, NULL},
    {"NOSUCH / HTTP/1.1", NULL, NULL},
    {"PRI * HTTP/2.0", NULL, NULL},
    {"HTTP/1.1 200 OK", NULL, NULL},
    {"\r\n\r\nGET / HTTP/1.1", "", NULL}, /* an empty head, and the rest stays */
};

static void test_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(target_cases) / sizeof(*target_cases); i++) {
        const struct target_case *c = &target_cases[i];
        char text[256];
        struct http_request r;
        size_t scanned = 0;
        int n = snprintf(text, sizeof(text), "%s\r\nHost: h\r\n\r\n", c->line);
        size_t size = http_head_size(text, (size_t)n, &scanned);
        int err = http_request_parse(text, size, &r);
        if (c->query == NULL) {
            if (err != ERR_BAD_REQUEST) fail_msg("taken: %s", c->line);
            assert_int_equal(size, c->path ? 4 : n);
            continue;
        }
        if (err) fail_msg("refused: %s", c->line);
        same(r.path, c->path);
        same(r.query, c->query);
    }
}

/* The host that a target names counts, and Host does not (RFC 9112 section 3.2.2). */
static void test_host_of_target(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *host;
    } table[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "h"},
        {"GET http://evil.example/ HTTP/1.1\r\nHost: h\r\n\r\n", "evil.example"},
        {"GET http://a:8000?q HTTP/1.1\r\nA: b\r\nhost: h\r\n\r\n", "a:8000"},
        {"GET ws://[::1]:1/x HTTP/1.1\r\nHost:\r\n\r\n", "[::1]:1"},
        {"GET /x://y HTTP/1.1\r\nHost: h\r\n\r\n", "h"},
        {"GET http://a HTTP/1.0\r\nHost: h\r\n\r\n", "a"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct http_request r;
        char *copy;
        assert_int_equal(parse(table[i].head, strlen(table[i].head), &copy, &r), 0);
        same(http_header_get(&r, "Host"), table[i].host);
        free(copy);
    }
    expect("GET http://h/ HTTP/1.1\r\n\r\n", ERR_BAD_REQUEST);
    expect("GET http://h/ HTTP/1.0\r\n\r\n", ERR_BAD_REQUEST);
    expect("GET http://h/ HTTP/1.1\r\nHost: a/b\r\n\r\n", ERR_BAD_REQUEST);
    expect("GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST);
}

struct head_case {
    const char *headers; /* behind "GET / HTTP/1.1\r\n", with their own CRLFs */
    int err;
};

static const struct head_case head_cases[] = {
    {"Host: h\r\n", 0},
    {"hOST: h\r\n", 0},
    {"Host:\r\n", 0},
    {"Host: [::1]:8000\r\n", 0},
    {"Host: h\r\nA: \xd0\xb6\r\n", 0},
    {"Host: h\r\nA: a\tb\r\n", 0},
    {"Host: h\r\nContent-Length: 0\r\n", 0},
    {"Host: h\r\nContent-Length: 5\r\n", 0},
    {"Host: h\r\nTransfer-Encoding: chunked\r\n", 0},
    {"", ERR_BAD_REQUEST},
    {"Host: a\r\nHost: a\r\n", ERR_BAD_REQUEST},
    {"Host: a\r\nhost: b\r\n", ERR_BAD_REQUEST},
    {"Host: a b\r\n", ERR_BAD_REQUEST},
    {"Host: a/b\r\n", ERR_BAD_REQUEST},
    {"Host: u@a\r\n", ERR_BAD_REQUEST},
    {"Host: \xd0\xb6\r\n", ERR_BAD_REQUEST},
    {"Host : h\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA B: c\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\n A: c\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA: b\r\n c\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA: b\r\n\tc\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA:\r\n b\r\n", ERR_BAD_REQUEST},
    {" Host: h\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\n: b\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA(: b\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\n\xd0\xb6: b\r\n", ERR_BAD_REQUEST},
    {"Host: h\nA: b\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA: b\rc\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA: b\r\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA: \x01\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA: \x7f\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nA: \x1b[31m\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nTransfer-Encoding: gzip\r\nContent-Length: 0\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nTransfer-Encoding: Chunked\r\n", 0},
    {"Host: h\r\nTransfer-Encoding: gzip, chunked\r\n", ERR_BAD_CODING},
    {"Host: h\r\nTransfer-Encoding: chunked, chunked\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ERR_BAD_CODING},
    {"Host: h\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", ERR_BAD_CODING},
    {"Host: h\r\nTransfer-Encoding: \"chunked\"\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nTransfer-Encoding: xchunked\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nTransfer-Encoding: chunked;q=1\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nTransfer-Encoding: identity\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nTransfer-Encoding: gzip\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nTransfer-Encoding:\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nContent-Length: -1\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nContent-Length: +1\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nContent-Length: 1, 1\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nContent-Length: 0x1\r\n", ERR_BAD_REQUEST},
    {"Host: h\r\nContent-Length: 99999999999999999999999\r\n", ERR_BAD_REQUEST},
};

static void test_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(head_cases) / sizeof(*head_cases); i++) {
        char text[256];
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", head_cases[i].headers);
        expect(text, head_cases[i].err);
    }
    /* So is Transfer-Encoding: RFC 9112 section 6.1 takes it for an attack there. */
    expect("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_BAD_REQUEST);
    /* Host is HTTP/1.1's; but two of them are wrong at any version. */
    expect("GET / HTTP/1.0\r\n\r\n", 0);
    expect("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", ERR_BAD_REQUEST);
    expect("\r\n\r\n", ERR_BAD_REQUEST);
    expect("\n\n", ERR_BAD_REQUEST);
    expect("GET / HTTP/1.1\nHost: h\n\n", ERR_BAD_REQUEST);
    expect("GET / HTTP/1.1\r\nHost: h\r\n\n", ERR_BAD_REQUEST);
    expect("GET / HTTP/1.1\r\nHost: h\n\r\n", ERR_BAD_REQUEST);
}

struct flag_case {
    const char *head;
    bool keep_alive;
    bool has_body;
    bool upgrade;
};

static void test_flags(void **state)
{
    (void)state;
#define H11 " / HTTP/1.1\r\nHost: h\r\n"
#define H10 " / HTTP/1.0\r\n"
    static const struct flag_case table[] = {
        {"GET" H11 "\r\n", true, false, false},
        {"GET" H11 "Connection: close\r\n\r\n", false, false, false},
        {"GET" H11 "Connection: keep-alive\r\n\r\n", true, false, false},
        {"GET" H10 "\r\n", false, false, false},
        {"GET" H10 "Connection: Keep-Alive\r\n\r\n", true, false, false},
        {"POST" H11 "Content-Length: 0\r\n\r\n", true, false, false},
        {"POST" H11 "Content-Length: 1\r\n\r\n", true, true, false},
        {"POST" H11 "Transfer-Encoding: chunked\r\n\r\n", true, true, false},
        {"GET" H11 "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true, false, true},
        {"GET" H11 "Connection: keep-alive, Upgrade\r\nUpgrade: x\r\n\r\n", true, false, true},
        {"GET" H11 "Connection: Upgrade\r\n\r\n", true, false, false},
        {"GET" H11 "Upgrade: websocket\r\n\r\n", true, false, false},
        {"GET" H11 "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\n", true, true,
         true},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct http_request r;
        char *copy;
        int err = parse(table[i].head, strlen(table[i].head), &copy, &r);
        if (err || r.keep_alive != table[i].keep_alive || r.has_body != table[i].has_body ||
            r.upgrade != table[i].upgrade)
            fail_msg("%d, %d%d%d: %s", err, r.keep_alive, r.has_body, r.upgrade, table[i].head);
        free(copy);
    }
#undef H11
#undef H10
}

static void test_nul_anywhere(void **state)
{
    (void)state;
    const char *text = "GET /a HTTP/1.1\r\nHost: h\r\nAb: cd\r\n\r\n";
    size_t len = strlen(text);
    for (size_t at = 0; at + 4 <= len; at++) {
        for (int c = 0; c < 0x20; c++) {
            char copy[64];
            struct http_request r;
            memcpy(copy, text, len);
            copy[at] = (char)c;
            /* A tab may stand for the blank behind a colon, or inside a value. */
            bool legal = c == '\t' && (strchr(" hcd", text[at]) != NULL) && at > 15;
            if (legal || copy[at] == text[at]) continue;
            assert_int_equal(http_request_parse(copy, len, &r), ERR_BAD_REQUEST);
        }
    }
}

static void test_header_flood(void **state)
{
    (void)state;
    char text[4096];
    for (int extra = -1; extra <= 1; extra++) {
        struct http_request r;
        size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");
        for (int i = 1; i < HTTP_HEADERS_MAX + extra; i++)
            n += (size_t)sprintf(text + n, "A%d: %d\r\n", i, i);
        n += (size_t)sprintf(text + n, "\r\n");
        assert_int_equal(http_request_parse(text, n, &r), extra > 0 ? ERR_HEAD_TOO_LARGE : 0);
        if (extra <= 0) assert_int_equal(r.header_count, HTTP_HEADERS_MAX + extra);
    }
}

/* Every truncation, taken as a head in itself, is refused. */
static void test_truncations(void **state)
{
    (void)state;
    const char *text = "GET http://h/a?b HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\n\r\n";
    size_t len = strlen(text);
    for (size_t cut = 0; cut < len; cut++) {
        struct http_request r;
        char *copy = malloc(cut ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, text, cut);
        assert_int_equal(http_request_parse(copy, cut, &r), ERR_BAD_REQUEST);
        free(copy);
    }
    struct http_request r;
    char more[128];
    snprintf(more, sizeof(more), "%sX", text);
    assert_int_equal(http_request_parse(more, len + 1, &r), ERR_BAD_REQUEST);
    assert_int_equal(http_request_parse(more, len, &r), 0);
}

static void test_head_size(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "\r\n\r\n",  "\n\n",    "\n\r\n",  "GET / HTTP/1.1\r\n\r\n", "G\nH\n\n",
        "G\r\n\r\n", "G\r\n\n", "G\n\r\n", "a\rb\r\rc\r\n\r\n",      "a\n\r\r\n\r\n"};
    for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        size_t len = strlen(heads[i]);
        char text[64];
        snprintf(text, sizeof(text), "%sGET /", heads[i]);
        size_t all = 0;
        assert_int_equal(http_head_size(text, len + 5, &all), len);
        /* From every split, and byte by byte. */
        size_t bytewise = 0;
        for (size_t cut = 0; cut < len; cut++) {
            size_t scanned = 0;
            assert_int_equal(http_head_size(text, cut, &scanned), 0);
            assert_true(scanned <= cut);
            assert_int_equal(http_head_size(text, len + 5, &scanned), len);
            assert_int_equal(http_head_size(text, cut, &bytewise), 0);
        }
        assert_int_equal(http_head_size(text, len, &bytewise), len);
    }
}

/* What is not looked at twice: behind the last bytes that could begin an end, nothing. */
static void test_head_size_is_linear(void **state)
{
    (void)state;
    static char text[HTTP_HEAD_MAX_BYTES];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i + 1 < sizeof(text); i += 40)
        memcpy(text + i, "\r\n", 2);
    size_t scanned = 0;
    for (size_t len = 0; len <= sizeof(text); len++) {
        assert_int_equal(http_head_size(text, len, &scanned), 0);
        assert_true(scanned <= len && scanned + 2 >= len);
    }
}

static void test_looks_wrong(void **state)
{
    (void)state;
    static const char *const fine[] = {
        "",           "G",  "GE",   "GET",   "GET ",     "GET /\x01",     "DELETE /",
        "M-SEARCH *", "\r", "\r\n", "\r\nG", "\r\nGET ", "NOSUCHMETHOD /"};
    static const char *const wrong[] = {"\x16\x03\x01",
                                        "g",
                                        "get /",
                                        "Ge",
                                        " ",
                                        " GET",
                                        "GE\r",
                                        "\n",
                                        "\r\r",
                                        "\rG",
                                        "\r\n\r\n",
                                        "\r\n ",
                                        "{",
                                        "1",
                                        "GET/",
                                        "-A",
                                        "SSH-2.0-x",
                                        "\xff",
                                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"};
    for (size_t i = 0; i < sizeof(fine) / sizeof(*fine); i++)
        if (http_looks_wrong(fine[i], strlen(fine[i]))) fail_msg("wrong: %s", fine[i]);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        if (!http_looks_wrong(wrong[i], strlen(wrong[i]))) fail_msg("fine: %s", wrong[i]);
    assert_true(http_looks_wrong("\0", 1));
}

static void test_list_has(void **state)
{
    (void)state;
    assert_true(http_list_has(SLICE_LIT("websocket"), "websocket"));
    assert_true(http_list_has(SLICE_LIT("WebSocket"), "websocket"));
    assert_true(http_list_has(SLICE_LIT("a, \tWEBSOCKET \t,b"), "websocket"));
    assert_true(http_list_has(SLICE_LIT(",,websocket,"), "websocket"));
    assert_false(http_list_has(SLICE_LIT("websockets"), "websocket"));
    assert_false(http_list_has(SLICE_LIT("web socket"), "websocket"));
    assert_false(http_list_has(SLICE_LIT("xwebsocket,websocke"), "websocket"));
    assert_false(http_list_has(SLICE_LIT(""), "websocket"));
    assert_false(http_list_has((struct slice){0}, "websocket"));
}

struct query_case {
    const char *query;
    const char *value; /* of key "ab"; NULL: absent */
};

static void test_query(void **state)
{
    (void)state;
    static const struct query_case table[] = {
        {"", NULL},         {"ab", ""},        {"ab=", ""},           {"ab=1", "1"},
        {"ab=1&ab=2", "1"}, {"x=1&ab=2", "2"}, {"abc=1", NULL},       {"a=1&b=2", NULL},
        {"xab=1", NULL},    {"ab=c=d", "c=d"}, {"&&ab=1&&", "1"},     {"AB=1", NULL},
        {"ab&ab=2", ""},    {"%61b=1", NULL},  {"ab=%20+&x", "%20+"}, {"a", NULL},
        {"=ab", NULL},      {"x=ab&ab", ""},   {"&", NULL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct slice raw = {0};
        struct slice query = {table[i].query, strlen(table[i].query)};
        int found = http_query_get(query, "ab", &raw);
        if (found != (table[i].value != NULL)) fail_msg("%d: %s", found, table[i].query);
        if (found)
            same(raw, table[i].value);
        else
            assert_null(raw.ptr);
    }
    struct slice raw;
    assert_int_equal(http_query_get((struct slice){0}, "ab", &raw), 0);
    assert_int_equal(http_query_get((struct slice){"ab=1", 2}, "ab", &raw), 1);
    assert_int_equal(raw.len, 0);
}

static void test_percent_decode(void **state)
{
    (void)state;
    char out[8];
    size_t n = 77;
    assert_int_equal(http_percent_decode(SLICE_LIT("a+b%20%Ff"), false, out, 8, &n), 0);
    assert_int_equal(n, 5);
    assert_int_equal(memcmp(out, "a+b \xff", 5), 0);
    assert_int_equal(http_percent_decode(SLICE_LIT("a+b%2B"), true, out, 8, &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(memcmp(out, "a b+", 4), 0);
    assert_int_equal(http_percent_decode(SLICE_LIT("%00"), false, out, 1, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(out[0], 0);
    assert_int_equal(http_percent_decode((struct slice){0}, false, out, 0, &n), 0);
    assert_int_equal(n, 0);

    n = 77;
    assert_int_equal(http_percent_decode(SLICE_LIT("abc"), false, out, 2, &n), ERR_TOO_LONG);
    assert_int_equal(http_percent_decode(SLICE_LIT("ab%63"), false, out, 2, &n), ERR_TOO_LONG);
    static const char *const bad[] = {"%",   "%1",   "a%",   "a%f",   "%g0",
                                      "%0g", "%%20", "% 20", "%u0041"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(
            http_percent_decode((struct slice){bad[i], strlen(bad[i])}, true, out, 8, &n),
            ERR_BAD_REQUEST);
    assert_int_equal(http_percent_decode((struct slice){"%41", 2}, true, out, 8, &n),
                     ERR_BAD_REQUEST);
    assert_int_equal(n, 77);
}

static void test_body_framing(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        uint64_t bytes;
        bool has_body;
        bool has_length;
        bool expects_continue;
    } table[] = {
        {"", 0, false, false, false},
        {"Content-Length: 0\r\n", 0, false, true, false},
        {"Content-Length: 5\r\n", 5, true, true, false},
        {"Content-Length: 5\r\nExpect: 100-Continue\r\n", 5, true, true, true},
        {"Content-Length: 5\r\nExpect: something\r\n", 5, true, true, false},
        {"Expect: 100-continue\r\n", 0, false, false, false},
        {"Transfer-Encoding: chunked\r\n", 0, true, false, false},
        {"Content-Length: 9007199254740993\r\n", 9007199254740993, true, true, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[256];
        struct http_request r;
        char *copy;
        snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: x\r\n%s\r\n", table[i].headers);
        assert_int_equal(parse(text, strlen(text), &copy, &r), 0);
        assert_int_equal(r.has_body, table[i].has_body);
        assert_int_equal(r.has_length, table[i].has_length);
        assert_true(r.body_bytes == table[i].bytes);
        assert_int_equal(r.expects_continue, table[i].expects_continue);
        free(copy);
    }
    struct http_request r;
    char *copy;
    const char *old = "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    assert_int_equal(parse(old, strlen(old), &copy, &r), 0);
    assert_false(r.expects_continue); /* RFC 9110 section 10.1.1: not for HTTP/1.0 */
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simple_request), cmocka_unit_test(test_targets),
        cmocka_unit_test(test_host_of_target), cmocka_unit_test(test_headers),
        cmocka_unit_test(test_flags),          cmocka_unit_test(test_nul_anywhere),
        cmocka_unit_test(test_header_flood),   cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_head_size),      cmocka_unit_test(test_head_size_is_linear),
        cmocka_unit_test(test_looks_wrong),    cmocka_unit_test(test_list_has),
        cmocka_unit_test(test_query),          cmocka_unit_test(test_percent_decode),
        cmocka_unit_test(test_body_framing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
