/* Key sources against a site on loopback that answers well, badly, slowly, or not at all: what is
 * taken, that nothing bad takes the place of what is there, how often is asked, and that who stops
 * never waits. Names are resolved here too, so that one can hang and one can lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "auth/jwk.h"
#include "auth/key_source.h"
#include "base/clock.h"
#include "base/err.h"
#include "fail_alloc.h"
#include "jwk_check.h"
#include "key_site.h"

enum {
    PATIENCE_MS = 10 * 1000, /* for what has to happen, on a machine that does much else */
    AT_ONCE_MS = 200,
    STOP_TRIES = 5,
    NEVER_MS = 60 * 1000, /* beyond the end of every test */
    THREADS = 4,
};

#define ONE "{\"keys\":[{" JWK_CHECK_ED25519 ",\"kid\":\"a\"}]}"
#define TWO "{\"keys\":[{" JWK_CHECK_ED25519 ",\"kid\":\"a\"},{" JWK_CHECK_P256 ",\"kid\":\"b\"}]}"
#define HEAD "HTTP/1.1 200 OK\r\n"

/* ---- names ---- */

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static atomic_bool names_hang;
static atomic_int names_asking;

/* In the place of libc's, for libcurl: hangs.test is not answered, and localhost. (with its dot,
 * which libcurl asks for like any name) is said to be a machine elsewhere. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    resolver *real = (resolver *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && strcmp(node, "localhost.") == 0) return real("192.0.2.1", service, hints, out);
    if (!node || strcmp(node, "hangs.test") != 0) return real(node, service, hints, out);
    atomic_fetch_add(&names_asking, 1);
    while (atomic_load(&names_hang))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    atomic_fetch_sub(&names_asking, 1);
    return EAI_AGAIN;
}

/* ---- what tests share ---- */

static char ca_path[] = "/tmp/parlor-key-source-XXXXXX";

static int64_t now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Evaluates a condition until it is true; fails the test if it never is. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int64_t until_ = now_ms() + PATIENCE_MS;                                                   \
        while (!(condition)) {                                                                     \
            if (now_ms() > until_) fail_msg("this never came: %s", #condition);                    \
            pause_ms(1);                                                                           \
        }                                                                                          \
    } while (0)

static struct key_source_health health_of(struct key_source *s)
{
    struct key_source_health h;
    key_source_health(s, &h);
    return h;
}

static size_t count_keys(struct key_source *s)
{
    struct jwk_set *keys = key_source_keys(s);
    size_t n = keys ? jwk_set_count(keys) : 0;
    jwk_set_unref(keys);
    return n;
}

static const char *url_of(const struct key_site *site)
{
    static char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/keys?a=hush", (unsigned)key_site_port(site));
    return url;
}

static struct key_source *open_with(const struct key_source_options *o)
{
    struct key_source *s;
    const char *why = "?";
    int err = key_source_open(o, &s, &why);
    if (err || why) fail_msg("%d %s", err, why ? why : "");
    return s;
}

/* A source that asks each few milliseconds, or as good as never again. */
static struct key_source *open_quick(const struct key_site *site)
{
    return open_with(&(struct key_source_options){
        .url = url_of(site), .renew_ms = 5, .retry_ms = 5, .ask_ms = 5});
}

static struct key_source *open_slow(const struct key_site *site, uint32_t ask_ms)
{
    return open_with(&(struct key_source_options){
        .url = url_of(site), .renew_ms = NEVER_MS, .retry_ms = NEVER_MS, .ask_ms = ask_ms});
}

/* ---- keys ---- */

static void test_load_and_replace(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    struct key_source *s = open_quick(site); /* the site hangs as yet */
    WAIT_FOR(key_site_requests(site) == 1);
    assert_null(key_source_keys(s));
    assert_int_equal(health_of(s).loads, 0);
    key_source_close(s);

    key_site_publishes(site, ONE);
    s = open_quick(site);
    WAIT_FOR(count_keys(s) == 1);
    struct jwk_set *held = key_source_keys(s);
    key_site_publishes(site, TWO);
    WAIT_FOR(count_keys(s) == 2);
    assert_int_equal(health_of(s).keys, 2);
    key_source_close(s);
    assert_int_equal(jwk_set_count(held), 1); /* it lives on */
    jwk_set_unref(held);
    key_site_stop(site);
}

static void test_fixed(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    struct jwk_set *keys = jwk_check_set(jwk_set_from_json, TWO);
    fail_alloc_after(0);
    assert_null(key_source_open_fixed(keys));
    fail_alloc_off();
    struct key_source *s = key_source_open_fixed(keys);
    assert_non_null(s);
    struct jwk_set *again = key_source_keys(s);
    assert_ptr_equal(again, keys);
    jwk_set_unref(again);
    assert_false(key_source_renew(s));
    assert_int_equal(health_of(s).keys, 2);
    key_source_close(s);
    key_source_close(NULL);
    assert_int_equal(fail_alloc_live(), live);
}

static void check_good_answer(const char *answer, enum key_site_then then)
{
    struct key_site *site = key_site_start(NULL);
    key_site_says(site, answer, strlen(answer), then);
    struct key_source *s = open_slow(site, NEVER_MS);
    WAIT_FOR(health_of(s).loads + health_of(s).failures == 1);
    if (count_keys(s) != 2) fail_msg("%s: %s", answer, health_of(s).error);
    key_source_close(s);
    key_site_stop(site);
}

static void test_good_answers(void **state)
{
    (void)state;
    char text[2048];
    check_good_answer("HTTP/1.0 200 fine\r\n\r\n" TWO, KEY_SITE_CLOSE);
    check_good_answer("HTTP/1.0 200 fine\r\n\r\n" TWO, KEY_SITE_DRIP);
    check_good_answer(HEAD "Connection: close\r\nContent-Type: text/html\r\n\r\n" TWO,
                      KEY_SITE_CLOSE);
    snprintf(text, sizeof text,
             "HTTP/1.1 100 Continue\r\n\r\n" HEAD "Content-Length: %zu\r\n\r\n%s", strlen(TWO),
             TWO);
    check_good_answer(text, KEY_SITE_HANG); /* over by its length */
    char *at = text + sprintf(text, HEAD "Transfer-Encoding: chunked\r\n\r\n");
    for (const char *rest = TWO; *rest; rest += strnlen(rest, 7))
        at += sprintf(at, "%zx\r\n%.7s\r\n", strnlen(rest, 7), rest);
    strcpy(at, "0\r\n\r\n");
    check_good_answer(text, KEY_SITE_HANG);
}

/* A body of len bytes that is ONE and spaces, with its length announced or not. */
static void publish_padded(struct key_site *site, size_t len, bool announced)
{
    char *text = malloc(len + 256);
    assert_non_null(text);
    int n = sprintf(text, HEAD);
    if (announced) n += sprintf(text + n, "Content-Length: %zu\r\n", len);
    n += sprintf(text + n, "Connection: close\r\n\r\n%s", ONE);
    size_t rest = len - strlen(ONE);
    memset(text + n, ' ', rest);
    key_site_says(site, text, (size_t)n + rest, KEY_SITE_CLOSE);
    free(text);
}

static void test_length(void **state)
{
    (void)state;
    for (int announced = 0; announced < 2; announced++) {
        struct key_site *site = key_site_start(NULL);
        publish_padded(site, JWK_SET_BYTES_MAX, announced);
        struct key_source *s = open_quick(site);
        WAIT_FOR(health_of(s).loads > 0);
        publish_padded(site, JWK_SET_BYTES_MAX + 1, announced);
        WAIT_FOR(health_of(s).failing > 0);
        assert_string_equal(health_of(s).error, "the answer is longer than 256 KiB");
        publish_padded(site, 8 * JWK_SET_BYTES_MAX, announced);
        uint64_t failures = health_of(s).failures;
        WAIT_FOR(health_of(s).failures > failures + 1);
        assert_string_equal(health_of(s).error, "the answer is longer than 256 KiB");
        assert_int_equal(count_keys(s), 1);
        key_source_close(s);
        key_site_stop(site);
    }
}

static const char *const bad_answers[][2] = {
    /* answer, a word of the error */
    {"", "Empty reply"},
    {"nonsense\r\n\r\n" ONE, "HTTP/0.9"},
    {HEAD "Content-Length: 0\r\n\r\n", "JWK Set"},
    {HEAD "Content-Length: 11\r\n\r\n{\"keys\":[]}", "the JWK Set is empty"},
    {HEAD "Content-Length: 8\r\n\r\ngarbage!", "JWK Set is a JSON object"},
    {HEAD "\r\n{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ\"}]}",
     "secrets"},
    {HEAD "\r\n{\"keys\":[{" JWK_CHECK_ED25519 ",\"use\":\"enc\"}]}", "not meant for signatures"},
    {HEAD "Content-Length: 1000\r\n\r\n" TWO, "closed with"},
    {HEAD "Transfer-Encoding: chunked\r\n\r\n4\r\n{\"ke", "closed with"},
    {HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\n" TWO, "chunk"},
    {HEAD "Transfer-Encoding: gzip\r\n\r\n" TWO, "encoding"},
    {"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n" TWO, "status 500"},
    {"HTTP/1.1 404 None\r\nConnection: close\r\n\r\n" TWO, "status 404"},
    {"HTTP/1.1 401 You\r\nWWW-Authenticate: Basic\r\nConnection: close\r\n\r\n" TWO, "status 401"},
    {"HTTP/1.1 204 Nothing\r\n\r\n", "status 204"},
    {"HTTP/1.1 206 Part\r\nConnection: close\r\n\r\n" TWO, "status 206"},
    {"HTTP/1.1 304 Same\r\n\r\n", "status 304"},
    {"HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nConnection: close\r\n\r\n" TWO, "redirects"},
    {"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
     "redirects"},
    {"HTTP/1.1 307 Moved\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n", "redirects"},
};

static void check_bad_answer(const char *answer, const char *word)
{
    struct key_site *site = key_site_start(NULL);
    key_site_publishes(site, ONE);
    struct key_source *s = open_quick(site);
    WAIT_FOR(health_of(s).loads > 0);
    key_site_says(site, answer, strlen(answer), KEY_SITE_CLOSE);
    WAIT_FOR(health_of(s).failing > 1);
    struct jwk_set *before = key_source_keys(s);
    struct key_source_health h = health_of(s);
    if (!strstr(h.error, word)) fail_msg("%s: %s", answer, h.error);
    assert_int_equal(jwk_set_count(before), 1);
    char head[KEY_SITE_HEAD_MAX];
    key_site_head(site, head);
    assert_non_null(strstr(head, "GET /keys?a=hush HTTP/1.1\r\n")); /* and nothing elsewhere */

    key_site_publishes(site, TWO); /* all is well again */
    WAIT_FOR(count_keys(s) == 2);
    WAIT_FOR(health_of(s).failing == 0);
    assert_int_equal(jwk_set_count(before), 1);
    jwk_set_unref(before);
    key_source_close(s);
    key_site_stop(site);
}

static void test_bad_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_answers / sizeof bad_answers[0]; i++)
        check_bad_answer(bad_answers[i][0], bad_answers[i][1]);
}

/* Heads without an end. */
static void test_long_head(void **state)
{
    (void)state;
    enum { LINES = 1000 };
    static char text[LINES * 100 + sizeof HEAD + sizeof TWO] = HEAD;
    char *at = text + strlen(text);
    for (int i = 0; i < LINES; i++)
        at += sprintf(at, "X-%d: %080d\r\n", i, i);
    strcpy(at, "\r\n" TWO);
    check_bad_answer(text, "the head of the answer is longer than 64 KiB");
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    char url[64];
    strcpy(url, url_of(site));
    key_site_stop(site);
    struct key_source *s = open_with(&(struct key_source_options){.url = url});
    WAIT_FOR(health_of(s).failures > 0);
    assert_null(key_source_keys(s));
    assert_non_null(strstr(health_of(s).error, "Failed to connect to 127.0.0.1"));
    assert_null(strstr(health_of(s).error, "hush"));
    key_source_close(s);
}

static void test_request(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    key_site_publishes(site, ONE);
    struct key_source *s = open_slow(site, NEVER_MS);
    WAIT_FOR(health_of(s).loads == 1);
    char head[KEY_SITE_HEAD_MAX];
    char want[256];
    key_site_head(site, head);
    snprintf(want, sizeof want,
             "GET /keys?a=hush HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: Parlor/",
             (unsigned)key_site_port(site));
    assert_memory_equal(head, want, strlen(want));
    assert_non_null(strstr(head, "\r\nAccept: application/jwk-set+json, application/json\r\n\r\n"));
    key_source_close(s);
    key_site_stop(site);
}

/* ---- how often ---- */

static void test_storm_of_unknown_keys(void **state)
{
    (void)state;
    enum { ASK_MS = 150, STORM_MS = 1000 };
    struct key_site *site = key_site_start(NULL);
    key_site_publishes(site, ONE);
    int64_t begun = now_ms();
    struct key_source *s = open_slow(site, ASK_MS);
    WAIT_FOR(health_of(s).loads == 1);
    for (int64_t until = now_ms() + STORM_MS; now_ms() < until;)
        assert_true(key_source_renew(s));
    unsigned n = key_site_requests(site);
    assert_in_range(n, 3, 1 + (now_ms() - begun) / ASK_MS);
    key_source_close(s);
    key_site_stop(site);
}

/* Only one who asks brings a fetch about; at once, if the last is long ago. */
static void test_renewal_when_asked(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    key_site_publishes(site, ONE);
    struct key_source *s = open_slow(site, 50);
    WAIT_FOR(health_of(s).loads == 1);
    key_site_publishes(site, TWO);
    pause_ms(150);
    assert_int_equal(key_site_requests(site), 1);
    assert_true(key_source_renew(s));
    WAIT_FOR(count_keys(s) == 2);
    pause_ms(150);
    assert_int_equal(key_site_requests(site), 2);
    key_source_close(s);
    key_site_stop(site);
}

/* Keys may have changed after the site made up its answer. */
static void test_asked_during_a_fetch(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    key_site_says(site, "HTTP/1.0 200 OK\r\n\r\n" ONE, sizeof "HTTP/1.0 200 OK\r\n\r\n" ONE - 1,
                  KEY_SITE_DRIP);
    struct key_source *s = open_slow(site, 1);
    WAIT_FOR(key_site_requests(site) == 1);
    key_site_publishes(site, TWO);
    assert_true(key_source_renew(s));
    WAIT_FOR(count_keys(s) == 2);
    key_source_close(s);
    key_site_stop(site);
}

/* The waits after failures grow to that between those who ask; nobody can shorten them. */
static void test_waits_after_failures(void **state)
{
    (void)state;
    static const int64_t at_least[] = {30, 60, 120, 120, 120};
    struct key_site *site = key_site_start(NULL);
    key_site_says(site, "", 0, KEY_SITE_CLOSE);
    int64_t earliest = now_ms();
    struct key_source *s = open_with(&(struct key_source_options){
        .url = url_of(site), .renew_ms = NEVER_MS, .retry_ms = 40, .ask_ms = 160});
    int64_t until = now_ms() + PATIENCE_MS;
    while (key_site_requests(site) < 6 && now_ms() < until) {
        key_source_renew(s);
        pause_ms(1);
    }
    assert_true(key_site_requests(site) >= 6);
    for (unsigned i = 0; i < 5; i++) {
        earliest += at_least[i];
        assert_true(key_site_request_ms(site, i + 1) >= earliest);
    }
    key_source_close(s);
    key_site_stop(site);
}

/* ---- sites that hang ---- */

/* Opens a source, and waits until it is where it is to be stopped. */
typedef struct key_source *opener(struct key_site *site);

/* Stopping it is quick; not each time, as this machine may be busy elsewhere. */
static void check_stops(opener *open_there, struct key_site *site)
{
    int64_t took = 0;
    for (int i = 0; i < STOP_TRIES; i++) {
        struct key_source *s = open_there(site);
        int64_t begun = now_ms();
        key_source_close(s);
        took = now_ms() - begun;
        if (took < AT_ONCE_MS) return;
    }
    fail_msg("stopping took %d ms", (int)took);
}

static struct key_source *open_asking(struct key_site *site)
{
    unsigned before = key_site_requests(site);
    struct key_source *s = open_slow(site, NEVER_MS);
    WAIT_FOR(key_site_requests(site) > before);
    pause_ms(20);
    assert_int_equal(health_of(s).failures, 0);
    return s;
}

static struct key_source *open_loaded(struct key_site *site)
{
    struct key_source *s = open_slow(site, NEVER_MS);
    WAIT_FOR(health_of(s).loads == 1);
    return s;
}

static struct key_source *open_hardly(struct key_site *site)
{
    return open_slow(site, NEVER_MS);
}

static void check_stops_after(struct key_site *site, const char *bytes)
{
    key_site_says(site, bytes, strlen(bytes), KEY_SITE_HANG);
    check_stops(open_asking, site);
}

static void test_stop_while_hanging(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    check_stops_after(site, "");
    check_stops_after(site, "HTTP/1.1 200 OK\r\nContent-");
    check_stops_after(site, HEAD "Content-Length: 1000\r\n\r\n{\"keys\":");
    check_stops(open_hardly, site);
    key_site_publishes(site, ONE);
    check_stops(open_loaded, site);
    key_site_stop(site);
}

/* The site is plain, so that TLS waits for it. The authorities of the system are not loaded, which
 * is work and no waiting. */
static struct key_source *open_in_handshake(struct key_site *site)
{
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", (unsigned)key_site_port(site));
    unsigned before = key_site_connections(site);
    struct key_source *s = open_with(
        &(struct key_source_options){.url = url, .ca_file = ca_path, .connect_ms = NEVER_MS});
    WAIT_FOR(key_site_connections(site) > before);
    pause_ms(50);
    assert_int_equal(health_of(s).failures, 0);
    return s;
}

static void test_stop_in_handshake(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    SSL_CTX_free(key_site_tls("localhost", ca_path));
    check_stops(open_in_handshake, site);
    key_site_stop(site);
}

static struct key_source *open_resolving(struct key_site *site)
{
    (void)site;
    int before = atomic_load(&names_asking);
    struct key_source *s = open_with(&(struct key_source_options){.url = "https://hangs.test/"});
    WAIT_FOR(atomic_load(&names_asking) > before);
    return s;
}

static void test_stop_while_resolving(void **state)
{
    (void)state;
    atomic_store(&names_hang, true);
    struct key_source *s =
        open_with(&(struct key_source_options){.url = "https://hangs.test/", .connect_ms = 50});
    WAIT_FOR(health_of(s).failures > 0);
    assert_non_null(strstr(health_of(s).error, "timed out"));
    key_source_close(s);
    check_stops(open_resolving, NULL);
    atomic_store(&names_hang, false);
    WAIT_FOR(atomic_load(&names_asking) == 0);
    pause_ms(50); /* libcurl's threads tidy up */
}

static void test_time_outs(void **state)
{
    (void)state;
    static char drip[5000] = "HTTP/1.0 200 OK\r\n\r\n";
    struct key_site *site = key_site_start(NULL);
    struct key_source_options o = {.url = url_of(site), .total_ms = 100};
    struct key_source *s = open_with(&o);
    WAIT_FOR(health_of(s).failures > 0);
    assert_non_null(strstr(health_of(s).error, "timed out"));
    key_source_close(s);
    memset(drip + strlen(drip), ' ', sizeof drip - 1 - strlen(drip));
    key_site_says(site, drip, sizeof drip - 1, KEY_SITE_DRIP);
    s = open_with(&o);
    WAIT_FOR(health_of(s).failures > 0);
    assert_non_null(strstr(health_of(s).error, "timed out"));
    key_source_close(s);
    key_site_stop(site);
}

/* ---- who is believed ---- */

static void test_refused_urls(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "http://issuer.example/k",
        "http://10.0.0.1/k",
        "ftp://localhost/k",
        "file:///etc/passwd",
        "https://u:p@a/k",
        "http://u@127.0.0.1/k",
        "",
        "http://[fe80::1]/k",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct key_source *s = (struct key_source *)"";
        const char *why = NULL;
        long live = fail_alloc_live();
        struct key_source_options o = {.url = urls[i]};
        assert_int_equal(key_source_open(&o, &s, &why), ERR_CONFIG);
        assert_null(s);
        assert_non_null(why);
        assert_int_equal(fail_alloc_live(), live);
    }
}

/* The name is this machine's; the address that it got is not. */
static void test_plain_stays_here(void **state)
{
    (void)state;
    struct key_source *s =
        open_with(&(struct key_source_options){.url = "http://localhost.:81/", .total_ms = 1000});
    WAIT_FOR(health_of(s).failures > 0);
    assert_non_null(strstr(health_of(s).error, "another machine"));
    key_source_close(s);
}

/* What becomes of a fetch by https from a site with a certificate for name. */
static struct key_source_health fetch_by_tls(const char *name, const char *ca_file)
{
    SSL_CTX *tls = key_site_tls(name, ca_path);
    struct key_site *site = key_site_start(tls);
    key_site_publishes(site, ONE);
    char url[64];
    snprintf(url, sizeof url, "https://localhost:%u/keys", (unsigned)key_site_port(site));
    struct key_source *s = open_with(&(struct key_source_options){.url = url, .ca_file = ca_file});
    WAIT_FOR(health_of(s).loads + health_of(s).failures > 0);
    struct key_source_health h = health_of(s);
    h.url = NULL; /* ends with s */
    key_source_close(s);
    key_site_stop(site);
    SSL_CTX_free(tls);
    return h;
}

static void test_tls(void **state)
{
    (void)state;
    struct key_source_health h = fetch_by_tls("localhost", ca_path);
    if (h.loads != 1) fail_msg("%s", h.error);
    h = fetch_by_tls("localhost", NULL); /* the system does not know it */
    assert_int_equal(h.loads, 0);
    assert_non_null(strstr(h.error, "certificate"));
    h = fetch_by_tls("issuer.example", ca_path); /* it is another's */
    assert_int_equal(h.loads, 0);
    assert_non_null(strstr(h.error, "localhost"));
    h = fetch_by_tls("localhost", "/nowhere");
    assert_int_equal(h.loads, 0);
    assert_non_null(strstr(h.error, "/nowhere"));
}

/* ---- what an operator sees ---- */

struct seen {
    pthread_mutex_t lock;
    unsigned calls;
    struct key_source_health last;
};

static void see(void *ctx, const struct key_source_health *h)
{
    struct seen *seen = ctx;
    pthread_mutex_lock(&seen->lock);
    seen->calls++;
    seen->last = *h;
    pthread_mutex_unlock(&seen->lock);
}

/* What was seen last; one call a fetch. */
static struct key_source_health last_seen(struct seen *seen)
{
    pthread_mutex_lock(&seen->lock);
    struct key_source_health h = seen->last;
    assert_int_equal(h.loads + h.failures, seen->calls);
    pthread_mutex_unlock(&seen->lock);
    return h;
}

static void test_health(void **state)
{
    (void)state;
    struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct key_site *site = key_site_start(NULL);
    int64_t begun = clock_ms(CLOCK_REALTIME);
    key_site_publishes(site, "{\"keys\":[{" JWK_CHECK_P256 "},{\"kty\":\"oct\",\"k\":\"\"}]}");
    struct key_source *s = open_with(&(struct key_source_options){
        .url = url_of(site), .renew_ms = NEVER_MS, .ask_ms = 1, .on_fetch = see, .ctx = &seen});
    WAIT_FOR(last_seen(&seen).loads == 1);
    struct key_source_health h = last_seen(&seen);
    char shown[64];
    snprintf(shown, sizeof shown, "http://127.0.0.1:%u/keys", (unsigned)key_site_port(site));
    assert_string_equal(h.url, shown);
    assert_int_equal(h.failures, 0);
    assert_int_equal(h.keys, 1);
    assert_non_null(strstr(h.ignored, "secrets"));
    assert_in_range(h.loaded_ms, begun, clock_ms(CLOCK_REALTIME));
    assert_int_equal(h.failed_ms, 0);
    assert_string_equal(h.error, "");

    key_site_says(site, "", 0, KEY_SITE_CLOSE);
    key_source_renew(s);
    WAIT_FOR(last_seen(&seen).failing > 1);
    h = last_seen(&seen);
    assert_int_equal(h.loads, 1);
    assert_int_equal(h.failures, h.failing);
    assert_int_equal(h.keys, 1);
    assert_in_range(h.failed_ms, h.loaded_ms, clock_ms(CLOCK_REALTIME));
    assert_string_not_equal(h.error, "");

    key_site_publishes(site, TWO);
    WAIT_FOR(last_seen(&seen).loads == 2);
    h = health_of(s);
    assert_int_equal(h.failing, 0);
    assert_true(h.failures > 1);
    assert_int_equal(h.keys, 2);
    assert_null(h.ignored);
    key_source_close(s);
    key_site_stop(site);
}

/* ---- threads, memory ---- */

struct reader {
    struct key_source *source;
    atomic_bool *done;
    uint64_t reads;
};

static void *read_keys(void *arg)
{
    struct reader *r = arg;
    while (!atomic_load(r->done)) {
        size_t n = count_keys(r->source);
        if (n > 2) abort();
        key_source_renew(r->source);
        (void)health_of(r->source);
        r->reads++;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    key_site_publishes(site, ONE);
    struct key_source *s = open_with(&(struct key_source_options){
        .url = url_of(site), .renew_ms = 1, .retry_ms = 1, .ask_ms = 1});
    atomic_bool done = false;
    pthread_t threads[THREADS];
    struct reader readers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (struct reader){.source = s, .done = &done};
        assert_int_equal(pthread_create(&threads[i], NULL, read_keys, &readers[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        key_site_publishes(site, i % 2 ? TWO : i % 4 ? ONE : "{}");
        pause_ms(10);
    }
    atomic_store(&done, true);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(readers[i].reads > 0);
    }
    assert_true(health_of(s).loads > 1);
    key_source_close(s);
    key_site_stop(site);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct key_source_options o = {.url = "https://192.0.2.1/"};
    long live = fail_alloc_live();
    int err = ERR_NOMEM;
    for (long n = 0; err; n++) {
        struct key_source *s;
        const char *why;
        fail_alloc_after(n);
        err = key_source_open(&o, &s, &why);
        fail_alloc_off();
        if (err) {
            assert_int_equal(err, ERR_NOMEM);
            assert_null(s);
            assert_null(why);
        } else {
            assert_true(n > 0);
            key_source_close(s);
        }
        assert_int_equal(fail_alloc_live(), live);
    }
}

/* An answer for which there is no memory is a failure like another. */
static void test_no_memory_for_answer(void **state)
{
    (void)state;
    char text[2048];
    struct key_site *site = key_site_start(NULL);
    int n = snprintf(text, sizeof text, "HTTP/1.0 200 OK\r\nX: %0900d\r\n\r\n%s", 0, TWO);
    key_site_says(site, text, (size_t)n, KEY_SITE_DRIP);
    struct key_source *s = open_slow(site, NEVER_MS);
    WAIT_FOR(key_site_requests(site) == 1);
    fail_alloc_after(0); /* the head takes a second, so the body is yet to come */
    int64_t until = now_ms() + PATIENCE_MS;
    while (health_of(s).failures == 0 && now_ms() < until)
        pause_ms(1);
    fail_alloc_off();
    assert_string_equal(health_of(s).error, "out of memory");
    assert_null(key_source_keys(s));
    key_source_close(s);
    key_site_stop(site);
}

static int begin(void **state)
{
    (void)state;
    int fd = mkstemp(ca_path);
    if (fd < 0) return -1;
    close(fd);
    signal(SIGPIPE, SIG_IGN);
    /* Nobody is to go there. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    unlink(ca_path);
    curl_global_cleanup();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_and_replace),
        cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_good_answers),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_long_head),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_storm_of_unknown_keys),
        cmocka_unit_test(test_renewal_when_asked),
        cmocka_unit_test(test_asked_during_a_fetch),
        cmocka_unit_test(test_waits_after_failures),
        cmocka_unit_test(test_stop_while_hanging),
        cmocka_unit_test(test_stop_in_handshake),
        cmocka_unit_test(test_stop_while_resolving),
        cmocka_unit_test(test_time_outs),
        cmocka_unit_test(test_refused_urls),
        cmocka_unit_test(test_plain_stays_here),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_no_memory_for_answer),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
