/* See recheck.h. */
#include "server/recheck.h"

#include <stdlib.h>

#include "auth/identity.h"
#include "base/err.h"
#include "server/conn.h"
#include "server/pending_identity.h"
#include "server/session.h"
#include "server/worker.h"

struct recheck {
    struct pending p;
    struct pending_identity answer;
};

static void recheck_free(struct recheck *r)
{
    pending_fini(&r->p);
    pending_identity_fini(&r->answer);
    free(r);
}

/* Takes over the reference; NULL, for lack of memory, changes nothing. */
static void set_identity(struct conn *c, struct identity *now)
{
    if (!now) return;
    struct identity *before = c->identity;
    struct slice from = identity_name(before);
    bool renamed = !slice_equal(from, identity_name(now));
    c->identity = now;
    if (renamed && c->session->take_name) c->session->take_name(c, from);
    identity_unref(before);
    worker_note_expiry(c->worker, identity_expires_ms(now));
    worker_note_expiry(c->worker, now->ask_again_ms);
    if (c->state == CONN_OPEN && c->session->review) c->session->review(c);
}

/* Of what it may do in rooms, the site was asked of one room, or of all. */
static void take_new_answer(struct conn *c, struct identity *answer)
{
    bool rooms = site_asks_rooms(c->worker->server->options.site);
    bool same = slice_equal(identity_user(answer), identity_user(c->identity));
    if (rooms) same = same && identity_states_rooms(answer) == identity_states_rooms(c->identity);
    if (!same)
        conn_end(c, ERR_REVOKED);
    else if (rooms)
        set_identity(c, identity_merge_rooms(answer, answer, c->identity, NULL, NULL));
    else
        set_identity(c, identity_ref(answer));
}

/* Of errors it is asked again at the time that it has by now. Who has given a token meanwhile is
 * not who was asked about. */
static void conclude(struct conn *c, int err, struct identity *answer)
{
    if (!c->identity->question) return;
    if (!err)
        take_new_answer(c, answer);
    else if (err == ERR_UNAUTHORIZED || err == ERR_SITE_FORBIDDEN)
        conn_end(c, ERR_REVOKED);
}

static void recheck_on_answer(struct conn *c, struct pending *p)
{
    struct recheck *r = container_of(p, struct recheck, p);
    if (c && c->state == CONN_OPEN) conclude(c, p->err, r->answer.identity);
    recheck_free(r);
}

void recheck_start(struct conn *c)
{
    uint64_t later_ms = (uint64_t)c->worker->wall_ms + SITE_AGAIN_MS;
    struct identity *later = identity_again(c->identity, later_ms);
    struct recheck *r = later ? calloc(1, sizeof *r) : NULL;
    if (!r) { /* the next look tries again */
        if (later) identity_unref(later);
        return;
    }
    identity_unref(c->identity);
    c->identity = later;
    pending_init(&r->p, c, NULL, recheck_on_answer);
    int err = pending_identity_ask(&r->answer, &r->p, c, later->question, false);
    if (err == ERR_AGAIN) return;
    conclude(c, err, r->answer.identity);
    recheck_free(r);
}
