/* See rich_auth.h. */
#include "session/rich_auth.h"

#include <string.h>

#include "auth/identity.h"
#include "auth/policy.h"
#include "base/err.h"
#include "proto/rich.h"
#include "server/conn.h"
#include "server/worker.h"
#include "session/rich_answer.h"
#include "session/rich_subscription.h"
#include "session/sign_in.h"
#include "session/speaker.h"

/* How much is known of somebody: who knows less may become who is known better. */
static int rank(const struct identity *who, bool new_guest)
{
    if (!identity_is_guest(who)) return 2;
    return new_guest ? 0 : 1;
}

static bool may_become(const struct conn *c, const struct identity *now)
{
    const struct identity *i = c->identity;
    if (slice_equal(identity_user(i), identity_user(now))) return true;
    return rank(now, false) > rank(i, c->rich->new_guest);
}

static void auth_tell_ack(struct conn *c, struct slice ref)
{
    char guest[SESSION_GUEST_LEN];
    const struct rich_auth_ack ack = {.ref = ref,
                                      .user = identity_user(c->identity),
                                      .username = speaker_name(c, guest),
                                      .expires_ms = identity_expires_ms(c->identity)};
    c->worker->text.len = 0;
    rich_send(c, rich_encode_auth_ack(&ack, &c->worker->text, RICH_FRAME_MAX_BYTES));
}

/* Also out of one that it is about to enter. */
static void put_out(struct subscription *s, int err)
{
    struct conn *c = s->as.conn;
    struct buf *text = &c->worker->text;
    const struct slice no_ref = {NULL, 0};
    if (!s->answered) {
        rich_refuse(c, subscription_ref(s), err);
        if (c->state == CONN_OPEN) subscription_free(s);
        return;
    }
    text->len = 0;
    err = rich_encode_left(no_ref, subscription_room(s), err, text, RICH_FRAME_MAX_BYTES);
    subscription_free(s);
    rich_send(c, err);
}

void rich_auth_review(struct conn *c)
{
    const struct policy *policy = c->worker->server->options.policy;
    const struct list *all = &c->rich->subscriptions;
    for (struct list *l = all->next, *next; c->state == CONN_OPEN && l != all; l = next) {
        struct subscription *s = container_of(l, struct subscription, link);
        next = l->next;
        int err = may(policy, c->identity, ACTION_JOIN, subscription_room(s), NULL);
        if (err) put_out(s, err);
    }
}

void rich_auth_take_name(struct conn *c, struct slice before)
{
    const struct list *all = &c->rich->subscriptions;
    for (struct list *l = all->next; l != all; l = l->next)
        subscription_take_name(container_of(l, struct subscription, link), before);
}

int rich_auth(struct conn *c, const struct rich_input *in)
{
    const struct slice none = {NULL, 0};
    const struct credential from = {in->guest.len ? in->guest : in->token, in->guest.len > 0};
    struct identity *now;
    const char *why;
    char guest[SESSION_GUEST_LEN];
    char text[NAME_USER_MAX];
    if (!speaker_may_speak(c, none, none)) return ERR_RATE_LIMITED;
    int err = sign_in_identify(c, &from, &now, &why);
    if (err) return err;
    if (!may_become(c, now)) {
        identity_unref(now);
        return ERR_OTHER_USER;
    }
    struct slice before = speaker_choose_name(c, none, guest);
    memcpy(text, before.ptr, before.len);
    before.ptr = text;
    sign_in_become(c, now);
    c->rich->new_guest = false;
    c->rich->expiry_told = false;
    worker_note_expiry(c->worker, identity_expires_ms(now));
    if (!identity_is_guest(now)) rich_auth_take_name(c, before);
    auth_tell_ack(c, in->ref);
    if (c->state == CONN_OPEN) rich_auth_review(c);
    return 0;
}
