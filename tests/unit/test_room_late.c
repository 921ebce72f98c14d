/* Rooms whose journal is late: what is delivered when it is committed, or comes from elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "chat/room_state.h"
#include "fail_alloc.h"
#include "room_stage.h"

/* ---- strict ---- */

/* The next decision of the store; returns the feeds it woke. */
static struct slink *deliver_next(struct room *room)
{
    struct slink *woken;
    struct slink *waiters;
    room_deliver(room, &stage->encoder, gate_next_done(&stage->gate), &woken, &waiters);
    assert_null(waiters);
    return woken;
}

/* What is committed is told as it was said, also what was deleted in the same batch. */
static void test_strict_deleted_at_once(void **state)
{
    (void)state;
    begin_as(&plenty, NULL, true);
    struct guest *bare = join_live(0, lobby, ENCODING_BARE);
    struct guest *full = join_live(1, lobby, ENCODING_FULL);
    say(bare, "one"); /* holds the writer: the next three are one batch */
    say(bare, "two");
    assert_int_equal(publish(bare, &(struct store_event){.kind = STORE_DELETE, .target = 2}), 0);
    say(bare, "three");
    flush_all();
    assert_string_equal(heard(bare), ""); /* nothing is committed, as far as the room knows */
    settle_store();
    flush_all();
    assert_string_equal(heard(bare), "one two three");
    assert_string_equal(heard(full), "one two three");
    end();
}

/* An event is lost for lack of memory just when its feeds have sent everything else. */
static void test_lost_before_settling(void **state)
{
    (void)state;
    begin_as(&plenty, NULL, true);
    struct guest *g = join_live(0, lobby, ENCODING_FULL);
    struct room *room = g->member.feed->room;
    say(g, "one");
    say(g, "two");
    struct slink *woken = deliver_next(room);
    gate_turn_writer(&stage->gate);
    struct feed *r = container_of(woken, struct feed, dirty_link);
    assert_false(feed_flush(r, &stage->delivery));
    assert_string_equal(heard(g), "one");
    buf_fini(&stage->encoder.json[1]); /* so that it has to be allocated */
    fail_alloc_after(0);
    woken = deliver_next(room);
    fail_alloc_off();
    assert_null(woken); /* it is dirty already */
    assert_false(room_settle(r));
    feed_flush(r, &stage->delivery);
    assert_int_equal(stage->lags, 1);
    assert_true(room_settle(r));

    struct guest *back = coming_back(1, lobby, ENCODING_FULL, 1);
    join_at_last(back);
    assert_string_equal(heard(back), "two");
    end();
}

/* What is said after an event was lost is not held for a feed whose members are to go; nobody may
 * join them. */
static void test_join_after_a_loss(void **state)
{
    (void)state;
    begin_as(&plenty, NULL, true);
    struct guest *g = join_live(0, lobby, ENCODING_FULL);
    struct room *room = g->member.feed->room;
    say(g, "one");
    say(g, "two");
    edit(g, 2, "second");
    fail_alloc_after(0);
    struct slink *woken = deliver_next(room);
    fail_alloc_off();
    push_woken(woken);
    settle_store(); /* two comes into the log, and its edit empties it again */
    struct guest *late = guest_in(3, lobby, ENCODING_FULL);
    assert_int_equal(late->join.worker, g->join.worker);
    assert_int_equal(try_join(late), ERR_NOMEM);
    flush_all();
    assert_int_equal(stage->lags, 1);
    late = coming_back(3, lobby, ENCODING_FULL, 1);
    join_at_last(late);
    assert_string_equal(heard(late), "second");
    end();
}

/* ---- a journal elsewhere ---- */

/* What another machine has said: it is in the store, and then the room is told. */
static void deliver_from_afar(struct room *room, const struct store_event *e)
{
    struct slink *woken;
    struct slink *waiters;
    const struct store_append a = {
        .room = room_name(room), .epoch = room_epoch(room), .event = e, .kick_follows = true};
    assert_int_equal(store_append(stage->gate.store, &a), 0);
    gate_appended(&stage->gate);
    const struct store_done *d = gate_next_done(&stage->gate);
    assert_non_null(d);
    room_deliver(room, &stage->encoder, d, &woken, &waiters);
    assert_null(waiters);
    push_woken(woken);
}

static const struct store_event afar = {
    .seq = 7, .ts_ms = WALL_MS, .username = {"far", 3}, .message = {"one", 3}};

/* Begins to enter; the store is asked, and has not answered. */
static struct guest *loading(int i)
{
    struct guest *g = &stage->guests[i];
    g->join = (struct join){.encoding = ENCODING_FULL, .history = 10};
    assert_int_equal(ask_to_enter(g, lobby), ERR_AGAIN);
    return g;
}

static void test_delivered_while_loading(void **state)
{
    (void)state;
    begin_as(&plenty, NULL, true);
    struct guest *g = loading(0);
    deliver_from_afar(g->join.room, &afar);
    settle_store();
    while (gate_answer(&stage->gate))
        ;
    assert_true(g->woken);
    join_at_last(g);
    assert_int_equal(g->join.head.seq, 7);
    assert_string_equal(heard(g), "one");
    end();
}

/* An answer that was read before the event is in the store: it is asked again. */
static void test_loaded_too_early(void **state)
{
    const struct store_done d = {.room = lobby, .event = &afar};
    struct store_stats stats;
    struct slink *woken;
    struct slink *waiters;
    (void)state;
    begin_as(&plenty, NULL, true);
    stage->journal->shared = true;
    struct guest *g = loading(0);
    store_stats(stage->gate.store, &stats);
    uint64_t reads = stats.reads;
    room_deliver(g->join.room, &stage->encoder, &d, &woken, &waiters);
    assert_true(!woken && !waiters);
    while (gate_answer(&stage->gate))
        ;
    assert_true(g->woken);
    store_stats(stage->gate.store, &stats);
    assert_int_equal(stats.reads - reads, 3); /* twice the room, and the mark */
    join_at_last(g);
    end();
}

/* Members hear it once, and what is not above the head is nothing new. */
static void test_delivered_to_members(void **state)
{
    (void)state;
    begin_as(&plenty, NULL, true);
    struct guest *g = join_live(0, lobby, ENCODING_FULL);
    struct room *room = g->member.feed->room;
    deliver_from_afar(room, &afar);
    flush_all();
    assert_string_equal(heard(g), "one");
    const struct store_done again = {.room = lobby, .event = &afar};
    struct slink *woken;
    struct slink *waiters;
    room_deliver(room, &stage->encoder, &again, &woken, &waiters);
    assert_null(woken);
    struct guest *back = coming_back(1, lobby, ENCODING_FULL, 6);
    join_at_last(back);
    assert_true(back->join.recovered);
    assert_string_equal(heard(back), "one");
    end();
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict_deleted_at_once),
        cmocka_unit_test(test_lost_before_settling),
        cmocka_unit_test(test_join_after_a_loss),
        cmocka_unit_test(test_delivered_while_loading),
        cmocka_unit_test(test_loaded_too_early),
        cmocka_unit_test(test_delivered_to_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
