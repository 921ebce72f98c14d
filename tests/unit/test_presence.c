/* Presence: each rule of protocol section 5 by itself, then a simulation in which a client keeps a
 * list of who is there from the frames alone and has to agree with the room after every one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "chat/presence.h"
#include "fail_alloc.h"

enum { TEXT_MAX = 16 };

struct text {
    char data[TEXT_MAX];
};

static struct slice name_of(unsigned i, struct text *out)
{
    int len = snprintf(out->data, sizeof out->data, "name%u", i);
    return (struct slice){out->data, (size_t)len};
}

static unsigned number_of(struct slice name)
{
    unsigned i = 0;
    assert_in_range(name.len, 5, TEXT_MAX);
    assert_memory_equal(name.ptr, "name", 4);
    for (size_t k = 4; k < name.len; k++)
        i = i * 10 + (unsigned)(name.ptr[k] - '0');
    return i;
}

static enum presence_due join(struct presence *p, unsigned name, uint64_t now_ms)
{
    struct text text = {0};
    return presence_join(p, name_of(name, &text), now_ms);
}

static enum presence_due leave(struct presence *p, unsigned name, uint64_t now_ms)
{
    struct text text = {0};
    return presence_leave(p, name_of(name, &text), now_ms);
}

/* Members 0..count-1 came and everything is told, at now_ms. */
static struct presence room_of(unsigned count, uint64_t now_ms)
{
    struct presence p = {0};
    struct presence_news news;
    for (unsigned i = 0; i < count; i++)
        join(&p, i, now_ms);
    assert_int_equal(presence_take(&p, now_ms, &news), count > 0);
    presence_on_timer(&p, now_ms); /* if one was asked for */
    assert_int_equal(p.count, count);
    assert_int_equal(fail_alloc_live(), 0);
    return p;
}

enum { END = 9999 };

/* want ends with END. */
static void list_is(const struct slice *list, size_t count, const unsigned *want)
{
    size_t i = 0;
    for (; i < count && want[i] != END; i++)
        assert_int_equal(number_of(list[i]), want[i]);
    assert_int_equal(i, count);
    assert_int_equal(want[i], END);
}

/* Takes the frame; joined and left end with END. */
static void told(struct presence *p, uint64_t now_ms, const unsigned *joined, const unsigned *left)
{
    struct presence_news news = {0};
    assert_true(presence_take(p, now_ms, &news));
    assert_int_equal(news.frame.count, p->count);
    list_is(news.frame.joined, news.frame.joined_count, joined);
    list_is(news.frame.left, news.frame.left_count, left);
    assert_int_equal(news.frame.username.len > 0, joined[0] != END || left[0] != END);
    assert_int_equal(news.frame.room.len, 0);
    assert_int_equal(fail_alloc_live(), 0);
    assert_false(presence_take(p, now_ms, &news));
}

#define NAMES(...) ((const unsigned[]){__VA_ARGS__})
#define NONE NAMES(END)

static void test_small_room_tells_each(void **state)
{
    (void)state;
    struct presence p = {0};
    struct presence_news news;
    assert_false(presence_take(&p, 0, &news));
    for (unsigned i = 0; i < PRESENCE_EACH_MAX; i++) {
        uint64_t now_ms = 7 + i * PRESENCE_INTERVAL_MS / PRESENCE_AT_ONCE_MAX;
        assert_int_equal(join(&p, i, now_ms), PRESENCE_NOW);
        assert_true(presence_take(&p, now_ms, &news));
        assert_int_equal(news.frame.count, i + 1);
        assert_int_equal(news.frame.joined_count, 1);
        assert_int_equal(news.frame.left_count, 0);
        assert_true(news.frame.join);
        assert_int_equal(number_of(news.frame.username), i);
        assert_int_equal(number_of(news.frame.joined[0]), i);
    }
    for (unsigned i = 0; i < PRESENCE_EACH_MAX; i++) {
        uint64_t now_ms = 9000 + i * PRESENCE_INTERVAL_MS / PRESENCE_AT_ONCE_MAX;
        assert_int_equal(leave(&p, i, now_ms), PRESENCE_NOW);
        assert_true(presence_take(&p, now_ms, &news));
        assert_false(news.frame.join);
        assert_int_equal(number_of(news.frame.username), i);
        assert_int_equal(news.frame.left_count, 1);
        assert_int_equal(news.frame.joined_count, 0);
        assert_int_equal(news.frame.count, PRESENCE_EACH_MAX - 1 - i);
    }
    assert_int_equal(fail_alloc_live(), 0);
}

/* However fast they come and go; what was not told at once is within a second of the last frame. */
static void test_small_room_tells_a_few_at_once(void **state)
{
    (void)state;
    struct presence p = room_of(10, 5000);
    for (unsigned i = 0; i < PRESENCE_AT_ONCE_MAX; i++) {
        assert_int_equal(join(&p, 20 + i, 7000 + i), PRESENCE_NOW);
        told(&p, 7000 + i, NAMES(20 + i, END), NONE);
    }
    assert_int_equal(leave(&p, 20, 7100), PRESENCE_LATER);
    assert_int_equal(presence_deadline_ms(&p), 8000 + PRESENCE_AT_ONCE_MAX - 1);
    assert_int_equal(join(&p, 50, 7200), PRESENCE_NOTHING);
    assert_int_equal(leave(&p, 21, 7999), PRESENCE_NOTHING);
    assert_int_equal(presence_on_timer(&p, 8100), PRESENCE_NOW);
    told(&p, 8100, NAMES(50, END), NAMES(20, 21, END));
    assert_int_equal(join(&p, 51, 8101), PRESENCE_NOW); /* another second */
    told(&p, 8101, NAMES(51, END), NONE);

    /* A new second, though the timer is yet to come. */
    p = room_of(10, 5000);
    for (unsigned i = 0; i < PRESENCE_AT_ONCE_MAX; i++) {
        assert_int_equal(join(&p, 20 + i, 7000 + i), PRESENCE_NOW);
        told(&p, 7000 + i, NAMES(20 + i, END), NONE);
    }
    assert_int_equal(join(&p, 50, 7500), PRESENCE_LATER);
    assert_int_equal(join(&p, 51, 8000), PRESENCE_NOW);
    told(&p, 8000, NAMES(50, 51, END), NONE);
    assert_int_equal(presence_on_timer(&p, 8500), PRESENCE_NOTHING);
}

/* What could not be told is a second later, with what came since; the same in rooms of any size. */
static void test_put_off(void **state)
{
    (void)state;
    static const unsigned sizes[] = {10, 60};
    for (unsigned i = 0; i < 2; i++) {
        struct presence p = room_of(sizes[i], 5000);
        assert_int_equal(presence_put_off(&p, 6000), PRESENCE_NOTHING); /* there is no news */
        assert_int_equal(join(&p, 70, 7000), PRESENCE_NOW);
        assert_int_equal(presence_put_off(&p, 7000), PRESENCE_LATER);
        assert_int_equal(presence_put_off(&p, 7001), PRESENCE_NOTHING);
        assert_int_equal(join(&p, 71, 7002), PRESENCE_NOTHING);
        assert_int_equal(leave(&p, 3, 7999), PRESENCE_NOTHING);
        assert_int_equal(presence_on_timer(&p, 8001), PRESENCE_NOW);
        assert_int_equal(presence_put_off(&p, 8001), PRESENCE_LATER);
        assert_int_equal(presence_on_timer(&p, 9001), PRESENCE_NOW);
        told(&p, 9001, NAMES(70, 71, END), NAMES(3, END));
    }
}

static void test_large_room_tells_once_a_second(void **state)
{
    (void)state;
    struct presence p = room_of(PRESENCE_EACH_MAX, 5000);
    assert_int_equal(presence_deadline_ms(&p), 6000);
    assert_int_equal(join(&p, 50, 5999), PRESENCE_LATER);
    assert_int_equal(leave(&p, 3, 5999), PRESENCE_NOW); /* down to 50 */
    told(&p, 5999, NAMES(50, END), NAMES(3, END));
    assert_int_equal(presence_on_timer(&p, 6000), PRESENCE_NOTHING);

    p = room_of(60, 5000);
    assert_int_equal(join(&p, 60, 6000), PRESENCE_NOW); /* a second has passed */
    told(&p, 6000, NAMES(60, END), NONE);
    assert_int_equal(join(&p, 61, 6001), PRESENCE_LATER);
    assert_int_equal(presence_deadline_ms(&p), 7000);
    assert_int_equal(leave(&p, 5, 6002), PRESENCE_NOTHING);
    assert_int_equal(join(&p, 62, 6003), PRESENCE_NOTHING);
    assert_int_equal(leave(&p, 4, 6999), PRESENCE_NOTHING);
    assert_int_equal(presence_on_timer(&p, 7000), PRESENCE_NOW);
    told(&p, 7000, NAMES(61, 62, END), NAMES(5, 4, END));

    /* The timer is late: the next change does not wait for it, and it has nothing to tell then. */
    assert_int_equal(join(&p, 63, 7100), PRESENCE_LATER);
    assert_int_equal(join(&p, 64, 8005), PRESENCE_NOW);
    told(&p, 8005, NAMES(63, 64, END), NONE);
    assert_int_equal(presence_on_timer(&p, 8010), PRESENCE_NOTHING);

    /* A clock that lags behind another worker's asks for the timer, no more. */
    assert_int_equal(join(&p, 65, 8000), PRESENCE_LATER);
    assert_int_equal(presence_deadline_ms(&p), 9005);
    assert_int_equal(presence_on_timer(&p, 9005), PRESENCE_NOW);
    told(&p, 9005, NAMES(65, END), NONE);

    /* Nor does its frame bring the next one nearer. */
    p = room_of(PRESENCE_EACH_MAX, 5000);
    assert_int_equal(join(&p, 50, 4990), PRESENCE_LATER);
    assert_int_equal(leave(&p, 3, 4990), PRESENCE_NOW);
    told(&p, 4990, NAMES(50, END), NAMES(3, END));
    assert_int_equal(presence_deadline_ms(&p), 6000);
}

static void test_newest(void **state)
{
    (void)state;
    struct presence p = room_of(60, 0);
    struct presence_news news;
    leave(&p, 8, 1);
    join(&p, 70, 2);
    leave(&p, 9, 3);
    join(&p, 71, 4);
    leave(&p, 71, 5);
    assert_true(presence_take(&p, 1000, &news));
    assert_false(news.frame.join);
    assert_int_equal(number_of(news.frame.username), 9);
    join(&p, 72, 1001);
    leave(&p, 10, 1002);
    join(&p, 10, 1003);
    assert_true(presence_take(&p, 2000, &news));
    assert_true(news.frame.join);
    assert_int_equal(number_of(news.frame.username), 72);
}

static void test_cancels_out(void **state)
{
    (void)state;
    struct presence p = room_of(60, 0);
    assert_int_equal(join(&p, 70, 1), PRESENCE_LATER);
    assert_int_equal(leave(&p, 70, 2), PRESENCE_NOTHING);
    assert_int_equal(fail_alloc_live(), 0);
    assert_int_equal(presence_on_timer(&p, 1000), PRESENCE_NOTHING);

    /* A reconnect, and both connections of one name. */
    leave(&p, 1, 1001);
    join(&p, 1, 1002);
    join(&p, 2, 1003);
    join(&p, 2, 1003);
    leave(&p, 2, 1004);
    told(&p, 2000, NAMES(2, END), NONE);

    /* As many came as left: that is news. */
    leave(&p, 3, 2001);
    join(&p, 80, 2002);
    told(&p, 3000, NAMES(80, END), NAMES(3, END));

    /* Nothing is new in a small room: not told, though at once would be its time. */
    p = room_of(PRESENCE_EACH_MAX, 0);
    assert_int_equal(join(&p, 90, 1), PRESENCE_LATER);
    assert_int_equal(leave(&p, 90, 2), PRESENCE_NOTHING);
    assert_int_equal(presence_on_timer(&p, 1000), PRESENCE_NOTHING);
}

/* A frame told on the way down to 50 moves the deadline away under a running timer. */
static void test_timer_comes_early(void **state)
{
    (void)state;
    struct presence p = room_of(PRESENCE_EACH_MAX, 0);
    assert_int_equal(join(&p, 50, 100), PRESENCE_LATER);
    assert_int_equal(leave(&p, 1, 900), PRESENCE_NOW);
    told(&p, 900, NAMES(50, END), NAMES(1, END));
    assert_int_equal(join(&p, 51, 950), PRESENCE_NOTHING);
    assert_int_equal(presence_on_timer(&p, 1000), PRESENCE_LATER);
    assert_int_equal(presence_deadline_ms(&p), 1900);
    assert_int_equal(join(&p, 52, 1200), PRESENCE_NOTHING);
    assert_int_equal(presence_on_timer(&p, 1900), PRESENCE_NOW);
    told(&p, 1900, NAMES(51, 52, END), NONE);
}

static void test_count_only_above_500(void **state)
{
    (void)state;
    struct presence p = room_of(PRESENCE_NAMES_MAX - 1, 0);
    assert_int_equal(join(&p, 1000, 1000), PRESENCE_NOW);
    told(&p, 1000, NAMES(1000, END), NONE);
    assert_int_equal(join(&p, 1001, 2000), PRESENCE_NOW);
    assert_int_equal(fail_alloc_live(), 0);
    told(&p, 2000, NONE, NONE);
    assert_int_equal(leave(&p, 1001, 3000), PRESENCE_NOW); /* 500 again */
    told(&p, 3000, NONE, NAMES(1001, END));

    /* For a moment too large: what came before is not told without what came then. */
    assert_int_equal(leave(&p, 1, 3001), PRESENCE_LATER);
    join(&p, 1002, 3002);
    join(&p, 1003, 3003);
    leave(&p, 2, 3004);
    leave(&p, 3, 3005);
    assert_int_equal(presence_on_timer(&p, 4000), PRESENCE_NOW);
    told(&p, 4000, NONE, NONE);

    /* The same number: nothing to tell, and the next interval has its names. */
    assert_int_equal(join(&p, 1004, 4001), PRESENCE_LATER);
    join(&p, 1005, 4002);
    leave(&p, 4, 4003);
    leave(&p, 5, 4004);
    assert_int_equal(p.names_lost, true);
    assert_int_equal(presence_on_timer(&p, 5000), PRESENCE_NOTHING);
    assert_int_equal(leave(&p, 6, 5001), PRESENCE_NOW);
    told(&p, 5001, NONE, NAMES(6, END));
}

static void test_many_names(void **state)
{
    (void)state;
    struct presence p = room_of(100, 0);
    struct presence_news news;
    for (unsigned i = 0; i < PRESENCE_PENDING_MAX; i++)
        join(&p, 200 + i, 1);
    assert_int_equal(leave(&p, 250, 2), PRESENCE_NOTHING); /* makes room for one more */
    assert_int_equal(leave(&p, 7, 3), PRESENCE_NOTHING);
    assert_true(presence_take(&p, 1000, &news));
    assert_int_equal(news.frame.joined_count, PRESENCE_PENDING_MAX - 1);
    assert_int_equal(news.frame.left_count, 1);
    assert_int_equal(number_of(news.frame.left[0]), 7);
    for (unsigned i = 0; i < PRESENCE_PENDING_MAX - 1; i++)
        assert_int_equal(number_of(news.frame.joined[i]), 200 + i + (i >= 50));

    for (unsigned i = 0; i < PRESENCE_PENDING_MAX + 1; i++)
        join(&p, 400 + i, 1001);
    assert_int_equal(fail_alloc_live(), 0);
    told(&p, 2000, NONE, NONE);
}

static void test_name_sizes(void **state)
{
    (void)state;
    struct presence p = {0};
    struct presence_news news;
    char longest[NAME_USER_MAX];
    memset(longest, 'x', sizeof longest);
    presence_join(&p, (struct slice){longest, sizeof longest}, 0);
    presence_join(&p, (struct slice){longest, sizeof longest - 1}, 0);
    presence_join(&p, SLICE_LIT("x"), 0);
    presence_leave(&p, (struct slice){longest, sizeof longest - 1}, 0);
    assert_true(presence_take(&p, 0, &news));
    assert_int_equal(news.frame.joined_count, 2);
    assert_int_equal(news.frame.joined[0].len, NAME_USER_MAX);
    assert_memory_equal(news.frame.joined[0].ptr, longest, NAME_USER_MAX);
    assert_int_equal(news.frame.joined[1].len, 1);

    presence_join(&p, SLICE_LIT("left behind"), 0);
    presence_fini(&p);
    assert_int_equal(fail_alloc_live(), 0);
}

/* Whichever allocation fails: the count is told, and names only if all of them are known. */
static void test_short_memory(void **state)
{
    (void)state;
    enum { CHANGES = 70 };
    unsigned failed = 0;
    for (long n = 0;; n++) {
        struct presence p = room_of(100, 0);
        struct presence_news news;
        fail_alloc_after(n);
        for (unsigned i = 0; i < CHANGES; i++)
            assert_int_equal(join(&p, 200 + i, 1), i == 0 ? PRESENCE_LATER : PRESENCE_NOTHING);
        fail_alloc_off();
        bool all = !p.names_lost;
        assert_int_equal(presence_on_timer(&p, 1000), PRESENCE_NOW);
        assert_true(presence_take(&p, 1000, &news));
        assert_int_equal(news.frame.count, 100 + CHANGES);
        assert_int_equal(news.frame.joined_count, all ? CHANGES : 0);
        assert_int_equal(fail_alloc_live(), 0);
        join(&p, 300, 2000);
        told(&p, 2000, NAMES(300, END), NONE);
        if (all) break;
        failed++;
    }
    assert_in_range(failed, 5, CHANGES);

    struct presence p = room_of(2, 0);
    fail_alloc_after(0);
    assert_int_equal(join(&p, 2, 1), PRESENCE_NOW);
    fail_alloc_off();
    told(&p, 1, NONE, NONE);
}

/* ---- the simulation ---- */

enum { SIM_NAMES = 700, SIM_MEMBERS = 800, SIM_STEPS = 30000, SIM_SEEDS = 12 };

struct sim {
    uint64_t random;
    struct presence p;
    uint64_t now_ms;
    uint64_t last_frame_ms;
    uint64_t timer_ms; /* 0: none runs */
    unsigned members[SIM_MEMBERS];
    uint64_t second_ms;
    unsigned in_second; /* frames told to at most 50 since second_ms */
    unsigned count;
    unsigned told_count;
    unsigned target;
    int16_t here[SIM_NAMES];    /* how many members have the name */
    int16_t view[SIM_NAMES];    /* the same, as the client knows it */
    bool lost;                  /* names must not be told */
    bool unsure;                /* memory was short: names may be missing */
    unsigned frames[3];         /* up to 50, up to 500, above */
    unsigned named, count_only; /* frames above 50 */
    unsigned early, silent;
};

static uint64_t rnd(struct sim *s, uint64_t below)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % below;
}

/* Names that the client does not know of yet, each as often as it came or left. */
static unsigned unknown(const struct sim *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SIM_NAMES; i++)
        n +=
            (unsigned)(s->here[i] < s->view[i] ? s->view[i] - s->here[i] : s->here[i] - s->view[i]);
    return n;
}

/* The client asks `who`. */
static void ask_who(struct sim *s)
{
    memcpy(s->view, s->here, sizeof s->view);
    s->lost = s->unsure = false;
}

static void receive(struct sim *s, const struct rich_presence *frame)
{
    size_t names = frame->joined_count + frame->left_count;
    assert_int_equal(frame->count, s->count);
    assert_in_range(names, 0, PRESENCE_PENDING_MAX);
    s->told_count = s->count;
    if (names == 0) {
        assert_true(s->lost || s->unsure);
        assert_int_equal(frame->username.len, 0);
        ask_who(s);
        return;
    }
    assert_false(s->lost);
    for (size_t i = 0; i < frame->joined_count; i++)
        s->view[number_of(frame->joined[i])]++;
    for (size_t i = 0; i < frame->left_count; i++)
        s->view[number_of(frame->left[i])]--;
    assert_memory_equal(s->view, s->here, sizeof s->view);
    struct slice last =
        frame->join ? frame->joined[frame->joined_count - 1] : frame->left[frame->left_count - 1];
    assert_ptr_equal(frame->username.ptr, last.ptr);
    s->unsure = false;
}

static void take(struct sim *s)
{
    struct presence_news news;
    assert_true(presence_take(&s->p, s->now_ms, &news));
    assert_int_equal(s->p.name_count, 0);
    assert_null(s->p.names);
    if (s->count > PRESENCE_EACH_MAX) {
        assert_true(s->now_ms >= s->last_frame_ms + PRESENCE_INTERVAL_MS);
        if (news.frame.username.len > 0)
            s->named++;
        else
            s->count_only++;
    }
    if (s->now_ms >= s->second_ms + PRESENCE_INTERVAL_MS) {
        s->second_ms = s->now_ms;
        s->in_second = 0;
    }
    s->in_second++;
    assert_true(s->in_second <= PRESENCE_AT_ONCE_MAX);
    s->frames[(s->count > PRESENCE_EACH_MAX) + (s->count > PRESENCE_NAMES_MAX)]++;
    s->last_frame_ms = s->now_ms;
    receive(s, &news.frame);
}

static void act(struct sim *s, enum presence_due due)
{
    if (due == PRESENCE_NOW) take(s);
    if (due == PRESENCE_LATER) {
        assert_int_equal(s->timer_ms, 0);
        s->timer_ms = presence_deadline_ms(&s->p);
        assert_int_equal(s->timer_ms, s->last_frame_ms + PRESENCE_INTERVAL_MS);
        assert_true(s->timer_ms > s->now_ms);
    }
    bool names_new = !s->lost && !s->unsure && unknown(s) > 0;
    if (names_new || s->count != s->told_count) {
        assert_true(s->count > PRESENCE_EACH_MAX || s->in_second >= PRESENCE_AT_ONCE_MAX);
        assert_int_not_equal(s->timer_ms, 0);
    }
}

static void fire(struct sim *s)
{
    s->timer_ms = 0;
    enum presence_due due = presence_on_timer(&s->p, s->now_ms);
    if (due == PRESENCE_LATER) s->early++;
    if (due == PRESENCE_NOTHING && unknown(s) > 0) {
        assert_true(s->lost || s->unsure);
        s->silent++;
        ask_who(s);
    }
    act(s, due);
}

static void change(struct sim *s)
{
    struct text text = {0};
    bool come =
        s->count == 0 || (s->count < SIM_MEMBERS && rnd(s, 8) < (s->count < s->target ? 6 : 2));
    unsigned at = come ? s->count : (unsigned)rnd(s, s->count);
    if (come) s->members[s->count++] = (unsigned)rnd(s, SIM_NAMES);
    unsigned name = s->members[at];
    if (!come) s->members[at] = s->members[--s->count];
    s->here[name] = (int16_t)(s->here[name] + (come ? 1 : -1));
    if (s->count > PRESENCE_NAMES_MAX || unknown(s) > PRESENCE_PENDING_MAX) s->lost = true;

    bool short_memory = rnd(s, 40) == 0;
    if (short_memory) fail_alloc_after(0);
    enum presence_due due = come ? presence_join(&s->p, name_of(name, &text), s->now_ms)
                                 : presence_leave(&s->p, name_of(name, &text), s->now_ms);
    fail_alloc_off();
    if (short_memory) s->unsure = true;
    act(s, due);
}

static void simulate(struct sim *s, uint64_t seed)
{
    static const unsigned targets[] = {0, 30, 50, 50, 51, 51, 90, 200, 499, 500, 501, 700};
    *s = (struct sim){.random = seed * 0x9e3779b97f4a7c15U + 1, .now_ms = 100000};
    unsigned pace = 1;
    for (unsigned step = 0; step < SIM_STEPS; step++) {
        if (step % 1000 == 0) {
            s->target = targets[rnd(s, sizeof targets / sizeof *targets)];
            pace = (unsigned)rnd(s, 3) * 30 + 2;
        }
        s->now_ms += rnd(s, pace);
        if (s->timer_ms && (s->now_ms >= s->timer_ms || rnd(s, 500) == 0)) fire(s);
        change(s);
        assert_int_equal(s->p.count, s->count);
    }
    presence_fini(&s->p);
    assert_int_equal(fail_alloc_live(), 0);
}

static void test_simulation(void **state)
{
    (void)state;
    static struct sim sim; /* too large for a small stack */
    unsigned frames[3] = {0};
    unsigned named = 0;
    unsigned count_only = 0;
    unsigned early = 0;
    unsigned silent = 0;
    for (uint64_t seed = 1; seed <= SIM_SEEDS; seed++) {
        simulate(&sim, seed);
        for (unsigned i = 0; i < 3; i++)
            frames[i] += sim.frames[i];
        named += sim.named;
        count_only += sim.count_only;
        early += sim.early;
        silent += sim.silent;
    }
    print_message(
        "frames %u/%u/%u, above 50 with names %u, without %u; early timers %u, silent %u\n",
        frames[0], frames[1], frames[2], named, count_only, early, silent);
    for (unsigned i = 0; i < 3; i++)
        assert_true(frames[i] > 20);
    assert_true(named > 20 && count_only > 20 && early > 20 && silent > 0);
}

/* While nobody is told, members are only counted; the first who is told hears of what is new. */
static void test_nobody_to_tell(void **state)
{
    (void)state;
    struct presence p = {0};
    struct presence_news news;
    for (int i = 0; i < 3; i++)
        presence_count(&p, 1);
    presence_count(&p, -1);
    assert_int_equal(p.count, 2);
    assert_false(presence_take(&p, 0, &news));
    assert_int_equal(fail_alloc_live(), 0);
    assert_int_equal(join(&p, 7, 0), PRESENCE_NOW);
    told(&p, 0, NAMES(7, END), NONE);

    /* The last one who was told leaves, so nobody takes that; it is no news to who comes next. */
    assert_int_equal(leave(&p, 7, 1), PRESENCE_NOW);
    presence_count(&p, 1);
    assert_int_equal(fail_alloc_live(), 0);
    assert_false(presence_take(&p, 1, &news));
    assert_int_equal(join(&p, 8, 1), PRESENCE_NOW);
    told(&p, 1, NAMES(8, END), NONE);
    assert_int_equal(p.count, 4);
}

/* Names that were too many are forgotten with everything else, and a timer that still runs finds
 * nothing. */
static void test_nobody_to_tell_after_many(void **state)
{
    (void)state;
    struct presence p = room_of(60, 5000);
    struct presence_news news;
    for (unsigned i = 0; i <= PRESENCE_PENDING_MAX; i++)
        assert_int_equal(join(&p, 100 + i, 5000), i ? PRESENCE_NOTHING : PRESENCE_LATER);
    assert_true(p.names_lost);
    presence_count(&p, -1);
    assert_false(p.names_lost);
    assert_int_equal(presence_on_timer(&p, 6000), PRESENCE_NOTHING);
    assert_false(presence_take(&p, 6000, &news));
    assert_int_equal(join(&p, 1, 6000), PRESENCE_NOW);
    told(&p, 6000, NAMES(1, END), NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_room_tells_each),
        cmocka_unit_test(test_small_room_tells_a_few_at_once),
        cmocka_unit_test(test_put_off),
        cmocka_unit_test(test_large_room_tells_once_a_second),
        cmocka_unit_test(test_newest),
        cmocka_unit_test(test_cancels_out),
        cmocka_unit_test(test_timer_comes_early),
        cmocka_unit_test(test_count_only_above_500),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_name_sizes),
        cmocka_unit_test(test_short_memory),
        cmocka_unit_test(test_nobody_to_tell),
        cmocka_unit_test(test_nobody_to_tell_after_many),
        cmocka_unit_test(test_simulation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
