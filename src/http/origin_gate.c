/* See origin_gate.h. */
#include "http/origin_gate.h"

#include <stdio.h>

#include "base/err.h"
#include "net/socket.h"
#include "ops/log.h"
#include "ops/metrics.h"
#include "proto/http.h"
#include "server/conn.h"
#include "server/worker.h"

/* No page can make a browser's WebSocket handshake carry one of these, or the PROXY protocol. */
static bool is_forwarded(const struct conn *c, const struct http_request *r)
{
    static const char *const headers[] = {"X-Forwarded-For", "X-Forwarded-Host",
                                          "X-Forwarded-Proto", "X-Real-IP", "Forwarded"};
    if (c->proxied || !c->trusted) return c->proxied;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        if (http_header_get(r, headers[i]).ptr) return true;
    return false;
}

/* The host that the browser asked for: proxies may put their own name for us into Host. Behind
 * several of them the first one's word stands first. */
static struct slice asked_host(const struct conn *c, const struct http_request *r)
{
    struct slice list = http_header_get(r, "X-Forwarded-Host");
    if (list.len == 0 || !c->trusted) return http_header_get(r, "Host");
    return http_list_take(&list);
}

/* Where a session of the site signs in, a browser sends that along for any page that asks. */
static bool any_origin(const struct conn *c)
{
    const struct server_options *o = &c->worker->server->options;
    if (o->site) return false;
    return o->any_origin || (o->origin_count == 0 && c->on_loopback);
}

int origin_gate_host(const struct conn *c, const struct http_request *r)
{
    const struct server_options *o = &c->worker->server->options;
    struct slice host = http_header_get(r, "Host");
    if (!c->on_loopback || o->any_origin || host.len == 0) return 0; /* browsers send one */
    if (origin_host_is_local(host) || origin_host_is_address(host)) return 0; /* no page's name */
    if (is_forwarded(c, r)) return 0;
    for (size_t i = 0; i < o->origin_count; i++)
        if (origin_host_is(host, slice_of(o->origins[i]))) return 0;
    return ERR_HOST;
}

static int check_origin(const struct conn *c, const struct http_request *r)
{
    const struct server_options *o = &c->worker->server->options;
    struct slice origin = http_header_get(r, "Origin");
    if (!origin.ptr || any_origin(c)) return 0;
    if (origin_is_same(origin, asked_host(c, r))) return 0;
    for (size_t i = 0; i < o->origin_count; i++)
        if (slice_is_nocase(origin, o->origins[i])) return 0;
    return ERR_ORIGIN;
}

int origin_gate_page(const struct conn *c, const struct http_request *r)
{
    int err = origin_gate_host(c, r);
    return err ? err : check_origin(c, r);
}

void origin_gate_refuse(const struct conn *c, const struct http_request *r, int err,
                        char text[static ORIGIN_GATE_TEXT_MAX])
{
    struct worker *w = c->worker;
    struct slice origin = http_header_get(r, "Origin");
    struct slice host = http_header_get(r, "Host");
    char option[ORIGIN_OPTION_MAX];
    bool known = err == ERR_ORIGIN || origin_host_is(host, origin)
                     ? origin_option(origin, option)
                     : origin_host_option(host, option);
    metrics_refusal(&w->metrics, err);
    snprintf(text, ORIGIN_GATE_TEXT_MAX, known ? "%s: %s allows it" : "%s", err_info(err)->text,
             option);
    if (err == ERR_ORIGIN)
        LOG(w->server->options.log, LOG_WARN, "origin_refused",
            "a page of this origin was kept from opening a WebSocket; the option would allow it",
            LOG_SLICE("origin", origin), LOG_SLICE("host", host), LOG_STR("option", option));
    else
        LOG(w->server->options.log, LOG_WARN, "host_refused",
            "a request for a host that is none of ours was refused; the option would allow it",
            LOG_SLICE("host", host), LOG_STR("option", option));
}
