/* See pending_join.h. */
#include "session/pending_join.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/worker.h"
#include "session/ephemeral.h"
#include "session/speaker.h"

static void pending_join_wake(struct join *j)
{
    struct pending_join *g = container_of(j, struct pending_join, join);
    pending_answer(&g->p, j->err);
}

void pending_join_set_room(struct pending_join *g, struct slice room)
{
    CHECK(room.len <= sizeof g->room);
    g->room_len = (uint8_t)room.len;
    memcpy(g->room, room.ptr, room.len);
}

int pending_join_start(struct pending_join *g, struct conn *c,
                       void (*on_answer)(struct conn *c, struct pending *p))
{
    struct hub *hub = c->worker->server->hub;
    struct slice room = pending_join_room(g);
    pending_init(&g->p, c, NULL, on_answer);
    g->join.wake = pending_join_wake;
    g->join.client = client_id(c);
    /* A look into the store costs more than a room; who may make none does not get to ask. */
    bool may = hub_has(hub, room) || client_may(c, BUDGET_ROOMS);
    return may ? hub_enter(hub, room, &g->join) : ERR_MANY_ROOMS;
}

int pending_join_member(struct pending_join *g, struct member *m)
{
    char guest[SESSION_GUEST_LEN];
    struct join *j = &g->join;
    struct conn *c = conn_find(&g->p.conn);
    if (!c) return ERR_CLOSED;
    if (room_is_new(j->room) && !client_take(c, BUDGET_ROOMS)) return ERR_MANY_ROOMS;
    j->username = speaker_name(c, guest);
    j->now_ms = c->worker->now_ms;
    j->wall_ms = c->worker->wall_ms;
    int err = room_join(j, m);
    /* At once: the connection may be gone before it is told of its join, and a timer that the room
     * believes to run would never be started. */
    if (!err) ephemeral_presence(c->worker, j->room, j->presence);
    j->username = (struct slice){NULL, 0};
    return err;
}

void pending_join_fini(struct pending_join *g)
{
    if (g->join.room) room_unref(g->join.room);
}
