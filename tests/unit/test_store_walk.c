/* What a question costs must not depend on what it passes over: pages of messages in a room in
 * which reactions, edits or deleted messages are the most by far. Counted is time of the processor,
 * since the machine may be busy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "store_world.h"

enum {
    CROWD = 50000, /* events that are no message, or a deleted one */
    ROUNDS = 9,
    TIMES = 8,  /* each question in a round */
    SLACK = 10, /* a walk over the crowd takes hundreds of times as long */
};

static int64_t used_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void put_words(struct world *w, const char *room, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++)
        world_put(w, room, (struct store_event){.seq = seq, .message = SLICE_LIT("word")});
}

/* Messages 1 to 3, a crowd of reactions or none, and two messages more. */
static void fill_reactions(struct world *w, const char *room, uint64_t crowd)
{
    put_words(w, room, 1, 3);
    for (uint64_t i = 0; i < crowd; i++) {
        struct store_event e = {.seq = 4 + i,
                                .kind = i % 2 ? STORE_UNREACT : STORE_REACT,
                                .target = 1 + i / 2 % 3,
                                .message = SLICE_LIT("+")};
        world_put(w, room, e);
    }
    put_words(w, room, 4 + crowd, 5 + crowd);
}

/* A message, a crowd of deleted ones, and what deleted them, and a message. */
static void fill_deleted(struct world *w, const char *room, uint64_t crowd)
{
    uint64_t seq = 1;
    world_put(w, room, (struct store_event){.seq = seq, .message = SLICE_LIT("word")});
    for (uint64_t i = 0; i < crowd / 2; i++) {
        seq++;
        world_put(w, room, (struct store_event){.seq = seq, .message = SLICE_LIT("x")});
    }
    seq++;
    for (uint64_t i = 0; i < crowd / 2; i++) {
        struct store_event e = {.seq = seq, .kind = STORE_DELETE, .target = 2 + i};
        world_put(w, room, e);
        seq++;
    }
    world_put(w, room, (struct store_event){.seq = seq, .message = SLICE_LIT("word")});
}

/* Asks every kind of question once. */
static void ask_all(struct world *w, const char *room, uint64_t last)
{
    static const struct {
        enum store_direction direction;
        unsigned limit;
        bool from_end;
        bool all; /* not only messages */
    } pages[] = {
        {STORE_BEFORE, 3, true, false},  {STORE_AFTER, 100, false, false},
        {STORE_AROUND, 8, false, false}, {STORE_AROUND, 8, true, false},
        {STORE_NEWEST, 3, true, false},  {STORE_NEWEST, 100, true, false},
        {STORE_BEFORE, 3, true, true},   {STORE_AFTER, 3, false, true},
        {STORE_AROUND, 4, true, true},   {STORE_NEWEST, 3, true, true},
    };
    struct answer a;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        const struct store_query q = {.room = {room, strlen(room)},
                                      .direction = pages[i].direction,
                                      .position = pages[i].from_end ? last : 2,
                                      .limit = pages[i].limit,
                                      .messages_only = !pages[i].all,
                                      .count_max = pages[i].all ? 8 : 1000,
                                      .reactions = true};
        assert_int_equal(world_ask(w, &q, &a), 0);
        assert_true(a.count > 0);
    }
    if (!w->backend->indexed) return;
    assert_int_equal(world_load(w, room, &a), 0);
    assert_int_equal(world_list(w, "", 10, &a), 0);
    const struct store_search q = {{room, strlen(room)}, SLICE_LIT("word"), last, 10};
    assert_int_equal(world_search(w, &q, &a), 0);
}

/* The least that it takes. */
static int64_t cost_us(struct world *w, const char *room, uint64_t last)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start_us = used_us();
        for (int n = 0; n < TIMES; n++)
            ask_all(w, room, last);
        int64_t us = used_us() - start_us;
        if (us < least) least = us;
    }
    return least;
}

static void expect_no_walk(struct world *w, void fill(struct world *, const char *, uint64_t))
{
    assert_non_null(world_open(w, (struct store_options){.readers = 1}));
    fill(w, "few", 4);
    uint64_t few = w->put;
    fill(w, "many", CROWD);
    uint64_t many = w->put - few;
    world_settle(w);
    world_expect_found(w, "many", "nothing", ""); /* everything is indexed */
    int64_t few_us = cost_us(w, "few", few);
    int64_t many_us = cost_us(w, "many", many);
    if (many_us > SLACK * few_us)
        fail_msg("%lld us, and %lld us with many", (long long)few_us, (long long)many_us);
}

static void test_reactions(void **state)
{
    expect_no_walk(*state, fill_reactions);
}

static void test_deleted(void **state)
{
    expect_no_walk(*state, fill_deleted);
}

static void expect_messages(struct world *w, enum store_direction direction, uint64_t position,
                            const char *want)
{
    const struct store_query q = {.room = SLICE_LIT("r"),
                                  .direction = direction,
                                  .position = position,
                                  .limit = 2,
                                  .messages_only = true,
                                  .count_max = 9};
    world_expect_page(w, &q, want);
}

static void put_crowd(struct world *w, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        struct store_event e = {
            .seq = seq, .kind = STORE_REACT, .target = 1, .message = SLICE_LIT("+")};
        world_put(w, "r", e);
    }
    world_settle(w);
}

/* What is passed over is learnt; what comes later is seen all the same. */
static void test_learns(void **state)
{
    struct world *w = *state;
    assert_non_null(world_open(w, (struct store_options){0}));
    world_put(w, "r", (struct store_event){.seq = 1, .message = SLICE_LIT("a")});
    put_crowd(w, 2, 30);
    expect_messages(w, STORE_BEFORE, 99, "1m=a #1");
    expect_messages(w, STORE_AFTER, 1, "");
    world_put(w, "r", (struct store_event){.seq = 31, .message = SLICE_LIT("b")});
    world_put(w, "r", (struct store_event){.seq = 32, .message = SLICE_LIT("c")});
    put_crowd(w, 33, 40);
    expect_messages(w, STORE_AFTER, 1, "31m=b 32m=c #2");
    expect_messages(w, STORE_AFTER, 10, "31m=b 32m=c #2");
    expect_messages(w, STORE_BEFORE, 99, "31m=b 32m=c <#3");
    expect_messages(w, STORE_BEFORE, 20, "1m=a #1");
    expect_messages(w, STORE_NEWEST, 32, "1m=a 31m=b >#2");
    expect_messages(w, STORE_AROUND, 20, "1m=a 31m=b >");
    world_put(w, "r", (struct store_event){.seq = 41, .kind = STORE_DELETE, .target = 31});
    world_settle(w);
    expect_messages(w, STORE_BEFORE, 99, "1m=a 32m=c #2");
    expect_messages(w, STORE_AFTER, 1, "32m=c #1");
    put_crowd(w, 42, 50);
    expect_messages(w, STORE_BEFORE, 99, "1m=a 32m=c #2");
    expect_messages(w, STORE_AFTER, 32, "");
    expect_messages(w, STORE_AROUND, 45, "32m=c <");
}

/* Retention takes a part of what was passed over. */
static void test_learnt_is_gone(void **state)
{
    struct world *w = *state;
    struct answer a;
    assert_non_null(
        world_open(w, (struct store_options){.keep = {.max_events = 290}, .trim_pause_ms = 5}));
    world_put(w, "r", (struct store_event){.seq = 1, .message = SLICE_LIT("a")});
    put_crowd(w, 2, 289);
    world_put(w, "r", (struct store_event){.seq = 290, .message = SLICE_LIT("b")});
    world_settle(w);
    expect_messages(w, STORE_BEFORE, 290, "1m=a #1");
    put_crowd(w, 291, 300);
    do {
        world_nap();
        assert_int_equal(world_load(w, "r", &a), 0);
    } while (a.room.first_seq < 11);
    expect_messages(w, STORE_BEFORE, 290, "");
    expect_messages(w, STORE_BEFORE, 99999, "290m=b #1");
    expect_messages(w, STORE_AFTER, 0, "290m=b #1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reactions),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_learnt_is_gone),
    };
    return WORLD_RUN_EVERY(tests);
}
