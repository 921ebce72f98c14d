/* The hub under real threads, for ThreadSanitizer as much as for its own checks: every thread is a
 * worker with a mailbox, all publish into the same rooms, and every member must see every message
 * of its room from its join on, without a hole and in the same order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/hub.h"
#include "chat/room.h"
#include "fail_alloc.h"
#include "net/mailbox.h"
#include "proto/ws_frame.h"

enum { THREADS = 4, ROOMS = 3, MEMBERS = 12, MESSAGES = 3000, VISITS = 200 };

struct sock {
    struct member member;
    uint64_t next_seq; /* 0: none seen yet */
    unsigned take;     /* counts sends; some are refused */
    char part[512];    /* an incomplete frame */
    size_t part_len;
};

struct work {
    pthread_t thread;
    unsigned index;
    struct mailbox mailbox;
    struct slink *dirty;
    struct scribe scribe;
    struct delivery delivery;
    struct sock socks[MEMBERS];
    uint64_t errors;
};

static struct work works[THREADS];
static struct hub *hub;
static atomic_uint published; /* threads that have said everything */
static atomic_uint complete;  /* threads whose members have everything */
static atomic_ullong said[ROOMS];

static void check_frame(struct work *w, struct sock *s, const char *frame, size_t size)
{
    const char *seq = memmem(frame, size, "\"seq\":", 6);
    uint64_t n = seq ? strtoull(seq + 6, NULL, 10) : 0;
    if (n == 0 || (s->next_seq && n != s->next_seq)) w->errors++;
    s->next_seq = n + 1;
}

static void receive(struct work *w, struct sock *s, const char *data, size_t len)
{
    while (len > 0) {
        size_t n = sizeof s->part - s->part_len < len ? sizeof s->part - s->part_len : len;
        memcpy(s->part + s->part_len, data, n);
        s->part_len += n;
        data += n;
        len -= n;
        size_t at = 0;
        while (s->part_len - at >= WS_HEAD_MAX) {
            uint64_t size = ws_frame_size((const uint8_t *)s->part + at);
            if (size > s->part_len - at) break;
            check_frame(w, s, s->part + at, size);
            at += size;
        }
        memmove(s->part, s->part + at, s->part_len - at);
        s->part_len -= at;
    }
}

static ssize_t fake_send(struct member *m, const struct iovec *iov, int n, size_t bytes)
{
    struct sock *s = container_of(m, struct sock, member);
    struct work *w = &works[m->reader->worker];
    size_t take = s->take++ % 7 ? bytes : bytes / 2;
    size_t left = take;
    for (int i = 0; i < n && left > 0; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        receive(w, s, iov[i].iov_base, part);
        left -= part;
    }
    return (ssize_t)take;
}

static void fake_lag(struct member *m, uint64_t lag)
{
    (void)lag;
    works[m->reader->worker].errors++;
}

static void post_dirty(struct work *w, struct slink *woken)
{
    while (woken) {
        struct slink *next = woken->next;
        struct reader *r = container_of(woken, struct reader, dirty_link);
        if (r->worker == w->index) {
            woken->next = w->dirty;
            w->dirty = woken;
        } else {
            mailbox_post(&works[r->worker].mailbox, woken);
        }
        woken = next;
    }
}

static void flush_list(struct work *w, struct slink *link)
{
    while (link) {
        struct slink *next = link->next;
        struct reader *r = container_of(link, struct reader, dirty_link);
        bool more = reader_flush(r, &w->delivery);
        if ((more && !r->detached) || !room_settle(r)) {
            link->next = w->dirty;
            w->dirty = link;
        }
        link = next;
    }
}

static void turn(struct work *w)
{
    struct slink *mine = w->dirty;
    w->dirty = NULL;
    flush_list(w, mine);
    flush_list(w, mailbox_take(&w->mailbox));
    for (int i = 0; i < MEMBERS; i++)
        if (w->socks[i].member.blocked) reader_resume(&w->socks[i].member, &w->delivery);
}

static void wait_for_mail(struct work *w)
{
    if (w->dirty || !mailbox_sleep(&w->mailbox)) return;
    struct pollfd p = {.fd = w->mailbox.event_fd, .events = POLLIN};
    if (poll(&p, 1, 20) > 0) mailbox_on_event(&w->mailbox);
    mailbox_awake(&w->mailbox);
}

static int join(struct work *w, struct sock *s, int room)
{
    char name[8];
    int n = snprintf(name, sizeof name, "r%d", room);
    return hub_join(hub, (struct slice){name, (size_t)n}, w->index, ENCODING_FULL, &s->member);
}

static bool all_caught_up(const struct work *w)
{
    for (int i = 0; i < MEMBERS; i++)
        if (w->socks[i].next_seq != atomic_load(&said[i % ROOMS]) + 1) return false;
    return true;
}

static void *run(void *arg)
{
    struct work *w = arg;
    for (int i = 0; i < MESSAGES; i++) {
        const struct post post = {SLICE_LIT("u"), SLICE_LIT("hello, everybody"), {NULL, 0}, 1};
        struct slink *woken;
        int room = i % ROOMS;
        if (room_publish(w->socks[room].member.reader->room, &w->scribe, &post, &woken) != 0)
            w->errors++;
        atomic_fetch_add(&said[room], 1);
        post_dirty(w, woken);
        if (i % 3 == 0) turn(w);
        if (i % (MESSAGES / VISITS) == 0) { /* somebody looks in, at any moment */
            struct sock visitor = {0};
            if (join(w, &visitor, room) != 0) w->errors++;
            turn(w);
            hub_leave(&visitor.member);
        }
    }
    atomic_fetch_add(&published, 1);
    for (int i = 0; i < 2000; i++) {
        turn(w);
        if (atomic_load(&published) == THREADS && all_caught_up(w)) break;
        wait_for_mail(w);
    }
    if (!all_caught_up(w)) w->errors++;
    atomic_fetch_add(&complete, 1);
    while (atomic_load(&complete) < THREADS) {
        turn(w);
        sched_yield();
    }
    for (int i = 0; i < MEMBERS; i++)
        hub_leave(&w->socks[i].member);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    long live = fail_alloc_live();
    hub = hub_new(5);
    for (unsigned t = 0; t < THREADS; t++) {
        struct work *w = &works[t];
        w->index = t;
        w->delivery = (struct delivery){.send = fake_send, .on_lag = fake_lag};
        assert_int_equal(mailbox_init(&w->mailbox), 0);
        for (int i = 0; i < MEMBERS; i++)
            assert_int_equal(join(w, &w->socks[i], i % ROOMS), 0);
    }
    for (unsigned t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&works[t].thread, NULL, run, &works[t]), 0);
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(works[t].thread, NULL);
    for (unsigned t = 0; t < THREADS; t++) {
        turn(&works[t]); /* what was posted to a thread that had ended */
        assert_int_equal(works[t].errors, 0);
        mailbox_fini(&works[t].mailbox);
        scribe_fini(&works[t].scribe);
    }
    assert_int_equal(hub_room_count(hub), 0);
    hub_free(hub);
    assert_int_equal(fail_alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
