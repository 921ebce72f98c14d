/* See entry.h. */
#include "session/entry.h"

#include "base/err.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/worker.h"
#include "session/ephemeral.h"
#include "session/speaker.h"

static void wake(struct room_wait *wait)
{
    struct entry *e = container_of(wait, struct entry, wait);
    pending_answer(&e->p, wait->err);
}

int entry_start(struct entry *e, struct conn *c, struct slice room,
                void (*on_answer)(struct conn *c, struct pending *p))
{
    pending_init(&e->p, c, NULL, on_answer);
    e->wait.wake = wake;
    e->wait.client = client_id(c);
    struct hub *hub = c->worker->server->hub;
    /* A look into the store costs more than a room; who may make none does not get to ask. */
    bool may = hub_has(hub, room) || client_may(c, BUDGET_ROOMS);
    return may ? hub_enter(hub, room, &e->wait) : ERR_MANY_ROOMS;
}

int entry_join(struct entry *e, struct join *j, struct member *m)
{
    char guest[SESSION_GUEST_LEN];
    struct conn *c = conn_find(&e->p.conn);
    if (!c) return ERR_CLOSED;
    if (room_is_new(e->wait.room) && !client_take(c, BUDGET_ROOMS)) return ERR_MANY_ROOMS;
    j->username = speaker_name(c, guest);
    int err = room_join(e->wait.room, j, m, &e->wait);
    /* At once: the connection may be gone before it is told of its join, and a timer that the room
     * believes to run would never be started. */
    if (!err) ephemeral_presence(e->p.conn.worker, e->wait.room, j->presence);
    j->username = (struct slice){NULL, 0};
    return err;
}

void entry_fini(struct entry *e)
{
    if (e->wait.room) room_unref(e->wait.room);
}
