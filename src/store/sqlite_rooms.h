/* What the writer of the SQLite store knows of rooms; the writer thread's.
 *
 * The row of a room is read once and then kept in a cache. It is as of its last_seq: what came
 * after is its tail, of which the cache holds the sums, and whoever reads the row counts the tail
 * from the events. Writing the row with every batch would cost a lone message a third of its
 * writing; so it is written when the tail gets long, when the sums would no longer follow from the
 * events (an edit or a delete has changed older ones), and with the first events after an outage,
 * which it has to know of. A tail that is met without the cache knowing of it is written away too,
 * so that nobody adds it up again and again: by the next batch, and by retention. The cache holds
 * what is committed only between transactions: a rollback empties it.
 *
 * Since it has the sums, it knows which rooms have more than they may keep, and lists them for
 * retention, which so has no room to look at that was not written. The list outlives a rollback,
 * without the sums: one of it may have nothing too much, or not exist. */
#ifndef STORE_SQLITE_ROOMS_H
#define STORE_SQLITE_ROOMS_H

#include "base/table.h"
#include "store/sqlite_db.h"

struct sqlite_room {
    UT_hash_handle hh;
    struct sqlite_room *next_due;
    struct sqlite_room *next_over;
    bool due;     /* the row is written at the end of this batch */
    bool refused; /* an event of this batch was, whose seq was given */
    bool over;    /* it is in the list of those that have too much */
    bool found;   /* the row and its epoch are known */
    bool behind;  /* the tail was found with the row */
    char epoch[EVENT_EPOCH_LEN];
    int64_t id;
    int64_t last_seq;  /* the tail included */
    int64_t outages;   /* of the row */
    int64_t row_count; /* of the row */
    int64_t row_bytes;
    int64_t count; /* of the tail */
    int64_t bytes; /* what the row's have to become larger by */
    int64_t marks; /* -1: not counted yet */
    size_t name_len;
    char name[];
};

/* How much more it has than it may; 0 for no limit. */
static inline int64_t sqlite_rooms_excess(int64_t have, uint64_t most)
{
    return most && (uint64_t)have > most ? have - (int64_t)most : 0;
}

/* Keeps the cache within its cap; rooms in the list stay. Between transactions. */
void sqlite_rooms_bound(struct sqlite_store *s);

/* Forgets all, but which rooms are in the list. Nothing is lost with a tail: it is added up again
 * from its events. */
void sqlite_rooms_forget(struct sqlite_store *s);

/* Empties it. */
void sqlite_rooms_fini(struct sqlite_store *s);

/* The room, with its row read if it has one. Within a transaction, as all below. An SQLITE_ code.
 */
int sqlite_rooms_find(struct sqlite_store *s, struct slice name, struct sqlite_room **out);

/* Makes the row for the room's first event. An SQLITE_ code. */
int sqlite_rooms_add(struct sqlite_store *s, struct sqlite_room *room,
                     const struct store_record *r);

/* The event of r was written, and has made the room's others heavier by changed. */
void sqlite_rooms_grow(struct sqlite_store *s, struct sqlite_room *room,
                       const struct store_record *r, int64_t changed);

/* An event of the room was accepted and is refused alone: its seq must not be given again, so the
 * row counts an outage of its own. */
void sqlite_rooms_refused(struct sqlite_store *s, struct sqlite_room *room);

/* Writes the rows that are due. An SQLITE_ code. */
int sqlite_rooms_write(struct sqlite_store *s);

/* For a row that has a tail: writes the row with it. An SQLITE_ code; on error the transaction has
 * to be rolled back. */
int sqlite_rooms_settle(struct sqlite_store *s, struct sqlite_room *room);

/* Retention has taken so much from the row. */
void sqlite_rooms_shrink(struct sqlite_room *room, int64_t count, int64_t bytes);

/* The row is gone. */
void sqlite_rooms_gone(struct sqlite_room *room);

/* The first of the list, taken out of it; NULL: it is empty. */
struct sqlite_room *sqlite_rooms_next_over(struct sqlite_store *s);

/* Puts the room at the end of the list if it is not in it yet; the first only if it has too much.
 */
void sqlite_rooms_note_over(struct sqlite_store *s, struct sqlite_room *room);
void sqlite_rooms_list_over(struct sqlite_store *s, struct sqlite_room *room);

#endif
