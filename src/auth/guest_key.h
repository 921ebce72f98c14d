/* Keys by which guests are the same again (protocol.md section 10): after a reload, after a
 * restart, on any node that has the same secret. Who a guest is lies in its key, signed; the server
 * remembers none of them.
 *
 *     key  = base64url(version, 1 byte | id, 12 random bytes | issued, 4 bytes | mac, 16 bytes)
 *     mac  = the first 16 bytes of HMAC-SHA-256 over what stands before it (RFC 2104, section 5)
 *     user = "guest:" base64url(id)
 *
 * 33 bytes are 44 characters without a spare bit, so there is one spelling of each key, and all of
 * them are fit for the name of a subprotocol. issued: seconds since 1970, until 2106, big-endian.
 *
 * No I/O, no clock; any thread. */
#ifndef AUTH_GUEST_KEY_H
#define AUTH_GUEST_KEY_H

#include <stdint.h>

#include "base/buf.h"

enum {
    GUEST_KEY_LEN = 44,
    GUEST_KEY_USER_LEN = 6 + 16,
    GUEST_KEY_SECRET_MIN = 32, /* bytes */
    GUEST_KEY_SIGNING_BYTES = 32,
};

/* What keys are signed with: made of the server's secret, and of no use for anything else. */
struct guest_key_signer {
    uint8_t key[GUEST_KEY_SIGNING_BYTES];
};

/* Who has a key. */
struct guest_key_holder {
    char user[GUEST_KEY_USER_LEN];
    uint64_t issued_s; /* since 1970 */
};

/* Nothing is kept of the secret, of GUEST_KEY_SECRET_MIN bytes or more. ERR_NOMEM. */
int guest_key_signer_init(struct guest_key_signer *s, struct slice secret);

/* Overwrites it. */
void guest_key_signer_fini(struct guest_key_signer *s);

/* The key of a new guest. ERR_NOMEM. */
int guest_key_make(const struct guest_key_signer *s, uint64_t now_s, char key[static GUEST_KEY_LEN],
                   struct guest_key_holder *out);

/* Who the key, of any bytes, is of. ERR_GUEST_KEY: it is none that this signer has signed;
 * ERR_NOMEM. How long it takes does not tell how much of the mac was right. */
int guest_key_verify(const struct guest_key_signer *s, struct slice key,
                     struct guest_key_holder *out);

#endif
