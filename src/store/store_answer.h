/* What a reader collects before its callback is called, and the rules of pages that every
 * implementation has to follow in the same way. */
#ifndef STORE_STORE_ANSWER_H
#define STORE_STORE_ANSWER_H

#include "store/store.h"
#include "store/store_arena.h"
#include "store/store_record.h"

/* A page. */
struct store_answer {
    struct store_room room;
    struct store_record *records[STORE_PAGE_MAX];
    size_t count;
    bool more_before;
    bool more_after;
    uint64_t total;
    struct store_arena arena; /* of the reactions */
};

/* The nonces of a room. */
struct store_nonces {
    struct store_nonce *list;
    size_t count;
    size_t cap;
    struct store_arena texts;
};

/* The read markers of a room, the one moved longest ago first. */
struct store_marks {
    struct store_mark *list;
    size_t count;
    size_t cap;
    struct store_arena texts;
};

/* A room that is loaded. */
struct store_load {
    struct store_room room;
    struct store_nonces nonces;
    struct store_marks marks;
};

struct store_room_list {
    struct store_room_info rooms[STORE_ROOMS_MAX];
    size_t count;
    bool more;
    struct store_arena names;
};

/* A part of a page: the events on one side of a position, nearest first. */
struct store_span {
    bool backward;      /* seq < position, else seq > position */
    bool messages_only; /* as in store_query */
    uint64_t position;
    size_t limit;
    size_t sure; /* so many are taken whatever they weigh */
    size_t max_bytes;
    size_t bytes; /* of those taken */
    size_t count;
    bool more; /* there was one that was not taken */
};

/* Appends the span's events to out, offering each to store_answer_take first; stops at a refusal.
 * 0, ERR_STORE_READ or ERR_NOMEM. */
typedef int store_span_fn(void *ctx, struct store_span *span, struct store_answer *out);

/* True if the span takes an event of this weight; the caller appends it. */
bool store_answer_take(struct store_span *span, size_t bytes);

/* Fills the page by asking for one or two spans: order, caps of bytes, more_before and more_after.
 * Errors of fn. */
int store_answer_page(struct store_answer *out, const struct store_query *q, store_span_fn *fn,
                      void *ctx);

/* Gives the record its reactions, a copy; the emoji are in out->arena already. 0 or ERR_NOMEM. */
int store_answer_react(struct store_answer *out, struct store_record *record,
                       const struct store_reaction *reactions, size_t count);

void store_answer_fini(struct store_answer *a);

/* Adds a copy. 0, ERR_NOMEM, or ERR_FULL at STORE_NONCES_MAX. */
int store_nonces_add(struct store_nonces *n, const struct store_nonce *nonce);

/* Oldest first. */
void store_nonces_sort(struct store_nonces *n);

void store_nonces_fini(struct store_nonces *n);

/* Adds a copy. 0, ERR_NOMEM, or ERR_FULL at STORE_MARKS_MAX. */
int store_marks_add(struct store_marks *m, const struct store_mark *mark);

void store_marks_fini(struct store_marks *m);

#endif
