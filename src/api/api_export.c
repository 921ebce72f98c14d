/* The call that exports a room: page after page, the next one asked for when the socket has taken
 * the last, so that neither a slow reader nor a large room takes more memory than a page. What is
 * said after it began is not in it. See api_call.h and api_line.h. */
#include "api/api_call.h"
#include "api/api_line.h"
#include "base/err.h"
#include "chat/hub.h"
#include "server/conn.h"
#include "server/worker.h"

enum { PAGE_BYTES = 64 * 1024 };

/* The store's thread. */
static int encode_lines(struct api_question *q, const struct store_page *page)
{
    struct api_export *x = &q->export;
    int err = 0;
    if (!page) return ERR_NO_ROOM;
    if (!x->begun) {
        x->until = page->room.last_seq;
        err = api_line_put_room(q->room, page->room.epoch, &q->json);
    }
    size_t i = 0;
    for (; i < page->count && page->events[i]->seq <= x->until && !err; i++) {
        err = api_line_put_event(page->events[i], &q->json);
        x->next = page->events[i]->seq;
        x->events++;
    }
    q->more = page->more_after && i == page->count && x->next < x->until;
    if (!err && !q->more) err = api_line_put_end(x->events, &q->json);
    return err;
}

/* Sends the page. False: the connection is gone, and its call with it. */
static bool send_page(struct conn *c, struct api_call *call, const struct api_question *q)
{
    const struct http_manner manner = call->manner;
    if (!call->export.begun) {
        const struct http_answer a = {.status = 200, .content_type = "application/x-ndjson"};
        http_stream_begin(c, manner, &a);
    }
    if (c->api) http_stream_piece(c, manner, (struct slice){(char *)q->json.data, q->json.len});
    return c->api;
}

static void export_take_page(struct conn *c, struct api_call *call, struct api_question *q)
{
    const struct http_manner manner = call->manner;
    bool begun = call->export.begun;
    if (q->p.err && begun) {
        conn_drop(c); /* without the end */
        return;
    }
    if (q->p.err) {
        api_fail(c, call, q->p.err);
        return;
    }
    if (!send_page(c, call, q)) return;
    call->export = q->export;
    call->export.begun = true;
    call->export.asked = false;
    if (q->more && !manner.head_only) {
        conn_set_timeout(c, TIMEOUT_CLOSE); /* for the socket to take the page */
        if (conn_unsent(c) == 0) api_export_go_on(c, call);
        return;
    }
    c->api = NULL; /* as in api_answer */
    http_stream_end(c, manner);
    api_end(c, call);
}

static int export_ask(struct conn *c, struct api_call *call)
{
    struct api_question *q = api_question_new(c, call);
    if (!q) return ERR_NOMEM;
    q->encode = encode_lines;
    q->take = export_take_page;
    q->export = call->export;
    const struct store_query query = {
        .room = q->room,
        .direction = STORE_AFTER,
        .position = call->export.next,
        .limit = STORE_PAGE_MAX,
        .max_bytes = PAGE_BYTES,
    };
    call->export.asked = true;
    return api_ask_page(c, &query, q);
}

void api_export_go_on(struct conn *c, struct api_call *call)
{
    if (!call->export.asked && export_ask(c, call) != 0) conn_drop(c);
}

int api_get_export(struct conn *c, struct api_call *call)
{
    int err =
        api_param_text(call, "room", call->room_name, sizeof call->room_name, &call->room.len);
    if (err) return err;
    if (name_room_check(call->room) != 0) return ERR_BAD_ROOM;
    return export_ask(c, call);
}
