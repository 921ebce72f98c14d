/* What keys (RFC 7517) and tokens (RFC 7515) are written in: base64url, and JSON objects. Both are
 * read as strictly as the RFCs allow, so that of what is signed there is one spelling, and one
 * meaning to whoever reads it.
 *
 * Pure: no I/O, no clock, no state; any thread. */
#ifndef AUTH_JOSE_H
#define AUTH_JOSE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* base64url without padding (RFC 7515 section 2, RFC 4648 section 5): *len bytes, at most cap, in
 * out. False if they are more, if text has a foreign character or padding, or if the bits behind
 * its last byte are not 0 (RFC 4648 section 3.5); out and *len are then of no use. Empty text is no
 * bytes. */
bool jose_decode(struct slice text, uint8_t *out, size_t cap, size_t *len);

/* Writes so many bytes, a multiple of 3, as base64url: 4 characters for each 3 of them, without a
 * NUL. */
void jose_encode(const void *bytes, size_t len, char *out);

/* A JSON text that is one object, with nothing but white space around it. ERR_BAD_JSON if it is
 * not, is not UTF-8, is deeper than JSON_DEPTH_MAX, has a member twice (RFC 7515 section 4), a
 * number that is out of range, or U+0000 in a string; ERR_NOMEM. The caller bounds its length and
 * gives *out back with json_decref. */
int jose_object(struct slice text, json_t **out);

/* The text of a string, borrowed from it; without one, or if value is something else or NULL, ptr
 * is NULL. */
struct slice jose_text(const json_t *value);

#endif
