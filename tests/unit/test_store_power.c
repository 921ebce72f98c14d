/* Power cuts, simulated: a VFS notes what SQLite writes and syncs while messages are stored; then
 * the files are made as a disk may have kept them when the power went at some point of that: what
 * was synced is there, of what was not each write is there, missing, or torn between two sectors.
 * On every such disk a store opens, has all that was acknowledged in one order, gives no id twice,
 * and does not take the file for an older one. Also starts that end at each of their writes, while
 * they give new epochs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "journal/local.h"
#include "store/sqlite_witness.h"
#include "store/store_sqlite.h"
#include "store_world.h"

enum {
    SECTOR = 512,
    OPS_MAX = 400000,
    IMAGE_MAX = 64 << 20,
    ROOMS = 3,
    EVENTS = 7500,
    TEXT = 2500,        /* with this the -wal is written back once and again */
    CUTS = 12,          /* the environment's POWER_CUTS says more */
    WITNESS_BACK = 300, /* the witness on the disk may be as old as so many operations */
    KILLED = 9,         /* exit statuses */
    WRITTEN = 8,
};

enum traced { TRACED_MAIN, TRACED_WAL, TRACED_COUNT };

struct op {
    enum { OP_WRITE, OP_TRUNCATE, OP_SYNC } kind;
    enum traced file;
    int64_t at; /* or the size */
    int n;
    unsigned char *data;
    struct witness_record witness; /* before it */
    uint64_t acked[ROOMS];         /* newest seqs before it */
    uint64_t handed[ROOMS];
};

struct image {
    unsigned char *bytes;
    size_t size;
};

static struct trace {
    pthread_mutex_t lock;
    bool on;
    size_t count;
    struct op *ops;
    struct image base[TRACED_COUNT];
    uint64_t acked[ROOMS];
    uint64_t handed[ROOMS];
    int witness_fd;
} trace = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int die_in;    /* operations; 0: never */
static bool wal_full; /* nothing can be written to the -wal */
static atomic_bool main_written;
static bool damaged; /* some events are refused */

/* ---- the VFS ---- */

struct traced_file {
    sqlite3_file base;
    enum traced kind;
    sqlite3_file *real; /* behind this struct */
};

static struct traced_file *traced_of(sqlite3_file *f)
{
    return (struct traced_file *)f;
}

static const sqlite3_io_methods *real_methods(sqlite3_file *f)
{
    return traced_of(f)->real->pMethods;
}

static void note(struct op op, const void *data)
{
    if (die_in && --die_in == 0) _exit(KILLED);
    pthread_mutex_lock(&trace.lock);
    if (trace.on) {
        assert_true(trace.count < OPS_MAX);
        if (op.n) op.data = malloc((size_t)op.n);
        if (op.n) memcpy(op.data, data, (size_t)op.n);
        memcpy(op.acked, trace.acked, sizeof op.acked);
        memcpy(op.handed, trace.handed, sizeof op.handed);
        ssize_t n = pread(trace.witness_fd, &op.witness, sizeof op.witness, 0);
        assert_int_equal(n, sizeof op.witness);
        trace.ops[trace.count++] = op;
    }
    pthread_mutex_unlock(&trace.lock);
}

static int traced_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    note((struct op){.kind = OP_WRITE, .file = traced_of(f)->kind, .at = at, .n = n}, from);
    if (traced_of(f)->kind == TRACED_WAL && wal_full) return SQLITE_FULL;
    if (traced_of(f)->kind == TRACED_MAIN) atomic_store(&main_written, true);
    return real_methods(f)->xWrite(traced_of(f)->real, from, n, at);
}

static int traced_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    note((struct op){.kind = OP_TRUNCATE, .file = traced_of(f)->kind, .at = size}, NULL);
    return real_methods(f)->xTruncate(traced_of(f)->real, size);
}

static int traced_sync(sqlite3_file *f, int flags)
{
    int rc = real_methods(f)->xSync(traced_of(f)->real, flags);
    note((struct op){.kind = OP_SYNC, .file = traced_of(f)->kind}, NULL);
    return rc;
}

#define PASS(name, parameters, ...)                                                                \
    static int pass_##name parameters                                                              \
    {                                                                                              \
        return real_methods(f)->name(traced_of(f)->real, ##__VA_ARGS__);                           \
    }

PASS(xClose, (sqlite3_file * f))
PASS(xRead, (sqlite3_file * f, void *to, int n, sqlite3_int64 at), to, n, at)
PASS(xFileSize, (sqlite3_file * f, sqlite3_int64 *size), size)
PASS(xLock, (sqlite3_file * f, int level), level)
PASS(xUnlock, (sqlite3_file * f, int level), level)
PASS(xCheckReservedLock, (sqlite3_file * f, int *out), out)
PASS(xFileControl, (sqlite3_file * f, int op, void *arg), op, arg)
PASS(xSectorSize, (sqlite3_file * f))
PASS(xDeviceCharacteristics, (sqlite3_file * f))
PASS(xShmMap, (sqlite3_file * f, int page, int size, int extend, void volatile **out), page, size,
     extend, out)
PASS(xShmLock, (sqlite3_file * f, int at, int n, int flags), at, n, flags)
PASS(xShmUnmap, (sqlite3_file * f, int erase), erase)

static void pass_barrier(sqlite3_file *f)
{
    real_methods(f)->xShmBarrier(traced_of(f)->real);
}

static const sqlite3_io_methods traced_methods = {
    .iVersion = 2, /* with a -wal, without memory maps */
    .xClose = pass_xClose,
    .xRead = pass_xRead,
    .xWrite = traced_write,
    .xTruncate = traced_truncate,
    .xSync = traced_sync,
    .xFileSize = pass_xFileSize,
    .xLock = pass_xLock,
    .xUnlock = pass_xUnlock,
    .xCheckReservedLock = pass_xCheckReservedLock,
    .xFileControl = pass_xFileControl,
    .xSectorSize = pass_xSectorSize,
    .xDeviceCharacteristics = pass_xDeviceCharacteristics,
    .xShmMap = pass_xShmMap,
    .xShmLock = pass_xShmLock,
    .xShmBarrier = pass_barrier,
    .xShmUnmap = pass_xShmUnmap,
};

static int traced_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
                       int *out)
{
    sqlite3_vfs *real = vfs->pAppData;
    struct traced_file *t = traced_of(f);
    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
        return real->xOpen(real, name, f, flags, out);
    t->real = (sqlite3_file *)(t + 1);
    t->kind = flags & SQLITE_OPEN_WAL ? TRACED_WAL : TRACED_MAIN;
    t->base.pMethods = NULL;
    int rc = real->xOpen(real, name, t->real, flags, out);
    if (!rc) t->base.pMethods = &traced_methods;
    return rc;
}

/* For all that is opened from now on in this process. */
static void install(sqlite3_vfs *vfs)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    *vfs = *real;
    vfs->pNext = NULL;
    vfs->zName = "traced";
    vfs->szOsFile = (int)sizeof(struct traced_file) + real->szOsFile;
    vfs->pAppData = real;
    vfs->xOpen = traced_open;
    assert_int_equal(sqlite3_vfs_register(vfs, 1), SQLITE_OK);
}

/* ---- what is stored meanwhile ---- */

static void file_name(const struct world *w, enum traced file, char out[static 128])
{
    snprintf(out, 128, "%s%s", w->path, file == TRACED_WAL ? "-wal" : "");
}

static void load(const char *path, struct image *image)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, image->bytes, IMAGE_MAX);
    assert_true(n >= 0 && n < IMAGE_MAX);
    image->size = (size_t)n;
    close(fd);
}

static void save(const char *path, const struct image *image)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, image->bytes, image->size), (ssize_t)image->size);
    close(fd);
}

static void on_done(void *ctx, const struct store_done *done, size_t count)
{
    struct world *w = ctx;
    pthread_mutex_lock(&trace.lock);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(done[i].err, damaged ? ERR_STORE_DAMAGED : 0);
        if (!done[i].err) trace.acked[(uintptr_t)done[i].tag] = done[i].event->seq;
    }
    pthread_mutex_unlock(&trace.lock);
    pthread_mutex_lock(&w->seen.lock);
    w->seen.count += count;
    pthread_cond_broadcast(&w->seen.changed);
    pthread_mutex_unlock(&w->seen.lock);
}

static bool touched; /* the store has said that another program wrote to the file */

/* How often the store has said something about its files. */
static void on_file(void *ctx, enum store_file_event what, const char *text)
{
    struct world *w = ctx;
    touched = touched || what == STORE_FILE_TOUCHED;
    print_message("%s\n", text);
    w->seen.failed++;
}

static struct store *open_store(struct world *w, bool relaxed)
{
    char text[STORE_SQLITE_TEXT_MAX] = "";
    struct store_sqlite_options sqlite = {.path = w->path, .relaxed = relaxed};
    struct store_options o = {
        .on_done = on_done, .on_file = on_file, .ctx = w, .retry_first_ms = 20};
    w->store = store_sqlite_open(&sqlite, &o, text);
    if (!w->store) fail_msg("%s", text);
    return w->store;
}

static void put(struct world *w, unsigned room, uint64_t seq)
{
    static char text[TEXT];
    char name[8];
    memset(text, 'a' + (int)(seq % 26), sizeof text);
    snprintf(name, sizeof name, "c%u", room);
    struct store_event e = {.seq = seq, .ts_ms = (int64_t)seq, .message = {text, sizeof text}};
    if (seq % 5 == 0) { /* every kind in turn, about something young */
        e.kind = (enum store_kind)(seq / 5 % STORE_KIND_COUNT);
        e.target = seq > 9 ? seq - 1 - seq / 5 % 9 : 1;
        e.message.len = 20;
    }
    struct store_append a = {{name, strlen(name)},    world_epoch, &e,
                             (void *)(uintptr_t)room, false,       e.seq - 1};
    pthread_mutex_lock(&trace.lock);
    trace.handed[room] = seq;
    pthread_mutex_unlock(&trace.lock);
    while (store_append(w->store, &a) != 0)
        world_nap();
}

static void trace_begin(struct world *w)
{
    char path[128];
    snprintf(path, sizeof path, "%s" WITNESS_SUFFIX, w->path);
    trace.witness_fd = open(path, O_RDONLY);
    assert_true(trace.witness_fd >= 0);
    pthread_mutex_lock(&trace.lock);
    for (int i = 0; i < TRACED_COUNT; i++) {
        file_name(w, (enum traced)i, path);
        load(path, &trace.base[i]);
    }
    trace.count = 0;
    trace.on = true;
    pthread_mutex_unlock(&trace.lock);
}

static void trace_end(void)
{
    pthread_mutex_lock(&trace.lock);
    trace.on = false;
    pthread_mutex_unlock(&trace.lock);
    close(trace.witness_fd);
}

static void record(struct world *w, bool relaxed)
{
    memset(trace.acked, 0, sizeof trace.acked);
    memset(trace.handed, 0, sizeof trace.handed);
    open_store(w, relaxed);
    for (unsigned room = 0; room < ROOMS; room++)
        put(w, room, 1);
    world_wait_done(&w->seen, ROOMS);
    trace_begin(w);
    for (uint64_t i = ROOMS; i < EVENTS; i++) {
        put(w, (unsigned)(i % ROOMS), i / ROOMS + 1);
        /* small batches, so that there are many syncs, and now and then a large one */
        if (i % 7 == 0 && i / 500 % 4) world_wait_done(&w->seen, i + 1);
    }
    world_wait_done(&w->seen, EVENTS);
    trace_end();
    store_close(w->store);
    w->store = NULL;
}

/* ---- the cut ---- */

static void apply(struct image *image, const struct op *op, size_t from, size_t to)
{
    size_t end = (size_t)op->at + to;
    assert_true(end <= IMAGE_MAX);
    if (end > image->size) memset(image->bytes + image->size, 0, end - image->size);
    if (end > image->size) image->size = end;
    memcpy(image->bytes + op->at + from, op->data + from, to - from);
}

/* What the disk kept of a write that was not synced. */
static void apply_maybe(struct image *image, const struct op *op, unsigned *seed)
{
    size_t n = (size_t)op->n;
    size_t torn = n < SECTOR ? n : (size_t)rand_r(seed) % (n / SECTOR + 1) * SECTOR;
    switch (rand_r(seed) % 4) {
    case 0:
        break;
    case 1:
        apply(image, op, 0, torn);
        break;
    case 2:
        if (torn < n) apply(image, op, torn, n);
        break;
    default:
        apply(image, op, 0, n);
    }
}

/* Makes the files as of the cut before operation number `cut`. */
static void cut_power(struct world *w, size_t cut, struct image images[TRACED_COUNT],
                      unsigned *seed)
{
    size_t synced[TRACED_COUNT] = {0};
    char path[128];
    for (size_t i = 0; i < cut; i++)
        if (trace.ops[i].kind == OP_SYNC) synced[trace.ops[i].file] = i;
    for (int f = 0; f < TRACED_COUNT; f++) {
        images[f].size = trace.base[f].size;
        memcpy(images[f].bytes, trace.base[f].bytes, trace.base[f].size);
        for (size_t i = 0; i < cut; i++) {
            const struct op *op = &trace.ops[i];
            if ((int)op->file != f || op->kind == OP_SYNC) continue;
            bool kept = i < synced[f] || (op->kind == OP_TRUNCATE && rand_r(seed) % 2);
            if (kept && op->kind == OP_TRUNCATE) images[f].size = (size_t)op->at;
            if (op->kind == OP_TRUNCATE) continue;
            if (kept)
                apply(&images[f], op, 0, (size_t)op->n);
            else
                apply_maybe(&images[f], op, seed);
        }
        file_name(w, (enum traced)f, path);
        save(path, &images[f]);
    }
    size_t back = (size_t)rand_r(seed) % WITNESS_BACK;
    struct witness witness = {.fd = -1,
                              .boot = 1, /* the machine has started again */
                              .record = trace.ops[back < cut ? cut - back : 0].witness};
    snprintf(path, sizeof path, "%s" WITNESS_SUFFIX, w->path);
    assert_int_equal(witness_make(&witness, path), 0);
    assert_int_equal(witness_write(&witness, false), 0);
    witness_close(&witness);
}

/* Everything of the room, in order, up to what was acknowledged at least. */
static void check_room(struct world *w, const char *room, uint64_t acked, uint64_t handed)
{
    struct answer a;
    uint64_t seq = 0;
    assert_int_equal(world_load(w, room, &a), 0);
    assert_true(journal_local_next_seq(&a.room, 1) > handed);
    assert_memory_equal(a.room.epoch, world_epoch, EVENT_EPOCH_LEN);
    for (bool more = true; more; more = a.more_after) {
        assert_int_equal(world_page(w, room, STORE_AFTER, seq, STORE_PAGE_MAX, &a), 0);
        for (size_t i = 0; i < a.count; i++)
            assert_int_equal(a.seqs[i], ++seq);
    }
    assert_true(seq >= acked);
    assert_true(seq <= handed);
}

static void check_disk(struct world *w, const struct op *at, bool relaxed)
{
    w->seen.failed = 0;
    open_store(w, relaxed);
    assert_true(store_healthy(w->store));
    for (unsigned room = 0; room < ROOMS; room++) {
        char name[8];
        snprintf(name, sizeof name, "c%u", room);
        check_room(w, name, relaxed ? 0 : at->acked[room], at->handed[room]);
    }
    store_close(w->store);
    w->store = NULL;
    assert_int_equal(w->seen.failed, 0); /* it is the file that ran last */
    world_check_file(w->path);
    world_remove_files(w);
}

static size_t pick(unsigned *seed)
{
    return trace.count ? (size_t)rand_r(seed) % trace.count : 0;
}

static void make_room(struct image images[TRACED_COUNT])
{
    trace.count = 0;
    trace.ops = calloc(OPS_MAX, sizeof *trace.ops);
    assert_non_null(trace.ops);
    for (int i = 0; i < TRACED_COUNT; i++) {
        trace.base[i].bytes = malloc(IMAGE_MAX);
        images[i].bytes = malloc(IMAGE_MAX);
        assert_true(trace.base[i].bytes && images[i].bytes);
    }
}

static void free_room(struct image images[TRACED_COUNT])
{
    for (size_t i = 0; i < trace.count; i++)
        free(trace.ops[i].data);
    free(trace.ops);
    for (int i = 0; i < TRACED_COUNT; i++) {
        free(trace.base[i].bytes);
        free(images[i].bytes);
    }
}

static void test_cuts(struct world *w, bool relaxed)
{
    struct image images[TRACED_COUNT];
    unsigned seed = 7;
    const char *more = getenv("POWER_CUTS");
    long cuts = more ? strtol(more, NULL, 10) : CUTS;
    size_t written_back = 0;
    make_room(images);
    record(w, relaxed);
    world_remove_files(w);
    for (size_t i = 0; i < trace.count; i++)
        written_back += trace.ops[i].file == TRACED_MAIN && trace.ops[i].kind == OP_WRITE;
    assert_true(written_back > 1000);
    for (long n = 0; n < cuts; n++) {
        size_t cut = pick(&seed);
        /* every other one while the -wal is written back */
        while (n % 2 && trace.ops[cut].file != TRACED_MAIN)
            cut = pick(&seed);
        cut_power(w, cut, images, &seed);
        check_disk(w, &trace.ops[cut], relaxed);
    }
    print_message("%ld cuts in %zu operations, %zu of them on the database itself\n", cuts,
                  trace.count, written_back);
    free_room(images);
}

static void test_commit(void **state)
{
    test_cuts(*state, false);
}

static void test_relaxed(void **state)
{
    test_cuts(*state, true);
}

/* What was refused alone, because of damage, was given: also after a cut that takes all that was
 * not synced. The trigger is the damage. */
static void test_refused(void **state)
{
    enum { SEEDS = 30 };
    struct world *w = *state;
    struct image images[TRACED_COUNT];
    struct answer a;
    w->sound = false;
    make_room(images);
    open_store(w, true);
    put(w, 0, 1);
    world_wait_done(&w->seen, 1);
    store_close(w->store);
    world_sql(w->path, "CREATE TRIGGER t BEFORE INSERT ON events WHEN new.seq > 1 BEGIN"
                       " SELECT RAISE(ABORT, 'damage'); END");
    open_store(w, true);
    damaged = true;
    trace_begin(w);
    for (unsigned n = 2; n <= 3; n++) { /* the second would be the next after the cut */
        assert_int_equal(world_load(w, "c0", &a), 0);
        put(w, 0, journal_local_next_seq(&a.room, 1));
        world_wait_done(&w->seen, n);
    }
    note((struct op){.kind = OP_SYNC, .file = TRACED_MAIN}, NULL); /* the moment of the cut */
    trace_end();
    uint64_t handed = trace.handed[0];
    store_close(w->store);
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        unsigned state_of_seed = seed;
        world_remove_files(w);
        cut_power(w, trace.count - 1, images, &state_of_seed);
        open_store(w, true);
        assert_int_equal(world_load(w, "c0", &a), 0);
        assert_int_equal(a.room.last_seq, 1);
        assert_true(journal_local_next_seq(&a.room, 1) > handed);
        store_close(w->store);
    }
    w->store = NULL;
    damaged = false;
    free_room(images);
}

/* The exit status of a process that starts. */
static int start_and_end(struct world *w, void (*start)(struct world *w, int n), int n)
{
    pid_t child = fork();
    if (child == 0) {
        start(w, n);
        _exit(0);
    }
    return world_exit_status(child);
}

/* It ends before its n-th operation, if it has as many. */
static void die(struct world *w, int n)
{
    die_in = n;
    open_store(w, false);
}

/* On a full disk; it tries for a while, and may write back what a start before it has left. */
static void start_full(struct world *w, int n)
{
    (void)n;
    wal_full = true;
    atomic_store(&main_written, false);
    open_store(w, false);
    for (int i = 0; i < 40 && !atomic_load(&main_written); i++)
        world_nap();
    world_nap();
    NEED(!store_healthy(w->store));
    if (atomic_load(&main_written)) _exit(WRITTEN);
}

static void live(struct world *w, int orderly)
{
    open_store(w, false);
    put(w, 0, 1);
    world_wait_done(&w->seen, 1);
    if (orderly) store_close(w->store);
}

/* What was there before a start that gives new epochs. */
static void leave_behind(struct world *w, bool orderly, struct image images[TRACED_COUNT])
{
    char path[128];
    assert_int_equal(start_and_end(w, live, orderly), 0);
    for (int i = 0; i < TRACED_COUNT; i++) {
        file_name(w, (enum traced)i, path);
        images[i].size = 0;
        if (access(path, F_OK) == 0) load(path, &images[i]);
    }
    assert_true((images[TRACED_WAL].size == 0) == orderly);
}

/* The database alone, without its witness: it is taken for a copy. */
static void put_back(struct world *w, const struct image images[TRACED_COUNT])
{
    char path[128];
    world_remove_files(w);
    for (int i = 0; i < TRACED_COUNT; i++) {
        file_name(w, (enum traced)i, path);
        if (images[i].size) save(path, &images[i]);
    }
}

static void expect_renewed(struct world *w)
{
    struct answer a;
    char path[128];
    open_store(w, false);
    assert_int_equal(world_load(w, "c0", &a), 0);
    assert_int_equal(a.room.last_seq, 1);
    assert_memory_not_equal(a.room.epoch, world_epoch, EVENT_EPOCH_LEN);
    store_close(w->store);
    w->store = NULL;
    snprintf(path, sizeof path, "%s-wal-stale", w->path);
    assert_int_not_equal(access(path, F_OK), 0);
    world_check_file(w->path);
}

/* Starts that end anywhere before the new epochs that are due are settled, then perhaps another
 * that does so, or one on a full disk: the next gives new epochs, and everything is there. */
static void test_renewal(struct world *w, bool orderly)
{
    struct image images[TRACED_COUNT];
    int written = 0;
    int n = 0;
    make_room(images);
    leave_behind(w, orderly, images);
    for (bool killed = true; killed;) {
        put_back(w, images);
        killed = start_and_end(w, die, ++n) == KILLED;
        if (!killed) break;
        expect_renewed(w);

        put_back(w, images);
        start_and_end(w, die, n);
        start_and_end(w, die, 1);
        start_and_end(w, die, n);
        expect_renewed(w);

        put_back(w, images);
        start_and_end(w, die, n);
        written += start_and_end(w, start_full, 0) == WRITTEN;
        expect_renewed(w);
    }
    print_message("%d operations, %d times written back on a full disk\n", n - 1, written);
    assert_true(n > 5 && written > 0);
    free_room(images);
}

static void test_renewal_after_kill(void **state)
{
    test_renewal(*state, false);
}

static void test_renewal_after_end(void **state)
{
    test_renewal(*state, true);
}

/* A start that ends anywhere has written to the file itself: no other program has. */
static void test_start_ends(void **state)
{
    struct world *w = *state;
    bool killed = true;
    int n = 0;
    assert_int_equal(start_and_end(w, live, true), 0);
    while (killed) {
        killed = start_and_end(w, die, ++n) == KILLED;
        touched = false;
        open_store(w, false);
        store_close(w->store);
        w->store = NULL;
        if (touched) fail_msg("after a start that ended before its operation %d", n);
    }
    assert_true(n > 5);
    world_check_file(w->path);
}

/* In memory where that can be: syncs are none of the disk's business here. */
static int setup(void **state)
{
    int rc = world_setup(state);
    struct world *w = *state;
    char dir[] = "/dev/shm/parlor-store-XXXXXX";
    if (rc || !mkdtemp(dir)) return rc;
    rmdir(w->dir);
    snprintf(w->dir, sizeof w->dir, "%s", dir);
    snprintf(w->path, sizeof w->path, "%s/p.db", dir);
    return 0;
}

int main(void)
{
    sqlite3_vfs vfs;
    install(&vfs);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_commit, setup),
        cmocka_unit_test_setup(test_relaxed, setup),
        cmocka_unit_test_setup(test_refused, setup),
        cmocka_unit_test_setup(test_renewal_after_kill, setup),
        cmocka_unit_test_setup(test_renewal_after_end, setup),
        cmocka_unit_test_setup(test_start_ends, setup),
    };
    return WORLD_RUN_SQLITE(tests);
}
