/* The SQLite store when the n-th allocation of SQLite, or the n-th call of the system by it, fails,
 * and with it all that follow or that one alone; for one n after the other, over a whole life:
 * open, append, change, read, search, close. It may refuse; what it has acknowledged is there in
 * the next life, what it has refused is not, and the file is sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/err.h"
#include "journal/local.h"
#include "store/store_sqlite.h"
#include "store_world.h"

enum { EVENTS = 12, UNUSED_MAX = 3 };

/* ---- what fails ---- */

struct fault {
    atomic_long left; /* below 0: off */
    atomic_bool sticky;
    atomic_long hits;
};

static struct fault memory = {.left = -1};
static struct fault disk = {.left = -1};
static int disk_error;

static bool hits(struct fault *f)
{
    long n = atomic_load(&f->left);
    while (n >= 0) {
        bool stays = n == 0 && atomic_load(&f->sticky);
        if (!atomic_compare_exchange_weak(&f->left, &n, stays ? 0 : n - 1)) continue;
        if (n > 0) return false;
        atomic_fetch_add(&f->hits, 1);
        return true;
    }
    return false;
}

static void arm(struct fault *f, long n, bool sticky)
{
    atomic_store(&f->hits, 0);
    atomic_store(&f->sticky, sticky);
    atomic_store(&f->left, n);
}

static sqlite3_mem_methods real_memory;

static void *memory_malloc(int n)
{
    return hits(&memory) ? NULL : real_memory.xMalloc(n);
}

static void *memory_realloc(void *p, int n)
{
    return hits(&memory) ? NULL : real_memory.xRealloc(p, n);
}

static bool disk_fails(void)
{
    if (!hits(&disk)) return false;
    errno = disk_error;
    return true;
}

static ssize_t disk_pread(int fd, void *to, size_t n, off_t at)
{
    return disk_fails() ? -1 : pread(fd, to, n, at);
}

static ssize_t disk_pwrite(int fd, const void *from, size_t n, off_t at)
{
    return disk_fails() ? -1 : pwrite(fd, from, n, at);
}

static int disk_ftruncate(int fd, off_t size)
{
    return disk_fails() ? -1 : ftruncate(fd, size);
}

static int disk_open(const char *path, int flags, int mode)
{
    return disk_fails() ? -1 : open(path, flags, mode);
}

static int install(void)
{
    static const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = {
        {"pread", (sqlite3_syscall_ptr)disk_pread},
        {"pread64", (sqlite3_syscall_ptr)disk_pread},
        {"pwrite", (sqlite3_syscall_ptr)disk_pwrite},
        {"pwrite64", (sqlite3_syscall_ptr)disk_pwrite},
        {"ftruncate", (sqlite3_syscall_ptr)disk_ftruncate},
        {"open", (sqlite3_syscall_ptr)disk_open},
    };
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory)) return -1;
    sqlite3_mem_methods mine = real_memory;
    mine.xMalloc = memory_malloc;
    mine.xRealloc = memory_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &mine)) return -1;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (size_t i = 0; vfs && i < sizeof calls / sizeof *calls; i++)
        vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call); /* one of each pair is unknown */
    return vfs ? 0 : -1;
}

/* ---- a life ---- */

static struct store_event event_of(uint64_t i, uint64_t seq)
{
    static const enum store_kind kinds[] = {STORE_MESSAGE, STORE_MESSAGE, STORE_REACT, STORE_EDIT};
    return (struct store_event){.seq = seq,
                                .ts_ms = (int64_t)seq,
                                .kind = kinds[i % 4],
                                .target = i % 4 < 2 ? 0 : seq - i % 4,
                                .username = SLICE_LIT("ann"),
                                .message = SLICE_LIT("words to find"),
                                .nonce = SLICE_LIT("n")};
}

/* Appends one after the other, and asks for everything. */
static void live(struct world *w, uint64_t from_seq)
{
    struct answer a;
    struct store_search q = {SLICE_LIT("r"), SLICE_LIT("words"), STORE_SEQ_MAX + 1, 10};
    if (!world_open(w, (struct store_options){0})) return;
    for (uint64_t i = 0; i < EVENTS; i++) {
        struct store_event e = event_of(i, from_seq + i);
        const struct store_append append = {SLICE_LIT("r"), world_epoch, &e,
                                            NULL,           false,       e.seq - 1};
        if (store_append(w->store, &append) == 0) w->put++;
        const struct store_move move = {
            SLICE_LIT("r"), world_epoch, {from_seq, SLICE_LIT("ann")}, NULL, false};
        if (store_move_mark(w->store, &move) == 0) w->put++;
        world_wait_done(&w->seen, w->put);
    }
    world_load(w, "r", &a);
    world_page(w, "r", STORE_AFTER, 0, 100, &a);
    world_search(w, &q, &a);
    world_list(w, "", 10, &a);
    store_close(w->store);
    w->store = NULL;
}

static bool is_there(const struct answer *a, uint64_t seq)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->seqs[i] == seq) return true;
    return false;
}

/* Returns next_seq. */
static uint64_t check(struct world *w, uint64_t from_seq)
{
    struct answer a;
    uint64_t last_seq = 0;
    assert_non_null(world_open(w, (struct store_options){0}));
    int err = world_page(w, "r", STORE_AFTER, from_seq ? from_seq - 1 : 0, 100, &a);
    assert_true(err == 0 || err == ERR_NOT_FOUND);
    for (size_t i = 0; i < w->seen.count; i++) {
        const struct completion *d = &w->seen.done[i];
        if (d->mark) continue;
        assert_true(d->err == 0 || d->err == ERR_STORE || d->err == ERR_STORE_DAMAGED);
        assert_int_equal(is_there(&a, d->seq), d->err == 0);
        if (d->seq > last_seq) last_seq = d->seq;
    }
    err = world_load(w, "r", &a);
    assert_true(err == 0 || err == ERR_NOT_FOUND);
    uint64_t next_seq = err ? 1 : journal_local_next_seq(&a.room, 1);
    assert_true(err || next_seq > last_seq);
    store_close(w->store);
    w->store = NULL;
    return next_seq;
}

static void try_all(struct world *w, struct fault *f, bool sticky)
{
    uint64_t seq = 1;
    unsigned unused = 0;
    unsigned tried = 0;
    long hit = 0;
    store_close(w->store);
    w->store = NULL;
    w->quiet = true;
    long step = getenv("FAULTS_ALL") ? 0 : 1;
    for (long n = 0; unused < UNUSED_MAX; n += 1 + step * n / 8) {
        w->seen.count = w->seen.failed = w->put = 0;
        arm(f, n, sticky);
        live(w, seq);
        atomic_store(&f->left, -1);
        long hits_now = atomic_load(&f->hits);
        unused = hits_now ? 0 : unused + 1;
        hit += hits_now;
        if (w->store) store_close(w->store);
        w->store = NULL;
        seq = check(w, seq);
        tried++;
    }
    print_message("%u places, %ld failures\n", tried, hit);
    assert_true(tried > 10);
}

static void test_memory(void **state)
{
    try_all(*state, &memory, false);
}

static void test_no_more_memory(void **state)
{
    try_all(*state, &memory, true);
}

static void test_disk(void **state)
{
    disk_error = EIO;
    try_all(*state, &disk, false);
}

static void test_no_more_disk(void **state)
{
    disk_error = ENOSPC;
    try_all(*state, &disk, true);
}

int main(void)
{
    if (install()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_no_more_memory),
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_no_more_disk),
    };
    return WORLD_RUN_SQLITE(tests);
}
