/* What messages have become, in the memory store. An edit or a reaction is younger than its
 * message, and retention takes the oldest first: so a message may borrow the text of its edit.
 *
 * Everything is done in put and undone by a rollback, but for what cannot be undone and is done at
 * commit: the reactions to deleted messages go, and emoji that nobody uses any more. */
#include "store/memory_db.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

static struct mem_event *find_event(struct mem_room *room, uint64_t seq)
{
    size_t at = memory_lower_bound(room, seq);
    if (at == room->end || room->events[at]->seq != seq) return NULL;
    return room->events[at];
}

static void set_edit(struct mem_room *room, struct mem_event *message, struct mem_event *edit)
{
    room->bytes -= memory_event_weigh(message);
    message->edit = edit;
    room->bytes += memory_event_weigh(message);
}

/* With its edits. */
static void set_deleted(struct mem_room *room, struct mem_event *message, bool deleted)
{
    for (struct mem_event *event = message; event; event = event->edit) {
        room->bytes -= memory_event_weigh(event);
        event->deleted = deleted;
        room->bytes += memory_event_weigh(event);
    }
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

static int react(struct mem_event *target, struct mem_undo *u)
{
    const struct store_event e = memory_event_view(u->event);
    bool on = e.kind == STORE_REACT;
    if (!e.message.ptr || (on && count_reactions(target) >= STORE_REACTORS_MAX)) return 0;
    struct mem_emoji *emoji = find_emoji(target, e.message);
    if (!emoji || emoji->count == 0) {
        if (!on || used_emoji(target) >= STORE_REACTIONS_MAX) return 0;
        if (!emoji) emoji = add_emoji(u->room, target, e.message);
        if (!emoji) return ERR_NOMEM;
    }
    struct mem_reaction *reaction = get_reaction(u->room, emoji, &e);
    if (!reaction) return ERR_NOMEM;
    if (reaction->on == on) return 0;
    u->target = target;
    u->emoji = emoji;
    u->emoji_first = emoji->first;
    u->reaction = reaction;
    turn(emoji, reaction, on, e.seq);
    return 0;
}

int memory_state_apply(struct mem_undo *u)
{
    struct mem_event *e = u->event;
    struct mem_event *target = e->target ? find_event(u->room, e->target) : NULL;
    if (e->kind == STORE_MESSAGE || !target || target->kind != STORE_MESSAGE || target->deleted)
        return 0;
    if (e->kind == STORE_REACT || e->kind == STORE_UNREACT) return react(target, u);
    u->target = target;
    if (e->kind == STORE_EDIT) {
        e->edit = target->edit;
        set_edit(u->room, target, e);
    }
    if (e->kind == STORE_DELETE) set_deleted(u->room, target, true);
    return 0;
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
    const struct mem_event *e = u->event;
    if (!u->target) return;
    if (e->kind == STORE_DELETE) set_deleted(u->room, u->target, false);
    if (e->kind == STORE_EDIT) set_edit(u->room, u->target, e->edit);
    if (e->kind == STORE_REACT || e->kind == STORE_UNREACT) {
        turn(u->emoji, u->reaction, e->kind == STORE_UNREACT, 0);
        u->emoji->first = u->emoji_first;
    }
}

void memory_state_commit(const struct mem_undo *u)
{
    bool deletes = u->event->kind == STORE_DELETE;
    if (u->target && (deletes || u->event->kind == STORE_UNREACT))
        sweep_emoji(u->room, u->target, deletes);
}

void memory_state_drop(struct mem_room *room, struct mem_event *event)
{
    sweep_emoji(room, event, true);
    room->bytes -= memory_event_weigh(event);
    memory_event_free(room, event);
}
