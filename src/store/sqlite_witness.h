/* Whether the database at hand is the one that ran last, or an older one: a backup that was put
 * back, a file whose -wal is lost, a copy. An older one does not know of ids that were given since,
 * so it must not go on under its epochs. docs/decisions/0008-database-file.md has the reasoning.
 *
 * The witness is a small file beside the database. Two things are compared with it at the start:
 *  - the stamp, which is in the database file itself whatever has happened to the -wal: a random
 *    number of the life (from one start to the next), and how often the -wal was written back;
 *  - the mark, which counts events: what was acknowledged is in the database and its -wal.
 * And its own times: a witness that was changed later than it says is part of the copy.
 *
 * The writer's thread, or before there are threads. */
#ifndef STORE_SQLITE_WITNESS_H
#define STORE_SQLITE_WITNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define WITNESS_SUFFIX "-witness"

/* As it is in the file; in the byte order of the machine, for another one is another place. */
struct witness_record {
    char magic[8];
    uint64_t life;        /* what the database's may be: of before a start and after it */
    uint64_t next_life;   /* the same, but while a start is under way */
    uint64_t checkpoints; /* the database has been written back so often, at least */
    uint64_t mark;        /* and has so many events, at least */
    uint64_t renewing;    /* not 0: next_life begins with new epochs, and has not been seen to */
    uint64_t boot;        /* of the machine; 0: not known */
    int64_t main_ns;      /* when the database was last written to; 0: it is being written to */
    int64_t main_bytes;
    int64_t written_ns; /* wall clock */
    uint64_t sum;       /* of all before */
};

enum witness_state {
    WITNESS_MISSING, /* no such file, or not a whole one */
    WITNESS_COPIED,  /* its times do not fit: it was copied or moved; the record is good */
    WITNESS_GOOD,
};

struct witness {
    int fd; /* -1: not open */
    enum witness_state state;
    bool same_boot; /* the machine has not been started since the record was written */
    uint64_t boot;  /* of now; 0: not asked yet */
    struct witness_record record;
};

/* Opens the file if it exists, judges it, and gives back the disk space that it had in reserve: so
 * a server starts on a full disk. fd stays -1 if it cannot be opened. */
void witness_open(struct witness *w, const char *path);

/* Makes the file if it is not open. 0, or -1 with errno. */
int witness_make(struct witness *w, const char *path);

/* So that the name of the file, which is in place, survives a power cut. 0, or -1 with errno. */
int witness_sync_directory(const char *path);

/* Writes the record, with the time. sync: it is on the disk afterwards. 0, or -1 with errno. */
int witness_write(struct witness *w, bool sync);

/* Writes the record again if the file's times do not fit it any more (a backup may have made a hard
 * link), so that the next start does not take it for a copy. */
void witness_refresh(struct witness *w);

/* Notes in the record what the database file at path looks like now; NULL: it is about to be
 * written to. */
void witness_note_main(struct witness *w, const char *path);

/* Whether the database file, which is like st, was written to since that was noted. False when a
 * power cut may have left it with an older time than it had. */
bool witness_sees_change(const struct witness *w, const struct stat *st);

/* Takes disk space in reserve, if there is some. */
void witness_reserve(struct witness *w);

/* Harmless if it is not open. */
void witness_close(struct witness *w);

#endif
