/* Calls of the API about acts: one is decided, and what was decided. See api_call.h, auth/act.h.
 *
 * An act is answered when it is committed, holds, and all connections were looked at again. */
#include <stdlib.h>
#include <string.h>

#include "api/api_call.h"
#include "auth/act.h"
#include "auth/site.h"
#include "base/err.h"
#include "ops/log.h"
#include "proto/json_out.h"
#include "server/conn.h"
#include "server/control_log.h"
#include "server/review.h"
#include "server/worker.h"

struct asked_act {
    struct pending p;
    struct control_request request;
    struct server *server;
    struct review review; /* its parts follow */
};

/* The fields of an act behind those that every one has. */
static void put_act(struct json_out *o, const struct id *id, int64_t ts_ms, struct slice by,
                    struct slice act)
{
    json_out_id(o, SLICE_LIT("{\"id\":"), id);
    json_out_int(o, SLICE_LIT(",\"ts\":"), ts_ms);
    json_out_text(o, SLICE_LIT(",\"by\":"), by);
    json_out_raw(o, SLICE_LIT(","));
    json_out_raw(o, (struct slice){act.ptr + 1, act.len - 1}); /* without its brace */
}

/* ---- deciding ---- */

static void acts_free(struct asked_act *a)
{
    act_fini(&a->request.act);
    pending_fini(&a->p);
    free(a);
}

static int answer_act(struct conn *c, struct api_call *call, const struct asked_act *a)
{
    struct buf *text = &c->worker->text;
    char *json = json_dumps(a->request.act.json, JSON_COMPACT);
    if (!json) return ERR_NOMEM;
    text->len = 0;
    struct json_out o = json_out_begin(text, CONN_OUT_MAX_BYTES);
    put_act(&o, &a->request.id, a->request.ts_ms, SLICE_LIT("system"), slice_of(json));
    int err = json_out_end(&o);
    free(json);
    if (!err) api_answer(c, call, 201, (struct slice){(char *)text->data, text->len});
    return err;
}

static void acts_on_answer(struct conn *c, struct pending *p)
{
    struct asked_act *a = container_of(p, struct asked_act, p);
    struct api_call *call = api_call_of(c);
    int err = p->err;
    if (call && !err) err = answer_act(c, call, a);
    if (call && err) api_fail(c, call, err);
    acts_free(a);
}

static void on_reviewed(struct review *r)
{
    struct asked_act *a = container_of(r, struct asked_act, review);
    pending_answer(&a->p, 0);
}

/* What the site has said up to now of whoever is revoked does not hold. Whose a session or a token
 * is, is not known. */
static void forget_answers(struct site *site, const struct act *act)
{
    const struct slice all = {NULL, 0};
    if (!site || act->kind == ACT_GRANT || act->kind == ACT_SET) return;
    site_forget(site, act->kind == ACT_REVOKE_USER ? act->subject : all);
}

static void on_decided(struct control_request *r, int err)
{
    struct asked_act *a = container_of(r, struct asked_act, request);
    if (err) {
        pending_answer(&a->p, err);
        return;
    }
    forget_answers(a->server->options.site, &r->act);
    review_start(a->server, &a->review, on_reviewed);
}

int api_post_act(struct conn *c, struct api_call *call)
{
    struct server *s = c->worker->server;
    const char *why;
    struct asked_act *a = calloc(1, sizeof *a + review_bytes(s->worker_count));
    if (!a) return ERR_NOMEM;
    const struct slice json = {(const char *)call->body.data, call->body.len};
    int err = act_read(json, &a->request.act, &why);
    if (err) {
        free(a);
        if (err == ERR_NOMEM) return err;
        api_fail_text(c, call, err, why);
        return 0;
    }
    pending_init(&a->p, c, NULL, acts_on_answer);
    a->server = s;
    a->request.on_decided = on_decided;
    control_log_submit(s->control_log, &a->request);
    return 0;
}

/* ---- looking back ---- */

/* The store's thread; the newest first. */
static int encode_acts(struct api_question *q, const struct store_page *page)
{
    struct json_out o = json_out_begin(&q->json, CONN_OUT_MAX_BYTES);
    json_out_raw(&o, SLICE_LIT("{\"acts\":["));
    for (size_t i = page ? page->count : 0; i > 0; i--) {
        const struct store_event *e = page->events[i - 1];
        struct id id = {.seq = e->seq};
        memcpy(id.epoch, page->room.epoch, EVENT_EPOCH_LEN);
        if (e->data.len < 2) continue; /* nobody writes such a one */
        if (i < page->count) json_out_raw(&o, SLICE_LIT(","));
        put_act(&o, &id, e->ts_ms, e->username, e->data);
    }
    json_out_bool(&o, SLICE_LIT("],\"more\":"), page && page->more_before);
    json_out_raw(&o, SLICE_LIT("}"));
    return json_out_end(&o);
}

int api_get_acts(struct conn *c, struct api_call *call)
{
    struct id before = {.seq = 0};
    struct store_query query = {.room = SLICE_LIT(CONTROL_LOG_ROOM),
                                .direction = STORE_BEFORE,
                                .position = STORE_SEQ_MAX + 1,
                                .limit = API_PAGE_DEFAULT,
                                .max_bytes = API_PAGE_MAX_BYTES};
    int err = api_param_count(call, "limit", API_PAGE_MAX, &query.limit);
    if (!err) err = api_param_id(call, "before", &before);
    if (err) return err;
    if (before.seq) query.position = before.seq;
    struct api_question *q = api_question_new(c, call);
    if (!q) return ERR_NOMEM;
    q->encode = encode_acts;
    q->id = before;
    return api_ask_page(c, &query, q);
}
