/* A small strict JSON scanner (RFC 8259) for the hot path, where a message is read once and never
 * becomes a tree: values can be skipped and handed on as the bytes they were. Why not a library:
 * docs/decisions/0002-json-by-hand.md. Everything off the hot path uses jansson, which has taken
 * the plain names: a json_string here would be called by that library in place of its own.
 *
 * The bytes have to be valid UTF-8 already; the WebSocket layer has seen to that. Invalid bytes do
 * no harm here, they are passed through. Pure; any thread. */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { JSON_DEPTH_MAX = 64 }; /* arrays and objects inside each other */

/* A reading position: [at, end). The caller sets both, then hands it on. */
struct json {
    const char *at;
    const char *end;
};

/* Moves over white space. */
void json_scan_space(struct json *j);

/* Moves over one byte if it is c: 1, else 0. */
int json_scan_take(struct json *j, char c);

/* Moves over one value of any kind, without white space around it; *raw is its bytes. depth: how
 * many arrays and objects are open around it. ERR_BAD_JSON if there is no valid value or it lies
 * deeper than JSON_DEPTH_MAX; the position is then of no use. */
int json_scan_value(struct json *j, unsigned depth, struct slice *raw);

/* Moves over one string and decodes it. Without escapes *out is a view of the input; with escapes
 * it is appended to scratch, which has to have room for the rest of the input behind its len
 * already, or is given it (decoding never makes a string longer, so one reservation at the first
 * escape serves a whole document and earlier slices into scratch stay good). \u0000 becomes a NUL
 * byte, a surrogate without its partner U+FFFD. ERR_BAD_JSON, ERR_NOMEM. */
int json_scan_string(struct json *j, struct buf *scratch, struct slice *out);

/* A member that a document may have. */
struct json_field {
    struct slice name;
    bool raw; /* strings too are wanted as the bytes they were */
};

enum json_kind { JSON_KIND_ABSENT, JSON_KIND_STRING, JSON_KIND_RAW };

/* What it was: a string, decoded, or any other value as its bytes. */
struct json_value {
    enum json_kind kind;
    struct slice text;
};

/* It is not there, or null. */
bool json_is_absent(const struct json_value *v);

/* Reads a document that is one object, once from end to end: values[i] is what fields[i] was. Other
 * members are passed over; of repeated ones the last counts. Slices point into json or scratch,
 * which has to be empty and is reserved at most once, so what it holds never moves. ERR_BAD_JSON,
 * ERR_NOMEM; values then hold what was read before. */
int json_scan_fields(struct slice json, struct buf *scratch, const struct json_field *fields,
                     size_t count, struct json_value *values);

/* Appends text as a quoted JSON string. Only '"', '\' and bytes below 0x20 are escaped. Errors as
 * buf_reserve, with out as it was. */
int json_append_string(struct buf *out, struct slice text, size_t max_bytes);

/* How many bytes that appends. */
size_t json_string_bytes(struct slice text);

#endif
