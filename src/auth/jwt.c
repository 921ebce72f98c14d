/* See jwt.h. The order is that of trust: the header, which anybody may have written, only says how
 * the signature is to be verified; the payload is read when it was. */
#include "auth/jwt.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/claims.h"
#include "auth/jose.h"
#include "auth/jwk.h"
#include "auth/pattern.h"
#include "base/err.h"

enum { DECODED_MAX = JWT_BYTES_MAX / 4 * 3 };

static const char *const texts[] = {
#define X(symbol, text) [symbol] = (text),
    JWT_RESULTS(X)
#undef X
};

const char *jwt_result_text(enum jwt_result result)
{
    return texts[result];
}

/* ---- the three parts ---- */

struct parts {
    struct slice header;
    struct slice payload;
    struct slice signature;
    struct slice input; /* header and payload */
};

/* RFC 7515 section 7.1. A third dot is in the signature then, and no base64url. */
static bool split(struct slice token, struct parts *p)
{
    const char *end = token.ptr + token.len;
    const char *first = token.len ? memchr(token.ptr, '.', token.len) : NULL;
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first) - 1) : NULL;
    if (!second) return false;
    p->header = (struct slice){token.ptr, (size_t)(first - token.ptr)};
    p->payload = (struct slice){first + 1, (size_t)(second - first) - 1};
    p->signature = (struct slice){second + 1, (size_t)(end - second) - 1};
    p->input = (struct slice){token.ptr, (size_t)(second - token.ptr)};
    return true;
}

static enum jwt_result read_object(struct slice part, json_t **out)
{
    uint8_t bytes[DECODED_MAX];
    size_t len;
    if (!jose_decode(part, bytes, sizeof bytes, &len)) return JWT_MALFORMED;
    int err = jose_object((struct slice){(const char *)bytes, len}, out);
    if (err) return err == ERR_NOMEM ? JWT_NOMEM : JWT_MALFORMED;
    return JWT_OK;
}

/* RFC 7515 section 4.1.9, RFC 9068 section 2.1. */
static bool is_known_type(struct slice typ)
{
    static const char prefix[] = "application/";
    const size_t n = sizeof prefix - 1;
    if (typ.len > n && strncasecmp(typ.ptr, prefix, n) == 0)
        typ = (struct slice){typ.ptr + n, typ.len - n};
    return (typ.len == 3 && strncasecmp(typ.ptr, "JWT", 3) == 0) ||
           (typ.len == 6 && strncasecmp(typ.ptr, "at+jwt", 6) == 0);
}

/* What names or holds a key (jku, jwk, x5u, x5c) is not looked at: keys come from elsewhere. */
static enum jwt_result read_jws_header(const json_t *header, struct jws *jws)
{
    const json_t *kid = json_object_get(header, "kid");
    const json_t *typ = json_object_get(header, "typ");
    if (json_object_get(header, "crit")) return JWT_CRITICAL; /* no extension is known */
    if (typ && !is_known_type(jose_text(typ))) return JWT_WRONG_TYPE;
    jws->alg = jose_text(json_object_get(header, "alg"));
    jws->kid = jose_text(kid);
    return jws->alg.ptr && (!kid || jws->kid.ptr) ? JWT_OK : JWT_MALFORMED;
}

static enum jwt_result verify_signature(const struct jwk_set *keys, const struct jws *jws)
{
    static const enum jwt_result results[] = {
        [JWK_GOOD] = JWT_OK,
        [JWK_WRONG_ALGORITHM] = JWT_WRONG_ALGORITHM,
        [JWK_UNKNOWN_KEY] = JWT_UNKNOWN_KEY,
        [JWK_BAD_SIGNATURE] = JWT_BAD_SIGNATURE,
        [JWK_NOMEM] = JWT_NOMEM,
    };
    return results[jwk_set_verify(keys, jws)];
}

static enum jwt_result check_signature(const struct jwk_set *keys, const struct parts *p)
{
    uint8_t signature[DECODED_MAX];
    struct jws jws = {.input = p->input};
    json_t *header = NULL;
    if (!jose_decode(p->signature, signature, sizeof signature, &jws.signature.len))
        return JWT_MALFORMED;
    jws.signature.ptr = (const char *)signature;
    enum jwt_result result = read_object(p->header, &header);
    if (!result) result = read_jws_header(header, &jws);
    if (!result) result = verify_signature(keys, &jws);
    json_decref(header);
    return result;
}

/* ---- when ---- */

/* Of a number; the parser lets in none that is not finite. A claim that is missing leaves *out as
 * it was. */
static bool read_seconds(const json_t *payload, const char *claim, double *out)
{
    const json_t *value = json_object_get(payload, claim);
    if (!value) return true;
    *out = json_number_value(value);
    return json_is_number(value);
}

/* RFC 7519 sections 4.1.4 to 4.1.6. */
static enum jwt_result check_times(const json_t *payload, const struct jwt_rules *rules,
                                   uint64_t now_ms, struct claims *c)
{
    double now = (double)now_ms / 1000;
    double exp = 0;
    double nbf = now;
    double iat = now;
    if (!json_object_get(payload, "exp") || !read_seconds(payload, "exp", &exp)) return JWT_BAD_EXP;
    if (!read_seconds(payload, "nbf", &nbf)) return JWT_BAD_NBF;
    if (!read_seconds(payload, "iat", &iat)) return JWT_BAD_IAT;
    if (exp < 0 || now >= exp + JWT_LEEWAY_S) return JWT_EXPIRED;
    if (exp > now + rules->max_age_s + JWT_LEEWAY_S) return JWT_TOO_FAR_AHEAD;
    if (nbf > now + JWT_LEEWAY_S || iat > now + JWT_LEEWAY_S) return JWT_TOO_EARLY;
    c->expires_ms = (uint64_t)(exp * 1000);
    c->issued_ms = json_object_get(payload, "iat") && iat > 0 ? (uint64_t)(iat * 1000) : 0;
    return JWT_OK;
}

/* ---- from whom, and for whom ---- */

static enum jwt_result check_issuer(const json_t *payload, struct slice issuer)
{
    const json_t *iss = json_object_get(payload, "iss");
    if (iss && !json_is_string(iss)) return JWT_BAD_ISS;
    bool good = issuer.len == 0 || (iss && slice_equal(jose_text(iss), issuer));
    return good ? JWT_OK : JWT_WRONG_ISSUER;
}

static enum jwt_result check_audience(const json_t *payload, struct slice audience)
{
    const json_t *aud = json_object_get(payload, "aud");
    bool found = json_is_string(aud) && slice_equal(jose_text(aud), audience);
    if (aud && !json_is_string(aud) && !json_is_array(aud)) return JWT_BAD_AUD;
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const json_t *one = json_array_get(aud, i);
        if (!json_is_string(one)) return JWT_BAD_AUD;
        found = found || slice_equal(jose_text(one), audience);
    }
    bool good = audience.len > 0 ? found : !aud;
    return good ? JWT_OK : JWT_WRONG_AUDIENCE;
}

/* ---- who, and what it may do ---- */

static enum jwt_result read_text_claims(const json_t *payload, struct claims *c)
{
    if (!claims_read_user(payload, "sub", &c->user)) return JWT_BAD_SUB;
    if (!claims_read_text(payload, "name", &c->name)) return JWT_BAD_NAME;
    if (!claims_read_text(payload, "jti", &c->jti)) return JWT_BAD_JTI;
    if (!claims_read_text(payload, "sid", &c->sid)) return JWT_BAD_SID;
    return JWT_OK;
}

/* The object of rooms, NULL without the claim. A member that is not known is refused: who writes
 * "room" would else give the rights of those who have no such claim. */
static bool find_rooms(const json_t *payload, json_t **rooms)
{
    const json_t *parlor = json_object_get(payload, "parlor");
    *rooms = json_object_get(parlor, "rooms");
    if (!parlor) return true;
    return json_object_size(parlor) == 1 && *rooms;
}

static enum jwt_result read_claims(const json_t *payload, struct claims **out, struct claims *c)
{
    struct room_right into[CLAIMS_ROOMS_MAX];
    json_t *rooms;
    enum jwt_result result = read_text_claims(payload, c);
    if (result) return result;
    if (!find_rooms(payload, &rooms) || !claims_read_rooms(rooms, into, c)) return JWT_BAD_PARLOR;
    *out = claims_copy(c);
    c->rooms = NULL;
    return *out ? JWT_OK : JWT_NOMEM;
}

static enum jwt_result check_claims(const json_t *payload, const struct jwt_rules *rules,
                                    uint64_t now_ms, struct claims **out)
{
    struct claims c = {0};
    enum jwt_result result = check_times(payload, rules, now_ms, &c);
    if (!result) result = check_issuer(payload, rules->issuer);
    if (!result) result = check_audience(payload, rules->audience);
    return result ? result : read_claims(payload, out, &c);
}

enum jwt_result jwt_verify(const struct jwk_set *keys, const struct jwt_rules *rules,
                           struct slice token, uint64_t now_ms, struct claims **out)
{
    struct parts parts;
    json_t *payload = NULL;
    *out = NULL;
    if (token.len > JWT_BYTES_MAX) return JWT_TOO_LONG;
    if (!split(token, &parts)) return JWT_MALFORMED;
    enum jwt_result result = check_signature(keys, &parts);
    if (!result) result = read_object(parts.payload, &payload);
    if (!result) result = check_claims(payload, rules, now_ms, out);
    json_decref(payload);
    return result;
}
