/* See json.h. The scanner goes forward only and keeps its nesting in one 64-bit word, so depth
 * costs no stack and no allocation. Text is passed over a word at a time, because in a chat nearly
 * every byte is text that needs nothing done to it. */
#include "proto/json.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/ascii.h"
#include "base/check.h"
#include "base/err.h"

enum {
    ESCAPE_HEX_DIGITS = 4,
    ESCAPED_CONTROL_BYTES = 6, /* \u00XX */
    UTF8_MAX_BYTES = 4
};

static const char HEX[] = "0123456789abcdef";

/* Which brackets are open inside the value being skipped: bit n set for an object. */
struct nest {
    uint64_t objects;
    unsigned open;
};

static_assert(JSON_DEPTH_MAX <= 64, "struct nest has a bit for each level");

/* Nonzero iff a byte of w is below 0x20, '"' or '\': the bytes that cannot stand in a JSON string
 * as themselves. Each term is the exact "has a byte less than" test of a carry-borrow trick. */
static uint64_t word_has_special(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t tops = 0x8080808080808080u;
    uint64_t quote = w ^ (ones * '"');
    uint64_t slash = w ^ (ones * '\\');
    return (((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) &
           tops;
}

static bool byte_is_special(char c)
{
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

/* Length of the longest prefix without special bytes. */
static size_t plain_run(const char *p, size_t n)
{
    size_t i = 0;
    for (uint64_t w; n - i >= sizeof(w); i += sizeof(w)) {
        memcpy(&w, p + i, sizeof(w));
        if (word_has_special(w)) break;
    }
    while (i < n && !byte_is_special(p[i]))
        i++;
    return i;
}

static size_t left(const struct json *j)
{
    return (size_t)(j->end - j->at);
}

void json_scan_space(struct json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\r' || *j->at == '\t'))
        j->at++;
}

int json_scan_take(struct json *j, char c)
{
    if (j->at == j->end || *j->at != c) return 0;
    j->at++;
    return 1;
}

/* Reads the four digits after \u. */
static int take_hex4(struct json *j, uint32_t *unit)
{
    if (left(j) < ESCAPE_HEX_DIGITS) return ERR_BAD_JSON;
    uint32_t value = 0;
    for (int i = 0; i < ESCAPE_HEX_DIGITS; i++) {
        int digit = ascii_hex_value(j->at[i]);
        if (digit < 0) return ERR_BAD_JSON;
        value = value << 4 | (uint32_t)digit;
    }
    j->at += ESCAPE_HEX_DIGITS;
    *unit = value;
    return 0;
}

/* Reads what follows the backslash. A high surrogate takes a low one that follows with it; one that
 * is left alone reads as U+FFFD, since UTF-8 has no bytes for it (RFC 3629 section 3) and a
 * receiver would have to close the connection over them. */
static int take_escape(struct json *j, uint32_t *code)
{
    if (j->at == j->end) return ERR_BAD_JSON;
    switch (*j->at++) {
    case '"':
        *code = '"';
        return 0;
    case '\\':
        *code = '\\';
        return 0;
    case '/':
        *code = '/';
        return 0;
    case 'b':
        *code = '\b';
        return 0;
    case 'f':
        *code = '\f';
        return 0;
    case 'n':
        *code = '\n';
        return 0;
    case 'r':
        *code = '\r';
        return 0;
    case 't':
        *code = '\t';
        return 0;
    case 'u':
        break;
    default:
        return ERR_BAD_JSON;
    }

    int err = take_hex4(j, code);
    if (err || *code < 0xD800 || *code > 0xDFFF) return err;
    struct json ahead = *j;
    uint32_t low;
    if (*code <= 0xDBFF && json_scan_take(&ahead, '\\') && json_scan_take(&ahead, 'u') &&
        take_hex4(&ahead, &low) == 0 && low >= 0xDC00 && low <= 0xDFFF) {
        *j = ahead;
        *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
        return 0;
    }
    *code = 0xFFFD;
    return 0;
}

static size_t utf8_put(uint32_t code, uint8_t out[static UTF8_MAX_BYTES])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xE0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

/* Moves over the plain run at hand and reports whether a backslash follows (1), the closing quote,
 * which is taken (0), or neither (ERR_BAD_JSON). */
static int take_run(struct json *j, struct slice *run)
{
    *run = (struct slice){j->at, plain_run(j->at, left(j))};
    j->at += run->len;
    if (json_scan_take(j, '"')) return 0;
    return json_scan_take(j, '\\') ? 1 : ERR_BAD_JSON;
}

static int skip_string(struct json *j)
{
    if (!json_scan_take(j, '"')) return ERR_BAD_JSON;
    for (;;) {
        struct slice run;
        uint32_t code;
        int more = take_run(j, &run);
        if (more <= 0) return more;
        int err = take_escape(j, &code);
        if (err) return err;
    }
}

int json_scan_string(struct json *j, struct buf *scratch, struct slice *out)
{
    struct slice run;
    if (!json_scan_take(j, '"')) return ERR_BAD_JSON;
    int more = take_run(j, &run);
    if (more < 0) return more;
    if (more == 0) {
        *out = run;
        return 0;
    }

    if (j->at == j->end) return ERR_BAD_JSON; /* or nothing might be reserved */
    int err = buf_reserve(scratch, run.len + left(j), SIZE_MAX);
    if (err) return err;
    size_t start = scratch->len;
    uint8_t *at = scratch->data + start;
    for (;;) {
        if (run.len) memcpy(at, run.ptr, run.len);
        at += run.len;
        if (more == 0) break;

        uint32_t code;
        uint8_t utf8[UTF8_MAX_BYTES];
        err = take_escape(j, &code);
        if (err) return err;
        size_t n = utf8_put(code, utf8);
        memcpy(at, utf8, n); /* not put in place: the last escape may end where the room does */
        at += n;
        more = take_run(j, &run);
        if (more < 0) return more;
    }
    buf_truncate(scratch, (size_t)(at - scratch->data));
    *out = (struct slice){(const char *)scratch->data + start, scratch->len - start};
    return 0;
}

static int skip_digits(struct json *j)
{
    const char *start = j->at;
    while (j->at < j->end && *j->at >= '0' && *j->at <= '9')
        j->at++;
    return j->at == start ? ERR_BAD_JSON : 0;
}

/* RFC 8259 section 6. */
static int skip_number(struct json *j)
{
    json_scan_take(j, '-');
    if (!json_scan_take(j, '0') && skip_digits(j)) return ERR_BAD_JSON;
    if (json_scan_take(j, '.') && skip_digits(j)) return ERR_BAD_JSON;
    if (json_scan_take(j, 'e') || json_scan_take(j, 'E')) {
        if (!json_scan_take(j, '+')) json_scan_take(j, '-');
        return skip_digits(j);
    }
    return 0;
}

static int skip_word(struct json *j, struct slice word)
{
    if (left(j) < word.len || memcmp(j->at, word.ptr, word.len) != 0) return ERR_BAD_JSON;
    j->at += word.len;
    return 0;
}

static int skip_scalar(struct json *j)
{
    if (j->at == j->end) return ERR_BAD_JSON;
    switch (*j->at) {
    case '"':
        return skip_string(j);
    case 't':
        return skip_word(j, SLICE_LIT("true"));
    case 'f':
        return skip_word(j, SLICE_LIT("false"));
    case 'n':
        return skip_word(j, SLICE_LIT("null"));
    default:
        return skip_number(j);
    }
}

static bool nest_in_object(const struct nest *n)
{
    return n->objects & 1;
}

/* Moves over `"key":` and the space around it. */
static int skip_key(struct json *j)
{
    int err = skip_string(j);
    if (err) return err;
    json_scan_space(j);
    if (!json_scan_take(j, ':')) return ERR_BAD_JSON;
    json_scan_space(j);
    return 0;
}

/* Closes what ends here and moves to the next value inside what does not: 1 if there is one, 0 if
 * everything is closed. */
static int next_value(struct json *j, struct nest *n)
{
    while (n->open > 0) {
        json_scan_space(j);
        if (json_scan_take(j, ',')) {
            json_scan_space(j);
            int err = nest_in_object(n) ? skip_key(j) : 0;
            return err ? err : 1;
        }
        if (!json_scan_take(j, nest_in_object(n) ? '}' : ']')) return ERR_BAD_JSON;
        n->objects >>= 1;
        n->open--;
    }
    return 0;
}

/* Moves over a scalar, or into a bracket up to its first value: 1 if it is there to be read, 0 if a
 * whole value lies behind (an empty bracket closes in next_value). */
static int enter_value(struct json *j, struct nest *n, unsigned depth)
{
    bool object = json_scan_take(j, '{');
    if (!object && !json_scan_take(j, '[')) return skip_scalar(j);
    if (depth + n->open >= JSON_DEPTH_MAX) return ERR_BAD_JSON;
    n->objects = n->objects << 1 | object;
    n->open++;
    json_scan_space(j);
    if (j->at < j->end && *j->at == (object ? '}' : ']')) {
        j->at++;
        n->objects >>= 1;
        n->open--;
        return 0;
    }
    int err = object ? skip_key(j) : 0;
    return err ? err : 1;
}

int json_scan_value(struct json *j, unsigned depth, struct slice *raw)
{
    const char *start = j->at;
    struct nest nest = {0};
    int more = 1;
    while (more > 0) {
        more = enter_value(j, &nest, depth);
        if (more == 0) more = next_value(j, &nest);
    }
    if (more < 0) return more;
    *raw = (struct slice){start, (size_t)(j->at - start)};
    return 0;
}

bool json_is_absent(const struct json_value *v)
{
    return v->kind == JSON_KIND_ABSENT || (v->kind == JSON_KIND_RAW && slice_is(v->text, "null"));
}

static size_t field_index(struct slice key, const struct json_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(fields[i].name, key)) return i;
    return count;
}

struct object {
    const struct json_field *fields;
    size_t count;
    struct json_value *values;
};

/* Reads `"key": value` up to the comma or bracket behind it, without which the value may not be
 * whole (01 is not a 0). */
static int take_member(struct json *j, struct buf *scratch, const struct object *o)
{
    struct slice key;
    int err = json_scan_string(j, scratch, &key);
    if (err) return err;
    json_scan_space(j);
    if (!json_scan_take(j, ':')) return ERR_BAD_JSON;
    json_scan_space(j);

    size_t i = field_index(key, o->fields, o->count);
    struct json_value v = {.kind = JSON_KIND_RAW};
    if (i < o->count && !o->fields[i].raw && j->at < j->end && *j->at == '"') {
        v.kind = JSON_KIND_STRING;
        err = json_scan_string(j, scratch, &v.text);
    } else {
        err = json_scan_value(j, 1, &v.text);
    }
    if (err) return err;
    json_scan_space(j);
    if (j->at == j->end || (*j->at != ',' && *j->at != '}')) return ERR_BAD_JSON;
    if (i < o->count) o->values[i] = v;
    return 0;
}

static int take_members(struct json *j, struct buf *scratch, const struct object *o)
{
    if (json_scan_take(j, '}')) return 0;
    do {
        json_scan_space(j);
        int err = take_member(j, scratch, o);
        if (err) return err;
    } while (json_scan_take(j, ','));
    return json_scan_take(j, '}') ? 0 : ERR_BAD_JSON;
}

int json_scan_fields(struct slice json, struct buf *scratch, const struct json_field *fields,
                     size_t count, struct json_value *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (struct json_value){0};
    if (json.len == 0) return ERR_BAD_JSON;
    DCHECK(scratch->len == 0);
    struct json j = {json.ptr, json.ptr + json.len};
    const struct object object = {fields, count, values};
    json_scan_space(&j);
    if (!json_scan_take(&j, '{')) return ERR_BAD_JSON;
    json_scan_space(&j);
    int err = take_members(&j, scratch, &object);
    if (err) return err;
    json_scan_space(&j);
    return j.at == j.end ? 0 : ERR_BAD_JSON;
}

/* The letter of a two-byte escape, or 0 (RFC 8259 section 7). */
static char short_escape(char c)
{
    switch (c) {
    case '"':
    case '\\':
        return c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

/* Bytes that escaping adds to a text that starts with a special byte, or is empty. */
static size_t escape_growth(const char *p, size_t n)
{
    size_t extra = 0;
    for (size_t i = 0; i < n;) {
        extra += short_escape(p[i]) ? 1 : ESCAPED_CONTROL_BYTES - 1;
        i++;
        i += plain_run(p + i, n - i);
    }
    return extra;
}

static uint8_t *put_escape(uint8_t *at, char c)
{
    char letter = short_escape(c);
    *at++ = '\\';
    if (letter) {
        *at++ = (uint8_t)letter;
        return at;
    }
    *at++ = 'u';
    *at++ = '0';
    *at++ = '0';
    *at++ = (uint8_t)HEX[(unsigned char)c >> 4];
    *at++ = (uint8_t)HEX[(unsigned char)c & 0xF];
    return at;
}

size_t json_string_bytes(struct slice text)
{
    size_t run = text.len ? plain_run(text.ptr, text.len) : 0;
    size_t extra = run < text.len ? escape_growth(text.ptr + run, text.len - run) : 0;
    return text.len + extra + 2;
}

int json_append_string(struct buf *out, struct slice text, size_t max_bytes)
{
    size_t run = text.len ? plain_run(text.ptr, text.len) : 0;
    size_t extra = run < text.len ? escape_growth(text.ptr + run, text.len - run) : 0;
    if (text.len > max_bytes || extra > max_bytes) return ERR_TOO_LONG;
    int err = buf_reserve(out, text.len + extra + 2, max_bytes);
    if (err) return err;

    uint8_t *at = out->data + out->len;
    *at++ = '"';
    for (size_t i = 0;;) {
        if (run) memcpy(at, text.ptr + i, run);
        at += run;
        i += run;
        if (i == text.len) break;
        at = put_escape(at, text.ptr[i++]);
        run = plain_run(text.ptr + i, text.len - i);
    }
    *at++ = '"';
    buf_truncate(out, (size_t)(at - out->data));
    return 0;
}
