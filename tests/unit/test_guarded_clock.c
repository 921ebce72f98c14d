/* The clock that retention by age goes by, on clocks that are told what to say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/guarded_clock.h"

enum { S = 1000, HOUR = 3600 * S };

#define DAY (24 * (int64_t)HOUR)
#define START (INT64_C(1790000000) * S)
#define KEEP ((uint64_t)DAY * 30)

struct clocks {
    struct guarded_clock clock;
    int64_t wall_ms;
    int64_t elapsed_ms;
};

static void start(struct clocks *c, int64_t newest_ms)
{
    *c = (struct clocks){.wall_ms = START, .elapsed_ms = 77 * S};
    guarded_clock_init(&c->clock, newest_ms, c->wall_ms, c->elapsed_ms);
}

/* Both clocks run for so long, a tick a second; counts the news, which have to be this one. */
static unsigned run(struct clocks *c, int64_t ms, enum guarded_clock_news want)
{
    unsigned count = 0;
    for (int64_t at = 0; at < ms; at += S) {
        c->wall_ms += S;
        c->elapsed_ms += S;
        enum guarded_clock_news news =
            guarded_clock_tick(&c->clock, c->wall_ms, c->elapsed_ms, KEEP);
        if (news == GUARDED_CLOCK_STEADY) continue;
        assert_int_equal(news, want);
        count++;
    }
    return count;
}

static void test_steady(void **state)
{
    struct clocks c;
    (void)state;
    start(&c, 0);
    assert_int_equal(run(&c, DAY, GUARDED_CLOCK_STEADY), 0);
    assert_int_equal(c.clock.believed_ms, START + DAY);
    for (int i = 0; i < 1000; i++) { /* it is set right little by little */
        c.wall_ms += 500;
        assert_int_equal(run(&c, S, GUARDED_CLOCK_STEADY), 0);
    }
    assert_int_equal(c.clock.believed_ms, c.wall_ms);
    c.wall_ms += HOUR; /* the machine has slept */
    c.elapsed_ms += HOUR;
    assert_int_equal(run(&c, S, GUARDED_CLOCK_STEADY), 0);
    assert_int_equal(c.clock.believed_ms, c.wall_ms);
}

/* A jump that goes away has done nothing. */
static void test_jump_and_back(void **state)
{
    struct clocks c;
    (void)state;
    start(&c, START - 5 * S);
    run(&c, HOUR, GUARDED_CLOCK_STEADY);
    int64_t right_ms = c.clock.believed_ms;
    c.wall_ms += HOUR;
    assert_int_equal(run(&c, HOUR / 2, GUARDED_CLOCK_AHEAD), 1);
    assert_int_equal(c.clock.news_ms, HOUR);
    assert_int_equal(c.clock.believed_ms, right_ms + HOUR / 2);
    c.wall_ms -= HOUR;
    assert_int_equal(run(&c, S, GUARDED_CLOCK_SETTLED), 1);
    assert_int_equal(c.clock.news_ms, 0);
    assert_int_equal(c.clock.believed_ms, c.wall_ms);
    assert_int_equal(c.wall_ms, right_ms + HOUR / 2 + S);
}

/* One that stays is believed: after its own width, but not after more than the longest doubt. */
static void test_jump_stays(void **state)
{
    struct clocks c;
    (void)state;
    start(&c, 0);
    c.wall_ms += HOUR;
    run(&c, HOUR - S, GUARDED_CLOCK_AHEAD);
    assert_int_equal(c.clock.believed_ms, c.wall_ms - HOUR);
    assert_int_equal(run(&c, 2 * S, GUARDED_CLOCK_SETTLED), 1);
    assert_int_equal(c.clock.news_ms, HOUR);
    assert_int_equal(c.clock.believed_ms, c.wall_ms);
    c.wall_ms += 400 * DAY;
    run(&c, GUARDED_CLOCK_DOUBT_MS - S, GUARDED_CLOCK_AHEAD);
    assert_int_equal(c.clock.believed_ms, c.wall_ms - 400 * DAY);
    assert_int_equal(run(&c, 2 * S, GUARDED_CLOCK_SETTLED), 1);
    assert_int_equal(c.clock.believed_ms, c.wall_ms);
}

/* A second jump begins the doubt anew. */
static void test_jump_again(void **state)
{
    struct clocks c;
    (void)state;
    start(&c, 0);
    c.wall_ms += HOUR;
    assert_int_equal(run(&c, HOUR / 2, GUARDED_CLOCK_AHEAD), 1);
    c.wall_ms += HOUR;
    assert_int_equal(run(&c, HOUR, GUARDED_CLOCK_AHEAD), 1);
    assert_int_equal(c.clock.news_ms, 2 * HOUR);
    assert_int_equal(c.clock.believed_ms, c.wall_ms - 2 * HOUR);
    assert_int_equal(run(&c, HOUR + S, GUARDED_CLOCK_SETTLED), 1);
}

static void test_back(void **state)
{
    struct clocks c;
    (void)state;
    start(&c, 0);
    c.wall_ms -= HOUR;
    assert_int_equal(run(&c, S, GUARDED_CLOCK_BEHIND), 1);
    assert_int_equal(c.clock.news_ms, HOUR);
    assert_int_equal(run(&c, HOUR, GUARDED_CLOCK_STEADY), 0);
    assert_int_equal(c.clock.believed_ms, c.wall_ms);
}

/* At start the newest event is what there is to compare with; a clock behind it is believed. */
static void test_start(void **state)
{
    struct clocks c;
    (void)state;
    start(&c, START - 3 * HOUR);
    assert_int_equal(run(&c, S, GUARDED_CLOCK_AHEAD), 1);
    assert_int_equal(c.clock.believed_ms, START - 3 * HOUR + S);
    assert_int_equal(run(&c, 3 * HOUR, GUARDED_CLOCK_SETTLED), 1);
    assert_int_equal(c.clock.believed_ms, c.wall_ms);
    start(&c, START + DAY);
    assert_int_equal(run(&c, HOUR, GUARDED_CLOCK_STEADY), 0);
    assert_int_equal(c.clock.believed_ms, c.wall_ms);
}

/* Doubting for longer than anything is kept would only keep it too long. */
static void test_short_keep(void **state)
{
    struct guarded_clock clock;
    (void)state;
    guarded_clock_init(&clock, START - DAY, START, 0);
    assert_int_equal(guarded_clock_tick(&clock, START, 0, 20 * S), GUARDED_CLOCK_AHEAD);
    assert_int_equal(guarded_clock_tick(&clock, START + 19 * S, 19 * S, 20 * S),
                     GUARDED_CLOCK_STEADY);
    assert_int_equal(guarded_clock_tick(&clock, START + 20 * S, 20 * S, 20 * S),
                     GUARDED_CLOCK_SETTLED);
    assert_int_equal(clock.believed_ms, START + 20 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steady),     cmocka_unit_test(test_jump_and_back),
        cmocka_unit_test(test_jump_stays), cmocka_unit_test(test_jump_again),
        cmocka_unit_test(test_back),       cmocka_unit_test(test_start),
        cmocka_unit_test(test_short_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
