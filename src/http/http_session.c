/* See http_session.h. */
#include "http/http_session.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "http/http_answer.h"
#include "http/http_status.h"
#include "http/http_upgrade.h"
#include "http/origin_gate.h"
#include "http/web_assets.h"
#include "net/socket.h"
#include "proto/http.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/worker.h"

#define ECHO_PATH "/ws/echo"
#define ALLOW_GET "Allow: GET, OPTIONS\r\n"
#define ALLOW_GET_HEAD "Allow: GET, HEAD, OPTIONS\r\n"

static_assert(HTTP_HEAD_MAX_BYTES <= UINT16_MAX, "head_scanned");

static const struct http_api *api_of(const struct conn *c)
{
    return c->worker->server->options.api;
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
    {"/healthz", http_status_healthz},
    {"/readyz", http_status_readyz},
    {"/metrics", http_status_metrics},
};

static const struct web_asset *find_asset(struct slice path)
{
    for (size_t i = 0; i < web_asset_count; i++)
        if (slice_is(path, web_assets[i].path)) return &web_assets[i];
    return NULL;
}

static route_fn find_route(const struct conn *c, struct slice path)
{
    if (has_prefix(path, HTTP_CHAT_PREFIX)) return http_upgrade_chat;
    bool echo = slice_is(path, ECHO_PATH) || slice_is(path, ECHO_PATH "/");
    if (echo && c->worker->server->options.echo) return http_upgrade_echo;
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
    if (route == http_upgrade_chat || route == http_upgrade_echo) {
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
    return route == http_upgrade_chat || route == http_upgrade_echo;
}

/* Whether the server is well is told to whoever asks. */
static bool is_health(route_fn route)
{
    return route == http_status_healthz || route == http_status_readyz;
}

/* WebSockets are told in their own way. */
static int check_host(const struct conn *c, const struct http_request *r, route_fn route)
{
    return is_websocket(route) || is_health(route) ? 0 : origin_gate_host(c, r);
}

/* A handshake takes one only if nothing comes of it: one that succeeds is of the budget for
 * connects. */
static bool http_may_request(struct conn *c, route_fn route)
{
    if (is_health(route)) return true;
    if (is_websocket(route)) return client_may(c, BUDGET_REQUESTS);
    return client_take(c, BUDGET_REQUESTS);
}

static void http_answer_route(struct conn *c, const struct http_request *r, route_fn route,
                              int limit)
{
    const struct web_asset *asset = route ? NULL : find_asset(r->path);
    bool websocket = is_websocket(route);
    if (!limit && websocket) limit = client_on_handshake(c);
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

static void http_on_request(struct conn *c, const struct http_request *r)
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
    } else if (!http_may_request(c, route)) {
        http_answer_error(c, r, ERR_MANY_REQUESTS, HTTP_RETRY_AFTER);
    } else if (err) {
        refuse_host(c, r, err);
    } else {
        http_answer_route(c, r, route, limit);
    }
}

static size_t http_on_input(struct conn *c, uint8_t *data, size_t len)
{
    if (c->api) return api_of(c)->on_body(c, data, len);
    const char *text = (const char *)data;
    size_t scanned = c->head_scanned;
    size_t head = http_head_size(text, len, &scanned);
    c->head_scanned = head ? 0 : (uint16_t)scanned;
    if (head > HTTP_HEAD_MAX_BYTES || (!head && len > HTTP_HEAD_MAX_BYTES)) {
        http_answer_error(c, NULL, ERR_HEAD_TOO_LARGE, NULL);
        return len;
    }
    if (http_looks_wrong(text, len)) {
        http_answer_error(c, NULL, ERR_BAD_REQUEST, NULL);
        return len;
    }
    /* Between requests the time is keep-alive's; once a head has begun, the handshake's, and anew
     * once it is whole, for what has to be waited for. */
    if (c->kept_alive || head) conn_set_timeout(c, TIMEOUT_HANDSHAKE);
    c->kept_alive = false;
    if (!head) return 0;
    struct http_request r;
    int err = http_request_parse(text, head, &r);
    if (err) {
        http_answer_error(c, NULL, err, NULL);
        return len;
    }
    conn_work(c, CONN_REQUEST_WORK, 0);
    http_on_request(c, &r);
    return head;
}

static void http_refuse(struct conn *c, int err)
{
    if (c->api) {
        api_of(c)->refuse(c, err);
        return;
    }
    http_upgrade_abandon(c);
    http_answer_error(c, NULL, err, NULL);
}

/* The time for a request head, or between two, is over. */
static void http_on_timeout(struct conn *c)
{
    if (c->api) {
        api_of(c)->on_timeout(c);
        return;
    }
    if (c->handshake) { /* the store has not answered */
        http_refuse(c, ERR_STORE_READ);
        return;
    }
    if (c->in.len == 0) {
        /* A request that came while we were busy, or this instant, is not cut off unread; it is
         * going to be read in this turn or the next. */
        if (!c->paused && stream_has_input(&c->stream))
            conn_set_timeout(c, TIMEOUT_HANDSHAKE);
        else
            conn_drop(c);
        return;
    }
    http_refuse(c, ERR_TIMEOUT);
}

static bool http_on_writable(struct conn *c)
{
    if (c->kept_alive) conn_set_timeout(c, TIMEOUT_KEEPALIVE); /* from the answer's last byte */
    if (c->api) api_of(c)->on_writable(c);
    return false;
}

static void http_on_drop(struct conn *c)
{
    http_upgrade_abandon(c);
    if (c->api) api_of(c)->drop(c);
}

static size_t http_input_bytes(const struct conn *c)
{
    return c->api ? api_of(c)->input_bytes(c) : 0;
}

const struct conn_ops http_session = {
    .on_input = http_on_input,
    .on_writable = http_on_writable,
    .on_timeout = http_on_timeout,
    .on_drop = http_on_drop,
    .refuse = http_refuse,
    .input_bytes = http_input_bytes,
};
