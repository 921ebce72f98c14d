/* See act.h. */
#include "auth/act.h"

#include <string.h>

#include "auth/jose.h"
#include "base/err.h"
#include "proto/name.h"

static const char *const setting_keys[] = {
    [ROOM_ACCESS_GUESTS] = "access_guests", [ROOM_ACCESS_SIGNED_IN] = "access_signed_in"};
_Static_assert(sizeof setting_keys / sizeof *setting_keys == ROOM_SETTING_COUNT, "a key for each");

/* The three that can be revoked, by their key. */
static const struct {
    const char *key;
    enum act_kind kind;
} revocable[] = {
    {"user", ACT_REVOKE_USER}, {"session", ACT_REVOKE_SESSION}, {"token", ACT_REVOKE_TOKEN}};

enum { REVOCABLE_COUNT = sizeof revocable / sizeof *revocable };

static int complain(const char **why, const char *text)
{
    *why = text;
    return ERR_BAD_FIELD;
}

/* A text of 1 to max bytes in which nothing is hidden. */
static bool is_plain(struct slice text, size_t max)
{
    if (!text.ptr || text.len == 0 || text.len > max) return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) return false;
    return true;
}

/* null is a right that is not stated. */
static bool read_right(const json_t *value, struct act_right *out)
{
    if (!value) return true;
    out->given = true;
    if (json_is_null(value)) return true;
    out->stated = true;
    struct slice word = jose_text(value);
    return word.ptr && right_find(word, &out->right);
}

static int read_room(struct act *a, const char **why)
{
    a->room = jose_text(json_object_get(a->json, "room"));
    if (!a->room.ptr || name_room_check(a->room))
        return complain(why, "\"room\" has to be the name of a room");
    if (a->room.ptr[a->room.len - 1] == '*')
        return complain(why, "\"room\" has to be the name of one room: patterns, with a * at the "
                             "end, are for the configuration file");
    return 0;
}

static int read_revoke(struct act *a, const char **why)
{
    unsigned found = 0;
    for (size_t i = 0; i < REVOCABLE_COUNT; i++) {
        const json_t *value = json_object_get(a->json, revocable[i].key);
        if (!value) continue;
        found++;
        a->kind = revocable[i].kind;
        a->subject = jose_text(value);
    }
    if (found == 1 && is_plain(a->subject, ACT_SUBJECT_MAX)) return 0;
    return complain(why, "what is revoked has to be one of \"user\", \"session\" and \"token\", of "
                         "1 to 256 bytes without control characters");
}

static int read_grant(struct act *a, const char **why)
{
    a->kind = ACT_GRANT;
    int err = read_room(a, why);
    if (err) return err;
    a->subject = jose_text(json_object_get(a->json, "user"));
    if (!is_plain(a->subject, ACT_SUBJECT_MAX))
        return complain(why, "\"user\" has to be the id of a user");
    if (read_right(json_object_get(a->json, "right"), &a->right) && a->right.given) return 0;
    return complain(why, "\"right\" has to be none, read, write, moderate, own, or null");
}

static int read_set(struct act *a, const char **why)
{
    bool any = false;
    a->kind = ACT_SET;
    int err = read_room(a, why);
    for (size_t i = 0; i < ROOM_SETTING_COUNT && !err; i++) {
        struct act_right *right = &a->access[i];
        bool good = read_right(json_object_get(a->json, setting_keys[i]), right);
        if (i == ROOM_ACCESS_GUESTS && right->right > RIGHT_WRITE) good = false;
        if (!good)
            err = complain(why, "\"access_guests\" has to be none, read, write, or null; "
                                "\"access_signed_in\" also moderate or own");
        any = any || right->given;
    }
    if (!err && !any)
        err = complain(why, "there is nothing to set: give \"access_guests\" or "
                            "\"access_signed_in\"");
    return err;
}

static const struct form {
    const char *word;
    int (*read)(struct act *a, const char **why);
    const char *keys[6]; /* beside "act", "reason"; the last is NULL */
} forms[] = {
    {"revoke", read_revoke, {"user", "session", "token"}},
    {"grant", read_grant, {"room", "user", "right"}},
    {"set", read_set, {"room", "access_guests", "access_signed_in"}},
};

static const struct form *find_form(struct slice word)
{
    for (size_t i = 0; word.ptr && i < sizeof forms / sizeof *forms; i++)
        if (slice_is(word, forms[i].word)) return &forms[i];
    return NULL;
}

static bool knows(const struct form *form, const char *key)
{
    if (strcmp(key, "act") == 0 || strcmp(key, "reason") == 0) return true;
    for (size_t i = 0; form->keys[i]; i++)
        if (strcmp(key, form->keys[i]) == 0) return true;
    return false;
}

static int read_object(struct act *a, const char **why)
{
    const char *key;
    json_t *value;
    const struct form *form = find_form(jose_text(json_object_get(a->json, "act")));
    if (!form) return complain(why, "\"act\" has to be revoke, grant or set");
    json_object_foreach(a->json, key, value) if (!knows(form, key)) return complain(
        why, "there is a field that this act does not have");
    const json_t *reason = json_object_get(a->json, "reason");
    a->reason = jose_text(reason);
    if (reason && !is_plain(a->reason, ACT_REASON_MAX))
        return complain(why, "\"reason\" has to be a text of 1 to 500 bytes on one line");
    return form->read(a, why);
}

int act_read(struct slice text, struct act *out, const char **why)
{
    *out = (struct act){.kind = ACT_KIND_COUNT};
    *why = "an act is one JSON object of at most 4096 bytes";
    if (text.len > ACT_BYTES_MAX) return ERR_BAD_JSON;
    int err = jose_object(text, &out->json);
    if (err) return err;
    err = read_object(out, why);
    if (err) act_fini(out);
    return err;
}

void act_fini(struct act *a)
{
    json_decref(a->json);
    *a = (struct act){.kind = ACT_KIND_COUNT};
}
