/* The JSON of an event of a room's log, as members of each kind receive it. Pure; any thread. */
#ifndef CHAT_EVENT_JSON_H
#define CHAT_EVENT_JSON_H

#include "base/buf.h"
#include "store/store.h"

enum event_form {
    EVENT_BARE, /* rung 0: messages only */
    EVENT_FULL, /* rung 1: messages only */
    EVENT_RICH, /* messages as in FULL, and their changes, as they happened */
    EVENT_PAGE, /* a message as it is now, with the count of its reactions */
};

enum { EVENT_REACTIONS_MAX = 64 }; /* kinds of them shown of one message; the first */

struct event_room {
    struct slice name;
    const char *epoch; /* EVENT_EPOCH_LEN bytes */
};

/* Appends one JSON object, or nothing if the event is none for this form: a change for those who
 * are not told of changes, a deleted message for anybody. ERR_NOMEM, ERR_TOO_LONG; out as it was.
 */
int event_encode(const struct event_room *room, const struct store_event *e, enum event_form form,
                 struct buf *out);

/* The message that a page with this seq in front begins with; NULL if that is none, or deleted. */
const struct store_event *event_message(const struct store_page *page, uint64_t seq);

/* Which of the events of a page are encoded: as many as fit, and at least one. */
struct event_window {
    enum store_direction
        direction; /* AFTER: the first, BEFORE: the last, AROUND: those nearest to */
    uint64_t position;
    size_t max_bytes; /* after encoding, which makes six bytes of some */
    bool cut;         /* set: there were more */
};

/* Appends the messages of the page, separated by commas. Errors as event_encode. */
int event_encode_page(const struct event_room *room, const struct store_page *page,
                      struct event_window *window, struct buf *out);

#endif
