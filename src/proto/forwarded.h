/* Whose request this is, as the proxies on its way tell: X-Forwarded-For, Forwarded (RFC 7239), or
 * X-Real-IP. A proxy appends to what it received, so only the end of such a list is its own word,
 * and the list is read from there: an address is believed as long as all that passed it on are
 * trusted. What a client wrote at the front is never looked at.
 *
 * Pure: no I/O, no allocation, no state; any thread. */
#ifndef PROTO_FORWARDED_H
#define PROTO_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"
#include "proto/http.h"

enum { FORWARDED_HOPS_MAX = 32 }; /* elements looked at; a longer way counts as malformed */

enum forwarded_header { FORWARDED_X_FORWARDED_FOR, FORWARDED_RFC7239, FORWARDED_X_REAL_IP };

struct forwarded_rules {
    enum forwarded_header header; /* the one the proxies set; all others are ignored */
    const struct ip_net *trusted;
    size_t trusted_count;
};

bool forwarded_trusts(const struct forwarded_rules *rules, const uint8_t ip[static IP_BYTES]);

/* True if any header is there by which proxies make themselves known, whatever it says. */
bool forwarded_is_marked(const struct http_request *r);

/* True if any of the headers is there that could name a client, also those that are not read. */
bool forwarded_names_client(const struct http_request *r);

/* The peer, whose address is in ip, is trusted. True: ip is now the client's: the first from the
 * right that is not trusted, or the leftmost if all are. False, and ip untouched: the header is
 * missing, or malformed as far as it was read (RFC 7239's unknown and _hidden included; a second
 * X-Real-IP too). */
bool forwarded_client(const struct http_request *r, const struct forwarded_rules *rules,
                      uint8_t ip[static IP_BYTES]);

#endif
