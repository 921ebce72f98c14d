/* Nonces: what was posted into a room with which nonce in the last five minutes, so that a client
 * that never saw its ack may send the same message again without posting it twice (protocol
 * section 5).
 *
 * Why this shape: a hash table finds an entry by user and nonce, and the order in which the table
 * (uthash) keeps its entries anyway is that of posting, so the oldest is always the first. Old
 * entries are taken out a few at a time, whenever one is added: never many under the room's lock.
 *
 * Invariants
 *  1. An entry is pending from nonces_add to nonces_settle, and does not expire in between. What
 *     was posted first is also committed first, so the pending ones are the newest; one that stays
 *     pending keeps those behind it from expiring, hence every one has to be settled or removed.
 *  2. Expiry compares the time at which an entry was added with now_ms, oldest entry first, and
 *     stops at one that stays. The caller's clock may go back, then what is behind stays longer
 *     than it has to; it does not jump forward (guarded_clock.h), or entries would expire early.
 *  3. Only the caller puts something into waiters, and takes it out before the entry goes.
 *
 * Embedded in the room and called under its lock; entries are the room's. A zeroed struct is empty;
 * an empty one owns no memory. */
#ifndef JOURNAL_NONCES_H
#define JOURNAL_NONCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/table.h"

enum {
    NONCE_KEEP_MS = 5 * 60 * 1000,
    NONCE_KEY_MAX = 512,   /* bytes of user and nonce together; a longer one is not kept */
    NONCES_MAX = 1 << 20,  /* in a room; with more in five minutes nonces_add refuses */
    NONCES_ADD_EXPIRES = 4 /* entries that nonces_add takes out at most; over 1, so that it gains */
};

struct nonce_key {
    struct slice user; /* the stable id of who posts, or the name */
    struct slice nonce;
};

struct nonce {
    uint64_t seq;
    int64_t ts_ms;   /* of the message, since 1970 */
    int64_t from_ms; /* when it was added */
    bool pending;
    struct slink *waiters; /* the caller's: retries that wait for the commit */
    UT_hash_handle hh;
    char key[]; /* length of user, user, nonce */
};

struct nonces {
    struct nonce *first; /* uthash; oldest first */
    size_t entry_bytes;
};

/* Frees all entries, which have no waiters. Pending ones too: nobody may settle or remove them any
 * more. */
void nonces_fini(struct nonces *n);

/* The entry, or NULL. It may be older than NONCE_KEEP_MS. */
struct nonce *nonces_find(const struct nonces *n, const struct nonce_key *key);

/* Notes a nonce that nonces_find does not find: pending, without waiters. The texts are copied.
 * Takes expired entries out first, at most NONCES_ADD_EXPIRES. now_ms is its time, from which on it
 * is kept. NULL, with nothing noted: memory is
 * short, NONCES_MAX is reached even so, or the texts are over NONCE_KEY_MAX. The entry stays where
 * it is until it is removed or, once settled, until the next nonces_add or nonces_expire. */
struct nonce *nonces_add(struct nonces *n, const struct nonce_key *key, uint64_t seq, int64_t ts_ms,
                         int64_t now_ms);

/* Whether it is older than NONCE_KEEP_MS, and settled: to be taken for one that is not there. */
bool nonce_is_old(const struct nonce *entry, int64_t now_ms);

/* A pending entry was committed: it stays for as long as it is not expired. */
void nonces_settle(struct nonce *entry);

/* The message was refused: its nonce may be used again. Frees the entry, which has no waiters. */
void nonces_remove(struct nonces *n, struct nonce *entry);

/* Takes out up to max_steps entries that are older than NONCE_KEEP_MS and not pending; returns how
 * many. Fewer than max_steps: there is nothing more to take out now. */
size_t nonces_expire(struct nonces *n, int64_t now_ms, size_t max_steps);

size_t nonces_count(const struct nonces *n);

/* Bytes that were asked of the allocator. */
size_t nonces_bytes(const struct nonces *n);

#endif
