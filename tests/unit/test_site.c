/* auth/site against a site on loopback that answers well, badly, slowly, or not at all: what it is
 * sent, what is believed and for how long, that equal questions are one, that all is bounded, and
 * that what was asked before site_forget is not believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/claims.h"
#include "auth/identity.h"
#include "auth/pattern.h"
#include "auth/site.h"
#include "auth/site_answer.h"
#include "auth/site_question.h"
#include "base/clock.h"
#include "base/err.h"
#include "fail_alloc.h"
#include "key_site.h"

enum {
    PATIENCE_MS = 10 * 1000, /* for what has to happen, on a machine that does much else */
    NEVER_MS = 60 * 1000,    /* beyond the end of every test */
    TIMEOUT_MS = 200,
};

#define ANN "{\"user\":\"u1\",\"username\":\"Ann\"}"

static const struct slice none = {NULL, 0};
static const uint8_t address[IP_BYTES] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 7};

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

/* ---- who asks ---- */

struct asker {
    struct site_waiter waiter;
    struct identity *identity;
    int err;
    atomic_int told;
};

static void on_told(struct site_waiter *w, int err, struct identity *identity)
{
    struct asker *a = container_of(w, struct asker, waiter);
    a->err = err;
    if (identity) a->identity = identity_ref(identity);
    assert_true((identity != NULL) == (err == 0));
    atomic_fetch_add(&a->told, 1);
}

static void forget_asker(struct asker *a)
{
    if (a->identity) identity_unref(a->identity);
    *a = (struct asker){0};
}

static struct site_question *question_of(const char *cookie, struct slice room)
{
    const struct site_fields f = {.cookies = slice_of(cookie), .room = room, .ip = address};
    struct site_question *q = site_question_new(&f);
    assert_non_null(q);
    return q;
}

/* Asks, and does not wait for it. */
static int begin(struct site *s, const char *cookie, struct asker *a)
{
    struct site_question *q = question_of(cookie, none);
    *a = (struct asker){.waiter.on_answer = on_told};
    int err = site_ask(s, q, true, &a->waiter, &a->identity);
    site_question_unref(q);
    return err;
}

/* Asks, and waits. */
static int ask(struct site *s, const char *cookie, struct asker *a)
{
    int err = begin(s, cookie, a);
    if (err == ERR_AGAIN) WAIT_FOR(atomic_load(&a->told) == 1);
    return err == ERR_AGAIN ? a->err : err;
}

/* ---- the site ---- */

static struct site *open_with(const struct key_site *site, const char *path, struct site_options o)
{
    char url[256];
    struct site *s;
    const char *why;
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", (unsigned)key_site_port(site), path);
    o.url = url;
    if (!o.cookies) o.cookies = "sid";
    if (!o.timeout_ms) o.timeout_ms = NEVER_MS;
    if (!o.again_ms) o.again_ms = NEVER_MS;
    int err = site_open(&o, &s, &why);
    if (err) fail_msg("%d %s", err, why ? why : "");
    return s;
}

static void site_answers(struct key_site *site, const char *status, const char *body)
{
    char text[512];
    snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(body), body);
    key_site_says(site, text, strlen(text), KEY_SITE_CLOSE);
}

static struct site_health health_of(struct site *s)
{
    struct site_health h;
    site_health(s, &h);
    return h;
}

/* ---- answers ---- */

static void test_named(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/who", (struct site_options){.cache_ms = NEVER_MS});
    struct asker a;
    key_site_publishes(site, ANN);
    uint64_t before_ms = (uint64_t)clock_ms(CLOCK_REALTIME);
    assert_int_equal(ask(s, "sid=1", &a), 0);
    assert_int_equal(a.identity->source, IDENTITY_SITE);
    assert_true(slice_is(identity_user(a.identity), "u1"));
    assert_true(slice_is(identity_name(a.identity), "Ann"));
    assert_true(identity_expires_ms(a.identity) == UINT64_MAX);
    assert_in_range(a.identity->ask_again_ms, before_ms + NEVER_MS * 3 / 4,
                    before_ms + NEVER_MS + PATIENCE_MS);
    assert_true(slice_is(a.identity->question->fields.cookies, "sid=1"));
    forget_asker(&a);
    /* Without a name, the user is shown; and with an end, nothing is asked again. */
    key_site_publishes(site, "{\"user\":\"u2\",\"expires\":4000000000,\"rights\":{}}");
    assert_int_equal(ask(s, "sid=2", &a), 0);
    assert_true(slice_is(identity_name(a.identity), "u2"));
    assert_true(identity_expires_ms(a.identity) == 4000000000000);
    assert_true(a.identity->ask_again_ms == UINT64_MAX);
    assert_true(identity_states_rooms(a.identity));
    forget_asker(&a);
    site_close(s);
    key_site_stop(site);
}

static void check_answer(const char *status, const char *body, int want, const char *word)
{
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/who?key=hush", (struct site_options){.cache_ms = NEVER_MS});
    struct asker a;
    site_answers(site, status, body);
    for (unsigned i = 1; i <= 2; i++) { /* nothing but 200 is remembered */
        int err = ask(s, "sid=1", &a);
        if (err != want) fail_msg("%s %s: %d", status, body, err);
        assert_int_equal(key_site_requests(site), i);
        forget_asker(&a);
    }
    struct site_health h = health_of(s);
    assert_int_equal(h.questions, 2);
    assert_int_equal(h.failures, want == ERR_AUTH_DOWN ? 2 : 0);
    if (!strstr(h.error, word)) fail_msg("%s %s: %s", status, body, h.error);
    assert_null(strstr(h.error, "hush"));
    assert_null(strstr(h.url, "hush"));
    site_close(s);
    key_site_stop(site);
}

static void test_refusals_and_failures(void **state)
{
    (void)state;
    check_answer("401 No", ANN, ERR_UNAUTHORIZED, "");
    check_answer("403 No", ANN, ERR_SITE_FORBIDDEN, "");
    check_answer("500 Oops", ANN, ERR_AUTH_DOWN, "status 500");
    check_answer("404 None", ANN, ERR_AUTH_DOWN, "status 404");
    check_answer("204 None", "", ERR_AUTH_DOWN, "status 204");
    check_answer("206 Part", ANN, ERR_AUTH_DOWN, "status 206");
    check_answer("302 Found\r\nLocation: /login", ANN, ERR_AUTH_DOWN, "redirects");
    check_answer("307 Moved\r\nLocation: http://192.0.2.1/", ANN, ERR_AUTH_DOWN, "redirects");
    check_answer("200 OK", "", ERR_AUTH_DOWN, "JSON");
    check_answer("200 OK", "<html>", ERR_AUTH_DOWN, "JSON");
    check_answer("200 OK", "{\"user\":1}", ERR_AUTH_DOWN, "\"user\"");
    check_answer("200 OK", "{\"user\":\"system\"}", ERR_AUTH_DOWN, "fit for a name");
    check_answer("200 OK\r\nTransfer-Encoding: gzip", ANN, ERR_AUTH_DOWN, "encoding");
}

static void test_length(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        enum { HEAD_MAX = 100 };
        struct key_site *site = key_site_start(NULL);
        struct site *s = open_with(site, "/", (struct site_options){0});
        struct asker a;
        char *text = calloc(1, SITE_ANSWER_BYTES_MAX + HEAD_MAX);
        assert_non_null(text);
        size_t len = (size_t)sprintf(text, "HTTP/1.0 200 OK\r\n\r\n" ANN);
        size_t rest = SITE_ANSWER_BYTES_MAX - strlen(ANN) + (size_t)over;
        memset(text + len, ' ', rest);
        key_site_says(site, text, len + rest, KEY_SITE_CLOSE);
        assert_int_equal(ask(s, "sid=1", &a), over ? ERR_AUTH_DOWN : 0);
        if (over) assert_string_equal(health_of(s).error, "the answer is longer than 16 KiB");
        forget_asker(&a);
        free(text);
        site_close(s);
        key_site_stop(site);
    }
}

/* ---- what is sent ---- */

static void test_request(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/a/{room}/b?r=1", (struct site_options){0});
    const struct site_fields f = {.room = SLICE_LIT("a b/\xc3\xa4?&%"),
                                  .cookies = SLICE_LIT("sid=\"1\"; csrf=%2"),
                                  .authorization = SLICE_LIT("Basic YTpi"),
                                  .origin = SLICE_LIT("https://chat.example"),
                                  .ip = address};
    struct site_question *q = site_question_new(&f);
    struct asker a = {.waiter.on_answer = on_told};
    char head[KEY_SITE_HEAD_MAX];
    char want[512];
    assert_true(site_asks_rooms(s));
    key_site_publishes(site, ANN);
    assert_int_equal(site_ask(s, q, true, &a.waiter, &a.identity), ERR_AGAIN);
    WAIT_FOR(atomic_load(&a.told) == 1);
    forget_asker(&a);
    key_site_head(site, head);
    snprintf(want, sizeof want,
             "GET /a/a%%20b%%2F%%C3%%A4%%3F%%26%%25/b?r=1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n",
             (unsigned)key_site_port(site));
    assert_memory_equal(head, want, strlen(want));
    static const char rest[] = "\r\nAccept: application/json\r\nCookie: sid=\"1\"; csrf=%2\r\n"
                               "Authorization: Basic YTpi\r\nOrigin: https://chat.example\r\n"
                               "X-Forwarded-For: 192.0.2.7\r\n\r\n";
    const char *found = strstr(head, rest);
    if (!found || found[sizeof rest - 1]) fail_msg("%s", head);
    site_question_unref(q);

    assert_int_equal(ask(s, "sid=2", &a), 0); /* nothing that is empty is sent */
    forget_asker(&a);
    key_site_head(site, head);
    assert_non_null(strstr(head, "GET /a//b?r=1 HTTP/1.1\r\n"));
    assert_null(strstr(head, "Authorization"));
    assert_null(strstr(head, "Origin"));
    site_close(s);
    key_site_stop(site);
}

/* Whatever is sent makes another question, also where the same bytes stand in another field. */
static void test_keys_differ(void **state)
{
    (void)state;
    static const uint8_t other[IP_BYTES] = {1};
    const struct site_fields fields[] = {
        {.cookies = SLICE_LIT("a"), .ip = address},
        {.cookies = SLICE_LIT("a"), .ip = other},
        {.authorization = SLICE_LIT("a"), .ip = address},
        {.origin = SLICE_LIT("a"), .ip = address},
        {.room = SLICE_LIT("a"), .ip = address},
        {.room = SLICE_LIT("a"), .cookies = SLICE_LIT("a"), .ip = address},
        {.cookies = SLICE_LIT("aa"), .ip = address},
        {.cookies = SLICE_LIT("a"), .origin = SLICE_LIT("a"), .ip = address},
        {.ip = address},
    };
    enum { COUNT = sizeof fields / sizeof fields[0] };
    struct site_question *q[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        q[i] = site_question_new(&fields[i]);
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(q[i]->key, q[k]->key, SITE_KEY_BYTES);
    struct site_question *again = site_question_of_room(q[0], SLICE_LIT("a"));
    assert_memory_equal(again->key, q[5]->key, SITE_KEY_BYTES);
    site_question_unref(again);
    for (size_t i = 0; i < COUNT; i++)
        site_question_unref(q[i]);
}

/* ---- how often ---- */

static void test_cache(void **state)
{
    (void)state;
    enum { CACHE_MS = 300 };
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/", (struct site_options){.cache_ms = CACHE_MS});
    struct asker a;
    key_site_publishes(site, ANN);
    int64_t asked_ms = now_ms();
    assert_int_equal(ask(s, "sid=1", &a), 0);
    struct identity *first = a.identity;
    int64_t done_ms = now_ms();
    while (now_ms() < asked_ms + CACHE_MS - 50) {
        struct asker again;
        assert_int_equal(begin(s, "sid=1", &again), 0);
        assert_ptr_equal(again.identity, first);
        forget_asker(&again);
        pause_ms(10);
    }
    assert_int_equal(key_site_requests(site), 1);
    while (now_ms() < done_ms + CACHE_MS + 10)
        pause_ms(10);
    struct asker later;
    assert_int_equal(ask(s, "sid=1", &later), 0);
    assert_int_equal(key_site_requests(site), 2);
    forget_asker(&later);
    forget_asker(&a);
    site_close(s);
    key_site_stop(site);
}

/* A session that ends is not remembered beyond its end. */
static void test_cache_to_the_end(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/", (struct site_options){.cache_ms = NEVER_MS});
    struct asker a;
    char body[64];
    double end_s = (double)clock_ms(CLOCK_REALTIME) / 1000 + 1;
    snprintf(body, sizeof body, "{\"user\":\"u1\",\"expires\":%.3f}", end_s);
    key_site_publishes(site, body);
    assert_int_equal(ask(s, "sid=1", &a), 0);
    forget_asker(&a);
    assert_int_equal(ask(s, "sid=1", &a), 0);
    forget_asker(&a);
    assert_int_equal(key_site_requests(site), 1);
    key_site_publishes(site, ANN);
    pause_ms(1100);
    assert_int_equal(ask(s, "sid=1", &a), 0);
    assert_int_equal(key_site_requests(site), 2);
    forget_asker(&a);
    site_close(s);
    key_site_stop(site);
}

/* An answer that takes some hundred ms on its way. */
static void site_drips(struct key_site *site, const char *body)
{
    char text[1024];
    snprintf(text, sizeof text, "HTTP/1.0 200 OK\r\nX: %0400d\r\n\r\n%s", 1, body);
    key_site_says(site, text, strlen(text), KEY_SITE_DRIP);
}

static void test_equal_questions_are_one(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static struct asker askers[COUNT];
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/", (struct site_options){0});
    site_drips(site, ANN);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(begin(s, "sid=1", &askers[i]), ERR_AGAIN);
    for (int i = 0; i < COUNT; i++) {
        WAIT_FOR(atomic_load(&askers[i].told) == 1);
        assert_int_equal(askers[i].err, 0);
        assert_ptr_equal(askers[i].identity, askers[0].identity);
    }
    assert_int_equal(key_site_requests(site), 1);
    for (int i = 0; i < COUNT; i++)
        forget_asker(&askers[i]);
    site_close(s);
    key_site_stop(site);
}

static void test_budget(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/", (struct site_options){.cache_ms = NEVER_MS});
    struct site_question *q = question_of("sid=1", none);
    struct asker a;
    struct asker b = {.waiter.on_answer = on_told};
    site_drips(site, ANN);
    assert_int_equal(site_ask(s, q, false, &b.waiter, &b.identity), ERR_MANY_SIGN_INS);
    assert_int_equal(begin(s, "sid=1", &a), ERR_AGAIN);
    assert_int_equal(site_ask(s, q, false, &b.waiter, &b.identity), ERR_AGAIN); /* on its way */
    WAIT_FOR(atomic_load(&a.told) && atomic_load(&b.told));
    forget_asker(&b);
    assert_int_equal(site_ask(s, q, false, &b.waiter, &b.identity), 0); /* and known */
    assert_int_equal(key_site_requests(site), 1);
    forget_asker(&a);
    forget_asker(&b);
    site_question_unref(q);
    site_close(s);
    key_site_stop(site);
}

/* ---- sites that hang ---- */

static void test_time_out(void **state)
{
    (void)state;
    enum { COUNT = 2 * SITE_ASKING_MAX };
    static struct asker askers[COUNT];
    struct key_site *site = key_site_start(NULL); /* hangs */
    struct site *s = open_with(site, "/", (struct site_options){.timeout_ms = TIMEOUT_MS});
    int64_t begun_ms = now_ms();
    for (int i = 0; i < COUNT; i++) {
        char cookie[32];
        snprintf(cookie, sizeof cookie, "sid=%d", i);
        assert_int_equal(begin(s, cookie, &askers[i]), ERR_AGAIN);
    }
    for (int i = 0; i < COUNT; i++) {
        WAIT_FOR(atomic_load(&askers[i].told) == 1);
        assert_int_equal(askers[i].err, ERR_AUTH_DOWN);
    }
    /* Those that waited for their turn have not waited twice. */
    assert_in_range(now_ms() - begun_ms, TIMEOUT_MS, 4 * TIMEOUT_MS);
    assert_int_equal(health_of(s).failures, SITE_ASKING_MAX);
    assert_string_equal(health_of(s).error, "there was no answer within 200 ms");
    struct asker a;
    key_site_publishes(site, ANN); /* all is well again */
    int err = ERR_AUTH_DOWN;
    for (int64_t until = now_ms() + PATIENCE_MS; err && now_ms() < until; forget_asker(&a))
        err = ask(s, "sid=1", &a);
    assert_int_equal(err, 0);
    site_close(s);
    key_site_stop(site);
}

static void test_bounded(void **state)
{
    (void)state;
    enum { COUNT = SITE_ASKING_MAX + SITE_WAITING_MAX };
    static struct asker askers[COUNT + 1];
    struct key_site *site = key_site_start(NULL); /* hangs */
    struct site *s = open_with(site, "/", (struct site_options){0});
    int taken = 0;
    for (int i = 0; i < COUNT; i++) {
        char cookie[32];
        snprintf(cookie, sizeof cookie, "sid=%d", i);
        int64_t until = now_ms() + PATIENCE_MS; /* the thread has to take its share out first */
        int err = begin(s, cookie, &askers[i]);
        for (; err == ERR_AUTH_DOWN && now_ms() < until; err = begin(s, cookie, &askers[i]))
            pause_ms(1);
        taken += err == ERR_AGAIN;
    }
    assert_int_equal(taken, COUNT);
    pause_ms(50);
    assert_int_equal(begin(s, "one more", &askers[COUNT]), ERR_AUTH_DOWN);
    assert_int_equal(begin(s, "sid=1", &askers[COUNT]), ERR_AGAIN); /* but not an equal one */
    int64_t begun_ms = now_ms();
    site_stop(s);
    assert_true(now_ms() - begun_ms < 2000);
    for (int i = 0; i <= COUNT; i++) {
        assert_int_equal(atomic_load(&askers[i].told), 1);
        assert_int_equal(askers[i].err, ERR_CLOSED);
    }
    assert_int_equal(begin(s, "sid=1", &askers[0]), ERR_CLOSED);
    site_close(s);
    site_close(NULL);
    key_site_stop(site);
}

/* A question that nobody waits for any more does not go to the site. */
static void test_nobody_waits(void **state)
{
    (void)state;
    static struct asker askers[SITE_ASKING_MAX];
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/", (struct site_options){0});
    struct asker gone;
    struct asker after;
    site_drips(site, ANN);
    for (int i = 0; i < SITE_ASKING_MAX; i++) {
        char cookie[32];
        snprintf(cookie, sizeof cookie, "sid=%d", i);
        assert_int_equal(begin(s, cookie, &askers[i]), ERR_AGAIN);
    }
    assert_int_equal(begin(s, "gone", &gone), ERR_AGAIN);
    atomic_store(&gone.waiter.gone, true);
    assert_int_equal(begin(s, "after", &after), ERR_AGAIN);
    WAIT_FOR(atomic_load(&askers[0].told) == 1);
    key_site_publishes(site, ANN);
    WAIT_FOR(atomic_load(&after.told) == 1);
    assert_int_equal(after.err, 0);
    assert_int_equal(atomic_load(&gone.told), 1);
    assert_int_equal(gone.err, ERR_CLOSED);
    for (int i = 0; i < SITE_ASKING_MAX; i++) {
        WAIT_FOR(atomic_load(&askers[i].told) == 1);
        forget_asker(&askers[i]);
    }
    assert_int_equal(key_site_requests(site), SITE_ASKING_MAX + 1);
    forget_asker(&after);
    site_close(s);
    key_site_stop(site);
}

/* ---- what is not believed any more ---- */

static void test_forget(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/", (struct site_options){.cache_ms = NEVER_MS});
    struct asker a;
    static const struct {
        const char *user;
        unsigned requests;
    } rows[] = {{"u1", 2}, {"u2", 2}, {NULL, 3}, {"", 3}};
    key_site_publishes(site, ANN);
    assert_int_equal(ask(s, "sid=1", &a), 0);
    forget_asker(&a);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *user = rows[i].user;
        site_forget(s, user ? slice_of(user) : none);
        assert_int_equal(ask(s, "sid=1", &a), 0);
        forget_asker(&a);
        assert_int_equal(key_site_requests(site), rows[i].requests);
    }
    /* What is on its way is asked again. */
    site_drips(site, ANN);
    assert_int_equal(begin(s, "sid=2", &a), ERR_AGAIN);
    WAIT_FOR(key_site_requests(site) == 4);
    site_forget(s, SLICE_LIT("whoever"));
    site_answers(site, "401 No", "");
    WAIT_FOR(atomic_load(&a.told) == 1);
    assert_int_equal(a.err, ERR_UNAUTHORIZED);
    assert_int_equal(key_site_requests(site), 5);
    site_close(s);
    key_site_stop(site);
}

/* ---- what an operator hears ---- */

static atomic_int heard_failing, heard_working;

static void on_change(void *ctx, const struct site_health *h)
{
    (void)ctx;
    atomic_fetch_add(h->failing ? &heard_failing : &heard_working, 1);
}

static void test_told_once(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/", (struct site_options){.on_change = on_change});
    for (int round = 1; round <= 2; round++) {
        site_answers(site, "500 Oops", "");
        for (int i = 0; i < 3; i++) {
            struct asker a;
            assert_int_equal(ask(s, "sid=1", &a), ERR_AUTH_DOWN);
        }
        site_answers(site, "401 No", "");
        for (int i = 0; i < 3; i++) {
            struct asker a;
            assert_int_equal(ask(s, "sid=1", &a), ERR_UNAUTHORIZED);
        }
        assert_int_equal(atomic_load(&heard_failing), round);
        assert_int_equal(atomic_load(&heard_working), round);
    }
    site_close(s);
    key_site_stop(site);
}

/* ---- rooms, one after the other ---- */

static struct identity *answered(const char *rights)
{
    char json[512];
    const char *why;
    struct claims *claims;
    struct identity *i;
    struct site_question *q = question_of("sid=1", none);
    snprintf(json, sizeof json, "{\"user\":\"u1\",\"username\":\"Ann\",\"rights\":%s}", rights);
    assert_int_equal(site_answer_read(slice_of(json), none, 1, &claims, &why), 0);
    assert_int_equal(identity_new_site(claims, q, 5, &i), 0);
    site_question_unref(q);
    return i;
}

static bool is_not_b(void *ctx, struct slice room)
{
    (void)ctx;
    return !slice_is(room, "b");
}

static enum right right_of(const struct identity *i, const char *room)
{
    const struct claims *c = i->claims;
    const struct room_right *best = pattern_best(c->rooms, c->room_count, slice_of(room));
    return best ? best->right : RIGHT_NONE;
}

static void test_merged_rooms(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    struct identity *old = answered("{\"a\":\"read\",\"b\":\"own\",\"c\":\"write\"}");
    struct identity *new = answered("{\"a\":\"moderate\",\"d\":\"read\"}");
    struct identity *merged = identity_merge_rooms(old, new, old, is_not_b, NULL);
    assert_int_equal(merged->claims->room_count, 3);
    assert_int_equal(right_of(merged, "a"), RIGHT_MODERATE);
    assert_int_equal(right_of(merged, "b"), RIGHT_NONE);
    assert_int_equal(right_of(merged, "c"), RIGHT_WRITE);
    assert_int_equal(right_of(merged, "d"), RIGHT_READ);
    assert_ptr_equal(merged->question, old->question);
    struct identity *later = identity_again(merged, 9);
    identity_unref(merged);
    assert_true(later->ask_again_ms == 9 && later->source == IDENTITY_SITE);
    assert_int_equal(right_of(later, "d"), RIGHT_READ);
    assert_true(slice_is(identity_name(later), "Ann"));
    for (long n = 0; n < 2; n++) {
        fail_alloc_after(n);
        assert_null(identity_again(later, 9));
        assert_null(identity_merge_rooms(later, later, later, NULL, NULL));
        fail_alloc_off();
    }
    identity_unref(later);
    identity_unref(new);
    identity_unref(old);
    assert_int_equal(fail_alloc_live(), live);
}

/* ---- options, memory ---- */

static void test_options(void **state)
{
    (void)state;
    static const struct {
        const char *url, *cookies, *word;
    } rows[] = {
        {"http://site.example/who", "sid", "https"},
        {"site.example", "sid", "https"},
        {"https://u:p@site.example/", "sid", "password"},
        {"https://{room}.example/", "sid", "{room}"},
        {"https://site.example:{room}/", "sid", "{room}"},
        {"{room}", "sid", "{room}"},
        {"https://site.example/#{room}", "sid", "{room}"},
        {"https://site.example/{room}/{room}", "sid", "{room}"},
        {"https://site.example/", "a b", "cookies"},
        {"https://site.example/", "a,,b", "cookies"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct site_options o = {.url = rows[i].url, .cookies = rows[i].cookies, .timeout_ms = 1};
        struct site *s;
        const char *why = NULL;
        int err = site_open(&o, &s, &why);
        if (err != ERR_CONFIG || s || !why || !strstr(why, rows[i].word))
            fail_msg("%s %s: %d %s", rows[i].url, rows[i].cookies, err, why ? why : "");
    }
}

/* Up to where the site would be asked, of which nobody answers. */
static void test_no_memory(void **state)
{
    (void)state;
    struct key_site *site = key_site_start(NULL);
    struct site *s = open_with(site, "/", (struct site_options){0});
    struct site_question *q = question_of("sid=1", none);
    key_site_stop(site);
    int err = ERR_NOMEM;
    for (long n = 0; err == ERR_NOMEM; n++) {
        struct asker a = {.waiter.on_answer = on_told};
        pause_ms(20); /* its thread sleeps */
        fail_alloc_after(n);
        err = site_ask(s, q, true, &a.waiter, &a.identity);
        if (err == ERR_AGAIN) WAIT_FOR(atomic_load(&a.told) == 1);
        fail_alloc_off();
        if (err == ERR_AGAIN) err = a.err;
        assert_true(n > 3 || err == ERR_NOMEM);
    }
    assert_int_equal(err, ERR_AUTH_DOWN);
    assert_int_equal(health_of(s).questions, 1);
    site_question_unref(q);
    site_close(s);
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    curl_global_cleanup();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_refusals_and_failures),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_keys_differ),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_cache_to_the_end),
        cmocka_unit_test(test_equal_questions_are_one),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_time_out),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_nobody_waits),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_told_once),
        cmocka_unit_test(test_merged_rooms),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
