/* Questions of the API to the store. See api_call.h. */
#include <stdlib.h>
#include <string.h>

#include "api/api_call.h"
#include "base/account.h"
#include "base/err.h"
#include "chat/event_json.h"
#include "chat/hub.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/worker.h"

static void question_on_answer(struct conn *c, struct pending *p)
{
    struct api_question *q = container_of(p, struct api_question, p);
    struct api_call *call = api_call_of(c);
    if (call && call->asked == q) call->asked = NULL;
    if (call) q->take(c, call, q);
    api_question_free(q);
}

struct api_question *api_question_new(struct conn *c, const struct api_call *call)
{
    struct api_question *q = calloc(1, sizeof *q);
    if (!q) return NULL;
    pending_init(&q->p, c, NULL, question_on_answer);
    q->hub = c->worker->server->hub;
    q->take = api_take_json;
    q->status = 200;
    memcpy(q->room_name, call->room.ptr, call->room.len);
    q->room = (struct slice){q->room_name, call->room.len};
    return q;
}

void api_question_free(struct api_question *q)
{
    pending_fini(&q->p);
    buf_fini(&q->json);
    free(q);
}

void api_take_json(struct conn *c, struct api_call *call, struct api_question *q)
{
    if (q->p.err)
        api_fail(c, call, q->p.err);
    else
        api_answer(c, call, q->status, (struct slice){(char *)q->json.data, q->json.len});
}

/* The store's thread. An id of another epoch is not one of this room, also while it has none. */
static void question_on_page(void *ctx, int err, const struct store_page *page)
{
    struct api_question *q = ctx;
    if (err == ERR_NOT_FOUND) err = 0;
    bool stale =
        q->id.seq && (!page || memcmp(page->room.epoch, q->id.epoch, EVENT_EPOCH_LEN) != 0);
    if (!err && stale) err = ERR_NO_MESSAGE;
    pending_answer(&q->p, err ? err : q->encode(q, page));
}

/* Likewise. */
static void on_rooms(void *ctx, int err, const struct store_rooms *rooms)
{
    struct api_question *q = ctx;
    pending_answer(&q->p, err ? err : q->encode_rooms(q, rooms));
}

static struct store_asker asker_of(const struct conn *c, struct api_question *q, bool large)
{
    return pending_asker(&q->p, c, large ? hub_answers(q->hub) : NULL, API_PAGE_MAX_BYTES);
}

/* It is on its way, or not. */
static int asked(struct conn *c, struct api_question *q, int err)
{
    if (err) {
        q->p.account = NULL; /* nothing was taken of it */
        api_question_free(q);
    } else {
        c->api->asked = q;
    }
    return err;
}

int api_ask_page(struct conn *c, const struct store_query *query, struct api_question *q)
{
    struct store_query mine = *query;
    mine.asker = asker_of(c, q, query->limit > 1);
    int err = store_read_page(c->worker->server->options.store, &mine, question_on_page, q);
    return asked(c, q, err);
}

int api_ask_search(struct conn *c, const struct store_search *search, struct api_question *q)
{
    const struct store_asker asker = asker_of(c, q, true);
    int err = store_search(c->worker->server->options.store, &asker, search, question_on_page, q);
    err = asked(c, q, err);
    return err == ERR_BAD_REQUEST ? ERR_BAD_SEARCH : err;
}

int api_ask_rooms(struct conn *c, struct slice after, unsigned limit, struct api_question *q)
{
    const struct store_rooms_query query = {
        .after = after, .limit = limit, .asker = asker_of(c, q, limit > 1)};
    int err = store_list_rooms(c->worker->server->options.store, &query, on_rooms, q);
    return asked(c, q, err);
}

/* ---- one message ---- */

static int question_encode_message(struct api_question *q, const struct store_page *page)
{
    const struct store_event *e = event_message(page, q->id.seq);
    const struct event_room room = {q->room, page->room.epoch};
    return e ? event_encode(&room, e, EVENT_PAGE, &q->json) : ERR_NO_MESSAGE;
}

int api_ask_message(struct conn *c, const struct api_call *call, const struct id *id,
                    unsigned status)
{
    if (id->seq == 0) return ERR_NO_MESSAGE;
    struct api_question *q = api_question_new(c, call);
    if (!q) return ERR_NOMEM;
    q->encode = question_encode_message;
    q->id = *id;
    q->status = status;
    const struct store_query query = {
        .room = q->room,
        .direction = STORE_AFTER,
        .position = id->seq - 1,
        .limit = 1,
        .reactions = true,
    };
    return api_ask_page(c, &query, q);
}
