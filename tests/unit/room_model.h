/* What was said in each room, and what a member may therefore see: the one model that the views of
 * all members are compared with.
 *
 * Every text that is published carries a number of its own, its label, from which the whole text
 * follows. So a frame says which event it is and as of which edit, also where it has no id.
 *
 * The rules, protocol section 6: a member's view begins at a place (its `since`, the head, or the
 * first event it is given) and has from there on every event of its kind, in order, once. An event
 * that was lost (the store refused it after it had been delivered) may be missing in what is read
 * later, and is missing once the room knows. A message that was deleted is not in anybody's past,
 * and what rung 1 is given from the past has edited text in place. */
#ifndef TESTS_ROOM_MODEL_H
#define TESTS_ROOM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "chat/hub.h"

enum { MODEL_ROOMS = 4, MODEL_TEXT_MAX = 4096 };

enum model_state { MODEL_PENDING, MODEL_COMMITTED, MODEL_LOST };

struct model_event {
    uint64_t seq;
    uint64_t target;
    uint64_t label;
    enum store_kind kind;
    enum model_state state;
    bool edited;      /* there is an edit of it, in whatever state */
    bool deleted;     /* or a delete */
    uint64_t refused; /* when the room was told that it is lost; 0: it was not */
};

struct model_room {
    char name[8];
    size_t name_len;
    char epoch[EVENT_EPOCH_LEN];
    struct model_event *events;
    size_t count;
    size_t cap;
};

struct model_place {
    unsigned room;
    uint64_t seq; /* 0: not published yet, or never */
};

struct model {
    struct model_room rooms[MODEL_ROOMS];
    struct model_place *places; /* by label */
    uint64_t label_count;
    uint64_t label_cap;
    uint64_t clock; /* counts joins and refusals */
    bool strict;
    uint64_t keep_events; /* what retention leaves at least; 0: all */
    bool forgets;         /* by age, too: how much is left is not known */
};

/* What one member of a room has received since it joined. */
struct view {
    const struct model *model;
    unsigned room;
    enum encoding encoding;
    uint64_t head;
    uint64_t pos; /* everything up to here is received, or not for this member */
    bool open;    /* pos is not known before the first event */
    bool past;    /* still before the first live event */
    bool from_store;
    uint32_t replayed;
    unsigned history;
    uint64_t began;
    uint32_t past_frames;
    uint32_t past_messages;
    uint64_t received;
};

void model_init(struct model *m);
void model_fini(struct model *m);

/* A new label; its text goes to text. */
uint64_t model_label(struct model *m, char text[static MODEL_TEXT_MAX], size_t *len);

/* The room has this epoch: what the model knows of it under another one must have been lost. */
void model_epoch(struct model *m, unsigned room, const char *epoch);

/* The event was published. */
void model_add(struct model *m, unsigned room, const struct store_event *e, uint64_t label);

/* The store has decided. */
void model_decide(struct model *m, struct slice room, uint64_t seq, bool lost);

/* The room was told that the event is lost: who comes from now on must not see it. */
void model_refuse(struct model *m, struct slice room, uint64_t seq);

/* Number of the room with this name. */
unsigned model_room(const struct model *m, struct slice name);

/* The event, or NULL. */
struct model_event *model_find(const struct model *m, unsigned room, uint64_t seq);

/* The first event that was not lost; 0: there is none. */
uint64_t model_first(const struct model *m, unsigned room);

/* How many events follow seq, and were not lost. */
uint64_t model_after(const struct model *m, unsigned room, uint64_t seq);

/* The member has joined. */
void view_begin(struct view *v, struct model *m, unsigned room, const struct join *j);

/* After a join from_store: the newest page comes instead of everything after `since`. */
void view_turn_to_newest(struct view *v, unsigned history);

/* The member received a frame with this JSON. */
void view_take(struct view *v, struct slice json);

/* The member has received everything there is. */
void view_end(struct view *v);

#endif
