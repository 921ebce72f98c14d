/* See store_core.h. What every part of it has to say to whoever uses the store. */
#include "store/store_core.h"

#include <stdio.h>

#include "base/clock.h"

void store_set_health(struct store *s, bool healthy)
{
    const char *text = healthy ? "messages are stored again" : s->backend->ops->reason(s->backend);
    bool tell = s->options.on_health && atomic_load(&s->healthy) != healthy;
    if (tell && !healthy) s->options.on_health(s->options.ctx, false, text);
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->healthy, healthy);
    snprintf(s->problem, sizeof s->problem, "%s", healthy ? "" : text);
    pthread_mutex_unlock(&s->lock);
    if (tell && healthy) s->options.on_health(s->options.ctx, true, text);
}

void store_note_trouble(struct store *s, struct store_trouble *t, bool read)
{
    struct store_stats *stats = &s->stats;
    t->last_ms = s->options.now_ms();
    pthread_mutex_lock(&s->lock);
    stats->trouble_last_ms = t->last_ms;
    if (stats->troubles == 0) stats->trouble_since_ms = t->last_ms;
    t->since_ms = stats->trouble_since_ms;
    t->count = ++stats->troubles;
    stats->read_errors += read;
    stats->damaged = stats->damaged || t->damage;
    pthread_mutex_unlock(&s->lock);
    if (s->options.on_trouble) s->options.on_trouble(s->options.ctx, t);
}

void store_tell(struct store *s, enum store_notice what, uint64_t number)
{
    bool seldom = what == STORE_ROOMS_FULL || what == STORE_TRIMS || what == STORE_QUEUE_FULL;
    int64_t now_us = clock_us(CLOCK_MONOTONIC);
    pthread_mutex_lock(&s->lock);
    int64_t *said_us = &s->noticed_us[what];
    bool say = !seldom || !*said_us || now_us - *said_us >= STORE_NOTICE_S * INT64_C(1000000);
    if (say) *said_us = now_us;
    pthread_mutex_unlock(&s->lock);
    if (say && s->options.on_notice) s->options.on_notice(s->options.ctx, what, number);
}
