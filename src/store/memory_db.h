/* What the files of the memory store share: its rooms.
 *
 * Which file stands on which. A call goes down only; a function has its place in the lowest file
 * that sees all that it needs:
 *   store_memory.c                       the ops table, batches
 *   memory_trim.c                        retention
 *   memory_rooms.c    memory_reader.c    making and freeing rooms; pages and searches
 *   memory_state.c    memory_marks.c     what messages have become; markers
 *   memory_db.c                          rooms and events, counting memory */
#ifndef STORE_MEMORY_DB_H
#define STORE_MEMORY_DB_H

#include <pthread.h>

#include "base/list.h"
#include "base/table.h"
#include "store/store_backend.h"

enum { MEM_CLASSES = 64 };

/* A user's reaction; while its message is kept, taken back or not. The key is what says which. */
struct mem_reaction {
    UT_hash_handle hh;
    struct mem_reaction *next; /* of the same emoji */
    bool on;
    size_t key_len;
    char key[];
};

/* An emoji of a message; with a count of 0 it is as good as gone. */
struct mem_emoji {
    struct mem_emoji *next; /* of the same message */
    struct mem_reaction *reactions;
    uint64_t first; /* seq of the event since which the count is not 0 */
    uint32_t count;
    size_t len;
    char text[];
};

#define MEM_NO_TEXT UINT32_MAX /* the length of a text that does not exist */

/* An event that is kept, in one block with its texts. The writer's thread makes it and frees it, so
 * that memory which has long been cold never goes from one thread to another. */
struct mem_event {
    uint64_t seq;
    int64_t ts_ms;
    int64_t edited_ms; /* as put: before the edits that are known here */
    uint64_t target;
    uint64_t reply_to;
    /* A message's last edit, and an edit's predecessor, which may be gone if the message is. */
    struct mem_event *edit;
    struct mem_emoji *emojis;
    uint32_t skip[2]; /* so many from it on, towards the newest and the oldest, are known to be no
                         message that is shown, and never will be; 0: not known. The readers' */
    uint32_t username_len;
    uint32_t user_len;
    uint32_t message_len;
    uint32_t data_len;
    uint32_t nonce_len;
    uint8_t kind;
    bool deleted; /* a message, or an edit of one that is: has no message and data any more */
    char texts[]; /* in this order */
};

/* A user's read marker. */
struct mem_mark {
    UT_hash_handle hh;
    uint64_t seq;
    size_t user_len;
    char user[];
};

struct mem_room {
    UT_hash_handle hh;
    struct mem *mem;
    struct list class_link; /* in the list of rooms of about its size */
    struct list over_link;  /* in the list of those that have too much */
    uint64_t memory;        /* bytes allocated for it, as counted in mem->memory */
    char epoch[EVENT_EPOCH_LEN];
    uint64_t last_seq; /* 0: nothing was ever committed, the room does not exist yet */
    uint64_t trimmed_seq;
    uint64_t outages; /* of the store, at the last commit */
    uint64_t bytes;
    struct mem_event **events;
    size_t first;
    size_t end; /* events[first..end) are kept */
    size_t cap;
    struct mem_reaction *reactions; /* of all messages, by key */
    struct mem_mark *marks;         /* by user; the one moved longest ago first */
    size_t name_len;
    char name[];
};

/* How to undo one put. */
struct mem_undo {
    struct mem_room *room;
    struct mem_event *event; /* what was put; NULL: this marker */
    struct mem_mark *mark;
    uint64_t last_seq; /* before, as is outages: of the room, or the marker; 0: it is new */
    uint64_t outages;
    struct mem_event *target; /* the message that the event has changed, or NULL */
    struct mem_reaction *reaction;
    struct mem_emoji *emoji;
    uint64_t emoji_first; /* before */
};

struct mem {
    struct store_backend base;
    pthread_mutex_t lock;
    struct mem_room *rooms;           /* but for the server's own, */
    struct mem_room *own;             /* which are here, and in no list */
    uint64_t memory;                  /* bytes allocated for all of rooms */
    struct list classes[MEM_CLASSES]; /* rooms by the binary logarithm of their memory */
    struct list over;
    /* Retention by age: no room has an older event than oldest_ms, or a sweep is on its way. */
    int64_t oldest_ms;
    int64_t sweep_oldest_ms; /* of those that the sweep has seen */
    bool sweeps;
    struct mem_room *sweep; /* where it goes on */
    uint64_t outages;
    unsigned undo_count;
    struct mem_undo undo[STORE_BATCH_MAX];
};

static inline struct mem *mem_of(struct store_backend *b)
{
    return (struct mem *)b;
}

static inline bool memory_is_own(const struct mem_room *room)
{
    return store_is_own((struct slice){room->name, room->name_len});
}

/* The room, or NULL. Under the lock, as all below. */
struct mem_room *memory_find(struct mem *m, struct slice name);

/* Memory of this many bytes was allocated for the room, or freed. */
void memory_took(struct mem_room *room, size_t bytes);
void memory_gave(struct mem_room *room, size_t bytes);

/* Index of the first event with seq >= the given one; end if there is none. */
size_t memory_lower_bound(const struct mem_room *room, uint64_t seq);

/* A copy of the event, without its reactions; NULL if memory is short. The room is charged. */
struct mem_event *memory_event_new(struct mem_room *room, const struct store_event *from);
void memory_event_free(struct mem_room *room, struct mem_event *event);

/* What the event has become, without reactions; its texts are borrowed. */
struct store_event memory_event_view(const struct mem_event *event);

/* The weight of that, as in a store_record. */
size_t memory_event_weigh(const struct mem_event *event);

/* Does what the event of u, the last one of its room, means for its target, and notes in u how to
 * undo it. 0 or ERR_NOMEM. */
int memory_state_apply(struct mem_undo *u);

/* For what was applied: undo in reverse order, or commit, which does what cannot be undone. */
void memory_state_undo(const struct mem_undo *u);
void memory_state_commit(const struct mem_undo *u);

/* Frees an event of the room with its reactions; its place in the array is the caller's. */
void memory_state_drop(struct mem_room *room, struct mem_event *event);

/* The same for a marker, to be put at seq. Its place in the order is that of its last commit until
 * memory_marks_commit, after which memory_marks_trim takes out what is over the cap. */
int memory_marks_put(struct mem_undo *u, struct slice user, uint64_t seq);
void memory_marks_undo(const struct mem_undo *u);
void memory_marks_commit(const struct mem_undo *u);
void memory_marks_trim(struct mem_room *room);
void memory_marks_free(struct mem_room *room);

/* Makes a room; NULL if memory is short. */
struct mem_room *memory_rooms_add(struct mem *m, struct slice name);

/* Frees the room with all it has. */
void memory_rooms_free(struct mem_room *room);

/* Makes place for one more event at the end. 0 or ERR_NOMEM. */
int memory_rooms_reserve(struct mem_room *room);

/* Gives back what an array of events that was long once does not need any more. */
void memory_rooms_shrink(struct mem_room *room);

/* The readers' part of the interface, for the ops table. */
int memory_load(struct store_backend *b, unsigned reader, struct slice name, int64_t since_ms,
                struct store_load *out);
int memory_page(struct store_backend *b, unsigned reader, const struct store_query *q,
                struct store_answer *out);
int memory_parse(struct store_backend *b, struct slice text, struct buf *out);
int memory_search(struct store_backend *b, unsigned reader, const struct store_search *q,
                  struct store_answer *out);
int memory_list(struct store_backend *b, unsigned reader, struct slice after, unsigned limit,
                struct store_room_list *out);

/* After a batch: notes which of its rooms have too much. */
void memory_trim_note(struct mem *m);

/* For the ops table. */
int memory_trim_step(struct store_backend *b, int64_t now_ms, uint64_t *trimmed);

#endif
