/* Reads back what the API's export wrote, straight into a store that no server has open.
 *
 * The file is read twice. First everything is checked: every line, their order, that no room is cut
 * off or comes twice, and that none of them is in the store already; only then is the first event
 * stored. Standard input and pipes go to a temporary file on the way. So a bad file changes
 * nothing; neither does what fails half way, if the store was opened for an import, as one
 * transaction (store_sqlite.h). Several exports may stand one behind the other. */
#ifndef API_API_IMPORT_H
#define API_API_IMPORT_H

#include <stdint.h>
#include <stdio.h>

struct api_import;
struct store;
struct store_options;

enum { API_IMPORT_TEXT_MAX = 512 };

struct api_import_sum {
    uint64_t rooms;
    uint64_t events;
};

/* Sets on_done, on_health and ctx of the options that the store is going to be opened with. NULL if
 * memory is short. */
struct api_import *api_import_new(struct store_options *options);

/* Imports all of the file, telling progress on standard error. 0, or an error and why (of
 * API_IMPORT_TEXT_MAX bytes) says what is wrong and where. Waits; not for a worker. */
int api_import_run(struct api_import *im, struct store *store, FILE *in, struct api_import_sum *sum,
                   char *why);

/* After store_close. NULL is ignored. */
void api_import_free(struct api_import *im);

#endif
