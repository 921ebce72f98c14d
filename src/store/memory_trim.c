/* Retention in the memory store. As in the SQLite store nothing walks over all rooms to find that
 * there is nothing to do: a batch notes which of its rooms have too much; rooms are listed by size,
 * to a factor of two, so that the largest is at hand when all together take too much memory; and
 * the time of the oldest event of all says when somebody may have one that is too old. */
#include "store/memory_db.h"

#include <stdlib.h>
#include <string.h>

enum { ROOMS_MAX = 64 }; /* looked at in a step */

/* What a step still may take. */
struct step {
    struct mem *m;
    int64_t before_ms;
    unsigned rooms;
    uint64_t trimmed;
    uint64_t bytes;
};

static bool may_go_on(const struct step *t)
{
    return t->rooms < ROOMS_MAX && t->trimmed < STORE_TRIM_MAX && t->bytes < STORE_TRIM_MAX_BYTES;
}

/* As in the SQLite store, the newest stays. */
static bool has_too_much(const struct mem_room *room)
{
    const struct store_keep *keep = &room->mem->base.keep;
    size_t count = room->end - room->first;
    if (memory_is_own(room)) return false;
    return count > 1 && ((keep->max_events && count > keep->max_events) ||
                         (keep->max_bytes && room->bytes > keep->max_bytes));
}

static bool has_much_too_much(const struct mem_room *room)
{
    const struct store_keep *keep = &room->mem->base.keep;
    size_t count = room->end - room->first;
    return (keep->max_events && count >= keep->max_events + STORE_TRIM_MAX) ||
           (keep->max_bytes && room->bytes >= keep->max_bytes + STORE_TRIM_MAX_BYTES / 4);
}

static bool uses_too_much(const struct mem *m)
{
    return m->base.limits.max_bytes && m->memory > m->base.limits.max_bytes && m->rooms;
}

/* Takes the oldest event. */
static void drop_oldest(struct step *t, struct mem_room *room)
{
    struct mem_event *oldest = room->events[room->first];
    uint64_t bytes = room->bytes;
    room->trimmed_seq = oldest->seq;
    memory_state_drop(room, oldest);
    t->trimmed++;
    t->bytes += bytes - room->bytes;
    room->first++;
    memory_rooms_shrink(room);
}

static bool is_aged(const struct step *t, const struct mem_room *room)
{
    return room->first < room->end && room->events[room->first]->ts_ms < t->before_ms;
}

static void tidy_listed(struct step *t)
{
    struct mem *m = t->m;
    while (may_go_on(t) && !list_empty(&m->over)) {
        struct mem_room *room = container_of(m->over.next, struct mem_room, over_link);
        list_remove(&room->over_link);
        while (may_go_on(t) && has_too_much(room))
            drop_oldest(t, room);
        if (has_too_much(room)) list_push(&m->over, &room->over_link);
        t->rooms++;
    }
}

static void tidy_largest(struct step *t)
{
    struct mem *m = t->m;
    int class = MEM_CLASSES - 1;
    while (may_go_on(t) && uses_too_much(m)) {
        while (list_empty(&m->classes[class]))
            class --;
        struct mem_room *room = container_of(m->classes[class].next, struct mem_room, class_link);
        if (room->first < room->end) drop_oldest(t, room);
        if (room->first == room->end) memory_rooms_free(room);
        m->base.trims_rooms = true;
    }
}

static void tidy_aged(struct step *t)
{
    struct mem *m = t->m;
    if (!m->sweeps) {
        if (m->oldest_ms >= t->before_ms) return;
        m->sweeps = true;
        m->sweep = m->rooms;
        m->sweep_oldest_ms = INT64_MAX;
        m->oldest_ms = INT64_MAX; /* of what comes meanwhile */
    }
    while (may_go_on(t) && m->sweep) {
        struct mem_room *room = m->sweep;
        while (may_go_on(t) && is_aged(t, room))
            drop_oldest(t, room);
        if (is_aged(t, room)) return;
        m->sweep = room->hh.next;
        t->rooms++;
        if (room->first == room->end)
            memory_rooms_free(room);
        else if (room->events[room->first]->ts_ms < m->sweep_oldest_ms)
            m->sweep_oldest_ms = room->events[room->first]->ts_ms;
    }
    if (m->sweep) return;
    m->sweeps = false;
    if (m->sweep_oldest_ms < m->oldest_ms) m->oldest_ms = m->sweep_oldest_ms;
}

static void set_need(const struct step *t)
{
    struct mem *m = t->m;
    bool again = !may_go_on(t) || m->sweep || uses_too_much(m);
    m->base.trim_need = again ? TRIM_NOW : list_empty(&m->over) ? TRIM_NONE : TRIM_SOON;
    atomic_store(&m->base.rooms, HASH_COUNT(m->rooms));
    atomic_store(&m->base.bytes, m->memory);
}

int memory_trim_step(struct store_backend *b, int64_t now_ms, uint64_t *trimmed)
{
    struct mem *m = mem_of(b);
    struct step t = {.m = m, .before_ms = INT64_MIN};
    uint64_t max_age_ms = b->keep.max_age_ms;
    if (max_age_ms && now_ms > 0 && max_age_ms < (uint64_t)now_ms)
        t.before_ms = now_ms - (int64_t)max_age_ms;
    pthread_mutex_lock(&m->lock);
    tidy_listed(&t);
    tidy_largest(&t);
    tidy_aged(&t);
    set_need(&t);
    pthread_mutex_unlock(&m->lock);
    *trimmed = t.trimmed;
    return 0;
}

void memory_trim_note(struct mem *m)
{
    struct store_backend *b = &m->base;
    for (unsigned i = 0; i < m->undo_count; i++) {
        struct mem_room *room = m->undo[i].room;
        const struct mem_event *event = m->undo[i].event;
        if (event && event->ts_ms < m->oldest_ms) m->oldest_ms = event->ts_ms;
        if (!has_too_much(room)) continue;
        if (list_empty(&room->over_link)) list_push(&m->over, &room->over_link);
        if (has_much_too_much(room)) b->trim_need = TRIM_NOW;
        if (b->trim_need == TRIM_NONE) b->trim_need = TRIM_SOON;
    }
    if (uses_too_much(m)) b->trim_need = TRIM_NOW;
    atomic_store(&b->rooms, HASH_COUNT(m->rooms));
}
