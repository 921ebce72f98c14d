/* See http_upgrade.h. */
#include "http/http_upgrade.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "chat/hub.h"
#include "http/http_answer.h"
#include "http/http_handshake.h"
#include "proto/http.h"
#include "proto/name.h"
#include "proto/rich.h"
#include "proto/ws_deflate.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/worker.h"
#include "session/bare.h"
#include "session/echo.h"
#include "session/entry.h"
#include "session/rich_join.h"
#include "session/rich_session.h"

enum {
    URL_NAME_MAX_BYTES = 4 * NAME_USER_MAX, /* decoded, before trimming */
};

/* An earlier request on this connection may have been refused after it had chosen one. */
static void choose_session(struct conn *c, const struct session_ops *session)
{
    conn_leave(c);
    c->session = session;
}

void http_upgrade_echo(struct conn *c, const struct http_request *r)
{
    struct ws_handshake h;
    if (!http_handshake_read(c, r, &h)) return;
    choose_session(c, &echo_session);
    c->window_bits = h.deflate ? h.server_window_bits : 0;
    const struct slice none = {NULL, 0};
    if (http_handshake_may(c, r, &h, none)) (void)http_handshake_finish(c, r, &h, none);
}

/* ?username=: kept if it is a name, refused if it cannot be one. */
static int read_url_name(struct conn *c, const struct http_request *r)
{
    struct slice raw;
    char decoded[URL_NAME_MAX_BYTES];
    char cleaned[NAME_USER_MAX];
    struct slice name = {decoded, 0};
    free(c->username); /* of an earlier request on this connection that was refused */
    c->username = NULL;
    if (!http_query_get(r->query, "username", &raw)) return 0;
    if (http_percent_decode(raw, true, decoded, sizeof decoded, &name.len) != 0 ||
        !utf8_valid(decoded, name.len) || name_user_clean(name, cleaned, &name) != 0)
        return ERR_BAD_USERNAME;
    c->username = malloc(name.len);
    if (!c->username) return ERR_NOMEM;
    memcpy(c->username, name.ptr, name.len);
    c->username_len = (uint8_t)name.len;
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
static int read_history(const struct http_request *r, struct join *j)
{
    struct slice value;
    if (!http_query_get(r->query, "history", &value) || value.len == 0) return 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') return ERR_BAD_FIELD;
        j->history = j->history * 10 + (unsigned)(value.ptr[i] - '0');
        if (j->history > RICH_JOIN_MAX) j->history = RICH_JOIN_MAX;
    }
    return 0;
}

/* protocol.md section 2: what the URL asks for. An id that cannot be read is one of another epoch;
 * an empty one is that of a client that has not received anything yet. */
static int read_join(const struct http_request *r, bool rich, struct conn *c, struct join *j)
{
    struct slice since;
    struct slice value;
    bool has_since = http_query_get(r->query, "since", &since);
    bool full = has_since || http_query_get(r->query, "history", &value);
    if (http_query_get(r->query, "fields", &value) && slice_is(value, "full")) full = true;
    *j = (struct join){
        .encoding = choose_encoding(c, rich, full),
        .worker = c->worker->index,
        .resume = has_since && since.len > 0,
        .now_ms = c->worker->now_ms,
        .wall_ms = c->worker->wall_ms,
    };
    if (j->resume) (void)id_parse(since, &j->since);
    return read_history(r, j);
}

/* The room is ready: the request, which was kept, is read again. */
static void on_entered(struct conn *c, struct entry *e)
{
    bool wanted = c->state == CONN_HTTP && c->entry == e;
    if (wanted) conn_release(c);
    if (wanted && (c->entry != e || c->held)) return; /* used up, or waiting once more */
    if (wanted) c->entry = NULL;                      /* it could not be read again yet */
    entry_free(e);
}

void http_upgrade_forget(struct conn *c)
{
    if (c->entry) entry_free(c->entry);
    c->entry = NULL;
}

/* Enters the room by name. ERR_AGAIN: the connection waits. */
static int enter(struct conn *c, struct slice name, struct join *j)
{
    struct entry *e = c->entry;
    int err = e ? e->wait.err : 0;
    if (!e) {
        e = calloc(1, sizeof *e);
        if (!e) return ERR_NOMEM;
        e->resume = on_entered;
        err = entry_start(e, c, name);
        if (err && err != ERR_AGAIN) return err;
        c->entry = e;
    }
    if (!err) err = c->rich ? rich_join_home(c, e, j) : entry_join(e, j, &c->member);
    if (err == ERR_AGAIN) {
        conn_hold(c);
        return err;
    }
    c->entry = NULL;
    entry_free(e);
    return err;
}

/* What this request says of the connection; an earlier one on it may have been refused. */
static int begin_chat(struct conn *c, const struct ws_handshake *h, struct slice name, bool rich)
{
    struct server *s = c->worker->server;
    if (!c->entry) c->guest = (uint32_t)s->guest_seed + atomic_fetch_add(&s->guests, 1) * 0x9e375U;
    c->window_bits = h->deflate ? h->server_window_bits : 0;
    c->since_ms = c->worker->wall_ms;
    return rich ? rich_session_new(c, name) : 0;
}

static int join_chat(struct conn *c, const struct http_request *r, struct slice name,
                     struct join *j)
{
    int err = read_join(r, c->rich, c, j);
    if (err) return err;
    bool asks = !c->entry && (j->resume || j->history > 0); /* once for a request */
    if (asks && !client_take(c, BUDGET_HISTORY)) return ERR_MUCH_HISTORY;
    return enter(c, name, j); /* before the 101: who has seen it receives all that is said after */
}

void http_upgrade_abandon(struct conn *c)
{
    if (c->entry) atomic_store(&c->entry->wait.gone, true);
    c->entry = NULL;
}

void http_upgrade_chat(struct conn *c, const struct http_request *r)
{
    struct slice segment = {r->path.ptr + sizeof HTTP_CHAT_PREFIX - 1,
                            r->path.len - (sizeof HTTP_CHAT_PREFIX - 1)};
    if (segment.len && segment.ptr[segment.len - 1] == '/') segment.len--;
    char room[NAME_ROOM_MAX];
    struct slice name = {room, 0};
    int err = name_room_decode(segment, room, &name.len);
    if (!err) err = read_url_name(c, r);
    if (err) {
        http_answer_error(c, r, err, NULL);
        return;
    }
    struct ws_handshake h;
    if (!http_handshake_read(c, r, &h)) return;
    bool rich = http_list_has_exactly(h.protocols, RICH_SUBPROTOCOL);
    struct slice subprotocol = {rich ? RICH_SUBPROTOCOL : NULL,
                                rich ? sizeof RICH_SUBPROTOCOL - 1 : 0};
    choose_session(c, &bare_session); /* also of a rich one that is refused */
    if (!http_handshake_may(c, r, &h, subprotocol)) return;
    struct join j;
    err = begin_chat(c, &h, name, rich);
    if (!err) err = join_chat(c, r, name, &j);
    if (err == ERR_AGAIN) return;
    if (err) {
        conn_leave(c);
        http_answer_error(c, r, err, err == ERR_BAD_FIELD ? NULL : HTTP_RETRY_AFTER);
        return;
    }
    if (!http_handshake_finish(c, r, &h, subprotocol)) return;
    if (c->rich)
        rich_session_start(c, &j);
    else
        bare_start(c, &j);
}
