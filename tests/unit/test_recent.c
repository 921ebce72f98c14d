/* The log that keeps its past, and the index into it: one random step after the other against a
 * plain list of all events, with cursors that read on at their own pace whatever is trimmed,
 * forgotten or put in front meanwhile; and every allocation failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/recent.h"
#include "fail_alloc.h"
#include "proto/ws_frame.h"

enum { EVENTS_MAX = 4000, FRAME_MAX = 80000, CURSORS = 8, SEEDS = 20, STEPS = 3000 };

/* An event of the room; one that is not in this log has no frame. */
struct event {
    bool here;
    bool message;
    int64_t ts_ms;
};

/* Somebody who reads: what comes next for them is byte `at` of the frame of event `seq`. */
struct place {
    struct cursor cursor;
    uint64_t seq; /* 0: not in use */
    size_t at;
};

struct sim {
    uint64_t random;
    struct frame_log log;
    struct recent recent;
    struct recent_limits limits;
    struct event events[EVENTS_MAX + 1]; /* by seq, from 1 */
    uint64_t head;
    uint64_t from_seq; /* what recent.from_seq has to be */
    int64_t now_ms;
    struct place places[CURSORS];
    uint64_t prepended, expired, forgotten, read;
};

static uint64_t rnd(struct sim *s, uint64_t below)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % below;
}

static size_t payload_size(uint64_t seq)
{
    if (seq % 61 == 0) return 66000 + (size_t)seq; /* a chunk of its own */
    return (size_t)(seq * 2654435761U % 700) * (seq % 7 ? 1 : 10);
}

static size_t frame_size(uint64_t seq)
{
    return ws_frame_head_size(payload_size(seq)) + payload_size(seq);
}

/* The frame of an event: its bytes follow from its seq. */
static size_t frame_of(uint64_t seq, uint8_t out[static FRAME_MAX])
{
    size_t payload = payload_size(seq);
    size_t head = ws_frame_head(out, WS_TEXT, false, payload);
    memset(out + head, (int)(seq & 0xff), payload);
    if (payload > sizeof seq) memcpy(out + head, &seq, sizeof seq);
    return head + payload;
}

static int append_frame(struct frame_log *log, uint64_t seq)
{
    static uint8_t frame[FRAME_MAX];
    size_t n = frame_of(seq, frame);
    uint8_t *at = frame_log_reserve(log, n);
    if (!at) return ERR_NOMEM;
    memcpy(at, frame, n);
    frame_log_commit(log, n);
    return 0;
}

/* The events of the log with from < seq <= to. */
static uint32_t count_here(const struct sim *s, uint64_t from, uint64_t to)
{
    uint32_t n = 0;
    for (uint64_t seq = from + 1; seq <= to; seq++)
        n += s->events[seq].here;
    return n;
}

static uint64_t bytes_here(const struct sim *s, uint64_t from, uint64_t to)
{
    uint64_t n = 0;
    for (uint64_t seq = from + 1; seq <= to; seq++)
        if (s->events[seq].here) n += frame_size(seq);
    return n;
}

static uint64_t next_here(const struct sim *s, uint64_t seq)
{
    do
        seq++;
    while (seq <= s->head && !s->events[seq].here);
    return seq;
}

/* ---- what must hold after every step ---- */

static void check_index(const struct sim *s)
{
    const struct recent *r = &s->recent;
    assert_int_equal(r->from_seq, s->from_seq);
    assert_int_equal(r->count, count_here(s, s->from_seq, s->head));
    uint64_t seq = s->from_seq;
    uint64_t offset = s->log.end - bytes_here(s, s->from_seq, s->head);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct recent_entry *e = &r->entries[r->start + i];
        seq = next_here(s, seq);
        assert_int_equal(e->seq, seq);
        assert_int_equal(e->message, s->events[seq].message);
        assert_int_equal(e->ts_ms, s->events[seq].ts_ms);
        assert_int_equal(e->offset, offset);
        offset += frame_size(seq);
    }
    /* What is kept holds the entries, and not much more. */
    uint64_t bytes = bytes_here(s, s->from_seq, s->head);
    if (r->count) assert_true(s->log.kept_bytes > bytes);
    assert_true(s->log.kept_bytes < bytes * 3 + 4 * FRAME_LOG_CHUNK_MAX_BYTES + 2 * FRAME_MAX);
}

static void check_questions(struct sim *s)
{
    const struct recent *r = &s->recent;
    uint64_t seq = s->from_seq + rnd(s, s->head - s->from_seq + 2);
    assert_int_equal(recent_after(r, seq), seq < s->head ? count_here(s, seq, s->head) : 0);
    unsigned want = (unsigned)rnd(s, 12);
    unsigned left = want;
    seq = s->head + 1;
    while (left > 0 && seq > s->from_seq + 1) {
        seq--;
        left -= s->events[seq].here && s->events[seq].message;
    }
    bool complete;
    uint32_t newest = recent_newest(r, want, &complete);
    assert_int_equal(complete, left == 0);
    assert_int_equal(newest, want == 0   ? 0
                             : left == 0 ? count_here(s, seq - 1, s->head)
                                         : r->count);
}

/* Reads up to max bytes at the place, which must be the bytes that come next there. */
static void read_place(struct sim *s, struct place *p, size_t max)
{
    static uint8_t frame[FRAME_MAX];
    while (max > 0 && p->seq <= s->head) {
        size_t size = frame_of(p->seq, frame);
        struct iovec iov[3];
        size_t bytes;
        size_t part = size - p->at < max ? size - p->at : max;
        int n = cursor_span(&p->cursor, p->cursor.offset + part, iov, 3, &bytes);
        assert_true(n > 0 && bytes > 0 && bytes <= part);
        assert_memory_equal(iov[0].iov_base, frame + p->at, iov[0].iov_len);
        bool whole = p->at + bytes == size;
        assert_int_equal(cursor_frames(&p->cursor, p->cursor.offset + bytes), whole);
        cursor_advance(&p->cursor, bytes);
        p->at = whole ? 0 : p->at + bytes;
        const struct slice rest = cursor_frame_rest(&p->cursor);
        assert_int_equal(rest.len, whole ? 0 : size - p->at);
        if (!whole) assert_memory_equal(rest.ptr, frame + p->at, rest.len);
        if (whole) p->seq = next_here(s, p->seq);
        max -= bytes;
        s->read += bytes;
    }
}

/* ---- steps ---- */

static void maybe_fail(struct sim *s)
{
    if (rnd(s, 8) == 0) fail_alloc_after((long)rnd(s, 2));
}

/* What retention and the limits take away. */
static void trim_model(struct sim *s)
{
    while (count_here(s, s->from_seq, s->head) > s->limits.max_events ||
           (count_here(s, s->from_seq, s->head) > 1 &&
            bytes_here(s, s->from_seq, s->head) > s->limits.max_bytes))
        s->from_seq = next_here(s, s->from_seq);
}

static void append(struct sim *s)
{
    if (s->head == EVENTS_MAX) return;
    uint64_t seq = s->head + 1;
    s->now_ms += (int64_t)rnd(s, 100);
    s->events[seq] = (struct event){rnd(s, 10) > 0, rnd(s, 4) > 0, s->now_ms};
    if (s->events[seq].here) {
        uint64_t end = s->log.end;
        maybe_fail(s);
        int err = recent_reserve(&s->recent);
        if (!err) err = append_frame(&s->log, seq);
        fail_alloc_off();
        if (err) {
            assert_int_equal(s->log.end, end);
            return;
        }
        const struct recent_entry e = {seq & INT64_MAX, s->events[seq].message, s->now_ms, end};
        recent_note(&s->recent, &s->log, &e, &s->limits);
    }
    s->head = seq;
    if (s->events[seq].here) trim_model(s);
}

static void expire(struct sim *s)
{
    uint64_t before = s->from_seq;
    int64_t age_ms = (int64_t)s->limits.max_age_ms;
    recent_expire(&s->recent, &s->log, s->now_ms, &s->limits);
    while (age_ms && next_here(s, s->from_seq) <= s->head &&
           s->now_ms - s->events[next_here(s, s->from_seq)].ts_ms > age_ms)
        s->from_seq = next_here(s, s->from_seq);
    s->expired += s->from_seq > before;
}

static void forget(struct sim *s)
{
    recent_forget(&s->recent, &s->log, s->head);
    s->from_seq = s->head;
    assert_int_equal(recent_bytes(&s->recent, &s->log), 0);
    assert_null(s->log.first);
    s->forgotten++;
}

/* A page of older events comes from the store. */
static void prepend(struct sim *s)
{
    if (s->from_seq == 0 || s->recent.count > 1000) return;
    uint64_t from = s->from_seq - 1 - rnd(s, s->from_seq < 60 ? s->from_seq : 60);
    struct recent_past past = {.from_seq = from};
    frame_log_init(&past.older, true);
    past.entries = calloc(64, sizeof *past.entries);
    assert_non_null(past.entries);
    for (uint64_t seq = from + 1; seq <= s->from_seq; seq++) {
        const struct event *e = &s->events[seq];
        if (!e->here) continue;
        past.entries[past.count++] =
            (struct recent_entry){seq & INT64_MAX, e->message, e->ts_ms, past.older.end};
        assert_int_equal(append_frame(&past.older, seq), 0);
    }
    uint64_t kept = s->log.kept_bytes;
    if (past.count) {
        maybe_fail(s);
        int err = recent_prepend(&s->recent, &s->log, &past);
        fail_alloc_off();
        if (err) assert_int_equal(s->log.kept_bytes, kept);
        if (!err) s->from_seq = from;
        s->prepended += !err;
    }
    frame_log_forget(&past.older);
    assert_null(past.older.tail);
    free(past.entries);
}

static void use_place(struct sim *s, struct place *p)
{
    if (p->seq == 0) {
        if (s->recent.count > 0 && rnd(s, 3) > 0) {
            uint32_t count = 1 + (uint32_t)rnd(s, s->recent.count);
            recent_seek(&s->recent, &s->log, count, &p->cursor);
            p->seq = s->recent.entries[s->recent.start + s->recent.count - count].seq;
        } else if (s->log.tail) {
            frame_log_seek_tail(&s->log, &p->cursor, s->log.end);
            p->seq = s->head + 1;
        }
        p->at = 0;
    } else if (rnd(s, 12) == 0) {
        cursor_rest(&p->cursor);
        p->seq = 0;
    } else {
        read_place(s, p, (size_t)rnd(s, rnd(s, 3) ? 900 : 40000));
    }
}

static void step(struct sim *s)
{
    switch (rnd(s, 40)) {
    case 0:
        expire(s);
        break;
    case 1:
        if (rnd(s, 3) == 0) forget(s);
        break;
    case 2:
    case 3:
        prepend(s);
        break;
    case 4:
        frame_log_relax(&s->log);
        break;
    default:
        if (rnd(s, 2))
            append(s);
        else
            use_place(s, &s->places[rnd(s, CURSORS)]);
    }
    /* A place that waits for the next event does not know which it will be. */
    for (int i = 0; i < CURSORS; i++) {
        struct place *p = &s->places[i];
        while (p->seq && p->seq <= s->head && !s->events[p->seq].here)
            p->seq = next_here(s, p->seq);
    }
    check_index(s);
    check_questions(s);
}

static void simulate(struct sim *s, uint64_t seed)
{
    static const uint32_t max_events[] = {0, 1, 7, 50, RECENT_MAX};
    static const uint32_t max_bytes[] = {1, 3000, 100000, RECENT_MAX_BYTES};
    long live = fail_alloc_live();
    *s = (struct sim){.random = seed * 0x9e3779b97f4a7c15U + 1, .now_ms = 1};
    s->limits =
        (struct recent_limits){max_events[rnd(s, 5)], max_bytes[rnd(s, 4)], rnd(s, 2) ? 3000 : 0};
    frame_log_init(&s->log, true);
    for (int i = 0; i < STEPS; i++)
        step(s);
    for (int i = 0; i < CURSORS; i++) {
        if (s->places[i].seq) read_place(s, &s->places[i], SIZE_MAX);
        cursor_rest(&s->places[i].cursor);
    }
    recent_forget(&s->recent, &s->log, s->head);
    assert_null(s->log.tail); /* nobody reads, nothing is kept */
    recent_fini(&s->recent);
    assert_int_equal(fail_alloc_live(), live);
}

static void test_simulation(void **state)
{
    (void)state;
    static struct sim sim; /* too large for a small stack */
    uint64_t prepended = 0;
    uint64_t expired = 0;
    uint64_t forgotten = 0;
    uint64_t read = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        simulate(&sim, seed);
        prepended += sim.prepended;
        expired += sim.expired;
        forgotten += sim.forgotten;
        read += sim.read;
    }
    print_message("prepended %llu, expired %llu, forgotten %llu, read %llu bytes\n",
                  (unsigned long long)prepended, (unsigned long long)expired,
                  (unsigned long long)forgotten, (unsigned long long)read);
    assert_true(prepended > 500 && expired > 50 && forgotten > 200 && read > 1 << 20);
}

/* A tail that was forgotten while somebody read it is kept again by a past put in front of it, and
 * weighs what it weighs. */
static void test_past_in_front_of_forgotten(void **state)
{
    (void)state;
    struct frame_log log;
    struct frame_log older;
    struct cursor reader = {NULL, 0};
    frame_log_init(&log, true);
    assert_int_equal(append_frame(&log, 1), 0);
    size_t one_chunk = log.kept_bytes;
    frame_log_seek_tail(&log, &reader, log.end);
    frame_log_forget(&log);
    assert_int_equal(log.kept_bytes, 0);
    frame_log_init(&older, true);
    assert_int_equal(append_frame(&older, 1), 0);
    frame_log_prepend(&log, &older, log.end);
    assert_int_equal(log.kept_bytes, 2 * one_chunk);
    assert_int_equal(append_frame(&log, 2), 0);
    assert_int_equal(append_frame(&log, 61), 0); /* a chunk of its own */
    frame_log_trim(&log, log.end - 1);
    assert_true(log.kept_bytes > 66000 && log.kept_bytes < 67000);
    cursor_rest(&reader);
    frame_log_forget(&log);
    assert_null(log.tail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulation),
        cmocka_unit_test(test_past_in_front_of_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
