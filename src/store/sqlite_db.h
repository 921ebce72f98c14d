/* What the files of the SQLite store share: its state, and thin wrappers around the library. */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <sqlite3.h>

#include "store/store_backend.h"

enum write_stmt {
    WRITE_BEGIN,
    WRITE_COMMIT,
    WRITE_ROLLBACK,
    WRITE_FIND_ROOM,
    WRITE_ADD_ROOM,
    WRITE_SET_ROOM,
    WRITE_ADD_EVENT,
    WRITE_COUNT_OUTAGE,
    WRITE_SWEEP,
    WRITE_OLDEST,
    WRITE_DELETE,
    WRITE_TRIMMED,
    WRITE_STMT_COUNT,
};

enum read_stmt {
    READ_BEGIN,
    READ_END,
    READ_ROOM,
    READ_AFTER,
    READ_BEFORE,
    READ_STMT_COUNT,
};

struct sqlite_room;

struct sqlite_reader {
    sqlite3 *db;
    sqlite3_stmt *stmt[READ_STMT_COUNT];
};

struct sqlite_store {
    struct store_backend base;
    int lock_fd; /* holds the lock against a second Parlor; closed last, see store_sqlite.c */
    int busy_ms;
    bool relaxed;
    sqlite3 *db; /* the writer's */
    sqlite3_stmt *stmt[WRITE_STMT_COUNT];
    struct sqlite_room *rooms; /* cache of the rows of rooms, the writer's */
    struct sqlite_room *touched;
    int64_t outages;   /* of meta, as of the last commit */
    int64_t sweep_id;  /* the room at which retention goes on */
    unsigned unsynced; /* relaxed: events committed since the last fsync */
    unsigned in_batch;
    int sync_now; /* the value of PRAGMA synchronous */
    char reason[256];
    unsigned readers_wanted;
    unsigned reader_count; /* opened */
    struct sqlite_reader readers[STORE_READERS_MAX];
};

/* Runs a statement that returns no row and makes it ready for its next use. An SQLITE_ code. */
static inline int sqlite_run(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    int reset = sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : reset ? reset : rc;
}

/* Sets application_id, WAL and the newest schema. 0 or ERR_STORE with text; the file is not changed
 * before it is known to be Parlor's and not newer. */
int sqlite_schema_prepare(sqlite3 *db, char *text, size_t text_size);

/* Says in plain words what the SQLITE_ code means for somebody who opens the file. ERR_STORE. */
int sqlite_schema_explain(sqlite3 *db, int rc, char *text, size_t size);

/* The writer's part of the interface, for the ops table. sqlite_writer_open prepares the statements
 * and marks the file as in use. 0 or an SQLITE_ code. */
int sqlite_writer_open(struct sqlite_store *s);
void sqlite_writer_close(struct sqlite_store *s, bool clean);
int sqlite_writer_begin(struct store_backend *b);
int sqlite_writer_put(struct store_backend *b, struct store_record *r);
int sqlite_writer_commit(struct store_backend *b);
void sqlite_writer_rollback(struct store_backend *b);
int sqlite_writer_recover(struct store_backend *b);

/* Empties the cache of rooms. Writer thread. */
void sqlite_writer_forget(struct sqlite_store *s);

/* Keeps the reason of a failure for the log, and returns the code of enum err for it. */
int sqlite_writer_fail(struct sqlite_store *s, int rc);

/* Chooses whether the next commit is followed by fsync. An SQLITE_ code. */
int sqlite_writer_sync(struct sqlite_store *s, bool sync);

int sqlite_trim_step(struct store_backend *b, const struct store_keep *keep, int64_t now_ms,
                     uint64_t *trimmed, bool *more);

/* The readers' part. 0 or an SQLITE_ code. */
int sqlite_reader_open(struct sqlite_store *s, struct sqlite_reader *r, const char *path);
void sqlite_reader_close(struct sqlite_reader *r);
int sqlite_reader_load(struct store_backend *b, unsigned reader, struct slice room,
                       struct store_room *out);
int sqlite_reader_page(struct store_backend *b, unsigned reader, const struct store_query *q,
                       struct store_answer *out);

#endif
