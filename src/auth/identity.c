/* See identity.h. */
#include "auth/identity.h"

#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/pattern.h"
#include "auth/site_question.h"
#include "base/check.h"
#include "base/err.h"

struct identity identity_nobody = {
    .source = IDENTITY_GUEST, .text = "", .ask_again_ms = UINT64_MAX};
struct identity identity_api = {.source = IDENTITY_API,
                                .given_len = sizeof "system" - 1,
                                .text = "system",
                                .ask_again_ms = UINT64_MAX};

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
                           .text = text,
                           .ask_again_ms = UINT64_MAX};
    if (given.len) memcpy(text, given.ptr, given.len);
    if (spoken.len) memcpy(text + given.len, spoken.ptr, spoken.len);
    if (user.len) memcpy(text + given.len + spoken.len, user.ptr, user.len);
    return i;
}

int identity_new_token(struct claims *claims, struct identity **out)
{
    char cleaned[NAME_USER_MAX];
    const struct slice none = {NULL, 0};
    struct slice name;
    *out = NULL;
    int err = claims_name(claims, cleaned, &name);
    if (err) return err;
    struct identity *i = identity_new_guest(none, name, none);
    if (!i) return ERR_NOMEM;
    i->source = IDENTITY_TOKEN;
    i->claims = claims;
    *out = i;
    return 0;
}

int identity_new_site(struct claims *claims, struct site_question *question, uint64_t ask_again_ms,
                      struct identity **out)
{
    int err = identity_new_token(claims, out);
    if (err) return err;
    (*out)->source = IDENTITY_SITE;
    (*out)->question = site_question_ref(question);
    (*out)->ask_again_ms = ask_again_ms;
    return 0;
}

static struct identity *copy_site(const struct identity *i, const struct claims *claims,
                                  uint64_t ask_again_ms)
{
    struct identity *other = NULL;
    struct claims *own = claims_copy(claims);
    if (own && identity_new_site(own, i->question, ask_again_ms, &other) != 0) claims_free(own);
    return other;
}

struct identity *identity_again(const struct identity *i, uint64_t ask_again_ms)
{
    return copy_site(i, i->claims, ask_again_ms);
}

static bool states(const struct claims *c, struct slice room)
{
    for (size_t i = 0; i < c->room_count; i++)
        if (slice_equal(c->rooms[i].pattern, room)) return true;
    return false;
}

struct identity *identity_merge_rooms(const struct identity *base, const struct identity *newer,
                                      const struct identity *older,
                                      bool (*keeps)(void *ctx, struct slice room), void *ctx)
{
    struct room_right rooms[CLAIMS_ROOMS_MAX];
    struct claims merged = *base->claims;
    const struct claims *n = newer->claims;
    const struct claims *o = older->claims;
    size_t count = n->room_count;
    CHECK(n->has_rooms == o->has_rooms && n->has_rooms == merged.has_rooms);
    if (count) memcpy(rooms, n->rooms, count * sizeof rooms[0]);
    for (size_t i = 0; i < o->room_count && count < CLAIMS_ROOMS_MAX; i++) {
        struct slice room = o->rooms[i].pattern;
        if (!states(n, room) && (!keeps || keeps(ctx, room))) rooms[count++] = o->rooms[i];
    }
    merged.rooms = rooms;
    merged.room_count = count;
    return copy_site(base, &merged, base->ask_again_ms);
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
    claims_free(i->claims);
    site_question_unref(i->question);
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
    const struct claims *claims = i->claims;
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

bool identity_states_rooms(const struct identity *i)
{
    return i->claims && i->claims->has_rooms;
}

size_t identity_bytes(const struct identity *i)
{
    size_t n = sizeof *i + i->given_len + i->spoken_len + i->user_len;
    if (i->claims) n += claims_bytes(i->claims);
    if (i->question) n += sizeof *i->question + i->question->len;
    return n;
}
