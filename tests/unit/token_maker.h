/* Makes tokens that no library would: any header and payload, signed. What it returns is the
 * caller's, for free(); it never returns NULL. */
#ifndef TESTS_TOKEN_MAKER_H
#define TESTS_TOKEN_MAKER_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct token_signer {
    const char *hash; /* "SHA256"; NULL: the key's own (Ed25519) */
    EVP_PKEY *pkey;   /* NULL: HMAC with secret */
    struct slice secret;
    int pss_salt; /* RSA: 0: PKCS #1; else PSS with this many bytes, or an RSA_PSS_SALTLEN_ */
    bool der;     /* EC: the signature stays DER */
};

char *token_base64url(const void *bytes, size_t len);

/* Text with a NUL behind it: header.payload.signature, of two texts that are encoded first. */
char *token_make(const struct token_signer *signer, const char *header, struct slice payload);

/* The same of an input that is encoded already. */
char *token_sign(const struct token_signer *signer, const char *input);

/* A new key: "RSA" (2048 bits), "P-256", "P-384", "P-521", "ED25519". For EVP_PKEY_free. */
EVP_PKEY *token_key(const char *kind);

/* Its public half as PEM, or its private one. */
char *token_pem(EVP_PKEY *pkey, bool private);

#endif
