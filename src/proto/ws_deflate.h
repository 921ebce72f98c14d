/* permessage-deflate payloads (RFC 7692 section 7.2) by zlib.
 *
 * Each message of ours is compressed on its own. That costs some ratio, and buys the two things a
 * chat server needs: a connection owns no compression state (tens to hundreds of kilobytes
 * elsewhere), and a broadcast is compressed once, because the bytes do not depend on who receives
 * them.
 *
 * So a worker owns one deflater and one inflater for all its connections. Both keep their memory
 * between messages and are reset, not made again. Neither may be used by two threads at a time.
 *
 * A client may keep its context: its messages then refer to bytes of those before (context
 * takeover, section 7.1.1). Of such a client the newest bytes are kept, as many as its window has
 * and it has sent, and given to the inflater before each message. */
#ifndef PROTO_WS_DEFLATE_H
#define PROTO_WS_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    WS_WINDOW_BITS_MIN = 8, /* the range of the *_max_window_bits parameters, section 7.1.2 */
    WS_WINDOW_BITS_MAX = 15
};

struct ws_deflater;
struct ws_inflater;

/* What the messages to come may refer to. Zeroed but for bits: the start of a connection. */
struct ws_past {
    uint8_t *data; /* the newest bytes; owned */
    uint16_t len;
    uint16_t cap;
    uint8_t bits; /* of the client's window, WS_WINDOW_BITS_MIN.._MAX; 0: it keeps no context */
};

/* Frees what it owns; bits stay. */
void ws_past_fini(struct ws_past *past);

/* level: zlib's, 1 (fast) to 9 (small). Returns owned, or NULL if memory is short. Compression
 * streams are only made when a window size is first used. */
struct ws_deflater *ws_deflater_new(int level);

/* d may be NULL. */
void ws_deflater_free(struct ws_deflater *d);

/* Appends to out the compressed payload of one message, the trailing 00 00 ff ff removed (section
 * 7.2.1); an empty message becomes the single byte 00 (7.2.3.6). No distance in it reaches further
 * back than 2^window_bits bytes, window_bits being WS_WINDOW_BITS_MIN to WS_WINDOW_BITS_MAX. `in`
 * may be NULL iff len is 0; it must not point into out. Errors: ERR_NOMEM; ERR_TOO_LONG if out->len
 * would pass max_bytes; out->len is then as before. */
int ws_deflater_run(struct ws_deflater *d, unsigned window_bits, const uint8_t *in, size_t len,
                    struct buf *out, size_t max_bytes);

/* Reads every window size. Returns owned, or NULL if memory is short. */
struct ws_inflater *ws_inflater_new(void);

/* i may be NULL. */
void ws_inflater_free(struct ws_inflater *i);

/* Appends to out the message whose compressed payload is `in` (section 7.2.2). Blocks behind a
 * final block (BFINAL, 7.2.3.4) are read as a stream of their own. out grows as bytes come out,
 * and inflating stops at once when out->len would pass max_bytes: the size of `in` says nothing
 * about what it unfolds to. Errors: ERR_WS_TOO_BIG; ERR_WS_DATA for data that is not deflate or
 * stops in the middle of a block; ERR_NOMEM; out->len is then as before. `in` may be NULL iff len
 * is 0, which is an empty message; it must not point into out. */
int ws_inflater_run(struct ws_inflater *i, const uint8_t *in, size_t len, struct buf *out,
                    size_t max_bytes);

/* The same for a message of a client that keeps its context, which past gives and which this
 * message then belongs to. Memory follows what was sent, up to 2^bits bytes. ERR_NOMEM also if past
 * could not grow: as after every error, the connection cannot go on. */
int ws_inflater_run_on(struct ws_inflater *i, struct ws_past *past, struct slice in,
                       struct buf *out, size_t max_bytes);

#endif
