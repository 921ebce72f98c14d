/* See roster.h. */
#include "server/roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/hub.h"
#include "server/chat_session.h"
#include "server/conn.h"
#include "server/rich_seat.h"
#include "server/rich_session.h"
#include "server/worker.h"

struct part {
    struct task task;
    struct roster *roster;
};

static void note(struct roster *r, struct member *m, unsigned encoding)
{
    char guest[CHAT_GUEST_LEN];
    bool rich = encoding_is_rich(encoding);
    const struct conn *c = rich ? NULL : container_of(m, struct conn, member);
    struct slice name = rich ? rich_session_name(m, guest) : chat_name(c, guest);
    pthread_mutex_lock(&r->lock);
    if (r->count < ROSTER_MAX) {
        struct roster_name *to = &r->names[r->count++];
        to->since_ms = rich ? container_of(m, struct seat, member)->since_ms : c->since_ms;
        to->len = (uint8_t)name.len;
        memcpy(to->text, name.ptr, name.len);
    }
    pthread_mutex_unlock(&r->lock);
}

static void run(struct worker *w, struct task *t)
{
    struct part *part = container_of(t, struct part, task);
    struct roster *r = part->roster;
    for (unsigned e = 0; e < ENCODING_COUNT; e++) {
        const struct reader *reader = room_reader(r->room, e, w->index);
        for (uint32_t i = 0; reader && i < reader->member_count && i < ROSTER_MAX; i++)
            note(r, reader->members[i], e);
    }
    free(part);
    if (atomic_fetch_sub(&r->left, 1) == 1) worker_post(r->caller, &r->done);
}

int roster_ask(struct roster *r, struct worker *caller, struct room *room)
{
    struct server *s = caller->server;
    struct part *parts[SERVER_WORKERS_MAX];
    for (unsigned i = 0; i < s->worker_count; i++) {
        parts[i] = malloc(sizeof *parts[i]);
        if (parts[i]) continue;
        while (i > 0)
            free(parts[--i]);
        return ERR_NOMEM;
    }
    r->caller = caller;
    r->room = room;
    r->count = 0;
    atomic_init(&r->left, s->worker_count);
    pthread_mutex_init(&r->lock, NULL);
    room_ref(room);
    for (unsigned i = 0; i < s->worker_count; i++) {
        *parts[i] = (struct part){.task.run = run, .roster = r};
        worker_post(&s->workers[i], &parts[i]->task);
    }
    return 0;
}

void roster_fini(struct roster *r)
{
    room_unref(r->room);
    pthread_mutex_destroy(&r->lock);
}
