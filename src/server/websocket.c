/* See websocket.h. */
#include "server/websocket.h"

#include "auth/identity.h"
#include "base/err.h"
#include "net/socket.h"
#include "ops/log.h"
#include "proto/ws_deflate.h"
#include "proto/ws_frame.h"
#include "proto/ws_reader.h"
#include "server/conn.h"
#include "server/session.h"
#include "server/worker.h"

enum {
    MESSAGE_MAX_BYTES = 16 * 1024 * 1024, /* of the echo route, and where there is no other limit */
    SCRATCH_KEEP_BYTES = 1024 * 1024,     /* a worker's scratch above this is given back */
};

void websocket_start(struct conn *c)
{
    conn_set_state(c, CONN_OPEN);
    c->upgraded = true;
    c->reader = NULL;
    c->rate_next_us = 0;
    c->waste_ms = 0;
    c->since_ms = c->worker->wall_ms;
    conn_set_timeout(c, TIMEOUT_PING);
    worker_note_expiry(c->worker, identity_expires_ms(c->identity));
    worker_note_expiry(c->worker, c->identity->ask_again_ms);
    metrics_add(&c->worker->metrics, METRIC_WEBSOCKETS, 1);
}

static void count_end(struct conn *c, unsigned code)
{
    metrics_sub(&c->worker->metrics, METRIC_WEBSOCKETS, 1);
    metrics_close(&c->worker->metrics, code);
    struct log *log = c->worker->server->options.log;
    if (!log_enabled(log, LOG_DEBUG)) return;
    char peer[SOCKET_TEXT_MAX];
    socket_ip_text(c->ip, peer);
    LOG(log, LOG_DEBUG, "websocket_closed", "a WebSocket ended", LOG_STR("peer", peer),
        LOG_U64("code", code));
}

/* It broke without a close frame. */
static void websocket_on_drop(struct conn *c)
{
    if (c->state == CONN_OPEN) count_end(c, 1006);
}

void websocket_send(struct conn *c, enum ws_opcode op, bool rsv1, struct slice payload)
{
    struct buf *reply = &c->worker->reply;
    reply->len = 0;
    if (ws_frame_append(reply, op, rsv1, payload, CONN_OUT_MAX_BYTES) != 0) {
        conn_drop(c);
        return;
    }
    conn_send(c, reply->data, reply->len);
    if (reply->cap > SCRATCH_KEEP_BYTES) buf_fini(reply);
}

void websocket_send_text(struct conn *c, const uint8_t *text, size_t len)
{
    websocket_send(c, WS_TEXT, false, (struct slice){(const char *)text, len});
}

/* Sends the close frame and ends the session; code 0 sends an empty one. `answer`: the peer has
 * sent its own already. */
static void finish(struct conn *c, unsigned code, const char *reason, bool answer)
{
    struct buf *reply = &c->worker->reply;
    reply->len = 0;
    if (ws_frame_append_close(reply, (uint16_t)code, reason, CONN_OUT_MAX_BYTES) == 0)
        conn_send(c, reply->data, reply->len);
    if (c->state != CONN_OPEN) return;
    count_end(c, code ? code : 1005);
    c->awaits_close = !answer;
    conn_finish(c);
}

void websocket_close(struct conn *c, unsigned code, const char *reason)
{
    if (c->state == CONN_OPEN) finish(c, code, reason, false);
}

size_t websocket_message_limit(const struct server_options *o, bool unlimited)
{
    return unlimited || o->max_frame_bytes == 0 ? MESSAGE_MAX_BYTES : o->max_frame_bytes;
}

void websocket_refuse(struct conn *c, int err)
{
    websocket_close(c, err_info(err)->close_code, err_info(err)->text);
}

/* A leaky bucket as one number, as speaker_within_rate. */
bool websocket_waste(struct conn *c, unsigned points)
{
    const uint64_t most_ms = (uint64_t)CONN_WASTE_MAX * CONN_WASTE_FORGIVEN_MS;
    uint64_t now_ms = c->worker->now_ms;
    uint64_t from = c->waste_ms > now_ms ? c->waste_ms : now_ms;
    c->waste_ms = from + (uint64_t)points * CONN_WASTE_FORGIVEN_MS;
    if (c->waste_ms <= now_ms + most_ms) return true;
    websocket_refuse(c, ERR_ABUSE);
    return false;
}

/* Every ping costs a send; a member that asks for more of them than anybody needs is cut. */
static void on_ping(struct conn *c, struct slice payload)
{
    if (c->session->unlimited || websocket_waste(c, 1)) websocket_send(c, WS_PONG, false, payload);
}

/* What was refused had to be read, inflated and parsed first: one refusal is not like another. */
void websocket_on_message(struct conn *c, struct slice message, bool binary)
{
    int err = c->session->on_message(c, message, binary);
    if (err && !err_is_ours(err) && c->state == CONN_OPEN)
        (void)websocket_waste(c, (unsigned)(message.len / CONN_WASTE_BYTES));
}

/* Scratch keeps its size from message to message, but not that of a rare huge one. */
static void trim_scratch(struct worker *w)
{
    struct buf *scratch[] = {&w->inflated,
                             &w->text,
                             &w->encoder.json[0],
                             &w->encoder.json[1],
                             &w->encoder.deflated[0],
                             &w->encoder.deflated[1]};
    for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++)
        if (scratch[i]->cap > SCRATCH_KEEP_BYTES) buf_fini(scratch[i]);
}

static void websocket_on_event(struct conn *c, const struct ws_event *ev)
{
    const struct slice payload = {(const char *)ev->data, ev->len};
    switch (ev->type) {
    case WS_EVENT_MESSAGE:
        websocket_on_message(c, payload, ev->opcode == WS_BINARY);
        break;
    case WS_EVENT_PING:
        on_ping(c, payload);
        break;
    case WS_EVENT_CLOSE:
        finish(c, ev->close_code, "", true);
        break;
    case WS_EVENT_PONG:
    case WS_EVENT_NONE:
        break;
    }
}

/* Who breaks off in the middle of a text, as conformance suites do, cannot be heard any more: what
 * comes is the rest of the frame. */
static void websocket_fail(struct conn *c, int err, const struct ws_event *ev)
{
    bool broken_off = err == ERR_WS_UTF8 && ws_reader_in_frame(c->reader);
    bool answer = ev->type == WS_EVENT_CLOSE || broken_off;
    finish(c, err_info(err)->close_code, err_info(err)->text, answer);
}

/* A message, or the head of one, that has begun has to come to its end as a request has to: until
 * then the connection's timer is for that, and no ping is sent. `begun_anew`: what was unfinished
 * before has ended. */
static void watch_unfinished(struct conn *c, size_t rest, bool begun_anew)
{
    if (c->state != CONN_OPEN || c->session->unlimited) return;
    bool in_turn = conn_may_work(c); /* else the rest may be whole messages */
    bool unfinished = c->reader || (in_turn && rest > 0);
    if (unfinished && (begun_anew || !c->unfinished))
        conn_set_timeout(c, TIMEOUT_HANDSHAKE);
    else if (!unfinished && c->unfinished)
        conn_set_timeout(c, TIMEOUT_PING);
    c->unfinished = unfinished;
}

static size_t websocket_on_input(struct conn *c, uint8_t *data, size_t len)
{
    struct worker *w = c->worker;
    const struct ws_reader_options options = {
        .max_message_bytes = websocket_message_limit(&w->server->options, c->session->unlimited),
        .deflate = c->window_bits != 0,
        .text_only = !c->session->unlimited,
        .inflater = w->inflater,
        .inflated = &w->inflated,
        .past = &c->past,
    };
    struct ws_input in = {data, len};
    struct ws_reader *r = conn_take_reader(c);
    bool ended = false;
    while (c->state == CONN_OPEN && conn_may_work(c)) {
        struct ws_event ev;
        int err = ws_reader_next(r, &options, &in, &ev);
        if (err) {
            websocket_fail(c, err, &ev);
            break;
        }
        if (ev.type == WS_EVENT_NONE) break;
        conn_work(c, CONN_FRAME_WORK, ev.len);
        ended = ended || ev.type == WS_EVENT_MESSAGE || !ws_reader_in_message(r);
        websocket_on_event(c, &ev);
    }
    conn_park_reader(c);
    trim_scratch(w);
    watch_unfinished(c, in.len, ended);
    return c->state == CONN_DEAD ? len : len - in.len;
}

/* Two periods without a sign of life. A server that stood still (a suspended machine, one with too
 * much to do) blames nobody for it: what its peers said meanwhile lies unread, or it has not asked
 * them for a whole period. */
static bool is_overdue(const struct conn *c)
{
    const struct worker *w = c->worker;
    uint64_t period_ms = w->server->options.ping_interval_ms;
    if (w->now_ms - c->last_seen_ms < 2 * period_ms) return false;
    return w->now_ms - c->timer.deadline_ms < period_ms;
}

/* Of a peer that is not read nothing can be heard. */
static bool is_silent(const struct conn *c)
{
    return conn_reads(c) && is_overdue(c) && !stream_has_input(&c->stream);
}

/* The rest of a message did not come in time. Unless it is we who do not read, or have not yet. */
static void on_unfinished(struct conn *c)
{
    if (!conn_reads(c) || stream_has_input(&c->stream))
        conn_set_timeout(c, TIMEOUT_HANDSHAKE);
    else
        websocket_refuse(c, ERR_WS_UNFINISHED);
}

/* True if the peer has taken some of what lies here for it. */
static bool takes(struct conn *c)
{
    const struct worker *w = c->worker;
    if (conn_unsent(c) == 0) return false;
    conn_offer(c);
    if (c->state != CONN_OPEN || c->last_seen_ms != w->now_ms) return false;
    conn_set_timeout(c, c->unfinished ? TIMEOUT_HANDSHAKE : TIMEOUT_PING);
    return true;
}

static void websocket_on_timeout(struct conn *c)
{
    if (c->unfinished && !c->paused) {
        on_unfinished(c);
        return;
    }
    if (takes(c) || c->state != CONN_OPEN) return;
    if ((c->paused || (c->held && conn_unsent(c) > 0)) && is_overdue(c)) {
        websocket_refuse(c, ERR_TOO_SLOW); /* it is not read because it does not read */
        return;
    }
    if (is_silent(c)) {
        websocket_refuse(c, ERR_NO_PONG);
        return;
    }
    conn_set_timeout(c, c->unfinished ? TIMEOUT_HANDSHAKE : TIMEOUT_PING);
    if (!c->unfinished) websocket_send(c, WS_PING, false, (struct slice){"", 0});
}

static bool websocket_on_writable(struct conn *c)
{
    return c->session->on_writable && c->session->on_writable(c);
}

static size_t websocket_input_bytes(const struct conn *c)
{
    size_t bytes = c->reader ? ws_reader_bytes(c->reader) : 0;
    bool keeps = c->session && c->session->input_bytes;
    return keeps ? bytes + c->session->input_bytes(c) : bytes;
}

const struct conn_ops websocket_ops = {
    .on_input = websocket_on_input,
    .on_writable = websocket_on_writable,
    .on_timeout = websocket_on_timeout,
    .on_drop = websocket_on_drop,
    .refuse = websocket_refuse,
    .input_bytes = websocket_input_bytes,
};
