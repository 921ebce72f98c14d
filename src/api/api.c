/* See api.h. The way of a call: key, route, what is in the path, body, handler, answer. */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/api_call.h"
#include "auth/api_key.h"
#include "auth/identity.h"
#include "auth/policy.h"
#include "base/err.h"
#include "base/utf8.h"
#include "chat/hub.h"
#include "net/socket.h"
#include "ops/log.h"
#include "proto/http.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/worker.h"

#define AUTHENTICATE "WWW-Authenticate: Bearer realm=\"parlor\"\r\n" /* RFC 6750 section 3 */
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

/* What is not consumed of a connection's input has to fit, and a head lies before the body. */
enum { BODY_MAX_BYTES = WORKER_REST_BYTES - HTTP_HEAD_MAX_BYTES };

static api_handler_fn *const handlers[API_ROUTE_COUNT] = {
    [API_STATS] = api_get_stats,       [API_EXPORT] = api_get_export,
    [API_ROOMS] = api_get_rooms,       [API_ROOM] = api_get_room,
    [API_MEMBERS] = api_get_members,   [API_SEARCH] = api_search,
    [API_MESSAGES] = api_get_messages, [API_POST] = api_post,
    [API_MESSAGE] = api_get_message,   [API_EDIT] = api_edit,
    [API_DELETE] = api_delete,         [API_ACTS] = api_get_acts,
    [API_ACT] = api_post_act,
};

/* ---- the beginning ---- */

/* 0, ERR_API_KEY or ERR_NOMEM. */
static int check_key(const struct server *s, const struct http_request *r)
{
    static const char scheme[] = "Bearer ";
    uint8_t digest[API_KEY_DIGEST_BYTES];
    struct slice given = http_header_get(r, "Authorization");
    size_t skip = sizeof scheme - 1;
    if (given.len <= skip || strncasecmp(given.ptr, scheme, skip) != 0) return ERR_API_KEY;
    int err = api_key_digest((struct slice){given.ptr + skip, given.len - skip}, digest);
    if (err) return err;
    return api_key_same(digest, s->api_key) ? 0 : ERR_API_KEY;
}

/* Somebody may be trying keys. */
static void note_refused_key(struct conn *c, const struct http_request *r)
{
    struct log *log = c->worker->server->options.log;
    char peer[SOCKET_TEXT_MAX];
    metrics_add(&c->worker->metrics, METRIC_API_KEYS_REFUSED, 1);
    socket_ip_text(c->ip, peer);
    LOG(log, LOG_WARN, "api_key_refused", "a request to the API came without its key",
        LOG_STR("peer", peer), LOG_BOOL("given", http_header_get(r, "Authorization").len > 0));
}

/* Who has the key has no budget, whoever else asks has that of a client. */
static void api_refuse(struct conn *c, const struct http_request *r, int err)
{
    const char *headers = err == ERR_API_KEY ? AUTHENTICATE : NULL;
    if (!client_take(c, BUDGET_REQUESTS)) {
        err = ERR_MANY_REQUESTS;
        headers = HTTP_RETRY_AFTER;
    }
    if (err == ERR_API_KEY) note_refused_key(c, r);
    http_answer_error(c, r, err, headers);
}

static bool has_json_body(const struct http_request *r)
{
    struct slice type = http_header_get(r, "Content-Type");
    const char *semicolon = type.len ? memchr(type.ptr, ';', type.len) : NULL;
    if (semicolon) type.len = (size_t)(semicolon - type.ptr);
    return slice_is_nocase(slice_trim(type), "application/json");
}

static int check_body(const struct http_request *r, bool wanted)
{
    if (!wanted) return r->has_body ? ERR_BODY_REFUSED : 0;
    if (!r->has_length && !r->chunked) return ERR_LENGTH_REQUIRED;
    if (r->body_bytes > BODY_MAX_BYTES) return ERR_BODY_TOO_LARGE;
    return has_json_body(r) ? 0 : ERR_MEDIA_TYPE;
}

static int read_idempotency_key(const struct http_request *r, struct api_call *call)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[API_KEY_DIGEST_BYTES];
    struct slice key = http_header_get(r, "Idempotency-Key");
    if (!key.ptr) return 0;
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] <= ' ' || key.ptr[i] > '~') return ERR_BAD_KEY;
    if (key.len == 0 || key.len > API_IDEMPOTENCY_KEY_MAX) return ERR_BAD_KEY;
    if (api_key_digest(key, digest) != 0) return ERR_NOMEM;
    char *at = call->nonce;
    memcpy(at, API_NONCE_PREFIX, sizeof API_NONCE_PREFIX - 1);
    at += sizeof API_NONCE_PREFIX - 1;
    for (size_t i = 0; i < sizeof digest; i++) {
        *at++ = digits[digest[i] >> 4];
        *at++ = digits[digest[i] & 15];
    }
    call->event.nonce = (struct slice){call->nonce, API_NONCE_LEN};
    return 0;
}

/* Copies what of the head is still wanted when the head is gone. NULL if memory is short. */
static struct api_call *call_new(const struct http_request *r, const struct api_match *match)
{
    struct api_call *call = calloc(1, sizeof *call + r->query.len);
    if (!call) return NULL;
    call->route = match->route;
    call->manner = http_manner(r);
    call->manner.keep_alive = r->keep_alive; /* the body is going to be read */
    call->body_bytes = (size_t)r->body_bytes;
    call->chunked = r->chunked;
    call->query = (struct slice){call->text, r->query.len};
    if (r->query.len) memcpy(call->text, r->query.ptr, r->query.len);
    return call;
}

/* Reads the names in the path. */
static int read_path(struct api_call *call, const struct api_match *match)
{
    int err = 0;
    call->room.ptr = call->room_name;
    if (match->room.ptr) err = name_room_decode(match->room, call->room_name, &call->room.len);
    if (!err && match->id.ptr) err = id_parse(match->id, &call->id);
    return err;
}

/* Everything is here. If the handler does not answer at once, nothing more is read until it does.
 */
static void call_run(struct conn *c, struct api_call *call)
{
    call->running = true;
    int err = may(&identity_api, ACTION_JOIN, call->room, NULL);
    if (!err) err = handlers[call->route](c, call);
    if (err) api_fail(c, call, err);
    if (!c->api) return;
    conn_hold(c);
    conn_set_timeout(c, TIMEOUT_HANDSHAKE);
}

static void call_begin(struct conn *c, const struct http_request *r, const struct api_match *match)
{
    int err = check_body(r, api_routes[match->route].takes_body);
    if (err) {
        http_answer_error(c, r, err, NULL);
        return;
    }
    struct api_call *call = call_new(r, match);
    if (!call) {
        http_answer_error(c, r, ERR_NOMEM, NULL);
        return;
    }
    err = read_path(call, match);
    if (!err && match->route == API_POST) err = read_idempotency_key(r, call);
    if (err) {
        http_answer_error(c, r, err, NULL);
        api_call_free(call);
        return;
    }
    c->api = call;
    if (c->over_limit) call->manner.keep_alive = false; /* it was never counted, and cannot stay */
    c->kept_alive = false;
    if (!r->has_body) {
        call_run(c, call);
        return;
    }
    conn_set_timeout(c, TIMEOUT_HANDSHAKE);
    if (r->expects_continue) conn_send(c, CONTINUE, sizeof CONTINUE - 1);
}

static void api_on_request(struct conn *c, const struct http_request *r)
{
    char allow[API_ALLOW_MAX];
    char header[API_ALLOW_MAX + 16];
    struct api_match match;
    const struct server *s = c->worker->server;
    int err = s->options.api_key ? check_key(s, r) : ERR_API_OFF;
    if (err) {
        api_refuse(c, r, err);
        return;
    }
    err = api_route_find(r->method, r->path, &match, allow);
    if (err == 0) {
        call_begin(c, r, &match);
        return;
    }
    if (err == ERR_BAD_METHOD) snprintf(header, sizeof header, "Allow: %s\r\n", allow);
    http_answer_error(c, r, err, err == ERR_BAD_METHOD ? header : NULL);
}

/* Both take bytes of the body off *in. 1: that was all of it. */
static int take_length(struct api_call *call, struct slice *in)
{
    size_t missing = call->body_bytes - call->body.len;
    size_t take = in->len < missing ? in->len : missing;
    int err = buf_append(&call->body, in->ptr, take, BODY_MAX_BYTES);
    in->ptr += take;
    in->len -= take;
    return err ? err : take == missing;
}

static int take_chunks(struct api_call *call, struct slice *in)
{
    int got = 0;
    while (in->len > 0 && got == 0) {
        struct slice data;
        got = http_chunks_read(&call->chunks, in, &data);
        int err = buf_append(&call->body, data.ptr, data.len, BODY_MAX_BYTES);
        if (err) return err == ERR_TOO_LONG ? ERR_BODY_TOO_LARGE : err;
    }
    return got;
}

static size_t on_body(struct conn *c, const uint8_t *data, size_t len)
{
    struct api_call *call = c->api;
    struct slice in = {(const char *)data, len};
    int got = call->chunked ? take_chunks(call, &in) : take_length(call, &in);
    if (got > 0) call_run(c, call);
    if (got >= 0) return len - in.len;
    call->manner.keep_alive = false; /* where the next request begins is not known any more */
    api_fail(c, call, got);
    return len;
}

static void api_on_writable(struct conn *c)
{
    if (c->api->export.begun) api_export_go_on(c, c->api);
}

static size_t api_input_bytes(const struct conn *c)
{
    const struct api_call *call = c->api;
    return call->body.cap + call->scratch.cap;
}

static void end_with(struct conn *c, int err)
{
    struct api_call *call = c->api;
    if (call->export.begun) {
        conn_drop(c); /* it takes no more; what it has lacks the end */
        return;
    }
    call->manner.keep_alive = false;
    api_fail(c, call, err);
}

static void api_on_timeout(struct conn *c)
{
    const struct api_call *call = c->api;
    bool writes = api_routes[call->route].takes_body || call->route == API_DELETE;
    int late = writes ? ERR_STORE : ERR_STORE_READ;
    end_with(c, call->running ? late : ERR_TIMEOUT);
}

static void drop(struct conn *c)
{
    struct api_call *call = c->api;
    c->api = NULL;
    api_call_free(call);
}

static bool allow(const struct http_request *r, char list[static HTTP_ALLOW_MAX])
{
    struct api_match match;
    return api_route_find(r->method, r->path, &match, list) == ERR_BAD_METHOD;
}

static_assert((int)HTTP_ALLOW_MAX == (int)API_ALLOW_MAX, "the same lists");

const struct http_api api_http = {
    .prefix = API_PREFIX,
    .document = API_DOCUMENT,
    .on_request = api_on_request,
    .allow = allow,
    .on_body = on_body,
    .on_writable = api_on_writable,
    .on_timeout = api_on_timeout,
    .refuse = end_with,
    .drop = drop,
    .input_bytes = api_input_bytes,
};
