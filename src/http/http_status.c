/* See http_status.h. */
#include "http/http_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "auth/site.h"
#include "base/account.h"
#include "base/err.h"
#include "chat/hub.h"
#include "http/http_answer.h"
#include "ops/metrics.h"
#include "proto/http.h"
#include "server/conn.h"
#include "server/outage.h"
#include "server/worker.h"

enum {
    METRICS_MAX_BYTES = 256 * 1024,
    READY_MAX_BYTES = 256,
    TROUBLE_SHOWN_MS = 60 * 1000, /* trouble that may have passed */
};

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
void http_status_healthz(struct conn *c, const struct http_request *r)
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
void http_status_readyz(struct conn *c, const struct http_request *r)
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
    if (!ready && outage_look(s->outage, worker_refused(s), &outage)) outage_text(&outage, text);
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
    struct site_health site = {0};
    if (s->options.site) site_health(s->options.site, &site);
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
        .site_questions = site.questions,
        .site_failures = site.failures,
        .workers = s->worker_count,
        .open_fds = s->own_fds + worker_connections(s),
        .max_fds = files.rlim_cur,
        .uptime_ms = w->now_ms - s->start_ms,
    };
    return metrics_render(&w->metrics_text, all, s->worker_count, &gauges, METRICS_MAX_BYTES);
}

/* Rendering costs ten times what answering does, also for HEAD, whose answer has the length. So all
 * who ask in one turn get the same text. */
void http_status_metrics(struct conn *c, const struct http_request *r)
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
