/* Who somebody is, as far as the server knows: immutable, and shared by whoever is the same. What
 * is said belongs to a user, a stable id: that of who is signed in, whose name its token or the
 * site gives, or that of a guest's key; a guest goes by names of its own choice (protocol.md
 * section 10).
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
    IDENTITY_SITE,  /* signed in at the site, which said so */
    IDENTITY_API,   /* whoever has the key of the HTTP API */
};

struct claims;
struct site_question;

struct identity {
    atomic_uint refs; /* 0: static */
    uint8_t source;   /* enum identity_source */
    uint8_t given_len;
    uint8_t spoken_len;
    uint8_t user_len;               /* of a guest; else 0 */
    const char *text;               /* given, spoken, user */
    struct claims *claims;          /* of who is signed in; owned; else NULL */
    struct site_question *question; /* that the site was asked; a reference; else NULL */
    uint64_t ask_again_ms;          /* Unix time at which it is to be asked again, or UINT64_MAX */
};

/* A guest of whom nothing is known, not even a name; and the API. */
extern struct identity identity_nobody, identity_api;

/* A guest. user: of its key, or empty: it has none, and nothing is its own; given: the name for
 * what it says without one, or empty; spoken: the one it last spoke under, or empty; each at most
 * UINT8_MAX bytes. Returns a reference; NULL if memory is short. */
struct identity *identity_new_guest(struct slice user, struct slice given, struct slice spoken);

/* Who is signed in, under the name of its claims. 0: *out is a reference, which owns the claims.
 * ERR_BAD_USERNAME: they have none that can be shown; ERR_NOMEM. On errors they are still the
 * caller's, and *out is NULL. */
int identity_new_token(struct claims *claims, struct identity **out);

/* The same of whom the site names in answer to this question; a reference on it is taken.
 * ask_again_ms: see above. */
int identity_new_site(struct claims *claims, struct site_question *question, uint64_t ask_again_ms,
                      struct identity **out);

/* The same one, to be asked about again at this time. Returns a reference; NULL if memory is short.
 */
struct identity *identity_again(const struct identity *i, uint64_t ask_again_ms);

/* One like base, whose rooms (claims.h) are those of newer, and of older those that newer does not
 * state and keeps, if it is not NULL, is true for. All three are the site's, and state rooms, or
 * none does. Returns a reference; NULL if memory is short. */
struct identity *identity_merge_rooms(const struct identity *base, const struct identity *newer,
                                      const struct identity *older,
                                      bool (*keeps)(void *ctx, struct slice room), void *ctx);

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

/* Whether it is said what it may do in which rooms; else the server says. */
bool identity_states_rooms(const struct identity *i);

/* Memory that it takes, with all that it has. */
size_t identity_bytes(const struct identity *i);

#endif
