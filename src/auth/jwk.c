/* See jwk.h. */
#include "auth/jwk.h"

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jose.h"
#include "base/err.h"

enum {
    RSA_BITS_MIN = 2048, /* RFC 7518 section 3.3 */
    RSA_BITS_MAX = 4096, /* a signature of 16384 bits would take milliseconds */
    RSA_BYTES_MAX = RSA_BITS_MAX / 8,
    EXPONENT_BITS_MAX = 32, /* for the same reason; everybody has 65537 */
    FIELD_BYTES_MAX = 66,   /* P-521 */
    ED25519_KEY_BYTES = 32,
    ED25519_SIGNATURE_BYTES = 64,
};

enum kind { KIND_HMAC, KIND_RSA, KIND_PSS, KIND_ECDSA, KIND_EDDSA };

enum alg {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EDDSA
};

/* RFC 7518 section 3.1, RFC 8037 section 3.1. */
static const struct alg_info {
    const char *name;
    enum kind kind;
    const EVP_MD *(*hash)(void);
} algs[] = {
    [HS256] = {"HS256", KIND_HMAC, EVP_sha256},  [HS384] = {"HS384", KIND_HMAC, EVP_sha384},
    [HS512] = {"HS512", KIND_HMAC, EVP_sha512},  [RS256] = {"RS256", KIND_RSA, EVP_sha256},
    [RS384] = {"RS384", KIND_RSA, EVP_sha384},   [RS512] = {"RS512", KIND_RSA, EVP_sha512},
    [PS256] = {"PS256", KIND_PSS, EVP_sha256},   [PS384] = {"PS384", KIND_PSS, EVP_sha384},
    [PS512] = {"PS512", KIND_PSS, EVP_sha512},   [ES256] = {"ES256", KIND_ECDSA, EVP_sha256},
    [ES384] = {"ES384", KIND_ECDSA, EVP_sha384}, [ES512] = {"ES512", KIND_ECDSA, EVP_sha512},
    [EDDSA] = {"EdDSA", KIND_EDDSA, NULL},
};

enum { ALG_COUNT = sizeof algs / sizeof algs[0] };

static const struct curve {
    const char *crv;   /* RFC 7518 section 6.2.1.1 */
    const char *group; /* OpenSSL's word for it */
    enum alg alg;
    size_t field_bytes;
} curves[] = {
    {"P-256", "prime256v1", ES256, 32},
    {"P-384", "secp384r1", ES384, 48},
    {"P-521", "secp521r1", ES512, FIELD_BYTES_MAX},
};

enum { CURVE_COUNT = sizeof curves / sizeof curves[0] };

struct jwk {
    uint32_t algs;  /* a bit for each enum alg that it may be used with */
    EVP_PKEY *pkey; /* NULL: a secret */
    uint8_t *secret;
    size_t secret_len;
    size_t signature_bytes; /* of a public key; for ECDSA r||s */
    bool any_kid;
    bool has_kid;
    uint16_t kid_len;
    char kid[JWK_KID_MAX];
};

struct jwk_set {
    atomic_uint refs;
    size_t count;
    struct jwk keys[];
};

static uint32_t bit(enum alg alg)
{
    return 1U << alg;
}

/* ---- sets ---- */

static void key_fini(struct jwk *k)
{
    EVP_PKEY_free(k->pkey);
    OPENSSL_clear_free(k->secret, k->secret_len);
}

static struct jwk_set *set_new(size_t keys_max)
{
    struct jwk_set *set = calloc(1, sizeof *set + keys_max * sizeof set->keys[0]);
    if (set) atomic_init(&set->refs, 1);
    return set;
}

struct jwk_set *jwk_set_ref(struct jwk_set *set)
{
    if (set) atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void jwk_set_unref(struct jwk_set *set)
{
    if (!set || atomic_fetch_sub(&set->refs, 1) != 1) return;
    for (size_t i = 0; i < set->count; i++)
        key_fini(&set->keys[i]);
    free(set);
}

size_t jwk_set_count(const struct jwk_set *set)
{
    return set->count;
}

/* ---- what a public key may be used with ---- */

static const struct curve *curve_of_group(const char *group)
{
    for (size_t i = 0; i < CURVE_COUNT; i++)
        if (strcmp(curves[i].group, group) == 0) return &curves[i];
    return NULL;
}

/* OpenSSL's own check of RSA keys looks for primes, by chance: it takes up to 14 ms, and of odd
 * numbers says now this, now that. */
static bool is_odd(const EVP_PKEY *pkey, const char *name, int bits_max)
{
    BIGNUM *n = NULL;
    bool good = EVP_PKEY_get_bn_param(pkey, name, &n) == 1 && BN_is_odd(n) && !BN_is_one(n) &&
                BN_num_bits(n) <= bits_max;
    BN_free(n);
    return good;
}

static const char *use_rsa(struct jwk *k)
{
    int bits = EVP_PKEY_get_bits(k->pkey);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) return "an RSA key has 2048 to 4096 bits";
    if (!is_odd(k->pkey, OSSL_PKEY_PARAM_RSA_E, EXPONENT_BITS_MAX))
        return "the exponent of an RSA key is odd, above 1 and below 2^32";
    if (!is_odd(k->pkey, OSSL_PKEY_PARAM_RSA_N, RSA_BITS_MAX))
        return "the modulus of an RSA key is odd";
    k->algs = bit(RS256) | bit(RS384) | bit(RS512) | bit(PS256) | bit(PS384) | bit(PS512);
    k->signature_bytes = (size_t)EVP_PKEY_get_size(k->pkey);
    return NULL;
}

/* A point that is on the curve, and not at infinity. */
static bool is_valid_point(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool sound = ctx && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return sound;
}

static const char *use_ec(struct jwk *k)
{
    char group[32] = "";
    EVP_PKEY_get_group_name(k->pkey, group, sizeof group, NULL);
    const struct curve *c = curve_of_group(group);
    if (!c) return "the curve of an EC key is P-256, P-384 or P-521";
    if (!is_valid_point(k->pkey)) return "the point of an EC key is none of its curve";
    k->algs = bit(c->alg);
    k->signature_bytes = 2 * c->field_bytes;
    return NULL;
}

static const char *use_ed25519(struct jwk *k)
{
    k->algs = bit(EDDSA);
    k->signature_bytes = ED25519_SIGNATURE_BYTES;
    return NULL;
}

/* Takes pkey. Returns why it is of no use, or NULL. */
static const char *use_pkey(struct jwk *k, EVP_PKEY *pkey)
{
    const char *why = "the key is neither RSA, EC nor Ed25519";
    k->pkey = pkey;
    if (EVP_PKEY_is_a(pkey, "RSA"))
        why = use_rsa(k);
    else if (EVP_PKEY_is_a(pkey, "EC"))
        why = use_ec(k);
    else if (EVP_PKEY_is_a(pkey, "ED25519"))
        why = use_ed25519(k);
    return why;
}

/* ---- a secret ---- */

static bool looks_like_pem(struct slice s)
{
    static const char begin[] = "-----BEGIN ";
    return memmem(s.ptr, s.len, begin, sizeof begin - 1) != NULL;
}

static uint32_t secret_algs(size_t bytes)
{
    return bit(HS256) | (bytes >= 48 ? bit(HS384) : 0) | (bytes >= 64 ? bit(HS512) : 0);
}

static int refuse_keys(const char **why, const char *text)
{
    *why = text;
    return ERR_CONFIG;
}

int jwk_set_from_secret(struct slice secret, struct jwk_set **out, const char **why)
{
    *out = NULL;
    *why = NULL;
    if (secret.len < JWK_SECRET_MIN) return refuse_keys(why, "a secret has at least 32 bytes");
    if (secret.len > JWK_SECRET_MAX) return refuse_keys(why, "a secret has at most 4096 bytes");
    if (looks_like_pem(secret)) return refuse_keys(why, "this is PEM and no secret");
    struct jwk_set *set = set_new(1);
    uint8_t *copy = set ? OPENSSL_memdup(secret.ptr, secret.len) : NULL;
    if (!copy) {
        ERR_clear_error();
        free(set);
        return ERR_NOMEM;
    }
    set->count = 1;
    set->keys[0] = (struct jwk){
        .algs = secret_algs(secret.len), .secret = copy, .secret_len = secret.len, .any_kid = true};
    *out = set;
    return 0;
}

/* ---- PEM ---- */

/* One block of a PEM file, as OpenSSL gives it. */
struct block {
    char *name;
    char *header; /* of encryption: never with a public key */
    unsigned char *data;
    long len;
};

static bool block_read(BIO *bio, struct block *b)
{
    *b = (struct block){0};
    return PEM_read_bio(bio, &b->name, &b->header, &b->data, &b->len) == 1;
}

static void block_fini(struct block *b)
{
    OPENSSL_free(b->name);
    OPENSSL_free(b->header);
    OPENSSL_clear_free(b->data, (size_t)b->len); /* perhaps a private key, given by mistake */
}

static EVP_PKEY *pkey_from_block(const struct block *b)
{
    const unsigned char *at = b->data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, b->len);
    if (pkey && at == b->data + b->len) return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

static int read_pem(BIO *bio, struct jwk *k, const char **why)
{
    struct block first;
    struct block second;
    if (!block_read(bio, &first)) return refuse_keys(why, "this is no PEM");
    bool is_public = strcmp(first.name, "PUBLIC KEY") == 0;
    EVP_PKEY *pkey = is_public ? pkey_from_block(&first) : NULL;
    block_fini(&first);
    if (!is_public) return refuse_keys(why, "the file has to begin with BEGIN PUBLIC KEY");
    if (!pkey) return refuse_keys(why, "the public key in it cannot be read");
    *why = use_pkey(k, pkey);
    if (*why) return ERR_CONFIG;
    bool more = block_read(bio, &second);
    if (more) block_fini(&second);
    return more ? refuse_keys(why, "the file holds more than one key") : 0;
}

int jwk_set_from_pem(struct slice pem, struct jwk_set **out, const char **why)
{
    *out = NULL;
    *why = NULL;
    if (pem.len > JWK_PEM_MAX) return refuse_keys(why, "a PEM file has at most 16 KiB");
    struct jwk_set *set = set_new(1);
    BIO *bio = BIO_new_mem_buf(pem.len ? pem.ptr : "", (int)pem.len);
    int err = set && bio ? 0 : ERR_NOMEM;
    if (!err) {
        set->count = 1;
        set->keys[0].any_kid = true;
        err = read_pem(bio, &set->keys[0], why);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (err)
        jwk_set_unref(set);
    else
        *out = set;
    return err;
}

/* ---- JWK Sets ---- */

static struct slice member(const json_t *jwk, const char *name)
{
    return jose_text(json_object_get(jwk, name));
}

static EVP_PKEY *pkey_from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* OpenSSL's parameters have the byte order of the machine, those of a JWK begin with the highest
 * (RFC 7518 section 2). */
static bool to_native(uint8_t *bytes, size_t len)
{
    BIGNUM *n = BN_bin2bn(bytes, (int)len, NULL);
    bool done = n && BN_bn2nativepad(n, bytes, (int)len) >= 0;
    BN_free(n);
    return done;
}

/* RFC 7518 section 6.3.1. Zero bytes in front, which some libraries write, are taken. */
static EVP_PKEY *pkey_from_rsa(const json_t *jwk)
{
    uint8_t n[RSA_BYTES_MAX + 1];
    uint8_t e[8];
    size_t n_len;
    size_t e_len;
    if (!jose_decode(member(jwk, "n"), n, sizeof n, &n_len) || n_len == 0) return NULL;
    if (!jose_decode(member(jwk, "e"), e, sizeof e, &e_len) || e_len == 0) return NULL;
    if (!to_native(n, n_len) || !to_native(e, e_len)) return NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n, n_len),
                           OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, e, e_len),
                           OSSL_PARAM_construct_end()};
    return pkey_from_params("RSA", params);
}

static const struct curve *curve_of_crv(struct slice crv)
{
    for (size_t i = 0; i < CURVE_COUNT; i++)
        if (slice_is(crv, curves[i].crv)) return &curves[i];
    return NULL;
}

/* RFC 7518 section 6.2.1: both coordinates have the full length. */
static EVP_PKEY *pkey_from_ec(const json_t *jwk)
{
    const struct curve *c = curve_of_crv(member(jwk, "crv"));
    uint8_t point[1 + 2 * FIELD_BYTES_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    size_t x_len;
    size_t y_len;
    if (!c) return NULL;
    size_t field = c->field_bytes;
    if (!jose_decode(member(jwk, "x"), point + 1, field, &x_len) || x_len != field) return NULL;
    if (!jose_decode(member(jwk, "y"), point + 1 + field, field, &y_len) || y_len != field)
        return NULL;
    char group[32];
    memcpy(group, c->group, strlen(c->group) + 1);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * field),
        OSSL_PARAM_construct_end()};
    return pkey_from_params("EC", params);
}

/* RFC 8037 section 2. */
static EVP_PKEY *pkey_from_okp(const json_t *jwk)
{
    uint8_t x[ED25519_KEY_BYTES];
    size_t len;
    if (!slice_is(member(jwk, "crv"), "Ed25519")) return NULL;
    if (!jose_decode(member(jwk, "x"), x, sizeof x, &len) || len != sizeof x) return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof x);
}

static EVP_PKEY *pkey_from_jwk(const json_t *jwk)
{
    struct slice kty = member(jwk, "kty");
    if (slice_is(kty, "RSA")) return pkey_from_rsa(jwk);
    if (slice_is(kty, "EC")) return pkey_from_ec(jwk);
    if (slice_is(kty, "OKP")) return pkey_from_okp(jwk);
    return NULL;
}

static int alg_of(struct slice name)
{
    for (int i = 0; i < ALG_COUNT; i++)
        if (slice_is(name, algs[i].name)) return i;
    return -1;
}

/* RFC 7517 section 4.3. */
static bool may_verify(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use");
    const json_t *ops = json_object_get(jwk, "key_ops");
    if (use && !slice_is(jose_text(use), "sig")) return false;
    bool may = !ops;
    for (size_t i = 0; i < json_array_size(ops); i++)
        may = may || slice_is(jose_text(json_array_get(ops, i)), "verify");
    return may;
}

static bool read_kid(struct jwk *k, const json_t *kid)
{
    struct slice text = jose_text(kid);
    if (!kid) return true;
    if (!text.ptr || text.len > sizeof k->kid) return false;
    memcpy(k->kid, text.ptr, text.len);
    k->kid_len = (uint16_t)text.len;
    k->has_kid = true;
    return true;
}

static const char *restrict_algs(struct jwk *k, const json_t *alg)
{
    if (!alg) return NULL;
    int only = alg_of(jose_text(alg));
    k->algs &= only < 0 ? 0 : bit((enum alg)only);
    return k->algs ? NULL : "the \"alg\" of a key does not fit it, or is not known";
}

/* Why it is of no use, or NULL. */
static const char *read_jwk(struct jwk *k, const json_t *jwk)
{
    if (slice_is(member(jwk, "kty"), "oct")) return "secrets in a set of public keys are ignored";
    if (!may_verify(jwk)) return "a key is not meant for signatures";
    if (!read_kid(k, json_object_get(jwk, "kid")))
        return "the \"kid\" of a key is no string of at most 256 bytes";
    EVP_PKEY *pkey = pkey_from_jwk(jwk);
    if (!pkey) return "a key is of an unknown kind, or its numbers cannot be read";
    const char *why = use_pkey(k, pkey);
    return why ? why : restrict_algs(k, json_object_get(jwk, "alg"));
}

static int read_keys(const json_t *keys, struct jwk_set **out, const char **why)
{
    size_t n = json_array_size(keys);
    if (!json_is_array(keys)) return refuse_keys(why, "a JWK Set has an array \"keys\"");
    if (n > JWK_KEYS_MAX) return refuse_keys(why, "a JWK Set has at most 64 keys");
    *why = "the JWK Set is empty";
    struct jwk_set *set = set_new(n);
    if (!set) return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct jwk *k = &set->keys[set->count];
        const char *useless = read_jwk(k, json_array_get(keys, i));
        set->count += !useless;
        if (!useless) continue;
        key_fini(k);
        *k = (struct jwk){0};
        *why = useless;
    }
    if (set->count == n && n > 0) *why = NULL;
    if (set->count > 0)
        *out = set;
    else
        jwk_set_unref(set);
    return *out ? 0 : ERR_CONFIG;
}

int jwk_set_from_json(struct slice json, struct jwk_set **out, const char **why)
{
    json_t *document = NULL;
    *out = NULL;
    *why = NULL;
    if (json.len > JWK_SET_BYTES_MAX) return refuse_keys(why, "a JWK Set has at most 256 KiB");
    int err = jose_object(json, &document);
    if (err == ERR_NOMEM) return err;
    if (err)
        return refuse_keys(why, "a JWK Set is a JSON object, without members of the same name");
    err = read_keys(json_object_get(document, "keys"), out, why);
    json_decref(document);
    ERR_clear_error();
    return err;
}

/* ---- signatures ---- */

static enum jwk_result verify_hmac(const struct jwk *k, const EVP_MD *hash, const struct jws *jws)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!HMAC(hash, k->secret, (int)k->secret_len, (const uint8_t *)jws->input.ptr, jws->input.len,
              mac, &len))
        return JWK_NOMEM;
    bool good = jws->signature.len == len && CRYPTO_memcmp(mac, jws->signature.ptr, len) == 0;
    OPENSSL_cleanse(mac, sizeof mac);
    return good ? JWK_GOOD : JWK_BAD_SIGNATURE;
}

/* The DER that OpenSSL wants, of r||s; NULL if memory is short. For OPENSSL_free. */
static uint8_t *der_of(struct slice rs, size_t *len)
{
    const uint8_t *bytes = (const uint8_t *)rs.ptr;
    int half = (int)(rs.len / 2);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, half, NULL);
    BIGNUM *s = BN_bin2bn(bytes + half, half, NULL);
    uint8_t *der = NULL;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* sig's, now */
        int n = i2d_ECDSA_SIG(sig, &der);
        *len = n > 0 ? (size_t)n : 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return der;
}

static bool begin_verify(EVP_MD_CTX *ctx, const struct jwk *k, const struct alg_info *alg)
{
    EVP_PKEY_CTX *how = NULL;
    const EVP_MD *hash = alg->hash ? alg->hash() : NULL;
    if (EVP_DigestVerifyInit(ctx, &how, hash, NULL, k->pkey) != 1) return false;
    if (alg->kind != KIND_PSS) return true;
    return EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static enum jwk_result verify_public(const struct jwk *k, const struct alg_info *alg,
                                     const struct jws *jws)
{
    const uint8_t *signature = (const uint8_t *)jws->signature.ptr;
    size_t len = jws->signature.len;
    if (len != k->signature_bytes) return JWK_BAD_SIGNATURE;
    uint8_t *der = alg->kind == KIND_ECDSA ? der_of(jws->signature, &len) : NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    enum jwk_result result = JWK_NOMEM;
    if (ctx && (der || alg->kind != KIND_ECDSA) && begin_verify(ctx, k, alg)) {
        int good = EVP_DigestVerify(ctx, der ? der : signature, len,
                                    (const uint8_t *)jws->input.ptr, jws->input.len);
        result = good == 1 ? JWK_GOOD : JWK_BAD_SIGNATURE;
    }
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return result;
}

static bool answers_to(const struct jwk *k, struct slice kid)
{
    if (!kid.ptr || k->any_kid) return true;
    return k->has_kid && slice_equal(kid, (struct slice){k->kid, k->kid_len});
}

enum jwk_result jwk_set_verify(const struct jwk_set *set, const struct jws *jws)
{
    int alg = alg_of(jws->alg);
    enum jwk_result result = alg < 0 ? JWK_WRONG_ALGORITHM : JWK_UNKNOWN_KEY;
    unsigned tries = 0;
    for (size_t i = 0; i < set->count && alg >= 0 && tries < JWK_TRIES_MAX; i++) {
        const struct jwk *k = &set->keys[i];
        if (!answers_to(k, jws->kid)) continue;
        if (tries == 0) result = JWK_WRONG_ALGORITHM;
        if (!(k->algs & bit((enum alg)alg))) continue;
        tries++;
        result =
            k->pkey ? verify_public(k, &algs[alg], jws) : verify_hmac(k, algs[alg].hash(), jws);
        if (result == JWK_GOOD || result == JWK_NOMEM) break;
    }
    if (tries > 0) ERR_clear_error();
    return result;
}
