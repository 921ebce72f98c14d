/* See guarded_clock.h. */
#include "base/guarded_clock.h"

#include <stdbool.h>

void guarded_clock_init(struct guarded_clock *c, int64_t newest_ms, int64_t wall_ms,
                        int64_t elapsed_ms)
{
    bool older = newest_ms > 0 && newest_ms < wall_ms;
    *c = (struct guarded_clock){.believed_ms = older ? newest_ms : wall_ms,
                                .elapsed_ms = elapsed_ms};
}

/* The jump by ahead_ms is new. */
static enum guarded_clock_news doubt(struct guarded_clock *c, int64_t ahead_ms, uint64_t keep_ms)
{
    int64_t wait_ms = ahead_ms < GUARDED_CLOCK_DOUBT_MS ? ahead_ms : GUARDED_CLOCK_DOUBT_MS;
    if (keep_ms < (uint64_t)wait_ms) wait_ms = (int64_t)keep_ms;
    c->ahead_ms = ahead_ms;
    c->doubt_until_ms = c->elapsed_ms + wait_ms;
    c->news_ms = (uint64_t)ahead_ms;
    return GUARDED_CLOCK_AHEAD;
}

/* The wall clock is right. */
static enum guarded_clock_news believe(struct guarded_clock *c, int64_t wall_ms, uint64_t jump_ms)
{
    bool doubted = c->ahead_ms != 0;
    c->believed_ms = wall_ms;
    c->ahead_ms = 0;
    c->news_ms = jump_ms;
    return doubted ? GUARDED_CLOCK_SETTLED : GUARDED_CLOCK_STEADY;
}

enum guarded_clock_news guarded_clock_tick(struct guarded_clock *c, int64_t wall_ms,
                                           int64_t elapsed_ms, uint64_t keep_ms)
{
    c->believed_ms += elapsed_ms - c->elapsed_ms;
    c->elapsed_ms = elapsed_ms;
    int64_t ahead_ms = wall_ms - c->believed_ms;
    if (ahead_ms < -GUARDED_CLOCK_TOLERANCE_MS) {
        believe(c, wall_ms, (uint64_t)-ahead_ms);
        return GUARDED_CLOCK_BEHIND;
    }
    if (ahead_ms <= GUARDED_CLOCK_TOLERANCE_MS) return believe(c, wall_ms, 0);
    int64_t change_ms = ahead_ms - c->ahead_ms;
    if (change_ms < -GUARDED_CLOCK_TOLERANCE_MS || change_ms > GUARDED_CLOCK_TOLERANCE_MS)
        return doubt(c, ahead_ms, keep_ms);
    return elapsed_ms >= c->doubt_until_ms ? believe(c, wall_ms, (uint64_t)ahead_ms)
                                           : GUARDED_CLOCK_STEADY;
}
