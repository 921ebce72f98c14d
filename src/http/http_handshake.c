/* See http_handshake.h. */
#include "http/http_handshake.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "http/http_answer.h"
#include "http/origin_gate.h"
#include "ops/metrics.h"
#include "proto/http.h"
#include "proto/ws_frame.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/session.h"
#include "server/websocket.h"
#include "server/worker.h"

#define UPGRADE_TO "Upgrade: websocket\r\nConnection: Upgrade\r\n" /* RFC 9110 section 7.8 */

enum { UPGRADE_MAX_BYTES = 1024, REFUSAL_MAX_BYTES = ORIGIN_GATE_TEXT_MAX + 128 };

bool http_handshake_finish(struct conn *c, struct http_manner m, const struct ws_handshake *h,
                           struct slice subprotocol)
{
    struct worker *w = c->worker;
    struct buf *reply = &w->reply;
    reply->len = 0;
    if (ws_handshake_response(h, subprotocol, reply, UPGRADE_MAX_BYTES) != 0) {
        conn_leave(c);
        http_answer_error_later(c, m, ERR_NOMEM, HTTP_RETRY_AFTER);
        return false;
    }
    metrics_http(&w->metrics, 101);
    conn_send(c, reply->data, reply->len);
    if (c->state != CONN_HTTP) return false;
    websocket_start(c);
    return true;
}

/* What the client would keep has to be kept here too, while there is memory for it. Else a browser
 * is told to keep nothing; whoever is none, and so may not do as it is told, gets no compression.
 */
static void reserve_past(struct conn *c, const struct http_request *r, struct ws_handshake *h)
{
    if (!client_keep_past(c, ws_handshake_past_bits(h)))
        ws_handshake_keep_nothing(h, http_header_get(r, "Origin").ptr);
}

bool http_handshake_read(struct conn *c, const struct http_request *r, struct ws_handshake *h)
{
    int err = ws_handshake_parse(r, c->worker->server->options.compression, h);
    if (!err && atomic_load(&c->worker->server->draining)) err = ERR_DRAINING;
    if (!err) {
        reserve_past(c, r, h);
        return true;
    }
    const char *headers = NULL;
    if (err == ERR_UPGRADE_REQUIRED) headers = UPGRADE_TO;
    if (err == ERR_BAD_VERSION) headers = UPGRADE_TO "Sec-WebSocket-Version: 13\r\n";
    if (err == ERR_DRAINING) headers = HTTP_RETRY_AFTER;
    http_answer_error(c, r, err, headers);
    return false;
}

/* A refused page is told by a close code: a browser would hide the status of a refused handshake
 * from it. Before that in a frame of the kind it asked for, which it may show as it shows others.
 */
static void refuse_upgrade(struct conn *c, const struct http_request *r,
                           const struct ws_handshake *h, struct slice subprotocol, int err)
{
    const struct err_info *info = err_info(err);
    char text[ORIGIN_GATE_TEXT_MAX];
    char frame[REFUSAL_MAX_BYTES];
    origin_gate_refuse(c, r, err, text);
    int len =
        subprotocol.len
            ? snprintf(frame, sizeof frame,
                       "{\"type\":\"error\",\"code\":\"%s\",\"detail\":\"%s\",\"temporary\":false}",
                       info->word, text)
            : snprintf(frame, sizeof frame,
                       "{\"message\":\"Not connected: %s\",\"username\":\"system\","
                       "\"error\":{\"code\":\"%s\"}}",
                       text, info->word);
    if (!http_handshake_finish(c, http_manner(r), h, subprotocol)) return;
    if (!c->session->unlimited) websocket_send_text(c, (const uint8_t *)frame, (size_t)len);
    bool fits = strlen(text) <= WS_CONTROL_MAX - 2; /* half an option is worse than none */
    websocket_close(c, info->close_code, fits ? text : info->text);
}

bool http_handshake_may(struct conn *c, const struct http_request *r, const struct ws_handshake *h,
                        struct slice subprotocol)
{
    int err = origin_gate_page(c, r);
    if (err) refuse_upgrade(c, r, h, subprotocol, err);
    return !err;
}
