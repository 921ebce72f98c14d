/* See occupants.h. The occupants of a room are a task three times: on its worker at the end of the
 * turn, as its parts on all workers at once, and on its worker again. */
#include "session/occupants.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "auth/claims.h"
#include "base/account.h"
#include "base/err.h"
#include "base/table.h"
#include "chat/hub.h"
#include "server/session.h"
#include "server/task.h"
#include "server/worker.h"

struct part {
    struct task task;
    struct occupants *occupants;
};

struct name {
    int64_t since_ms; /* 1970 */
    uint8_t len;
    uint8_t user_len;
    char text[NAME_USER_MAX];
    char user[CLAIMS_USER_MAX];
};

static_assert(OCCUPANTS_MAX * (2 * NAME_USER_MAX + 2 * CLAIMS_USER_MAX + 64) <= OCCUPANTS_MAX_BYTES,
              "with all characters escaped");

struct occupants {
    UT_hash_handle hh; /* in its worker's table, by room, until its turn is over */
    struct room *room; /* a reference */
    struct task task;
    struct worker *worker;
    struct list waits;
    atomic_uint left; /* workers that have not answered */
    pthread_mutex_t lock;
    unsigned count;
    unsigned cap;
    struct name *names;
    struct part parts[];
};

/* ---- on all workers ---- */

static void occupants_note(struct occupants *r, struct member *m, const struct session_ops *session)
{
    struct session_member member;
    session->describe(m, &member);
    pthread_mutex_lock(&r->lock);
    if (r->count < r->cap) {
        struct name *to = &r->names[r->count++];
        to->since_ms = member.since_ms;
        to->len = (uint8_t)member.name.len;
        memcpy(to->text, member.name.ptr, member.name.len);
        to->user_len = (uint8_t)member.user.len;
        if (member.user.len) memcpy(to->user, member.user.ptr, member.user.len);
    }
    pthread_mutex_unlock(&r->lock);
}

static void run_part(struct worker *w, struct task *t)
{
    struct occupants *r = container_of(t, struct part, task)->occupants;
    const struct server_options *o = &w->server->options;
    for (unsigned e = 0; e < ENCODING_COUNT; e++) {
        const struct feed *feed = room_feed(r->room, e, w->index);
        for (uint32_t i = 0; feed && i < feed->member_count && i < OCCUPANTS_MAX; i++)
            occupants_note(r, feed->members[i], encoding_is_rich(e) ? o->rich : o->bare);
    }
    if (atomic_fetch_sub(&r->left, 1) == 1) worker_post(r->worker, &r->task);
}

/* ---- on the worker that asks ---- */

static void tell_all(struct occupants *r, int err, const struct occupants_answer *answer)
{
    while (!list_empty(&r->waits)) {
        struct occupants_wait *wait = container_of(r->waits.next, struct occupants_wait, link);
        list_remove(&wait->link);
        wait->done(wait, err, answer);
    }
}

static void occupants_conclude(struct occupants *r)
{
    struct rich_member list[OCCUPANTS_MAX];
    for (unsigned i = 0; i < r->count; i++)
        list[i] = (struct rich_member){.username = {r->names[i].text, r->names[i].len},
                                       .user = {r->names[i].user, r->names[i].user_len},
                                       .since_ms = r->names[i].since_ms};
    const struct rich_members members = {
        .room = room_name(r->room),
        .count = room_member_count(r->room),
        .members = list,
        .member_count = r->count,
    };
    struct buf json = {0};
    int err = rich_end_members(&members, &json, OCCUPANTS_MAX_BYTES);
    const struct occupants_answer a = {&members, {(const char *)json.data, json.len}};
    tell_all(r, err, &a);
    buf_fini(&json);
}

static void occupants_free(struct occupants *r)
{
    account_sub(hub_answers(r->worker->server->hub), r->cap * sizeof *r->names);
    free(r->names);
    pthread_mutex_destroy(&r->lock);
    room_unref(r->room);
    free(r);
}

static void run_done(struct worker *w, struct task *t)
{
    (void)w;
    struct occupants *r = container_of(t, struct occupants, task);
    occupants_conclude(r);
    occupants_free(r);
}

/* The turn is over: nobody joins those who ask any more. */
static void run_ask(struct worker *w, struct task *t)
{
    struct occupants *r = container_of(t, struct occupants, task);
    struct server *s = w->server;
    HASH_DEL(w->occupants, r);
    uint32_t members = room_member_count(r->room);
    unsigned cap = members < OCCUPANTS_MAX ? members : OCCUPANTS_MAX;
    r->names = calloc(cap ? cap : 1, sizeof *r->names);
    if (!r->names) {
        tell_all(r, ERR_NOMEM, NULL);
        occupants_free(r);
        return;
    }
    r->cap = cap;
    account_add(hub_answers(s->hub), cap * sizeof *r->names);
    r->task.run = run_done;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post(&s->workers[i], &r->parts[i].task);
}

static struct occupants *occupants_begin(struct worker *w, struct room *room)
{
    unsigned workers = w->server->worker_count;
    struct occupants *r = calloc(1, sizeof *r + workers * sizeof r->parts[0]);
    if (!r) return NULL;
    r->room = room;
    HASH_ADD_PTR(w->occupants, room, r);
    if (!r->hh.tbl) {
        free(r);
        return NULL;
    }
    room_ref(room);
    r->worker = w;
    list_init(&r->waits);
    atomic_init(&r->left, workers);
    pthread_mutex_init(&r->lock, NULL);
    for (unsigned i = 0; i < workers; i++)
        r->parts[i] = (struct part){.task.run = run_part, .occupants = r};
    r->task.run = run_ask;
    worker_post(w, &r->task);
    return r;
}

int occupants_ask(struct worker *w, struct room *room, struct occupants_wait *wait)
{
    struct occupants *r;
    HASH_FIND_PTR(w->occupants, &room, r);
    if (!r) r = occupants_begin(w, room);
    if (!r) return ERR_NOMEM;
    list_push(&r->waits, &wait->link);
    return 0;
}
