/* Turns the bytes of a WebSocket client into messages and control events (RFC 6455, RFC 7692).
 *
 * No I/O and no clock: bytes in, events out. The state lives by value in every connection, so it is
 * small, and an idle connection owns no memory beside it. What can be shared by the connections of
 * a worker (inflater, scratch) is handed in with each call.
 *
 * The caller's loop, over a receive buffer that may belong to the whole worker:
 *
 *     struct ws_input in = {bytes, count};   // kept rest of last time + what recv brought
 *     do err = ws_reader_next(&reader, &options, &in, &event); while (!err && handle(&event));
 *     keep(in.data, in.len);                 // at most WS_READER_REST_MAX bytes
 *
 * where handle() is false for WS_EVENT_NONE and WS_EVENT_CLOSE. */
#ifndef PROTO_WS_READER_H
#define PROTO_WS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "proto/ws_deflate.h"
#include "proto/ws_frame.h"

enum {
    /* The most that can be left in the input after WS_EVENT_NONE: less than one head (14 bytes when
     * masked) and one control payload. */
    WS_READER_REST_MAX = 14 + WS_CONTROL_MAX
};

enum ws_event_type {
    WS_EVENT_NONE, /* needs more bytes */
    WS_EVENT_MESSAGE,
    WS_EVENT_PING,
    WS_EVENT_PONG,
    WS_EVENT_CLOSE
};

struct ws_event {
    enum ws_event_type type;
    enum ws_opcode opcode; /* MESSAGE: WS_TEXT or WS_BINARY */
    const uint8_t *data;   /* message, ping or pong payload, close reason; not NULL but for NONE */
    size_t len;
    uint16_t close_code; /* CLOSE: 0 when the frame was empty */
};

struct ws_reader_options {
    size_t max_message_bytes;     /* a frame, the sum of fragments, what inflates; 0: no limit */
    bool deflate;                 /* permessage-deflate was negotiated */
    bool text_only;               /* a binary data frame is ERR_WS_BINARY at its head */
    struct ws_inflater *inflater; /* borrowed; may be NULL iff !deflate */

    /* Borrowed scratch for inflated messages; may be NULL iff !deflate. It keeps its capacity,
     * which the owner may take away with buf_fini between calls. */
    struct buf *inflated;

    /* Of the connection: what its client's messages refer to. NULL or without bits: it keeps no
     * context. */
    struct ws_past *past;
};

/* Bytes from the client that were not consumed yet. */
struct ws_input {
    uint8_t *data;
    size_t len;
};

/* Zero-initialised: the start of a connection. Fields belong to ws_reader.c. */
struct ws_reader {
    struct buf message;          /* payload of the message so far, when it cannot be zero-copy */
    uint64_t left;               /* payload bytes of the open data frame still to come */
    uint8_t mask[WS_MASK_BYTES]; /* of the open data frame */
    uint8_t phase;               /* place of its next payload byte in the mask */
    uint8_t opcode;              /* of the open message; WS_CONTINUATION: none is open */
    bool final;                  /* the open data frame is the last of its message */
    bool compressed;             /* the open message is */
    struct utf8 utf8;            /* of the open text message, unless compressed */
};

/* Consumes bytes from the front of *in (data moves on, len shrinks), unmasking them in place, and
 * gives one event. WS_EVENT_NONE: needs more bytes. Then at most WS_READER_REST_MAX bytes, the
 * beginning of a head or of a control frame, are left in *in, unchanged; the caller presents them
 * again with newer bytes behind them. Payload of data frames is always consumed as it arrives.
 *
 * ev->data is borrowed from the input, the reader or o->inflated: valid until the next call with
 * this reader or this scratch, and while the input buffer is not written to. An unfragmented
 * message that lies whole in the input is returned there, without a copy. After NONE the reader
 * owns no memory unless a message is half received. After WS_EVENT_CLOSE what is left of the input
 * means nothing (section 5.5.1) and the reader must not be called again.
 *
 * Errors are raised at the earliest byte that shows them, and are the end of the connection: only
 * ws_reader_skim and ws_reader_fini may follow. ERR_WS_PROTOCOL (section 5), ERR_WS_UTF8 (8.1),
 * ERR_WS_TOO_BIG (from the head alone, before the payload comes), ERR_WS_BINARY, ERR_WS_DATA,
 * ERR_NOMEM. ev->type is CLOSE then, and nothing else in *ev of use, iff it was a close frame that
 * was wrong. Memory follows the bytes received, not the length a head claims. Options may not
 * change within a connection. Used by the one thread that owns the connection. */
int ws_reader_next(struct ws_reader *r, const struct ws_reader_options *o, struct ws_input *in,
                   struct ws_event *ev);

/* Once the connection is being closed, for an error or for another reason: goes over what still
 * comes, as frames, without a look at what they hold. Consumes all but less than a head, or stops
 * at a close frame, or at what no frame can begin with: then it is true, and the reader must not be
 * called again. What was half received is freed. */
bool ws_reader_skim(struct ws_reader *r, struct ws_input *in);

/* Whether a data frame has begun, the rest of whose payload is still to come. */
static inline bool ws_reader_in_frame(const struct ws_reader *r)
{
    return r->left > 0;
}

/* Whether a data message has begun and not ended. */
static inline bool ws_reader_in_message(const struct ws_reader *r)
{
    return r->opcode != WS_CONTINUATION;
}

/* Bytes of memory that the reader owns. */
static inline size_t ws_reader_bytes(const struct ws_reader *r)
{
    return r->message.cap;
}

/* Frees what was half received: nobody is going to ask for it, and ws_reader_skim is all that may
 * follow. The last event stays as it is. */
void ws_reader_forget(struct ws_reader *r);

/* Frees what the reader owns and leaves the start state. */
void ws_reader_fini(struct ws_reader *r);

#endif
