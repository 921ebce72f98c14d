/* What is believed of somebody who is signed in: what a token says (jwt.h), or the site (site.h).
 * Both are JSON, and both are read here, so that a user, a text or the rights in rooms are no more
 * in the one than in the other.
 *
 * Pure: no I/O, no clock; any thread. */
#ifndef AUTH_CLAIMS_H
#define AUTH_CLAIMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/pattern.h"
#include "base/buf.h"
#include "proto/name.h"

enum {
    CLAIMS_USER_MAX = 128, /* bytes */
    CLAIMS_TEXT_MAX = 256, /* bytes of the other texts */
    CLAIMS_ROOMS_MAX = 100,
};

/* Texts are valid UTF-8 without control characters; those that are missing are empty. */
struct claims {
    struct slice user;   /* 1 to CLAIMS_USER_MAX bytes; does not begin with "guest:" */
    struct slice name;   /* at most CLAIMS_TEXT_MAX bytes: for claims_name */
    struct slice jti;    /* of the token */
    struct slice sid;    /* of the session in which it was given */
    uint64_t expires_ms; /* Unix time; UINT64_MAX: never by itself */
    uint64_t issued_ms;  /* likewise, when it was said; 0: unknown */
    bool has_rooms;      /* false: they leave it to the server; true with none: no room */
    size_t room_count;   /* at most CLAIMS_ROOMS_MAX */
    const struct room_right *rooms; /* patterns differ; their order says nothing (pattern.h) */
};

/* Reading an object: what is found is borrowed from it. */

/* The user, under this member, which has to be there. False: it is not fit for one. */
bool claims_read_user(const json_t *object, const char *member, struct slice *out);

/* A text of at most CLAIMS_TEXT_MAX bytes; empty: the object has no such member. */
bool claims_read_text(const json_t *object, const char *member, struct slice *out);

/* {"lobby": "read", "team-*": "write"}; NULL: they are not stated. into: as long as c is used. */
bool claims_read_rooms(json_t *rooms, struct room_right into[static CLAIMS_ROOMS_MAX],
                       struct claims *c);

/* Claims of their own, with texts and rooms, for claims_free. NULL if memory is short. */
struct claims *claims_copy(const struct claims *c);

/* Memory that claims_copy takes for them. */
size_t claims_bytes(const struct claims *c);

/* NULL is nothing. */
void claims_free(struct claims *c);

/* Whether the user is one of a guest's key (guest_key.h): nobody signs for such. */
bool claims_is_guest(struct slice user);

/* The name that is shown, as name_user_clean makes it: that of the claims, or if there is none, or
 * nobody may have it, the user. ERR_BAD_USERNAME: that is not fit for a name either. */
int claims_name(const struct claims *c, char cleaned[static NAME_USER_MAX], struct slice *name);

#endif
