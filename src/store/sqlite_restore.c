/* Putting a backup in the place of a database that no server has open. What copying by hand gets
 * wrong is done here: the backup is checked, copied by SQLite (with its own -wal, if there is one),
 * gets new epochs, and takes the place of the old file at once; the old one is kept, together with
 * the -wal that belongs to it and to nothing else. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "store/sqlite_db.h"
#include "store/store_sqlite.h"

#define FRESH "-restoring"
#define OLD "-replaced"

static const char too_long[] = "the name is too long";

enum { NAME_BYTES = PATH_MAX + 32 }; /* of a path that fits, with what is put behind it */

static int fail_path(char *text, const char *path, const char *why)
{
    snprintf(text, STORE_SQLITE_TEXT_MAX, "%.120s: %.120s", path, why);
    return ERR_STORE;
}

static int fail_sqlite(char *text, const char *path, sqlite3 *db, int rc)
{
    char why[STORE_SQLITE_TEXT_MAX / 2];
    sqlite_schema_explain(db, rc, why, sizeof why);
    return fail_path(text, path, why);
}

/* Copies from into a new file; all of it, as of one moment. */
static int copy_database(const char *from, const char *to, char *text)
{
    sqlite3 *source = NULL;
    sqlite3 *target = NULL;
    int err = 0;
    int rc = sqlite_file_open_read(from, &source);
    if (rc) err = fail_sqlite(text, from, source, rc);
    if (!rc) {
        rc = sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
        sqlite3_backup *backup = rc ? NULL : sqlite3_backup_init(target, "main", source, "main");
        if (backup) sqlite3_backup_step(backup, -1);
        if (!rc) rc = backup ? sqlite3_backup_finish(backup) : sqlite3_errcode(target);
        if (rc) err = fail_sqlite(text, to, target, rc);
    }
    sqlite3_close(target);
    sqlite3_close(source);
    return err;
}

/* No life before: to the next start it is a file that it has never seen, and if it finds the -wal
 * or the witness of the old one beside it, they are not of this. Ends the transaction. */
static int begin_unknown(sqlite3 *db)
{
    char sql[160];
    snprintf(sql, sizeof sql,
             "UPDATE meta SET clean = 1, life = 0, checkpoints = 0, seal = %lld; COMMIT",
             (long long)sqlite_file_seal(0, 0, true));
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* What is still in the -wal would be lost with it, and closing does not say whether it could be
 * written back. */
static int write_back(sqlite3 *db)
{
    int left = 0;
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &left, NULL);
    return rc || left <= 0 ? rc : SQLITE_BUSY;
}

/* New epochs, checked, and of the newest schema. */
static int renew(const char *path, char *text)
{
    sqlite3 *db = NULL;
    char why[STORE_SQLITE_TEXT_MAX / 2];
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    int err = rc ? fail_sqlite(text, path, db, rc) : 0;
    if (!err && sqlite_schema_prepare(db, why, sizeof why)) err = fail_path(text, path, why);
    if (!err) {
        rc = sqlite_db_quick_check(db);
        if (!rc) rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (!rc) rc = sqlite_file_renew(db);
        if (!rc) rc = begin_unknown(db);
        if (!rc) rc = write_back(db);
        if (rc) err = fail_sqlite(text, path, db, rc);
    }
    sqlite3_close(db);
    return err;
}

/* The files of a database that are worth keeping; the database itself last. Not the witness: a
 * second name changes its times, and if the restore came to nothing the next start would take the
 * old database for a copy. */
static const char *const kept[] = {"-wal", ""};
enum { KEPT_COUNT = sizeof kept / sizeof kept[0] };

static void unlink_named(const char *path, const char *suffix)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    unlink(name);
}

/* Nothing is lost with a file that never had anything in it. */
static void unlink_empty(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && st.st_size == 0) unlink(path);
}

/* The file that is not yet the database, whatever is left of it. */
static void forget_fresh(const char *fresh)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        unlink_named(fresh, ends[i]);
}

static bool was_kept(const char *old, char *text)
{
    struct stat st;
    char name[NAME_BYTES];
    for (int i = 0; i < KEPT_COUNT; i++) {
        snprintf(name, sizeof name, "%s%s", old, kept[i]);
        if (lstat(name, &st) != 0) continue;
        fail_path(text, name, "move it away first; it was kept by an earlier restore");
        return true;
    }
    return false;
}

static void forget_kept(const char *old, int count)
{
    for (int i = 0; i < count; i++)
        unlink_named(old, kept[i]);
}

/* The old files get second names, under which they still belong together; under the first ones they
 * are found until the new file is there, whatever happens in between. */
static int keep_old(const char *path, const char *old, char *text)
{
    struct stat st;
    bool empty = stat(path, &st) == 0 && st.st_size == 0; /* there was none */
    for (int i = 0; i < KEPT_COUNT; i++) {
        char from[NAME_BYTES];
        char to[NAME_BYTES];
        snprintf(from, sizeof from, "%s%s", path, kept[i]);
        snprintf(to, sizeof to, "%s%s", old, kept[i]);
        if ((empty && !*kept[i]) || link(from, to) == 0 || errno == ENOENT) continue;
        int error = errno;
        forget_kept(old, i);
        bool no_links = error == EPERM || error == EOPNOTSUPP;
        return fail_path(text, from,
                         no_links
                             ? "it cannot be kept on this disk, which has no hard links: move it "
                               "and its -wal away"
                             : strerror(error));
    }
    return 0;
}

static int replace(const char *fresh, const char *path, char *text)
{
    char old[PATH_MAX];
    int n = snprintf(old, sizeof old, "%s" OLD, path);
    if (n < 0 || (size_t)n >= sizeof old) return fail_path(text, path, too_long);
    if (was_kept(old, text) || keep_old(path, old, text)) return ERR_STORE;
    if (rename(fresh, path) != 0) {
        int err = fail_path(text, path, strerror(errno));
        forget_kept(old, KEPT_COUNT);
        return err;
    }
    /* If they stay, the next start sees that they are not of the new file. If the new name is not
     * kept, the old file needs its own. */
    if (witness_sync_directory(path) != 0) {
        char why[STORE_SQLITE_TEXT_MAX / 2];
        snprintf(why, sizeof why, "restored, but a power cut may undo it: %s", strerror(errno));
        return fail_path(text, path, why);
    }
    unlink_named(path, "-wal");
    unlink_named(path, "-shm");
    unlink_named(path, WITNESS_SUFFIX);
    return 0;
}

/* Its owner alone may read it, who is the owner of the old one; and it is on the disk. Its lock is
 * taken before it has the name under which a server would find it: a descriptor, or -1. */
static int settle(const char *fresh, const char *path, char *text)
{
    struct stat old;
    int fd = sqlite_file_lock(fresh);
    bool ok = fd >= 0 && fchmod(fd, 0600) == 0;
    if (ok && stat(path, &old) == 0) ok = fchown(fd, old.st_uid, old.st_gid) == 0;
    if (ok) ok = fsync(fd) == 0;
    if (ok) return fd;
    fail_path(text, fresh, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

/* Whether both names lead to one file. */
static bool is_same(const char *one, const char *other)
{
    struct stat a;
    struct stat b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static int restore_locked(const char *from, const char *path, char *text)
{
    char fresh[PATH_MAX];
    int n = snprintf(fresh, sizeof fresh, "%s" FRESH, path);
    if (n < 0 || (size_t)n >= sizeof fresh) return fail_path(text, path, too_long);
    if (is_same(from, fresh))
        return fail_path(text, from,
                         "the copy is made under this name: give the backup another one first");
    forget_fresh(fresh);
    int err = copy_database(from, fresh, text);
    if (!err) err = renew(fresh, text);
    int fd = err ? -1 : settle(fresh, path, text);
    if (!err) err = fd < 0 ? ERR_STORE : replace(fresh, path, text);
    if (err) forget_fresh(fresh);
    if (fd >= 0) close(fd);
    return err;
}

/* Why it can be no backup, or NULL. */
static const char *no_backup(const char *from)
{
    struct stat st;
    if (stat(from, &st) != 0 || access(from, R_OK) != 0) return strerror(errno);
    if (!S_ISREG(st.st_mode)) return "it is not a regular file";
    return st.st_size == 0 ? "it is empty; the backup was not made, perhaps" : NULL;
}

int store_sqlite_restore(const char *from, const char *path, char *text)
{
    char real[PATH_MAX]; /* a link stays one, and leads to the new file */
    struct stat st;
    const char *why = no_backup(from);
    if (why) return fail_path(text, from, why);
    bool is_new = access(path, F_OK) != 0; /* what has its lock has to be there */
    int fd = sqlite_file_lock(path);
    if (fd < 0 && errno == EWOULDBLOCK)
        return fail_path(text, path,
                         "it is in use by a running Parlor, or by another restore; stop it");
    if (fd < 0) return fail_path(text, path, strerror(errno));
    int err = 0;
    if (fstat(fd, &st) != 0 || !realpath(path, real))
        err = fail_path(text, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        err = fail_path(text, path, "it is not a regular file");
    if (!err) {
        err = restore_locked(from, real, text);
        if (err && is_new) unlink_empty(real);
    }
    close(fd);
    return err;
}
