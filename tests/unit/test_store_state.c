/* The contract of the store, second part: what messages become, and the nonces that a room is told
 * of. Run against every implementation. */
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

enum { NOW_MS = 1000000 };

static int64_t fake_now_ms(void)
{
    return NOW_MS;
}

static void open_world(void **state, struct world **w)
{
    *w = *state;
    assert_non_null(world_open(*w, (struct store_options){.now_ms = fake_now_ms}));
}

static void say(struct world *w, uint64_t seq, const char *text)
{
    world_put(w, "r", (struct store_event){.seq = seq, .message = {text, strlen(text)}});
}

/* An event of the kind, about target, with the text. */
static void change(struct world *w, uint64_t seq, enum store_kind kind, uint64_t target,
                   const char *text)
{
    struct store_event e = {.seq = seq, .kind = kind, .target = target};
    if (text) e.message = (struct slice){text, strlen(text)};
    world_put(w, "r", e);
}

static void react(struct world *w, uint64_t seq, enum store_kind kind, const char *emoji,
                  const char *name)
{
    world_put(w, "r",
              (struct store_event){.seq = seq,
                                   .kind = kind,
                                   .target = 1,
                                   .message = {emoji, strlen(emoji)},
                                   .username = {name, strlen(name)}});
}

static void test_edit(void **state)
{
    struct world *w;
    open_world(state, &w);
    say(w, 1, "helo");
    say(w, 2, "other");
    change(w, 3, STORE_EDIT, 1, "hello"); /* in the same batch, perhaps */
    world_expect(w, "r", "1m=hello~3 2m=other 3e=hello ");
    change(w, 4, STORE_EDIT, 1, "hello again");
    world_expect(w, "r", "1m=hello again~4 2m=other 3e=hello 4e=hello again ");
    change(w, 5, STORE_EDIT, 2, "");
    world_expect(w, "r", "1m=hello again~4 2m=~5 3e=hello 4e=hello again 5e= ");
    world_settle(w);
}

static void test_edit_keeps_the_rest(void **state)
{
    struct world *w;
    struct answer a;
    open_world(state, &w);
    world_put(w, "r",
              (struct store_event){.seq = 1,
                                   .ts_ms = 77,
                                   .reply_to = 5,
                                   .user = SLICE_LIT("u1"),
                                   .message = SLICE_LIT("a\0b"),
                                   .data = SLICE_LIT("[1]"),
                                   .nonce = SLICE_LIT("n")});
    world_put(w, "r",
              (struct store_event){.seq = 2,
                                   .kind = STORE_EDIT,
                                   .target = 1,
                                   .message = SLICE_LIT("c\0\0d"),
                                   .data = SLICE_LIT("[2]")});
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 1, &a), 0);
    assert_int_equal(a.first.ts_ms, 77);
    assert_int_equal(a.first.reply_to, 5);
    assert_int_equal(a.first.edited_ms, 2);
    assert_int_equal(a.text_len, 13);
    assert_memory_equal(a.text, "annu1c\0\0d[1]n", 13);
}

static void test_delete(void **state)
{
    struct world *w;
    struct answer a;
    open_world(state, &w);
    world_put(
        w, "r",
        (struct store_event){.seq = 1, .message = SLICE_LIT("secret"), .data = SLICE_LIT("{}")});
    change(w, 2, STORE_EDIT, 1, "secret too");
    world_put(w, "r",
              (struct store_event){.seq = 3,
                                   .kind = STORE_EDIT,
                                   .target = 1,
                                   .message = SLICE_LIT("and this"),
                                   .data = SLICE_LIT("{}")});
    react(w, 4, STORE_REACT, "+", "bob");
    say(w, 5, "harmless");
    change(w, 6, STORE_EDIT, 5, "still here");
    change(w, 7, STORE_DELETE, 1, NULL);
    world_expect(w, "r", "1m!~3 2e 3e 4r=+ 5m=still here~6 6e=still here 7d ");
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 1, &a), 0);
    assert_null(a.first.data.ptr);
    assert_int_equal(world_page(w, "r", STORE_AFTER, 2, 1, &a), 0);
    assert_null(a.first.data.ptr);
    /* It stays deleted, whatever comes. */
    change(w, 8, STORE_EDIT, 1, "zombie");
    react(w, 9, STORE_REACT, "+", "bob");
    react(w, 10, STORE_UNREACT, "+", "bob");
    change(w, 11, STORE_DELETE, 1, NULL);
    world_expect(w, "r",
                 "1m!~3 2e 3e 4r=+ 5m=still here~6 6e=still here 7d 8e=zombie 9r=+ 10u=+ 11d ");
    world_settle(w);
}

/* Targets that do not exist, are no messages, or are in another room. */
static void test_targets(void **state)
{
    struct world *w;
    open_world(state, &w);
    say(w, 1, "one");
    change(w, 2, STORE_EDIT, 1, "two");
    change(w, 3, STORE_EDIT, 2, "three");
    change(w, 4, STORE_DELETE, 2, NULL);
    change(w, 5, STORE_EDIT, 99, "four");
    change(w, 6, STORE_DELETE, 0, NULL);
    change(w, 7, STORE_REACT, 2, "+");
    change(w, 8, STORE_EDIT, 8, "itself");
    world_put(w, "s",
              (struct store_event){
                  .seq = 9, .kind = STORE_EDIT, .target = 1, .message = SLICE_LIT("five")});
    world_expect(w, "r", "1m=two~2 2e=two 3e=three 4d 5e=four 6d 7r=+ 8e=itself ");
    world_expect(w, "s", "9e=five ");
    /* A message with a target changes nothing. */
    world_put(w, "r", (struct store_event){.seq = 9, .target = 1, .message = SLICE_LIT("six")});
    world_expect(w, "r", "1m=two~2 2e=two 3e=three 4d 5e=four 6d 7r=+ 8e=itself 9m=six ");
}

static void test_react(void **state)
{
    struct world *w;
    open_world(state, &w);
    say(w, 1, "x");
    react(w, 2, STORE_REACT, "+", "ann");
    react(w, 3, STORE_REACT, "-", "ann");
    react(w, 4, STORE_REACT, "+", "bob");
    react(w, 5, STORE_REACT, "+", "bob"); /* once per user and emoji */
    react(w, 6, STORE_REACT, "", "bob");
    world_expect(w, "r", "1m=x{+2 -1 1} 2r=+ 3r=- 4r=+ 5r=+ 6r= ");
    react(w, 7, STORE_UNREACT, "+", "ann"); /* the order stays: + was never gone */
    react(w, 8, STORE_UNREACT, "+", "zoe"); /* has not */
    react(w, 9, STORE_UNREACT, "?", "ann");
    react(w, 10, STORE_UNREACT, "", "bob");
    world_expect(w, "r", "1m=x{+1 -1} 2r=+ 3r=- 4r=+ 5r=+ 6r= 7u=+ 8u=+ 9u=? 10u= ");
    react(w, 11, STORE_UNREACT, "+", "bob");
    react(w, 12, STORE_REACT, "+", "bob"); /* now it is new */
    world_expect_page(w,
                      &(struct store_query){.room = SLICE_LIT("r"), .limit = 1, .reactions = true},
                      "1m=x{-1 +1} >");
    world_expect_page(w, &(struct store_query){.room = SLICE_LIT("r"), .limit = 1}, "1m=x >");
}

/* The user counts, and the name only where there is none. */
static void test_react_users(void **state)
{
    struct world *w;
    open_world(state, &w);
    say(w, 1, "x");
    for (uint64_t seq = 2; seq <= 5; seq++)
        world_put(w, "r",
                  (struct store_event){.seq = seq,
                                       .kind = seq == 5 ? STORE_UNREACT : STORE_REACT,
                                       .target = 1,
                                       .message = SLICE_LIT("+"),
                                       .user = {seq == 3 ? "u2" : "u1", 2},
                                       .username = {seq == 4 ? "bea" : "ann", 3}});
    world_expect(w, "r", "1m=x{+1} 2r=+ 3r=+ 4r=+ 5u=+ ");
    /* Neither emoji nor user are cut at U+0000 or mixed up with each other. */
    world_put(w, "r",
              (struct store_event){.seq = 6,
                                   .kind = STORE_REACT,
                                   .target = 1,
                                   .message = SLICE_LIT("a\0b"),
                                   .user = SLICE_LIT("c")});
    world_put(w, "r",
              (struct store_event){.seq = 7,
                                   .kind = STORE_REACT,
                                   .target = 1,
                                   .message = SLICE_LIT("a\0"),
                                   .user = SLICE_LIT("bc")});
    world_put(w, "r",
              (struct store_event){.seq = 8,
                                   .kind = STORE_REACT,
                                   .target = 1,
                                   .message = SLICE_LIT("a\0"),
                                   .user = SLICE_LIT("b\0c")});
    world_put(w, "r", (struct store_event){.seq = 9, .kind = STORE_REACT, .target = 1});
    world_expect_page(w,
                      &(struct store_query){.room = SLICE_LIT("r"), .limit = 1, .reactions = true},
                      "1m=x{+1 a1 a2} >"); /* shown up to U+0000 */
}

static void test_react_cap(void **state)
{
    struct world *w;
    struct answer a;
    open_world(state, &w);
    say(w, 1, "x");
    for (uint64_t i = 0; i < STORE_REACTIONS_MAX + 5; i++) {
        char emoji[8];
        snprintf(emoji, sizeof emoji, "e%d", (int)i);
        react(w, 2 + i, STORE_REACT, emoji, "ann");
    }
    react(w, 100, STORE_REACT, "e3", "bob"); /* a known one may always grow */
    struct store_query q = {.room = SLICE_LIT("r"), .limit = 1, .reactions = true};
    assert_int_equal(world_ask(w, &q, &a), 0);
    assert_int_equal(a.first.reaction_count, STORE_REACTIONS_MAX);
    assert_non_null(strstr(a.shown, "{e01 e11 e21 e32 e41 "));
    react(w, 101, STORE_UNREACT, "e0", "ann");
    react(w, 102, STORE_REACT, "late", "ann");
    react(w, 103, STORE_REACT, "later", "ann");
    assert_int_equal(world_ask(w, &q, &a), 0);
    assert_int_equal(a.first.reaction_count, STORE_REACTIONS_MAX);
    assert_non_null(strstr(a.shown, " late1} >"));
}

/* What an import gives is stored; what only messages have is not taken from others. */
static void test_import(void **state)
{
    struct world *w;
    struct answer a;
    open_world(state, &w);
    struct store_reaction ignored = {SLICE_LIT("+"), 7};
    world_put(w, "r", (struct store_event){.seq = 1, .message = SLICE_LIT("e"), .edited_ms = 55});
    world_put(
        w, "r",
        (struct store_event){
            .seq = 2, .message = SLICE_LIT("gone"), .data = SLICE_LIT("{}"), .deleted = true});
    world_put(w, "r",
              (struct store_event){
                  .seq = 3, .kind = STORE_DELETE, .target = 1000, .deleted = true, .edited_ms = 5});
    world_put(w, "r",
              (struct store_event){
                  .seq = 4, .message = SLICE_LIT("m"), .reactions = &ignored, .reaction_count = 1});
    world_expect(w, "r", "1m=e~55 2m! 3d 4m=m ");
    assert_int_equal(world_page(w, "r", STORE_AFTER, 1, 1, &a), 0);
    assert_null(a.first.data.ptr);
    change(w, 5, STORE_EDIT, 2, "back?");
    world_expect(w, "r", "1m=e~55 2m! 3d 4m=m 5e=back? ");
}

static void test_messages_only(void **state)
{
    struct world *w;
    open_world(state, &w);
    say(w, 1, "one");
    say(w, 2, "two");
    change(w, 3, STORE_REACT, 1, "+");
    say(w, 4, "four");
    change(w, 5, STORE_DELETE, 2, NULL);
    say(w, 6, "six");
    change(w, 7, STORE_EDIT, 4, "4");
    struct store_query q = {.room = SLICE_LIT("r"),
                            .direction = STORE_BEFORE,
                            .position = 100,
                            .limit = 2,
                            .messages_only = true,
                            .count_max = 50};
    world_expect_page(w, &q, "4m=4~7 6m=six <#3");
    q.position = 4;
    world_expect_page(w, &q, "1m=one #1");
    q.direction = STORE_AFTER;
    q.position = 0;
    world_expect_page(w, &q, "1m=one 4m=4~7 >#3");
    q.position = 1;
    world_expect_page(w, &q, "4m=4~7 6m=six #2");
    q.position = 6;
    world_expect_page(w, &q, "");
    q.direction = STORE_AROUND; /* a position that is not shown */
    q.position = 2;
    world_expect_page(w, &q, "1m=one 4m=4~7 >");
    q.limit = 10;
    world_expect_page(w, &q, "1m=one 4m=4~7 6m=six ");
    q.limit = 1; /* position itself is in the second half */
    q.position = 4;
    world_expect_page(w, &q, "4m=4~7 <>");
    q.limit = 3;
    world_expect_page(w, &q, "1m=one 4m=4~7 6m=six ");
}

static void test_total(void **state)
{
    struct world *w;
    open_world(state, &w);
    for (uint64_t seq = 1; seq <= 10; seq++)
        say(w, seq, "m");
    struct store_query q = {.room = SLICE_LIT("r"), .position = 2, .limit = 2};
    world_expect_page(w, &q, "3m=m 4m=m >");
    q.count_max = 100;
    world_expect_page(w, &q, "3m=m 4m=m >#8");
    q.count_max = 5;
    world_expect_page(w, &q, "3m=m 4m=m >#5");
    q.count_max = 1;
    world_expect_page(w, &q, "3m=m 4m=m >#1");
    q.count_max = 100;
    q.direction = STORE_BEFORE;
    q.position = 6;
    world_expect_page(w, &q, "4m=m 5m=m <#5");
    q.direction = STORE_AROUND;
    world_expect_page(w, &q, "5m=m 6m=m <>");
}

/* Each event weighs 64 + "ann" + 33. */
static void test_max_bytes(void **state)
{
    struct world *w;
    open_world(state, &w);
    for (uint64_t seq = 1; seq <= 7; seq++)
        say(w, seq, "123456789012345678901234567890123");
    struct store_query q = {.room = SLICE_LIT("r"), .limit = 100, .max_bytes = 200};
    const char m[] = "m=123456789012345678901234567890123 ";
    char want[256];
    snprintf(want, sizeof want, "1%s2%s>", m, m);
    world_expect_page(w, &q, want);
    q.max_bytes = 199;
    snprintf(want, sizeof want, "1%s>", m);
    world_expect_page(w, &q, want);
    q.max_bytes = 1; /* at least one */
    world_expect_page(w, &q, want);
    q.direction = STORE_BEFORE;
    q.position = 100;
    snprintf(want, sizeof want, "7%s<", m);
    world_expect_page(w, &q, want);
    q.direction = STORE_AROUND; /* the one at the position */
    q.position = 4;
    snprintf(want, sizeof want, "4%s<>", m);
    world_expect_page(w, &q, want);
    q.max_bytes = 300; /* half of it for the second half of the page, the rest for the first */
    snprintf(want, sizeof want, "2%s3%s4%s<>", m, m, m);
    world_expect_page(w, &q, want);
    q.position = 8; /* nothing from there on */
    q.max_bytes = 1;
    snprintf(want, sizeof want, "7%s<", m);
    world_expect_page(w, &q, want);
}

static void expect_nonces(struct world *w, const char *want)
{
    struct answer a;
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_string_equal(a.shown, want);
}

static void nonce(struct world *w, uint64_t seq, int64_t age_ms, const char *text, const char *user)
{
    struct store_event e = {.seq = seq,
                            .ts_ms = NOW_MS - age_ms,
                            .message = SLICE_LIT("m"),
                            .nonce = {text, strlen(text)}};
    if (user) e.user = (struct slice){user, strlen(user)};
    world_put(w, "r", e);
}

static void test_nonces(void **state)
{
    struct world *w = *state;
    assert_non_null(world_open(w, (struct store_options){.now_ms = fake_now_ms, .nonce_ms = 1000}));
    nonce(w, 1, 1001, "old", NULL);
    nonce(w, 2, 1000, "no longer", NULL);
    nonce(w, 3, 999, "a", NULL);
    nonce(w, 4, 990, "b", "u7");
    say(w, 5, "without");
    nonce(w, 6, 980, "", "");
    world_put(
        w, "r",
        (struct store_event){
            .seq = 7, .ts_ms = NOW_MS, .kind = STORE_EDIT, .nonce = SLICE_LIT("of no message")});
    world_put(w, "s", (struct store_event){.seq = 8, .ts_ms = NOW_MS, .nonce = SLICE_LIT("s")});
    expect_nonces(w, "3@999001:ann:a 4@999010:u7:b 6@999020:: ");
    nonce(w, 8, 995, "an import", NULL); /* oldest first means by time */
    change(w, 9, STORE_DELETE, 3, NULL); /* it was given all the same */
    expect_nonces(w, "3@999001:ann:a 8@999005:ann:an import 4@999010:u7:b 6@999020:: ");
}

static void test_nonces_default(void **state)
{
    struct world *w;
    open_world(state, &w);
    nonce(w, 1, 300000, "old", NULL);
    nonce(w, 2, 299999, "young", NULL);
    expect_nonces(w, "2@700001:ann:young ");
}

static void test_many_nonces(void **state)
{
    struct world *w;
    struct answer a;
    open_world(state, &w);
    for (uint64_t seq = 1; seq <= 3000; seq++) {
        char text[16];
        snprintf(text, sizeof text, "n%d", (int)seq);
        nonce(w, seq, 5000 - (int64_t)seq, text, NULL);
    }
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.count, 3000);
    const char first[] = "1@995001:ann:n1 2@995002:ann:n2 ";
    assert_memory_equal(a.shown, first, sizeof first - 1);
}

static void wait_trimmed(struct world *w, uint64_t first)
{
    struct answer a = {.room.first_seq = 0};
    for (int i = 0; i < WORLD_WAIT_S * 200 && a.room.first_seq < first; i++) {
        world_nap();
        assert_int_equal(world_load(w, "r", &a), 0);
    }
}

/* Retention takes reactions along, and weighs what texts have become. */
static void test_trim(void **state)
{
    struct world *w = *state;
    struct answer a;
    struct store_options o = {
        .keep = {.max_bytes = 420}, .trim_pause_ms = 10, .now_ms = fake_now_ms};
    assert_non_null(world_open(w, o));
    char big[200];
    memset(big, 'x', sizeof big);
    say(w, 1, "x");
    react(w, 2, STORE_REACT, "+", "ann");
    world_put(w, "r", (struct store_event){.seq = 3, .message = {big, 200}});
    change(w, 4, STORE_DELETE, 3, NULL); /* 68 + 68 + 67 + 67 are left */
    for (int i = 0; i < 10; i++)
        world_nap();
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.room.first_seq, 1);
    change(w, 5, STORE_EDIT, 1, "a text that weighs nearly nothing");
    say(w, 6, "y");
    wait_trimmed(w, 2);
    change(w, 7, STORE_EDIT, 1, "gone"); /* a target that is trimmed */
    react(w, 8, STORE_REACT, "+", "bob");
    react(w, 9, STORE_UNREACT, "+", "ann");
    world_settle(w);
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 100, &a), 0);
    assert_true(a.seqs[0] >= 2);
    assert_int_equal(a.seqs[a.count - 1], 9);
}

/* Edits outlive what they edited, and each other. */
static void test_trim_edits(void **state)
{
    struct world *w = *state;
    assert_non_null(
        world_open(w, (struct store_options){.keep = {.max_events = 3}, .trim_pause_ms = 1}));
    say(w, 1, "a");
    change(w, 2, STORE_EDIT, 1, "b");
    change(w, 3, STORE_EDIT, 1, "c");
    say(w, 4, "x");
    say(w, 5, "y");
    wait_trimmed(w, 3);
    world_expect(w, "r", "3e=c 4m=x 5m=y ");
    change(w, 6, STORE_EDIT, 4, "z");
    wait_trimmed(w, 4);
    world_expect(w, "r", "4m=z~6 5m=y 6e=z ");
    change(w, 7, STORE_DELETE, 4, NULL);
    wait_trimmed(w, 5);
    world_expect(w, "r", "5m=y 6e 7d ");
    world_settle(w);
}

/* Room r has so many events, and so many bytes for retention to go by. */
static void expect_weight(struct world *w, const char *want)
{
    struct answer a;
    assert_int_equal(world_list(w, "q", 1, &a), 0);
    a.shown[strcspn(a.shown, "@")] = '\0';
    assert_string_equal(a.shown, want);
}

/* Memory runs out at each allocation of the writer in turn: a batch is taken back as a whole. */
static void test_rollback(void **state)
{
    struct world *w;
    long live = fail_alloc_live();
    open_world(state, &w);
    say(w, 1, "one");
    say(w, 2, "two");
    react(w, 3, STORE_REACT, "+", "ann");
    react(w, 4, STORE_REACT, "-", "ann");
    change(w, 5, STORE_EDIT, 2, "2");
    world_settle(w);
    const char before[] = "1m=one{+1 -1} 2m=2~5 3r=+ 4r=- 5e=2 ";
    uint64_t seq = 5;
    bool failed = true;
    long n = 0;
    for (; failed && n < 200; n++) {
        assert_true(world_wait_health(w->store, true));
        world_hold_writer(w, "s", ++seq);
        react(w, seq + 1, STORE_UNREACT, "+", "ann");
        react(w, seq + 2, STORE_REACT, "+", "bob");
        change(w, seq + 3, STORE_EDIT, 1, "uno");
        change(w, seq + 4, STORE_EDIT, 1, "eins");
        change(w, seq + 5, STORE_EDIT, 2, "zwei");
        change(w, seq + 6, STORE_DELETE, 2, NULL);
        react(w, seq + 7, STORE_UNREACT, "-", "ann");
        react(w, seq + 8, STORE_REACT, "*", "ann");
        seq += 8;
        char fresh[16]; /* whose allocation comes last */
        snprintf(fresh, sizeof fresh, "t%d", (int)n);
        world_put(w, fresh, (struct store_event){.seq = seq});
        fail_alloc_after(n);
        world_hold(&w->seen, false);
        world_wait_done(&w->seen, w->put);
        fail_alloc_off();
        failed = w->seen.done[w->put - 1].err != 0;
        if (failed) world_expect(w, "r", before);
        if (failed) expect_weight(w, "r:5/342");
    }
    assert_false(failed);
    assert_true(n > 1);
    char want[256];
    snprintf(want, sizeof want,
             "1m=eins~%d{+1 *1} 2m!~%d 3r=+ 4r=- 5e "
             "%du=+ %dr=+ %de=uno %de=eins %de %dd %du=- %dr=* ",
             (int)seq - 4, (int)seq - 3, (int)seq - 7, (int)seq - 6, (int)seq - 5, (int)seq - 4,
             (int)seq - 3, (int)seq - 2, (int)seq - 1, (int)seq);
    world_expect(w, "r", want);
    expect_weight(w, "r:13/888");
    store_close(w->store);
    w->store = NULL;
    assert_int_equal(fail_alloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edit),           cmocka_unit_test(test_edit_keeps_the_rest),
        cmocka_unit_test(test_delete),         cmocka_unit_test(test_targets),
        cmocka_unit_test(test_react),          cmocka_unit_test(test_react_users),
        cmocka_unit_test(test_react_cap),      cmocka_unit_test(test_import),
        cmocka_unit_test(test_messages_only),  cmocka_unit_test(test_total),
        cmocka_unit_test(test_max_bytes),      cmocka_unit_test(test_nonces),
        cmocka_unit_test(test_nonces_default), cmocka_unit_test(test_many_nonces),
        cmocka_unit_test(test_trim),           cmocka_unit_test(test_trim_edits),
        cmocka_unit_test(test_rollback),
    };
    return WORLD_RUN_EVERY(tests);
}
