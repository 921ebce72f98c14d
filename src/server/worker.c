/* See worker.h. */
#include "server/worker.h"

#include "base/err.h"
#include "server/task.h"

void worker_add_dirty(struct worker *w, struct slink *link)
{
    link->next = NULL;
    *w->dirty_end = link;
    w->dirty_end = &link->next;
}

void worker_post_dirty(struct worker *w, struct slink *woken)
{
    while (woken) {
        struct slink *next = woken->next;
        const struct feed *r = container_of(woken, struct feed, dirty_link);
        if (r->worker == w->index) {
            worker_add_dirty(w, woken);
        } else {
            woken->next = w->outgoing;
            w->outgoing = woken;
        }
        woken = next;
    }
}

void worker_post(struct worker *w, struct task *t)
{
    mailbox_post(&w->tasks, &t->link);
}

bool worker_post_later(struct worker *w, struct later *l)
{
    if (!w->over) timer_start(&w->later, &l->timer, w->now_ms);
    return !w->over;
}

uint64_t worker_sum(const struct server *s, enum metric which)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        sum += atomic_load_explicit(&s->workers[i].metrics.value[which], memory_order_relaxed);
    return sum;
}

uint64_t worker_connections(const struct server *s)
{
    return worker_sum(s, METRIC_CONNECTIONS);
}

uint64_t worker_refused(const struct server *s)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        sum +=
            atomic_load_explicit(&s->workers[i].metrics.refusals[-ERR_STORE], memory_order_relaxed);
    return sum;
}
