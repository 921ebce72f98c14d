/* auth/jwk: what makes a key of a secret and a PEM file, signatures of all kinds, and lifetime.
 * (JWK Sets: test_jwk_set.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <openssl/crypto.h>
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
#include "jwk_check.h"
#include "token_maker.h"

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

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

static void expect(const struct jwk_set *set, const char *alg, const struct token_signer *signer,
                   enum jwk_result want)
{
    char *token = token_sign(signer, JWK_CHECK_INPUT);
    assert_int_equal(jwk_check_verify(set, alg, NULL, token), want);
    free(token);
}

/* ---- secrets ---- */

static void test_secret(void **state)
{
    (void)state;
    char big[JWK_SECRET_MAX + 1];
    struct jwk_set *set = NULL;
    const char *why = NULL;
    memset(big, 'x', sizeof big);
    jwk_check_refused(jwk_set_from_secret, (struct slice){NULL, 0}, "32 bytes");
    jwk_check_refused(jwk_set_from_secret, (struct slice){big, 31}, "32 bytes");
    jwk_check_refused(jwk_set_from_secret, (struct slice){big, sizeof big}, "4096");
    static const size_t lengths[] = {32, 47, 48, 63, 64, JWK_SECRET_MAX};
    static const char *const algs[] = {
        "HS256", "HS256", "HS256 HS384", "HS256 HS384", "HS256 HS384 HS512", "HS256 HS384 HS512"};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(jwk_set_from_secret((struct slice){big, lengths[i]}, &set, &why), 0);
        assert_int_equal(jwk_set_count(set), 1);
        jwk_check_algs(set, algs[i]);
    }
    jwk_check_refused(jwk_set_from_secret, slice(datum("pem", "rsa2048")), "PEM");
    memcpy(big + 40, "-----BEGIN CERT", 15);
    jwk_check_refused(jwk_set_from_secret, (struct slice){big, 100}, "PEM");
}

static void test_hmac(void **state)
{
    (void)state;
    struct jwk_set *set = jwk_check_set(jwk_set_from_secret, SECRET);
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
    assert_int_equal(jwk_check_verify(set, "HS256", NULL, JWK_CHECK_INPUT "."), JWK_BAD_SIGNATURE);
    jwk_set_unref(set);
}

/* A signature that is right but for a bit, or a byte too short or long. */
static void test_hmac_every_bit(void **state)
{
    (void)state;
    struct jwk_set *set = jwk_check_set(jwk_set_from_secret, SECRET);
    struct token_signer s = {.hash = "SHA256", .secret = SLICE_LIT(SECRET)};
    char *token = token_sign(&s, JWK_CHECK_INPUT);
    uint8_t mac[64] = {0};
    size_t len;
    assert_true(jose_decode(slice(strrchr(token, '.') + 1), mac, sizeof mac, &len));
    struct jws jws = {.alg = SLICE_LIT("HS256"),
                      .input = SLICE_LIT(JWK_CHECK_INPUT),
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

static void test_pem_algs(void **state)
{
    (void)state;
    static const char *const keys[][2] = {{"rsa2048", JWK_CHECK_RSA_ALGS},
                                          {"rsa4096", JWK_CHECK_RSA_ALGS},
                                          {"rsa-e3", JWK_CHECK_RSA_ALGS},
                                          {"p256", "ES256"},
                                          {"p384", "ES384"},
                                          {"p521", "ES512"},
                                          {"ed25519", "EdDSA"}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        jwk_check_algs(jwk_check_set(jwk_set_from_pem, datum("pem", keys[i][0])), keys[i][1]);
}

static void test_pem_refused(void **state)
{
    (void)state;
    static const char *const keys[][2] = {
        {"rsa1024", "2048 to 4096"}, {"rsa2040", "2048 to 4096"}, {"rsa4104", "2048 to 4096"},
        {"secp256k1", "curve"},      {"p192", "curve"},           {"ed448", "neither"},
        {"x25519", "neither"},       {"dsa", "neither"},          {"rsa-pss", "neither"}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        jwk_check_refused(jwk_set_from_pem, slice(datum("refused", keys[i][0])), keys[i][1]);
    char *private = token_pem(p256, true);
    jwk_check_refused(jwk_set_from_pem, slice(private), "BEGIN PUBLIC KEY");
    free(private);
}

static void test_pem_text(void **state)
{
    (void)state;
    char *pem = token_pem(p256, false);
    char text[4096];
    jwk_check_refused(jwk_set_from_pem, (struct slice){NULL, 0}, "no PEM");
    jwk_check_refused(jwk_set_from_pem, slice("x"), "no PEM");
    jwk_check_refused(jwk_set_from_pem, (struct slice){pem, strlen(pem) / 2}, "no PEM");
    snprintf(text, sizeof text, "%s%s", pem, pem);
    jwk_check_refused(jwk_set_from_pem, slice(text), "more than one");
    snprintf(text, sizeof text, "# our issuer's\n\n%s\n\n", pem);
    jwk_check_algs(jwk_check_set(jwk_set_from_pem, text), "ES256");
    /* The right frame around something else, and around a key with a byte behind it. */
    jwk_check_refused(jwk_set_from_pem,
                      slice("-----BEGIN PUBLIC KEY-----\nMAAA\n-----END PUBLIC KEY-----\n"),
                      "cannot be read");
    jwk_check_refused(jwk_set_from_pem,
                      slice("-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"),
                      "BEGIN PUBLIC KEY");
    /* P-256, and the point at infinity */
    jwk_check_refused(
        jwk_set_from_pem,
        slice("-----BEGIN PUBLIC KEY-----\nMBkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDAgAA\n-----END PUBLIC "
              "KEY-----\n"),
        "point");
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(p256, &der);
    unsigned char longer[256] = {0};
    unsigned char base64[512];
    memcpy(longer, der, (size_t)n);
    EVP_EncodeBlock(base64, longer, n + 1);
    snprintf(text, sizeof text, "-----BEGIN PUBLIC KEY-----\n%.64s\n%s\n-----END PUBLIC KEY-----\n",
             (char *)base64, (char *)base64 + 64);
    jwk_check_refused(jwk_set_from_pem, slice(text), "cannot be read");
    OPENSSL_free(der);
    char *big = malloc(JWK_PEM_MAX + 1);
    assert_non_null(big);
    memset(big, '\n', JWK_PEM_MAX + 1);
    memcpy(big, pem, strlen(pem));
    jwk_check_refused(jwk_set_from_pem, (struct slice){big, JWK_PEM_MAX + 1}, "16 KiB");
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
    struct jwk_set *set = jwk_check_set(jwk_set_from_pem, pem);
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
                          .input = SLICE_LIT(JWK_CHECK_INPUT),
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
        struct jwk_set *set = jwk_check_set(jwk_set_from_pem, datum("pem", keys[i][0]));
        struct jws jws = {.alg = slice(keys[i][1]), .input = SLICE_LIT(JWK_CHECK_INPUT)};
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

/* A signature that is right, with a byte more at either end or in the middle. */
static void test_longer(void **state)
{
    (void)state;
    static const char *const algs[] = {"RS256", "PS256", "ES256", "ES512", "EdDSA"};
    const struct token_signer signers[] = {{.hash = "SHA256", .pkey = rsa},
                                           {.hash = "SHA256", .pkey = rsa, .pss_salt = 32},
                                           {.hash = "SHA256", .pkey = p256},
                                           {.hash = "SHA512", .pkey = p521},
                                           {.pkey = ed25519}};
    for (int i = 0; i < 5; i++) {
        uint8_t bytes[600] = {0};
        uint8_t more[602] = {0};
        size_t n;
        struct jwk_set *set = pem_set(signers[i].pkey);
        char *token = token_sign(&signers[i], JWK_CHECK_INPUT);
        assert_true(jose_decode(slice(strrchr(token, '.') + 1), bytes, sizeof bytes, &n));
        struct jws jws = {.alg = slice(algs[i]), .input = SLICE_LIT(JWK_CHECK_INPUT)};
        jws.signature = (struct slice){(char *)bytes, n};
        assert_int_equal(jwk_set_verify(set, &jws), JWK_GOOD);
        jws.signature.len = n + 1;
        assert_int_equal(jwk_set_verify(set, &jws), JWK_BAD_SIGNATURE);
        memcpy(more + 1, bytes, n);
        jws.signature = (struct slice){(char *)more, n + 1};
        assert_int_equal(jwk_set_verify(set, &jws), JWK_BAD_SIGNATURE);
        memcpy(more + 1 + n / 2 + 1, bytes + n / 2, n - n / 2); /* both halves longer by a zero */
        more[1 + n / 2] = 0;
        jws.signature.len = n + 2;
        assert_int_equal(jwk_set_verify(set, &jws), JWK_BAD_SIGNATURE);
        free(token);
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
    memcpy(token, JWK_CHECK_INPUT, sizeof JWK_CHECK_INPUT - 1);
    assert_int_equal(jwk_check_verify(set, "EdDSA", NULL, token), JWK_BAD_SIGNATURE);
    free(token);
    jwk_set_unref(set);
}

/* ---- lifetime ---- */

static void test_references(void **state)
{
    (void)state;
    struct jwk_set *set = jwk_check_set(jwk_set_from_secret, SECRET);
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
        if (jwk_check_verify(mine, "ES256", NULL, thread_token) != JWK_GOOD) abort();
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
    thread_token = token_sign(&s, JWK_CHECK_INPUT);
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
static void survives_short_memory(jwk_check_from *make, const char *text)
{
    int err = ERR_NOMEM;
    jwk_set_unref(
        jwk_check_set(make, text)); /* what OpenSSL keeps from its first time is there now */
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
    survives_short_memory(jwk_set_from_json, "{\"keys\":[{" JWK_CHECK_P256 "}]}");
    survives_short_memory(jwk_set_from_json, "{\"keys\":[{" JWK_CHECK_RSA "}]}");
    survives_short_memory(jwk_set_from_json, "{\"keys\":[{" JWK_CHECK_ED25519 "}]}");
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
        {jwk_check_set(jwk_set_from_secret, SECRET),
         {.hash = "SHA256", .secret = SLICE_LIT(SECRET)},
         "HS256"},
        {pem_set(rsa), {.hash = "SHA256", .pkey = rsa}, "RS256"},
        {pem_set(rsa), {.hash = "SHA256", .pkey = rsa, .pss_salt = 32}, "PS256"},
        {pem_set(p256), {.hash = "SHA256", .pkey = p256}, "ES256"},
        {pem_set(p384), {.hash = "SHA384", .pkey = p384}, "ES384"},
        {pem_set(ed25519), {.pkey = ed25519}, "EdDSA"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *good = token_sign(&cases[i].signer, JWK_CHECK_INPUT);
        char *bad = token_sign(&cases[i].signer, "e30.e31");
        memcpy(bad, JWK_CHECK_INPUT, sizeof JWK_CHECK_INPUT - 1);
        enum jwk_result result = JWK_NOMEM;
        for (long n = 0; result != JWK_GOOD; n++) {
            /* n + 1: jwk_check_verify has one of its own */
            fail_alloc_after(n + 1);
            result = jwk_check_verify(cases[i].set, cases[i].alg, NULL, good);
            fail_alloc_after(n + 1);
            enum jwk_result other = jwk_check_verify(cases[i].set, cases[i].alg, NULL, bad);
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
        cmocka_unit_test(test_longer),
        cmocka_unit_test(test_ed25519),
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
