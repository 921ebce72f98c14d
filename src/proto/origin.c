/* See origin.h. */
#include "proto/origin.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/ip.h"

/* host[:port], taken apart. */
struct authority {
    struct slice host; /* with the brackets of an IPv6 address, without the dot at the end */
    uint32_t port;     /* 0: none is given */
};

static bool all_of(struct slice text, const char *chars)
{
    for (size_t i = 0; i < text.len; i++)
        if (!text.ptr[i] || !strchr(chars, text.ptr[i])) return false;
    return true;
}

/* A port after its colon; an empty one is none (RFC 3986 section 3.2.3). */
static bool read_port(struct slice text, uint32_t *port)
{
    uint64_t n = 0;
    if (text.len > 0 && (!slice_to_u64(text, &n) || n == 0 || n > UINT16_MAX)) return false;
    *port = (uint32_t)n;
    return true;
}

static bool read_authority(struct slice text, struct authority *out)
{
    static const char name_chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    if (text.len == 0) return false;
    const char *end = text.ptr + text.len;
    bool bracketed = text.ptr[0] == '[';
    const char *stop = memchr(text.ptr, bracketed ? ']' : ':', text.len);
    if (bracketed && !stop) return false;
    if (bracketed) stop++;
    if (!stop) stop = end;
    out->host = (struct slice){text.ptr, (size_t)(stop - text.ptr)};
    struct slice inner = out->host;
    if (bracketed) inner = (struct slice){inner.ptr + 1, inner.len - 2};
    if (inner.len == 0 || !all_of(inner, bracketed ? "0123456789abcdefABCDEF:." : name_chars))
        return false;
    if (!bracketed && inner.len > 1 && inner.ptr[inner.len - 1] == '.') out->host.len--;
    out->port = 0;
    if (stop == end) return true;
    return *stop == ':' &&
           read_port((struct slice){stop + 1, (size_t)(end - stop) - 1}, &out->port);
}

/* scheme://authority and nothing else. */
static bool read_origin(struct slice origin, struct slice *scheme, struct authority *out)
{
    static const char scheme_chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    const char *mark = origin.len ? memmem(origin.ptr, origin.len, "://", 3) : NULL;
    if (!mark || mark == origin.ptr || origin.len > ORIGIN_BYTES_MAX) return false;
    *scheme = (struct slice){origin.ptr, (size_t)(mark - origin.ptr)};
    const char *at = mark + 3;
    struct slice rest = {at, origin.len - (size_t)(at - origin.ptr)};
    return all_of(*scheme, scheme_chars) && read_authority(rest, out);
}

bool origin_is_same(struct slice origin, struct slice host)
{
    struct slice scheme;
    struct authority page;
    struct authority own;
    if (!read_origin(origin, &scheme, &page) || !read_authority(host, &own)) return false;
    bool https = slice_equal_nocase(scheme, SLICE_LIT("https"));
    if (!https && !slice_equal_nocase(scheme, SLICE_LIT("http"))) return false;
    uint32_t usual = https ? 443 : 80;
    return slice_equal_nocase(page.host, own.host) &&
           (page.port ? page.port : usual) == (own.port ? own.port : usual);
}

/* Browsers write an address in its one usual form, so no other spelling is taken for one. */
static bool read_address(struct slice host, uint8_t ip[static IP_BYTES])
{
    if (host.ptr[0] != '[') return ip_parse(host, ip);
    struct slice inner = {host.ptr + 1, host.len - 2};
    return memchr(inner.ptr, ':', inner.len) && ip_parse(inner, ip);
}

static bool is_localhost(struct slice host)
{
    static const struct slice name = SLICE_LIT("localhost");
    static const struct slice below = SLICE_LIT(".localhost");
    if (slice_equal_nocase(host, name)) return true;
    if (host.len <= below.len) return false;
    return slice_equal_nocase((struct slice){host.ptr + host.len - below.len, below.len}, below);
}

static bool is_local(struct slice host)
{
    uint8_t ip[IP_BYTES];
    return read_address(host, ip) ? ip_is_loopback(ip) : is_localhost(host);
}

bool origin_host_is_local(struct slice host)
{
    struct authority own;
    return read_authority(host, &own) && is_local(own.host);
}

bool origin_host_is_address(struct slice host)
{
    struct authority own;
    uint8_t ip[IP_BYTES];
    return read_authority(host, &own) && read_address(own.host, ip);
}

bool origin_is_local(struct slice origin)
{
    struct slice scheme;
    struct authority page;
    return origin.len == 0 || slice_is(origin, "null") ||
           (read_origin(origin, &scheme, &page) && is_local(page.host));
}

bool origin_host_is(struct slice host, struct slice origin)
{
    struct slice scheme;
    struct authority page;
    struct authority own;
    return read_origin(origin, &scheme, &page) && read_authority(host, &own) &&
           slice_equal_nocase(page.host, own.host);
}

bool origin_option(struct slice origin, char out[static ORIGIN_OPTION_MAX])
{
    struct slice scheme;
    struct authority page;
    out[0] = '\0';
    if (!slice_is(origin, "null") && !read_origin(origin, &scheme, &page)) return false;
    const char *quote = memchr(origin.ptr, '[', origin.len) ? "'" : ""; /* a pattern to shells */
    snprintf(out, ORIGIN_OPTION_MAX, "--origins %s%.*s%s", quote, (int)origin.len, origin.ptr,
             quote);
    return true;
}

bool origin_host_option(struct slice host, char out[static ORIGIN_OPTION_MAX])
{
    char origin[ORIGIN_BYTES_MAX + 1];
    int len = snprintf(origin, sizeof origin, "http://%.*s", (int)host.len, host.ptr);
    out[0] = '\0';
    return len > 0 && (size_t)len < sizeof origin &&
           origin_option((struct slice){origin, (size_t)len}, out);
}
