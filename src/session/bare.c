/* See bare.h. */
#include "session/bare.h"

#include "auth/identity.h"
#include "auth/policy.h"
#include "base/err.h"
#include "proto/envelope.h"
#include "server/conn.h"
#include "server/websocket.h"
#include "server/worker.h"
#include "session/ephemeral.h"
#include "session/pending_ack.h"
#include "session/replay.h"
#include "session/speaker.h"

enum { REFUSAL_MAX_BYTES = 4096 };

static void bare_refuse(struct conn *c, int err)
{
    struct worker *w = c->worker;
    if (!speaker_note_refusal(c, err)) return;
    w->text.len = 0;
    if (envelope_encode_refusal(err, &w->text, REFUSAL_MAX_BYTES) != 0) {
        conn_drop(c);
        return;
    }
    websocket_send_text(c, w->text.data, w->text.len);
}

static void tell_refused(struct conn *c, const struct pending_ack *r)
{
    if (c->state == CONN_OPEN) bare_refuse(c, r->p.err);
}

static int bare_publish(struct conn *c, const struct envelope_input *in)
{
    char guest[SESSION_GUEST_LEN];
    struct submission p = {.event = speaker_event(c, STORE_MESSAGE, in->username, guest)};
    p.event.message = in->message;
    p.event.data = in->data;
    const struct slice none = {"", 0};
    struct pending_ack *r = pending_ack_new(c, none, none);
    if (!r) return ERR_NOMEM;
    r->errors_only = true;
    r->tell = tell_refused;
    int err = pending_ack_publish(r, c->member.feed->room, &p);
    if (!err) speaker_note_name(c, p.event.username);
    return err;
}

static int bare_on_message(struct conn *c, struct slice json, bool binary)
{
    (void)binary; /* refused before */
    struct worker *w = c->worker;
    const struct server_options *o = &w->server->options;
    struct envelope_input in;
    struct slice room = room_name(c->member.feed->room);
    int err = envelope_parse(json, o->max_message_bytes, &w->text, &in);
    if (!err) err = may(o->policy, c->identity, ACTION_PUBLISH, room, NULL);
    if (!err && !speaker_may_speak(c, in.message, in.data)) err = ERR_RATE_LIMITED;
    if (!err) err = bare_publish(c, &in);
    if (err)
        bare_refuse(c, err);
    else
        metrics_add(&w->metrics, METRIC_MESSAGES_RECEIVED, 1);
    return err;
}

/* ---- the past of a bare member ---- */

static void give_up_replay(struct conn *c)
{
    replay_free(c->replay);
    c->replay = NULL;
}

static void bare_on_begin(struct conn *c, struct replay *r, bool recovered, uint64_t replayed)
{
    (void)c;
    (void)r;
    (void)recovered;
    (void)replayed;
}

/* More than it is given at once: it comes back for the rest with its newer id (section 6). */
static void bare_on_end(struct conn *c, struct replay *r, uint64_t last, bool more)
{
    (void)r;
    (void)last;
    give_up_replay(c);
    if (more) {
        const struct err_info *info = err_info(ERR_MISSED_MORE);
        websocket_close(c, info->close_code, info->text);
    } else if (conn_unsent(c) == 0) {
        feed_resume(&c->member, &c->worker->delivery);
    }
}

static void bare_on_error(struct conn *c, struct replay *r, int err)
{
    (void)r;
    give_up_replay(c);
    websocket_close(c, err_info(err)->close_code, err_info(err)->text);
}

static const struct replay_owner replay_owner = {bare_on_begin, bare_on_end, bare_on_error};

void bare_start(struct conn *c, const struct join *j)
{
    if (!j->from_store) {
        if (conn_unsent(c) == 0) feed_resume(&c->member, &c->worker->delivery);
        return;
    }
    c->replay = replay_new(&c->member, j, &replay_owner);
    if (c->replay)
        replay_go_on(c, c->replay);
    else
        bare_on_error(c, NULL, ERR_NOMEM);
}

/* ---- its session ---- */

static bool bare_on_writable(struct conn *c)
{
    if (c->replay) {
        replay_go_on(c, c->replay);
        return false; /* the member is blocked, but not by the socket */
    }
    if (c->member.feed) feed_resume(&c->member, &c->worker->delivery);
    return c->member.blocked;
}

static void rename_in_room(struct conn *c, struct slice from, struct slice to)
{
    if (c->member.feed) speaker_rename_in(c, c->member.feed->room, from, to);
}

static void bare_take_name(struct conn *c, struct slice before)
{
    char guest[SESSION_GUEST_LEN];
    rename_in_room(c, before, speaker_name(c, guest));
}

static void bare_leave(struct conn *c)
{
    give_up_replay(c);
    if (!c->member.feed) return;
    char guest[SESSION_GUEST_LEN];
    struct room *room = c->member.feed->room;
    room_ref(room);
    enum presence_due due = room_leave(&c->member, speaker_name(c, guest), c->worker->now_ms);
    ephemeral_presence(c->worker, room, due);
    room_unref(room);
}

static uint64_t bare_lag_bytes(const struct conn *c)
{
    return c->member.feed ? feed_lag(&c->member) : 0;
}

static void bare_describe(struct member *m, struct session_member *out)
{
    const struct conn *c = container_of(m, struct conn, member);
    out->name = speaker_name(c, out->guest);
    out->user = identity_user(c->identity);
    out->since_ms = c->since_ms;
}

static void bare_tell_end(struct conn *c, int err)
{
    struct worker *w = c->worker;
    struct slice words = SLICE_LIT("Your sign-in has ended.");
    if (err == ERR_REVOKED) words = SLICE_LIT("You were signed out.");
    if (err == ERR_NO_RIGHT) words = SLICE_LIT("This room is closed to you now.");
    w->text.len = 0;
    if (envelope_encode_system(words, err_info(err)->word, &w->text, REFUSAL_MAX_BYTES) == 0)
        websocket_send_text(c, w->text.data, w->text.len);
}

/* Its one room. */
static void bare_review(struct conn *c)
{
    const struct feed *feed = c->member.feed;
    const struct policy *policy = c->worker->server->options.policy;
    if (!feed || may(policy, c->identity, ACTION_JOIN, room_name(feed->room), NULL) == 0) return;
    conn_end(c, ERR_NO_RIGHT);
}

const struct session_ops bare_session = {
    .on_message = bare_on_message,
    .on_writable = bare_on_writable,
    .rename = rename_in_room,
    .take_name = bare_take_name,
    .leave = bare_leave,
    .tell_end = bare_tell_end,
    .review = bare_review,
    .lag_bytes = bare_lag_bytes,
    .deliver = conn_deliver,
    .on_lag = conn_on_lag,
    .describe = bare_describe,
};
