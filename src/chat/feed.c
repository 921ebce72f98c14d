/* See feed.h. */
#include "chat/feed.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "chat/room.h"
#include "chat/room_state.h"

enum { MEMBERS_MIN = 2, PREFETCH_AHEAD = 4 };

static bool is_current(const struct member *m)
{
    return m->index < m->feed->current_count;
}

static void place(struct feed *r, uint32_t index, struct member *m)
{
    r->members[index] = m;
    m->index = index;
}

static void swap_members(struct feed *r, uint32_t a, uint32_t b)
{
    struct member *m = r->members[a];
    place(r, a, r->members[b]);
    place(r, b, m);
}

/* The two setters of invariant 1. */
static void make_own(struct member *m)
{
    struct feed *r = m->feed;
    DCHECK(is_current(m) && !m->cursor.chunk);
    r->current_count--;
    swap_members(r, m->index, r->current_count);
}

static void make_current(struct member *m)
{
    struct feed *r = m->feed;
    DCHECK(!is_current(m));
    cursor_rest(&m->cursor);
    swap_members(r, m->index, r->current_count);
    r->current_count++;
}

int feed_add(struct feed *r, struct member *m, struct cursor *at)
{
    if (r->member_count == r->member_cap) {
        uint32_t cap = r->member_cap ? r->member_cap * 2 : MEMBERS_MIN;
        struct member **members = realloc(r->members, cap * sizeof *members);
        if (!members) return ERR_NOMEM;
        r->members = members;
        r->member_cap = cap;
    }
    m->feed = r;
    m->cursor = *at;
    m->blocked = false;
    at->chunk = NULL;
    place(r, r->member_count++, m);
    if (!m->cursor.chunk) make_current(m);
    return 0;
}

void feed_remove(struct member *m)
{
    struct feed *r = m->feed;
    if (is_current(m)) make_own(m);
    cursor_rest(&m->cursor);
    uint32_t last = --r->member_count;
    if (m->index != last) place(r, m->index, r->members[last]);
    m->feed = NULL;
    m->blocked = false;
}

/* Sends from the member's own place up to `limit`; false if the member is gone. */
static bool pull(struct member *m, uint64_t limit, struct delivery *d)
{
    while (!m->blocked && m->cursor.offset < limit) {
        struct iovec iov[FEED_SPAN_MAX];
        size_t bytes = 0;
        int n = cursor_span(&m->cursor, limit, iov, FEED_SPAN_MAX, &bytes);
        CHECK(bytes > 0); /* invariant 4: the chain leads to the limit */
        ssize_t sent = d->send(m, iov, n, bytes);
        if (sent < 0) return false;
        d->frames += cursor_frames(&m->cursor, m->cursor.offset + (uint64_t)sent);
        cursor_advance(&m->cursor, (uint64_t)sent);
        if ((size_t)sent < bytes) m->blocked = true;
    }
    return true;
}

/* A member that has caught up and takes bytes needs its cursor no longer. */
static void settle_member(struct member *m)
{
    if (!m->blocked && m->cursor.offset == m->feed->cursor.offset) make_current(m);
}

uint64_t feed_lag(const struct member *m)
{
    uint64_t limit = m->feed->cursor.offset;
    return !is_current(m) && limit > m->cursor.offset ? limit - m->cursor.offset : 0;
}

/* Members with a place of their own, after the feed has moved to its new place. From the end
 * down, because the callee may take the member out, which moves the last one into its place. */
static void flush_own(struct feed *r, struct delivery *d)
{
    uint64_t limit = r->cursor.offset;
    for (uint32_t i = r->member_count; i-- > r->current_count;) {
        if (i >= r->member_count) continue;
        struct member *m = r->members[i];
        if (!pull(m, limit, d)) continue;
        uint64_t lag = feed_lag(m);
        if (d->lag_max_bytes && lag > d->lag_max_bytes) d->on_lag(m, lag);
    }
    for (uint32_t i = r->current_count; i < r->member_count; i++)
        settle_member(r->members[i]);
}

/* Members at the feed's place get the same bytes; who cannot take all gets a cursor. */
static void flush_current(struct feed *r, struct delivery *d, struct iovec *iov, int n,
                          size_t bytes)
{
    for (uint32_t i = 0; i < PREFETCH_AHEAD && i < r->current_count; i++)
        __builtin_prefetch(r->members[r->current_count - 1 - i]);
    uint64_t frames = cursor_frames(&r->cursor, r->cursor.offset + bytes);
    for (uint32_t i = r->current_count; i-- > 0;) {
        struct member *m = r->members[i];
        if (i >= PREFETCH_AHEAD) __builtin_prefetch(r->members[i - PREFETCH_AHEAD]);
        ssize_t sent = d->send(m, iov, n, bytes);
        if (sent == (ssize_t)bytes) {
            d->frames += frames;
            continue;
        }
        if (sent < 0) continue;
        make_own(m);
        cursor_copy(&m->cursor, &r->cursor);
        d->frames += cursor_frames(&m->cursor, m->cursor.offset + (uint64_t)sent);
        cursor_advance(&m->cursor, (uint64_t)sent);
        m->blocked = true;
    }
}

/* From the end down: each call takes a member out. */
static void lose_all(struct feed *r, struct delivery *d)
{
    for (uint32_t i = r->member_count; i-- > 0;)
        if (i < r->member_count) d->on_lag(r->members[i], 0);
}

bool feed_flush(struct feed *r, struct delivery *d)
{
    if (atomic_load_explicit(&r->lost, memory_order_relaxed) && atomic_exchange(&r->lost, false))
        lose_all(r, d);
    if (r->start.chunk) {
        CHECK(!r->cursor.chunk && r->cursor.offset == r->start.offset);
        r->cursor = r->start;
        r->start.chunk = NULL;
    }
    struct iovec iov[FEED_SPAN_MAX];
    size_t bytes = 0;
    int n = cursor_span(&r->cursor, UINT64_MAX, iov, FEED_SPAN_MAX, &bytes);

    /* Whoever was blocked while the feed was at rest stands here too, and needs the chunk now. */
    for (uint32_t i = r->current_count; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (!m->cursor.chunk) cursor_copy(&m->cursor, &r->cursor);
    }
    if (bytes) flush_current(r, d, iov, n, bytes);
    cursor_advance(&r->cursor, bytes);
    flush_own(r, d);
#ifdef PARLOR_DEBUG
    feed_check(r);
#endif
    return n == FEED_SPAN_MAX;
}

void feed_resume(struct member *m, struct delivery *d)
{
    if (is_current(m)) return;
    struct feed *r = m->feed;
    bool lagged = m->cursor.chunk;
    m->blocked = false;
    if (!pull(m, r->cursor.offset, d)) return;
    settle_member(m);
    if (lagged && is_current(m)) room_relax(r->room, r->encoding);
}

void feed_block(struct member *m)
{
    if (is_current(m)) {
        make_own(m);
        cursor_copy(&m->cursor, &m->feed->cursor);
    }
    m->blocked = true;
}

int feed_take_frame_rest(struct member *m, struct buf *rest, size_t max_bytes)
{
    if (is_current(m)) return 0;
    struct slice part = cursor_frame_rest(&m->cursor);
    int err = buf_append(rest, part.ptr, part.len, max_bytes);
    if (!err) cursor_advance(&m->cursor, part.len);
    return err;
}

void feed_check(const struct feed *r)
{
    CHECK(r->current_count <= r->member_count && r->member_count <= r->member_cap);
    for (uint32_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[i];
        CHECK(m->feed == r && m->index == i);
        if (i < r->current_count) {
            CHECK(!m->cursor.chunk && !m->blocked);
        } else if (!m->cursor.chunk) {
            CHECK(m->cursor.offset == r->cursor.offset);
        }
    }
}
