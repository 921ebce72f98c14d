/* The life of the database file: is it the one that ran last (sqlite_witness.h), whose is the -wal
 * beside it, and taking hold of it at the start, so that a later start can tell.
 *
 * A start, in this order; it may die anywhere and be done again:
 *  1. The stamp is read from the database file alone. If it is older than the witness knows, a -wal
 *     beside it belongs to another file; replaying it would mix two ages. It is set aside.
 *  2. SQLite opens the file, with the -wal if there is one, and the mark is compared.
 *  3. The witness is told of the next life, as well as of this one unless this one is over.
 *  4. In one transaction: the mark "in use", the next life, one more outage if the last end was not
 *     orderly, and if the file is an older one, a new epoch for every room.
 *  5. That is written back into the database file itself. Only now may anything be accepted.
 *  6. The witness forgets the life before.
 * While it runs, the witness is told the mark after each synced commit, before anybody is told that
 * his message is stored, and the stamp after each time that the -wal was written back. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "store/sqlite_db.h"

enum {
    FILE_MODE = 0600,
    LOCK_TRIES = 8, /* each fails if another file takes the place in that moment */
    TEXT_MAX = 512,
    CHECKPOINT_FRAMES = 4000, /* pages in the -wal at which it is written back */
    STALE_MAX = 1000,         /* files of a -wal that was set aside */
    CHECKPOINT_AGAIN = 1000,  /* more of them until the next try, when a reader was in the way */
};

/* ---- names ---- */

int sqlite_file_name(struct sqlite_files *f, const char *path)
{
    static const char *const suffix[FILE_COUNT] = {[FILE_MAIN] = "",
                                                   [FILE_WAL] = "-wal",
                                                   [FILE_SHM] = "-shm",
                                                   [FILE_WITNESS] = WITNESS_SUFFIX};
    char real[PATH_MAX];
    for (int i = 0; i < FILE_COUNT; i++)
        f->held[i] = -1;
    if (!realpath(path, real)) return -1;
    for (int i = 0; i < FILE_COUNT; i++) {
        f->path[i] = malloc(strlen(real) + strlen(suffix[i]) + 1);
        errno = ENOMEM;
        if (!f->path[i]) return -1;
        stpcpy(stpcpy(f->path[i], real), suffix[i]);
    }
    return 0;
}

void sqlite_file_unname(struct sqlite_files *f)
{
    for (int i = 0; i < FILE_COUNT; i++) {
        if (f->held[i] >= 0) close(f->held[i]);
        free(f->path[i]);
    }
}

static bool is_at(int fd, const char *path)
{
    struct stat mine;
    struct stat there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_dev == there.st_dev &&
           mine.st_ino == there.st_ino;
}

int sqlite_file_lock(const char *path)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, FILE_MODE);
        if (fd < 0) return -1;
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (locked && is_at(fd, path)) return fd;
        int error = errno;
        close(fd);
        errno = error;
        if (!locked) return -1;
    }
    errno = EBUSY;
    return -1;
}

/* ---- what the file says by itself ---- */

struct stamp {
    uint64_t life;
    uint64_t checkpoints;
    bool clean;
};

int64_t sqlite_file_seal(uint64_t life, uint64_t checkpoints, bool clean)
{
    uint64_t bits = (life ^ checkpoints * 2 ^ clean) + UINT64_C(0x9e3779b97f4a7c15);
    bits *= UINT64_C(0x94d049bb133111eb); /* and 0 has a seal that is not 0 */
    bits = (bits ^ bits >> 29 ^ life) * UINT64_C(0xbf58476d1ce4e5b9);
    return (int64_t)(bits ^ bits >> 32);
}

/* The name for sqlite3_open as a URI: nothing of it has a meaning. NULL if memory is short. */
static char *uri_of(const char *path)
{
    size_t size = 3 * strlen(path) + sizeof "file:?immutable=1";
    char *uri = malloc(size);
    if (!uri) return NULL;
    size_t n = (size_t)snprintf(uri, size, "file:");
    for (; *path; path++) {
        bool special = *path == '%' || *path == '?' || *path == '#';
        n += (size_t)snprintf(uri + n, size - n, special ? "%%%02x" : "%c", *path);
    }
    snprintf(uri + n, size - n, "?immutable=1");
    return uri;
}

/* The database file without its -wal, which immutable=1 passes over. An SQLITE_ code. */
static int open_alone(const char *path, sqlite3 **db)
{
    char *uri = uri_of(path);
    if (!uri) return SQLITE_NOMEM;
    int rc = sqlite3_open_v2(uri, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    free(uri);
    return rc;
}

int sqlite_file_open_read(const char *path, sqlite3 **db)
{
    struct stat st;
    char wal[PATH_MAX];
    int n = snprintf(wal, sizeof wal, "%s-wal", path);
    bool alone = n > 0 && (size_t)n < sizeof wal && (stat(wal, &st) != 0 || st.st_size == 0);
    if (alone) return open_alone(path, db);
    int rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY, NULL);
    return rc ? rc : sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

/* False if it cannot be read, or is not whole; all 0 if there is none. A file that is being written
 * back may be shorter than its first page says, which writable_schema lets pass. Has to be done
 * before the process has other connections: closing this one drops their locks. */
static bool read_stamp(const char *path, struct stamp *out)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    const char sql[] = "SELECT life, checkpoints, clean, seal FROM meta";
    bool whole = false;
    *out = (struct stamp){0};
    int rc = open_alone(path, &db);
    if (!rc) rc = sqlite3_exec(db, "PRAGMA writable_schema=1", NULL, NULL, NULL);
    if (!rc) rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    bool other = rc == SQLITE_ERROR; /* no such table, or no such column */
    if (!rc) rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        out->life = (uint64_t)sqlite3_column_int64(stmt, 0);
        out->checkpoints = (uint64_t)sqlite3_column_int64(stmt, 1);
        out->clean = sqlite3_column_int(stmt, 2);
        int64_t seal = sqlite3_column_int64(stmt, 3);
        whole = seal == sqlite_file_seal(out->life, out->checkpoints, out->clean);
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return whole || other;
}

static void tell_file_event(struct sqlite_store *s, enum store_file_event what, const char *text)
{
    atomic_fetch_add(&s->base.faults, 1);
    if (s->on_file) s->on_file(s->file_ctx, what, text);
}

/* The first of wal-stale, wal-stale-2, ... that is free. 0, or -1 with errno. */
static int free_name(const char *wal, char *out, size_t size)
{
    struct stat st;
    for (int i = 1; i <= STALE_MAX; i++) {
        int n = i == 1 ? snprintf(out, size, "%s-stale", wal)
                       : snprintf(out, size, "%s-stale-%d", wal, i);
        errno = ENAMETOOLONG;
        if (n < 0 || (size_t)n >= size) return -1;
        if (lstat(out, &st) != 0) return errno == ENOENT ? 0 : -1;
    }
    errno = EEXIST;
    return -1;
}

/* A -wal that is not of this file is kept, but not where SQLite would look for it. 0, or -1 with
 * errno: it is there still. */
static int set_wal_aside(struct sqlite_store *s)
{
    struct stat st;
    char to[PATH_MAX];
    char text[TEXT_MAX];
    const char *wal = s->files.path[FILE_WAL];
    if (stat(wal, &st) != 0 || st.st_size == 0) return 0;
    if (free_name(wal, to, sizeof to) != 0 || rename(wal, to) != 0) return -1;
    snprintf(text, sizeof text,
             "the -wal file beside the database is not of this database; it is %.300s now", to);
    tell_file_event(s, STORE_FILE_STALE, text);
    return 0;
}

/* A start was under way, and did not come to its end. */
static bool start_begun(const struct witness_record *r)
{
    return r->next_life && r->next_life != r->life;
}

/* True if the witness has seen a newer file than one with this stamp. */
static bool is_older(const struct sqlite_store *s, const struct stamp *stamp)
{
    const struct witness_record *r = &s->witness.record;
    if (s->witness.state == WITNESS_MISSING || !r->next_life) return false;
    return (stamp->life != r->life && stamp->life != r->next_life) ||
           stamp->checkpoints < r->checkpoints;
}

static const char *why_older(const struct sqlite_store *s, const struct stamp *stamp)
{
    if (is_older(s, stamp)) return "it is not the file that ran last, or an older copy of it";
    if (s->witness.state != WITNESS_MISSING && s->witness.record.renewing)
        return "new epochs were due, and the start that had to write them did not come to its end";
    if (stamp->life && s->witness.state == WITNESS_MISSING)
        return "it came here without its " WITNESS_SUFFIX " file, perhaps from a backup";
    if (stamp->life && s->witness.state == WITNESS_COPIED)
        return "it was copied or moved here together with its " WITNESS_SUFFIX " file";
    return NULL;
}

void sqlite_file_closed(struct sqlite_store *s)
{
    if (!s->taken) return;
    witness_note_main(&s->witness, s->files.path[FILE_MAIN]);
    sqlite_watch_tell(s);
}

int sqlite_file_judge(struct sqlite_store *s)
{
    struct stat st;
    struct stamp stamp;
    const char *path = s->files.path[FILE_MAIN];
    witness_open(&s->witness, s->files.path[FILE_WITNESS]);
    bool empty = stat(path, &st) == 0 && st.st_size == 0;
    if (empty && s->witness.record.next_life) {
        tell_file_event(
            s, STORE_FILE_LOST,
            "there was a database here, and now the file is gone or empty; a new one is begun");
        s->witness.record = (struct witness_record){.life = 0};
    }
    s->touched = !empty && witness_sees_change(&s->witness, &st);
    s->stamped = read_stamp(path, &stamp);
    if (!s->stamped)
        return 0; /* torn by a power cut, perhaps; what the -wal makes of it will say */
    s->main_life = stamp.life;
    s->older = why_older(s, &stamp);
    /* An orderly end leaves no -wal, but a start after it may have begun one. */
    bool foreign = stamp.clean && !start_begun(&s->witness.record);
    return is_older(s, &stamp) || foreign ? set_wal_aside(s) : 0;
}

/* ---- taking hold ---- */

/* SQL function new_epoch(): as those that rooms are born with. */
static void new_epoch(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char epoch[EVENT_EPOCH_LEN];
    uint64_t bits;
    (void)argc;
    (void)argv;
    sqlite3_randomness(sizeof bits, &bits);
    for (int i = 0; i < EVENT_EPOCH_LEN; i++, bits /= 36)
        epoch[i] = digits[bits % 36];
    sqlite3_result_text(ctx, epoch, sizeof epoch, SQLITE_TRANSIENT);
}

int sqlite_file_renew(sqlite3 *db)
{
    int rc = sqlite3_create_function(db, "new_epoch", 0, SQLITE_UTF8, NULL, new_epoch, NULL, NULL);
    return rc ? rc : sqlite3_exec(db, "UPDATE rooms SET epoch = new_epoch()", NULL, NULL, NULL);
}

/* Step 4. */
static int begin_life(struct sqlite_store *s, uint64_t life, bool renew)
{
    char sql[200];
    uint64_t checkpoints = (uint64_t)s->checkpoints;
    int rc = sqlite_db_sync(s, true);
    if (!rc) rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    snprintf(sql, sizeof sql,
             "UPDATE meta SET outages = outages + (clean <> 1), clean = 0, life = %lld,"
             " checkpoints = %lld, seal = %lld",
             (long long)life, (long long)checkpoints,
             (long long)sqlite_file_seal(life, checkpoints, false));
    if (!rc) rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (!rc && renew) rc = sqlite_file_renew(s->db);
    if (!rc) rc = sqlite_db_ask(s->db, "SELECT outages FROM meta", &s->outages);
    if (!rc && !sqlite_db_sane_outages(s->outages)) rc = SQLITE_CORRUPT;
    return rc ? rc : sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
}

static int read_mark(struct sqlite_store *s)
{
    int64_t ends = 0;
    int rc = sqlite_db_ask(s->db, "SELECT removed FROM meta", &s->removed);
    if (!rc) rc = sqlite_db_ask(s->db, "SELECT coalesce(max(id), 0) FROM events", &ends);
    if (!rc && !(sqlite_db_sane(s->removed) && sqlite_db_sane(ends))) return SQLITE_CORRUPT;
    s->mark = s->removed + ends;
    return rc;
}

static uint64_t random_life(void)
{
    uint64_t life = 0;
    while (life == 0)
        sqlite3_randomness(sizeof life, &life);
    return life;
}

/* Says what was found; ids of before mean nothing any more. */
static void tell_older(struct sqlite_store *s, int64_t lost)
{
    char text[TEXT_MAX];
    if (lost)
        snprintf(text, sizeof text,
                 "%lld events that were acknowledged are not in the database: its -wal file was "
                 "lost, or it is an older copy; every room has a new epoch",
                 (long long)lost);
    else
        snprintf(text, sizeof text, "%s; every room has a new epoch", s->older);
    tell_file_event(s, lost ? STORE_FILE_LOST : STORE_FILE_RESTORED, text);
}

static void tell_touched(struct sqlite_store *s, bool damaged)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof text,
             "another program has written to the database while no server had it open; it %s",
             damaged ? "is damaged: what needs the damaged place will be refused"
                     : "passes SQLite's check");
    tell_file_event(s, STORE_FILE_TOUCHED, text);
}

/* A start that did not come to its end has accepted nothing, so its life is the next one's too:
 * some of its pages may be in the database already, or come there later out of the -wal. */
static uint64_t choose_life(const struct witness_record *r, bool renew)
{
    return start_begun(r) && (!renew || r->renewing) ? r->next_life : random_life();
}

/* Steps 3 to 6. */
static int take_hold(struct sqlite_store *s, bool renew)
{
    struct witness *w = &s->witness;
    struct witness_record *r = &w->record;
    uint64_t life = choose_life(r, renew);
    bool whole = false;
    if (r->checkpoints > (uint64_t)s->checkpoints) s->checkpoints = (int64_t)r->checkpoints;
    s->checkpoints++;
    r->life = s->main_life;
    r->next_life = life;
    r->renewing = renew;
    if (!s->touched)
        witness_note_main(w, NULL); /* else a start after this one has to say it, too */
    if (witness_write(w, true) != 0) return SQLITE_IOERR;
    int rc = begin_life(s, life, renew);
    if (!rc) rc = sqlite_watch_write_back(s, &whole);
    if (!rc && !whole) rc = SQLITE_LOCKED; /* a reader of another program is in the way */
    if (rc) return rc;
    s->main_life = life;
    r->life = life;
    r->renewing = 0;
    r->checkpoints = (uint64_t)s->checkpoints;
    r->mark = (uint64_t)s->mark;
    return witness_write(w, true) != 0 ? SQLITE_IOERR : SQLITE_OK;
}

/* From the database together with its -wal. */
static int judge_late(struct sqlite_store *s)
{
    struct stamp stamp = {.checkpoints = (uint64_t)s->checkpoints};
    int64_t life = 0;
    int rc = sqlite_db_ask(s->db, "SELECT life FROM meta", &life);
    if (rc) return rc;
    stamp.life = (uint64_t)life;
    s->main_life = stamp.life;
    s->older = why_older(s, &stamp);
    s->stamped = true;
    return SQLITE_OK;
}

int sqlite_file_take(struct sqlite_store *s)
{
    struct witness *w = &s->witness;
    int64_t lost = 0;
    if (witness_make(w, s->files.path[FILE_WITNESS]) != 0) return SQLITE_CANTOPEN;
    int rc = sqlite_db_ask(s->db, "SELECT checkpoints FROM meta", &s->checkpoints);
    if (!rc && !sqlite_db_sane(s->checkpoints)) rc = SQLITE_CORRUPT;
    if (!rc) rc = read_mark(s);
    if (!rc && !s->stamped) rc = judge_late(s);
    if (rc) return rc;
    bool same = w->record.next_life &&
                (s->main_life == w->record.life || s->main_life == w->record.next_life);
    if (same && (uint64_t)s->mark < w->record.mark) lost = (int64_t)w->record.mark - s->mark;
    if (lost) s->older = "its -wal file was lost";
    bool renew = s->older != NULL;
    /* An old database and somebody's -wal may not fit together. */
    if (renew || s->touched) rc = sqlite_db_quick_check(s->db);
    bool damaged = rc == SQLITE_CORRUPT && !renew; /* the rest of it is the newest there is */
    if (!rc || damaged) rc = take_hold(s, renew);
    if (rc) return rc;
    s->taken = true;
    if (damaged) s->met = (struct sqlite_trouble){.code = SQLITE_CORRUPT};
    if (renew) tell_older(s, lost);
    if (s->touched && !renew) tell_touched(s, damaged);
    s->older = NULL;
    s->touched = false;
    witness_reserve(w);
    sqlite_watch_begin(s);
    return SQLITE_OK;
}

/* ---- while it runs ---- */

void sqlite_file_committed(struct sqlite_store *s)
{
    struct witness *w = &s->witness;
    s->mark += s->in_batch;
    if (s->sync_now != SYNC_FULL) return; /* a power cut may take it; an outage stands for that */
    w->record.mark = (uint64_t)s->mark;
    sqlite_watch_tell(s);
}

int sqlite_file_trimmed(struct sqlite_store *s, int64_t last_id)
{
    int64_t removed = s->mark - last_id;
    if (removed == s->removed) return SQLITE_OK;
    int rc = sqlite_run_with(s->stmt[WRITE_SET_REMOVED], &removed, 1);
    if (!rc) s->removed = removed; /* a rollback forgets it */
    return rc;
}

/* SQLite tells how many pages the -wal has after a commit. */
static int on_wal(void *ctx, sqlite3 *db, const char *name, int frames)
{
    struct sqlite_store *s = ctx;
    (void)db;
    (void)name;
    s->wal_frames = frames;
    return SQLITE_OK;
}

void sqlite_file_hook(struct sqlite_store *s)
{
    s->checkpoint_at = CHECKPOINT_FRAMES;
    sqlite3_wal_hook(s->db, on_wal, s);
}

/* If it fails the -wal grows until the next try. The stamp is synced with it. */
static void checkpoint(struct sqlite_store *s)
{
    bool whole = false;
    int64_t next = s->checkpoints + 1;
    const int64_t values[] = {next, sqlite_file_seal(s->main_life, (uint64_t)next, false)};
    if (sqlite_db_sync(s, false)) return;
    if (sqlite_run_with(s->stmt[WRITE_SET_CHECKPOINTS], values, 2)) return;
    s->checkpoints = next;
    s->checkpoint_at = s->wal_frames + CHECKPOINT_AGAIN;
    if (sqlite_watch_write_back(s, &whole) || !whole) return;
    s->checkpoint_at = CHECKPOINT_FRAMES;
    s->wal_frames = 0; /* until the next commit says so itself */
    s->witness.record.checkpoints = (uint64_t)next;
    sqlite_watch_tell(s);
}

void sqlite_file_settle(struct sqlite_store *s)
{
    if (s->wal_frames >= s->checkpoint_at) checkpoint(s);
    sqlite_watch_note(s, FILE_WAL);
}
