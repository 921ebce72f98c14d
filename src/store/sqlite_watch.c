/* Watching the files of the database while they are in use: what has happened to their names (gone,
 * replaced), and whether anybody else has written to them; SQLite itself would go on in a file that
 * nobody will ever find again. The writer looks before each batch, and every second. Asking for all
 * four files by name costs a fifth of what storing a lone message does; when that was done a moment
 * ago they are asked for by descriptor, which tells all but that one was given another name. A link
 * in the place of a file is another file, wherever it leads: the next start would look for the -wal
 * and the witness beside what it leads to.
 *
 * After what the writer has written it notes the files' times and sizes; so a change that is not
 * noted is another program's. That may be harmless, so the database is checked then; but what was
 * written over within a page of text is not seen by that. Names are another matter: as long as they
 * do not lead to our files nothing is accepted. A -wal that has lost its name is written back at
 * once, so that what was acknowledged is in the database file; as long as somebody's reading keeps
 * that from being done, a copy of it has its name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/sqlite_db.h"

enum {
    NAMES_US = 100 * 1000, /* names are not looked at again before */
    COPY_BYTES = 16 * 1024,
};

static const char *const what[FILE_COUNT] = {
    [FILE_MAIN] = "the database file",
    [FILE_WAL] = "its -wal file",
    [FILE_SHM] = "its -shm file",
    [FILE_WITNESS] = "its " WITNESS_SUFFIX " file",
};

static const char touched_text[] = "was changed by another program";

static bool same_file(const struct file_state *f, const struct stat *st)
{
    return f->dev == st->st_dev && f->ino == st->st_ino;
}

static struct file_state state_of(const struct stat *st)
{
    return (struct file_state){
        .dev = st->st_dev, .ino = st->st_ino, .size = st->st_size, .changed = st->st_mtim};
}

/* Closing any other descriptor of a file would end the locks that SQLite has on it. */
static void hold(struct sqlite_files *f, unsigned file)
{
    if (f->held[file] >= 0) close(f->held[file]);
    f->held[file] = open(f->path[file], O_PATH | O_CLOEXEC | O_NOFOLLOW);
}

void sqlite_watch_begin(struct sqlite_store *s)
{
    struct stat st;
    for (unsigned i = 0; i < FILE_COUNT; i++) {
        if (lstat(s->files.path[i], &st) == 0) s->files.state[i] = state_of(&st);
        hold(&s->files, i);
    }
}

/* Of the file itself, whatever its name; or, if it is not held, of what has its name. */
static bool stat_held(const struct sqlite_files *f, unsigned file, struct stat *st)
{
    int rc = f->held[file] >= 0 ? fstat(f->held[file], st) : lstat(f->path[file], st);
    return rc == 0 && same_file(&f->state[file], st);
}

void sqlite_watch_note(struct sqlite_store *s, enum sqlite_file file)
{
    struct stat st;
    if (stat_held(&s->files, file, &st)) s->files.state[file] = state_of(&st);
}

void sqlite_watch_tell(struct sqlite_store *s)
{
    if (!s->taken) return;
    witness_write(&s->witness, false);
    sqlite_watch_note(s, FILE_WITNESS);
}

int sqlite_watch_write_back(struct sqlite_store *s, bool *whole)
{
    int frames = 0;
    int done = 0;
    witness_note_main(&s->witness, NULL);
    sqlite_watch_tell(s);
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &done);
    *whole = rc == SQLITE_OK && frames == done;
    witness_note_main(&s->witness, s->files.path[FILE_MAIN]);
    sqlite_watch_tell(s);
    sqlite_watch_note(s, FILE_MAIN);
    return rc;
}

static bool touched(const struct file_state *f, const struct stat *st)
{
    return f->size != st->st_size || f->changed.tv_sec != st->st_mtim.tv_sec ||
           f->changed.tv_nsec != st->st_mtim.tv_nsec;
}

/* Says why, and counts it once. */
static int fault(struct sqlite_store *s, int file, const char *why)
{
    snprintf(s->reason, sizeof s->reason, "%s %s: %.180s", what[file], why, s->files.path[file]);
    if (!s->files.fault) atomic_fetch_add(&s->base.faults, 1);
    s->files.fault = true;
    return ERR_STORE;
}

/* The first thing that is wrong with the first `count` files, or NULL. */
static const char *wrong(const struct sqlite_store *s, int count, int *file)
{
    struct stat st[FILE_COUNT];
    for (int i = 0; i < count; i++) {
        *file = i;
        if (lstat(s->files.path[i], &st[i]) != 0)
            return errno == ENOENT || errno == ENOTDIR ? "is gone" : strerror(errno);
        if (!same_file(&s->files.state[i], &st[i])) return "was replaced by another file";
    }
    for (int i = 0; i < count; i++) {
        *file = i;
        if (i == FILE_SHM) continue; /* it is memory, all write to it */
        if (touched(&s->files.state[i], &st[i])) return touched_text;
    }
    return NULL;
}

static bool copy_all(int from, int to)
{
    char bytes[COPY_BYTES];
    ssize_t n;
    while ((n = read(from, bytes, sizeof bytes)) > 0)
        if (write(to, bytes, (size_t)n) != n) return false;
    return n == 0 && fsync(to) == 0;
}

/* The -wal is a file without a name: a new one gets what is in it, for the next start. Not if the
 * database beside it is none of ours, nor in the place of anything. */
static void name_wal_again(const struct sqlite_store *s)
{
    struct stat st;
    char held[64];
    const char *path = s->files.path[FILE_WAL];
    if (lstat(s->files.path[FILE_MAIN], &st) != 0 || !same_file(&s->files.state[FILE_MAIN], &st))
        return;
    snprintf(held, sizeof held, "/proc/self/fd/%d", s->files.held[FILE_WAL]);
    int from = open(held, O_RDONLY | O_CLOEXEC);
    int to = from < 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0777);
    bool whole = to >= 0 && copy_all(from, to);
    if (whole) witness_sync_directory(path);
    if (to >= 0 && !whole) unlink(path);
    if (to >= 0) close(to);
    if (from >= 0) close(from);
}

/* What is only in a -wal without a name would be lost with this process. Who reads keeps a part of
 * it out of the database, so until all of it is there it is tried again. */
static void rescue(struct sqlite_store *s)
{
    if (s->files.rescued) return;
    (void)sqlite_watch_write_back(s, &s->files.rescued);
    if (!s->files.rescued) name_wal_again(s);
}

static int look_by_name(struct sqlite_store *s, int count)
{
    int file = 0;
    s->files.named_us = clock_us(CLOCK_MONOTONIC);
    const char *why = wrong(s, count, &file);
    if (!why) return 0;
    if (why == touched_text)
        s->files.touched = true;
    else if (file == FILE_WAL || file == FILE_SHM)
        rescue(s);
    return fault(s, file, why);
}

/* Whether the files that matter are as the writer left them, and not removed. */
static bool held_are_fine(const struct sqlite_store *s)
{
    struct stat st;
    for (unsigned i = 0; i < FILE_COUNT; i++) {
        if (i == FILE_SHM) continue;
        if (!stat_held(&s->files, i, &st) || st.st_nlink == 0 || touched(&s->files.state[i], &st))
            return false;
    }
    return true;
}

int sqlite_watch_look(struct store_backend *b)
{
    struct sqlite_store *s = (struct sqlite_store *)b;
    bool lately = clock_us(CLOCK_MONOTONIC) < s->files.named_us + NAMES_US;
    if (lately && held_are_fine(s)) return 0;
    int err = look_by_name(s, FILE_COUNT);
    if (err) return err;
    witness_refresh(&s->witness);
    sqlite_watch_note(s, FILE_WITNESS);
    return 0;
}

/* The witness holds nothing that is not known here. */
static void mend_witness(struct sqlite_store *s)
{
    struct stat st;
    const char *path = s->files.path[FILE_WITNESS];
    const struct file_state *f = &s->files.state[FILE_WITNESS];
    if (lstat(path, &st) == 0 && same_file(f, &st) && !touched(f, &st)) return;
    witness_close(&s->witness);
    if (witness_make(&s->witness, path) != 0 || witness_write(&s->witness, true) != 0) return;
    if (lstat(path, &st) == 0) s->files.state[FILE_WITNESS] = state_of(&st);
    hold(&s->files, FILE_WITNESS);
}

/* Whether what another program has written is a database still. What it has done to a table is
 * damage in one place; but without the row of meta no outage is counted, and ids would be given
 * twice. */
static int check_touched(struct sqlite_store *s)
{
    int64_t faults = 0;
    int64_t outages = 0;
    sqlite3_db_release_memory(s->db); /* or it would look at its copy */
    int rc = sqlite_db_quick_check(s->db);
    if (!rc) rc = sqlite_schema_faults(s->db, &faults);
    if (!rc) rc = sqlite_db_ask(s->db, "SELECT outages FROM meta", &outages);
    if (rc) return sqlite_db_fail(s, rc);
    if (faults) s->met = (struct sqlite_trouble){.code = SQLITE_ERROR};
    sqlite_watch_note(s, FILE_MAIN);
    sqlite_watch_note(s, FILE_WAL);
    s->files.touched = false;
    return 0;
}

int sqlite_watch_recover(struct sqlite_store *s)
{
    int file = 0;
    const char *why = wrong(s, FILE_WITNESS, &file);
    int err = why && why != touched_text ? look_by_name(s, FILE_WITNESS) : 0;
    if (!err && (why || s->files.touched)) err = check_touched(s);
    if (!err) mend_witness(s); /* not before the names are right: it may be another server's now */
    if (!err) err = look_by_name(s, FILE_COUNT);
    if (!err) s->files.fault = s->files.rescued = false;
    return err;
}

bool sqlite_watch_lost(struct sqlite_store *s)
{
    int file = 0;
    const char *why = s->taken ? wrong(s, FILE_WITNESS, &file) : NULL;
    bool lost = why && why != touched_text;
    /* No reader of ours is in the way any more. Not if the database is another server's now: the
     * -shm may be, too. */
    if (lost && (file == FILE_WAL || file == FILE_SHM)) rescue(s);
    return lost;
}
