/* Addresses of peers as text, and networks that hold them. An address is 16 bytes, IPv4 mapped into
 * IPv6 (RFC 4291 section 2.5.5.2), so that both are one kind to whoever compares or counts them. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    IP_BYTES = 16,
    IP_TEXT_MAX = 46,    /* bytes of the longest text of an address, with a NUL */
    IP_NET_TEXT_MAX = 52 /* likewise of a network */
};

struct ip_net {
    uint8_t ip[IP_BYTES]; /* all bits behind the prefix are 0 */
    uint8_t bits;         /* of the prefix, 0..128 */
};

/* Reads a numeric address without port, brackets or zone. False, and ip untouched, for anything
 * else. Any thread, as all of these. */
bool ip_parse(struct slice text, uint8_t ip[static IP_BYTES]);

bool ip_is_v4(const uint8_t ip[static IP_BYTES]);
bool ip_is_loopback(const uint8_t ip[static IP_BYTES]);

/* Reads 10.0.0.0/8, 2001:db8::/32, or an address, which is a network of one. False for anything
 * else, also for bits behind the prefix, which are a slip of whoever wrote them. */
bool ip_net_parse(struct slice text, struct ip_net *out);

bool ip_net_has(const struct ip_net *net, const uint8_t ip[static IP_BYTES]);

/* Such that ip_net_parse reads it back. */
void ip_net_text(const struct ip_net *net, char out[static IP_NET_TEXT_MAX]);

#endif
