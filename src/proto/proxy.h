/* The header by which a proxy that passes bytes on tells whose they are, before the first of them:
 * the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt, sections 2.1 to 2.3). Pure:
 * no I/O, no allocation, no state; any thread. */
#ifndef PROTO_PROXY_H
#define PROTO_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"

enum {
    PROXY_V1_MAX_BYTES = 107,      /* of a header, its CRLF included */
    PROXY_HEADER_MAX_BYTES = 4096, /* of one of version 2 with its TLVs; longer ones are refused */
};

struct proxy_source {
    bool known; /* false: the proxy speaks for itself, or for a peer without such an address */
    uint8_t ip[IP_BYTES];
};

/* Reads a header from the first bytes of a connection. 0: it took *used bytes. ERR_AGAIN: more are
 * needed. ERR_BAD_REQUEST: this is none, and the connection has to end (section 2). */
int proxy_parse(const uint8_t *data, size_t len, struct proxy_source *out, size_t *used);

#endif
