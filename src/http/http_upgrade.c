/* See http_upgrade.h.
 *
 * A handshake for a room is a row of steps over what was copied from its request, which is read
 * once: PARSE, AUTHORIZE, ENTER, UPGRADE. Each goes on to the next (NEXT), waits to be called again
 * (WAIT), or has answered (DONE). While one waits the connection is held, and owns the handshake;
 * when it goes, what the step has asked for is told that nobody wants it, and frees the handshake
 * once it is answered. */
#include "http/http_upgrade.h"

#include <stdlib.h>
#include <string.h>

#include "auth/guest_key.h"
#include "auth/identity.h"
#include "auth/policy.h"
#include "auth/site.h"
#include "auth/site_question.h"
#include "base/err.h"
#include "base/utf8.h"
#include "chat/hub.h"
#include "http/http_answer.h"
#include "http/http_handshake.h"
#include "http/site_request.h"
#include "proto/bearer.h"
#include "proto/http.h"
#include "proto/name.h"
#include "proto/rich.h"
#include "proto/ws_deflate.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/pending_identity.h"
#include "server/worker.h"
#include "session/bare.h"
#include "session/echo.h"
#include "session/pending_join.h"
#include "session/rich_join.h"
#include "session/rich_session.h"
#include "session/sign_in.h"

enum {
    URL_NAME_MAX_BYTES = 4 * NAME_USER_MAX, /* decoded, before trimming */
};

enum result { NEXT, WAIT, DONE };

struct handshake {
    struct pending_join joining; /* ENTER's question; its pending is AUTHORIZE's before, */
    bool asking;                 /* which was asked */
    bool entering;               /* likewise ENTER's */
    unsigned step;               /* the one that comes next; behind PARSE */
    struct http_manner manner;
    struct ws_handshake ws;  /* without `protocols` */
    const char *subprotocol; /* static text; NULL: none */
    bool rich;
    char *token; /* carried; NULL: none */
    size_t token_len;
    bool token_is_guest;               /* a guest's key */
    char guest_key[GUEST_KEY_LEN + 1]; /* of a guest that is new; "": it is none */
    struct site_question *question; /* for the site, if there is no token; a reference, or NULL */
    struct pending_identity signed_in; /* its answer */
};

static struct slice room_of(const struct handshake *h)
{
    return pending_join_room(&h->joining);
}

static struct slice subprotocol_of(const struct handshake *h)
{
    return h->subprotocol ? slice_of(h->subprotocol) : (struct slice){NULL, 0};
}

/* An earlier request on this connection may have been refused after it had chosen one. */
static void choose_session(struct conn *c, const struct session_ops *session)
{
    conn_leave(c);
    c->session = session;
}

void http_upgrade_echo(struct conn *c, const struct http_request *r)
{
    struct ws_handshake ws;
    if (!http_handshake_read(c, r, &ws)) return;
    choose_session(c, &echo_session);
    c->window_bits = ws.deflate ? ws.server_window_bits : 0;
    const struct slice none = {NULL, 0};
    if (http_handshake_may(c, r, &ws, none))
        (void)http_handshake_finish(c, http_manner(r), &ws, none);
}

/* ---- PARSE ---- */

static int read_url_room(const struct http_request *r, struct handshake *h)
{
    struct slice segment = {r->path.ptr + sizeof HTTP_CHAT_PREFIX - 1,
                            r->path.len - (sizeof HTTP_CHAT_PREFIX - 1)};
    if (segment.len && segment.ptr[segment.len - 1] == '/') segment.len--;
    size_t len;
    int err = name_room_decode(segment, h->joining.room, &len);
    if (!err) h->joining.room_len = (uint8_t)len;
    return err;
}

/* ?username=: kept if it is a name, refused if it cannot be one. */
static int read_url_name(struct conn *c, const struct http_request *r)
{
    struct slice raw;
    char decoded[URL_NAME_MAX_BYTES];
    char cleaned[NAME_USER_MAX];
    struct slice name = {decoded, 0};
    const struct slice none = {NULL, 0};
    /* That of an earlier request on this connection was refused. */
    sign_in_become(c, identity_ref(&identity_nobody));
    if (!http_query_get(r->query, "username", &raw)) return 0;
    if (http_percent_decode(raw, true, decoded, sizeof decoded, &name.len) != 0 ||
        !utf8_valid(decoded, name.len) || name_user_clean(name, cleaned, &name) != 0)
        return ERR_BAD_USERNAME;
    struct identity *guest = identity_new_guest(none, name, none);
    if (!guest) return ERR_NOMEM;
    sign_in_become(c, guest);
    return 0;
}

/* A member whose deflate window is smaller than the room's gets plain frames, which RFC 7692
 * section 6 always allows; so one deflated log serves everybody else. */
static enum encoding choose_encoding(const struct conn *c, bool rich, bool full)
{
    bool deflate = c->window_bits == WS_WINDOW_BITS_MAX;
    if (rich) return deflate ? ENCODING_RICH_DEFLATE : ENCODING_RICH;
    if (full) return deflate ? ENCODING_FULL_DEFLATE : ENCODING_FULL;
    return deflate ? ENCODING_BARE_DEFLATE : ENCODING_BARE;
}

/* ?history=: a number, 0 if there is none. ERR_BAD_FIELD. */
static int read_url_history(const struct http_request *r, struct join *j)
{
    struct slice value;
    uint64_t n;
    if (!http_query_get(r->query, "history", &value) || value.len == 0) return 0;
    if (!slice_to_u64(value, &n)) return ERR_BAD_FIELD;
    j->history = n < RICH_JOIN_MAX ? (unsigned)n : RICH_JOIN_MAX;
    return 0;
}

/* protocol.md section 2: what the URL asks for. An id that cannot be read is one of another epoch;
 * an empty one is that of a client that has not received anything yet. */
static int read_join(const struct conn *c, const struct http_request *r, struct handshake *h)
{
    struct slice since;
    struct slice value;
    bool has_since = http_query_get(r->query, "since", &since);
    bool full = has_since || http_query_get(r->query, "history", &value);
    if (http_query_get(r->query, "fields", &value) && slice_is(value, "full")) full = true;
    struct join *j = &h->joining.join;
    j->encoding = choose_encoding(c, h->rich, full);
    j->worker = c->worker->index;
    j->resume = has_since && since.len > 0;
    if (j->resume) (void)id_parse(since, &j->since);
    return read_url_history(r, j);
}

/* What says who it is, kept for AUTHORIZE; and who is spoken to how. */
static int read_credentials(struct conn *c, const struct http_request *r, struct handshake *h)
{
    struct bearer bearer;
    int err = bearer_read(r, c->worker->server->options.tokens, &bearer);
    if (err) return err;
    h->subprotocol = bearer.subprotocol;
    h->rich = bearer.subprotocol && strcmp(bearer.subprotocol, RICH_SUBPROTOCOL) == 0;
    if (!bearer.carried || bearer.guest) err = site_request_read(c, r, room_of(h), &h->question);
    if (err || !bearer.carried) return err;
    h->token = malloc(bearer.token.len + 1);
    if (!h->token) return ERR_NOMEM;
    if (bearer.token.len) memcpy(h->token, bearer.token.ptr, bearer.token.len);
    h->token_len = bearer.token.len;
    h->token_is_guest = bearer.guest;
    return 0;
}

static enum result refuse_request(struct conn *c, const struct http_request *r, int err)
{
    conn_leave(c);
    http_answer_error(c, r, err, err == ERR_MUCH_HISTORY ? HTTP_RETRY_AFTER : NULL);
    return DONE;
}

static enum result handshake_parse(struct conn *c, const struct http_request *r,
                                   struct handshake *h)
{
    h->manner = http_manner(r);
    int err = read_url_room(r, h);
    if (!err) err = read_url_name(c, r);
    if (err) return refuse_request(c, r, err);
    if (!http_handshake_read(c, r, &h->ws)) return DONE;
    err = read_credentials(c, r, h);
    if (err) return refuse_request(c, r, err);
    h->ws.protocols = (struct slice){NULL, 0}; /* gone with the request */
    choose_session(c, &bare_session);          /* also of a rich one that is refused */
    if (!http_handshake_may(c, r, &h->ws, subprotocol_of(h))) return DONE;
    struct server *s = c->worker->server;
    c->guest = (uint32_t)s->guest_seed + atomic_fetch_add(&s->guests, 1) * 0x9e375U;
    c->window_bits = h->ws.deflate ? h->ws.server_window_bits : 0;
    err = read_join(c, r, h);
    bool asks = h->joining.join.resume || h->joining.join.history > 0;
    if (!err && asks && !client_take(c, BUDGET_HISTORY)) err = ERR_MUCH_HISTORY;
    return err ? refuse_request(c, r, err) : NEXT;
}

/* ---- the steps behind it ---- */

static enum result handshake_refuse(struct conn *c, const struct handshake *h, int err)
{
    conn_leave(c);
    http_answer_error_later(c, h->manner, err, HTTP_RETRY_AFTER);
    return DONE;
}

/* Somebody who is not let in, or not into this room. why: NULL, or what is wrong with the token. */
static enum result refuse_identity(struct conn *c, const struct handshake *h, int err,
                                   const char *why)
{
    const struct http_refusal refusal = {err, why ? why : err_info(err)->text};
    metrics_refusal(&c->worker->metrics, err);
    http_handshake_refuse(c, h->manner, &h->ws, subprotocol_of(h), &refusal);
    return DONE;
}

/* Who carries a token is who it says, or nobody that is let in: never a guest instead. */
static int identify_by_token(struct conn *c, const struct handshake *h, const char **why)
{
    struct identity *identity = NULL;
    const struct credential from = {{h->token, h->token_len}, h->token_is_guest};
    int err = sign_in_identify(c, &from, &identity, why);
    if (!err) sign_in_become(c, identity);
    return err;
}

static void handshake_on_answer(struct conn *c, struct pending *p);

/* ERR_UNAUTHORIZED: the site does not know who it is. */
static int identify_by_site(struct conn *c, struct handshake *h)
{
    struct pending *p = &h->joining.p;
    if (!h->asking) pending_init(p, c, NULL, handshake_on_answer);
    int err = h->asking ? p->err : pending_identity_ask(&h->signed_in, p, c, h->question, true);
    h->asking = true;
    if (err) return err;
    sign_in_become(c, h->signed_in.identity);
    h->signed_in.identity = NULL;
    return 0;
}

/* By the first that says who it is, in the order of protocol.md section 10. Whom nothing says is a
 * guest, a rich one with a key to come back with: only such can own something. */
static int identify(struct conn *c, struct handshake *h, const char **why)
{
    if (h->token && !h->token_is_guest) return identify_by_token(c, h, why);
    int err = h->question ? identify_by_site(c, h) : ERR_UNAUTHORIZED;
    if (err != ERR_UNAUTHORIZED) return err;
    if (h->token) return identify_by_token(c, h, why);
    return h->rich ? sign_in_new_guest(c, h->guest_key) : 0;
}

/* A page is told of it: behind the upgrade. */
static bool is_of_identity(int err)
{
    return err == ERR_TOKEN || err == ERR_GUEST_KEY || err == ERR_NO_KEYS || err == ERR_NO_RIGHT ||
           err == ERR_SITE_FORBIDDEN || err == ERR_AUTH_DOWN || err == ERR_MANY_SIGN_INS;
}

/* What the site said in the second of the act is not remembered either: it may be asked anew. */
static bool is_revoked(const struct conn *c)
{
    const struct server_options *o = &c->worker->server->options;
    if (!policy_is_revoked(o->policy, c->identity)) return false;
    if (c->identity->question) site_forget(o->site, identity_user(c->identity));
    return true;
}

static enum result handshake_authorize(struct conn *c, struct handshake *h)
{
    const char *why = NULL;
    int err = identify(c, h, &why);
    if (err == ERR_AGAIN) return WAIT;
    if (!err && is_revoked(c)) {
        err = ERR_TOKEN;
        why = "the sign-in was revoked";
    }
    const struct policy *policy = c->worker->server->options.policy;
    if (!err) err = may(policy, c->identity, ACTION_JOIN, room_of(h), NULL);
    if (is_of_identity(err)) return refuse_identity(c, h, err, why);
    if (!err && h->rich) err = rich_session_new(c, room_of(h));
    return err ? handshake_refuse(c, h, err) : NEXT;
}

/* Before the 101: who has seen it receives all that is said after. */
static enum result handshake_enter(struct conn *c, struct handshake *h)
{
    struct pending_join *g = &h->joining;
    int err = h->entering ? g->join.err : pending_join_start(g, c, handshake_on_answer);
    h->entering = true;
    if (!err) err = pending_join_member(g, h->rich ? rich_join_home(c) : &c->member);
    if (err == ERR_AGAIN) return WAIT;
    return err ? handshake_refuse(c, h, err) : NEXT;
}

/* Judged again, since an act may have come while it waited for its room. */
static enum result handshake_upgrade(struct conn *c, struct handshake *h)
{
    if (is_revoked(c)) return refuse_identity(c, h, ERR_TOKEN, "the sign-in was revoked");
    if (may(c->worker->server->options.policy, c->identity, ACTION_JOIN, room_of(h), NULL))
        return refuse_identity(c, h, ERR_NO_RIGHT, NULL);
    if (!http_handshake_finish(c, h->manner, &h->ws, subprotocol_of(h))) return DONE;
    if (h->rich)
        rich_session_start(c, &h->joining.join, slice_of(h->guest_key));
    else
        bare_start(c, &h->joining.join);
    return DONE;
}

static void handshake_free(struct handshake *h)
{
    pending_join_fini(&h->joining);
    if (h->token) explicit_bzero(h->token, h->token_len);
    explicit_bzero(h->guest_key, sizeof h->guest_key);
    free(h->token);
    pending_identity_fini(&h->signed_in);
    site_question_unref(h->question);
    free(h);
}

/* Takes the steps that are left, or as many as can be taken now: false. */
static bool handshake_go_on(struct conn *c, struct handshake *h)
{
    static enum result (*const steps[])(struct conn * c, struct handshake * h) = {
        handshake_authorize, handshake_enter, handshake_upgrade};
    enum result result = NEXT;
    while (result == NEXT) {
        result = steps[h->step](c, h);
        if (result == NEXT) h->step++;
    }
    if (result == WAIT) return false;
    handshake_free(h);
    return true;
}

static void handshake_on_answer(struct conn *c, struct pending *p)
{
    struct handshake *h = container_of(pending_join_of(p), struct handshake, joining);
    if (!c || c->state != CONN_HTTP || c->handshake != h) {
        handshake_free(h);
        return;
    }
    c->handshake = NULL;
    if (!handshake_go_on(c, h)) {
        c->handshake = h;
        return;
    }
    if (c->state == CONN_HTTP) (void)client_take(c, BUDGET_REQUESTS);
    if (c->state != CONN_DEAD) conn_release(c);
}

void http_upgrade_abandon(struct conn *c)
{
    if (!c->handshake) return;
    atomic_store(&c->handshake->joining.join.gone, true);
    pending_identity_abandon(&c->handshake->signed_in);
    c->handshake = NULL;
}

void http_upgrade_chat(struct conn *c, const struct http_request *r)
{
    struct handshake *h = calloc(1, sizeof *h);
    if (!h) {
        http_answer_error(c, r, ERR_NOMEM, HTTP_RETRY_AFTER);
        return;
    }
    if (handshake_parse(c, r, h) == DONE) {
        handshake_free(h);
        return;
    }
    if (handshake_go_on(c, h)) return;
    c->handshake = h;
    conn_hold(c);
}
