/* WebSocket frames (RFC 6455 section 5.2) as a server writes them: never masked, never fragmented.
 * Finished frames are what the room log stores and what sockets are given, so a frame has to tell
 * its own size: ws_frame_size walks a run of them. */
#ifndef PROTO_WS_FRAME_H
#define PROTO_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

enum {
    WS_HEAD_MAX = 10,     /* largest head of an unmasked frame */
    WS_CONTROL_MAX = 125, /* largest payload of a control frame, section 5.5 */
    WS_MASK_BYTES = 4
};

/* Writes the head of an unmasked final frame to out and returns its size, 2, 4 or 10 bytes: the
 * shortest form, as section 5.2 demands. rsv1 marks a compressed message (RFC 7692 section 6).
 * payload_bytes is below 2^63, and at most WS_CONTROL_MAX for a control frame. Any thread. */
size_t ws_frame_head(uint8_t out[static WS_HEAD_MAX], enum ws_opcode op, bool rsv1,
                     uint64_t payload_bytes);

/* The size that ws_frame_head would return. */
size_t ws_frame_head_size(uint64_t payload_bytes);

/* Head and payload together of a frame that ws_frame_head began; frame points at its first byte
 * and the head is there whole. Never for bytes of a peer. */
uint64_t ws_frame_size(const uint8_t *frame);

/* Appends a whole frame to out. payload.ptr may be NULL iff its length is 0; it must not point into
 * out. Errors as buf_append (ERR_NOMEM, ERR_TOO_LONG past max_bytes), then out is as before. */
int ws_frame_append(struct buf *out, enum ws_opcode op, bool rsv1, struct slice payload,
                    size_t max_bytes);

/* Appends a close frame (section 5.5.1). code 0: an empty payload, reason is not looked at.
 * reason is NUL-terminated UTF-8, or NULL; what does not fit into 123 bytes is cut off in front of
 * a code point. Errors as ws_frame_append. */
int ws_frame_append_close(struct buf *out, uint16_t code, const char *reason, size_t max_bytes);

/* Masks or unmasks n bytes in place (section 5.3). phase, 0..3, is the place of p[0] in the mask,
 * that is its offset in the payload modulo 4. Works a machine word at a time, at any alignment. */
void ws_unmask(uint8_t *p, size_t n, const uint8_t mask[static WS_MASK_BYTES], unsigned phase);

#endif
