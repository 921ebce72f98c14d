/* See json_out.h. */
#include "proto/json_out.h"

#include "proto/json.h"

enum { UINT64_DIGITS_MAX = 20 };

void json_out_raw(struct json_out *o, struct slice raw)
{
    if (!o->err) o->err = buf_append(o->buf, raw.ptr, raw.len, o->max_bytes);
}

void json_out_text(struct json_out *o, struct slice key, struct slice text)
{
    if (o->err) return;
    int err = buf_append(o->buf, key.ptr, key.len, o->max_bytes);
    o->err = err ? err : json_append_string(o->buf, text, o->max_bytes);
}

void json_out_uint(struct json_out *o, struct slice key, uint64_t value)
{
    char digits[UINT64_DIGITS_MAX];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    json_out_raw(o, key);
    json_out_raw(o, (struct slice){digits + at, sizeof(digits) - at});
}

void json_out_int(struct json_out *o, struct slice key, int64_t value)
{
    json_out_raw(o, key);
    if (value < 0) json_out_raw(o, SLICE_LIT("-"));
    json_out_uint(o, (struct slice){0}, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void json_out_bool(struct json_out *o, struct slice key, bool value)
{
    json_out_raw(o, key);
    json_out_raw(o, value ? SLICE_LIT("true") : SLICE_LIT("false"));
}

void json_out_id(struct json_out *o, struct slice key, const struct id *id)
{
    char text[ID_TEXT_MAX + 2] = {'"'};
    size_t n = id_write(id, text + 1) + 1; /* no character of an id needs an escape */
    text[n++] = '"';
    json_out_raw(o, key);
    json_out_raw(o, (struct slice){text, n});
}
