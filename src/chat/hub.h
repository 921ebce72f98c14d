/* The hub: finds rooms by name, loads what the store knows of them, and keeps the memory that their
 * recent past takes within a budget.
 *
 * A room exists while somebody refers to it or waits in it for the store's decision, and as long
 * after that as the memory of its recent past is not needed for others: who comes back to an empty
 * room is then served from memory too. So the number of rooms is bounded by the connections plus
 * the budget.
 *
 * What is counted, under `held`: every chunk of every log as long as it lives, whoever holds it;
 * every room with its index of the recent past, its nonces and markers (not the names that presence
 * and typing are about to tell, a few KiB for a second). The server counts under `answers` pages
 * that are read and what connections have yet to send; under `input` what clients have begun to
 * send and not finished, or what cannot be looked at yet; under `contexts` what clients may keep of
 * their compression. All together are to be within the budget. What can be forgotten for that is
 * forgotten, answers have at most their max and wait beyond it, input and contexts have at most
 * theirs and are refused beyond it, and while it is not enough (hub_is_pressed,
 * hub_input_is_pressed) the server closes those who hold most. */
#ifndef CHAT_HUB_H
#define CHAT_HUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/account.h"
#include "base/buf.h"
#include "chat/frame_log.h"
#include "chat/room.h"

struct hub;
struct journal;
struct room_log;

struct hub_options {
    uint64_t seed; /* random bits: make new epochs differ from those of any other process */
    uint64_t memory_budget_bytes; /* of all that is counted; 0: no recent past is kept */
    uint64_t message_max_bytes;   /* as a client sends it: there is memory for some of them */
    struct recent_limits recent;  /* of one log */
};

/* NULL if memory is short. */
struct hub *hub_new(const struct hub_options *options);

/* Before the first room; borrowed. */
void hub_set_store(struct hub *hub, struct store *store, struct journal *journal);

/* Every member has to have left, every dirty feed to be settled, and the store to be closed. */
void hub_free(struct hub *hub);

/* The room if it is in memory, with a reference; or NULL. Any thread. */
struct room *hub_find(struct hub *hub, struct slice name);

/* Whether the room is in memory. Any thread. */
bool hub_has(struct hub *hub, struct slice name);

void room_ref(struct room *room);
void room_unref(struct room *room);

/* Somebody on the way into a room: first it waits until the room is READY (hub_enter); then it
 * becomes a member (room_join), or only has the room to speak in. Of zeroed memory. */
struct join {
    uint64_t client;              /* who asks, as in struct store_asker */
    void (*wake)(struct join *j); /* any thread; must not block */

    /* While it waits. */
    struct slink link;
    struct room *room; /* a reference, to be given back with room_unref */
    int err;           /* why it did not work */
    unsigned tries;
    atomic_bool gone; /* nobody waits any more, but wake is called; set by whoever waits */

    /* What the member asks for, */
    enum encoding encoding;
    unsigned worker;  /* the calling one */
    bool resume;      /* it gave a `since` */
    struct id since;  /* seq 0 and an epoch of zeros: it could not be read */
    unsigned history; /* else, or if it cannot be resumed: newest messages */
    struct slice username;
    uint64_t now_ms; /* monotonic */
    int64_t wall_ms;
    bool behind; /* its socket does not take what it was offered: it gets no place in the recent
                    past, which would pin it there, but reads page by page */

    /* and what it gets. */
    struct id head;    /* everything with a larger seq will arrive live */
    bool recovered;    /* everything after `since` will arrive; true if none was given */
    uint32_t replayed; /* events of the recent past that arrive first */
    uint64_t members;  /* it included */
    enum presence_due presence;
    /* The past is not in memory: the caller reads it from the store, and resumes the member, which
     * is blocked until then. With recovered: all after `since`; else the `history` newest. */
    bool from_store;
};

/* Finds, makes or loads the room. 0: j->room is READY. ERR_AGAIN: wake will be called, and then
 * either j->err is set or j->room is READY. In both cases j->room holds a reference. Otherwise an
 * error, and no reference. Any thread. */
int hub_enter(struct hub *hub, struct slice name, struct join *j);

/* Lets the zeroed member in at the head of the log of j->room, or at its place in the recent past:
 * what lies between is delivered first, once the caller calls feed_resume. The room is READY.
 * ERR_AGAIN: the past is being read into memory; j will be woken, then call again. ERR_NOMEM,
 * ERR_STORE: no change. Worker's thread, as for every feed_ call. */
int room_join(struct join *j, struct member *m);

/* Takes the member out; a member of no room is left alone (PRESENCE_NOTHING). The room stays valid
 * for the caller only with a reference of its own. */
enum presence_due room_leave(struct member *m, struct slice username, uint64_t now_ms);

/* Whether nobody is in the room, which is READY, or ever spoke in it. Any thread. */
bool room_is_new(struct room *room);

/* Members now. Any thread. */
uint32_t room_member_count(struct room *room);

/* A member goes by another name. Any thread. */
enum presence_due room_rename(struct room *room, struct slice from, struct slice to,
                              uint64_t now_ms);

/* The calling worker's feed of a log, or NULL. */
struct feed *room_feed(struct room *room, enum encoding encoding, unsigned worker);

/* Whether a worker has rich members of the room. Any thread. */
bool room_has_rich(struct room *room, unsigned worker);

/* Rooms in use now. Any thread. */
uint64_t hub_room_count(struct hub *hub);

/* Bytes of recent past in memory. Any thread. */
uint64_t hub_recent_bytes(const struct hub *hub);

/* Bytes of all that is counted. Any thread. */
uint64_t hub_memory_bytes(const struct hub *hub);

/* Where pages on their way and unsent output are counted; input that is not finished; contexts of
 * compression; other memory that peers can make the server keep. Shared. */
struct account *hub_answers(struct hub *hub);
struct account *hub_input(struct hub *hub);
struct account *hub_contexts(struct hub *hub);
struct account *hub_held(struct hub *hub);

/* Answers have come near to their max; or more is counted than twice that (which is the budget
 * unless it is very small), and it is not only the rooms, their recent pasts and contexts. So
 * whoever is behind has to go. Any thread. */
bool hub_is_pressed(const struct hub *hub);

/* Half of what there is for unfinished input is in use: beyond one client's share, so it is many
 * that hold it, and those who have little of it are to find room. Any thread. */
bool hub_input_is_pressed(const struct hub *hub);

/* Forgets the recent past of some rooms if there is too much. Any thread. */
void hub_relieve(struct hub *hub);

/* Takes out some nonces that are old, and what is older than the limits' age from the recent past.
 * To be called once a second or so, with the time as in struct submission: it goes on where it was.
 * Any thread, one at a time. */
void hub_sweep(struct hub *hub, int64_t now_ms);

/* Checks that what is counted is what is there (tests and debug builds): room by room what it says
 * of itself; the sums; and, of the chunks, that they are all counted. alone: no member is behind
 * and nobody has counted anything of its own in `held`, so that it has to be exact. Nothing else
 * may run. */
void hub_check(struct hub *hub, bool alone);

/* For the other files of chat. */
struct store *hub_store(const struct hub *hub);
struct journal *hub_journal(const struct hub *hub);
const struct recent_limits *hub_recent_limits(const struct hub *hub);

/* The room is not the next whose recent past is forgotten. */
void hub_note_use(struct room *room);

/* Counts what the locked room takes now. True: call hub_balance once it is
 * unlocked. */
bool hub_account_locked(struct room *room);

/* Notes that the room has a recent past, and forgets that of some others if it is too much for the
 * budget. No room is locked; the caller has a reference on the room. */
void hub_balance(struct room *room);

/* Whether anybody who waits in the room still wants to; false too if none of the logs of `filling`
 * (bits; 0: any) is to be filled. Any thread; the room is not locked. */
bool room_is_waited(struct room *room, unsigned filling);

/* Calls wake of every struct join in the chain. No room is locked. */
void room_wake_all(struct slink *waits, int err);

/* The log of the locked room, made when it is first wanted, which changes what the room takes. NULL
 * if memory is short. */
struct room_log *hub_log_locked(struct room *room, unsigned encoding);

/* Forgets the recent past of the locked room. */
void room_forget_locked(struct room *room);

/* Frees a detached, clean feed and its reference on the room. */
void hub_feed_free(struct feed *r);

#endif
