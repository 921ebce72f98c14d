/* The session of the echo route: gives back what it gets, for conformance suites. */
#include "session/echo.h"

#include "proto/ws_deflate.h"
#include "server/conn.h"
#include "server/websocket.h"
#include "server/worker.h"

/* permessage-deflate where it was negotiated and saves bytes. */
static int echo_on_message(struct conn *c, struct slice message, bool binary)
{
    struct worker *w = c->worker;
    struct slice payload = message;
    struct buf *deflated = &w->encoder.deflated[0];
    bool rsv1 = false;
    if (c->window_bits) {
        deflated->len = 0;
        if (ws_deflater_run(w->encoder.deflater, c->window_bits, (const uint8_t *)message.ptr,
                            message.len, deflated, CONN_OUT_MAX_BYTES) != 0) {
            conn_drop(c);
            return 0;
        }
        if (deflated->len < message.len) {
            payload = (struct slice){(const char *)deflated->data, deflated->len};
            rsv1 = true;
        }
    }
    websocket_send(c, binary ? WS_BINARY : WS_TEXT, rsv1, payload);
    return 0;
}

const struct session_ops echo_session = {.on_message = echo_on_message, .unlimited = true};
