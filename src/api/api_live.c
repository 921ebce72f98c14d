/* Calls of the API about what is in memory: who is here, what somebody may do, how the server is.
 * See api_call.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api_call.h"
#include "auth/claims.h"
#include "auth/policy.h"
#include "auth/rights.h"
#include "base/err.h"
#include "chat/hub.h"
#include "ops/metrics.h"
#include "ops/version.h"
#include "proto/json_out.h"
#include "server/conn.h"
#include "server/worker.h"
#include "session/occupants.h"

/* ---- members ---- */

struct who {
    struct occupants_wait wait;
    struct conn_ref conn;
};

static int encode_members(struct slice room, const struct rich_members *m, struct buf *out)
{
    out->len = 0;
    struct json_out o = json_out_begin(out, CONN_OUT_MAX_BYTES);
    json_out_text(&o, SLICE_LIT("{\"room\":"), room);
    json_out_uint(&o, SLICE_LIT(",\"count\":"), m->count);
    json_out_raw(&o, SLICE_LIT(",\"members\":["));
    for (size_t i = 0; i < m->member_count; i++) {
        if (i > 0) json_out_raw(&o, SLICE_LIT(","));
        const struct rich_member *member = &m->members[i];
        json_out_text(&o, SLICE_LIT("{\"username\":"), member->username);
        if (member->user.len) json_out_text(&o, SLICE_LIT(",\"user\":"), member->user);
        json_out_int(&o, SLICE_LIT(",\"since\":"), member->since_ms);
        json_out_raw(&o, SLICE_LIT("}"));
    }
    json_out_raw(&o, SLICE_LIT("]}"));
    return json_out_end(&o);
}

static int answer_members(struct conn *c, struct api_call *call, const struct rich_members *m)
{
    struct buf *text = &c->worker->text;
    int err = encode_members(call->room, m, text);
    if (!err) api_answer(c, call, 200, (struct slice){(char *)text->data, text->len});
    return err;
}

static void live_on_members(struct occupants_wait *wait, int err,
                            const struct occupants_answer *answer)
{
    struct who *who = container_of(wait, struct who, wait);
    struct conn *c = conn_find(&who->conn);
    struct api_call *call = api_call_of(c);
    if (call && !err) err = answer_members(c, call, answer->members);
    if (call && err) api_fail(c, call, err);
    free(who);
}

int api_get_members(struct conn *c, struct api_call *call)
{
    const struct rich_members nobody = {.count = 0};
    struct room *room = hub_find(c->worker->server->hub, call->room);
    if (!room) return answer_members(c, call, &nobody);
    struct who *who = calloc(1, sizeof *who);
    int err = who ? 0 : ERR_NOMEM;
    if (who) {
        who->conn = conn_ref(c);
        who->wait.done = live_on_members;
        err = occupants_ask(c->worker, room, &who->wait);
        if (err) free(who);
    }
    room_unref(room);
    return err;
}

/* ---- rights ---- */

static int encode_rights(const struct rights_verdict *v, struct slice user, struct slice room,
                         struct buf *out)
{
    out->len = 0;
    struct json_out o = json_out_begin(out, CONN_OUT_MAX_BYTES);
    json_out_text(&o, SLICE_LIT("{\"room\":"), room);
    if (user.len) json_out_text(&o, SLICE_LIT(",\"user\":"), user);
    json_out_text(&o, SLICE_LIT(",\"right\":"), slice_of(right_word(v->right)));
    json_out_text(&o, SLICE_LIT(",\"reason\":"), slice_of(rights_reason_word(v->reason)));
    json_out_text(&o, SLICE_LIT(",\"text\":"), slice_of(rights_reason_text(v->reason)));
    if (v->pattern.len) json_out_text(&o, SLICE_LIT(",\"pattern\":"), v->pattern);
    json_out_raw(&o, SLICE_LIT(",\"actions\":"));
    for (int a = 0; a < ACTION_COUNT; a++) {
        json_out_text(&o, a ? SLICE_LIT(",") : SLICE_LIT("{"),
                      slice_of(policy_word((enum action)a)));
        json_out_bool(&o, SLICE_LIT(":"), v->right >= policy_right((enum action)a));
    }
    json_out_raw(&o, SLICE_LIT("}"));
    if (user.len)
        json_out_text(
            &o, SLICE_LIT(",\"note\":"),
            SLICE_LIT("as far as the server's settings go: what a token of this user says "
                      "of rooms is not known here, and counts before them"));
    json_out_raw(&o, SLICE_LIT("}"));
    return json_out_end(&o);
}

int api_get_rights(struct conn *c, struct api_call *call)
{
    char text[CLAIMS_USER_MAX];
    struct slice user = {text, 0};
    struct buf *json = &c->worker->text;
    int err = api_param_text(call, "user", text, sizeof text, &user.len);
    if (err) return err;
    const struct policy *policy = c->worker->server->options.policy;
    struct rights_verdict v;
    policy_explain(policy, user, call->room, &v);
    err = encode_rights(&v, user, call->room, json);
    if (!err) api_answer(c, call, 200, (struct slice){(char *)json->data, json->len});
    return err;
}

/* ---- stats ---- */

/* Bytes of memory in use by the process; 0 if the system does not say. */
static uint64_t resident_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = '\0';
    const char *second = strchr(text, ' ');
    return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void put_store(struct json_out *o, struct store *store)
{
    struct store_stats stats;
    store_stats(store, &stats);
    json_out_bool(o, SLICE_LIT(",\"store\":{\"healthy\":"), store_healthy(store));
    json_out_uint(o, SLICE_LIT(",\"committed\":"), stats.committed);
    json_out_uint(o, SLICE_LIT(",\"failed\":"), stats.failed);
    json_out_uint(o, SLICE_LIT(",\"batches\":"), stats.batches);
    json_out_uint(o, SLICE_LIT(",\"trimmed\":"), stats.trimmed);
    json_out_uint(o, SLICE_LIT(",\"reads\":"), stats.reads);
    json_out_uint(o, SLICE_LIT(",\"read_errors\":"), stats.read_errors);
    json_out_bool(o, SLICE_LIT(",\"damaged\":"), stats.damaged);
    json_out_uint(o, SLICE_LIT(",\"in_flight\":"), stats.in_flight);
    json_out_uint(o, SLICE_LIT(",\"in_flight_bytes\":"), stats.in_flight_bytes);
    json_out_raw(o, SLICE_LIT("}"));
}

int api_get_stats(struct conn *c, struct api_call *call)
{
    struct worker *w = c->worker;
    const struct server *s = w->server;
    w->text.len = 0;
    struct json_out o = json_out_begin(&w->text, CONN_OUT_MAX_BYTES);
    json_out_text(&o, SLICE_LIT("{\"version\":"), SLICE_LIT(PARLOR_VERSION));
    json_out_uint(&o, SLICE_LIT(",\"uptime_ms\":"), w->now_ms - s->start_ms);
    json_out_uint(&o, SLICE_LIT(",\"workers\":"), s->worker_count);
    json_out_uint(&o, SLICE_LIT(",\"connections\":"), worker_sum(s, METRIC_CONNECTIONS));
    json_out_uint(&o, SLICE_LIT(",\"websockets\":"), worker_sum(s, METRIC_WEBSOCKETS));
    json_out_uint(&o, SLICE_LIT(",\"rooms\":"), hub_room_count(s->hub));
    json_out_uint(&o, SLICE_LIT(",\"messages\":"), worker_sum(s, METRIC_MESSAGES_RECEIVED));
    json_out_uint(&o, SLICE_LIT(",\"deliveries\":"), worker_sum(s, METRIC_DELIVERIES));
    json_out_uint(&o, SLICE_LIT(",\"memory\":{\"resident_bytes\":"), resident_bytes());
    json_out_uint(&o, SLICE_LIT(",\"recent_bytes\":"), hub_recent_bytes(s->hub));
    json_out_raw(&o, SLICE_LIT("}"));
    put_store(&o, s->options.store);
    json_out_raw(&o, SLICE_LIT("}"));
    int err = json_out_end(&o);
    if (!err) api_answer(c, call, 200, (struct slice){(char *)w->text.data, w->text.len});
    return err;
}
