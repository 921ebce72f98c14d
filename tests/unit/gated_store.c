/* See gated_store.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "gated_store.h"
#include "store/store_memory.h"
#include "store/store_sqlite.h"

enum { WAIT_S = 60 };

static void on_done(void *ctx, const struct store_done *done, size_t count)
{
    struct gate *g = ctx;
    pthread_mutex_lock(&g->lock);
    g->done = done;
    g->done_count = count;
    g->done_next = 0;
    g->decided += count;
    pthread_cond_broadcast(&g->changed);
    while (g->done && !g->closing)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void on_mark(void *ctx, int err, const struct store_page *page)
{
    struct gate *g = ctx;
    (void)err;
    (void)page;
    pthread_mutex_lock(&g->lock);
    uint64_t mark = ++g->reached;
    pthread_cond_broadcast(&g->changed);
    while (g->opened < mark && !g->closing)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static struct timespec deadline(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += WAIT_S;
    return t;
}

/* Waits for a batch, and shows it. */
static void await_batch(struct gate *g)
{
    struct timespec t = deadline();
    int rc = 0;
    pthread_mutex_lock(&g->lock);
    while (!g->done && rc == 0)
        rc = pthread_cond_timedwait(&g->changed, &g->lock, &t);
    pthread_mutex_unlock(&g->lock);
    assert_int_equal(rc, 0);
    g->holds = true;
    if (g->on_batch) g->on_batch(g->ctx, g->done, g->done_count);
}

static void await_mark(struct gate *g, uint64_t mark)
{
    struct timespec t = deadline();
    int rc = 0;
    pthread_mutex_lock(&g->lock);
    while (g->reached < mark && rc == 0)
        rc = pthread_cond_timedwait(&g->changed, &g->lock, &t);
    pthread_mutex_unlock(&g->lock);
    assert_int_equal(rc, 0);
}

void gate_open(struct gate *g, struct store_options options, const char *path,
               void (*on_batch)(void *ctx, const struct store_done *done, size_t count), void *ctx)
{
    char text[STORE_SQLITE_TEXT_MAX] = "";
    const struct store_sqlite_options sqlite = {.path = path, .relaxed = true, .busy_ms = 100};
    memset(g, 0, sizeof *g);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
    g->on_batch = on_batch;
    g->ctx = ctx;
    options.on_done = on_done;
    options.ctx = g;
    options.readers = 1;
    options.retry_first_ms = 1;
    options.trim_pause_ms = 1;
    g->store = path ? store_sqlite_open(&sqlite, &options, text) : store_memory_open(&options);
    assert_string_equal(text, "");
    assert_non_null(g->store);
    gate_mark(g);
    await_mark(g, 1);
}

void gate_appended(struct gate *g)
{
    g->accepted++;
    store_kick(g->store);
    if (!g->holds) await_batch(g);
}

bool gate_holds(const struct gate *g)
{
    return g->holds;
}

const struct store_done *gate_next_done(struct gate *g)
{
    return g->holds && g->done_next < g->done_count ? &g->done[g->done_next++] : NULL;
}

static void await_health(struct gate *g)
{
    for (int i = 0; i < WAIT_S * 1000; i++) {
        if (store_healthy(g->store)) return;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fail_msg("the store does not recover");
}

bool gate_turn_writer(struct gate *g)
{
    if (!g->holds) return false;
    assert_int_equal(g->done_next, g->done_count);
    bool queued = g->accepted > g->decided;
    g->holds = false;
    pthread_mutex_lock(&g->lock);
    g->done = NULL;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    if (queued)
        await_batch(g);
    else
        await_health(g);
    return true;
}

void gate_mark(struct gate *g)
{
    const struct store_query q = {.room = SLICE_LIT("no room"),
                                  .direction = STORE_AFTER,
                                  .limit = 2}; /* a page, like most questions */
    assert_true(g->put - g->opened < GATE_MARKS_MAX);
    g->put++;
    g->accepted_at[g->put % GATE_MARKS_MAX] = g->accepted;
    assert_int_equal(store_read_page(g->store, &q, on_mark, g), 0);
}

bool gate_answer(struct gate *g)
{
    uint64_t next = g->opened + 2; /* mark opened + 1 is the one that waits */
    /* All that is asked, not only up to the next mark: a room that is loaded comes before pages. */
    if (g->put < next || g->accepted_at[g->put % GATE_MARKS_MAX] > g->decided) return false;
    pthread_mutex_lock(&g->lock);
    g->opened++;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    await_mark(g, next);
    return true;
}

void gate_close(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->closing = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    store_close(g->store);
    pthread_mutex_destroy(&g->lock);
    pthread_cond_destroy(&g->changed);
}
