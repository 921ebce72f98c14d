/* Asks the site who somebody is (protocol.md section 10, source 6; docs/decisions/0014). The site
 * answers a GET that carries what a browser has sent of its session: 200 with a JSON object
 * (site_answer.h) names a user, 401 says that it is nobody, 403 that it is not let in. All else,
 * and no answer in time, is ERR_AUTH_DOWN.
 *
 * There is one thread for it, so no worker waits for the site. What is bounded: questions on their
 * way to the site (SITE_ASKING_MAX), those that wait for that (SITE_WAITING_MAX), the time from
 * being asked to being answered, waiting included (timeout_ms), and what is remembered
 * (site_cache.h). Who waits is bounded by who has a connection.
 *
 * Invariants (under the site's lock)
 *  1. A question is in the table once: equal ones wait for the same answer.
 *  2. Of answers only 200 is remembered, for cache_ms and not beyond its own end.
 *  3. What was asked before site_forget is not remembered, and not told: it is asked once more, and
 *     that answer is told, whatever is forgotten meanwhile.
 *
 * main calls curl_global_init before there are threads, and the process ignores SIGPIPE. The thread
 * inherits the caller's signal mask. It has up to SITE_FDS_MAX descriptors open. */
#ifndef AUTH_SITE_H
#define AUTH_SITE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"

struct identity;
struct site;
struct site_question;

enum {
    SITE_ASKING_MAX = 32,
    SITE_WAITING_MAX = 1024,
    SITE_FDS_MAX = 2 * SITE_ASKING_MAX + 8,
    SITE_AGAIN_MS = 60 * 1000, /* to the next try, where the site failed in asking again */
    SITE_WHY_MAX = 384,
};

/* How it stands, for the operator. Nothing in it is secret. */
struct site_health {
    const char *url;          /* without its query; as long as the site lives */
    uint64_t questions;       /* that went to the site and came to an end */
    uint64_t failures;        /* those of them that were none of 200, 401 and 403 */
    bool failing;             /* the last was one */
    char error[SITE_WHY_MAX]; /* of the last failure, or "" */
};

/* Borrowed, only during the call, but for ctx. */
struct site_options {
    const char *url;     /* may have `{room}` once, in its path or query */
    const char *cookies; /* names of those that are sent, separated by commas; "": none */
    const char *ca_file; /* PEM of whom to believe about the site; NULL: whom the system believes;
                            this one as long as the site lives */
    uint32_t timeout_ms;
    uint32_t cache_ms;
    uint32_t again_ms; /* after which who has no end is to be asked about again; up to a quarter
                          less */
    /* `failing` has changed. On the site's thread, without its lock; h is borrowed. May be NULL. */
    void (*on_change)(void *ctx, const struct site_health *h);
    void *ctx;
};

/* 0: *out is the caller's, for site_close. ERR_CONFIG: *why is what is wrong with an option.
 * ERR_IO: *why is what failed. ERR_NOMEM. *why is static text for the operator, NULL but where
 * said; on errors *out is NULL. */
int site_open(const struct site_options *o, struct site **out, const char **why);

/* Ends its thread, without waiting for the site: who waits is told ERR_CLOSED before it returns.
 * Afterwards site_ask gives ERR_CLOSED. */
void site_stop(struct site *s);

/* After site_stop, or instead of it. Identities live on. NULL is nothing. */
void site_close(struct site *s);

/* The names of the cookies that are sent; and whether each room is asked about, since the URL has a
 * place for it. Any thread. */
struct slice site_cookies(const struct site *s);
bool site_asks_rooms(const struct site *s);

/* Somebody who waits for an answer; the caller's, as long as it waits. */
struct site_waiter {
    struct slink link;
    atomic_bool gone; /* nobody wants it any more; on_answer is called all the same */
    /* err as site_ask's, identity (borrowed) if that is 0. On the site's thread, or on that which
     * stops it. */
    void (*on_answer)(struct site_waiter *w, int err, struct identity *identity);
};

/* Who is it? 0: *out is a reference, known from a moment ago. ERR_AGAIN: w->on_answer will be
 * called once, perhaps before this returns. ERR_UNAUTHORIZED: nobody (only told later).
 * ERR_SITE_FORBIDDEN: not let in (likewise). ERR_AUTH_DOWN: too many wait, or the site does not
 * answer well. ERR_MANY_SIGN_INS: it would have to go to the site, since nobody waits for the same
 * answer, and may_ask is false; nothing was done. ERR_NOMEM, ERR_CLOSED. Takes a reference on q.
 * Any thread; does not wait. */
int site_ask(struct site *s, struct site_question *q, bool may_ask, struct site_waiter *w,
             struct identity **out);

/* What is known of this user is not believed any more; ptr NULL: of all. Whoever is asked about now
 * is asked about again. Any thread. */
void site_forget(struct site *s, struct slice user);

/* Any thread. */
void site_health(struct site *s, struct site_health *out);

#endif
