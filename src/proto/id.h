/* Message ids (protocol section 4): "epoch-seq", opaque to clients, the value of `since`. Pure; any
 * thread. */
#ifndef PROTO_ID_H
#define PROTO_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    ID_EPOCH_LEN = 8,
    ID_TEXT_MAX = ID_EPOCH_LEN + 1 + 16 /* a seq below 2^53 has 16 digits */
};

#define ID_SEQ_MAX ((UINT64_C(1) << 53) - 1) /* what a number in JavaScript can count to */

struct id {
    char epoch[ID_EPOCH_LEN]; /* each one of 0-9 a-z */
    uint64_t seq;             /* 0..ID_SEQ_MAX; 0 is the head of a log without events */
};

/* Whether these ID_EPOCH_LEN bytes can be an epoch. */
bool id_is_epoch(const char *p);

/* Reads exactly what id_write writes, nothing else: ERR_BAD_ID, *out untouched. */
int id_parse(struct slice text, struct id *out);

/* Returns the length; not NUL-terminated. */
size_t id_write(const struct id *id, char out[static ID_TEXT_MAX]);

#endif
