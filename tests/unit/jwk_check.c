/* See jwk_check.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jwk_check.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jose.h"
#include "base/err.h"

static struct slice slice(const char *text)
{
    return (struct slice){text, strlen(text)};
}

struct jwk_set *jwk_check_set(jwk_check_from *make, const char *text)
{
    struct jwk_set *set = NULL;
    const char *why = "?";
    int err = make(slice(text), &set, &why);
    if (err || why) fail_msg("%d %s", err, why ? why : "");
    assert_non_null(set);
    return set;
}

void jwk_check_refused(jwk_check_from *make, struct slice bytes, const char *word)
{
    const struct jwk_set *set = (const struct jwk_set *)"";
    const char *why = NULL;
    int err = make(bytes, (struct jwk_set **)&set, &why);
    if (err != ERR_CONFIG || set || !why || !strstr(why, word))
        fail_msg("%d, %s, of %.*s", err, why ? why : "", (int)bytes.len, bytes.ptr);
    assert_int_equal(ERR_peek_error(), 0);
}

struct jwk_set *jwk_check_key(const char *member)
{
    char json[4096];
    snprintf(json, sizeof json, "{\"keys\":[{%s}]}", member);
    return jwk_check_set(jwk_set_from_json, json);
}

void jwk_check_key_refused(const char *member, const char *word)
{
    char json[4096];
    snprintf(json, sizeof json, "{\"keys\":[{%s}]}", member);
    jwk_check_refused(jwk_set_from_json, slice(json), word);
}

enum jwk_result jwk_check_verify(const struct jwk_set *set, const char *alg, const char *kid,
                                 const char *token)
{
    uint8_t signature[1024];
    const char *dot = strrchr(token, '.');
    struct jws jws = {.alg = slice(alg),
                      .kid = kid ? slice(kid) : (struct slice){0},
                      .input = {token, (size_t)(dot - token)}};
    assert_true(jose_decode(slice(dot + 1), signature, sizeof signature, &jws.signature.len));
    uint8_t *exact = malloc(jws.signature.len ? jws.signature.len : 1);
    assert_non_null(exact);
    memcpy(exact, signature, jws.signature.len);
    jws.signature.ptr = (const char *)exact;
    enum jwk_result result = jwk_set_verify(set, &jws);
    free(exact);
    assert_int_equal(ERR_peek_error(), 0);
    return result;
}

void jwk_check_algs(struct jwk_set *set, const char *algs)
{
    static const char *const known[] = {"HS256", "HS384",  "HS512",  "RS256", "RS384",
                                        "RS512", "PS256",  "PS384",  "PS512", "ES256",
                                        "ES384", "ES512",  "EdDSA",  "none",  "",
                                        "hs256", "RS256 ", "ES256K", "HS25",  "Ed25519"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        bool takes = strlen(known[i]) == 5 && strstr(algs, known[i]);
        enum jwk_result got = jwk_check_verify(set, known[i], NULL, JWK_CHECK_INPUT ".AAAA");
        if (got != (takes ? JWK_BAD_SIGNATURE : JWK_WRONG_ALGORITHM))
            fail_msg("%s: %d", known[i], got);
    }
    jwk_set_unref(set);
}
