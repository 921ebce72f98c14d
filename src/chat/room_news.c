/* What members of a room are told outside of its log, and what a room is called. See room.h. */
#include <string.h>

#include "chat/room.h"
#include "chat/room_state.h"

struct slice room_name(const struct room *room)
{
    return (struct slice){room->name, room->name_len};
}

const char *room_epoch(const struct room *room)
{
    return room->epoch;
}

bool room_gave(const struct room *room, const struct id *id)
{
    return memcmp(id->epoch, room->epoch, EVENT_EPOCH_LEN) == 0;
}

bool room_take_presence(struct room *room, bool put_off, uint64_t now_ms,
                        struct presence_news *news, enum presence_due *due)
{
    bool any = false;
    *due = PRESENCE_NOTHING;
    pthread_mutex_lock(&room->lock);
    if (put_off)
        *due = presence_put_off(&room->presence, now_ms);
    else
        any = presence_take(&room->presence, now_ms, news);
    pthread_mutex_unlock(&room->lock);
    return any;
}

enum presence_due room_on_presence_timer(struct room *room, uint64_t now_ms)
{
    pthread_mutex_lock(&room->lock);
    enum presence_due due = presence_on_timer(&room->presence, now_ms);
    pthread_mutex_unlock(&room->lock);
    return due;
}

void room_no_presence_timer(struct room *room)
{
    pthread_mutex_lock(&room->lock);
    room->presence.timer = false;
    pthread_mutex_unlock(&room->lock);
}

bool room_note_typing(struct room *room, const struct member *m, struct slice name, bool on)
{
    pthread_mutex_lock(&room->lock);
    bool first = typing_note(&room->typing, m, name, on);
    pthread_mutex_unlock(&room->lock);
    return first;
}

bool room_take_typing(struct room *room, struct typing *news)
{
    pthread_mutex_lock(&room->lock);
    bool any = typing_take(&room->typing, news);
    pthread_mutex_unlock(&room->lock);
    return any;
}

unsigned room_ephemerals(const struct room *room)
{
    return atomic_load(&room->ephemerals);
}

void room_count_ephemeral(struct room *room, int change)
{
    atomic_fetch_add(&room->ephemerals, (unsigned)change);
}
