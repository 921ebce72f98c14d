/* See local.h.
 *
 * The seq of a room is a counter in memory: nothing is written before an event may be shown, so
 * what was shown and then lost must not have its number given again. The store says how many times
 * since the room's last commit that may have happened (outages: unclean ends, failures of the
 * disk), and never has more than STORE_IN_FLIGHT_MAX events that are not committed; so a room that
 * is loaded goes on behind all that these can have had. */
#include "journal/local.h"

#include <stdlib.h>

#include "base/err.h"

struct local {
    struct journal journal;
    struct store *store;
    unsigned step;
};

static struct local *local_of(struct journal *j)
{
    return container_of(j, struct local, journal);
}

uint64_t journal_local_next_seq(const struct store_room *room, unsigned step)
{
    const uint64_t lost_max = (uint64_t)step * STORE_IN_FLIGHT_MAX; /* by one outage */
    uint64_t left = STORE_SEQ_MAX - room->last_seq;
    uint64_t lost = room->outages > left / lost_max ? left : room->outages * lost_max;
    return room->last_seq + lost + step;
}

static int local_load(struct journal *j, const struct store_loaded *loaded,
                      struct journal_room *out)
{
    unsigned step = local_of(j)->step;
    out->seq = journal_local_next_seq(&loaded->room, step) - step;
    for (size_t i = 0; i < loaded->nonce_count; i++) {
        const struct store_nonce *from = &loaded->nonces[i];
        const struct nonce_key key = {from->user, from->nonce};
        if (nonces_find(&out->nonces, &key)) continue; /* used again after it had expired */
        struct nonce *n = nonces_add(&out->nonces, &key, from->seq, from->ts_ms, from->ts_ms);
        if (!n) return ERR_NOMEM;
        nonces_settle(n);
    }
    return 0;
}

static struct nonce_key key_of(const struct store_event *e)
{
    return (struct nonce_key){e->user.len ? e->user : e->username, e->nonce};
}

/* True if the event was submitted before. */
static bool is_dup(struct journal_room *r, struct submission *s)
{
    if (!s->event.nonce.len) return false;
    const struct nonce_key key = key_of(&s->event);
    struct nonce *first = nonces_find(&r->nonces, &key);
    if (!first) return false;
    if (nonce_is_old(first, s->now_ms)) { /* nothing has taken it out yet */
        nonces_remove(&r->nonces, first);
        return false;
    }
    s->dup = true;
    s->event.seq = first->seq;
    s->event.ts_ms = first->ts_ms;
    s->waiting = first->pending && s->waiter;
    if (s->waiting) {
        s->waiter->next = first->waiters;
        first->waiters = s->waiter;
        r->waited_nonces += !s->waiter->next;
    }
    return true;
}

static int append_with_nonce(struct local *l, struct journal_room *r, const struct submission *s)
{
    const struct store_event *e = &s->event;
    const struct store_append a = {.room = s->room,
                                   .epoch = s->epoch,
                                   .event = e,
                                   .tag = s->tag,
                                   .prev_seq = r->seq,
                                   .kick_follows = true};
    struct nonce *nonce = NULL;
    if (e->nonce.len) {
        const struct nonce_key key = key_of(e);
        nonce = nonces_add(&r->nonces, &key, e->seq, e->ts_ms, s->now_ms);
        if (!nonce) return ERR_STORE;
    }
    int err = store_append(l->store, &a);
    if (err && nonce) nonces_remove(&r->nonces, nonce);
    return err;
}

static int local_submit(struct journal *j, struct journal_room *r, struct submission *s,
                        struct journal_sink *sink)
{
    struct local *l = local_of(j);
    s->dup = s->waiting = false;
    if (is_dup(r, s)) return 0;
    if (r->seq > STORE_SEQ_MAX - l->step) return ERR_STORE; /* only an import gets a room there */
    s->event.seq = r->seq + l->step;
    int err = j->late ? 0 : sink->prepare(sink, &s->event);
    if (!err) err = append_with_nonce(l, r, s);
    if (err) return err;
    r->seq = s->event.seq;
    if (!j->late) sink->deliver(sink, &s->event);
    return 0;
}

static int local_move_mark(struct journal *j, const struct store_move *m)
{
    return store_move_mark(local_of(j)->store, m);
}

static void local_settle(struct journal *j, struct journal_room *r, const struct store_done *done,
                         struct slink **waiters)
{
    const struct store_event *e = done->event;
    const struct nonce_key key = key_of(e);
    struct nonce *nonce = e->nonce.len ? nonces_find(&r->nonces, &key) : NULL;
    (void)j;
    *waiters = NULL;
    /* It is settled already if the room was left and loaded anew since the event was committed. */
    if (!nonce || nonce->seq != e->seq || !nonce->pending) return;
    *waiters = nonce->waiters;
    nonce->waiters = NULL;
    r->waited_nonces -= *waiters != NULL;
    if (done->err)
        nonces_remove(&r->nonces, nonce);
    else
        nonces_settle(nonce);
}

static void local_kick(struct journal *j)
{
    store_kick(local_of(j)->store);
}

static void local_free(struct journal *j)
{
    free(local_of(j));
}

struct journal *journal_local_new(struct store *store, bool strict, unsigned step)
{
    static const struct journal_ops ops = {
        .load = local_load,
        .submit = local_submit,
        .move_mark = local_move_mark,
        .settle = local_settle,
        .kick = local_kick,
        .free = local_free,
    };
    struct local *l = malloc(sizeof *l);
    if (!l) return NULL;
    *l = (struct local){.journal = {.ops = &ops, .late = strict}, .store = store, .step = step};
    return &l->journal;
}
