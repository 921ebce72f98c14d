/* Calls of the API that write: post, edit, delete. See api_call.h.
 *
 * The way is that of a member's message: the room is entered, the event published, so that whoever
 * is in the room has it at once, and the answer given once the store has committed it. */
#include <stdlib.h>
#include <string.h>

#include "api/api_call.h"
#include "auth/identity.h"
#include "auth/policy.h"
#include "base/err.h"
#include "base/utf8.h"
#include "chat/event_json.h"
#include "ops/metrics.h"
#include "proto/envelope.h"
#include "proto/json.h"
#include "server/conn.h"
#include "server/worker.h"
#include "session/pending_ack.h"
#include "session/pending_join.h"

/* ---- the body ---- */

enum field { MESSAGE, USERNAME, USER, DATA, REPLY_TO, FIELD_COUNT };

static const struct json_field fields[FIELD_COUNT] = {
    [MESSAGE] = {.name = SLICE_LIT("message")},   [USERNAME] = {.name = SLICE_LIT("username")},
    [USER] = {.name = SLICE_LIT("user")},         [DATA] = {.name = SLICE_LIT("data"), .raw = true},
    [REPLY_TO] = {.name = SLICE_LIT("reply_to")},
};

static int read_fields(struct api_call *call, struct json_value values[static FIELD_COUNT])
{
    struct slice json = {(const char *)call->body.data, call->body.len};
    if (!utf8_valid(json.ptr, json.len)) return ERR_BAD_JSON;
    return json_scan_fields(json, &call->scratch, fields, FIELD_COUNT, values);
}

static int read_body_message(const struct conn *c, const struct json_value *v, struct slice *out)
{
    uint32_t max = c->worker->server->options.max_message_bytes;
    if (v->kind != JSON_KIND_STRING || v->text.len == 0) return ERR_BAD_MESSAGE;
    if (max && v->text.len > max) return ERR_TOO_LONG;
    *out = v->text;
    return 0;
}

static int read_name(const struct json_value *v, char text[static NAME_USER_MAX], struct slice *out)
{
    return v->kind == JSON_KIND_STRING ? name_user_clean(v->text, text, out) : ERR_BAD_USERNAME;
}

static int read_post(const struct conn *c, struct api_call *call)
{
    struct json_value values[FIELD_COUNT];
    struct store_event *e = &call->event;
    int err = read_fields(call, values);
    if (!err) err = read_body_message(c, &values[MESSAGE], &e->message);
    if (!err) err = read_name(&values[USERNAME], call->username, &e->username);
    if (err) return err;
    if (!json_is_absent(&values[USER]) && read_name(&values[USER], call->user, &e->user) != 0)
        return ERR_BAD_FIELD;
    if (!json_is_absent(&values[DATA])) e->data = values[DATA].text;
    if (e->data.len > ENVELOPE_DATA_MAX) return ERR_TOO_LONG;
    const struct json_value *reply = &values[REPLY_TO];
    if (json_is_absent(reply)) return 0;
    if (reply->kind != JSON_KIND_STRING || id_parse(reply->text, &call->reply_to) != 0 ||
        call->reply_to.seq == 0)
        return ERR_BAD_ID;
    e->reply_to = call->reply_to.seq;
    return 0;
}

/* ---- publishing ---- */

static int encode_posted(struct conn *c, const struct api_call *call, const struct pending_ack *r)
{
    struct store_event e = call->event;
    const struct event_room room = {call->room, r->id.epoch};
    e.seq = r->id.seq;
    e.ts_ms = r->ts_ms;
    c->worker->text.len = 0;
    return event_encode(&room, &e, EVENT_PAGE, &c->worker->text);
}

/* The event is committed, or refused. What is in the room now is told by the store: of a dup, the
 * first; of an edit, the whole message. */
static void on_stored(struct conn *c, const struct pending_ack *r)
{
    struct api_call *call = api_call_of(c);
    if (!call) return;
    const struct buf *text = &c->worker->text;
    int err = r->p.err;
    if (!err && call->event.kind == STORE_DELETE) {
        api_answer(c, call, 204, (struct slice){NULL, 0});
        return;
    }
    if (!err && call->event.kind == STORE_MESSAGE && !r->dup) {
        err = encode_posted(c, call, r);
        if (!err) api_answer(c, call, 201, (struct slice){(char *)text->data, text->len});
    } else if (!err) {
        err = api_ask_message(c, call, r->dup ? &r->id : &call->id, 200);
    }
    if (err) api_fail(c, call, err);
}

static int write_publish(struct conn *c, struct api_call *call)
{
    struct submission p = {.event = call->event};
    p.event.ts_ms = c->worker->wall_ms;
    struct pending_ack *r = pending_ack_new(c, call->room, (struct slice){NULL, 0});
    if (!r) return ERR_NOMEM;
    r->tell = on_stored;
    int err = pending_ack_publish(r, call->entered, &p);
    bool posted = !err && call->event.kind == STORE_MESSAGE && !p.dup;
    if (posted) metrics_add(&c->worker->metrics, METRIC_MESSAGES_RECEIVED, 1);
    return err;
}

/* ---- changes: is there a message to change? ---- */

static int encode_target(struct api_question *q, const struct store_page *page)
{
    return event_message(page, q->id.seq) ? 0 : ERR_NO_MESSAGE;
}

static void take_target(struct conn *c, struct api_call *call, struct api_question *q)
{
    int err = q->p.err ? q->p.err : write_publish(c, call);
    if (err) api_fail(c, call, err);
}

static int ask_target(struct conn *c, struct api_call *call)
{
    struct api_question *q = api_question_new(c, call);
    if (!q) return ERR_NOMEM;
    q->encode = encode_target;
    q->take = take_target;
    q->id = call->id;
    const struct store_query query = {
        .room = q->room, .direction = STORE_AFTER, .position = call->id.seq - 1, .limit = 1};
    return api_ask_page(c, &query, q);
}

/* ---- entering ---- */

static int write_go_on(struct conn *c, struct api_call *call)
{
    const struct room *room = call->entered;
    /* The author is not known yet; the API may whoever it is. */
    const struct policy *policy = c->worker->server->options.policy;
    int err = may(policy, &identity_api, policy_action(call->event.kind), call->room, NULL);
    if (err) return err;
    if (call->event.kind != STORE_MESSAGE) return ask_target(c, call);
    bool elsewhere = call->reply_to.seq && !room_gave(room, &call->reply_to);
    return elsewhere ? ERR_NO_MESSAGE : write_publish(c, call);
}

/* The room is in memory. Its reference moves to the call. */
static int take_room(struct conn *c, struct api_call *call, struct pending_join *g)
{
    int err = g->join.err;
    if (!err) {
        call->entered = g->join.room;
        room_ref(call->entered);
    }
    pending_join_fini(g);
    free(g);
    return err ? err : write_go_on(c, call);
}

static void write_on_entered(struct conn *c, struct pending *p)
{
    struct pending_join *g = pending_join_of(p);
    struct api_call *call = api_call_of(c);
    if (!call) {
        pending_join_fini(g);
        free(g);
        return;
    }
    int err = take_room(c, call, g);
    if (err) api_fail(c, call, err);
}

static int write_enter(struct conn *c, struct api_call *call)
{
    struct pending_join *g = calloc(1, sizeof *g);
    if (!g) return ERR_NOMEM;
    pending_join_set_room(g, call->room);
    int err = pending_join_start(g, c, write_on_entered);
    if (err == ERR_AGAIN) return 0;
    g->join.err = err;
    return take_room(c, call, g);
}

/* ---- handlers ---- */

int api_post(struct conn *c, struct api_call *call)
{
    int err = read_post(c, call);
    call->event.kind = STORE_MESSAGE;
    return err ? err : write_enter(c, call);
}

static int change(struct conn *c, struct api_call *call, enum store_kind kind)
{
    if (call->id.seq == 0) return ERR_NO_MESSAGE;
    call->event.kind = kind;
    call->event.target = call->id.seq;
    call->event.username = identity_name(&identity_api); /* which no member can have */
    return write_enter(c, call);
}

int api_edit(struct conn *c, struct api_call *call)
{
    struct json_value values[FIELD_COUNT];
    int err = read_fields(call, values);
    if (!err) err = read_body_message(c, &values[MESSAGE], &call->event.message);
    return err ? err : change(c, call, STORE_EDIT);
}

int api_delete(struct conn *c, struct api_call *call)
{
    return change(c, call, STORE_DELETE);
}
