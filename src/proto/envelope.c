/* See envelope.h.
 *
 * The whole document is scanned before anything in it is judged, so that what a client is told does
 * not depend on the order of its keys: a document that is no JSON is always bad_json. Scanning
 * copies nothing until the first escape; then one reservation of what is left of the document is
 * room for everything that can still be decoded (json.h). */
#include "proto/envelope.h"

#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "proto/json.h"
#include "proto/json_out.h"
#include "proto/name.h"

enum { REFUSAL_TEXT_MAX = 160 }; /* texts of the error table fit a close frame, see err.c */

enum field { MESSAGE, USERNAME, DATA, FIELD_COUNT };

static const struct json_field fields[FIELD_COUNT] = {
    [MESSAGE] = {.name = SLICE_LIT("message")},
    [USERNAME] = {.name = SLICE_LIT("username")},
    [DATA] = {.name = SLICE_LIT("data"), .raw = true},
};

int envelope_parse(struct slice json, size_t max_message_bytes, struct buf *scratch,
                   struct envelope_input *out)
{
    struct json_value values[FIELD_COUNT];
    scratch->len = 0;
    int err = json_scan_fields(json, scratch, fields, FIELD_COUNT, values);
    if (err) return err;

    const struct json_value *message = &values[MESSAGE];
    const struct json_value *username = &values[USERNAME];
    *out = (struct envelope_input){.message = message->text, .data = values[DATA].text};
    if (message->kind != JSON_KIND_STRING || message->text.len == 0) return ERR_BAD_MESSAGE;
    if (max_message_bytes && message->text.len > max_message_bytes) return ERR_TOO_LONG;
    if (username->kind != JSON_KIND_ABSENT) {
        if (username->kind != JSON_KIND_STRING) return ERR_BAD_USERNAME;
        err = name_user_clean(username->text, out->name, &out->username);
        if (err) return err;
    }
    return out->data.len > ENVELOPE_DATA_MAX ? ERR_TOO_LONG : 0;
}

int envelope_encode_bare(const struct envelope_message *m, struct buf *out, size_t max_bytes)
{
    struct json_out o = json_out_begin(out, max_bytes);
    json_out_text(&o, SLICE_LIT("{\"message\":"), m->message);
    json_out_text(&o, SLICE_LIT(",\"username\":"), m->username);
    json_out_raw(&o, SLICE_LIT("}"));
    return json_out_end(&o);
}

static void put_reactions(struct json_out *o, const struct envelope_message *m)
{
    json_out_raw(o, SLICE_LIT(",\"reactions\":{"));
    for (size_t i = 0; i < m->reaction_count; i++) {
        json_out_text(o, i ? SLICE_LIT(",") : SLICE_LIT(""), m->reactions[i].emoji);
        json_out_uint(o, SLICE_LIT(":"), m->reactions[i].count);
    }
    json_out_raw(o, SLICE_LIT("}"));
}

/* What most messages have nothing of. */
static void put_optional(struct json_out *o, const struct envelope_message *m)
{
    if (m->user.len) json_out_text(o, SLICE_LIT(",\"user\":"), m->user);
    if (m->data.len) {
        json_out_raw(o, SLICE_LIT(",\"data\":"));
        json_out_raw(o, m->data);
    }
    if (m->reply_to) {
        struct id target = m->id; /* of the same epoch */
        target.seq = m->reply_to;
        json_out_id(o, SLICE_LIT(",\"reply_to\":"), &target);
    }
    if (m->nonce.len) json_out_text(o, SLICE_LIT(",\"nonce\":"), m->nonce);
    if (m->edited_ms) json_out_int(o, SLICE_LIT(",\"edited\":"), m->edited_ms);
    if (m->reaction_count) put_reactions(o, m);
}

int envelope_encode_full(const struct envelope_message *m, struct buf *out, size_t max_bytes)
{
    struct json_out o = json_out_begin(out, max_bytes);
    json_out_text(&o, SLICE_LIT("{\"type\":\"message\",\"room\":"), m->room);
    json_out_id(&o, SLICE_LIT(",\"id\":"), &m->id);
    json_out_uint(&o, SLICE_LIT(",\"seq\":"), m->id.seq);
    json_out_int(&o, SLICE_LIT(",\"ts\":"), m->ts_ms);
    json_out_text(&o, SLICE_LIT(",\"username\":"), m->username);
    json_out_text(&o, SLICE_LIT(",\"message\":"), m->message);
    put_optional(&o, m);
    json_out_raw(&o, SLICE_LIT("}"));
    return json_out_end(&o);
}

int envelope_encode_system(struct slice words, const char *code, struct buf *out, size_t max_bytes)
{
    struct json_out o = json_out_begin(out, max_bytes);
    json_out_text(&o, SLICE_LIT("{\"message\":"), words);
    json_out_text(&o, SLICE_LIT(",\"username\":\"system\",\"error\":{\"code\":"), slice_of(code));
    json_out_raw(&o, SLICE_LIT("}}"));
    return json_out_end(&o);
}

int envelope_encode_refusal(int err, struct buf *out, size_t max_bytes)
{
    CHECK(err < 0);
    const struct err_info *info = err_info(err);
    char text[REFUSAL_TEXT_MAX];
    int n = snprintf(text, sizeof(text), "Not sent: %s", info->text);
    CHECK(n > 0 && (size_t)n < sizeof(text));
    return envelope_encode_system(slice_of(text), info->word, out, max_bytes);
}
