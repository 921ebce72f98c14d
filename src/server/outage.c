/* See outage.h. */
#include "server/outage.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "ops/metrics.h"
#include "server/worker.h"

/* Not the turn's time of a worker: this is asked by other threads too. */
static int64_t wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint64_t count_refused(const struct server *s)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        sum +=
            atomic_load_explicit(&s->workers[i].metrics.refusals[-ERR_STORE], memory_order_relaxed);
    return sum;
}

bool outage_begin(struct server *s)
{
    if (atomic_load(&s->outage.since_ms)) return false;
    atomic_store(&s->outage.refused_before, count_refused(s));
    atomic_store(&s->outage.since_ms, wall_ms());
    return true;
}

bool outage_look(struct server *s, struct outage_sum *sum)
{
    sum->since_ms = atomic_load(&s->outage.since_ms);
    if (sum->since_ms == 0) return false;
    int64_t lasted_ms = wall_ms() - sum->since_ms;
    sum->lasted_ms = lasted_ms > 0 ? (uint64_t)lasted_ms : 0; /* the clock may have been set */
    sum->refused = count_refused(s) - atomic_load(&s->outage.refused_before);
    return true;
}

void outage_end(struct server *s)
{
    atomic_store(&s->outage.since_ms, 0);
}

void outage_text(const struct outage_sum *sum, char out[static OUTAGE_TEXT_MAX])
{
    time_t seconds = (time_t)(sum->since_ms / 1000);
    struct tm tm;
    char since[32];
    gmtime_r(&seconds, &tm);
    strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(out, OUTAGE_TEXT_MAX, "the store fails since %s (%" PRIu64 " s): %" PRIu64 " refused",
             since, sum->lasted_ms / 1000, sum->refused);
}
