/* See store_queue.h. */
#include "store/store_queue.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/table.h"

/* Of one client and class, oldest first. */
struct line {
    struct list turn;
    struct slink *first;
    struct slink **end;
};

struct store_client {
    UT_hash_handle hh;
    uint64_t number;
    unsigned waiting;
    struct line lines[STORE_CLASS_COUNT];
};

void store_queue_init(struct store_queue *q)
{
    *q = (struct store_queue){.clients = NULL};
    for (int i = 0; i < STORE_CLASS_COUNT; i++)
        list_init(&q->turns[i]);
}

static enum store_class class_of(const struct read_request *r)
{
    if (r->kind == REQUEST_SEARCH) return STORE_SEARCHES;
    bool quick = r->kind == REQUEST_ROOM || (r->kind == REQUEST_PAGE && r->query.limit == 1);
    return quick ? STORE_QUICK : STORE_PAGES;
}

static struct store_client *find_client(const struct store_queue *q, uint64_t number)
{
    struct store_client *c = NULL;
    HASH_FIND(hh, q->clients, &number, sizeof number, c);
    return c;
}

static struct store_client *make(struct store_queue *q, uint64_t number)
{
    struct store_client *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->number = number;
    for (int i = 0; i < STORE_CLASS_COUNT; i++) {
        list_init(&c->lines[i].turn);
        c->lines[i].end = &c->lines[i].first;
    }
    HASH_ADD(hh, q->clients, number, sizeof number, c);
    if (c->hh.tbl) return c;
    free(c);
    return NULL;
}

int store_queue_push(struct store_queue *q, struct read_request *r)
{
    struct store_client *c = find_client(q, r->asker.client);
    bool few = !c || c->waiting < STORE_CLIENT_READS_SURE;
    if (q->waiting >= STORE_READS_MAX && !few) return ERR_BUSY;
    if (c && c->number && c->waiting >= STORE_CLIENT_READS_MAX) return ERR_BUSY;
    if (!c) c = make(q, r->asker.client);
    if (!c) return ERR_NOMEM;
    enum store_class class = class_of(r);
    struct line *line = &c->lines[class];
    if (!line->first) list_push(&q->turns[class], &line->turn);
    r->link.next = NULL;
    *line->end = &r->link;
    line->end = &r->link.next;
    c->waiting++;
    q->waiting++;
    return 0;
}

static struct line *first_line(const struct store_queue *q, enum store_class class)
{
    const struct list *turns = &q->turns[class];
    return list_empty(turns) ? NULL : container_of(turns->next, struct line, turn);
}

struct read_request *store_queue_first(const struct store_queue *q, enum store_class class)
{
    const struct line *line = first_line(q, class);
    return line ? container_of(line->first, struct read_request, link) : NULL;
}

struct read_request *store_queue_pop(struct store_queue *q, enum store_class class)
{
    struct line *line = first_line(q, class);
    CHECK(line && line->first);
    struct read_request *r = container_of(line->first, struct read_request, link);
    struct store_client *c =
        container_of(line - class, struct store_client, lines); /* the class is its index */
    line->first = r->link.next;
    list_remove(&line->turn);
    if (line->first)
        list_push(&q->turns[class], &line->turn);
    else
        line->end = &line->first;
    q->waiting--;
    for (int i = 0; i < STORE_CLASS_COUNT; i++)
        q->passed[i] = i != (int)class && !list_empty(&q->turns[i]) ? q->passed[i] + 1 : 0;
    if (--c->waiting == 0) {
        HASH_DELETE(hh, q->clients, c);
        free(c);
    }
    return r;
}
