/* See speaker.h. */
#include "session/speaker.h"

#include <string.h>

#include "auth/identity.h"
#include "base/err.h"
#include "chat/hub.h"
#include "proto/json.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/websocket.h"
#include "server/worker.h"
#include "session/ephemeral.h"

enum { RATE_PERIOD_US = 10 * 1000 * 1000 };
#define GUEST_PREFIX "guest-"

/* Token bucket as one number (GCRA): next_us is when the bucket would be full again; a message
 * moves it on by the time one token takes, and is refused where that would leave the period. */
bool speaker_within_rate(const struct conn *c, uint32_t rate, uint64_t *next_us)
{
    if (rate == 0) return true;
    uint64_t now_us = c->worker->now_ms * 1000;
    uint64_t from = *next_us > now_us ? *next_us : now_us;
    uint64_t next = from + RATE_PERIOD_US / rate;
    if (next > now_us + RATE_PERIOD_US) return false;
    *next_us = next;
    return true;
}

bool speaker_may_speak(struct conn *c, struct slice text, struct slice data)
{
    return speaker_within_rate(c, c->worker->server->options.rate, &c->rate_next_us) &&
           client_take_bytes(c, BUDGET_MESSAGES, json_string_bytes(text) + data.len);
}

static struct slice guest_name(const struct conn *c, char guest[static SESSION_GUEST_LEN])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    memcpy(guest, GUEST_PREFIX, sizeof GUEST_PREFIX - 1);
    uint32_t bits = c->guest;
    for (size_t i = sizeof GUEST_PREFIX - 1; i < SESSION_GUEST_LEN; i++, bits >>= 5)
        guest[i] = digits[bits & 31];
    return (struct slice){guest, SESSION_GUEST_LEN};
}

struct slice speaker_choose_name(const struct conn *c, struct slice said,
                                 char guest[static SESSION_GUEST_LEN])
{
    struct slice given = identity_given(c->identity);
    if (said.len && identity_is_guest(c->identity)) return said;
    return given.len ? given : guest_name(c, guest);
}

struct store_event speaker_event(const struct conn *c, enum store_kind kind, struct slice said,
                                 char guest[static SESSION_GUEST_LEN])
{
    return (struct store_event){
        .kind = kind,
        .username = speaker_choose_name(c, said, guest),
        .user = identity_user(c->identity),
        .ts_ms = c->worker->wall_ms,
    };
}

struct slice speaker_name(const struct conn *c, char guest[static SESSION_GUEST_LEN])
{
    struct slice name = identity_name(c->identity);
    return name.len ? name : guest_name(c, guest);
}

void speaker_rename_in(const struct conn *c, struct room *room, struct slice from, struct slice to)
{
    ephemeral_presence(c->worker, room, room_rename(room, from, to, c->worker->now_ms));
}

void speaker_note_name(struct conn *c, struct slice name)
{
    char guest[SESSION_GUEST_LEN];
    struct slice before = speaker_name(c, guest);
    if (slice_equal(before, name)) return;
    struct identity *now =
        identity_new_guest(identity_user(c->identity), identity_given(c->identity), name);
    if (!now) return; /* it is known by the name of before for another while */
    if (c->session && c->session->rename) c->session->rename(c, before, name);
    identity_unref(c->identity);
    c->identity = now;
}

bool speaker_note_refusal(struct conn *c, int err)
{
    metrics_refusal(&c->worker->metrics, err);
    return err_is_ours(err) || websocket_waste(c, 1);
}
