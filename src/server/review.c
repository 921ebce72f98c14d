/* See review.h. */
#include "server/review.h"

#include "auth/policy.h"
#include "base/err.h"
#include "server/conn.h"
#include "server/session.h"
#include "server/worker.h"

/* A handshake that is not through is judged again before its end (http_upgrade.c). True: the
 * connection had to go. */
static bool look_again(struct conn *c)
{
    if (c->state != CONN_OPEN) return false;
    if (policy_is_revoked(c->worker->server->options.policy, c->identity))
        conn_end(c, ERR_REVOKED);
    else if (c->session->review)
        c->session->review(c);
    return c->state != CONN_OPEN;
}

/* False: there are more. */
static bool look_at_some(struct worker *w, struct review_part *part)
{
    unsigned looks = 0;
    unsigned closes = 0;
    for (; part->slot < w->loop.slot_count; part->slot++) {
        if (looks++ == REVIEW_LOOKS || closes == REVIEW_CLOSES) return false;
        struct conn *c = conn_of(loop_at(&w->loop, part->slot));
        if (c) closes += look_again(c);
    }
    return true;
}

static void run_part(struct worker *w, struct task *t)
{
    struct review_part *part = container_of(t, struct review_part, task);
    struct review *r = part->review;
    if (!look_at_some(w, part))
        worker_post(w, t); /* in the next turn */
    else if (atomic_fetch_sub(&r->left, 1) == 1)
        r->done(r);
}

void review_start(struct server *s, struct review *r, void (*done)(struct review *r))
{
    atomic_init(&r->left, s->worker_count);
    r->done = done;
    for (unsigned i = 0; i < s->worker_count; i++) {
        r->parts[i] = (struct review_part){.task.run = run_part, .review = r};
        worker_post(&s->workers[i], &r->parts[i].task);
    }
}
