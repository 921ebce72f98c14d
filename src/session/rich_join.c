/* See rich_join.h. */
#include "session/rich_join.h"

#include <stdlib.h>
#include <string.h>

#include "auth/identity.h"
#include "auth/policy.h"
#include "base/err.h"
#include "proto/rich.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/worker.h"
#include "session/entry.h"
#include "session/rich_answer.h"
#include "session/rich_subscription.h"
#include "session/speaker.h"

int rich_join_home(struct conn *c, struct entry *e, struct join *j)
{
    return entry_join(e, j, &c->rich->home->as.member);
}

struct join_request {
    struct entry entry;
    struct join join;
    uint8_t room_len;
    char room[NAME_ROOM_MAX];
};

static void request_free(struct join_request *q)
{
    entry_fini(&q->entry);
    free(q);
}

static void join_enter(struct conn *c, struct join_request *q, struct subscription *s)
{
    char guest[SESSION_GUEST_LEN];
    struct join *j = &q->join;
    j->now_ms = c->worker->now_ms;
    j->wall_ms = c->worker->wall_ms;
    j->behind = c->watch_out;
    int err = q->entry.wait.err;
    if (!err && c->identity->spoken_len) err = subscription_set_name(s, speaker_name(c, guest));
    if (!err) err = entry_join(&q->entry, j, &s->as.member);
    if (err == ERR_AGAIN) return;
    const struct join got = *j;
    s->entry = NULL;
    request_free(q);
    if (!err) {
        subscription_start(s, &got);
        return;
    }
    rich_refuse(c, subscription_ref(s), err);
    if (c->state == CONN_OPEN) subscription_free(s);
}

/* The room is ready, or the store did not say; also the second time round, after a fill. */
static void join_on_entered(struct conn *c, struct pending *p)
{
    struct entry *e = entry_of(p);
    struct join_request *q = container_of(e, struct join_request, entry);
    const struct slice room = {q->room, q->room_len};
    struct subscription *s = c && c->state == CONN_OPEN ? subscription_find(c->rich, room) : NULL;
    if (s && s->entry == e)
        join_enter(c, q, s);
    else
        request_free(q); /* it was left meanwhile, and perhaps asked for anew */
    if (c && c->session && c->session->on_sent) c->session->on_sent(c); /* what waited for it */
}

int rich_join(struct conn *c, const struct rich_input *in)
{
    struct slice home = {c->rich->home_name, c->rich->home_len};
    struct slice room = in->room.len ? in->room : home;
    if (subscription_find(c->rich, room)) return ERR_JOINED;
    const struct slice none = {NULL, 0};
    int err = may(c->identity, ACTION_JOIN, room, none);
    if (err) return err;
    bool asks = in->since.len > 0 || in->limit > 0;
    if (asks && !client_take(c, BUDGET_HISTORY)) return ERR_MUCH_HISTORY;
    struct join_request *q = calloc(1, sizeof *q);
    if (!q) return ERR_NOMEM;
    q->join.encoding = c->window_bits == WS_WINDOW_BITS_MAX ? ENCODING_RICH_DEFLATE : ENCODING_RICH;
    q->join.worker = c->worker->index;
    q->join.resume = in->since.len > 0;
    if (q->join.resume)
        (void)id_parse(in->since, &q->join.since); /* else it is none of this room */
    q->join.history = in->limit;
    q->room_len = (uint8_t)room.len;
    memcpy(q->room, room.ptr, room.len);

    struct subscription *s;
    err = subscription_new(c, room, in->ref, &s);
    if (err) {
        free(q);
        return err;
    }
    if (slice_equal(room, home)) c->rich->home = s;
    s->entry = &q->entry;
    err = entry_start(&q->entry, c, room, join_on_entered);
    if (err == ERR_AGAIN) return 0;
    if (err) {
        s->entry = NULL;
        subscription_free(s);
        request_free(q);
    } else {
        join_enter(c, q, s);
    }
    return err;
}
