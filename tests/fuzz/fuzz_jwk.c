/* Fuzzes keys. The first byte chooses what the rest is: a JWK Set, a PEM file or a secret.
 * Properties: no read past the end; the same answer again; there is a set exactly if there is no
 * error, else a reason; a set has no more keys than jansson reads in it, and zeros are a signature
 * of none; a set that is no secret knows no HMAC, and the other way round. */
#include <jansson.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwk.h"
#include "base/check.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int from(struct slice bytes, struct jwk_set **out, const char **why);

static const char *const algs[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                   "RS512", "PS256", "PS384", "PS512", "ES256",
                                   "ES384", "ES512", "EdDSA", "none",  ""};

/* Bit i: algs[i] is known to a key. */
static unsigned known(const struct jwk_set *set)
{
    static const char zeros[512];
    static const size_t lengths[] = {0, 32, 64, 96, 132, 256, 512};
    unsigned bits = 0;
    for (unsigned i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        struct jws jws = {.alg = {algs[i], strlen(algs[i])}, .input = SLICE_LIT("e30.e30")};
        for (size_t j = 0; j < sizeof lengths / sizeof lengths[0]; j++) {
            jws.signature = (struct slice){zeros, lengths[j]};
            enum jwk_result result = jwk_set_verify(set, &jws);
            CHECK(result == JWK_WRONG_ALGORITHM || result == JWK_BAD_SIGNATURE);
            if (result == JWK_BAD_SIGNATURE) bits |= 1U << i;
        }
    }
    CHECK(ERR_peek_error() == 0);
    return bits;
}

static struct jwk_set *make(from *how, struct slice bytes, const char **why)
{
    struct jwk_set *set = NULL;
    char *exact = malloc(bytes.len ? bytes.len : 1);
    CHECK(exact);
    if (bytes.len) memcpy(exact, bytes.ptr, bytes.len);
    int err = how((struct slice){exact, bytes.len}, &set, why);
    free(exact);
    CHECK(err == 0 || err == ERR_CONFIG);
    CHECK((set != NULL) == (err == 0) && (err == 0 || *why));
    CHECK(ERR_peek_error() == 0);
    return set;
}

static void no_more_than_there_are(const struct jwk_set *set, struct slice json)
{
    json_t *document = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL);
    CHECK(jwk_set_count(set) <= json_array_size(json_object_get(document, "keys")));
    CHECK(jwk_set_count(set) <= JWK_KEYS_MAX);
    json_decref(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static from *const ways[] = {jwk_set_from_json, jwk_set_from_pem, jwk_set_from_secret};
    if (size == 0) return 0;
    from *how = ways[data[0] % 3];
    struct slice bytes = {(const char *)data + 1, size - 1};
    const char *why;
    const char *why_again;
    struct jwk_set *set = make(how, bytes, &why);
    struct jwk_set *again = make(how, bytes, &why_again);
    CHECK(!set == !again && why == why_again);
    if (set) {
        unsigned bits = known(set);
        CHECK(bits == known(again) && bits != 0 && jwk_set_count(set) > 0);
        CHECK((how == jwk_set_from_secret) == ((bits & 7) != 0));
        CHECK((how == jwk_set_from_secret) == ((bits & ~7U) == 0));
        if (how == jwk_set_from_json)
            no_more_than_there_are(set, bytes);
        else
            CHECK(jwk_set_count(set) == 1);
    }
    jwk_set_unref(set);
    jwk_set_unref(again);
    return 0;
}
