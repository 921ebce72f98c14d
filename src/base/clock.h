/* The system's clocks, in one unit. Not for chat and proto: who calls them says what time it is. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Of CLOCK_MONOTONIC, CLOCK_REALTIME (since 1970), ...; those have to be there. Any thread. */
static inline int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t clock_us(clockid_t id)
{
    return clock_ns(id) / 1000;
}

static inline int64_t clock_ms(clockid_t id)
{
    return clock_ns(id) / 1000000;
}

#endif
