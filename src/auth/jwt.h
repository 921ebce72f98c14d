/* Tokens that say who somebody is, and what it may do: JWTs (RFC 7519) in the compact form of JWS
 * (RFC 7515), signed by an issuer whose keys are known (jwk.h), verified as RFC 8725 advises.
 *
 * Pure: no I/O, and the time is the caller's. Any thread; threads that verify with the same keys
 * share nothing that is written but counters of OpenSSL's. What it costs is the signature: 20 us
 * with RS256, 50 with ES256, 70 with EdDSA, 460 with ES384 (docs/decisions/0010-tokens.md has them
 * all), and up to JWK_TRIES_MAX times that where a token names no key. A caller with a turn to keep
 * looks at its clock after each. */
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct claims;
struct jwk_set;

enum {
    JWT_BYTES_MAX = 6 << 10, /* of a token */
    JWT_LEEWAY_S = 60,       /* that clocks may differ, for exp, nbf and iat */
};

/* X(symbol, text). The text is for the log and for people, and shows nothing of the token. */
#define JWT_RESULTS(X)                                                                             \
    X(JWT_OK, "the token is valid")                                                                \
    X(JWT_NOMEM, "the server is out of memory")                                                    \
    X(JWT_TOO_LONG, "the token is too long")                                                       \
    X(JWT_MALFORMED,                                                                               \
      "the token is not a JWS: three parts of base64url, the first two JSON objects")              \
    X(JWT_CRITICAL, "the token demands an extension (\"crit\")")                                   \
    X(JWT_WRONG_TYPE, "\"typ\" of the token is neither JWT nor at+jwt")                            \
    X(JWT_WRONG_ALGORITHM, "no key is for the algorithm of the token")                             \
    X(JWT_UNKNOWN_KEY, "the key that the token names is not known")                                \
    X(JWT_BAD_SIGNATURE, "the signature of the token is wrong")                                    \
    X(JWT_EXPIRED, "the token has expired")                                                        \
    X(JWT_TOO_EARLY, "the token is not valid yet")                                                 \
    X(JWT_TOO_FAR_AHEAD, "the token is valid for longer than is allowed")                          \
    X(JWT_WRONG_ISSUER, "the token is of another issuer")                                          \
    X(JWT_WRONG_AUDIENCE, "the token is for another audience")                                     \
    X(JWT_BAD_EXP, "\"exp\" of the token is missing, or no number")                                \
    X(JWT_BAD_NBF, "\"nbf\" of the token is no number")                                            \
    X(JWT_BAD_IAT, "\"iat\" of the token is no number")                                            \
    X(JWT_BAD_ISS, "\"iss\" of the token is no string")                                            \
    X(JWT_BAD_AUD, "\"aud\" of the token is neither a string nor an array of strings")             \
    X(JWT_BAD_SUB, "\"sub\" of the token is missing, or not fit for a user")                       \
    X(JWT_BAD_NAME, "\"name\" of the token is not fit for a name")                                 \
    X(JWT_BAD_JTI, "\"jti\" of the token is not fit for an id")                                    \
    X(JWT_BAD_SID, "\"sid\" of the token is not fit for an id")                                    \
    X(JWT_BAD_PARLOR, "\"parlor\" of the token is no object with \"rooms\" and their rights")

enum jwt_result {
#define X(symbol, text) symbol,
    JWT_RESULTS(X)
#undef X
        JWT_RESULT_COUNT
};

/* Static text. */
const char *jwt_result_text(enum jwt_result result);

/* What is demanded of tokens. Borrowed, only during the call. */
struct jwt_rules {
    struct slice issuer; /* what iss has to be; empty: anything, or missing */
    /* What aud has to be, or hold; empty: a token with aud is refused, as it is for somebody else
     * (RFC 7519 section 4.1.3). */
    struct slice audience;
    uint32_t max_age_s; /* how far ahead exp may be; the leeway comes on top */
};

/* Verifies a token, of any bytes, by keys and rules. now_ms: Unix time, below 2^53. JWT_OK: *out is
 * the claims, the caller's, for claims_free; they hold nothing of the arguments, and expires_ms is
 * exp without leeway. Else *out is NULL. JWT_UNKNOWN_KEY may mean that the issuer has newer keys:
 * fetch them, not more often than now and then, as anybody can name any key. The claims, and so the
 * results after JWT_BAD_SIGNATURE, are looked at only where the signature is right. Needs up to
 * 16 KiB of stack.
 *
 * exp is demanded; exp, nbf and iat are seconds, fractions too (RFC 7519 section 2). */
enum jwt_result jwt_verify(const struct jwk_set *keys, const struct jwt_rules *rules,
                           struct slice token, uint64_t now_ms, struct claims **out);

#endif
