/* See http_handshake.h. */
#include "http/http_handshake.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "http/http_answer.h"
#include "http/origin_gate.h"
#include "ops/metrics.h"
#include "proto/envelope.h"
#include "proto/http.h"
#include "proto/json_out.h"
#include "proto/rich.h"
#include "proto/ws_frame.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/session.h"
#include "server/websocket.h"
#include "server/worker.h"

#define UPGRADE_TO "Upgrade: websocket\r\nConnection: Upgrade\r\n" /* RFC 9110 section 7.8 */

enum { UPGRADE_MAX_BYTES = 1024, WORDS_MAX = ORIGIN_GATE_TEXT_MAX + 128, REFUSAL_MAX_BYTES = 4096 };

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

static int encode_refusal(bool rich, int err, struct slice text, struct buf *out)
{
    const struct err_info *info = err_info(err);
    if (!rich) return envelope_encode_system(text, info->word, out, REFUSAL_MAX_BYTES);
    struct json_out o = json_out_begin(out, REFUSAL_MAX_BYTES);
    json_out_text(&o, SLICE_LIT("{\"type\":\"error\",\"code\":"), slice_of(info->word));
    json_out_text(&o, SLICE_LIT(",\"detail\":"), text);
    json_out_bool(&o, SLICE_LIT(",\"temporary\":"), rich_is_temporary(err));
    json_out_raw(&o, SLICE_LIT("}"));
    return json_out_end(&o);
}

void http_handshake_refuse(struct conn *c, struct http_manner m, const struct ws_handshake *h,
                           struct slice subprotocol, const struct http_refusal *refusal)
{
    const struct err_info *info = err_info(refusal->err);
    struct buf *frame = &c->worker->text;
    char words[WORDS_MAX];
    bool rich = slice_is(subprotocol, RICH_SUBPROTOCOL);
    snprintf(words, sizeof words, "%s%s", rich ? "" : "Not connected: ", refusal->text);
    frame->len = 0;
    if (!http_handshake_finish(c, m, h, subprotocol)) return;
    if (!c->session->unlimited && encode_refusal(rich, refusal->err, slice_of(words), frame) == 0)
        websocket_send_text(c, frame->data, frame->len);
    bool fits = strlen(refusal->text) <= WS_CONTROL_MAX - 2; /* half an option is worse than none */
    websocket_close(c, info->close_code, fits ? refusal->text : info->text);
}

bool http_handshake_may(struct conn *c, const struct http_request *r, const struct ws_handshake *h,
                        struct slice subprotocol)
{
    int err = origin_gate_page(c, r);
    char text[ORIGIN_GATE_TEXT_MAX];
    if (!err) return true;
    origin_gate_refuse(c, r, err, text);
    const struct http_refusal refusal = {err, text};
    http_handshake_refuse(c, http_manner(r), h, subprotocol, &refusal);
    return false;
}
