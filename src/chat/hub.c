/* See hub.h. */

/* uthash would exit; a room that cannot be made is an error instead. */
#define HASH_NONFATAL_OOM 1
#include "chat/hub.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/check.h"
#include "base/err.h"

struct hub {
    pthread_mutex_t lock;
    struct room *rooms; /* uthash, by name */
    uint64_t room_count;
    uint64_t epoch; /* of the next room */
};

struct hub *hub_new(uint64_t seed)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub) return NULL;
    pthread_mutex_init(&hub->lock, NULL);
    hub->epoch = seed;
    return hub;
}

void hub_free(struct hub *hub)
{
    if (!hub) return;
    CHECK(!hub->rooms);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

/* Letters and digits that are not mistaken for each other. An odd step walks through all values
 * before one returns, so within a process no epoch comes back. */
static void take_epoch(struct hub *hub, char out[static ROOM_EPOCH_LEN])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    hub->epoch += 0x9e3779b97f4a7c15U;
    uint64_t bits = hub->epoch;
    for (int i = 0; i < ROOM_EPOCH_LEN; i++, bits >>= 5)
        out[i] = digits[bits & 31];
}

static struct room *room_new(struct hub *hub, struct slice name)
{
    struct room *room = calloc(1, sizeof *room + name.len);
    if (!room) return NULL;
    room->hub = hub;
    room->name_len = (uint8_t)name.len;
    memcpy(room->name, name.ptr, name.len);
    take_epoch(hub, room->epoch);
    pthread_mutex_init(&room->lock, NULL);
    for (int i = 0; i < ENCODING_COUNT; i++)
        list_init(&room->logs[i].readers);
    return room;
}

static void room_free(struct room *room)
{
    for (int i = 0; i < ENCODING_COUNT; i++) {
        CHECK(list_empty(&room->logs[i].readers) && room->logs[i].dirty_count == 0);
        frame_log_relax(&room->logs[i].log);
        CHECK(!room->logs[i].log.tail);
    }
    pthread_mutex_destroy(&room->lock);
    free(room);
}

/* Finds or makes the room; hub locked. NULL if memory is short. */
static struct room *room_find_locked(struct hub *hub, struct slice name)
{
    struct room *room;
    HASH_FIND(hh, hub->rooms, name.ptr, name.len, room);
    if (room) return room;
    room = room_new(hub, name);
    if (!room) return NULL;
    HASH_ADD_KEYPTR(hh, hub->rooms, room->name, room->name_len, room);
    if (!room->hh.tbl) {
        room_free(room);
        return NULL;
    }
    hub->room_count++;
    return room;
}

/* Finds or makes the room and takes a reference on it. */
static struct room *room_get(struct hub *hub, struct slice name)
{
    pthread_mutex_lock(&hub->lock);
    struct room *room = room_find_locked(hub, name);
    if (room) room->refs++;
    pthread_mutex_unlock(&hub->lock);
    return room;
}

static void room_unref(struct room *room)
{
    struct hub *hub = room->hub;
    pthread_mutex_lock(&hub->lock);
    bool last = --room->refs == 0;
    if (last) {
        HASH_DELETE(hh, hub->rooms, room);
        hub->room_count--;
    }
    pthread_mutex_unlock(&hub->lock);
    if (last) room_free(room);
}

uint64_t hub_room_count(struct hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    uint64_t n = hub->room_count;
    pthread_mutex_unlock(&hub->lock);
    return n;
}

/* Finds or makes the worker's reader of the log; room locked. A new one takes over the caller's
 * reference on the room, and *room_ref is set to NULL. */
static struct reader *reader_get_locked(struct room *room, unsigned worker, enum encoding encoding,
                                        struct room **room_ref)
{
    struct list *readers = &room->logs[encoding].readers;
    for (struct list *l = readers->next; l != readers; l = l->next) {
        struct reader *r = container_of(l, struct reader, link);
        if (r->worker == worker) return r;
    }
    struct reader *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->room = room;
    r->worker = (uint16_t)worker;
    r->encoding = (uint8_t)encoding;
    r->cursor.offset = room->logs[encoding].log.end;
    list_push(readers, &r->link);
    room->encodings |= (uint8_t)(1 << encoding);
    *room_ref = NULL;
    return r;
}

/* Takes an empty reader out of its log; room locked. True: clean, so the caller frees it. A dirty
 * one is freed by room_settle. */
static bool reader_detach_locked(struct reader *r)
{
    struct room *room = r->room;
    list_remove(&r->link);
    if (list_empty(&room->logs[r->encoding].readers))
        room->encodings &= (uint8_t) ~(1 << r->encoding);
    r->detached = true;
    return !r->dirty;
}

void hub_reader_free(struct reader *r)
{
    struct room *room = r->room;
    free(r->members);
    free(r);
    room_unref(room);
}

int hub_join(struct hub *hub, struct slice name, unsigned worker, enum encoding encoding,
             struct member *m)
{
    CHECK(!m->reader && name.len > 0 && name.len <= UINT8_MAX && encoding < ENCODING_COUNT);
    struct room *room = room_get(hub, name);
    if (!room) return ERR_NOMEM;

    struct room *room_ref = room;
    bool drop = false;
    int err = ERR_NOMEM;
    pthread_mutex_lock(&room->lock);
    struct reader *r = reader_get_locked(room, worker, encoding, &room_ref);
    if (r) {
        const struct frame_log *log = &room->logs[encoding].log;
        struct cursor at = {NULL, log->end};
        /* The worker has yet to send older messages: these are not for a member that joins now. */
        if (log->end != r->cursor.offset) frame_log_seek_tail(log, &at, log->end);
        err = reader_add(r, m, &at);
        if (err) cursor_rest(&at);
        drop = r->member_count == 0 && reader_detach_locked(r);
    }
    pthread_mutex_unlock(&room->lock);
    if (drop) hub_reader_free(r);
    if (room_ref) room_unref(room_ref);
    return err;
}

void hub_leave(struct member *m)
{
    struct reader *r = m->reader;
    if (!r) return;
    struct room *room = r->room;
    bool lagged = m->cursor.chunk;
    reader_remove(m);
    if (lagged) room_relax(room, r->encoding);
    if (r->member_count > 0) return;

    pthread_mutex_lock(&room->lock);
    bool drop = reader_detach_locked(r);
    pthread_mutex_unlock(&room->lock);
    if (drop) hub_reader_free(r);
}
