/* See proxy.h. TLVs of version 2 are passed over: none says anything that the server acts on. */
#include "proto/proxy.h"

#include <string.h>

#include "base/err.h"

static const uint8_t v1_start[] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const uint8_t v2_start[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                   0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

enum {
    V2_FIXED_BYTES = 16, /* signature, version and command, family, length of the rest */
    V2_VERSION = 0x20,
    V2_LOCAL = 0,
    V2_PROXY = 1,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_TCP4_BYTES = 12, /* two addresses, two ports */
    V2_TCP6_BYTES = 36,
};

/* Takes the word in front of the next blank, or of the end. */
static struct slice take_word(struct slice *line)
{
    const char *blank = line->len ? memchr(line->ptr, ' ', line->len) : NULL;
    struct slice word = {line->ptr, blank ? (size_t)(blank - line->ptr) : line->len};
    size_t used = word.len + (blank ? 1 : 0);
    line->ptr += used;
    line->len -= used;
    return word;
}

static bool is_port(struct slice word)
{
    uint64_t n;
    return word.len <= 5 && slice_to_u64(word, &n) && n <= UINT16_MAX;
}

static bool is_address(struct slice word, bool v6, uint8_t ip[static IP_BYTES])
{
    bool colon = word.len && memchr(word.ptr, ':', word.len);
    return colon == v6 && ip_parse(word, ip);
}

/* The line behind "PROXY ", without its CRLF. */
static int read_v1(struct slice line, struct proxy_source *out)
{
    uint8_t destination[IP_BYTES];
    struct slice family = take_word(&line);
    if (slice_is(family, "UNKNOWN")) return 0; /* the rest is to be ignored */
    bool v6 = slice_is(family, "TCP6");
    if (!v6 && !slice_is(family, "TCP4")) return ERR_BAD_REQUEST;
    bool good = is_address(take_word(&line), v6, out->ip);
    good = good && is_address(take_word(&line), v6, destination);
    good = good && is_port(take_word(&line));
    good = good && line.ptr[-1] == ' ' && is_port(line);
    out->known = good;
    return good ? 0 : ERR_BAD_REQUEST;
}

static int parse_v1(const uint8_t *data, size_t len, struct proxy_source *out, size_t *used)
{
    size_t look = len < PROXY_V1_MAX_BYTES ? len : PROXY_V1_MAX_BYTES;
    const uint8_t *lf = memchr(data, '\n', look);
    if (!lf) return len < PROXY_V1_MAX_BYTES ? ERR_AGAIN : ERR_BAD_REQUEST;
    size_t n = (size_t)(lf - data) + 1;
    if (n < sizeof v1_start + 2 || lf[-1] != '\r') return ERR_BAD_REQUEST;
    struct slice line = {(const char *)data + sizeof v1_start, n - sizeof v1_start - 2};
    *used = n;
    return read_v1(line, out);
}

static int parse_v2(const uint8_t *data, size_t len, struct proxy_source *out, size_t *used)
{
    if (len < V2_FIXED_BYTES) return ERR_AGAIN;
    unsigned command = data[12] & 0x0f;
    size_t rest = (size_t)data[14] << 8 | data[15];
    bool sound = (data[12] & 0xf0) == V2_VERSION && (command == V2_LOCAL || command == V2_PROXY);
    if (!sound || V2_FIXED_BYTES + rest > PROXY_HEADER_MAX_BYTES) return ERR_BAD_REQUEST;
    if (len < V2_FIXED_BYTES + rest) return ERR_AGAIN;
    *used = V2_FIXED_BYTES + rest;
    const uint8_t *source = data + V2_FIXED_BYTES;
    if (command == V2_LOCAL) return 0;
    if (data[13] == V2_TCP4) {
        if (rest < V2_TCP4_BYTES) return ERR_BAD_REQUEST;
        memset(out->ip, 0, 10);
        memset(out->ip + 10, 0xff, 2);
        memcpy(out->ip + 12, source, 4);
        out->known = true;
    } else if (data[13] == V2_TCP6) {
        if (rest < V2_TCP6_BYTES) return ERR_BAD_REQUEST;
        memcpy(out->ip, source, IP_BYTES);
        out->known = true;
    }
    return 0; /* another family: a peer without such an address (section 2.2) */
}

int proxy_parse(const uint8_t *data, size_t len, struct proxy_source *out, size_t *used)
{
    *out = (struct proxy_source){.known = false};
    size_t v1 = len < sizeof v1_start ? len : sizeof v1_start;
    size_t v2 = len < sizeof v2_start ? len : sizeof v2_start;
    if (len == 0) return ERR_AGAIN;
    if (memcmp(data, v1_start, v1) == 0)
        return v1 < sizeof v1_start ? ERR_AGAIN : parse_v1(data, len, out, used);
    if (memcmp(data, v2_start, v2) == 0)
        return v2 < sizeof v2_start ? ERR_AGAIN : parse_v2(data, len, out, used);
    return ERR_BAD_REQUEST;
}
