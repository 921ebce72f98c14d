/* See site_answer.h. */
#include "auth/site_answer.h"

#include "auth/claims.h"
#include "auth/jose.h"
#include "auth/pattern.h"
#include "base/err.h"

static const double SECONDS_MAX = 1e12; /* beyond all clocks; as ms it is below 2^53 */

/* Static text, NULL: they are good. */
static const char *read_texts(const json_t *answer, struct claims *c)
{
    if (!claims_read_user(answer, "user", &c->user))
        return "\"user\" is missing, or not fit for a user";
    if (!claims_read_text(answer, "username", &c->name))
        return "\"username\" is not fit for a name";
    if (!claims_read_text(answer, "session", &c->sid)) return "\"session\" is not fit for an id";
    return NULL;
}

static const char *read_expires(const json_t *answer, uint64_t now_ms, struct claims *c)
{
    const json_t *value = json_object_get(answer, "expires");
    double s = json_number_value(value);
    c->expires_ms = UINT64_MAX;
    if (!value) return NULL;
    if (!json_is_number(value) || s < 0 || s > SECONDS_MAX)
        return "\"expires\" is no time in seconds since 1970";
    c->expires_ms = (uint64_t)(s * 1000);
    return c->expires_ms > now_ms ? NULL : "\"expires\" is in the past";
}

static void keep_room(struct slice room, struct room_right *only, struct claims *c)
{
    const struct room_right *best = pattern_best(c->rooms, c->room_count, room);
    *only = (struct room_right){room, best ? best->right : RIGHT_NONE};
    c->rooms = only;
    c->room_count = 1;
}

static int read_answer(const json_t *answer, struct slice room, uint64_t now_ms,
                       struct claims **out, const char **why)
{
    struct claims c = {0};
    struct room_right into[CLAIMS_ROOMS_MAX];
    struct room_right only;
    *why = read_texts(answer, &c);
    if (!*why) *why = read_expires(answer, now_ms, &c);
    if (!*why && !claims_read_rooms(json_object_get(answer, "rights"), into, &c))
        *why = "\"rights\" is no object of rooms and their rights";
    if (*why) return ERR_BAD_JSON;
    if (c.has_rooms && room.len) keep_room(room, &only, &c);
    *out = claims_copy(&c);
    return *out ? 0 : ERR_NOMEM;
}

int site_answer_read(struct slice json, struct slice room, uint64_t now_ms, struct claims **out,
                     const char **why)
{
    json_t *answer;
    *out = NULL;
    *why = "it is no JSON object";
    int err = jose_object(json, &answer);
    if (err) return err;
    err = read_answer(answer, room, now_ms, out, why);
    json_decref(answer);
    return err;
}
