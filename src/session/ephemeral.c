/* See ephemeral.h. */
#include "session/ephemeral.h"
#include "chat/presence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/hub.h"
#include "chat/typing.h"
#include "proto/rich.h"
#include "proto/ws_frame.h"
#include "server/conn.h"
#include "server/task.h"
#include "server/worker.h"

static_assert((int)TYPING_INTERVAL_MS == EPHEMERAL_TYPING_MS &&
                  (int)TYPING_INTERVAL_MS == TASK_LATER_MS &&
                  (int)PRESENCE_INTERVAL_MS == TASK_LATER_MS,
              "they are told later");

/* Frames, one behind the other, and for each who does not get it. */
struct saying {
    struct buf frames;
    unsigned count;
    struct {
        const struct member *except;
        size_t end;
    } parts[TYPING_TOLD_MAX];
};

/* Members leave and change places while it waits for another turn. Going down from the end misses
 * none but who is moved up because its socket is full, and `number` tells whom it has met. */
struct ephemeral {
    struct task task;   /* then in the worker's queue */
    struct room *room;  /* a reference */
    uint32_t number;    /* on this worker, of the subscriptions that it was offered to */
    uint32_t left;      /* members of the feed it is at that it has yet to look at */
    uint8_t encoding;   /* of that feed */
    struct saying said; /* its frames are those below */
    uint8_t frames[];
};

/* Something that is due in a room: after the sockets of this turn, or in a second. */
struct due {
    struct later later;
    struct room *room; /* a reference */
    void (*tell)(struct worker *w, struct room *room);
};

/* ---- sending ---- */

/* Part by part only for those who are in it themselves. */
static void give(struct conn *c, const struct member *m, const struct ephemeral *ephemeral)
{
    const struct saying *said = &ephemeral->said;
    size_t from = 0;
    size_t begin = 0;
    for (unsigned i = 0; i < said->count; i++) {
        if (said->parts[i].except == m) {
            if (begin > from) conn_send(c, ephemeral->frames + from, begin - from);
            from = said->parts[i].end;
        }
        begin = said->parts[i].end;
    }
    if (begin > from) conn_send(c, ephemeral->frames + from, begin - from);
}

static void offer(struct worker *w, struct ephemeral *ephemeral, struct ephemeral_member *s)
{
    if (s->ephemeral == ephemeral->number) return;
    s->ephemeral = ephemeral->number;
    if (conn_unsent(s->conn) > 0)
        metrics_add(&w->metrics, METRIC_EPHEMERALS_DROPPED, 1);
    else
        give(s->conn, &s->member, ephemeral);
}

/* Looks at no more than *offers members, and counts them down. False: there are more. */
static bool ephemeral_go_on(struct worker *w, struct ephemeral *ephemeral, unsigned *offers)
{
    struct feed *r = room_feed(ephemeral->room, ephemeral->encoding, w->index);
    while (r) {
        if (ephemeral->left > r->member_count) ephemeral->left = r->member_count;
        if (ephemeral->left == 0) break;
        if (*offers == 0) return false;
        --*offers;
        struct ephemeral_member *s =
            container_of(r->members[--ephemeral->left], struct ephemeral_member, member);
        const struct conn *c = s->conn;
        offer(w, ephemeral, s);
        /* Sending may end some, and the last member of a feed takes it along. */
        if (c->state != CONN_OPEN) r = room_feed(ephemeral->room, ephemeral->encoding, w->index);
    }
    return true;
}

static bool go_on_all(struct worker *w, struct ephemeral *ephemeral, unsigned *offers)
{
    while (ephemeral_go_on(w, ephemeral, offers)) {
        if (++ephemeral->encoding == ENCODING_COUNT) return true;
        ephemeral->left = UINT32_MAX;
    }
    return false;
}

static void ephemeral_free(struct ephemeral *ephemeral)
{
    room_count_ephemeral(ephemeral->room, -1);
    room_unref(ephemeral->room);
    free(ephemeral);
}

static struct ephemeral *oldest(struct worker *w)
{
    return container_of(container_of(w->ephemerals, struct task, link), struct ephemeral, task);
}

static void end_first(struct worker *w)
{
    struct ephemeral *ephemeral = oldest(w);
    w->ephemerals = ephemeral->task.link.next;
    ephemeral_free(ephemeral);
}

/* A few in a turn; what is left goes on in the next. */
static void run_telling(struct worker *w, struct task *t)
{
    unsigned offers = EPHEMERAL_OFFERS_MAX;
    while (w->ephemerals && go_on_all(w, oldest(w), &offers))
        end_first(w);
    if (w->ephemerals) worker_post(w, t);
}

/* Behind the others, so that a room's come in the order in which they were told. */
static void run_ephemeral(struct worker *w, struct task *t)
{
    struct ephemeral *ephemeral = container_of(t, struct ephemeral, task);
    ephemeral->number = ++w->ephemeral_number;
    t->link.next = NULL;
    if (w->ephemerals) {
        *w->ephemerals_end = &t->link;
    } else {
        w->ephemerals = &t->link;
        w->telling.run = run_telling;
        worker_post(w, &w->telling);
    }
    w->ephemerals_end = &t->link.next;
}

static void send_to(struct worker *to, struct room *room, const struct saying *said)
{
    struct ephemeral *ephemeral = malloc(sizeof *ephemeral + said->frames.len);
    if (!ephemeral) return;
    *ephemeral = (struct ephemeral){.task.run = run_ephemeral,
                                    .room = room,
                                    .left = UINT32_MAX,
                                    .encoding = ENCODING_RICH,
                                    .said = *said};
    memcpy(ephemeral->frames, said->frames.data, said->frames.len);
    room_ref(room);
    room_count_ephemeral(room, 1);
    worker_post(to, &ephemeral->task);
}

/* To all rich members; short memory drops it. Takes what is said. */
static void send_all(struct worker *w, struct room *room, struct saying *said)
{
    struct server *s = w->server;
    for (unsigned i = 0; said->count > 0 && i < s->worker_count; i++)
        if (room_has_rich(room, i)) send_to(&s->workers[i], room, said);
    buf_fini(&said->frames);
}

static void saying_add(struct saying *said, const struct buf *json, const struct member *except)
{
    const struct slice text = {(const char *)json->data, json->len};
    if (ws_frame_append(&said->frames, WS_TEXT, false, text, EPHEMERAL_MAX_BYTES) != 0) return;
    said->parts[said->count].except = except;
    said->parts[said->count++].end = said->frames.len;
}

/* ---- what is due ---- */

static void due_free(struct due *d)
{
    room_unref(d->room);
    free(d);
}

static void run_due(struct worker *w, struct task *t)
{
    struct due *d = container_of(t, struct due, later.task);
    d->tell(w, d->room);
    due_free(d);
}

static struct due *due_new(struct room *room, void (*tell)(struct worker *w, struct room *room))
{
    struct due *d = malloc(sizeof *d);
    if (!d) return NULL;
    timer_init(&d->later.timer);
    d->later.task.run = run_due;
    d->room = room;
    d->tell = tell;
    room_ref(room);
    return d;
}

/* Not at once but after the sockets of this turn, so that many who come together are told of in one
 * frame. The task of the second finds nothing left to tell. */
static void tell_soon(struct worker *w, struct room *room,
                      void (*tell)(struct worker *w, struct room *room))
{
    struct due *d = due_new(room, tell);
    if (!d) {
        tell(w, room);
        return;
    }
    worker_post(w, &d->later.task);
}

/* False: memory is short, or the worker at its end. */
static bool tell_later(struct worker *w, struct room *room,
                       void (*tell)(struct worker *w, struct room *room))
{
    struct due *d = due_new(room, tell);
    if (!d || worker_post_later(w, &d->later)) return d;
    due_free(d);
    return false;
}

/* Workers do not come round to it: one frame that tells more costs them less than two. */
static bool is_crowded(const struct worker *w, struct room *room)
{
    return room_ephemerals(room) >= EPHEMERALS_OF_ROOM_MAX * w->server->worker_count;
}

/* ---- presence ---- */

static void tell_presence(struct worker *w, struct room *room)
{
    struct presence_news news;
    enum presence_due due;
    bool any = room_take_presence(room, is_crowded(w, room), w->now_ms, &news, &due);
    ephemeral_presence(w, room, due);
    if (!any) return;
    struct buf json = {0};
    struct saying said = {0};
    news.frame.room = room_name(room);
    if (rich_encode_presence(&news.frame, &json, EPHEMERAL_MAX_BYTES) == 0)
        saying_add(&said, &json, NULL);
    send_all(w, room, &said);
    buf_fini(&json);
}

static void on_presence_timer(struct worker *w, struct room *room)
{
    ephemeral_presence(w, room, room_on_presence_timer(room, w->now_ms));
}

void ephemeral_presence(struct worker *w, struct room *room, enum presence_due due)
{
    if (due == PRESENCE_NOW) tell_soon(w, room, tell_presence);
    if (due != PRESENCE_LATER || tell_later(w, room, on_presence_timer)) return;
    /* Nobody would ask for another timer: the next change is told at once instead. */
    room_no_presence_timer(room);
}

/* ---- typing ---- */

static void tell_typing(struct worker *w, struct room *room)
{
    struct typing news;
    if (is_crowded(w, room) && tell_later(w, room, tell_typing)) return;
    if (!room_take_typing(room, &news)) return;
    const struct slice name = room_name(room);
    struct buf json = {0};
    struct saying said = {0};
    for (unsigned i = 0; i < news.count; i++) {
        const struct typist *t = &news.typists[i];
        const struct slice who = {t->name, t->len};
        json.len = 0;
        if (rich_encode_typing(name, who, t->on, &json, EPHEMERAL_MAX_BYTES) == 0)
            saying_add(&said, &json, t->member);
    }
    send_all(w, room, &said);
    buf_fini(&json);
    if (tell_later(w, room, tell_typing)) return;
    while (room_take_typing(room, &news)) { /* without a timer the next is told at once */
    }
}

void ephemeral_typing(struct worker *w, const struct member *m, struct slice name, bool on)
{
    struct room *room = m->feed->room;
    if (room_member_count(room) > TYPING_MEMBERS_MAX) return; /* it would be noise */
    if (room_note_typing(room, m, name, on)) tell_soon(w, room, tell_typing);
}
