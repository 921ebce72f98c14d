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
#include "session/pending_join.h"
#include "session/rich_answer.h"
#include "session/rich_subscription.h"
#include "session/speaker.h"

struct member *rich_join_home(struct conn *c)
{
    return &c->rich->home->as.member;
}

static void end_joining(struct pending_join *g)
{
    pending_join_fini(g);
    free(g);
}

static void join_enter(struct conn *c, struct pending_join *g, struct subscription *s)
{
    char guest[SESSION_GUEST_LEN];
    g->join.behind = c->watch_out;
    int err = g->join.err;
    const struct policy *policy = c->worker->server->options.policy;
    /* Judged again: an act may have come while it waited. */
    if (!err) err = may(policy, c->identity, ACTION_JOIN, subscription_room(s), NULL);
    if (!err && c->identity->spoken_len) err = subscription_set_name(s, speaker_name(c, guest));
    if (!err) err = pending_join_member(g, &s->as.member);
    if (err == ERR_AGAIN) return;
    s->joining = NULL;
    if (!err) {
        subscription_start(s, &g->join);
    } else {
        rich_refuse(c, subscription_ref(s), err);
        if (c->state == CONN_OPEN) subscription_free(s);
    }
    end_joining(g);
}

/* The room is ready, or the store did not say; also the second time round, after a fill. */
static void join_on_entered(struct conn *c, struct pending *p)
{
    struct pending_join *g = pending_join_of(p);
    const bool open = c && c->state == CONN_OPEN;
    struct subscription *s = open ? subscription_find(c->rich, pending_join_room(g)) : NULL;
    if (s && s->joining == g)
        join_enter(c, g, s);
    else
        end_joining(g); /* it was left meanwhile, and perhaps asked for anew */
    if (c && c->session && c->session->on_sent) c->session->on_sent(c); /* what waited for it */
}

int rich_join(struct conn *c, const struct rich_input *in)
{
    struct slice home = {c->rich->home_name, c->rich->home_len};
    struct slice room = in->room.len ? in->room : home;
    if (subscription_find(c->rich, room)) return ERR_JOINED;
    int err = may(c->worker->server->options.policy, c->identity, ACTION_JOIN, room, NULL);
    if (err) return err;
    bool asks = in->since.len > 0 || in->limit > 0;
    if (asks && !client_take(c, BUDGET_HISTORY)) return ERR_MUCH_HISTORY;
    struct pending_join *g = calloc(1, sizeof *g);
    if (!g) return ERR_NOMEM;
    struct join *j = &g->join;
    j->encoding = c->window_bits == WS_WINDOW_BITS_MAX ? ENCODING_RICH_DEFLATE : ENCODING_RICH;
    j->worker = c->worker->index;
    j->resume = in->since.len > 0;
    if (j->resume) (void)id_parse(in->since, &j->since); /* else it is none of this room */
    j->history = in->limit;
    pending_join_set_room(g, room);

    struct subscription *s;
    err = subscription_new(c, room, in->ref, &s);
    if (err) {
        free(g);
        return err;
    }
    if (slice_equal(room, home)) c->rich->home = s;
    s->joining = g;
    err = pending_join_start(g, c, join_on_entered);
    if (err == ERR_AGAIN) return 0;
    if (err) {
        s->joining = NULL;
        subscription_free(s);
        end_joining(g);
    } else {
        join_enter(c, g, s);
    }
    return err;
}
