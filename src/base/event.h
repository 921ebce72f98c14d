/* What the layers have to agree on of the events in a room's log: their kinds, and the epoch in
 * their ids. */
#ifndef BASE_EVENT_H
#define BASE_EVENT_H

#include <stdbool.h>

#include "base/buf.h"

/* The one table of kinds. A row says all that differs from kind to kind, but for what the store
 * makes of it; each layer reads the columns that are its own.
 *
 * X(symbol in enum store_kind (store.h), word, what its text is, enum action (policy.h) of whoever
 * causes it). A row's place is its number in databases: new ones go to the end. */
#define EVENT_KIND_TABLE(X)                                                                        \
    X(STORE_MESSAGE, "message", EVENT_TEXT_MESSAGE, ACTION_PUBLISH)                                \
    X(STORE_EDIT, "edit", EVENT_TEXT_MESSAGE, ACTION_EDIT)                                         \
    X(STORE_DELETE, "delete", EVENT_TEXT_NONE, ACTION_DELETE)                                      \
    X(STORE_REACT, "react", EVENT_TEXT_EMOJI, ACTION_REACT)                                        \
    X(STORE_UNREACT, "unreact", EVENT_TEXT_EMOJI, ACTION_REACT)

enum event_text { EVENT_TEXT_NONE, EVENT_TEXT_MESSAGE, EVENT_TEXT_EMOJI };

struct event_kind {
    const char *word; /* `type` in frames that ask for it or tell of it, `kind` in an export */
    enum event_text text;
};

/* By enum store_kind. All but the first are changes of a message. */
extern const struct event_kind event_kinds[];

/* The number of the kind with this word, or -1. Any thread. */
int event_kind_find(struct slice word);

/* The first part of an id (protocol section 4), of 0-9 and a-z. A room gets another one whenever
 * its log is another one. */
enum { EVENT_EPOCH_LEN = 8 };
bool event_epoch_is_valid(const char *epoch);

#endif
