/* See frame_log.h. */
#include "chat/frame_log.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/account.h"
#include "base/check.h"
#include "proto/ws_frame.h"

struct chunk {
    atomic_uint refs;
    _Atomic uint32_t len; /* published bytes of data */
    _Atomic(struct chunk *) next;
    uint64_t base;
    struct account *account;
    uint32_t cap; /* bytes of data */
    uint8_t data[];
};

static size_t chunk_bytes(const struct chunk *ch)
{
    return sizeof *ch + ch->cap;
}

static struct chunk *chunk_new(const struct frame_log *log, size_t data_bytes)
{
    struct chunk *ch = malloc(sizeof *ch + data_bytes);
    if (!ch) return NULL;
    atomic_init(&ch->refs, 1);
    atomic_init(&ch->len, 0);
    atomic_init(&ch->next, NULL);
    ch->base = 0;
    ch->cap = (uint32_t)data_bytes;
    ch->account = log->account;
    if (ch->account) account_add(ch->account, chunk_bytes(ch));
    return ch;
}

static void chunk_free(struct chunk *ch)
{
    if (ch && ch->account) account_sub(ch->account, chunk_bytes(ch));
    free(ch);
}

static struct chunk *chunk_ref(struct chunk *ch)
{
    atomic_fetch_add_explicit(&ch->refs, 1, memory_order_relaxed);
    return ch;
}

/* A loop, not recursion: a long chain held by one slow member is given back in one call. */
static void chunk_unref(struct chunk *ch)
{
    while (ch && atomic_fetch_sub_explicit(&ch->refs, 1, memory_order_acq_rel) == 1) {
        struct chunk *next = atomic_load_explicit(&ch->next, memory_order_relaxed);
        chunk_free(ch);
        ch = next;
    }
}

static uint32_t chunk_len(const struct chunk *ch)
{
    return atomic_load_explicit(&ch->len, memory_order_acquire);
}

static struct chunk *chunk_next(const struct chunk *ch)
{
    return atomic_load_explicit(&ch->next, memory_order_acquire);
}

void frame_log_init(struct frame_log *log, bool keeps)
{
    *log = (struct frame_log){.keeps = keeps, .end = FRAME_LOG_ORIGIN, .start = FRAME_LOG_ORIGIN};
}

static size_t next_chunk_bytes(const struct frame_log *log, size_t frame_bytes)
{
    size_t bytes = sizeof(struct chunk) + log->last_bytes;
    if (log->tail) bytes = (sizeof(struct chunk) + log->tail->cap) * 2;
    if (bytes < FRAME_LOG_CHUNK_MIN_BYTES) bytes = FRAME_LOG_CHUNK_MIN_BYTES;
    if (bytes > FRAME_LOG_CHUNK_MAX_BYTES) bytes = FRAME_LOG_CHUNK_MAX_BYTES;
    bytes -= sizeof(struct chunk);
    return frame_bytes > bytes ? frame_bytes : bytes;
}

uint8_t *frame_log_reserve(struct frame_log *log, size_t n)
{
    CHECK(n > 0 && n < UINT32_MAX / 2);
    struct chunk *tail = log->tail;
    if (tail && !log->sealed) {
        uint32_t len = atomic_load_explicit(&tail->len, memory_order_relaxed);
        if (tail->cap - len >= n) return tail->data + len;
    }
    if (log->spare && log->spare->cap < n) {
        chunk_free(log->spare);
        log->spare = NULL;
    }
    if (!log->spare) log->spare = chunk_new(log, next_chunk_bytes(log, n));
    return log->spare ? log->spare->data : NULL;
}

void frame_log_commit(struct frame_log *log, size_t n)
{
    struct chunk *tail = log->tail;
    uint32_t len = tail ? atomic_load_explicit(&tail->len, memory_order_relaxed) : 0;
    if (!tail || log->sealed || tail->cap - len < n) {
        struct chunk *ch = log->spare;
        CHECK(ch && ch->cap >= n);
        log->spare = NULL;
        log->sealed = false;
        ch->base = log->end;
        atomic_store_explicit(&ch->len, (uint32_t)n, memory_order_release);
        if (tail) {
            chunk_ref(ch); /* by its predecessor */
            atomic_store_explicit(&tail->next, ch, memory_order_release);
            chunk_unref(tail);
        }
        log->tail = ch;
        if (log->keeps) {
            if (!log->first) log->first = chunk_ref(ch);
            log->kept_bytes += chunk_bytes(ch);
        }
    } else {
        atomic_store_explicit(&tail->len, len + (uint32_t)n, memory_order_release);
    }
    log->end += n;
}

void frame_log_relax(struct frame_log *log)
{
    if (log->first) return;
    /* A cursor anywhere in the chain holds, by invariant 3, the tail too. */
    if (log->tail && atomic_load_explicit(&log->tail->refs, memory_order_acquire) > 1) return;
    if (!log->tail && !log->spare) return;
    chunk_unref(log->tail);
    chunk_free(log->spare);
    log->tail = NULL;
    log->spare = NULL;
    uint64_t bytes = log->end - log->start;
    log->last_bytes =
        bytes < FRAME_LOG_CHUNK_MAX_BYTES ? (uint32_t)bytes : FRAME_LOG_CHUNK_MAX_BYTES;
    log->start = log->end;
}

void frame_log_trim(struct frame_log *log, uint64_t offset)
{
    while (log->first && log->first != log->tail) {
        struct chunk *ch = log->first;
        struct chunk *next = chunk_next(ch);
        if (ch->base + chunk_len(ch) > offset || !next) return;
        log->first = chunk_ref(next);
        log->kept_bytes -= chunk_bytes(ch);
        chunk_unref(ch);
    }
}

void frame_log_forget(struct frame_log *log)
{
    chunk_unref(log->first);
    log->first = NULL;
    log->kept_bytes = 0;
    log->sealed = true;
    frame_log_relax(log);
    if (!log->tail) log->sealed = false;
}

uint64_t frame_log_prepend(struct frame_log *log, struct frame_log *older, uint64_t at)
{
    uint64_t delta = at - older->end;
    struct chunk *last = older->tail;
    if (!last) return delta;
    log->joint = at;
    for (struct chunk *ch = older->first; ch; ch = chunk_next(ch))
        ch->base += delta;
    struct chunk *next = log->first ? log->first : log->tail;
    if (next) {
        /* A tail that is read but not kept may begin before `at`: cursors go by offsets. */
        if (!log->first) {
            chunk_ref(next);
            log->kept_bytes += chunk_bytes(next); /* it is kept again */
        }
        atomic_store_explicit(&last->next, next, memory_order_release);
        chunk_unref(last);
    } else {
        log->tail = last;
    }
    log->first = older->first;
    log->kept_bytes += older->kept_bytes;
    chunk_free(older->spare);
    frame_log_init(older, true);
    return delta;
}

void frame_log_seek(const struct frame_log *log, struct cursor *c, uint64_t offset)
{
    struct chunk *ch = log->first;
    CHECK(!c->chunk && ch && offset >= ch->base && offset <= log->end);
    for (struct chunk *next; offset >= ch->base + chunk_len(ch) && (next = chunk_next(ch));)
        ch = next;
    c->chunk = chunk_ref(ch);
    c->offset = offset;
}

void frame_log_seek_tail(const struct frame_log *log, struct cursor *c, uint64_t offset)
{
    CHECK(!c->chunk && log->tail && offset >= log->tail->base && offset <= log->end);
    c->chunk = chunk_ref(log->tail);
    c->offset = offset;
}

size_t frame_log_bytes(const struct frame_log *log)
{
    size_t bytes = log->spare ? chunk_bytes(log->spare) : 0;
    for (const struct chunk *ch = log->first ? log->first : log->tail; ch; ch = chunk_next(ch))
        bytes += chunk_bytes(ch);
    return bytes;
}

void cursor_copy(struct cursor *to, const struct cursor *from)
{
    CHECK(!to->chunk);
    to->chunk = from->chunk ? chunk_ref(from->chunk) : NULL;
    to->offset = from->offset;
}

void cursor_rest(struct cursor *c)
{
    chunk_unref(c->chunk);
    c->chunk = NULL;
}

int cursor_span(const struct cursor *c, uint64_t limit, struct iovec *iov, int max, size_t *bytes)
{
    int n = 0;
    uint64_t at = c->offset;
    *bytes = 0;
    for (struct chunk *ch = c->chunk; ch && n < max && at < limit;) {
        struct chunk *next = chunk_next(ch); /* before len: invariant 1 */
        uint64_t end = ch->base + chunk_len(ch);
        uint64_t stop = end < limit ? end : limit;
        if (at < stop) {
            iov[n++] = (struct iovec){ch->data + (at - ch->base), (size_t)(stop - at)};
            *bytes += (size_t)(stop - at);
            at = stop;
        }
        ch = at == end ? next : NULL;
    }
    return n;
}

void cursor_advance(struct cursor *c, uint64_t n)
{
    c->offset += n;
    while (c->chunk) {
        struct chunk *next = chunk_next(c->chunk);
        uint64_t end = c->chunk->base + chunk_len(c->chunk);
        if (c->offset < end || !next) {
            CHECK(c->offset <= end);
            return;
        }
        chunk_ref(next);
        chunk_unref(c->chunk);
        c->chunk = next;
    }
    CHECK(n == 0);
}

uint64_t cursor_frames(const struct cursor *c, uint64_t to)
{
    uint64_t frames = 0;
    uint64_t from = c->offset; /* a chunk behind a prepended past may begin before its end */
    for (struct chunk *ch = c->chunk; ch; ch = chunk_next(ch)) {
        uint64_t end = ch->base + chunk_len(ch);
        if (end > to) end = to;
        for (uint64_t at = ch->base; at < end;) {
            at += ws_frame_size(ch->data + (at - ch->base));
            if (at > from && at <= to) frames++;
        }
        if (end == to) break;
        if (end > from) from = end;
    }
    return frames;
}

struct slice cursor_frame_rest(const struct cursor *c)
{
    const struct chunk *ch = c->chunk;
    if (!ch) return (struct slice){NULL, 0};
    uint64_t at = ch->base;
    while (at < c->offset)
        at += ws_frame_size(ch->data + (at - ch->base));
    return (struct slice){(const char *)ch->data + (c->offset - ch->base),
                          (size_t)(at - c->offset)};
}
