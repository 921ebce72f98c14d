/* The journal of one machine: numbers, nonces, and what it tells the room. The store is real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "gated_store.h"
#include "journal/local.h"

enum { NOW_MS = 1000000 };

static unsigned step; /* between the seqs of a room */
static struct gate gate;
static struct journal *journal;
static struct journal_room room;

/* The room of the tests: notes what it is told, and refuses when it is to. */
struct listener {
    struct journal_sink sink;
    int err;
    uint64_t prepared;
    uint64_t delivered;
};

static int on_prepare(struct journal_sink *sink, const struct store_event *e)
{
    struct listener *l = container_of(sink, struct listener, sink);
    l->prepared = e->seq;
    return l->err;
}

static void on_deliver(struct journal_sink *sink, const struct store_event *e)
{
    struct listener *l = container_of(sink, struct listener, sink);
    l->delivered = e->seq;
}

static struct listener listener = {.sink = {on_prepare, on_deliver}};

static void begin(bool strict)
{
    gate_open(&gate, (struct store_options){.now_ms = NULL}, NULL, NULL, NULL);
    journal = journal_local_new(gate.store, strict, step);
    assert_non_null(journal);
    room = (struct journal_room){0};
    listener = (struct listener){.sink = {on_prepare, on_deliver}};
}

static void end(void)
{
    while (gate_next_done(&gate) || gate_turn_writer(&gate))
        ;
    journal_room_fini(&room);
    gate_close(&gate);
    journal_free(journal);
}

static int submit(struct submission *s, const char *nonce)
{
    s->room = SLICE_LIT("r");
    s->epoch = "epoch000";
    s->event.username = SLICE_LIT("ann");
    s->event.message = SLICE_LIT("hi");
    s->event.nonce = (struct slice){nonce, strlen(nonce)};
    s->now_ms = NOW_MS;
    int err = journal_submit(journal, &room, s, &listener.sink);
    if (!err && !s->dup) gate_appended(&gate);
    return err;
}

/* The room is told in the same step, and what it cannot take is not given. */
static void test_at_once(void **state)
{
    struct submission s = {.waiter = NULL};
    (void)state;
    begin(false);
    assert_int_equal(submit(&s, ""), 0);
    uint64_t first = s.event.seq;
    assert_int_equal(first, step);
    assert_true(listener.delivered == first && room.seq == first);
    listener.err = ERR_NOMEM;
    assert_int_equal(submit(&s, "n"), ERR_NOMEM);
    assert_true(listener.prepared > first && listener.delivered == first && room.seq == first);
    listener.err = 0;
    assert_int_equal(submit(&s, "n"), 0); /* its nonce was not kept */
    assert_false(s.dup);
    assert_true(s.event.seq > first && listener.delivered == s.event.seq);
    end();
}

static void test_late(void **state)
{
    struct submission s = {.waiter = NULL};
    (void)state;
    begin(true);
    assert_int_equal(submit(&s, ""), 0);
    assert_true(journal->late && s.event.seq == room.seq);
    assert_int_equal(listener.prepared, 0);
    assert_int_equal(listener.delivered, 0);
    end();
}

/* Who repeats a nonce gets the first one's id, and waits for its fate. */
static void test_nonce(void **state)
{
    struct slink link = {NULL};
    struct slink *waiters;
    struct submission s = {.waiter = NULL};
    struct submission again = {.waiter = &link};
    (void)state;
    begin(false);
    assert_int_equal(submit(&s, "n"), 0);
    assert_int_equal(submit(&again, "n"), 0);
    assert_true(again.dup && again.waiting && journal_room_is_waited(&room));
    assert_int_equal(again.event.seq, s.event.seq);
    const struct store_done *d = gate_next_done(&gate);
    journal_settle(journal, &room, d, &waiters);
    assert_ptr_equal(waiters, &link);
    assert_false(journal_room_is_waited(&room));
    assert_int_equal(submit(&again, "n"), 0);
    assert_true(again.dup && !again.waiting);
    end();
}

/* After a refusal it may be used again. */
static void test_refused(void **state)
{
    struct slink *waiters;
    struct submission s = {.waiter = NULL};
    (void)state;
    begin(false);
    assert_int_equal(submit(&s, "n"), 0);
    struct store_done d = *gate_next_done(&gate);
    uint64_t first = s.event.seq;
    d.err = ERR_STORE;
    journal_settle(journal, &room, &d, &waiters);
    assert_null(waiters);
    assert_int_equal(submit(&s, "n"), 0);
    assert_true(!s.dup && s.event.seq > first);
    end();
}

/* A room goes on behind all that outages can have lost, and what it was told of nonces it knows. */
static void test_load(void **state)
{
    const struct store_nonce nonce = {9, NOW_MS, SLICE_LIT("ann"), SLICE_LIT("n")};
    struct store_loaded loaded = {
        .room = {.last_seq = 14, .outages = 2}, .nonces = &nonce, .nonce_count = 1};
    struct submission s = {.waiter = NULL};
    (void)state;
    begin(false);
    assert_int_equal(journal_load(journal, &loaded, &room), 0);
    assert_true(room.seq >= 14 + 2 * (uint64_t)step * STORE_IN_FLIGHT_MAX);
    assert_int_equal(submit(&s, "n"), 0);
    assert_true(s.dup && !s.waiting);
    assert_int_equal(s.event.seq, 9);
    assert_int_equal(submit(&s, ""), 0);
    assert_int_equal(s.event.seq, journal_local_next_seq(&loaded.room, step));
    end();
}

/* No seq is left: nothing is given rather than one twice. */
static void test_last_seq(void **state)
{
    const struct store_loaded loaded = {.room = {.last_seq = 14, .outages = UINT32_MAX}};
    const struct store_loaded at_end = {.room = {.last_seq = STORE_SEQ_MAX - 1, .outages = 1}};
    struct submission s = {.waiter = NULL};
    (void)state;
    begin(false);
    assert_int_equal(journal_load(journal, &loaded, &room), 0);
    assert_true(room.seq <= STORE_SEQ_MAX);
    assert_int_equal(journal_load(journal, &at_end, &room), 0);
    assert_int_equal(room.seq, STORE_SEQ_MAX);
    assert_int_equal(submit(&s, ""), ERR_STORE);
    assert_int_equal(room.seq, STORE_SEQ_MAX);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_once), cmocka_unit_test(test_late),
        cmocka_unit_test(test_nonce),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_load),    cmocka_unit_test(test_last_seq)};
    int failed = 0;
    for (step = 1; step <= 7; step += 6)
        failed += cmocka_run_group_tests_name(step > 1 ? "sparse" : "dense", tests, NULL, NULL);
    return failed;
}
