/* The hash of every table whose keys a client chooses (names of rooms, nonces). It has a key that
 * nobody outside knows, or a client could choose names that all fall into one bucket.
 *
 * For uthash: table.h. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-2-4 (Aumasson and Bernstein, 2012). Any thread. */
uint64_t hash_siphash(const uint8_t key[static 16], const void *data, size_t len);

/* The same with the key of this process. Any thread. */
uint64_t hash_keyed(const void *data, size_t len);

#endif
