/* See client.h. */
#include "server/client.h"
#include "proto/proxy.h"

#include <stdio.h>
#include <string.h>

#include "base/account.h"
#include "base/err.h"
#include "base/hash.h"
#include "chat/hub.h"
#include "net/socket.h"
#include "ops/log.h"
#include "proto/forwarded.h"
#include "proto/origin.h"
#include "server/conn.h"
#include "server/overflow.h"
#include "server/peer_counts.h"
#include "server/worker.h"

enum {
    OVER_BUDGET_LOG_MS = 10000,       /* a worker tells of one refusal in this time */
    NOT_HEARD_LOG_MS = 10 * 60 * 1000 /* the server of one proxy that is not trusted */
};

#define TRUSTED_OPTION "--trusted-proxies "

static const struct forwarded_rules *rules_of(const struct server *s)
{
    return s->options.forwarded;
}

uint64_t client_id(const struct conn *c)
{
    return hash_keyed(c->ip, sizeof c->ip) | 1;
}

/* ---- loopback without a budget ---- */

/* forwards: what was seen is a proxy that does as it should. */
static void end_exemption(struct conn *c, const char *seen, bool forwards)
{
    struct server *s = c->worker->server;
    if (!atomic_exchange(&s->loopback_exempt, false)) return;
    const char *text = forwards
                           ? "a proxy is on this machine: from now on programs on it that "
                             "forward for nobody have the budgets of a client, too"
                           : "a proxy on this machine seems to forward no address: from now on "
                             "its clients share the budgets of one; have it forward theirs";
    LOG(s->options.log, LOG_WARN, "loopback_limited", text, LOG_STR("seen", seen));
}

/* True if this request can come of a program on the machine that acts for nobody else. */
static bool is_own_request(struct conn *c, const struct http_request *r)
{
    if (!atomic_load_explicit(&c->worker->server->loopback_exempt, memory_order_relaxed))
        return false;
    if (c->proxied || !ip_is_loopback(c->peer)) return false;
    const char *why = NULL;
    struct slice host = http_header_get(r, "Host");
    if (!origin_is_local(http_header_get(r, "Origin"))) why = "foreign Origin";
    if (host.len > 0 && !origin_host_is_local(host)) why = "foreign Host";
    if (forwarded_is_marked(r)) why = "forwarding header";
    if (why) end_exemption(c, why, forwarded_is_marked(r));
    return !why;
}

/* ---- limits ---- */

/* What is turned away takes no place: else one address could fill the server for all. */
static bool count_connection(struct conn *c)
{
    struct server *s = c->worker->server;
    if (c->counted) return true;
    c->counted = atomic_fetch_add(&s->connections, 1) < s->max_connections;
    if (!c->counted) atomic_fetch_sub(&s->connections, 1);
    return c->counted;
}

static void set_ip(struct conn *c, const uint8_t ip[static IP_BYTES])
{
    struct overflow *o = c->worker->overflow;
    if (c->over_limit) overflow_remove(o, c); /* it counts by address */
    (void)client_keep_input(c, 0);            /* likewise; with what it reads now, it counts anew */
    (void)client_keep_past(c, 0);
    memcpy(c->ip, ip, IP_BYTES);
    if (c->over_limit) (void)overflow_add(o, c, client_id(c)); /* where it was just now */
}

static void uncount_client(struct conn *c)
{
    if (c->counted_ip) peer_counts_remove(c->worker->server->peers, c->ip);
    c->counted_ip = false;
}

/* What is asked for holds for all; else a program on this machine has no limit while loopback is
 * exempt. It is counted nevertheless: the limit takes in who is here when the exemption ends. */
static uint32_t limit_of(const struct conn *c)
{
    const struct server *s = c->worker->server;
    return c->own && !s->options.max_connections_per_ip ? UINT32_MAX : s->max_per_client;
}

/* Counts the connection as this client's and as nobody else's. False: that one has its share. */
static bool client_count(struct conn *c, const uint8_t ip[static IP_BYTES])
{
    bool same = memcmp(c->ip, ip, IP_BYTES) == 0;
    if (c->counted_ip && same) return true;
    uncount_client(c);
    if (!same) set_ip(c, ip);
    c->counted_ip = peer_counts_add(c->worker->server->peers, ip, limit_of(c));
    return c->counted_ip;
}

/* Limits of a peer that is no proxy. */
static int count_peer(struct conn *c)
{
    uint8_t ip[IP_BYTES];
    memcpy(ip, c->peer, IP_BYTES);
    socket_ip_client(ip);
    if (!client_count(c, ip)) return ERR_FULL;
    if (!client_take(c, BUDGET_CONNECTS)) return ERR_MANY_CONNECTS;
    return count_connection(c) ? 0 : ERR_FULL;
}

int client_on_accept(struct conn *c)
{
    const struct server *s = c->worker->server;
    memcpy(c->ip, c->peer, IP_BYTES);
    socket_ip_client(c->ip);
    c->trusted = forwarded_trusts(rules_of(s), c->peer);
    if (!c->trusted) return count_peer(c);
    return count_connection(c) ? 0 : ERR_FULL;
}

int client_on_proxy(struct conn *c, const struct proxy_source *source)
{
    end_exemption(c, "PROXY protocol", true);
    if (!source->known) return c->over_limit;
    memcpy(c->peer, source->ip, IP_BYTES);
    c->trusted = forwarded_trusts(rules_of(c->worker->server), c->peer);
    if (c->trusted) return c->over_limit;
    int err = count_peer(c);
    return c->over_limit ? c->over_limit : err;
}

/* A proxy that is not trusted makes one client of all of its own, which are refused for what the
 * others do: whoever runs it should not have to guess why. Anybody can send such a header, so it is
 * said now and then, and for whom. Of the PROXY protocol the peer is a client. */
static void note_not_heard(const struct conn *c, const struct http_request *r)
{
    struct worker *w = c->worker;
    struct server *s = w->server;
    uint64_t next_ms = atomic_load_explicit(&s->not_heard_ms, memory_order_relaxed);
    if (w->now_ms < next_ms || c->proxied || !forwarded_names_client(r)) return;
    uint64_t after_ms = w->now_ms + NOT_HEARD_LOG_MS;
    if (!atomic_compare_exchange_strong(&s->not_heard_ms, &next_ms, after_ms)) return;
    char peer[SOCKET_TEXT_MAX];
    char option[sizeof TRUSTED_OPTION + SOCKET_TEXT_MAX];
    socket_ip_text(c->peer, peer);
    snprintf(option, sizeof option, TRUSTED_OPTION "%s", peer);
    LOG(s->options.log, LOG_WARN, "proxy_not_trusted",
        "a peer says for whom it forwards, and is not believed, so all of those share the budgets "
        "of one client; if it is your proxy, the option has it believed",
        LOG_STR("peer", peer), LOG_STR("option", option));
}

int client_on_request(struct conn *c, const struct http_request *r)
{
    uint8_t ip[IP_BYTES];
    if (!c->trusted) {
        note_not_heard(c, r);
        return c->over_limit;
    }
    c->own = is_own_request(c, r);
    memcpy(ip, c->peer, IP_BYTES);
    (void)forwarded_client(r, rules_of(c->worker->server), ip);
    socket_ip_client(ip);
    return client_count(c, ip) ? c->over_limit : ERR_FULL;
}

int client_on_handshake(struct conn *c)
{
    return c->trusted && !client_take(c, BUDGET_CONNECTS) ? ERR_MANY_CONNECTS : 0;
}

void client_on_answered(struct conn *c)
{
    if (c->trusted) uncount_client(c);
}

void client_on_drop(struct conn *c)
{
    if (c->counted) atomic_fetch_sub(&c->worker->server->connections, 1);
    uncount_client(c);
}

/* ---- budgets ---- */

static bool has_budget(const struct conn *c)
{
    const struct server *s = c->worker->server;
    bool own = c->own && atomic_load_explicit(&s->loopback_exempt, memory_order_relaxed);
    return !own && !(c->state == CONN_HTTP && c->api);
}

static void log_over(const struct conn *c, enum budget_kind kind)
{
    static const char *const names[BUDGET_KINDS] = {
        [BUDGET_MESSAGES] = "messages", [BUDGET_CONNECTS] = "connects",
        [BUDGET_ROOMS] = "rooms",       [BUDGET_HISTORY] = "history",
        [BUDGET_REQUESTS] = "requests", [BUDGET_SIGN_INS] = "sign-ins",
    };
    struct worker *w = c->worker;
    if (w->now_ms < w->over_budget_ms) return;
    w->over_budget_ms = w->now_ms + OVER_BUDGET_LOG_MS;
    char peer[SOCKET_TEXT_MAX];
    socket_ip_text(c->ip, peer);
    LOG(w->server->options.log, LOG_WARN, "over_budget", "a client is over its budget",
        LOG_STR("peer", peer), LOG_STR("budget", names[kind]));
}

static bool client_take_n(struct conn *c, enum budget_kind kind, unsigned n)
{
    const struct worker *w = c->worker;
    if (!has_budget(c) || budget_take(w->server->budgets, c->ip, kind, n, w->now_ms)) return true;
    log_over(c, kind);
    return false;
}

bool client_take(struct conn *c, enum budget_kind kind)
{
    return client_take_n(c, kind, 1);
}

bool client_take_bytes(struct conn *c, enum budget_kind kind, size_t bytes)
{
    return client_take_n(c, kind, bytes ? (unsigned)((bytes - 1) / CLIENT_TOKEN_BYTES + 1) : 1);
}

bool client_may(struct conn *c, enum budget_kind kind)
{
    return client_take_n(c, kind, 0);
}

uint32_t client_wait_ms(struct conn *c, int err)
{
    enum budget_kind kind = BUDGET_KINDS;
    if (err == ERR_MANY_CONNECTS) kind = BUDGET_CONNECTS;
    if (err == ERR_MANY_ROOMS) kind = BUDGET_ROOMS;
    if (err == ERR_MUCH_HISTORY) kind = BUDGET_HISTORY;
    if (err == ERR_MANY_REQUESTS) kind = BUDGET_REQUESTS;
    if (err == ERR_MANY_SIGN_INS) kind = BUDGET_SIGN_INS;
    if (kind == BUDGET_KINDS) return 0;
    return budget_wait_ms(c->worker->server->budgets, c->ip, kind, c->worker->now_ms);
}

/* ---- memory that a client makes us keep ---- */

/* Notes that one of the client's connections keeps now instead of before, of the account for that;
 * nothing is noted if memory is short. True: that is within the client's share.
 *
 * A client may keep half of what nobody has taken. So one alone has a third of all, many share it,
 * and something is always left for the next; a fixed share would be too little for the first or too
 * much for many (the dynamic thresholds of switches that share their memory: Choudhury and Hahne,
 * 1998). */
static bool client_keep(struct conn *c, enum peer_kept what, struct account *all, uint32_t *kept,
                        uint32_t now)
{
    struct server *s = c->worker->server;
    uint64_t of_client = peer_counts_keep(s->peers, c->ip, what, *kept, now);
    if (of_client == UINT64_MAX) return false;
    bool grows = now > *kept;
    account_change(all, *kept, now);
    *kept = now;
    if (!grows) return true;
    uint64_t used = account_used(all);
    if (used > all->max) return false;
    return !has_budget(c) || of_client <= (all->max - used) / 2;
}

bool client_keep_input(struct conn *c, uint32_t bytes)
{
    if (bytes == c->kept) return true;
    bool had = c->kept > 0;
    bool fits = client_keep(c, PEER_INPUT, hub_input(c->worker->server->hub), &c->kept, bytes);
    c->worker->keeper_count += (c->kept > 0 ? 1U : 0U) - (had ? 1U : 0U);
    return fits;
}

static bool keep_context(struct conn *c, uint32_t before, uint32_t bytes)
{
    struct account *contexts = hub_contexts(c->worker->server->hub);
    if (client_keep(c, PEER_CONTEXTS, contexts, &before, bytes)) return true;
    (void)client_keep(c, PEER_CONTEXTS, contexts, &before, 0); /* before is what was tried by now */
    return false;
}

bool client_keep_past(struct conn *c, unsigned bits)
{
    uint32_t before = c->past.bits ? UINT32_C(1) << c->past.bits : 0;
    uint32_t bytes = bits ? UINT32_C(1) << bits : 0;
    if (before == 0 && bytes == 0) return true;
    ws_past_fini(&c->past);
    bool fits = keep_context(c, before, bytes);
    c->past.bits = fits ? (uint8_t)bits : 0;
    return fits;
}
