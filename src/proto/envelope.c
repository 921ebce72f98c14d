/* See envelope.h.
 *
 * The whole document is scanned before anything in it is judged, so that what a client is told does
 * not depend on the order of its keys: a document that is no JSON is always bad_json. Scanning
 * copies nothing until the first escape; then one reservation of what is left of the document is
 * room for everything that can still be decoded (json.h). */
#include "proto/envelope.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "proto/json.h"
#include "proto/name.h"

enum {
    UINT64_DIGITS_MAX = 20,
    REFUSAL_TEXT_MAX = 160 /* texts of the error table fit a close frame, see err.c */
};

/* A member of the object as it was found. */
struct field {
    bool present;
    bool is_string;
    struct slice value; /* decoded if a string, else raw */
};

struct fields {
    struct field message;
    struct field username;
    struct slice data;
};

static int take_field(struct json *j, struct buf *scratch, struct field *f)
{
    f->present = true;
    f->is_string = j->at < j->end && *j->at == '"';
    return f->is_string ? json_scan_string(j, scratch, &f->value)
                        : json_scan_value(j, 1, &f->value);
}

/* Reads `"key": value`. */
static int take_member(struct json *j, struct buf *scratch, struct fields *f)
{
    struct slice key;
    struct slice ignored;
    int err = json_scan_string(j, scratch, &key);
    if (err) return err;
    json_scan_space(j);
    if (!json_scan_take(j, ':')) return ERR_BAD_JSON;
    json_scan_space(j);
    if (slice_is(key, "message")) return take_field(j, scratch, &f->message);
    if (slice_is(key, "username")) return take_field(j, scratch, &f->username);
    if (slice_is(key, "data")) return json_scan_value(j, 1, &f->data);
    return json_scan_value(j, 1, &ignored);
}

static int take_object(struct json *j, struct buf *scratch, struct fields *f)
{
    json_scan_space(j);
    if (!json_scan_take(j, '{')) return ERR_BAD_JSON;
    json_scan_space(j);
    if (!json_scan_take(j, '}')) {
        do {
            json_scan_space(j);
            int err = take_member(j, scratch, f);
            if (err) return err;
            json_scan_space(j);
        } while (json_scan_take(j, ','));
        if (!json_scan_take(j, '}')) return ERR_BAD_JSON;
    }
    json_scan_space(j);
    return j->at == j->end ? 0 : ERR_BAD_JSON;
}

int envelope_parse(struct slice json, size_t max_message_bytes, struct buf *scratch,
                   struct envelope_input *out)
{
    if (json.len == 0) return ERR_BAD_JSON;
    struct json j = {json.ptr, json.ptr + json.len};
    struct fields f = {0};
    scratch->len = 0;
    int err = take_object(&j, scratch, &f);
    if (err) return err;

    *out = (struct envelope_input){.message = f.message.value, .data = f.data};
    if (!f.message.is_string || f.message.value.len == 0) return ERR_BAD_MESSAGE;
    if (max_message_bytes && f.message.value.len > max_message_bytes) return ERR_TOO_LONG;
    if (f.username.present) {
        if (!f.username.is_string) return ERR_BAD_USERNAME;
        err = name_user_trim(f.username.value, &out->username);
        if (err) return err;
    }
    return f.data.len > ENVELOPE_DATA_MAX ? ERR_TOO_LONG : 0;
}

static int append(struct buf *out, struct slice text, size_t max_bytes)
{
    return buf_append(out, text.ptr, text.len, max_bytes);
}

static int append_uint(struct buf *out, uint64_t value, size_t max_bytes)
{
    char digits[UINT64_DIGITS_MAX];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return buf_append(out, digits + at, sizeof(digits) - at, max_bytes);
}

static int append_int(struct buf *out, int64_t value, size_t max_bytes)
{
    if (value >= 0) return append_uint(out, (uint64_t)value, max_bytes);
    int err = append(out, SLICE_LIT("-"), max_bytes);
    return err ? err : append_uint(out, -(uint64_t)value, max_bytes);
}

/* Appends a literal that ends in `"key":`, then the string. */
static int append_member(struct buf *out, struct slice key, struct slice text, size_t max_bytes)
{
    int err = append(out, key, max_bytes);
    return err ? err : json_append_string(out, text, max_bytes);
}

/* Appends the string "epoch-seq". */
static int append_id(struct buf *out, const struct envelope_message *m, size_t max_bytes)
{
    int err = json_append_string(out, m->epoch, max_bytes);
    if (err) return err;
    out->len--; /* the string goes on: the closing quote is taken back */
    if ((err = append(out, SLICE_LIT("-"), max_bytes)) ||
        (err = append_uint(out, m->seq, max_bytes)))
        return err;
    return append(out, SLICE_LIT("\""), max_bytes);
}

int envelope_encode_bare(const struct envelope_message *m, struct buf *out, size_t max_bytes)
{
    size_t start = out->len;
    int err;
    if ((err = append_member(out, SLICE_LIT("{\"message\":"), m->message, max_bytes)) ||
        (err = append_member(out, SLICE_LIT(",\"username\":"), m->username, max_bytes)) ||
        (err = append(out, SLICE_LIT("}"), max_bytes)))
        out->len = start;
    return err;
}

static int append_full(const struct envelope_message *m, struct buf *out, size_t max_bytes)
{
    const struct slice room_key = SLICE_LIT("{\"type\":\"message\",\"room\":");
    int err;
    if ((err = append_member(out, room_key, m->room, max_bytes)) ||
        (err = append(out, SLICE_LIT(",\"id\":"), max_bytes)) ||
        (err = append_id(out, m, max_bytes)) ||
        (err = append(out, SLICE_LIT(",\"seq\":"), max_bytes)) ||
        (err = append_uint(out, m->seq, max_bytes)) ||
        (err = append(out, SLICE_LIT(",\"ts\":"), max_bytes)) ||
        (err = append_int(out, m->ts_ms, max_bytes)) ||
        (err = append_member(out, SLICE_LIT(",\"username\":"), m->username, max_bytes)) ||
        (err = append_member(out, SLICE_LIT(",\"message\":"), m->message, max_bytes)))
        return err;
    if (m->data.len && ((err = append(out, SLICE_LIT(",\"data\":"), max_bytes)) ||
                        (err = append(out, m->data, max_bytes))))
        return err;
    return append(out, SLICE_LIT("}"), max_bytes);
}

int envelope_encode_full(const struct envelope_message *m, struct buf *out, size_t max_bytes)
{
    size_t start = out->len;
    int err = append_full(m, out, max_bytes);
    if (err) out->len = start;
    return err;
}

static struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

int envelope_encode_refusal(int err, struct buf *out, size_t max_bytes)
{
    CHECK(err < 0);
    const struct err_info *info = err_info(err);
    const struct slice error_key = SLICE_LIT(",\"username\":\"system\",\"error\":{\"code\":");
    char text[REFUSAL_TEXT_MAX];
    int n = snprintf(text, sizeof(text), "Not sent: %s", info->text);
    CHECK(n > 0 && (size_t)n < sizeof(text));

    size_t start = out->len;
    int failed;
    if ((failed = append_member(out, SLICE_LIT("{\"message\":"), slice_of(text), max_bytes)) ||
        (failed = append_member(out, error_key, slice_of(info->word), max_bytes)) ||
        (failed = append(out, SLICE_LIT("}}"), max_bytes)))
        out->len = start;
    return failed;
}
