/* auth/jwk: JWK Sets: which keys of them are taken, for what, and which one is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jose.h"
#include "base/err.h"
#include "jwk_check.h"
#include "token_maker.h"

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static json_t *data; /* tests/unit/data/tokens.json */
static EVP_PKEY *p256, *ed25519;

static struct slice slice(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static struct jwk_set *pem_set(EVP_PKEY *pkey)
{
    char *pem = token_pem(pkey, false);
    struct jwk_set *set = jwk_check_set(jwk_set_from_pem, pem);
    free(pem);
    return set;
}

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
        {"RFC 7515 A.2", "RS256", JWK_CHECK_RSA,
         "eyJhbGciOiJSUzI1NiJ9." CLAIMS
         ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W"
         "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
         "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
         "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
        {"RFC 7515 A.3", "ES256", JWK_CHECK_P256,
         "eyJhbGciOiJFUzI1NiJ9." CLAIMS
         ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
        {"RFC 7515 A.4", "ES512", JWK_CHECK_P521,
         "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWR"
         "Oc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8"
         "vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"},
        {"RFC 8037 A.4", "EdDSA", JWK_CHECK_ED25519,
         "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09P"
         "GcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        struct jwk_set *set = jwk_check_key(examples[i].key);
        if (jwk_check_verify(set, examples[i].alg, NULL, examples[i].token) != JWK_GOOD)
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
    assert_int_equal(jwk_check_verify(set, "HS256", NULL,
                                      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS
                                      ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
                     JWK_GOOD);
    jwk_set_unref(set);
#undef CLAIMS
}

static void test_json_algs(void **state)
{
    (void)state;
    jwk_check_algs(jwk_check_key(JWK_CHECK_RSA), JWK_CHECK_RSA_ALGS);
    jwk_check_algs(jwk_check_key(JWK_CHECK_P256), "ES256");
    jwk_check_algs(jwk_check_key(JWK_CHECK_P521), "ES512");
    jwk_check_algs(jwk_check_key(JWK_CHECK_ED25519), "EdDSA");
    jwk_check_algs(jwk_check_key(JWK_CHECK_RSA ",\"alg\":\"PS384\""), "PS384");
    jwk_check_algs(jwk_check_key(JWK_CHECK_P256 ",\"alg\":\"ES256\""), "ES256");
    jwk_check_algs(jwk_check_key(JWK_CHECK_ED25519 ",\"alg\":\"EdDSA\""), "EdDSA");
    jwk_check_algs(
        jwk_check_key(JWK_CHECK_RSA ",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"]"),
        JWK_CHECK_RSA_ALGS);
    jwk_check_algs(
        jwk_check_key(JWK_CHECK_P256 ",\"x5c\":[\"AAAA\"],\"x5u\":\"https://a\",\"more\":{}"),
        "ES256");
    /* Of a private key, the public half. */
    jwk_check_algs(
        jwk_check_key(JWK_CHECK_ED25519 ",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\""),
        "EdDSA");
    /* A zero byte in front of a number: the same number. */
    jwk_check_algs(jwk_check_key("\"kty\":\"RSA\",\"n\":\"" JWK_CHECK_RSA_N "\",\"e\":\"AAEAAQ\""),
                   JWK_CHECK_RSA_ALGS);
    uint8_t n[257] = {0};
    char key[1024];
    size_t len;
    assert_true(jose_decode(SLICE_LIT(JWK_CHECK_RSA_N), n + 1, 256, &len));
    char *text = token_base64url(n, 1 + len);
    snprintf(key, sizeof key, "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"", text);
    jwk_check_algs(jwk_check_key(key), JWK_CHECK_RSA_ALGS);
    free(text);
}

/* Each would be a key but for one thing: its members, and a word of the reason. */
static const char *const useless[][2] = {
    {"\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T\"", "secrets"},
    {"\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"\"", "secrets"},
    {JWK_CHECK_P256 ",\"use\":\"enc\"", "not meant"},
    {JWK_CHECK_P256 ",\"use\":\"SIG\"", "not meant"},
    {JWK_CHECK_P256 ",\"use\":null", "not meant"},
    {JWK_CHECK_P256 ",\"key_ops\":[]", "not meant"},
    {JWK_CHECK_P256 ",\"key_ops\":[\"sign\"]", "not meant"},
    {JWK_CHECK_P256 ",\"key_ops\":\"verify\"", "not meant"},
    {JWK_CHECK_P256 ",\"kid\":1", "kid"},
    {JWK_CHECK_P256 ",\"kid\":null", "kid"},
    {JWK_CHECK_P256 ",\"alg\":\"ES384\"", "alg"},
    {JWK_CHECK_P256 ",\"alg\":\"HS256\"", "alg"},
    {JWK_CHECK_P256 ",\"alg\":\"RS256\"", "alg"},
    {JWK_CHECK_P256 ",\"alg\":\"none\"", "alg"},
    {JWK_CHECK_P256 ",\"alg\":null", "alg"},
    {JWK_CHECK_RSA ",\"alg\":\"HS256\"", "alg"},
    {JWK_CHECK_RSA ",\"alg\":\"RSA-OAEP\"", "alg"},
    {JWK_CHECK_ED25519 ",\"alg\":\"ES256\"", "alg"},
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
    {"\"kty\":\"RSA\",\"n\":\"" JWK_CHECK_RSA_N "\"", "kind"},
    {"\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"", "kind"},
    {"\"kty\":\"RSA\",\"n\":\"" JWK_CHECK_RSA_N "\",\"e\":\"\"", "kind"},
    {"\"kty\":\"RSA\",\"n\":\"" JWK_CHECK_RSA_N "\",\"e\":\"AQ\"", "exponent"},      /* 1 */
    {"\"kty\":\"RSA\",\"n\":\"" JWK_CHECK_RSA_N "\",\"e\":\"AA\"", "exponent"},      /* 0 */
    {"\"kty\":\"RSA\",\"n\":\"" JWK_CHECK_RSA_N "\",\"e\":\"AQAA\"", "exponent"},    /* even */
    {"\"kty\":\"RSA\",\"n\":\"" JWK_CHECK_RSA_N "\",\"e\":\"AQAAAAE\"", "exponent"}, /* 2^32 + 1 */
    {"\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"", "2048"},
};

static void test_json_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof useless / sizeof useless[0]; i++)
        jwk_check_key_refused(useless[i][0], useless[i][1]);
    char even[2048] = "\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" JWK_CHECK_RSA_N;
    even[strlen(even) - 1] = 'A'; /* of "oQ" */
    strcat(even, "\"");
    jwk_check_key_refused(even, "modulus");
    char *small = json_dumps(json_object_get(data, "rsa1024"), 0);
    char json[2048];
    snprintf(json, sizeof json, "{\"keys\":[%s]}", small);
    jwk_check_refused(jwk_set_from_json, slice(json), "2048");
    free(small);
}

/* A coordinate that ends in a zero byte is not written without it, as the bytes behind it here
 * happen to be zero (RFC 7518 section 6.2.1.2). */
static void expect_short(const unsigned char *point, size_t x_len, size_t y_len)
{
    char *x = token_base64url(point + 1, x_len);
    char *y = token_base64url(point + 33, y_len);
    char member[256];
    snprintf(member, sizeof member, "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"", x,
             y);
    if (x_len + y_len < 64)
        jwk_check_key_refused(member, "kind");
    else
        jwk_set_unref(jwk_check_key(member));
    free(x);
    free(y);
}

static void test_short_coordinate(void **state)
{
    (void)state;
    bool x_seen = false;
    bool y_seen = false;
    for (int i = 0; i < 20000 && !(x_seen && y_seen); i++) {
        unsigned char point[65];
        size_t n;
        EVP_PKEY *pkey = token_key("P-256");
        EVP_PKEY_get_octet_string_param(pkey, "pub", point, sizeof point, &n);
        EVP_PKEY_free(pkey);
        if (point[32] != 0 && point[64] != 0) continue;
        expect_short(point, 32, 32);
        expect_short(point, point[32] ? 32 : 31, point[64] ? 32 : 31);
        x_seen = x_seen || point[32] == 0;
        y_seen = y_seen || point[64] == 0;
    }
    assert_true(x_seen && y_seen);
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
        jwk_check_refused(jwk_set_from_json, slice(bad[i]), "JSON object");
    jwk_check_refused(jwk_set_from_json, slice("{}"), "array");
    jwk_check_refused(jwk_set_from_json, slice("{\"keys\":{}}"), "array");
    jwk_check_refused(jwk_set_from_json, slice("{" JWK_CHECK_P256 "}"),
                      "array"); /* a key is no set */
    jwk_check_refused(jwk_set_from_json, slice("{\"keys\":[]}"), "empty");
    jwk_check_refused(jwk_set_from_json, slice("{\"keys\":[1,null,\"a\",[]]}"), "kind");
    char *big = malloc(JWK_SET_BYTES_MAX + 1);
    assert_non_null(big);
    memset(big, ' ', JWK_SET_BYTES_MAX + 1);
    memcpy(big, "{\"keys\":[{" JWK_CHECK_P256 "}]}", strlen("{\"keys\":[{" JWK_CHECK_P256 "}]}"));
    jwk_check_refused(jwk_set_from_json, (struct slice){big, JWK_SET_BYTES_MAX + 1}, "256 KiB");
    struct jwk_set *set = NULL;
    const char *why;
    assert_int_equal(jwk_set_from_json((struct slice){big, JWK_SET_BYTES_MAX}, &set, &why), 0);
    jwk_set_unref(set);
    free(big);
}

/* n times the same key. */
static char *many(size_t n)
{
    size_t size = n * (sizeof JWK_CHECK_P256 + 4) + 32;
    char *json = calloc(1, size);
    assert_non_null(json);
    char *at = json + sprintf(json, "{\"keys\":[{" JWK_CHECK_P256 "}");
    for (size_t i = 1; i < n; i++)
        at += sprintf(at, ",{" JWK_CHECK_P256 "}");
    strcpy(at, "]}");
    return json;
}

static void test_json_count(void **state)
{
    (void)state;
    char *json = many(JWK_KEYS_MAX);
    struct jwk_set *set = jwk_check_set(jwk_set_from_json, json);
    assert_int_equal(jwk_set_count(set), JWK_KEYS_MAX);
    jwk_set_unref(set);
    free(json);
    json = many(JWK_KEYS_MAX + 1);
    jwk_check_refused(jwk_set_from_json, slice(json), "64 keys");
    free(json);
}

/* What is of no use is left out, and said, and the rest is a set. */
static void test_json_mixed(void **state)
{
    (void)state;
    struct jwk_set *set = NULL;
    const char *why = NULL;
    static const char json[] =
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},{" JWK_CHECK_P256 "},1,{" JWK_CHECK_RSA
        ",\"use\":\"enc\"},{" JWK_CHECK_ED25519 "},{\"kty\":\"EC\"}]}";
    assert_int_equal(jwk_set_from_json(SLICE_LIT(json), &set, &why), 0);
    assert_int_equal(jwk_set_count(set), 2);
    assert_non_null(strstr(why, "unknown kind"));
    jwk_check_algs(set, "ES256 EdDSA");
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
             "{\"keys\":[{" JWK_CHECK_P256 ",\"kid\":\"a\"},{" JWK_CHECK_P521
             ",\"kid\":\"b\"},{" JWK_CHECK_P521 "},{" JWK_CHECK_ED25519
             ",\"kid\":\"\"},{" JWK_CHECK_ED25519 ",\"kid\":\"%s\"}]}",
             long_kid);
    set = jwk_check_set(jwk_set_from_json, json);
    static const char *const cases[][2] = {{"a", "ES256"}, {"b", "ES512"}, {"", "EdDSA"}};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            assert_int_equal(
                jwk_check_verify(set, cases[j][1], cases[i][0], JWK_CHECK_INPUT ".AAAA"),
                i == j ? JWK_BAD_SIGNATURE : JWK_WRONG_ALGORITHM);
    assert_int_equal(jwk_check_verify(set, "EdDSA", long_kid, JWK_CHECK_INPUT ".AAAA"),
                     JWK_BAD_SIGNATURE);
    static const char *const unknown[] = {"A", "a ", "c", "../../dev/null", "' or 1=1 --", "ab"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(jwk_check_verify(set, "ES256", unknown[i], JWK_CHECK_INPUT ".AAAA"),
                         JWK_UNKNOWN_KEY);
    assert_int_equal(jwk_check_verify(set, "none", "c", JWK_CHECK_INPUT ".AAAA"),
                     JWK_WRONG_ALGORITHM);
    jwk_set_unref(set);
    memset(long_kid, 'k', JWK_KID_MAX + 1);
    long_kid[JWK_KID_MAX + 1] = '\0';
    snprintf(json, sizeof json, JWK_CHECK_P256 ",\"kid\":\"%s\"", long_kid);
    jwk_check_key_refused(json, "kid");
    /* A secret and a PEM file have no name, and answer to all. */
    set = pem_set(p256);
    assert_int_equal(jwk_check_verify(set, "ES256", "whatever", JWK_CHECK_INPUT ".AAAA"),
                     JWK_BAD_SIGNATURE);
    jwk_set_unref(set);
    set = jwk_check_set(jwk_set_from_secret, SECRET);
    assert_int_equal(jwk_check_verify(set, "HS256", "whatever", JWK_CHECK_INPUT ".AAAA"),
                     JWK_BAD_SIGNATURE);
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
    for (int i = 0; i <= at + 1; i++) { /* and one behind it */
        char key[256];
        snprintf(key, sizeof key,
                 "%s{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s},{" JWK_CHECK_P256 "%s}",
                 i ? "," : "", i == at ? text : "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", kids,
                 kids);
        strcat(json, key);
    }
    strcat(json, "]}");
    struct jwk_set *set = jwk_check_set(jwk_set_from_json, json);
    struct token_signer s = {.pkey = ed25519};
    char *token = token_sign(&s, JWK_CHECK_INPUT);
    enum jwk_result result = jwk_check_verify(set, "EdDSA", kid, token);
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
    struct jwk_set *all = jwk_check_set(jwk_set_from_json, json);
    struct jwk_set *secret =
        jwk_check_set(jwk_set_from_secret, json_string_value(json_object_get(data, "secret")));
    const json_t *tokens = json_object_get(data, "tokens");
    assert_true(json_array_size(tokens) >= 36);
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *t = json_array_get(tokens, i);
        const char *key = json_string_value(json_object_get(t, "key"));
        const char *alg = json_string_value(json_object_get(t, "alg"));
        const char *token = json_string_value(json_object_get(t, "token"));
        bool hs = alg[0] == 'H';
        assert_int_equal(jwk_check_verify(secret, alg, key, token),
                         hs ? JWK_GOOD : JWK_WRONG_ALGORITHM);
        assert_int_equal(jwk_check_verify(all, alg, key, token), hs ? JWK_UNKNOWN_KEY : JWK_GOOD);
        const char *name;
        json_t *pem;
        json_object_foreach(json_object_get(data, "pem"), name, pem)
        {
            struct jwk_set *one = jwk_check_set(jwk_set_from_pem, json_string_value(pem));
            enum jwk_result got = jwk_check_verify(one, alg, NULL, token);
            if ((got == JWK_GOOD) != (strcmp(name, key) == 0))
                fail_msg("%s, %s: %d", key, name, got);
            jwk_set_unref(one);
        }
    }
    jwk_set_unref(secret);
    jwk_set_unref(all);
    free(json);
}

static int set_up(void **state)
{
    (void)state;
    data = json_load_file("tests/unit/data/tokens.json", 0, NULL);
    p256 = token_key("P-256");
    ed25519 = token_key("ED25519");
    return data ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(data);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(ed25519);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc),           cmocka_unit_test(test_json_algs),
        cmocka_unit_test(test_json_refused),  cmocka_unit_test(test_short_coordinate),
        cmocka_unit_test(test_json_document), cmocka_unit_test(test_json_count),
        cmocka_unit_test(test_json_mixed),    cmocka_unit_test(test_kid),
        cmocka_unit_test(test_tries),         cmocka_unit_test(test_interoperable),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
