/* See replay.h. */
#include "session/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chat/event_json.h"
#include "proto/ws_frame.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/pending.h"
#include "server/session.h"
#include "server/worker.h"

enum {
    PAGE_EVENTS = 200,
    PAGE_BYTES = 64 * 1024, /* of texts in the store, and of frames: escapes make six of one */
    ANSWER_BYTES = 2 * PAGE_BYTES, /* of memory: the last frame goes beyond */
};

struct replay {
    struct member *member;
    struct join join;
    const struct replay_owner *owner;
    uint64_t next; /* events after this seq are wanted */
    unsigned left; /* events that may still be sent */
    bool newest;   /* the newest page instead; `left` is what is left of it, once it has begun */
    bool messages; /* as they are now, and no changes of them */
    bool begun;
    struct answer *asked; /* on its way; it belongs to the store's thread but for `replay` */
};

/* A page on its way. */
struct answer {
    struct pending p;
    struct replay *replay; /* the worker's; NULL if it was given up */
    struct buf frames;
    enum event_form form;
    size_t max_bytes;
    uint64_t until;
    uint64_t last;
    uint64_t trimmed_seq;
    uint64_t total;
    unsigned count; /* events in frames */
    bool more;
};

struct replay *replay_new(struct member *m, const struct join *j, const struct replay_owner *owner)
{
    struct replay *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->member = m;
    r->join = *j;
    r->owner = owner;
    r->next = j->since.seq;
    r->left = REPLAY_MAX;
    r->newest = !j->resume || !j->recovered;
    r->messages = r->newest || !encoding_is_rich(j->encoding);
    return r;
}

struct member *replay_member(const struct replay *r)
{
    return r->member;
}

const struct join *replay_join(const struct replay *r)
{
    return &r->join;
}

void replay_free(struct replay *r)
{
    if (!r) return;
    if (r->asked) {
        r->asked->replay = NULL;
        atomic_store(&r->asked->p.gone, true);
    }
    free(r);
}

/* ---- the store's thread ---- */

static int add_frame(struct answer *a, const struct store_event *e, struct buf *json)
{
    const struct event_room er = {room_name(a->p.room), room_epoch(a->p.room)};
    json->len = 0;
    int err = event_encode(&er, e, a->form, json);
    if (err || json->len == 0) return err;
    a->count++;
    return ws_frame_append(&a->frames, WS_TEXT, false,
                           (struct slice){(const char *)json->data, json->len}, CONN_OUT_MAX_BYTES);
}

/* Encodes what comes first, until there is enough: the rest is read again when it is wanted. */
static int replay_encode_page(struct answer *a, const struct store_page *page)
{
    struct buf json = {0};
    size_t i = 0;
    bool beyond = false;
    int err = 0;
    for (; i < page->count && a->frames.len < a->max_bytes && !err; i++) {
        const struct store_event *e = page->events[i];
        beyond = e->seq > a->until;
        if (beyond) break;
        err = add_frame(a, e, &json);
        a->last = e->seq;
    }
    buf_fini(&json);
    a->more = !beyond && (page->more_after || i < page->count) && a->last < a->until;
    a->trimmed_seq = page->room.trimmed_seq;
    a->total = page->total;
    return err;
}

static void replay_on_page(void *ctx, int err, const struct store_page *page)
{
    struct answer *a = ctx;
    bool nothing = err == ERR_NOT_FOUND; /* nobody has spoken, or retention has left nothing */
    if (nothing) {
        err = 0;
        a->trimmed_seq = a->until;
    }
    if (page) err = replay_encode_page(a, page);
    pending_answer(&a->p, err);
}

/* ---- the worker's thread ---- */

/* True: the member cannot be resumed after all, and the newest page was asked for instead. */
static bool turn_to_newest(struct conn *c, struct replay *r, const struct answer *a)
{
    if (r->begun || r->newest || a->trimmed_seq <= r->next) return false;
    r->newest = r->messages = true;
    r->join.recovered = false;
    if (r->join.history == 0) r->join.history = ROOM_HISTORY_DEFAULT;
    replay_go_on(c, r);
    return true;
}

/* Exact if the page is the only one, or of the newest, unless some are deleted meanwhile. Else the
 * store's count, which goes on beyond the head at which the member joined, and has the deleted
 * messages too. */
static uint64_t events_to_come(const struct replay *r, const struct answer *a)
{
    if (r->newest) return r->left;
    if (!a->more) return a->count;
    uint64_t most = a->until - r->next;
    if (most > a->total) most = a->total;
    return most < REPLAY_MAX ? most : REPLAY_MAX;
}

/* The first answer to a replay. False: the connection is gone, and r with it. */
static bool replay_begin(struct conn *c, struct replay *r, const struct answer *a)
{
    if (r->newest) r->left = (unsigned)a->total;
    r->begun = true;
    r->owner->on_begin(c, r, r->join.recovered, events_to_come(r, a));
    return c->state == CONN_OPEN;
}

static void replay_take_page(struct conn *c, struct replay *r, struct answer *a)
{
    if (a->p.err) {
        r->owner->on_error(c, r, a->p.err);
        return;
    }
    if (turn_to_newest(c, r, a)) return;
    if (r->begun && a->trimmed_seq > r->next) {
        r->owner->on_end(c, r, r->next, true); /* retention was faster than the member */
        return;
    }
    if (!r->begun && !replay_begin(c, r, a)) return;
    if (a->frames.len) conn_send(c, a->frames.data, a->frames.len);
    if (c->state != CONN_OPEN) return;
    if (a->last > r->next) r->next = a->last;
    r->left -= a->count < r->left ? a->count : r->left;
    if (!a->more || r->left == 0)
        r->owner->on_end(c, r, r->next, !r->newest && a->more);
    else if (conn_unsent(c) == 0)
        replay_go_on(c, r);
}

static void replay_on_answer(struct conn *c, struct pending *p)
{
    struct answer *a = container_of(p, struct answer, p);
    struct replay *r = a->replay;
    bool others = c && c->replays-- == REPLAY_PAGES_MAX;
    if (r) r->asked = NULL;
    if (c && r) replay_take_page(c, r, a);
    others = others && c->state == CONN_OPEN && conn_unsent(c) == 0;
    if (others) (void)c->session->on_writable(c); /* one of its rooms may ask now */
    pending_fini(p);
    buf_fini(&a->frames);
    free(a);
}

/* Where the newest begin is only known once they were found; from there they are read on. */
static struct store_query query_of(const struct conn *c, const struct replay *r, struct answer *a)
{
    const bool find = r->newest && !r->begun;
    const bool rich = encoding_is_rich(r->join.encoding);
    return (struct store_query){
        .room = room_name(a->p.room),
        .direction = find ? STORE_NEWEST : STORE_AFTER,
        .position = find ? a->until + 1 : r->next,
        .limit = find                    ? r->join.history
                 : r->left < PAGE_EVENTS ? r->left
                                         : PAGE_EVENTS,
        .max_bytes = a->max_bytes,
        .messages_only = r->messages, /* n messages, not n events */
        .reactions = rich && r->messages,
        .count_max = r->begun || r->newest ? 0 : REPLAY_MAX,
        .asker = pending_asker(&a->p, c, hub_answers(c->worker->server->hub), ANSWER_BYTES),
    };
}

static int replay_ask(struct conn *c, struct replay *r)
{
    const bool rich = encoding_is_rich(r->join.encoding);
    struct answer *a = calloc(1, sizeof *a);
    if (!a) return ERR_NOMEM;
    pending_init(&a->p, c, r->member->feed->room, replay_on_answer);
    a->replay = r;
    a->form = !rich ? EVENT_FULL : r->messages ? EVENT_PAGE : EVENT_RICH;
    a->until = r->join.head.seq;
    a->max_bytes = conn_page_bytes(c, PAGE_BYTES);
    const struct store_query q = query_of(c, r, a);
    int err = store_read_page(c->worker->server->options.store, &q, replay_on_page, a);
    if (err) {
        pending_undo(&a->p);
        free(a);
        return err;
    }
    r->asked = a;
    c->replays++;
    return 0;
}

/* The rooms of a rich client share its socket: all of their pages at once would be too much. */
static bool replay_has_to_wait(const struct conn *c)
{
    return c->replays >= REPLAY_PAGES_MAX || conn_unsent(c) > 0;
}

void replay_go_on(struct conn *c, struct replay *r)
{
    if (r->asked || replay_has_to_wait(c)) return;
    int err = replay_ask(c, r);
    if (err) r->owner->on_error(c, r, err);
}
