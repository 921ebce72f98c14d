/* See http_session.h. One function per route; the table of routes is at the end of them. */
#include "http/http_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/account.h"
#include "base/err.h"
#include "base/utf8.h"
#include "chat/hub.h"
#include "http/http_answer.h"
#include "http/origin_gate.h"
#include "http/web_assets.h"
#include "net/socket.h"
#include "ops/log.h"
#include "ops/metrics.h"
#include "proto/http.h"
#include "proto/name.h"
#include "proto/rich.h"
#include "proto/ws_deflate.h"
#include "proto/ws_frame.h"
#include "proto/ws_handshake.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/websocket.h"
#include "server/worker.h"
#include "session/bare.h"
#include "session/echo.h"
#include "session/entry.h"
#include "session/rich_session.h"
#include "session/speaker.h"

#define CHAT_PREFIX "/ws/chat/"
#define ECHO_PATH "/ws/echo"
#define UPGRADE_TO "Upgrade: websocket\r\nConnection: Upgrade\r\n" /* RFC 9110 section 7.8 */
#define ALLOW_GET "Allow: GET, OPTIONS\r\n"
#define ALLOW_GET_HEAD "Allow: GET, HEAD, OPTIONS\r\n"

enum {
    METRICS_MAX_BYTES = 256 * 1024,
    URL_NAME_MAX_BYTES = 4 * NAME_USER_MAX, /* decoded, before trimming */
    UPGRADE_MAX_BYTES = 1024,
    REFUSAL_MAX_BYTES = ORIGIN_GATE_TEXT_MAX + 128,
    READY_MAX_BYTES = 256,
    TROUBLE_SHOWN_MS = 60 * 1000, /* trouble that may have passed */
};

static const struct http_api *api_of(const struct conn *c)
{
    return c->worker->server->options.api;
}

static void answer_text(struct conn *c, const struct http_request *r, unsigned status,
                        const char *text)
{
    const struct http_answer a = {
        .status = status,
        .content_type = "text/plain; charset=utf-8",
        .body = {text, strlen(text)},
    };
    http_answer(c, r, &a);
}

/* The process is alive: a worker's loop turns. */
static void route_healthz(struct conn *c, const struct http_request *r)
{
    answer_text(c, r, 200, "ok\n");
}

/* Says in text what the store has met, if that is still of interest. */
static void tell_trouble(const struct conn *c, char *text, size_t size)
{
    struct store_stats stats;
    int64_t now_ms = (int64_t)c->worker->wall_ms;
    store_stats(c->worker->server->options.store, &stats);
    bool recent = stats.troubles && now_ms - stats.trouble_last_ms < TROUBLE_SHOWN_MS;
    if (stats.refused && now_ms - stats.refused_last_ms < TROUBLE_SHOWN_MS)
        snprintf(text, size,
                 "ready, but more came than could be stored: %" PRIu64
                 " messages and read markers were refused, the last %" PRId64 " s ago",
                 stats.refused, (now_ms - stats.refused_last_ms) / 1000);
    if (!stats.damaged && !recent) return;
    int64_t since_s = (now_ms - stats.trouble_since_ms) / 1000;
    snprintf(text, size,
             "ready, but %s: %" PRIu64 " failures (%" PRIu64 " of reading) in the last %" PRId64
             " s; what they concern is refused, see the log",
             stats.damaged ? "the database is damaged" : "the store has trouble", stats.troubles,
             stats.read_errors, since_s > 0 ? since_s : 0);
}

/* New clients are welcome. Damage in one place is no reason to go elsewhere, but it is said. */
static void route_readyz(struct conn *c, const struct http_request *r)
{
    struct server *s = c->worker->server;
    struct outage_sum outage;
    char text[READY_MAX_BYTES];
    char line[READY_MAX_BYTES + STORE_PROBLEM_MAX + 16];
    char why[STORE_PROBLEM_MAX] = "";
    bool draining = atomic_load(&s->draining);
    bool healthy = store_healthy(s->options.store);
    bool full = store_full(s->options.store);
    bool ready = healthy && !full && !draining;
    snprintf(text, sizeof text, "%s",
             ready     ? "ready"
             : healthy ? "the database is full: messages are refused"
                       : "the store fails: messages are refused");
    if (ready) tell_trouble(c, text, sizeof text);
    if (!ready && outage_look(&s->outage, worker_refused(s), &outage)) outage_text(&outage, text);
    if (!draining) store_problem(s->options.store, why);
    snprintf(line, sizeof line, "%s%s%s\n", draining ? "draining" : text,
             why[0] ? "\nreason: " : "", why);
    answer_text(c, r, ready ? 200 : 503, line);
}

static int render_metrics(struct worker *w)
{
    struct server *s = w->server;
    const struct metrics *all[SERVER_WORKERS_MAX];
    for (unsigned i = 0; i < s->worker_count; i++)
        all[i] = &s->workers[i].metrics;
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    struct store_stats store;
    store_stats(s->options.store, &store);
    const struct metrics_gauges gauges = {
        .rooms = hub_room_count(s->hub),
        .recent_bytes = hub_recent_bytes(s->hub),
        .memory_bytes = hub_memory_bytes(s->hub),
        .past_bytes = account_used(hub_contexts(s->hub)),
        .store_healthy = store_healthy(s->options.store),
        .store_in_flight = store.in_flight,
        .store_committed = store.committed,
        .store_failed = store.failed,
        .store_refused = store.refused,
        .store_batches = store.batches,
        .store_trimmed = store.trimmed,
        .store_reads = store.reads,
        .store_read_errors = store.read_errors,
        .store_damaged = store.damaged,
        .store_rooms = store.rooms,
        .store_bytes = store.bytes,
        .store_full = store_full(s->options.store),
        .store_faults = store.faults,
        .workers = s->worker_count,
        .open_fds = s->own_fds + worker_connections(s),
        .max_fds = files.rlim_cur,
        .uptime_ms = w->now_ms - s->start_ms,
    };
    return metrics_render(&w->metrics_text, all, s->worker_count, &gauges, METRICS_MAX_BYTES);
}

/* Rendering costs ten times what answering does, also for HEAD, whose answer has the length. So all
 * who ask in one turn get the same text. */
static void route_metrics(struct conn *c, const struct http_request *r)
{
    struct buf *text = &c->worker->metrics_text;
    if (text->len == 0 && render_metrics(c->worker) != 0) {
        text->len = 0;
        http_answer_error(c, r, ERR_NOMEM, NULL);
        return;
    }
    const struct http_answer a = {
        .status = 200,
        .content_type = METRICS_CONTENT_TYPE,
        .body = {(const char *)text->data, text->len},
    };
    http_answer(c, r, &a);
}

/* The page and its files. They may be stored but have to be asked for: a new binary is a new page.
 */
static void route_asset(struct conn *c, const struct http_request *r, const struct web_asset *asset)
{
    struct slice have = http_header_get(r, "If-None-Match");
    bool same = have.ptr && (slice_is(have, "*") ||
                             memmem(have.ptr, have.len, asset->etag, strlen(asset->etag)));
    char headers[640];
    snprintf(headers, sizeof headers,
             "ETag: %s\r\n"
             "Content-Security-Policy: " HTTP_PAGE_POLICY "\r\n"
             "Referrer-Policy: no-referrer\r\n"
             "Cross-Origin-Opener-Policy: same-origin\r\n"
             "X-Frame-Options: DENY\r\n",
             asset->etag);
    const struct http_answer a = {
        .status = same ? 304 : 200,
        .content_type = asset->content_type,
        .cache_control = "no-cache",
        .headers = headers,
        .body = {(const char *)asset->data, asset->len},
    };
    http_answer(c, r, &a);
}

/* Sends the 101 and turns the connection into a WebSocket. False: it did not come to that. */
static bool upgrade(struct conn *c, const struct http_request *r, const struct ws_handshake *h,
                    struct slice subprotocol)
{
    struct worker *w = c->worker;
    struct buf *reply = &w->reply;
    reply->len = 0;
    if (ws_handshake_response(h, subprotocol, reply, UPGRADE_MAX_BYTES) != 0) {
        conn_leave(c);
        http_answer_error(c, r, ERR_NOMEM, NULL);
        return false;
    }
    metrics_http(&w->metrics, 101);
    conn_send(c, reply->data, reply->len);
    if (c->state != CONN_HTTP) return false;
    websocket_start(c);
    return true;
}

/* A refused page is told by a close code: a browser would hide the status of a refused handshake
 * from it. Before that in a frame of the kind it asked for, which it may show as it shows others.
 */
static void upgrade_and_refuse(struct conn *c, const struct http_request *r,
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
    if (!upgrade(c, r, h, subprotocol)) return;
    if (!c->session->unlimited) websocket_send_text(c, (const uint8_t *)frame, (size_t)len);
    bool fits = strlen(text) <= WS_CONTROL_MAX - 2; /* half an option is worse than none */
    websocket_close(c, info->close_code, fits ? text : info->text);
}

/* What the client would keep has to be kept here too, while there is memory for it. Else a browser
 * is told to keep nothing; whoever is none, and so may not do as it is told, gets no compression.
 */
static void reserve_past(struct conn *c, const struct http_request *r, struct ws_handshake *h)
{
    if (!client_keep_past(c, ws_handshake_past_bits(h)))
        ws_handshake_keep_nothing(h, http_header_get(r, "Origin").ptr);
}

static bool read_handshake(struct conn *c, const struct http_request *r, struct ws_handshake *h)
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

/* An earlier request on this connection may have been refused after it had chosen one. */
static void choose_session(struct conn *c, const struct session_ops *session)
{
    conn_leave(c);
    c->session = session;
}

static void route_echo(struct conn *c, const struct http_request *r)
{
    struct ws_handshake h;
    if (!read_handshake(c, r, &h)) return;
    choose_session(c, &echo_session);
    c->window_bits = h.deflate ? h.server_window_bits : 0;
    const struct slice none = {NULL, 0};
    int err = origin_gate_page(c, r);
    if (err)
        upgrade_and_refuse(c, r, &h, none, err);
    else
        (void)upgrade(c, r, &h, none);
}

/* ?username=: kept if it is a name, refused if it cannot be one. */
static int read_url_name(struct conn *c, const struct http_request *r)
{
    struct slice raw;
    char decoded[URL_NAME_MAX_BYTES];
    char cleaned[NAME_USER_MAX];
    struct slice name = {decoded, 0};
    free(c->username); /* of an earlier request on this connection that was refused */
    c->username = NULL;
    if (!http_query_get(r->query, "username", &raw)) return 0;
    if (http_percent_decode(raw, true, decoded, sizeof decoded, &name.len) != 0 ||
        !utf8_valid(decoded, name.len) || name_user_clean(name, cleaned, &name) != 0)
        return ERR_BAD_USERNAME;
    c->username = malloc(name.len);
    if (!c->username) return ERR_NOMEM;
    memcpy(c->username, name.ptr, name.len);
    c->username_len = (uint8_t)name.len;
    return 0;
}

/* A member whose deflate window is smaller than the room's gets plain frames, which RFC 7692
 * section 6 always allows; so one deflated log serves everybody else. */
static enum encoding choose_encoding(const struct conn *c, bool rich, bool full)
{
    bool deflate = c->window_bits == WS_WINDOW_BITS_MAX;
    if (rich) return deflate ? ENCODING_RICH_DEFLATE : ENCODING_RICH;
    if (full) return deflate ? ENCODING_FULL_DEFLATE : ENCODING_FULL;
    return deflate ? ENCODING_BARE_DEFLATE : ENCODING_BARE;
}

/* ?history=: a number, 0 if there is none. ERR_BAD_FIELD. */
static int read_history(const struct http_request *r, struct join *j)
{
    struct slice value;
    if (!http_query_get(r->query, "history", &value) || value.len == 0) return 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') return ERR_BAD_FIELD;
        j->history = j->history * 10 + (unsigned)(value.ptr[i] - '0');
        if (j->history > RICH_JOIN_MAX) j->history = RICH_JOIN_MAX;
    }
    return 0;
}

/* protocol.md section 2: what the URL asks for. An id that cannot be read is one of another epoch;
 * an empty one is that of a client that has not received anything yet. */
static int read_join(const struct http_request *r, bool rich, struct conn *c, struct join *j)
{
    struct slice since;
    struct slice value;
    bool has_since = http_query_get(r->query, "since", &since);
    bool full = has_since || http_query_get(r->query, "history", &value);
    if (http_query_get(r->query, "fields", &value) && slice_is(value, "full")) full = true;
    *j = (struct join){
        .encoding = choose_encoding(c, rich, full),
        .worker = c->worker->index,
        .resume = has_since && since.len > 0,
        .now_ms = c->worker->now_ms,
        .wall_ms = c->worker->wall_ms,
    };
    if (j->resume) (void)id_parse(since, &j->since);
    return read_history(r, j);
}

/* The room is ready: the request, which was kept, is read again. */
static void on_entered(struct conn *c, struct entry *e)
{
    bool wanted = c->state == CONN_HTTP && c->entry == e;
    if (wanted) conn_release(c);
    if (wanted && (c->entry != e || c->held)) return; /* used up, or waiting once more */
    if (wanted) c->entry = NULL;                      /* it could not be read again yet */
    entry_free(e);
}

/* The request was refused before it came to its room: that must not become the next one's. */
static void forget_entry(struct conn *c)
{
    if (c->entry) entry_free(c->entry);
    c->entry = NULL;
}

/* Enters the room by name. ERR_AGAIN: the connection waits. */
static int enter(struct conn *c, struct slice name, struct join *j)
{
    struct entry *e = c->entry;
    int err = e ? e->wait.err : 0;
    if (!e) {
        e = calloc(1, sizeof *e);
        if (!e) return ERR_NOMEM;
        e->resume = on_entered;
        err = entry_start(e, c, name);
        if (err && err != ERR_AGAIN) return err;
        c->entry = e;
    }
    if (!err) err = c->rich ? rich_session_join_home(c, e, j) : entry_join(e, j, &c->member);
    if (err == ERR_AGAIN) {
        conn_hold(c);
        return err;
    }
    c->entry = NULL;
    entry_free(e);
    return err;
}

/* What this request says of the connection; an earlier one on it may have been refused. */
static int begin_chat(struct conn *c, const struct ws_handshake *h, struct slice name, bool rich)
{
    struct server *s = c->worker->server;
    if (!c->entry) c->guest = (uint32_t)s->guest_seed + atomic_fetch_add(&s->guests, 1) * 0x9e375U;
    c->window_bits = h->deflate ? h->server_window_bits : 0;
    c->since_ms = c->worker->wall_ms;
    return rich ? rich_session_new(c, name) : 0;
}

static int join_chat(struct conn *c, const struct http_request *r, struct slice name,
                     struct join *j)
{
    char guest[SESSION_GUEST_LEN];
    int err = read_join(r, c->rich, c, j);
    if (err) return err;
    bool asks = !c->entry && (j->resume || j->history > 0); /* once for a request */
    if (asks && !client_take(c, BUDGET_HISTORY)) return ERR_MUCH_HISTORY;
    j->username = speaker_name(c, guest);
    return enter(c, name, j); /* before the 101: who has seen it receives all that is said after */
}

static void route_chat(struct conn *c, const struct http_request *r)
{
    struct slice segment = {r->path.ptr + sizeof CHAT_PREFIX - 1,
                            r->path.len - (sizeof CHAT_PREFIX - 1)};
    if (segment.len && segment.ptr[segment.len - 1] == '/') segment.len--;
    char room[NAME_ROOM_MAX];
    struct slice name = {room, 0};
    int err = name_room_decode(segment, room, &name.len);
    if (!err) err = read_url_name(c, r);
    if (err) {
        http_answer_error(c, r, err, NULL);
        return;
    }
    struct ws_handshake h;
    if (!read_handshake(c, r, &h)) return;
    bool rich = http_list_has_exactly(h.protocols, RICH_SUBPROTOCOL);
    struct slice subprotocol = {rich ? RICH_SUBPROTOCOL : NULL,
                                rich ? sizeof RICH_SUBPROTOCOL - 1 : 0};
    choose_session(c, &bare_session); /* also of a rich one that is refused */
    err = origin_gate_page(c, r);
    if (err) {
        upgrade_and_refuse(c, r, &h, subprotocol, err);
        return;
    }
    struct join j;
    err = begin_chat(c, &h, name, rich);
    if (!err) err = join_chat(c, r, name, &j);
    if (err == ERR_AGAIN) return;
    if (err) {
        conn_leave(c);
        http_answer_error(c, r, err, err == ERR_BAD_FIELD ? NULL : HTTP_RETRY_AFTER);
        return;
    }
    if (!upgrade(c, r, &h, subprotocol)) return;
    if (c->rich)
        rich_session_start(c, &j);
    else
        bare_start(c, &j);
}

static bool has_prefix(struct slice path, const char *prefix)
{
    size_t n = strlen(prefix);
    return path.len >= n && memcmp(path.ptr, prefix, n) == 0;
}

typedef void (*route_fn)(struct conn *c, const struct http_request *r);

static const struct {
    const char *path;
    route_fn answer;
} routes[] = {
    {"/healthz", route_healthz},
    {"/readyz", route_readyz},
    {"/metrics", route_metrics},
};

static const struct web_asset *find_asset(struct slice path)
{
    for (size_t i = 0; i < web_asset_count; i++)
        if (slice_is(path, web_assets[i].path)) return &web_assets[i];
    return NULL;
}

static route_fn find_route(const struct conn *c, struct slice path)
{
    if (has_prefix(path, CHAT_PREFIX)) return route_chat;
    bool echo = slice_is(path, ECHO_PATH) || slice_is(path, ECHO_PATH "/");
    if (echo && c->worker->server->options.echo) return route_echo;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (slice_is(path, routes[i].path)) return routes[i].answer;
    return NULL;
}

/* The document of the API is an asset that everybody may read where the API is on. */
static bool is_api(const struct conn *c, struct slice path)
{
    bool on = c->worker->server->options.api_key;
    return has_prefix(path, api_of(c)->prefix) && !(on && slice_is(path, api_of(c)->document));
}

/* Any path, so that a balancer finds the server alive (HAProxy's httpchk asks like this). No CORS.
 */
static void answer_options(struct conn *c, const struct http_request *r)
{
    char allow[HTTP_ALLOW_MAX];
    char header[HTTP_ALLOW_MAX + 16];
    struct http_answer a = {.status = 204, .headers = "Allow: OPTIONS\r\n"};
    route_fn route = find_route(c, r->path);
    if (route == route_chat || route == route_echo) {
        a.headers = ALLOW_GET;
    } else if (route || find_asset(r->path) || slice_is(r->path, "*")) {
        a.headers = ALLOW_GET_HEAD;
    } else if (is_api(c, r->path) && c->worker->server->options.api_key &&
               api_of(c)->allow(r, allow)) {
        snprintf(header, sizeof header, "Allow: %s\r\n", allow);
        a.headers = header;
    }
    http_answer(c, r, &a);
}

static void refuse_host(struct conn *c, const struct http_request *r, int err)
{
    char text[ORIGIN_GATE_TEXT_MAX];
    origin_gate_refuse(c, r, err, text);
    http_answer_error_text(c, r, err, text);
}

static bool is_websocket(route_fn route)
{
    return route == route_chat || route == route_echo;
}

/* Whether the server is well is told to whoever asks. */
static bool is_health(route_fn route)
{
    return route == route_healthz || route == route_readyz;
}

/* WebSockets are told in their own way. */
static int check_host(const struct conn *c, const struct http_request *r, route_fn route)
{
    return is_websocket(route) || is_health(route) ? 0 : origin_gate_host(c, r);
}

/* A handshake takes one only if nothing comes of it: one that succeeds is of the budget for
 * connects. */
static bool may_request(struct conn *c, route_fn route)
{
    if (is_health(route)) return true;
    if (is_websocket(route)) return c->entry || client_may(c, BUDGET_REQUESTS);
    return client_take(c, BUDGET_REQUESTS);
}

static void answer(struct conn *c, const struct http_request *r, route_fn route, int limit)
{
    const struct web_asset *asset = route ? NULL : find_asset(r->path);
    bool websocket = is_websocket(route);
    if (!limit && websocket && !c->entry) limit = client_on_handshake(c);
    if (limit && (asset || websocket)) { /* whoever watches the server still may */
        http_answer_error(c, r, limit, HTTP_RETRY_AFTER);
    } else if (!route && !asset) {
        http_answer_error(c, r, ERR_NOT_FOUND, NULL);
    } else if (!r->is_get && (websocket || !r->is_head)) {
        const char *allow = websocket ? ALLOW_GET : ALLOW_GET_HEAD;
        http_answer_error(c, r, ERR_BAD_METHOD, allow);
    } else if (r->has_body) {
        http_answer_error(c, r, ERR_BODY_REFUSED, NULL);
    } else if (asset) {
        route_asset(c, r, asset);
    } else {
        route(c, r);
    }
    if (websocket && c->state != CONN_OPEN && !c->held) (void)client_take(c, BUDGET_REQUESTS);
}

static void on_request(struct conn *c, const struct http_request *r)
{
    int limit = client_on_request(c, r);
    if (limit) conn_set_over(c, limit);
    if (slice_is(r->method, "OPTIONS") && !r->has_body) {
        answer_options(c, r);
        return;
    }
    route_fn route = find_route(c, r->path);
    int err = check_host(c, r, route);
    if (!err && is_api(c, r->path)) {
        api_of(c)->on_request(c, r);
        if (c->api) conn_clear_over(c); /* who has the key may take longer */
    } else if (!may_request(c, route)) {
        http_answer_error(c, r, ERR_MANY_REQUESTS, HTTP_RETRY_AFTER);
    } else if (err) {
        refuse_host(c, r, err);
    } else {
        answer(c, r, route, limit);
    }
}

static size_t on_input(struct conn *c, uint8_t *data, size_t len)
{
    if (c->api) return api_of(c)->on_body(c, data, len);
    const char *text = (const char *)data;
    size_t scanned = c->head_scanned;
    size_t head = http_head_size(text, len, &scanned);
    c->head_scanned = head ? 0 : (uint32_t)scanned;
    if (head > HTTP_HEAD_MAX_BYTES || (!head && len > HTTP_HEAD_MAX_BYTES)) {
        http_answer_error(c, NULL, ERR_HEAD_TOO_LARGE, NULL);
        return len;
    }
    if (http_looks_wrong(text, len)) {
        http_answer_error(c, NULL, ERR_BAD_REQUEST, NULL);
        return len;
    }
    /* Between requests the time is keep-alive's; once a head has begun, the handshake's, and anew
     * once it is whole, for what has to be waited for. With an entry it is only read again. */
    if (c->kept_alive || (head && !c->entry)) conn_set_timeout(c, TIMEOUT_HANDSHAKE);
    c->kept_alive = false;
    if (!head) return 0;
    struct http_request r;
    int err = http_request_parse(text, head, &r);
    if (err) {
        http_answer_error(c, NULL, err, NULL);
        return len;
    }
    conn_work(c, CONN_REQUEST_WORK, 0);
    on_request(c, &r);
    if (!c->held) forget_entry(c);
    return c->held && !c->api ? 0 : head; /* a call of the API has taken what it needs of it */
}

static void refuse(struct conn *c, int err)
{
    if (c->api) {
        api_of(c)->refuse(c, err);
        return;
    }
    if (c->entry) atomic_store(&c->entry->wait.gone, true);
    c->entry = NULL;
    http_answer_error(c, NULL, err, NULL);
}

/* The time for a request head, or between two, is over. */
static void on_timeout(struct conn *c)
{
    if (c->api) {
        api_of(c)->on_timeout(c);
        return;
    }
    if (c->in.len == 0) {
        /* A request that came while we were busy, or this instant, is not cut off unread; it is
         * going to be read in this turn or the next. */
        if (!c->paused && socket_has_input(c->fd))
            conn_set_timeout(c, TIMEOUT_HANDSHAKE);
        else
            conn_drop(c);
        return;
    }
    refuse(c, c->held ? ERR_STORE_READ : ERR_TIMEOUT); /* held: the store has not answered */
}

static bool on_writable(struct conn *c)
{
    if (c->kept_alive) conn_set_timeout(c, TIMEOUT_KEEPALIVE); /* from the answer's last byte */
    if (c->api) api_of(c)->on_writable(c);
    return false;
}

static void on_drop(struct conn *c)
{
    if (c->entry) atomic_store(&c->entry->wait.gone, true);
    if (c->api) api_of(c)->drop(c);
}

static size_t input_bytes(const struct conn *c)
{
    return c->api ? api_of(c)->input_bytes(c) : 0;
}

const struct conn_ops http_session = {
    .on_input = on_input,
    .on_writable = on_writable,
    .on_timeout = on_timeout,
    .on_drop = on_drop,
    .refuse = refuse,
    .input_bytes = input_bytes,
};
