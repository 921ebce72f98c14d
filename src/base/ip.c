/* See ip.h. */
#include "base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { V4_PREFIX_BITS = 96 };

static const uint8_t v4_prefix[V4_PREFIX_BITS / 8] = {[10] = 0xff, [11] = 0xff};

bool ip_is_v4(const uint8_t ip[static IP_BYTES])
{
    return memcmp(ip, v4_prefix, sizeof v4_prefix) == 0;
}

bool ip_parse(struct slice text, uint8_t ip[static IP_BYTES])
{
    char copy[IP_TEXT_MAX];
    uint8_t bytes[IP_BYTES];
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len)) return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET6, copy, bytes) != 1) {
        memcpy(bytes, v4_prefix, sizeof v4_prefix);
        if (inet_pton(AF_INET, copy, bytes + sizeof v4_prefix) != 1) return false;
    }
    memcpy(ip, bytes, IP_BYTES);
    return true;
}

bool ip_is_loopback(const uint8_t ip[static IP_BYTES])
{
    static const uint8_t v6[IP_BYTES] = {[15] = 1};
    return ip_is_v4(ip) ? ip[sizeof v4_prefix] == 127 : memcmp(ip, v6, sizeof v6) == 0;
}

/* Bits of the prefix that byte i of an address has a part in, as a mask. */
static uint8_t mask_of(unsigned bits, unsigned i)
{
    if (bits <= 8 * i) return 0;
    unsigned missing = bits < 8 * (i + 1) ? 8 * (i + 1) - bits : 0;
    return (uint8_t)(0xffU << missing);
}

/* "0" to most, without a sign or zeros in front. */
static bool read_bits(struct slice text, unsigned most, unsigned *out)
{
    uint64_t n;
    if (text.len > 1 && text.ptr[0] == '0') return false;
    if (!slice_to_u64(text, &n) || n > most) return false;
    *out = (unsigned)n;
    return true;
}

bool ip_net_parse(struct slice text, struct ip_net *out)
{
    struct ip_net net;
    const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
    struct slice address = {text.ptr, slash ? (size_t)(slash - text.ptr) : text.len};
    if (!ip_parse(address, net.ip)) return false;
    bool v4 = !memchr(address.ptr, ':', address.len);
    unsigned before = v4 ? V4_PREFIX_BITS : 0;
    unsigned bits = 8 * IP_BYTES - before;
    if (slash) {
        struct slice rest = {slash + 1, text.len - address.len - 1};
        if (!read_bits(rest, bits, &bits)) return false;
    }
    net.bits = (uint8_t)(before + bits);
    for (unsigned i = 0; i < IP_BYTES; i++)
        if (net.ip[i] & (uint8_t)~mask_of(net.bits, i)) return false;
    *out = net;
    return true;
}

bool ip_net_has(const struct ip_net *net, const uint8_t ip[static IP_BYTES])
{
    for (unsigned i = 0; i < IP_BYTES; i++)
        if ((ip[i] ^ net->ip[i]) & mask_of(net->bits, i)) return false;
    return true;
}

void ip_net_text(const struct ip_net *net, char out[static IP_NET_TEXT_MAX])
{
    char text[IP_TEXT_MAX] = "";
    bool v4 = ip_is_v4(net->ip) && net->bits >= V4_PREFIX_BITS;
    (void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? net->ip + sizeof v4_prefix : net->ip, text,
                    sizeof text);
    snprintf(out, IP_NET_TEXT_MAX, "%s/%u", text, net->bits - (v4 ? V4_PREFIX_BITS : 0U));
}
