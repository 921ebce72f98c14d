/* Joining and leaving a room, and reading its past into memory for those who come back.
 *
 * Where a member begins is decided under the room's lock, together with the head. The recent past
 * is filled from the store once per log, by one page, however many members want it: the first to
 * come asks, the others wait for the same answer. What is older than that page each reads for
 * itself. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chat/event_json.h"
#include "chat/feed.h"
#include "chat/hub.h"
#include "chat/room_state.h"
#include "proto/ws_frame.h"

enum { FILL_TRIES_MAX = 8 }; /* then a member reads from the store for itself */

/* ---- filling ---- */

struct fill {
    struct room *room; /* a reference */
    unsigned encoding;
    uint64_t from_seq; /* of the log when it was asked for */
    uint32_t bytes;    /* counted for it by the store */
};

/* Encodes one event of the page into past; one that this log does not show leaves no trace. */
static int add_past(const struct event_room *er, const struct store_event *e, unsigned encoding,
                    struct recent_past *past, struct buf *json)
{
    json->len = 0;
    int err = event_encode(er, e, encoding_is_rich(encoding) ? EVENT_RICH : EVENT_FULL, json);
    if (err || json->len == 0) return err;
    size_t head = ws_frame_head_size(json->len);
    uint8_t *at = frame_log_reserve(&past->older, head + json->len);
    if (!at) return ERR_NOMEM;
    past->entries[past->count++] = (struct recent_entry){
        e->seq & STORE_SEQ_MAX, e->kind == STORE_MESSAGE, e->ts_ms, past->older.end};
    uint8_t bytes[WS_HEAD_MAX];
    ws_frame_head(bytes, WS_TEXT, false, json->len);
    memcpy(at, bytes, head);
    memcpy(at + head, json->data, json->len);
    frame_log_commit(&past->older, head + json->len);
    return 0;
}

static int make_past(const struct fill *f, const struct store_page *page, struct recent_past *past)
{
    const struct event_room er = {{f->room->name, f->room->name_len}, page->room.epoch};
    struct buf json = {0};
    int err = 0;
    frame_log_init(&past->older, true);
    past->older.account = hub_held(f->room->hub);
    past->entries = malloc((page->count + 1) * sizeof *past->entries);
    if (!past->entries) return ERR_NOMEM;
    past->from_seq = page->more_before ? page->events[0]->seq - 1 : page->room.trimmed_seq;
    if (past->from_seq > f->from_seq) past->from_seq = f->from_seq; /* trimmed beyond it */
    for (size_t i = 0; i < page->count && !err; i++)
        err = add_past(&er, page->events[i], f->encoding, past, &json);
    buf_fini(&json);
    /* The page was within the limit by the bytes of its texts; escapes make six of one. */
    if (!err) recent_past_trim(past, f->bytes);
    return err;
}

/* An answer to a fill: the first good one counts for everybody who waits, of bad ones the last.
 * Takes out those who are to try again, or to be told; the room is locked. */
static struct slink *end_fill_locked(struct room *room, unsigned encoding, int err)
{
    bool last = --room->fills[encoding] == 0;
    if (!(room->filling & 1 << encoding) || (err && !last)) return NULL;
    room->filling &= (uint8_t) ~(1 << encoding);
    struct slink *waits = room->waits;
    room->waits = NULL;
    return waits;
}

/* What is about the asker alone is not for those who wait with it: they try again, and find another
 * way in the end. */
static int told(int err)
{
    return err == ERR_CLOSED || err == ERR_BUSY ? 0 : err;
}

static bool fill_is_wanted(void *ctx)
{
    const struct fill *f = ctx;
    return room_is_waited(f->room, 1U << f->encoding);
}

static void on_filled(void *ctx, int err, const struct store_page *page)
{
    struct fill *f = ctx;
    struct room *room = f->room;
    struct recent_past past = {0};
    struct slink *waits = NULL;
    bool dropped = err == ERR_CLOSED;
    bool nothing = err == ERR_NOT_FOUND; /* nobody has spoken, or retention has left nothing */
    if (nothing) err = 0;
    if (page) err = make_past(f, page, &past);

    pthread_mutex_lock(&room->lock);
    struct room_log *rl = room->logs[f->encoding];
    /* Unless it has been forgotten or trimmed meanwhile: then who waits asks again. */
    bool fits = !err && room->filling & 1 << f->encoding && rl->recent.from_seq == f->from_seq;
    if (fits && nothing) room->trimmed_seq = f->from_seq;
    if (fits && page) {
        room->trimmed_seq = page->room.trimmed_seq;
        if (past.count) err = recent_prepend(&rl->recent, &rl->log, &past);
        if (!err) rl->recent.from_seq = past.from_seq;
    }
    if (fits && !err) rl->recent.filled = true;
    waits = end_fill_locked(room, f->encoding, err);
    hub_note_use(room);
    bool balance = hub_account_locked(room);
    pthread_mutex_unlock(&room->lock);
    if (balance) hub_balance(room);
    if (!dropped) account_sub(hub_answers(room->hub), f->bytes);
    room_wake_all(waits, told(err));

    frame_log_forget(&past.older);
    free(past.entries);
    free(f);
    room_unref(room);
}

struct fill_want {
    uint32_t max_events;
    uint64_t client; /* who asks */
};

/* Asks for the page before what the log knows, of at most max_events. */
static void start_fill(struct room *room, unsigned encoding, uint64_t from_seq,
                       struct fill_want want)
{
    const struct recent_limits *limits = hub_recent_limits(room->hub);
    const uint32_t bytes = limits->max_bytes ? limits->max_bytes : 1;
    const struct store_query q = {
        .room = {room->name, room->name_len},
        .direction = STORE_BEFORE,
        .position = from_seq + 1,
        .limit = want.max_events,
        .max_bytes = bytes,
        .messages_only = !encoding_is_rich(encoding),
        .asker = {want.client, bytes, hub_answers(room->hub), fill_is_wanted},
    };
    struct fill *f = malloc(sizeof *f);
    int err = f ? 0 : ERR_NOMEM;
    if (f) {
        *f = (struct fill){room, encoding, from_seq, bytes};
        room_ref(room);
        err = store_read_page(hub_store(room->hub), &q, on_filled, f);
    }
    if (!err) return;
    pthread_mutex_lock(&room->lock);
    struct slink *waits = end_fill_locked(room, encoding, err);
    pthread_mutex_unlock(&room->lock);
    room_wake_all(waits, told(err));
    if (f) room_unref(room);
    free(f);
}

/* ---- joining ---- */

enum plan { PLAN_LIVE, PLAN_MEMORY, PLAN_FILL, PLAN_STORE };

/* How many older events the log may take up; 0 too if it keeps nothing. */
static uint32_t space_for_past(const struct room *room, const struct recent *recent)
{
    const struct recent_limits *limits = hub_recent_limits(room->hub);
    return limits->max_events > recent->count ? limits->max_events - recent->count : 0;
}

static enum plan older_plan(const struct room *room, const struct recent *recent,
                            const struct join *j)
{
    bool fill = !recent->filled && j->tries < FILL_TRIES_MAX && space_for_past(room, recent) > 0 &&
                !hub_is_pressed(room->hub);
    return fill ? PLAN_FILL : PLAN_STORE;
}

static enum plan plan_newest(const struct room *room, const struct recent *recent, struct join *j)
{
    if (j->history == 0 || room->head == room->trimmed_seq) return PLAN_LIVE;
    bool complete;
    j->replayed = recent_newest(recent, j->history, &complete);
    if (complete || recent->from_seq <= room->trimmed_seq)
        return j->replayed ? PLAN_MEMORY : PLAN_LIVE;
    return older_plan(room, recent, j);
}

/* protocol.md section 6; room locked. */
static enum plan plan_join(const struct room *room, struct join *j)
{
    const struct recent *recent = &room->logs[j->encoding]->recent;
    j->head = (struct id){.seq = room->head};
    memcpy(j->head.epoch, room->epoch, EVENT_EPOCH_LEN);
    j->recovered = true;
    j->replayed = 0;
    j->from_store = false;
    if (!j->resume) return plan_newest(room, recent, j);

    uint64_t since = j->since.seq;
    j->recovered = memcmp(j->since.epoch, room->epoch, EVENT_EPOCH_LEN) == 0 &&
                   since <= room->head && since >= room->trimmed_seq;
    if (!j->recovered) {
        if (j->history == 0) j->history = ROOM_HISTORY_DEFAULT;
        return plan_newest(room, recent, j);
    }
    if (since == room->head) return PLAN_LIVE;
    if (since < recent->from_seq) return older_plan(room, recent, j);
    j->replayed = recent_after(recent, since);
    return j->replayed ? PLAN_MEMORY : PLAN_LIVE;
}

static struct feed *find_feed_locked(const struct room *room, unsigned encoding, unsigned worker)
{
    if (!room->logs[encoding]) return NULL;
    const struct list *feeds = &room->logs[encoding]->feeds;
    for (struct list *l = feeds->next; l != feeds; l = l->next) {
        struct feed *r = container_of(l, struct feed, link);
        if (r->worker == worker) return r;
    }
    return NULL;
}

/* As plan_join, unless the worker has yet to send what is not kept any more: then offsets of its
 * feed and of the past that was put in its place cannot be compared. */
static enum plan choose_plan(const struct room *room, struct join *j)
{
    enum plan plan = plan_join(room, j);
    if (plan != PLAN_MEMORY) return plan;
    if (j->behind) {
        j->replayed = 0;
        return PLAN_STORE;
    }
    const struct feed *r = find_feed_locked(room, j->encoding, j->worker);
    if (!r || r->cursor.offset >= room->logs[j->encoding]->log.joint) return plan;
    j->replayed = 0;
    return PLAN_STORE;
}

struct feed *room_feed(struct room *room, enum encoding encoding, unsigned worker)
{
    pthread_mutex_lock(&room->lock);
    struct feed *r = find_feed_locked(room, encoding, worker);
    pthread_mutex_unlock(&room->lock);
    return r;
}

bool room_has_rich(struct room *room, unsigned worker)
{
    return room_feed(room, ENCODING_RICH, worker) || room_feed(room, ENCODING_RICH_DEFLATE, worker);
}

/* A join on its way, under the room's lock. */
struct attempt {
    struct room *room;
    struct join *join;
    struct member *member;
    enum plan plan;
    struct room *room_ref; /* a reference for a new feed; NULL once one has it */
    struct feed *drop;     /* an empty feed to be freed */
    bool fill;             /* the caller asks for the past: */
    uint64_t from_seq;
    struct fill_want want;
};

/* Finds or makes the worker's feed of the log; room locked. */
static struct feed *get_feed_locked(struct attempt *a)
{
    struct room *room = a->room;
    unsigned encoding = a->join->encoding;
    struct feed *r = find_feed_locked(room, encoding, a->join->worker);
    if (r) return r;
    r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->room = room;
    r->worker = (uint16_t)a->join->worker;
    r->encoding = (uint8_t)encoding;
    r->cursor.offset = room->logs[encoding]->log.end;
    list_push(&room->logs[encoding]->feeds, &r->link);
    room->encodings |= (uint8_t)(1 << encoding);
    a->room_ref = NULL;
    return r;
}

/* Takes an empty feed out of its log; room locked. True: clean, so the caller frees it. A dirty
 * one is freed by room_settle. */
static bool detach_feed_locked(struct feed *r)
{
    struct room *room = r->room;
    list_remove(&r->link);
    if (list_empty(&room->logs[r->encoding]->feeds))
        room->encodings &= (uint8_t) ~(1 << r->encoding);
    r->detached = true;
    return !r->dirty;
}

/* Puts the member at its place; room locked. */
static int add_member_locked(struct attempt *a)
{
    struct room_log *rl = a->room->logs[a->join->encoding];
    struct feed *r = get_feed_locked(a);
    if (!r || atomic_load(&r->lost)) return ERR_NOMEM; /* its members are about to be told to go */
    struct cursor at = {NULL, rl->log.end};
    if (a->plan == PLAN_MEMORY) {
        recent_seek(&rl->recent, &rl->log, a->join->replayed, &at);
    } else if (rl->log.end != r->cursor.offset) {
        /* The worker has yet to send older messages: these are not for a member that joins now. */
        frame_log_seek_tail(&rl->log, &at, rl->log.end);
    }
    int err = feed_add(r, a->member, &at);
    if (err) cursor_rest(&at);
    if (!err && a->plan == PLAN_STORE) feed_block(a->member);
    if (r->member_count == 0 && detach_feed_locked(r)) a->drop = r;
    return err;
}

/* Whether anybody has to be told who comes and goes. */
static bool has_rich(const struct room *room)
{
    return room->encodings & (1 << ENCODING_RICH | 1 << ENCODING_RICH_DEFLATE);
}

static int join_locked(struct attempt *a)
{
    struct join *j = a->join;
    struct presence *presence = &a->room->presence;
    int err = add_member_locked(a);
    if (err) return err;
    j->from_store = a->plan == PLAN_STORE;
    j->presence = PRESENCE_NOTHING;
    if (has_rich(a->room))
        j->presence = presence_join(presence, j->username, j->now_ms);
    else
        presence_count(presence, 1);
    j->members = presence->count;
    return 0;
}

/* True: the caller asks for the page; else it has been asked for already by the same client, as far
 * as is known. Room locked. */
static bool wait_for_fill_locked(struct room *room, struct join *j)
{
    bool ask = !(room->filling & 1 << j->encoding) || room->fill_client != j->client;
    j->err = 0;
    j->tries++;
    j->link.next = room->waits;
    room->waits = &j->link;
    room->filling |= (uint8_t)(1 << j->encoding);
    room->fill_client = j->client;
    room->fills[j->encoding] += ask;
    return ask;
}

/* Decides where the member begins, and puts it there; room locked. ERR_AGAIN: it waits for the past
 * to be filled in. */
static int decide_locked(struct attempt *a)
{
    struct room *room = a->room;
    struct room_log *rl = hub_log_locked(room, a->join->encoding);
    if (!rl) return ERR_NOMEM;
    if (rl->log.keeps)
        (void)recent_expire(&rl->recent, &rl->log, a->join->wall_ms, hub_recent_limits(room->hub));
    a->plan = choose_plan(room, a->join);
    if (a->plan == PLAN_MEMORY) hub_note_use(room);
    if (a->plan != PLAN_FILL) return join_locked(a);
    a->from_seq = rl->recent.from_seq;
    a->want = (struct fill_want){space_for_past(room, &rl->recent), a->join->client};
    a->fill = wait_for_fill_locked(room, a->join);
    return ERR_AGAIN;
}

int room_join(struct join *j, struct member *m)
{
    struct room *room = j->room;
    unsigned encoding = j->encoding;
    CHECK(!m->feed && j->encoding < ENCODING_COUNT && room->state == ROOM_READY);
    struct attempt a = {.room = room, .join = j, .member = m, .room_ref = room};
    room_ref(room);
    pthread_mutex_lock(&room->lock);
    int err = decide_locked(&a);
    room_check_locked(room);
    bool balance = hub_account_locked(room);
    pthread_mutex_unlock(&room->lock);
    if (balance) hub_balance(room);
    if (a.drop) hub_feed_free(a.drop);
    if (a.fill) start_fill(room, encoding, a.from_seq, a.want);
    if (a.room_ref) room_unref(a.room_ref);
    return err;
}

enum presence_due room_leave(struct member *m, struct slice username, uint64_t now_ms)
{
    struct feed *r = m->feed;
    if (!r) return PRESENCE_NOTHING;
    struct room *room = r->room;
    bool lagged = m->cursor.chunk;
    feed_remove(m);
    if (lagged) room_relax(room, r->encoding);

    bool drop = false;
    pthread_mutex_lock(&room->lock);
    enum presence_due due = PRESENCE_NOTHING;
    typing_forget(room->typing, m);
    if (has_rich(room))
        due = presence_leave(&room->presence, username, now_ms);
    else
        presence_count(&room->presence, -1);
    if (r->member_count == 0) drop = detach_feed_locked(r);
    room_check_locked(room);
    pthread_mutex_unlock(&room->lock);
    if (drop) hub_feed_free(r);
    return due;
}

enum presence_due room_rename(struct room *room, struct slice from, struct slice to,
                              uint64_t now_ms)
{
    enum presence_due due = PRESENCE_NOTHING;
    pthread_mutex_lock(&room->lock);
    if (has_rich(room)) {
        /* Both at once: the first answer is that for the frame that will tell of both. */
        due = presence_leave(&room->presence, from, now_ms);
        enum presence_due then = presence_join(&room->presence, to, now_ms);
        if (then != PRESENCE_NOTHING) due = then;
    }
    pthread_mutex_unlock(&room->lock);
    return due;
}

bool room_is_new(struct room *room)
{
    pthread_mutex_lock(&room->lock);
    bool is_new = room->order.seq == 0 && room->presence.count == 0;
    pthread_mutex_unlock(&room->lock);
    return is_new;
}

uint32_t room_member_count(struct room *room)
{
    pthread_mutex_lock(&room->lock);
    uint32_t n = room->presence.count;
    pthread_mutex_unlock(&room->lock);
    return n;
}
