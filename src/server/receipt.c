/* See receipt.h. */
#include "server/receipt.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/hub.h"
#include "ops/log.h"
#include "server/conn.h"
#include "server/worker.h"

enum { TROUBLE_TELL_MS = 10 * 1000 };

static void run(struct worker *w, struct task *t)
{
    struct receipt *r = container_of(t, struct receipt, task);
    struct conn *c = conn_find(&r->conn);
    if (c && r->err == ERR_STORE) outage_note_client(w->server, c->ip);
    if (c) r->tell(c, r);
    free(r);
}

struct receipt *receipt_new(struct conn *c, struct slice room, struct slice ref)
{
    struct receipt *r = malloc(sizeof *r + room.len + ref.len);
    if (!r) return NULL;
    *r = (struct receipt){.task.run = run,
                          .conn = conn_name(c),
                          .room_len = (uint8_t)room.len,
                          .ref_len = (uint8_t)ref.len};
    memcpy(r->text, room.ptr, room.len);
    if (ref.len) memcpy(r->text + room.len, ref.ptr, ref.len);
    return r;
}

struct slice receipt_room(const struct receipt *r)
{
    return (struct slice){r->text, r->room_len};
}

struct slice receipt_ref(const struct receipt *r)
{
    return (struct slice){r->text + r->room_len, r->ref_len};
}

static void set_id(struct receipt *r, const struct room *room, uint64_t seq, int64_t ts_ms)
{
    memcpy(r->id.epoch, room->epoch, ID_EPOCH_LEN);
    r->id.seq = seq;
    r->ts_ms = ts_ms;
}

int receipt_publish(struct receipt *r, struct room *room, struct publish *p)
{
    struct worker *w = r->conn.worker;
    struct slink *woken;
    p->tag = r;
    p->waiter = &r->task.link;
    memcpy(r->id.epoch, room->epoch, ID_EPOCH_LEN); /* before another thread has it */
    r->ts_ms = p->event.ts_ms;
    int err = room_publish(room, &w->scribe, p, &woken);
    if (err) {
        const struct conn *c = err == ERR_STORE ? conn_find(&r->conn) : NULL;
        if (c) outage_note_message(w->server, (struct slice){room->name, room->name_len});
        if (c) outage_note_client(w->server, c->ip);
        free(r);
        return err;
    }
    worker_post_dirty(w, woken);
    w->published = true;
    if (p->dup && !p->waiting) {
        r->dup = true;
        set_id(r, room, p->event.seq, p->event.ts_ms);
        worker_post(w, &r->task);
    }
    return 0;
}

int receipt_read(struct receipt *r, struct room *room, struct reading *reading)
{
    struct worker *w = r->conn.worker;
    set_id(r, room, reading->mark.seq, w->wall_ms); /* before another thread has it */
    reading->tag = r;
    int err = room_read(room, reading);
    if (err) {
        free(r);
        return err;
    }
    if (reading->old)
        worker_post(w, &r->task);
    else
        w->published = true;
    return 0;
}

/* ---- the store's thread ---- */

static void tell(struct receipt *r, int err)
{
    r->err = err;
    if (!err && r->errors_only)
        free(r);
    else
        worker_post(r->conn.worker, &r->task);
}

static void post_dirty(struct server *s, struct slink *woken)
{
    while (woken) {
        struct slink *next = woken->next;
        const struct reader *r = container_of(woken, struct reader, dirty_link);
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
    room_on_done(room, &s->scribe, done, &woken, &waiters);
    post_dirty(s, woken);
    while (waiters) {
        struct receipt *r = container_of(waiters, struct receipt, task.link);
        waiters = waiters->next;
        r->dup = true;
        set_id(r, room, done->event->seq, done->event->ts_ms);
        tell(r, done->err);
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
        struct receipt *r = d->tag;
        if (d->mark) {
            tell_read(s, d);
            continue;
        }
        r->id.seq = d->event->seq;
        if (d->err == ERR_STORE) outage_note_message(s, d->room);
        if (d->err || s->options.strict || d->event->nonce.len) tell_room(s, d);
        tell(r, d->err);
    }
}

static void on_health(void *ctx, bool healthy, const char *text)
{
    struct server *s = ctx;
    if (healthy) {
        struct outage_sum sum = {0};
        char since[OUTAGE_SINCE_MAX];
        outage_look(s, &sum);
        outage_end(s);
        outage_since(&sum, since);
        LOG(s->options.log, LOG_INFO, "store_recovered", text, LOG_STR("since", since),
            LOG_U64("after_ms", sum.lasted_ms), LOG_U64("refused", sum.refused),
            LOG_U64("messages", sum.messages), LOG_U64("rooms", sum.rooms),
            LOG_U64("clients", sum.clients));
    } else if (outage_begin(s)) {
        LOG(s->options.log, LOG_ERROR, "store_failed",
            "messages cannot be stored and are refused until it works again",
            LOG_STR("reason", text));
    }
}

/* The first at once, then one for all that there was in TROUBLE_TELL_MS. A room's name may be what
 * keeps strangers out of it: only at level debug. */
static void on_trouble(void *ctx, const struct store_trouble *t)
{
    struct server *s = ctx;
    int64_t now_ms = t->last_ms;
    LOG(s->options.log, LOG_DEBUG, "store_trouble_room", t->what, LOG_SLICE("room", t->room),
        LOG_I64("code", t->code));
    int64_t told_ms = atomic_load(&s->trouble_told_ms);
    bool due = !told_ms || now_ms < told_ms || now_ms >= told_ms + TROUBLE_TELL_MS;
    if (!due || !atomic_compare_exchange_strong(&s->trouble_told_ms, &told_ms, now_ms)) return;
    LOG(s->options.log, LOG_ERROR, "store_trouble",
        t->damage ? "the database is damaged: what needs that place is refused, the rest goes on"
                  : "something could not be read or written: it is refused, the rest goes on",
        LOG_STR("what", t->what), LOG_STR("reason", t->text), LOG_I64("code", t->code),
        LOG_I64("errno", t->os_error), LOG_U64("count", t->count),
        LOG_I64("since_s", (now_ms - t->since_ms) / 1000));
}

static void on_notice(void *ctx, enum store_notice what, uint64_t number)
{
    static const struct {
        enum log_level level;
        const char *event;
        const char *field;
        const char *text;
    } lines[STORE_NOTICE_COUNT] = {
        [STORE_CLOCK_JUMPED] = {LOG_WARN, "clock_jumped", "ahead_s",
                                "the clock is ahead, or nothing was said for as long: keep-age "
                                "removes nothing more for it until it has stayed so for a while"},
        [STORE_CLOCK_BACK] = {LOG_WARN, "clock_back", "back_s",
                              "the clock was set back: keep-age goes by it"},
        [STORE_CLOCK_BELIEVED] = {LOG_INFO, "clock_believed", "ahead_s",
                                  "keep-age goes by the clock"},
        [STORE_ROOMS_FULL] = {LOG_WARN, "rooms_full", "rooms",
                              "a new room was refused: there are max-rooms"},
        [STORE_FULL] = {LOG_ERROR, "database_full", "bytes",
                        "max-database-bytes is reached: messages are refused"},
        [STORE_NOT_FULL] = {LOG_INFO, "database_not_full", "bytes", "messages are stored again"},
        [STORE_TRIMS] = {LOG_WARN, "database_trimmed", "bytes",
                         "the oldest messages of the largest rooms go, to stay within the limit"},
        [STORE_QUEUE_FULL] =
            {LOG_WARN, "store_busy", "waiting",
             "more comes than can be stored: messages or read markers are refused"},
    };
    const struct server *s = ctx;
    LOG(s->options.log, lines[what].level, lines[what].event, lines[what].text,
        LOG_U64(lines[what].field, number));
}

static void on_file(void *ctx, enum store_file_event what, const char *text)
{
    static const char *const event[] = {
        [STORE_FILE_RESTORED] = "store_restored", [STORE_FILE_LOST] = "store_lost",
        [STORE_FILE_TOUCHED] = "store_touched",   [STORE_FILE_STALE] = "store_stale",
        [STORE_FILE_UPGRADE] = "store_upgrade",
    };
    enum log_level level = what == STORE_FILE_LOST      ? LOG_ERROR
                           : what == STORE_FILE_UPGRADE ? LOG_INFO
                                                        : LOG_WARN;
    struct server *s = ctx;
    LOG(s->options.log, level, event[what], text);
}

void receipt_set_callbacks(struct server *s, struct store_options *o)
{
    o->on_done = on_done;
    o->on_health = on_health;
    o->on_trouble = on_trouble;
    o->on_notice = on_notice;
    o->on_file = on_file;
    o->ctx = s;
}
