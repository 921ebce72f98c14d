/* The SQLite store on a file with damage in one place: what needs that place is refused, alone, and
 * somebody is told; everything else goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "journal/local.h"
#include "store/store_sqlite.h"
#include "store_world.h"

enum { PAGE_BYTES = 4096, TALK = 400 };

static void reopen(struct world *w, struct store_options o)
{
    store_close(w->store);
    assert_non_null(world_open(w, o));
}

/* The number that the query returns. */
static int64_t number(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return n;
}

/* Overwrites a page of the closed file: of the table or index of that name, the leaf where its
 * first or last entries are. The disk did it, not a program: the file's time stays. */
static void garble(struct world *w, const char *name, bool last)
{
    char sql[200];
    char bytes[PAGE_BYTES];
    snprintf(sql, sizeof sql,
             "SELECT pageno FROM dbstat WHERE name = '%s' AND pagetype = 'leaf'"
             " ORDER BY path %s LIMIT 1",
             name, last ? "DESC" : "ASC");
    store_close(w->store);
    w->store = NULL;
    w->sound = false;
    int64_t page = number(w->path, sql);
    memset(bytes, 0x5a, sizeof bytes);
    int fd = open(w->path, O_WRONLY);
    struct stat st;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, (page - 1) * PAGE_BYTES), PAGE_BYTES);
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static void react(struct world *w, const char *room, uint64_t seq, uint64_t target)
{
    world_put(w, room,
              (struct store_event){
                  .seq = seq, .kind = STORE_REACT, .target = target, .message = SLICE_LIT("+1")});
}

static void say(struct world *w, const char *room, uint64_t seq)
{
    world_put(w, room, (struct store_event){.seq = seq, .message = SLICE_LIT("words to keep")});
}

/* A room "a" with many reactions, then a room "b". */
static struct world *talk(void **state)
{
    struct world *w = *state;
    reopen(w, (struct store_options){0});
    for (uint64_t seq = 1; seq <= TALK; seq++)
        say(w, "a", seq);
    for (uint64_t seq = 1; seq <= TALK; seq++)
        react(w, "a", TALK + seq, seq);
    for (uint64_t seq = 1; seq <= TALK; seq++)
        say(w, "b", seq);
    world_settle(w);
    world_expect_found(w, "a", "nothing", "");
    return w;
}

static int outcome(struct world *w, uint64_t seq)
{
    int err = 1;
    pthread_mutex_lock(&w->seen.lock);
    for (size_t i = 0; i < w->seen.count; i++)
        if (w->seen.done[i].seq == seq) err = w->seen.done[i].err;
    pthread_mutex_unlock(&w->seen.lock);
    return err;
}

/* A batch in which one event meets the damage. */
static void test_event_alone(void **state)
{
    struct world *w = talk(state);
    struct answer a;
    struct store_stats stats;
    garble(w, "reactions", false);
    reopen(w, (struct store_options){0});
    assert_int_equal(world_load(w, "a", &a), 0);
    world_hold(&w->seen, true);
    say(w, "b", 1001);
    for (uint64_t i = 0; i < 5; i++) { /* one batch, when the first is done */
        say(w, "b", 1002 + i);
        say(w, "a", 2001 + 3 * i);
        react(w, "a", 2002 + 3 * i, TALK);
        react(w, "a", 2003 + 3 * i, 1);
    }
    world_hold(&w->seen, false);
    world_wait_done(&w->seen, w->put);
    assert_true(store_healthy(w->store));
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(outcome(w, 1002 + i), 0);
        assert_int_equal(outcome(w, 2001 + 3 * i), 0);
        assert_int_equal(outcome(w, 2002 + 3 * i), 0);
        assert_int_equal(outcome(w, 2003 + 3 * i), ERR_STORE_DAMAGED);
    }
    assert_true(world_count(&w->seen, &w->seen.troubles) > 0);
    store_stats(w->store, &stats);
    assert_true(stats.damaged && stats.troubles > 0 && stats.trouble_since_ms > 0);

    /* The last seq was refused, but it was given. */
    assert_int_equal(world_load(w, "a", &a), 0);
    assert_int_equal(a.room.last_seq, 2014);
    assert_true(journal_local_next_seq(&a.room, 1) > 2015);
    assert_int_equal(world_load(w, "b", &a), 0);
    assert_int_equal(journal_local_next_seq(&a.room, 1), 1007);
    say(w, "a", 70000);
    world_wait_done(&w->seen, w->put);
    assert_int_equal(world_load(w, "a", &a), 0);
    assert_int_equal(journal_local_next_seq(&a.room, 1), 70001);
}

/* Where every event has to go: the store as a whole fails, from the start, and does not believe
 * that it is well because it can write something else. What is whole can be read. */
static void test_whole_store(void **state)
{
    struct world *w = talk(state);
    struct answer a;
    garble(w, "events", true);
    reopen(w, (struct store_options){0});
    assert_false(store_healthy(w->store));
    assert_int_equal(world_page(w, "a", STORE_AFTER, 0, 10, &a), 0);
    assert_int_equal(a.count, 10);
    for (int i = 0; i < 60; i++) { /* it tries again and again */
        world_nap();
        assert_false(store_healthy(w->store));
    }
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 1);
}

/* So many outages that no room has a seq left: as the one above. */
static void test_outages(void **state)
{
    struct world *w = talk(state);
    struct answer a;
    struct store_stats stats;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    store_close(w->store);
    w->store = NULL;
    w->sound = false;
    assert_int_equal(store_sqlite_check(w->path, out), 0);
    world_sql(w->path, "UPDATE meta SET outages = 9007199254740990");
    assert_int_equal(store_sqlite_check(w->path, out), ERR_STORE);
    fclose(out);
    reopen(w, (struct store_options){0});
    assert_int_equal(world_page(w, "a", STORE_AFTER, 0, 10, &a), ERR_STORE_READ);
    for (int i = 0; i < 20; i++) {
        assert_false(store_healthy(w->store));
        world_nap();
    }
    store_stats(w->store, &stats);
    assert_true(stats.damaged);
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 1);
}

static void wait_turns(struct world *w, size_t turns)
{
    int64_t end_ms = world_now_ms() + WORLD_WAIT_S * 1000;
    while (world_count(&w->seen, &w->seen.turns) < turns && world_now_ms() < end_ms)
        world_nap();
    assert_int_equal(world_count(&w->seen, &w->seen.turns), turns);
}

/* Another program takes a table away while the store runs: that is said, and what needs the table
 * is refused alone. */
static void test_table_gone(void **state)
{
    struct world *w = talk(state);
    struct store_stats stats;
    w->sound = false;
    world_sql(w->path, "DROP TABLE reactions");
    wait_turns(w, 2); /* refused until it was looked at */
    assert_true(store_healthy(w->store));
    store_stats(w->store, &stats);
    assert_true(stats.damaged);
    world_hold(&w->seen, true);
    say(w, "b", 1001);
    for (uint64_t i = 0; i < 5; i++) {
        react(w, "a", 2001 + i, 1 + i);
        say(w, "b", 1002 + i);
    }
    world_hold(&w->seen, false);
    world_wait_done(&w->seen, w->put);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(outcome(w, 2001 + i), ERR_STORE_DAMAGED);
        assert_int_equal(outcome(w, 1002 + i), 0);
    }
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 2);
}

/* The row that counts outages is taken away: without it an id could be given twice. */
static void test_meta_gone(void **state)
{
    struct world *w = talk(state);
    struct store_stats stats;
    w->sound = false;
    world_sql(w->path, "DELETE FROM meta");
    wait_turns(w, 1);
    for (int i = 0; i < 60; i++) {
        world_nap();
        assert_false(store_healthy(w->store));
    }
    store_stats(w->store, &stats);
    assert_true(stats.damaged);
}

/* The row of one room, which falls due in a batch of others. */
static void test_row(void **state)
{
    struct world *w = talk(state);
    store_close(w->store);
    w->store = NULL;
    world_sql(w->path,
              "CREATE TRIGGER t BEFORE UPDATE OF last_seq ON rooms WHEN new.name = 'a' BEGIN"
              " SELECT RAISE(ABORT, 'damage'); END");
    reopen(w, (struct store_options){0});
    world_hold(&w->seen, true);
    for (uint64_t seq = 1001; seq <= 1300; seq++) {
        say(w, "a", seq);
        say(w, "b", 1000 + seq);
    }
    world_hold(&w->seen, false);
    world_wait_done(&w->seen, w->put);
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
    assert_int_equal(outcome(w, 1001), 0);
    assert_int_equal(outcome(w, 1300), ERR_STORE_DAMAGED);
    for (uint64_t seq = 2001; seq <= 2300; seq++)
        assert_int_equal(outcome(w, seq), 0);
    w->sound = false;
}

static void test_read(void **state)
{
    struct world *w = talk(state);
    struct answer a;
    struct store_stats stats;
    garble(w, "events", false);
    reopen(w, (struct store_options){0});
    assert_int_equal(world_page(w, "a", STORE_AFTER, 0, 10, &a), ERR_STORE_READ);
    assert_int_equal(world_page(w, "b", STORE_BEFORE, STORE_SEQ_MAX, 10, &a), 0);
    assert_int_equal(a.count, 10);
    store_stats(w->store, &stats);
    assert_int_equal(stats.read_errors, 1);
    assert_true(stats.damaged);
    assert_int_equal(world_count(&w->seen, &w->seen.troubles), 1);
    assert_int_equal(w->seen.trouble_code, SQLITE_CORRUPT);
    say(w, "b", 1001);
    world_settle(w);
    assert_true(store_healthy(w->store));
}

/* A program did it: then it is known at the start, which goes on for the sake of the rest. */
static void test_known_at_start(void **state)
{
    struct world *w = talk(state);
    struct answer a;
    struct store_stats stats;
    garble(w, "events", false);
    assert_int_equal(utimensat(AT_FDCWD, w->path, NULL, 0), 0);
    reopen(w, (struct store_options){0});
    say(w, "b", 1001);
    world_settle(w);
    store_stats(w->store, &stats);
    assert_true(stats.damaged);
    assert_int_equal(stats.faults, 1);
    assert_int_equal(world_count(&w->seen, &w->seen.troubles), 1);
    assert_int_equal(world_page(w, "b", STORE_BEFORE, STORE_SEQ_MAX, 10, &a), 0);
    assert_int_equal(a.count, 10);
    assert_true(store_healthy(w->store));
}

/* Retention that cannot go on in one room is no reason to refuse messages, nor to leave the others.
 */
static void test_trim(void **state)
{
    struct world *w = talk(state);
    garble(w, "events", false);
    struct answer a;
    reopen(w, (struct store_options){.keep = {.max_events = 100}, .trim_pause_ms = 1});
    for (uint64_t seq = 1001; seq <= 1050; seq++) {
        say(w, "b", seq);
        world_settle(w);
        world_nap();
    }
    int64_t end_ms = world_now_ms() + WORLD_WAIT_S * 1000;
    do {
        world_nap();
        assert_int_equal(world_load(w, "b", &a), 0);
    } while (a.room.trimmed_seq < TALK + 50 - 100 && world_now_ms() < end_ms);
    assert_int_equal(a.room.trimmed_seq, TALK + 50 - 100);
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
    assert_true(world_count(&w->seen, &w->seen.troubles) > 0);
}

/* An index that cannot be made: what would be found is not all. */
static void test_search_lacks(void **state)
{
    struct world *w = talk(state);
    struct answer a;
    struct store_search q = {SLICE_LIT("b"), SLICE_LIT("words"), STORE_SEQ_MAX + 1, 10};
    assert_int_equal(world_search(w, &q, &a), 0);
    assert_int_equal(a.count, 10);
    store_close(w->store);
    w->store = NULL;
    world_sql(w->path,
              "INSERT INTO search(search) VALUES('delete-all'); UPDATE meta SET indexed = 0");
    garble(w, "events", false);
    reopen(w, (struct store_options){0});
    for (int i = 0; i < 20; i++)
        assert_int_equal(world_search(w, &q, &a), ERR_STORE_READ);
    say(w, "b", 1001);
    world_settle(w);
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
}

/* Damage below the index: it cannot be made anew. Searches are refused, and nothing else is. */
static void test_index_lost(void **state)
{
    struct world *w = talk(state);
    struct answer a;
    struct store_search q = {SLICE_LIT("b"), SLICE_LIT("words"), STORE_SEQ_MAX + 1, 10};
    garble(w, "search_data", true);
    reopen(w, (struct store_options){0});
    for (uint64_t seq = 1001; seq <= 1050; seq++) {
        say(w, "b", seq);
        world_settle(w);
        world_nap();
        int err = world_search(w, &q, &a);
        assert_true(err == ERR_STORE_READ || (err == 0 && a.count == 10));
    }
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
    assert_true(world_count(&w->seen, &w->seen.troubles) > 0);
}

/* Asks for everything and appends; the number of errors that somebody was told. */
static unsigned use(struct world *w, uint64_t seq)
{
    struct answer a;
    struct store_search q = {SLICE_LIT("b"), SLICE_LIT("words"), STORE_SEQ_MAX + 1, 10};
    const int errors[] = {
        world_load(w, "a", &a),
        world_load(w, "b", &a),
        world_page(w, "a", STORE_AFTER, 0, STORE_PAGE_MAX, &a),
        world_page(w, "b", STORE_BEFORE, STORE_SEQ_MAX, STORE_PAGE_MAX, &a),
        world_list(w, "", 10, &a),
        world_search(w, &q, &a),
    };
    unsigned told = 0;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        assert_true(errors[i] == 0 || errors[i] == ERR_STORE_READ || errors[i] == ERR_STORE ||
                    errors[i] == ERR_NOT_FOUND);
        told += errors[i] != 0;
    }
    for (uint64_t i = 0; i < 8; i++) {
        struct store_event e = {.seq = seq + i,
                                .ts_ms = 1,
                                .kind = (enum store_kind)(i % STORE_KIND_COUNT),
                                .target = i * 50 + 1,
                                .username = SLICE_LIT("ann"),
                                .message = SLICE_LIT("words")};
        const struct store_append append = {
            i % 2 ? SLICE_LIT("a") : SLICE_LIT("b"), world_epoch, &e, NULL, false, e.seq - 1};
        if (store_append(w->store, &append) == 0) w->put++;
        world_wait_done(&w->seen, w->put);
    }
    return told + (unsigned)world_count(&w->seen, &w->seen.failed);
}

/* Every page in turn is garbled: whoever is told of an error is not the only one to know. */
static void test_every_page(void **state)
{
    enum { SIZE = 1 << 20 };
    struct world *w = talk(state);
    unsigned silent = 0;
    unsigned seen = 0;
    unsigned refused = 0;
    store_close(w->store);
    w->store = NULL;
    w->sound = false;
    /* To each start it is a file that it has never seen. */
    world_sql(w->path, "UPDATE meta SET life = 0, checkpoints = 0, seal = 0");
    char *good = calloc(2, SIZE);
    assert_non_null(good);
    int fd = open(w->path, O_RDONLY);
    ssize_t size = read(fd, good, SIZE);
    close(fd);
    assert_in_range(size, 30 * PAGE_BYTES, SIZE - 1);
    world_remove_files(w);
    for (ssize_t at = 0; at < size; at += PAGE_BYTES) {
        char *bad = good + SIZE;
        memcpy(bad, good, (size_t)size);
        memset(bad + at, 0x5a, PAGE_BYTES);
        fd = open(w->path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
        assert_int_equal(write(fd, bad, (size_t)size), size);
        close(fd);
        w->seen.count = w->seen.failed = w->seen.troubles = w->seen.turns = w->put = 0;
        w->quiet = true;
        if (world_open(w, (struct store_options){0})) {
            unsigned told = use(w, 100000);
            seen += told > 0;
            silent += told && !w->seen.troubles && !w->seen.turns;
        } else {
            refused++;
        }
        store_close(w->store);
        w->store = NULL;
        world_remove_files(w);
    }
    free(good);
    print_message("%u pages: %u refused at start, %u met, %u of them silently\n",
                  (unsigned)(size / PAGE_BYTES), refused, seen, silent);
    assert_int_equal(silent, 0);
    assert_true(seen > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_alone),    cmocka_unit_test(test_whole_store),
        cmocka_unit_test(test_outages),        cmocka_unit_test(test_row),
        cmocka_unit_test(test_table_gone),     cmocka_unit_test(test_meta_gone),
        cmocka_unit_test(test_known_at_start), cmocka_unit_test(test_read),
        cmocka_unit_test(test_trim),           cmocka_unit_test(test_search_lacks),
        cmocka_unit_test(test_index_lost),     cmocka_unit_test(test_every_page),
    };
    return WORLD_RUN_SQLITE(tests);
}
