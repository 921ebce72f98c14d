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
    memcpy(id.epoch, room->epoch, ID_EPOCH_LEN);
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
    static const enum rich_event_type types[STORE_KIND_COUNT] = {
        [STORE_EDIT] = RICH_EVENT_EDIT,
        [STORE_DELETE] = RICH_EVENT_DELETE,
        [STORE_REACT] = RICH_EVENT_REACT,
        [STORE_UNREACT] = RICH_EVENT_UNREACT,
    };
    /* The edits of a deleted message have lost their text. */
    if (e->kind == STORE_EDIT && !e->message.ptr) return 0;
    const struct rich_event change = {
        .type = types[e->kind],
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
