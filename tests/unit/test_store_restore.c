/* Putting a backup in the place of a database: the new name is on the disk before anybody is told,
 * and whoever takes the lock of a file meanwhile has the one that is there, not the one that was.
 * The system's calls that this is about are watched, and done, here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "store/sqlite_witness.h"
#include "store/store_sqlite.h"
#include "store_world.h"

static const char *replace_with; /* takes the place of... */
static const char *replaced;     /* ...this, right before the next flock */
static bool directory_synced;    /* since the last rename */
static bool directory_fails;

int flock(int fd, int operation)
{
    const char *from = replace_with;
    replace_with = NULL;
    if (from) assert_int_equal(rename(from, replaced), 0);
    return (int)syscall(SYS_flock, fd, operation);
}

/* The n-th change of a name ends the process; or the n-th new name fails. */
static int die_at; /* counted down */
static int fail_at;

static void change_name(void)
{
    if (die_at > 0 && --die_at == 0) _exit(9);
}

static bool new_name(void)
{
    change_name();
    errno = EPERM;
    return fail_at == 0 || --fail_at != 0;
}

int link(const char *from, const char *to)
{
    return new_name() ? (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0) : -1;
}

/* As a server does it that starts right after a file got this name. */
static const char *started_at;
static bool start_had_lock;

static void start_server(void)
{
    int fd = open(started_at, O_RDWR | O_CLOEXEC);
    start_had_lock = syscall(SYS_flock, fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
}

int unlink(const char *path)
{
    change_name();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rename(const char *from, const char *to)
{
    directory_synced = false;
    if (!new_name()) return -1;
    int rc = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (started_at) start_server();
    return rc;
}

int fsync(int fd)
{
    struct stat st;
    bool directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    if (directory) directory_synced = true;
    errno = EIO;
    return directory && directory_fails ? -1 : (int)syscall(SYS_fsync, fd);
}

static void close_store(struct world *w)
{
    store_close(w->store);
    w->store = NULL;
}

static uint64_t last_seq(struct world *w)
{
    struct answer a;
    assert_int_equal(world_load(w, "r", &a), 0);
    return a.room.last_seq;
}

/* The file at w->path is copied to "<path>-copy", and then goes on up to seq 5. */
static void make_copy(struct world *w, char copy[static 128])
{
    char text[STORE_SQLITE_TEXT_MAX] = "";
    snprintf(copy, 128, "%s-copy", w->path);
    assert_non_null(world_open(w, (struct store_options){0}));
    world_fill(w, "r", 1, 3);
    close_store(w);
    if (store_sqlite_restore(w->path, copy, text)) fail_msg("%s", text);
    assert_non_null(world_open(w, (struct store_options){0}));
    world_fill(w, "r", 4, 5);
    close_store(w);
}

static void remove_named(const struct world *w, const char *suffix)
{
    char path[128];
    snprintf(path, sizeof path, "%s%s", w->path, suffix);
    unlink(path);
}

static void remove_kept(const struct world *w)
{
    remove_named(w, "-replaced");
    remove_named(w, "-replaced-wal");
}

/* The copy has taken the place of the database, and is not needed any more. */
static void expect_restored(struct world *w, const char *copy)
{
    assert_non_null(world_open(w, (struct store_options){0}));
    assert_int_equal(last_seq(w), 3);
    close_store(w);
    unlink(copy);
}

static void test_on_the_disk(void **state)
{
    struct world *w = *state;
    char text[STORE_SQLITE_TEXT_MAX] = "";
    char copy[128];
    make_copy(w, copy);
    directory_synced = false;
    if (store_sqlite_restore(copy, w->path, text)) fail_msg("%s", text);
    assert_true(directory_synced);
    expect_restored(w, copy);
    remove_kept(w);
}

/* A start that has opened the old file, and locks it when a restore has ended. */
static void test_start(void **state)
{
    struct world *w = *state;
    char copy[128];
    struct stat st;
    make_copy(w, copy);
    assert_int_equal(stat(copy, &st), 0);
    ino_t ino = st.st_ino;
    replace_with = copy;
    replaced = w->path;
    assert_non_null(world_open(w, (struct store_options){0}));
    assert_int_equal(stat(w->path, &st), 0);
    assert_int_equal(st.st_ino, ino);
    assert_int_equal(last_seq(w), 3);
    w->quiet = true;
    struct store *first = w->store;
    assert_null(world_open(w, (struct store_options){0})); /* that file has its lock */
    w->store = first;
    close_store(w);
}

/* The same for a second restore. */
static void test_restore(void **state)
{
    struct world *w = *state;
    char text[STORE_SQLITE_TEXT_MAX] = "";
    char copy[128];
    char other[136];
    struct stat st;
    make_copy(w, copy);
    snprintf(other, sizeof other, "%s-2", copy);
    if (store_sqlite_restore(copy, other, text)) fail_msg("%s", text);
    assert_int_equal(stat(other, &st), 0);
    int fd = open(other, O_RDWR);
    assert_int_equal(syscall(SYS_flock, fd, LOCK_EX | LOCK_NB), 0); /* a server has started on it */
    replace_with = other;
    replaced = w->path;
    assert_int_equal(store_sqlite_restore(copy, w->path, text), ERR_STORE);
    assert_non_null(strstr(text, "in use by a running Parlor"));
    assert_int_equal(stat(w->path, &st), 0);
    struct stat mine;
    assert_int_equal(fstat(fd, &mine), 0);
    assert_int_equal(st.st_ino, mine.st_ino);
    close(fd);
    unlink(copy);
}

static int restore_in_child(const char *copy, const char *path)
{
    pid_t child = fork();
    if (child == 0) {
        char text[STORE_SQLITE_TEXT_MAX];
        _exit(store_sqlite_restore(copy, path, text) ? 1 : 0);
    }
    return world_exit_status(child);
}

static bool has_name(const struct world *w, const char *suffix)
{
    char path[128];
    snprintf(path, sizeof path, "%s%s", w->path, suffix);
    return access(path, F_OK) == 0;
}

/* Killed before any of its changes of a name: the database is the old one, whole, or the new one.
 */
static void test_killed(void **state)
{
    struct world *w = *state;
    char copy[128];
    uint64_t last = 5;
    int ended = 9;
    make_copy(w, copy);
    int at = 0;
    while (ended == 9) {
        world_fill_and_die(w, last + 1, last + 3);
        die_at = ++at;
        ended = restore_in_child(copy, w->path);
        die_at = 0;
        assert_true(ended == 9 || ended == 0);
        assert_non_null(world_open(w, (struct store_options){0}));
        uint64_t now = last_seq(w);
        if (now != last + 3 && now != 3) fail_msg("killed at %d: last seq %d", at, (int)now);
        if (ended == 0) assert_int_equal(now, 3);
        last = now;
        close_store(w);
        remove_kept(w);
        if (now != 3) continue;
        world_remove_files(w); /* the new one has epochs that the world does not know */
        unlink(copy);
        make_copy(w, copy);
        last = 5;
    }
    assert_true(at > 6);
    unlink(copy);
}

/* What fails half way has changed nothing, and can be done again. */
static void test_failed(void **state)
{
    struct world *w = *state;
    char copy[128];
    int ended = 1;
    make_copy(w, copy);
    world_fill_and_die(w, 6, 8);
    int at = 0;
    while (ended == 1) {
        fail_at = ++at;
        ended = restore_in_child(copy, w->path);
        fail_at = 0;
        assert_true(ended == 0 || has_name(w, "-wal"));
        assert_true(ended == 0 || has_name(w, WITNESS_SUFFIX));
        assert_int_equal(has_name(w, "-replaced-wal"), ended == 0);
        assert_int_equal(has_name(w, "-replaced"), ended == 0);
        assert_false(has_name(w, "-restoring"));
    }
    assert_true(at > 3);
    unlink(copy);
    remove_kept(w);
}

/* A server that starts in the middle of it waits for its end, or the files that it makes beside the
 * database would go with those of the old one. */
static void test_server_meanwhile(void **state)
{
    struct world *w = *state;
    char text[STORE_SQLITE_TEXT_MAX] = "";
    char copy[128];
    make_copy(w, copy);
    started_at = w->path;
    start_had_lock = true;
    if (store_sqlite_restore(copy, w->path, text)) fail_msg("%s", text);
    started_at = NULL;
    assert_false(start_had_lock);
    expect_restored(w, copy);
    remove_kept(w);
}

/* What another restore has under way is left alone. */
static void test_restore_meanwhile(void **state)
{
    struct world *w = *state;
    char text[STORE_SQLITE_TEXT_MAX] = "";
    char copy[128];
    char fresh[136];
    make_copy(w, copy);
    snprintf(fresh, sizeof fresh, "%s-restoring", w->path);
    int other = open(fresh, O_RDWR | O_CREAT, 0600);
    int lock = open(w->path, O_RDWR);
    assert_true(other >= 0 && lock >= 0);
    assert_int_equal(syscall(SYS_flock, lock, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(store_sqlite_restore(copy, w->path, text), ERR_STORE);
    assert_non_null(strstr(text, "in use"));
    assert_true(has_name(w, "-restoring"));
    close(lock);
    close(other);
    unlink(fresh);
    unlink(copy);
}

/* The new file is there, but its name may not stay: the old one's -wal does, and it is said. */
static void test_directory_fails(void **state)
{
    struct world *w = *state;
    char text[STORE_SQLITE_TEXT_MAX] = "";
    char copy[128];
    make_copy(w, copy);
    world_fill_and_die(w, 6, 8);
    directory_fails = true;
    assert_int_equal(store_sqlite_restore(copy, w->path, text), ERR_STORE);
    directory_fails = false;
    assert_non_null(strstr(text, "restored, but a power cut may undo it"));
    assert_true(has_name(w, "-wal"));
    assert_true(has_name(w, "-replaced"));
    expect_restored(w, copy);
    remove_kept(w);
    remove_named(w, "-wal-stale");
}

/* Where there was nothing, nothing is kept. */
static void test_new_name(void **state)
{
    struct world *w = *state;
    char text[STORE_SQLITE_TEXT_MAX] = "";
    char copy[128];
    make_copy(w, copy);
    world_remove_files(w);
    if (store_sqlite_restore(copy, w->path, text)) fail_msg("%s", text);
    assert_false(has_name(w, "-replaced"));
    expect_restored(w, copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_the_disk),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_server_meanwhile),
        cmocka_unit_test(test_restore_meanwhile),
        cmocka_unit_test(test_directory_fails),
        cmocka_unit_test(test_new_name),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_failed),
    };
    return WORLD_RUN_SQLITE(tests);
}
