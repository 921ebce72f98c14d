/* Pending acks: who is to be told what became of an event that was given to the store.
 *
 * A pending ack is made before publishing, travels through the store as the tag of the append, and
 * comes back to the worker of its connection: for an ack, or to say that the event was refused. One
 * that nobody waits for (a bare client's message that was stored) ends on the store's own thread.
 */
#ifndef SESSION_PENDING_ACK_H
#define SESSION_PENDING_ACK_H

#include <stdbool.h>

#include "chat/room.h"
#include "journal/submission.h"
#include "proto/id.h"
#include "server/pending.h"

struct server;
struct store_options;

struct pending_ack {
    struct pending p;
    /* What to do when err, id and ts_ms are known; it is freed after that. Worker's thread. */
    void (*tell)(struct conn *c, const struct pending_ack *a);
    bool errors_only;
    bool dup; /* the id is that of an earlier event with the same nonce */
    struct id id;
    int64_t ts_ms;
    uint8_t room_len;
    uint8_t ref_len; /* at most RICH_REF_MAX */
    char text[];     /* room, ref */
};

/* NULL if memory is short. */
struct pending_ack *pending_ack_new(struct conn *c, struct slice room, struct slice ref);

struct slice pending_ack_room(const struct pending_ack *a);
struct slice pending_ack_ref(const struct pending_ack *a);

/* Publishes p->event, whose tag and waiter become a, and wakes the readers. 0: a will be told, now
 * or later. On error a is freed and nobody is told. Worker's thread. */
int pending_ack_publish(struct pending_ack *a, struct room *room, struct submission *p);

/* Moves the read marker, whose tag becomes a; as pending_ack_publish. The id told is the one asked
 * for.
 */
int pending_ack_read(struct pending_ack *a, struct room *room, struct read_marker *reading);

/* Fills in on_done and ctx: what is decided in the store is told from here. */
void pending_ack_store_options(struct server *s, struct store_options *o);

#endif
