/* The contract of the store, fourth part: read markers. Run against every implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "fail_alloc.h"
#include "store/store.h"
#include "store_world.h"

static void open_world(void **state, struct world **w)
{
    *w = *state;
    assert_non_null(world_open(*w, (struct store_options){0}));
}

/* The markers of the room, the one moved longest ago first. */
static void expect_marks(struct world *w, const char *room, const char *want)
{
    struct answer a;
    assert_int_equal(world_load(w, room, &a), 0);
    assert_string_equal(a.shown, want);
}

static void test_set_and_load(void **state)
{
    struct world *w;
    open_world(state, &w);
    world_put(w, "r", (struct store_event){.seq = 1});
    world_put(w, "s", (struct store_event){.seq = 1});
    world_mark(w, "r", "ann", 1);
    world_mark(w, "r", "bob", 1);
    world_mark(w, "s", "ann", 70000); /* beyond what the room has: the caller knows */
    world_settle(w);
    expect_marks(w, "r", "ann>1 bob>1 ");
    expect_marks(w, "s", "ann>70000 ");
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(w->seen.done[i].mark, i >= 2); /* in the order of the calls */
    assert_int_equal(w->seen.done[4].seq, 70000);
    assert_ptr_equal(w->seen.done[4].tag, (void *)(uintptr_t)70000);
}

/* No event: nobody sees it in the log, and it does not count as one. */
static void test_no_event(void **state)
{
    struct world *w;
    struct answer a;
    struct store_stats stats;
    open_world(state, &w);
    world_put(w, "r", (struct store_event){.seq = 1, .message = SLICE_LIT("hi")});
    world_mark(w, "r", "ann", 1);
    world_put(w, "r", (struct store_event){.seq = 2, .message = SLICE_LIT("ho")});
    world_settle(w);
    world_expect(w, "r", "1m=hi 2m=ho ");
    assert_int_equal(world_list(w, "", 10, &a), 0);
    assert_string_equal(a.shown, "r:2/138@2[1-2] ");
    store_stats(w->store, &stats);
    assert_int_equal(stats.committed, 2);
    assert_int_equal(stats.in_flight, 0);
    assert_int_equal(stats.in_flight_bytes, 0);
}

/* A flood of markers has a share of the queue: messages still find a place. What finds none is
 * counted, and told once. */
static void test_share(void **state)
{
    enum { MOST = 40, SHARE = MOST / STORE_MARKS_SHARE };
    struct world *w = *state;
    struct store_stats stats;
    const struct store_move move = {
        .room = SLICE_LIT("r"), .epoch = world_epoch, .mark = {1, SLICE_LIT("ann")}};
    assert_non_null(world_open(w, (struct store_options){.in_flight_max = MOST}));
    world_hold_writer(w, "r", 1);
    for (int i = 0; i < SHARE; i++)
        world_mark(w, "r", "ann", 1);
    assert_int_equal(store_move_mark(w->store, &move), ERR_STORE);
    assert_int_equal(world_count(&w->seen, &w->seen.notices[STORE_QUEUE_FULL]), 0);
    store_tell_refused(w->store);
    assert_int_equal(world_count(&w->seen, &w->seen.notices[STORE_QUEUE_FULL]), 1);
    for (uint64_t seq = 2; seq < 2 + MOST - SHARE; seq++)
        world_put(w, "r", (struct store_event){.seq = seq, .message = SLICE_LIT("hi")});
    assert_int_equal(world_add(w, "r", 2 + MOST - SHARE, SLICE_LIT("hi")), ERR_STORE);
    assert_true(store_healthy(w->store));
    store_stats(w->store, &stats);
    assert_int_equal(stats.in_flight, MOST);
    assert_int_equal(stats.refused, 2);
    assert_true(stats.refused_last_ms > 0);
    store_tell_refused(w->store);
    assert_int_equal(world_count(&w->seen, &w->seen.notices[STORE_QUEUE_FULL]), 1);
    world_hold(&w->seen, false);
    world_settle(w);
    world_mark(w, "r", "ann", 2); /* there is place again */
    world_settle(w);
    expect_marks(w, "r", "ann>2 ");
}

/* In one batch and over several. */
static void test_forward_only(void **state)
{
    struct world *w;
    open_world(state, &w);
    world_fill(w, "r", 1, 9);
    w->put = 9;
    for (int held = 0; held < 2; held++) {
        const uint64_t moves[] = {3, 5, 5, 4, 1};
        world_hold(&w->seen, held);
        for (size_t i = 0; i < 5; i++) {
            world_mark(w, "r", "ann", moves[i] + (held ? 2 : 0));
            if (!held) world_settle(w);
        }
        world_hold(&w->seen, false);
        world_settle(w);
        expect_marks(w, "r", held ? "ann>7 " : "ann>5 ");
    }
}

static void test_order_of_moves(void **state)
{
    struct world *w;
    open_world(state, &w);
    world_fill(w, "r", 1, 9);
    w->put = 9;
    world_mark(w, "r", "ann", 1);
    world_mark(w, "r", "bob", 9);
    world_mark(w, "r", "cid", 3);
    world_settle(w);
    world_mark(w, "r", "ann", 2); /* moves */
    world_mark(w, "r", "bob", 8); /* does not */
    world_settle(w);
    expect_marks(w, "r", "bob>9 cid>3 ann>2 ");
    world_mark(w, "r", "cid", 4);
    world_mark(w, "r", "ann", 3);
    world_mark(w, "r", "cid", 5);
    world_settle(w);
    expect_marks(w, "r", "bob>9 ann>3 cid>5 ");
}

/* Without the room, or in another log of that name, there is nothing that could be read. The batch
 * goes on. */
static void test_no_room(void **state)
{
    struct world *w;
    open_world(state, &w);
    world_mark(w, "r", "ann", 1);
    world_put(w, "r", (struct store_event){.seq = 1});
    struct store_move m = {SLICE_LIT("r"), "zzzzzzzz", {1, SLICE_LIT("ann")}, NULL, false};
    assert_int_equal(store_move_mark(w->store, &m), 0);
    w->put++;
    world_mark(w, "r", "bob", 1);
    world_wait_done(&w->seen, w->put);
    const int want[] = {ERR_STORE_ORDER, 0, ERR_STORE_ORDER, 0};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(w->seen.done[i].err, want[i]);
    expect_marks(w, "r", "bob>1 ");
}

static void mark_many(struct world *w, unsigned from, unsigned to, uint64_t seq)
{
    char name[16];
    for (unsigned i = from; i < to; i++) {
        snprintf(name, sizeof name, "u%u", i);
        world_mark(w, "r", name, seq);
    }
    world_settle(w);
}

/* At the cap whose marker was moved longest ago goes, and only that one. */
static void test_cap(void **state)
{
    struct world *w;
    struct answer a;
    open_world(state, &w);
    world_put(w, "r", (struct store_event){.seq = 1});
    world_put(w, "s", (struct store_event){.seq = 1});
    world_mark(w, "s", "u0", 1);
    mark_many(w, 0, STORE_MARKS_MAX, 1);
    world_mark(w, "r", "u0", 2);
    world_settle(w);
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.marks, STORE_MARKS_MAX);
    assert_memory_equal(a.shown, "u1>1 u2>1 ", 10);
    mark_many(w, STORE_MARKS_MAX, STORE_MARKS_MAX + 3, 1);
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.marks, STORE_MARKS_MAX);
    assert_memory_equal(a.shown, "u4>1 u5>1 ", 10); /* u1, u2 and u3 went, u0 had moved */
    expect_marks(w, "s", "u0>1 ");
}

static int64_t fixed_now_ms(void)
{
    return 1000000;
}

/* Retention takes the message, and leaves the marker. */
static void test_trimmed(void **state)
{
    struct world *w = *state;
    struct answer a;
    struct store_options o = {
        .now_ms = fixed_now_ms, .keep = {.max_events = 1}, .trim_pause_ms = 1};
    assert_non_null(world_open(w, o));
    world_put(w, "r", (struct store_event){.seq = 1});
    world_mark(w, "r", "ann", 1);
    for (uint64_t seq = 2; seq <= 5; seq++)
        world_put(w, "r", (struct store_event){.seq = seq});
    world_settle(w);
    for (int i = 0; i < WORLD_WAIT_S * 200; i++) {
        assert_int_equal(world_load(w, "r", &a), 0);
        if (a.room.first_seq == 5) break;
        world_nap();
    }
    assert_int_equal(a.room.first_seq, 5);
    assert_string_equal(a.shown, "ann>1 ");
}

/* Memory runs out at each allocation of the writer in turn: a batch is taken back as a whole, and
 * the markers are what they were, in their order. */
static void test_rollback(void **state)
{
    struct world *w;
    long live = fail_alloc_live();
    open_world(state, &w);
    world_put(w, "r", (struct store_event){.seq = 1});
    world_mark(w, "r", "ann", 1);
    world_mark(w, "r", "bob", 1);
    world_settle(w);
    uint64_t seq = 0;
    bool failed = true;
    long n = 0;
    for (; failed && n < 200; n++) {
        assert_true(world_wait_health(w->store, true));
        world_hold_writer(w, "s", ++seq);
        world_mark(w, "r", "ann", 2);
        world_mark(w, "r", "cid", 2);
        world_mark(w, "r", "cid", 3);
        world_mark(w, "r", "ann", 4);
        char fresh[16]; /* whose allocation comes last */
        snprintf(fresh, sizeof fresh, "t%d", (int)n);
        world_put(w, fresh, (struct store_event){.seq = seq});
        fail_alloc_after(n);
        world_hold(&w->seen, false);
        world_wait_done(&w->seen, w->put);
        fail_alloc_off();
        failed = w->seen.done[w->put - 1].err != 0;
        assert_int_equal(w->seen.done[w->put - 2].err, failed ? ERR_STORE : 0);
        assert_true(world_wait_health(w->store, true));
        expect_marks(w, "r", failed ? "ann>1 bob>1 " : "bob>1 cid>3 ann>4 ");
    }
    assert_false(failed);
    assert_true(n > 1);
    store_close(w->store);
    w->store = NULL;
    assert_int_equal(fail_alloc_live(), live);
}

/* Loading a room with markers while memory is short. */
static void test_load_no_memory(void **state)
{
    struct world *w;
    struct answer a;
    long live = fail_alloc_live();
    open_world(state, &w);
    world_put(w, "r", (struct store_event){.seq = 1});
    mark_many(w, 0, 100, 1);
    int err = ERR_NOMEM;
    long n = 0;
    for (; err && n < 100; n++) {
        fail_alloc_after(n);
        err = world_load(w, "r", &a);
        fail_alloc_off();
        if (err) assert_int_equal(err, ERR_NOMEM);
    }
    assert_true(n > 3);
    assert_int_equal(a.marks, 100);
    store_close(w->store);
    w->store = NULL;
    assert_int_equal(fail_alloc_live(), live);
}

/* They are there in the next life of the file, and count towards the cap. */
static void test_reopen(void **state)
{
    struct world *w = *state;
    struct answer a;
    for (int life = 0; life < 2; life++) {
        store_close(w->store);
        assert_non_null(world_open(w, (struct store_options){0}));
        if (life) continue;
        world_put(w, "r", (struct store_event){.seq = 1});
        mark_many(w, 0, STORE_MARKS_MAX, 1);
        world_mark(w, "r", "u0", 2);
        world_settle(w);
    }
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.marks, STORE_MARKS_MAX);
    assert_memory_equal(a.shown, "u1>1 u2>1 ", 10);
    world_mark(w, "r", "new", 1);
    world_settle(w);
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.marks, STORE_MARKS_MAX);
    assert_memory_equal(a.shown, "u2>1 u3>1 ", 10);
}

int main(void)
{
    const struct CMUnitTest every[] = {
        cmocka_unit_test(test_share),    cmocka_unit_test(test_set_and_load),
        cmocka_unit_test(test_no_event), cmocka_unit_test(test_forward_only),
        cmocka_unit_test(test_no_room),  cmocka_unit_test(test_order_of_moves),
        cmocka_unit_test(test_cap),      cmocka_unit_test(test_trimmed),
        cmocka_unit_test(test_rollback), cmocka_unit_test(test_load_no_memory),
    };
    const struct CMUnitTest sqlite[] = {
        cmocka_unit_test(test_reopen),
    };
    return WORLD_RUN_EVERY(every) + WORLD_RUN_SQLITE(sqlite);
}
