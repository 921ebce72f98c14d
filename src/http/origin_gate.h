/* Which pages may use this server from a browser (docs/decisions/0007-origins.md): the Host a
 * request names, and the Origin of a page that opens a WebSocket. No access control, as programs
 * send what they like, but where the site is asked who somebody is: then it is what keeps a page
 * elsewhere from using the session of who looks at it. Worker's thread. */
#ifndef HTTP_ORIGIN_GATE_H
#define HTTP_ORIGIN_GATE_H

#include "proto/origin.h"

struct conn;
struct http_request;

enum { ORIGIN_GATE_TEXT_MAX = ORIGIN_OPTION_MAX + 96 };

/* 0 or ERR_HOST. A loopback listener is nobody's but this machine's, so a request for another name
 * comes from a page whose name was rebound to 127.0.0.1, unless a proxy passed it on. */
int origin_gate_host(const struct conn *c, const struct http_request *r);

/* The same, and whether the page may open a WebSocket: 0, ERR_HOST or ERR_ORIGIN. */
int origin_gate_page(const struct conn *c, const struct http_request *r);

/* Counts and logs such a refusal, and says to the page's developer what would allow it: plain ASCII
 * without double quotes or backslashes. */
void origin_gate_refuse(const struct conn *c, const struct http_request *r, int err,
                        char text[static ORIGIN_GATE_TEXT_MAX]);

#endif
