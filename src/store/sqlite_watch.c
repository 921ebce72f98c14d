/* Watching the files of the database while they are in use: what has happened to their names (gone,
 * replaced), and whether anybody else has written to them. The writer looks before each batch, and
 * every second; SQLite itself would go on in a file that nobody will ever find again.
 *
 * After what the writer has written it notes the files' times and sizes; so a change that is not
 * noted is another program's. That may be harmless, so the database is checked then; but what was
 * written over within a page of text is not seen by that. Names are another matter: as long as they
 * do not lead to our files nothing is accepted. A -wal that has lost its name is written back at
 * once, so that what was acknowledged is in the database file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "store/sqlite_db.h"

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

void sqlite_watch_begin(struct sqlite_store *s)
{
    struct stat st;
    for (int i = 0; i < FILE_COUNT; i++)
        if (stat(s->files.path[i], &st) == 0) s->files.state[i] = state_of(&st);
}

void sqlite_watch_note(struct sqlite_store *s, enum sqlite_file file)
{
    struct stat st;
    if (stat(s->files.path[file], &st) == 0 && same_file(&s->files.state[file], &st))
        s->files.state[file] = state_of(&st);
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
        if (stat(s->files.path[i], &st[i]) != 0)
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

/* What is only in a -wal without a name would be lost with this process. */
static void rescue(struct sqlite_store *s)
{
    if (s->files.fault) return; /* done before */
    sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    sqlite_watch_note(s, FILE_MAIN);
}

static int look(struct sqlite_store *s, int count)
{
    int file = 0;
    const char *why = wrong(s, count, &file);
    if (!why) return 0;
    if (why == touched_text)
        s->files.touched = true;
    else if (file == FILE_WAL || file == FILE_SHM)
        rescue(s);
    return fault(s, file, why);
}

int sqlite_watch_look(struct sqlite_store *s)
{
    return look(s, FILE_COUNT);
}

/* The witness holds nothing that is not known here. */
static void mend_witness(struct sqlite_store *s)
{
    struct stat st;
    const char *path = s->files.path[FILE_WITNESS];
    const struct file_state *f = &s->files.state[FILE_WITNESS];
    if (stat(path, &st) == 0 && same_file(f, &st) && !touched(f, &st)) return;
    witness_close(&s->witness);
    if (witness_make(&s->witness, path) != 0 || witness_write(&s->witness, true) != 0) return;
    if (stat(path, &st) == 0) s->files.state[FILE_WITNESS] = state_of(&st);
}

/* Whether what another program has written is a database still. */
static int check_touched(struct sqlite_store *s)
{
    sqlite3_db_release_memory(s->db); /* or it would look at its copy */
    int rc = sqlite_file_quick_check(s->db);
    if (rc) return sqlite_writer_fail(s, rc);
    sqlite_watch_note(s, FILE_MAIN);
    sqlite_watch_note(s, FILE_WAL);
    s->files.touched = false;
    return 0;
}

int sqlite_watch_recover(struct sqlite_store *s)
{
    int file = 0;
    const char *why = wrong(s, FILE_WITNESS, &file);
    int err = why && why != touched_text ? look(s, FILE_WITNESS) : 0;
    if (!err && (why || s->files.touched)) err = check_touched(s);
    if (!err) mend_witness(s); /* not before the names are right: it may be another server's now */
    if (!err) err = look(s, FILE_COUNT);
    if (!err) s->files.fault = false;
    return err;
}

bool sqlite_watch_lost(const struct sqlite_store *s)
{
    int file = 0;
    const char *why = s->taken ? wrong(s, FILE_WITNESS, &file) : NULL;
    return why && why != touched_text;
}
