/* Opening and closing the SQLite store: everything that can be wrong with a file is found here,
 * before anything in it is changed.
 *
 * A second Parlor on the same file is kept out by flock on the file itself. SQLite's own locks are
 * of the fcntl kind, which a process loses when it closes any descriptor of the file, so ours is
 * closed after the last connection. */
#include "store/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "store/sqlite_db.h"

enum { BUSY_MS = 2000 };

static const char *backend_reason(struct store_backend *b)
{
    return ((struct sqlite_store *)b)->reason;
}

static void end_import(struct sqlite_store *s, bool clean)
{
    struct store_sqlite_import *import = s->import;
    bool keep = clean && import->end == STORE_IMPORT_KEEP;
    s->reason[0] = 0;
    import->end = s->taken ? sqlite_import_end(s, keep) : STORE_IMPORT_NONE;
    bool kept = !keep || import->end == STORE_IMPORT_KEEP;
    snprintf(import->why, sizeof import->why, "%.250s", kept ? "" : s->reason);
}

static void backend_close(struct store_backend *b, bool clean)
{
    struct sqlite_store *s = (struct sqlite_store *)b;
    for (unsigned i = 0; i < s->reader_count; i++)
        sqlite_reader_close(&s->readers[i]);
    if (s->import) end_import(s, clean);
    sqlite_writer_close(s, clean);
    witness_close(&s->witness);
    if (s->made && s->import && s->import->end == STORE_IMPORT_NONE)
        for (int i = 0; i < FILE_COUNT; i++)
            unlink(s->files.path[i]);
    if (s->lock_fd >= 0) close(s->lock_fd);
    sqlite_file_unname(&s->files);
    free(s);
}

static bool backend_trouble(struct store_backend *b, unsigned who, struct store_trouble *out)
{
    struct sqlite_store *s = (struct sqlite_store *)b;
    struct sqlite_trouble *met = who == STORE_WRITER ? &s->met : &s->readers[who].met;
    if (!met->code) return false;
    bool bad = sqlite_db_error(met->code) == ERR_STORE_DAMAGED && !sqlite_is_unreadable(met->code);
    bool table = (met->code & 0xff) == SQLITE_ERROR;
    out->text = table ? "a table or index is missing, or is another" : sqlite3_errstr(met->code);
    out->code = met->code;
    out->os_error = met->os_error;
    out->damage = bad && !met->mends;
    *met = (struct sqlite_trouble){0};
    return true;
}

static const struct store_backend_ops ops = {
    .begin = sqlite_writer_begin,
    .put = sqlite_writer_put,
    .commit = sqlite_writer_commit,
    .rollback = sqlite_writer_rollback,
    .refuse = sqlite_writer_refuse,
    .recover = sqlite_writer_recover,
    .look = sqlite_watch_look,
    .trim = sqlite_writer_trim,
    .index = sqlite_writer_index,
    .parse = sqlite_search_parse,
    .load = sqlite_reader_load,
    .page = sqlite_reader_page,
    .search = sqlite_reader_search,
    .list = sqlite_reader_list,
    .reason = backend_reason,
    .trouble = backend_trouble,
    .close = backend_close,
};

static const char *open_problem(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return "its directory does not exist";
    case EACCES:
    case EPERM:
        return "no permission to read and write it";
    case EROFS:
        return "it is on a read-only file system";
    case EISDIR:
        return "it is a directory";
    case ENOSPC:
        return "the disk is full";
    case EWOULDBLOCK:
        return "it is in use by another Parlor";
    default:
        return strerror(error);
    }
}

/* SQLite puts the WAL beside the file. */
static bool directory_writable(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return access(".", W_OK | X_OK) == 0;
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    char *dir = malloc(len + 1);
    if (dir) memcpy(dir, path, len);
    if (dir) dir[len] = 0;
    bool ok = dir && access(dir, W_OK | X_OK) == 0;
    free(dir);
    return ok;
}

/* Something else has the name of one of the other files; or NULL. SQLite follows links. */
static const char *strange_file(const struct sqlite_files *f)
{
    static const char *const problem[FILE_COUNT] = {
        [FILE_WAL] = "its -wal is not a regular file: move that away",
        [FILE_SHM] = "its -shm is not a regular file: move that away",
        [FILE_WITNESS] = "its " WITNESS_SUFFIX " is not a regular file: move that away",
    };
    struct stat st;
    for (int i = FILE_WAL; i < FILE_COUNT; i++)
        if (fstatat(AT_FDCWD, f->path[i], &st, i == FILE_WITNESS ? AT_SYMLINK_NOFOLLOW : 0) == 0 &&
            !S_ISREG(st.st_mode))
            return problem[i];
    return NULL;
}

/* Says what is wrong, or NULL. */
static const char *lock_file(struct sqlite_store *s, const char *path)
{
    struct stat st;
    bool absent = access(path, F_OK) != 0;
    s->lock_fd = sqlite_file_lock(path);
    if (s->lock_fd < 0) return open_problem(errno);
    if (fstat(s->lock_fd, &st) || !S_ISREG(st.st_mode)) return "it is not a regular file";
    if (!directory_writable(path)) return "no permission to write to its directory";
    if (sqlite_file_name(&s->files, path) != 0) return strerror(errno);
    s->made = absent && st.st_size == 0; /* and nobody was faster */
    for (int i = FILE_WAL; i < FILE_COUNT; i++)
        if (lstat(s->files.path[i], &st) == 0) s->made = false;
    return strange_file(&s->files);
}

/* Begins this life in the file. What only lacks disk space is tried again later: until then what is
 * there can be read. So can what is whole of a damaged file, unless it is an older one, whose ids
 * mean something else. An SQLITE_ code. */
static int take_or_wait(struct sqlite_store *s)
{
    int rc = sqlite_file_take(s);
    int kind = rc & 0xff;
    bool later = kind == SQLITE_FULL || kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN ||
                 kind == SQLITE_LOCKED || (kind == SQLITE_CORRUPT && !s->older);
    if (!later) return rc;
    sqlite_db_rollback(s);
    sqlite_db_fail(s, rc);
    s->base.failing = true;
    return SQLITE_OK;
}

/* Looks for an import that did not end, and begins one, once the file may be written to. An SQLITE_
 * code. */
static int open_import(struct sqlite_store *s, int64_t *undone_s)
{
    if (!s->taken) return SQLITE_OK;
    int rc = sqlite_import_undone(s, undone_s);
    if (!rc && s->import) rc = sqlite_import_begin(s);
    sqlite_file_settle(s);
    return rc;
}

static int open_connections(struct sqlite_store *s, int64_t *undone_s, char *why, size_t size)
{
    const char *path = s->files.path[FILE_MAIN];
    int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!rc) rc = sqlite3_busy_timeout(s->db, s->busy_ms);
    if (!rc) rc = sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (!rc && s->on_file && sqlite_schema_older(s->db))
        s->on_file(s->file_ctx, STORE_FILE_UPGRADE,
                   "the database is of an older Parlor and is brought up to date: some seconds for "
                   "a million messages; no older one will open it any more");
    if (!rc && sqlite_schema_prepare(s->db, why, size)) return ERR_STORE;
    if (!rc) rc = sqlite_writer_open(s);
    if (!rc) rc = sqlite_search_open(s);
    if (!rc) rc = take_or_wait(s);
    if (!rc) rc = open_import(s, undone_s);
    if (rc) return sqlite_schema_explain(s->db, rc, why, size);
    if (s->import && !s->taken) {
        snprintf(why, size, "%.100s", s->reason);
        return ERR_STORE;
    }
    while (s->reader_count < s->readers_wanted) {
        struct sqlite_reader *r = &s->readers[s->reader_count++];
        rc = sqlite_reader_open(s, r, path);
        if (rc) return sqlite_schema_explain(r->db, rc, why, size);
    }
    return 0;
}

/* A file in which it is damaged is served, under another one for this life: guests are new then. */
static int read_secret(struct sqlite_store *s, uint8_t *secret, char *why, size_t size)
{
    if (!secret) return 0;
    int rc = sqlite_schema_secret(s->db, secret);
    if (!rc) return 0;
    if (sqlite_db_fail(s, rc) == ERR_NOMEM) return ERR_NOMEM;
    if (store_make_secret(secret)) return 0;
    snprintf(why, size, "the system has no random numbers");
    return ERR_STORE;
}

struct store *store_sqlite_open(const struct store_sqlite_options *sqlite,
                                const struct store_options *options, char *text)
{
    char why[STORE_SQLITE_TEXT_MAX / 2] = "the server is out of memory";
    struct store_options mine = *options;
    struct store *store = NULL;
    int64_t undone_s = 0;
    /* Statistics of memory, which nobody reads, would cost a lock in every allocation of every
     * thread. Refused, without harm, if SQLite is in use already. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    struct sqlite_store *s = calloc(1, sizeof *s);
    if (s) {
        s->base.ops = &ops;
        s->lock_fd = -1;
        s->witness.fd = -1;
        s->on_file = options->on_file;
        s->file_ctx = options->ctx;
        s->relaxed = sqlite->relaxed;
        s->import = sqlite->import;
        s->busy_ms = sqlite->busy_ms ? sqlite->busy_ms : BUSY_MS;
        s->readers_wanted = store_reader_count(options);
        /* Without an fsync per commit a power cut takes committed events too; together with those
         * in flight they must not be more than an outage stands for. */
        if (s->relaxed && (!mine.in_flight_max || mine.in_flight_max > STORE_IN_FLIGHT_MAX / 2))
            mine.in_flight_max = STORE_IN_FLIGHT_MAX / 2;
        const char *problem = lock_file(s, sqlite->path);
        if (!problem && sqlite_file_judge(s) != 0)
            problem = "its -wal file is another database's, and cannot be renamed: move it away";
        if (problem)
            snprintf(why, sizeof why, "%s", problem);
        else if (open_connections(s, &undone_s, why, sizeof why) == 0 &&
                 read_secret(s, options->secret, why, sizeof why) == 0)
            store = store_start(&s->base, &mine);
        else
            problem = why;
        if (problem) backend_close(&s->base, false);
    }
    if (sqlite->undone_s) *sqlite->undone_s = undone_s;
    if (!store) snprintf(text, STORE_SQLITE_TEXT_MAX, "cannot open %.100s: %s", sqlite->path, why);
    return store;
}
