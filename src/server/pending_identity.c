/* See pending_identity.h. */
#include "server/pending_identity.h"

#include "auth/identity.h"
#include "base/err.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/worker.h"

/* The site's thread. */
static void pending_identity_wake(struct site_waiter *w, int err, struct identity *identity)
{
    struct pending_identity *i = container_of(w, struct pending_identity, waiter);
    if (identity) i->identity = identity_ref(identity);
    pending_answer(i->pending, err);
}

int pending_identity_ask(struct pending_identity *i, struct pending *p, struct conn *c,
                         struct site_question *q, bool counts)
{
    struct site *site = c->worker->server->options.site;
    i->pending = p;
    i->waiter.on_answer = pending_identity_wake;
    int err = site_ask(site, q, !counts, &i->waiter, &i->identity);
    if (err == ERR_MANY_SIGN_INS && client_take(c, BUDGET_SIGN_INS))
        err = site_ask(site, q, true, &i->waiter, &i->identity);
    return err;
}

void pending_identity_abandon(struct pending_identity *i)
{
    atomic_store(&i->waiter.gone, true);
}

void pending_identity_fini(struct pending_identity *i)
{
    if (i->identity) identity_unref(i->identity);
    i->identity = NULL;
}
