/* Room log, readers and cursors under a seeded simulation: several workers, many members, sockets
 * that stall or take half a frame at random, joins and leaves at any moment, memory that runs out.
 * One model (the list of all published messages) says what every member must have received. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/hub.h"
#include "chat/room.h"
#include "fail_alloc.h"
#include "proto/ws_deflate.h"
#include "proto/ws_frame.h"

enum {
    WORKERS = 3,
    ROOMS = 2,
    SOCKETS = 60,
    STEPS = 6000,
    PAYLOAD_MAX = 3000,
    LAG_MAX = 20000,
};

/* A fake connection: what it received so far, and whether its socket takes bytes. */
struct sock {
    struct member member;
    struct buf got;
    bool joined;
    bool stalled;
    int room;
    unsigned worker;
    bool full;
    uint64_t next;     /* number of the next message it has to receive */
    uint64_t received; /* messages checked */
    bool lagged;
};

struct sim {
    uint64_t random;
    struct hub *hub;
    struct scribe scribe;
    struct slink *dirty[WORKERS];
    struct delivery delivery;
    struct sock socks[SOCKETS];
    uint64_t published[ROOMS]; /* number of the last message */
    uint64_t frames;           /* complete frames the sockets took */
    uint64_t lags;
};

static struct sim *sim; /* the callbacks have no argument for it */

static uint64_t rnd(uint64_t below)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return sim->random % below;
}

static struct sock *sock_of(struct member *m)
{
    return container_of(m, struct sock, member);
}

static ssize_t fake_send(struct member *m, const struct iovec *iov, int n, size_t bytes)
{
    struct sock *s = sock_of(m);
    assert_true(bytes > 0);
    if (rnd(400) == 0) {
        hub_leave(m);
        s->joined = false;
        return -1;
    }
    size_t room = s->stalled ? 0 : bytes;
    if (!s->stalled && rnd(6) == 0) {
        room = rnd(bytes + 1);
        s->stalled = room < bytes;
    }
    size_t left = room;
    for (int i = 0; i < n && left > 0; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        assert_int_equal(buf_append(&s->got, iov[i].iov_base, part, SIZE_MAX), 0);
        left -= part;
    }
    return (ssize_t)room;
}

static void fake_lag(struct member *m, uint64_t lag)
{
    struct sock *s = sock_of(m);
    assert_true(lag > LAG_MAX);
    hub_leave(m);
    s->joined = false;
    s->lagged = true;
    sim->lags++;
}

/* The text of message k of a room; its length depends on k. */
static size_t make_text(int room, uint64_t k, char *out)
{
    int n = snprintf(out, 64, "r%d-%llu-", room, (unsigned long long)k);
    size_t fill = (size_t)((k * 2654435761U) % PAYLOAD_MAX);
    if (k % 3) fill %= 60;
    memset(out + n, 'a' + (int)(k % 26), fill);
    return (size_t)n + fill;
}

/* Takes whole frames off what the socket got, and compares them with the model. */
static void check_sock(struct sock *s)
{
    static char text[PAYLOAD_MAX + 64];
    static char want[PAYLOAD_MAX + 256];
    size_t at = 0;
    while (s->got.len - at >= WS_HEAD_MAX) {
        uint64_t size = ws_frame_size(s->got.data + at);
        if (size > s->got.len - at) break;
        size_t text_len = make_text(s->room, s->next, text);
        int n = snprintf(want, sizeof want, "{\"message\":\"%.*s\",\"username\":\"u\"",
                         (int)text_len, text);
        const char *payload = (const char *)s->got.data + at;
        if (s->full) {
            char seq[48];
            int seq_len = snprintf(seq, sizeof seq, "\"seq\":%llu,", (unsigned long long)s->next);
            assert_non_null(memmem(payload, size, seq, (size_t)seq_len));
            assert_non_null(memmem(payload, size, text, text_len));
        } else {
            assert_non_null(memmem(payload, size, want, (size_t)n));
        }
        s->next++;
        s->received++;
        at += size;
    }
    buf_drop(&s->got, at);
}

static void push_woken(struct slink *woken)
{
    while (woken) {
        struct slink *next = woken->next;
        struct reader *r = container_of(woken, struct reader, dirty_link);
        woken->next = sim->dirty[r->worker];
        sim->dirty[r->worker] = woken;
        woken = next;
    }
}

static void run_worker(unsigned worker)
{
    struct slink *link = sim->dirty[worker];
    sim->dirty[worker] = NULL;
    while (link) {
        struct slink *next = link->next;
        struct reader *r = container_of(link, struct reader, dirty_link);
        bool more = reader_flush(r, &sim->delivery);
        if (!r->detached) reader_check(r);
        if ((more && !r->detached) || !room_settle(r)) {
            link->next = sim->dirty[worker];
            sim->dirty[worker] = link;
        }
        link = next;
    }
}

static void join(struct sock *s)
{
    char name[16];
    buf_fini(&s->got);
    memset(s, 0, sizeof *s);
    s->room = (int)rnd(ROOMS);
    s->worker = (unsigned)rnd(WORKERS);
    s->full = rnd(2);
    int n = snprintf(name, sizeof name, "room%d", s->room);
    struct slice slice = {name, (size_t)n};
    enum encoding e = s->full ? ENCODING_FULL : ENCODING_BARE;
    if (hub_join(sim->hub, slice, s->worker, e, &s->member) != 0) return;
    s->joined = true;
    struct room *room = s->member.reader->room;
    if (room->seq == 0) sim->published[s->room] = 0; /* a new life of the room */
    s->next = sim->published[s->room] + 1;
}

static void publish(struct sock *s)
{
    static char text[PAYLOAD_MAX + 64];
    uint64_t k = sim->published[s->room] + 1;
    const struct post post = {
        .username = SLICE_LIT("u"),
        .message = {text, make_text(s->room, k, text)},
        .ts_ms = 1,
    };
    struct slink *woken;
    if (room_publish(s->member.reader->room, &sim->scribe, &post, &woken) != 0) {
        assert_null(woken);
        return;
    }
    sim->published[s->room] = k;
    push_woken(woken);
}

/* A frame of the connection's own: it has to be able to start at once, on a frame boundary. */
static void private_frame(struct sock *s)
{
    reader_block(&s->member);
    s->stalled = true;
    assert_int_equal(reader_take_frame_rest(&s->member, &s->got, SIZE_MAX), 0);
    check_sock(s);
    assert_int_equal(s->got.len, 0);
}

static void step(void)
{
    struct sock *s = &sim->socks[rnd(SOCKETS)];
    switch (rnd(12)) {
    case 0:
        if (!s->joined) join(s);
        break;
    case 1:
        if (s->joined && rnd(8) == 0) {
            hub_leave(&s->member);
            s->joined = false;
        }
        break;
    case 2:
    case 3:
        s->stalled = false;
        if (s->joined && s->member.blocked) reader_resume(&s->member, &sim->delivery);
        break;
    case 4:
        if (s->joined && rnd(4) == 0) private_frame(s);
        break;
    case 5:
    case 6:
    case 7:
        run_worker((unsigned)rnd(WORKERS));
        break;
    default:
        if (s->joined) publish(s);
    }
    if (s->joined) check_sock(s);
}

/* Everybody's socket opens; whoever stayed must have everything up to the last message. */
static void finish(void)
{
    for (int round = 0; round < 200; round++) {
        for (unsigned w = 0; w < WORKERS; w++)
            run_worker(w);
        for (int i = 0; i < SOCKETS; i++) {
            struct sock *s = &sim->socks[i];
            s->stalled = false;
            if (s->joined && s->member.blocked) reader_resume(&s->member, &sim->delivery);
            if (s->joined) check_sock(s);
        }
    }
    for (int i = 0; i < SOCKETS; i++) {
        struct sock *s = &sim->socks[i];
        if (!s->joined) continue;
        assert_int_equal(s->next, sim->published[s->room] + 1);
        assert_int_equal(s->got.len, 0);
        assert_null(s->member.cursor.chunk);
        const struct reader *r = s->member.reader;
        assert_null(r->room->logs[r->encoding].log.tail);
        hub_leave(&s->member);
    }
    for (unsigned w = 0; w < WORKERS; w++)
        run_worker(w);
    for (int i = 0; i < SOCKETS; i++)
        buf_fini(&sim->socks[i].got);
    assert_int_equal(hub_room_count(sim->hub), 0);
}

static void simulate(uint64_t seed)
{
    struct sim state = {.random = seed * 0x9e3779b97f4a7c15U + 1};
    sim = &state;
    long live = fail_alloc_live();
    sim->hub = hub_new(seed);
    assert_non_null(sim->hub);
    sim->delivery =
        (struct delivery){.send = fake_send, .on_lag = fake_lag, .lag_max_bytes = LAG_MAX};
    for (int i = 0; i < STEPS; i++)
        step();
    uint64_t received = 0;
    for (int i = 0; i < SOCKETS; i++)
        received += sim->socks[i].received;
    assert_true(received > 100);
    finish();
    assert_true(sim->delivery.frames > 100);
    hub_free(sim->hub);
    scribe_fini(&sim->scribe);
    assert_int_equal(fail_alloc_live(), live);
}

static void test_simulation(void **state)
{
    (void)state;
    uint64_t lags = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        simulate(seed);
        lags += sim->lags;
    }
    assert_true(lags > 0);
}

/* Where fake_send appends, an allocation of the test itself may fail; so only publishing and
 * joining run out of memory here, which the steps below do alone. */
static void test_publish_out_of_memory(void **state)
{
    (void)state;
    struct sim local = {.random = 7};
    sim = &local;
    long live = fail_alloc_live();
    sim->hub = hub_new(1);
    sim->scribe.deflater = ws_deflater_new(6);
    struct sock *plain = &sim->socks[0];
    struct sock *full = &sim->socks[1];
    struct sock *deflated = &sim->socks[2];
    struct slice name = SLICE_LIT("r");
    for (long n = 0;; n++) {
        fail_alloc_after(n);
        int err = hub_join(sim->hub, name, 0, ENCODING_BARE, &plain->member);
        fail_alloc_off();
        if (!err) break;
        assert_int_equal(err, ERR_NOMEM);
        assert_null(plain->member.reader);
        assert_int_equal(hub_room_count(sim->hub), 0);
    }
    assert_int_equal(hub_join(sim->hub, name, 1, ENCODING_FULL, &full->member), 0);
    assert_int_equal(hub_join(sim->hub, name, 2, ENCODING_BARE_DEFLATE, &deflated->member), 0);
    struct room *room = plain->member.reader->room;
    static char text[1000];
    memset(text, 'x', sizeof text);
    const struct post post = {SLICE_LIT("u"), {text, sizeof text}, {NULL, 0}, 1};
    struct slink *woken;
    for (long n = 0;; n++) {
        uint64_t ends[] = {room->logs[0].log.end, room->logs[1].log.end, room->logs[2].log.end};
        fail_alloc_after(n);
        int err = room_publish(room, &sim->scribe, &post, &woken);
        fail_alloc_off();
        if (!err) break;
        assert_true(n < 50);
        assert_int_equal(room->seq, 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(room->logs[i].log.end, ends[i]);
    }
    assert_int_equal(room->seq, 1);
    /* The deflated frame is smaller than the plain one, and all three logs have exactly one. */
    assert_true(room->logs[ENCODING_BARE_DEFLATE].log.end < room->logs[ENCODING_BARE].log.end / 2);
    assert_true(room->logs[ENCODING_FULL].log.end > room->logs[ENCODING_BARE].log.end);
    assert_int_equal(room->logs[ENCODING_FULL_DEFLATE].log.end, 0);
    push_woken(woken);
    hub_leave(&plain->member);
    hub_leave(&full->member);
    hub_leave(&deflated->member);
    for (unsigned w = 0; w < WORKERS; w++)
        run_worker(w);
    hub_free(sim->hub);
    scribe_fini(&sim->scribe);
    assert_int_equal(fail_alloc_live(), live);
}

/* An idle room owns no chunk, and a room nobody is in does not exist. */
static void test_idle_owns_nothing(void **state)
{
    (void)state;
    struct sim local = {.random = 3};
    sim = &local;
    sim->hub = hub_new(9);
    sim->delivery = (struct delivery){.send = fake_send, .on_lag = fake_lag};
    struct sock *s = &sim->socks[0];
    assert_int_equal(hub_join(sim->hub, SLICE_LIT("room0"), 0, ENCODING_BARE, &s->member), 0);
    s->joined = true;
    s->next = 1;
    struct room *room = s->member.reader->room;
    publish(s);
    assert_non_null(room->logs[ENCODING_BARE].log.tail);
    for (int i = 0; i < 20 && s->joined; i++) {
        run_worker(0);
        s->stalled = false;
        reader_resume(&s->member, &sim->delivery);
    }
    assert_true(s->joined);
    check_sock(s);
    assert_int_equal(s->received, 1);
    assert_null(room->logs[ENCODING_BARE].log.tail);
    hub_leave(&s->member);
    assert_int_equal(hub_room_count(sim->hub), 0);
    buf_fini(&s->got);
    hub_free(sim->hub);
    scribe_fini(&sim->scribe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulation),
        cmocka_unit_test(test_publish_out_of_memory),
        cmocka_unit_test(test_idle_owns_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
