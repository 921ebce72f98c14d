/* See rich_answer.h. */
#include "session/rich_answer.h"

#include "auth/identity.h"
#include "ops/version.h"
#include "proto/rich.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/websocket.h"
#include "server/worker.h"
#include "session/pending_ack.h"
#include "session/rich_state.h"
#include "session/speaker.h"

void rich_send(struct conn *c, int err)
{
    const struct buf *text = &c->worker->text;
    if (err)
        conn_drop(c); /* out of memory: rather no connection than one with a hole in it */
    else
        websocket_send_text(c, text->data, text->len);
}

void rich_refuse(struct conn *c, struct slice ref, int err)
{
    struct buf *text = &c->worker->text;
    if (!speaker_note_refusal(c, err)) return;
    text->len = 0;
    uint32_t wait_ms = client_wait_ms(c, err);
    rich_send(c, rich_encode_error(ref, err, wait_ms, text, RICH_FRAME_MAX_BYTES));
}

void rich_tell_welcome(struct conn *c, struct slice guest_key)
{
    const struct server_options *o = &c->worker->server->options;
    char guest[SESSION_GUEST_LEN];
    const struct rich_welcome welcome = {
        .server = SLICE_LIT(PARLOR_VERSION),
        .user = identity_user(c->identity),
        .username = speaker_name(c, guest),
        .guest_key = guest_key,
        .room = {c->rich->home_name, c->rich->home_len},
        .limits = {o->max_frame_bytes, o->max_message_bytes, o->rate, RICH_ROOMS_MAX},
        .ping_ms = o->ping_interval_ms,
    };
    c->worker->text.len = 0;
    rich_send(c, rich_encode_welcome(&welcome, &c->worker->text, RICH_FRAME_MAX_BYTES));
}

void rich_tell_ack(struct conn *c, const struct pending_ack *r)
{
    if (c->state != CONN_OPEN || !c->rich) return;
    if (r->p.err) {
        rich_refuse(c, pending_ack_ref(r), r->p.err);
        return;
    }
    const struct rich_ack ack = {pending_ack_ref(r), pending_ack_room(r), r->id, r->ts_ms, r->dup};
    c->worker->text.len = 0;
    rich_send(c, rich_encode_ack(&ack, &c->worker->text, RICH_FRAME_MAX_BYTES));
}

void rich_release(struct conn *c)
{
    const struct rich *rich = c->rich;
    if (!rich->waiting && !rich->asks_members && rich->pages < RICH_PAGES_MAX &&
        rich->questions < RICH_QUESTIONS_MAX)
        conn_release(c);
}
