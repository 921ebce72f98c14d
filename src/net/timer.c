/* See timer.h. */
#include "net/timer.h"

#include <stddef.h>

void timer_init(struct timer *t)
{
    list_init(&t->link);
    t->deadline_ms = 0;
}

void timer_queue_init(struct timer_queue *q, uint32_t duration_ms)
{
    list_init(&q->timers);
    q->duration_ms = duration_ms;
}

void timer_start(struct timer_queue *q, struct timer *t, uint64_t now_ms)
{
    list_remove(&t->link);
    if (q->duration_ms == 0) return;
    t->deadline_ms = now_ms + q->duration_ms;
    list_push(&q->timers, &t->link);
}

void timer_stop(struct timer *t)
{
    list_remove(&t->link);
}

struct timer *timer_queue_expired(struct timer_queue *q, uint64_t now_ms)
{
    if (timer_queue_deadline(q) > now_ms) return NULL;
    struct timer *t = container_of(q->timers.next, struct timer, link);
    list_remove(&t->link);
    return t;
}

uint64_t timer_queue_deadline(const struct timer_queue *q)
{
    if (list_empty(&q->timers)) return UINT64_MAX;
    return container_of(q->timers.next, struct timer, link)->deadline_ms;
}
