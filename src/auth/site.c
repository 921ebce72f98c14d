/* See site.h. */
#include "auth/site.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/fetch.h"
#include "auth/fetch_url.h"
#include "auth/identity.h"
#include "auth/site_answer.h"
#include "auth/site_cache.h"
#include "auth/site_question.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/table.h"
#include "net/socket.h"
#include "proto/cookie.h"

enum {
    POLL_MS_MAX = 60 * 1000,
    HEADERS_MAX = 5,
    HEADER_NAMES_MAX = 256, /* bytes of all but what a question has */
    ROOM_URL_MAX = FETCH_URL_MAX + 3 * NAME_ROOM_MAX,
};

#define ROOM_MARK "{room}"

/* A question that is not answered yet. Fields below the lock's are the site's thread's alone. */
struct inquiry {
    UT_hash_handle hh;
    struct list link; /* in waiting or asking */
    struct site_question *question;
    struct slink *waiters;
    uint64_t forgets;    /* as many as there were when it went to the site */
    bool again;          /* it went there once more, since something was forgotten meanwhile */
    int64_t deadline_ms; /* monotonic */

    int64_t asked_ms; /* Unix time */
    struct fetch *fetch;
    struct buf body;
};

struct site {
    struct site_options options; /* its texts are below */
    struct fetch_url url;        /* with ROOM_MARK replaced */
    char before[FETCH_URL_MAX];  /* of the room, or all of the URL */
    const char *after;           /* NULL: it has no place for the room */
    char cookies[FETCH_URL_MAX];
    CURLM *multi;
    pthread_t thread;

    pthread_mutex_t lock; /* of all below */
    struct inquiry *by_key;
    struct list waiting; /* oldest first, as the next */
    struct list asking;
    unsigned waiting_count;
    unsigned asking_count;
    struct site_cache cache;
    struct site_health health;
    uint64_t forgets;
    bool stopped;
};

static int64_t site_now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static struct inquiry *inquiry_at(struct list *link)
{
    return container_of(link, struct inquiry, link);
}

/* ---- what is sent ---- */

static void put_encoded(char *to, struct slice text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (size_t i = 0; i < text.len; i++) {
        if (memchr(plain, text.ptr[i], sizeof plain - 1))
            *to++ = text.ptr[i];
        else
            to += sprintf(to, "%%%02X", (unsigned char)text.ptr[i]);
    }
    *to = '\0';
}

static void write_url(const struct site *s, struct slice room, char url[static ROOM_URL_MAX])
{
    char encoded[3 * NAME_ROOM_MAX + 1];
    put_encoded(encoded, room);
    snprintf(url, ROOM_URL_MAX, "%s%s%s", s->before, s->after ? encoded : "",
             s->after ? s->after : "");
}

/* The headers of a question, in one block, which lists points into. NULL if memory is short. */
static char *write_headers(const struct site_question *q, const char *lists[static HEADERS_MAX],
                           size_t *count)
{
    char ip[SOCKET_TEXT_MAX];
    socket_ip_text(q->fields.ip, ip);
    const struct {
        const char *name;
        struct slice value;
    } headers[HEADERS_MAX] = {
        {"Accept", SLICE_LIT("application/json")},  {"Cookie", q->fields.cookies},
        {"Authorization", q->fields.authorization}, {"Origin", q->fields.origin},
        {"X-Forwarded-For", slice_of(ip)},
    };
    size_t size = q->len + HEADER_NAMES_MAX;
    char *text = malloc(size);
    char *to = text;
    *count = 0;
    for (size_t i = 0; text && i < HEADERS_MAX; i++) {
        if (headers[i].value.len == 0) continue;
        lists[(*count)++] = to;
        to += sprintf(to, "%s: %.*s", headers[i].name, (int)headers[i].value.len,
                      headers[i].value.ptr) +
              1;
    }
    CHECK(!text || (size_t)(to - text) <= size);
    return text;
}

/* ERR_NOMEM: it did not begin. */
static int begin_fetch(struct site *s, struct inquiry *in)
{
    const char *lists[HEADERS_MAX];
    char url[ROOM_URL_MAX];
    const char *why;
    struct fetch_options o = {.url = url,
                              .is_plain = s->url.is_plain,
                              .ca_file = s->options.ca_file,
                              .body_max_bytes = SITE_ANSWER_BYTES_MAX,
                              /* Some schemes sign in whoever uses the connection. */
                              .keep_alive = in->question->fields.authorization.len == 0,
                              .headers = lists};
    char *text = write_headers(in->question, lists, &o.header_count);
    if (!text) return ERR_NOMEM;
    write_url(s, in->question->fields.room, url);
    in->asked_ms = clock_ms(CLOCK_REALTIME);
    int err = fetch_new(&o, &in->fetch, &why) ? ERR_NOMEM : 0;
    if (!err) err = fetch_begin(in->fetch, s->multi, &in->body, in);
    if (err) {
        fetch_free(in->fetch);
        in->fetch = NULL;
    }
    explicit_bzero(text, in->question->len + HEADER_NAMES_MAX);
    free(text);
    return err;
}

static void end_fetch(struct site *s, struct inquiry *in)
{
    if (in->fetch) fetch_end(in->fetch, s->multi);
    fetch_free(in->fetch);
    in->fetch = NULL;
    buf_fini(&in->body);
}

/* ---- what is answered ---- */

/* Who it is by a body. ERR_BAD_JSON: why says what is wrong with it. */
static int identify_by_answer(const struct site *s, struct inquiry *in, struct identity **out,
                              char why[static FETCH_WHY_MAX])
{
    const char *words = NULL;
    struct claims *claims;
    uint64_t now_ms = (uint64_t)clock_ms(CLOCK_REALTIME);
    struct slice json = {(const char *)in->body.data, in->body.len};
    int err = site_answer_read(json, in->question->fields.room, now_ms, &claims, &words);
    if (!err) {
        claims->issued_ms = (uint64_t)in->asked_ms; /* what is revoked meanwhile is not believed */
        bool ends = claims->expires_ms < UINT64_MAX;
        uint64_t again_ms =
            ends ? UINT64_MAX : now_ms + (uint64_t)fetch_spread(s->options.again_ms);
        err = identity_new_site(claims, in->question, again_ms, out);
        words = "neither \"username\" nor \"user\" is fit for a name";
        if (err) claims_free(claims);
    }
    if (err && err != ERR_NOMEM)
        snprintf(why, FETCH_WHY_MAX, "the answer cannot be used: %s", words);
    return err == ERR_BAD_USERNAME ? ERR_BAD_JSON : err;
}

/* What a finished fetch says; errors as site_ask's. ERR_AUTH_DOWN: why says why. */
static int judge_fetch(const struct site *s, struct inquiry *in, CURLcode code,
                       struct identity **out, char why[static FETCH_WHY_MAX])
{
    long status = 0;
    int err = fetch_result(in->fetch, code, &status, why);
    if (!err && status == 401) return ERR_UNAUTHORIZED;
    if (!err && status == 403) return ERR_SITE_FORBIDDEN;
    if (!err && status == 200)
        err = identify_by_answer(s, in, out, why);
    else if (!err)
        fetch_say_status(status, why);
    return *out || err == ERR_NOMEM ? err : ERR_AUTH_DOWN;
}

static void note_result(struct site *s, bool failed, const char *why)
{
    pthread_mutex_lock(&s->lock);
    bool changed = failed != s->health.failing;
    s->health.questions++;
    s->health.failures += failed;
    s->health.failing = failed;
    if (failed) snprintf(s->health.error, sizeof s->health.error, "%s", why);
    struct site_health now = s->health;
    pthread_mutex_unlock(&s->lock);
    if (changed && s->options.on_change) s->options.on_change(s->options.ctx, &now);
}

/* ---- inquiries ---- */

static void remember_locked(struct site *s, const struct inquiry *in, struct identity *identity)
{
    int64_t left_ms = s->options.cache_ms;
    uint64_t ends_ms = identity_expires_ms(identity);
    if (ends_ms < INT64_MAX) {
        int64_t to_end_ms = (int64_t)ends_ms - clock_ms(CLOCK_REALTIME);
        if (to_end_ms < left_ms) left_ms = to_end_ms;
    }
    if (left_ms > 0)
        site_cache_add(&s->cache, in->question->key, identity, site_now_ms() + left_ms);
}

/* Tells who waits, and frees it. It is in no table or list any more. */
static void tell_waiters(struct inquiry *in, int err, struct identity *identity)
{
    while (in->waiters) {
        struct site_waiter *w = container_of(in->waiters, struct site_waiter, link);
        in->waiters = w->link.next;
        w->on_answer(w, err, identity);
    }
    site_question_unref(in->question);
    free(in);
}

static void unlink_locked(struct site *s, struct inquiry *in, unsigned *count)
{
    HASH_DEL(s->by_key, in);
    list_remove(&in->link);
    (*count)--;
}

/* The answer of the site, which is told, unless it may be of before site_forget. False: then. Once
 * only: where people are forgotten all the time, nobody else would ever have an answer. The second
 * one is not remembered; it says when it was asked for, by which whoever hears it can judge. */
static bool settle_inquiry(struct site *s, struct inquiry *in, int err, struct identity *identity)
{
    pthread_mutex_lock(&s->lock);
    bool stale = identity && in->forgets != s->forgets;
    bool counts = !stale || in->again;
    if (counts) {
        if (identity && !stale) remember_locked(s, in, identity);
        unlink_locked(s, in, &s->asking_count);
    } else {
        in->again = true;
        in->forgets = s->forgets;
    }
    pthread_mutex_unlock(&s->lock);
    if (counts) tell_waiters(in, err, identity);
    return counts;
}

static void end_inquiry(struct site *s, struct inquiry *in, CURLcode code)
{
    char why[FETCH_WHY_MAX];
    struct identity *identity = NULL;
    int err = judge_fetch(s, in, code, &identity, why);
    end_fetch(s, in);
    if (err != ERR_NOMEM) note_result(s, err == ERR_AUTH_DOWN, why);
    if (!settle_inquiry(s, in, err, identity) && begin_fetch(s, in) != 0)
        (void)settle_inquiry(s, in, ERR_NOMEM, NULL);
    if (identity) identity_unref(identity);
}

static bool is_wanted_locked(const struct inquiry *in)
{
    for (const struct slink *at = in->waiters; at; at = at->next) {
        const struct site_waiter *w = container_of(at, struct site_waiter, link);
        if (!atomic_load(&w->gone)) return true;
    }
    return false;
}

/* The next whose turn it is, now asking; or one that is to be told that nobody waits for it. NULL:
 * there is none. */
static struct inquiry *take_next(struct site *s, bool *wanted)
{
    struct inquiry *in = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->asking_count < SITE_ASKING_MAX && !list_empty(&s->waiting)) {
        in = inquiry_at(s->waiting.next);
        *wanted = is_wanted_locked(in);
        if (!*wanted) unlink_locked(s, in, &s->waiting_count);
    }
    if (in && *wanted) {
        list_remove(&in->link);
        list_push(&s->asking, &in->link);
        s->waiting_count--;
        s->asking_count++;
        in->forgets = s->forgets;
    }
    pthread_mutex_unlock(&s->lock);
    return in;
}

static void begin_some(struct site *s)
{
    struct inquiry *in;
    bool wanted;
    while ((in = take_next(s, &wanted))) {
        if (!wanted)
            tell_waiters(in, ERR_CLOSED, NULL);
        else if (begin_fetch(s, in) != 0)
            (void)settle_inquiry(s, in, ERR_NOMEM, NULL);
    }
}

/* One whose time is over, from either list, which are in the order of their times; NULL: none. */
static struct inquiry *take_late(struct site *s, int64_t now_ms, bool *asked)
{
    struct inquiry *in = NULL;
    struct list *const lists[] = {&s->asking, &s->waiting};
    unsigned *const counts[] = {&s->asking_count, &s->waiting_count};
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < 2 && !in; i++) {
        if (list_empty(lists[i]) || inquiry_at(lists[i]->next)->deadline_ms > now_ms) continue;
        in = inquiry_at(lists[i]->next);
        unlink_locked(s, in, counts[i]);
        *asked = i == 0;
    }
    pthread_mutex_unlock(&s->lock);
    return in;
}

static void give_up_late(struct site *s)
{
    struct inquiry *in;
    bool asked;
    char why[FETCH_WHY_MAX];
    while ((in = take_late(s, site_now_ms(), &asked))) {
        snprintf(why, sizeof why, "there was no answer within %u ms", s->options.timeout_ms);
        end_fetch(s, in);
        if (asked) note_result(s, true, why);
        tell_waiters(in, ERR_AUTH_DOWN, NULL);
    }
}

/* Until the first of them is late; not at all, if answers have just made place for one that waits,
 * of which nobody else is going to remind us. */
static int site_wait_ms(struct site *s)
{
    int64_t until_ms = INT64_MAX;
    pthread_mutex_lock(&s->lock);
    if (s->asking_count < SITE_ASKING_MAX && !list_empty(&s->waiting)) until_ms = 0;
    if (!list_empty(&s->asking) && inquiry_at(s->asking.next)->deadline_ms < until_ms)
        until_ms = inquiry_at(s->asking.next)->deadline_ms;
    if (!list_empty(&s->waiting) && inquiry_at(s->waiting.next)->deadline_ms < until_ms)
        until_ms = inquiry_at(s->waiting.next)->deadline_ms;
    pthread_mutex_unlock(&s->lock);
    if (until_ms == INT64_MAX) return POLL_MS_MAX;
    int64_t ms = until_ms - site_now_ms();
    return ms < 0 ? 0 : ms > POLL_MS_MAX ? POLL_MS_MAX : (int)ms;
}

/* ---- the thread ---- */

static bool site_is_stopped(struct site *s)
{
    pthread_mutex_lock(&s->lock);
    bool stopped = s->stopped;
    pthread_mutex_unlock(&s->lock);
    return stopped;
}

static void *site_thread(void *arg)
{
    struct site *s = arg;
    const CURLMsg *done;
    int n;
    while (!site_is_stopped(s)) {
        begin_some(s);
        (void)curl_multi_perform(s->multi, &n); /* what it cannot do will be late */
        while ((done = curl_multi_info_read(s->multi, &n)))
            if (done->msg == CURLMSG_DONE) end_inquiry(s, fetch_owner(done), done->data.result);
        give_up_late(s);
        (void)curl_multi_poll(s->multi, NULL, 0, site_wait_ms(s), NULL);
    }
    return NULL;
}

/* ---- life ---- */

/* Splits the URL at its place for the room, and has it checked with a room in it. */
static int take_url(struct site *s, const char *url, const char **why)
{
    char sample[FETCH_URL_MAX + sizeof ROOM_MARK];
    const char *mark = strstr(url, ROOM_MARK);
    const char *host = strstr(url, "://");
    size_t len = strlen(url);
    *why = "a URL has at most 2047 bytes";
    if (len >= FETCH_URL_MAX) return ERR_CONFIG;
    *why = "a URL has {room} once, in its path or query";
    if (mark && (!host || host + 3 + strcspn(host + 3, "/?#") > mark)) return ERR_CONFIG;
    if (mark && (strstr(mark + 1, ROOM_MARK) || memchr(url, '#', (size_t)(mark - url))))
        return ERR_CONFIG;
    *why = NULL;
    size_t before = mark ? (size_t)(mark - url) : len;
    memcpy(s->before, url, before);
    if (mark) {
        const char *after = mark + sizeof ROOM_MARK - 1;
        memcpy(s->before + before + 1, after, strlen(after) + 1);
        s->after = s->before + before + 1;
    }
    snprintf(sample, sizeof sample, "%s%s%s", s->before, mark ? "room" : "", mark ? s->after : "");
    return fetch_url_parse(sample, &s->url, why);
}

static int take_site_options(struct site *s, const struct site_options *o, const char **why)
{
    int err = take_url(s, o->url, why);
    if (err) return err;
    struct slice names = slice_of(o->cookies);
    *why = "it has to be a list of up to 16 names of cookies, separated by commas";
    if (names.len >= sizeof s->cookies || (names.len && !cookie_names_valid(names)))
        return ERR_CONFIG;
    *why = NULL;
    memcpy(s->cookies, names.ptr, names.len);
    s->options = *o;
    s->options.url = s->url.text;
    s->options.cookies = s->cookies;
    s->health.url = s->url.shown;
    return 0;
}

/* What this libcurl cannot do is said now, and not to each who asks. */
static int try_fetch(const struct site *s, const char **why)
{
    struct fetch *f;
    const struct fetch_options o = {
        .url = s->url.text, .is_plain = s->url.is_plain, .ca_file = s->options.ca_file};
    int err = fetch_new(&o, &f, why);
    fetch_free(f);
    return err;
}

static int start_site(struct site *s, const struct site_options *o, const char **why)
{
    int err = take_site_options(s, o, why);
    if (!err) err = try_fetch(s, why);
    if (err) return err;
    s->multi = curl_multi_init();
    if (!s->multi) return ERR_NOMEM;
    curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, (long)SITE_ASKING_MAX);
    curl_multi_setopt(s->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    if (pthread_create(&s->thread, NULL, site_thread, s) != 0) {
        *why = "no thread can be started";
        return ERR_IO;
    }
    pthread_setname_np(s->thread, "site");
    return 0;
}

static void site_free(struct site *s)
{
    site_cache_fini(&s->cache);
    curl_multi_cleanup(s->multi);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int site_open(const struct site_options *o, struct site **out, const char **why)
{
    *out = NULL;
    *why = NULL;
    struct site *s = calloc(1, sizeof *s);
    if (!s) return ERR_NOMEM;
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    list_init(&s->waiting);
    list_init(&s->asking);
    site_cache_init(&s->cache);
    int err = start_site(s, o, why);
    if (err)
        site_free(s);
    else
        *out = s;
    return err;
}

/* Of those that are left. */
static struct inquiry *take_any(struct site *s)
{
    bool asked;
    struct inquiry *in = take_late(s, INT64_MAX, &asked);
    if (in) end_fetch(s, in);
    return in;
}

void site_stop(struct site *s)
{
    struct inquiry *in;
    pthread_mutex_lock(&s->lock);
    bool stopped = s->stopped;
    s->stopped = true;
    pthread_mutex_unlock(&s->lock);
    if (stopped) return;
    curl_multi_wakeup(s->multi);
    pthread_join(s->thread, NULL);
    while ((in = take_any(s)))
        tell_waiters(in, ERR_CLOSED, NULL);
}

void site_close(struct site *s)
{
    if (!s) return;
    site_stop(s);
    site_free(s);
}

/* ---- any thread ---- */

struct slice site_cookies(const struct site *s)
{
    return slice_of(s->cookies);
}

bool site_asks_rooms(const struct site *s)
{
    return s->after;
}

static int add_inquiry_locked(struct site *s, struct site_question *q, struct inquiry **out)
{
    if (s->waiting_count >= SITE_WAITING_MAX) return ERR_AUTH_DOWN;
    struct inquiry *in = calloc(1, sizeof *in);
    if (!in) return ERR_NOMEM;
    in->question = q;
    HASH_ADD_KEYPTR(hh, s->by_key, q->key, SITE_KEY_BYTES, in);
    if (!in->hh.tbl) {
        free(in);
        return ERR_NOMEM;
    }
    site_question_ref(q);
    in->deadline_ms = site_now_ms() + s->options.timeout_ms;
    list_init(&in->link);
    list_push(&s->waiting, &in->link);
    s->waiting_count++;
    *out = in;
    return 0;
}

/* ERR_AGAIN: w waits. */
static int wait_locked(struct site *s, struct site_question *q, bool may_ask, struct site_waiter *w)
{
    struct inquiry *in;
    HASH_FIND(hh, s->by_key, q->key, SITE_KEY_BYTES, in);
    if (!in && !may_ask) return ERR_MANY_SIGN_INS;
    int err = in ? 0 : add_inquiry_locked(s, q, &in);
    if (err) return err;
    w->link.next = in->waiters;
    in->waiters = &w->link;
    return ERR_AGAIN;
}

int site_ask(struct site *s, struct site_question *q, bool may_ask, struct site_waiter *w,
             struct identity **out)
{
    pthread_mutex_lock(&s->lock);
    *out = site_cache_find(&s->cache, q->key, site_now_ms());
    int err = *out ? 0 : s->stopped ? ERR_CLOSED : wait_locked(s, q, may_ask, w);
    pthread_mutex_unlock(&s->lock);
    if (err == ERR_AGAIN) curl_multi_wakeup(s->multi);
    return err;
}

void site_forget(struct site *s, struct slice user)
{
    pthread_mutex_lock(&s->lock);
    s->forgets++;
    site_cache_forget(&s->cache, user);
    pthread_mutex_unlock(&s->lock);
}

void site_health(struct site *s, struct site_health *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->health;
    pthread_mutex_unlock(&s->lock);
}
