/* See claims.h. */
#include "auth/claims.h"

#include <stdlib.h>
#include <string.h>

#include "auth/jose.h"

/* ---- reading ---- */

static bool read_claim(const json_t *object, const char *member, size_t max, struct slice *out)
{
    const json_t *value = json_object_get(object, member);
    *out = jose_text(value);
    return !value || (out->ptr && out->len <= max && !name_has_control(*out));
}

bool claims_is_guest(struct slice user)
{
    static const char guest[] = "guest:";
    const size_t n = sizeof guest - 1;
    return user.len >= n && memcmp(user.ptr, guest, n) == 0;
}

bool claims_read_user(const json_t *object, const char *member, struct slice *out)
{
    if (!read_claim(object, member, CLAIMS_USER_MAX, out) || out->len == 0) return false;
    return !claims_is_guest(*out);
}

bool claims_read_text(const json_t *object, const char *member, struct slice *out)
{
    return read_claim(object, member, CLAIMS_TEXT_MAX, out);
}

bool claims_read_rooms(json_t *rooms, struct room_right into[static CLAIMS_ROOMS_MAX],
                       struct claims *c)
{
    c->has_rooms = rooms != NULL;
    c->rooms = into;
    c->room_count = 0;
    if (!rooms) return true;
    if (!json_is_object(rooms) || json_object_size(rooms) > CLAIMS_ROOMS_MAX) return false;
    for (void *at = json_object_iter(rooms); at; at = json_object_iter_next(rooms, at)) {
        struct room_right *room = &into[c->room_count++];
        const char *pattern = json_object_iter_key(at);
        room->pattern = (struct slice){pattern, strlen(pattern)};
        if (name_room_check(room->pattern)) return false;
        if (!right_find(jose_text(json_object_iter_value(at)), &room->right)) return false;
    }
    return true;
}

/* ---- claims that outlive what they were read from ---- */

static size_t text_bytes(const struct claims *c)
{
    size_t n = c->user.len + c->name.len + c->jti.len + c->sid.len;
    for (size_t i = 0; i < c->room_count; i++)
        n += c->rooms[i].pattern.len;
    return n;
}

size_t claims_bytes(const struct claims *c)
{
    return sizeof *c + c->room_count * sizeof c->rooms[0] + text_bytes(c);
}

static void move_text(struct slice *text, char **to)
{
    if (text->len) memcpy(*to, text->ptr, text->len);
    text->ptr = *to;
    *to += text->len;
}

/* One block: the struct, the rooms, the texts. */
struct claims *claims_copy(const struct claims *c)
{
    struct claims *own = malloc(claims_bytes(c));
    if (!own) return NULL;
    struct room_right *rooms = (struct room_right *)(own + 1);
    char *to = (char *)(rooms + c->room_count);
    *own = *c;
    own->rooms = rooms;
    move_text(&own->user, &to);
    move_text(&own->name, &to);
    move_text(&own->jti, &to);
    move_text(&own->sid, &to);
    for (size_t i = 0; i < c->room_count; i++) {
        rooms[i] = c->rooms[i];
        move_text(&rooms[i].pattern, &to);
    }
    return own;
}

void claims_free(struct claims *c)
{
    free(c);
}

int claims_name(const struct claims *c, char cleaned[static NAME_USER_MAX], struct slice *name)
{
    if (name_user_clean(c->name, cleaned, name) == 0) return 0;
    return name_user_clean(c->user, cleaned, name);
}
