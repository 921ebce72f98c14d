/* Fuzzes what a site answers about somebody. The first byte chooses whether it was asked about a
 * room. Properties: no read past the answer; the same outcome again; of what is taken jansson reads
 * the same texts, the claims keep their limits, the end is ahead, and where a room was asked about
 * the rights are in that room and nowhere else. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/pattern.h"
#include "auth/site_answer.h"
#include "base/check.h"
#include "base/err.h"
#include "base/utf8.h"

#define NOW_MS UINT64_C(1700000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From a block that ends where the answer does. */
static int read_exact(struct slice json, struct slice room, struct claims **out)
{
    const char *why;
    char *exact = malloc(json.len ? json.len : 1);
    CHECK(exact);
    if (json.len) memcpy(exact, json.ptr, json.len);
    int err = site_answer_read((struct slice){exact, json.len}, room, NOW_MS, out, &why);
    CHECK((*out != NULL) == (err == 0) && (err == 0 || err == ERR_BAD_JSON));
    CHECK((why != NULL) == (err != 0));
    free(exact);
    return err;
}

static void same_text(const json_t *answer, const char *member, struct slice got, size_t max)
{
    const json_t *value = json_object_get(answer, member);
    const char *text = value ? json_string_value(value) : "";
    CHECK(text && slice_is(got, text) && got.len <= max && utf8_valid(got.ptr, got.len));
    CHECK(!name_has_control(got));
}

static void agrees(struct slice json, struct slice room, const struct claims *c)
{
    json_t *answer = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *rights = json_object_get(answer, "rights");
    CHECK(json_is_object(answer));
    same_text(answer, "user", c->user, CLAIMS_USER_MAX);
    same_text(answer, "username", c->name, CLAIMS_TEXT_MAX);
    same_text(answer, "session", c->sid, CLAIMS_TEXT_MAX);
    CHECK(c->user.len > 0 && (c->user.len < 6 || memcmp(c->user.ptr, "guest:", 6) != 0));
    CHECK(c->expires_ms > NOW_MS);
    CHECK((c->expires_ms == UINT64_MAX) == (json_object_get(answer, "expires") == NULL));
    CHECK(c->has_rooms == (rights != NULL) && c->room_count <= CLAIMS_ROOMS_MAX);
    CHECK(c->room_count == (rights && room.len ? 1 : json_object_size(rights)));
    if (rights && room.len) CHECK(slice_equal(c->rooms[0].pattern, room));
    json_decref(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct claims *c;
    struct claims *again;
    if (size == 0) return 0;
    struct slice room = data[0] & 1 ? SLICE_LIT("lobby") : (struct slice){NULL, 0};
    struct slice json = {(const char *)data + 1, size - 1};
    int err = read_exact(json, room, &c);
    CHECK(read_exact(json, room, &again) == err);
    if (c) agrees(json, room, c);
    claims_free(c);
    claims_free(again);
    return 0;
}
