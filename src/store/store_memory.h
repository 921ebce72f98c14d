/* The store that forgets: rooms and their events in this process's memory, gone with it. For
 * `--data :memory:`, and for tests that want a store without a disk. Retention works as for the
 * others; without a limit in store_options.keep it grows for ever. A search reads the whole room,
 * and knows upper and lower case of ASCII only. */
#ifndef STORE_STORE_MEMORY_H
#define STORE_STORE_MEMORY_H

#include "store/store.h"

/* NULL if memory or threads are short. Close with store_close. */
struct store *store_memory_open(const struct store_options *options);

#endif
