/* See speaker.h. */
#include "session/speaker.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/hub.h"
#include "proto/json.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/websocket.h"
#include "server/worker.h"
#include "session/whisper.h"

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

struct slice speaker_choose_name(const struct conn *c, struct slice given,
                                 char guest[static SESSION_GUEST_LEN])
{
    if (given.len) return given;
    if (c->username) return (struct slice){c->username, c->username_len};
    return guest_name(c, guest);
}

struct slice speaker_name(const struct conn *c, char guest[static SESSION_GUEST_LEN])
{
    if (c->spoken) return (struct slice){c->spoken, c->spoken_len};
    return speaker_choose_name(c, (struct slice){NULL, 0}, guest);
}

bool speaker_user(const struct conn *c, char guest[static SESSION_GUEST_LEN], struct slice *user)
{
    char own[SESSION_GUEST_LEN];
    struct slice nobody = guest_name(c, own);
    *user = speaker_name(c, guest);
    return user->len != nobody.len || memcmp(user->ptr, nobody.ptr, nobody.len) != 0;
}

void speaker_rename_in(const struct conn *c, struct room *room, struct slice from, struct slice to)
{
    whisper_presence(c->worker, room, room_rename(room, from, to, c->worker->now_ms));
}

void speaker_note_name(struct conn *c, struct slice name)
{
    char guest[SESSION_GUEST_LEN];
    struct slice before = speaker_name(c, guest);
    if (before.len == name.len && memcmp(before.ptr, name.ptr, name.len) == 0) return;
    char *copy = malloc(name.len);
    if (!copy) return; /* it is known by the name of before for another while */
    memcpy(copy, name.ptr, name.len);
    if (c->session && c->session->rename) c->session->rename(c, before, name);
    free(c->spoken);
    c->spoken = copy;
    c->spoken_len = (uint8_t)name.len;
}

bool speaker_note_refusal(struct conn *c, int err)
{
    metrics_refusal(&c->worker->metrics, err);
    return err_is_ours(err) || websocket_waste(c, 1);
}
