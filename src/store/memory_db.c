/* The ground of the memory store (see memory_db.h): finding a room and its events, and counting the
 * memory that rooms take. */
#include "store/memory_db.h"

enum { BLOCK_COST = 16 }; /* of an allocation, beside its bytes */

struct mem_room *memory_find(struct mem *m, struct slice name)
{
    struct mem_room *room;
    HASH_FIND(hh, m->rooms, name.ptr, name.len, room);
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
        if (room->events[mid].record->event.seq < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}
