/* See chat_session.h. */
#include "server/chat_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/envelope.h"
#include "proto/json.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/receipt.h"
#include "server/replay.h"
#include "server/rich_session.h"
#include "server/whisper.h"
#include "server/worker.h"
#include "server/ws_session.h"

enum { RATE_PERIOD_US = 10 * 1000 * 1000, REFUSAL_MAX_BYTES = 4096 };
#define GUEST_PREFIX "guest-"

/* Token bucket as one number (GCRA): next_us is when the bucket would be full again; a message
 * moves it on by the time one token takes, and is refused where that would leave the period. */
bool chat_within_rate(const struct conn *c, uint32_t rate, uint64_t *next_us)
{
    if (rate == 0) return true;
    uint64_t now_us = c->worker->now_ms * 1000;
    uint64_t from = *next_us > now_us ? *next_us : now_us;
    uint64_t next = from + RATE_PERIOD_US / rate;
    if (next > now_us + RATE_PERIOD_US) return false;
    *next_us = next;
    return true;
}

bool chat_may_speak(struct conn *c, struct slice text, struct slice data)
{
    return chat_within_rate(c, c->worker->server->options.rate, &c->rate_next_us) &&
           client_take_bytes(c, BUDGET_MESSAGES, json_string_bytes(text) + data.len);
}

static struct slice guest_name(const struct conn *c, char guest[static CHAT_GUEST_LEN])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    memcpy(guest, GUEST_PREFIX, sizeof GUEST_PREFIX - 1);
    uint32_t bits = c->guest;
    for (size_t i = sizeof GUEST_PREFIX - 1; i < CHAT_GUEST_LEN; i++, bits >>= 5)
        guest[i] = digits[bits & 31];
    return (struct slice){guest, CHAT_GUEST_LEN};
}

struct slice chat_choose_name(const struct conn *c, struct slice given,
                              char guest[static CHAT_GUEST_LEN])
{
    if (given.len) return given;
    if (c->username) return (struct slice){c->username, c->username_len};
    return guest_name(c, guest);
}

struct slice chat_name(const struct conn *c, char guest[static CHAT_GUEST_LEN])
{
    if (c->spoken) return (struct slice){c->spoken, c->spoken_len};
    return chat_choose_name(c, (struct slice){NULL, 0}, guest);
}

bool chat_user(const struct conn *c, char guest[static CHAT_GUEST_LEN], struct slice *user)
{
    char own[CHAT_GUEST_LEN];
    struct slice nobody = guest_name(c, own);
    *user = chat_name(c, guest);
    return user->len != nobody.len || memcmp(user->ptr, nobody.ptr, nobody.len) != 0;
}

void chat_rename_in(struct conn *c, struct room *room, struct slice from, struct slice to)
{
    whisper_presence(c->worker, room, room_rename(room, from, to, c->worker->now_ms));
}

void chat_note_name(struct conn *c, struct slice name)
{
    char guest[CHAT_GUEST_LEN];
    struct slice before = chat_name(c, guest);
    if (before.len == name.len && memcmp(before.ptr, name.ptr, name.len) == 0) return;
    char *copy = malloc(name.len);
    if (!copy) return; /* it is known by the name of before for another while */
    memcpy(copy, name.ptr, name.len);
    if (c->member.reader) chat_rename_in(c, c->member.reader->room, before, name);
    free(c->spoken);
    c->spoken = copy;
    c->spoken_len = (uint8_t)name.len;
}

bool chat_is_our_fault(int err)
{
    return err_info(err)->http_status >= 500 || err == ERR_STORE_ORDER;
}

bool chat_note_refusal(struct conn *c, int err)
{
    metrics_refusal(&c->worker->metrics, err);
    return chat_is_our_fault(err) || ws_session_waste(c, 1);
}

static void refuse(struct conn *c, int err)
{
    struct worker *w = c->worker;
    if (!chat_note_refusal(c, err)) return;
    w->text.len = 0;
    if (envelope_encode_refusal(err, &w->text, REFUSAL_MAX_BYTES) != 0) {
        conn_drop(c);
        return;
    }
    ws_session_send_text(c, w->text.data, w->text.len);
}

static void tell_refused(struct conn *c, const struct receipt *r)
{
    if (c->state == CONN_OPEN) refuse(c, r->err);
}

static int publish(struct conn *c, const struct envelope_input *in)
{
    struct room *room = c->member.reader->room;
    char guest[CHAT_GUEST_LEN];
    struct publish p = {.event = {
                            .kind = STORE_MESSAGE,
                            .username = chat_choose_name(c, in->username, guest),
                            .message = in->message,
                            .data = in->data,
                            .ts_ms = c->worker->wall_ms,
                        }};
    const struct slice none = {"", 0};
    struct receipt *r = receipt_new(c, none, none);
    if (!r) return ERR_NOMEM;
    r->errors_only = true;
    r->tell = tell_refused;
    int err = receipt_publish(r, room, &p);
    if (!err) chat_note_name(c, p.event.username);
    return err;
}

int chat_session_on_message(struct conn *c, struct slice json)
{
    struct worker *w = c->worker;
    const struct server_options *o = &w->server->options;
    struct envelope_input in;
    int err = envelope_parse(json, o->max_message_bytes, &w->text, &in);
    if (!err && !chat_may_speak(c, in.message, in.data)) err = ERR_RATE_LIMITED;
    if (!err) err = publish(c, &in);
    if (err)
        refuse(c, err);
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

static void on_begin(struct conn *c, struct replay *r, bool recovered, uint64_t replayed)
{
    (void)c;
    (void)r;
    (void)recovered;
    (void)replayed;
}

/* More than it is given at once: it comes back for the rest with its newer id (section 6). */
static void on_end(struct conn *c, struct replay *r, uint64_t last, bool more)
{
    (void)r;
    (void)last;
    give_up_replay(c);
    if (more) {
        const struct err_info *info = err_info(ERR_MISSED_MORE);
        ws_session_close(c, info->close_code, info->text);
    } else if (conn_unsent(c) == 0) {
        reader_resume(&c->member, &c->worker->delivery);
    }
}

static void on_error(struct conn *c, struct replay *r, int err)
{
    (void)r;
    give_up_replay(c);
    ws_session_close(c, err_info(err)->close_code, err_info(err)->text);
}

static const struct replay_owner replay_owner = {on_begin, on_end, on_error};

void chat_session_start(struct conn *c, const struct join *j)
{
    if (!j->from_store) {
        if (conn_unsent(c) == 0) reader_resume(&c->member, &c->worker->delivery);
        return;
    }
    c->replay = replay_new(&c->member, j, &replay_owner);
    if (c->replay)
        replay_go_on(c, c->replay);
    else
        on_error(c, NULL, ERR_NOMEM);
}

void chat_session_leave(struct conn *c)
{
    give_up_replay(c);
    if (c->rich) rich_session_end(c);
    if (!c->member.reader) return;
    char guest[CHAT_GUEST_LEN];
    struct room *room = c->member.reader->room;
    room_ref(room);
    enum presence_due due = room_leave(&c->member, chat_name(c, guest), c->worker->now_ms);
    whisper_presence(c->worker, room, due);
    room_unref(room);
}
