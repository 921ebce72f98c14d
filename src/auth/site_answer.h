/* What a site answers with 200 about somebody (protocol.md section 10, source 6):
 *
 *     {"user": "42", "username": "Ann", "rights": {"lobby": "write"}, "session": "s1", "expires":
 *      1900000000}
 *
 * It is read as strictly as a token (jose.h, claims.h), but that members which are not known are
 * passed over: it is the site's own, and nobody signs it. Pure; any thread. */
#ifndef AUTH_SITE_ANSWER_H
#define AUTH_SITE_ANSWER_H

#include <stdint.h>

#include "base/buf.h"

struct claims;

enum { SITE_ANSWER_BYTES_MAX = 16 << 10 };

/* 0: *out is the claims, the caller's, for claims_free. room: empty, or the one that was asked
 * about; then of the rights nothing is kept but the one in it. now_ms: Unix time. ERR_BAD_JSON:
 * *why says what is wrong, static text for the operator; ERR_NOMEM. On errors *out is NULL. */
int site_answer_read(struct slice json, struct slice room, uint64_t now_ms, struct claims **out,
                     const char **why);

#endif
