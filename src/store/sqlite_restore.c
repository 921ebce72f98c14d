/* Putting a backup in the place of a database that no server has open. What copying by hand gets
 * wrong is done here: the backup is checked, copied by SQLite (with its own -wal, if there is one),
 * gets new epochs, and takes the place of the old file at once; the old one is kept, together with
 * the -wal that belongs to it and to nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "store/sqlite_db.h"
#include "store/store_sqlite.h"

#define FRESH "-restoring"
#define OLD "-replaced"

enum { NAME_BYTES = PATH_MAX + 32 }; /* of a path that fits, with what is put behind it */

static int fail(char *text, const char *path, const char *why)
{
    snprintf(text, STORE_SQLITE_TEXT_MAX, "%.120s: %.120s", path, why);
    return ERR_STORE;
}

static int fail_sqlite(char *text, const char *path, sqlite3 *db, int rc)
{
    char why[STORE_SQLITE_TEXT_MAX / 2];
    sqlite_schema_explain(db, rc, why, sizeof why);
    return fail(text, path, why);
}

/* Copies from into a new file; all of it, as of one moment. */
static int copy(const char *from, const char *to, char *text)
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

/* New epochs, and no life before: to the next start it is a file that it has never seen. */
static int renew(const char *path, char *text)
{
    sqlite3 *db = NULL;
    char why[STORE_SQLITE_TEXT_MAX / 2];
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    int err = rc ? fail_sqlite(text, path, db, rc) : 0;
    if (!err && sqlite_schema_prepare(db, why, sizeof why)) err = fail(text, path, why);
    if (!err) {
        rc = sqlite_file_quick_check(db);
        if (!rc) rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (!rc) rc = sqlite_file_renew(db);
        if (!rc)
            rc = sqlite3_exec(
                db, "UPDATE meta SET clean = 1, life = 0, checkpoints = 0, seal = 0; COMMIT", NULL,
                NULL, NULL);
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

static bool was_kept(const char *old, char *text)
{
    struct stat st;
    char name[NAME_BYTES];
    for (int i = 0; i < KEPT_COUNT; i++) {
        snprintf(name, sizeof name, "%s%s", old, kept[i]);
        if (lstat(name, &st) != 0) continue;
        fail(text, name, "move it away first; it was kept by an earlier restore");
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
static int keep(const char *path, const char *old, char *text)
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
        return fail(text, from,
                    no_links ? "it cannot be kept on this disk, which has no hard links: move it "
                               "and its -wal away"
                             : strerror(error));
    }
    return 0;
}

/* The new name is on the disk. */
static int sync_directory(const char *path, char *text)
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s", path);
    int fd = open(dirname(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd >= 0 && fsync(fd) == 0 ? 0 : fail(text, path, strerror(errno));
    if (fd >= 0) close(fd);
    return err;
}

static int replace(const char *fresh, const char *path, char *text)
{
    char old[PATH_MAX];
    snprintf(old, sizeof old, "%s" OLD, path);
    if (was_kept(old, text)) return ERR_STORE;
    int fd = sqlite_file_lock(path);
    if (fd < 0 && errno == EWOULDBLOCK)
        return fail(text, path, "it is in use by a running Parlor; stop that first");
    if (fd < 0) return fail(text, path, strerror(errno));
    int err = keep(path, old, text);
    if (!err && rename(fresh, path) != 0) {
        err = fail(text, path, strerror(errno));
        forget_kept(old, KEPT_COUNT);
    }
    if (!err) err = sync_directory(path, text);
    if (!err) { /* if they stay, the next start sees that they are not of the new file */
        unlink_named(path, "-wal");
        unlink_named(path, "-shm");
        unlink_named(path, WITNESS_SUFFIX);
    }
    close(fd);
    return err;
}

/* Its owner alone may read it, who is the owner of the old one; and it is on the disk. */
static int settle(const char *fresh, const char *path, char *text)
{
    struct stat old;
    int fd = open(fresh, O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && fchmod(fd, 0600) == 0;
    if (ok && stat(path, &old) == 0) ok = fchown(fd, old.st_uid, old.st_gid) == 0;
    if (ok) ok = fsync(fd) == 0;
    int err = ok ? 0 : fail(text, fresh, strerror(errno));
    if (fd >= 0) close(fd);
    return err;
}

int store_sqlite_restore(const char *from, const char *path, char *text)
{
    char fresh[PATH_MAX];
    int n = snprintf(fresh, sizeof fresh, "%s" FRESH, path);
    if (n < 0 || (size_t)n + 32 >= sizeof fresh) return fail(text, path, "the name is too long");
    if (access(from, R_OK) != 0) return fail(text, from, strerror(errno));
    unlink(fresh);
    int err = copy(from, fresh, text);
    if (!err) err = renew(fresh, text);
    if (!err) err = settle(fresh, path, text);
    if (!err) err = replace(fresh, path, text);
    if (err) unlink(fresh);
    return err;
}
