/* The WebSocket opening handshake, server side: RFC 6455 section 4.2 and, for permessage-deflate,
 * RFC 7692 sections 5 and 7.1. Pure: a parsed request in, a decision and the bytes of the answer
 * out; any thread. */
#ifndef PROTO_WS_HANDSHAKE_H
#define PROTO_WS_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct http_request;

enum {
    WS_HANDSHAKE_ACCEPT_LEN = 28,      /* base64 of a SHA-1 */
    WS_HANDSHAKE_EXTENSIONS_MAX = 136, /* the longest answer, with its NUL, is 129 */
    WS_HANDSHAKE_PAST_BITS = 10 /* of a client that lets us choose its window: 1 KiB are kept */
};

/* Makes OpenSSL ready, once, before other threads start: its lazy initialisation, if memory is
 * short just then, would fail for good. 0 or ERR_NOMEM. */
int ws_handshake_init(void);

struct ws_handshake {
    char accept[WS_HANDSHAKE_ACCEPT_LEN + 1]; /* Sec-WebSocket-Accept, NUL-terminated */
    bool deflate;
    bool client_keeps_context;  /* from one of its messages to the next */
    bool client_bits_offered;   /* we may choose the client's window */
    uint8_t client_bits;        /* the most it offered; 0: no more than there can be */
    uint8_t server_bits;        /* 0: it did not ask for fewer */
    uint8_t server_window_bits; /* 8..15: what we promised to compress with */
    char extensions[WS_HANDSHAKE_EXTENSIONS_MAX]; /* the header of the answer, or "" */
    struct slice protocols; /* the first Sec-WebSocket-Protocol as offered, or empty */
};

/* Checks an opening handshake and answers its extension offers. Slices in *out live as long as the
 * request's bytes.
 *
 * The first acceptable permessage-deflate offer wins; an offer with an unknown, repeated or
 * ill-valued parameter is declined, which is no error (RFC 7692 section 5.1). The answer always
 * says that we keep no context, asked or not; but the client may keep its own unless it offered not
 * to, since some do so whatever the answer says (section 7.1.1).
 *
 * ERR_UPGRADE_REQUIRED: no upgrade to websocket was asked for. ERR_BAD_VERSION: version other than
 * 13. ERR_BAD_UPGRADE: anything else wrong. ERR_NOMEM: OpenSSL had no memory. */
int ws_handshake_parse(const struct http_request *r, bool allow_deflate, struct ws_handshake *out);

/* Bytes of the window that the client keeps, as a power of two; 0: it keeps none. */
unsigned ws_handshake_past_bits(const struct ws_handshake *h);

/* There is no memory for what the client would keep. demand: the answer forbids it to; else there
 * is no compression. */
void ws_handshake_keep_nothing(struct ws_handshake *h, bool demand);

/* Appends the 101 response. protocol: the one chosen out of h->protocols, len 0 for none; it must
 * be a token. Errors as buf_reserve; out is then unchanged. */
int ws_handshake_response(const struct ws_handshake *h, struct slice protocol, struct buf *out,
                          size_t max_bytes);

#endif
