/* Keys of the HTTP API. What of one is remembered is its SHA-256: keys of any length are then
 * compared in the same time, and none lies about in memory. Any thread. */
#ifndef AUTH_API_KEY_H
#define AUTH_API_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { API_KEY_DIGEST_BYTES = 32 };

/* 0, or ERR_NOMEM: OpenSSL allocates for it. */
int api_key_digest(struct slice key, uint8_t out[static API_KEY_DIGEST_BYTES]);

/* In a time that does not tell where they differ. */
bool api_key_same(const uint8_t a[static API_KEY_DIGEST_BYTES],
                  const uint8_t b[static API_KEY_DIGEST_BYTES]);

#endif
