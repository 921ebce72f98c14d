/* The store in an SQLite file (WAL): the embedded default. docs/decisions/0003-store.md says what
 * an ack promises and how ids survive kill -9. */
#ifndef STORE_STORE_SQLITE_H
#define STORE_STORE_SQLITE_H

#include <stdio.h>

#include "store/store.h"

enum { STORE_SQLITE_TEXT_MAX = 256 };

/* What has become of an import. */
struct store_sqlite_import {
    enum store_import end;
    char why[STORE_SQLITE_TEXT_MAX]; /* it could not be kept; empty: it could, or was not to be */
};

struct store_sqlite_options {
    const char *path; /* made if it does not exist; its directory has to */
    bool relaxed;     /* commit without fsync: kill -9 loses nothing acked, a power cut may */
    int busy_ms;      /* how long to wait for another process's lock; 0: 2000 */

    /* Not NULL: an import. Reads see nothing of what is appended until store_close makes it durable
     * all at once, if by then the caller has set its end to STORE_IMPORT_KEEP; it is set to what
     * became of it. After an append that fails all of it is lost. If nothing is kept, files that
     * were not there before are gone again. */
    struct store_sqlite_import *import;
    int64_t *undone_s; /* or NULL: set to when an import began (since 1970) of which nothing is here
                          since it did not end; 0: there was none */
};

/* Opens the file, brings its schema up to date and starts the threads. NULL on error, with text
 * (of STORE_SQLITE_TEXT_MAX bytes) saying what is wrong; a file that is in use, newer, or not
 * Parlor's is not changed. Close with store_close. */
struct store *store_sqlite_open(const struct store_sqlite_options *sqlite,
                                const struct store_options *options, char *text);

/* Says on out, a line for each thing that is looked at, whether the database is sound. 0, or
 * ERR_STORE: it is not, or it cannot be read. It is not changed, and may be in use. */
int store_sqlite_check(const char *path, FILE *out);

/* Puts a copy of the backup `from` in the place of the database `path`, which nobody may have open;
 * every room gets a new epoch. What was there is kept as `path`-replaced. 0, or ERR_STORE with text
 * (of STORE_SQLITE_TEXT_MAX bytes), and the database is as it was. */
int store_sqlite_restore(const char *from, const char *path, char *text);

#endif
