/* The PROXY protocol: every vector at every split point, what follows the header left alone, and
 * what is no header refused as soon as it shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"

struct vector {
    const char *bytes;
    size_t len;
    int err;
    const char *ip; /* NULL: not known */
};

#define VECTOR(bytes, err, ip)                                                                     \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, err, ip                                                          \
    }

static const struct vector vectors[] = {
    VECTOR("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", 0, "192.0.2.1"),
    VECTOR("PROXY TCP4 192.0.2.1 198.51.100.1 0 65535\r\n", 0, "192.0.2.1"),
    VECTOR("PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", 0, "2001:db8::1"),
    VECTOR("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n",
           0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    VECTOR("PROXY UNKNOWN\r\n", 0, NULL),
    VECTOR("PROXY UNKNOWN ::1 whatever 1 2 3\r\n", 0, NULL),
    VECTOR("PROXY TCP4 192.0.2.1 198.51.100.1 56324 65536\r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY TCP4 192.0.2.1  198.51.100.1 56324 443\r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY TCP6 192.0.2.1 198.51.100.1 56324 443\r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY \r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXY TCP4\r\n", ERR_BAD_REQUEST, NULL),
    VECTOR(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb", 0, "192.0.2.1"),
    VECTOR(SIGNATURE "\x21\x11\0\x10\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb\4\0\1\0", 0, "192.0.2.1"),
    VECTOR(SIGNATURE "\x21\x21\0\x24" V6 V6 "\xdc\4\1\xbb", 0, "2001:db8::1"),
    VECTOR(SIGNATURE "\x20\0\0\0", 0, NULL),                                         /* LOCAL */
    VECTOR(SIGNATURE "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb", 0, NULL), /* LOCAL */
    VECTOR(SIGNATURE "\x21\0\0\3\1\2\3", 0, NULL),                                   /* UNSPEC */
    VECTOR(SIGNATURE "\x21\x12\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb", 0, NULL), /* UDP */
    VECTOR(SIGNATURE "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1", ERR_BAD_REQUEST, NULL),
    VECTOR(SIGNATURE "\x21\x21\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb", ERR_BAD_REQUEST, NULL),
    VECTOR(SIGNATURE "\x11\x11\0\x0c", ERR_BAD_REQUEST, NULL),
    VECTOR(SIGNATURE "\x22\x11\0\x0c", ERR_BAD_REQUEST, NULL),
    VECTOR(SIGNATURE "\x21\x11\x10\0", ERR_BAD_REQUEST, NULL), /* longer than we take */
    VECTOR("GET / HTTP/1.1\r\n", ERR_BAD_REQUEST, NULL),
    VECTOR("\r\n\r\nGET", ERR_BAD_REQUEST, NULL),
    VECTOR("PROXX", ERR_BAD_REQUEST, NULL),
};

/* A copy of its own size, so that the sanitizer sees a read past the end. */
static int parse(const char *bytes, size_t len, struct proxy_source *source, size_t *used)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    int err = proxy_parse(copy, len, source, used);
    free(copy);
    return err;
}

static void check(const struct vector *v, const struct proxy_source *source)
{
    uint8_t ip[IP_BYTES];
    assert_int_equal(source->known, v->ip != NULL);
    if (!v->ip) return;
    assert_true(ip_parse((struct slice){v->ip, strlen(v->ip)}, ip));
    assert_memory_equal(source->ip, ip, IP_BYTES);
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct vector *v = &vectors[i];
        struct proxy_source source;
        size_t used = 0;
        for (size_t n = 0; n < v->len; n++) {
            int err = parse(v->bytes, n, &source, &used);
            if (err == ERR_AGAIN || (err == v->err && err)) continue;
            fail_msg("vector %zu: %d after %zu of %zu bytes", i, err, n, v->len);
        }
        if (parse(v->bytes, v->len, &source, &used) != v->err) fail_msg("vector %zu", i);
        if (v->err) continue;
        assert_int_equal(used, v->len);
        check(v, &source);

        char more[512];
        memcpy(more, v->bytes, v->len);
        memcpy(more + v->len, "GET / HTTP/1.1\r\n", 16);
        assert_int_equal(parse(more, v->len + 16, &source, &used), 0);
        assert_int_equal(used, v->len);
        check(v, &source);
    }
}

/* A line that does not end is refused, not waited for. */
static void test_endless(void **state)
{
    (void)state;
    char line[PROXY_V1_MAX_BYTES + 1];
    struct proxy_source source;
    size_t used;
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(parse(line, PROXY_V1_MAX_BYTES - 1, &source, &used), ERR_AGAIN);
    assert_int_equal(parse(line, PROXY_V1_MAX_BYTES, &source, &used), ERR_BAD_REQUEST);
    memcpy(line + PROXY_V1_MAX_BYTES - 2, "\r\n", 2);
    assert_int_equal(parse(line, PROXY_V1_MAX_BYTES, &source, &used), 0);
    memcpy(line + PROXY_V1_MAX_BYTES - 2, "x\r\n", 3);
    assert_int_equal(parse(line, PROXY_V1_MAX_BYTES + 1, &source, &used), ERR_BAD_REQUEST);
}

/* The longest of version 2 that is taken. */
static void test_long(void **state)
{
    (void)state;
    static char bytes[PROXY_HEADER_MAX_BYTES];
    struct proxy_source source;
    size_t used;
    size_t rest = sizeof bytes - 16;
    memcpy(bytes, SIGNATURE "\x21\x11", 14);
    bytes[14] = (char)(rest >> 8);
    bytes[15] = (char)rest;
    memcpy(bytes + 16, "\xc0\0\2\1", 4);
    assert_int_equal(parse(bytes, sizeof bytes - 1, &source, &used), ERR_AGAIN);
    assert_int_equal(parse(bytes, sizeof bytes, &source, &used), 0);
    assert_int_equal(used, sizeof bytes);
    assert_true(source.known);
    bytes[15]++;
    assert_int_equal(parse(bytes, sizeof bytes, &source, &used), ERR_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
