/* auth/jwt: what a token has to be, what is believed of it, and the known attacks on those who
 * verify tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/jwk.h"
#include "auth/jwt.h"
#include "auth/pattern.h"
#include "fail_alloc.h"
#include "token_maker.h"

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NOW 1700000000
#define HS256 "{\"alg\":\"HS256\"}"
#define TIMES "\"exp\":1700000600"
#define GOOD "\"sub\":\"ann\"," TIMES

static const struct token_signer by_secret = {.hash = "SHA256", .secret = SLICE_LIT(SECRET)};
static const struct jwt_rules any = {.max_age_s = 86400};
static struct jwk_set *secret_set;
static EVP_PKEY *rsa, *p256, *ed25519;
static struct jwk_set *rsa_set, *p256_set, *ed25519_set;

static struct slice slice(const char *text)
{
    return (struct slice){text, strlen(text)};
}

/* Verifies a copy that ends where the token ends, twice; only what is valid gives claims. */
static enum jwt_result verify_at(const struct jwk_set *set, const struct jwt_rules *rules,
                                 struct slice token, uint64_t now_ms, struct claims **out)
{
    struct claims *again = NULL;
    char *exact = malloc(token.len ? token.len : 1);
    assert_non_null(exact);
    if (token.len) memcpy(exact, token.ptr, token.len);
    *out = (struct claims *)exact;
    enum jwt_result result = jwt_verify(set, rules, (struct slice){exact, token.len}, now_ms, out);
    assert_true((*out != NULL) == (result == JWT_OK));
    assert_int_equal(jwt_verify(set, rules, (struct slice){exact, token.len}, now_ms, &again),
                     result);
    claims_free(again);
    free(exact);
    return result;
}

static void expect_by(const struct jwk_set *set, const struct jwt_rules *rules, struct slice token,
                      enum jwt_result want)
{
    struct claims *claims;
    enum jwt_result got = verify_at(set, rules, token, NOW * 1000ULL, &claims);
    if (got != want)
        fail_msg("%.*s: %s, wanted %s", (int)token.len, token.ptr, jwt_result_text(got),
                 jwt_result_text(want));
    claims_free(claims);
}

static void expect_token(const char *token, enum jwt_result want)
{
    expect_by(secret_set, &any, slice(token), want);
}

/* A payload that is signed well. */
static void expect_raw(const struct jwt_rules *rules, struct slice payload, enum jwt_result want)
{
    char *token = token_make(&by_secret, HS256, payload);
    struct claims *claims;
    enum jwt_result got = verify_at(secret_set, rules, slice(token), NOW * 1000ULL, &claims);
    if (got != want)
        fail_msg("%.*s: %s, wanted %s", (int)payload.len, payload.ptr, jwt_result_text(got),
                 jwt_result_text(want));
    claims_free(claims);
    free(token);
}

/* The members of such a payload. */
static void expect_with(const struct jwt_rules *rules, const char *members, enum jwt_result want)
{
    char payload[8200];
    snprintf(payload, sizeof payload, "{%s}", members);
    expect_raw(rules, slice(payload), want);
}

static void expect(const char *members, enum jwt_result want)
{
    expect_with(&any, members, want);
}

static void expect_header(const char *header, enum jwt_result want)
{
    char *token = token_make(&by_secret, header, SLICE_LIT("{" GOOD "}"));
    expect_token(token, want);
    free(token);
}

static struct claims *claims_of(const char *members)
{
    char payload[8200];
    struct claims *claims;
    snprintf(payload, sizeof payload, "{%s}", members);
    char *token = token_make(&by_secret, HS256, slice(payload));
    assert_int_equal(verify_at(secret_set, &any, slice(token), NOW * 1000ULL, &claims), JWT_OK);
    free(token);
    return claims;
}

/* ---- form ---- */

static void test_three_parts(void **state)
{
    (void)state;
    char *token = token_make(&by_secret, HS256, SLICE_LIT("{" GOOD "}"));
    char text[512];
    expect_token(token, JWT_OK);
    static const char *const around[][2] = {
        {" ", ""},  {"", " "}, {"", "\n"}, {"\n", ""},   {"", "."},       {".", ""},
        {"", ".x"}, {"", "="}, {"", "=="}, {"\"", "\""}, {"Bearer ", ""}, {"\xef\xbb\xbf", ""}};
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        snprintf(text, sizeof text, "%s%s%s", around[i][0], token, around[i][1]);
        expect_token(text, JWT_MALFORMED);
    }
    size_t len = strlen(token);
    expect_by(secret_set, &any, (struct slice){token, len + 1}, JWT_MALFORMED); /* its NUL */
    static const char *const few[] = {"",        ".",     "..",    "...",   "e30",
                                      "e30.e30", "e30..", ".e30.", "..e30", "e30.e30.e30.e30.e30",
                                      "!.!.!"};
    for (size_t i = 0; i < sizeof few / sizeof few[0]; i++)
        expect_token(few[i], JWT_MALFORMED);
    expect_by(secret_set, &any, (struct slice){NULL, 0}, JWT_MALFORMED);
    for (size_t n = 0; n < len; n++) { /* every part of it */
        struct claims *claims;
        assert_true(verify_at(secret_set, &any, (struct slice){token, n}, NOW * 1000ULL, &claims));
    }
    free(token);
}

/* A valid token is so in one spelling: every other character at every place is refused. */
static void test_every_character(void **state)
{
    (void)state;
    char *token = token_make(&by_secret, HS256, SLICE_LIT("{" GOOD "}"));
    for (char *at = token; *at; at++) {
        char was = *at;
        for (int c = 1; c < 256; c++) {
            struct claims *claims;
            *at = (char)c;
            if (*at == was) continue;
            if (jwt_verify(secret_set, &any, slice(token), NOW * 1000ULL, &claims) == JWT_OK)
                fail_msg("%s", token);
        }
        *at = was;
    }
    expect_token(token, JWT_OK);
    free(token);
}

static void test_length(void **state)
{
    (void)state;
    char payload[JWT_BYTES_MAX] = "{" GOOD ",\"pad\":\"";
    size_t n = strlen(payload);
    size_t fits = 0;
    for (size_t more = 4400; more < 4600; more++) {
        memset(payload + n, 'x', more);
        strcpy(payload + n + more, "\"}");
        char *token = token_make(&by_secret, HS256, slice(payload));
        bool good = strlen(token) <= JWT_BYTES_MAX;
        expect_token(token, good ? JWT_OK : JWT_TOO_LONG);
        if (good) fits = strlen(token);
        free(token);
    }
    assert_true(fits >= JWT_BYTES_MAX - 1);
    char *dots = malloc(1 << 20);
    assert_non_null(dots);
    memset(dots, '.', 1 << 20);
    expect_by(secret_set, &any, (struct slice){dots, 1 << 20}, JWT_TOO_LONG);
    expect_by(secret_set, &any, (struct slice){dots, JWT_BYTES_MAX}, JWT_MALFORMED);
    free(dots);
}

static void test_header(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
        "{\"typ\":\"jwt\",\"alg\":\"HS256\"}",
        "{\"typ\":\"AT+JWT\",\"alg\":\"HS256\"}",
        "{\"typ\":\"at+jwt\",\"alg\":\"HS256\"}",
        "{\"typ\":\"application/JWT\",\"alg\":\"HS256\"}",
        "{\"typ\":\"Application/at+jwt\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"kid\":\"x\"}",
        "{\"alg\":\"HS256\",\"cty\":\"x\",\"more\":[1]}",
        " {\"alg\":\"\\u0048S256\"}\r\n",
    };
    static const char *const malformed[] = {
        "",
        "{}",
        "[]",
        "null",
        "\"HS256\"",
        "{\"alg\":256}",
        "{\"alg\":null}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":\"HS256\"",
        "{\"alg\":\"HS256\"}x",
        "{\"alg\":\"none\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}",
        "{\"alg\":\"HS256\",\"kid\":1}",
        "{\"alg\":\"HS256\",\"kid\":null}",
        "{\"alg\":\"HS256\",\"kid\":[\"a\"]}",
        "{\"Alg\":\"HS256\"}",
        "{\"alg\":\"HS256\\u0000\"}",
        "{\"alg\":\"HS256\",\"x\":\"\xff\"}",
    };
    static const char *const types[] = {
        "{\"alg\":\"HS256\",\"typ\":\"JWE\"}",
        "{\"alg\":\"HS256\",\"typ\":\"\"}",
        "{\"alg\":\"HS256\",\"typ\":1}",
        "{\"alg\":\"HS256\",\"typ\":null}",
        "{\"alg\":\"HS256\",\"typ\":\"application/\"}",
        "{\"alg\":\"HS256\",\"typ\":\"dpop+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":\"text/JWT\"}",
        "{\"alg\":\"HS256\",\"typ\":\"JWT \"}",
        "{\"alg\":\"HS256\",\"typ\":\"application/application/JWT\"}",
        "{\"alg\":\"HS256\",\"typ\":\"logout+jwt\"}",
    };
    static const char *const extensions[] = {
        "{\"alg\":\"HS256\",\"crit\":[]}",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}",
        "{\"alg\":\"HS256\",\"crit\":null}",
        "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        expect_header(good[i], JWT_OK);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        expect_header(malformed[i], JWT_MALFORMED);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        expect_header(types[i], JWT_WRONG_TYPE);
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
        expect_header(extensions[i], JWT_CRITICAL);
}

static void test_payload(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "\"sub\"",
        "{" GOOD,
        "{" GOOD "}x",
        "{" GOOD "}{" GOOD "}",
        "{" GOOD ",\"sub\":\"bob\"}",
        "{\"sub\":\"bob\"," GOOD "}",
        "{" GOOD ",\"s\\u0075b\":\"bob\"}",
        "{" GOOD ",\"x\":{\"a\":1,\"a\":2}}",
        "{" GOOD ",\"x\":\"\xff\"}",
        "{" GOOD ",\"x\":NaN}",
        "{" GOOD ",\"x\":\"\xed\xa0\x80\"}",
        "{" GOOD ",\"x\":\"\\u0000\"}",
        "{" GOOD ",\"x\":1e999}",
        "\xef\xbb\xbf{" GOOD "}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_raw(&any, slice(bad[i]), JWT_MALFORMED);
    expect_raw(&any, SLICE_LIT(" { " GOOD " }\r\n"), JWT_OK);
    expect_raw(&any, SLICE_LIT("{" GOOD ",\"x\":1\0}"), JWT_MALFORMED);
    char deep[1024] = "{" GOOD ",\"x\":";
    memset(deep + strlen(deep), '[', 100);
    memset(deep + strlen(deep), ']', 100);
    strcat(deep, "}");
    expect_raw(&any, slice(deep), JWT_MALFORMED);
    /* Not canonical, or padded, but signed. */
    static const char *const inputs[] = {"eyJhbGciOiJIUzI1NiJ9.e31",
                                         "eyJhbGciOiJIUzI1NiJ9.e30=", "eyJhbGciOiJIUzI1NiJ9.",
                                         "eyJhbGciOiJIUzI1NiJ9.e3+0", "eyJhbGciOiJIUzI1NiJ9.e30\n"};
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        char *token = token_sign(&by_secret, inputs[i]);
        expect_token(token, JWT_MALFORMED);
        free(token);
    }
}

/* ---- attacks ---- */

static void test_alg_none(void **state)
{
    (void)state;
    static const char *const names[] = {"none",  "None",  "NONE", "nOnE",   "NonE",  "noNe",     "",
                                        " none", "none ", "null", "HS256 ", "hs256", "HS256none"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char header[64];
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", names[i]);
        expect_header(header, JWT_WRONG_ALGORITHM);
        char *h = token_base64url(header, strlen(header));
        char token[256];
        const char *payload = "eyJzdWIiOiJhbm4iLCJleHAiOjE3MDAwMDA2MDB9";
        snprintf(token, sizeof token, "%s.%s.", h, payload);
        expect_token(token, JWT_WRONG_ALGORITHM);
        expect_by(rsa_set, &any, slice(token), JWT_WRONG_ALGORITHM);
        snprintf(token, sizeof token, "%s.%s.AAAA", h, payload);
        expect_token(token, JWT_WRONG_ALGORITHM);
        snprintf(token, sizeof token, "%s.%s", h, payload);
        expect_token(token, JWT_MALFORMED);
        free(h);
    }
}

/* The signature, or the key of an HMAC, is missing. */
static void test_empty(void **state)
{
    (void)state;
    struct token_signer by_nothing = {.hash = "SHA256", .secret = SLICE_LIT("")};
    char *token = token_make(&by_nothing, HS256, SLICE_LIT("{" GOOD "}"));
    expect_token(token, JWT_BAD_SIGNATURE);
    strrchr(token, '.')[1] = '\0';
    expect_token(token, JWT_BAD_SIGNATURE);
    free(token);
    static const char *const algs[] = {"RS256", "PS256", "ES256", "EdDSA"};
    struct jwk_set *sets[] = {rsa_set, rsa_set, p256_set, ed25519_set};
    for (int i = 0; i < 4; i++) {
        char header[64];
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", algs[i]);
        token = token_make(&by_nothing, header, SLICE_LIT("{" GOOD "}"));
        expect_by(sets[i], &any, slice(token), JWT_BAD_SIGNATURE);
        strrchr(token, '.')[1] = '\0';
        expect_by(sets[i], &any, slice(token), JWT_BAD_SIGNATURE);
        free(token);
    }
}

/* CVE-2015-9235 and its many kin: the public key, in every spelling, taken for a secret. */
static void test_confusion(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {rsa, p256, ed25519};
    struct jwk_set *sets[] = {rsa_set, p256_set, ed25519_set};
    for (int i = 0; i < 3; i++) {
        char *pem = token_pem(keys[i], false);
        for (size_t cut = 0; cut < 2; cut++) { /* with the line feed at its end, and without */
            struct token_signer s = {.hash = "SHA256", .secret = {pem, strlen(pem) - cut}};
            char *token = token_make(&s, HS256, SLICE_LIT("{" GOOD "}"));
            expect_by(sets[i], &any, slice(token), JWT_WRONG_ALGORITHM);
            free(token);
        }
        free(pem);
    }
    struct token_signer by_rsa = {.hash = "SHA256", .pkey = rsa};
    static const char *const headers[] = {"{\"alg\":\"ES256\"}", "{\"alg\":\"EdDSA\"}", HS256};
    for (int i = 0; i < 3; i++) {
        char *token = token_make(&by_rsa, headers[i], SLICE_LIT("{" GOOD "}"));
        expect_by(rsa_set, &any, slice(token), JWT_WRONG_ALGORITHM);
        free(token);
    }
}

/* The token brings its own key, and is signed with it. */
static void test_embedded_key(void **state)
{
    (void)state;
    EVP_PKEY *foreign = token_key("P-256");
    struct token_signer s = {.hash = "SHA256", .pkey = foreign};
    static const char *const members[] = {
        "\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\"}", "\"jku\":\"https://evil.example/jwks\"",
        "\"x5u\":\"https://evil.example/x\"",         "\"x5c\":[\"MIIB\"]",
        "\"jwk\":{\"kty\":\"oct\",\"k\":\"\"}",       "\"x5t\":\"AAAA\""};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char header[256];
        snprintf(header, sizeof header, "{\"alg\":\"ES256\",%s}", members[i]);
        char *token = token_make(&s, header, SLICE_LIT("{" GOOD "}"));
        expect_by(p256_set, &any, slice(token), JWT_BAD_SIGNATURE);
        free(token);
        struct token_signer right = {.hash = "SHA256", .pkey = p256};
        token = token_make(&right, header, SLICE_LIT("{" GOOD "}"));
        expect_by(p256_set, &any, slice(token), JWT_OK); /* it says nothing */
        free(token);
    }
    EVP_PKEY_free(foreign);
}

static void test_ecdsa_forms(void **state)
{
    (void)state;
    const char *header = "{\"alg\":\"ES256\"}";
    struct token_signer s = {.hash = "SHA256", .pkey = p256};
    char *token = token_make(&s, header, SLICE_LIT("{" GOOD "}"));
    expect_by(p256_set, &any, slice(token), JWT_OK);
    char *zero = strrchr(token, '.') + 1; /* r = s = 0 */
    memset(zero, 'A', strlen(zero));
    expect_by(p256_set, &any, slice(token), JWT_BAD_SIGNATURE);
    zero[strlen(zero) - 4] = '\0'; /* three bytes short */
    expect_by(p256_set, &any, slice(token), JWT_BAD_SIGNATURE);
    free(token);
    s.der = true;
    token = token_make(&s, header, SLICE_LIT("{" GOOD "}"));
    expect_by(p256_set, &any, slice(token), JWT_BAD_SIGNATURE);
    free(token);
}

static void test_kid(void **state)
{
    (void)state;
    static const char json[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","
                               "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    static const char *const unknown[] = {"b",
                                          "A",
                                          "",
                                          "../../dev/null",
                                          "a' UNION SELECT 'k",
                                          "a;id",
                                          "/proc/self/environ",
                                          "https://evil.example/"};
    struct jwk_set *set;
    const char *why;
    assert_int_equal(jwk_set_from_json(SLICE_LIT(json), &set, &why), 0);
    struct token_signer s = {.pkey = ed25519};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        char header[128];
        snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", unknown[i]);
        char *token = token_make(&s, header, SLICE_LIT("{" GOOD "}"));
        expect_by(set, &any, slice(token), JWT_UNKNOWN_KEY);
        free(token);
    }
    char *token = token_make(&s, "{\"alg\":\"EdDSA\",\"kid\":\"a\"}", SLICE_LIT("{" GOOD "}"));
    expect_by(set, &any, slice(token), JWT_BAD_SIGNATURE);
    free(token);
    token = token_make(&by_secret, "{\"alg\":\"HS256\",\"kid\":\"a\"}", SLICE_LIT("{" GOOD "}"));
    expect_by(set, &any, slice(token), JWT_WRONG_ALGORITHM);
    free(token);
    jwk_set_unref(set);
}

/* What is wrong with a token that nobody signed is the signature, whatever it claims. */
static void test_signature_comes_first(void **state)
{
    (void)state;
    struct token_signer other = {.hash = "SHA256",
                                 .secret = SLICE_LIT("another secret, of another 32 bytes")};
    static const char *const payloads[] = {"{}", "x", "{\"exp\":1}", "{\"sub\":\"ann\"}", "\xff"};
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        char *token = token_make(&other, HS256, slice(payloads[i]));
        expect_token(token, JWT_BAD_SIGNATURE);
        free(token);
    }
}

/* ---- claims ---- */

static void test_exp(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        enum jwt_result want;
    } cases[] = {
        {"1700000000", JWT_OK},
        {"1699999941", JWT_OK}, /* within the leeway */
        {"1699999940.5", JWT_OK},
        {"1699999940", JWT_EXPIRED},
        {"1699999939.999", JWT_EXPIRED},
        {"1700086460", JWT_OK}, /* max_age_s and the leeway */
        {"1700086460.5", JWT_TOO_FAR_AHEAD},
        {"1700086461", JWT_TOO_FAR_AHEAD},
        {"1.7000001e9", JWT_OK},
        {"0", JWT_EXPIRED},
        {"-0", JWT_EXPIRED},
        {"-1", JWT_EXPIRED},
        {"-1e300", JWT_EXPIRED},
        {"-9223372036854775808", JWT_EXPIRED},
        {"1700000600000", JWT_TOO_FAR_AHEAD}, /* in milliseconds */
        {"9223372036854775807", JWT_TOO_FAR_AHEAD},
        {"1e308", JWT_TOO_FAR_AHEAD},
        {"18446744073709551616", JWT_MALFORMED}, /* no wrapping round to 0, or to now */
        {"18446744075409552216", JWT_MALFORMED},
        {"1e309", JWT_MALFORMED},
        {"NaN", JWT_MALFORMED},
        {"Infinity", JWT_MALFORMED},
        {"0x7fffffff", JWT_MALFORMED},
        {"\"1700000600\"", JWT_BAD_EXP},
        {"\"NaN\"", JWT_BAD_EXP},
        {"null", JWT_BAD_EXP},
        {"true", JWT_BAD_EXP},
        {"[1700000600]", JWT_BAD_EXP},
        {"{}", JWT_BAD_EXP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char members[128];
        snprintf(members, sizeof members, "\"sub\":\"ann\",\"exp\":%s", cases[i].value);
        expect(members, cases[i].want);
    }
    expect("\"sub\":\"ann\"", JWT_BAD_EXP);
    const struct jwt_rules none = {0};
    expect_with(&none, "\"sub\":\"ann\",\"exp\":1700000060", JWT_OK);
    expect_with(&none, "\"sub\":\"ann\",\"exp\":1700000061", JWT_TOO_FAR_AHEAD);
    const struct jwt_rules ever = {.max_age_s = UINT32_MAX};
    expect_with(&ever, "\"sub\":\"ann\",\"exp\":5994967295", JWT_OK);
}

static void test_nbf_and_iat(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        enum jwt_result want;
    } cases[] = {
        {"1700000000", JWT_OK},
        {"1700000060", JWT_OK},
        {"1700000060.5", JWT_TOO_EARLY},
        {"1700000061", JWT_TOO_EARLY},
        {"1e300", JWT_TOO_EARLY},
        {"9223372036854775807", JWT_TOO_EARLY},
        {"0", JWT_OK},
        {"-1", JWT_OK},
        {"-1e300", JWT_OK},
    };
    static const char *const bad[] = {"null", "false", "\"1700000000\"", "[]", "{}"};
    char members[128];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(members, sizeof members, GOOD ",\"nbf\":%s", cases[i].value);
        expect(members, cases[i].want);
        snprintf(members, sizeof members, GOOD ",\"iat\":%s", cases[i].value);
        expect(members, cases[i].want);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(members, sizeof members, GOOD ",\"nbf\":%s", bad[i]);
        expect(members, JWT_BAD_NBF);
        snprintf(members, sizeof members, GOOD ",\"iat\":%s", bad[i]);
        expect(members, JWT_BAD_IAT);
    }
}

/* The caller's time is the one that counts, to the millisecond. */
static void test_now(void **state)
{
    (void)state;
    char *token = token_make(&by_secret, HS256, SLICE_LIT("{" GOOD ",\"nbf\":1700000000.25}"));
    static const struct {
        uint64_t now_ms;
        enum jwt_result want;
    } cases[] = {
        {0, JWT_TOO_FAR_AHEAD},  {1699999940249, JWT_TOO_EARLY}, {1699999940250, JWT_OK},
        {1700000659999, JWT_OK}, {1700000660000, JWT_EXPIRED},   {1ULL << 53, JWT_EXPIRED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct claims *claims;
        assert_int_equal(verify_at(secret_set, &any, slice(token), cases[i].now_ms, &claims),
                         cases[i].want);
        claims_free(claims);
    }
    free(token);
    token = token_make(&by_secret, HS256, SLICE_LIT("{\"sub\":\"ann\",\"exp\":-1}"));
    struct claims *claims;
    assert_int_equal(verify_at(secret_set, &any, slice(token), 0, &claims), JWT_EXPIRED);
    free(token);
}

static void test_issuer(void **state)
{
    (void)state;
    const struct jwt_rules rules = {.issuer = SLICE_LIT("https://a.example"), .max_age_s = 3600};
    expect_with(&rules, GOOD ",\"iss\":\"https://a.example\"", JWT_OK);
    expect_with(&rules, GOOD ",\"iss\":\"https://a.example/\"", JWT_WRONG_ISSUER);
    expect_with(&rules, GOOD ",\"iss\":\"https://A.example\"", JWT_WRONG_ISSUER);
    expect_with(&rules, GOOD ",\"iss\":\"https://a.exampl\"", JWT_WRONG_ISSUER);
    expect_with(&rules, GOOD ",\"iss\":\"\"", JWT_WRONG_ISSUER);
    expect_with(&rules, GOOD, JWT_WRONG_ISSUER);
    expect_with(&rules, GOOD ",\"iss\":[\"https://a.example\"]", JWT_BAD_ISS);
    expect_with(&rules, GOOD ",\"iss\":null", JWT_BAD_ISS);
    expect(GOOD ",\"iss\":\"https://a.example\"", JWT_OK);
    expect(GOOD ",\"iss\":1", JWT_BAD_ISS);
}

static void test_audience(void **state)
{
    (void)state;
    const struct jwt_rules rules = {.audience = SLICE_LIT("chat"), .max_age_s = 3600};
    expect_with(&rules, GOOD ",\"aud\":\"chat\"", JWT_OK);
    expect_with(&rules, GOOD ",\"aud\":[\"chat\"]", JWT_OK);
    expect_with(&rules, GOOD ",\"aud\":[\"mail\",\"chat\"]", JWT_OK);
    expect_with(&rules, GOOD, JWT_WRONG_AUDIENCE);
    expect_with(&rules, GOOD ",\"aud\":\"Chat\"", JWT_WRONG_AUDIENCE);
    expect_with(&rules, GOOD ",\"aud\":\"chat \"", JWT_WRONG_AUDIENCE);
    expect_with(&rules, GOOD ",\"aud\":\"mail chat\"", JWT_WRONG_AUDIENCE);
    expect_with(&rules, GOOD ",\"aud\":\"\"", JWT_WRONG_AUDIENCE);
    expect_with(&rules, GOOD ",\"aud\":[]", JWT_WRONG_AUDIENCE);
    expect_with(&rules, GOOD ",\"aud\":[\"mail\"]", JWT_WRONG_AUDIENCE);
    static const char *const bad[] = {"1",
                                      "null",
                                      "{\"chat\":1}",
                                      "[\"chat\",1]",
                                      "[1,\"chat\"]",
                                      "[[\"chat\"]]",
                                      "[\"chat\",null]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char members[128];
        snprintf(members, sizeof members, GOOD ",\"aud\":%s", bad[i]);
        expect_with(&rules, members, JWT_BAD_AUD);
        expect(members, JWT_BAD_AUD);
    }
    /* One that is for somebody is not for a server without a name. */
    expect(GOOD ",\"aud\":\"chat\"", JWT_WRONG_AUDIENCE);
    expect(GOOD ",\"aud\":\"\"", JWT_WRONG_AUDIENCE);
    expect(GOOD ",\"aud\":[]", JWT_WRONG_AUDIENCE);
}

/* length: of a string of x; what is allowed of the claim. */
static void expect_length(const char *claim, size_t length, enum jwt_result want)
{
    char text[512] = "";
    char members[1024];
    memset(text, 'x', length);
    bool sub = strcmp(claim, "sub") == 0;
    snprintf(members, sizeof members, "%s%s,\"%s\":\"%s\"", sub ? "" : "\"sub\":\"ann\",", TIMES,
             claim, text);
    expect(members, want);
}

/* What no text may have in it. */
static void expect_texts(const char *claim, enum jwt_result bad)
{
    static const char *const values[] = {"1",
                                         "null",
                                         "true",
                                         "[]",
                                         "[\"a\"]",
                                         "{}",
                                         "{\"a\":\"b\"}",
                                         "\"a\\nb\"",
                                         "\"\\u0001\"",
                                         "\"\\u007f\"",
                                         "\"a\\u0085\"",
                                         "\"\\u009fa\"",
                                         "\"\xc2\x80\"",
                                         "\"\x7f\""};
    char members[256];
    const char *sub = strcmp(claim, "sub") == 0 ? "" : "\"sub\":\"ann\",";
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        snprintf(members, sizeof members, "%s%s,\"%s\":%s", sub, TIMES, claim, values[i]);
        expect(members, bad);
    }
    snprintf(members, sizeof members, "%s%s,\"%s\":\"a\\u0000b\"", sub, TIMES, claim);
    expect(members, JWT_MALFORMED);
    snprintf(members, sizeof members, "%s%s,\"%s\":\"\xc2\xa0\xc3\x85 \xf0\x9f\x98\x80/|:@\\\"\"",
             sub, TIMES, claim);
    expect(members, JWT_OK);
}

static void test_texts(void **state)
{
    (void)state;
    expect(TIMES, JWT_BAD_SUB);
    expect_length("sub", 0, JWT_BAD_SUB);
    expect_length("sub", 1, JWT_OK);
    expect_length("sub", CLAIMS_USER_MAX, JWT_OK);
    expect_length("sub", CLAIMS_USER_MAX + 1, JWT_BAD_SUB);
    expect_texts("sub", JWT_BAD_SUB);
    expect(TIMES ",\"sub\":\"guest:\"", JWT_BAD_SUB);
    expect(TIMES ",\"sub\":\"guest:1\"", JWT_BAD_SUB);
    expect(TIMES ",\"sub\":\"\\u0067uest:1\"", JWT_BAD_SUB);
    expect(TIMES ",\"sub\":\"guest\"", JWT_OK);
    expect(TIMES ",\"sub\":\"a guest:1\"", JWT_OK);
    static const struct {
        const char *claim;
        enum jwt_result bad;
    } others[] = {{"name", JWT_BAD_NAME}, {"jti", JWT_BAD_JTI}, {"sid", JWT_BAD_SID}};
    for (int i = 0; i < 3; i++) {
        expect_length(others[i].claim, 0, JWT_OK);
        expect_length(others[i].claim, CLAIMS_TEXT_MAX, JWT_OK);
        expect_length(others[i].claim, CLAIMS_TEXT_MAX + 1, others[i].bad);
        expect_texts(others[i].claim, others[i].bad);
    }
}

static void test_parlor_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "null",
        "1",
        "\"x\"",
        "[]",
        "{}",
        "{\"rooms\":null}",
        "{\"rooms\":[]}",
        "{\"rooms\":\"x\"}",
        "{\"room\":{}}",
        "{\"rooms\":{},\"more\":1}",
        "{\"rooms\":{\"a\":\"\"}}",
        "{\"rooms\":{\"a\":\"Read\"}}",
        "{\"rooms\":{\"a\":\"admin\"}}",
        "{\"rooms\":{\"a\":\"read \"}}",
        "{\"rooms\":{\"a\":1}}",
        "{\"rooms\":{\"a\":null}}",
        "{\"rooms\":{\"a\":[\"read\"]}}",
        "{\"rooms\":{\"a\":{\"right\":\"read\"}}}",
        "{\"rooms\":{\"\":\"read\"}}",
        "{\"rooms\":{\"a/b\":\"read\"}}",
        "{\"rooms\":{\"..\":\"read\"}}",
        "{\"rooms\":{\"a\\n\":\"read\"}}",
        "{\"rooms\":{\"a\":\"read\",\"b\":\"x\"}}",
    };
    char members[512];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(members, sizeof members, GOOD ",\"parlor\":%s", bad[i]);
        expect(members, JWT_BAD_PARLOR);
    }
    expect(GOOD ",\"parlor\":{\"rooms\":{\"a\":\"read\",\"a\":\"own\"}}", JWT_MALFORMED);
    expect(GOOD ",\"parlor\":{\"rooms\":{\"a\":\"read\",\"\\u0061\":\"own\"}}", JWT_MALFORMED);
    char pattern[130] = "";
    memset(pattern, 'x', 129);
    snprintf(members, sizeof members, GOOD ",\"parlor\":{\"rooms\":{\"%s\":\"read\"}}", pattern);
    expect(members, JWT_BAD_PARLOR);
    pattern[128] = '\0';
    snprintf(members, sizeof members, GOOD ",\"parlor\":{\"rooms\":{\"%s\":\"read\"}}", pattern);
    expect(members, JWT_OK);
}

static void test_rooms(void **state)
{
    (void)state;
    static const char *const patterns[] = {"lobby", "team-*", "b\xc3\xbcro", "x y", "z"};
    struct claims *c = claims_of(GOOD ",\"parlor\":{\"rooms\":{\"lobby\":\"none\",\"team-*\":"
                                      "\"read\",\"b\\u00fcro\":\"write\",\"x y\":\"moderate\","
                                      "\"z\":\"own\"}}");
    assert_true(c->has_rooms);
    assert_int_equal(c->room_count, 5);
    for (size_t i = 0; i < 5; i++) {
        size_t j = 0;
        while (!slice_is(c->rooms[j].pattern, patterns[i]))
            assert_true(++j < 5);
        assert_int_equal(c->rooms[j].right, i);
    }
    claims_free(c);
    c = claims_of(GOOD ",\"parlor\":{\"rooms\":{}}");
    assert_true(c->has_rooms);
    assert_int_equal(c->room_count, 0);
    claims_free(c);
    c = claims_of(GOOD);
    assert_false(c->has_rooms);
    assert_int_equal(c->room_count, 0);
    claims_free(c);
}

static void test_room_count(void **state)
{
    (void)state;
    char members[8192];
    for (int count = CLAIMS_ROOMS_MAX; count <= CLAIMS_ROOMS_MAX + 1; count++) {
        int n = snprintf(members, sizeof members, GOOD ",\"parlor\":{\"rooms\":{");
        for (int i = 0; i < count; i++)
            n += snprintf(members + n, sizeof members - (size_t)n, "%s\"room%d\":\"read\"",
                          i ? "," : "", i);
        snprintf(members + n, sizeof members - (size_t)n, "}}");
        expect(members, count <= CLAIMS_ROOMS_MAX ? JWT_OK : JWT_BAD_PARLOR);
    }
}

static void test_claims(void **state)
{
    (void)state;
    struct claims *c = claims_of(
        "\"sub\":\"auth0|7\",\"exp\":1700000600.75,\"name\":\"Zo\\u00eb \\ud83d\\ude00\",\"jti\":"
        "\"j1\",\"sid\":\"s1\",\"email\":\"zoe@example.org\"");
    assert_true(slice_is(c->user, "auth0|7"));
    assert_true(slice_is(c->name, "Zo\xc3\xab \xf0\x9f\x98\x80"));
    assert_true(slice_is(c->jti, "j1"));
    assert_true(slice_is(c->sid, "s1"));
    assert_true(c->expires_ms == 1700000600750);
    claims_free(c);
    c = claims_of(GOOD);
    assert_true(slice_is(c->user, "ann"));
    assert_int_equal(c->name.len + c->jti.len + c->sid.len, 0);
    assert_true(c->expires_ms == 1700000600000);
    claims_free(c);
    claims_free(NULL);
}

static void test_result_texts(void **state)
{
    (void)state;
    for (int i = 0; i < JWT_RESULT_COUNT; i++)
        assert_true(strlen(jwt_result_text((enum jwt_result)i)) > 10);
}

/* ---- what others have signed ---- */

static const char *text_at(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static struct jwk_set *set_of(int (*make)(struct slice, struct jwk_set **, const char **),
                              const char *text)
{
    struct jwk_set *set = NULL;
    const char *why;
    assert_int_equal(make(slice(text), &set, &why), 0);
    return set;
}

/* Tokens of PyJWT and jose, whole: see tests/unit/data/make_tokens.py. */
static void test_interoperable(void **state)
{
    (void)state;
    const struct jwt_rules rules = {SLICE_LIT("https://issuer.example"), SLICE_LIT("parlor"), 7200};
    json_t *data = json_load_file("tests/unit/data/tokens.json", 0, NULL);
    const json_t *tokens = json_object_get(data, "tokens");
    char *json = json_dumps(json_object_get(data, "jwks"), 0);
    struct jwk_set *keys = set_of(jwk_set_from_json, json);
    struct jwk_set *secret = set_of(jwk_set_from_secret, text_at(data, "secret"));
    uint64_t now_ms = (uint64_t)json_integer_value(json_object_get(data, "now")) * 1000;
    assert_true(json_array_size(tokens) >= 36);
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *t = json_array_get(tokens, i);
        struct claims *c;
        char user[32];
        const struct jwk_set *set = text_at(t, "alg")[0] == 'H' ? secret : keys;
        enum jwt_result got = verify_at(set, &rules, slice(text_at(t, "token")), now_ms, &c);
        if (got) fail_msg("%s, %s: %s", text_at(t, "by"), text_at(t, "alg"), jwt_result_text(got));
        snprintf(user, sizeof user, "auth0|%s", text_at(t, "by"));
        assert_true(slice_is(c->user, user));
        assert_true(slice_is(c->name, "Zo\xc3\xab \xe5\xb1\xb1\xe7\x94\xb0 \xf0\x9f\x98\x80"));
        assert_true(slice_is(c->jti, "8f3c") && slice_is(c->sid, "s-1"));
        assert_true(c->expires_ms == now_ms + 3600000);
        assert_int_equal(c->room_count, 2);
        claims_free(c);
    }
    jwk_set_unref(secret);
    jwk_set_unref(keys);
    free(json);
    json_decref(data);
}

/* ---- memory ---- */

static void *own_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return size ? malloc(size) : NULL;
}

static void own_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    free(ptr);
}

static void *own_realloc(void *ptr, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
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

/* The n-th allocation of all fails, for every n: no claims, and nothing is left. */
static void test_memory(void **state)
{
    (void)state;
    struct token_signer by_ec = {.hash = "SHA256", .pkey = p256};
    struct slice payload =
        SLICE_LIT("{" GOOD ",\"name\":\"Ann\",\"parlor\":{\"rooms\":{\"a\":\"read\"}}}");
    const struct {
        const struct jwk_set *set;
        const struct token_signer *signer;
        const char *header;
    } cases[] = {{secret_set, &by_secret, HS256}, {p256_set, &by_ec, "{\"alg\":\"ES256\"}"}};
    for (int i = 0; i < 2; i++) {
        char *token = token_make(cases[i].signer, cases[i].header, payload);
        expect_by(cases[i].set, &any, slice(token), JWT_OK);
        enum jwt_result result = JWT_NOMEM;
        unsigned short_of_memory = 0;
        for (long n = 0; result; n++) {
            struct claims *c = NULL;
            long live = fail_alloc_live();
            fail_alloc_after(n);
            result = jwt_verify(cases[i].set, &any, slice(token), NOW * 1000ULL, &c);
            fail_alloc_off();
            assert_true(result == JWT_OK || result == JWT_NOMEM || result == JWT_MALFORMED ||
                        result == JWT_BAD_SIGNATURE);
            assert_true((c != NULL) == (result == JWT_OK));
            short_of_memory += result == JWT_NOMEM;
            claims_free(c);
            assert_int_equal(fail_alloc_live(), live);
            assert_true(n < 10000);
        }
        assert_true(short_of_memory >= 4); /* header, signature, payload, claims */
        free(token);
    }
}

static struct jwk_set *pem_set(EVP_PKEY *pkey)
{
    char *pem = token_pem(pkey, false);
    struct jwk_set *set = set_of(jwk_set_from_pem, pem);
    free(pem);
    return set;
}

static int set_up(void **state)
{
    (void)state;
    secret_set = set_of(jwk_set_from_secret, SECRET);
    rsa = token_key("RSA");
    p256 = token_key("P-256");
    ed25519 = token_key("ED25519");
    rsa_set = pem_set(rsa);
    p256_set = pem_set(p256);
    ed25519_set = pem_set(ed25519);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    jwk_set_unref(secret_set);
    jwk_set_unref(rsa_set);
    jwk_set_unref(p256_set);
    jwk_set_unref(ed25519_set);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(ed25519);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_parts),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_payload),
        cmocka_unit_test(test_alg_none),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_confusion),
        cmocka_unit_test(test_embedded_key),
        cmocka_unit_test(test_ecdsa_forms),
        cmocka_unit_test(test_kid),
        cmocka_unit_test(test_signature_comes_first),
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_nbf_and_iat),
        cmocka_unit_test(test_now),
        cmocka_unit_test(test_issuer),
        cmocka_unit_test(test_audience),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_parlor_refused),
        cmocka_unit_test(test_rooms),
        cmocka_unit_test(test_room_count),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_result_texts),
        cmocka_unit_test(test_interoperable),
        cmocka_unit_test(test_memory),
    };
    if (CRYPTO_set_mem_functions(own_malloc, own_realloc, own_free) != 1) return 1;
    json_set_alloc_funcs(json_own_malloc, json_own_free);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
