/* See chat_session.h. */
#include "server/chat_session.h"

#include <string.h>

#include "base/err.h"
#include "proto/envelope.h"
#include "server/conn.h"
#include "server/worker.h"
#include "server/ws_session.h"

enum {
    RATE_PERIOD_US = 10 * 1000 * 1000,
    GUEST_DIGITS = 4,
    REFUSAL_MAX_BYTES = 4096,
};
#define GUEST_PREFIX "guest-"
enum { GUEST_NAME_LEN = sizeof GUEST_PREFIX - 1 + GUEST_DIGITS };

/* Token bucket as one number (GCRA): rate_next_us is when the bucket would be full again; a message
 * moves it on by the time one token takes, and is refused where that would leave the period. */
static bool within_rate(struct conn *c)
{
    uint32_t rate = c->worker->server->options.rate;
    if (rate == 0) return true;
    uint64_t now_us = c->worker->now_ms * 1000;
    uint64_t from = c->rate_next_us > now_us ? c->rate_next_us : now_us;
    uint64_t next = from + RATE_PERIOD_US / rate;
    if (next > now_us + RATE_PERIOD_US) return false;
    c->rate_next_us = next;
    return true;
}

/* protocol.md section 3: the frame's name, the URL's, or a guest name that stays. */
static struct slice choose_name(const struct conn *c, struct slice given,
                                char guest[static GUEST_NAME_LEN])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    if (given.len) return given;
    if (c->username) return (struct slice){c->username, c->username_len};
    memcpy(guest, GUEST_PREFIX, sizeof GUEST_PREFIX - 1);
    uint32_t bits = c->guest;
    for (size_t i = 0; i < GUEST_DIGITS; i++, bits >>= 5)
        guest[sizeof GUEST_PREFIX - 1 + i] = digits[bits & 31];
    return (struct slice){guest, GUEST_NAME_LEN};
}

static void refuse(struct conn *c, int err)
{
    struct worker *w = c->worker;
    metrics_refusal(&w->metrics, err);
    if (++c->refusals > CONN_REFUSALS_MAX) {
        const struct err_info *info = err_info(ERR_ABUSE);
        ws_session_close(c, info->close_code, info->text);
        return;
    }
    w->text.len = 0;
    if (envelope_encode_refusal(err, &w->text, REFUSAL_MAX_BYTES) != 0) {
        conn_drop(c);
        return;
    }
    ws_session_send_text(c, w->text.data, w->text.len);
}

void chat_session_on_message(struct conn *c, struct slice json)
{
    struct worker *w = c->worker;
    struct envelope_input in;
    int err = envelope_parse(json, w->server->options.max_message_bytes, &w->text, &in);
    if (!err && !within_rate(c)) err = ERR_RATE_LIMITED;
    if (err) {
        refuse(c, err);
        return;
    }
    char guest[GUEST_NAME_LEN];
    const struct post post = {
        .username = choose_name(c, in.username, guest),
        .message = in.message,
        .data = in.data,
        .ts_ms = w->wall_ms,
    };
    struct slink *woken;
    err = room_publish(c->member.reader->room, &w->scribe, &post, &woken);
    if (err) {
        refuse(c, err);
        return;
    }
    c->refusals = 0;
    metrics_add(&w->metrics, METRIC_MESSAGES_RECEIVED, 1);
    worker_post_dirty(w, woken);
}
