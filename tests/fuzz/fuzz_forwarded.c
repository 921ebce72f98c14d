/* Fuzzes what proxies tell of the client. The first byte chooses the header, the rest are lines of
 * it. Properties: no read past a value; the same answer again; an address that was not found leaves
 * ip alone; and the one that matters: whatever a client wrote in front, once a proxy has appended
 * an address of its own, that address is the answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/forwarded.h"

enum { LINES_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ip_net net(const char *text)
{
    struct ip_net out;
    bool good = ip_net_parse((struct slice){text, strlen(text)}, &out);
    CHECK(good);
    return out;
}

static void add(struct http_request *r, const char *name, const char *value, size_t len)
{
    r->headers[r->header_count++] = (struct http_header){{name, strlen(name)}, {value, len}};
}

static void split(struct http_request *r, const char *name, const char *text, size_t len)
{
    while (r->header_count < LINES_MAX) {
        const char *lf = len ? memchr(text, '\n', len) : NULL;
        size_t n = lf ? (size_t)(lf - text) : len;
        add(r, name, text, n);
        if (!lf) return;
        text += n + 1;
        len -= n + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"X-Forwarded-For", "Forwarded", "X-Real-IP"};
    static const char *const appended[] = {"192.0.2.77", "for=192.0.2.77", "192.0.2.77"};
    if (size == 0) return 0;
    const struct ip_net trusted[] = {net("10.0.0.0/8"), net("2001:db8::/32")};
    unsigned which = data[0] % 3;
    const struct forwarded_rules rules = {(enum forwarded_header)which, trusted, 2};
    uint8_t peer[IP_BYTES];
    uint8_t client[IP_BYTES];
    CHECK(ip_parse(SLICE_LIT("10.0.0.1"), peer) && ip_parse(SLICE_LIT("192.0.2.77"), client));

    size_t len = size - 1;
    char *text = malloc(len ? len : 1);
    CHECK(text);
    if (len) memcpy(text, data + 1, len);
    static struct http_request r;
    r.header_count = 0;
    split(&r, names[which], text, len);

    uint8_t ip[IP_BYTES];
    uint8_t same[IP_BYTES];
    memcpy(ip, peer, IP_BYTES);
    memcpy(same, peer, IP_BYTES);
    bool found = forwarded_client(&r, &rules, ip);
    CHECK(forwarded_client(&r, &rules, same) == found && memcmp(ip, same, IP_BYTES) == 0);
    if (!found) CHECK(memcmp(ip, peer, IP_BYTES) == 0);
    CHECK(forwarded_is_marked(&r));

    add(&r, names[which], appended[which], strlen(appended[which])); /* as a line of its own */
    memcpy(ip, peer, IP_BYTES);
    if (which != FORWARDED_X_REAL_IP)
        CHECK(forwarded_client(&r, &rules, ip) && memcmp(ip, client, IP_BYTES) == 0);

    if (which != FORWARDED_X_REAL_IP) { /* and behind what was there */
        size_t n = strlen(appended[which]);
        char *line = malloc(len + 2 + n);
        CHECK(line);
        memcpy(line, text, len);
        memcpy(line + len, ", ", 2);
        memcpy(line + len + 2, appended[which], n);
        r.header_count = 0;
        add(&r, names[which], line, len + 2 + n);
        memcpy(ip, peer, IP_BYTES);
        CHECK(forwarded_client(&r, &rules, ip) && memcmp(ip, client, IP_BYTES) == 0);
        free(line);
    }
    free(text);
    return 0;
}
