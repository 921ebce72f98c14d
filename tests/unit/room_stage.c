/* See room_stage.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/room_state.h"
#include "fail_alloc.h"
#include "journal/local.h"
#include "proto/ws_frame.h"
#include "room_stage.h"

struct stage *stage;

const struct hub_options plenty = {
    .seed = 7,
    .memory_budget_bytes = 1 << 30,
    .recent = {RECENT_MAX, RECENT_MAX_BYTES, 0},
};

static ssize_t on_send(struct member *m, const struct iovec *iov, int n, size_t bytes)
{
    struct guest *g = container_of(m, struct guest, member);
    size_t left = bytes < g->takes ? bytes : g->takes;
    size_t took = left;
    g->takes -= took;
    for (int i = 0; i < n && left > 0; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        assert_int_equal(buf_append(&g->bytes, iov[i].iov_base, part, SIZE_MAX), 0);
        left -= part;
    }
    return (ssize_t)took;
}

void leave(struct guest *g)
{
    room_leave(&g->member, SLICE_LIT("guest"), 0);
}

static void on_lag(struct member *m, uint64_t lag_bytes)
{
    assert_int_equal(lag_bytes, 0);
    stage->lags++;
    leave(container_of(m, struct guest, member));
}

static void on_wake(struct join *j)
{
    container_of(j, struct guest, join)->woken = true;
}

static void open_hub(const struct hub_options *options)
{
    stage->hub = hub_new(options);
    assert_non_null(stage->hub);
    hub_set_store(stage->hub, stage->gate.store, stage->journal);
}

static int64_t fixed_wall(void)
{
    return WALL_MS;
}

void begin_as(const struct hub_options *options, const struct store_keep *keep, bool strict)
{
    long live = fail_alloc_live();
    struct store_options store = {.now_ms = fixed_wall};
    if (keep) store.keep = *keep;
    stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage->live = live;
    stage->delivery = (struct delivery){.send = on_send, .on_lag = on_lag};
    gate_open(&stage->gate, store, NULL, NULL, NULL);
    stage->journal = journal_local_new(stage->gate.store, strict, 1);
    assert_non_null(stage->journal);
    open_hub(options);
}

void begin(const struct hub_options *options, const struct store_keep *keep)
{
    begin_as(options, keep, false);
}

void push_woken(struct slink *woken)
{
    while (woken) {
        struct slink *next = woken->next;
        struct feed *r = container_of(woken, struct feed, dirty_link);
        woken->next = stage->dirty[r->worker];
        stage->dirty[r->worker] = woken;
        woken = next;
    }
}

void flush(unsigned worker)
{
    while (stage->dirty[worker]) {
        struct slink *link = stage->dirty[worker];
        struct feed *r = container_of(link, struct feed, dirty_link);
        stage->dirty[worker] = link->next;
        while (feed_flush(r, &stage->delivery) || !room_settle(r))
            ;
    }
}

void flush_all(void)
{
    for (unsigned w = 0; w < WORKERS; w++)
        flush(w);
}

static void tell_read(const struct store_done *d)
{
    const struct store_mark mark = {d->event->seq, d->event->username};
    struct room *room = d->err ? NULL : hub_find(stage->hub, d->room);
    if (!room) return;
    room_on_read(room, &mark);
    room_unref(room);
}

void settle_store(void)
{
    do {
        const struct store_done *d;
        while ((d = gate_next_done(&stage->gate))) {
            struct slink *woken;
            struct slink *waiters;
            if (d->mark) {
                tell_read(d);
                continue;
            }
            if (!d->err && !stage->journal->late && !d->event->nonce.len) continue;
            struct room *room = hub_find(stage->hub, d->room);
            if (!room) continue;
            room_deliver(room, &stage->encoder, d, &woken, &waiters);
            assert_null(waiters);
            push_woken(woken);
            room_unref(room);
        }
    } while (gate_turn_writer(&stage->gate));
}

void end(void)
{
    for (int i = 0; i < GUESTS; i++)
        leave(&stage->guests[i]);
    flush_all();
    settle_store();
    while (gate_answer(&stage->gate))
        ;
    assert_int_equal(hub_room_count(stage->hub), 0);
    hub_check(stage->hub, true);
    gate_close(&stage->gate);
    hub_free(stage->hub);
    journal_free(stage->journal);
    encoder_fini(&stage->encoder);
    for (int i = 0; i < GUESTS; i++)
        buf_fini(&stage->guests[i].bytes);
    long live = stage->live;
    free(stage);
    assert_int_equal(fail_alloc_live(), live);
}

void restart(const struct hub_options *options)
{
    for (int i = 0; i < GUESTS; i++)
        leave(&stage->guests[i]);
    flush_all();
    settle_store();
    hub_free(stage->hub);
    open_hub(options);
}

int ask_to_enter(struct guest *g, struct slice name)
{
    g->join.wake = on_wake;
    g->woken = false;
    g->takes = SIZE_MAX;
    int err = hub_enter(stage->hub, name, &g->join);
    g->entered = true;
    if (err) gate_mark(&stage->gate);
    return err;
}

void enter(struct guest *g, struct slice name)
{
    int err = ask_to_enter(g, name);
    if (!err) return;
    assert_int_equal(err, ERR_AGAIN);
    while (gate_answer(&stage->gate))
        ;
    if (!g->woken) settle_store(); /* it waits for what is not decided yet */
    while (gate_answer(&stage->gate))
        ;
    assert_true(g->woken);
    assert_int_equal(g->join.err, 0);
}

int try_join(struct guest *g)
{
    g->join.username = SLICE_LIT("guest");
    g->join.wall_ms = WALL_MS;
    g->woken = false;
    int err = room_join(&g->join, &g->member);
    if (err == ERR_AGAIN) {
        gate_mark(&stage->gate);
        return err;
    }
    room_unref(g->join.room);
    g->entered = false;
    if (!err && !g->join.from_store) feed_resume(&g->member, &stage->delivery);
    return err;
}

struct guest *guest_in(int i, struct slice name, enum encoding encoding)
{
    struct guest *g = &stage->guests[i];
    g->join = (struct join){.encoding = encoding, .worker = (unsigned)i % WORKERS};
    enter(g, name);
    return g;
}

struct guest *join_live(int i, struct slice name, enum encoding encoding)
{
    struct guest *g = guest_in(i, name, encoding);
    assert_int_equal(try_join(g), 0);
    return g;
}

struct guest *coming_back(int i, struct slice name, enum encoding encoding, uint64_t seq)
{
    struct guest *g = guest_in(i, name, encoding);
    g->join.resume = true;
    g->join.since.seq = seq;
    memcpy(g->join.since.epoch, g->join.room->epoch, EVENT_EPOCH_LEN);
    return g;
}

int publish(struct guest *g, const struct store_event *e)
{
    struct slink *woken;
    struct submission p = {.event = *e};
    p.event.username = SLICE_LIT("guest");
    p.event.ts_ms = WALL_MS;
    int err = room_submit(g->member.feed->room, &stage->encoder, &p, &woken);
    if (err) return err;
    gate_appended(&stage->gate);
    push_woken(woken);
    return 0;
}

void say(struct guest *g, const char *text)
{
    const struct store_event e = {.message = {text, strlen(text)}};
    assert_int_equal(publish(g, &e), 0);
}

void edit(struct guest *g, uint64_t target, const char *text)
{
    const struct store_event e = {
        .kind = STORE_EDIT, .target = target, .message = {text, strlen(text)}};
    assert_int_equal(publish(g, &e), 0);
}

const char *heard(struct guest *g)
{
    size_t at = 0;
    size_t len = 0;
    while (at < g->bytes.len) {
        static const char key[] = "\"message\":\"";
        uint64_t size = ws_frame_size(g->bytes.data + at);
        assert_true(size <= g->bytes.len - at);
        const char *text = memmem(g->bytes.data + at, size, key, sizeof key - 1);
        assert_non_null(text);
        text += sizeof key - 1;
        size_t n = strcspn(text, "\"");
        assert_true(len + n + 2 <= sizeof g->text);
        if (len) g->text[len++] = ' ';
        memcpy(g->text + len, text, n);
        len += n;
        at += size;
    }
    g->text[len] = '\0';
    g->bytes.len = 0;
    return g->text;
}

unsigned join_at_last(struct guest *g)
{
    unsigned asked = 0;
    while (try_join(g) == ERR_AGAIN) {
        asked++;
        settle_store();
        while (gate_answer(&stage->gate))
            ;
        assert_true(g->woken);
        assert_int_equal(g->join.err, 0);
    }
    assert_non_null(g->member.feed);
    return asked;
}

const struct slice lobby = {"lobby", 5};
