/* See store_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
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
        if (seen->count < DONE_MAX)
            seen->done[seen->count] =
                (struct completion){done[i].tag, done[i].event->seq, done[i].err, done[i].mark};
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
    pthread_mutex_lock(&seen->lock);
    if (*text) seen->turns++;
    if (!healthy && seen->watched) seen->told_first = store_healthy(seen->watched);
    pthread_mutex_unlock(&seen->lock);
}

static void on_trouble(void *ctx, const struct store_trouble *t)
{
    struct seen *seen = ctx;
    pthread_mutex_lock(&seen->lock);
    if (*t->what && *t->text && t->count && t->since_ms > 0) seen->troubles++;
    seen->trouble_code = t->code;
    pthread_mutex_unlock(&seen->lock);
}

static void on_notice(void *ctx, enum store_notice what, uint64_t number)
{
    struct seen *seen = ctx;
    pthread_mutex_lock(&seen->lock);
    seen->notices[what]++;
    seen->notice = number;
    pthread_mutex_unlock(&seen->lock);
}

static void on_file(void *ctx, enum store_file_event what, const char *text)
{
    struct seen *seen = ctx;
    pthread_mutex_lock(&seen->lock);
    seen->upgrades += what == STORE_FILE_UPGRADE && *text;
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

int64_t world_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
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

void world_callbacks(struct world *w, struct store_options *o)
{
    o->on_done = on_done;
    o->on_health = on_health;
    o->on_trouble = on_trouble;
    o->on_notice = on_notice;
    o->on_file = on_file;
    o->ctx = &w->seen;
    o->retry_first_ms = 20;
}

struct store *world_open(struct world *w, struct store_options o)
{
    world_callbacks(w, &o);
    w->store = w->backend->open(w, o);
    return w->store;
}

int world_add(struct world *w, const char *room, uint64_t seq, struct slice message)
{
    struct store_event e = {
        .seq = seq, .ts_ms = (int64_t)seq, .username = SLICE_LIT("ann"), .message = message};
    struct store_append a = {{room, strlen(room)},   world_epoch, &e,
                             (void *)(uintptr_t)seq, false,       e.seq - 1};
    return store_append(w->store, &a);
}

void world_put(struct world *w, const char *room, struct store_event e)
{
    if (!e.ts_ms) e.ts_ms = (int64_t)e.seq;
    if (!e.username.ptr) e.username = SLICE_LIT("ann");
    struct store_append a = {{room, strlen(room)},     world_epoch, &e,
                             (void *)(uintptr_t)e.seq, false,       e.seq - 1};
    assert_int_equal(store_append(w->store, &a), 0);
    w->put++;
}

void world_hold_writer(struct world *w, const char *room, uint64_t seq)
{
    struct store_stats stats;
    world_hold(&w->seen, true);
    world_put(w, room, (struct store_event){.seq = seq});
    do {
        world_nap();
        store_stats(w->store, &stats);
    } while (stats.in_flight);
}

void world_mark(struct world *w, const char *room, const char *user, uint64_t seq)
{
    struct store_move m = {.room = {room, strlen(room)},
                           .epoch = world_epoch,
                           .mark = {seq, {user, strlen(user)}},
                           .tag = (void *)(uintptr_t)seq};
    assert_int_equal(store_move_mark(w->store, &m), 0);
    w->put++;
}

void world_settle(struct world *w)
{
    world_wait_done(&w->seen, w->put);
    assert_int_equal(w->seen.failed, 0);
}

void world_fill(struct world *w, const char *room, uint64_t from, uint64_t to)
{
    size_t have = w->seen.count;
    for (uint64_t seq = from; seq <= to; seq++)
        assert_int_equal(world_add(w, room, seq, SLICE_LIT("hi")), 0);
    world_wait_done(&w->seen, have + (to - from + 1));
    assert_int_equal(w->seen.failed, 0);
}

int world_exit_status(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void world_fill_and_die(struct world *w, uint64_t from, uint64_t to)
{
    store_close(w->store);
    w->store = NULL;
    pid_t child = fork();
    if (child == 0) {
        struct answer a;
        NEED(world_open(w, (struct store_options){0}));
        world_fill(w, "r", from, to);
        NEED(world_load(w, "r", &a) == 0 && a.room.last_seq == to); /* it is committed */
        _exit(0);
    }
    assert_int_equal(world_exit_status(child), 0);
}

static void finish(struct answer *a, int err, const struct store_room *room)
{
    pthread_mutex_lock(&a->lock);
    a->err = err;
    if (room) a->room = *room;
    a->ready = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void show(struct answer *a, const char *format, ...)
{
    va_list args;
    size_t left = sizeof a->shown - a->shown_len;
    va_start(args, format);
    int n = vsnprintf(a->shown + a->shown_len, left, format, args);
    va_end(args);
    a->shown_len += (size_t)n < left ? (size_t)n : left - 1;
}

void answer_on_room(void *ctx, int err, const struct store_loaded *loaded)
{
    struct answer *a = ctx;
    for (size_t i = 0; loaded && i < loaded->nonce_count; i++) {
        const struct store_nonce *n = &loaded->nonces[i];
        show(a, "%llu@%lld:%.*s:%.*s ", (unsigned long long)n->seq, (long long)n->ts_ms,
             (int)n->user.len, n->user.ptr, (int)n->nonce.len, n->nonce.ptr);
    }
    for (size_t i = 0; loaded && i < loaded->mark_count; i++)
        show(a, "%.*s>%llu ", (int)loaded->marks[i].user.len, loaded->marks[i].user.ptr,
             (unsigned long long)loaded->marks[i].seq);
    if (loaded) a->count = loaded->nonce_count;
    if (loaded) a->marks = loaded->mark_count;
    finish(a, err, loaded ? &loaded->room : NULL);
}

void answer_on_rooms(void *ctx, int err, const struct store_rooms *rooms)
{
    struct answer *a = ctx;
    for (size_t i = 0; rooms && i < rooms->count; i++) {
        const struct store_room_info *r = &rooms->rooms[i];
        show(a, "%.*s:%llu/%llu@%lld[%llu-%llu] ", (int)r->name.len, r->name.ptr,
             (unsigned long long)r->events, (unsigned long long)r->bytes, (long long)r->last_ts_ms,
             (unsigned long long)r->room.first_seq, (unsigned long long)r->room.last_seq);
    }
    if (rooms && rooms->more) show(a, ">");
    if (rooms) a->count = rooms->count;
    finish(a, err, rooms && rooms->count ? &rooms->rooms[0].room : NULL);
}

static void keep_text(struct answer *a, struct slice text)
{
    if (text.len > sizeof a->text - a->text_len) return;
    if (text.len) memcpy(a->text + a->text_len, text.ptr, text.len);
    a->text_len += text.len;
}

static void show_event(struct answer *a, const struct store_event *e)
{
    show(a, "%llu%c", (unsigned long long)e->seq, "medru"[e->kind]);
    if (e->message.ptr) show(a, "=%.*s", (int)e->message.len, e->message.ptr);
    if (e->deleted) show(a, "!");
    if (e->edited_ms) show(a, "~%lld", (long long)e->edited_ms);
    for (size_t i = 0; i < e->reaction_count; i++)
        show(a, "%c%.*s%u", i ? ' ' : '{', (int)e->reactions[i].emoji.len,
             e->reactions[i].emoji.ptr, e->reactions[i].count);
    show(a, e->reaction_count ? "} " : " ");
}

void answer_on_page(void *ctx, int err, const struct store_page *page)
{
    struct answer *a = ctx;
    for (size_t i = 0; page && i < page->count; i++) {
        a->seqs[i] = page->events[i]->seq;
        show_event(a, page->events[i]);
    }
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
        a->total = page->total;
        show(a, "%s%s", page->more_before ? "<" : "", page->more_after ? ">" : "");
        if (page->total) show(a, "#%llu", (unsigned long long)page->total);
    }
    finish(a, err, page ? &page->room : NULL);
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
    int err =
        store_load_room(w->store, NULL, (struct slice){room, strlen(room)}, answer_on_room, a);
    return err ? err : answer_wait(a);
}

int world_ask(struct world *w, const struct store_query *q, struct answer *a)
{
    answer_init(a);
    int err = store_read_page(w->store, q, answer_on_page, a);
    return err ? err : answer_wait(a);
}

int world_search(struct world *w, const struct store_search *q, struct answer *a)
{
    answer_init(a);
    int err = store_search(w->store, NULL, q, answer_on_page, a);
    return err ? err : answer_wait(a);
}

int world_list(struct world *w, const char *after, unsigned limit, struct answer *a)
{
    answer_init(a);
    const struct store_rooms_query q = {.after = {after, strlen(after)}, .limit = limit};
    int err = store_list_rooms(w->store, &q, answer_on_rooms, a);
    return err ? err : answer_wait(a);
}

void world_expect_page(struct world *w, const struct store_query *q, const char *want)
{
    struct answer a;
    assert_int_equal(world_ask(w, q, &a), 0);
    assert_string_equal(a.shown, want);
}

void world_expect(struct world *w, const char *room, const char *want)
{
    struct store_query q = {.room = {room, strlen(room)},
                            .direction = STORE_BEFORE,
                            .position = STORE_SEQ_MAX + 1,
                            .limit = 100,
                            .reactions = true};
    world_expect_page(w, &q, want);
}

int world_search_indexed(struct world *w, const struct store_search *q, struct answer *a)
{
    int64_t end_ms = world_now_ms() + WORLD_WAIT_S * 1000;
    int64_t start_ms;
    int err;
    do {
        start_ms = world_now_ms();
        err = world_search(w, q, a);
        if (err && err != ERR_STORE_READ) break;
        if (err) world_nap();
    } while ((err || world_now_ms() - start_ms >= STORE_INDEX_WAIT_MS) && start_ms < end_ms);
    return err;
}

void world_expect_found(struct world *w, const char *room, const char *text, const char *want)
{
    struct answer a;
    char got[256] = "";
    size_t n = 0;
    struct store_search q = {{room, strlen(room)}, {text, strlen(text)}, STORE_SEQ_MAX + 1, 10};
    assert_int_equal(world_search_indexed(w, &q, &a), 0);
    for (size_t i = 0; i < a.count; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%llu ", (unsigned long long)a.seqs[i]);
    snprintf(got + n, sizeof got - n, "%s", a.more_before ? "<" : "");
    assert_string_equal(got, want);
}

void world_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL)) fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

void world_check_file(const char *path)
{
    char lines[8192] = "";
    FILE *out = fmemopen(lines, sizeof lines, "w");
    assert_non_null(out);
    int err = store_sqlite_check(path, out);
    fclose(out);
    if (err) fail_msg("%s", lines);
    /* What a check that only reads cannot ask FTS5. */
    world_sql(path, "INSERT INTO search(search) VALUES('integrity-check')");
}

void world_to_schema_5(const char *path)
{
    world_sql(path, "ALTER TABLE meta DROP COLUMN secret; PRAGMA user_version=5");
}

void world_to_schema_3(const char *path)
{
    world_to_schema_5(path);
    world_sql(path, "PRAGMA temp_store=2; DROP INDEX rooms_oldest; DROP INDEX rooms_bytes;"
                    "ALTER TABLE rooms DROP COLUMN oldest_ms; PRAGMA user_version=3;"
                    "ALTER TABLE meta DROP COLUMN life; ALTER TABLE meta DROP COLUMN checkpoints;"
                    "ALTER TABLE meta DROP COLUMN seal; ALTER TABLE meta DROP COLUMN removed;");
}

/* ---- the backends, and tests run with them ---- */

static struct store *open_memory(const struct world *w, struct store_options o)
{
    (void)w;
    return store_memory_open(&o);
}

static struct store *open_sqlite(const struct world *w, struct store_options o)
{
    char text[STORE_SQLITE_TEXT_MAX] = "";
    const struct store_sqlite_options sqlite = {.path = w->path, .busy_ms = 100};
    struct store *s = store_sqlite_open(&sqlite, &o, text);
    if (!s && *text && !w->quiet) print_message("%s\n", text);
    return s;
}

enum { SQLITE }; /* the row that some tests are for alone */

static const struct world_backend backends[] = {
    [SQLITE] = {.name = "sqlite",
                .open = open_sqlite,
                .check = world_check_file,
                .refuses_when_full = true,
                .durable = true,
                .one_file = true,
                .indexed = true},
    {.name = "memory", .open = open_memory},
};

int world_setup(void **state)
{
    const struct world_backend *backend = *state;
    struct world *w = calloc(1, sizeof *w);
    if (!w) return -1;
    w->backend = backend;
    w->sound = true;
    w->seen.done = calloc(DONE_MAX, sizeof *w->seen.done);
    pthread_mutex_init(&w->seen.lock, NULL);
    pthread_cond_init(&w->seen.changed, NULL);
    snprintf(w->dir, sizeof w->dir, "/tmp/parlor-store-XXXXXX");
    if (!w->seen.done || !mkdtemp(w->dir)) return -1;
    snprintf(w->path, sizeof w->path, "%s/p.db", w->dir);
    *state = w;
    return 0;
}

void world_remove_files(const struct world *w)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal", "-witness", "-wal-stale"};
    for (int i = 0; i < 6; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", w->path, ends[i]);
        unlink(path);
    }
}

/* Whatever files a backend makes. */
static void remove_dir(const char *name)
{
    DIR *dir = opendir(name);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir) closedir(dir);
    rmdir(name);
}

int world_teardown(void **state)
{
    struct world *w = *state;
    world_hold(&w->seen, false); /* a test that has failed may still hold it */
    store_close(w->store);
    if (w->sound && w->backend->check && access(w->path, F_OK) == 0) w->backend->check(w->path);
    remove_dir(w->dir);
    pthread_mutex_destroy(&w->seen.lock);
    pthread_cond_destroy(&w->seen.changed);
    free(w->seen.done);
    free(w);
    return 0;
}

/* Not all that cmocka prints says which group a test is of: its own name has to. */
static int run_with(const struct world_backend *backend, const char *group,
                    const struct CMUnitTest *tests, size_t count)
{
    enum { NAME_MAX_BYTES = 80 };
    struct CMUnitTest *mine = calloc(count, sizeof *mine);
    char(*names)[NAME_MAX_BYTES] = calloc(count, sizeof *names);
    int failed = mine && names ? 0 : 1;
    for (size_t i = 0; i < count && !failed; i++) {
        mine[i] = tests[i];
        snprintf(names[i], sizeof names[i], "%s (%s)", tests[i].name, group);
        mine[i].name = names[i];
        mine[i].initial_state = (void *)(uintptr_t)backend;
        if (!mine[i].setup_func) mine[i].setup_func = world_setup;
        mine[i].teardown_func = world_teardown;
    }
    if (!failed) failed = _cmocka_run_group_tests(group, mine, count, NULL, NULL);
    free(names);
    free(mine);
    return failed;
}

int world_run_every(const struct CMUnitTest *tests, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        failed += run_with(&backends[i], backends[i].name, tests, count);
    return failed;
}

int world_run_sqlite(const struct CMUnitTest *tests, size_t count)
{
    return run_with(&backends[SQLITE], "sqlite alone", tests, count);
}
