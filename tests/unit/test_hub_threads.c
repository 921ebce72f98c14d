/* The hub under real threads, for ThreadSanitizer as much as for its own checks: every thread is a
 * worker with mailboxes, all publish into the same rooms over a real store, and the budget is so
 * small that the recent past is forgotten all the time. Half of the members stay, the others leave
 * at any moment and come back with the id of their last event, served from memory or, a page at a
 * time, from the store.
 *
 * Every message says who said it and the how manyeth of this thread it is in its room. So every
 * member has to see 1, 2, 3... of every thread, through all of its connections. */
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
#include <time.h>

#include "base/err.h"
#include "chat/encoder.h"
#include "chat/event_json.h"
#include "chat/feed.h"
#include "chat/hub.h"
#include "chat/room_state.h"
#include "fail_alloc.h"
#include "journal/local.h"
#include "net/mailbox.h"
#include "proto/ws_frame.h"
#include "store/store_memory.h"

enum {
    THREADS = 4,
    ROOMS = 3,
    MEMBERS = 12,
    MESSAGES = 2000,
    EDIT_EVERY = 200,
    NONCE_EVERY = 16,
    STAY = 20, /* turns of a member that comes and goes */
    PAGE = 60,
    TIGHT_BYTES = 100000,
    NONCES = 50000,
    WAIT_S = 60,
};

struct work;

struct task {
    struct slink link;
    void (*run)(struct work *w, struct task *t);
};

enum sock_state { SOCK_OUT, SOCK_ENTERING, SOCK_REPLAYING, SOCK_IN };

struct sock {
    struct member member;
    enum sock_state state;
    unsigned room;
    enum encoding encoding;
    bool nomad;
    struct id last;
    uint64_t next[THREADS]; /* of what each thread says */
    unsigned turns;
    unsigned take;  /* counts sends; some are refused */
    char part[512]; /* an incomplete frame */
    size_t part_len;
};

/* A member on its way into its room. */
struct visit {
    struct task task;
    struct work *work;
    struct sock *sock;
    struct join join;
};

/* A page of what it missed. */
struct page {
    struct task task;
    struct work *work;
    struct sock *sock;
    struct visit *visit;
    uint64_t after;
    int err;
    bool more;
    struct buf frames;
};

struct work {
    pthread_t thread;
    struct mailbox mailbox; /* dirty feeds */
    struct mailbox tasks;
    struct slink *dirty;
    struct encoder encoder;
    struct delivery delivery;
    struct sock socks[MEMBERS];
    uint64_t last_seq[ROOMS]; /* what an edit is of */
    unsigned index;
    unsigned retries; /* not answered yet */
    uint64_t answered;
    uint64_t from_memory;
    uint64_t from_store;
    uint64_t errors;
};

static struct work works[THREADS];
static struct hub *hub;
static struct store *store;
static struct journal *journal;
static struct encoder writer_encoder;
static bool strict;
static atomic_uint published; /* threads that have said everything */
static atomic_uint complete;  /* threads whose members have everything */
static atomic_ullong said[THREADS][ROOMS];

static struct slice name_of_room(unsigned room)
{
    static const char names[ROOMS][3] = {"r0", "r1", "r2"};
    return (struct slice){names[room], 2};
}

/* ---- what members receive ---- */

static uint64_t number_behind(const char *frame, size_t size, const char *key)
{
    const char *at = memmem(frame, size, key, strlen(key));
    return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
}

static void check_frame(struct work *w, struct sock *s, const char *frame, size_t size)
{
    static const char message[] = "{\"type\":\"message\"";
    uint64_t seq = number_behind(frame, size, "\"seq\":");
    bool rich = encoding_is_rich(s->encoding);
    if (seq <= s->last.seq || (rich && seq != s->last.seq + 1)) w->errors++;
    s->last.seq = seq;
    if (!memmem(frame, size, message, sizeof message - 1)) {
        if (!rich) w->errors++;
        return;
    }
    uint64_t thread = number_behind(frame, size, "\"message\":\"T");
    uint64_t n = number_behind(frame, size, " number ");
    if (thread >= THREADS || n != s->next[thread]) {
        w->errors++;
        return;
    }
    s->next[thread]++;
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
    struct work *w = &works[m->feed->worker];
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
    works[m->feed->worker].errors++;
}

/* ---- coming back ---- */

static void post(struct work *w, struct task *t)
{
    mailbox_post(&w->tasks, &t->link);
}

static void end_visit(struct visit *v)
{
    room_unref(v->join.room);
    free(v);
}

static void take_page(struct work *w, struct task *t);

/* A reader thread of the store. */
static void on_page(void *ctx, int err, const struct store_page *page)
{
    struct page *p = ctx;
    struct buf json = {0};
    struct room *room = p->visit->join.room;
    const struct event_room er = {{room->name, room->name_len}, room->epoch};
    bool rich = encoding_is_rich(p->sock->encoding);
    p->err = err;
    p->more = page && page->more_after;
    for (size_t i = 0; page && i < page->count && !p->err; i++) {
        const struct store_event *e = page->events[i];
        if (e->seq > p->visit->join.head.seq) {
            p->more = false;
            break;
        }
        json.len = 0;
        p->after = e->seq;
        p->err = event_encode(&er, e, rich ? EVENT_RICH : EVENT_FULL, &json);
        const struct slice text = {(const char *)json.data, json.len};
        if (!p->err) p->err = ws_frame_append(&p->frames, WS_TEXT, false, text, SIZE_MAX);
    }
    buf_fini(&json);
    post(p->work, &p->task);
}

static void ask_page(struct work *w, struct page *p)
{
    const struct store_query q = {
        .room = name_of_room(p->sock->room),
        .direction = STORE_AFTER,
        .position = p->after,
        .limit = PAGE,
        .messages_only = !encoding_is_rich(p->sock->encoding),
    };
    p->frames.len = 0;
    if (store_read_page(store, &q, on_page, p) != 0) w->errors++;
}

static void take_page(struct work *w, struct task *t)
{
    struct page *p = container_of(t, struct page, task);
    struct sock *s = p->sock;
    if (p->err) w->errors++;
    receive(w, s, (const char *)p->frames.data, p->frames.len);
    if (p->more) {
        ask_page(w, p);
        return;
    }
    s->state = SOCK_IN;
    feed_resume(&s->member, &w->delivery);
    end_visit(p->visit);
    buf_fini(&p->frames);
    free(p);
}

static void start_replay(struct work *w, struct visit *v)
{
    struct page *p = calloc(1, sizeof *p);
    if (!p) abort();
    *p = (struct page){.work = w, .sock = v->sock, .visit = v, .after = v->join.since.seq};
    p->task.run = take_page;
    v->sock->state = SOCK_REPLAYING;
    w->from_store++;
    ask_page(w, p);
}

static void try_join(struct work *w, struct task *t)
{
    struct visit *v = container_of(t, struct visit, task);
    struct sock *s = v->sock;
    int err = v->join.err;
    if (!err) err = room_join(&v->join, &s->member);
    if (err == ERR_AGAIN) return;
    if (err || !v->join.recovered) {
        w->errors++;
        s->state = SOCK_OUT;
        end_visit(v);
        return;
    }
    if (!v->join.resume) s->last = v->join.head;
    if (v->join.from_store) {
        start_replay(w, v);
        return;
    }
    w->from_memory += v->join.replayed > 0;
    s->state = SOCK_IN;
    feed_resume(&s->member, &w->delivery);
    end_visit(v);
}

static void wake(struct join *j)
{
    struct visit *v = container_of(j, struct visit, join);
    post(v->work, &v->task);
}

static void enter(struct work *w, struct sock *s)
{
    struct visit *v = calloc(1, sizeof *v);
    if (!v) abort();
    v->task.run = try_join;
    v->work = w;
    v->sock = s;
    v->join = (struct join){.wake = wake,
                            .encoding = s->encoding,
                            .worker = w->index,
                            .username = SLICE_LIT("u"),
                            .resume = s->last.epoch[0], /* seq 0: nothing was said yet */
                            .since = s->last};
    s->state = SOCK_ENTERING;
    int err = hub_enter(hub, name_of_room(s->room), &v->join);
    if (!err) try_join(w, &v->task);
    if (err && err != ERR_AGAIN) w->errors++;
}

static void leave(struct sock *s)
{
    room_leave(&s->member, SLICE_LIT("u"), 0);
    s->state = SOCK_OUT;
    s->part_len = 0;
    s->turns = 0;
}

/* ---- a worker ---- */

static void post_dirty(struct work *w, struct slink *woken)
{
    while (woken) {
        struct slink *next = woken->next;
        struct feed *r = container_of(woken, struct feed, dirty_link);
        if (w && r->worker == w->index) {
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
        struct feed *r = container_of(link, struct feed, dirty_link);
        bool more = feed_flush(r, &w->delivery);
        if ((more && !r->detached) || !room_settle(r)) {
            link->next = w->dirty;
            w->dirty = link;
        }
        link = next;
    }
}

static void turn(struct work *w)
{
    for (struct slink *link = mailbox_take(&w->tasks), *next; link; link = next) {
        struct task *t = container_of(link, struct task, link);
        next = link->next;
        t->run(w, t);
    }
    struct slink *mine = w->dirty;
    w->dirty = NULL;
    flush_list(w, mine);
    flush_list(w, mailbox_take(&w->mailbox));
    if (store) journal_kick(journal);
    for (int i = 0; i < MEMBERS; i++) {
        struct sock *s = &w->socks[i];
        if (s->state == SOCK_IN && s->member.blocked) feed_resume(&s->member, &w->delivery);
    }
}

static void move_nomads(struct work *w)
{
    for (int i = 0; i < MEMBERS; i++) {
        struct sock *s = &w->socks[i];
        if (!s->nomad) continue;
        s->turns++;
        if (s->state == SOCK_OUT && s->turns > STAY / 2) enter(w, s);
        if (s->state == SOCK_IN && s->turns > STAY + s->take % STAY) leave(s);
    }
}

static void wait_for_mail(struct work *w)
{
    if (w->dirty) return;
    bool idle = mailbox_sleep(&w->mailbox);
    idle = mailbox_sleep(&w->tasks) && idle;
    struct pollfd p[] = {{.fd = w->mailbox.io.fd, .events = POLLIN},
                         {.fd = w->tasks.io.fd, .events = POLLIN}};
    if (idle && poll(p, 2, 10) > 0) {
        if (p[0].revents) w->mailbox.io.on_events(&w->mailbox.io, EPOLLIN);
        if (p[1].revents) w->tasks.io.on_events(&w->tasks.io, EPOLLIN);
    }
    mailbox_awake(&w->mailbox);
    mailbox_awake(&w->tasks);
}

struct retry {
    struct task task;
    unsigned worker;
};

static void on_retried(struct work *w, struct task *t)
{
    w->retries--;
    w->answered++;
    free(container_of(t, struct retry, task));
}

/* Sends the message again: a dup, of which the answer may come later. */
static void retry(struct work *w, struct room *room, struct submission *p)
{
    struct slink *woken;
    struct retry *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->task.run = on_retried;
    r->worker = w->index;
    p->waiter = &r->task.link;
    w->retries++;
    if (room_submit(room, &w->encoder, p, &woken) != 0 || !p->dup || woken) w->errors++;
    if (!p->waiting) {
        w->retries--;
        free(r);
    }
}

static void say(struct work *w, unsigned i)
{
    char text[64];
    char nonce[16];
    unsigned room_number = i % ROOMS;
    struct room *room = w->socks[room_number].member.feed->room;
    struct submission p = {.event = {.username = SLICE_LIT("u"), .ts_ms = 1}};
    struct slink *woken;
    bool edit = i % EDIT_EVERY == 0 && w->last_seq[room_number];
    unsigned long long n = atomic_load(&said[w->index][room_number]) + !edit;
    int len = snprintf(text, sizeof text, "T%u number %llu", w->index, n);
    p.event.message = (struct slice){text, (size_t)len};
    if (edit) {
        p.event.kind = STORE_EDIT;
        p.event.target = w->last_seq[room_number];
    } else if (i % NONCE_EVERY == 0) {
        len = snprintf(nonce, sizeof nonce, "%u-%u", w->index, i);
        p.event.nonce = (struct slice){nonce, (size_t)len};
    }
    if (room_submit(room, &w->encoder, &p, &woken) != 0 || p.dup) w->errors++;
    post_dirty(w, woken);
    if (!edit) w->last_seq[room_number] = p.event.seq;
    atomic_store(&said[w->index][room_number], n);
    if (p.event.nonce.len) retry(w, room, &p);
}

static bool all_caught_up(const struct work *w)
{
    if (w->retries > 0) return false;
    for (int i = 0; i < MEMBERS; i++) {
        const struct sock *s = &w->socks[i];
        if (s->state != SOCK_IN) return false;
        for (unsigned t = 0; t < THREADS; t++)
            if (s->next[t] != atomic_load(&said[t][s->room]) + 1) return false;
    }
    return true;
}

static void bring_nomads_home(struct work *w)
{
    for (int i = 0; i < MEMBERS; i++)
        if (w->socks[i].state == SOCK_OUT) enter(w, &w->socks[i]);
}

static void *run(void *arg)
{
    struct work *w = arg;
    for (unsigned i = 0; i < MESSAGES; i++) {
        say(w, i);
        if (i % 3 == 0) turn(w);
        if (i % 3 == 0) move_nomads(w);
        /* Else the store never gets round to answering. */
        if (i % 4 == 0) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    atomic_fetch_add(&published, 1);
    for (time_t end = time(NULL) + WAIT_S; time(NULL) < end;) {
        turn(w);
        bring_nomads_home(w);
        if (atomic_load(&published) == THREADS && all_caught_up(w)) break;
        wait_for_mail(w);
    }
    if (!all_caught_up(w)) w->errors++;
    atomic_fetch_add(&complete, 1);
    while (atomic_load(&complete) < THREADS) {
        turn(w);
        wait_for_mail(w);
    }
    for (int i = 0; i < MEMBERS; i++)
        leave(&w->socks[i]);
    return NULL;
}

/* The writer thread of the store. */
static void on_done(void *ctx, const struct store_done *done, size_t count)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        struct slink *woken;
        struct slink *waiters;
        if (!done[i].err && !strict && !done[i].event->nonce.len) continue;
        struct room *room = hub_find(hub, done[i].room);
        if (!room) continue;
        room_deliver(room, &writer_encoder, &done[i], &woken, &waiters);
        post_dirty(NULL, woken);
        while (waiters) {
            struct retry *r = container_of(waiters, struct retry, task.link);
            waiters = waiters->next;
            post(&works[r->worker], &r->task);
        }
        room_unref(room);
    }
}

static void init_worker(unsigned index)
{
    struct work *w = &works[index];
    memset(w, 0, sizeof *w);
    w->index = index;
    w->delivery = (struct delivery){.send = fake_send, .on_lag = fake_lag};
    assert_int_equal(mailbox_init(&w->mailbox), 0);
    assert_int_equal(mailbox_init(&w->tasks), 0);
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct sock *s = &w->socks[i];
        s->room = i % ROOMS;
        s->encoding = i / ROOMS % 2 ? ENCODING_RICH : ENCODING_FULL;
        s->nomad = i >= MEMBERS / 2;
        for (unsigned t = 0; t < THREADS; t++)
            s->next[t] = 1;
        enter(w, s);
        while (s->state != SOCK_IN) {
            turn(w);
            wait_for_mail(w);
        }
    }
}

static void run_threads(uint64_t budget)
{
    long live = fail_alloc_live();
    uint64_t from_memory = 0;
    uint64_t from_store = 0;
    const struct hub_options options = {
        .seed = 5, .memory_budget_bytes = budget, .recent = {300, RECENT_MAX_BYTES, 0}};
    atomic_store(&published, 0);
    atomic_store(&complete, 0);
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned r = 0; r < ROOMS; r++)
            atomic_store(&said[t][r], 0);
    hub = hub_new(&options);
    store = store_memory_open(&(struct store_options){.on_done = on_done});
    journal = journal_local_new(store, strict, 1);
    assert_true(hub && store && journal);
    hub_set_store(hub, store, journal);
    for (unsigned t = 0; t < THREADS; t++)
        init_worker(t);
    for (unsigned t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&works[t].thread, NULL, run, &works[t]), 0);
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(works[t].thread, NULL);
    store_close(store);
    store = NULL;
    for (unsigned t = 0; t < THREADS; t++) {
        struct work *w = &works[t];
        turn(w); /* what was posted to a thread that had ended */
        assert_int_equal(w->errors, 0);
        from_memory += w->from_memory;
        from_store += w->from_store;
        mailbox_fini(&w->mailbox);
        mailbox_fini(&w->tasks);
        encoder_fini(&w->encoder);
    }
    print_message("came back from memory %llu, from store %llu\n", (unsigned long long)from_memory,
                  (unsigned long long)from_store);
    assert_true((budget == TIGHT_BYTES ? from_store : from_memory) > 10);
    encoder_fini(&writer_encoder);
    assert_int_equal(hub_room_count(hub), 0);
    hub_free(hub);
    journal_free(journal);
    assert_int_equal(fail_alloc_live(), live);
}

static void test_threads(void **state)
{
    (void)state;
    strict = false;
    run_threads(TIGHT_BYTES);
}

static void test_threads_strict(void **state)
{
    (void)state;
    strict = true;
    run_threads(UINT64_MAX);
}

/* ---- loading ---- */

static atomic_bool woken;

static void on_wake(struct join *j)
{
    (void)j;
    atomic_store(&woken, true);
}

static void fill_with_nonces(struct slice room)
{
    char nonce[16];
    struct store_stats stats;
    for (unsigned i = 1; i <= NONCES; i++) {
        int len = snprintf(nonce, sizeof nonce, "%u", i);
        const struct store_event e = {.seq = i,
                                      .ts_ms = (int64_t)time(NULL) * 1000,
                                      .username = SLICE_LIT("ann"),
                                      .message = SLICE_LIT("hi"),
                                      .nonce = {nonce, (size_t)len}};
        const struct store_append a = {.room = room, .epoch = "epoch000", .event = &e};
        assert_int_equal(store_append(store, &a), 0);
    }
    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        store_stats(store, &stats);
    } while (stats.in_flight > 0);
}

/* How often the room's lock was tried, and was free, while its nonces were noted: each is one more
 * block of memory. */
static void watch_load(struct slice name, unsigned *tried, unsigned *was_free)
{
    struct join j = {.wake = on_wake};
    long before = fail_alloc_live();
    atomic_store(&woken, false);
    assert_int_equal(hub_enter(hub, name, &j), ERR_AGAIN);
    while (!atomic_load(&woken)) {
        long noted = fail_alloc_live() - before;
        if (noted < NONCES / 10 || noted > NONCES / 10 * 9) continue;
        ++*tried;
        if (pthread_mutex_trylock(&j.room->lock) != 0) continue;
        ++*was_free;
        pthread_mutex_unlock(&j.room->lock);
    }
    assert_int_equal(j.err, 0);
    room_unref(j.room);
    while (hub_room_count(hub) > 0) /* the loading thread has a reference of its own */
        sched_yield();
}

/* A worker that enters a room has its lock to wait for, and must not wait for a long load. */
static void test_load_without_the_lock(void **state)
{
    (void)state;
    const struct slice name = SLICE_LIT("busy");
    const struct hub_options options = {.seed = 5};
    unsigned tried = 0;
    unsigned was_free = 0;
    strict = false;
    hub = hub_new(&options);
    store = store_memory_open(&(struct store_options){.on_done = on_done});
    journal = journal_local_new(store, strict, 1);
    assert_true(hub && store && journal);
    hub_set_store(hub, store, journal);
    fill_with_nonces(name);
    for (int i = 0; i < 100 && tried == 0; i++) /* this thread may have slept through it */
        watch_load(name, &tried, &was_free);
    assert_true(tried > 0 && was_free > 0);
    store_close(store);
    store = NULL;
    hub_free(hub);
    journal_free(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_threads_strict),
        cmocka_unit_test(test_load_without_the_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
