/* Keys that tokens are verified with: a secret, a public key, or a JWK Set (RFC 7517) as an issuer
 * publishes it. Which algorithms a key may be used with is a matter of the key alone; what a token
 * says of its algorithm is held against that and chooses nothing (RFC 8725 section 3.1). So a
 * public key is never taken for a secret, and "none" is no algorithm.
 *
 * A set is immutable and reference-counted: to replace keys, make another set, and unref the old
 * one when those that verify with it have done so. All of this is for any thread, and pure: bytes
 * in, no I/O and no clock (but jansson and OpenSSL seed themselves at their first use, from
 * getrandom or /dev/urandom). */
#ifndef AUTH_JWK_H
#define AUTH_JWK_H

#include <stddef.h>

#include "base/buf.h"

enum {
    JWK_SECRET_MIN = 32, /* bytes: RFC 7518 section 3.2 */
    JWK_SECRET_MAX = 4096,
    JWK_PEM_MAX = 16 << 10,
    JWK_SET_BYTES_MAX = 256 << 10,
    JWK_KEYS_MAX = 64,
    JWK_KID_MAX = 256, /* bytes */
    JWK_TRIES_MAX = 4, /* signatures computed for one token, if it names no key or several have
                          that name */
};

struct jwk_set;

/* The three ways to a set. 0: *out is a set with one reference, the caller's, that holds nothing
 * of what it was made from. ERR_CONFIG: it is no key, and *why says why, for a log (static text, it
 * shows nothing of a key). ERR_NOMEM; but where it is OpenSSL that is short of memory, a key may
 * count as one that cannot be read. *why is NULL but where said; on errors *out is NULL. */

/* The bytes of a secret as they are, a line feed at the end of its file included: JWK_SECRET_MIN to
 * JWK_SECRET_MAX. For HS256; from 48 bytes also HS384, from 64 also HS512 (RFC 7518 section 3.2).
 * What looks like PEM is refused: whoever has that public key could sign. */
int jwk_set_from_secret(struct slice secret, struct jwk_set **out, const char **why);

/* The bytes of a PEM file, at most JWK_PEM_MAX, with one public key in SubjectPublicKeyInfo ("BEGIN
 * PUBLIC KEY", RFC 7468 section 13): RSA with 2048 to 4096 bits (RS256, RS384, RS512, PS256, PS384,
 * PS512), P-256 (ES256), P-384 (ES384), P-521 (ES512), Ed25519 (EdDSA). */
int jwk_set_from_pem(struct slice pem, struct jwk_set **out, const char **why);

/* A JWK Set (RFC 7517 section 5, RFC 7518 section 6, RFC 8037 section 2), at most JWK_SET_BYTES_MAX
 * and JWK_KEYS_MAX keys, with at least one key of the kinds above. Others are ignored: secrets
 * ("oct"), a "use" but "sig", "key_ops" without "verify", an "alg" that does not fit, too small a
 * key, a point off its curve; *why is then why, of the last of them, although a set is given.
 * "alg" restricts a key to it. Of private keys the public part is taken. Takes up to 0.5 ms for
 * each key: a long set is not for a worker's turn. */
int jwk_set_from_json(struct slice json, struct jwk_set **out, const char **why);

/* NULL is nothing. The last unref wipes secrets and frees. */
struct jwk_set *jwk_set_ref(struct jwk_set *set);
void jwk_set_unref(struct jwk_set *set);

/* How many keys there are, at least 1. */
size_t jwk_set_count(const struct jwk_set *set);

/* A signature, of a JWS that was taken apart (RFC 7515 section 5.2). */
struct jws {
    struct slice alg;   /* as the header spells it */
    struct slice kid;   /* ptr NULL: the header has none */
    struct slice input; /* the signed bytes: both parts as they came, with the dot between them */
    struct slice signature; /* decoded */
};

enum jwk_result {
    JWK_GOOD,
    JWK_WRONG_ALGORITHM, /* none that is known, or none for which there is a key (of that kid) */
    JWK_UNKNOWN_KEY,     /* no key has that kid */
    JWK_BAD_SIGNATURE,
    JWK_NOMEM,
};

/* Verifies a signature. A kid chooses among the keys of a JWK Set, where one without a kid is not
 * chosen by any; a secret or a PEM file has no name and answers to all. ECDSA signatures are r||s
 * (RFC 7518 section 3.4), the salt of PSS is as long as its hash (section 3.5), and every signature
 * has exactly the length that its key demands. No error of OpenSSL's is left on the thread. */
enum jwk_result jwk_set_verify(const struct jwk_set *set, const struct jws *jws);

#endif
