/* The reader threads: answer questions, each when the appends queued before it are decided, a
 * search also when they are indexed or its patience ends. See store_core.h. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/store_core.h"

enum { MEMORY_LOOK_US = 10000 };

/* A question that cannot be answered is told of, whoever asked. */
static void note(struct store *s, unsigned reader, const struct read_request *r, int err)
{
    static const char *const what[] = {[REQUEST_ROOM] = "a room",
                                       [REQUEST_PAGE] = "a page",
                                       [REQUEST_SEARCH] = "a search",
                                       [REQUEST_ROOMS] = "the list of rooms"};
    struct store_trouble t = {.what = what[r->kind], .room = r->query.room};
    const struct store_backend_ops *ops = s->backend->ops;
    if ((err && err != ERR_STORE_READ) || !ops->trouble)
        return; /* 0: it may have passed over some */
    if (ops->trouble(s->backend, reader, &t)) store_note_trouble(s, &t, true);
}

static int answer_page(struct store *s, unsigned reader, const struct read_request *r)
{
    const struct store_backend_ops *ops = s->backend->ops;
    struct store_answer answer = {.count = 0};
    int err;
    if (r->kind == REQUEST_SEARCH) {
        struct store_search q = {r->query.room, r->text, r->query.position, r->query.limit};
        err = ops->search(s->backend, reader, &q, &answer);
    } else {
        err = ops->page(s->backend, reader, &r->query, &answer);
    }
    note(s, reader, r, err);
    if (err) {
        r->on_page(r->ctx, err, NULL);
    } else {
        const struct store_event *events[STORE_PAGE_MAX];
        for (size_t i = 0; i < answer.count; i++)
            events[i] = &answer.records[i]->event;
        struct store_page page = {answer.room,       events,      answer.count, answer.more_before,
                                  answer.more_after, answer.total};
        r->on_page(r->ctx, 0, &page);
    }
    store_answer_fini(&answer);
    return err;
}

/* Nonces from then on are told of. */
static int64_t nonces_since_ms(struct store *s)
{
    const struct store_options *o = &s->options;
    pthread_mutex_lock(&s->lock);
    (void)guarded_clock_tick(&s->nonce_clock, o->now_ms(), o->elapsed_ms(), o->nonce_ms);
    int64_t since_ms = s->nonce_clock.believed_ms - (int64_t)o->nonce_ms;
    pthread_mutex_unlock(&s->lock);
    return since_ms;
}

static int answer_room(struct store *s, unsigned reader, const struct read_request *r)
{
    struct store_load load = {0};
    int err = ERR_STORE;
    if (atomic_load(&s->healthy)) {
        int64_t since_ms = nonces_since_ms(s);
        err = s->backend->ops->load(s->backend, reader, r->query.room, since_ms, &load);
    }
    note(s, reader, r, err);
    uint64_t max_rooms = s->options.limits.max_rooms;
    bool limited = max_rooms && !store_is_own(r->query.room);
    if (err == ERR_NOT_FOUND && limited && atomic_load(&s->backend->rooms) >= max_rooms) {
        err = ERR_ROOMS_FULL;
        store_tell(s, STORE_ROOMS_FULL, max_rooms);
    }
    store_nonces_sort(&load.nonces);
    struct store_loaded loaded = {load.room, load.nonces.list, load.nonces.count, load.marks.list,
                                  load.marks.count};
    r->on_room(r->ctx, err, err ? NULL : &loaded);
    store_nonces_fini(&load.nonces);
    store_marks_fini(&load.marks);
    return err;
}

static int answer_rooms(struct store *s, unsigned reader, const struct read_request *r)
{
    struct store_room_list list;
    list.count = 0;
    list.more = false;
    list.names = (struct store_arena){NULL, NULL, 0};
    int err = s->backend->ops->list(s->backend, reader, r->query.room, r->query.limit, &list);
    note(s, reader, r, err);
    struct store_rooms rooms = {list.rooms, list.count, list.more};
    r->on_rooms(r->ctx, err, err ? NULL : &rooms);
    store_arena_fini(&list.names);
    return err;
}

/* Its turn has come: what it needs is taken, also where the store is closing and there is no more.
 */
static struct read_request *pop_locked(struct store *s, enum store_class class)
{
    struct read_request *r = store_queue_pop(&s->reads, class);
    if (r->asker.account) account_add(r->asker.account, r->asker.bytes);
    s->stats.reads++;
    return r;
}

static bool has_memory(const struct store *s, const struct read_request *r, int64_t *wait_us)
{
    const struct account *account = r->asker.account;
    if (!account || s->closing || account_may(account, r->asker.bytes)) return true;
    *wait_us = clock_us(CLOCK_MONOTONIC) + MEMORY_LOOK_US;
    return false;
}

/* True if the oldest search may start. One reader is left for pages where there is more than one.
 */
static bool may_search_locked(const struct store *s, int64_t *wait_us)
{
    unsigned most = s->options.readers > 1 ? s->options.readers - 1 : 1;
    const struct read_request *r = store_queue_first(&s->reads, STORE_SEARCHES);
    if (!r || s->searching >= most || !has_memory(s, r, wait_us)) return false;
    bool indexed = !s->backend->ops->index || s->indexed > r->after;
    bool hopeless = s->closing || !atomic_load(&s->healthy);
    if (indexed || hopeless || clock_us(CLOCK_MONOTONIC) >= r->patience_us) return true;
    if (!*wait_us || r->patience_us < *wait_us) *wait_us = r->patience_us;
    return false;
}

/* Whether a request may start, and of which class: quick ones before the others, until these were
 * passed over too often; searches and pages in turn. What waits for memory is looked at again at
 * *wait_us; nobody tells a reader when there is some. */
static bool choose_locked(const struct store *s, enum store_class *class, int64_t *wait_us)
{
    const struct store_queue *q = &s->reads;
    const struct read_request *page = store_queue_first(q, STORE_PAGES);
    bool quick = store_queue_first(q, STORE_QUICK);
    bool pages = page && has_memory(s, page, wait_us);
    bool search = may_search_locked(s, wait_us);
    if (search && pages) search = q->passed[STORE_SEARCHES] >= q->passed[STORE_PAGES];
    *class = search ? STORE_SEARCHES : STORE_PAGES;
    bool overdue = (search || pages) && q->passed[*class] >= STORE_QUICK_ROW_MAX;
    if (quick && !overdue) *class = STORE_QUICK;
    return quick || search || pages;
}

/* The next request whose appends are decided; NULL at the end. */
static struct read_request *take_request(struct store *s)
{
    struct read_request *r = NULL;
    pthread_mutex_lock(&s->lock);
    while (!r) {
        int64_t wait_us = 0;
        enum store_class class;
        if (choose_locked(s, &class, &wait_us)) {
            r = pop_locked(s, class);
            s->searching += class == STORE_SEARCHES;
        } else if (s->closing && s->reads.waiting == 0) {
            break;
        } else if (wait_us) {
            store_wait_locked(s, &s->requests, wait_us);
        } else {
            pthread_cond_wait(&s->requests, &s->lock);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Whoever asked may be gone: then nothing is read for it. */
static bool drop_unwanted(const struct read_request *r)
{
    if (!r->asker.wanted || r->asker.wanted(r->ctx)) return false;
    if (r->asker.account) account_sub(r->asker.account, r->asker.bytes);
    if (r->on_room) r->on_room(r->ctx, ERR_CLOSED, NULL);
    if (r->on_page) r->on_page(r->ctx, ERR_CLOSED, NULL);
    if (r->on_rooms) r->on_rooms(r->ctx, ERR_CLOSED, NULL);
    return true;
}

static void await_appends(struct store *s, const struct read_request *r)
{
    pthread_mutex_lock(&s->lock);
    while (s->completed < r->after)
        pthread_cond_wait(&s->progress, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void end_search(struct store *s, int err)
{
    pthread_mutex_lock(&s->lock);
    s->searching--;
    if (err == ERR_STORE_READ && s->backend->ops->index) {
        s->search_failed = true;
        pthread_cond_signal(&s->work);
    }
    pthread_cond_broadcast(&s->requests); /* somebody may have waited for its end */
    pthread_mutex_unlock(&s->lock);
}

static int answer(struct store *s, unsigned reader, const struct read_request *r)
{
    switch (r->kind) {
    case REQUEST_ROOM:
        return answer_room(s, reader, r);
    case REQUEST_PAGE:
    case REQUEST_SEARCH:
        return answer_page(s, reader, r);
    case REQUEST_ROOMS:
        return answer_rooms(s, reader, r);
    }
    return 0;
}

void *store_reader_main(void *arg)
{
    struct reader_thread *me = arg;
    struct store *s = me->store;
    struct read_request *r;
    while ((r = take_request(s))) {
        int err = 0;
        if (!drop_unwanted(r)) {
            await_appends(s, r);
            err = answer(s, me->index, r);
        }
        if (r->kind == REQUEST_SEARCH) end_search(s, err);
        free(r);
    }
    return NULL;
}
