/* Fuzzes acts, as the API and the control log give them. Properties: no read past the text; what is
 * refused says why; of what is read the limits hold, the parts are those of its kind, and what is
 * written of it reads as the same; and applying it does what it says. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/act.h"
#include "auth/control.h"
#include "auth/room_rules.h"
#include "base/check.h"
#include "base/err.h"
#include "proto/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(const struct act *a)
{
    bool has_room = a->kind == ACT_GRANT || a->kind == ACT_SET;
    CHECK(a->kind < ACT_KIND_COUNT);
    CHECK(has_room == (a->room.len > 0));
    CHECK(!has_room || name_room_check(a->room) == 0);
    CHECK((a->kind == ACT_SET) == (a->subject.len == 0));
    CHECK(a->subject.len <= ACT_SUBJECT_MAX && a->reason.len <= ACT_REASON_MAX);
    CHECK(
        !memchr(a->subject.len ? a->subject.ptr : "x", '\0', a->subject.len ? a->subject.len : 1));
    CHECK(a->right.given == (a->kind == ACT_GRANT));
    CHECK(a->access[ROOM_ACCESS_GUESTS].right <= RIGHT_WRITE);
}

static void check_same(const struct act *a, const struct act *b)
{
    CHECK(a->kind == b->kind && slice_equal(a->room, b->room));
    CHECK(slice_equal(a->subject, b->subject) && slice_equal(a->reason, b->reason));
    CHECK(a->right.stated == b->right.stated && a->right.right == b->right.right);
    for (size_t i = 0; i < ROOM_SETTING_COUNT; i++) {
        CHECK(a->access[i].given == b->access[i].given);
        CHECK(a->access[i].stated == b->access[i].stated);
        CHECK(a->access[i].right == b->access[i].right);
    }
}

static void check_written(const struct act *a)
{
    struct act again;
    const char *why;
    char *json = json_dumps(a->json, JSON_COMPACT);
    CHECK(json);
    if (strlen(json) <= ACT_BYTES_MAX) { /* an escape may have grown */
        CHECK(act_read(slice_of(json), &again, &why) == 0);
        check_same(a, &again);
        act_fini(&again);
    }
    free(json);
}

static void check_applied(const struct act *a)
{
    struct control *c = control_new();
    struct room_settings s = {.access = {{.right = RIGHT_READ}, {.right = RIGHT_READ}}};
    enum right right = RIGHT_COUNT;
    CHECK(c && control_reserve(c, a) == 0);
    CHECK(!control_role(c, a->room, a->subject, &right));
    control_apply(c, a, 1000);
    bool role = control_role(c, a->room, a->subject, &right);
    CHECK(role == (a->kind == ACT_GRANT && a->right.stated));
    CHECK(!role || right == a->right.right);
    control_settings(c, a->room, &s);
    for (size_t i = 0; i < ROOM_SETTING_COUNT; i++)
        CHECK(s.access[i].right == (a->access[i].stated ? a->access[i].right : RIGHT_READ));
    control_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct act a;
    const char *why = NULL;
    char *text = malloc(size + 1); /* its end is where reading too far is seen */
    CHECK(text);
    if (size) memcpy(text, data, size);
    int err = act_read((struct slice){text, size}, &a, &why);
    free(text);
    CHECK(err == 0 || ((err == ERR_BAD_JSON || err == ERR_BAD_FIELD) && why));
    if (err) return 0;
    check_parts(&a);
    check_written(&a);
    check_applied(&a);
    act_fini(&a);
    return 0;
}
