/* Where a WebSocket handshake carries a token, or a guest's key (protocol.md section 10), and which
 * subprotocol it is answered with. Pure; any thread. */
#ifndef PROTO_BEARER_H
#define PROTO_BEARER_H

#include <stdbool.h>

#include "base/buf.h"

struct http_request;

#define BEARER_BARE_SUBPROTOCOL "parlor.bare"

enum { BEARER_TOKEN_MAX = 8 << 10 }; /* bytes, decoded; more than any token that is believed */

struct bearer {
    bool carried;            /* a token, which may be anything, even empty */
    bool guest;              /* it is a guest's key instead */
    struct slice token;      /* in the request, or in decoded */
    const char *subprotocol; /* the one to select, static text; NULL: none */
    char decoded[BEARER_TOKEN_MAX];
};

/* The first of: Authorization: Bearer, if the header is ours to look at, as elsewhere it may be a
 * proxy's; an offered subprotocol bearer.TOKEN; ?token=; an offered guest.KEY. What comes later is
 * not looked at. 0, or ERR_BAD_REQUEST (one of them is there twice, but for ?token=, or the query
 * cannot be read), ERR_BEARER_ALONE, ERR_TOO_LONG. */
int bearer_read(const struct http_request *r, bool authorization, struct bearer *out);

#endif
