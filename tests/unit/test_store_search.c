/* The contract of the store, third part: searching and listing rooms; run against every
 * implementation. Then what only the index of the SQLite store has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "fail_alloc.h"
#include "journal/local.h"
#include "store/store.h"
#include "store_world.h"

enum { NOW_MS = 1000000 };

static int64_t fake_now_ms(void)
{
    return NOW_MS;
}

static struct world *open_world(void **state)
{
    struct world *w = *state;
    assert_non_null(world_open(w, (struct store_options){.now_ms = fake_now_ms}));
    return w;
}

static void say(struct world *w, uint64_t seq, const char *text)
{
    world_put(w, "r", (struct store_event){.seq = seq, .message = {text, strlen(text)}});
}

static void change(struct world *w, uint64_t seq, enum store_kind kind, uint64_t target,
                   const char *text)
{
    world_put(w, "r",
              (struct store_event){
                  .seq = seq, .kind = kind, .target = target, .message = {text, strlen(text)}});
}

/* No nap before any of these: a search waits for what was queued before it. */
static void test_words(void **state)
{
    struct world *w = open_world(state);
    struct answer a;
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("x"), STORE_SEQ_MAX + 1, 10};
    assert_int_equal(world_search(w, &q, &a), ERR_NOT_FOUND);
    say(w, 1, "Hello, World");
    say(w, 2, "the world says hello");
    say(w, 3, "help! worldwide");
    world_put(w, "s", (struct store_event){.seq = 9, .message = SLICE_LIT("hello world")});
    world_expect_found(w, "r", "hello", "2 1 ");
    world_expect_found(w, "r", "HELLO world", "2 1 ");
    world_expect_found(w, "r", "world hello", "2 1 ");
    world_expect_found(w, "r", "wor", "3 2 1 "); /* the last word may be a beginning */
    world_expect_found(w, "r", "wo", "");        /* but not of nearly everything */
    world_expect_found(w, "r", "wor hello", "");
    world_expect_found(w, "r", "hel wor", "");
    world_expect_found(w, "r", "  hello...wor ", "2 1 ");
    world_expect_found(w, "r", "ello", "");
    world_expect_found(w, "r", "hello hello hello", "2 1 ");
    world_expect_found(w, "s", "hello", "9 ");
}

/* What people type is words and nothing else. */
static void test_no_syntax(void **state)
{
    struct world *w = open_world(state);
    say(w, 1, "black and white or NOT near words in_room 1");
    say(w, 2, "black white");
    say(w, 3, "a \"quoted\" c++ x:y");
    world_expect_found(w, "r", "black AND white", "1 ");
    world_expect_found(w, "r", "black OR", "1 ");
    world_expect_found(w, "r", "NOT white", "1 ");
    world_expect_found(w, "r", "NEAR(black white, 5)", "");
    world_expect_found(w, "r", "\"black", "2 1 ");
    world_expect_found(w, "r", "\"quoted\" c++", "3 ");
    world_expect_found(w, "r", "x:y", "3 ");
    world_expect_found(w, "r", "words:black", "1 ");
    world_expect_found(w, "r", "in_room:1", "1 ");
    world_expect_found(w, "r", "bla*", "2 1 ");
    world_expect_found(w, "r", "^black -white", "2 1 ");
    world_expect_found(w, "r", "{black} (white) [", "2 1 ");
    world_expect_found(w, "r", "1", "1 "); /* not the room's own number */
}

static void test_no_words(void **state)
{
    struct world *w = open_world(state);
    struct answer a;
    static const char long_text[STORE_SEARCH_MAX_BYTES + 1] = "word";
    const struct slice bad[] = {SLICE_LIT(""), SLICE_LIT(" "), SLICE_LIT("?! \"* -"),
                                {"\0\0", 2},   {NULL, 0},      {long_text, sizeof long_text}};
    say(w, 1, "hello");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct store_search q = {SLICE_LIT("r"), bad[i], STORE_SEQ_MAX + 1, 10};
        assert_int_equal(world_search(w, &q, &a), ERR_BAD_REQUEST);
    }
    char many[STORE_SEARCH_MAX_BYTES];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = i % 2 ? ' ' : (char)('a' + i / 2 % 26);
    struct store_search q = {SLICE_LIT("r"), {many, sizeof many}, STORE_SEQ_MAX + 1, 10};
    assert_int_equal(world_search_indexed(w, &q, &a), 0);
    assert_int_equal(a.count, 0);
    world_put(w, "r", (struct store_event){.seq = 2, .message = {many, sizeof many}});
    assert_int_equal(world_search_indexed(w, &q, &a), 0);
    assert_int_equal(a.count, 1);
}

static void test_changes(void **state)
{
    struct world *w = open_world(state);
    say(w, 1, "apples");
    say(w, 2, "apples too");
    say(w, 3, "pears");
    world_expect_found(w, "r", "apples", "2 1 "); /* it is indexed now */
    change(w, 4, STORE_EDIT, 1, "oranges");
    world_expect_found(w, "r", "apples", "2 ");
    world_expect_found(w, "r", "oranges", "1 "); /* the message, not the edit */
    change(w, 5, STORE_EDIT, 1, "plums");
    change(w, 6, STORE_EDIT, 2, "plums");
    world_expect_found(w, "r", "oranges", "");
    world_expect_found(w, "r", "plums", "2 1 ");
    change(w, 7, STORE_DELETE, 1, "plums");
    world_expect_found(w, "r", "plums", "2 ");
    change(w, 8, STORE_REACT, 2, "plums");
    say(w, 9, "figs"); /* and before it is indexed */
    change(w, 10, STORE_EDIT, 9, "dates");
    say(w, 11, "figs");
    change(w, 12, STORE_DELETE, 11, "");
    world_expect_found(w, "r", "figs", "");
    world_expect_found(w, "r", "dates", "9 ");
    world_expect_found(w, "r", "plums", "2 ");
    change(w, 13, STORE_EDIT, 9, "");
    world_put(w, "r", (struct store_event){.seq = 14}); /* no text */
    world_put(w, "r", (struct store_event){.seq = 15, .kind = STORE_EDIT, .target = 2});
    world_put(w, "r",
              (struct store_event){.seq = 16, .message = SLICE_LIT("dates"), .deleted = true});
    world_expect_found(w, "r", "dates", "");
    world_expect_found(w, "r", "plums", "");
    change(w, 17, STORE_EDIT, 2, "plums again");
    world_expect_found(w, "r", "plums", "2 ");
    world_settle(w);
}

static void test_search_pages(void **state)
{
    struct world *w = open_world(state);
    struct answer a;
    for (uint64_t seq = 1; seq <= 30; seq++)
        say(w, seq, seq % 2 ? "odd number" : "even number");
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("odd"), STORE_SEQ_MAX + 1, 3};
    assert_int_equal(world_search_indexed(w, &q, &a), 0);
    assert_string_equal(a.shown, "29m=odd number 27m=odd number 25m=odd number <");
    assert_int_equal(a.room.last_seq, 30);
    assert_false(a.more_after);
    q.before = 25;
    assert_int_equal(world_search_indexed(w, &q, &a), 0);
    assert_string_equal(a.shown, "23m=odd number 21m=odd number 19m=odd number <");
    q.before = 6;
    assert_int_equal(world_search_indexed(w, &q, &a), 0);
    assert_string_equal(a.shown, "5m=odd number 3m=odd number 1m=odd number ");
    q.before = 1;
    assert_int_equal(world_search_indexed(w, &q, &a), 0);
    assert_string_equal(a.shown, "");
    q.before = UINT64_MAX;
    q.limit = 1;
    assert_int_equal(world_search_indexed(w, &q, &a), 0);
    assert_string_equal(a.shown, "29m=odd number <");
}

/* What retention removes is not found, also if nothing is left, and numbers start anew. */
static void test_search_trimmed(void **state)
{
    struct world *w = *state;
    struct answer a;
    struct store_options o = {
        .keep = {.max_age_ms = 1000}, .trim_pause_ms = 10, .now_ms = fake_now_ms};
    assert_non_null(world_open(w, o));
    for (uint64_t round = 0; round < 3; round++) {
        uint64_t seq = round * 10;
        for (uint64_t i = 1; i <= 5; i++)
            say(w, seq + i, "old news"); /* ts_ms is the seq: much too old */
        world_settle(w);
        while (world_load(w, "r", &a) == 0)
            world_nap();
        struct store_search q = {SLICE_LIT("r"), SLICE_LIT("news"), STORE_SEQ_MAX + 1, 10};
        assert_int_equal(world_search(w, &q, &a), ERR_NOT_FOUND);
    }
    world_put(w, "r",
              (struct store_event){.seq = 40, .ts_ms = NOW_MS, .message = SLICE_LIT("good news")});
    world_put(w, "r",
              (struct store_event){.seq = 41, .ts_ms = NOW_MS, .message = SLICE_LIT("more news")});
    world_expect_found(w, "r", "news", "41 40 ");
    world_expect_found(w, "r", "old", "");
}

static void test_list(void **state)
{
    struct world *w = open_world(state);
    struct answer a;
    assert_int_equal(world_list(w, "", 10, &a), 0);
    assert_string_equal(a.shown, "");
    const char *const names[] = {"b", "a", "\xc3\xa4", "B", "ab", "10", "9"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        world_fill(w, names[i], 5, 5 + i);
    assert_int_equal(world_list(w, "", 10, &a), 0); /* in byte order; 69 bytes for each event */
    assert_string_equal(a.shown, "10:6/414@10[5-10] 9:7/483@11[5-11] B:4/276@8[5-8] "
                                 "a:2/138@6[5-6] ab:5/345@9[5-9] b:1/69@5[5-5] "
                                 "\xc3\xa4:3/207@7[5-7] ");
    assert_int_equal(journal_local_next_seq(&a.room, 1), 11);
    assert_memory_equal(a.room.epoch, world_epoch, EVENT_EPOCH_LEN);
    assert_int_equal(world_list(w, "", 2, &a), 0);
    assert_string_equal(a.shown, "10:6/414@10[5-10] 9:7/483@11[5-11] >");
    assert_int_equal(world_list(w, "9", 2, &a), 0);
    assert_string_equal(a.shown, "B:4/276@8[5-8] a:2/138@6[5-6] >");
    assert_int_equal(world_list(w, "aa", 3, &a), 0);
    assert_string_equal(a.shown, "ab:5/345@9[5-9] b:1/69@5[5-5] \xc3\xa4:3/207@7[5-7] ");
    assert_int_equal(world_list(w, "\xc3\xa4", 3, &a), 0);
    assert_string_equal(a.shown, "");
}

static void test_list_trimmed(void **state)
{
    struct world *w = *state;
    struct answer a;
    struct store_options o = {
        .keep = {.max_age_ms = 10}, .trim_pause_ms = 10, .now_ms = fake_now_ms};
    assert_non_null(world_open(w, o));
    world_fill(w, "r", 1, 3);
    do {
        world_nap();
        assert_int_equal(world_list(w, "", 5, &a), 0);
    } while (a.count);
}

/* Random talk with edits, deletes and retention; the index is compared at the end of the test. */
static void test_random(void **state)
{
    struct world *w = *state;
    struct store_options o = {.keep = {.max_events = 300}, .trim_pause_ms = 3};
    assert_non_null(world_open(w, o));
    unsigned seed = 7;
    for (uint64_t seq = 1; seq <= 3000; seq++) {
        char text[64];
        unsigned kind = (unsigned)rand_r(&seed) % 8;
        uint64_t target = seq > 20 ? seq - 1 - (uint64_t)rand_r(&seed) % 20 : 1;
        snprintf(text, sizeof text, "w%d x%d", rand_r(&seed) % 50, rand_r(&seed) % 50);
        change(w, seq, kind < 4 ? STORE_MESSAGE : (enum store_kind)(kind - 3), target, text);
        if (seq % 200 == 0) world_expect_found(w, "r", "nowhere", ""); /* now all is indexed */
    }
    world_settle(w);
    struct answer a;
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("x7"), STORE_SEQ_MAX + 1, 100};
    assert_int_equal(world_search_indexed(w, &q, &a), 0);
    assert_true(a.count > 0);
}

/* Memory runs out at each allocation of a question in turn: it says so, or works. */
/* Allocations that live, once the readers have freed what they answered with. */
static long settled_live(void)
{
    long live;
    do {
        live = fail_alloc_live();
        for (int i = 0; i < 10; i++)
            world_nap();
    } while (fail_alloc_live() != live);
    return live;
}

static void test_no_memory(void **state)
{
    struct world *w = open_world(state);
    struct answer a;
    struct store_search search = {SLICE_LIT("r"), SLICE_LIT("one two"), STORE_SEQ_MAX + 1, 10};
    struct store_query query = {.room = SLICE_LIT("r"), .limit = 10, .reactions = true};
    for (uint64_t seq = 1; seq <= 8; seq++)
        world_put(w, "r",
                  (struct store_event){.seq = seq,
                                       .ts_ms = NOW_MS,
                                       .kind = seq % 2 ? STORE_MESSAGE : STORE_REACT,
                                       .target = seq - 1,
                                       .message = SLICE_LIT("one two"),
                                       .nonce = SLICE_LIT("n")});
    world_expect_found(w, "r", "one two", "7 5 3 1 ");
    long live = settled_live();
    unsigned failed = 0;
    unsigned worked = 0;
    for (long n = 0; n < 40; n++) {
        for (int what = 0; what < 4; what++) {
            fail_alloc_after(n);
            int err = what == 0   ? world_search(w, &search, &a)
                      : what == 1 ? world_ask(w, &query, &a)
                      : what == 2 ? world_load(w, "r", &a)
                                  : world_list(w, "", 5, &a);
            fail_alloc_off();
            assert_true(err == 0 || err == ERR_NOMEM);
            failed += err != 0;
            worked += err == 0;
        }
    }
    assert_in_range(failed, 10, 100);
    assert_true(worked > 40);
    for (int i = 0; i < WORLD_WAIT_S * 200 && fail_alloc_live() != live; i++)
        world_nap();
    assert_int_equal(settled_live(), live);
    assert_true(store_healthy(w->store));
}

/* ---- the index of the SQLite store ---- */

static void test_scripts(void **state)
{
    struct world *w = open_world(state);
    struct answer a;
    say(w, 1,
        "Caf\xc3\xa9 \xc3\x9c"
        "ber");
    say(w, 2, "cafe\xcc\x81"); /* decomposed */
    say(w, 3, "\xd0\x9f\xd0\xa0\xd0\x98\xd0\x92\xd0\x95\xd0\xa2 \xd0\xbc\xd0\xb8\xd1\x80");
    say(w, 4, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e");
    world_put(w, "r", (struct store_event){.seq = 5, .message = SLICE_LIT("a\0behind zero")});
    say(w, 6,
        "\xe2\x80\x9cquotes\xe2\x80\x9d\xe2\x80\xa6 dash\xe2\x80\x94"
        "dash \xf0\x9f\x98\x80smile");
    world_expect_found(w, "r", "cafe", "2 1 ");
    world_expect_found(w, "r", "CAF\xc3\x89", "2 1 ");
    world_expect_found(w, "r", "uber", "1 ");
    world_expect_found(w, "r", "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82", "3 ");
    world_expect_found(w, "r", "\xe6\x97\xa5\xe6\x9c\xac", "4 ");
    world_expect_found(w, "r", "behind", "5 ");
    world_expect_found(w, "r", "quotes dash smile", "6 ");
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("\xf0\x9f\x98\x80 \xe2\x80\x94"),
                             STORE_SEQ_MAX + 1, 10};
    assert_int_equal(world_search(w, &q, &a), ERR_BAD_REQUEST);
    /* Not UTF-8: whatever it finds, it harms nobody. */
    q.text = SLICE_LIT("\xff\xfe\xc3(\xed\xa0\x80 caf");
    int err = world_search(w, &q, &a);
    assert_true(err == 0 || err == ERR_BAD_REQUEST);
}

/* A file that was closed or killed before everything was indexed. */
static void test_index_goes_on(void **state)
{
    struct world *w = open_world(state);
    world_hold(&w->seen, true);
    for (uint64_t seq = 1; seq <= 2000; seq++)
        say(w, seq, seq == 1777 ? "needle" : "hay");
    world_hold(&w->seen, false);
    store_close(w->store);
    world_check_file(w->path);
    open_world(state);
    world_expect_found(w, "r", "needle", "1777 ");
    change(w, 2001, STORE_DELETE, 1777, "");
    world_expect_found(w, "r", "needle", "");
}

static int64_t indexed_of(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, WORLD_WAIT_S * 1000);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT indexed FROM meta", -1, &stmt, NULL), 0);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t indexed = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return indexed;
}

/* Talk goes on with a damaged index, which is made anew once somebody has met the damage. */
static void expect_mended(struct world *w, uint64_t seq)
{
    struct answer a;
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("needle"), STORE_SEQ_MAX + 1, 10};
    say(w, seq, "more hay");
    for (int i = 0; i < WORLD_WAIT_S * 200; i++) {
        if (world_search(w, &q, &a) == 0 && a.count == 1 && a.seqs[0] == 7) return;
        world_nap();
    }
    fail_msg("the index was not made anew");
}

static void test_index_damaged(void **state)
{
    struct world *w = open_world(state);
    for (uint64_t seq = 1; seq <= 400; seq++)
        say(w, seq, seq == 7 ? "needle" : "hay");
    world_expect_found(w, "r", "needle", "7 ");
    store_close(w->store);
    /* Its leaves: a search meets that. */
    world_sql(w->path, "DELETE FROM search_data WHERE id > 10");
    open_world(state);
    struct answer a;
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("needle"), STORE_SEQ_MAX + 1, 10};
    assert_int_equal(world_search(w, &q, &a), ERR_STORE_READ);
    expect_mended(w, 401);
    assert_int_equal(world_count(&w->seen, &w->seen.failed), 0);
    store_close(w->store);

    /* What holds it together: whoever changes an indexed message meets that. */
    static const char *const damages[] = {
        "UPDATE search_data SET block = x'ff' WHERE id = 1",
        "UPDATE search_data SET block = x'ffffffff' WHERE id = 10",
    };
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t seq = 1000 + i * 2 * STORE_IN_FLIGHT_MAX;
        world_sql(w->path, damages[i]);
        open_world(state);
        change(w, seq, STORE_EDIT, 9, "straw");
        world_wait_done(&w->seen, w->put);
        assert_int_equal(world_count(&w->seen, &w->seen.failed), 0);
        assert_true(store_healthy(w->store));
        expect_mended(w, seq + STORE_IN_FLIGHT_MAX);
        store_close(w->store);
    }
    open_world(state);
}

/* People who never pause and never search: what they say is indexed all the same. */
static void test_index_keeps_up(void **state)
{
    struct world *w = open_world(state);
    for (uint64_t seq = 1; seq <= 4000 && indexed_of(w->path) < 500; seq++) {
        say(w, seq, "on and on");
        world_nap();
    }
    assert_true(indexed_of(w->path) >= 500);
}

/* Asks for pages while a search waits. True if they came before it could have given up. */
static bool pages_overtake_search(struct world *w)
{
    struct answer found;
    struct answer page;
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("early"), STORE_SEQ_MAX + 1, 10};
    int64_t start_ms = world_now_ms();
    answer_init(&found);
    assert_int_equal(store_search(w->store, NULL, &q, answer_on_page, &found), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 5, &page), 0);
    assert_int_equal(page.count, 2);
    int64_t page_ms = world_now_ms() - start_ms;
    assert_int_equal(answer_wait(&found), 0);
    int64_t found_ms = world_now_ms() - start_ms;
    assert_int_equal(found.count, 1); /* what there is */
    assert_true(found_ms >= STORE_INDEX_WAIT_MS);
    return page_ms < STORE_INDEX_WAIT_MS;
}

/* A writer that has no time: the search gives up waiting, and pages do not wait behind it. A
 * machine that stands still looks the same, but not every time. */
static void test_patience(void **state)
{
    struct world *w = open_world(state);
    say(w, 1, "early");
    world_expect_found(w, "r", "early", "1 ");
    world_hold(&w->seen, true);
    say(w, 2, "early too");
    bool overtaken = false;
    for (int i = 0; i < 20 && !overtaken; i++)
        overtaken = pages_overtake_search(w);
    assert_true(overtaken);
    world_hold(&w->seen, false);
    world_expect_found(w, "r", "early", "2 1 ");
}

int main(void)
{
    const struct CMUnitTest every[] = {
        cmocka_unit_test(test_words),        cmocka_unit_test(test_no_syntax),
        cmocka_unit_test(test_no_words),     cmocka_unit_test(test_changes),
        cmocka_unit_test(test_search_pages), cmocka_unit_test(test_search_trimmed),
        cmocka_unit_test(test_list),         cmocka_unit_test(test_list_trimmed),
        cmocka_unit_test(test_random),       cmocka_unit_test(test_no_memory),
    };
    const struct CMUnitTest sqlite[] = {
        cmocka_unit_test(test_scripts),       cmocka_unit_test(test_index_goes_on),
        cmocka_unit_test(test_patience),      cmocka_unit_test(test_index_keeps_up),
        cmocka_unit_test(test_index_damaged),
    };
    return WORLD_RUN_EVERY(every) + WORLD_RUN_SQLITE(sqlite);
}
