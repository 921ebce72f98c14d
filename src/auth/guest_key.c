/* See guest_key.h. */
#include "auth/guest_key.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#include "auth/jose.h"
#include "base/check.h"
#include "base/err.h"

#define USER_PREFIX "guest:"
#define PURPOSE "parlor guest keys" /* the secret may have other uses elsewhere */

enum { VERSION = 1, ID_BYTES = 12, ISSUED_BYTES = 4, MAC_BYTES = 16 };

/* As it is before it is written as text. */
struct raw {
    uint8_t version;
    uint8_t id[ID_BYTES];
    uint8_t issued[ISSUED_BYTES];
    uint8_t mac[MAC_BYTES];
};

static_assert(sizeof(struct raw) * 4 == GUEST_KEY_LEN * 3, "it has no spare bit");
static_assert(sizeof USER_PREFIX - 1 + ID_BYTES * 4 / 3 == GUEST_KEY_USER_LEN, "nor has the id");

static int hmac(const void *key, size_t key_len, struct slice text,
                uint8_t out[static EVP_MAX_MD_SIZE])
{
    unsigned len = 0;
    if (HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)text.ptr, text.len, out, &len))
        return 0;
    ERR_clear_error();
    return ERR_NOMEM;
}

int guest_key_signer_init(struct guest_key_signer *s, struct slice secret)
{
    uint8_t key[EVP_MAX_MD_SIZE];
    CHECK(secret.len >= GUEST_KEY_SECRET_MIN);
    int err = hmac(secret.ptr, secret.len, SLICE_LIT(PURPOSE), key);
    if (!err) memcpy(s->key, key, sizeof s->key);
    OPENSSL_cleanse(key, sizeof key);
    return err;
}

void guest_key_signer_fini(struct guest_key_signer *s)
{
    OPENSSL_cleanse(s, sizeof *s);
}

static int sign(const struct guest_key_signer *s, const struct raw *raw,
                uint8_t out[static EVP_MAX_MD_SIZE])
{
    const struct slice text = {(const char *)raw, offsetof(struct raw, mac)};
    return hmac(s->key, sizeof s->key, text, out);
}

static void read_holder(const struct raw *raw, struct guest_key_holder *out)
{
    memcpy(out->user, USER_PREFIX, sizeof USER_PREFIX - 1);
    jose_encode(raw->id, ID_BYTES, out->user + sizeof USER_PREFIX - 1);
    out->issued_s = 0;
    for (int i = 0; i < ISSUED_BYTES; i++)
        out->issued_s = out->issued_s << 8 | raw->issued[i];
}

int guest_key_make(const struct guest_key_signer *s, uint64_t now_s, char key[static GUEST_KEY_LEN],
                   struct guest_key_holder *out)
{
    struct raw raw = {.version = VERSION};
    uint8_t mac[EVP_MAX_MD_SIZE];
    for (int i = ISSUED_BYTES - 1; i >= 0; i--, now_s >>= 8)
        raw.issued[i] = (uint8_t)now_s;
    if (RAND_bytes(raw.id, ID_BYTES) != 1) {
        ERR_clear_error();
        return ERR_NOMEM;
    }
    int err = sign(s, &raw, mac);
    if (err) return err;
    memcpy(raw.mac, mac, MAC_BYTES);
    jose_encode(&raw, sizeof raw, key);
    read_holder(&raw, out);
    OPENSSL_cleanse(&raw, sizeof raw);
    return 0;
}

int guest_key_verify(const struct guest_key_signer *s, struct slice key,
                     struct guest_key_holder *out)
{
    struct raw raw;
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t len;
    if (key.len != GUEST_KEY_LEN || !jose_decode(key, (uint8_t *)&raw, sizeof raw, &len))
        return ERR_GUEST_KEY;
    if (raw.version != VERSION) return ERR_GUEST_KEY;
    int err = sign(s, &raw, mac);
    if (!err && CRYPTO_memcmp(mac, raw.mac, MAC_BYTES) != 0) err = ERR_GUEST_KEY;
    if (!err) read_holder(&raw, out);
    OPENSSL_cleanse(mac, sizeof mac);
    OPENSSL_cleanse(&raw, sizeof raw);
    return err;
}
