/* What only the SQLite file of the store has: lives after an orderly end and after kill -9, a full
 * disk, locks, strange files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "journal/local.h"
#include "store/store_sqlite.h"
#include "store_world.h"

static void reopen(struct world *w)
{
    store_close(w->store);
    assert_non_null(world_open(w, (struct store_options){0}));
}

static void test_reopen(void **state)
{
    struct world *w = *state;
    struct answer a;
    for (uint64_t life = 0; life < 3; life++) {
        reopen(w);
        assert_int_equal(world_load(w, "r", &a), life ? 0 : ERR_NOT_FOUND);
        if (life)
            assert_int_equal(journal_local_next_seq(&a.room, 1),
                             life * 10 + 1); /* no hole after a clean end */
        world_fill(w, "r", life * 10 + 1, life * 10 + 10);
    }
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 100, &a), 0);
    assert_int_equal(a.count, 30);
    assert_memory_equal(a.room.epoch, world_epoch, EVENT_EPOCH_LEN);
}

static void expect_rooms(struct world *w, const char *want)
{
    struct answer a;
    assert_int_equal(world_list(w, "", 10, &a), 0);
    assert_string_equal(a.shown, want);
}

/* What the row of the room itself says: its newest seq, events and outages. */
static void read_row(const struct world *w, char out[static 64])
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    const char sql[] =
        "SELECT last_seq || ' ' || count || ' ' || outages FROM rooms WHERE name = 'r'";
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    snprintf(out, 64, "%s", (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

static void expect_row(const struct world *w, const char *want)
{
    char row[64];
    read_row(w, row);
    assert_string_equal(row, want);
}

/* The row of a room is written seldom; nobody can tell, whatever end a life has. */
static void test_row_behind(void **state)
{
    struct world *w = *state;
    struct answer a;
    world_fill_and_die(w, 1, 10); /* 69 bytes each */
    expect_row(w, "0 0 0");
    reopen(w);
    expect_rooms(w, "r:10/690@10[1-10] ");
    assert_int_equal(world_load(w, "r", &a), 0);
    uint64_t next = 10 + STORE_IN_FLIGHT_MAX + 1;
    assert_int_equal(journal_local_next_seq(&a.room, 1), next);
    world_fill(w, "r", next, next); /* the first after an outage */
    world_load(w, "r", &a);
    assert_int_equal(journal_local_next_seq(&a.room, 1), next + 1);
    expect_row(w, "65547 11 1");
    world_fill(w, "r", next + 1, next + 63);
    expect_row(w, "65547 11 1");
    world_fill(w, "r", next + 64, next + 64); /* the tail is long enough */
    expect_row(w, "65611 75 1");
    world_fill(w, "r", next + 65, next + 65);
    expect_rooms(w, "r:76/5244@65612[1-65612] ");

    /* An edit of what the row does not have yet, and a delete of what it has. */
    world_put(
        w, "r",
        (struct store_event){
            .seq = next + 66, .kind = STORE_EDIT, .target = next + 65, .message = SLICE_LIT("e")});
    world_put(w, "r", (struct store_event){.seq = next + 67, .kind = STORE_DELETE, .target = 2});
    expect_rooms(w, "r:78/5376@65614[1-65614] ");
    reopen(w);
    expect_rooms(w, "r:78/5376@65614[1-65614] ");

    /* Retention goes into the tail. */
    world_fill_and_die(w, next + 68, next + 75);
    struct store_options o = {.keep = {.max_events = 3}, .trim_pause_ms = 5};
    assert_non_null(world_open(w, o));
    int64_t end_ms = world_now_ms() + WORLD_WAIT_S * 1000;
    do {
        world_nap();
        assert_int_equal(world_list(w, "", 5, &a), 0);
    } while (strncmp(a.shown, "r:3/", 4) != 0 && world_now_ms() < end_ms);
    assert_string_equal(a.shown, "r:3/207@65622[65620-65622] ");
    expect_row(w, "65622 3 1"); /* not of this life: it goes on beyond what was lost */
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(journal_local_next_seq(&a.room, 1), 65622 + STORE_IN_FLIGHT_MAX + 1);
}

/* What was not written with the messages is written when it is met. */
static void test_row_catches_up(void **state)
{
    struct world *w = *state;
    reopen(w);
    world_fill(w, "r", 1, 10);
    reopen(w);
    expect_row(w, "0 0 0");
    world_fill(w, "r", 11, 11);
    expect_row(w, "11 11 0");
    world_fill(w, "r", 12, 20);
    store_close(w->store);
    struct store_options o = {.keep = {.max_events = 1000}, .trim_pause_ms = 5};
    assert_non_null(world_open(w, o));
    int64_t end_ms = world_now_ms() + WORLD_WAIT_S * 1000;
    char row[64];
    do {
        world_nap();
        read_row(w, row);
    } while (strcmp(row, "20 20 0") != 0 && world_now_ms() < end_ms);
    assert_string_equal(row, "20 20 0");
}

/* No seq twice, also if the row does not know of it. */
static void test_row_behind_order(void **state)
{
    struct world *w = *state;
    world_fill_and_die(w, 1, 10);
    reopen(w);
    assert_int_equal(world_add(w, "r", 10, SLICE_LIT("again")), 0);
    world_wait_done(&w->seen, 1);
    assert_int_equal(w->seen.done[0].err, ERR_STORE_ORDER);
}

enum { FILE_SIZE = 1 << 17 };

static size_t read_all(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, out, size);
    close(fd);
    assert_true(n > 0);
    return (size_t)n;
}

/* Of a deleted message no sentence is left in the file, nor of its edits. */
static void test_deleted_is_gone(void **state)
{
    struct world *w = *state;
    const char *const texts[] = {"swordfish opens the door", "sesame opens the gate", "kept here"};
    reopen(w);
    for (uint64_t i = 0; i < 3; i++)
        world_put(w, "r",
                  (struct store_event){.seq = i + 1,
                                       .kind = i == 1 ? STORE_EDIT : STORE_MESSAGE,
                                       .target = i == 1,
                                       .message = {texts[i], strlen(texts[i])}});
    world_expect_found(w, "r", "opens", "1 "); /* written and indexed */
    world_put(w, "r", (struct store_event){.seq = 4, .kind = STORE_DELETE, .target = 1});
    world_settle(w);
    store_close(w->store);
    w->store = NULL;
    char *bytes = calloc(1, FILE_SIZE);
    assert_non_null(bytes);
    size_t n = read_all(w->path, bytes, FILE_SIZE);
    for (size_t i = 0; i < 3; i++)
        assert_true((memmem(bytes, n, texts[i], strlen(texts[i])) != NULL) == (i == 2));
    free(bytes);
}

enum { CRASH_THREADS = 3, CRASH_ROUNDS = 20 };

/* What the crashing child tells: 'h' handed out (accepted), 'a' acked. */
struct report {
    char what;
    uint8_t room;
    uint64_t seq;
};

static int report_fd;

static void report(char what, uint8_t room, uint64_t seq)
{
    struct report r = {.what = what, .room = room, .seq = seq};
    ssize_t n = write(report_fd, &r, sizeof r);
    if (n != sizeof r) _exit(1);
}

static void on_crash_done(void *ctx, const struct store_done *done, size_t count)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++)
        report(done[i].err ? 'e' : 'a', (uint8_t)(uintptr_t)done[i].tag, done[i].event->seq);
}

struct crasher {
    struct store *store;
    uint8_t room;
    uint64_t next_seq;
    pthread_t thread;
};

static void *crash_produce(void *arg)
{
    struct crasher *c = arg;
    char room[8];
    snprintf(room, sizeof room, "c%d", c->room);
    for (uint64_t seq = c->next_seq; seq < STORE_SEQ_MAX; seq++) {
        struct store_event e = {.seq = seq, .message = SLICE_LIT("about to die")};
        if (seq % 4 == 0) { /* every kind in turn, about something young */
            e.kind = (enum store_kind)(seq / 4 % STORE_KIND_COUNT);
            e.target = seq > 9 ? seq - 1 - seq / 4 % 9 : 1;
        }
        struct store_append a = {{room, strlen(room)},       world_epoch, &e,
                                 (void *)(uintptr_t)c->room, false,       e.seq - 1};
        report('h', c->room, seq);
        while (store_append(c->store, &a) != 0)
            world_nap();
    }
    return NULL;
}

static void crash_child(const char *path, const uint64_t *next_seq)
{
    struct crasher c[CRASH_THREADS];
    char text[STORE_SQLITE_TEXT_MAX];
    struct store_sqlite_options sqlite = {.path = path};
    struct store_options o = {.on_done = on_crash_done};
    struct store *s = store_sqlite_open(&sqlite, &o, text);
    NEED(s);
    for (unsigned i = 0; i < CRASH_THREADS; i++) {
        c[i] = (struct crasher){.store = s, .room = (uint8_t)i, .next_seq = next_seq[i]};
        NEED(pthread_create(&c[i].thread, NULL, crash_produce, &c[i]) == 0);
    }
    for (;;)
        pause();
}

struct crash_log {
    uint64_t handed[CRASH_THREADS];
    uint64_t acked[CRASH_THREADS]; /* highest */
    uint64_t acks[CRASH_THREADS];
    uint64_t total[CRASH_THREADS]; /* of all rounds */
};

/* Runs one child, kills it and reads all it had reported. */
static void crash_round(struct world *w, const uint64_t *next_seq, struct crash_log *log, long ns)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        report_fd = fds[1];
        crash_child(w->path, next_seq);
    }
    assert_true(child > 0);
    close(fds[1]);
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    int64_t end_ns = end.tv_sec * INT64_C(1000000000) + end.tv_nsec + ns;
    struct report r;
    bool killed = false;
    bool seen = false; /* the delay counts from the first ack, so that every round has one */
    while (read(fds[0], &r, sizeof r) == sizeof r) {
        assert_true(r.room < CRASH_THREADS);
        assert_true(r.what != 'e');
        if (r.what == 'h') log->handed[r.room] = r.seq;
        if (r.what == 'a') {
            log->acked[r.room] = r.seq;
            log->acks[r.room]++;
        }
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        int64_t now_ns = t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
        if (!seen && r.what == 'a') end_ns = now_ns + ns;
        seen = seen || r.what == 'a';
        if (seen && !killed && now_ns > end_ns) killed = kill(child, SIGKILL) == 0;
    }
    close(fds[0]);
    int status;
    waitpid(child, &status, 0);
    assert_true(killed);
    assert_true(WIFSIGNALED(status));
}

/* All that was acked is there; what is there was handed out; the next id is beyond all of it. */
static void check_after_crash(struct world *w, struct crash_log *log, uint64_t *next_seq)
{
    assert_non_null(world_open(w, (struct store_options){0}));
    for (unsigned i = 0; i < CRASH_THREADS; i++) {
        char room[8];
        struct answer a;
        snprintf(room, sizeof room, "c%u", i);
        int err = world_load(w, room, &a);
        if (err == ERR_NOT_FOUND && log->total[i] == 0 && log->acks[i] == 0) {
            next_seq[i] =
                log->handed[i] + 1; /* not one commit: its next life has another world_epoch */
            continue;
        }
        assert_int_equal(err, 0);
        assert_true(a.room.last_seq >= log->acked[i]);
        assert_true(a.room.last_seq <= log->handed[i]);
        assert_true(journal_local_next_seq(&a.room, 1) > log->handed[i]);
        uint64_t count = 0;
        for (uint64_t at = next_seq[i] - 1;; at = a.seqs[a.count - 1]) {
            assert_int_equal(world_page(w, room, STORE_AFTER, at, STORE_PAGE_MAX, &a), 0);
            for (size_t k = 0; k < a.count; k++) /* without a hole */
                assert_int_equal(a.seqs[k], next_seq[i] + count + k);
            count += a.count;
            if (!a.more_after) break;
        }
        assert_true(count >= log->acks[i]);
        log->total[i] += count;
        assert_int_equal(world_load(w, room, &a), 0);
        next_seq[i] = journal_local_next_seq(&a.room, 1);
        log->acks[i] = 0;
    }
    store_close(w->store);
    w->store = NULL;
}

static void test_kill(void **state)
{
    struct world *w = *state;
    struct crash_log log = {0};
    uint64_t next_seq[CRASH_THREADS] = {1, 1, 1};
    unsigned seed = 1;
    for (int round = 0; round < CRASH_ROUNDS; round++) {
        crash_round(w, next_seq, &log, (long)rand_r(&seed) % 40000000);
        check_after_crash(w, &log, next_seq);
        if (round % 7 == 0) world_check_file(w->path);
    }
    print_message("%d rounds, %llu events survived in the first room\n", CRASH_ROUNDS,
                  (unsigned long long)log.total[0]);
}

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* Writes really fail: no file may grow beyond a limit. */
static void full_child(struct world *w)
{
    struct answer a;
    struct seen *seen = &w->seen;
    char text[3000];
    uint64_t acked = 0;
    uint64_t seq = 0;
    memset(text, 'x', sizeof text);
    signal(SIGXFSZ, SIG_IGN);
    NEED(world_open(w, (struct store_options){0}));
    set_file_limit(300000);
    while (seq < 10)
        NEED(world_add(w, "r", ++seq, (struct slice){text, sizeof text}) == 0);
    while (world_count(seen, &seen->count) < seq)
        world_nap();
    world_hold_writer(w, "r", ++seq); /* so that all of these are one batch, which does not fit */
    while (seq < 300)
        NEED(world_add(w, "r", ++seq, (struct slice){text, sizeof text}) == 0);
    world_hold(seen, false);
    NEED(world_wait_health(w->store, false));
    while (world_count(seen, &seen->count) < seq)
        world_nap();
    NEED(world_count(seen, &seen->failed) > 0);
    NEED(world_add(w, "r", seq + 1, SLICE_LIT("refused")) == ERR_STORE);
    NEED(world_load(w, "r", &a) == ERR_STORE);
    NEED(world_page(w, "r", STORE_BEFORE, STORE_SEQ_MAX, 1, &a) == 0); /* reading goes on */
    set_file_limit(RLIM_INFINITY);
    NEED(world_wait_health(w->store, true));
    while (world_count(seen, &seen->turns) < 2)
        world_nap();
    NEED(world_load(w, "r", &a) == 0);
    NEED(journal_local_next_seq(&a.room, 1) > seq); /* beyond what was accepted and lost */
    NEED(world_add(w, "r", journal_local_next_seq(&a.room, 1), SLICE_LIT("again")) == 0);
    store_close(w->store);
    NEED(world_open(w, (struct store_options){0}));
    for (size_t i = 0; i < w->seen.count; i++)
        acked += w->seen.done[i].err == 0;
    uint64_t found = 0;
    uint64_t at = 0;
    do {
        NEED(world_page(w, "r", STORE_AFTER, at, 100, &a) == 0);
        found += a.count;
        if (a.count) at = a.seqs[a.count - 1];
    } while (a.more_after);
    NEED(found == acked && acked > 1);
    store_close(w->store);
    w->store = NULL;
}

static void test_disk_full(void **state)
{
    struct world *w = *state;
    pid_t child = fork();
    if (child == 0) {
        full_child(w);
        _exit(0);
    }
    assert_int_equal(world_exit_status(child), 0);
}

/* Another process that locks the database when told to, until its pipe is closed. */
struct locker {
    pid_t pid;
    int tell;
    int hear;
};

static void locker_child(const char *path, int tell, int hear)
{
    sqlite3 *db;
    char byte;
    NEED(read(hear, &byte, 1) == 1);
    NEED(sqlite3_open(path, &db) == SQLITE_OK);
    NEED(sqlite3_busy_timeout(db, 5000) == SQLITE_OK);
    NEED(sqlite3_exec(db, "BEGIN EXCLUSIVE; CREATE TABLE IF NOT EXISTS x(y);", NULL, NULL, NULL) ==
         SQLITE_OK);
    NEED(write(tell, "r", 1) == 1);
    NEED(read(hear, &byte, 1) == 0);
    NEED(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
    _exit(0);
}

/* While no store is open: a fork takes the locks of other threads with it. */
static void locker_start(struct locker *l, const char *path)
{
    int down[2];
    int up[2];
    assert_int_equal(pipe(down), 0);
    assert_int_equal(pipe(up), 0);
    l->pid = fork();
    if (l->pid == 0) {
        close(down[1]);
        locker_child(path, up[1], down[0]);
    }
    close(down[0]);
    close(up[1]);
    l->tell = down[1];
    l->hear = up[0];
}

static void locker_lock(const struct locker *l)
{
    char byte;
    assert_int_equal(write(l->tell, "l", 1), 1);
    assert_int_equal(read(l->hear, &byte, 1), 1);
}

static void locker_end(const struct locker *l)
{
    close(l->tell);
    close(l->hear);
    assert_int_equal(world_exit_status(l->pid), 0);
}

static void test_locked(void **state)
{
    struct world *w = *state;
    struct locker locker;
    locker_start(&locker, w->path);
    reopen(w);
    world_fill(w, "r", 1, 3);
    world_expect_found(w, "r", "nothing", ""); /* indexed: nothing else is left to fail */
    w->seen.watched = w->store;
    locker_lock(&locker);
    assert_int_equal(world_add(w, "r", 4, SLICE_LIT("m")), 0);
    world_wait_done(&w->seen, 4);
    assert_int_equal(w->seen.done[3].err, ERR_STORE);
    assert_true(w->seen.told_first); /* whoever counts what is refused had begun */
    assert_false(store_healthy(w->store));
    assert_int_equal(world_add(w, "r", 5, SLICE_LIT("m")), ERR_STORE);
    locker_end(&locker);
    assert_true(world_wait_health(w->store, true));
    assert_int_equal(world_add(w, "r", 6, SLICE_LIT("m")), 0);
    world_wait_done(&w->seen, 5);
    assert_int_equal(w->seen.done[4].err, 0);
    struct answer a;
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 10, &a), 0);
    assert_int_equal(a.count, 4);
    assert_int_equal(a.seqs[3], 6);
}

/* Retention waits for another program that writes for longer than it has patience; nobody is
 * refused for that. */
static void test_locked_for_retention(void **state)
{
    enum { LOCKED_MS = 1500, KEPT = 5 };
    struct world *w = *state;
    struct locker locker;
    struct answer a;
    struct store_options o = {
        .keep = {.max_events = KEPT, .max_age_ms = INT64_MAX}, /* it looks with every pause */
        .trim_pause_ms = 5};
    locker_start(&locker, w->path);
    store_close(w->store);
    assert_non_null(world_open(w, o));
    world_fill(w, "r", 1, 3);
    world_expect_found(w, "r", "nothing", "");
    locker_lock(&locker);
    int64_t end_ms = world_now_ms() + LOCKED_MS;
    while (world_now_ms() < end_ms && store_healthy(w->store))
        world_nap();
    assert_true(store_healthy(w->store));
    locker_end(&locker);
    world_fill(w, "r", 4, 20);
    end_ms = world_now_ms() + WORLD_WAIT_S * 1000;
    do {
        world_nap();
        assert_int_equal(world_load(w, "r", &a), 0);
    } while (a.room.first_seq != 21 - KEPT && world_now_ms() < end_ms);
    assert_int_equal(a.room.first_seq, 21 - KEPT);
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
}

static void expect_no_open(const char *path, const char *why)
{
    char text[STORE_SQLITE_TEXT_MAX] = "";
    struct store_sqlite_options sqlite = {.path = path, .busy_ms = 50};
    struct store_options o = {0};
    struct store *s = store_sqlite_open(&sqlite, &o, text);
    assert_null(s);
    if (!strstr(text, why)) print_message("got: %s\n", text);
    assert_non_null(strstr(text, why));
    assert_non_null(strstr(text, path));
}

/* Opening fails with this text and leaves every byte of the file as it was. */
static void expect_refused(const char *path, const char *why)
{
    char *before = calloc(2, FILE_SIZE);
    assert_non_null(before);
    size_t n = read_all(path, before, FILE_SIZE);
    expect_no_open(path, why);
    assert_int_equal(read_all(path, before + FILE_SIZE, FILE_SIZE), n);
    assert_memory_equal(before, before + FILE_SIZE, n);
    free(before);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 100; i++)
        fputs(text, f);
    fclose(f);
}

/* The error names the file that is in the way. */
static void test_strange_companions(void **state)
{
    struct world *w = *state;
    static const char *const suffixes[] = {"-wal", "-shm", "-witness"};
    reopen(w);
    world_fill(w, "r", 1, 2);
    store_close(w->store);
    w->store = NULL;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[128];
        char kept[128];
        char why[64];
        snprintf(path, sizeof path, "%s%s", w->path, suffixes[i]);
        snprintf(kept, sizeof kept, "%s-kept", w->path);
        snprintf(why, sizeof why, "its %s is not a regular file", suffixes[i]);
        bool there = rename(path, kept) == 0;
        assert_int_equal(mkdir(path, 0700), 0);
        expect_refused(w->path, why);
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(mkfifo(path, 0600), 0);
        expect_refused(w->path, why);
        assert_int_equal(unlink(path), 0);
        if (there) assert_int_equal(rename(kept, path), 0);
        assert_int_equal(there, i == 2);
    }
    reopen(w);
}

static void test_strange_files(void **state)
{
    struct world *w = *state;
    expect_no_open("/nonexistent/x.db", "directory does not exist");
    expect_no_open("/tmp", "is a directory");
    expect_no_open("/dev/null", "not a regular file");
    write_file(w->path, "this is a diary, not a database\n");
    expect_refused(w->path, "not an SQLite database");
    unlink(w->path);
    world_sql(w->path, "CREATE TABLE somebody(elses); INSERT INTO somebody VALUES(1)");
    expect_refused(w->path, "another program");
    unlink(w->path);

    reopen(w);
    expect_no_open(w->path, "in use by another Parlor");
    world_fill(w, "r", 1, 2);
    store_close(w->store);
    w->store = NULL;
    world_sql(w->path, "PRAGMA user_version=1000");
    expect_refused(w->path, "newer Parlor (schema 1000");
    world_to_schema_5(w->path);
    struct locker locker;
    locker_start(&locker, w->path);
    locker_lock(&locker);
    expect_no_open(w->path, "locked by another process");
    locker_end(&locker);
    reopen(w);
}

/* What a Parlor of schema 1 left behind, word for word. */
static const char schema_1[] =
    "CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), clean INTEGER NOT NULL,"
    "  outages INTEGER NOT NULL, indexed INTEGER NOT NULL);"
    "CREATE TABLE rooms(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL,"
    "  last_seq INTEGER NOT NULL, trimmed_seq INTEGER NOT NULL, outages INTEGER NOT NULL,"
    "  count INTEGER NOT NULL, bytes INTEGER NOT NULL);"
    "CREATE TABLE events(id INTEGER PRIMARY KEY, room INTEGER NOT NULL, seq INTEGER NOT NULL,"
    "  ts_ms INTEGER NOT NULL, kind INTEGER NOT NULL, target INTEGER NOT NULL,"
    "  reply_to INTEGER NOT NULL, edited_ms INTEGER NOT NULL, deleted INTEGER NOT NULL,"
    "  bytes INTEGER NOT NULL, username TEXT, user TEXT, message TEXT, data TEXT, nonce TEXT);"
    "CREATE INDEX events_seq ON events(room, seq, kind, deleted);"
    "CREATE INDEX events_nonces ON events(room, ts_ms) WHERE nonce IS NOT NULL;"
    "CREATE TABLE edits(room INTEGER NOT NULL, target INTEGER NOT NULL, seq INTEGER NOT NULL,"
    "  PRIMARY KEY(room, target, seq)) WITHOUT ROWID;"
    "CREATE TABLE reactions(room INTEGER NOT NULL, target INTEGER NOT NULL, emoji TEXT NOT NULL,"
    "  who TEXT NOT NULL, PRIMARY KEY(room, target, emoji, who)) WITHOUT ROWID;"
    "CREATE TABLE reaction_counts(room INTEGER NOT NULL, target INTEGER NOT NULL,"
    "  emoji TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,"
    "  PRIMARY KEY(room, target, emoji)) WITHOUT ROWID;"
    "CREATE VIRTUAL TABLE search USING fts5(in_room, words, content='', columnsize=0,"
    "  detail=column, tokenize='unicode61 remove_diacritics 2');"
    "INSERT INTO meta VALUES(1, 1, 0, 0);"
    "INSERT INTO rooms VALUES(7, 'r', 'k3f9abcd', 3, 0, 0, 3, 214);"
    "INSERT INTO events VALUES(1, 7, 1, 1, 0, 0, 0, 0, 0, 77, 'ann', NULL, 'first here', NULL,"
    "  NULL), (2, 7, 2, 2, 0, 0, 0, 0, 0, 69, 'ann', NULL, '2!', NULL, NULL),"
    "  (3, 7, 3, 3, 3, 1, 0, 0, 0, 68, 'bob', NULL, '+', NULL, NULL);"
    "INSERT INTO reactions VALUES(7, 1, '+', 'bob');"
    "INSERT INTO reaction_counts VALUES(7, 1, '+', 3, 1);"
    "PRAGMA application_id=1348563564; PRAGMA user_version=1; PRAGMA journal_mode=WAL";

/* A file of schema 1 is brought up to date with all that is in it, once. */
static void test_older_schema(void **state)
{
    struct world *w = *state;
    struct answer a;
    world_sql(w->path, schema_1);
    for (int life = 0; life < 2; life++) {
        reopen(w);
        world_expect(w, "r",
                     life ? "1m=first here{+1} 2m=2! 3r=+ 4m=new "
                          : "1m=first here{+1} 2m=2! 3r=+ ");
        world_expect_found(w, "r", "first", "1 ");
        assert_int_equal(world_load(w, "r", &a), 0);
        assert_memory_equal(a.room.epoch, world_epoch, EVENT_EPOCH_LEN);
        assert_int_equal(journal_local_next_seq(&a.room, 1), life ? 5 : 4);
        assert_string_equal(a.shown, life ? "ann>2 " : "");
        if (life) continue;
        world_mark(w, "r", "ann", 2);
        world_put(w, "r", (struct store_event){.seq = 4, .message = SLICE_LIT("new")});
        world_settle(w);
    }
}

/* What schema 3 kept of rooms that have nothing any more, and of edits without number, goes. */
static void test_schema_3(void **state)
{
    struct world *w = *state;
    struct answer a;
    struct store_stats stats;
    reopen(w);
    world_put(w, "r", (struct store_event){.seq = 1, .ts_ms = 77, .message = SLICE_LIT("first")});
    for (uint64_t seq = 2; seq <= 70; seq++)
        world_put(w, "r",
                  (struct store_event){.seq = seq,
                                       .kind = STORE_EDIT,
                                       .target = 1,
                                       .message = SLICE_LIT("edited"),
                                       .data = SLICE_LIT("{}")});
    world_settle(w);
    store_close(w->store);
    w->store = NULL;
    world_to_schema_3(w->path);
    world_sql(w->path,
              "INSERT INTO rooms VALUES(7, 'empty', 'k3f9abcd', 9, 9, 0, 0, 0);"
              "INSERT INTO marks VALUES(7, 'ann', 3, 1), (1, 'bob', 4, 1);"
              "DELETE FROM edits; INSERT INTO edits SELECT 1, 1, seq FROM events WHERE kind = 1;"
              "UPDATE events SET message = 'edited', data = '{}', bytes = 64 + 3 + 6 + 2"
              " WHERE kind = 1;"
              "UPDATE rooms SET bytes = (SELECT sum(bytes) FROM events WHERE seq <= last_seq)"
              " WHERE id = 1");
    reopen(w); /* and at the end the file is sound */
    assert_int_equal(world_load(w, "empty", &a), ERR_NOT_FOUND);
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_string_equal(a.shown, "bob>4 ");
    store_stats(w->store, &stats);
    assert_int_equal(stats.rooms, 1);
    assert_int_equal(world_page(w, "r", STORE_AFTER, 4, 4, &a), 0);
    assert_string_equal(a.shown, "5e 6e 7e=edited 8e=edited >");
}

static void open_with_secret(struct world *w, uint8_t secret[static STORE_SECRET_BYTES])
{
    store_close(w->store);
    memset(secret, 0, STORE_SECRET_BYTES);
    assert_non_null(world_open(w, (struct store_options){.secret = secret}));
}

/* Schema 5 had no secret: it gets one, which outlives a kill. */
static void test_schema_5(void **state)
{
    struct world *w = *state;
    uint8_t first[STORE_SECRET_BYTES];
    uint8_t then[STORE_SECRET_BYTES];
    uint8_t again[STORE_SECRET_BYTES];
    open_with_secret(w, first);
    world_fill(w, "r", 1, 1);
    store_close(w->store);
    w->store = NULL;
    world_to_schema_5(w->path);
    open_with_secret(w, then);
    assert_int_equal(w->seen.upgrades, 1);
    assert_memory_not_equal(then, first, sizeof then);
    world_expect(w, "r", "1m=hi ");
    world_fill_and_die(w, 2, 3);
    open_with_secret(w, again);
    assert_memory_equal(again, then, sizeof again);
}

/* What is damaged is told, and the rest is served: under another secret in each life. */
static void test_damaged_secret(void **state)
{
    struct world *w = *state;
    uint8_t secrets[2][STORE_SECRET_BYTES];
    static const uint8_t zero[STORE_SECRET_BYTES];
    open_with_secret(w, secrets[0]);
    world_fill(w, "r", 1, 1);
    store_close(w->store);
    w->store = NULL;
    world_sql(w->path, "UPDATE meta SET secret = x'00'");
    w->sound = false;
    for (int life = 0; life < 2; life++) {
        size_t before = world_count(&w->seen, &w->seen.troubles);
        open_with_secret(w, secrets[life]);
        assert_memory_not_equal(secrets[life], zero, sizeof zero);
        world_fill(w, "r", (uint64_t)life + 2, (uint64_t)life + 2);
        assert_true(world_count(&w->seen, &w->seen.troubles) > before);
    }
    assert_memory_not_equal(secrets[0], secrets[1], sizeof zero);
}

/* Schema 4 had all events of a room in one sequence. What is made of it is told, once, and gives
 * the same pages. */
static void test_schema_4(void **state)
{
    struct world *w = *state;
    struct answer a;
    reopen(w);
    world_put(w, "r", (struct store_event){.seq = 1, .message = SLICE_LIT("one")});
    world_put(w, "r", (struct store_event){.seq = 2, .message = SLICE_LIT("two")});
    world_put(w, "r",
              (struct store_event){
                  .seq = 3, .kind = STORE_REACT, .target = 1, .message = SLICE_LIT("+")});
    world_put(w, "r", (struct store_event){.seq = 4, .kind = STORE_DELETE, .target = 2});
    world_put(w, "r", (struct store_event){.seq = 5, .message = SLICE_LIT("five")});
    world_settle(w);
    assert_int_equal(w->seen.upgrades, 0);
    store_close(w->store);
    w->store = NULL;
    world_to_schema_5(w->path);
    world_sql(w->path, "DROP INDEX events_seq; PRAGMA user_version=4;"
                       "CREATE INDEX events_seq ON events(room, seq, kind, deleted);");
    for (int life = 0; life < 2; life++) {
        reopen(w);
        assert_int_equal(w->seen.upgrades, 1);
        world_expect(w, "r", "1m=one{+1} 2m! 3r=+ 4d 5m=five ");
        struct store_query q = {.room = SLICE_LIT("r"), .limit = 9, .messages_only = true};
        world_expect_page(w, &q, "1m=one 5m=five ");
        assert_int_equal(world_load(w, "r", &a), 0);
        assert_int_equal(a.room.first_seq, 1);
    }
}

static void test_no_permission(void **state)
{
    struct world *w = *state;
    if (geteuid() != 0) skip();
    w->sound = false;
    write_file(w->path, "x");
    assert_int_equal(chmod(w->path, 0600), 0);
    assert_int_equal(chmod(w->dir, 0755), 0);
    pid_t child = fork();
    if (child == 0) {
        char text[STORE_SQLITE_TEXT_MAX] = "";
        char path[128];
        struct store_sqlite_options sqlite = {.path = w->path};
        struct store_options o = {0};
        NEED(seteuid(65534) == 0 && setresuid(65534, 65534, 65534) == 0);
        NEED(!store_sqlite_open(&sqlite, &o, text));
        NEED(strstr(text, "no permission to read and write it"));
        snprintf(path, sizeof path, "%s/new.db", w->dir);
        sqlite.path = path;
        NEED(!store_sqlite_open(&sqlite, &o, text));
        NEED(strstr(text, "no permission"));
        NEED(access(path, F_OK) != 0);
        _exit(0);
    }
    assert_int_equal(world_exit_status(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_strange_files),
        cmocka_unit_test(test_strange_companions),
        cmocka_unit_test(test_older_schema),
        cmocka_unit_test(test_schema_4),
        cmocka_unit_test(test_schema_5),
        cmocka_unit_test(test_damaged_secret),
        cmocka_unit_test(test_no_permission),
        cmocka_unit_test(test_locked),
        cmocka_unit_test(test_schema_3),
        cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_deleted_is_gone),
        cmocka_unit_test(test_row_behind),
        cmocka_unit_test(test_row_behind_order),
        cmocka_unit_test(test_row_catches_up),
        cmocka_unit_test(test_locked_for_retention),
    };
    return WORLD_RUN_SQLITE(tests);
}
