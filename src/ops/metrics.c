/* See metrics.h.
 *
 * The exposition follows the Prometheus text format 0.0.4: HELP and TYPE once per name, before its
 * samples, all samples of a name together. Known labels are shown at 0 as well, so that a rate
 * over them is right from the first event on; the exceptions are error words that no refusal may
 * ever carry, which appear once they count. */
#include "ops/metrics.h"

#include "ops/version.h"

#include "base/check.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

enum { LINE_MAX_BYTES = 320 }; /* a line of the exposition; help texts are the longest */

#define HELP_OF_CLOSES "WebSockets closed, by close code (1006: without a close frame)."
#define HELP_OF_REFUSALS "Input refused, by the code the client was told."
#define HELP_OF_HTTP "HTTP responses, by status (101: WebSockets opened)."
#define HELP_OF_TURN "Time a turn of a worker's loop took, the waiting for events not included."
#define HELP_OF_BUILD "Always 1; the version is in the label."
#define HELP_OF_UPTIME "Time since the server started."

#define X(symbol, name, type, help)                                                                \
    static_assert(sizeof(name) + sizeof(help) + 16 < LINE_MAX_BYTES, "help text of " name);
METRICS_TABLE(X)
#undef X

static const struct {
    const char *name;
    const char *type;
    const char *help;
} table[METRIC_COUNT] = {
#define X(symbol, metric_name, metric_type, metric_help)                                           \
    [symbol] = {metric_name, metric_type, metric_help},
    METRICS_TABLE(X)
#undef X
};

#define X(value) value,
static const unsigned close_codes[] = {METRICS_CLOSE_CODES(X)};
static const unsigned http_statuses[] = {METRICS_HTTP_STATUSES(X)};
#undef X

static const struct {
    uint64_t ns;
    const char *le;
} turn_buckets[] = {
#define X(bound_ns, bound_text) {bound_ns, bound_text},
    METRICS_TURN_BUCKETS(X)
#undef X
};

/* What section 3 of the protocol refuses: shown even while nobody was refused. */
static const int usual_refusals[] = {ERR_BAD_JSON, ERR_BAD_MESSAGE, ERR_TOO_LONG, ERR_BAD_USERNAME,
                                     ERR_RATE_LIMITED};

/* The index of value in list, or n ("other"). */
static size_t index_of(const unsigned *list, size_t n, unsigned value)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] == value) return i;
    }
    return n;
}

void metrics_close(struct metrics *m, unsigned code)
{
    metrics_bump(&m->closes[index_of(close_codes, METRICS_CLOSE_COUNT - 1, code)], 1);
}

void metrics_http(struct metrics *m, unsigned status)
{
    metrics_bump(&m->http[index_of(http_statuses, METRICS_HTTP_COUNT - 1, status)], 1);
}

void metrics_refusal(struct metrics *m, int err)
{
    CHECK(err < 0 && err > -(int)ERR_COUNT);
    metrics_bump(&m->refusals[-err], 1);
}

void metrics_turn(struct metrics *m, uint64_t ns)
{
    size_t i = 0;
    while (i < METRICS_TURN_COUNT - 1 && ns > turn_buckets[i].ns)
        i++;
    metrics_bump(&m->turn[i], 1);
    metrics_bump(&m->turn_sum_ns, ns);
}

/* What is being rendered; err sticks, so that the steps below need not look at it. */
struct render {
    struct buf *out;
    size_t max_bytes;
    const struct metrics *const *workers;
    size_t n;
    int err;
};

__attribute__((format(printf, 2, 3))) static void line(struct render *r, const char *format, ...)
{
    if (r->err) return;
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n < sizeof text);
    r->err = buf_append(r->out, text, (size_t)n, r->max_bytes);
}

static void head(struct render *r, const char *name, const char *type, const char *help)
{
    line(r, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* The sum over workers of the field that lies `offset` bytes into struct metrics. */
static uint64_t sum(const struct render *r, size_t offset)
{
    uint64_t total = 0;
    for (size_t i = 0; i < r->n; i++) {
        const char *at = (const char *)r->workers[i] + offset;
        total +=
            atomic_load_explicit((const _Atomic uint64_t *)(const void *)at, memory_order_relaxed);
    }
    return total;
}

#define SUM(r, field, i) sum((r), offsetof(struct metrics, field) + (i) * sizeof(uint64_t))

static void render_table(struct render *r)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        head(r, table[i].name, table[i].type, table[i].help);
        line(r, "%s %" PRIu64 "\n", table[i].name, SUM(r, value, i));
    }
}

static void render_labelled(struct render *r)
{
    head(r, "parlor_closes_total", "counter", HELP_OF_CLOSES);
    for (size_t i = 0; i < METRICS_CLOSE_COUNT - 1; i++)
        line(r, "parlor_closes_total{code=\"%u\"} %" PRIu64 "\n", close_codes[i],
             SUM(r, closes, i));
    line(r, "parlor_closes_total{code=\"other\"} %" PRIu64 "\n",
         SUM(r, closes, METRICS_CLOSE_COUNT - 1));

    head(r, "parlor_http_requests_total", "counter", HELP_OF_HTTP);
    for (size_t i = 0; i < METRICS_HTTP_COUNT - 1; i++)
        line(r, "parlor_http_requests_total{status=\"%u\"} %" PRIu64 "\n", http_statuses[i],
             SUM(r, http, i));
    line(r, "parlor_http_requests_total{status=\"other\"} %" PRIu64 "\n",
         SUM(r, http, METRICS_HTTP_COUNT - 1));
}

static bool is_usual_refusal(const char *word)
{
    for (size_t i = 0; i < sizeof usual_refusals / sizeof usual_refusals[0]; i++) {
        if (strcmp(err_info(usual_refusals[i])->word, word) == 0) return true;
    }
    return false;
}

/* Several errors may share one word; a label must stand once, so the first row sums them all. */
static void render_refusals(struct render *r)
{
    head(r, "parlor_refusals_total", "counter", HELP_OF_REFUSALS);
    for (int i = 1; i < ERR_COUNT; i++) {
        const char *word = err_info(-i)->word;
        bool first = true;
        uint64_t total = 0;
        for (int k = 1; k < ERR_COUNT; k++) {
            if (strcmp(err_info(-k)->word, word) != 0) continue;
            if (k < i) first = false;
            total += SUM(r, refusals, (size_t)k);
        }
        if (first && (total > 0 || is_usual_refusal(word)))
            line(r, "parlor_refusals_total{code=\"%s\"} %" PRIu64 "\n", word, total);
    }
}

/* The count is the sum of what was read here, so that it equals the +Inf bucket even while the
 * workers go on counting. */
static void render_turn(struct render *r)
{
    head(r, "parlor_turn_seconds", "histogram", HELP_OF_TURN);
    uint64_t count = 0;
    for (size_t i = 0; i < METRICS_TURN_COUNT; i++) {
        count += SUM(r, turn, i);
        const char *le = i < METRICS_TURN_COUNT - 1 ? turn_buckets[i].le : "+Inf";
        line(r, "parlor_turn_seconds_bucket{le=\"%s\"} %" PRIu64 "\n", le, count);
    }
    uint64_t ns = SUM(r, turn_sum_ns, 0);
    line(r, "parlor_turn_seconds_sum %" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000,
         ns % 1000000000);
    line(r, "parlor_turn_seconds_count %" PRIu64 "\n", count);
}

static void render_gauges(struct render *r, const struct metrics_gauges *g)
{
#define X(field, name, type, help)                                                                 \
    if (g->field != 0 || strncmp(name, "process_", 8) != 0) {                                      \
        head(r, name, type, help);                                                                 \
        line(r, "%s %" PRIu64 "\n", name, g->field);                                               \
    }
    METRICS_GAUGES(X)
#undef X
    head(r, "parlor_uptime_seconds", "gauge", HELP_OF_UPTIME);
    line(r, "parlor_uptime_seconds %" PRIu64 ".%03" PRIu64 "\n", g->uptime_ms / 1000,
         g->uptime_ms % 1000);
    head(r, "parlor_build_info", "gauge", HELP_OF_BUILD);
    line(r, "parlor_build_info{version=\"" PARLOR_VERSION "\"} 1\n");
}

int metrics_render(struct buf *out, const struct metrics *const *workers, size_t n,
                   const struct metrics_gauges *g, size_t max_bytes)
{
    size_t before = out->len;
    struct render r = {.out = out, .max_bytes = max_bytes, .workers = workers, .n = n};
    render_table(&r);
    render_labelled(&r);
    render_refusals(&r);
    render_turn(&r);
    render_gauges(&r, g);
    if (r.err) buf_truncate(out, before);
    return r.err;
}

void metrics_document(FILE *out)
{
    fprintf(out, "| metric | type | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < METRIC_COUNT; i++)
        fprintf(out, "| `%s` | %s | %s |\n", table[i].name, table[i].type, table[i].help);
    fprintf(out, "| `parlor_closes_total{code}` | counter | %s |\n", HELP_OF_CLOSES);
    fprintf(out, "| `parlor_http_requests_total{status}` | counter | %s |\n", HELP_OF_HTTP);
    fprintf(out, "| `parlor_refusals_total{code}` | counter | %s |\n", HELP_OF_REFUSALS);
    fprintf(out, "| `parlor_turn_seconds` | histogram | %s |\n", HELP_OF_TURN);
#define X(field, name, type, help) fprintf(out, "| `%s` | %s | %s |\n", name, type, help);
    METRICS_GAUGES(X)
#undef X
    fprintf(out, "| `parlor_uptime_seconds` | gauge | %s |\n", HELP_OF_UPTIME);
    fprintf(out, "| `parlor_build_info{version}` | gauge | %s |\n", HELP_OF_BUILD);
}
