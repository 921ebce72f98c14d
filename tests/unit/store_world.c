/* See store_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/store_memory.h"
#include "store/store_sqlite.h"
#include "store_world.h"

enum { DONE_MAX = 200000 };

const char world_epoch[] = "k3f9abcd";

static void on_done(void *ctx, const struct store_done *done, size_t count)
{
    struct seen *seen = ctx;
    pthread_mutex_lock(&seen->lock);
    while (seen->hold)
        pthread_cond_wait(&seen->changed, &seen->lock);
    for (size_t i = 0; i < count; i++) {
        if (seen->count < DONE_MAX) seen->done[seen->count] = done[i];
        seen->count++;
        if (done[i].err) seen->failed++;
    }
    seen->calls++;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void on_health(void *ctx, bool healthy, const char *text)
{
    struct seen *seen = ctx;
    (void)healthy;
    pthread_mutex_lock(&seen->lock);
    if (*text) seen->turns++;
    pthread_mutex_unlock(&seen->lock);
}

void world_hold(struct seen *seen, bool hold)
{
    pthread_mutex_lock(&seen->lock);
    seen->hold = hold;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

void world_wait_done(struct seen *seen, size_t count)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += WORLD_WAIT_S;
    int rc = 0;
    pthread_mutex_lock(&seen->lock);
    while (seen->count < count && rc == 0)
        rc = pthread_cond_timedwait(&seen->changed, &seen->lock, &t);
    pthread_mutex_unlock(&seen->lock);
    assert_int_equal(rc, 0);
}

size_t world_count(struct seen *seen, const size_t *counter)
{
    pthread_mutex_lock(&seen->lock);
    size_t count = *counter;
    pthread_mutex_unlock(&seen->lock);
    return count;
}

void world_nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

bool world_wait_health(struct store *s, bool healthy)
{
    for (int i = 0; i < WORLD_WAIT_S * 200; i++) {
        if (store_healthy(s) == healthy) return true;
        world_nap();
    }
    return false;
}

struct store *world_open(struct world *w, struct store_options o)
{
    char text[STORE_SQLITE_TEXT_MAX] = "";
    struct store_sqlite_options sqlite = {.path = w->path, .busy_ms = 100};
    o.on_done = on_done;
    o.on_health = on_health;
    o.ctx = &w->seen;
    o.retry_first_ms = 20;
    w->store = w->sqlite ? store_sqlite_open(&sqlite, &o, text) : store_memory_open(&o);
    if (!w->store && *text) print_message("%s\n", text);
    return w->store;
}

int world_add(struct world *w, const char *room, uint64_t seq, struct slice message)
{
    struct store_event e = {
        .seq = seq, .ts_ms = (int64_t)seq, .username = SLICE_LIT("ann"), .message = message};
    struct store_append a = {{room, strlen(room)}, world_epoch, &e, (void *)(uintptr_t)seq};
    return store_append(w->store, &a);
}

void world_fill(struct world *w, const char *room, uint64_t from, uint64_t to)
{
    size_t have = w->seen.count;
    for (uint64_t seq = from; seq <= to; seq++)
        assert_int_equal(world_add(w, room, seq, SLICE_LIT("hi")), 0);
    world_wait_done(&w->seen, have + (to - from + 1));
    assert_int_equal(w->seen.failed, 0);
}

void answer_on_room(void *ctx, int err, const struct store_room *room)
{
    struct answer *a = ctx;
    pthread_mutex_lock(&a->lock);
    a->err = err;
    if (room) a->room = *room;
    a->ready = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void keep_text(struct answer *a, struct slice text)
{
    if (text.len > sizeof a->text - a->text_len) return;
    if (text.len) memcpy(a->text + a->text_len, text.ptr, text.len);
    a->text_len += text.len;
}

static void on_page(void *ctx, int err, const struct store_page *page)
{
    struct answer *a = ctx;
    for (size_t i = 0; page && i < page->count; i++)
        a->seqs[i] = page->events[i]->seq;
    if (page && page->count) {
        a->first = *page->events[0];
        keep_text(a, a->first.username);
        keep_text(a, a->first.user);
        keep_text(a, a->first.message);
        keep_text(a, a->first.data);
        keep_text(a, a->first.nonce);
    }
    if (page) {
        a->count = page->count;
        a->more_before = page->more_before;
        a->more_after = page->more_after;
    }
    answer_on_room(ctx, err, page ? &page->room : NULL);
}

void answer_init(struct answer *a)
{
    memset(a, 0, sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
}

int answer_wait(struct answer *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->ready)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    return a->err;
}

int world_load(struct world *w, const char *room, struct answer *a)
{
    answer_init(a);
    int err = store_load_room(w->store, (struct slice){room, strlen(room)}, answer_on_room, a);
    return err ? err : answer_wait(a);
}

int world_ask(struct world *w, const struct store_query *q, struct answer *a)
{
    answer_init(a);
    int err = store_read_page(w->store, q, on_page, a);
    return err ? err : answer_wait(a);
}

static int setup(void **state, bool sqlite)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w) return -1;
    w->sqlite = sqlite;
    w->seen.done = calloc(DONE_MAX, sizeof *w->seen.done);
    pthread_mutex_init(&w->seen.lock, NULL);
    pthread_cond_init(&w->seen.changed, NULL);
    snprintf(w->dir, sizeof w->dir, "/tmp/parlor-store-XXXXXX");
    if (!w->seen.done || !mkdtemp(w->dir)) return -1;
    snprintf(w->path, sizeof w->path, "%s/p.db", w->dir);
    *state = w;
    return 0;
}

int world_setup_memory(void **state)
{
    return setup(state, false);
}

int world_setup_sqlite(void **state)
{
    return setup(state, true);
}

int world_teardown(void **state)
{
    struct world *w = *state;
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    store_close(w->store);
    for (int i = 0; i < 4; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", w->path, ends[i]);
        unlink(path);
    }
    rmdir(w->dir);
    pthread_mutex_destroy(&w->seen.lock);
    pthread_cond_destroy(&w->seen.changed);
    free(w->seen.done);
    free(w);
    return 0;
}
