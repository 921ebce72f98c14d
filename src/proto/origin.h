/* Web origins (RFC 6454) beside the hosts that requests name (RFC 9110 section 7.2): is the page
 * that opens a WebSocket one of this server's own? Pure; any thread.
 *
 * Browsers alone send Origin, and no page can forge it, so these functions are about browsers: they
 * take what those send and know none of the other spellings of an address. */
#ifndef PROTO_ORIGIN_H
#define PROTO_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum {
    ORIGIN_BYTES_MAX = 255, /* as many as --origins takes */
    ORIGIN_OPTION_MAX = ORIGIN_BYTES_MAX + 16
};

/* True if a page of `origin` was loaded from `host` (a name or address, and a port or none). Scheme
 * http or https, of which the one decides what no port means, on both sides: a proxy that ends TLS
 * passes on `Host: example.org` for https://example.org. Letter case and one trailing dot do not
 * matter. False for anything that is not an origin, "null" too. */
bool origin_is_same(struct slice origin, struct slice host);

/* True if the host (and a port or none) can be nothing but this machine itself: localhost, names
 * below it (RFC 6761 section 6.3), 127.0.0.0/8 and ::1, the former also mapped into IPv6. This
 * alone decides what is local. */
bool origin_host_is_local(struct slice host);

/* True if it is an address, of whatever machine, and so no name that somebody else has a say in: a
 * page whose name was rebound to this machine's address sends that name. */
bool origin_host_is_address(struct slice host);

/* True if it is a page of this machine: its host is local, or it is that of a file or does not tell
 * ("null", or no Origin at all). */
bool origin_is_local(struct slice origin);

/* True if it is the host of this origin, whatever the ports. */
bool origin_host_is(struct slice host, struct slice origin);

/* Writes `--origins https://example.org`, fit to be pasted into a shell, for this origin or "null".
 * False, and out is "", if it is not one that the option takes: these are bytes of a stranger's. */
bool origin_option(struct slice origin, char out[static ORIGIN_OPTION_MAX]);

/* The same for the origin of a page at this host. The scheme is http: who asks has no other. */
bool origin_host_option(struct slice host, char out[static ORIGIN_OPTION_MAX]);

#endif
