/* What messages have become, in the memory store. An edit or a reaction is younger than its
 * message, and retention takes the oldest first: so a message may borrow the text of its edit.
 *
 * Everything is done in put and undone by a rollback, but for two things that cannot be undone and
 * are done at commit: the texts of deleted messages go, and emoji that nobody uses any more. */
#include "store/memory_db.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

static struct mem_event *find_event(struct mem_room *room, uint64_t seq)
{
    size_t at = memory_lower_bound(room, seq);
    if (at == room->end || room->events[at].record->event.seq != seq) return NULL;
    return &room->events[at];
}

static void set_message(struct mem_room *room, struct store_record *r, struct slice message)
{
    room->bytes += message.len - r->event.message.len;
    r->bytes += message.len - r->event.message.len;
    r->event.message = message;
}

static void wipe_texts(struct mem_room *room, struct store_record *r)
{
    room->bytes -= r->event.data.len;
    r->bytes -= r->event.data.len;
    r->event.data = (struct slice){NULL, 0};
    set_message(room, r, r->event.data);
}

static struct slice user_of(const struct store_event *e)
{
    return e->user.ptr ? e->user : e->username;
}

static struct mem_emoji *find_emoji(const struct mem_event *target, struct slice text)
{
    struct mem_emoji *emoji = target->emojis;
    while (emoji && (emoji->len != text.len || memcmp(emoji->text, text.ptr, text.len) != 0))
        emoji = emoji->next;
    return emoji;
}

static struct mem_emoji *add_emoji(struct mem_room *room, struct mem_event *target,
                                   struct slice text)
{
    struct mem_emoji *emoji = calloc(1, sizeof *emoji + text.len);
    if (!emoji) return NULL;
    if (text.len) memcpy(emoji->text, text.ptr, text.len);
    emoji->len = text.len;
    emoji->next = target->emojis;
    target->emojis = emoji;
    memory_took(room, sizeof *emoji + text.len);
    return emoji;
}

static void put_bytes(char **at, const void *bytes, size_t len)
{
    if (len) memcpy(*at, bytes, len);
    *at += len;
}

/* The reaction of this user, made if it does not exist; NULL if memory is short. */
static struct mem_reaction *get_reaction(struct mem_room *room, struct mem_emoji *emoji,
                                         const struct store_event *e)
{
    struct slice who = user_of(e);
    size_t key_len = sizeof e->target + sizeof emoji->len + emoji->len + who.len;
    struct mem_reaction *found;
    struct mem_reaction *r = calloc(1, sizeof *r + key_len);
    if (!r) return NULL;
    char *at = r->key;
    put_bytes(&at, &e->target, sizeof e->target);
    put_bytes(&at, &emoji->len, sizeof emoji->len);
    put_bytes(&at, emoji->text, emoji->len);
    put_bytes(&at, who.ptr, who.len);
    r->key_len = key_len;
    HASH_FIND(hh, room->reactions, r->key, key_len, found);
    if (found) {
        free(r);
        return found;
    }
    HASH_ADD_KEYPTR(hh, room->reactions, r->key, key_len, r);
    if (!r->hh.tbl) {
        free(r);
        return NULL;
    }
    r->next = emoji->reactions;
    emoji->reactions = r;
    memory_took(room, sizeof *r + key_len);
    return r;
}

static void turn(struct mem_emoji *emoji, struct mem_reaction *reaction, bool on, uint64_t seq)
{
    if (on && emoji->count == 0) emoji->first = seq;
    emoji->count += on ? 1 : -1U;
    reaction->on = on;
}

static unsigned used_emoji(const struct mem_event *target)
{
    unsigned n = 0;
    for (const struct mem_emoji *emoji = target->emojis; emoji; emoji = emoji->next)
        n += emoji->count > 0;
    return n;
}

static uint64_t count_reactions(const struct mem_event *target)
{
    uint64_t n = 0;
    for (const struct mem_emoji *emoji = target->emojis; emoji; emoji = emoji->next)
        n += emoji->count;
    return n;
}

static int react(struct mem_event *target, const struct store_event *e, struct mem_undo *u)
{
    bool on = e->kind == STORE_REACT;
    if (!e->message.ptr || (on && count_reactions(target) >= STORE_REACTORS_MAX)) return 0;
    struct mem_emoji *emoji = find_emoji(target, e->message);
    if (!emoji || emoji->count == 0) {
        if (!on || used_emoji(target) >= STORE_REACTIONS_MAX) return 0;
        if (!emoji) emoji = add_emoji(u->room, target, e->message);
        if (!emoji) return ERR_NOMEM;
    }
    struct mem_reaction *reaction = get_reaction(u->room, emoji, e);
    if (!reaction) return ERR_NOMEM;
    if (reaction->on == on) return 0;
    u->target = e->target;
    u->emoji = emoji;
    u->emoji_first = emoji->first;
    u->reaction = reaction;
    turn(emoji, reaction, on, e->seq);
    return 0;
}

static void edit(struct mem_event *target, const struct store_event *e, struct mem_undo *u)
{
    struct store_event *message = &target->record->event;
    u->target = e->target;
    u->message = message->message;
    u->edited_ms = message->edited_ms;
    u->edit = target->edit;
    find_event(u->room, e->seq)->edit = target->edit;
    target->edit = e->seq;
    message->edited_ms = e->ts_ms;
    set_message(u->room, target->record, e->message);
}

int memory_state_apply(struct mem_undo *u)
{
    const struct store_event *e = u->event;
    struct mem_event *target = e->target ? find_event(u->room, e->target) : NULL;
    u->target = 0;
    if (!target || target->record->event.kind != STORE_MESSAGE || target->record->event.deleted)
        return 0;
    if (e->kind == STORE_EDIT) edit(target, e, u);
    if (e->kind == STORE_DELETE) {
        u->target = e->target;
        target->record->event.deleted = true;
    }
    return e->kind == STORE_REACT || e->kind == STORE_UNREACT ? react(target, e, u) : 0;
}

static void free_emoji(struct mem_room *room, struct mem_emoji *emoji)
{
    while (emoji->reactions) {
        struct mem_reaction *r = emoji->reactions;
        emoji->reactions = r->next;
        CHECK(room->reactions); /* each is in the table */
        HASH_DEL(room->reactions, r);
        memory_gave(room, sizeof *r + r->key_len);
        free(r);
    }
    memory_gave(room, sizeof *emoji + emoji->len);
    free(emoji);
}

static void sweep_emoji(struct mem_room *room, struct mem_event *event, bool all)
{
    struct mem_emoji **at = &event->emojis;
    while (*at) {
        struct mem_emoji *emoji = *at;
        if (all || emoji->count == 0) {
            *at = emoji->next;
            free_emoji(room, emoji);
        } else {
            at = &emoji->next;
        }
    }
}

void memory_state_undo(const struct mem_undo *u)
{
    const struct store_event *e = u->event;
    struct mem_event *event = find_event(u->room, e->seq);
    CHECK(event);
    sweep_emoji(u->room, event, true); /* what reacted to it is undone */
    if (!u->target) return;
    struct mem_event *target = find_event(u->room, u->target);
    CHECK(target);
    struct store_event *message = &target->record->event;
    if (e->kind == STORE_DELETE) message->deleted = false;
    if (e->kind == STORE_EDIT) {
        set_message(u->room, target->record, u->message);
        message->edited_ms = u->edited_ms;
        target->edit = u->edit;
    }
    if (e->kind == STORE_REACT || e->kind == STORE_UNREACT) {
        turn(u->emoji, u->reaction, e->kind == STORE_UNREACT, 0);
        u->emoji->first = u->emoji_first;
    }
}

void memory_state_commit(const struct mem_undo *u)
{
    const struct store_event *e = u->event;
    if (!u->target) return;
    struct mem_event *target = find_event(u->room, u->target);
    CHECK(target);
    if (e->kind == STORE_UNREACT) sweep_emoji(u->room, target, false);
    if (e->kind != STORE_DELETE) return;
    sweep_emoji(u->room, target, true);
    wipe_texts(u->room, target->record);
    for (uint64_t seq = target->edit; seq;) {
        struct mem_event *old = find_event(u->room, seq);
        wipe_texts(u->room, old->record);
        seq = old->edit;
    }
}

void memory_state_drop(struct mem_room *room, struct mem_event *event)
{
    sweep_emoji(room, event, true);
    room->bytes -= event->record->bytes;
    memory_gave(room, event->record->size);
    store_record_free(event->record);
}
