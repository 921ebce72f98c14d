/* See http_answer.h. */
#include "server/http_answer.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "ops/metrics.h"
#include "ops/version.h"
#include "proto/http.h"
#include "server/conn.h"
#include "server/worker.h"

enum { HEAD_MAX_BYTES = 2048, ERROR_MAX_BYTES = 512 };

/* RFC 9110 section 15. */
static const char *reason_phrase(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
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

void http_answer(struct conn *c, const struct http_request *r, const struct http_answer *a)
{
    struct worker *w = c->worker;
    bool keep = r && r->keep_alive && !r->has_body && !c->over_limit && !w->draining;
    bool has_body = !(r && r->is_head) && a->status != 304;
    char date[32];
    char head[HEAD_MAX_BYTES];
    format_date(w->wall_ms, date);
    char length[48] = "";
    if (a->status != 304) snprintf(length, sizeof length, "Content-Length: %zu\r\n", a->body.len);
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %u %s\r\n"
                     "Date: %s\r\n"
                     "Server: parlor/" PARLOR_VERSION "\r\n"
                     "Content-Type: %s\r\n"
                     "%s"
                     "Cache-Control: %s\r\n"
                     "X-Content-Type-Options: nosniff\r\n"
                     "Connection: %s\r\n"
                     "%s\r\n",
                     a->status, reason_phrase(a->status), date, a->content_type, length,
                     a->cache_control ? a->cache_control : "no-store",
                     keep ? "keep-alive" : "close", a->headers ? a->headers : "");
    struct buf *reply = &w->reply;
    reply->len = 0;
    if (n < 0 || (size_t)n >= sizeof head ||
        buf_append(reply, head, (size_t)n, CONN_OUT_MAX_BYTES) != 0 ||
        (has_body && buf_append(reply, a->body.ptr, a->body.len, CONN_OUT_MAX_BYTES) != 0)) {
        conn_drop(c);
        return;
    }
    metrics_http(&w->metrics, a->status);
    conn_send(c, reply->data, reply->len);
    if (c->state != CONN_HTTP) return;
    if (keep) {
        c->kept_alive = true;
        conn_set_timeout(c, TIMEOUT_KEEPALIVE);
    } else {
        conn_finish(c);
    }
}

void http_answer_error(struct conn *c, const struct http_request *r, int err, const char *headers)
{
    const struct err_info *info = err_info(err);
    char body[ERROR_MAX_BYTES];
    char detail[ERROR_MAX_BYTES / 2];
    size_t n = 0;
    /* The table's texts hold no control characters; only quotes need escaping. */
    for (const char *p = info->text; *p && n + 2 < sizeof detail; p++) {
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
    http_answer(c, r, &a);
}
