/* uthash as it is used here: the one place that includes it (tools/check-includes).
 *
 * Why: a client chooses most keys (names of rooms and users, nonces, its address), and could choose
 * such that all fall into one bucket; so every table hashes with the key of this process (hash.h).
 * And uthash would end the process when memory is short; here the entry that could not be added has
 * hh.tbl NULL, and is the caller's to free. */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(ptr, len, hash) ((hash) = (unsigned)hash_keyed((ptr), (len)))

#include <uthash.h>

#include "base/hash.h"

#endif
