/* Some of the cookies of a request (RFC 6265 section 4.2), as they came: whoever reads their values
 * is elsewhere. Pure; any thread. */
#ifndef PROTO_COOKIE_H
#define PROTO_COOKIE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct http_request;

enum { COOKIE_NAMES_MAX = 16 };

/* Whether it is a list of 1 to COOKIE_NAMES_MAX names of cookies, separated by commas. */
bool cookie_names_valid(struct slice names);

/* Writes those of the request that have one of these names, upper and lower case being different,
 * in the order in which they came, also where a name came twice: as "a=1; b=2", *len bytes, 0 if
 * there are none. ERR_HEAD_TOO_LARGE if they are more than cap. */
int cookie_pick(const struct http_request *r, struct slice names, char *out, size_t cap,
                size_t *len);

#endif
