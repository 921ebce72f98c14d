/* See whisper.h. */
#include "server/whisper.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/hub.h"
#include "net/timer.h"
#include "proto/rich.h"
#include "proto/ws_frame.h"
#include "server/conn.h"
#include "server/rich_session.h"
#include "server/task.h"
#include "server/worker.h"

struct whisper {
    struct task task;
    struct room *room; /* a reference */
    const struct member *except;
    size_t len;
    uint8_t frame[];
};

struct presence_task {
    struct task task;
    struct room *room; /* a reference */
};

struct presence_timer {
    struct timer timer;
    struct room *room; /* a reference */
};

static void offer(struct worker *w, struct reader *r, const struct whisper *said)
{
    unsigned encoding = r->encoding;
    for (uint32_t i = r->member_count; i-- > 0;) {
        if (i >= r->member_count) continue; /* sending may have ended some */
        struct member *m = r->members[i];
        if (m == said->except) continue;
        struct conn *c = rich_session_conn(m);
        if (conn_unsent(c) > 0)
            metrics_add(&w->metrics, METRIC_WHISPERS_DROPPED, 1);
        else
            conn_send(c, said->frame, said->len);
        /* The last member of a reader takes it along. */
        if (c->state == CONN_DEAD && room_reader(said->room, encoding, w->index) != r) return;
    }
}

static void run(struct worker *w, struct task *t)
{
    struct whisper *said = container_of(t, struct whisper, task);
    for (unsigned e = ENCODING_RICH; e < ENCODING_COUNT; e++) {
        struct reader *r = room_reader(said->room, e, w->index);
        if (r) offer(w, r, said);
    }
    room_unref(said->room);
    free(said);
}

static void send_to(struct worker *to, struct room *room, const struct member *except,
                    const struct buf *frame)
{
    struct whisper *said = malloc(sizeof *said + frame->len);
    if (!said) return;
    *said = (struct whisper){.task.run = run, .room = room, .except = except, .len = frame->len};
    memcpy(said->frame, frame->data, frame->len);
    room_ref(room);
    worker_post(to, &said->task);
}

void whisper_send(struct worker *w, struct room *room, const struct member *except,
                  struct slice json)
{
    struct server *s = w->server;
    struct buf frame = {0};
    if (ws_frame_append(&frame, WS_TEXT, false, json, RICH_FRAME_MAX_BYTES) == 0) {
        for (unsigned i = 0; i < s->worker_count; i++)
            if (room_has_rich(room, i)) send_to(&s->workers[i], room, except, &frame);
    }
    buf_fini(&frame);
}

static void tell(struct worker *w, struct room *room)
{
    struct presence_news news;
    pthread_mutex_lock(&room->lock);
    bool any = presence_take(&room->presence, w->now_ms, &news);
    pthread_mutex_unlock(&room->lock);
    if (!any) return;
    struct buf json = {0};
    news.frame.room = (struct slice){room->name, room->name_len};
    if (rich_encode_presence(&news.frame, &json, RICH_FRAME_MAX_BYTES) == 0)
        whisper_send(w, room, NULL, (struct slice){(const char *)json.data, json.len});
    buf_fini(&json);
}

static void run_presence(struct worker *w, struct task *t)
{
    struct presence_task *p = container_of(t, struct presence_task, task);
    tell(w, p->room);
    room_unref(p->room);
    free(p);
}

/* Not at once but after the sockets of this turn, so that many who come together are told of in one
 * frame. The task of the second finds nothing left to tell. */
static void tell_soon(struct worker *w, struct room *room)
{
    struct presence_task *p = malloc(sizeof *p);
    if (!p) {
        tell(w, room);
        return;
    }
    *p = (struct presence_task){.task.run = run_presence, .room = room};
    room_ref(room);
    worker_post(w, &p->task);
}

static void start_timer(struct worker *w, struct room *room)
{
    struct presence_timer *t = malloc(sizeof *t);
    if (!t) {
        /* Nobody would ask for another: the next change is told at once instead. */
        pthread_mutex_lock(&room->lock);
        room->presence.timer = false;
        pthread_mutex_unlock(&room->lock);
        return;
    }
    timer_init(&t->timer);
    t->room = room;
    room_ref(room);
    timer_start(&w->presence_timers, &t->timer, w->now_ms);
}

void whisper_presence(struct worker *w, struct room *room, enum presence_due due)
{
    if (due == PRESENCE_NOW) tell_soon(w, room);
    if (due == PRESENCE_LATER) start_timer(w, room);
}

void whisper_run_timers(struct worker *w)
{
    struct timer *expired;
    while ((expired = timer_queue_expired(&w->presence_timers, w->now_ms))) {
        struct presence_timer *t = container_of(expired, struct presence_timer, timer);
        pthread_mutex_lock(&t->room->lock);
        enum presence_due due = presence_on_timer(&t->room->presence, w->now_ms);
        pthread_mutex_unlock(&t->room->lock);
        whisper_presence(w, t->room, due);
        room_unref(t->room);
        free(t);
    }
}

void whisper_drop_timers(struct worker *w)
{
    struct timer *t;
    while ((t = timer_queue_expired(&w->presence_timers, UINT64_MAX - 1))) {
        struct presence_timer *p = container_of(t, struct presence_timer, timer);
        room_unref(p->room);
        free(p);
    }
}
