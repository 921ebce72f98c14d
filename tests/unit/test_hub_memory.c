/* What rooms take, and what makes it less: old nonces go although nobody says anything, rooms that
 * nobody needs go, what slow members hold is counted, a past that is read into memory is within its
 * limit as it lies there; and who loads a room for whom. Over a real store in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "chat/encoder.h"
#include "chat/feed.h"
#include "chat/hub.h"
#include "chat/room_state.h"
#include "journal/local.h"
#include "store/store_memory.h"

enum { WALL_MS = 1000000, MINUTES_5_MS = 5 * 60 * 1000, TEXT_MAX = 8000, RECENT_BYTES = 20000 };

struct guest {
    struct join join;
    size_t takes; /* bytes that its socket takes */
    struct member member;
    unsigned woken_at; /* pages that were answered before */
    bool woken;
    bool entered;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned pages; /* answered, as test_fill_of_two asks */
static struct hub *hub;
static struct store *store;
static struct journal *journal;
static struct encoder encoder;
static struct encoder writer_encoder;
static struct slink *dirty;
static unsigned long said, done, gates;
static bool held; /* the store's feed is */

static int64_t wall(void)
{
    return WALL_MS;
}

static void on_wake(struct join *j)
{
    pthread_mutex_lock(&lock);
    container_of(j, struct guest, join)->woken = true;
    container_of(j, struct guest, join)->woken_at = pages;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* As the server does. Nothing is delivered there, since no hub here is strict. */
static void on_done(void *ctx, const struct store_done *list, size_t count)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        struct slink *woken;
        struct slink *waiters;
        struct room *room = hub_find(hub, list[i].room);
        if (!room) continue;
        room_deliver(room, &writer_encoder, &list[i], &woken, &waiters);
        room_unref(room);
    }
    pthread_mutex_lock(&lock);
    done += count;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void await_done(void)
{
    pthread_mutex_lock(&lock);
    while (done < said)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void begin(uint64_t budget)
{
    const struct hub_options options = {
        .seed = 7,
        .memory_budget_bytes = budget,
        .recent = {RECENT_MAX, RECENT_BYTES, 0},
    };
    const struct store_options o = {.on_done = on_done, .now_ms = wall, .readers = 1};
    said = done = 0;
    hub = hub_new(&options);
    assert_non_null(hub);
    store = store_memory_open(&o);
    assert_non_null(store);
    journal = journal_local_new(store, false, 1);
    assert_non_null(journal);
    hub_set_store(hub, store, journal);
}

static void end(void)
{
    await_done();
    store_close(store);
    assert_int_equal(hub_room_count(hub), 0);
    assert_int_equal(account_used(hub_answers(hub)), 0);
    hub_check(hub, true);
    hub_free(hub);
    journal_free(journal);
    encoder_fini(&encoder);
    encoder_fini(&writer_encoder);
}

static void await_woken(struct guest *g)
{
    pthread_mutex_lock(&lock);
    while (!g->woken)
        pthread_cond_wait(&changed, &lock);
    g->woken = false;
    pthread_mutex_unlock(&lock);
    assert_int_equal(g->join.err, 0);
}

static int enter(struct guest *g, const char *room, uint64_t client)
{
    *g = (struct guest){.join = {.wake = on_wake, .client = client}, .takes = SIZE_MAX};
    g->entered = true;
    return hub_enter(hub, (struct slice){room, strlen(room)}, &g->join);
}

static void ask_for(struct guest *g, enum encoding encoding, unsigned history)
{
    g->join.encoding = encoding;
    g->join.history = history;
    g->join.username = SLICE_LIT("ann");
    g->join.wall_ms = WALL_MS;
}

static void join(struct guest *g, enum encoding encoding, unsigned history)
{
    int err;
    ask_for(g, encoding, history);
    while ((err = room_join(&g->join, &g->member)) == ERR_AGAIN)
        await_woken(g);
    assert_int_equal(err, 0);
}

static void come(struct guest *g, const char *room, enum encoding encoding, unsigned history)
{
    if (enter(g, room, 1) == ERR_AGAIN) await_woken(g);
    join(g, encoding, history);
}

static void leave(struct guest *g)
{
    room_leave(&g->member, SLICE_LIT("ann"), 0);
    room_unref(g->join.room);
}

static void say(const struct guest *g, struct slice text, const char *nonce)
{
    struct submission p = {
        .event = {.username = SLICE_LIT("ann"), .message = text, .ts_ms = WALL_MS},
        .now_ms = WALL_MS};
    struct slink *woken;
    if (nonce) p.event.nonce = (struct slice){nonce, strlen(nonce)};
    assert_int_equal(room_submit(g->join.room, &encoder, &p, &woken), 0);
    said++;
    journal_kick(journal);
    while (woken) {
        struct slink *next = woken->next;
        woken->next = dirty;
        dirty = woken;
        woken = next;
    }
}

static ssize_t on_send(struct member *m, const struct iovec *iov, int n, size_t bytes)
{
    struct guest *g = container_of(m, struct guest, member);
    (void)iov;
    (void)n;
    size_t took = bytes < g->takes ? bytes : g->takes;
    g->takes -= took;
    return (ssize_t)took;
}

static void flush(void)
{
    struct delivery delivery = {.send = on_send};
    while (dirty) {
        struct feed *r = container_of(dirty, struct feed, dirty_link);
        dirty = dirty->next;
        while (feed_flush(r, &delivery) || !room_settle(r))
            ;
    }
}

/* The nonces of a room in which nobody speaks any more are gone five minutes later. */
static void test_nonces_leave(void **state)
{
    (void)state;
    struct guest ann;
    begin(1 << 30);
    come(&ann, "lobby", ENCODING_BARE, 0);
    uint64_t before = hub_memory_bytes(hub);
    for (int i = 0; i < 40000; i++) {
        char nonce[16];
        snprintf(nonce, sizeof nonce, "n%d", i);
        say(&ann, SLICE_LIT("hi"), nonce);
        if (i % 1000 == 0) await_done();
        flush();
    }
    await_done();
    const struct nonces *nonces = &ann.join.room->order.nonces;
    assert_int_equal(nonces_count(nonces), 40000);
    assert_true(hub_memory_bytes(hub) > before + 40000 * sizeof(struct nonce));
    hub_check(hub, true);
    hub_sweep(hub, WALL_MS + MINUTES_5_MS);
    assert_int_equal(nonces_count(nonces), 40000); /* not before */
    unsigned sweeps = 0;
    while (nonces_count(nonces) > 0 && sweeps < 100) {
        hub_sweep(hub, WALL_MS + MINUTES_5_MS + 1);
        sweeps++;
    }
    assert_in_range(sweeps, 1, 4); /* many at a time, but not without a cap */
    assert_int_equal(hub_memory_bytes(hub), before);
    leave(&ann);
    end();
}

/* Rooms that were entered and left leave nothing behind, and those with a past no more than the
 * budget, the rooms themselves counted. */
static void test_rooms_go(void **state)
{
    (void)state;
    enum { ROOMS = 6000, BUDGET = 1 << 20 };
    struct guest ann;
    char name[32];
    begin(BUDGET);
    for (int i = 0; i < ROOMS; i++) {
        snprintf(name, sizeof name, "silent%d", i);
        come(&ann, name, ENCODING_FULL, 50);
        leave(&ann);
    }
    for (int i = 0; i < 10000 && hub_memory_bytes(hub) > 0; i++)
        usleep(1000); /* the store's feed gives its reference back after it has woken */
    assert_int_equal(hub_memory_bytes(hub), 0);
    for (int i = 0; i < ROOMS; i++) {
        snprintf(name, sizeof name, "room%d", i);
        come(&ann, name, ENCODING_FULL, 0);
        say(&ann, SLICE_LIT("hi"), NULL);
        flush();
        leave(&ann);
        /* A publisher looks at some rooms only, and those that were used lately have a second
         * chance. */
        assert_true(hub_memory_bytes(hub) <= BUDGET + BUDGET / 8);
    }
    assert_true(hub_memory_bytes(hub) > BUDGET / 2); /* for who comes back */
    end();
}

/* Input and contexts come out of the budget; contexts, which nobody gives back who is closed for
 * being behind, are no reason to close anybody. */
static void test_input_and_contexts_are_counted(void **state)
{
    (void)state;
    enum { BUDGET = 64 << 20 };
    begin(BUDGET);
    struct account *input = hub_input(hub);
    struct account *contexts = hub_contexts(hub);
    assert_int_equal(input->max, BUDGET / 4);
    assert_int_equal(contexts->max, BUDGET / 4);
    account_add(contexts, 2 * BUDGET);
    assert_int_equal(hub_memory_bytes(hub), 2 * BUDGET);
    assert_false(hub_is_pressed(hub));
    account_add(input, input->max / 2);
    assert_int_equal(hub_memory_bytes(hub), 2 * BUDGET + input->max / 2);
    assert_false(hub_input_is_pressed(hub));
    account_add(input, 1);
    assert_true(hub_input_is_pressed(hub));
    account_add(hub_answers(hub), BUDGET / 4);
    assert_true(hub_is_pressed(hub)); /* all of it is beyond the budget, and somebody can go */
    account_sub(hub_answers(hub), BUDGET / 4);
    account_sub(input, input->max / 2 + 1);
    account_sub(contexts, 2 * BUDGET);
    end();
}

/* What a member holds that does not read is counted, also when the room has forgotten it. */
static void test_pinned_is_counted(void **state)
{
    (void)state;
    struct guest ann;
    struct guest mute;
    static char text[TEXT_MAX];
    memset(text, 'x', sizeof text);
    begin(1 << 20);
    come(&ann, "lobby", ENCODING_FULL, 0);
    come(&mute, "lobby", ENCODING_FULL, 0);
    mute.takes = 0;
    for (int i = 0; i < 300; i++) {
        say(&ann, (struct slice){text, sizeof text}, NULL);
        flush();
    }
    assert_true(hub_recent_bytes(hub) < 1 << 20);
    assert_true(hub_memory_bytes(hub) > 300 * TEXT_MAX);
    assert_false(hub_is_pressed(hub)); /* the least there is for answers and the like is 16 MiB */
    for (int i = 0; i < 2000; i++) {
        say(&ann, (struct slice){text, sizeof text}, NULL);
        flush();
    }
    assert_true(hub_is_pressed(hub));
    hub_check(hub, false);
    leave(&mute);
    flush();
    assert_false(hub_is_pressed(hub));
    assert_true(hub_memory_bytes(hub) <= 1 << 20);
    hub_check(hub, true);
    leave(&ann);
    end();
}

/* A page from the store within the limit makes a past within the limit, though each of its bytes
 * becomes six. */
static void test_fill_after_encoding(void **state)
{
    (void)state;
    struct guest ann;
    struct guest bob;
    static char text[400];
    memset(text, 1, sizeof text);
    begin(1 << 30);
    come(&ann, "lobby", ENCODING_BARE, 0);
    for (int i = 0; i < 200; i++) {
        say(&ann, (struct slice){text, sizeof text}, NULL);
        flush();
    }
    await_done();
    come(&bob, "lobby", ENCODING_FULL, 1000);
    const struct room_log *rl = bob.join.room->logs[ENCODING_FULL];
    assert_in_range(rl->recent.count, 2, RECENT_BYTES / (6 * sizeof text));
    assert_true(rl->log.kept_bytes < RECENT_BYTES + FRAME_LOG_CHUNK_MAX_BYTES);
    assert_int_equal(rl->recent.from_seq, 200 - rl->recent.count);
    hub_check(hub, true);
    leave(&bob);
    leave(&ann);
    end();
}

/* ---- loading ---- */

static void on_gate(void *ctx, int err, const struct store_page *page)
{
    (void)ctx;
    (void)err;
    (void)page;
    pthread_mutex_lock(&lock);
    gates++;
    pthread_cond_broadcast(&changed);
    while (held)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void hold_reader(void)
{
    const struct store_query q = {.room = SLICE_LIT("gate"), .limit = 1};
    pthread_mutex_lock(&lock);
    held = true;
    gates = 0;
    pthread_mutex_unlock(&lock);
    assert_int_equal(store_read_page(store, &q, on_gate, NULL), 0);
    pthread_mutex_lock(&lock);
    while (!gates)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void let_reader_go(void)
{
    pthread_mutex_lock(&lock);
    held = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Somebody who waits for a room that a client with much to do asked for first does not wait for all
 * that: it is asked for once more, and the first answer counts for both. */
static void test_load_of_two(void **state)
{
    (void)state;
    enum { BUSY = 200 };
    static struct guest busy[BUSY];
    struct guest last;
    struct guest bob;
    char name[32];
    begin(1 << 30);
    hold_reader();
    for (int i = 0; i < BUSY; i++) {
        snprintf(name, sizeof name, "room%d", i);
        assert_int_equal(enter(&busy[i], name, 1), ERR_AGAIN);
    }
    assert_int_equal(enter(&last, "lobby", 1), ERR_AGAIN);
    assert_int_equal(enter(&bob, "lobby", 2), ERR_AGAIN);
    assert_int_equal(last.join.room->loads, 2);
    let_reader_go();
    await_woken(&bob);
    await_woken(&last);
    for (int i = 0; i < BUSY; i++) {
        await_woken(&busy[i]);
        room_unref(busy[i].join.room);
    }
    room_unref(bob.join.room);
    room_unref(last.join.room);
    end();
}

static void on_page(void *ctx, int err, const struct store_page *page)
{
    (void)ctx;
    (void)page;
    assert_int_equal(err, 0);
    pthread_mutex_lock(&lock);
    pages++;
    pthread_mutex_unlock(&lock);
}

static int try_join(struct guest *g)
{
    ask_for(g, ENCODING_FULL, 10);
    return room_join(&g->join, &g->member);
}

/* The same for a past that is read into memory. */
static void test_fill_of_two(void **state)
{
    (void)state;
    enum { BUSY = 2000 };
    struct guest ann;
    struct guest busy;
    struct guest bob;
    begin(1 << 30);
    come(&ann, "lobby", ENCODING_BARE, 0);
    for (int i = 0; i < 20; i++)
        say(&ann, SLICE_LIT("hi"), NULL);
    flush();
    await_done();
    assert_int_equal(enter(&busy, "lobby", 1), 0);
    assert_int_equal(enter(&bob, "lobby", 2), 0);
    hold_reader();
    pages = 0;
    const struct store_query q = {.room = SLICE_LIT("lobby"), .limit = 20, .asker = {.client = 1}};
    for (int i = 0; i < BUSY; i++)
        assert_int_equal(store_read_page(store, &q, on_page, NULL), 0);
    assert_int_equal(try_join(&busy), ERR_AGAIN);
    assert_int_equal(try_join(&bob), ERR_AGAIN);
    let_reader_go();
    await_woken(&bob);
    await_woken(&busy);
    assert_true(bob.woken_at < BUSY);
    assert_int_equal(try_join(&bob), 0);
    assert_int_equal(try_join(&busy), 0);
    assert_int_equal(busy.member.feed->member_count, 2);
    leave(&busy);
    leave(&bob);
    leave(&ann);
    end();
    assert_int_equal(pages, BUSY);
}

/* A room that nobody waits for any more is not loaded, and who comes then gets it all the same. */
static void test_load_unwanted(void **state)
{
    (void)state;
    struct guest gone;
    struct guest bob;
    struct store_stats stats;
    begin(1 << 30);
    hold_reader();
    assert_int_equal(enter(&gone, "lobby", 1), ERR_AGAIN);
    atomic_store(&gone.join.gone, true);
    assert_int_equal(enter(&bob, "lobby", 1), ERR_AGAIN);
    let_reader_go();
    await_woken(&bob);
    await_woken(&gone);
    join(&bob, ENCODING_FULL, 10);
    leave(&bob);
    room_unref(gone.join.room);

    hold_reader();
    assert_int_equal(enter(&gone, "nowhere", 1), ERR_AGAIN);
    atomic_store(&gone.join.gone, true);
    let_reader_go();
    pthread_mutex_lock(&lock);
    while (!gone.woken)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    assert_int_equal(gone.join.err, ERR_CLOSED);
    room_unref(gone.join.room);
    store_stats(store, &stats);
    assert_true(stats.reads > 0);
    end();
}

/* Rooms full of people stay in memory, and each may have ten thousand read markers: in all of them
 * together these take no more than their share. Those moved last stay; the store has all. */
static void test_read_markers(void **state)
{
    enum { BUDGET = 8 << 20, ROOMS = 12, MARKS = 9000, SLACK = 64 << 10 };
    static struct guest guests[ROOMS];
    char user[64];
    char name[16];
    (void)state;
    begin(BUDGET);
    for (int i = 0; i < ROOMS; i++) {
        snprintf(name, sizeof name, "r%d", i);
        come(&guests[i], name, ENCODING_RICH, 0);
        for (uint64_t n = 1; n <= MARKS; n++) {
            int len = snprintf(user, sizeof user, "%060llu", (unsigned long long)n);
            const struct store_mark mark = {n, {user, (size_t)len}};
            room_on_read(guests[i].join.room, &mark);
        }
        assert_int_equal(room_read_seq(guests[i].join.room, (struct slice){user, 60}), MARKS);
    }
    assert_true(hub_memory_bytes(hub) < BUDGET / 8 + SLACK);
    hub_check(hub, false);
    for (int i = 0; i < ROOMS; i++)
        leave(&guests[i]);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nonces_leave),
        cmocka_unit_test(test_rooms_go),
        cmocka_unit_test(test_input_and_contexts_are_counted),
        cmocka_unit_test(test_pinned_is_counted),
        cmocka_unit_test(test_fill_after_encoding),
        cmocka_unit_test(test_load_of_two),
        cmocka_unit_test(test_fill_of_two),
        cmocka_unit_test(test_load_unwanted),
        cmocka_unit_test(test_read_markers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
