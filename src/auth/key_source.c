/* See key_source.h. */
#include "auth/key_source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/fetch.h"
#include "auth/fetch_url.h"
#include "auth/jwk.h"
#include "auth/key_fetch.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

struct key_source {
    struct key_source_options options;
    struct fetch_url url;
    struct key_fetch *fetch; /* NULL: the keys are fixed, and there is no thread */
    pthread_t thread;

    pthread_mutex_t lock; /* of all below */
    struct jwk_set *keys;
    struct key_source_health health;
    bool asked;       /* somebody wants newer keys than those of the last fetch */
    int64_t begun_ms; /* monotonic: when the last fetch began */
    int64_t next_ms;  /* when the next is due, if nobody asks */
};

static int64_t monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

/* ---- when ---- */

static int64_t due_locked(const struct key_source *s)
{
    int64_t asked_ms = s->begun_ms + s->options.ask_ms;
    return s->asked && asked_ms < s->next_ms ? asked_ms : s->next_ms;
}

/* How long there is nothing to do; 0: a fetch begins now. */
static int64_t begin_if_due(struct key_source *s)
{
    pthread_mutex_lock(&s->lock);
    int64_t now = monotonic_ms();
    int64_t left = due_locked(s) - now;
    if (left <= 0) {
        s->asked = false;
        s->begun_ms = now;
        left = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return left;
}

/* After so many failures in a row. */
static int64_t retry_after(const struct key_source_options *o, unsigned failing)
{
    int64_t ms = o->retry_ms;
    for (unsigned i = 1; i < failing && ms < o->ask_ms; i++)
        ms *= 2;
    return fetch_spread(ms < o->ask_ms ? ms : o->ask_ms);
}

/* ---- a fetch ---- */

static void note_load(struct key_source *s, struct jwk_set *keys, const char *ignored)
{
    struct key_source_health *h = &s->health;
    pthread_mutex_lock(&s->lock);
    struct jwk_set *old = s->keys;
    s->keys = keys;
    h->loads++;
    h->failing = 0;
    h->loaded_ms = clock_ms(CLOCK_REALTIME);
    h->keys = jwk_set_count(keys);
    h->ignored = ignored;
    s->next_ms = monotonic_ms() + fetch_spread(s->options.renew_ms);
    pthread_mutex_unlock(&s->lock);
    jwk_set_unref(old);
}

static void note_failure(struct key_source *s, const char *error)
{
    struct key_source_health *h = &s->health;
    pthread_mutex_lock(&s->lock);
    h->failures++;
    h->failing++;
    h->failed_ms = clock_ms(CLOCK_REALTIME);
    snprintf(h->error, sizeof h->error, "%s", error);
    s->next_ms = monotonic_ms() + retry_after(&s->options, h->failing);
    pthread_mutex_unlock(&s->lock);
}

static void fetch_keys(struct key_source *s)
{
    char error[KEY_FETCH_WHY_MAX];
    struct buf body = {0};
    struct jwk_set *keys = NULL;
    const char *why = NULL;
    int err = key_fetch_run(s->fetch, &body, error);
    if (!err) {
        err = jwk_set_from_json((struct slice){(char *)body.data, body.len}, &keys, &why);
        snprintf(error, sizeof error, "the answer cannot be used: %s", why ? why : "");
    }
    buf_fini(&body);
    if (err == ERR_CLOSED) return;
    if (err)
        note_failure(s, err == ERR_NOMEM ? "out of memory" : error);
    else
        note_load(s, keys, why);
    struct key_source_health health;
    key_source_health(s, &health);
    if (s->options.on_fetch) s->options.on_fetch(s->options.ctx, &health);
}

static void *source_main(void *arg)
{
    struct key_source *s = arg;
    int64_t left = 0;
    while (key_fetch_sleep(s->fetch, left)) {
        left = begin_if_due(s);
        if (left == 0) fetch_keys(s);
    }
    return NULL;
}

/* ---- life ---- */

static uint32_t or_default(uint32_t ms, uint32_t fallback)
{
    return ms ? ms : fallback;
}

static struct key_source *source_new(void)
{
    struct key_source *s = calloc(1, sizeof *s);
    if (s) CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    return s;
}

static void source_free(struct key_source *s)
{
    key_fetch_free(s->fetch);
    jwk_set_unref(s->keys);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void take_options(struct key_source *s, const struct key_source_options *o)
{
    s->options = *o;
    s->options.url = s->url.text;
    s->options.ca_file = NULL; /* the caller's, and read already */
    s->options.renew_ms = or_default(o->renew_ms, KEY_SOURCE_RENEW_MS);
    s->options.ask_ms = or_default(o->ask_ms, KEY_SOURCE_ASK_MS);
    s->options.retry_ms = or_default(o->retry_ms, KEY_SOURCE_RETRY_MS);
    s->health.url = s->url.shown;
    s->next_ms = monotonic_ms();
}

/* Everything but memory for s itself. */
static int start_source(struct key_source *s, const struct key_source_options *o, const char **why)
{
    int err = fetch_url_parse(o->url, &s->url, why);
    if (err) return err;
    take_options(s, o);
    struct key_fetch_options fetch = {
        .url = &s->url,
        .connect_ms = or_default(o->connect_ms, KEY_SOURCE_CONNECT_MS),
        .total_ms = or_default(o->total_ms, KEY_SOURCE_TOTAL_MS),
        .ca_file = o->ca_file,
    };
    err = key_fetch_new(&fetch, &s->fetch, why);
    if (err) return err;
    if (pthread_create(&s->thread, NULL, source_main, s) != 0) {
        *why = "no thread can be started";
        return ERR_IO;
    }
    pthread_setname_np(s->thread, "key-source");
    return 0;
}

int key_source_open(const struct key_source_options *o, struct key_source **out, const char **why)
{
    *out = NULL;
    *why = NULL;
    struct key_source *s = source_new();
    if (!s) return ERR_NOMEM;
    int err = start_source(s, o, why);
    if (err)
        source_free(s);
    else
        *out = s;
    return err;
}

struct key_source *key_source_open_fixed(struct jwk_set *keys)
{
    struct key_source *s = source_new();
    if (!s) return NULL;
    s->keys = keys;
    s->health = (struct key_source_health){.url = "", .keys = jwk_set_count(keys)};
    return s;
}

void key_source_close(struct key_source *s)
{
    if (!s) return;
    if (s->fetch) {
        key_fetch_stop(s->fetch);
        pthread_join(s->thread, NULL);
    }
    source_free(s);
}

/* ---- any thread ---- */

struct jwk_set *key_source_keys(struct key_source *s)
{
    pthread_mutex_lock(&s->lock);
    struct jwk_set *keys = jwk_set_ref(s->keys);
    pthread_mutex_unlock(&s->lock);
    return keys;
}

bool key_source_renew(struct key_source *s)
{
    if (!s->fetch) return false;
    pthread_mutex_lock(&s->lock);
    bool is_first = !s->asked;
    s->asked = true;
    pthread_mutex_unlock(&s->lock);
    if (is_first) key_fetch_wake(s->fetch);
    return true;
}

void key_source_health(struct key_source *s, struct key_source_health *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->health;
    pthread_mutex_unlock(&s->lock);
}
