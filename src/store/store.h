/* The store: what a room has said, kept beyond its members and beyond the process.
 *
 * Why it is made like this: a worker must never wait for a disk. So every call here only puts a
 * request into a bounded queue; one writer thread commits all that is queued in one transaction
 * (group commit: the more is waiting, the cheaper each message), a few reader threads answer
 * questions, and answers come through callbacks on those threads. Queues, threads, caps and the
 * behaviour when a disk fails are in store_core.h's files, once; an implementation is a struct of
 * blocking functions (store_backend.h), opened by store_memory.h or store_sqlite.h, which main
 * alone names.
 *
 * Promises
 *  1. An append is completed exactly once, appends of one room in the order they were queued.
 *  2. Completed with 0: it is as durable as the implementation was opened for, and every later read
 *     has it. Completed with an error: no read ever returns it, in this life or a later one.
 *  3. A read sees every append that was queued before it: it waits for that batch.
 *  4. At most STORE_IN_FLIGHT_MAX appends are ever uncommitted, and outages of store_room says how
 *     often so many may have been accepted since the room's last_seq and lost, also by kill -9.
 *     Whoever gives the seqs goes on beyond them. Seqs of a room may have gaps.
 *  5. After a failure that no append can get past the store is unhealthy: appends and loads are
 *     refused with ERR_STORE at once, pages are still read. It tries in the background what every
 *     append needs until that succeeds.
 *  6. What fails because of damage in one place fails alone: an append with ERR_STORE_DAMAGED, a
 *     question with ERR_STORE_READ. Everything else goes on, and on_trouble is told.
 *
 * Callbacks must not block, and must not call store_close. They may call the other functions. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/account.h"
#include "base/buf.h"
#include "base/event.h"

enum {
    STORE_IN_FLIGHT_MAX = 65536, /* appends queued or being committed; part of the id promise */
    STORE_IN_FLIGHT_MAX_BYTES = 64 << 20,
    STORE_MARKS_SHARE = 4,  /* one part in so many of them may be read markers, so that a flood
                               of these keeps no message out */
    STORE_BATCH_MAX = 4096, /* appends in one transaction: bounds how long a commit takes, as */
    STORE_BATCH_MAX_BYTES = 4 << 20, /* does their weight, but for one that is larger */
    STORE_READS_MAX = 65536,         /* requests waiting for a reader, but for: */
    STORE_CLIENT_READS_MAX = STORE_READS_MAX / 4, /* those of one client; more are refused */
    STORE_CLIENT_READS_SURE = 64, /* so many of a client wait even if there are STORE_READS_MAX */
    STORE_READERS_MAX = 8,
    STORE_PAGE_MAX = 1000, /* events in a page */
    STORE_PAGE_MAX_BYTES = 4 << 20,
    STORE_ROOMS_MAX = 1000,       /* rooms in a list */
    STORE_NONCES_MAX = 1 << 20,   /* told of a room when it is loaded; the newest */
    STORE_MARKS_MAX = 10000,      /* read markers of a room; the one moved longest ago goes */
    STORE_REACTIONS_MAX = 64,     /* different emoji of a message; another one is left out */
    STORE_REACTORS_MAX = 10000,   /* reactions of a message; another one is left out */
    STORE_EDITS_MAX = 64,         /* edits of a message that keep their text, the newest ones */
    STORE_PREFIX_MIN_BYTES = 3,   /* in a search: what begins with less is too much to look at */
    STORE_SEARCH_MAX_BYTES = 512, /* of what is searched for */
    STORE_INDEX_WAIT_MS = 250,    /* a search waits so long for the newest messages to be indexed */
    STORE_TRIM_MAX = 256,         /* events removed by one step of retention, then appends go on */
    STORE_TRIM_MAX_BYTES = 1 << 20, /* likewise, but for one event that is larger */
    STORE_SECRET_BYTES = 32,
    STORE_NAME_MAX_BYTES = 255,
    STORE_TEXT_MAX_BYTES = 1 << 24, /* each text of an event */
};

#define STORE_SEQ_MAX ((UINT64_C(1) << 53) - 1) /* protocol.md section 4 */

/* Logs of the server's own are rooms whose names begin with this: that of no room can which clients
 * enter (proto/name.h). They are written and read as others are. Retention, limits and lists leave
 * them alone, so what they hold is neither lost to what is said in rooms nor seen there. */
enum { STORE_OWN_PREFIX = '/' };

static inline bool store_is_own(struct slice room)
{
    return room.len > 0 && room.ptr[0] == STORE_OWN_PREFIX;
}

enum store_kind {
#define X(symbol, word, text, action) symbol,
    EVENT_KIND_TABLE(X)
#undef X
        STORE_KIND_COUNT,
};

/* How many users reacted with it. */
struct store_reaction {
    struct slice emoji;
    uint32_t count;
};

/* One entry of a room's log. Texts are UTF-8 and may hold U+0000; a NULL ptr is "does not exist",
 * which is not the same as an empty text. The store does not look into them.
 *
 * The store keeps what a message has become, too. An EDIT puts its `message` in place of the
 * target's; a DELETE takes the target's message and data away for good, and those of its edits; a
 * REACT or UNREACT adds or takes back the reaction (in `message`: the emoji) of its user (of
 * `user` if there is one, else of `username`), at most once per user and emoji. A target that is
 * not a message, is deleted, or is trimmed is left as it is; the event itself is kept in any case
 * (an EDIT whose target is deleted later, or that STORE_EDITS_MAX others have followed: without its
 * message and data).
 */
struct store_event {
    uint64_t seq; /* 1..STORE_SEQ_MAX */
    int64_t ts_ms;
    enum store_kind kind;
    uint64_t target;   /* seq of the message that this changes; 0: none */
    uint64_t reply_to; /* seq; 0: none */
    struct slice username;
    struct slice user; /* stable id of who is signed in */
    struct slice message;
    struct slice data; /* raw JSON */
    struct slice nonce;

    /* Of a MESSAGE in a page, what it has become; ignored by store_append, but for `deleted` and
     * `edited_ms`, which an import gives. */
    int64_t edited_ms; /* ts_ms of its last edit; 0: none */
    bool deleted;
    const struct store_reaction *reactions; /* in the order in which they first came */
    size_t reaction_count;
};

/* What is known of a room. */
struct store_room {
    char epoch[EVENT_EPOCH_LEN];
    uint64_t first_seq;   /* oldest event that is kept; 0: none */
    uint64_t last_seq;    /* newest event ever committed */
    uint64_t trimmed_seq; /* everything up to here may have been removed by retention, or was never
                             here: prev_seq of the room's first event */
    uint64_t outages;     /* times since last_seq that accepted events may have been lost */
};

/* Events to keep per room; 0: no limit. The newest are kept, and the newest of all in any case
 * unless it is too old. A room whose last event goes is gone with its read markers: whoever still
 * has it in memory may go on with its epoch, everybody else gets ERR_NOT_FOUND and makes a new one.
 *
 * Age is measured by a clock that is doubted when it jumps forward, see guarded_clock.h. */
struct store_keep {
    uint64_t max_age_ms;
    uint64_t max_events;
    uint64_t max_bytes; /* of the texts, plus a constant for each event */
};

/* What everything together may take; 0: no limit. */
struct store_limits {
    uint64_t max_rooms;  /* rooms that have an event; ERR_ROOMS_FULL for a new one beyond */
    uint64_t max_bytes;  /* SQLite: of the file, but for its WAL. Memory: of what is allocated */
    bool trim_when_full; /* the oldest events of the largest rooms go, before max_bytes is reached;
                            else appends are refused with ERR_STORE_FULL. Memory always does so */
};

/* What an operator should know of. */
enum store_notice {
    STORE_CLOCK_JUMPED,   /* seconds ahead; max_age_ms does not believe it yet */
    STORE_CLOCK_BACK,     /* seconds back; max_age_ms goes by it */
    STORE_CLOCK_BELIEVED, /* seconds it was ahead, or 0: it is right again */
    STORE_ROOMS_FULL,     /* rooms; a new one was refused; at most once in STORE_NOTICE_S */
    STORE_FULL,           /* bytes; appends are refused */
    STORE_NOT_FULL,       /* bytes; appends are accepted again */
    STORE_TRIMS,          /* bytes; rooms are trimmed to make place; as STORE_ROOMS_FULL */
    STORE_QUEUE_FULL,     /* in flight; an append or a marker was refused; as STORE_ROOMS_FULL */
    STORE_NOTICE_COUNT,
};

enum { STORE_NOTICE_S = 600 };

/* A nonce that was given with a message. */
struct store_nonce {
    uint64_t seq;
    int64_t ts_ms;
    struct slice user; /* the event's user if there is one, else its username */
    struct slice nonce;
};

/* How far a user has read: a read marker. */
struct store_mark {
    uint64_t seq;
    struct slice user;
};

/* Answer to store_load_room. */
struct store_loaded {
    struct store_room room;
    const struct store_nonce *nonces; /* younger than nonce_ms, oldest first */
    size_t nonce_count;
    const struct store_mark *marks; /* the one moved longest ago first */
    size_t mark_count;
};

struct store_done {
    void *tag;                       /* as given to store_append or store_move_mark */
    struct slice room;               /* borrowed for the call, as is the event */
    const struct store_event *event; /* as given; of a marker: seq, and the user as username */
    int err;   /* 0, ERR_STORE; of this one alone: ERR_STORE_DAMAGED, ERR_ROOMS_FULL,
                  ERR_STORE_FULL, or ERR_STORE_ORDER: another epoch, or seq not above the last one */
    bool mark; /* it was a marker; ERR_STORE_ORDER: another epoch, or no such room */
};

/* Once per batch, in the order of the appends. done is borrowed for the call. Writer thread. */
typedef void store_done_fn(void *ctx, const struct store_done *done, size_t count);

/* Health is about to be lost: nothing was refused for it yet; or is there again. text says why, for
 * the log. Writer thread, or the opener's. */
typedef void store_health_fn(void *ctx, bool healthy, const char *text);

/* Something could not be read, or not be written while the rest could. */
struct store_trouble {
    const char *what;  /* was wanted: "a page", "an event"; static */
    struct slice room; /* whose; empty: of no one room. A name may be a secret */
    const char *text;  /* why, in the implementation's words; static */
    int code;          /* the same as its number */
    int os_error;      /* an errno, or 0 */
    bool damage;       /* it does not go away by itself */
    uint64_t count;    /* times there was trouble in this life, this one included */
    int64_t since_ms;  /* the first of them, by the clock */
    int64_t last_ms;   /* now, by the clock */
};

/* Borrowed for the call. Writer and reader threads. */
typedef void store_trouble_fn(void *ctx, const struct store_trouble *trouble);

/* See enum store_notice. Any thread. */
typedef void store_notice_fn(void *ctx, enum store_notice what, uint64_t number);

/* What was found out about the files, beyond failures. */
enum store_file_event {
    STORE_FILE_RESTORED, /* the file is an older one, or a copy; every room has a new epoch */
    STORE_FILE_LOST,     /* what was acknowledged is not there */
    STORE_FILE_TOUCHED,  /* another program has written to the database while it was not open */
    STORE_FILE_STALE,    /* a file that does not belong to the database was set aside */
    STORE_FILE_UPGRADE,  /* it has an older schema and gets the newest, which takes a while */
};

/* While the store is opened, or later by the writer thread; text is for the log. */
typedef void store_file_fn(void *ctx, enum store_file_event what, const char *text);

/* What has become of an import; see store_sqlite.h. */
enum store_import {
    STORE_IMPORT_NONE,    /* nothing is there */
    STORE_IMPORT_KEEP,    /* all is there */
    STORE_IMPORT_UNKNOWN, /* all or nothing: the disk failed at the very end, and goes on failing */
};

/* A clock in ms, for retention and nonces by age. Writer and reader threads. */
typedef int64_t store_clock_fn(void);

struct store_options {
    store_done_fn *on_done;
    store_health_fn *on_health;   /* or NULL */
    store_trouble_fn *on_trouble; /* or NULL */
    store_notice_fn *on_notice;   /* or NULL */
    store_file_fn *on_file;       /* or NULL */
    store_clock_fn *now_ms;       /* since 1970; NULL: the system's */
    store_clock_fn
        *elapsed_ms; /* since whenever, never set, sleep counts too; NULL: the system's */
    void *ctx;       /* of these callbacks */
    uint8_t *secret; /* or NULL: set, while the store is opened, to STORE_SECRET_BYTES that nobody
                        else knows. They were made with its data, and stay with it */
    struct store_keep keep;
    struct store_limits limits;
    uint32_t nonce_ms;      /* how long a nonce is told of; 0: 300,000 */
    unsigned readers;       /* threads, 1..STORE_READERS_MAX; 0: 2 */
    unsigned in_flight_max; /* 0: STORE_IN_FLIGHT_MAX, which is also the most */
    unsigned trim_pause_ms; /* between two looks at what is too old or a little too much; 0: 1000 */
    unsigned retry_first_ms; /* first wait after a failure, doubled up to 5 s; 0: 100 */
};

/* Who asks a question, and whether the answer is still wanted when its turn comes. Zeroed: the
 * server itself, at any time.
 *
 * client: who asks, as a number that nobody can choose. Clients take turns, and each has at most
 * STORE_CLIENT_READS_MAX questions waiting. 0: the server.
 * account: the question is answered once there is room for so many bytes here, to which they are
 * then added, for the callback to take off again whatever the error, but for ERR_CLOSED. Shared.
 * wanted: asked with the callback's ctx. False: the callback gets ERR_CLOSED, and nothing is read.
 * A reader's thread; may lock what the callback may lock. */
struct store_asker {
    uint64_t client;
    uint32_t bytes;            /* of memory that the answer takes */
    struct account *account;   /* NULL: at once */
    bool (*wanted)(void *ctx); /* NULL: it is */
};

enum store_direction {
    STORE_AFTER,  /* seq > position, from there on */
    STORE_BEFORE, /* seq < position, up to there; STORE_SEQ_MAX + 1: the newest page */
    STORE_AROUND, /* half before position, the rest from position on */
    STORE_NEWEST, /* of the `limit` newest with seq < position the oldest, as many as fit: a page to
                     be read on with AFTER. What is newer may follow them */
};

struct store_query {
    struct slice room;
    enum store_direction direction;
    uint64_t position;
    unsigned limit;     /* 1..STORE_PAGE_MAX */
    size_t max_bytes;   /* at least one event is given, and no further one beyond; 0: the most */
    bool messages_only; /* no deleted ones, no changes: what a reader of history wants to see */
    bool reactions;     /* fill them in */
    unsigned count_max; /* count what matches from position on, in page->total, up to this */
    struct store_asker asker;
};

/* A page, oldest first; shorter than asked for if it would pass STORE_PAGE_MAX_BYTES. Read in one
 * transaction together with room. */
struct store_page {
    struct store_room room;
    const struct store_event *const *events;
    size_t count;
    bool more_before; /* of BEFORE and AROUND */
    bool more_after;  /* of AFTER, AROUND and NEWEST */
    uint64_t total;   /* of AFTER and BEFORE: at most count_max, the page included. Of NEWEST: how
                         many they are */
};

/* Messages of one room that hold every word of the text. */
struct store_search {
    struct slice room;
    struct slice text; /* what a person typed; no syntax */
    uint64_t before;   /* seq < before; STORE_SEQ_MAX + 1: all */
    unsigned limit;    /* 1..STORE_PAGE_MAX */
};

/* The rooms whose names follow one. */
struct store_rooms_query {
    struct slice after; /* empty: from the first */
    unsigned limit;     /* 1..STORE_ROOMS_MAX */
    struct store_asker asker;
};

/* A room in a list. */
struct store_room_info {
    struct slice name;
    struct store_room room;
    uint64_t events;    /* kept */
    uint64_t bytes;     /* their weight, as for keep.max_bytes */
    int64_t last_ts_ms; /* of the newest event; 0: none is kept */
};

struct store_rooms {
    const struct store_room_info *rooms; /* by name, in byte order */
    size_t count;
    bool more;
};

/* err: 0, ERR_NOT_FOUND, ERR_NOMEM, ERR_STORE_READ, ERR_CLOSED (not wanted any more), of a load
 * also ERR_ROOMS_FULL: it does not exist, and no other may; the struct, borrowed for the call, is
 * set iff 0. A reader thread. */
typedef void store_room_fn(void *ctx, int err, const struct store_loaded *loaded);
typedef void store_rooms_fn(void *ctx, int err, const struct store_rooms *rooms);
typedef void store_page_fn(void *ctx, int err, const struct store_page *page);

struct store_stats {
    uint64_t committed;      /* events */
    uint64_t failed;         /* events completed with an error */
    uint64_t refused;        /* events and markers not accepted because too much was in flight */
    int64_t refused_last_ms; /* the last one, by the clock */
    uint64_t batches;        /* transactions tried, of events and markers */
    uint64_t trimmed;        /* events */
    uint64_t reads;
    uint64_t faults; /* times that its files were not what they should be */
    uint64_t in_flight;
    uint64_t in_flight_bytes;
    uint64_t read_errors;     /* questions that could not be answered */
    uint64_t troubles;        /* they, and what else on_trouble is told of */
    int64_t trouble_since_ms; /* the first one; 0: there was none */
    int64_t trouble_last_ms;  /* the last one */
    bool damaged;             /* one of them was damage, which is still there */
    uint64_t rooms;           /* that have an event */
    uint64_t bytes; /* as of limits.max_bytes; SQLite measures it only if there is that limit */
};

struct store;

/* Queues a copy of the event. The room is created with this epoch by its first event. Appends of
 * one room have to be called in the order of their seqs (under the room's lock). tag comes back in
 * store_done. Returns 0, and on_done will follow; or, and nothing follows: ERR_STORE (unhealthy, or
 * too much is in flight), ERR_STORE_FULL, ERR_NOMEM, ERR_TOO_LONG (a text). Never blocks. Any
 * thread.
 */
struct store_append {
    struct slice room; /* 1..STORE_NAME_MAX_BYTES */
    const char *epoch; /* EVENT_EPOCH_LEN bytes */
    const struct store_event *event;
    void *tag;
    bool kick_follows; /* the caller will call store_kick soon: waking the writer costs a switch of
                          threads, which is better paid once for many events */
    uint64_t prev_seq; /* of the event before it in the room, 0: none. Of the room's first here it
                          becomes trimmed_seq */
};
int store_append(struct store *s, const struct store_append *a);

/* Queues a read marker: the user has read up to mark.seq. It goes the way of an append (queue,
 * order, durability, in flight but for STORE_MARKS_SHARE, errors, on_done), but it is no event: it
 * has no seq of its own, no page shows it, and retention leaves it alone. It moves forward only; a
 * seq that is not above the marker's is completed with 0 and changes nothing. The room has to have
 * had an event. At STORE_MARKS_MAX the marker of the room that was moved longest ago goes. Any
 * thread. */
struct store_move {
    struct slice room; /* as of store_append, as are epoch, tag and kick_follows */
    const char *epoch;
    struct store_mark mark;
    void *tag;
    bool kick_follows;
};
int store_move_mark(struct store *s, const struct store_move *m);

/* The writer begins with what was appended with kick_follows, unless it is busy anyway. Any thread.
 */
void store_kick(struct store *s);

/* Asks for a room. fn gets ERR_STORE while the store is unhealthy: outages are not known then.
 * Returns 0, and fn will be called; ERR_BUSY (too much of this client is waiting), ERR_STORE_READ
 * (it is closing) or ERR_NOMEM, and it will not. asker NULL: the server itself; what it says of
 * memory is not looked at. Any thread. */
int store_load_room(struct store *s, const struct store_asker *asker, struct slice room,
                    store_room_fn *fn, void *ctx);

/* Asks for a page. As store_load_room, but also answered while unhealthy. Clients take turns, rooms
 * and single messages come before pages of more. Any thread. */
int store_read_page(struct store *s, const struct store_query *q, store_page_fn *fn, void *ctx);

/* Asks for messages, newest first (more_before: there are older ones). ERR_BAD_REQUEST at once if
 * the text has no word or is over STORE_SEARCH_MAX_BYTES. A word is a run of letters and digits in
 * any script; case and diacritics do not matter, and the last one, if it has
 * STORE_PREFIX_MIN_BYTES, may be the beginning of a word. Finds every message that was queued
 * before, but under a steady heavy load the newest may be found late. While more than that is
 * missing in the index (it is being made, or cannot be written), fn gets ERR_STORE_READ: what would
 * be found is not all. asker NULL: the server itself. Else as store_read_page. */
int store_search(struct store *s, const struct store_asker *asker, const struct store_search *q,
                 store_page_fn *fn, void *ctx);

/* Asks for a list of rooms. As store_read_page, and in turn with pages. */
int store_list_rooms(struct store *s, const struct store_rooms_query *q, store_rooms_fn *fn,
                     void *ctx);

/* False from a failure until a write has succeeded again. Any thread. */
bool store_healthy(const struct store *s);

/* True while appends are refused with ERR_STORE_FULL. Any thread. */
bool store_full(const struct store *s);

/* Tells STORE_QUEUE_FULL if appends or markers were refused since the last call: they are refused
 * under locks, where nothing is told. Any thread, without locks; about once a second. */
void store_tell_refused(struct store *s);

/* Why it is not healthy, cut to size; empty if it is. Any thread. */
enum { STORE_PROBLEM_MAX = 256 };
void store_problem(struct store *s, char out[static STORE_PROBLEM_MAX]);

void store_stats(struct store *s, struct store_stats *out);

/* Completes everything that is queued, stops the threads, frees s. No other call may be running or
 * follow. NULL is ignored. Not from a callback. */
void store_close(struct store *s);

#endif
