/* The time that things grow old by, events in the store and nonces in a room: the wall clock,
 * unless it jumps forward.
 *
 * Why: what is removed for its age does not come back, and a clock that is an hour ahead for a
 * minute (a wrong battery, a wrong hand, a virtual machine that wakes up) would remove an hour too
 * much. So the wall clock is compared with one that nobody can set. When it is ahead of what that
 * one says, time goes on as before, and the jump is believed once it has lasted as long as it is
 * wide, as long as anything is kept, or GUARDED_CLOCK_DOUBT_MS, whichever is the shortest: at the
 * first two nothing is removed early that was there before the jump. A clock that goes back removes
 * less, and is believed at once.
 *
 * At start there is nothing to compare with but the newest event. If that is old, the server was
 * off or nobody spoke, or the clock is wrong; nobody can tell, so this is a jump like another. What
 * was written while the clock was wrong, and is the newest at the next start, is believed: that
 * mistake is not found. */
#ifndef BASE_GUARDED_CLOCK_H
#define BASE_GUARDED_CLOCK_H

#include <stdint.h>

enum {
    GUARDED_CLOCK_TOLERANCE_MS = 10 * 1000, /* between two ticks; less is no jump */
    GUARDED_CLOCK_DOUBT_MS = 6 * 3600 * 1000,
};

struct guarded_clock {
    int64_t believed_ms;    /* since 1970 */
    int64_t elapsed_ms;     /* at the last tick */
    int64_t ahead_ms;       /* of the jump that is doubted; 0: none is */
    int64_t doubt_until_ms; /* of elapsed */
    uint64_t news_ms;       /* what the last news was about */
};

enum guarded_clock_news {
    GUARDED_CLOCK_STEADY,
    GUARDED_CLOCK_AHEAD,   /* it has jumped forward by news_ms, which is doubted */
    GUARDED_CLOCK_BEHIND,  /* it has jumped back by news_ms */
    GUARDED_CLOCK_SETTLED, /* the jump by news_ms is believed; 0: the clock is back where it was */
};

/* newest_ms: of what was written last; 0: nothing. elapsed_ms: of a clock that is never set. */
void guarded_clock_init(struct guarded_clock *c, int64_t newest_ms, int64_t wall_ms,
                        int64_t elapsed_ms);

/* Updates believed_ms; keep_ms: how long things are kept. One thread. */
enum guarded_clock_news guarded_clock_tick(struct guarded_clock *c, int64_t wall_ms,
                                           int64_t elapsed_ms, uint64_t keep_ms);

#endif
