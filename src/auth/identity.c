/* See identity.h. */
#include "auth/identity.h"

#include <stdlib.h>
#include <string.h>

#include "auth/jwt.h"
#include "base/check.h"

struct identity identity_nobody = {.source = IDENTITY_GUEST, .text = ""};
struct identity identity_api = {
    .source = IDENTITY_API, .given_len = sizeof "system" - 1, .text = "system"};

struct identity *identity_new_guest(struct slice user, struct slice given, struct slice spoken)
{
    CHECK(user.len <= UINT8_MAX && given.len <= UINT8_MAX && spoken.len <= UINT8_MAX);
    struct identity *i = malloc(sizeof *i + given.len + spoken.len + user.len);
    if (!i) return NULL;
    char *text = (char *)(i + 1);
    *i = (struct identity){.refs = 1,
                           .given_len = (uint8_t)given.len,
                           .spoken_len = (uint8_t)spoken.len,
                           .user_len = (uint8_t)user.len,
                           .text = text};
    if (given.len) memcpy(text, given.ptr, given.len);
    if (spoken.len) memcpy(text + given.len, spoken.ptr, spoken.len);
    if (user.len) memcpy(text + given.len + spoken.len, user.ptr, user.len);
    return i;
}

struct identity *identity_new_token(struct jwt_claims *claims, struct slice name)
{
    const struct slice none = {NULL, 0};
    CHECK(claims && name.len > 0);
    struct identity *i = identity_new_guest(none, name, none);
    if (!i) return NULL;
    i->source = IDENTITY_TOKEN;
    i->claims = claims;
    return i;
}

struct identity *identity_ref(struct identity *i)
{
    if (atomic_load_explicit(&i->refs, memory_order_relaxed) > 0) atomic_fetch_add(&i->refs, 1);
    return i;
}

void identity_unref(struct identity *i)
{
    if (atomic_load_explicit(&i->refs, memory_order_relaxed) == 0) return;
    if (atomic_fetch_sub(&i->refs, 1) > 1) return;
    jwt_claims_free(i->claims);
    free(i);
}

bool identity_is_guest(const struct identity *i)
{
    return i->source == IDENTITY_GUEST;
}

struct slice identity_user(const struct identity *i)
{
    if (i->claims) return i->claims->user;
    if (i->user_len == 0) return (struct slice){NULL, 0};
    return (struct slice){i->text + i->given_len + i->spoken_len, i->user_len};
}

struct issuance identity_issuance(const struct identity *i)
{
    const struct jwt_claims *claims = i->claims;
    if (!claims) return (struct issuance){.issued_ms = 0};
    return (struct issuance){claims->sid, claims->jti, claims->issued_ms};
}

uint64_t identity_expires_ms(const struct identity *i)
{
    return i->claims ? i->claims->expires_ms : UINT64_MAX;
}

struct slice identity_given(const struct identity *i)
{
    return (struct slice){i->text, i->given_len};
}

struct slice identity_spoken(const struct identity *i)
{
    return (struct slice){i->text + i->given_len, i->spoken_len};
}

struct slice identity_name(const struct identity *i)
{
    struct slice spoken = identity_spoken(i);
    return spoken.len ? spoken : identity_given(i);
}
