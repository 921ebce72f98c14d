/* See pending_ack.h. */
#include "session/pending_ack.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/hub.h"
#include "journal/journal.h"
#include "server/conn.h"
#include "server/control_log.h"
#include "server/store_log.h"
#include "server/worker.h"

static void on_answer(struct conn *c, struct pending *p)
{
    struct pending_ack *a = container_of(p, struct pending_ack, p);
    if (c && p->err == ERR_STORE)
        store_log_refused(c->worker->server, (struct slice){NULL, 0}, c->ip);
    if (c) a->tell(c, a);
    free(a);
}

struct pending_ack *pending_ack_new(struct conn *c, struct slice room, struct slice ref)
{
    struct pending_ack *a = malloc(sizeof *a + room.len + ref.len);
    if (!a) return NULL;
    *a = (struct pending_ack){.room_len = (uint8_t)room.len, .ref_len = (uint8_t)ref.len};
    pending_init(&a->p, c, NULL, on_answer);
    memcpy(a->text, room.ptr, room.len);
    if (ref.len) memcpy(a->text + room.len, ref.ptr, ref.len);
    return a;
}

struct slice pending_ack_room(const struct pending_ack *a)
{
    return (struct slice){a->text, a->room_len};
}

struct slice pending_ack_ref(const struct pending_ack *a)
{
    return (struct slice){a->text + a->room_len, a->ref_len};
}

static void set_id(struct pending_ack *a, const struct room *room, uint64_t seq, int64_t ts_ms)
{
    memcpy(a->id.epoch, room_epoch(room), EVENT_EPOCH_LEN);
    a->id.seq = seq;
    a->ts_ms = ts_ms;
}

int pending_ack_publish(struct pending_ack *a, struct room *room, struct submission *p)
{
    struct worker *w = a->p.conn.worker;
    struct slink *woken;
    p->now_ms = w->believed_ms;
    p->tag = a;
    p->waiter = &a->p.task.link;
    memcpy(a->id.epoch, room_epoch(room), EVENT_EPOCH_LEN); /* before another thread has it */
    a->ts_ms = p->event.ts_ms;
    int err = room_submit(room, &w->encoder, p, &woken);
    if (err) {
        const struct conn *c = err == ERR_STORE ? conn_find(&a->p.conn) : NULL;
        if (c) store_log_refused(w->server, room_name(room), c->ip);
        free(a);
        return err;
    }
    worker_post_dirty(w, woken);
    w->published++;
    if (p->dup && !p->waiting) {
        a->dup = true;
        set_id(a, room, p->event.seq, p->event.ts_ms);
        pending_answer(&a->p, 0);
    }
    return 0;
}

int pending_ack_read(struct pending_ack *a, struct room *room, struct read_marker *reading)
{
    struct worker *w = a->p.conn.worker;
    set_id(a, room, reading->mark.seq, w->wall_ms); /* before another thread has it */
    reading->tag = a;
    int err = room_read(room, reading);
    if (err) {
        free(a);
        return err;
    }
    if (reading->old)
        pending_answer(&a->p, 0);
    else
        w->published++;
    return 0;
}

/* ---- the store's thread ---- */

static void tell(struct pending_ack *a, int err)
{
    if (!err && a->errors_only)
        free(a);
    else
        pending_answer(&a->p, err);
}

static void post_dirty(struct server *s, struct slink *woken)
{
    while (woken) {
        struct slink *next = woken->next;
        const struct feed *r = container_of(woken, struct feed, dirty_link);
        mailbox_post(&s->workers[r->worker].mailbox, woken);
        woken = next;
    }
}

/* Most events need the room no more: it has delivered them, and nobody waits for them there. */
static void tell_room(struct server *s, const struct store_done *done)
{
    struct slink *woken;
    struct slink *waiters;
    struct room *room = hub_find(s->hub, done->room);
    if (!room) return;
    room_deliver(room, &s->encoder, done, &woken, &waiters);
    post_dirty(s, woken);
    while (waiters) {
        struct pending_ack *a = container_of(waiters, struct pending_ack, p.task.link);
        waiters = waiters->next;
        a->dup = true;
        set_id(a, room, done->event->seq, done->event->ts_ms);
        tell(a, done->err);
    }
    room_unref(room);
}

/* A room whose messages the store never got has none that could be read. */
static void tell_read(struct server *s, const struct store_done *done)
{
    const struct store_mark mark = {done->event->seq, done->event->username};
    struct room *room = done->err ? NULL : hub_find(s->hub, done->room);
    if (room) {
        room_on_read(room, &mark);
        room_unref(room);
    }
    tell(done->tag, done->err == ERR_STORE_ORDER ? ERR_NO_MESSAGE : done->err);
}

static void on_done(void *ctx, const struct store_done *done, size_t count)
{
    struct server *s = ctx;
    for (size_t i = 0; i < count; i++) {
        const struct store_done *d = &done[i];
        struct pending_ack *a = d->tag;
        if (store_is_own(d->room)) {
            control_log_on_done(s->control_log, d);
            continue;
        }
        if (d->mark) {
            tell_read(s, d);
            continue;
        }
        a->id.seq = d->event->seq;
        if (d->err == ERR_STORE) store_log_refused(s, d->room, NULL);
        if (d->err || s->options.journal->late || d->event->nonce.len) tell_room(s, d);
        tell(a, d->err);
    }
}

void pending_ack_store_options(struct server *s, struct store_options *o)
{
    o->on_done = on_done;
    o->ctx = s;
}
