/* Who somebody is, as far as the server knows: immutable, and shared by whoever is the same. What
 * is said belongs to a user, a stable id: that of who is signed in, whose name is given with it, or
 * that of a guest's key; a guest goes by names of its own choice (protocol.md section 10).
 *
 * Reference-counted, any thread. The server's own are static and outlive everything. */
#ifndef AUTH_IDENTITY_H
#define AUTH_IDENTITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum identity_source {
    IDENTITY_GUEST,
    IDENTITY_TOKEN, /* signed in, by a token that was verified */
    IDENTITY_API,   /* whoever has the key of the HTTP API */
};

struct jwt_claims;

struct identity {
    atomic_uint refs; /* 0: static */
    uint8_t source;   /* enum identity_source */
    uint8_t given_len;
    uint8_t spoken_len;
    uint8_t user_len;          /* of a guest; else 0 */
    const char *text;          /* given, spoken, user */
    struct jwt_claims *claims; /* of the token; owned; else NULL */
};

/* A guest of whom nothing is known, not even a name; and the API. */
extern struct identity identity_nobody, identity_api;

/* A guest. user: of its key, or empty: it has none, and nothing is its own; given: the name for
 * what it says without one, or empty; spoken: the one it last spoke under, or empty; each at most
 * UINT8_MAX bytes. Returns a reference; NULL if memory is short. */
struct identity *identity_new_guest(struct slice user, struct slice given, struct slice spoken);

/* Who is signed in, under a name of 1 to UINT8_MAX bytes. Returns a reference, which owns the
 * claims; NULL if memory is short, and they are still the caller's. */
struct identity *identity_new_token(struct jwt_claims *claims, struct slice name);

struct identity *identity_ref(struct identity *i);
void identity_unref(struct identity *i);

bool identity_is_guest(const struct identity *i);

/* The stable id; empty, with ptr NULL: of a guest without a key. Borrowed, as all below. */
struct slice identity_user(const struct identity *i);

/* What it came in with: how that is called, where it says so, and when it was issued (Unix time in
 * ms; 0: it does not say). Of a guest nothing. */
struct issuance {
    struct slice session;
    struct slice token;
    uint64_t issued_ms;
};
struct issuance identity_issuance(const struct identity *i);

/* When it ends (Unix time in ms); UINT64_MAX: never. */
uint64_t identity_expires_ms(const struct identity *i);

/* The name it goes by: spoken, or else given; empty: none. */
struct slice identity_name(const struct identity *i);
struct slice identity_given(const struct identity *i);
struct slice identity_spoken(const struct identity *i);

#endif
