/* See recent.h. */
#include "chat/recent.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

enum { ENTRIES_MIN = 8 };

static struct recent_entry *entry(const struct recent *r, uint32_t i)
{
    return &r->entries[r->start + i];
}

int recent_reserve(struct recent *r)
{
    if (r->start + r->count < r->cap) return 0;
    if (r->start > r->cap / 2) {
        memmove(r->entries, entry(r, 0), r->count * sizeof *r->entries);
        r->start = 0;
        return 0;
    }
    uint32_t cap = r->cap ? r->cap * 2 : ENTRIES_MIN;
    struct recent_entry *entries = realloc(r->entries, cap * sizeof *entries);
    if (!entries) return ERR_NOMEM;
    r->entries = entries;
    r->cap = cap;
    return 0;
}

static void recent_drop_oldest(struct recent *r)
{
    r->from_seq = entry(r, 0)->seq;
    r->start++;
    r->count--;
}

/* Gives back chunks without an entry. */
static void trim_log(const struct recent *r, struct frame_log *log)
{
    frame_log_trim(log, r->count ? entry(r, 0)->offset : log->end);
}

void recent_note(struct recent *r, struct frame_log *log, const struct recent_entry *e,
                 const struct recent_limits *limits)
{
    CHECK(r->start + r->count < r->cap);
    r->entries[r->start + r->count++] = *e;
    bool trim = false;
    while (r->count > limits->max_events ||
           (r->count > 1 && log->end - entry(r, 0)->offset > limits->max_bytes)) {
        recent_drop_oldest(r);
        trim = true;
    }
    if (trim) trim_log(r, log);
}

bool recent_expire(struct recent *r, struct frame_log *log, int64_t now_ms,
                   const struct recent_limits *limits)
{
    bool trim = false;
    while (limits->max_age_ms && r->count && now_ms > entry(r, 0)->ts_ms &&
           (uint64_t)(now_ms - entry(r, 0)->ts_ms) > limits->max_age_ms) {
        recent_drop_oldest(r);
        trim = true;
    }
    if (trim) trim_log(r, log);
    return trim;
}

void recent_forget(struct recent *r, struct frame_log *log, uint64_t head)
{
    frame_log_forget(log);
    recent_fini(r);
    r->from_seq = head;
}

int recent_prepend(struct recent *r, struct frame_log *log, struct recent_past *past)
{
    uint32_t cap = past->count + r->count + ENTRIES_MIN;
    struct recent_entry *entries = malloc(cap * sizeof *entries);
    if (!entries) return ERR_NOMEM;
    uint64_t at = r->count ? entry(r, 0)->offset : log->end;
    uint64_t delta = frame_log_prepend(log, &past->older, at);
    for (uint32_t i = 0; i < past->count; i++) {
        entries[i] = past->entries[i];
        entries[i].offset += delta;
    }
    if (r->count) memcpy(entries + past->count, entry(r, 0), r->count * sizeof *entries);
    free(r->entries);
    r->entries = entries;
    r->start = 0;
    r->count += past->count;
    r->cap = cap;
    r->from_seq = past->from_seq;
    return 0;
}

void recent_past_trim(struct recent_past *past, uint64_t max_bytes)
{
    uint32_t drop = 0;
    while (drop + 1 < past->count && past->older.end - past->entries[drop].offset > max_bytes)
        drop++;
    if (drop == 0) return;
    past->from_seq = past->entries[drop - 1].seq;
    past->count -= drop;
    memmove(past->entries, past->entries + drop, past->count * sizeof *past->entries);
    frame_log_trim(&past->older, past->entries[0].offset);
}

uint32_t recent_after(const struct recent *r, uint64_t seq)
{
    uint32_t low = 0;
    uint32_t high = r->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (entry(r, mid)->seq <= seq)
            low = mid + 1;
        else
            high = mid;
    }
    return r->count - low;
}

uint32_t recent_newest(const struct recent *r, unsigned n, bool *complete)
{
    uint32_t i = r->count;
    while (i > 0 && n > 0) {
        i--;
        if (entry(r, i)->message) n--;
    }
    *complete = n == 0;
    return r->count - i;
}

void recent_seek(const struct recent *r, const struct frame_log *log, uint32_t count,
                 struct cursor *c)
{
    CHECK(count > 0 && count <= r->count);
    frame_log_seek(log, c, entry(r, r->count - count)->offset);
}

uint64_t recent_index_bytes(const struct recent *r)
{
    return r->cap * sizeof *r->entries;
}

uint64_t recent_bytes(const struct recent *r, const struct frame_log *log)
{
    return log->kept_bytes + recent_index_bytes(r);
}

void recent_fini(struct recent *r)
{
    free(r->entries);
    *r = (struct recent){.from_seq = r->from_seq};
}
