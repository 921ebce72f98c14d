/* Metrics: what is counted is what /metrics says, in a form a strict reader of the Prometheus text
 * format 0.0.4 accepts. */
#include "ops/metrics.h"

#include "fail_alloc.h"
#include "ops/version.h"

#include <ctype.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_BYTES = 64 * 1024, SAMPLES_MAX = 256, NAME_MAX_BYTES = 96 };

struct sample {
    char name[NAME_MAX_BYTES];
    char label[NAME_MAX_BYTES]; /* key="value", or empty */
    double value;
};

static struct sample samples[SAMPLES_MAX];
static size_t sample_count;
static const struct metrics_gauges gauges = {
    .rooms = 7, .workers = 2, .open_fds = 30, .max_fds = 1024, .uptime_ms = 12345};

static size_t name_length(const char *p)
{
    size_t n = 0;
    while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == ':')
        n++;
    assert_true(n > 0 && n < NAME_MAX_BYTES && !isdigit((unsigned char)p[0]));
    return n;
}

/* name, name{key="value"}: returns what follows. */
static const char *parse_series(const char *p, struct sample *s)
{
    size_t n = name_length(p);
    snprintf(s->name, sizeof s->name, "%.*s", (int)n, p);
    s->label[0] = '\0';
    p += n;
    if (*p != '{') return p;
    size_t key = name_length(p + 1);
    assert_memory_equal(p + 1 + key, "=\"", 2);
    size_t value = strcspn(p + 1 + key + 2, "\"\\\n");
    size_t all = key + 2 + value + 1;
    assert_memory_equal(p + all, "\"}", 2);
    assert_true(all < sizeof s->label);
    snprintf(s->label, sizeof s->label, "%.*s", (int)all, p + 1);
    return p + 1 + all + 1;
}

/* Does a sample called name belong to the family with this type? */
static bool belongs(const char *name, const char *family, const char *type)
{
    size_t n = strlen(family);
    if (strncmp(name, family, n) != 0) return false;
    if (strcmp(type, "histogram") != 0) return name[n] == '\0';
    return strcmp(name + n, "_bucket") == 0 || strcmp(name + n, "_sum") == 0 ||
           strcmp(name + n, "_count") == 0;
}

/* "# HELP name text\n# TYPE name type\n": returns what follows; every family stands once. */
static const char *parse_head(const char *p, char *family, char *type)
{
    static char seen[8192];
    if (sample_count == 0) seen[0] = '\0';
    assert_memory_equal(p, "# HELP ", 7);
    size_t n = name_length(p + 7);
    snprintf(family, NAME_MAX_BYTES, "%.*s", (int)n, p + 7);
    assert_int_equal(p[7 + n], ' ');
    size_t help = strcspn(p + 7 + n + 1, "\n");
    assert_true(help > 10);
    assert_null(memchr(p + 7 + n + 1, '\\', help));
    p += 7 + n + 1 + help + 1;

    char expected[NAME_MAX_BYTES * 2];
    snprintf(expected, sizeof expected, "# TYPE %s ", family);
    assert_memory_equal(p, expected, strlen(expected));
    p += strlen(expected);
    n = strcspn(p, "\n");
    snprintf(type, NAME_MAX_BYTES, "%.*s", (int)n, p);
    bool counter = strcmp(type, "counter") == 0;
    assert_true(counter || strcmp(type, "gauge") == 0 || strcmp(type, "histogram") == 0);
    size_t len = strlen(family);
    assert_int_equal(counter, len > 6 && strcmp(family + len - 6, "_total") == 0);

    snprintf(expected, sizeof expected, "|%s|", family);
    assert_null(strstr(seen, expected));
    assert_true(strlen(seen) + strlen(expected) < sizeof seen);
    strcat(seen, expected);
    return p + n + 1;
}

static void parse(const char *p)
{
    char family[NAME_MAX_BYTES] = "";
    char type[NAME_MAX_BYTES] = "";
    bool empty = false;
    sample_count = 0;
    while (*p) {
        if (*p == '#') {
            assert_false(empty);
            p = parse_head(p, family, type);
            empty = true;
            continue;
        }
        empty = false;
        assert_true(sample_count < SAMPLES_MAX);
        struct sample *s = &samples[sample_count];
        p = parse_series(p, s);
        assert_true(belongs(s->name, family, type));
        for (size_t i = 0; i < sample_count; i++)
            assert_false(strcmp(samples[i].name, s->name) == 0 &&
                         strcmp(samples[i].label, s->label) == 0);
        assert_int_equal(*p++, ' ');
        char *end;
        s->value = strtod(p, &end);
        assert_true(end > p && *end == '\n');
        p = end + 1;
        sample_count++;
    }
    assert_false(empty);
}

static void render(const struct metrics *const *workers, size_t n)
{
    struct buf out = {0};
    assert_int_equal(metrics_render(&out, workers, n, &gauges, MAX_BYTES), 0);
    assert_int_equal(buf_append(&out, "", 1, MAX_BYTES), 0);
    assert_int_equal(strlen((const char *)out.data), out.len - 1);
    parse((const char *)out.data);
    buf_fini(&out);
}

/* The value of a series, -1 if there is none. */
static double value(const char *name, const char *label)
{
    for (size_t i = 0; i < sample_count; i++) {
        if (strcmp(samples[i].name, name) == 0 && strcmp(samples[i].label, label) == 0)
            return samples[i].value;
    }
    return -1;
}

static void expect(const char *name, const char *label, double want)
{
    double got = value(name, label);
    if (got != want) fail_msg("%s{%s} is %g, not %g", name, label, got, want);
}

static void test_empty(void **state)
{
    (void)state;
    static struct metrics m;
    const struct metrics *const workers[] = {&m};
    render(workers, 1);
#define X(symbol, name, type, help) expect(name, "", 0);
    METRICS_TABLE(X)
#undef X
#define X(code) expect("parlor_closes_total", "code=\"" #code "\"", 0);
    METRICS_CLOSE_CODES(X)
#undef X
#define X(status) expect("parlor_http_requests_total", "status=\"" #status "\"", 0);
    METRICS_HTTP_STATUSES(X)
#undef X
    expect("parlor_refusals_total", "code=\"bad_json\"", 0);
    expect("parlor_refusals_total", "code=\"rate_limited\"", 0);
    expect("parlor_refusals_total", "code=\"server_full\"", -1);
    expect("parlor_rooms", "", 7);
    expect("parlor_workers", "", 2);
    expect("process_open_fds", "", 30);
    expect("process_max_fds", "", 1024);
    expect("parlor_uptime_seconds", "", 12.345);
    expect("parlor_build_info", "version=\"" PARLOR_VERSION "\"", 1);
    expect("parlor_turn_seconds_count", "", 0);
    render(NULL, 0);
    expect("parlor_connections", "", 0);
}

static void test_sums(void **state)
{
    (void)state;
    static struct metrics a;
    static struct metrics b;
    const struct metrics *const workers[] = {&a, &b};
    for (int which = 0; which < METRIC_COUNT; which++) {
        metrics_add(&a, (enum metric)which, (uint64_t)which + 1);
        metrics_add(&b, (enum metric)which, 1000);
    }
    metrics_add(&a, METRIC_CONNECTIONS, 5);
    metrics_sub(&a, METRIC_CONNECTIONS, 2);
    metrics_close(&a, 1000);
    metrics_close(&b, 1000);
    metrics_close(&b, 4202);
    metrics_close(&b, 3999);
    metrics_close(&b, 0);
    metrics_http(&a, 200);
    metrics_http(&b, 101);
    metrics_http(&b, 999);
    metrics_refusal(&a, ERR_RATE_LIMITED);
    metrics_refusal(&b, ERR_RATE_LIMITED);
    metrics_refusal(&b, ERR_FULL);
    render(workers, 2);

    int i = 0;
#define X(symbol, name, type, help)                                                                \
    if (symbol != METRIC_CONNECTIONS) expect(name, "", i + 1 + 1000);                              \
    i++;
    METRICS_TABLE(X)
#undef X
    expect("parlor_connections", "", 1 + 1000 + 3);
    expect("parlor_closes_total", "code=\"1000\"", 2);
    expect("parlor_closes_total", "code=\"4202\"", 1);
    expect("parlor_closes_total", "code=\"other\"", 2);
    expect("parlor_http_requests_total", "status=\"200\"", 1);
    expect("parlor_http_requests_total", "status=\"101\"", 1);
    expect("parlor_http_requests_total", "status=\"other\"", 1);
    expect("parlor_refusals_total", "code=\"rate_limited\"", 2);
    expect("parlor_refusals_total", "code=\"server_full\"", 1);
}

/* Every error can be counted; rows that share a word share a label. */
static void test_all_refusals(void **state)
{
    (void)state;
    static struct metrics m;
    const struct metrics *const workers[] = {&m};
    for (int i = 1; i < ERR_COUNT; i++)
        metrics_refusal(&m, -i);
    render(workers, 1);
    double total = 0;
    for (size_t i = 0; i < sample_count; i++) {
        if (strcmp(samples[i].name, "parlor_refusals_total") == 0) total += samples[i].value;
    }
    assert_true(total == ERR_COUNT - 1);
}

static void test_histogram(void **state)
{
    (void)state;
    static struct metrics m;
    const struct metrics *const workers[] = {&m};
    static const uint64_t turns[] = {
        0, 9999, 10000, 10001, 1000000, 999999999, 1000000000, 1000000001, UINT64_C(3600000000000)};
    double sum = 0;
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        metrics_turn(&m, turns[i]);
        sum += (double)turns[i] / 1e9;
    }
    render(workers, 1);
    double last_bound = -1;
    double last = 0;
    size_t buckets = 0;
    for (size_t i = 0; i < sample_count; i++) {
        if (strcmp(samples[i].name, "parlor_turn_seconds_bucket") != 0) continue;
        double bound = strtod(samples[i].label + strlen("le=\""), NULL); /* reads +Inf as well */
        double want = 0;
        for (size_t k = 0; k < sizeof turns / sizeof turns[0]; k++)
            want += (double)turns[k] <= bound * 1e9 + 1e-3;
        assert_true(bound > last_bound && samples[i].value >= last);
        assert_true(samples[i].value == want);
        last_bound = bound;
        last = samples[i].value;
        buckets++;
    }
    assert_int_equal(buckets, METRICS_TURN_COUNT);
    expect("parlor_turn_seconds_bucket", "le=\"+Inf\"", 9);
    expect("parlor_turn_seconds_count", "", 9);
    double got = value("parlor_turn_seconds_sum", "");
    assert_true(got > sum - 1e-6 && got < sum + 1e-6);
}

/* Unknown numbers of the process are left out rather than shown as 0. */
static void test_unknown_fds(void **state)
{
    (void)state;
    struct buf out = {0};
    const struct metrics_gauges none = {0};
    assert_int_equal(metrics_render(&out, NULL, 0, &none, MAX_BYTES), 0);
    assert_int_equal(buf_append(&out, "", 1, MAX_BYTES), 0);
    parse((const char *)out.data);
    buf_fini(&out);
    expect("process_open_fds", "", -1);
    expect("process_max_fds", "", -1);
    expect("parlor_rooms", "", 0);
}

/* At every cap and every failing allocation the buffer is left as it was. */
static void test_limits(void **state)
{
    (void)state;
    struct buf whole = {0};
    assert_int_equal(metrics_render(&whole, NULL, 0, &gauges, MAX_BYTES), 0);
    for (size_t cap = 3; cap < whole.len + 3; cap += 13) {
        struct buf out = {0};
        assert_int_equal(buf_append(&out, "abc", 3, MAX_BYTES), 0);
        assert_int_equal(metrics_render(&out, NULL, 0, &gauges, cap), ERR_TOO_LONG);
        assert_int_equal(out.len, 3);
        assert_memory_equal(out.data, "abc", 3);
        buf_fini(&out);
    }
    long live = fail_alloc_live();
    int err = ERR_NOMEM;
    long n = 0;
    for (; err == ERR_NOMEM && n < 100; n++) {
        struct buf out = {0};
        fail_alloc_after(n);
        err = metrics_render(&out, NULL, 0, &gauges, MAX_BYTES);
        fail_alloc_off();
        assert_int_equal(out.len, err ? 0 : whole.len);
        buf_fini(&out);
        assert_int_equal(fail_alloc_live(), live);
    }
    assert_int_equal(err, 0);
    assert_true(n > 1);
    buf_fini(&whole);
}

enum { ROUNDS = 200000 };

static void *count_up(void *arg)
{
    struct metrics *m = arg;
    for (int i = 0; i < ROUNDS; i++) {
        metrics_add(m, METRIC_DELIVERIES, 1);
        metrics_turn(m, 100);
    }
    return NULL;
}

/* A scrape beside a counting worker sees counters that only grow and a consistent histogram. */
static void test_threads(void **state)
{
    (void)state;
    static struct metrics m;
    const struct metrics *const workers[] = {&m};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, count_up, &m), 0);
    double last = 0;
    for (int i = 0; i < 50; i++) {
        render(workers, 1);
        assert_true(value("parlor_deliveries_total", "") >= last);
        last = value("parlor_deliveries_total", "");
        expect("parlor_turn_seconds_count", "", value("parlor_turn_seconds_bucket", "le=\"+Inf\""));
    }
    pthread_join(thread, NULL);
    render(workers, 1);
    expect("parlor_deliveries_total", "", ROUNDS);
    expect("parlor_turn_seconds_count", "", ROUNDS);
}

/* The manual lists every family that /metrics shows, and nothing else. */
static void test_document(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    metrics_document(f);
    fclose(f);

    struct buf out = {0};
    assert_int_equal(metrics_render(&out, NULL, 0, &gauges, MAX_BYTES), 0);
    assert_int_equal(buf_append(&out, "", 1, MAX_BYTES), 0);
    int families = 0;
    const char *p = strstr((const char *)out.data, "# TYPE ");
    for (; p; p = strstr(p + 1, "# TYPE ")) {
        char row[NAME_MAX_BYTES * 2];
        snprintf(row, sizeof row, "| `%.*s", (int)name_length(p + 7), p + 7);
        if (!strstr(text, row)) fail_msg("the manual lacks %s", row);
        families++;
    }
    int rows = -2; /* heading and rule */
    for (const char *q = text; *q; q++)
        rows += *q == '\n';
    assert_int_equal(rows, families);
    buf_fini(&out);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_all_refusals), cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_unknown_fds),  cmocka_unit_test(test_limits),
        cmocka_unit_test(test_threads),      cmocka_unit_test(test_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
