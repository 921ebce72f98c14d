/* What the files of the SQLite store share: its state, and thin wrappers around the library.
 *
 * Which file stands on which. A call goes down only; a function has its place in the lowest file
 * that sees all that it needs:
 *   store_sqlite.c                        the ops table, opening and closing
 *   sqlite_writer.c    sqlite_import.c    batches; what follows an error: rollback, recovery
 *   sqlite_trim.c                         retention, and how much place is left
 *   sqlite_state.c                        what messages have become
 *   sqlite_search.c    sqlite_rooms.c     the index; what the writer knows of rooms
 *   sqlite_file.c      sqlite_reader.c    the life of the file; pages and searches
 *   sqlite_watch.c     sqlite_schema.c    whether the files are still ours; tables
 *   sqlite_db.c        sqlite_witness.c   errors, the sync of commits; the file beside the database
 * sqlite_check.c and sqlite_restore.c stand on the file and the schema. A rollback needs the index,
 * the rooms and the file, so a step of search or retention that fails only says so, and the writer
 * rolls back. */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

#include "store/sqlite_witness.h"
#include "store/store_backend.h"

enum write_stmt {
    WRITE_BEGIN,
    WRITE_COMMIT,
    WRITE_ROLLBACK,
    WRITE_FIND_ROOM,
    WRITE_FIND_TAIL,
    WRITE_ADD_ROOM,
    WRITE_SET_ROOM,
    WRITE_ADD_EVENT,
    WRITE_COUNT_OUTAGE,
    WRITE_DROP_ROOM,
    WRITE_DROP_MARKS,
    WRITE_TRIMMED_ROOM,
    WRITE_NEXT_ROOM,
    WRITE_AGED_ROOM,
    WRITE_LARGEST_ROOM,
    WRITE_OLDEST_ROOM,
    WRITE_SET_CHECKPOINTS,
    WRITE_SET_REMOVED,
    WRITE_OLDEST,
    WRITE_DELETE,
    WRITE_TRIMMED,
    WRITE_SET_OLDEST,
    WRITE_PAGES,
    WRITE_FREE_PAGES,
    WRITE_FORGET_EDITS,
    WRITE_FORGET_REACTIONS,
    WRITE_FORGET_COUNTS,
    WRITE_FIND_TARGET,
    WRITE_EDIT,
    WRITE_ADD_EDIT,
    WRITE_OLD_EDIT,
    WRITE_WIPE_EDIT,
    WRITE_DROP_EDIT,
    WRITE_TEXTS_WEIGHT,
    WRITE_WIPE_TEXTS,
    WRITE_REACT,
    WRITE_COUNT_REACT,
    WRITE_UNREACT,
    WRITE_COUNT_LAST,
    WRITE_COUNT_UNREACT,
    WRITE_UNINDEXED,
    WRITE_INDEX,
    WRITE_UNINDEX,
    WRITE_SET_INDEXED,
    WRITE_CLEAR_INDEX,
    WRITE_LAST_ID,
    WRITE_MOVE_MARK,
    WRITE_ADD_MARK,
    WRITE_COUNT_MARKS,
    WRITE_DROP_MARK,
    WRITE_ROOM_OUTAGE,
    WRITE_STMT_COUNT,
};

enum read_stmt {
    READ_BEGIN,
    READ_END,
    READ_ROOM,
    READ_AFTER,
    READ_BEFORE,
    READ_COUNT_AFTER,
    READ_COUNT_BEFORE,
    READ_NEWEST,
    READ_REACTIONS,
    READ_NONCES,
    READ_MARKS,
    READ_SEARCH,
    READ_ROOMS,
    READ_STMT_COUNT,
};

/* Rooms that are not the server's own, see store_is_own. */
#define CLIENTS "substr(name, 1, 1) <> '/'"

/* 1 for a message that is not deleted, else 0: what stands between room and seq in the index
 * events_seq. Without it a query for a seq or a range of them walks over the room. */
#define SHOWN "(kind = 0 AND deleted = 0)"
#define EITHER SHOWN " IN (0, 1)"

/* A query for events of a room, of those shown and of the others, to be ordered by seq: SQLite
 * merges the two, so that a LIMIT bounds what is read. */
#define MERGE(query, others) query " AND " SHOWN " = 1 UNION ALL " query " AND " SHOWN " = " others

/* In a query of rooms: what is true now. A row is as of its last_seq, see sqlite_rooms.h. */
#define ROOM_TAIL " FROM events WHERE room = rooms.id AND " EITHER " AND seq > last_seq)"
#define ROOM_LAST_SEQ "(SELECT coalesce(max(seq), last_seq)" ROOM_TAIL
#define ROOM_COUNT "count + (SELECT count(*)" ROOM_TAIL
#define ROOM_BYTES "bytes + (SELECT coalesce(sum(events.bytes), 0)" ROOM_TAIL

struct sqlite_room;
struct store_sqlite_import;

/* What went wrong, until somebody asks. */
struct sqlite_trouble {
    int code; /* extended; 0: nothing */
    int os_error;
    bool mends; /* the index, which is made anew */
};

enum { SQLITE_STUCK_MAX = 256 };

/* Rooms in which retention has met damage, which it passes over for a while. What is more than
 * that many stops it, see store_writer.c. */
struct sqlite_stuck {
    unsigned count;
    int64_t until_ms; /* all are tried again, CLOCK_MONOTONIC */
    int64_t ids[SQLITE_STUCK_MAX];
};

struct sqlite_reader {
    sqlite3 *db;
    struct sqlite_trouble met;
    sqlite3_stmt *stmt[READ_STMT_COUNT];
};

enum { SYNC_NORMAL = 1, SYNC_FULL = 2 }; /* values of PRAGMA synchronous */

enum sqlite_file { FILE_MAIN, FILE_WAL, FILE_SHM, FILE_WITNESS, FILE_COUNT };

/* A file as the writer left it. */
struct file_state {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
};

struct sqlite_files {
    char *path[FILE_COUNT]; /* without symbolic links, as SQLite has them */
    struct file_state state[FILE_COUNT];
    int held[FILE_COUNT]; /* O_PATH, to ask for them quickly; -1: not open */
    int64_t named_us;     /* when they were last looked at by name, of store_now_us */
    bool fault;           /* something is wrong with them, and was counted */
    bool rescued;         /* a -wal without a name is written back */
    bool touched;         /* another program has written to one */
};

struct sqlite_store {
    struct store_backend base;
    struct sqlite_files files; /* the writer's, as is all down to wal_frames; see sqlite_file.c */
    struct witness witness;
    store_file_fn *on_file; /* of the store's options, with its ctx */
    void *file_ctx;
    bool touched;        /* somebody has written to the file since the last end */
    bool stamped;        /* main_life and older are known */
    bool taken;          /* this life has begun in the file: it may be written to */
    const char *older;   /* why it is not the file that ran last, or NULL */
    uint64_t main_life;  /* of the stamp in the database file */
    int64_t checkpoints; /* of meta; how often the -wal was to be written back */
    int64_t removed;     /* of meta: by so much the newest id of events has gone back in all */
    int64_t mark;        /* events ever committed: removed and the newest id */
    int checkpoint_at;   /* pages in the -wal at which it is written back */
    int wal_frames;      /* pages in the -wal now */
    int lock_fd; /* holds the lock against a second Parlor; closed last, see store_sqlite.c */
    int busy_ms;
    bool relaxed;
    struct store_sqlite_import *import; /* of the options, or NULL; see sqlite_import.c */
    bool import_lost;                   /* its transaction is gone */
    bool made;                          /* none of its files was there before */
    sqlite3 *db;                        /* the writer's */
    sqlite3_stmt *stmt[WRITE_STMT_COUNT];
    struct sqlite_room *rooms;     /* cache of the rows of rooms, see sqlite_rooms.h */
    struct sqlite_room *due;       /* whose rows are written with this batch */
    struct sqlite_room *over;      /* that have too much, oldest first */
    struct sqlite_room **over_end; /* of that list; NULL: it is empty */
    uint64_t new_rooms;            /* made by this batch */
    int64_t outages;               /* of meta, as of the last commit */
    int64_t sweep_id;              /* the room at which retention looks at all; 0: it has */
    struct sqlite_stuck stuck;     /* what retention passes over */
    int64_t page_bytes;            /* of the file */
    int64_t space;                 /* bytes left below limits.max_bytes, as of this batch */
    bool crowded;                  /* there is so little that rooms have to be trimmed */
    int64_t indexed;               /* of meta, as of the last commit; see sqlite_search.c */
    int64_t index_goal;            /* while it is not whole: the id at which it will be */
    unsigned index_times;          /* how often it has become whole */
    atomic_bool index_damaged;     /* somebody has noticed; the writer makes it anew */
    atomic_uint index_whole;       /* 0: more than the newest is missing; else of which time */
    fts5_tokenizer words;
    void *words_ctx;
    unsigned unsynced; /* relaxed: events committed since the last fsync */
    unsigned in_batch;
    struct sqlite_trouble met;
    int sync_now; /* the value of PRAGMA synchronous */
    char reason[256];
    unsigned readers_wanted;
    unsigned reader_count; /* opened */
    struct sqlite_reader readers[STORE_READERS_MAX];
};

/* A code that says that a place of the disk cannot be read. */
static inline bool sqlite_is_unreadable(int code)
{
    return code == SQLITE_IOERR_READ || code == SQLITE_IOERR_SHORT_READ ||
           code == SQLITE_IOERR_CORRUPTFS;
}

/* Runs a statement that returns no row and makes it ready for its next use. An SQLITE_ code. */
static inline int sqlite_run(sqlite3_stmt *stmt)
{
    errno = 0; /* for sqlite_db_fail */
    int rc = sqlite3_step(stmt);
    int reset = sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : reset ? reset : rc;
}

/* As sqlite_run, with numbers for the first parameters. */
static inline int sqlite_run_with(sqlite3_stmt *stmt, const int64_t *values, int count)
{
    for (int i = 0; i < count; i++)
        sqlite3_bind_int64(stmt, 1 + i, values[i]);
    return sqlite_run(stmt);
}

/* Binds the text, or NULL if it does not exist. It has to stay until the statement has run. */
static inline void sqlite_bind_slice(sqlite3_stmt *stmt, int at, struct slice text)
{
    if (text.ptr)
        sqlite3_bind_text(stmt, at, text.ptr, (int)text.len, SQLITE_STATIC);
    else
        sqlite3_bind_null(stmt, at);
}

/* Whether a seq, a count or a weight that was read can have been written: a bit of the file may
 * have turned. Sums of two do not overflow. */
static inline bool sqlite_db_sane(int64_t number)
{
    return number >= 0 && number <= (int64_t)STORE_SEQ_MAX;
}

/* Likewise outages: each may have lost STORE_IN_FLIGHT_MAX events, and so many stay far below
 * STORE_SEQ_MAX. More would leave a room no seq to go on with. */
static inline bool sqlite_db_sane_outages(int64_t number)
{
    return number >= 0 && number <= UINT32_MAX;
}

/* Keeps the reason of a failure for the log, and returns the code of enum err for it, which is also
 * to be had alone: ERR_STORE_DAMAGED if it may be one place of the file only (a broken constraint
 * is damage: no statement of ours breaks one). */
int sqlite_db_fail(struct sqlite_store *s, int rc);
int sqlite_db_error(int code);

/* Notes it if the last error of db was a damaged index, and returns whether it was. Any thread that
 * owns db. */
bool sqlite_db_notice(struct sqlite_store *s, sqlite3 *db);

/* Takes back the writer's transaction if there is one, and nothing else: see also
 * sqlite_writer_rollback. */
void sqlite_db_rollback(struct sqlite_store *s);

/* Chooses whether the next commit is followed by fsync. An SQLITE_ code. */
int sqlite_db_sync(struct sqlite_store *s, bool sync);

/* The first column of the only row, of a statement that is made ready for its next use, or of a
 * PRAGMA or SELECT. An SQLITE_ code; SQLITE_CORRUPT if there is no row. */
int sqlite_db_number(sqlite3_stmt *stmt, int64_t *out);
int sqlite_db_ask(sqlite3 *db, const char *question, int64_t *out);

/* 0, or an SQLITE_ code: what PRAGMA quick_check sees. */
int sqlite_db_quick_check(sqlite3 *db);

/* True if it is Parlor's, and sqlite_schema_prepare will change it. */
bool sqlite_schema_older(sqlite3 *db);

/* Sets application_id, WAL and the newest schema. 0 or ERR_STORE with text; the file is not changed
 * before it is known to be Parlor's and not newer. */
int sqlite_schema_prepare(sqlite3 *db, char *text, size_t text_size);

/* 0 if it is Parlor's and of the newest schema; else ERR_STORE with text. Changes nothing. */
int sqlite_schema_current(sqlite3 *db, char *text, size_t text_size);

/* The secret that the file was made with. An SQLITE_ code; SQLITE_CORRUPT if it is not there. */
int sqlite_schema_secret(sqlite3 *db, uint8_t out[static STORE_SECRET_BYTES]);

/* Counts tables and indexes that are missing or others than a new database has, and triggers, of
 * which there is none. An SQLITE_ code. */
int sqlite_schema_faults(sqlite3 *db, int64_t *faults);

/* Says in plain words what the SQLITE_ code means for somebody who opens the file. ERR_STORE. */
int sqlite_schema_explain(sqlite3 *db, int rc, char *text, size_t size);

/* Watching the files; see sqlite_watch.c. Notes which files they are; what one looks like after the
 * writer has written to it; for the ops table, looks whether they still look like that (0, or
 * ERR_STORE with s->reason); after that has failed, whether one may go on (the same). */
void sqlite_watch_begin(struct sqlite_store *s);
void sqlite_watch_note(struct sqlite_store *s, enum sqlite_file file);
int sqlite_watch_look(struct store_backend *b);
int sqlite_watch_recover(struct sqlite_store *s);

/* Writes the witness, while the life lasts. If that fails an older record stays, which sees less
 * and says nothing that is wrong. */
void sqlite_watch_tell(struct sqlite_store *s);

/* Writes the -wal back, which the witness is told of; *whole: all of it is in the database file
 * now. An SQLITE_ code. */
int sqlite_watch_write_back(struct sqlite_store *s, bool *whole);

/* At the end. True if the names of the files lead elsewhere now, so that SQLite must not remove
 * them; what only a -wal without a name has is written back before. */
bool sqlite_watch_lost(struct sqlite_store *s);

/* The file of the database; see sqlite_file.c. Names its files: 0, or -1 with errno. */
int sqlite_file_name(struct sqlite_files *f, const char *path);
void sqlite_file_unname(struct sqlite_files *f);

/* Takes the lock of one Parlor on the file, which is made if there is none; a restore may put
 * another in its place meanwhile: that is the one then. A descriptor, or -1 with errno, EWOULDBLOCK
 * if somebody has it. */
int sqlite_file_lock(const char *path);

/* What makes a stamp in meta whole: a page may be torn by a power cut. */
int64_t sqlite_file_seal(uint64_t life, uint64_t checkpoints, bool clean);

/* Before SQLite opens the file: finds out whether it is the one that ran last, and sets a -wal
 * aside that is another file's. 0, or -1 with errno: that was not possible, and SQLite would mix
 * the two. */
int sqlite_file_judge(struct sqlite_store *s);

/* Begins this life in the file, with new epochs if it is an older one. An SQLITE_ code; it may be
 * called again then. Before it has succeeded nothing may be written. */
int sqlite_file_take(struct sqlite_store *s);

/* Opens a database to read it, leaving no file behind and changing none. An SQLITE_ code. */
int sqlite_file_open_read(const char *path, sqlite3 **db);

/* Gives every room a new epoch. An SQLITE_ code. */
int sqlite_file_renew(sqlite3 *db);

/* Sets up what the others need of db. */
void sqlite_file_hook(struct sqlite_store *s);

/* After the last connection is closed. */
void sqlite_file_closed(struct sqlite_store *s);

/* After a batch was committed, before anybody is told. */
void sqlite_file_committed(struct sqlite_store *s);

/* In a transaction that has removed events: last_id is the newest id now. An SQLITE_ code. */
int sqlite_file_trimmed(struct sqlite_store *s, int64_t last_id);

/* After every transaction of the writer, and after what has failed: writes the -wal back if it is
 * long, and notes what the files look like. */
void sqlite_file_settle(struct sqlite_store *s);

/* An import: marks the file; at the next start finds the mark that it left if it did not end, sets
 * *began_s to when that was (0: there is none), and takes it away. SQLITE_ codes. */
int sqlite_import_begin(struct sqlite_store *s);
int sqlite_import_undone(struct sqlite_store *s, int64_t *began_s);

/* Keeps all of it, or nothing; which of them. If it was to be kept and is not, s->reason says why.
 */
enum store_import sqlite_import_end(struct sqlite_store *s, bool keep);

/* Finds out how FTS5 splits texts into words. An SQLITE_ code. */
int sqlite_search_open(struct sqlite_store *s);

/* Within a transaction: takes indexed messages out of the index, before their texts change or go;
 * puts one back in. SQLITE_ codes. */
int sqlite_search_remove(struct sqlite_store *s, int64_t room, int64_t from_seq, int64_t to_seq);
int sqlite_search_add(struct sqlite_store *s, int64_t id);

/* If sqlite_db_notice has seen damage: empties the index, in a transaction of its own, so that
 * everything is indexed again. An SQLITE_ code. */
int sqlite_search_mend(struct sqlite_store *s);

/* At the end of a transaction that has removed events: sets *indexed to what s->indexed has to be
 * after the commit. An SQLITE_ code. */
int sqlite_search_trimmed(struct sqlite_store *s, int64_t *indexed);

/* As index of the ops table, but the caller has to roll back after an error other than ERR_BUSY. */
int sqlite_search_step(struct sqlite_store *s, bool *more);

/* For the ops table. */
int sqlite_search_parse(struct store_backend *b, struct slice text, struct buf *out);

/* Does what the event means for its target, in the transaction of the batch. *weight is what the
 * events of the room have become heavier by. An SQLITE_ code. */
int sqlite_state_apply(struct sqlite_store *s, int64_t room, const struct store_event *e,
                       int64_t *weight);

/* Forgets what is noted of these messages: their reactions, and which events are edits of them. An
 * SQLITE_ code. */
int sqlite_state_forget(struct sqlite_store *s, int64_t room, int64_t from_seq, int64_t to_seq);

/* As trim of the ops table, but the caller has to roll back after an error other than ERR_BUSY; if
 * *passed is set it is none then: the room with the damage is passed over from now on. */
int sqlite_trim_step(struct sqlite_store *s, int64_t now_ms, uint64_t *trimmed, bool *passed);

/* Finds out how much of the file is used, if that has a limit. An SQLITE_ code. */
int sqlite_trim_measure(struct sqlite_store *s);

/* Retention has to look at every room once: at start, when what to keep may be new, and when it has
 * passed over some. */
void sqlite_trim_all(struct sqlite_store *s);

/* The readers' part. 0 or an SQLITE_ code. */
int sqlite_reader_open(struct sqlite_store *s, struct sqlite_reader *r, const char *path);
void sqlite_reader_close(struct sqlite_reader *r);
int sqlite_reader_load(struct store_backend *b, unsigned reader, struct slice room,
                       int64_t since_ms, struct store_load *out);
int sqlite_reader_page(struct store_backend *b, unsigned reader, const struct store_query *q,
                       struct store_answer *out);
int sqlite_reader_search(struct store_backend *b, unsigned reader, const struct store_search *q,
                         struct store_answer *out);
int sqlite_reader_list(struct store_backend *b, unsigned reader, struct slice after, unsigned limit,
                       struct store_room_list *out);

/* The writer's part of the interface, for the ops table. sqlite_writer_open prepares the
 * statements. 0 or an SQLITE_ code. */
int sqlite_writer_open(struct sqlite_store *s);
void sqlite_writer_close(struct sqlite_store *s, bool clean);
int sqlite_writer_begin(struct store_backend *b);
int sqlite_writer_put(struct store_backend *b, const struct store_record *r);
int sqlite_writer_commit(struct store_backend *b);
void sqlite_writer_rollback(struct store_backend *b);
int sqlite_writer_refuse(struct store_backend *b, struct slink *batch);
int sqlite_writer_trim(struct store_backend *b, int64_t now_ms, uint64_t *trimmed);
int sqlite_writer_index(struct store_backend *b, bool *more);
int sqlite_writer_recover(struct store_backend *b);

#endif
