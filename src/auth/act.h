/* Acts: what is decided about people and rooms while the server runs, and holds from then on
 * (protocol sections 10 and 11). Each is one JSON object, as it is asked for over the API, kept in
 * the control log, and shown to whoever looks back:
 *
 *     {"act": "revoke", "user": "ann"}        what Ann was signed in with up to now; "session" or
 *                                             "token" (its jti) in place of "user": only that
 *     {"act": "grant", "room": "lobby", "user": "ann", "right": "moderate"}   null: no more
 *     {"act": "set", "room": "lobby", "access_guests": "none"}   null: as configured
 *
 * "reason" may stand beside each, and is for people. Pure; any thread. */
#ifndef AUTH_ACT_H
#define AUTH_ACT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "auth/right.h"
#include "auth/room_rules.h"
#include "base/buf.h"

enum act_kind {
    ACT_REVOKE_USER,
    ACT_REVOKE_SESSION,
    ACT_REVOKE_TOKEN,
    ACT_GRANT,
    ACT_SET,
    ACT_KIND_COUNT
};

enum {
    ACT_BYTES_MAX = 4096, /* of the JSON */
    ACT_SUBJECT_MAX = 256,
    ACT_REASON_MAX = 500,
};

/* A right, or none that is stated. */
struct act_right {
    bool given;  /* "set": there is something to be changed */
    bool stated; /* it was not null */
    enum right right;
};

struct act {
    enum act_kind kind;
    struct slice room;      /* of a grant and of set */
    struct slice subject;   /* of the others: the user, session or token; of a grant: the user */
    struct slice reason;    /* empty: none */
    struct act_right right; /* of a grant */
    struct act_right access[ROOM_SETTING_COUNT];
    json_t *json; /* what the texts lie in */
};

/* Reads one of any bytes. 0: *out is for act_fini, and holds nothing of the text. ERR_BAD_JSON, or
 * ERR_BAD_FIELD: also what it does not know, since a word that is not understood must not count as
 * if it were not there. *why is static text then, which says what is wrong. ERR_NOMEM. */
int act_read(struct slice text, struct act *out, const char **why);

void act_fini(struct act *a);

#endif
