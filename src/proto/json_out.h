/* Writes JSON the way all frames are written: literals and members in a row, into a buffer with a
 * cap. The first failure is kept and everything after it does nothing, so an encoder reads as the
 * frame it makes and looks at errors once, at its end. Pure; any thread. */
#ifndef PROTO_JSON_OUT_H
#define PROTO_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/id.h"

struct json_out {
    struct buf *buf;
    size_t max_bytes;
    size_t start; /* what buf held before */
    int err;
};

static inline struct json_out json_out_begin(struct buf *buf, size_t max_bytes)
{
    return (struct json_out){.buf = buf, .max_bytes = max_bytes, .start = buf->len};
}

/* 0, or the first failure, an error of buf_reserve; buf is then as it was before. */
static inline int json_out_end(struct json_out *o)
{
    if (o->err) buf_truncate(o->buf, o->start);
    return o->err;
}

/* JSON as it stands. */
void json_out_raw(struct json_out *o, struct slice raw);

/* The others write `key` as it stands, which ends in `"name":` or is empty, then a value. */
void json_out_text(struct json_out *o, struct slice key, struct slice text); /* valid UTF-8 */
void json_out_uint(struct json_out *o, struct slice key, uint64_t value);
void json_out_int(struct json_out *o, struct slice key, int64_t value);
void json_out_bool(struct json_out *o, struct slice key, bool value);
void json_out_id(struct json_out *o, struct slice key, const struct id *id);

#endif
