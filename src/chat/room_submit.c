/* Events on their way into a room, and back from the journal. See room.h, which has the interface
 * of a room alone; what one is made of is in room_state.h. */
#include "chat/room.h"
#include "chat/room_state.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chat/encoder.h"
#include "chat/event_json.h"
#include "chat/feed.h"
#include "chat/hub.h"
#include "journal/journal.h"
#include "proto/ws_deflate.h"
#include "proto/ws_frame.h"

enum { MESSAGE_WINDOW_BITS = 15 };
enum { KIND_BARE, KIND_FULL, KIND_COUNT };

/* Bytes of one frame, ready but for their place in the log. */
struct payload {
    struct slice bytes;
    bool rsv1;
    bool made;
};

struct draft {
    struct payload *payload; /* NULL: nothing for this log */
    uint8_t *at;
};

/* One event on its way into the logs. */
struct delivery_plan {
    struct payload payloads[KIND_COUNT][2]; /* plain, deflated */
    struct draft drafts[ENCODING_COUNT];
};

static int make_plain(const struct room *room, struct encoder *s, const struct store_event *e,
                      int kind, struct payload *out)
{
    struct buf *json = &s->json[kind];
    const struct event_room er = {{room->name, room->name_len}, room->epoch};
    enum event_form full = e->kind == STORE_MESSAGE ? EVENT_FULL : EVENT_RICH;
    json->len = 0;
    int err = event_encode(&er, e, kind == KIND_BARE ? EVENT_BARE : full, json);
    if (err) return err;
    *out = (struct payload){{(const char *)json->data, json->len}, false, true};
    return 0;
}

static int make_deflated(struct encoder *s, int kind, const struct payload *plain,
                         struct payload *out)
{
    struct buf *small = &s->deflated[kind];
    *out = *plain;
    if (!s->deflater || plain->bytes.len < ROOM_DEFLATE_MIN_BYTES) return 0;
    small->len = 0;
    int err = ws_deflater_run(s->deflater, MESSAGE_WINDOW_BITS, (const uint8_t *)plain->bytes.ptr,
                              plain->bytes.len, small, ROOM_FRAME_MAX_BYTES);
    if (err) return err;
    if (small->len >= plain->bytes.len) return 0;
    *out = (struct payload){{(const char *)small->data, small->len}, true, true};
    return 0;
}

static size_t frame_bytes(const struct payload *p)
{
    return ws_frame_head_size(p->bytes.len) + p->bytes.len;
}

/* Encodes what the log gets, each payload once however many logs share it. */
static int make_draft(struct room *room, struct encoder *s, const struct store_event *e,
                      struct delivery_plan *plan, unsigned encoding)
{
    if (!encoding_is_rich(encoding) && e->kind != STORE_MESSAGE) return 0;
    int kind = encoding_keeps(encoding) ? KIND_FULL : KIND_BARE;
    bool deflate = encoding_is_deflate(encoding);
    struct payload *plain = &plan->payloads[kind][0];
    struct payload *deflated = &plan->payloads[kind][1];
    int err = plain->made ? 0 : make_plain(room, s, e, kind, plain);
    /* Of a message that is deleted already there is nothing to tell. */
    if (err || plain->bytes.len == 0) return err;
    if (deflate && !deflated->made) err = make_deflated(s, kind, plain, deflated);
    if (err) return err;
    plan->drafts[encoding].payload = deflate ? deflated : plain;
    return 0;
}

/* The logs that get what is said: those with a feed, and those whose past is on its way, so that
 * it still fits when it arrives. */
static unsigned wanted_locked(const struct room *room)
{
    return room->encodings | room->filling;
}

/* Everything that can fail, before anything is changed; the room is locked. */
static int plan_locked(struct room *room, struct encoder *s, const struct store_event *e,
                       struct delivery_plan *plan)
{
    for (unsigned i = 0; i < ENCODING_COUNT; i++) {
        if (!(wanted_locked(room) & 1 << i)) continue;
        int err = make_draft(room, s, e, plan, i);
        if (err) return err;
    }
    for (unsigned i = 0; i < ENCODING_COUNT; i++) {
        struct draft *d = &plan->drafts[i];
        struct room_log *rl = room->logs[i];
        if (!d->payload) continue;
        d->at = frame_log_reserve(&rl->log, frame_bytes(d->payload));
        if (!d->at || (rl->log.keeps && recent_reserve(&rl->recent))) return ERR_NOMEM;
    }
    return 0;
}

/* Appends the frame and turns the log's clean feeds dirty. */
static void append(struct room_log *rl, const struct draft *d, struct slink **woken)
{
    struct frame_log *log = &rl->log;
    uint64_t start = log->end;
    uint8_t head[WS_HEAD_MAX];
    const struct slice payload = d->payload->bytes;
    size_t head_len = ws_frame_head(head, WS_TEXT, d->payload->rsv1, payload.len);
    memcpy(d->at, head, head_len);
    memcpy(d->at + head_len, payload.ptr, payload.len);
    frame_log_commit(log, head_len + payload.len);

    for (struct list *l = rl->feeds.next; l != &rl->feeds; l = l->next) {
        struct feed *r = container_of(l, struct feed, link);
        if (r->dirty) continue;
        r->dirty = true;
        rl->dirty_count++;
        frame_log_seek_tail(log, &r->start, start);
        r->dirty_link.next = *woken;
        *woken = &r->dirty_link;
    }
}

/* True if the recent past shows, or may be about to show, a message as it was before this event. An
 * edit has the text of its message too, and may be newer than what shows the message: a deletion
 * has to take it out of the rich logs, whatever it deletes. */
static bool makes_stale(const struct room *room, const struct store_event *e, unsigned encoding)
{
    if (e->kind != STORE_EDIT && e->kind != STORE_DELETE) return false;
    if (e->kind == STORE_DELETE && encoding_is_rich(encoding)) return true;
    return room->filling & 1 << encoding || e->target > room->logs[encoding]->recent.from_seq;
}

/* What was planned enters the logs; the room is locked. */
static void deliver_locked(struct room *room, const struct store_event *e,
                           const struct delivery_plan *plan, struct slink **woken)
{
    const struct recent_limits *limits = hub_recent_limits(room->hub);
    room->head = e->seq;
    for (unsigned i = 0; i < ENCODING_COUNT; i++) {
        struct room_log *rl = room->logs[i];
        if (!rl) continue;
        uint64_t offset = rl->log.end;
        if (plan->drafts[i].payload) append(rl, &plan->drafts[i], woken);
        if (!rl->log.keeps) {
            rl->recent.from_seq = room->head;
        } else if (!(wanted_locked(room) & 1 << i) || makes_stale(room, e, i)) {
            recent_forget(&rl->recent, &rl->log, room->head);
        } else if (plan->drafts[i].payload) {
            const struct recent_entry entry = {e->seq & STORE_SEQ_MAX, e->kind == STORE_MESSAGE,
                                               e->ts_ms, offset};
            recent_note(&rl->recent, &rl->log, &entry, limits);
        }
    }
}

/* What was reserved for an event that is refused. */
static void unplan_locked(struct room *room)
{
    for (unsigned i = 0; i < ENCODING_COUNT; i++)
        if (room->logs[i] && room->logs[i]->dirty_count == 0) frame_log_relax(&room->logs[i]->log);
}

/* What the journal tells a room while it submits to it. */
struct room_sink {
    struct journal_sink sink;
    struct room *room;
    struct encoder *encoder;
    struct slink **woken;
    struct delivery_plan plan;
};

static int sink_prepare(struct journal_sink *sink, const struct store_event *e)
{
    struct room_sink *s = container_of(sink, struct room_sink, sink);
    return plan_locked(s->room, s->encoder, e, &s->plan);
}

static void sink_deliver(struct journal_sink *sink, const struct store_event *e)
{
    struct room_sink *s = container_of(sink, struct room_sink, sink);
    deliver_locked(s->room, e, &s->plan, s->woken);
}

int room_submit(struct room *room, struct encoder *encoder, struct submission *s,
                struct slink **woken)
{
    struct room_sink to = {
        .sink = {sink_prepare, sink_deliver}, .room = room, .encoder = encoder, .woken = woken};
    *woken = NULL;
    s->room = room_name(room);
    s->epoch = room->epoch;
    pthread_mutex_lock(&room->lock);
    CHECK(room->state == ROOM_READY);
    room_check_locked(room);
    int err = journal_submit(hub_journal(room->hub), &room->order, s, &to.sink);
    if (err) unplan_locked(room);
    room_check_locked(room);
    hub_note_use(room);
    bool balance = hub_account_locked(room);
    pthread_mutex_unlock(&room->lock);
    if (balance) hub_balance(room);
    return err;
}

/* Out of memory for an event that is in the store: whoever is here has to come back for it. */
static void lose_locked(struct room *room, struct slink **woken)
{
    for (unsigned i = 0; i < ENCODING_COUNT; i++) {
        struct room_log *rl = room->logs[i];
        if (!rl) continue;
        for (struct list *l = rl->feeds.next; l != &rl->feeds; l = l->next) {
            struct feed *r = container_of(l, struct feed, link);
            atomic_store(&r->lost, true);
            if (r->dirty) continue;
            r->dirty = true;
            rl->dirty_count++;
            r->dirty_link.next = *woken;
            *woken = &r->dirty_link;
        }
    }
}

/* An event that is safe enters the logs, unless it is there. Of a room that is being loaded only
 * this is noted: what the store answers may be from before it. */
static void take_locked(struct room *room, struct encoder *s, const struct store_event *e,
                        struct slink **woken)
{
    struct delivery_plan plan = {0};
    if (room->state != ROOM_READY) {
        bool news = hub_journal(room->hub)->shared && e->seq > room->loading_seq;
        if (news) room->loading_seq = e->seq;
    } else if (e->seq <= room->head) {
        return;
    } else if (plan_locked(room, s, e, &plan) == 0) {
        deliver_locked(room, e, &plan, woken);
    } else {
        room->head = e->seq;
        room_forget_locked(room);
        lose_locked(room, woken);
    }
}

void room_deliver(struct room *room, struct encoder *s, const struct store_done *done,
                  struct slink **woken, struct slink **waiters)
{
    *woken = NULL;
    pthread_mutex_lock(&room->lock);
    room_check_locked(room);
    if (!done->err)
        take_locked(room, s, done->event, woken);
    else if (room->state == ROOM_READY)
        room_forget_locked(room);
    journal_settle(hub_journal(room->hub), &room->order, done, waiters);
    room_check_locked(room);
    hub_note_use(room);
    bool balance = hub_account_locked(room);
    pthread_mutex_unlock(&room->lock);
    if (balance) hub_balance(room);
}

int room_read(struct room *room, struct read_marker *r)
{
    const struct store_move m = {
        {room->name, room->name_len}, room->epoch, r->mark, r->tag, .kick_follows = true};
    int err = 0;
    pthread_mutex_lock(&room->lock);
    CHECK(room->state == ROOM_READY);
    if (r->mark.seq == 0 || r->mark.seq > room->head) err = ERR_NO_MESSAGE;
    r->old = !err && read_markers_find(&room->markers, r->mark.user) >= r->mark.seq;
    if (!err && !r->old) err = journal_move_mark(hub_journal(room->hub), &m);
    pthread_mutex_unlock(&room->lock);
    return err;
}

uint64_t room_read_seq(struct room *room, struct slice user)
{
    pthread_mutex_lock(&room->lock);
    uint64_t seq = read_markers_find(&room->markers, user);
    pthread_mutex_unlock(&room->lock);
    return seq;
}

void room_on_read(struct room *room, const struct store_mark *mark)
{
    pthread_mutex_lock(&room->lock);
    /* Else it is loaded anew, with this marker among the others. */
    if (room->state == ROOM_READY) (void)read_markers_move(&room->markers, mark);
    bool balance = hub_account_locked(room);
    pthread_mutex_unlock(&room->lock);
    if (balance) hub_balance(room);
}

void room_relax(struct room *room, enum encoding encoding)
{
    struct room_log *rl = room->logs[encoding];
    pthread_mutex_lock(&room->lock);
    if (rl->dirty_count == 0) frame_log_relax(&rl->log);
    pthread_mutex_unlock(&room->lock);
}

bool room_settle(struct feed *r)
{
    struct room *room = r->room;
    struct room_log *rl = room->logs[r->encoding];
    bool detached = r->detached; /* set on this thread only */
    pthread_mutex_lock(&room->lock);
    bool clean = detached || (r->cursor.offset == rl->log.end && !atomic_load(&r->lost));
    if (clean) {
        r->dirty = false;
        cursor_rest(&r->cursor);
        cursor_rest(&r->start); /* detached before its worker looked at it */
        if (--rl->dirty_count == 0) frame_log_relax(&rl->log);
    }
    pthread_mutex_unlock(&room->lock);
    if (detached) hub_feed_free(r);
    return clean;
}
