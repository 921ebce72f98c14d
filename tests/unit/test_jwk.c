/* auth/jwk: what makes a key, what it may be used with, and which one is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jose.h"
#include "auth/jwk.h"
#include "base/err.h"
#include "fail_alloc.h"
#include "token_maker.h"

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define INPUT "e30.e30"

static json_t *data; /* tests/unit/data/tokens.json */
static EVP_PKEY *rsa, *p256, *p384, *p521, *ed25519;

static struct slice slice(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static const char *datum(const char *group, const char *name)
{
    const char *text = json_string_value(json_object_get(json_object_get(data, group), name));
    assert_non_null(text);
    return text;
}

/* ---- making sets ---- */

typedef int from(struct slice bytes, struct jwk_set **out, const char **why);

static struct jwk_set *set_of(from *make, const char *text)
{
    struct jwk_set *set = NULL;
    const char *why = "?";
    int err = make(slice(text), &set, &why);
    if (err || why) fail_msg("%d %s", err, why ? why : "");
    assert_non_null(set);
    return set;
}

static void refuses(from *make, struct slice bytes, const char *word)
{
    const struct jwk_set *set = (const struct jwk_set *)"";
    const char *why = NULL;
    int err = make(bytes, (struct jwk_set **)&set, &why);
    if (err != ERR_CONFIG || set || !why || !strstr(why, word))
        fail_msg("%d, %s, of %.*s", err, why ? why : "", (int)bytes.len, bytes.ptr);
    assert_int_equal(ERR_peek_error(), 0);
}

/* text is printf's, with json in it. */
static struct jwk_set *set_of_key(const char *member)
{
    char json[4096];
    snprintf(json, sizeof json, "{\"keys\":[{%s}]}", member);
    return set_of(jwk_set_from_json, json);
}

static void refuses_key(const char *member, const char *word)
{
    char json[4096];
    snprintf(json, sizeof json, "{\"keys\":[{%s}]}", member);
    refuses(jwk_set_from_json, slice(json), word);
}

/* ---- verifying ---- */

static enum jwk_result verify_by(const struct jwk_set *set, const char *alg, const char *kid,
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

static void expect(const struct jwk_set *set, const char *alg, const struct token_signer *signer,
                   enum jwk_result want)
{
    char *token = token_sign(signer, INPUT);
    assert_int_equal(verify_by(set, alg, NULL, token), want);
    free(token);
}

/* That of all names of algorithms, real and others, a key takes those in algs, a list. */
static void expect_algs(const struct jwk_set *set, const char *algs)
{
    static const char *const known[] = {"HS256", "HS384",  "HS512",  "RS256", "RS384",
                                        "RS512", "PS256",  "PS384",  "PS512", "ES256",
                                        "ES384", "ES512",  "EdDSA",  "none",  "",
                                        "hs256", "RS256 ", "ES256K", "HS25",  "Ed25519"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        bool takes = strlen(known[i]) == 5 && strstr(algs, known[i]);
        enum jwk_result got = verify_by(set, known[i], NULL, INPUT ".AAAA");
        if (got != (takes ? JWK_BAD_SIGNATURE : JWK_WRONG_ALGORITHM))
            fail_msg("%s: %d", known[i], got);
    }
    jwk_set_unref((struct jwk_set *)set);
}

/* ---- secrets ---- */

static void test_secret(void **state)
{
    (void)state;
    char big[JWK_SECRET_MAX + 1];
    struct jwk_set *set = NULL;
    const char *why = NULL;
    memset(big, 'x', sizeof big);
    refuses(jwk_set_from_secret, (struct slice){NULL, 0}, "32 bytes");
    refuses(jwk_set_from_secret, (struct slice){big, 31}, "32 bytes");
    refuses(jwk_set_from_secret, (struct slice){big, sizeof big}, "4096");
    static const size_t lengths[] = {32, 47, 48, 63, 64, JWK_SECRET_MAX};
    static const char *const algs[] = {
        "HS256", "HS256", "HS256 HS384", "HS256 HS384", "HS256 HS384 HS512", "HS256 HS384 HS512"};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(jwk_set_from_secret((struct slice){big, lengths[i]}, &set, &why), 0);
        assert_int_equal(jwk_set_count(set), 1);
        expect_algs(set, algs[i]);
    }
    refuses(jwk_set_from_secret, slice(datum("pem", "rsa2048")), "PEM");
    memcpy(big + 40, "-----BEGIN CERT", 15);
    refuses(jwk_set_from_secret, (struct slice){big, 100}, "PEM");
}

static void test_hmac(void **state)
{
    (void)state;
    struct jwk_set *set = set_of(jwk_set_from_secret, SECRET);
    struct token_signer s = {.hash = "SHA256", .secret = SLICE_LIT(SECRET)};
    expect(set, "HS256", &s, JWK_GOOD);
    expect(set, "HS384", &s, JWK_BAD_SIGNATURE);
    s.hash = "SHA384";
    expect(set, "HS384", &s, JWK_GOOD);
    s.hash = "SHA512";
    expect(set, "HS512", &s, JWK_GOOD);
    expect(set, "HS256", &s, JWK_BAD_SIGNATURE);
    s.secret.len--;
    expect(set, "HS512", &s, JWK_BAD_SIGNATURE);
    s.secret.len = 0;
    expect(set, "HS512", &s, JWK_BAD_SIGNATURE);
    assert_int_equal(verify_by(set, "HS256", NULL, INPUT "."), JWK_BAD_SIGNATURE);
    jwk_set_unref(set);
}

/* A signature that is right but for a bit, or a byte too short or long. */
static void test_hmac_every_bit(void **state)
{
    (void)state;
    struct jwk_set *set = set_of(jwk_set_from_secret, SECRET);
    struct token_signer s = {.hash = "SHA256", .secret = SLICE_LIT(SECRET)};
    char *token = token_sign(&s, INPUT);
    uint8_t mac[64] = {0};
    size_t len;
    assert_true(jose_decode(slice(strrchr(token, '.') + 1), mac, sizeof mac, &len));
    struct jws jws = {.alg = SLICE_LIT("HS256"),
                      .input = SLICE_LIT(INPUT),
                      .signature = {(const char *)mac, len}};
    assert_int_equal(jwk_set_verify(set, &jws), JWK_GOOD);
    for (size_t i = 0; i < 8 * len; i++) {
        mac[i / 8] ^= (uint8_t)(1U << i % 8);
        assert_int_equal(jwk_set_verify(set, &jws), JWK_BAD_SIGNATURE);
        mac[i / 8] ^= (uint8_t)(1U << i % 8);
    }
    for (size_t n = 0; n <= sizeof mac; n++) {
        jws.signature.len = n;
        assert_int_equal(jwk_set_verify(set, &jws), n == len ? JWK_GOOD : JWK_BAD_SIGNATURE);
    }
    free(token);
    jwk_set_unref(set);
}

/* ---- PEM ---- */

#define RSA_ALGS "RS256 RS384 RS512 PS256 PS384 PS512"

static void test_pem_algs(void **state)
{
    (void)state;
    static const char *const keys[][2] = {
        {"rsa2048", RSA_ALGS}, {"rsa4096", RSA_ALGS}, {"rsa-e3", RSA_ALGS}, {"p256", "ES256"},
        {"p384", "ES384"},     {"p521", "ES512"},     {"ed25519", "EdDSA"}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        expect_algs(set_of(jwk_set_from_pem, datum("pem", keys[i][0])), keys[i][1]);
}

static void test_pem_refused(void **state)
{
    (void)state;
    static const char *const keys[][2] = {
        {"rsa1024", "2048 to 4096"}, {"rsa2040", "2048 to 4096"}, {"rsa5120", "2048 to 4096"},
        {"secp256k1", "curve"},      {"p192", "curve"},           {"ed448", "neither"},
        {"x25519", "neither"},       {"dsa", "neither"},          {"rsa-pss", "neither"}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        refuses(jwk_set_from_pem, slice(datum("refused", keys[i][0])), keys[i][1]);
    char *private = token_pem(p256, true);
    refuses(jwk_set_from_pem, slice(private), "BEGIN PUBLIC KEY");
    free(private);
}

static void test_pem_text(void **state)
{
    (void)state;
    char *pem = token_pem(p256, false);
    char text[4096];
    refuses(jwk_set_from_pem, (struct slice){NULL, 0}, "no PEM");
    refuses(jwk_set_from_pem, slice("x"), "no PEM");
    refuses(jwk_set_from_pem, (struct slice){pem, strlen(pem) / 2}, "no PEM");
    snprintf(text, sizeof text, "%s%s", pem, pem);
    refuses(jwk_set_from_pem, slice(text), "more than one");
    snprintf(text, sizeof text, "# our issuer's\n\n%s\n\n", pem);
    expect_algs(set_of(jwk_set_from_pem, text), "ES256");
    /* The right frame around something else, and around a key with a byte behind it. */
    refuses(jwk_set_from_pem, slice("-----BEGIN PUBLIC KEY-----\nMAAA\n-----END PUBLIC KEY-----\n"),
            "cannot be read");
    refuses(jwk_set_from_pem,
            slice("-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"),
            "BEGIN PUBLIC KEY");
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(p256, &der);
    unsigned char longer[256] = {0};
    unsigned char base64[512];
    memcpy(longer, der, (size_t)n);
    EVP_EncodeBlock(base64, longer, n + 1);
    snprintf(text, sizeof text, "-----BEGIN PUBLIC KEY-----\n%.64s\n%s\n-----END PUBLIC KEY-----\n",
             (char *)base64, (char *)base64 + 64);
    refuses(jwk_set_from_pem, slice(text), "cannot be read");
    OPENSSL_free(der);
    char *big = malloc(JWK_PEM_MAX + 1);
    assert_non_null(big);
    memset(big, '\n', JWK_PEM_MAX + 1);
    memcpy(big, pem, strlen(pem));
    refuses(jwk_set_from_pem, (struct slice){big, JWK_PEM_MAX + 1}, "16 KiB");
    struct jwk_set *set = NULL;
    const char *why;
    assert_int_equal(jwk_set_from_pem((struct slice){big, JWK_PEM_MAX}, &set, &why), 0);
    jwk_set_unref(set);
    free(big);
    free(pem);
}

static struct jwk_set *pem_set(EVP_PKEY *pkey)
{
    char *pem = token_pem(pkey, false);
    struct jwk_set *set = set_of(jwk_set_from_pem, pem);
    free(pem);
    return set;
}

static void test_rsa(void **state)
{
    (void)state;
    struct jwk_set *set = pem_set(rsa);
    static const char *const hashes[] = {"SHA256", "SHA384", "SHA512"};
    static const int lengths[] = {32, 48, 64};
    for (int i = 0; i < 3; i++) {
        char rs[] = "RS256";
        char ps[] = "PS256";
        memcpy(rs + 2, hashes[i] + 3, 3);
        memcpy(ps + 2, hashes[i] + 3, 3);
        struct token_signer s = {.hash = hashes[i], .pkey = rsa};
        expect(set, rs, &s, JWK_GOOD);
        expect(set, ps, &s, JWK_BAD_SIGNATURE);
        expect(set, i ? "RS256" : "RS384", &s, JWK_BAD_SIGNATURE);
        s.pss_salt = RSA_PSS_SALTLEN_DIGEST;
        expect(set, ps, &s, JWK_GOOD);
        expect(set, rs, &s, JWK_BAD_SIGNATURE);
        s.pss_salt = lengths[i];
        expect(set, ps, &s, JWK_GOOD);
        s.pss_salt = lengths[i] - 1; /* RFC 7518 section 3.5 */
        expect(set, ps, &s, JWK_BAD_SIGNATURE);
        s.pss_salt = RSA_PSS_SALTLEN_MAX;
        expect(set, ps, &s, JWK_BAD_SIGNATURE);
    }
    jwk_set_unref(set);
}

static void test_ec(void **state)
{
    (void)state;
    struct {
        EVP_PKEY *pkey;
        const char *alg, *hash;
    } keys[] = {{p256, "ES256", "SHA256"}, {p384, "ES384", "SHA384"}, {p521, "ES512", "SHA512"}};
    for (int i = 0; i < 3; i++) {
        struct jwk_set *set = pem_set(keys[i].pkey);
        struct token_signer s = {.hash = keys[i].hash, .pkey = keys[i].pkey};
        expect(set, keys[i].alg, &s, JWK_GOOD);
        expect(set, i ? "ES256" : "ES384", &s, JWK_WRONG_ALGORITHM);
        s.der = true; /* section 3.4: r||s, not DER */
        expect(set, keys[i].alg, &s, JWK_BAD_SIGNATURE);
        s = (struct token_signer){.hash = i ? "SHA256" : "SHA512", .pkey = keys[i].pkey};
        expect(set, keys[i].alg, &s, JWK_BAD_SIGNATURE);
        jwk_set_unref(set);
    }
}

/* r and s that are 0, the order of the group, above it, or swapped: CVE-2022-21449, and whatever
 * else is no signature of anything. */
static void test_psychic_signatures(void **state)
{
    (void)state;
    static const char order[] = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";
    struct jwk_set *set = pem_set(p256);
    uint8_t halves[5][32] = {{0}};
    long n;
    unsigned char *bytes = OPENSSL_hexstr2buf(order, &n);
    halves[1][31] = 1;
    memcpy(halves[2], bytes, 32);
    memcpy(halves[3], bytes, 32);
    halves[3][31]++;
    memset(halves[4], 0xFF, 32);
    OPENSSL_free(bytes);
    for (int i = 0; i < 25; i++) {
        uint8_t signature[64];
        memcpy(signature, halves[i / 5], 32);
        memcpy(signature + 32, halves[i % 5], 32);
        struct jws jws = {.alg = SLICE_LIT("ES256"),
                          .input = SLICE_LIT(INPUT),
                          .signature = {(const char *)signature, 64}};
        assert_int_equal(jwk_set_verify(set, &jws), JWK_BAD_SIGNATURE);
    }
    jwk_set_unref(set);
}

/* Every length of signature but the right one, of all kinds. */
static void test_lengths(void **state)
{
    (void)state;
    static const char *const keys[][2] = {{"rsa2048", "RS256"}, {"rsa2048", "PS256"},
                                          {"p256", "ES256"},    {"p384", "ES384"},
                                          {"p521", "ES512"},    {"ed25519", "EdDSA"}};
    char signature[600] = {1};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct jwk_set *set = set_of(jwk_set_from_pem, datum("pem", keys[i][0]));
        struct jws jws = {.alg = slice(keys[i][1]), .input = SLICE_LIT(INPUT)};
        for (size_t n = 0; n <= sizeof signature; n++) {
            char *exact = malloc(n ? n : 1);
            assert_non_null(exact);
            memcpy(exact, signature, n);
            jws.signature = (struct slice){exact, n};
            assert_int_equal(jwk_set_verify(set, &jws), JWK_BAD_SIGNATURE);
            free(exact);
        }
        jwk_set_unref(set);
    }
}

static void test_ed25519(void **state)
{
    (void)state;
    struct jwk_set *set = pem_set(ed25519);
    struct token_signer s = {.pkey = ed25519};
    expect(set, "EdDSA", &s, JWK_GOOD);
    char *token = token_sign(&s, "e30.e31");
    memcpy(token, INPUT, sizeof INPUT - 1);
    assert_int_equal(verify_by(set, "EdDSA", NULL, token), JWK_BAD_SIGNATURE);
    free(token);
    jwk_set_unref(set);
}

/* ---- JWK Sets ---- */

#define P256                                                                                       \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","      \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define P521                                                                                       \
    "\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5E" \
    "OnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l"   \
    "2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\""
#define RSA_N                                                                                      \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define ED25519                                                                                    \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define RSA "\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\""

/* The examples of the RFCs. */
static void test_rfc(void **state)
{
    (void)state;
#define CLAIMS                                                                                     \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
    static const struct {
        const char *rfc, *alg, *key, *token;
    } examples[] = {
        {"RFC 7515 A.2", "RS256", RSA,
         "eyJhbGciOiJSUzI1NiJ9." CLAIMS
         ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W"
         "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
         "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
         "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
        {"RFC 7515 A.3", "ES256", P256,
         "eyJhbGciOiJFUzI1NiJ9." CLAIMS
         ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
        {"RFC 7515 A.4", "ES512", P521,
         "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWR"
         "Oc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8"
         "vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"},
        {"RFC 8037 A.4", "EdDSA", ED25519,
         "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09P"
         "GcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        struct jwk_set *set = set_of_key(examples[i].key);
        if (verify_by(set, examples[i].alg, NULL, examples[i].token) != JWK_GOOD)
            fail_msg("%s", examples[i].rfc);
        jwk_set_unref(set);
    }
    uint8_t secret[64]; /* RFC 7515 A.1 */
    size_t len;
    assert_true(jose_decode(SLICE_LIT("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3"
                                      "Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
                            secret, sizeof secret, &len));
    struct jwk_set *set = NULL;
    const char *why;
    assert_int_equal(jwk_set_from_secret((struct slice){(char *)secret, len}, &set, &why), 0);
    assert_int_equal(verify_by(set, "HS256", NULL,
                               "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS
                               ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
                     JWK_GOOD);
    jwk_set_unref(set);
#undef CLAIMS
}

static void test_json_algs(void **state)
{
    (void)state;
    expect_algs(set_of_key(RSA), RSA_ALGS);
    expect_algs(set_of_key(P256), "ES256");
    expect_algs(set_of_key(P521), "ES512");
    expect_algs(set_of_key(ED25519), "EdDSA");
    expect_algs(set_of_key(RSA ",\"alg\":\"PS384\""), "PS384");
    expect_algs(set_of_key(P256 ",\"alg\":\"ES256\""), "ES256");
    expect_algs(set_of_key(ED25519 ",\"alg\":\"EdDSA\""), "EdDSA");
    expect_algs(set_of_key(RSA ",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"]"), RSA_ALGS);
    expect_algs(set_of_key(P256 ",\"x5c\":[\"AAAA\"],\"x5u\":\"https://a\",\"more\":{}"), "ES256");
    /* Of a private key, the public half. */
    expect_algs(set_of_key(ED25519 ",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\""),
                "EdDSA");
    /* A zero byte in front of the modulus: the same number. */
    expect_algs(set_of_key("\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AAEAAQ\""), RSA_ALGS);
}

/* Each would be a key but for one thing. */
static void test_json_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T\"", "secrets"},
        {"\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"\"", "secrets"},
        {P256 ",\"use\":\"enc\"", "not meant"},
        {P256 ",\"use\":\"SIG\"", "not meant"},
        {P256 ",\"use\":null", "not meant"},
        {P256 ",\"key_ops\":[]", "not meant"},
        {P256 ",\"key_ops\":[\"sign\"]", "not meant"},
        {P256 ",\"key_ops\":\"verify\"", "not meant"},
        {P256 ",\"kid\":1", "kid"},
        {P256 ",\"kid\":null", "kid"},
        {P256 ",\"alg\":\"ES384\"", "alg"},
        {P256 ",\"alg\":\"HS256\"", "alg"},
        {P256 ",\"alg\":\"RS256\"", "alg"},
        {P256 ",\"alg\":\"none\"", "alg"},
        {P256 ",\"alg\":null", "alg"},
        {RSA ",\"alg\":\"HS256\"", "alg"},
        {RSA ",\"alg\":\"RSA-OAEP\"", "alg"},
        {ED25519 ",\"alg\":\"ES256\"", "alg"},
        {"\"kty\":\"ec\",\"crv\":\"P-256\"", "kind"},
        {"\"crv\":\"P-256\"", "kind"},
        {"\"kty\":1", "kind"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"",
         "kind"},
        /* one coordinate a byte short, too long, padded, not canonical; a point off the curve */
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"g84nO7Eg8vub9tLe1gHMzV76e8Tus9uPHvRVEUA\",\"y\":"
         "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"",
         "kind"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AH_Nzidw9sRdQYPL7m_bS3tYBzM1e-nvE7rPbjx70VRF\","
         "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"",
         "kind"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=\","
         "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"",
         "kind"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV\","
         "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"",
         "kind"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
         "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4\"",
         "kind"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
         "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
         "kind"},
        {"\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
         "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"",
         "kind"},
        {"\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"\",\"y\":\"\"", "kind"},
        {"\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"",
         "kind"},
        {"\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ\"",
         "kind"},
        {"\"kty\":\"OKP\",\"crv\":\"Ed25519\"", "kind"},
        {"\"kty\":\"RSA\",\"n\":\"" RSA_N "\"", "kind"},
        {"\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"", "kind"},
        {"\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"\"", "kind"},
        {"\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"", "exponent"},      /* 1 */
        {"\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AA\"", "exponent"},      /* 0 */
        {"\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAA\"", "exponent"},    /* even */
        {"\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAAAAE\"", "exponent"}, /* 2^32 + 1 */
        {"\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"", "2048"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses_key(bad[i][0], bad[i][1]);
    char even[2048] = "\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" RSA_N;
    even[strlen(even) - 1] = 'A'; /* of "oQ" */
    strcat(even, "\"");
    refuses_key(even, "numbers");
    char *small = json_dumps(json_object_get(data, "rsa1024"), 0);
    char json[2048];
    snprintf(json, sizeof json, "{\"keys\":[%s]}", small);
    refuses(jwk_set_from_json, slice(json), "2048");
    free(small);
}

static void test_json_document(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}x",
                                      "{\"keys\":[],\"keys\":[]}",
                                      "{\"keys\":[{\"kty\":\"EC\",\"kty\":\"EC\"}]}",
                                      "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses(jwk_set_from_json, slice(bad[i]), "JSON object");
    refuses(jwk_set_from_json, slice("{}"), "array");
    refuses(jwk_set_from_json, slice("{\"keys\":{}}"), "array");
    refuses(jwk_set_from_json, slice("{" P256 "}"), "array"); /* a key is no set */
    refuses(jwk_set_from_json, slice("{\"keys\":[]}"), "empty");
    refuses(jwk_set_from_json, slice("{\"keys\":[1,null,\"a\",[]]}"), "kind");
    char *big = malloc(JWK_SET_BYTES_MAX + 1);
    assert_non_null(big);
    memset(big, ' ', JWK_SET_BYTES_MAX + 1);
    memcpy(big, "{\"keys\":[{" P256 "}]}", strlen("{\"keys\":[{" P256 "}]}"));
    refuses(jwk_set_from_json, (struct slice){big, JWK_SET_BYTES_MAX + 1}, "256 KiB");
    struct jwk_set *set = NULL;
    const char *why;
    assert_int_equal(jwk_set_from_json((struct slice){big, JWK_SET_BYTES_MAX}, &set, &why), 0);
    jwk_set_unref(set);
    free(big);
}

/* n times the same key. */
static char *many(size_t n)
{
    size_t size = n * (sizeof P256 + 4) + 32;
    char *json = calloc(1, size);
    assert_non_null(json);
    char *at = json + sprintf(json, "{\"keys\":[{" P256 "}");
    for (size_t i = 1; i < n; i++)
        at += sprintf(at, ",{" P256 "}");
    strcpy(at, "]}");
    return json;
}

static void test_json_count(void **state)
{
    (void)state;
    char *json = many(JWK_KEYS_MAX);
    struct jwk_set *set = set_of(jwk_set_from_json, json);
    assert_int_equal(jwk_set_count(set), JWK_KEYS_MAX);
    jwk_set_unref(set);
    free(json);
    json = many(JWK_KEYS_MAX + 1);
    refuses(jwk_set_from_json, slice(json), "64 keys");
    free(json);
}

/* What is of no use is left out, and said, and the rest is a set. */
static void test_json_mixed(void **state)
{
    (void)state;
    struct jwk_set *set = NULL;
    const char *why = NULL;
    static const char json[] = "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},{" P256 "},1,{" RSA
                               ",\"use\":\"enc\"},{" ED25519 "},{\"kty\":\"EC\"}]}";
    assert_int_equal(jwk_set_from_json(SLICE_LIT(json), &set, &why), 0);
    assert_int_equal(jwk_set_count(set), 2);
    assert_non_null(strstr(why, "unknown kind"));
    expect_algs(set, "ES256 EdDSA");
}

/* ---- which key ---- */

static void test_kid(void **state)
{
    (void)state;
    char long_kid[JWK_KID_MAX + 2];
    char json[2048];
    struct jwk_set *set = NULL;
    memset(long_kid, 'k', sizeof long_kid);
    long_kid[JWK_KID_MAX] = '\0';
    snprintf(json, sizeof json,
             "{\"keys\":[{" P256 ",\"kid\":\"a\"},{" P521 ",\"kid\":\"b\"},{" P521 "},{" ED25519
             ",\"kid\":\"\"},{" ED25519 ",\"kid\":\"%s\"}]}",
             long_kid);
    set = set_of(jwk_set_from_json, json);
    static const char *const cases[][2] = {{"a", "ES256"}, {"b", "ES512"}, {"", "EdDSA"}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            assert_int_equal(verify_by(set, cases[j][1], cases[i][0], INPUT ".AAAA"),
                             i == j ? JWK_BAD_SIGNATURE : JWK_WRONG_ALGORITHM);
    assert_int_equal(verify_by(set, "EdDSA", long_kid, INPUT ".AAAA"), JWK_BAD_SIGNATURE);
    static const char *const unknown[] = {"A", "a ", "c", "../../dev/null", "' or 1=1 --", "ab"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(verify_by(set, "ES256", unknown[i], INPUT ".AAAA"), JWK_UNKNOWN_KEY);
    assert_int_equal(verify_by(set, "none", "c", INPUT ".AAAA"), JWK_WRONG_ALGORITHM);
    jwk_set_unref(set);
    memset(long_kid, 'k', JWK_KID_MAX + 1);
    long_kid[JWK_KID_MAX + 1] = '\0';
    snprintf(json, sizeof json, P256 ",\"kid\":\"%s\"", long_kid);
    refuses_key(json, "kid");
    /* A secret and a PEM file have no name, and answer to all. */
    set = pem_set(p256);
    assert_int_equal(verify_by(set, "ES256", "whatever", INPUT ".AAAA"), JWK_BAD_SIGNATURE);
    jwk_set_unref(set);
    set = set_of(jwk_set_from_secret, SECRET);
    assert_int_equal(verify_by(set, "HS256", "whatever", INPUT ".AAAA"), JWK_BAD_SIGNATURE);
    jwk_set_unref(set);
}

/* A set of Ed25519 keys, that of which the token is at place `at`. */
static enum jwk_result tried_at(int at, const char *kids, const char *kid)
{
    char json[4096] = "{\"keys\":[";
    unsigned char x[32];
    size_t len = sizeof x;
    assert_int_equal(EVP_PKEY_get_raw_public_key(ed25519, x, &len), 1);
    char *text = token_base64url(x, sizeof x);
    for (int i = 0; i <= at; i++) {
        char key[256];
        snprintf(key, sizeof key,
                 "%s{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s},{" P256 "%s}",
                 i ? "," : "", i == at ? text : "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", kids,
                 kids);
        strcat(json, key);
    }
    strcat(json, "]}");
    struct jwk_set *set = set_of(jwk_set_from_json, json);
    struct token_signer s = {.pkey = ed25519};
    char *token = token_sign(&s, INPUT);
    enum jwk_result result = verify_by(set, "EdDSA", kid, token);
    free(token);
    free(text);
    jwk_set_unref(set);
    return result;
}

static void test_tries(void **state)
{
    (void)state;
    for (int at = 0; at < 6; at++) {
        enum jwk_result want = at < JWK_TRIES_MAX ? JWK_GOOD : JWK_BAD_SIGNATURE;
        assert_int_equal(tried_at(at, "", NULL), want);
        assert_int_equal(tried_at(at, ",\"kid\":\"same\"", NULL), want);
        assert_int_equal(tried_at(at, ",\"kid\":\"same\"", "same"), want);
    }
}

/* ---- what others have signed ---- */

/* Every token of PyJWT and jose, with every key. */
static void test_interoperable(void **state)
{
    (void)state;
    char *json = json_dumps(json_object_get(data, "jwks"), 0);
    struct jwk_set *all = set_of(jwk_set_from_json, json);
    struct jwk_set *secret =
        set_of(jwk_set_from_secret, json_string_value(json_object_get(data, "secret")));
    const json_t *tokens = json_object_get(data, "tokens");
    assert_true(json_array_size(tokens) >= 36);
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *t = json_array_get(tokens, i);
        const char *key = json_string_value(json_object_get(t, "key"));
        const char *alg = json_string_value(json_object_get(t, "alg"));
        const char *token = json_string_value(json_object_get(t, "token"));
        bool hs = alg[0] == 'H';
        assert_int_equal(verify_by(secret, alg, key, token), hs ? JWK_GOOD : JWK_WRONG_ALGORITHM);
        assert_int_equal(verify_by(all, alg, key, token), hs ? JWK_UNKNOWN_KEY : JWK_GOOD);
        const char *name;
        json_t *pem;
        json_object_foreach(json_object_get(data, "pem"), name, pem)
        {
            struct jwk_set *one = set_of(jwk_set_from_pem, json_string_value(pem));
            enum jwk_result got = verify_by(one, alg, NULL, token);
            if ((got == JWK_GOOD) != (strcmp(name, key) == 0))
                fail_msg("%s, %s: %d", key, name, got);
            jwk_set_unref(one);
        }
    }
    jwk_set_unref(secret);
    jwk_set_unref(all);
    free(json);
}

/* ---- lifetime ---- */

static void test_references(void **state)
{
    (void)state;
    struct jwk_set *set = set_of(jwk_set_from_secret, SECRET);
    assert_ptr_equal(jwk_set_ref(set), set);
    jwk_set_unref(set);
    assert_int_equal(jwk_set_count(set), 1);
    jwk_set_unref(set);
    assert_null(jwk_set_ref(NULL));
    jwk_set_unref(NULL);
}

enum { THREADS = 4, ROUNDS = 50 };

static char *thread_token;

static void *verify_often(void *set)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct jwk_set *mine = jwk_set_ref(set);
        if (verify_by(mine, "ES256", NULL, thread_token) != JWK_GOOD) abort();
        jwk_set_unref(mine);
    }
    jwk_set_unref(set);
    return NULL;
}

/* One set, new, and used by all at once; the last one frees it. */
static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct token_signer s = {.hash = "SHA256", .pkey = p256};
    struct jwk_set *set = pem_set(p256);
    thread_token = token_sign(&s, INPUT);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_often, jwk_set_ref(set)), 0);
    jwk_set_unref(set);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    free(thread_token);
}

/* ---- OpenSSL's and jansson's memory: it fails where we want, and shows what is left in it ---- */

static size_t secrets_freed;

static void *own_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return size ? malloc(size) : NULL;
}

static void look_at(void *ptr)
{
    if (ptr && memmem(ptr, malloc_usable_size(ptr), SECRET, 32)) secrets_freed++;
}

static void own_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    look_at(ptr);
    free(ptr);
}

static void *own_realloc(void *ptr, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    look_at(ptr);
    return realloc(ptr, size);
}

static void *json_own_malloc(size_t size)
{
    return malloc(size);
}

static void json_own_free(void *ptr)
{
    free(ptr);
}

static void test_secrets_are_wiped(void **state)
{
    (void)state;
    secrets_freed = 0;
    OPENSSL_free(OPENSSL_memdup(SECRET, sizeof SECRET));
    assert_int_equal(secrets_freed, 1); /* it would be seen */
    test_hmac(state);
    assert_int_equal(secrets_freed, 1);
}

/* The n-th allocation fails, for every n, until none is missed. */
static void survives_short_memory(from *make, const char *text)
{
    int err = ERR_NOMEM;
    jwk_set_unref(set_of(make, text)); /* what OpenSSL keeps from its first time is there now */
    for (long n = 0; err; n++) {
        struct jwk_set *set = NULL;
        const char *why = NULL;
        fail_alloc_after(n);
        err = make(slice(text), &set, &why);
        fail_alloc_off();
        assert_true(err == 0 || err == ERR_NOMEM || (err == ERR_CONFIG && why));
        if (n == 0) assert_int_equal(err, ERR_NOMEM);
        assert_true((set != NULL) == (err == 0));
        jwk_set_unref(set);
        assert_true(n < 10000);
    }
}

static void test_memory_of_sets(void **state)
{
    (void)state;
    survives_short_memory(jwk_set_from_secret, SECRET);
    survives_short_memory(jwk_set_from_pem, datum("pem", "rsa2048"));
    survives_short_memory(jwk_set_from_pem, datum("pem", "p256"));
    survives_short_memory(jwk_set_from_pem, datum("pem", "ed25519"));
    survives_short_memory(jwk_set_from_json, "{\"keys\":[{" P256 "}]}");
    survives_short_memory(jwk_set_from_json, "{\"keys\":[{" RSA "}]}");
    survives_short_memory(jwk_set_from_json, "{\"keys\":[{" ED25519 "}]}");
}

/* Whatever fails: a wrong signature is never right, and of a right one it is said that memory is
 * short, or at worst that it is wrong. */
static void test_memory_of_signatures(void **state)
{
    (void)state;
    struct {
        struct jwk_set *set;
        struct token_signer signer;
        const char *alg;
    } cases[] = {
        {set_of(jwk_set_from_secret, SECRET),
         {.hash = "SHA256", .secret = SLICE_LIT(SECRET)},
         "HS256"},
        {pem_set(rsa), {.hash = "SHA256", .pkey = rsa}, "RS256"},
        {pem_set(rsa), {.hash = "SHA256", .pkey = rsa, .pss_salt = 32}, "PS256"},
        {pem_set(p256), {.hash = "SHA256", .pkey = p256}, "ES256"},
        {pem_set(p384), {.hash = "SHA384", .pkey = p384}, "ES384"},
        {pem_set(ed25519), {.pkey = ed25519}, "EdDSA"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *good = token_sign(&cases[i].signer, INPUT);
        char *bad = token_sign(&cases[i].signer, "e30.e31");
        memcpy(bad, INPUT, sizeof INPUT - 1);
        enum jwk_result result = JWK_NOMEM;
        for (long n = 0; result != JWK_GOOD; n++) {
            /* n + 1: verify_by has one of its own */
            fail_alloc_after(n + 1);
            result = verify_by(cases[i].set, cases[i].alg, NULL, good);
            fail_alloc_after(n + 1);
            enum jwk_result other = verify_by(cases[i].set, cases[i].alg, NULL, bad);
            fail_alloc_off();
            assert_true(result == JWK_GOOD || result == JWK_NOMEM || result == JWK_BAD_SIGNATURE);
            assert_true(other == JWK_NOMEM || other == JWK_BAD_SIGNATURE);
            if (n == 0) assert_int_equal(result, JWK_NOMEM);
            assert_true(n < 10000);
        }
        free(good);
        free(bad);
        jwk_set_unref(cases[i].set);
    }
}

static int set_up(void **state)
{
    (void)state;
    data = json_load_file("tests/unit/data/tokens.json", 0, NULL);
    rsa = token_key("RSA");
    p256 = token_key("P-256");
    p384 = token_key("P-384");
    p521 = token_key("P-521");
    ed25519 = token_key("ED25519");
    return data ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(data);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(p521);
    EVP_PKEY_free(ed25519);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_hmac_every_bit),
        cmocka_unit_test(test_pem_algs),
        cmocka_unit_test(test_pem_refused),
        cmocka_unit_test(test_pem_text),
        cmocka_unit_test(test_rsa),
        cmocka_unit_test(test_ec),
        cmocka_unit_test(test_psychic_signatures),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_ed25519),
        cmocka_unit_test(test_rfc),
        cmocka_unit_test(test_json_algs),
        cmocka_unit_test(test_json_refused),
        cmocka_unit_test(test_json_document),
        cmocka_unit_test(test_json_count),
        cmocka_unit_test(test_json_mixed),
        cmocka_unit_test(test_kid),
        cmocka_unit_test(test_tries),
        cmocka_unit_test(test_interoperable),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_secrets_are_wiped),
        cmocka_unit_test(test_memory_of_sets),
        cmocka_unit_test(test_memory_of_signatures),
    };
    if (CRYPTO_set_mem_functions(own_malloc, own_realloc, own_free) != 1) return 1;
    json_set_alloc_funcs(json_own_malloc, json_own_free);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
