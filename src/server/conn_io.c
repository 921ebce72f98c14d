/* The life of a connection and its bytes, see conn.h: that header is below client.c too, which this
 * file asks, and so has no file of its own name. */
#include "server/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "auth/identity.h"
#include "base/account.h"
#include "base/check.h"
#include "base/err.h"
#include "base/hash.h"
#include "chat/hub.h"
#include "ops/log.h"
#include "proto/proxy.h"
#include "proto/ws_frame.h"
#include "proto/ws_reader.h"
#include "server/client.h"
#include "server/overflow.h"
#include "server/session.h"
#include "server/task.h"
#include "server/worker.h"

/* What is to be sent and was not taken by the socket. */
struct unsent {
    struct buf bytes;
    uint32_t sent; /* of them, from the front */
    uint32_t head; /* the first bytes, up to where a frame begins */
};

static void conn_on_events(struct io *io, uint32_t events);

struct conn *conn_of(struct io *io)
{
    return io && io->on_events == conn_on_events ? container_of(io, struct conn, stream.io) : NULL;
}

static const struct conn_ops *ops_of(const struct conn *c)
{
    const struct server_options *o = &c->worker->server->options;
    return c->upgraded ? o->websocket : o->http;
}

void conn_set_state(struct conn *c, enum conn_state state)
{
    static const uint8_t edges[] = {
        [CONN_HTTP] = 1 << CONN_OPEN | 1 << CONN_CLOSING | 1 << CONN_DEAD,
        [CONN_OPEN] = 1 << CONN_CLOSING | 1 << CONN_DEAD,
        [CONN_CLOSING] = 1 << CONN_LINGER | 1 << CONN_DEAD,
        [CONN_LINGER] = 1 << CONN_DEAD,
        [CONN_DEAD] = 0,
    };
    CHECK(edges[c->state] & 1 << state);
    c->state = (uint8_t)state;
}

void conn_set_timeout(struct conn *c, int timeout)
{
    if (c->over_limit && timeout != TIMEOUT_OVER) return; /* that one runs, and has no sequel */
    timer_start(&c->worker->timeouts[timeout], &c->timer, c->worker->now_ms);
}

bool conn_reads(const struct conn *c)
{
    return !c->paused && !c->held && !c->deferred;
}

static void watch(struct conn *c)
{
    bool reading = conn_reads(c) && !c->peer_ended;
    loop_set(&c->worker->loop, &c->stream.io, stream_wants(&c->stream, reading, c->watch_out));
}

struct conn_ref conn_ref(const struct conn *c)
{
    return (struct conn_ref){c->worker, loop_key(&c->worker->loop, &c->stream.io)};
}

struct conn *conn_find(const struct conn_ref *name)
{
    return conn_of(loop_find(&name->worker->loop, name->key));
}

size_t conn_page_bytes(const struct conn *c, size_t most)
{
    uint64_t part = c->worker->server->options.lag_max_bytes / 4;
    return part && part < most ? (size_t)part : most;
}

static size_t out_cap(const struct conn *c)
{
    return c->out ? c->out->bytes.cap : 0;
}

/* What is kept for a peer that does not take it, or that has to wait, is counted. `before` is the
 * cap of the buffer before it was changed. */
static void count_out(const struct conn *c, size_t before)
{
    account_change(hub_answers(c->worker->server->hub), before, out_cap(c));
}

/* The same for input, whatever buffer it is in; once for all that was read. False: it is too much.
 */
static bool count_in(struct conn *c)
{
    size_t bytes = c->in.cap + ops_of(c)->input_bytes(c);
    bytes = bytes > CONN_KEPT_MIN_BYTES ? bytes : 0;
    return bytes == c->kept || client_keep_input(c, (uint32_t)bytes);
}

static void free_out(struct conn *c)
{
    if (!c->out) return;
    size_t before = out_cap(c);
    buf_fini(&c->out->bytes);
    free(c->out);
    c->out = NULL;
    count_out(c, before);
}

static void watch_out(struct conn *c, bool on)
{
    if (c->watch_out == on) return;
    c->watch_out = on;
    c->behind_ms = on ? c->worker->now_ms : 0;
    c->worker->behind_count += on ? 1U : -1U;
    watch(c);
}

void conn_set_over(struct conn *c, int err)
{
    if (c->over_limit || c->state == CONN_DEAD) return;
    c->over_limit = (int8_t)err;
    metrics_add(&c->worker->metrics, METRIC_CONNECTIONS_REFUSED, 1);
    struct conn *other = overflow_add(c->worker->overflow, c, client_id(c));
    if (other) conn_drop(other);
    conn_set_timeout(c, TIMEOUT_OVER);
}

static_assert(sizeof(struct conn) <= 224, "every connection has one");
static_assert(ERR_COUNT <= 128, "over_limit");

void conn_clear_over(struct conn *c)
{
    if (!c->over_limit) return;
    c->over_limit = 0;
    overflow_remove(c->worker->overflow, c);
    conn_set_timeout(c, TIMEOUT_HANDSHAKE);
}

/* Its header of the PROXY protocol is none, or not to be believed. */
static void refuse_proxy(struct conn *c, const char *why)
{
    char peer[SOCKET_TEXT_MAX];
    socket_ip_text(c->peer, peer);
    LOG(c->worker->server->options.log, LOG_WARN, "proxy_refused",
        "closed a connection to a listener for the PROXY protocol", LOG_STR("peer", peer),
        LOG_STR("reason", why));
    metrics_add(&c->worker->metrics, METRIC_CONNECTIONS_REFUSED, 1);
    conn_drop(c);
}

void conn_accept(struct worker *w, int fd, const uint8_t peer[static SOCKET_IP_BYTES],
                 const struct listener *l)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c) c->stream.io = (struct io){.on_events = conn_on_events, .fd = fd};
    if (!c || loop_add(&w->loop, &c->stream.io, EPOLLIN) != 0) {
        free(c);
        close(fd);
        return;
    }
    c->worker = w;
    c->identity = identity_ref(&identity_nobody);
    c->last_seen_ms = w->now_ms;
    c->on_loopback = l->on_loopback;
    c->proxied = l->address->proxied;
    c->proxy_due = c->proxied;
    memcpy(c->peer, peer, SOCKET_IP_BYTES);
    timer_init(&c->timer);
    conn_set_timeout(c, TIMEOUT_HANDSHAKE);
    w->conn_count++;
    metrics_add(&w->metrics, METRIC_CONNECTIONS, 1);
    metrics_add(&w->metrics, METRIC_CONNECTIONS_ACCEPTED, 1);

    int err = client_on_accept(c);
    if (c->proxied && !c->trusted) {
        refuse_proxy(c, "the peer is not one of trusted-proxies");
    } else if (err) {
        conn_set_over(c, err);
        conn_on_events(&c->stream.io, EPOLLIN); /* what it asks for is here, more often than not */
    }
}

void conn_end(struct conn *c, int err)
{
    if (c->session->tell_end) c->session->tell_end(c, err);
    if (c->state == CONN_OPEN) c->worker->server->options.websocket->refuse(c, err);
}

void conn_leave(struct conn *c)
{
    const struct session_ops *session = c->session;
    c->session = NULL;
    if (session && session->leave) session->leave(c);
}

void conn_drop(struct conn *c)
{
    if (c->state == CONN_DEAD) return;
    struct worker *w = c->worker;
    ops_of(c)->on_drop(c);
    watch_out(c, false);
    conn_set_state(c, CONN_DEAD);
    conn_leave(c);
    timer_stop(&c->timer);
    loop_remove(&w->loop, &c->stream.io);
    stream_close(&c->stream);
    c->next_reap = w->reap;
    w->reap = c;
    w->conn_count--;
    metrics_sub(&w->metrics, METRIC_CONNECTIONS, 1);
    if (c->over_limit) overflow_remove(w->overflow, c);
    client_on_drop(c);
}

void conn_free(struct conn *c)
{
    CHECK(c->state == CONN_DEAD);
    (void)client_keep_past(c, 0);
    if (c->upgraded && c->reader) {
        ws_reader_fini(c->reader);
        free(c->reader);
        c->reader = NULL;
    }
    buf_fini(&c->in);
    (void)count_in(c);
    free_out(c);
    identity_unref(c->identity);
    free(c);
}

void conn_hold(struct conn *c)
{
    c->held = true;
    watch(c);
}

/* Everything is sent: our side is done, unless it awaits something. */
static void shut(struct conn *c)
{
    if (c->peer_ended) {
        conn_drop(c);
        return;
    }
    if (c->awaits_close) return;
    stream_shut(&c->stream);
    conn_set_state(c, CONN_LINGER);
}

/* Returns how many bytes the socket took, or -1 after dropping a broken connection. */
static ssize_t try_send(struct conn *c, const void *data, size_t len)
{
    ssize_t n = stream_send(&c->stream, data, len);
    if (n >= 0) {
        metrics_add(&c->worker->metrics, METRIC_SENT_BYTES, (uint64_t)n);
        return n;
    }
    conn_drop(c);
    return -1;
}

static size_t unsent(const struct conn *c)
{
    return c->out ? c->out->bytes.len - c->out->sent : 0;
}

size_t conn_unsent(const struct conn *c)
{
    return unsent(c);
}

struct ws_reader *conn_take_reader(struct conn *c)
{
    struct worker *w = c->worker;
    if (!c->reader) {
        *w->reader = (struct ws_reader){.left = 0};
        c->reader = w->reader;
    }
    return c->reader;
}

void conn_park_reader(struct conn *c)
{
    struct worker *w = c->worker;
    struct ws_reader *r = c->reader;
    bool keep = c->state != CONN_DEAD && (ws_reader_in_message(r) || ws_reader_in_frame(r));
    if (keep && r != w->reader) return;
    c->reader = keep ? malloc(sizeof *r) : NULL;
    if (c->reader) {
        *c->reader = *r;
        return;
    }
    ws_reader_fini(r);
    if (r != w->reader) free(r);
    if (keep) conn_drop(c);
}

static size_t skim(struct conn *c, uint8_t *data, size_t len)
{
    struct ws_input in = {data, len};
    if (!c->awaits_close) return len;
    bool ended = ws_reader_skim(conn_take_reader(c), &in);
    conn_park_reader(c);
    if (!ended || c->state == CONN_DEAD) return len - in.len;
    c->awaits_close = false;
    if (unsent(c) == 0) shut(c);
    return len;
}

/* Where the next frame begins in `out`, or in whole frames, that is not before `from`. */
static size_t next_frame(const uint8_t *data, size_t at, size_t from, size_t len)
{
    while (at < from && at < len)
        at += ws_frame_size(data + at);
    return at < len ? at : len;
}

static size_t out_boundary(const struct unsent *u)
{
    return next_frame(u->bytes.data, u->head, u->sent, u->bytes.len);
}

static void drop_sent(struct unsent *u, bool frames)
{
    if (u->sent <= u->bytes.len / 2) return;
    if (frames) u->head = (uint32_t)(out_boundary(u) - u->sent);
    buf_drop(&u->bytes, u->sent);
    u->sent = 0;
}

/* The rest of a frame of its room that a member has begun to take comes first. */
static int take_frame_rest(struct conn *c)
{
    struct unsent *u = c->out;
    bool first = u->bytes.len == 0;
    int err = feed_take_frame_rest(&c->member, &u->bytes, CONN_OUT_MAX_BYTES);
    if (first && u->bytes.len) u->head = u->bytes.len;
    return err;
}

static struct unsent *get_out(struct conn *c)
{
    if (!c->out) c->out = calloc(1, sizeof *c->out);
    return c->out;
}

static int add_unsent(struct conn *c, const uint8_t *data, size_t sent, size_t len)
{
    bool frames = c->state == CONN_OPEN;
    struct unsent *u = get_out(c);
    if (!u) return ERR_NOMEM;
    size_t before = u->bytes.cap;
    int err = 0;
    if (frames && unsent(c) == 0) u->head = (uint32_t)(next_frame(data, 0, sent, len) - sent);
    drop_sent(u, frames);
    if (c->member.feed) {
        feed_block(&c->member);
        err = take_frame_rest(c);
    }
    if (!err) err = buf_append(&u->bytes, data + sent, len - sent, CONN_OUT_MAX_BYTES);
    if (!frames) u->head = u->bytes.len;
    count_out(c, before);
    return err;
}

/* Keeps what the socket did not take of data, of which it took `sent`. */
static void keep_unsent(struct conn *c, const uint8_t *data, size_t sent, size_t len)
{
    if (add_unsent(c, data, sent, len) != 0) {
        conn_drop(c);
        return;
    }
    watch_out(c, true);
    /* An answer by HTTP can be a thousand times its request: one at a time lies here. */
    size_t most = c->state == CONN_HTTP ? 0 : CONN_OUT_PAUSE_BYTES;
    if (!c->paused && unsent(c) > most) {
        c->paused = true;
        watch(c);
    }
}

void conn_send(struct conn *c, const void *data, size_t len)
{
    if (c->state == CONN_DEAD) return;
    size_t sent = 0;
    if (unsent(c) == 0 && !c->member.blocked) {
        ssize_t n = try_send(c, data, len);
        if (n < 0) return;
        sent = (size_t)n;
    }
    if (sent < len) keep_unsent(c, data, sent, len);
}

void conn_finish(struct conn *c)
{
    if (c->state == CONN_DEAD) return;
    conn_set_state(c, CONN_CLOSING); /* first: what fails below must not end a session again */
    /* What the room still has for this member is not for it any more, but for a frame begun. */
    if (c->member.feed) {
        size_t before = out_cap(c);
        int err = get_out(c) ? take_frame_rest(c) : ERR_NOMEM;
        count_out(c, before);
        if (err) {
            conn_drop(c);
            return;
        }
        if (unsent(c) == 0) free_out(c);
    }
    conn_leave(c);
    conn_set_timeout(c, TIMEOUT_CLOSE);
    if (c->paused || c->held) {
        c->paused = false;
        c->held = false;
        watch(c);
    }
    if (c->in.len) buf_drop(&c->in, skim(c, c->in.data, c->in.len));
    if (c->in.len == 0) buf_fini(&c->in);
    if (c->upgraded && c->reader) ws_reader_forget(c->reader);
    (void)count_in(c);
    if (c->state == CONN_CLOSING && unsent(c) == 0) shut(c);
}

/* Offers bytes of a room to the socket. Returns how many it took, or -1 after dropping a broken
 * connection. */
static ssize_t offer_room(struct conn *c, const struct iovec *iov, int n)
{
    ssize_t sent = stream_sendv(&c->stream, iov, n);
    if (sent < 0) {
        conn_drop(c);
        return -1;
    }
    c->worker->delivery_sends++;
    c->worker->delivery_bytes += (uint64_t)sent;
    return sent;
}

ssize_t conn_deliver(struct member *m, const struct iovec *iov, int n, size_t bytes)
{
    struct conn *c = container_of(m, struct conn, member);
    ssize_t sent = offer_room(c, iov, n);
    if (sent >= 0 && (size_t)sent < bytes) watch_out(c, true);
    return sent;
}

/* Bytes up to the end of the last whole frame of those sent; *rest gets what is missing of the next
 * one, which the iovecs hold. They begin with a frame. */
static size_t whole_frames(const struct iovec *iov, int n, size_t sent, struct slice *rest)
{
    size_t before = 0; /* bytes of the iovecs before this one */
    for (int i = 0; i < n; i++) {
        const uint8_t *data = iov[i].iov_base;
        for (size_t at = 0; at < iov[i].iov_len;) {
            size_t end = at + ws_frame_size(data + at);
            if (before + end > sent) {
                size_t part = sent - before - at;
                *rest = (struct slice){(const char *)data + at + part, part ? end - at - part : 0};
                return before + (part ? end : at);
            }
            at = end;
        }
        before += iov[i].iov_len;
    }
    *rest = (struct slice){NULL, 0};
    return sent;
}

ssize_t conn_deliver_frames(struct conn *c, const struct iovec *iov, int n, size_t bytes)
{
    if (unsent(c) > 0) return 0;
    ssize_t sent = offer_room(c, iov, n);
    if (sent < 0 || (size_t)sent == bytes) return sent;
    struct slice rest;
    size_t whole = whole_frames(iov, n, (size_t)sent, &rest);
    struct unsent *u = get_out(c);
    size_t before = out_cap(c);
    int err = u ? buf_append(&u->bytes, rest.ptr, rest.len, CONN_OUT_MAX_BYTES) : ERR_NOMEM;
    count_out(c, before);
    if (err) {
        conn_drop(c);
        return -1;
    }
    u->head = (uint32_t)rest.len;
    watch_out(c, true);
    return (ssize_t)whole;
}

void conn_on_lag(struct member *m, uint64_t lag_bytes)
{
    conn_lags(container_of(m, struct conn, member), m->feed->room, lag_bytes);
}

/* A number that stands for a name or an address in the log: whether it was the same one again can
 * be told, but not which. Not the bits that order tables. */
static uint64_t tag_of(const void *data, size_t len)
{
    return hash_keyed(data, len) >> 32;
}

/* The name of a room may be all that keeps others out of it. */
static void log_slow(const struct conn *c, const struct room *room, uint64_t lag_bytes)
{
    struct log *log = c->worker->server->options.log;
    struct slice name = room_name(room);
    uint64_t room_tag = tag_of(name.ptr, name.len);
    char peer[SOCKET_TEXT_MAX];
    socket_ip_text(c->ip, peer);
    LOG(log, LOG_WARN, "lag_close", "closed a member that reads too slowly",
        LOG_U64("lag_bytes", lag_bytes), LOG_U64("room_tag", room_tag),
        LOG_U64("peer_tag", tag_of(c->ip, sizeof c->ip)));
    LOG(log, LOG_DEBUG, "lag_close_member", "who that was", LOG_U64("room_tag", room_tag),
        LOG_STR("peer", peer), LOG_SLICE("room", name));
}

/* A burst is no reason to put out who reads as fast as it can: that needs a moment for it. Of a
 * member whose past is still read from the store it is not the socket that is slow. */
static bool may_lag(const struct conn *c, uint64_t lag_bytes)
{
    const struct server *s = c->worker->server;
    if (lag_bytes == 0 || lag_bytes > CONN_LAG_BURST * s->options.lag_max_bytes) return false;
    bool behind = c->behind_ms && c->worker->now_ms - c->behind_ms >= WORKER_BEHIND_MS;
    return !behind && !hub_is_pressed(s->hub);
}

void conn_lags(struct conn *c, const struct room *room, uint64_t lag_bytes)
{
    if (may_lag(c, lag_bytes)) return;
    log_slow(c, room, lag_bytes);
    metrics_add(&c->worker->metrics, METRIC_LAG_CLOSES, 1);
    ops_of(c)->refuse(c, ERR_TOO_SLOW);
}

/* Keeps of `out` what is left of the frame that was begun, and no more memory than that. */
static int cut_out(struct conn *c)
{
    struct unsent *u = c->out;
    if (!u) return 0;
    size_t before = u->bytes.cap;
    struct buf rest = {0};
    size_t len = out_boundary(u) - u->sent;
    int err = buf_append(&rest, u->bytes.data + u->sent, len, CONN_OUT_MAX_BYTES);
    if (err) return err;
    buf_fini(&u->bytes);
    *u = (struct unsent){.bytes = rest, .head = rest.len};
    count_out(c, before);
    return 0;
}

void conn_close_behind(struct conn *c)
{
    char peer[SOCKET_TEXT_MAX];
    socket_ip_text(c->ip, peer);
    LOG(c->worker->server->options.log, LOG_WARN, "behind_close",
        "memory is short: closed a connection that does not read", LOG_STR("peer", peer),
        LOG_U64("unsent_bytes", unsent(c)), LOG_U64("behind_ms", c->worker->now_ms - c->behind_ms));
    if (c->state != CONN_OPEN || !c->session->on_lag || cut_out(c) != 0) {
        conn_drop(c);
        return;
    }
    metrics_add(&c->worker->metrics, METRIC_LAG_CLOSES, 1);
    ops_of(c)->refuse(c, ERR_TOO_SLOW);
}

void conn_close_unfinished(struct conn *c)
{
    char peer[SOCKET_TEXT_MAX];
    socket_ip_text(c->ip, peer);
    LOG(c->worker->server->options.log, LOG_WARN, "unfinished_close",
        "closed a connection: its client has begun to send more than there is memory for",
        LOG_STR("peer", peer), LOG_U64("kept_bytes", c->kept));
    if ((c->state == CONN_HTTP && !c->proxy_due) || c->state == CONN_OPEN)
        ops_of(c)->refuse(c, ERR_MUCH_UNFINISHED);
    else
        conn_drop(c);
}

void conn_work(struct conn *c, unsigned work, size_t bytes)
{
    size_t all = work + bytes / CONN_WORK_BYTES;
    struct fair_queue *t = &c->worker->fair;
    t->work_left = t->work_left > all ? t->work_left - (unsigned)all : 0;
    if (bytes >= CONN_HEAVY_BYTES) fair_queue_spend(t, client_id(c), bytes);
}

bool conn_may_work(const struct conn *c)
{
    return conn_reads(c) && c->worker->fair.work_left > 0;
}

/* It has had its turn; who sent a lot at once must not keep the others waiting. */
static void defer(struct conn *c)
{
    c->deferred = true;
    uint64_t key = loop_key(&c->worker->loop, &c->stream.io);
    if (fair_queue_defer(&c->worker->fair, key, client_id(c)) == 0)
        watch(c);
    else
        conn_drop(c);
}

uint64_t conn_behind_bytes(const struct conn *c)
{
    bool in_rooms = c->session && c->session->lag_bytes;
    return out_cap(c) + (in_rooms ? c->session->lag_bytes(c) : 0);
}

static size_t read_proxy_header(struct conn *c, const uint8_t *data, size_t len)
{
    struct proxy_source source;
    size_t used = 0;
    int err = proxy_parse(data, len, &source, &used);
    if (err == ERR_AGAIN) return 0;
    if (err) {
        refuse_proxy(c, "it does not begin with a sound header");
        return len;
    }
    c->proxy_due = false;
    err = client_on_proxy(c, &source);
    if (err) conn_set_over(c, err);
    return used;
}

static size_t take_input(struct conn *c, uint8_t *data, size_t len)
{
    switch ((enum conn_state)c->state) {
    case CONN_HTTP:
        if (c->proxy_due) return read_proxy_header(c, data, len);
        return ops_of(c)->on_input(c, data, len);
    case CONN_OPEN:
        return ops_of(c)->on_input(c, data, len);
    case CONN_CLOSING:
        return skim(c, data, len);
    case CONN_LINGER:
    case CONN_DEAD:
        break;
    }
    return len;
}

/* Hands input to the state's handler until it wants no more, or has had its turn; keeps the rest.
 */
static void process(struct conn *c, uint8_t *data, size_t len)
{
    c->worker->fair.work_left = CONN_TURN_WORK;
    while (len > 0 && c->state != CONN_DEAD && conn_may_work(c)) {
        uint8_t state = c->state;
        size_t used = take_input(c, data, len);
        data += used;
        len -= used;
        if (used == 0 && c->state == state) break;
    }
    if (c->state == CONN_DEAD) return;
    if (len > 0) {
        c->in.len = 0;
        if (buf_append(&c->in, data, len, WORKER_REST_BYTES) != 0) {
            conn_drop(c);
            return;
        }
    }
    if (!count_in(c))
        conn_close_unfinished(c);
    else if (len > 0 && conn_reads(c) && !conn_may_work(c))
        defer(c);
}

/* Continues with input that was left when reading paused. */
static void process_rest(struct conn *c)
{
    size_t len = c->in.len;
    if (len == 0 || !conn_reads(c)) return;
    memcpy(c->worker->input, c->in.data, len);
    buf_fini(&c->in);
    process(c, c->worker->input, len);
}

void conn_release(struct conn *c)
{
    c->held = false;
    watch(c);
    if (c->in.len && conn_reads(c))
        process_rest(c);
    else
        (void)count_in(c); /* what it was held for is done */
}

void conn_go_on(struct conn *c)
{
    c->deferred = false;
    process_rest(c);
    if (c->state != CONN_DEAD && !c->deferred) watch(c);
}

static void on_readable(struct conn *c)
{
    struct worker *w = c->worker;
    size_t rest = c->in.len;
    CHECK(rest <= WORKER_REST_BYTES);
    if (fair_queue_has_spent(
            &w->fair, client_id(c))) { /* its client has had its turn, on other connections */
        defer(c);
        return;
    }
    ssize_t n = stream_recv(&c->stream, w->input + rest, WORKER_READ_BYTES);
    if (n == ERR_AGAIN) return;
    if (n > 0) {
        c->last_seen_ms = w->now_ms;
        metrics_add(&w->metrics, METRIC_RECEIVED_BYTES, (uint64_t)n);
        if (rest) {
            memcpy(w->input, c->in.data, rest);
            buf_fini(&c->in);
        }
        process(c, w->input, rest + (size_t)n);
        return;
    }
    /* The end, or an error. Last bytes of ours may still reach a peer that only shut its side. */
    if (n < 0 || unsent(c) == 0) {
        conn_drop(c);
        return;
    }
    c->peer_ended = true;
    watch(c);
    if (c->state == CONN_HTTP) conn_finish(c);
    if (c->state == CONN_OPEN) conn_drop(c);
}

static void conn_on_writable(struct conn *c)
{
    if (unsent(c) > 0) {
        ssize_t n = try_send(c, c->out->bytes.data + c->out->sent, unsent(c));
        if (n < 0) return;
        c->out->sent += (uint32_t)n;
        if (n > 0) c->last_seen_ms = c->worker->now_ms; /* also where it is not read */
        if (unsent(c) > 0) return;
        free_out(c);
    }
    if (c->state == CONN_CLOSING) {
        watch_out(c, false);
        shut(c);
        return;
    }
    bool blocked = ops_of(c)->on_writable(c);
    if (c->state == CONN_DEAD) return;
    watch_out(c, unsent(c) > 0 || blocked);
    const struct session_ops *session = c->state == CONN_OPEN ? c->session : NULL;
    if (session && session->on_sent && unsent(c) == 0) session->on_sent(c);
    if (c->state == CONN_DEAD) return;
    if (c->paused && unsent(c) == 0) {
        c->paused = false;
        watch(c);
        process_rest(c);
    }
}

void conn_offer(struct conn *c)
{
    conn_on_writable(c);
}

/* What has to be so whenever nothing is being done for the connection. */
static void conn_check(const struct conn *c)
{
    (void)c;
    DCHECK(c->state < CONN_DEAD);
    DCHECK(c->state != CONN_OPEN || (c->upgraded && c->session));
    DCHECK(!c->awaits_close || c->state >= CONN_CLOSING);
    DCHECK(!c->proxy_due || (c->proxied && !c->upgraded));
    DCHECK(!c->out || unsent(c) > 0);
    DCHECK(!c->paused || c->out);
    DCHECK(!c->unfinished || c->upgraded);
    DCHECK(c->counted || !c->upgraded);
}

static void conn_on_events(struct io *io, uint32_t events)
{
    struct conn *c = container_of(io, struct conn, stream.io);
    conn_check(c);
    if (events & EPOLLOUT) conn_on_writable(c);
    if (c->state == CONN_DEAD || c->deferred) return; /* its end comes behind what is left */
    if (events & EPOLLIN && conn_reads(c) && !c->peer_ended) {
        on_readable(c);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        conn_drop(c);
    }
}

void conn_on_timeout(struct conn *c)
{
    if (c->over_limit) {
        conn_drop(c);
        return;
    }
    if (c->deferred && c->state == CONN_HTTP) {
        conn_set_timeout(c, TIMEOUT_HANDSHAKE); /* it is our turn, not the client's */
        return;
    }
    switch ((enum conn_state)c->state) {
    case CONN_HTTP:
    case CONN_OPEN:
        if (c->proxy_due)
            conn_drop(c);
        else
            ops_of(c)->on_timeout(c);
        break;
    case CONN_CLOSING:
    case CONN_LINGER:
        conn_drop(c);
        break;
    case CONN_DEAD:
        CHECK(false);
    }
}
