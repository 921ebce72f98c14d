/* See rich_subscription.h. */
#include "session/rich_subscription.h"

#include <stdlib.h>
#include <string.h>

#include "auth/identity.h"
#include "auth/policy.h"
#include "base/err.h"
#include "proto/rich.h"
#include "server/conn.h"
#include "server/websocket.h"
#include "server/worker.h"
#include "session/ephemeral.h"
#include "session/pending_join.h"
#include "session/replay.h"
#include "session/rich_answer.h"
#include "session/speaker.h"

int subscription_new(struct conn *c, struct slice room, struct slice ref, struct subscription **out)
{
    struct rich *rich = c->rich;
    if (rich->subscription_count >= RICH_ROOMS_MAX) return ERR_TOO_MANY_ROOMS;
    struct subscription *s = calloc(1, sizeof *s + room.len + ref.len);
    if (!s) return ERR_NOMEM;
    s->as.conn = c;
    s->room_len = (uint8_t)room.len;
    s->ref_len = (uint8_t)ref.len;
    memcpy(s->text, room.ptr, room.len);
    if (ref.len) memcpy(s->text + room.len, ref.ptr, ref.len);
    list_push(&rich->subscriptions, &s->link);
    rich->subscription_count++;
    *out = s;
    return 0;
}

struct slice subscription_room(const struct subscription *s)
{
    return (struct slice){s->text, s->room_len};
}

struct slice subscription_ref(const struct subscription *s)
{
    return (struct slice){s->text + s->room_len, s->ref_len};
}

struct slice subscription_name(const struct subscription *s, char guest[static SESSION_GUEST_LEN])
{
    if (s->name) return (struct slice){s->name, s->name_len};
    return speaker_choose_name(s->as.conn, (struct slice){NULL, 0}, guest);
}

int subscription_set_name(struct subscription *s, struct slice name)
{
    char *copy = malloc(name.len);
    if (!copy) return ERR_NOMEM;
    memcpy(copy, name.ptr, name.len);
    free(s->name);
    s->name = copy;
    s->name_len = (uint8_t)name.len;
    return 0;
}

void subscription_rename(struct subscription *s, struct slice had, struct slice now)
{
    const struct conn *c = s->as.conn;
    if (!s->as.member.feed) return;
    if (s->typing) ephemeral_typing(c->worker, &s->as.member, had, false);
    s->typing = false;
    speaker_rename_in(c, s->as.member.feed->room, had, now);
}

void subscription_take_name(struct subscription *s, struct slice before)
{
    char guest[SESSION_GUEST_LEN];
    const struct slice none = {NULL, 0};
    struct slice had = s->name ? (struct slice){s->name, s->name_len} : before;
    struct slice now = speaker_choose_name(s->as.conn, none, guest);
    if (!slice_equal(had, now)) subscription_rename(s, had, now);
    free(s->name);
    s->name = NULL;
}

struct subscription *subscription_find(const struct rich *rich, struct slice room)
{
    if (room.len == 0) return rich->home;
    for (struct list *l = rich->subscriptions.next; l != &rich->subscriptions; l = l->next) {
        struct subscription *s = container_of(l, struct subscription, link);
        if (slice_equal(subscription_room(s), room)) return s;
    }
    return NULL;
}

struct subscription *subscription_find_joined(const struct rich *rich, struct slice room)
{
    struct subscription *s = subscription_find(rich, room);
    return s && s->as.member.feed ? s : NULL;
}

void subscription_free(struct subscription *s)
{
    struct conn *c = s->as.conn;
    replay_free(s->replay);
    if (s->joining) atomic_store(&s->joining->join.gone, true);
    if (s->as.member.feed) {
        char guest[SESSION_GUEST_LEN];
        struct room *room = s->as.member.feed->room;
        room_ref(room);
        enum presence_due due =
            room_leave(&s->as.member, subscription_name(s, guest), c->worker->now_ms);
        ephemeral_presence(c->worker, room, due);
        room_unref(room);
    }
    list_remove(&s->link);
    c->rich->subscription_count--;
    if (c->rich->home == s) c->rich->home = NULL;
    free(s->name);
    free(s);
}

static void send_joined(struct subscription *s, const struct join *j, bool recovered,
                        uint64_t replayed)
{
    struct conn *c = s->as.conn;
    const struct policy *policy = c->worker->server->options.policy;
    struct slice room = subscription_room(s);
    bool marks = may(policy, c->identity, ACTION_MARK, room, NULL) == 0;
    const struct rich_joined joined = {
        .ref = subscription_ref(s),
        .room = room,
        .head = j->head,
        .recovered = recovered,
        .replayed = replayed,
        .members = j->members,
        .right = slice_of(right_word(policy_right_in(policy, c->identity, room))),
        .read_seq = marks ? room_read_seq(s->as.member.feed->room, identity_user(c->identity)) : 0,
    };
    s->answered = true;
    c->worker->text.len = 0;
    rich_send(c, rich_encode_joined(&joined, &c->worker->text, RICH_FRAME_MAX_BYTES));
}

static struct subscription *subscription_of(const struct replay *r)
{
    return container_of(replay_member(r), struct subscription, as.member);
}

static void subscription_on_begin(struct conn *c, struct replay *r, bool recovered,
                                  uint64_t replayed)
{
    (void)c;
    send_joined(subscription_of(r), replay_join(r), recovered, replayed);
}

static void resume(struct subscription *s)
{
    if (conn_unsent(s->as.conn) == 0)
        feed_resume(&s->as.member, &s->as.conn->worker->rich_delivery);
}

static void subscription_on_end(struct conn *c, struct replay *r, uint64_t last, bool more)
{
    struct subscription *s = subscription_of(r);
    struct id next = replay_join(r)->head;
    uint64_t head = next.seq;
    next.seq = last;
    replay_free(s->replay);
    s->replay = NULL;
    if (more) {
        const struct rich_gap gap = {subscription_room(s), last + 1, head, next};
        c->worker->text.len = 0;
        rich_send(c, rich_encode_gap(&gap, &c->worker->text, RICH_FRAME_MAX_BYTES));
        if (c->state != CONN_OPEN) return;
    }
    resume(s);
}

static void subscription_on_error(struct conn *c, struct replay *r, int err)
{
    struct subscription *s = r ? subscription_of(r) : NULL;
    if (!s) return;
    if (s->answered) { /* with what did not come: so that it knows, it has to come back for it */
        websocket_close(c, err_info(err)->close_code, err_info(err)->text);
        return;
    }
    char ref[RICH_REF_MAX];
    struct slice had = subscription_ref(s);
    memcpy(ref, had.ptr, had.len);
    subscription_free(s);
    rich_refuse(c, (struct slice){ref, had.len}, err);
}

static const struct replay_owner replay_owner = {subscription_on_begin, subscription_on_end,
                                                 subscription_on_error};

bool subscription_go_on(struct subscription *s)
{
    struct conn *c = s->as.conn;
    if (s->replay) {
        replay_go_on(c, s->replay);
        return false;
    }
    if (s->as.member.feed) feed_resume(&s->as.member, &c->worker->rich_delivery);
    return c->state == CONN_OPEN && s->as.member.blocked;
}

void subscription_start(struct subscription *s, const struct join *j)
{
    struct conn *c = s->as.conn;
    s->since_ms = c->worker->wall_ms;
    if (!j->from_store) {
        send_joined(s, j, j->recovered, j->replayed);
        if (c->state == CONN_OPEN) resume(s);
        return;
    }
    s->replay = replay_new(&s->as.member, j, &replay_owner);
    if (!s->replay) {
        rich_refuse(c, subscription_ref(s), ERR_NOMEM);
        if (c->state == CONN_OPEN) subscription_free(s);
        return;
    }
    replay_go_on(c, s->replay);
}
