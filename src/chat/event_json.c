/* See event_json.h. */
#include "chat/event_json.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/room.h"
#include "proto/envelope.h"
#include "proto/rich.h"

static struct id id_of(const struct event_room *room, uint64_t seq)
{
    struct id id = {.seq = seq};
    memcpy(id.epoch, room->epoch, EVENT_EPOCH_LEN);
    return id;
}

static int encode_message(const struct event_room *room, const struct store_event *e,
                          enum event_form form, struct buf *out)
{
    struct envelope_message m = {
        .room = room->name,
        .username = e->username,
        .message = e->message,
        .data = e->data,
        .id = id_of(room, e->seq),
        .ts_ms = e->ts_ms,
        .user = e->user,
        .nonce = e->nonce,
        .reply_to = e->reply_to,
        .edited_ms = e->edited_ms,
    };
    if (form == EVENT_BARE) return envelope_encode_bare(&m, out, ROOM_FRAME_MAX_BYTES);
    struct envelope_reaction reactions[EVENT_REACTIONS_MAX];
    if (form == EVENT_PAGE) {
        while (m.reaction_count < e->reaction_count && m.reaction_count < EVENT_REACTIONS_MAX) {
            const struct store_reaction *r = &e->reactions[m.reaction_count];
            reactions[m.reaction_count++] = (struct envelope_reaction){r->emoji, r->count};
        }
        m.reactions = reactions;
    }
    return envelope_encode_full(&m, out, ROOM_FRAME_MAX_BYTES);
}

static int encode_change(const struct event_room *room, const struct store_event *e,
                         struct buf *out)
{
    const struct event_kind *kind = &event_kinds[e->kind];
    /* The edits of a deleted message have lost their text. */
    if (kind->text != EVENT_TEXT_NONE && !e->message.ptr) return 0;
    const struct rich_event change = {
        .kind = kind,
        .room = room->name,
        .target = id_of(room, e->target),
        .id = id_of(room, e->seq),
        .ts_ms = e->ts_ms,
        .username = e->username,
        .user = e->user,
        .text = e->message,
    };
    return rich_encode_event(&change, out, ROOM_FRAME_MAX_BYTES);
}

int event_encode(const struct event_room *room, const struct store_event *e, enum event_form form,
                 struct buf *out)
{
    if (e->kind == STORE_MESSAGE) return e->deleted ? 0 : encode_message(room, e, form, out);
    return form == EVENT_RICH && e->kind < STORE_KIND_COUNT ? encode_change(room, e, out) : 0;
}

const struct store_event *event_message(const struct store_page *page, uint64_t seq)
{
    const struct store_event *e = page->count ? page->events[0] : NULL;
    return e && e->seq == seq && e->kind == STORE_MESSAGE && !e->deleted ? e : NULL;
}

/* The events of a page, encoded one behind the other. */
struct encoded {
    struct buf json;
    size_t ends[STORE_PAGE_MAX];
};

static size_t begin_of(const struct encoded *e, size_t i)
{
    return i ? e->ends[i - 1] : 0;
}

/* The event from which an AROUND grows: the one at its position, else the next, else the last. */
static size_t anchor(const struct store_page *page, uint64_t position)
{
    size_t i = 0;
    while (i + 1 < page->count && page->events[i]->seq < position)
        i++;
    return i;
}

/* Grows from one event to as many as fit, on both sides in turn where there are two. */
static void choose(const struct encoded *e, const struct store_page *page,
                   const struct event_window *w, size_t *from, size_t *to)
{
    size_t n = page->count;
    *from = w->direction == STORE_AFTER    ? 0
            : w->direction == STORE_BEFORE ? n - 1
                                           : anchor(page, w->position);
    *to = *from + 1;
    bool before = *from > 0;
    bool after = *to < n;
    while (before || after) {
        if (after) after = *to < n && e->ends[*to] - begin_of(e, *from) <= w->max_bytes;
        if (after) ++*to;
        if (before) before = *from > 0 && e->ends[*to - 1] - begin_of(e, *from - 1) <= w->max_bytes;
        if (before) --*from;
    }
}

static int append_window(const struct encoded *e, size_t from, size_t to, struct buf *out)
{
    int err = 0;
    for (size_t i = from; i < to && !err; i++) {
        size_t len = e->ends[i] - begin_of(e, i);
        if (i > from && len) err = buf_append(out, ",", 1, ROOM_FRAME_MAX_BYTES);
        if (!err) err = buf_append(out, e->json.data + begin_of(e, i), len, ROOM_FRAME_MAX_BYTES);
    }
    return err;
}

int event_encode_page(const struct event_room *room, const struct store_page *page,
                      struct event_window *window, struct buf *out)
{
    struct encoded e = {.json = {0}};
    size_t from;
    size_t to;
    int err = 0;
    window->cut = false;
    if (page->count == 0) return 0;
    for (size_t i = 0; i < page->count && !err; i++) {
        err = event_encode(room, page->events[i], EVENT_PAGE, &e.json);
        e.ends[i] = e.json.len;
    }
    if (!err) {
        choose(&e, page, window, &from, &to);
        window->cut = to - from < page->count;
        err = append_window(&e, from, to, out);
    }
    buf_fini(&e.json);
    return err;
}
