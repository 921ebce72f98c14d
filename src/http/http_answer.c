/* See http_answer.h. */
#include "http/http_answer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "ops/metrics.h"
#include "ops/version.h"
#include "proto/http.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/worker.h"

enum {
    HEAD_MAX_BYTES = 2048,
    ERROR_MAX_BYTES = 512,
    COPY_MAX_BYTES = 64 * 1024, /* a longer body is not worth copying to save a system call */
};

/* RFC 9110 section 15. */
static const char *reason_phrase(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 204:
        return "No Content";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 421:
        return "Misdirected Request";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return status < 500 ? "Refused" : "Internal Server Error";
    }
}

/* RFC 9110 section 5.6.7. Not strftime's %a and %b: those follow the locale. */
static void format_date(int64_t wall_ms, char out[static 32])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    snprintf(out, 32, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday],
             (unsigned)tm.tm_mday % 100, months[tm.tm_mon], (unsigned)(tm.tm_year + 1900) % 10000,
             (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

/* True if the connection is to be kept after the answer. */
static bool keeps(const struct conn *c, struct http_manner m)
{
    return m.keep_alive && !c->over_limit && !c->worker->draining;
}

/* Tells the client to be done a second before we are: a request that it sends in the last moment
 * would meet a closed connection. */
static void format_keep_alive(const struct conn *c, char out[static 48])
{
    uint32_t seconds = c->worker->server->options.keepalive_timeout_ms / 1000;
    out[0] = '\0';
    if (seconds > 1) snprintf(out, 48, "Keep-Alive: timeout=%u\r\n", seconds - 1);
}

/* Writes status line and headers to the worker's reply; framing are the lines that say where the
 * body ends. False if it does not fit, which no answer of ours gets to. */
static bool write_head(struct conn *c, bool keep, const struct http_answer *a, const char *framing)
{
    char date[32];
    char keep_alive[48] = "";
    char head[HEAD_MAX_BYTES];
    struct buf *reply = &c->worker->reply;
    format_date(c->worker->wall_ms, date);
    if (keep) format_keep_alive(c, keep_alive);
    int n =
        snprintf(head, sizeof head,
                 "HTTP/1.1 %u %s\r\n"
                 "Date: %s\r\n"
                 "Server: parlor/" PARLOR_VERSION "\r\n"
                 "%s%s%s"
                 "%s"
                 "Cache-Control: %s\r\n"
                 "X-Content-Type-Options: nosniff\r\n"
                 "Connection: %s\r\n"
                 "%s%s\r\n",
                 a->status, reason_phrase(a->status), date, a->content_type ? "Content-Type: " : "",
                 a->content_type ? a->content_type : "", a->content_type ? "\r\n" : "", framing,
                 a->cache_control ? a->cache_control : "no-store", keep ? "keep-alive" : "close",
                 keep_alive, a->headers ? a->headers : "");
    reply->len = 0;
    return n > 0 && (size_t)n < sizeof head &&
           buf_append(reply, head, (size_t)n, CONN_OUT_MAX_BYTES) == 0;
}

/* The answer is on its way as a whole. */
static void answer_end(struct conn *c, bool keep)
{
    if (c->state != CONN_HTTP) return;
    if (keep) {
        c->kept_alive = true;
        client_on_answered(c);
        (void)client_keep_past(c, 0); /* of a handshake that came to nothing */
        conn_set_timeout(c, TIMEOUT_KEEPALIVE);
    } else {
        conn_finish(c);
    }
}

struct http_manner http_manner(const struct http_request *r)
{
    if (!r) return (struct http_manner){.keep_alive = false};
    return (struct http_manner){.keep_alive = r->keep_alive && !r->has_body,
                                .head_only = r->is_head,
                                .http_1_0 = r->minor == 0};
}

void http_answer_later(struct conn *c, struct http_manner m, const struct http_answer *a)
{
    struct buf *reply = &c->worker->reply;
    bool keep = keeps(c, m);
    bool bodyless = a->status == 204 || a->status == 304; /* RFC 9110 section 8.6 */
    bool has_body = !m.head_only && !bodyless;
    bool copy = a->body.len <= COPY_MAX_BYTES;
    char length[48] = "";
    if (!bodyless) snprintf(length, sizeof length, "Content-Length: %zu\r\n", a->body.len);
    bool ok = write_head(c, keep, a, length);
    if (ok && has_body && copy)
        ok = buf_append(reply, a->body.ptr, a->body.len, CONN_OUT_MAX_BYTES) == 0;
    if (!ok) {
        conn_drop(c);
        return;
    }
    metrics_http(&c->worker->metrics, a->status);
    conn_send(c, reply->data, reply->len);
    if (has_body && !copy) conn_send(c, a->body.ptr, a->body.len);
    answer_end(c, keep);
}

void http_answer(struct conn *c, const struct http_request *r, const struct http_answer *a)
{
    http_answer_later(c, http_manner(r), a);
}

/* text holds no control characters and no backslashes. */
static void answer_error(struct conn *c, struct http_manner m, int err, const char *text,
                         const char *headers)
{
    const struct err_info *info = err_info(err);
    char body[2 * ERROR_MAX_BYTES];
    char detail[ERROR_MAX_BYTES];
    size_t n = 0;
    for (const char *p = text; *p && n + 2 < sizeof detail; p++) {
        if (*p == '"') detail[n++] = '\\';
        detail[n++] = *p;
    }
    detail[n] = '\0';
    int len = snprintf(body, sizeof body, "{\"error\":{\"code\":\"%s\",\"detail\":\"%s\"}}\n",
                       info->word, detail);
    const struct http_answer a = {
        .status = info->http_status,
        .content_type = "application/json",
        .headers = headers,
        .body = {body, (size_t)len},
    };
    http_answer_later(c, m, &a);
}

void http_answer_error_later(struct conn *c, struct http_manner m, int err, const char *headers)
{
    answer_error(c, m, err, err_info(err)->text, headers);
}

void http_answer_error(struct conn *c, const struct http_request *r, int err, const char *headers)
{
    http_answer_error_later(c, http_manner(r), err, headers);
}

void http_answer_error_text_later(struct conn *c, struct http_manner m, int err, const char *text)
{
    answer_error(c, m, err, text, NULL);
}

void http_answer_error_text(struct conn *c, const struct http_request *r, int err, const char *text)
{
    http_answer_error_text_later(c, http_manner(r), err, text);
}

/* HTTP/1.0 takes the end of the connection for the end of the body. */
static bool stream_keeps(const struct conn *c, struct http_manner m)
{
    return keeps(c, m) && !m.http_1_0;
}

void http_stream_begin(struct conn *c, struct http_manner m, const struct http_answer *a)
{
    const char *framing = m.http_1_0 ? "" : "Transfer-Encoding: chunked\r\n";
    if (!write_head(c, stream_keeps(c, m), a, framing)) {
        conn_drop(c);
        return;
    }
    metrics_http(&c->worker->metrics, a->status);
    conn_send(c, c->worker->reply.data, c->worker->reply.len);
}

void http_stream_piece(struct conn *c, struct http_manner m, struct slice piece)
{
    char size[32];
    if (m.head_only || piece.len == 0) return; /* an empty chunk would be the end */
    int n = snprintf(size, sizeof size, "%zx\r\n", piece.len);
    if (!m.http_1_0) conn_send(c, size, (size_t)n);
    conn_send(c, piece.ptr, piece.len);
    if (!m.http_1_0) conn_send(c, "\r\n", 2);
}

void http_stream_end(struct conn *c, struct http_manner m)
{
    if (!m.head_only && !m.http_1_0) conn_send(c, "0\r\n\r\n", 5);
    answer_end(c, stream_keeps(c, m));
}
