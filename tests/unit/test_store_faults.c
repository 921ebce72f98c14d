/* The SQLite store on a disk that fails: fsync and reads that return errors, a file in which bytes
 * have changed; and how often it syncs. The failures come from a VFS that hands everything on to
 * the real one, unless it is told otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "journal/local.h"
#include "store/store_sqlite.h"
#include "store_world.h"

/* ---- a disk that fails on demand ---- */

enum { SHM_READ_LOCKS = 3 }; /* the first of them; before it: writer, checkpoint, recovery */

struct disk_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    bool wal;
};

/* The next reader is to be held where its transaction begins, or where it reads in it; or is. */
enum held { HELD_NOT, HELD_AT_BEGIN, HELD_BEFORE, HELD_AT_READ, HELD_WITHIN };

static atomic_bool fail_sync;
static atomic_bool fail_read;
static atomic_llong bad_sector = -1; /* where the database cannot be read; below 0: nowhere */
static atomic_uint wal_syncs;
static atomic_uint write_locks; /* transactions that write, in WAL mode */
static _Atomic pthread_t writer_thread;
static atomic_int lock_after = -1; /* so many more, then another program has the lock; -1: none */
static atomic_int reader_held;     /* enum held */
static atomic_uint temporaries;    /* files that have no name, which cannot be opened */

static struct disk_file *disk_of(sqlite3_file *f)
{
    return (struct disk_file *)f;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
    return disk_of(f)->real;
}

static int disk_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static void hold_reader(int where)
{
    if (pthread_equal(pthread_self(), atomic_load(&writer_thread))) return;
    if (!atomic_compare_exchange_strong(&reader_held, &where, where + 1)) return;
    while (atomic_load(&reader_held) == where + 1)
        world_nap();
}

static int disk_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    hold_reader(HELD_AT_READ);
    bool bad = !disk_of(f)->wal && at == atomic_load(&bad_sector);
    if (bad || atomic_load(&fail_read)) return SQLITE_IOERR_READ;
    return real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

static int disk_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
}

static int disk_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int disk_sync(sqlite3_file *f, int flags)
{
    if (disk_of(f)->wal) atomic_fetch_add(&wal_syncs, 1);
    if (atomic_load(&fail_sync)) return SQLITE_IOERR_FSYNC;
    return real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int disk_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int disk_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int disk_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int disk_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int disk_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int disk_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int disk_kind(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int disk_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int disk_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    bool writer = at == 0 && (flags & SQLITE_SHM_LOCK) && (flags & SQLITE_SHM_EXCLUSIVE);
    int left = atomic_load(&lock_after);
    if (writer && left == 0) return SQLITE_BUSY;
    if (writer && left > 0) atomic_fetch_sub(&lock_after, 1);
    if (writer) {
        atomic_fetch_add(&write_locks, 1);
        atomic_store(&writer_thread, pthread_self());
    }
    bool begins = at >= SHM_READ_LOCKS && flags == (SQLITE_SHM_LOCK | SQLITE_SHM_SHARED);
    if (begins) hold_reader(HELD_AT_BEGIN);
    return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void disk_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int disk_shm_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods disk_methods = {
    .iVersion = 2, /* with a WAL, without memory maps */
    .xClose = disk_close,
    .xRead = disk_read,
    .xWrite = disk_write,
    .xTruncate = disk_truncate,
    .xSync = disk_sync,
    .xFileSize = disk_size,
    .xLock = disk_lock,
    .xUnlock = disk_unlock,
    .xCheckReservedLock = disk_reserved,
    .xFileControl = disk_control,
    .xSectorSize = disk_sector,
    .xDeviceCharacteristics = disk_kind,
    .xShmMap = disk_shm_map,
    .xShmLock = disk_shm_lock,
    .xShmBarrier = disk_shm_barrier,
    .xShmUnmap = disk_shm_unmap,
};

static int disk_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out)
{
    sqlite3_vfs *real = vfs->pAppData;
    struct disk_file *d = disk_of(f);
    d->real = (sqlite3_file *)(d + 1);
    d->wal = flags & SQLITE_OPEN_WAL;
    d->base.pMethods = NULL;
    if (!name) {
        atomic_fetch_add(&temporaries, 1);
        return SQLITE_CANTOPEN;
    }
    int rc = real->xOpen(real, name, d->real, flags, out);
    if (!rc) d->base.pMethods = &disk_methods;
    return rc;
}

/* For all that is opened from now on in this process. */
static void disk_install(sqlite3_vfs *vfs)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    *vfs = *real;
    vfs->pNext = NULL;
    vfs->zName = "failing-disk";
    vfs->szOsFile = (int)sizeof(struct disk_file) + real->szOsFile;
    vfs->pAppData = real; /* the real one's own functions get the real one */
    vfs->xOpen = disk_open;
    assert_int_equal(sqlite3_vfs_register(vfs, 1), SQLITE_OK);
}

static int setup(void **state)
{
    atomic_store(&fail_sync, false);
    atomic_store(&fail_read, false);
    atomic_store(&bad_sector, -1);
    atomic_store(&lock_after, -1);
    atomic_store(&reader_held, 0);
    return world_setup(state);
}

/* ---- tests ---- */

static void reopen(struct world *w)
{
    store_close(w->store);
    assert_non_null(world_open(w, (struct store_options){0}));
}

static void fill_one(struct world *w, uint64_t seq, int want)
{
    size_t have = w->seen.count;
    assert_int_equal(world_add(w, "r", seq, SLICE_LIT("hi")), 0);
    world_wait_done(&w->seen, have + 1);
    assert_int_equal(w->seen.done[have].err, want);
}

/* A marker moves with the commit, or not at all. */
static void test_sync_fails_for_marks(void **state)
{
    struct world *w = *state;
    struct answer a;
    reopen(w);
    world_put(w, "r", (struct store_event){.seq = 1});
    world_mark(w, "r", "ann", 1);
    world_settle(w);
    atomic_store(&fail_sync, true);
    world_mark(w, "r", "ann", 2);
    world_wait_done(&w->seen, 3);
    assert_int_equal(w->seen.done[2].err, ERR_STORE);
    struct store_move m = {SLICE_LIT("r"), world_epoch, {2, SLICE_LIT("ann")}, NULL, false};
    assert_int_equal(store_move_mark(w->store, &m), ERR_STORE);
    atomic_store(&fail_sync, false);
    assert_true(world_wait_health(w->store, true));
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_string_equal(a.shown, "ann>1 ");
    world_mark(w, "r", "ann", 3);
    world_wait_done(&w->seen, 4);
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_string_equal(a.shown, "ann>3 ");
}

/* A commit whose fsync fails is no commit, and it recovers by itself when the disk does. */
static void test_sync_fails(void **state)
{
    struct world *w = *state;
    struct answer a;
    reopen(w);
    world_fill(w, "r", 1, 3);
    atomic_store(&fail_sync, true);
    fill_one(w, 4, ERR_STORE);
    assert_false(store_healthy(w->store));
    assert_int_equal(world_add(w, "r", 5, SLICE_LIT("hi")), ERR_STORE);
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 10, &a), 0); /* reading goes on */
    assert_int_equal(a.count, 3);
    for (int i = 0; i < 30; i++)
        world_nap(); /* it tries again, in vain */
    assert_false(store_healthy(w->store));
    atomic_store(&fail_sync, false);
    assert_true(world_wait_health(w->store, true));
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_true(journal_local_next_seq(&a.room, 1) > 4);
    fill_one(w, journal_local_next_seq(&a.room, 1), 0);
    world_expect_found(w, "r", "hi", "65540 3 2 1 ");
}

static void sync_child(struct world *w)
{
    NEED(world_open(w, (struct store_options){0}));
    NEED(world_add(w, "r", 1, SLICE_LIT("acked")) == 0);
    while (world_count(&w->seen, &w->seen.count) < 1)
        world_nap();
    atomic_store(&fail_sync, true);
    NEED(world_add(w, "r", 2, SLICE_LIT("refused")) == 0);
    while (world_count(&w->seen, &w->seen.count) < 2)
        world_nap();
    NEED(w->seen.failed == 1);
    _exit(0); /* without closing anything */
}

/* What was refused does not come back in a later life. */
static void test_refused_stays_away(void **state)
{
    struct world *w = *state;
    struct answer a;
    pid_t child = fork();
    if (child == 0) sync_child(w);
    assert_int_equal(world_exit_status(child), 0);
    reopen(w);
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 10, &a), 0);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.seqs[0], 1);
    assert_true(journal_local_next_seq(&a.room, 1) > 2);
}

/* Readers that cannot read say so, for that page, and then work again. */
static void test_reads_fail(void **state)
{
    struct world *w = *state;
    struct answer a;
    reopen(w);
    world_fill(w, "r", 1, 50);
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 10, &a), 0);
    world_fill(w, "r", 51, 52); /* what readers have in their caches is old now */
    atomic_store(&fail_read, true);
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 10, &a), ERR_STORE_READ);
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("hi"), STORE_SEQ_MAX + 1, 10};
    assert_int_equal(world_search(w, &q, &a), ERR_STORE_READ);
    assert_int_equal(world_list(w, "", 10, &a), ERR_STORE_READ);
    atomic_store(&fail_read, false);
    assert_int_equal(world_page(w, "r", STORE_AFTER, 0, 10, &a), 0);
    assert_int_equal(a.count, 10);
    assert_int_equal(world_search(w, &q, &a), 0);
    assert_int_equal(world_list(w, "", 10, &a), 0);
    /* The writer may have noticed, too, or be about to: it has not once all is indexed. */
    world_expect_found(w, "r", "hi", "52 51 50 49 48 47 46 45 44 43 <");
    assert_true(world_wait_health(w->store, true));
    assert_int_equal(world_load(w, "r", &a), 0);
    fill_one(w, journal_local_next_seq(&a.room, 1), 0);
}

static long long find_leaf(const char *path, const char *name)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT pgoffset FROM dbstat WHERE name = ?1 AND"
                                        " pagetype = 'leaf' ORDER BY path LIMIT 1",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    long long at = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return at;
}

/* One place that cannot be read: the reaction that needs it is refused, others and messages are
 * not, and nobody is told that the store fails. */
static void test_bad_sector(void **state)
{
    struct world *w = *state;
    reopen(w);
    world_fill(w, "r", 1, 400);
    for (uint64_t seq = 1; seq <= 400; seq++)
        world_put(w, "r",
                  (struct store_event){.seq = 400 + seq,
                                       .kind = STORE_REACT,
                                       .target = seq,
                                       .message = SLICE_LIT("a reaction of some length")});
    world_wait_done(&w->seen, 800);
    world_expect_found(w, "r", "nothing", "");
    reopen(w); /* all of it is in the database now, and in nobody's cache */
    atomic_store(&bad_sector, find_leaf(w->path, "reactions"));
    world_hold(&w->seen, true);
    for (uint64_t seq = 801; seq <= 840; seq++)
        world_put(w, "r",
                  (struct store_event){.seq = seq,
                                       .kind = seq % 2 ? STORE_MESSAGE : STORE_REACT,
                                       .target = seq % 4 ? 1 : 400,
                                       .message = SLICE_LIT("another")});
    world_hold(&w->seen, false);
    world_wait_done(&w->seen, 840);
    for (size_t i = 800; i < 840; i++)
        assert_int_equal(w->seen.done[i].err, w->seen.done[i].seq % 4 == 2 ? ERR_STORE_DAMAGED : 0);
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
    assert_true(world_count(&w->seen, &w->seen.troubles) > 0);
    atomic_store(&bad_sector, -1);
    fill_one(w, 841, 0);
}

/* A batch in which most of what is said is for rooms with damage, that the trigger stands for: it
 * takes a bounded number of transactions, and what others say is stored. */
static void expect_bounded(struct world *w, const char *trigger)
{
    enum { BATCH = 512, ROOMS = 8, LOCKS_MAX = 800, SYNCS_MAX = 100 };
    char name[] = "d0";
    struct answer a;
    reopen(w);
    for (unsigned i = 0; i <= ROOMS; i++) {
        name[1] = (char)('0' + i);
        world_put(w, i < ROOMS ? name : "ok", (struct store_event){.seq = 1});
    }
    world_settle(w);
    store_close(w->store);
    w->store = NULL;
    w->sound = false;
    world_sql(w->path, trigger);
    assert_non_null(world_open(w, (struct store_options){0}));
    world_hold_writer(w, "ok", 2);
    for (unsigned i = 0; i < BATCH; i++) { /* a room of them and "ok" in turn, then each once */
        name[1] = (char)('0' + i / 2 % ROOMS);
        world_put(w, i % 2 ? name : "ok", (struct store_event){.seq = 3 + i});
    }
    unsigned locks = atomic_load(&write_locks);
    unsigned syncs = atomic_load(&wal_syncs);
    world_hold(&w->seen, false);
    world_wait_done(&w->seen, w->put);
    locks = atomic_load(&write_locks) - locks;
    syncs = atomic_load(&wal_syncs) - syncs;
    print_message("%u transactions, %u syncs\n", locks, syncs);
    assert_true(locks <= LOCKS_MAX && syncs <= SYNCS_MAX);
    for (size_t i = w->put - BATCH; i < w->put; i++)
        assert_int_equal(w->seen.done[i].err, w->seen.done[i].seq % 2 ? 0 : ERR_STORE_DAMAGED);
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
    assert_int_equal(world_load(w, "ok", &a), 0);
    assert_int_equal(journal_local_next_seq(&a.room, 1), BATCH + 2);
    for (unsigned i = 0; i < ROOMS; i++) { /* what was refused was given */
        name[1] = (char)('0' + i);
        assert_int_equal(world_load(w, name, &a), 0);
        assert_int_equal(a.room.last_seq, 1);
        assert_true(journal_local_next_seq(&a.room, 1) > BATCH + 2 &&
                    journal_local_next_seq(&a.room, 1) < 3 * STORE_IN_FLIGHT_MAX);
    }
}

static const char refuse_events[] =
    "CREATE TRIGGER t BEFORE INSERT ON events WHEN (SELECT name FROM rooms"
    " WHERE id = new.room) LIKE 'd%' BEGIN SELECT RAISE(ABORT, 'x'); END";

static void test_damaged_rooms(void **state)
{
    expect_bounded(*state, refuse_events);
}

static void test_damaged_rows(void **state)
{
    expect_bounded(*state, "CREATE TRIGGER t BEFORE UPDATE OF last_seq ON rooms"
                           " WHEN new.name LIKE 'd%' BEGIN SELECT RAISE(ABORT, 'x'); END");
}

enum { SWEPT = 1000, STEPS_MIN = SWEPT / 64, DAMAGED = 10 }; /* rooms, and steps to look at all */

/* Rooms "r..." and then "d...", with two messages each; the trigger is damage in these. How many
 * transactions there were before the last opening. */
static unsigned open_many(struct world *w, const char *trigger, struct store_options o)
{
    char name[16];
    reopen(w);
    for (int i = 0; i < SWEPT + DAMAGED; i++) {
        snprintf(name, sizeof name, "%c%d", i < SWEPT ? 'r' : 'd', i);
        world_put(w, name, (struct store_event){.seq = 1});
        world_put(w, name, (struct store_event){.seq = 2});
    }
    world_settle(w);
    store_close(w->store);
    w->sound = false;
    world_sql(w->path, trigger);
    unsigned locks = atomic_load(&write_locks);
    assert_non_null(world_open(w, o));
    return locks;
}

/* Until nothing was written for a while. */
static void await_quiet(void)
{
    unsigned last = atomic_load(&write_locks);
    for (int quiet = 0; quiet < 60; quiet++) {
        world_nap();
        unsigned now = atomic_load(&write_locks);
        if (now != last) quiet = 0;
        last = now;
    }
}

static uint64_t first_seq(struct world *w, const char *room)
{
    struct answer a;
    assert_int_equal(world_load(w, room, &a), 0);
    return a.room.first_seq;
}

static void await_first(struct world *w, const char *room, uint64_t seq)
{
    int64_t end_ms = world_now_ms() + WORLD_WAIT_S * 1000;
    while (first_seq(w, room) != seq && world_now_ms() < end_ms)
        world_nap();
    assert_int_equal(first_seq(w, room), seq);
}

/* A refused event makes the writer forget what it knows of rooms, but not which have too much. */
static void test_refusal_and_retention(void **state)
{
    enum { KEPT = 10, ROUNDS = 10 };
    struct world *w = *state;
    struct store_options o = {.keep = {.max_events = KEPT}, .trim_pause_ms = 3600 * 1000};
    uint64_t seq = 0;
    open_many(w, refuse_events, o);
    await_quiet();
    unsigned before = atomic_load(&write_locks);
    for (seq = 1; seq <= KEPT; seq++)
        world_put(w, "much", (struct store_event){.seq = seq});
    for (uint64_t round = 0; round < ROUNDS; round++) {
        world_put(w, "much", (struct store_event){.seq = seq + round});
        world_put(w, "d1000", (struct store_event){.seq = 3 + round});
        world_wait_done(&w->seen, w->put);
        await_quiet();
    }
    assert_true(atomic_load(&write_locks) - before < ROUNDS * STEPS_MIN);
    assert_int_equal(first_seq(w, "much"), 1);
    for (seq = 1; seq <= STORE_TRIM_MAX + KEPT; seq++) /* so much that retention comes at once */
        world_put(w, "more", (struct store_event){.seq = seq});
    world_wait_done(&w->seen, w->put);
    await_first(w, "more", STORE_TRIM_MAX + 1);
    await_first(w, "much", ROUNDS + 1);
}

/* Retention goes on behind a room with damage, and forgets none that it had on its list. */
static void test_retention_goes_on(void **state)
{
    struct world *w = *state;
    struct store_options o = {.keep = {.max_events = 1}, .trim_pause_ms = 3600 * 1000};
    unsigned locks = open_many(w,
                               "CREATE TRIGGER t BEFORE DELETE ON events WHEN (SELECT name FROM"
                               " rooms WHERE id = old.room) LIKE 'd%' BEGIN"
                               " SELECT RAISE(ABORT, 'x'); END",
                               o);
    await_first(w, "r999", 2);
    await_quiet();
    locks = atomic_load(&write_locks) - locks;
    print_message("%u transactions\n", locks);
    assert_true(locks < 2 * (STEPS_MIN + 2 * DAMAGED));
    assert_int_equal(first_seq(w, "d1000"), 1);
    world_fill(w, "listed", 1, 2);
    world_fill(w, "damaged", 1, STORE_TRIM_MAX + 2);
    await_first(w, "listed", 2);
    assert_int_equal(first_seq(w, "damaged"), 1);
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
}

/* An index that was emptied because of damage, and then another program has the lock: that was
 * nobody else's writing. */
static void test_mended_then_locked(void **state)
{
    struct world *w = *state;
    struct answer a;
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("hi"), STORE_SEQ_MAX + 1, 10};
    reopen(w);
    world_fill(w, "r", 1, 400);
    world_expect_found(w, "r", "nothing", "");
    store_close(w->store);
    world_sql(w->path, "DELETE FROM search_data WHERE id > 10");
    unsigned locks = atomic_load(&write_locks);
    assert_non_null(world_open(w, (struct store_options){0}));
    for (int i = 0; i < 20 || atomic_load(&write_locks) == locks; i++)
        world_nap(); /* retention has looked */
    atomic_store(&lock_after, 1);
    assert_int_equal(world_search(w, &q, &a), ERR_STORE_READ);
    int64_t end_ms = world_now_ms() + 1500;
    while (world_now_ms() < end_ms && store_healthy(w->store))
        world_nap();
    assert_int_equal(atomic_load(&lock_after), 0);
    assert_int_equal(world_count(&w->seen, &w->seen.turns), 0);
    atomic_store(&lock_after, -1);
    world_expect_found(w, "r", "hi", "400 399 398 397 396 395 394 393 392 391 <");
    assert_true(store_healthy(w->store));
}

/* Up to which event the file says that there is an index. */
static int64_t indexed(const struct world *w)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT indexed FROM meta", -1, &stmt, NULL), 0);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t id = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return id;
}

/* Somebody finds the index damaged, and it is emptied; not filled, until lock_after is -1. */
static void empty_index(struct world *w, const struct store_search *q)
{
    struct answer a;
    atomic_store(&lock_after, 0);
    assert_int_equal(world_search(w, q, &a), ERR_STORE_READ);
    while (indexed(w) != 0) { /* retention may take what is meant to empty it */
        int none = 0;
        atomic_compare_exchange_strong(&lock_after, &none, 1);
        world_nap();
    }
    assert_int_equal(atomic_load(&lock_after), 0);
}

static void await_held(int where)
{
    while (atomic_load(&reader_held) != where)
        world_nap();
}

/* A search that reads the index as it was while it was made anew has not found all, though it is
 * whole again when the search ends, and, if `early`, was when it came. */
static void search_while_mended(struct world *w, bool early)
{
    struct answer before;
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("hi"), STORE_SEQ_MAX + 1, 10};
    store_close(w->store);
    assert_non_null(world_open(w, (struct store_options){.readers = 3})); /* two may search */
    world_fill(w, "r", 1, 400);
    world_expect_found(w, "r", "nothing", "");
    world_sql(w->path, "DELETE FROM search_data WHERE id > 10");
    if (!early) empty_index(w, &q);
    atomic_store(&reader_held, early ? HELD_AT_BEGIN : HELD_AT_READ);
    answer_init(&before);
    assert_int_equal(store_search(w->store, NULL, &q, answer_on_page, &before), 0);
    if (early) {
        await_held(HELD_BEFORE);
        empty_index(w, &q);
        atomic_store(&reader_held, HELD_AT_READ);
    }
    await_held(HELD_WITHIN);
    atomic_store(&lock_after, -1);
    world_expect_found(w, "r", "hi", "400 399 398 397 396 395 394 393 392 391 <");
    atomic_store(&reader_held, HELD_NOT);
    assert_int_equal(answer_wait(&before), ERR_STORE_READ);
}

static void test_search_while_mended(void **state)
{
    search_while_mended(*state, false);
}

static void test_search_before_mended(void **state)
{
    search_while_mended(*state, true);
}

/* Nothing that is done needs a temporary file, which may not be possible: not a delete that changes
 * many pages, not a search, not retention, not a new schema. */
static void test_no_temporary_files(void **state)
{
    enum { ROUNDS = 40, EDITS = 70, TEXT = 8000 };
    static char text[TEXT] = "many words";
    struct world *w = *state;
    struct answer a;
    uint64_t seq = 0;
    memset(text + 10, 'x', TEXT - 10);
    atomic_store(&temporaries, 0);
    reopen(w);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t target = ++seq;
        world_put(w, "r", (struct store_event){.seq = target, .message = {text, TEXT}});
        for (unsigned i = 0; i < EDITS; i++) {
            seq++;
            world_put(w, "r",
                      (struct store_event){.seq = seq,
                                           .kind = i % 8 ? STORE_EDIT : STORE_REACT,
                                           .target = target,
                                           .message = {text, i % 8 ? TEXT : 1 + i % 3}});
        }
        if (round % 4) continue;
        world_settle(w);
        world_expect_found(w, "r", "nothing", "");
        seq++;
        world_put(w, "r", (struct store_event){.seq = seq, .kind = STORE_DELETE, .target = target});
    }
    world_mark(w, "r", "ann", 1);
    world_settle(w);
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(world_list(w, "", 10, &a), 0);
    store_close(w->store);
    w->store = NULL;
    world_to_schema_3(w->path);
    world_sql(
        w->path,
        "INSERT OR IGNORE INTO edits(room, target, seq) SELECT 1, (SELECT max(seq) FROM events"
        " WHERE kind = 0), seq FROM events WHERE kind = 1 AND message NOT NULL LIMIT 1000");
    assert_int_equal(atomic_load(&temporaries), 0);
    struct store_options o = {.keep.max_events = 10, .trim_pause_ms = 5};
    assert_non_null(world_open(w, o));
    int64_t end_ms = world_now_ms() + WORLD_WAIT_S * 1000;
    do {
        world_nap();
        assert_int_equal(world_load(w, "r", &a), 0);
    } while (a.room.first_seq != seq - 9 && world_now_ms() < end_ms);
    assert_int_equal(a.room.first_seq, seq - 9);
    assert_true(store_healthy(w->store));
    assert_int_equal(w->seen.failed, 0);
    assert_int_equal(atomic_load(&temporaries), 0);
}

static struct store *open_relaxed(struct world *w, bool relaxed)
{
    char text[STORE_SQLITE_TEXT_MAX] = "";
    struct store_options o = {0};
    struct store_sqlite_options sqlite = {.path = w->path, .relaxed = relaxed};
    world_callbacks(w, &o);
    w->store = store_sqlite_open(&sqlite, &o, text);
    return w->store;
}

/* Syncs of the WAL while so many events are appended, one after the other. */
static unsigned count_syncs(struct world *w, bool relaxed, uint64_t from, uint64_t to)
{
    assert_non_null(open_relaxed(w, relaxed));
    unsigned before = atomic_load(&wal_syncs);
    for (uint64_t seq = from; seq <= to; seq++)
        fill_one(w, seq, 0);
    unsigned after = atomic_load(&wal_syncs);
    store_close(w->store);
    w->store = NULL;
    return after - before;
}

static void test_syncs(void **state)
{
    struct world *w = *state;
    assert_true(count_syncs(w, false, 1, 50) >= 50);
    assert_true(count_syncs(w, true, 51, 100) <= 2);
}

/* Not synced and in flight together stay within what next_seq allows for. */
static void test_relaxed_caps(void **state)
{
    struct world *w = *state;
    struct store_stats stats;
    assert_non_null(open_relaxed(w, true));
    unsigned before = atomic_load(&wal_syncs);
    for (uint64_t seq = 1; seq <= 40000; seq++)
        while (world_add(w, "r", seq, SLICE_LIT("hi")) != 0)
            world_nap();
    world_wait_done(&w->seen, 40000);
    assert_true(atomic_load(&wal_syncs) > before);
    world_hold_writer(w, "r", 40001);
    uint64_t seq = 40002;
    while (seq < 120000 && world_add(w, "r", seq, SLICE_LIT("hi")) == 0)
        seq++;
    store_stats(w->store, &stats);
    assert_int_equal(stats.in_flight, STORE_IN_FLIGHT_MAX / 2);
    world_hold(&w->seen, false);
    world_wait_done(&w->seen, (size_t)seq - 1);
    assert_int_equal(w->seen.failed, 0);
}

static void relaxed_child(struct world *w)
{
    NEED(open_relaxed(w, true));
    for (uint64_t seq = 1; seq <= 100; seq++)
        NEED(world_add(w, "r", seq, SLICE_LIT("hi")) == 0);
    while (world_count(&w->seen, &w->seen.count) < 100)
        world_nap();
    _exit(0);
}

static void test_relaxed_survives_kill(void **state)
{
    struct world *w = *state;
    struct answer a;
    pid_t child = fork();
    if (child == 0) relaxed_child(w);
    assert_int_equal(world_exit_status(child), 0);
    reopen(w);
    assert_int_equal(world_load(w, "r", &a), 0);
    assert_int_equal(a.room.last_seq, 100);
    assert_true(journal_local_next_seq(&a.room, 1) > 100 + STORE_IN_FLIGHT_MAX / 2);
}

/* Asks for everything and appends; anything but a crash, a hang or an unknown error is right. */
static void use_broken(struct world *w)
{
    struct answer a;
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("word"), STORE_SEQ_MAX + 1, 100};
    int errors[5];
    uint64_t next_seq = 100000;
    errors[0] = world_load(w, "r", &a);
    if (errors[0] == 0) next_seq = journal_local_next_seq(&a.room, 1);
    if (next_seq > STORE_SEQ_MAX) next_seq = STORE_SEQ_MAX;
    errors[1] = world_page(w, "r", STORE_BEFORE, STORE_SEQ_MAX, STORE_PAGE_MAX, &a);
    errors[2] = world_page(w, "r", STORE_AFTER, 0, STORE_PAGE_MAX, &a);
    errors[3] = world_search(w, &q, &a);
    errors[4] = world_list(w, "", 100, &a);
    for (int i = 0; i < 5; i++)
        assert_true(errors[i] == 0 || errors[i] == ERR_STORE || errors[i] == ERR_STORE_READ ||
                    errors[i] == ERR_NOT_FOUND);
    size_t have = world_count(&w->seen, &w->seen.count);
    if (world_add(w, "r", next_seq, SLICE_LIT("one more")) == 0)
        world_wait_done(&w->seen, have + 1);
}

static size_t load_file(const char *path, char *to, size_t size)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, to, size);
    close(fd);
    assert_true(n > 0);
    return (size_t)n;
}

static void save_file(const char *path, const char *from, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, from, size), (ssize_t)size);
    close(fd);
}

/* Every page of the file in turn is overwritten in its middle, or as a whole. */
static void test_corrupt(void **state)
{
    enum { SIZE = 1 << 20, PAGE = 4096 };
    struct world *w = *state;
    unsigned refused = 0;
    reopen(w);
    for (uint64_t seq = 1; seq <= 400; seq++)
        world_put(
            w, "r",
            (struct store_event){.seq = seq,
                                 .kind = seq % 5 ? STORE_MESSAGE : (enum store_kind)(seq / 5 % 5),
                                 .target = seq - 1,
                                 .message = SLICE_LIT("a word or two for the index to keep")});
    world_settle(w);
    world_expect_found(w, "r", "nothing", "");
    store_close(w->store);
    w->store = NULL;
    w->sound = false;
    char *good = calloc(2, SIZE);
    assert_non_null(good);
    char *bad = good + SIZE;
    size_t size = load_file(w->path, good, SIZE);
    assert_true(size > 10 * PAGE && size < SIZE);
    for (size_t at = 0; at < size; at += PAGE / 2) {
        bool whole = at % PAGE == 0;
        memcpy(bad, good, size);
        for (size_t i = 0; i < (whole ? PAGE : PAGE / 4); i++)
            bad[at + i] = (char)(bad[at + i] ^ 0x5a);
        save_file(w->path, bad, size);
        w->seen.count = 0;
        w->quiet = true;
        if (world_open(w, (struct store_options){0}))
            use_broken(w);
        else
            refused++;
        store_close(w->store);
        w->store = NULL;
        world_remove_files(w);
    }
    free(good);
    assert_true(refused > 1);
    print_message("%u of %u refused at start\n", refused, (unsigned)(size / PAGE * 2));
}

int main(void)
{
    sqlite3_vfs disk;
    disk_install(&disk);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_refused_stays_away, setup),
        cmocka_unit_test_setup(test_relaxed_survives_kill, setup),
        cmocka_unit_test_setup(test_sync_fails, setup),
        cmocka_unit_test_setup(test_sync_fails_for_marks, setup),
        cmocka_unit_test_setup(test_bad_sector, setup),
        cmocka_unit_test_setup(test_damaged_rooms, setup),
        cmocka_unit_test_setup(test_refusal_and_retention, setup),
        cmocka_unit_test_setup(test_retention_goes_on, setup),
        cmocka_unit_test_setup(test_mended_then_locked, setup),
        cmocka_unit_test_setup(test_search_while_mended, setup),
        cmocka_unit_test_setup(test_search_before_mended, setup),
        cmocka_unit_test_setup(test_damaged_rows, setup),
        cmocka_unit_test_setup(test_reads_fail, setup),
        cmocka_unit_test_setup(test_syncs, setup),
        cmocka_unit_test_setup(test_relaxed_caps, setup),
        cmocka_unit_test_setup(test_corrupt, setup),
        cmocka_unit_test_setup(test_no_temporary_files, setup),
    };
    return WORLD_RUN_SQLITE(tests);
}
