/* The chunked transfer coding of a request's body, RFC 9112 section 7.1. Extensions and trailers
 * are checked and dropped. Pure; any thread.
 *
 * Not libhttp-parser's: Debian builds it in its lenient mode, which takes any two bytes for the
 * line end behind a chunk and lets bare line feeds into extensions, so that it and a proxy in front
 * of us can disagree about where the next request begins. */
#ifndef PROTO_HTTP_CHUNKS_H
#define PROTO_HTTP_CHUNKS_H

#include <stdint.h>

#include "base/buf.h"

enum {
    HTTP_CHUNKS_DIGITS_MAX = 16,         /* of a chunk's size, leading zeros included */
    HTTP_CHUNKS_EXTRA_MAX_BYTES = 16384, /* of all extensions and trailers of a body together */
};

/* A body being read; all zero is its beginning. */
struct http_chunks {
    uint64_t left; /* of the chunk, or its size as far as it was read */
    uint32_t extra_bytes;
    uint8_t digits;
    uint8_t state;
};

/* Takes bytes off *in, up to a run of the body's, which *data is set to (empty: in is used up). 0:
 * there is more to come; 1: the body has ended, and what is left of *in is the next request's.
 * ERR_BAD_REQUEST, ERR_HEAD_TOO_LARGE (extensions and trailers), ERR_BODY_TOO_LARGE (a chunk of
 * more than 2^32 bytes). Not after the end or an error. */
int http_chunks_read(struct http_chunks *k, struct slice *in, struct slice *data);

#endif
