/* See api_key.h. */
#include "auth/api_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/err.h"

int api_key_digest(struct slice key, uint8_t out[static API_KEY_DIGEST_BYTES])
{
    return EVP_Digest(key.ptr, key.len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : ERR_NOMEM;
}

bool api_key_same(const uint8_t a[static API_KEY_DIGEST_BYTES],
                  const uint8_t b[static API_KEY_DIGEST_BYTES])
{
    return CRYPTO_memcmp(a, b, API_KEY_DIGEST_BYTES) == 0;
}
