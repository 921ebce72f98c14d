/* See store_record.h. */
#include "store/store_record.h"

#include <stdlib.h>
#include <string.h>

size_t store_record_texts(const struct store_event *event)
{
    return event->username.len + event->user.len + event->message.len + event->data.len +
           event->nonce.len;
}

/* Moves the text behind the block's used bytes; NULL stays NULL. */
static void move_in(struct slice *text, char **at)
{
    if (!text->ptr) return;
    if (text->len) memcpy(*at, text->ptr, text->len);
    text->ptr = *at;
    *at += text->len;
}

struct store_record *store_record_new(struct slice room, const struct store_event *event)
{
    size_t texts = store_record_texts(event);
    struct store_record *r = malloc(sizeof *r + room.len + texts);
    if (!r) return NULL;
    *r = (struct store_record){.room = room, .event = *event, .bytes = texts + STORE_RECORD_COST};
    r->event.reactions = NULL;
    r->event.reaction_count = 0;
    char *at = (char *)(r + 1);
    move_in(&r->room, &at);
    move_in(&r->event.username, &at);
    move_in(&r->event.user, &at);
    move_in(&r->event.message, &at);
    move_in(&r->event.data, &at);
    move_in(&r->event.nonce, &at);
    return r;
}

bool store_record_same_room(const struct store_record *a, const struct store_record *b)
{
    return slice_equal(a->room, b->room);
}

void store_record_free(struct store_record *r)
{
    free(r);
}
