/* Who somebody is, as the site says (auth/site.h), asked for a connection: a pending that is
 * answered when the site has. Worker's thread. */
#ifndef SERVER_PENDING_IDENTITY_H
#define SERVER_PENDING_IDENTITY_H

#include <stdbool.h>

#include "auth/site.h"
#include "server/pending.h"

struct identity;
struct site_question;

/* Part of a larger struct, beside the pending, or what that is part of. Zeroed is valid. */
struct pending_identity {
    struct site_waiter waiter;
    struct pending *pending;
    struct identity *identity; /* the answer; a reference, or NULL */
};

/* Asks the site. counts: it is of the client's budget for that. 0: identity is there at once.
 * ERR_AGAIN: p, which was made for it, will be answered, with an error of site_ask or identity
 * there; until then both have to stay. Else why it is not asked; p is of no use then. */
int pending_identity_ask(struct pending_identity *i, struct pending *p, struct conn *c,
                         struct site_question *q, bool counts);

/* Nobody wants it any more; p is answered all the same. */
void pending_identity_abandon(struct pending_identity *i);

/* Gives the answer back, if there is one. */
void pending_identity_fini(struct pending_identity *i);

#endif
