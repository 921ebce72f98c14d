/* Fuzzes tokens. The first byte chooses what the rest is: a whole token, or the payload or the
 * header of one that is signed here, as no search finds a signature. Properties: no read past the
 * token; the same answer again; a token is only valid if its third part is the HMAC of the first
 * two, computed and spelled here; what is signed never has a wrong signature; of what is valid
 * jansson reads the same texts, the claims keep their limits, and the header has no "crit" and
 * names the algorithm that was used. */
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/jwk.h"
#include "auth/jwt.h"
#include "auth/pattern.h"
#include "base/check.h"
#include "base/utf8.h"
#include "proto/name.h"

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NOW_MS 1700000000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct jwt_rules rules[] = {
    {.max_age_s = 86400},
    {.issuer = {"i", 1}, .audience = {"a", 1}, .max_age_s = UINT32_MAX},
};

static struct jwk_set *secret_set(void)
{
    static struct jwk_set *set;
    const char *why;
    if (!set) CHECK(jwk_set_from_secret(SLICE_LIT(SECRET), &set, &why) == 0);
    return set;
}

/* Keys of RFC 7515 A.3 and RFC 8037 A.2. */
static struct jwk_set *public_set(void)
{
    static const char json[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\","
                               "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                               "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
                               "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
                               "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    static struct jwk_set *set;
    const char *why;
    if (!set) CHECK(jwk_set_from_json(SLICE_LIT(json), &set, &why) == 0);
    return set;
}

/* Appends base64url to text. */
static void append(char *text, const void *bytes, size_t len)
{
    char *at = text + strlen(text);
    EVP_EncodeBlock((unsigned char *)at, bytes, (int)len);
    for (; *at && *at != '='; at++) {
        if (*at == '+') *at = '-';
        if (*at == '/') *at = '_';
    }
    *at = '\0';
}

static char *token_buffer(size_t payload)
{
    char *text = calloc(1, 2 * payload + 1024);
    CHECK(text);
    return text;
}

static void append_mac(char *text, const EVP_MD *hash)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    CHECK(HMAC(hash, SECRET, sizeof SECRET - 1, (uint8_t *)text, strlen(text), mac, &len));
    strcat(text, ".");
    append(text, mac, len);
}

static bool is_mac(struct slice token)
{
    const EVP_MD *hashes[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    bool is = false;
    char *text = token_buffer(token.len);
    for (int i = 0; i < 3; i++) {
        const char *dot = memrchr(token.ptr, '.', token.len);
        CHECK(dot);
        memcpy(text, token.ptr, (size_t)(dot - token.ptr));
        text[dot - token.ptr] = '\0';
        append_mac(text, hashes[i]);
        is = is || slice_is(token, text);
    }
    free(text);
    return is;
}

static void good_text(struct slice s, size_t max)
{
    CHECK(s.len <= max && utf8_valid(s.ptr, s.len));
    for (size_t i = 0; i < s.len; i++)
        CHECK((unsigned char)s.ptr[i] >= 0x20 && s.ptr[i] != 0x7F);
}

static void keeps_limits(const struct claims *c, const struct jwt_rules *r)
{
    good_text(c->user, CLAIMS_USER_MAX);
    good_text(c->name, CLAIMS_TEXT_MAX);
    good_text(c->jti, CLAIMS_TEXT_MAX);
    good_text(c->sid, CLAIMS_TEXT_MAX);
    CHECK(c->user.len > 0 && (c->user.len < 6 || memcmp(c->user.ptr, "guest:", 6) != 0));
    CHECK(c->expires_ms + JWT_LEEWAY_S * 1000 >= NOW_MS);
    CHECK(c->expires_ms <= NOW_MS + (JWT_LEEWAY_S + (uint64_t)r->max_age_s) * 1000);
    CHECK(c->room_count <= CLAIMS_ROOMS_MAX && (c->has_rooms || c->room_count == 0));
    for (size_t i = 0; i < c->room_count; i++)
        CHECK(name_room_check(c->rooms[i].pattern) == 0 && c->rooms[i].right <= RIGHT_OWN);
}

/* One verification from a block that ends where the token does. */
static enum jwt_result verify(const struct jwk_set *set, const struct jwt_rules *r,
                              struct slice token, struct claims **out)
{
    char *exact = malloc(token.len ? token.len : 1);
    CHECK(exact);
    if (token.len) memcpy(exact, token.ptr, token.len);
    enum jwt_result result = jwt_verify(set, r, (struct slice){exact, token.len}, NOW_MS, out);
    CHECK((*out != NULL) == (result == JWT_OK) && ERR_peek_error() == 0);
    free(exact);
    return result;
}

static enum jwt_result verify_twice(const struct jwk_set *set, const struct jwt_rules *r,
                                    struct slice token, struct claims **out)
{
    struct claims *again;
    enum jwt_result result = verify(set, r, token, out);
    CHECK(verify(set, r, token, &again) == result);
    claims_free(again);
    if (*out) keeps_limits(*out, r);
    return result;
}

static void whole(struct slice token, const struct jwt_rules *r)
{
    struct claims *c;
    if (verify_twice(secret_set(), r, token, &c) == JWT_OK) CHECK(is_mac(token));
    claims_free(c);
    CHECK(verify_twice(public_set(), r, token, &c) != JWT_OK);
}

static void same_text(const json_t *payload, const char *claim, struct slice got)
{
    const json_t *value = json_object_get(payload, claim);
    const char *text = value ? json_string_value(value) : "";
    CHECK(text && slice_is(got, text));
}

static bool is_time(const json_t *payload, const char *claim)
{
    const json_t *value = json_object_get(payload, claim);
    return !value || json_is_number(value);
}

static void agrees(struct slice bytes, const struct claims *c, const struct jwt_rules *r)
{
    json_t *payload = json_loadb(bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, NULL);
    CHECK(json_is_object(payload));
    same_text(payload, "sub", c->user);
    same_text(payload, "name", c->name);
    same_text(payload, "jti", c->jti);
    same_text(payload, "sid", c->sid);
    CHECK(json_object_get(payload, "exp"));
    CHECK(is_time(payload, "exp") && is_time(payload, "nbf") && is_time(payload, "iat"));
    if (r->issuer.len) same_text(payload, "iss", r->issuer);
    CHECK((json_object_get(payload, "aud") != NULL) == (r->audience.len > 0));
    const json_t *rooms = json_object_get(json_object_get(payload, "parlor"), "rooms");
    CHECK(json_object_size(rooms) == c->room_count && (rooms != NULL) == c->has_rooms);
    json_decref(payload);
}

static void signed_payload(struct slice bytes, const struct jwt_rules *r)
{
    struct claims *c;
    char *text = token_buffer(bytes.len);
    strcpy(text, "eyJhbGciOiJIUzI1NiJ9."); /* HS256 */
    append(text, bytes.ptr, bytes.len);
    append_mac(text, EVP_sha256());
    enum jwt_result result = verify_twice(secret_set(), r, (struct slice){text, strlen(text)}, &c);
    CHECK(result < JWT_CRITICAL || result > JWT_BAD_SIGNATURE);
    if (c) agrees(bytes, c, r);
    claims_free(c);
    free(text);
}

static void signed_header(struct slice bytes, const struct jwt_rules *r)
{
    static const char payload[] = "{\"sub\":\"a\",\"exp\":1700000001,\"iss\":\"i\"}";
    struct claims *c;
    char *text = token_buffer(bytes.len);
    append(text, bytes.ptr, bytes.len);
    strcat(text, ".");
    append(text, payload, sizeof payload - 1);
    append_mac(text, EVP_sha256());
    verify_twice(secret_set(), r, (struct slice){text, strlen(text)}, &c);
    if (c) {
        json_t *header = json_loadb(bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, NULL);
        const char *alg = json_string_value(json_object_get(header, "alg"));
        CHECK(alg && strcmp(alg, "HS256") == 0 && !json_object_get(header, "crit"));
        json_decref(header);
    }
    claims_free(c);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct slice rest = {(const char *)data + 1, size - 1};
    const struct jwt_rules *r = &rules[data[0] & 1];
    switch (data[0] >> 1 & 3) {
    case 0:
        whole(rest, r);
        break;
    case 1:
        signed_header(rest, r);
        break;
    default:
        signed_payload(rest, r);
    }
    return 0;
}
