/* Frames of a rich client that ask the store or the other workers, and are answered later. What is
 * asked carries the name of the connection and the ref, so an answer finds its client or nobody. */
#include "session/rich_ask.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/policy.h"
#include "base/err.h"
#include "chat/event_json.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/pending.h"
#include "server/websocket.h"
#include "server/worker.h"
#include "session/occupants.h"
#include "session/pending_ack.h"
#include "session/rich_answer.h"
#include "session/rich_subscription.h"
#include "session/speaker.h"

enum {
    PAGE_BYTES = 256 * 1024, /* at most of texts in the store, and of a frame with them */
    ANSWER_BYTES =
        2 * PAGE_BYTES, /* of memory: the frame is made in one buffer, sent from another */
};

/* What every question has. */
struct question {
    struct pending p;
    struct list link; /* in its session, as long as that exists; else it is gone */
    uint8_t ref_len;
    char ref[RICH_REF_MAX];
};

static void question_init(struct question *q, struct conn *c, struct subscription *s,
                          struct slice ref, void (*on_answer)(struct conn *c, struct pending *p))
{
    c->rich->questions++;
    list_push(&c->rich->asked, &q->link);
    pending_init(&q->p, c, s->as.member.feed->room, on_answer);
    q->ref_len = (uint8_t)ref.len;
    if (ref.len) memcpy(q->ref, ref.ptr, ref.len);
}

static struct slice question_ref(const struct question *q)
{
    return (struct slice){q->ref, q->ref_len};
}

/* It was answered to this connection, or NULL: the client, if it is still one. */
static struct conn *question_client(struct question *q, struct conn *c)
{
    list_remove(&q->link);
    if (!c || c->state != CONN_OPEN) return NULL;
    c->rich->questions--;
    return c;
}

void rich_ask_drop(struct rich *rich)
{
    while (!list_empty(&rich->asked)) {
        struct question *q = container_of(rich->asked.next, struct question, link);
        list_remove(&q->link);
        atomic_store(&q->p.gone, true);
    }
}

/* It was asked: who has many answers coming is not read from, and so asks nothing more. */
static void question_asked(struct conn *c)
{
    const struct rich *rich = c->rich;
    if (rich->questions == RICH_QUESTIONS_MAX || rich->pages == RICH_PAGES_MAX) conn_hold(c);
}

/* It was answered, and may ask more. */
static void question_settled(struct conn *c)
{
    if (c->state == CONN_OPEN && c->held) rich_release(c);
}

/* It could not be asked. */
static void question_undo(struct question *q, struct conn *c)
{
    c->rich->questions--;
    list_remove(&q->link);
    pending_undo(&q->p);
}

/* Judged again: an act may have come while it was asked. */
static int question_may(const struct conn *c, const struct question *q, enum action action)
{
    const struct policy *policy = c->worker->server->options.policy;
    return may(policy, c->identity, action, room_name(q->p.room), NULL);
}

/* ---- history ---- */

struct history {
    struct question q;
    enum store_direction direction;
    uint64_t position;
    size_t max_bytes;
    struct buf json;
};

static int history_encode_page(struct history *h, const struct store_page *page)
{
    const struct event_room er = {room_name(h->q.p.room), room_epoch(h->q.p.room)};
    int err = rich_begin_history(question_ref(&h->q), er.name, &h->json, CONN_OUT_MAX_BYTES);
    struct event_window window = {h->direction, h->position, h->max_bytes, false};
    if (page && !err) err = event_encode_page(&er, page, &window, &h->json);
    bool more = window.cut || (page && (page->more_before || page->more_after));
    return err ? err : rich_end_history(more, &h->json, CONN_OUT_MAX_BYTES);
}

/* The store's thread. */
static void on_history_page(void *ctx, int err, const struct store_page *page)
{
    struct history *h = ctx;
    if (err == ERR_NOT_FOUND) err = 0;
    pending_answer(&h->q.p, err ? err : history_encode_page(h, page));
}

static void answer_history(struct conn *c, const struct history *h)
{
    int err = h->q.p.err ? h->q.p.err : question_may(c, &h->q, ACTION_HISTORY);
    c->rich->pages--;
    if (err)
        rich_refuse(c, question_ref(&h->q), err);
    else
        websocket_send_text(c, h->json.data, h->json.len);
    question_settled(c);
}

static void history_on_answer(struct conn *c, struct pending *p)
{
    struct history *h = container_of(p, struct history, q.p);
    c = question_client(&h->q, c);
    if (c) answer_history(c, h);
    pending_fini(p);
    buf_fini(&h->json);
    free(h);
}

int rich_ask_history(struct conn *c, struct subscription *s, const struct rich_input *in)
{
    const struct room *room = s->as.member.feed->room;
    static const enum store_direction directions[] = {
        [RICH_NEWEST] = STORE_BEFORE,
        [RICH_BEFORE] = STORE_BEFORE,
        [RICH_AFTER] = STORE_AFTER,
        [RICH_AROUND] = STORE_AROUND,
    };
    bool newest = in->position == RICH_NEWEST;
    if (!newest && !room_gave(room, &in->at)) return ERR_NO_MESSAGE;
    struct history *h = calloc(1, sizeof *h);
    if (!h) return ERR_NOMEM;
    question_init(&h->q, c, s, in->ref, history_on_answer);
    h->direction = directions[in->position];
    h->max_bytes = conn_page_bytes(c, PAGE_BYTES);
    h->position = newest ? STORE_SEQ_MAX + 1 : in->at.seq;
    const struct store_query query = {
        .room = subscription_room(s),
        .direction = h->direction,
        .position = h->position,
        .limit = in->limit ? in->limit : RICH_PAGE_DEFAULT,
        .max_bytes = h->max_bytes,
        .messages_only = true,
        .reactions = true,
        .asker = pending_asker(&h->q.p, c, hub_answers(c->worker->server->hub), ANSWER_BYTES),
    };
    int err = store_read_page(c->worker->server->options.store, &query, on_history_page, h);
    if (err) {
        question_undo(&h->q, c);
        free(h);
        return err;
    }
    c->rich->pages++; /* a thousand times what asks for it */
    question_asked(c);
    return 0;
}

/* ---- who ---- */

struct who {
    struct question q;
    struct occupants_wait wait;
};

static void answer_who(struct conn *c, const struct who *who, int err,
                       const struct occupants_answer *answer)
{
    struct buf *text = &c->worker->text;
    struct slice ref = question_ref(&who->q);
    c->rich->asks_members = false;
    if (!err && hub_is_pressed(c->worker->server->hub)) err = ERR_NOMEM;
    if (!err) err = question_may(c, &who->q, ACTION_WHO);
    text->len = 0;
    if (!err) err = rich_begin_members(ref, text, RICH_FRAME_MAX_BYTES);
    if (!err)
        err = buf_append(text, answer->frame.ptr, answer->frame.len, 2 * RICH_FRAME_MAX_BYTES);
    if (err)
        rich_refuse(c, ref, err);
    else
        websocket_send_text(c, text->data, text->len);
    /* The first KiB was paid for when it was asked; the rest is for the next to wait for. */
    if (!err && text->len > CLIENT_TOKEN_BYTES)
        (void)client_take_bytes(c, BUDGET_REQUESTS, text->len - CLIENT_TOKEN_BYTES);
    question_settled(c);
}

static void who_on_answer(struct occupants_wait *wait, int err,
                          const struct occupants_answer *answer)
{
    struct who *who = container_of(wait, struct who, wait);
    struct conn *c = question_client(&who->q, conn_find(&who->q.p.conn));
    if (c) answer_who(c, who, err, answer);
    pending_fini(&who->q.p);
    free(who);
}

/* An answer is hundreds of times what asks for it: until it is there nothing more is read, and the
 * next is not asked for before this one is taken (rich_session.c). */
int rich_ask_members(struct conn *c, struct subscription *s, const struct rich_input *in)
{
    struct who *who = calloc(1, sizeof *who);
    if (!who) return ERR_NOMEM;
    question_init(&who->q, c, s, in->ref, NULL);
    who->wait.done = who_on_answer;
    int err = occupants_ask(c->worker, who->q.p.room, &who->wait);
    if (err) {
        question_undo(&who->q, c);
        free(who);
        return err;
    }
    c->rich->asks_members = true;
    conn_hold(c);
    return 0;
}

/* ---- changes of a message ---- */

struct change {
    struct question q;
    enum store_kind kind;
    uint64_t target;
    bool found;
    size_t user_len; /* of who has said it, in `user` */
    char user[CLAIMS_USER_MAX];
    size_t text_len;
    char text[];
};

/* A user that is longer than any that is let in is nobody. */
static void note_author(struct change *ch, const struct store_event *e)
{
    if (e->user.len == 0 || e->user.len > sizeof ch->user) return;
    memcpy(ch->user, e->user.ptr, e->user.len);
    ch->user_len = e->user.len;
}

/* The store's thread. */
static void on_target(void *ctx, int err, const struct store_page *page)
{
    struct change *ch = ctx;
    const struct store_event *e = page ? event_message(page, ch->target) : NULL;
    if (e) {
        ch->found = true;
        note_author(ch, e);
    }
    pending_answer(&ch->q.p, err == ERR_NOT_FOUND ? ERR_NO_MESSAGE : err);
}

static int publish_change(struct conn *c, struct change *ch)
{
    if (ch->q.p.err) return ch->q.p.err;
    if (!ch->found) return ERR_NO_MESSAGE;
    struct slice room = room_name(ch->q.p.room);
    const struct policy *policy = c->worker->server->options.policy;
    const struct author author = {{ch->user, ch->user_len}};
    int err = may(policy, c->identity, policy_action(ch->kind), room, &author);
    if (err) return err;
    struct subscription *s = subscription_find_joined(c->rich, room);
    if (!s) return ERR_NOT_JOINED; /* it left meanwhile */
    char guest[SESSION_GUEST_LEN];
    struct submission p = {.event = speaker_event(c, ch->kind, speaker_name(c, guest), guest)};
    p.event.target = ch->target;
    if (ch->text_len) p.event.message = (struct slice){ch->text, ch->text_len};
    struct pending_ack *r = pending_ack_new(c, subscription_room(s), question_ref(&ch->q));
    if (!r) return ERR_NOMEM;
    r->tell = rich_tell_ack;
    return pending_ack_publish(r, ch->q.p.room, &p);
}

static void change_on_answer(struct conn *c, struct pending *p)
{
    struct change *ch = container_of(p, struct change, q.p);
    c = question_client(&ch->q, c);
    int err = c ? publish_change(c, ch) : 0;
    if (err) rich_refuse(c, question_ref(&ch->q), err);
    if (c) question_settled(c);
    pending_fini(p);
    free(ch);
}

int rich_ask_change(struct conn *c, struct subscription *s, const struct rich_input *in)
{
    struct slice text = in->message.len ? in->message : in->emoji;
    if (in->id.seq == 0) return ERR_NO_MESSAGE;
    struct change *ch = calloc(1, sizeof *ch + text.len);
    if (!ch) return ERR_NOMEM;
    question_init(&ch->q, c, s, in->ref, change_on_answer);
    ch->kind = (enum store_kind)in->kind;
    ch->target = in->id.seq;
    ch->text_len = text.len;
    if (text.len) memcpy(ch->text, text.ptr, text.len);
    const struct store_query query = {
        .room = subscription_room(s),
        .direction = STORE_AFTER,
        .position = in->id.seq - 1,
        .limit = 1,
        .asker = pending_asker(&ch->q.p, c, NULL, 0),
    };
    int err = store_read_page(c->worker->server->options.store, &query, on_target, ch);
    if (err) {
        question_undo(&ch->q, c);
        free(ch);
        return err;
    }
    question_asked(c);
    return 0;
}
