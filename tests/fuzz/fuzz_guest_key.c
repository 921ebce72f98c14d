/* Fuzzes guest keys. The first byte chooses what the rest is: a whole key, or what is signed here
 * before it is verified, as no search finds a mac. Properties: no read past the key; the same
 * answer again; a key is only valid if its mac is the one computed here, and then it is the only
 * spelling of its bytes, and of its version. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "auth/guest_key.h"
#include "auth/jose.h"
#include "base/check.h"
#include "base/err.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum { RAW_BYTES = 33, SIGNED_BYTES = 17 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mac_of(const uint8_t *bytes, uint8_t out[EVP_MAX_MD_SIZE])
{
    static const char purpose[] = "parlor guest keys";
    uint8_t key[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    CHECK(HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, (const uint8_t *)purpose,
               sizeof purpose - 1, key, &len));
    CHECK(HMAC(EVP_sha256(), key, 32, bytes, SIGNED_BYTES, out, &len));
}

/* From a block that ends where the key does. */
static int verify(struct slice key, struct guest_key_holder *out)
{
    static struct guest_key_signer s;
    static bool ready;
    if (!ready) CHECK(guest_key_signer_init(&s, SLICE_LIT(SECRET)) == 0);
    ready = true;
    char *exact = malloc(key.len ? key.len : 1);
    CHECK(exact);
    if (key.len) memcpy(exact, key.ptr, key.len);
    int err = guest_key_verify(&s, (struct slice){exact, key.len}, out);
    CHECK(err == 0 || err == ERR_GUEST_KEY);
    CHECK(ERR_peek_error() == 0);
    free(exact);
    return err;
}

static int verify_twice(struct slice key)
{
    struct guest_key_holder one = {.issued_s = 1};
    struct guest_key_holder two = {.issued_s = 2};
    int err = verify(key, &one);
    CHECK(verify(key, &two) == err);
    if (!err)
        CHECK(memcmp(one.user, two.user, sizeof one.user) == 0 && one.issued_s == two.issued_s);
    return err;
}

static void whole(struct slice key)
{
    uint8_t raw[RAW_BYTES];
    uint8_t mac[EVP_MAX_MD_SIZE];
    char again[GUEST_KEY_LEN];
    size_t len;
    if (verify_twice(key) != 0) return;
    CHECK(key.len == GUEST_KEY_LEN && jose_decode(key, raw, sizeof raw, &len));
    CHECK(len == RAW_BYTES && raw[0] == 1);
    mac_of(raw, mac);
    CHECK(memcmp(mac, raw + SIGNED_BYTES, RAW_BYTES - SIGNED_BYTES) == 0);
    jose_encode(raw, sizeof raw, again);
    CHECK(memcmp(again, key.ptr, sizeof again) == 0);
}

/* Whatever is signed with the right version is a key. */
static void signed_bytes(const uint8_t bytes[static SIGNED_BYTES])
{
    uint8_t raw[RAW_BYTES];
    uint8_t mac[EVP_MAX_MD_SIZE];
    char key[GUEST_KEY_LEN];
    memcpy(raw, bytes, SIGNED_BYTES);
    mac_of(raw, mac);
    memcpy(raw + SIGNED_BYTES, mac, RAW_BYTES - SIGNED_BYTES);
    jose_encode(raw, sizeof raw, key);
    int err = verify_twice((struct slice){key, sizeof key});
    CHECK((err == 0) == (raw[0] == 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    if (data[0] & 1 && size > SIGNED_BYTES)
        signed_bytes(data + 1);
    else
        whole((struct slice){(const char *)data + 1, size - 1});
    return 0;
}
