/* See pending.h. */
#include "server/pending.h"

#include "base/account.h"
#include "base/err.h"
#include "chat/hub.h"
#include "server/client.h"

static void pending_run(struct worker *w, struct task *t)
{
    (void)w;
    struct pending *p = container_of(t, struct pending, task);
    p->on_answer(conn_find(&p->conn), p);
}

void pending_init(struct pending *p, const struct conn *c, struct room *room,
                  void (*on_answer)(struct conn *c, struct pending *p))
{
    *p = (struct pending){
        .task.run = pending_run, .conn = conn_ref(c), .room = room, .on_answer = on_answer};
    if (room) room_ref(room);
}

/* The store's threads. */
static bool is_wanted(void *ctx)
{
    const struct pending *p = ctx;
    return !atomic_load(&p->gone);
}

struct store_asker pending_asker(struct pending *p, const struct conn *c, struct account *account,
                                 uint32_t bytes)
{
    p->account = account;
    p->bytes = bytes;
    return (struct store_asker){client_id(c), bytes, account, is_wanted};
}

void pending_answer(struct pending *p, int err)
{
    if (err == ERR_CLOSED) p->account = NULL; /* nothing was taken of it */
    p->err = err;
    worker_post(p->conn.worker, &p->task);
}

void pending_fini(struct pending *p)
{
    if (p->account) account_sub(p->account, p->bytes);
    if (p->room) room_unref(p->room);
}

void pending_undo(struct pending *p)
{
    p->account = NULL;
    pending_fini(p);
}
