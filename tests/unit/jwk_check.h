/* What the tests of keys share: sets that have to be there or be refused, what they may be used
 * with, and the public keys in the examples of RFC 7515 and 8037, as members of a JWK. Each fails
 * the running test unless it is as it says; none lets OpenSSL's errors lie about. */
#ifndef TESTS_JWK_CHECK_H
#define TESTS_JWK_CHECK_H

#include "auth/jwk.h"
#include "base/buf.h"

#define JWK_CHECK_INPUT "e30.e30" /* to be signed */
#define JWK_CHECK_RSA_ALGS "RS256 RS384 RS512 PS256 PS384 PS512"

#define JWK_CHECK_P256                                                                             \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","      \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define JWK_CHECK_P521                                                                             \
    "\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5E" \
    "OnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l"   \
    "2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\""
#define JWK_CHECK_RSA_N                                                                            \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define JWK_CHECK_ED25519                                                                          \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define JWK_CHECK_RSA "\"kty\":\"RSA\",\"n\":\"" JWK_CHECK_RSA_N "\",\"e\":\"AQAB\""

/* One of jwk_set_from_. */
typedef int jwk_check_from(struct slice bytes, struct jwk_set **out, const char **why);

/* A set, of which nothing was ignored. */
struct jwk_set *jwk_check_set(jwk_check_from *make, const char *text);

/* The same, of a JWK Set whose one key has these members. */
struct jwk_set *jwk_check_key(const char *members);

/* It is refused, for a reason that has word in it. */
void jwk_check_refused(jwk_check_from *make, struct slice bytes, const char *word);
void jwk_check_key_refused(const char *members, const char *word);

/* The signature that a token ends in, over the rest of it. kid may be NULL. */
enum jwk_result jwk_check_verify(const struct jwk_set *set, const char *alg, const char *kid,
                                 const char *token);

/* Of all names of algorithms, real and others, the set takes those in algs, a list. Gives it back.
 */
void jwk_check_algs(struct jwk_set *set, const char *algs);

#endif
