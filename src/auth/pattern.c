/* See pattern.h. */
#include "auth/pattern.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* 0: it does not fit; else the higher, the more exactly. */
static size_t fit_of(struct slice pattern, struct slice room)
{
    if (pattern.len == 0) return 0;
    bool wild = pattern.ptr[pattern.len - 1] == '*';
    size_t fixed = pattern.len - wild;
    if (wild ? fixed > room.len : fixed != room.len) return 0;
    if (fixed > 0 && memcmp(pattern.ptr, room.ptr, fixed) != 0) return 0;
    return wild ? pattern.len : SIZE_MAX;
}

const struct room_right *pattern_best(const struct room_right *list, size_t count,
                                      struct slice room)
{
    const struct room_right *best = NULL;
    size_t best_fit = 0;
    for (size_t i = 0; i < count; i++) {
        size_t fit = fit_of(list[i].pattern, room);
        if (fit <= best_fit) continue;
        best = &list[i];
        best_fit = fit;
    }
    return best;
}
