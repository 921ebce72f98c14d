/* See api_line.h. */
#include "api/api_line.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"
#include "proto/json.h"
#include "proto/json_out.h"
#include "proto/name.h"

enum {
    LINE_MAX_BYTES = 1 << 29, /* texts of STORE_TEXT_MAX_BYTES, all escaped */
    EMOJI_MAX_BYTES = 32,     /* docs/protocol.md */
    NONCE_MAX_BYTES = 255,
    USER_MAX_BYTES = 255,
    JSON_DOCUMENT_DEPTH = 0,
};

/* ---- writing ---- */

int api_line_put_room(struct slice room, const char *epoch, struct buf *out)
{
    struct json_out o = json_out_begin(out, LINE_MAX_BYTES);
    json_out_text(&o, SLICE_LIT("{\"type\":\"room\",\"room\":"), room);
    json_out_text(&o, SLICE_LIT(",\"epoch\":"), (struct slice){epoch, EVENT_EPOCH_LEN});
    json_out_raw(&o, SLICE_LIT("}\n"));
    return json_out_end(&o);
}

static void put_optional_text(struct json_out *o, struct slice key, struct slice text)
{
    if (text.ptr) json_out_text(o, key, text);
}

static void put_number(struct json_out *o, struct slice key, uint64_t value)
{
    if (value) json_out_uint(o, key, value);
}

int api_line_put_event(const struct store_event *e, struct buf *out)
{
    struct json_out o = json_out_begin(out, out->len + LINE_MAX_BYTES);
    json_out_uint(&o, SLICE_LIT("{\"type\":\"event\",\"seq\":"), e->seq);
    json_out_int(&o, SLICE_LIT(",\"ts\":"), e->ts_ms);
    json_out_text(&o, SLICE_LIT(",\"kind\":"), slice_of(event_kinds[e->kind].word));
    put_number(&o, SLICE_LIT(",\"target\":"), e->target);
    put_number(&o, SLICE_LIT(",\"reply_to\":"), e->reply_to);
    put_optional_text(&o, SLICE_LIT(",\"username\":"), e->username);
    put_optional_text(&o, SLICE_LIT(",\"user\":"), e->user);
    put_optional_text(&o, SLICE_LIT(",\"message\":"), e->message);
    put_optional_text(&o, SLICE_LIT(",\"data\":"), e->data);
    put_optional_text(&o, SLICE_LIT(",\"nonce\":"), e->nonce);
    if (e->edited_ms) json_out_int(&o, SLICE_LIT(",\"edited\":"), e->edited_ms);
    if (e->deleted) json_out_raw(&o, SLICE_LIT(",\"deleted\":true"));
    json_out_raw(&o, SLICE_LIT("}\n"));
    return json_out_end(&o);
}

int api_line_put_end(uint64_t events, struct buf *out)
{
    struct json_out o = json_out_begin(out, out->len + LINE_MAX_BYTES);
    json_out_uint(&o, SLICE_LIT("{\"type\":\"end\",\"events\":"), events);
    json_out_raw(&o, SLICE_LIT("}\n"));
    return json_out_end(&o);
}

/* ---- reading ---- */

enum field {
    TYPE,
    ROOM,
    EPOCH,
    EVENTS,
    SEQ,
    TS,
    KIND,
    TARGET,
    REPLY_TO,
    USERNAME,
    USER,
    MESSAGE,
    DATA,
    NONCE,
    EDITED,
    DELETED,
    FIELD_COUNT
};

static const struct json_field fields[FIELD_COUNT] = {
    [TYPE] = {.name = SLICE_LIT("type")},         [ROOM] = {.name = SLICE_LIT("room")},
    [EPOCH] = {.name = SLICE_LIT("epoch")},       [EVENTS] = {.name = SLICE_LIT("events")},
    [SEQ] = {.name = SLICE_LIT("seq")},           [TS] = {.name = SLICE_LIT("ts")},
    [KIND] = {.name = SLICE_LIT("kind")},         [TARGET] = {.name = SLICE_LIT("target")},
    [REPLY_TO] = {.name = SLICE_LIT("reply_to")}, [USERNAME] = {.name = SLICE_LIT("username")},
    [USER] = {.name = SLICE_LIT("user")},         [MESSAGE] = {.name = SLICE_LIT("message")},
    [DATA] = {.name = SLICE_LIT("data")},         [NONCE] = {.name = SLICE_LIT("nonce")},
    [EDITED] = {.name = SLICE_LIT("edited")},     [DELETED] = {.name = SLICE_LIT("deleted")},
};

/* A whole number, 0 where there is none. */
static bool read_number(const struct json_value *v, uint64_t *out)
{
    *out = 0;
    if (v->kind == JSON_KIND_ABSENT) return true;
    return v->kind == JSON_KIND_RAW && slice_to_u64(v->text, out) && *out <= STORE_SEQ_MAX;
}

/* The same, which may be below 0. */
static bool read_time(const struct json_value *v, int64_t *out)
{
    struct json_value digits = *v;
    uint64_t n;
    bool negative = v->kind == JSON_KIND_RAW && v->text.len > 1 && v->text.ptr[0] == '-';
    if (negative) digits.text = (struct slice){v->text.ptr + 1, v->text.len - 1};
    if (!read_number(&digits, &n)) return false;
    *out = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

/* A text of at most max bytes; it may be missing. */
static bool read_text_field(const struct json_value *v, size_t max, struct slice *out)
{
    *out = (struct slice){NULL, 0};
    if (v->kind == JSON_KIND_ABSENT) return true;
    if (v->kind != JSON_KIND_STRING || v->text.len > max) return false;
    *out = v->text;
    return true;
}

static bool holds_json(struct slice text)
{
    struct json j = {text.ptr, text.ptr + text.len};
    struct slice value;
    return json_scan_value(&j, JSON_DOCUMENT_DEPTH, &value) == 0 && j.at == j.end;
}

static const char *read_room_line(const struct json_value *v, struct api_line *out)
{
    if (!read_text_field(&v[ROOM], NAME_ROOM_MAX, &out->room) || !out->room.ptr ||
        name_room_check(out->room) != 0)
        return "\"room\" is not the name of a room";
    const struct slice epoch = v[EPOCH].text;
    if (v[EPOCH].kind != JSON_KIND_STRING || epoch.len != EVENT_EPOCH_LEN ||
        !event_epoch_is_valid(epoch.ptr))
        return "\"epoch\" is not 8 characters of 0-9 and a-z";
    memcpy(out->epoch, epoch.ptr, EVENT_EPOCH_LEN);
    return NULL;
}

static const char *read_numbers(const struct json_value *v, struct store_event *e)
{
    if (!read_number(&v[SEQ], &e->seq) || e->seq == 0) return "\"seq\" is not a seq";
    if (v[TS].kind == JSON_KIND_ABSENT || !read_time(&v[TS], &e->ts_ms))
        return "\"ts\" is not a time";
    if (!read_time(&v[EDITED], &e->edited_ms)) return "\"edited\" is not a time";
    if (!read_number(&v[TARGET], &e->target)) return "\"target\" is not a seq";
    if (!read_number(&v[REPLY_TO], &e->reply_to)) return "\"reply_to\" is not a seq";
    e->deleted = v[DELETED].kind == JSON_KIND_RAW && slice_is(v[DELETED].text, "true");
    if (v[DELETED].kind != JSON_KIND_ABSENT && !e->deleted) return "\"deleted\" is not true";
    return NULL;
}

static const char *read_text_fields(const struct json_value *v, struct store_event *e)
{
    bool reaction = event_kinds[e->kind].text == EVENT_TEXT_EMOJI;
    size_t max = reaction ? EMOJI_MAX_BYTES : STORE_TEXT_MAX_BYTES;
    if (!read_text_field(&v[USERNAME], NAME_USER_MAX, &e->username) || e->username.len == 0)
        return "\"username\" is not a user's name";
    if (!read_text_field(&v[USER], USER_MAX_BYTES, &e->user)) return "\"user\" is not a user";
    if (!read_text_field(&v[MESSAGE], max, &e->message)) return "\"message\" is not a text";
    if (reaction && !name_is_word(e->message)) return "\"message\" is not a reaction";
    if (!read_text_field(&v[NONCE], NONCE_MAX_BYTES, &e->nonce)) return "\"nonce\" is not a nonce";
    if (!read_text_field(&v[DATA], STORE_TEXT_MAX_BYTES, &e->data) ||
        (e->data.ptr && !holds_json(e->data)))
        return "\"data\" is not a string that holds JSON";
    return NULL;
}

static const char *read_event_line(const struct json_value *v, struct store_event *e)
{
    int kind = v[KIND].kind == JSON_KIND_STRING ? event_kind_find(v[KIND].text) : -1;
    if (kind < 0) return "\"kind\" is not known";
    e->kind = (enum store_kind)kind;
    const char *why = read_numbers(v, e);
    if (!why) why = read_text_fields(v, e);
    if (why) return why;
    bool is_message = e->kind == STORE_MESSAGE;
    if (is_message && (e->deleted ? e->message.ptr || e->data.ptr : !e->message.ptr))
        return "a message has a text, or is deleted";
    if (is_message == (e->target != 0)) return "a change has a \"target\", a message has none";
    if (!is_message && (e->deleted || e->edited_ms)) return "a change is not edited or deleted";
    return NULL;
}

const char *api_line_parse(struct slice line, struct buf *scratch, struct api_line *out)
{
    struct json_value v[FIELD_COUNT];
    *out = (struct api_line){.type = API_LINE_ROOM};
    scratch->len = 0;
    if (!utf8_valid(line.ptr, line.len)) return "it is not UTF-8";
    if (json_scan_fields(line, scratch, fields, FIELD_COUNT, v) != 0)
        return "it is not a JSON object";
    struct slice type = v[TYPE].kind == JSON_KIND_STRING ? v[TYPE].text : (struct slice){"", 0};
    if (slice_is(type, "room")) return read_room_line(v, out);
    if (slice_is(type, "event")) {
        out->type = API_LINE_EVENT;
        return read_event_line(v, &out->event);
    }
    if (slice_is(type, "end")) {
        out->type = API_LINE_END;
        bool good = v[EVENTS].kind == JSON_KIND_RAW && read_number(&v[EVENTS], &out->events);
        return good ? NULL : "\"events\" is not a number";
    }
    return "\"type\" is not room, event or end";
}
