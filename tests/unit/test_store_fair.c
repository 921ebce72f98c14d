/* Whose question is answered next: clients take turns, rooms come before pages, nobody has more
 * than its share of the queue, nothing is read for who is gone or while there is no memory for the
 * answer. The one reader is held at a gate while the questions of a test pile up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/store.h"
#include "store/store_queue.h"
#include "store_world.h"

enum { ORDER_MAX = STORE_READS_MAX + 64 };

/* What was answered, in order. */
struct line {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;    /* the gate's callback waits */
    bool at_gate; /* and is there */
    unsigned count;
    unsigned closed; /* of them those that were not wanted any more */
    int order[ORDER_MAX];
};

struct asked {
    struct line *line;
    int name;
    bool gate;
    atomic_bool gone;
};

static struct line line;
static struct account *memory; /* of the test; NULL: it has none */

static void note(struct asked *a, int err)
{
    struct line *l = a->line;
    pthread_mutex_lock(&l->lock);
    while (a->gate && l->held) {
        l->at_gate = true;
        pthread_cond_broadcast(&l->changed);
        pthread_cond_wait(&l->changed, &l->lock);
    }
    if (!a->gate && l->count < ORDER_MAX) l->order[l->count++] = a->name;
    l->closed += err == ERR_CLOSED;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    free(a);
}

static void on_page(void *ctx, int err, const struct store_page *page)
{
    (void)page;
    note(ctx, err);
}

static void on_room(void *ctx, int err, const struct store_loaded *loaded)
{
    (void)loaded;
    note(ctx, err);
}

static void on_rooms(void *ctx, int err, const struct store_rooms *rooms)
{
    (void)rooms;
    note(ctx, err);
}

static bool wanted(void *ctx)
{
    struct asked *a = ctx;
    return !atomic_load(&a->gone);
}

static struct asked *asked_new(int name)
{
    struct asked *a = calloc(1, sizeof *a);
    assert_non_null(a);
    a->line = &line;
    a->name = name;
    return a;
}

static int ask_page(struct world *w, uint64_t client, uint32_t bytes, struct asked *a)
{
    const struct store_query q = {.asker = {client, bytes, memory, wanted},
                                  .room = SLICE_LIT("r"),
                                  .direction = STORE_BEFORE,
                                  .position = 10,
                                  .limit = 2};
    int err = store_read_page(w->store, &q, on_page, a);
    if (err) free(a);
    return err;
}

static void ask(struct world *w, uint64_t client, int name)
{
    assert_int_equal(ask_page(w, client, 0, asked_new(name)), 0);
}

static void ask_room(struct world *w, uint64_t client, int name)
{
    const struct store_asker asker = {.client = client, .wanted = wanted};
    assert_int_equal(store_load_room(w->store, &asker, SLICE_LIT("r"), on_room, asked_new(name)),
                     0);
}

static int ask_list(struct world *w, uint64_t client, struct asked *a)
{
    const struct store_rooms_query q = {.limit = 2, .asker = {client, 10, memory, wanted}};
    int err = store_list_rooms(w->store, &q, on_rooms, a);
    if (err) free(a);
    return err;
}

static void ask_search(struct world *w, uint64_t client, int name)
{
    const struct store_asker asker = {.client = client, .wanted = wanted};
    const struct store_search q = {SLICE_LIT("r"), SLICE_LIT("m"), STORE_SEQ_MAX, 2};
    assert_int_equal(store_search(w->store, &asker, &q, on_page, asked_new(name)), 0);
}

static void begin(struct world *w, struct account *answers)
{
    memory = answers;
    assert_non_null(world_open(w, (struct store_options){.readers = 1}));
    world_fill(w, "r", 1, 5);
    world_expect_found(w, "r", "nothing", ""); /* no search waits for the index */
    pthread_mutex_lock(&line.lock);
    line.held = true;
    line.at_gate = false;
    line.count = line.closed = 0;
    pthread_mutex_unlock(&line.lock);
    struct asked *gate = asked_new(0);
    gate->gate = true;
    assert_int_equal(ask_page(w, 0, 0, gate), 0);
    pthread_mutex_lock(&line.lock);
    while (!line.at_gate)
        pthread_cond_wait(&line.changed, &line.lock);
    pthread_mutex_unlock(&line.lock);
}

static void open_gate(void)
{
    pthread_mutex_lock(&line.lock);
    line.held = false;
    pthread_cond_broadcast(&line.changed);
    pthread_mutex_unlock(&line.lock);
}

static void await(unsigned n)
{
    pthread_mutex_lock(&line.lock);
    while (line.count < n)
        pthread_cond_wait(&line.changed, &line.lock);
    pthread_mutex_unlock(&line.lock);
}

static void expect_order(const int *names, unsigned n)
{
    await(n);
    assert_int_equal(line.count, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(line.order[i], names[i]);
}

static unsigned first_of(int name)
{
    unsigned at = 0;
    while (at < line.count && line.order[at] != name)
        at++;
    assert_true(at < line.count);
    return at;
}

/* Twelve questions of one client do not come before the first of another, and none before a room.
 */
static void test_turns(void **state)
{
    struct world *w = *state;
    begin(w, NULL);
    for (int i = 0; i < 4; i++)
        ask(w, 1, 10 + i);
    ask(w, 2, 20);
    ask(w, 3, 30);
    ask(w, 2, 21);
    ask_room(w, 1, 1);
    ask_room(w, 1, 2);
    ask_room(w, 4, 4);
    open_gate();
    static const int order[] = {1, 4, 2, 10, 20, 30, 11, 21, 12, 13};
    expect_order(order, sizeof order / sizeof order[0]);
}

/* Rooms alone would keep pages waiting for ever. */
static void test_no_starving(void **state)
{
    struct world *w = *state;
    begin(w, NULL);
    for (int i = 0; i < 3 * STORE_QUICK_ROW_MAX; i++)
        ask_room(w, 1, i);
    ask(w, 2, 1000);
    open_gate();
    await(3 * STORE_QUICK_ROW_MAX + 1);
    assert_true(first_of(1000) <= STORE_QUICK_ROW_MAX);
}

/* With rooms, searches and pages at once each kind has its turn, and a page waits for one search.
 */
static void test_each_kind(void **state)
{
    enum { ROW = STORE_QUICK_ROW_MAX, EACH = 4, ROOM = 1, SEARCH, PAGE };
    struct world *w = *state;
    begin(w, NULL);
    for (int i = 0; i < EACH * ROW; i++)
        ask_room(w, 1, ROOM);
    for (int i = 0; i < EACH; i++)
        ask_search(w, 2, SEARCH);
    ask(w, 3, PAGE);
    open_gate();
    await(EACH * ROW + EACH + 1);
    assert_true(first_of(SEARCH) <= ROW + 1);
    assert_true(first_of(PAGE) <= ROW + 1);
}

static void test_pages_and_searches(void **state)
{
    static const int order[] = {20, 10, 21, 11, 22, 23};
    struct world *w = *state;
    begin(w, NULL);
    for (int i = 0; i < 4; i++)
        ask_search(w, 2, 20 + i);
    ask(w, 1, 10);
    ask(w, 1, 11);
    open_gate();
    expect_order(order, sizeof order / sizeof order[0]);
}

static void test_share(void **state)
{
    struct world *w = *state;
    begin(w, NULL);
    for (unsigned i = 0; i < STORE_CLIENT_READS_MAX; i++)
        ask(w, 1, 1);
    assert_int_equal(ask_page(w, 1, 0, asked_new(1)), ERR_BUSY);
    assert_int_equal(ask_page(w, 1, 0, asked_new(1)), ERR_BUSY);
    ask(w, 2, 2);
    ask(w, 0, 3);
    open_gate();
    await(STORE_CLIENT_READS_MAX + 2);
    bool soon = false;
    for (unsigned i = 0; i < 4; i++)
        soon = soon || line.order[i] == 2;
    assert_true(soon);
    ask(w, 1, 4); /* it has its share again */
    await(STORE_CLIENT_READS_MAX + 3);
}

/* Lists of rooms are of the same share, and in the same turn, as pages. */
static void test_lists(void **state)
{
    struct world *w = *state;
    struct account answers = {.max = UINT64_MAX / 2};
    begin(w, &answers);
    struct asked *gone = asked_new(1);
    assert_int_equal(ask_list(w, 1, gone), 0);
    atomic_store(&gone->gone, true);
    for (unsigned i = 1; i < STORE_CLIENT_READS_MAX; i++)
        assert_int_equal(ask_list(w, 1, asked_new(1)), 0);
    assert_int_equal(ask_list(w, 1, asked_new(1)), ERR_BUSY);
    assert_int_equal(ask_page(w, 1, 0, asked_new(1)), ERR_BUSY);
    assert_int_equal(ask_list(w, 2, asked_new(2)), 0);
    ask(w, 3, 3);
    open_gate();
    await(STORE_CLIENT_READS_MAX + 2);
    static const int first[] = {1, 2, 3, 1};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(line.order[i], first[i]);
    assert_int_equal(line.closed, 1);
    assert_int_equal(account_used(&answers), 10 * STORE_CLIENT_READS_MAX);
}

/* A few clients that fill the queue do not keep the others out of it. */
static void test_full(void **state)
{
    struct world *w = *state;
    begin(w, NULL);
    for (uint64_t client = 1; client <= STORE_READS_MAX / STORE_CLIENT_READS_MAX; client++)
        for (unsigned i = 0; i < STORE_CLIENT_READS_MAX; i++)
            ask(w, client, 1);
    assert_int_equal(ask_page(w, 1, 0, asked_new(1)), ERR_BUSY);
    for (unsigned i = 0; i < STORE_CLIENT_READS_SURE; i++)
        ask(w, 99, 2);
    assert_int_equal(ask_page(w, 99, 0, asked_new(2)), ERR_BUSY);
    open_gate();
    await(ORDER_MAX);
    unsigned at = 0;
    while (line.order[at] != 2)
        at++;
    assert_true(at < 8);
}

static void test_unwanted(void **state)
{
    struct world *w = *state;
    struct account answers = {.max = 1000};
    struct store_stats before;
    begin(w, &answers);
    struct asked *gone[100];
    for (int i = 0; i < 100; i++) {
        gone[i] = asked_new(1);
        assert_int_equal(ask_page(w, 1, 10, gone[i]), 0);
    }
    store_stats(w->store, &before);
    for (int i = 0; i < 100; i++)
        atomic_store(&gone[i]->gone, true);
    ask(w, 1, 2);
    open_gate();
    await(101);
    assert_int_equal(line.closed, 100);
    assert_int_equal(line.order[100], 2);
    assert_int_equal(account_used(&answers), 0);
}

/* A page waits until there is memory for it; a room does not. What is asked for alone may be larger
 * than the memory there is, or nobody could ever have it. */
static void test_memory(void **state)
{
    struct world *w = *state;
    struct account answers = {.max = 100};
    begin(w, &answers);
    assert_int_equal(ask_page(w, 1, 500, asked_new(1)), 0);
    assert_int_equal(ask_page(w, 2, 60, asked_new(2)), 0);
    open_gate();
    await(1);
    assert_int_equal(account_used(&answers), 500);
    ask_room(w, 3, 3);
    await(2);
    assert_int_equal(line.order[1], 3);
    for (int i = 0; i < 10; i++)
        world_nap();
    assert_int_equal(line.count, 2);
    account_sub(&answers, 500);
    await(3);
    assert_int_equal(account_used(&answers), 60);
    assert_int_equal(ask_page(w, 2, 60, asked_new(4)), 0);
    store_close(w->store); /* everything is answered even so */
    w->store = NULL;
    static const int order[] = {1, 3, 2, 4};
    expect_order(order, 4);
    assert_int_equal(account_used(&answers), 120);
}

int main(void)
{
    pthread_mutex_init(&line.lock, NULL);
    pthread_cond_init(&line.changed, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),     cmocka_unit_test(test_no_starving),
        cmocka_unit_test(test_share),     cmocka_unit_test(test_lists),
        cmocka_unit_test(test_each_kind), cmocka_unit_test(test_pages_and_searches),
        cmocka_unit_test(test_full),      cmocka_unit_test(test_unwanted),
        cmocka_unit_test(test_memory),
    };
    return WORLD_RUN_EVERY(tests);
}
