/* See rich_join.h. */
#include "session/rich_join.h"

#include <stdlib.h>
#include <string.h>

#include "auth/identity.h"
#include "auth/policy.h"
#include "auth/site_question.h"
#include "base/err.h"
#include "proto/rich.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/pending_identity.h"
#include "server/worker.h"
#include "session/pending_join.h"
#include "session/rich_answer.h"
#include "session/rich_subscription.h"
#include "session/speaker.h"

struct member *rich_join_home(struct conn *c)
{
    return &c->rich->home->as.member;
}

/* A join, and before it the question whether the site lets the user into this room. */
struct rich_joining {
    struct pending_join g;
    struct pending_identity answer;
};

static struct rich_joining *joining_of(struct pending_join *g)
{
    return container_of(g, struct rich_joining, g);
}

static void end_joining(struct pending_join *g)
{
    pending_join_fini(g);
    pending_identity_fini(&joining_of(g)->answer);
    free(joining_of(g));
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

/* The subscription that waits for this, if it still does: it may have been left meanwhile, and
 * perhaps asked for anew. */
static struct subscription *find_joining(const struct conn *c, const struct pending_join *g)
{
    const bool open = c && c->state == CONN_OPEN;
    struct subscription *s = open ? subscription_find(c->rich, pending_join_room(g)) : NULL;
    return s && s->joining == g ? s : NULL;
}

/* The room is ready, or the store did not say; also the second time round, after a fill. */
static void join_on_entered(struct conn *c, struct pending *p)
{
    struct pending_join *g = pending_join_of(p);
    struct subscription *s = find_joining(c, g);
    if (s)
        join_enter(c, g, s);
    else
        end_joining(g);
    if (c && c->session && c->session->on_sent) c->session->on_sent(c); /* what waited for it */
}

/* Who may not is told; 0, ERR_AGAIN, or an error that ends it. */
static int join_begin(struct conn *c, struct pending_join *g)
{
    const struct policy *policy = c->worker->server->options.policy;
    int err = may(policy, c->identity, ACTION_JOIN, pending_join_room(g), NULL);
    return err ? err : pending_join_start(g, c, join_on_entered);
}

/* ---- where the site is asked about each room ---- */

static bool must_ask(const struct conn *c)
{
    const struct site *site = c->worker->server->options.site;
    return c->identity->question && site && site_asks_rooms(site);
}

static bool is_subscribed(void *rich, struct slice room)
{
    return subscription_find(rich, room);
}

/* The user has what the site says of this room, besides that of the other rooms it is in. What it
 * has is said of each room, or of none: else what is not said would have to mean two things. */
static int take_room_answer(struct conn *c, const struct identity *answer)
{
    bool same = c->identity->question &&
                slice_equal(identity_user(answer), identity_user(c->identity)) &&
                identity_states_rooms(answer) == identity_states_rooms(c->identity);
    if (!same) return ERR_SITE_FORBIDDEN;
    struct identity *now =
        identity_merge_rooms(c->identity, answer, c->identity, is_subscribed, c->rich);
    if (!now) return ERR_NOMEM;
    identity_unref(c->identity);
    c->identity = now;
    return 0;
}

/* The site has answered. */
static void join_on_allowed(struct conn *c, struct pending *p)
{
    struct pending_join *g = pending_join_of(p);
    struct subscription *s = find_joining(c, g);
    if (s) {
        int err = p->err ? p->err : take_room_answer(c, joining_of(g)->answer.identity);
        if (err == ERR_UNAUTHORIZED) err = ERR_SITE_FORBIDDEN;
        if (!err) err = join_begin(c, g);
        if (err == ERR_AGAIN) return;
        g->join.err = err;
        join_enter(c, g, s);
    } else {
        end_joining(g);
    }
    if (c && c->session && c->session->on_sent) c->session->on_sent(c); /* what waited for it */
}

/* As join_begin, once the site has allowed it. */
static int join_ask(struct conn *c, struct pending_join *g)
{
    struct pending_identity *answer = &joining_of(g)->answer;
    struct site_question *q = site_question_of_room(c->identity->question, pending_join_room(g));
    if (!q) return ERR_NOMEM;
    pending_init(&g->p, c, NULL, join_on_allowed);
    int err = pending_identity_ask(answer, &g->p, c, q, true);
    site_question_unref(q);
    if (!err) err = take_room_answer(c, answer->identity);
    return err ? err : join_begin(c, g);
}

int rich_join(struct conn *c, const struct rich_input *in)
{
    struct slice home = {c->rich->home_name, c->rich->home_len};
    struct slice room = in->room.len ? in->room : home;
    if (subscription_find(c->rich, room)) return ERR_JOINED;
    const struct policy *policy = c->worker->server->options.policy;
    bool ask = must_ask(c);
    int err = ask ? 0 : may(policy, c->identity, ACTION_JOIN, room, NULL);
    if (err) return err;
    bool asks = in->since.len > 0 || in->limit > 0;
    if (asks && !client_take(c, BUDGET_HISTORY)) return ERR_MUCH_HISTORY;
    struct rich_joining *joining = calloc(1, sizeof *joining);
    if (!joining) return ERR_NOMEM;
    struct pending_join *g = &joining->g;
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
        free(joining);
        return err;
    }
    if (slice_equal(room, home)) c->rich->home = s;
    s->joining = g;
    err = ask ? join_ask(c, g) : pending_join_start(g, c, join_on_entered);
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
