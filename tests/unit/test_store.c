/* The contract of the store: one suite, run against every implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fail_alloc.h"
#include "journal/local.h"
#include "store/store.h"
#include "store_world.h"

static int64_t fake_now_ms(void)
{
    return 1000000;
}

static void test_append_and_load(void **state)
{
    struct world *w = *state;
    struct answer a;
    assert_non_null(world_open(w, (struct store_options){0}));
    assert_int_equal(world_load(w, "lobby", &a), ERR_NOT_FOUND);
    assert_int_equal(world_page(w, "lobby", STORE_AFTER, 0, 10, &a), ERR_NOT_FOUND);
    world_fill(w, "lobby", 1, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(w->seen.done[i].seq, i + 1); /* in order, each once */
        assert_ptr_equal(w->seen.done[i].tag, (void *)(uintptr_t)(i + 1));
    }
    assert_int_equal(world_load(w, "lobby", &a), 0);
    assert_memory_equal(a.room.epoch, world_epoch, EVENT_EPOCH_LEN);
    assert_int_equal(a.room.first_seq, 1);
    assert_int_equal(a.room.last_seq, 100);
    assert_int_equal(journal_local_next_seq(&a.room, 1), 101);
    assert_int_equal(a.room.trimmed_seq, 0);
    assert_int_equal(world_load(w, "lobb", &a), ERR_NOT_FOUND);
}

/* A room that was imported without its beginning does not pretend to have it. */
static void test_begins_later(void **state)
{
    struct world *w = *state;
    struct answer a;
    assert_non_null(world_open(w, (struct store_options){0}));
    world_put(w, "late", (struct store_event){.seq = 100, .message = SLICE_LIT("first of them")});
    world_put(w, "late", (struct store_event){.seq = 200, .message = SLICE_LIT("second")});
    world_settle(w);
    assert_int_equal(world_load(w, "late", &a), 0);
    assert_int_equal(a.room.first_seq, 100);
    assert_int_equal(a.room.trimmed_seq, 99);
}

/* Seqs may have gaps: what a room had before its first event is what it is told. */
static void test_begins_with_a_gap(void **state)
{
    struct world *w = *state;
    struct answer a;
    const struct store_event e = {.seq = 7, .message = SLICE_LIT("first of all")};
    const struct store_append append = {SLICE_LIT("sparse"), world_epoch, &e, NULL, false, 0};
    assert_non_null(world_open(w, (struct store_options){0}));
    assert_int_equal(store_append(w->store, &append), 0);
    world_put(w, "sparse", (struct store_event){.seq = 14, .message = SLICE_LIT("second")});
    world_wait_done(&w->seen, 2);
    assert_int_equal(world_load(w, "sparse", &a), 0);
    assert_int_equal(a.room.first_seq, 7);
    assert_int_equal(a.room.trimmed_seq, 0);
}

static void test_texts(void **state)
{
    struct world *w = *state;
    struct answer a;
    assert_non_null(world_open(w, (struct store_options){0}));
    struct store_event e = {
        .seq = STORE_SEQ_MAX - 1,
        .ts_ms = 1790000000123,
        .kind = STORE_EDIT,
        .target = 7,
        .reply_to = STORE_SEQ_MAX,
        .username = SLICE_LIT("\xc3\xa4nn"),
        .message = SLICE_LIT("\0a\0\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\xef\xbf\xbd'\"\n\0"),
        .data = SLICE_LIT("{\"x\":1.10}"),
        .nonce = SLICE_LIT(""),
    };
    const char all[] =
        "\xc3\xa4nn\0a\0\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\xef\xbf\xbd'\"\n\0{\"x\":1.10}";
    struct store_append ap = {SLICE_LIT("r\xc3\xb6om"), world_epoch, &e, NULL, false, e.seq - 1};
    assert_int_equal(store_append(w->store, &ap), 0);
    assert_int_equal(world_page(w, "r\xc3\xb6om", STORE_AFTER, 0, 10, &a),
                     0); /* waits for the append */
    assert_int_equal(a.count, 1);
    assert_int_equal(a.first.seq, STORE_SEQ_MAX - 1);
    assert_int_equal(a.first.ts_ms, 1790000000123);
    assert_int_equal(a.first.kind, STORE_EDIT);
    assert_int_equal(a.first.target, 7);
    assert_int_equal(a.first.reply_to, STORE_SEQ_MAX);
    assert_null(a.first.user.ptr);
    assert_non_null(a.first.nonce.ptr);
    assert_int_equal(a.first.nonce.len, 0);
    assert_int_equal(a.text_len, sizeof all - 1);
    assert_memory_equal(a.text, all, sizeof all - 1);
}

/* Every code point, in pieces. */
static void test_all_of_unicode(void **state)
{
    struct world *w = *state;
    assert_non_null(world_open(w, (struct store_options){0}));
    uint64_t seq = 0;
    for (uint32_t c = 0; c < 0x110000; c += 16) {
        char text[64];
        size_t n = 0;
        if (c >= 0xd800 && c < 0xe000) continue;
        for (uint32_t u = c; u < c + 16; u++) {
            if (u < 0x80) text[n++] = (char)u;
            if (u >= 0x80 && u < 0x800) text[n++] = (char)(0xc0 | u >> 6);
            if (u >= 0x10000) text[n++] = (char)(0xf0 | u >> 18);
            if (u >= 0x10000) text[n++] = (char)(0x80 | (u >> 12 & 63));
            if (u >= 0x800 && u < 0x10000) text[n++] = (char)(0xe0 | u >> 12);
            if (u >= 0x800) text[n++] = (char)(0x80 | (u >> 6 & 63));
            if (u >= 0x80) text[n++] = (char)(0x80 | (u & 63));
        }
        while (world_add(w, "u", seq + 1, (struct slice){text, n}) != 0)
            world_nap();
        seq++;
        if (seq % 1009 == 0) {
            struct answer a;
            assert_int_equal(world_page(w, "u", STORE_BEFORE, STORE_SEQ_MAX + 1, 1, &a), 0);
            assert_int_equal(a.text_len, 3 + n);
            assert_memory_equal(a.text + 3, text, n);
        }
    }
    world_wait_done(&w->seen, seq);
    assert_int_equal(w->seen.failed, 0);
}

static void test_order_is_kept(void **state)
{
    struct world *w = *state;
    struct answer a;
    assert_non_null(world_open(w, (struct store_options){0}));
    assert_int_equal(world_add(w, "r", 5, SLICE_LIT("a")), 0);
    assert_int_equal(world_add(w, "r", 5, SLICE_LIT("again")), 0);
    assert_int_equal(world_add(w, "r", 3, SLICE_LIT("older")), 0);
    struct store_event e = {.seq = 9, .message = SLICE_LIT("m")};
    struct store_append other = {SLICE_LIT("r"), "12345678", &e, NULL, false, e.seq - 1};
    assert_int_equal(store_append(w->store, &other), 0);
    assert_int_equal(world_add(w, "r", 8, SLICE_LIT("b")), 0); /* gaps are allowed */
    world_wait_done(&w->seen, 5);
    const int want[] = {0, ERR_STORE_ORDER, ERR_STORE_ORDER, ERR_STORE_ORDER, 0};
    for (int i = 0; i < 5; i++)
        assert_int_equal(w->seen.done[i].err, want[i]);
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 10, &a), 0);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.seqs[1], 8);
    assert_true(store_healthy(w->store));
}

static void expect_page(struct world *w, enum store_direction d, uint64_t at, unsigned limit,
                        const char *want)
{
    struct answer a;
    char got[256] = "";
    size_t n = 0;
    assert_int_equal(world_page(w, "p", d, at, limit, &a), 0);
    for (size_t i = 0; i < a.count; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%llu ", (unsigned long long)a.seqs[i]);
    snprintf(got + n, sizeof got - n, "%s%s", a.more_before ? "<" : "", a.more_after ? ">" : "");
    assert_string_equal(got, want);
}

static void test_paging(void **state)
{
    struct world *w = *state;
    assert_non_null(world_open(w, (struct store_options){0}));
    for (uint64_t seq = 10; seq <= 60; seq += 10)
        world_fill(w, "p", seq, seq);
    world_fill(w, "q", 35, 36); /* another room in between */
    expect_page(w, STORE_AFTER, 0, 2, "10 20 >");
    expect_page(w, STORE_AFTER, 9, 1, "10 >");
    expect_page(w, STORE_AFTER, 10, 2, "20 30 >");
    expect_page(w, STORE_AFTER, 40, 2, "50 60 ");
    expect_page(w, STORE_AFTER, 40, 1, "50 >");
    expect_page(w, STORE_AFTER, 60, 2, "");
    expect_page(w, STORE_AFTER, UINT64_MAX, 2, "");
    expect_page(w, STORE_BEFORE, UINT64_MAX, 2, "50 60 <");
    expect_page(w, STORE_BEFORE, STORE_SEQ_MAX + 1, 6, "10 20 30 40 50 60 ");
    expect_page(w, STORE_BEFORE, 30, 2, "10 20 ");
    expect_page(w, STORE_BEFORE, 31, 2, "20 30 <");
    expect_page(w, STORE_BEFORE, 10, 2, "");
    expect_page(w, STORE_BEFORE, 0, 2, "");
    expect_page(w, STORE_AROUND, 30, 3, "20 30 40 <>");
    expect_page(w, STORE_AROUND, 30, 1, "30 <>");
    expect_page(w, STORE_AROUND, 10, 4, "10 20 >");
    expect_page(w, STORE_AROUND, 0, 4, "10 20 >");
    expect_page(w, STORE_AROUND, 60, 4, "40 50 60 <");
    expect_page(w, STORE_AROUND, 35, 20, "10 20 30 40 50 60 ");
    expect_page(w, STORE_AROUND, UINT64_MAX, 2, "60 <");
    expect_page(w, STORE_NEWEST, UINT64_MAX, 2, "50 60 ");
    expect_page(w, STORE_NEWEST, 61, 6, "10 20 30 40 50 60 ");
    expect_page(w, STORE_NEWEST, 61, 1000, "10 20 30 40 50 60 ");
    expect_page(w, STORE_NEWEST, 31, 2, "20 30 >"); /* and what is newer than asked for */
    expect_page(w, STORE_NEWEST, 1, 2, "10 20 >");
}

/* The newest page in pieces: where it begins is found whatever lies behind, and told how many. */
static void test_newest_in_pieces(void **state)
{
    struct world *w = *state;
    struct answer a;
    assert_non_null(world_open(w, (struct store_options){0}));
    world_fill(w, "p", 1, 100);
    world_put(w, "p", (struct store_event){.seq = 101, .kind = STORE_DELETE, .target = 95});
    world_put(w, "p", (struct store_event){.seq = 102, .kind = STORE_REACT, .target = 96});
    world_settle(w);
    struct store_query q = {.room = SLICE_LIT("p"),
                            .direction = STORE_NEWEST,
                            .position = 103,
                            .limit = 50,
                            .max_bytes = 1,
                            .messages_only = true,
                            .reactions = true,
                            .count_max = 7};
    assert_int_equal(world_ask(w, &q, &a), 0);
    assert_int_equal(a.total, 50);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.seqs[0], 50); /* 95 is no message any more */
    assert_true(a.more_after);
    q.limit = 1000;
    assert_int_equal(world_ask(w, &q, &a), 0);
    assert_int_equal(a.total, 99);
    assert_int_equal(a.seqs[0], 1);
    q.messages_only = false;
    q.limit = 3;
    q.max_bytes = 0;
    assert_int_equal(world_ask(w, &q, &a), 0);
    assert_int_equal(a.total, 3);
    assert_int_equal(a.count, 3);
    assert_int_equal(a.seqs[0], 100);
    assert_false(a.more_after);
}

static void test_page_bytes(void **state)
{
    struct world *w = *state;
    struct answer a;
    assert_non_null(world_open(w, (struct store_options){0}));
    size_t size = STORE_PAGE_MAX_BYTES / 2;
    char *big = calloc(1, size);
    assert_non_null(big);
    for (uint64_t seq = 1; seq <= 4; seq++)
        assert_int_equal(world_add(w, "big", seq, (struct slice){big, size}), 0);
    free(big);
    world_wait_done(&w->seen, 4);
    assert_int_equal(world_page(w, "big", STORE_AFTER, 1, 100, &a), 0);
    assert_int_equal(a.count, 1); /* never none */
    assert_int_equal(a.seqs[0], 2);
    assert_true(a.more_after);
    assert_int_equal(world_page(w, "big", STORE_BEFORE, 4, 100, &a), 0);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.seqs[0], 3);
    assert_true(a.more_before);
    struct store_event e = {.seq = 9, .message = {"", STORE_TEXT_MAX_BYTES + 1}};
    struct store_append too_long = {SLICE_LIT("big"), world_epoch, &e, NULL, false, e.seq - 1};
    assert_int_equal(store_append(w->store, &too_long), ERR_TOO_LONG);
}

static void test_queue_cap(void **state)
{
    struct world *w = *state;
    struct store_stats stats;
    assert_non_null(world_open(w, (struct store_options){.in_flight_max = 50}));
    uint64_t seq = 1;
    int err = 0;
    world_hold_writer(w, "r", seq);
    while (!err && seq < 5000)
        err = world_add(w, "r", ++seq, SLICE_LIT("m"));
    assert_int_equal(err, ERR_STORE); /* at once, and nothing else is wrong */
    assert_int_equal(seq, 52);
    assert_true(store_healthy(w->store));
    store_stats(w->store, &stats);
    assert_int_equal(stats.in_flight, 50);
    world_hold(&w->seen, false);
    world_wait_done(&w->seen, seq - 1);
    assert_int_equal(w->seen.failed, 0);
    assert_int_equal(world_add(w, "r", seq, SLICE_LIT("m")), 0);
}

/* With the writer held up, what piles up goes into one transaction. */
static void test_group_commit(void **state)
{
    struct world *w = *state;
    struct store_stats stats;
    assert_non_null(world_open(w, (struct store_options){0}));
    world_hold(&w->seen, true);
    for (uint64_t seq = 1; seq <= 4000; seq++)
        assert_int_equal(world_add(w, "r", seq, SLICE_LIT("m")), 0);
    world_hold(&w->seen, false);
    world_wait_done(&w->seen, 4000);
    store_stats(w->store, &stats);
    assert_int_equal(stats.committed, 4000);
    assert_in_range(stats.batches, 1, 4);
}

struct producer {
    struct world *w;
    pthread_t thread;
    unsigned index;
    unsigned refused;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    char room[8];
    struct answer a;
    snprintf(room, sizeof room, "r%u", p->index);
    for (uint64_t seq = 1; seq <= 500; seq++) {
        if (world_add(p->w, room, seq, SLICE_LIT("hello")) != 0) p->refused++;
        /* What was queued before is seen. */
        if (seq % 50 == 0 && (world_load(p->w, room, &a) != 0 || a.room.last_seq != seq))
            p->refused++;
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct world *w = *state;
    struct producer p[4];
    struct answer a;
    assert_non_null(world_open(w, (struct store_options){.readers = 3}));
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (struct producer){.w = w, .index = i};
        assert_int_equal(pthread_create(&p[i].thread, NULL, produce, &p[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(p[i].thread, NULL);
        assert_int_equal(p[i].refused, 0);
    }
    world_wait_done(&w->seen, 2000);
    assert_int_equal(w->seen.failed, 0);
    assert_int_equal(world_page(w, "r2", STORE_AFTER, 0, 1000, &a), 0);
    assert_int_equal(a.count, 500);
}

/* Closing completes what is queued, questions too. */
static void test_close_drains(void **state)
{
    struct world *w = *state;
    struct answer a;
    assert_non_null(world_open(w, (struct store_options){0}));
    for (uint64_t seq = 1; seq <= 1000; seq++)
        assert_int_equal(world_add(w, "r", seq, SLICE_LIT("m")), 0);
    answer_init(&a);
    assert_int_equal(store_load_room(w->store, NULL, SLICE_LIT("r"), answer_on_room, &a), 0);
    store_close(w->store);
    w->store = NULL;
    assert_int_equal(w->seen.count, 1000);
    assert_int_equal(w->seen.failed, 0);
    assert_true(a.ready);
    assert_int_equal(answer_wait(&a), 0);
    assert_int_equal(a.room.last_seq, 1000);
}

static int first_seq(struct world *w, const char *room, uint64_t *first)
{
    struct answer a;
    int err = world_load(w, room, &a);
    *first = err ? 0 : a.room.first_seq;
    return err;
}

static void open_keeping(struct world *w, struct store_keep keep)
{
    assert_non_null(world_open(
        w, (struct store_options){.keep = keep, .trim_pause_ms = 10, .now_ms = fake_now_ms}));
}

/* Until only want events are kept; a few more rooms show that each has its own limit. */
static void expect_trimmed(struct world *w, struct store_keep keep, uint64_t want)
{
    struct answer a;
    uint64_t first = 0;
    open_keeping(w, keep);
    world_fill(w, "long", 1, 1000);
    world_fill(w, "short", 999, 1000);
    for (int i = 0; i < WORLD_WAIT_S * 200 && first != want; i++) {
        assert_int_equal(first_seq(w, "long", &first), 0);
        world_nap();
    }
    for (int i = 0; i < 10; i++)
        world_nap(); /* and it stops there */
    assert_int_equal(world_load(w, "long", &a), 0);
    assert_int_equal(a.room.first_seq, want);
    assert_int_equal(a.room.trimmed_seq, want - 1);
    assert_int_equal(a.room.last_seq, 1000);
    assert_int_equal(journal_local_next_seq(&a.room, 1), 1001);
    assert_int_equal(first_seq(w, "short", &first), 0);
    assert_int_equal(first, 999);
    world_fill(w, "long", 1001, 1001); /* it goes on */
    assert_int_equal(world_page(w, "long", STORE_AFTER, 0, 1000, &a), 0);
    assert_in_range(a.count, 1001 - want, 1002 - want);
}

static void test_keep_events(void **state)
{
    expect_trimmed(*state, (struct store_keep){.max_events = 10}, 991);
}

static void test_keep_bytes(void **state)
{
    /* each weighs 64 + "ann" + "hi" */
    expect_trimmed(*state, (struct store_keep){.max_bytes = 69 * 20}, 981);
}

static void test_keep_age(void **state)
{
    /* ts is seq, now is 1000000 */
    expect_trimmed(*state, (struct store_keep){.max_age_ms = 1000000 - 900}, 900);
}

/* A room of which nothing is left is gone, with its markers; whoever still has it in memory goes on
 * with its epoch, and what is known of it then begins there. */
static void test_room_goes(void **state)
{
    struct world *w = *state;
    struct answer a;
    struct store_stats stats;
    uint64_t first;
    open_keeping(w, (struct store_keep){.max_age_ms = 10});
    world_fill(w, "long", 1, 1000);
    world_put(w, "young", (struct store_event){.seq = 1, .ts_ms = 1000000});
    w->put = 1001;
    world_settle(w);
    int err = 0;
    for (int i = 0; i < WORLD_WAIT_S * 200 && err != ERR_NOT_FOUND; i++) {
        err = first_seq(w, "long", &first);
        world_nap();
    }
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_int_equal(world_list(w, "", 10, &a), 0);
    assert_int_equal(a.count, 1);
    store_stats(w->store, &stats);
    assert_int_equal(stats.rooms, 1);
    assert_int_equal(stats.trimmed, 1000);
    struct store_move m = {SLICE_LIT("long"), world_epoch, {5, SLICE_LIT("ann")}, NULL, false};
    assert_int_equal(store_move_mark(w->store, &m), 0);
    world_wait_done(&w->seen, 1002);
    assert_int_equal(w->seen.done[1001].err, ERR_STORE_ORDER); /* as of a room that never was */
    world_put(w, "long", (struct store_event){.seq = 1001, .ts_ms = 1000000});
    world_mark(w, "long", "ann", 1001);
    assert_int_equal(world_load(w, "long", &a), 0);
    assert_int_equal(a.room.first_seq, 1001);
    assert_int_equal(a.room.trimmed_seq, 1000);
    assert_int_equal(journal_local_next_seq(&a.room, 1), 1002);
    assert_string_equal(a.shown, "ann>1001 ");
}

/* Memory runs out in append, in the writer and in the readers, at each allocation in turn: nothing
 * acked is lost, nothing refused appears, and it recovers. */
static void test_no_memory(void **state)
{
    struct world *w = *state;
    struct answer a;
    long live = fail_alloc_live();
    assert_non_null(world_open(w, (struct store_options){0}));
    uint64_t acked = 0;
    uint64_t seq = 0;
    for (long n = 0; n < 12; n++) {
        char room[32];
        assert_true(world_wait_health(w->store, true));
        snprintf(room, sizeof room, "n%ld", n);
        size_t have = w->seen.count;
        fail_alloc_after(n);
        int e1 = world_add(w, room, ++seq, SLICE_LIT("m"));
        int e2 = world_add(w, "all", seq, SLICE_LIT("m"));
        size_t accepted = e1 == 0;
        accepted += e2 == 0;
        world_wait_done(&w->seen, have + accepted);
        int read_err = world_page(w, "all", STORE_AFTER, 0, 100, &a);
        fail_alloc_off();
        assert_true(e1 == 0 || e1 == ERR_NOMEM || e1 == ERR_STORE);
        assert_true(read_err == 0 || read_err == ERR_NOMEM || read_err == ERR_NOT_FOUND);
        if (e2 == 0 && w->seen.done[have + accepted - 1].err == 0) acked++;
    }
    assert_true(world_wait_health(w->store, true));
    assert_int_equal(world_page(w, "all", STORE_AFTER, 0, 100, &a), 0);
    assert_int_equal(a.count, acked);
    assert_true(acked > 0);
    assert_true(acked < 12);
    store_close(w->store);
    w->store = NULL;
    assert_int_equal(fail_alloc_live(), live);
    for (long n = 0; n < 3; n++) { /* opening */
        fail_alloc_after(n);
        struct store *s = world_open(w, (struct store_options){0});
        fail_alloc_off();
        store_close(s);
        w->store = NULL;
        assert_int_equal(fail_alloc_live(), live);
    }
}

/* Nobody can guess it, and it stays with the data. */
static void test_secret(void **state)
{
    struct world *w = *state;
    uint8_t secrets[3][STORE_SECRET_BYTES] = {0};
    for (int life = 0; life < 3; life++) {
        assert_non_null(world_open(w, (struct store_options){.secret = secrets[life]}));
        world_fill(w, "r", (uint64_t)life + 1, (uint64_t)life + 1);
        store_close(w->store);
        w->store = NULL;
    }
    static const uint8_t zero[STORE_SECRET_BYTES];
    assert_memory_not_equal(secrets[0], zero, sizeof zero);
    for (int life = 1; life < 3; life++)
        assert_int_equal(memcmp(secrets[life], secrets[0], sizeof zero) == 0, w->backend->durable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_load),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_all_of_unicode),
        cmocka_unit_test(test_begins_later),
        cmocka_unit_test(test_begins_with_a_gap),
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_paging),
        cmocka_unit_test(test_page_bytes),
        cmocka_unit_test(test_newest_in_pieces),
        cmocka_unit_test(test_queue_cap),
        cmocka_unit_test(test_group_commit),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_close_drains),
        cmocka_unit_test(test_keep_events),
        cmocka_unit_test(test_keep_bytes),
        cmocka_unit_test(test_keep_age),
        cmocka_unit_test(test_room_goes),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_secret),
    };
    return WORLD_RUN_EVERY(tests);
}
