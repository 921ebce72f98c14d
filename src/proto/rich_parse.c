/* What a client's frame of parlor.v1 says. See rich.h.
 *
 * Two tables are the grammar: `fields`, the members that are looked for, and `frames`, which of
 * them each type reads and in which order, which is also the order in which they are refused. The
 * frame is scanned from end to end before anything in it is judged, so what a client is told does
 * not depend on the order of its keys. */
#include "proto/rich.h"

#include <string.h>

#include "base/ascii.h"
#include "base/err.h"
#include "proto/envelope.h"
#include "proto/json.h"

enum { FRAME_READS_MAX = 6 };

enum field {
    TYPE,
    REF,
    ROOM,
    MESSAGE,
    USERNAME,
    DATA,
    NONCE,
    REPLY_TO,
    SINCE,
    HISTORY,
    BEFORE,
    AFTER,
    AROUND,
    LIMIT,
    ON,
    ID,
    EMOJI,
    TOKEN,
    GUEST,
    FIELD_COUNT
};

static const struct json_field fields[FIELD_COUNT] = {
    [TYPE] = {SLICE_LIT("type"), false},
    [REF] = {SLICE_LIT("ref"), true},
    [ROOM] = {SLICE_LIT("room"), false},
    [MESSAGE] = {SLICE_LIT("message"), false},
    [USERNAME] = {SLICE_LIT("username"), false},
    [DATA] = {SLICE_LIT("data"), true},
    [NONCE] = {SLICE_LIT("nonce"), false},
    [REPLY_TO] = {SLICE_LIT("reply_to"), false},
    [SINCE] = {SLICE_LIT("since"), false},
    [HISTORY] = {SLICE_LIT("history"), false},
    [BEFORE] = {SLICE_LIT("before"), false},
    [AFTER] = {SLICE_LIT("after"), false},
    [AROUND] = {SLICE_LIT("around"), false},
    [LIMIT] = {SLICE_LIT("limit"), false},
    [ON] = {SLICE_LIT("on"), false},
    [ID] = {SLICE_LIT("id"), false},
    [EMOJI] = {SLICE_LIT("emoji"), false},
    [TOKEN] = {SLICE_LIT("token"), false},
    [GUEST] = {SLICE_LIT("guest"), false},
};

/* A frame as it was found: what the readers below judge. */
struct found {
    struct json_value values[FIELD_COUNT];
    size_t max_message_bytes;
};

static bool is_string(const struct json_value *v)
{
    return v->kind == JSON_KIND_STRING;
}

/* A count is an integer, written without fraction and exponent; what is over max reads as max. */
static int read_count(const struct json_value *v, unsigned max, unsigned *out)
{
    uint64_t count;
    if (v->kind != JSON_KIND_RAW || !slice_to_u64(v->text, &count)) return ERR_BAD_FIELD;
    *out = count < max ? (unsigned)count : max;
    return 0;
}

/* A string of 1..max bytes. */
static int read_string(const struct json_value *v, size_t max, struct slice *out)
{
    if (!is_string(v) || v->text.len == 0 || v->text.len > max) return ERR_BAD_FIELD;
    *out = v->text;
    return 0;
}

static int read_ref(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[REF];
    if (json_is_absent(v)) return 0;
    char first = v->text.ptr[0];
    if (v->text.len > RICH_REF_MAX || (first != '"' && first != '-' && !ascii_is_digit(first)))
        return ERR_BAD_REF;
    out->ref = v->text;
    return 0;
}

static int read_room(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[ROOM];
    if (json_is_absent(v)) return 0;
    if (!is_string(v) || name_room_check(v->text)) return ERR_BAD_ROOM;
    memcpy(out->room_name, v->text.ptr, v->text.len);
    out->room = (struct slice){out->room_name, v->text.len};
    return 0;
}

static int read_message(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[MESSAGE];
    if (!is_string(v) || v->text.len == 0) return ERR_BAD_MESSAGE;
    if (f->max_message_bytes && v->text.len > f->max_message_bytes) return ERR_TOO_LONG;
    out->message = v->text;
    return 0;
}

static int read_username(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[USERNAME];
    if (json_is_absent(v)) return 0;
    return is_string(v) ? name_user_clean(v->text, out->name, &out->username) : ERR_BAD_USERNAME;
}

static int read_data(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[DATA];
    if (json_is_absent(v)) return 0;
    if (v->text.len > ENVELOPE_DATA_MAX) return ERR_TOO_LONG;
    out->data = v->text;
    return 0;
}

static int read_nonce(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[NONCE];
    return json_is_absent(v) ? 0 : read_string(v, RICH_NONCE_MAX, &out->nonce);
}

/* Nobody can answer the head of an empty log, and in *out its seq would mean absent. */
static int read_reply_to(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[REPLY_TO];
    if (json_is_absent(v)) return 0;
    if (!is_string(v) || id_parse(v->text, &out->reply_to) || out->reply_to.seq == 0)
        return ERR_BAD_ID;
    return 0;
}

static int read_id(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[ID];
    return is_string(v) ? id_parse(v->text, &out->id) : ERR_BAD_ID;
}

static int read_since(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[SINCE];
    if (json_is_absent(v)) return 0;
    if (!is_string(v)) return ERR_BAD_FIELD;
    out->since = v->text;
    return 0;
}

static int read_history(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[HISTORY];
    return json_is_absent(v) ? 0 : read_count(v, RICH_JOIN_MAX, &out->limit);
}

static int read_limit(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[LIMIT];
    out->limit = RICH_PAGE_DEFAULT;
    if (json_is_absent(v)) return 0;
    int err = read_count(v, RICH_PAGE_MAX, &out->limit);
    return err || out->limit ? err : ERR_BAD_FIELD;
}

static int read_position(const struct found *f, struct rich_input *out)
{
    static const enum field field_of[] = {
        [RICH_BEFORE] = BEFORE, [RICH_AFTER] = AFTER, [RICH_AROUND] = AROUND};
    unsigned given = 0;
    for (enum rich_position p = RICH_BEFORE; p <= RICH_AROUND; p++) {
        const struct json_value *v = &f->values[field_of[p]];
        if (json_is_absent(v)) continue;
        if (!is_string(v) || id_parse(v->text, &out->at)) return ERR_BAD_ID;
        out->position = p;
        given++;
    }
    return given > 1 ? ERR_BAD_FIELD : 0;
}

static int read_on(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[ON];
    out->on = json_is_absent(v) || slice_is(v->text, "true");
    bool valid = out->on || slice_is(v->text, "false");
    return valid && !is_string(v) ? 0 : ERR_BAD_FIELD;
}

static int read_emoji(const struct found *f, struct rich_input *out)
{
    int err = read_string(&f->values[EMOJI], RICH_EMOJI_MAX, &out->emoji);
    if (err) return err;
    return name_is_word(out->emoji) ? 0 : ERR_BAD_FIELD;
}

static int read_change_text(const struct found *f, struct rich_input *out)
{
    enum event_text text = event_kinds[out->kind].text;
    if (text == EVENT_TEXT_NONE) return 0;
    return text == EVENT_TEXT_EMOJI ? read_emoji(f, out) : read_message(f, out);
}

static int read_credential(const struct found *f, struct rich_input *out)
{
    const struct json_value *token = &f->values[TOKEN];
    const struct json_value *guest = &f->values[GUEST];
    if (json_is_absent(token) == json_is_absent(guest)) return ERR_BAD_FIELD;
    if (json_is_absent(token)) return read_string(guest, RICH_CREDENTIAL_MAX, &out->guest);
    return read_string(token, RICH_CREDENTIAL_MAX, &out->token);
}

typedef int read_fn(const struct found *f, struct rich_input *out);

struct frame {
    const char *type; /* NULL: of a change, the word of its kind */
    read_fn *reads[FRAME_READS_MAX];
};

static const struct frame frames[] = {
    [RICH_MESSAGE] = {"message",
                      {read_room, read_reply_to, read_nonce, read_message, read_username,
                       read_data}},
    [RICH_JOIN] = {"join", {read_room, read_since, read_history}},
    [RICH_LEAVE] = {"leave", {read_room}},
    [RICH_HISTORY] = {"history", {read_room, read_position, read_limit}},
    [RICH_WHO] = {"who", {read_room}},
    [RICH_TYPING] = {"typing", {read_room, read_on}},
    [RICH_READ] = {"read", {read_room, read_id}},
    [RICH_AUTH] = {"auth", {read_credential}},
    [RICH_CHANGE] = {NULL, {read_room, read_id, read_change_text}},
};

static int read_type(const struct found *f, struct rich_input *out)
{
    const struct json_value *v = &f->values[TYPE];
    if (json_is_absent(v)) return 0; /* a message, as on the rungs below */
    if (!is_string(v)) return ERR_UNKNOWN_TYPE;
    unsigned type = RICH_MESSAGE;
    while (type < RICH_CHANGE && !slice_is(v->text, frames[type].type))
        type++;
    if (type == RICH_CHANGE) out->kind = event_kind_find(v->text);
    if (out->kind < 0) return ERR_UNKNOWN_TYPE;
    out->type = (enum rich_type)type;
    return 0;
}

int rich_parse(struct slice json, size_t max_message_bytes, struct buf *scratch,
               struct rich_input *out)
{
    *out = (struct rich_input){.type = RICH_MESSAGE};
    scratch->len = 0;
    struct found f = {.max_message_bytes = max_message_bytes};
    int err = json_scan_fields(json, scratch, fields, FIELD_COUNT, f.values);
    int ref_err = read_ref(&f, out);
    if (err || (err = ref_err) || (err = read_type(&f, out))) return err;

    const struct frame *frame = &frames[out->type];
    for (size_t i = 0; i < FRAME_READS_MAX && frame->reads[i]; i++)
        if ((err = frame->reads[i](&f, out)) != 0) return err;
    return 0;
}
