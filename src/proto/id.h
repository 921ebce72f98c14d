/* Message ids (protocol section 4): "epoch-seq", opaque to clients, the value of `since`. Pure; any
 * thread. */
#ifndef PROTO_ID_H
#define PROTO_ID_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/event.h"

enum {
    ID_TEXT_MAX = EVENT_EPOCH_LEN + 1 + 16 /* a seq below 2^53 has 16 digits */
};

#define ID_SEQ_MAX ((UINT64_C(1) << 53) - 1) /* what a number in JavaScript can count to */

struct id {
    char epoch[EVENT_EPOCH_LEN]; /* each one of 0-9 a-z */
    uint64_t seq;                /* 0..ID_SEQ_MAX; 0 is the head of a log without events */
};

/* Reads exactly what id_write writes, nothing else: ERR_BAD_ID, *out untouched. */
int id_parse(struct slice text, struct id *out);

/* Returns the length; not NUL-terminated. */
size_t id_write(const struct id *id, char out[static ID_TEXT_MAX]);

#endif
