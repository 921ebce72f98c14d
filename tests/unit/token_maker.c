/* See token_maker.h. */
#include "token_maker.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { SIGNATURE_MAX = 2048 };

char *token_base64url(const void *bytes, size_t len)
{
    char *text = malloc(4 * (len / 3 + 1) + 1);
    CHECK(text);
    int n = EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
    for (int i = 0; i < n; i++) {
        if (text[i] == '+') text[i] = '-';
        if (text[i] == '/') text[i] = '_';
        if (text[i] == '=') text[i] = '\0';
    }
    return text;
}

/* DER to r||s. */
static size_t to_raw(EVP_PKEY *pkey, unsigned char *signature, size_t len)
{
    const unsigned char *at = signature;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    int half = (EVP_PKEY_get_bits(pkey) + 7) / 8;
    CHECK(sig);
    CHECK(BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, half) == half);
    CHECK(BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + half, half) == half);
    ECDSA_SIG_free(sig);
    return 2 * (size_t)half;
}

static size_t sign_public(const struct token_signer *s, const char *input, unsigned char *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how;
    size_t len = SIGNATURE_MAX;
    CHECK(ctx && EVP_DigestSignInit_ex(ctx, &how, s->hash, NULL, NULL, s->pkey, NULL) == 1);
    if (s->pss_salt) {
        CHECK(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1);
        CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(how, s->pss_salt) == 1);
    }
    CHECK(EVP_DigestSign(ctx, out, &len, (const unsigned char *)input, strlen(input)) == 1);
    EVP_MD_CTX_free(ctx);
    bool raw = EVP_PKEY_is_a(s->pkey, "EC") && !s->der;
    return raw ? to_raw(s->pkey, out, len) : len;
}

static size_t sign_hmac(const struct token_signer *s, const char *input, unsigned char *out)
{
    unsigned len = 0;
    CHECK(HMAC(EVP_get_digestbyname(s->hash), s->secret.ptr, (int)s->secret.len,
               (const unsigned char *)input, strlen(input), out, &len));
    return len;
}

static char *join(const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 2;
    char *out = malloc(size);
    CHECK(out);
    snprintf(out, size, "%s.%s", a, b);
    return out;
}

char *token_sign(const struct token_signer *s, const char *input)
{
    unsigned char signature[SIGNATURE_MAX];
    size_t len = s->pkey ? sign_public(s, input, signature) : sign_hmac(s, input, signature);
    char *text = token_base64url(signature, len);
    char *token = join(input, text);
    free(text);
    return token;
}

char *token_make(const struct token_signer *s, const char *header, struct slice payload)
{
    char *h = token_base64url(header, strlen(header));
    char *p = token_base64url(payload.ptr, payload.len);
    char *input = join(h, p);
    char *token = token_sign(s, input);
    free(h);
    free(p);
    free(input);
    return token;
}

EVP_PKEY *token_key(const char *kind)
{
    EVP_PKEY *pkey;
    if (strcmp(kind, "RSA") == 0)
        pkey = EVP_RSA_gen(2048);
    else if (strcmp(kind, "ED25519") == 0)
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, kind);
    else
        pkey = EVP_EC_gen(kind);
    CHECK(pkey);
    return pkey;
}

char *token_pem(EVP_PKEY *pkey, bool private)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    CHECK(bio && (private ? PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)
                          : PEM_write_bio_PUBKEY(bio, pkey)) == 1);
    long len = BIO_get_mem_data(bio, &data);
    char *text = calloc(1, (size_t)len + 1);
    CHECK(text);
    memcpy(text, data, (size_t)len);
    BIO_free(bio);
    return text;
}
