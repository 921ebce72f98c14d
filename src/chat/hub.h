/* The hub: finds rooms by name, and lets members in and out. A room exists while it has a reader,
 * so the number of rooms is bounded by the number of connections. */
#ifndef CHAT_HUB_H
#define CHAT_HUB_H

#include <stdint.h>

#include "base/buf.h"
#include "chat/room.h"

struct hub;

/* seed: random bits; makes the epochs of this process differ from those of any other. NULL if
 * memory is short. */
struct hub *hub_new(uint64_t seed);

/* Every member has to have left, and every dirty reader to be settled. */
void hub_free(struct hub *hub);

/* Lets the zeroed member in, at the head of the room's log: it receives what is published from now
 * on. name: 1..255 bytes, valid by proto/name.h. worker: the index of the calling worker.
 * ERR_NOMEM: no change. Call on the thread that owns the member, as for every reader_ call. */
int hub_join(struct hub *hub, struct slice name, unsigned worker, enum encoding encoding,
             struct member *m);

/* Takes the member out; a member of no room is left alone. */
void hub_leave(struct member *m);

/* Rooms that exist now. Any thread. */
uint64_t hub_room_count(struct hub *hub);

/* Frees a detached, clean reader and its reference on the room. For room.c. */
void hub_reader_free(struct reader *r);

#endif
