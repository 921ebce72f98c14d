/* Random lives of the SQLite store: each is a process of its own that talks in a few rooms, with a
 * disk that is full now and then, retention at work and readers asking, and ends by kill -9 or in
 * order. What every life was told must hold in all later ones: what was acked is there, next_seq is
 * beyond everything that was handed out, and the file is sound. PARLOR_LIVES=n plays n games
 * instead of the few that are enough to notice a mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "journal/local.h"
#include "store/store_sqlite.h"
#include "store_world.h"

enum { ROOMS = 4, GAMES = 4, LIVES = 8, STEPS_MIN = 100, STEPS_MAX = 2000, TEXT_MAX = 3000 };

/* Told by all lives, in memory that outlives them. */
struct told {
    _Atomic uint64_t handed[ROOMS]; /* newest seq that was accepted */
    _Atomic uint64_t acked[ROOMS];
    _Atomic uint64_t acks;
    _Atomic uint64_t refused; /* for their order, as they should be */
    _Atomic uint64_t outages;
    _Atomic uint64_t trimmed;
};

/* A life, in its process. */
struct life {
    struct world *w;
    struct told *told;
    unsigned seed;
    uint64_t next_seq[ROOMS]; /* 0: to be asked for */
};

static char again; /* the tag of events whose seq was committed before */

static unsigned pick(struct life *l, unsigned n)
{
    return (unsigned)rand_r(&l->seed) % n;
}

static struct slice name_of(const unsigned room)
{
    static const char names[] = "abcd";
    return (struct slice){&names[room], 1};
}

static void on_done(void *ctx, const struct store_done *done, size_t count)
{
    struct told *told = ctx;
    for (size_t i = 0; i < count; i++) {
        const struct store_done *d = &done[i];
        unsigned room = (unsigned)(d->room.ptr[0] - 'a');
        if (d->mark) continue;
        NEED((d->tag == &again) == (d->err == ERR_STORE_ORDER) || d->err == ERR_STORE);
        told->refused += d->err == ERR_STORE_ORDER;
        if (d->err) continue;
        NEED(d->event->seq > told->acked[room]);
        told->acked[room] = d->event->seq;
        told->acks++;
    }
}

static void on_health(void *ctx, bool healthy, const char *text)
{
    struct told *told = ctx;
    (void)text;
    told->outages += !healthy;
}

static void open_store(struct life *l)
{
    char text[STORE_SQLITE_TEXT_MAX] = "";
    struct store_sqlite_options sqlite = {.path = l->w->path, .relaxed = pick(l, 2)};
    struct store_options o = {.on_done = on_done,
                              .on_health = on_health,
                              .ctx = l->told,
                              .retry_first_ms = 5,
                              .trim_pause_ms = 2};
    if (pick(l, 2)) o.keep.max_events = 1 + pick(l, 150);
    if (pick(l, 3) == 0) o.keep.max_bytes = 500 + pick(l, 20000);
    l->w->store = store_sqlite_open(&sqlite, &o, text);
    if (!l->w->store) fprintf(stderr, "%s\n", text);
    NEED(l->w->store);
}

/* No file may grow beyond what its write-ahead log has now, or half of it. */
static void fill_disk(struct life *l, bool full)
{
    char wal[128];
    struct stat st = {0};
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    snprintf(wal, sizeof wal, "%s-wal", l->w->path);
    if (full) stat(wal, &st);
    rlim_t bytes = (rlim_t)st.st_size / (1 + pick(l, 2));
    limit.rlim_cur = !full ? limit.rlim_max : bytes > 4096 ? bytes : 4096;
    NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* What a room does before it goes on: here is what the lives of before were promised. */
static void enter(struct life *l, unsigned room)
{
    struct answer a;
    const char name[] = {name_of(room).ptr[0], 0};
    uint64_t handed = l->told->handed[room];
    int err;
    while ((err = world_load(l->w, name, &a)) == ERR_STORE) {
        fill_disk(l, false);
        world_nap();
    }
    if (err == ERR_NOT_FOUND) {
        NEED(l->told->acked[room] == 0);
        l->next_seq[room] = handed ? handed + 1 : 1 + pick(l, 3) * 5000; /* begun, or imported */
        return;
    }
    NEED(err == 0);
    NEED(journal_local_next_seq(&a.room, 1) > handed);
    NEED(a.room.last_seq >= l->told->acked[room] && a.room.last_seq <= handed);
    l->next_seq[room] = journal_local_next_seq(&a.room, 1);
}

static struct store_event make_event(struct life *l, uint64_t seq)
{
    static const char text[TEXT_MAX] = {'x'};
    struct store_event e = {
        .seq = seq,
        .ts_ms = (int64_t)seq,
        .username = SLICE_LIT("ann"),
        .message = {text, pick(l, 10) ? pick(l, 60) : pick(l, TEXT_MAX)},
    };
    if (pick(l, 4) == 0) e.data = (struct slice){text, pick(l, 60)};
    if (pick(l, 3)) return e;
    uint64_t back = 1 + pick(l, pick(l, 2) ? 8 : 200);
    e.kind = (enum store_kind)pick(l, STORE_KIND_COUNT);
    e.target = seq > back ? seq - back : 1;
    if (e.kind == STORE_REACT || e.kind == STORE_UNREACT) e.message.len = 1 + pick(l, 3);
    return e;
}

static void say(struct life *l, unsigned room)
{
    struct told *told = l->told;
    uint64_t before = told->handed[room];
    struct store_event e = make_event(l, l->next_seq[room]);
    const struct store_append a = {name_of(room), world_epoch, &e, NULL, false, e.seq - 1};
    told->handed[room] = e.seq; /* before it may be committed */
    if (store_append(l->w->store, &a) == 0) {
        l->next_seq[room]++;
    } else {
        told->handed[room] = before;
        l->next_seq[room] = 0;
    }
}

static void say_again(struct life *l, unsigned room)
{
    uint64_t acked = l->told->acked[room];
    if (acked == 0) return;
    struct store_event e = make_event(l, acked - pick(l, acked > 70 ? 70 : (unsigned)acked));
    const struct store_append a = {name_of(room), world_epoch, &e, &again, false, e.seq - 1};
    (void)store_append(l->w->store, &a);
}

static void step(struct life *l)
{
    unsigned room = pick(l, ROOMS);
    if (pick(l, 300) == 0) l->next_seq[room] = 0; /* it is loaded anew */
    if (!l->next_seq[room]) enter(l, room);
    if (pick(l, 40) == 0) say_again(l, room);
    if (pick(l, 30) == 0) {
        const struct store_mark mark = {1 + pick(l, 1000), SLICE_LIT("bob")};
        const struct store_move m = {name_of(room), world_epoch, mark, NULL, false};
        (void)store_move_mark(l->w->store, &m);
    }
    if (pick(l, 600) == 0) fill_disk(l, true);
    if (pick(l, 100) == 0) fill_disk(l, false);
    if (pick(l, 60) == 0) world_nap();
    say(l, room);
}

static void live(struct life *l, bool orderly)
{
    unsigned steps = STEPS_MIN + pick(l, STEPS_MAX);
    struct store_stats stats;
    signal(SIGXFSZ, SIG_IGN);
    open_store(l);
    if (pick(l, 2)) world_nap(); /* retention goes first */
    while (steps-- > 0)
        step(l);
    fill_disk(l, false);
    store_stats(l->w->store, &stats);
    l->told->trimmed += stats.trimmed;
    if (!orderly) kill(getpid(), SIGKILL);
    store_close(l->w->store);
    _exit(0);
}

static void play(struct world *w, struct told *told, unsigned game)
{
    for (unsigned i = 0; i < ROOMS; i++)
        told->handed[i] = told->acked[i] = 0;
    for (unsigned n = 0; n < LIVES; n++) {
        bool orderly = n % 3 == 2;
        struct life l = {.w = w, .told = told, .seed = game * LIVES + n};
        int status = -1;
        pid_t child = fork();
        if (child == 0) live(&l, orderly);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (orderly ? status != 0 : !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail_msg("game %u, life %u ended with status %d", game, n, status);
        world_check_file(w->path);
    }
    world_remove_files(w);
}

static void test_lives(void **state)
{
    struct world *w = *state;
    const char *text = getenv("PARLOR_LIVES");
    unsigned games = text ? (unsigned)strtoul(text, NULL, 10) : GAMES;
    struct told *told =
        mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    for (unsigned game = 0; game < games; game++)
        play(w, told, game);
    printf("%u lives: %llu acked, %llu refused, %llu outages, %llu trimmed\n", games * LIVES,
           (unsigned long long)told->acks, (unsigned long long)told->refused,
           (unsigned long long)told->outages, (unsigned long long)told->trimmed);
    assert_true(told->acks && told->refused && told->outages && told->trimmed);
    munmap(told, sizeof *told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
    };
    return WORLD_RUN_SQLITE(tests);
}
