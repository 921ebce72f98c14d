/* See rich_session.h. One function per type of frame; their table is at the end. */
#include "session/rich_session.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "auth/identity.h"
#include "auth/policy.h"
#include "base/err.h"
#include "proto/rich.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/websocket.h"
#include "server/worker.h"
#include "session/ephemeral.h"
#include "session/pending_ack.h"
#include "session/rich_answer.h"
#include "session/rich_ask.h"
#include "session/rich_auth.h"
#include "session/rich_join.h"
#include "session/rich_subscription.h"
#include "session/speaker.h"

static_assert(RICH_ROOMS_MAX <= UINT8_MAX && RICH_QUESTIONS_MAX <= UINT8_MAX,
              "as struct rich has it");

/* ---- beginning and end ---- */

int rich_session_new(struct conn *c, struct slice home)
{
    c->session = &rich_session;
    c->rich = calloc(1, offsetof(struct rich, home_name) + home.len);
    if (!c->rich) return ERR_NOMEM;
    list_init(&c->rich->subscriptions);
    list_init(&c->rich->asked);
    c->rich->home_len = (uint8_t)home.len;
    memcpy(c->rich->home_name, home.ptr, home.len);
    return subscription_new(c, home, (struct slice){NULL, 0}, &c->rich->home);
}

void rich_session_start(struct conn *c, const struct join *j, struct slice guest_key)
{
    c->rich->new_guest = guest_key.len > 0;
    rich_tell_welcome(c, guest_key);
    if (c->state == CONN_OPEN) subscription_start(c->rich->home, j);
}

static void bye(struct conn *c, unsigned code, uint32_t retry_after_ms)
{
    c->worker->text.len = 0;
    rich_send(c, rich_encode_bye(code, retry_after_ms, &c->worker->text, RICH_FRAME_MAX_BYTES));
}

static void rich_warn_end(struct conn *c)
{
    struct buf *text = &c->worker->text;
    const struct slice no_ref = {NULL, 0};
    if (c->rich->expiry_told) return;
    c->rich->expiry_told = true;
    text->len = 0;
    rich_send(c, rich_encode_error(no_ref, ERR_TOKEN_EXPIRED, 0, text, RICH_FRAME_MAX_BYTES));
}

static void rich_leave(struct conn *c)
{
    if (!c->rich) return;
    while (!list_empty(&c->rich->subscriptions))
        subscription_free(container_of(c->rich->subscriptions.next, struct subscription, link));
    rich_ask_drop(c->rich);
    free(c->rich->waiting);
    free(c->rich);
    c->rich = NULL;
}

/* ---- deliveries ---- */

static struct subscription *subscription_of_member(struct member *m)
{
    return container_of(m, struct subscription, as.member);
}

static void rich_describe(struct member *m, struct session_member *out)
{
    const struct subscription *s = subscription_of_member(m);
    out->name = subscription_name(s, out->guest);
    out->user = identity_user(s->as.conn->identity);
    out->since_ms = s->since_ms;
}

static ssize_t deliver(struct member *m, const struct iovec *iov, int n, size_t bytes)
{
    return conn_deliver_frames(subscription_of_member(m)->as.conn, iov, n, bytes);
}

static void on_lag(struct member *m, uint64_t lag_bytes)
{
    conn_lags(subscription_of_member(m)->as.conn, m->feed->room, lag_bytes);
}

/* In turn: who was served goes to the end, so that one busy room does not starve the others. */
static bool rich_on_writable(struct conn *c)
{
    for (unsigned i = c->rich->subscription_count; i > 0 && !list_empty(&c->rich->subscriptions);
         i--) {
        struct subscription *s =
            container_of(c->rich->subscriptions.next, struct subscription, link);
        list_remove(&s->link);
        list_push(&c->rich->subscriptions, &s->link);
        bool blocked = subscription_go_on(s); /* it may be gone after it */
        if (c->state != CONN_OPEN) return false;
        if (blocked) return true;
    }
    return false;
}

static size_t rich_input_bytes(const struct conn *c)
{
    const struct rich_waiting *waiting = c->rich->waiting;
    return waiting ? sizeof *waiting + waiting->len : 0;
}

static uint64_t rich_lag_bytes(const struct conn *c)
{
    uint64_t bytes = 0;
    for (struct list *l = c->rich->subscriptions.next; l != &c->rich->subscriptions; l = l->next) {
        const struct subscription *s = container_of(l, struct subscription, link);
        if (s->as.member.feed) bytes += feed_lag(&s->as.member);
    }
    return bytes;
}

/* ---- frames ---- */

/* Asks may() of the room of a frame, whatever room the connection was opened for. */
static int may_in(const struct subscription *s, enum action action)
{
    const struct conn *c = s->as.conn;
    return may(c->worker->server->options.policy, c->identity, action, subscription_room(s), NULL);
}

static int rich_publish(struct conn *c, struct subscription *s, const struct rich_input *in,
                        struct submission *p)
{
    struct pending_ack *r = pending_ack_new(c, subscription_room(s), in->ref);
    if (!r) return ERR_NOMEM;
    r->tell = rich_tell_ack;
    return pending_ack_publish(r, s->as.member.feed->room, p);
}

static void rich_tell_typing(struct subscription *s, struct slice name, bool on)
{
    s->typing = on;
    ephemeral_typing(s->as.conn->worker, &s->as.member, name, on);
}

/* It has spoken in a room; if memory is short, the room knows it by its old name for longer. Names
 * of before go with the identity that they are in. */
static void note_name(struct subscription *s, struct slice name)
{
    struct conn *c = s->as.conn;
    char guest[SESSION_GUEST_LEN];
    char text[NAME_USER_MAX];
    struct slice had = subscription_name(s, guest);
    const struct slice before = {text, had.len};
    bool renamed = !slice_equal(had, name);
    memcpy(text, had.ptr, had.len);
    speaker_note_name(c, name);
    if (!renamed) return;
    struct slice now = speaker_name(c, guest);
    if (subscription_set_name(s, now) == 0) subscription_rename(s, before, now);
}

static int rich_on_message(struct conn *c, const struct rich_input *in)
{
    struct worker *w = c->worker;
    struct subscription *s = subscription_find_joined(c->rich, in->room);
    if (!s) return ERR_NOT_JOINED;
    int err = may_in(s, ACTION_PUBLISH);
    if (err) return err;
    const struct room *room = s->as.member.feed->room;
    if (in->reply_to.seq && !room_gave(room, &in->reply_to)) return ERR_NO_MESSAGE;
    if (!speaker_may_speak(c, in->message, in->data)) return ERR_RATE_LIMITED;
    char guest[SESSION_GUEST_LEN];
    struct submission p = {.event = speaker_event(c, STORE_MESSAGE, in->username, guest)};
    p.event.message = in->message;
    p.event.data = in->data;
    p.event.nonce = in->nonce;
    p.event.reply_to = in->reply_to.seq;
    err = rich_publish(c, s, in, &p);
    if (err) return err;
    note_name(s, p.event.username);
    if (!p.dup) metrics_add(&w->metrics, METRIC_MESSAGES_RECEIVED, 1);
    return 0;
}

/* The frame that waits is looked at again, and may have to wait once more. */
static void rich_go_on(struct conn *c)
{
    struct rich_waiting *waiting = c->state == CONN_OPEN && c->rich ? c->rich->waiting : NULL;
    if (!waiting) return;
    c->rich->waiting = NULL;
    websocket_on_message(c, (struct slice){waiting->json, waiting->len}, false);
    free(waiting);
    if (c->state == CONN_OPEN) rich_release(c);
}

static int on_leave(struct conn *c, const struct rich_input *in)
{
    struct subscription *s = subscription_find(c->rich, in->room);
    if (!s) return ERR_NOT_JOINED;
    struct buf *text = &c->worker->text;
    if (!s->answered)
        rich_refuse(c, subscription_ref(s), ERR_NOT_JOINED); /* it was quicker than the store */
    if (c->state != CONN_OPEN) return 0;
    text->len = 0;
    int err = rich_encode_left(in->ref, subscription_room(s), 0, text, RICH_FRAME_MAX_BYTES);
    subscription_free(s);
    rich_send(c, err);
    return 0;
}

static int on_history(struct conn *c, const struct rich_input *in)
{
    struct subscription *s = subscription_find_joined(c->rich, in->room);
    if (!s) return ERR_NOT_JOINED;
    int err = may_in(s, ACTION_HISTORY);
    if (err) return err;
    return client_take(c, BUDGET_HISTORY) ? rich_ask_history(c, s, in) : ERR_MUCH_HISTORY;
}

static int on_who(struct conn *c, const struct rich_input *in)
{
    struct subscription *s = subscription_find_joined(c->rich, in->room);
    if (!s) return ERR_NOT_JOINED;
    int err = may_in(s, ACTION_WHO);
    return err ? err : rich_ask_members(c, s, in);
}

/* Told to the others at most once a second, and its end too if it is among the first. */
static int on_typing(struct conn *c, const struct rich_input *in)
{
    struct worker *w = c->worker;
    struct subscription *s = subscription_find_joined(c->rich, in->room);
    if (!s) return ERR_NOT_JOINED;
    int err = may_in(s, ACTION_TYPE);
    if (err) return err;
    if (in->on && w->now_ms < c->rich->typing_next_ms) return 0;
    if (!in->on && !s->typing) return 0;
    if (in->on) c->rich->typing_next_ms = w->now_ms + EPHEMERAL_TYPING_MS;
    char guest[SESSION_GUEST_LEN];
    rich_tell_typing(s, subscription_name(s, guest), in->on);
    return 0;
}

static int on_change(struct conn *c, const struct rich_input *in)
{
    struct subscription *s = subscription_find_joined(c->rich, in->room);
    if (!s) return ERR_NOT_JOINED;
    if (!room_gave(s->as.member.feed->room, &in->id)) return ERR_NO_MESSAGE;
    if (!speaker_may_speak(c, in->message, (struct slice){NULL, 0})) return ERR_RATE_LIMITED;
    return rich_ask_change(c, s, in);
}

static int on_read(struct conn *c, const struct rich_input *in)
{
    struct read_marker reading = {.mark = {in->id.seq, identity_user(c->identity)}};
    struct subscription *s = subscription_find_joined(c->rich, in->room);
    if (!s) return ERR_NOT_JOINED;
    int err = may_in(s, ACTION_MARK);
    if (err) return err;
    struct room *room = s->as.member.feed->room;
    if (!room_gave(room, &in->id)) return ERR_NO_MESSAGE;
    struct pending_ack *r = pending_ack_new(c, subscription_room(s), in->ref);
    if (!r) return ERR_NOMEM;
    r->tell = rich_tell_ack;
    return pending_ack_read(r, room, &reading);
}

static const struct {
    int (*handle)(struct conn *c, const struct rich_input *in);
    bool request; /* has the other bucket than messages */
    bool in_room; /* is said in a room that was entered */
} frames[] = {
    [RICH_MESSAGE] = {rich_on_message, false, true},
    [RICH_JOIN] = {rich_join, true, false},
    [RICH_LEAVE] = {on_leave, true, false},
    [RICH_HISTORY] = {on_history, true, true},
    [RICH_WHO] = {on_who, true, true},
    [RICH_TYPING] = {on_typing, true, true},
    [RICH_READ] = {on_read, true, true},
    [RICH_AUTH] = {rich_auth, false, false},
    [RICH_CHANGE] = {on_change, false, true},
};

/* Whether the frame is for a room that the store was asked for, and has not said; or its answer
 * would lie here beside others that the client does not take. */
static bool rich_has_to_wait(const struct conn *c, const struct rich_input *in)
{
    if (in->type == RICH_WHO && conn_unsent(c) > 0) return true;
    const struct subscription *s =
        frames[in->type].in_room ? subscription_find(c->rich, in->room) : NULL;
    return s && !s->as.member.feed;
}

/* Nothing behind it is read until its time has come, which keeps the order and needs no queue. */
static int wait_with(struct conn *c, struct slice json)
{
    struct rich_waiting *waiting = malloc(sizeof *waiting + json.len);
    if (!waiting) return ERR_NOMEM;
    waiting->len = json.len;
    memcpy(waiting->json, json.ptr, json.len);
    c->rich->waiting = waiting;
    conn_hold(c);
    return 0;
}

/* All frames but messages, their changes and `auth`, which speaker_may_speak is asked for. */
static int rich_may_request(struct conn *c)
{
    uint32_t rate = c->worker->server->options.rate ? RICH_REQUESTS : 0;
    if (!speaker_within_rate(c, rate, &c->rich->requests_next_us)) return ERR_RATE_LIMITED;
    return client_take(c, BUDGET_REQUESTS) ? 0 : ERR_MANY_REQUESTS;
}

static int on_frame(struct conn *c, struct slice json, bool binary)
{
    (void)binary; /* refused before */
    struct worker *w = c->worker;
    struct rich_input in;
    int err = rich_parse(json, w->server->options.max_message_bytes, &w->text, &in);
    if (!err && rich_has_to_wait(c, &in)) {
        err = wait_with(c, json);
        if (!err) return 0;
    }
    if (!err && frames[in.type].request) err = rich_may_request(c);
    if (!err) err = frames[in.type].handle(c, &in);
    if (err) rich_refuse(c, in.ref, err);
    return err;
}

const struct session_ops rich_session = {
    .on_message = on_frame,
    .on_writable = rich_on_writable,
    .on_sent = rich_go_on,
    .leave = rich_leave,
    .bye = bye,
    .warn_end = rich_warn_end,
    .take_name = rich_auth_take_name,
    .review = rich_auth_review,
    .input_bytes = rich_input_bytes,
    .lag_bytes = rich_lag_bytes,
    .deliver = deliver,
    .on_lag = on_lag,
    .describe = rich_describe,
};
