/* The ground of the memory store (see memory_db.h): finding a room and its events, packing and
 * unpacking these, and counting the memory that rooms take. */
#include "store/memory_db.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_COST = 16 }; /* of an allocation, beside its bytes */

struct mem_room *memory_find(struct mem *m, struct slice name)
{
    struct mem_room *room;
    struct mem_room *table = store_is_own(name) ? m->own : m->rooms;
    HASH_FIND(hh, table, name.ptr, name.len, room);
    return room;
}

/* Moves the room to the list of its size. */
static void classify(struct mem_room *room)
{
    int class = room->memory ? 63 - __builtin_clzll(room->memory) : 0;
    list_remove(&room->class_link);
    list_push(&room->mem->classes[class], &room->class_link);
}

static void account(struct mem_room *room, uint64_t delta)
{
    uint64_t before = room->memory;
    room->memory += delta;
    if (memory_is_own(room)) return;
    room->mem->memory += delta;
    atomic_store_explicit(&room->mem->base.bytes, room->mem->memory, memory_order_relaxed);
    if (!before || !room->memory || __builtin_clzll(before) != __builtin_clzll(room->memory))
        classify(room);
}

void memory_took(struct mem_room *room, size_t bytes)
{
    account(room, bytes + BLOCK_COST);
}

void memory_gave(struct mem_room *room, size_t bytes)
{
    account(room, 0 - (uint64_t)(bytes + BLOCK_COST));
}

size_t memory_lower_bound(const struct mem_room *room, uint64_t seq)
{
    size_t low = room->first;
    size_t high = room->end;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (room->events[mid]->seq < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Copies the text to *at; returns its length as it is kept. */
static uint32_t pack(char **at, struct slice text)
{
    if (!text.ptr) return MEM_NO_TEXT;
    if (text.len) memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return (uint32_t)text.len;
}

static struct slice unpack(const char **at, uint32_t len)
{
    if (len == MEM_NO_TEXT) return (struct slice){NULL, 0};
    struct slice text = {*at, len};
    *at += len;
    return text;
}

struct mem_event *memory_event_new(struct mem_room *room, const struct store_event *from)
{
    static_assert(STORE_TEXT_MAX_BYTES < MEM_NO_TEXT, "a length has its place");
    size_t size = sizeof(struct mem_event) + store_record_texts(from);
    struct mem_event *event = malloc(size);
    if (!event) return NULL;
    char *at = event->texts;
    *event = (struct mem_event){.seq = from->seq,
                                .ts_ms = from->ts_ms,
                                .edited_ms = from->edited_ms,
                                .target = from->target,
                                .reply_to = from->reply_to,
                                .kind = (uint8_t)from->kind,
                                .deleted = from->deleted};
    event->username_len = pack(&at, from->username);
    event->user_len = pack(&at, from->user);
    event->message_len = pack(&at, from->message);
    event->data_len = pack(&at, from->data);
    event->nonce_len = pack(&at, from->nonce);
    memory_took(room, size);
    return event;
}

/* Whatever it has become. */
static struct store_event as_put(const struct mem_event *event)
{
    const char *at = event->texts;
    struct store_event e = {.seq = event->seq,
                            .ts_ms = event->ts_ms,
                            .kind = event->kind,
                            .target = event->target,
                            .reply_to = event->reply_to,
                            .edited_ms = event->edited_ms};
    e.username = unpack(&at, event->username_len);
    e.user = unpack(&at, event->user_len);
    e.message = unpack(&at, event->message_len);
    e.data = unpack(&at, event->data_len);
    e.nonce = unpack(&at, event->nonce_len);
    return e;
}

void memory_event_free(struct mem_room *room, struct mem_event *event)
{
    const struct store_event e = as_put(event);
    memory_gave(room, sizeof *event + store_record_texts(&e));
    free(event);
}

struct store_event memory_event_view(const struct mem_event *event)
{
    struct store_event e = as_put(event);
    if (e.kind == STORE_MESSAGE && event->edit) {
        e.message = as_put(event->edit).message;
        e.edited_ms = event->edit->ts_ms;
    }
    if (event->deleted) e.message = e.data = (struct slice){NULL, 0};
    e.deleted = e.kind == STORE_MESSAGE && event->deleted;
    return e;
}

size_t memory_event_weigh(const struct mem_event *event)
{
    const struct store_event e = memory_event_view(event);
    return store_record_texts(&e) + STORE_RECORD_COST;
}
