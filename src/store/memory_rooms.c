/* Rooms of the memory store: making and freeing them, and the array in which one keeps its events,
 * sorted by seq, with a gap at the front where retention has removed some. */
#include "store/memory_db.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { EVENTS_MIN_CAP = 16, SHRINK_MIN_CAP = 64 }; /* up to that an array does not shrink */

struct mem_room *memory_rooms_add(struct mem *m, struct slice name)
{
    struct mem_room *room = calloc(1, sizeof *room + name.len);
    if (!room) return NULL;
    memcpy(room->name, name.ptr, name.len);
    room->name_len = name.len;
    struct mem_room **table = store_is_own(name) ? &m->own : &m->rooms;
    HASH_ADD_KEYPTR(hh, *table, room->name, room->name_len, room);
    if (!room->hh.tbl) {
        free(room);
        return NULL;
    }
    room->mem = m;
    list_init(&room->class_link);
    list_init(&room->over_link);
    memory_took(room, sizeof *room + name.len);
    return room;
}

void memory_rooms_free(struct mem_room *room)
{
    struct mem *m = room->mem;
    for (size_t i = room->first; i < room->end; i++)
        memory_state_drop(room, room->events[i]);
    memory_marks_free(room);
    if (m->sweep == room) m->sweep = room->hh.next;
    struct mem_room **table = memory_is_own(room) ? &m->own : &m->rooms;
    HASH_DEL(*table, room);
    if (!memory_is_own(room)) m->memory -= room->memory;
    list_remove(&room->class_link);
    list_remove(&room->over_link);
    free(room->events);
    free(room);
}

int memory_rooms_reserve(struct mem_room *room)
{
    if (room->end < room->cap) return 0;
    size_t kept = room->end - room->first;
    if (kept && room->first > kept) { /* the gap is the larger part */
        memmove(room->events, room->events + room->first, kept * sizeof *room->events);
        room->first = 0;
        room->end = kept;
        return 0;
    }
    size_t cap = room->cap ? room->cap * 2 : EVENTS_MIN_CAP;
    void *events = realloc(room->events, cap * sizeof *room->events);
    if (!events) return ERR_NOMEM;
    memory_took(room, (cap - room->cap) * sizeof *room->events);
    room->events = events;
    room->cap = cap;
    return 0;
}

void memory_rooms_shrink(struct mem_room *room)
{
    size_t kept = room->end - room->first;
    if (room->cap <= SHRINK_MIN_CAP || kept > room->cap / 4) return;
    memmove(room->events, room->events + room->first, kept * sizeof *room->events);
    room->first = 0;
    room->end = kept;
    size_t cap = room->cap / 2;
    void *events = realloc(room->events, cap * sizeof *room->events);
    if (!events) return; /* next time */
    memory_gave(room, (room->cap - cap) * sizeof *room->events);
    room->events = events;
    room->cap = cap;
}
