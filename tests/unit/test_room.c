/* Rooms, one situation at a time: what must hold when memory runs out, what an idle room owns, and
 * the orders of events between a room, its workers and the store that went wrong once, or could.
 * The store is a real one whose threads wait for the test (gated_store.h); everything else in any
 * order is the simulation's (test_room_sim.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/room_state.h"
#include "fail_alloc.h"
#include "proto/ws_deflate.h"
#include "room_stage.h"
/* ---- memory ---- */

static void test_publish_out_of_memory(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    stage->encoder.deflater = ws_deflater_new(6);
    for (unsigned e = 0; e < ENCODING_COUNT; e++)
        join_live((int)e, lobby, (enum encoding)e);
    struct room *room = stage->guests[0].member.feed->room;
    say(&stage->guests[0], "before"); /* its on_done holds the writer, which must not be hit */
    flush_all();
    static char text[1000];
    memset(text, 'x', sizeof text);
    const struct store_event e = {.message = {text, sizeof text}, .nonce = SLICE_LIT("n")};
    for (long n = 0;; n++) {
        uint64_t ends[ENCODING_COUNT];
        for (int i = 0; i < ENCODING_COUNT; i++)
            ends[i] = room->logs[i]->log.end;
        fail_alloc_after(n);
        int err = publish(&stage->guests[0], &e);
        fail_alloc_off();
        if (!err) break;
        assert_true(n < 100);
        assert_int_equal(room->order.seq, 1);
        assert_int_equal(nonces_count(&room->order.nonces), 0);
        for (int i = 0; i < ENCODING_COUNT; i++) {
            assert_int_equal(room->logs[i]->log.end, ends[i]);
            assert_null(room->logs[ENCODING_BARE]->log.spare); /* a refusal leaves nothing behind */
        }
    }
    assert_int_equal(room->order.seq, 2);
    struct room_log *const *logs = room->logs;
    assert_true(logs[ENCODING_BARE_DEFLATE]->log.end < logs[ENCODING_BARE]->log.end - 500);
    assert_true(logs[ENCODING_FULL]->log.end > logs[ENCODING_BARE]->log.end);
    assert_int_equal(logs[ENCODING_RICH]->log.end, logs[ENCODING_FULL]->log.end);
    end();
}

static void test_join_out_of_memory(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *first = join_live(0, lobby, ENCODING_FULL);
    say(first, "one");
    flush_all();
    struct guest *g = guest_in(1, lobby, ENCODING_FULL_DEFLATE);
    struct room *room = g->join.room;
    for (long n = 0;; n++) {
        room_ref(room);
        fail_alloc_after(n);
        int err = try_join(g);
        fail_alloc_off();
        room_unref(room);
        if (!err) break;
        assert_int_equal(err, ERR_NOMEM);
        assert_null(g->member.feed);
        const struct room_log *rl = room->logs[ENCODING_FULL_DEFLATE];
        assert_true(!rl || list_empty(&rl->feeds));
        assert_int_equal(room_member_count(room), 1);
        room_ref(room); /* try_join gave it back */
        assert_true(n < 20);
    }
    end();
}

/* A store that refuses: nothing is numbered, delivered or kept. */
static void test_refused(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *g = join_live(0, lobby, ENCODING_BARE);
    struct guest *other = join_live(1, SLICE_LIT("other"), ENCODING_BARE);
    say(g, "one");     /* on_done holds the writer */
    say(other, "two"); /* and this one will find no memory for a new room */
    flush_all();
    assert_non_null(gate_next_done(&stage->gate));
    fail_alloc_after(0);
    gate_turn_writer(&stage->gate);
    fail_alloc_off();
    assert_false(store_healthy(stage->gate.store));
    const struct room *room = g->member.feed->room;
    uint64_t seq = room->order.seq;
    assert_int_equal(publish(g, &(struct store_event){.message = SLICE_LIT("three")}), ERR_STORE);
    assert_int_equal(room->order.seq, seq);
    assert_null(room->logs[ENCODING_BARE]->log.tail);
    assert_null(room->logs[ENCODING_BARE]->log.spare);
    assert_string_equal(heard(other), "two"); /* delivered before the store failed */
    assert_string_equal(heard(g), "one");
    settle_store();
    say(g, "four");
    flush_all();
    assert_string_equal(heard(g), "four");
    end();
}

/* An idle room owns no chunk, and a room nobody is in and nobody can resume does not exist. */
static void test_idle_owns_nothing(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *g = join_live(0, lobby, ENCODING_BARE);
    struct room *room = g->member.feed->room;
    say(g, "one");
    assert_non_null(room->logs[ENCODING_BARE]->log.tail);
    flush_all();
    assert_string_equal(heard(g), "one");
    assert_null(room->logs[ENCODING_BARE]->log.tail);
    assert_int_equal(hub_recent_bytes(stage->hub), 0);
    leave(g);
    assert_null(hub_find(stage->hub, lobby));
    end();
}

/* The recent past of a room outlives its members; once it is gone, so is the room. */
static void test_room_without_past_goes(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *full = join_live(0, lobby, ENCODING_FULL);
    say(full, "one");
    flush_all();
    leave(full);
    struct room *room = hub_find(stage->hub, lobby);
    assert_non_null(room);
    room_unref(room);
    assert_true(hub_recent_bytes(stage->hub) > 0);

    struct guest *bare = join_live(1, lobby, ENCODING_BARE);
    say(bare, "two"); /* nobody is there to keep it for */
    flush_all();
    assert_int_equal(hub_recent_bytes(stage->hub), 0);
    leave(bare);
    assert_null(hub_find(stage->hub, lobby));
    end();
}

/* The budget forgets first what nobody has come back to. */
static void test_budget_keeps_what_is_used(void **state)
{
    (void)state;
    static const struct slice names[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}};
    struct hub_options options = plenty;
    struct room *rooms[4];
    char two[7001]; /* beside it the room itself, which counts too, is little */
    memset(two, 'x', sizeof two - 1);
    two[sizeof two - 1] = '\0';
    begin(&options, NULL);
    struct guest *g = join_live(0, names[0], ENCODING_FULL);
    say(g, two);
    uint64_t one = hub_recent_bytes(stage->hub);
    uint64_t all = hub_memory_bytes(stage->hub);
    assert_true(all > one && all < one + 2000);
    flush_all();
    options.memory_budget_bytes = all * 3 - 1;
    options.seed++;
    restart(&options);
    for (int i = 0; i < 3; i++) { /* the third is too much: the first is forgotten */
        g = join_live(i, names[i], ENCODING_FULL);
        say(g, two);
        rooms[i] = g->member.feed->room;
    }
    flush_all();
    settle_store();
    assert_int_equal(rooms[0]->recent_bytes, 0);
    assert_int_equal(hub_recent_bytes(stage->hub), 2 * one);
    g = coming_back(4, names[1], ENCODING_FULL, rooms[1]->order.seq - 1);
    assert_int_equal(try_join(g), 0);
    assert_string_equal(heard(g), two);
    g = join_live(3, names[3], ENCODING_FULL);
    say(g, two);
    flush_all();
    hub_check(stage->hub, true);
    assert_true(rooms[1]->recent_bytes > 0);
    assert_int_equal(rooms[2]->recent_bytes, 0);
    assert_true(hub_recent_bytes(stage->hub) <= options.memory_budget_bytes);
    end();
}

/* ---- joining while something else happens ---- */

/* A message is edited after the page for the past was read and before it has arrived: the past must
 * not show it as it was. */
static void edit_during_fill(enum store_kind kind)
{
    begin(&plenty, NULL);
    struct guest *a = join_live(0, lobby, ENCODING_FULL);
    say(a, "one");
    say(a, "two");
    say(a, "three");
    restart(&plenty);
    a = join_live(0, lobby, ENCODING_FULL);
    say(a, "four"); /* holds the writer */
    struct guest *b = coming_back(1, lobby, ENCODING_FULL, 1);
    assert_int_equal(try_join(b), ERR_AGAIN); /* the page is asked for before the edit */
    if (kind == STORE_EDIT)
        edit(a, 2, "second");
    else
        assert_int_equal(publish(a, &(struct store_event){.kind = kind, .target = 2}), 0);
    while (gate_answer(&stage->gate))
        ;
    join_at_last(b);
    assert_int_equal(b->join.recovered, true);
    assert_string_equal(heard(b), kind == STORE_EDIT ? "second three four" : "three four");
    end();
}

static void test_edit_during_fill(void **state)
{
    (void)state;
    edit_during_fill(STORE_EDIT);
    edit_during_fill(STORE_DELETE);
}

/* In a busy room the first who come back need one page all the same. */
static void test_publish_during_fill(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *a = join_live(0, lobby, ENCODING_BARE);
    say(a, "one");
    say(a, "two");
    restart(&plenty);
    a = join_live(0, lobby, ENCODING_BARE);
    struct guest *b = coming_back(1, lobby, ENCODING_RICH, 1);
    struct guest *c = coming_back(2, lobby, ENCODING_RICH, 0);
    assert_int_equal(try_join(b), ERR_AGAIN);
    assert_int_equal(try_join(c), ERR_AGAIN);
    say(a, "three");
    settle_store();
    while (gate_answer(&stage->gate))
        ;
    assert_true(b->woken && c->woken);
    assert_int_equal(join_at_last(b), 0);
    assert_int_equal(join_at_last(c), 0);
    assert_false(b->join.from_store || c->join.from_store);
    assert_string_equal(heard(b), "two three");
    assert_string_equal(heard(c), "one two three");
    say(a, "four");
    flush_all();
    assert_string_equal(heard(b), "four");
    end();
}

/* A worker has yet to send what was forgotten meanwhile. Offsets of the past that is put in its
 * place are those of other frames, so nobody may be placed by them. */
static void test_past_in_front_of_unread(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *a = join_live(0, lobby, ENCODING_FULL);
    say(a, "one");
    say(a, "two, which is longer than the others are");
    flush_all();
    heard(a);
    say(a, "three");
    say(a, "four"); /* neither is sent yet */
    edit(a, 1, "first");
    struct guest *b = coming_back(3, lobby, ENCODING_FULL, 1);
    assert_int_equal(b->join.worker, a->join.worker);
    join_at_last(b);
    say(a, "five");
    if (b->join.from_store) feed_resume(&b->member, &stage->delivery);
    flush_all();
    assert_string_equal(heard(a), "three four five");
    /* b reads the rest from the store; live is what came after its head. */
    assert_true(b->join.from_store);
    assert_string_equal(heard(b), "five");
    end();
}

/* Memory holds what it may, not what it has plus one more page. */
static void test_fill_stays_within_limits(void **state)
{
    (void)state;
    char text[16];
    struct hub_options options = plenty;
    options.recent.max_events = 10;
    begin(&options, NULL);
    struct guest *a = join_live(0, lobby, ENCODING_FULL);
    for (int i = 1; i <= 20; i++) {
        snprintf(text, sizeof text, "m%d", i);
        say(a, text);
    }
    restart(&options);
    a = join_live(0, lobby, ENCODING_FULL);
    for (int i = 21; i <= 24; i++) {
        snprintf(text, sizeof text, "m%d", i);
        say(a, text);
    }
    flush_all();
    struct guest *b = coming_back(1, lobby, ENCODING_FULL, 14);
    assert_int_equal(join_at_last(b), 1);
    assert_string_equal(heard(b), "m15 m16 m17 m18 m19 m20 m21 m22 m23 m24");
    const struct room *room = a->member.feed->room;
    assert_int_equal(room->logs[ENCODING_FULL]->recent.count, 10);

    struct guest *c = coming_back(2, lobby, ENCODING_FULL, 13);
    assert_int_equal(join_at_last(c), 0); /* asking would not help */
    assert_true(c->join.from_store);
    end();
}

/* Retention has passed what memory begins with: memory goes on where it began. */
static void test_fill_behind_retention(void **state)
{
    (void)state;
    char text[16];
    const struct store_keep keep = {.max_events = 3};
    begin(&plenty, &keep);
    struct guest *a = join_live(0, lobby, ENCODING_FULL);
    say(a, "m1");
    restart(&plenty);
    a = join_live(0, lobby, ENCODING_FULL);
    for (int i = 2; i <= 9; i++) {
        snprintf(text, sizeof text, "m%d", i);
        say(a, text);
    }
    flush_all();
    settle_store();
    struct store_stats stats = {.trimmed = 0};
    for (int i = 0; i < 10000 && stats.trimmed < 6; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        store_stats(stage->gate.store, &stats);
    }
    assert_int_equal(stats.trimmed, 6);
    struct guest *b = coming_back(1, lobby, ENCODING_FULL, 0);
    join_at_last(b);
    assert_false(b->join.recovered);
    assert_string_equal(heard(b), "m2 m3 m4 m5 m6 m7 m8 m9");
    edit(a, 3, "third"); /* the store has it no more, memory has */
    struct guest *c = guest_in(2, lobby, ENCODING_FULL);
    c->join.history = 50;
    join_at_last(c);
    assert_null(strstr(heard(c), "m3"));
    end();
}

/* ---- decisions of the store that come late ---- */

static void publish_nonce(struct guest *g, struct submission *p, int64_t now_ms)
{
    struct slink *woken;
    p->event = (struct store_event){.username = SLICE_LIT("guest"),
                                    .message = SLICE_LIT("hi"),
                                    .nonce = SLICE_LIT("n"),
                                    .ts_ms = now_ms};
    p->now_ms = now_ms;
    assert_int_equal(room_submit(g->member.feed->room, &stage->encoder, p, &woken), 0);
    if (!p->dup) gate_appended(&stage->gate);
    push_woken(woken);
}

/* Who sends a message again and leaves before the first is decided is still told. */
static void test_retry_outlives_members(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *g = join_live(0, lobby, ENCODING_BARE);
    struct submission p = {.waiter = NULL};
    struct slink waiter;
    struct slink *woken;
    struct slink *waiters;
    publish_nonce(g, &p, WALL_MS);
    p.waiter = &waiter;
    publish_nonce(g, &p, WALL_MS);
    assert_true(p.dup && p.waiting && p.event.seq == 1);
    flush_all();
    leave(g);
    const struct store_done *d = gate_next_done(&stage->gate);
    struct room *room = hub_find(stage->hub, lobby);
    assert_non_null(room);
    room_deliver(room, &stage->encoder, d, &woken, &waiters);
    assert_ptr_equal(waiters, &waiter);
    assert_null(waiter.next);
    room_unref(room);
    assert_null(hub_find(stage->hub, lobby));
    end();
}

/* In a quiet room nothing takes out old nonces; they do not swallow a message even so. */
static void test_nonce_of_long_ago(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *g = join_live(0, lobby, ENCODING_BARE);
    struct submission p = {.waiter = NULL};
    publish_nonce(g, &p, WALL_MS);
    settle_store();
    publish_nonce(g, &p, WALL_MS + NONCE_KEEP_MS);
    assert_true(p.dup && p.event.seq == 1);
    publish_nonce(g, &p, WALL_MS + NONCE_KEEP_MS + 1);
    assert_true(!p.dup && p.event.seq == 2);
    publish_nonce(g, &p, WALL_MS + NONCE_KEEP_MS + 2);
    assert_true(p.dup && p.event.seq == 2);
    end();
}

/* What a message says of its time is nothing to its nonce: somebody may have set the clock. */
static void test_nonce_and_the_wall_clock(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *g = join_live(0, lobby, ENCODING_BARE);
    struct submission p = {.event = {.username = SLICE_LIT("guest"),
                                     .message = SLICE_LIT("hi"),
                                     .nonce = SLICE_LIT("n"),
                                     .ts_ms = WALL_MS},
                           .now_ms = WALL_MS};
    struct slink *woken;
    assert_int_equal(room_submit(g->member.feed->room, &stage->encoder, &p, &woken), 0);
    gate_appended(&stage->gate);
    push_woken(woken);
    settle_store();
    p.event.ts_ms = WALL_MS + 2 * NONCE_KEEP_MS;
    p.now_ms = WALL_MS + 1;
    assert_int_equal(room_submit(g->member.feed->room, &stage->encoder, &p, &woken), 0);
    assert_true(p.dup && p.event.seq == 1 && p.event.ts_ms == WALL_MS);
    end();
}

/* A room was dropped and loaded anew, with the event in it, before its decision arrived. */
static void test_decision_for_a_room_loaded_anew(void **state)
{
    (void)state;
    begin(&plenty, NULL);
    struct guest *g = join_live(0, lobby, ENCODING_BARE);
    struct submission p = {.waiter = NULL};
    publish_nonce(g, &p, WALL_MS);
    flush_all();
    leave(g);
    assert_null(hub_find(stage->hub, lobby));
    g = join_live(1, lobby, ENCODING_BARE);
    settle_store();
    publish_nonce(g, &p, WALL_MS);
    assert_true(p.dup && !p.waiting && p.event.seq == 1);
    end();
}

/* ---- read markers ---- */

/* What room_read says; the gate is told of what is queued. */
static int read_to(struct guest *g, uint64_t seq, bool *old)
{
    struct read_marker r = {.mark = {seq, SLICE_LIT("ann")}};
    int err = room_read(g->member.feed->room, &r);
    if (!err && !r.old) gate_appended(&stage->gate);
    *old = r.old;
    return err;
}

static uint64_t read_seq(const struct guest *g, const char *user)
{
    return room_read_seq(g->member.feed->room, (struct slice){user, strlen(user)});
}

/* The room knows a marker once it is committed, and later lives of the room know it too. */
static void test_read(void **state)
{
    (void)state;
    bool old;
    begin(&plenty, NULL);
    struct guest *g = join_live(0, lobby, ENCODING_BARE);
    assert_int_equal(read_to(g, 0, &old), ERR_NO_MESSAGE);
    assert_int_equal(read_to(g, 1, &old), ERR_NO_MESSAGE);
    say(g, "one");
    say(g, "two");
    assert_int_equal(read_to(g, 2, &old), 0);
    assert_false(old);
    assert_int_equal(read_seq(g, "ann"), 0);
    flush_all();
    settle_store();
    assert_int_equal(read_seq(g, "ann"), 2);
    assert_int_equal(read_seq(g, "bob"), 0);
    struct store_stats before;
    struct store_stats after;
    store_stats(stage->gate.store, &before);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        assert_int_equal(read_to(g, seq, &old), 0);
        assert_true(old);
    }
    store_stats(stage->gate.store, &after); /* no write for that */
    assert_int_equal(after.in_flight, 0);
    assert_int_equal(after.batches, before.batches);
    assert_int_equal(read_to(g, 3, &old), ERR_NO_MESSAGE);
    restart(&plenty);
    g = join_live(1, lobby, ENCODING_RICH);
    assert_int_equal(read_seq(g, "ann"), 2);
    end();
}

/* Older moves that are queued behind a newer one, and a room that was loaded anew meanwhile. */
static void test_reads_in_flight(void **state)
{
    (void)state;
    bool old;
    begin(&plenty, NULL);
    struct guest *g = join_live(0, lobby, ENCODING_BARE);
    for (int i = 0; i < 5; i++)
        say(g, "x");
    assert_int_equal(read_to(g, 4, &old), 0);
    assert_int_equal(read_to(g, 3, &old), 0);
    assert_false(old);
    flush_all();
    leave(g);
    assert_null(hub_find(stage->hub, lobby));
    g = join_live(1, lobby, ENCODING_BARE);
    assert_int_equal(read_seq(g, "ann"), 4);
    settle_store();
    assert_int_equal(read_seq(g, "ann"), 4);
    end();
}

/* A store that fails: the marker stays where it was, and moves once the store works again. */
static void test_read_refused(void **state)
{
    (void)state;
    bool old;
    begin(&plenty, NULL);
    struct guest *g = join_live(0, lobby, ENCODING_BARE);
    struct guest *other = join_live(1, SLICE_LIT("other"), ENCODING_BARE);
    say(g, "one");
    say(g, "two");
    assert_int_equal(read_to(g, 1, &old), 0);
    flush_all();
    settle_store();
    say(g, "three"); /* on_done holds the writer */
    assert_int_equal(read_to(g, 2, &old), 0);
    say(other, "four"); /* and this one will find no memory for a new room */
    flush_all();
    assert_non_null(gate_next_done(&stage->gate));
    fail_alloc_after(0);
    gate_turn_writer(&stage->gate);
    fail_alloc_off();
    assert_false(store_healthy(stage->gate.store));
    assert_int_equal(read_to(g, 3, &old), ERR_STORE);
    assert_int_equal(read_to(g, 1, &old), 0); /* nothing to be stored */
    assert_true(old);
    settle_store();
    assert_int_equal(read_seq(g, "ann"), 1);
    assert_int_equal(read_to(g, 2, &old), 0);
    settle_store();
    assert_int_equal(read_seq(g, "ann"), 2);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publish_out_of_memory),
        cmocka_unit_test(test_join_out_of_memory),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_idle_owns_nothing),
        cmocka_unit_test(test_room_without_past_goes),
        cmocka_unit_test(test_budget_keeps_what_is_used),
        cmocka_unit_test(test_edit_during_fill),
        cmocka_unit_test(test_publish_during_fill),
        cmocka_unit_test(test_past_in_front_of_unread),
        cmocka_unit_test(test_fill_stays_within_limits),
        cmocka_unit_test(test_fill_behind_retention),
        cmocka_unit_test(test_retry_outlives_members),
        cmocka_unit_test(test_nonce_of_long_ago),
        cmocka_unit_test(test_nonce_and_the_wall_clock),
        cmocka_unit_test(test_decision_for_a_room_loaded_anew),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_reads_in_flight),
        cmocka_unit_test(test_read_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
