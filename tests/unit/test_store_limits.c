/* What bounds the store as a whole, and how retention keeps up with what is written; every
 * implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "journal/local.h"
#include "store/store.h"
#include "store_world.h"

enum { ROOMS = 10, KEPT = 1000, NEVER_MS = 3600 * 1000, MIB = 1 << 20, TEXT = 4000 };

#define NOW_MS INT64_C(1790000000000)

static _Atomic int64_t wall_ms;
static _Atomic int64_t elapsed_ms;

static int64_t fake_wall_ms(void)
{
    return wall_ms;
}

static int64_t fake_elapsed_ms(void)
{
    return elapsed_ms;
}

static uint64_t events_in(struct world *w, const char *room)
{
    struct answer a;
    const struct store_query q = {
        .room = {room, strlen(room)}, .direction = STORE_AFTER, .limit = 1, .count_max = 1000000};
    int err = world_ask(w, &q, &a);
    assert_true(err == 0 || err == ERR_NOT_FOUND);
    return err ? 0 : a.total;
}

static bool wait_for(struct world *w, const char *room, uint64_t most)
{
    for (int i = 0; i < WORLD_WAIT_S * 200; i++) {
        if (events_in(w, room) <= most) return true;
        world_nap();
    }
    return false;
}

/* Rooms that are written at the same time are all trimmed at once, not a few events a sweep. */
static void test_pace(void **state)
{
    struct world *w = *state;
    char names[ROOMS][8];
    const struct store_options o = {.keep = {.max_events = KEPT}, .trim_pause_ms = NEVER_MS};
    assert_non_null(world_open(w, o));
    for (unsigned i = 0; i < ROOMS; i++)
        snprintf(names[i], sizeof names[i], "r%u", i);
    for (uint64_t seq = 1; seq <= 3 * KEPT; seq++)
        for (unsigned i = 0; i < ROOMS; i++)
            while (world_add(w, names[i], seq, SLICE_LIT("hi")) != 0)
                world_nap();
    world_wait_done(&w->seen, (size_t)ROOMS * 3 * KEPT);
    for (unsigned i = 0; i < ROOMS; i++)
        assert_true(wait_for(w, names[i], KEPT + STORE_TRIM_MAX));
}

/* What was too much when the store was closed, or became so by other options. */
static void test_pace_at_start(void **state)
{
    struct world *w = *state;
    struct store_options o = {.trim_pause_ms = NEVER_MS};
    if (!w->backend->durable) skip();
    assert_non_null(world_open(w, o));
    world_fill(w, "a", 1, 2000);
    world_fill(w, "b", 1, 2000);
    store_close(w->store);
    o.keep.max_events = 100;
    assert_non_null(world_open(w, o));
    assert_true(wait_for(w, "a", 100));
    assert_true(wait_for(w, "b", 100));
}

static void expect_load(struct world *w, const char *room, int err)
{
    struct answer a;
    assert_int_equal(world_load(w, room, &a), err);
}

/* A room beyond the limit can neither be entered nor made; those that exist go on. */
static void test_max_rooms(void **state)
{
    struct world *w = *state;
    struct store_options o = {.limits.max_rooms = 3,
                              .keep.max_age_ms = 1000000,
                              .trim_pause_ms = 5,
                              .now_ms = fake_wall_ms,
                              .elapsed_ms = fake_elapsed_ms};
    static const char *const names[] = {"a", "b", "c"};
    struct store_stats stats;
    wall_ms = NOW_MS;
    assert_non_null(world_open(w, o));
    for (int i = 0; i < 3; i++) {
        expect_load(w, names[i], ERR_NOT_FOUND);
        world_put(w, names[i],
                  (struct store_event){.seq = 1, .ts_ms = i ? NOW_MS : NOW_MS - 999000});
    }
    world_settle(w);
    expect_load(w, "d", ERR_ROOMS_FULL);
    assert_true(world_count(&w->seen, &w->seen.notices[STORE_ROOMS_FULL]) == 1);
    assert_int_equal(world_add(w, "d", 1, SLICE_LIT("hi")), 0);
    world_put(w, "c", (struct store_event){.seq = 2, .ts_ms = NOW_MS}); /* in the same batch */
    world_wait_done(&w->seen, 5);
    assert_int_equal(w->seen.done[3].err, ERR_ROOMS_FULL);
    assert_int_equal(w->seen.done[4].err, 0);
    assert_true(store_healthy(w->store));
    expect_load(w, "b", 0);
    store_stats(w->store, &stats);
    assert_int_equal(stats.rooms, 3);

    wall_ms += 5000; /* the only event of "a" is too old now: there is a place again */
    elapsed_ms += 5000;
    do {
        world_nap();
        store_stats(w->store, &stats);
    } while (stats.rooms == 3);
    expect_load(w, "d", ERR_NOT_FOUND);
    world_put(w, "d", (struct store_event){.seq = 1, .ts_ms = NOW_MS});
    world_wait_done(&w->seen, 6);
    assert_int_equal(w->seen.done[5].err, 0);
    expect_load(w, "a", ERR_ROOMS_FULL);
    if (!w->backend->durable) return;
    store_close(w->store);
    assert_non_null(world_open(w, o));
    expect_load(w, "a", ERR_ROOMS_FULL);
}

static const char text[TEXT] = {'x', ' ', 'y'};

static uint64_t file_bytes(const struct world *w)
{
    struct stat st;
    assert_int_equal(stat(w->path, &st), 0);
    return (uint64_t)st.st_size;
}

/* At the limit nothing is accepted any more; nothing else is wrong. */
static void test_full_refuses(void **state)
{
    struct world *w = *state;
    struct answer a;
    struct store_options o = {.limits.max_bytes = MIB, .trim_pause_ms = 5};
    uint64_t seq = 0;
    int err = 0;
    if (!w->backend->refuses_when_full) skip();
    assert_non_null(world_open(w, o));
    while (seq < 10000 && !err) {
        err = world_add(w, "r", ++seq, (struct slice){text, TEXT});
        if (seq % 5 == 0) world_wait_done(&w->seen, err ? seq - 1 : seq);
    }
    assert_int_equal(err, ERR_STORE_FULL);
    world_wait_done(&w->seen, seq - 1);
    for (size_t i = 0; i < w->seen.count; i++)
        assert_true(w->seen.done[i].err == 0 || w->seen.done[i].err == ERR_STORE_FULL);
    assert_true(store_full(w->store));
    assert_true(store_healthy(w->store));
    assert_true(seq * TEXT > MIB / 2);
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_true(journal_local_next_seq(&a.room, 1) >=
                seq); /* what was accepted and then refused counts too */
    assert_int_equal(world_page(w, "r", STORE_BEFORE, STORE_SEQ_MAX, 1, &a), 0);
    while (world_count(&w->seen, &w->seen.notices[STORE_FULL]) == 0)
        world_nap();
    store_close(w->store); /* which moves the log into the file */
    w->store = NULL;
    if (w->backend->one_file) assert_in_range(file_bytes(w), MIB / 2, MIB);
    if (!w->backend->durable) return;

    o.keep.max_events = 10; /* retention makes place, and it is noticed */
    assert_non_null(world_open(w, o));
    assert_true(wait_for(w, "r", 10));
    while (store_full(w->store))
        world_nap();
    assert_int_equal(world_load(w, "r", &a), 0);
    w->seen.count = 0;
    assert_int_equal(world_add(w, "r", journal_local_next_seq(&a.room, 1), SLICE_LIT("hi")), 0);
    world_wait_done(&w->seen, 1);
    assert_int_equal(w->seen.done[0].err, 0);
}

/* Who floods loses its own oldest, the others keep all they have. */
static void test_full_trims(void **state)
{
    struct world *w = *state;
    struct store_options o = {.limits = {.max_bytes = 2 * MIB, .trim_when_full = true},
                              .trim_pause_ms = NEVER_MS};
    struct store_stats stats;
    uint64_t most = 0;
    size_t done = 100;
    assert_non_null(world_open(w, o));
    world_fill(w, "small", 1, 100);
    for (uint64_t seq = 1; seq <= 5000; seq++) {
        while (world_add(w, "flood", seq, (struct slice){text, TEXT}) != 0)
            world_nap();
        done++;
        if (seq % 10) continue; /* batches of a size for which there is always a place */
        world_wait_done(&w->seen, done);
        store_stats(w->store, &stats);
        if (stats.bytes > most) most = stats.bytes;
    }
    assert_true(most > MIB);
    assert_true(most <= 2 * MIB + 10 * 2 * TEXT);
    assert_int_equal(w->seen.failed, 0);
    assert_int_equal(events_in(w, "small"), 100);
    assert_in_range(events_in(w, "flood"), 50, 550);
    assert_int_equal(world_count(&w->seen, &w->seen.notices[STORE_TRIMS]), 1);
    store_close(w->store);
    w->store = NULL;
    if (w->backend->one_file) assert_in_range(file_bytes(w), MIB, 2 * MIB);
}

/* Many rooms that are all small: those whose first event is the oldest go, as a whole. */
static void test_full_of_rooms(void **state)
{
    struct world *w = *state;
    struct store_options o = {.limits = {.max_bytes = MIB, .trim_when_full = true},
                              .trim_pause_ms = NEVER_MS};
    struct store_stats stats;
    char name[16];
    assert_non_null(world_open(w, o));
    for (uint64_t i = 1; i <= 2000; i++) {
        snprintf(name, sizeof name, "r%u", (unsigned)i);
        struct store_event e = {.seq = 1, .ts_ms = (int64_t)i, .message = {text, TEXT}};
        world_put(w, name, e);
        if (i % 5 == 0) world_settle(w);
    }
    expect_load(w, "r2000", 0);
    expect_load(w, "r1", ERR_NOT_FOUND);
    store_stats(w->store, &stats);
    assert_in_range(stats.rooms, 50, 260);
}

/* Retention, limits and lists are about what clients say, not about the server's own logs. */
static void test_own_log(void **state)
{
    struct world *w = *state;
    struct store_options o = {
        .limits = {.max_rooms = 2, .max_bytes = 8 * MIB, .trim_when_full = true},
        .keep = {.max_age_ms = 1000, .max_events = 5, .max_bytes = 10000},
        .trim_pause_ms = 2,
        .now_ms = fake_wall_ms,
        .elapsed_ms = fake_elapsed_ms};
    struct store_stats stats;
    struct answer a;
    wall_ms = NOW_MS;
    assert_non_null(world_open(w, o));
    world_put(w, "r", (struct store_event){.seq = 1, .ts_ms = NOW_MS});
    world_put(w, "s", (struct store_event){.seq = 1, .ts_ms = NOW_MS});
    world_settle(w);
    for (uint64_t seq = 1; seq <= 200; seq++) { /* old, many and heavy, in a room too many */
        world_put(w, "/own", (struct store_event){.seq = seq, .ts_ms = 1, .data = {text, TEXT}});
        if (seq % 10 == 0) world_settle(w);
    }
    for (uint64_t seq = 2; seq <= 400; seq++) {
        world_put(w, "r",
                  (struct store_event){.seq = seq, .ts_ms = NOW_MS, .message = {text, TEXT}});
        if (seq % 10 == 0) world_settle(w);
    }
    assert_true(wait_for(w, "r", 5));
    assert_int_equal(events_in(w, "/own"), 200);
    assert_int_equal(world_load(w, "/another", &a), ERR_NOT_FOUND);
    assert_int_equal(world_load(w, "another", &a), ERR_ROOMS_FULL);
    store_stats(w->store, &stats);
    assert_int_equal(stats.rooms, 2);
    assert_int_equal(world_list(w, "", 10, &a), 0);
    assert_null(strstr(a.shown, "own"));
    if (!w->backend->durable) return;
    store_close(w->store);
    assert_non_null(world_open(w, o)); /* which looks at every room once */
    for (int i = 0; i < 50; i++)
        world_nap();
    assert_int_equal(events_in(w, "/own"), 200);
    store_stats(w->store, &stats);
    assert_int_equal(stats.rooms, 2);
}

/* Nor does a full database keep it out. */
static void test_own_log_when_full(void **state)
{
    struct world *w = *state;
    struct store_options o = {.limits = {.max_bytes = MIB}, .trim_pause_ms = NEVER_MS};
    uint64_t seq = 0;
    if (!w->backend->refuses_when_full) skip();
    assert_non_null(world_open(w, o));
    while (!store_full(w->store))
        if (world_add(w, "r", ++seq, (struct slice){text, TEXT}) != 0) world_nap();
    while (world_add(w, "r", ++seq, (struct slice){text, TEXT}) != ERR_STORE_FULL)
        world_nap();
    assert_int_equal(world_add(w, "/own", 1, (struct slice){text, TEXT}), 0);
    for (int i = 0; i < WORLD_WAIT_S * 200 && events_in(w, "/own") == 0; i++)
        world_nap();
    assert_int_equal(events_in(w, "/own"), 1);
}

/* A jump of the clock removes nothing, and is told. */
static void test_clock_jumps(void **state)
{
    struct world *w = *state;
    struct store_options o = {.keep.max_age_ms = 1800 * 1000,
                              .trim_pause_ms = 2,
                              .now_ms = fake_wall_ms,
                              .elapsed_ms = fake_elapsed_ms};
    wall_ms = NOW_MS;
    assert_non_null(world_open(w, o));
    for (uint64_t seq = 1; seq <= 100; seq++)
        world_put(w, "r", (struct store_event){.seq = seq, .ts_ms = NOW_MS});
    world_settle(w);
    wall_ms += 3600 * 1000;
    while (world_count(&w->seen, &w->seen.notices[STORE_CLOCK_JUMPED]) == 0)
        world_nap();
    assert_int_equal(w->seen.notice, 3600);
    for (int i = 0; i < 20; i++)
        world_nap();
    assert_int_equal(events_in(w, "r"), 100);
    wall_ms -= 3600 * 1000;
    while (world_count(&w->seen, &w->seen.notices[STORE_CLOCK_BELIEVED]) == 0)
        world_nap();
    elapsed_ms += 1801 * 1000; /* time that has really passed */
    wall_ms += 1801 * 1000;
    assert_true(wait_for(w, "r", 0));
}

/* Nor does a nonce grow old by it. */
static void test_clock_jumps_over_nonces(void **state)
{
    enum { KEEP_MS = 300 * 1000 };
    struct world *w = *state;
    struct answer a;
    struct store_options o = {
        .now_ms = fake_wall_ms, .elapsed_ms = fake_elapsed_ms, .nonce_ms = KEEP_MS};
    wall_ms = NOW_MS;
    assert_non_null(world_open(w, o));
    world_put(w, "r",
              (struct store_event){.seq = 1, .ts_ms = NOW_MS - 1000, .nonce = SLICE_LIT("n")});
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.count, 1);
    wall_ms += 3600 * 1000;
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.count, 1);
    elapsed_ms += KEEP_MS; /* time that has really passed */
    wall_ms += KEEP_MS;
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.count, 0);
}

/* The same for a file that is opened when the clock is wrong. */
static void test_clock_jumped_before(void **state)
{
    struct world *w = *state;
    struct store_options o = {.keep.max_age_ms = 1800 * 1000,
                              .trim_pause_ms = 2,
                              .now_ms = fake_wall_ms,
                              .elapsed_ms = fake_elapsed_ms};
    if (!w->backend->durable) skip();
    wall_ms = NOW_MS;
    assert_non_null(world_open(w, o));
    world_put(w, "r", (struct store_event){.seq = 1, .ts_ms = NOW_MS});
    world_settle(w);
    store_close(w->store);
    wall_ms += INT64_C(86400) * 1000;
    assert_non_null(world_open(w, o));
    for (int i = 0; i < 20; i++)
        world_nap();
    assert_int_equal(events_in(w, "r"), 1);
    elapsed_ms += 1801 * 1000;
    wall_ms += 1801 * 1000;
    assert_true(wait_for(w, "r", 0));
}

static int64_t ask_file(const struct world *w, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

/* In SQLite: however often a message was edited, deleting it takes away a few texts: older edits
 * have lost theirs already. */
static void test_many_edits(void **state)
{
    enum { EDITS = 1000 };
    struct world *w = *state;
    struct answer a;
    char words[32];
    assert_non_null(world_open(w, (struct store_options){0}));
    world_put(w, "r", (struct store_event){.seq = 1, .message = SLICE_LIT("first")});
    for (uint64_t seq = 2; seq <= EDITS + 1; seq++) {
        int n = snprintf(words, sizeof words, "edit %u", (unsigned)seq);
        world_put(w, "r",
                  (struct store_event){.seq = seq,
                                       .kind = STORE_EDIT,
                                       .target = 1,
                                       .message = {words, (size_t)n},
                                       .data = SLICE_LIT("{}")});
    }
    world_settle(w);
    assert_int_equal(world_page(w, "r", STORE_BEFORE, 2, 1, &a), 0);
    assert_string_equal(a.shown, "1m=edit 1001~1001 ");
    assert_int_equal(ask_file(w, "SELECT count(*) FROM edits"), STORE_EDITS_MAX);
    assert_int_equal(ask_file(w, "SELECT count(*) FROM events WHERE kind = 1 AND message NOT NULL"),
                     STORE_EDITS_MAX);
    assert_int_equal(ask_file(w, "SELECT count(*) FROM events WHERE kind = 1 AND data NOT NULL"),
                     STORE_EDITS_MAX);
    world_put(w, "r", (struct store_event){.seq = EDITS + 2, .kind = STORE_DELETE, .target = 1});
    world_settle(w);
    assert_int_equal(ask_file(w, "SELECT count(*) FROM events WHERE message NOT NULL"), 0);
    assert_int_equal(ask_file(w, "SELECT count(*) FROM edits"), 0);
}

/* Reactions of a message have a bound too, so that it can be deleted at once. */
static void test_many_reactions(void **state)
{
    enum { MORE = STORE_REACTORS_MAX + 50 };
    struct world *w = *state;
    struct answer a;
    char name[16];
    assert_non_null(world_open(w, (struct store_options){0}));
    world_put(w, "r", (struct store_event){.seq = 1, .message = SLICE_LIT("first")});
    for (uint64_t seq = 2; seq <= MORE + 1; seq++) {
        int n = snprintf(name, sizeof name, "u%u", (unsigned)seq);
        world_put(w, "r",
                  (struct store_event){.seq = seq,
                                       .kind = STORE_REACT,
                                       .target = 1,
                                       .username = {name, (size_t)n},
                                       .message = SLICE_LIT("+")});
    }
    world_settle(w);
    struct store_query q = {.room = SLICE_LIT("r"),
                            .direction = STORE_BEFORE,
                            .position = 2,
                            .limit = 1,
                            .reactions = true};
    world_expect_page(w, &q, "1m=first{+10000} ");
    world_put(w, "r",
              (struct store_event){.seq = MORE + 2,
                                   .kind = STORE_UNREACT,
                                   .target = 1,
                                   .username = SLICE_LIT("u2"),
                                   .message = SLICE_LIT("+")});
    world_put(w, "r",
              (struct store_event){.seq = MORE + 3,
                                   .kind = STORE_REACT,
                                   .target = 1,
                                   .username = SLICE_LIT("late"),
                                   .message = SLICE_LIT("-")});
    world_settle(w);
    world_expect_page(w, &q, "1m=first{+9999 -1} ");
    world_put(w, "r", (struct store_event){.seq = MORE + 4, .kind = STORE_DELETE, .target = 1});
    world_settle(w);
    assert_int_equal(world_ask(w, &q, &a), 0);
    assert_string_equal(a.shown, "1m! ");
}

int main(void)
{
    const struct CMUnitTest every[] = {
        cmocka_unit_test(test_pace),           cmocka_unit_test(test_pace_at_start),
        cmocka_unit_test(test_max_rooms),      cmocka_unit_test(test_full_refuses),
        cmocka_unit_test(test_full_trims),     cmocka_unit_test(test_full_of_rooms),
        cmocka_unit_test(test_clock_jumps),    cmocka_unit_test(test_clock_jumped_before),
        cmocka_unit_test(test_many_reactions), cmocka_unit_test(test_clock_jumps_over_nonces),
        cmocka_unit_test(test_own_log),        cmocka_unit_test(test_own_log_when_full),
    };
    const struct CMUnitTest sqlite[] = {
        cmocka_unit_test(test_many_edits),
    };
    return WORLD_RUN_EVERY(every) + WORLD_RUN_SQLITE(sqlite);
}
