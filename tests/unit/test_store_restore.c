/* Putting a backup in the place of a database: the new name is on the disk before anybody is told,
 * and whoever takes the lock of a file meanwhile has the one that is there, not the one that was.
 * The system's calls that this is about are watched, and done, here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "store/store_sqlite.h"
#include "store_world.h"

static const char *replace_with; /* takes the place of... */
static const char *replaced;     /* ...this, right before the next flock */
static bool directory_synced;    /* since the last rename */

int flock(int fd, int operation)
{
    const char *from = replace_with;
    replace_with = NULL;
    if (from) assert_int_equal(rename(from, replaced), 0);
    return (int)syscall(SYS_flock, fd, operation);
}

int rename(const char *from, const char *to)
{
    directory_synced = false;
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int fsync(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) directory_synced = true;
    return (int)syscall(SYS_fsync, fd);
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

static void test_on_the_disk(void **state)
{
    struct world *w = *state;
    char text[STORE_SQLITE_TEXT_MAX] = "";
    char copy[128];
    make_copy(w, copy);
    directory_synced = false;
    if (store_sqlite_restore(copy, w->path, text)) fail_msg("%s", text);
    assert_true(directory_synced);
    assert_non_null(world_open(w, (struct store_options){0}));
    assert_int_equal(last_seq(w), 3);
    close_store(w);
    unlink(copy);
    remove_named(w, "-replaced");
    remove_named(w, "-replaced-witness");
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

/* Where there was nothing, nothing is kept. */
static void test_new_name(void **state)
{
    struct world *w = *state;
    char text[STORE_SQLITE_TEXT_MAX] = "";
    char copy[128];
    char old[128];
    make_copy(w, copy);
    world_remove_files(w);
    snprintf(old, sizeof old, "%s-replaced", w->path);
    if (store_sqlite_restore(copy, w->path, text)) fail_msg("%s", text);
    assert_int_not_equal(access(old, F_OK), 0);
    assert_non_null(world_open(w, (struct store_options){0}));
    assert_int_equal(last_seq(w), 3);
    close_store(w);
    unlink(copy);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, world_setup_sqlite, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_on_the_disk),
        TEST(test_start),
        TEST(test_restore),
        TEST(test_new_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
