/* See api_call.h. */
#include "api/api_call.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/utf8.h"
#include "chat/hub.h"
#include "proto/http.h"
#include "server/conn.h"
#include "server/worker.h"

struct api_call *api_call_of(const struct conn *c)
{
    return c && !c->upgraded ? c->api : NULL;
}

void api_call_free(struct api_call *call)
{
    if (call->asked) atomic_store(&call->asked->p.gone, true);
    if (call->entered) room_unref(call->entered);
    buf_fini(&call->body);
    buf_fini(&call->scratch);
    free(call);
}

void api_end(struct conn *c, struct api_call *call)
{
    c->api = NULL;
    api_call_free(call);
    if (c->held && c->state == CONN_HTTP) conn_release(c);
}

void api_answer(struct conn *c, struct api_call *call, unsigned status, struct slice json)
{
    const struct http_answer a = {
        .status = status,
        .content_type = json.len ? "application/json" : NULL,
        .body = json,
    };
    c->api = NULL; /* the answer may cost the connection, which would free the call */
    http_answer_later(c, call->manner, &a);
    api_end(c, call);
}

void api_fail(struct conn *c, struct api_call *call, int err)
{
    api_fail_text(c, call, err, err_info(err)->text);
}

void api_fail_text(struct conn *c, struct api_call *call, int err, const char *text)
{
    c->api = NULL;
    metrics_refusal(&c->worker->metrics, err);
    http_answer_error_text_later(c, call->manner, err, text);
    api_end(c, call);
}

/* ---- query parameters ---- */

int api_param_count(const struct api_call *call, const char *key, unsigned max, unsigned *out)
{
    struct slice value;
    uint64_t n;
    if (!http_query_get(call->query, key, &value)) return 0;
    if (!slice_to_u64(value, &n) || n == 0) return ERR_BAD_PARAMETER;
    *out = n < max ? (unsigned)n : max;
    return 0;
}

int api_param_id(const struct api_call *call, const char *key, struct id *out)
{
    struct slice value;
    if (!http_query_get(call->query, key, &value)) return 0;
    return id_parse(value, out);
}

int api_param_text(const struct api_call *call, const char *key, char *text, size_t max,
                   size_t *len)
{
    struct slice raw;
    if (!http_query_get(call->query, key, &raw)) return 0;
    bool good = http_percent_decode(raw, true, text, max, len) == 0 && utf8_valid(text, *len);
    return good ? 0 : ERR_BAD_PARAMETER;
}
