/* See control_log.h. What is read at the start is only what holds; the number that the next act
 * gets is asked for with the first one, since the store cannot tell it while it is failing, which
 * is no reason not to start. */
#include "server/control_log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "auth/control.h"
#include "base/clock.h"
#include "base/err.h"
#include "journal/journal.h"
#include "ops/log.h"
#include "store/store.h"

enum { PAGE_EVENTS = 1000 };

enum numbering { NUMBERING_UNKNOWN, NUMBERING_ASKED, NUMBERING_KNOWN };

struct control_log {
    struct store *store;
    struct journal *journal;
    struct control *control;
    struct log *log;

    pthread_mutex_t lock;
    enum numbering numbering;
    struct slink *waiting; /* for the numbering, the newest first */
    struct journal_room room;
    char epoch[EVENT_EPOCH_LEN];

    /* While it is read. */
    pthread_cond_t changed;
    bool answered;
    int err;
    bool more;
    uint64_t read_seq; /* up to which it was read */
    uint64_t acts;
};

static struct slice log_room(void)
{
    return SLICE_LIT(CONTROL_LOG_ROOM);
}

/* ---- reading ---- */

/* An act of a newer Parlor is passed over, which the operator is told of. 0 or ERR_NOMEM. */
static int replay(struct control_log *l, const struct store_event *e)
{
    struct act act;
    const char *why;
    int err = act_read(e->data, &act, &why);
    if (err == ERR_NOMEM) return err;
    if (err) {
        LOG(l->log, LOG_WARN, "act_unknown",
            "an act in the control log is not understood, and does not hold: is this an older "
            "Parlor than the one that wrote it?",
            LOG_U64("seq", e->seq), LOG_STR("why", why));
        return 0;
    }
    err = control_reserve(l->control, &act);
    if (!err) control_apply(l->control, &act, e->ts_ms);
    act_fini(&act);
    l->acts++;
    return err;
}

static void on_page(void *ctx, int err, const struct store_page *page)
{
    struct control_log *l = ctx;
    pthread_mutex_lock(&l->lock);
    l->more = !err && page->more_after;
    for (size_t i = 0; !err && i < page->count; i++) {
        const struct store_event *e = page->events[i];
        err = replay(l, e);
        l->read_seq = e->seq;
    }
    l->err = err == ERR_NOT_FOUND ? 0 : err;
    l->answered = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static int read_page(struct control_log *l)
{
    const struct store_query query = {.room = log_room(),
                                      .direction = STORE_AFTER,
                                      .position = l->read_seq,
                                      .limit = PAGE_EVENTS};
    l->answered = false;
    int err = store_read_page(l->store, &query, on_page, l);
    if (err) return err;
    pthread_mutex_lock(&l->lock);
    while (!l->answered)
        pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return l->err;
}

static int read_all(struct control_log *l)
{
    int err = 0;
    do {
        err = read_page(l);
    } while (!err && l->more);
    return err;
}

struct control_log *control_log_open(struct store *store, struct journal *journal,
                                     struct control *control, struct log *log)
{
    struct control_log *l = calloc(1, sizeof *l);
    int err = ERR_NOMEM;
    if (l) {
        l->store = store;
        l->journal = journal;
        l->control = control;
        l->log = log;
        pthread_mutex_init(&l->lock, NULL);
        pthread_cond_init(&l->changed, NULL);
        err = read_all(l);
    }
    if (!err) {
        if (l->acts) LOG(log, LOG_INFO, "acts_read", "acts hold again", LOG_U64("acts", l->acts));
        return l;
    }
    LOG(log, LOG_ERROR, "control_log_failed",
        "the control log cannot be read, so it is not known who is revoked; see to the database, "
        "or restore a backup",
        LOG_STR("reason", err_info(err)->text));
    control_log_free(l);
    return NULL;
}

void control_log_free(struct control_log *l)
{
    if (!l) return;
    journal_room_fini(&l->room);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* ---- writing ---- */

static int sink_prepare(struct journal_sink *sink, const struct store_event *e)
{
    (void)sink;
    (void)e;
    return 0;
}

/* Nobody is shown it before it is committed. */
static void sink_deliver(struct journal_sink *sink, const struct store_event *e)
{
    (void)sink;
    (void)e;
}

static int submit_json(struct control_log *l, struct control_request *r, const char *json)
{
    struct journal_sink sink = {sink_prepare, sink_deliver};
    /* Even where it goes back: else one act under a clock that was ahead would have all that come
     * after it revoke what is signed until then. */
    int64_t now_ms = clock_ms(CLOCK_REALTIME);
    struct submission s = {.room = log_room(),
                           .epoch = l->epoch,
                           .event = {.kind = STORE_MESSAGE,
                                     .ts_ms = now_ms,
                                     .username = SLICE_LIT("system"),
                                     .data = slice_of(json)},
                           .now_ms = now_ms,
                           .tag = r};
    return journal_submit(l->journal, &l->room, &s, &sink);
}

/* Under the lock. On success the request is the journal's, and may be gone. */
static int submit_locked(struct control_log *l, struct control_request *r)
{
    char *json = json_dumps(r->act.json, JSON_COMPACT);
    int err = json ? control_reserve(l->control, &r->act) : ERR_NOMEM;
    if (!err) {
        memcpy(r->id.epoch, l->epoch, EVENT_EPOCH_LEN);
        err = submit_json(l, r, json);
        if (err) control_give_up(l->control, &r->act);
    }
    free(json);
    return err;
}

static void make_epoch(char out[static EVENT_EPOCH_LEN])
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint8_t bytes[EVENT_EPOCH_LEN] = {0};
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) bytes[0] = 1;
    for (size_t i = 0; i < EVENT_EPOCH_LEN; i++)
        out[i] = letters[bytes[i] % (sizeof letters - 1)];
}

/* Under the lock. */
static int take_numbering(struct control_log *l, int err, const struct store_loaded *loaded)
{
    if (err == ERR_NOT_FOUND) {
        make_epoch(l->epoch);
        return 0;
    }
    if (err) return err;
    memcpy(l->epoch, loaded->room.epoch, EVENT_EPOCH_LEN);
    return journal_load(l->journal, loaded, &l->room);
}

/* The oldest first. */
static struct slink *take_waiting(struct control_log *l)
{
    struct slink *oldest = NULL;
    while (l->waiting) {
        struct slink *link = l->waiting;
        l->waiting = link->next;
        link->next = oldest;
        oldest = link;
    }
    return oldest;
}

/* Those that waited are told without the lock: they may ask for more. */
static void submit_chain(struct control_log *l, struct slink *link, int err)
{
    while (link) {
        struct control_request *r = container_of(link, struct control_request, link);
        link = link->next;
        int mine = err;
        if (!mine) {
            pthread_mutex_lock(&l->lock);
            mine = submit_locked(l, r);
            pthread_mutex_unlock(&l->lock);
        }
        if (mine) r->on_decided(r, mine);
    }
    journal_kick(l->journal);
}

/* A reader thread of the store. */
static void on_loaded(void *ctx, int err, const struct store_loaded *loaded)
{
    struct control_log *l = ctx;
    pthread_mutex_lock(&l->lock);
    err = take_numbering(l, err, loaded);
    l->numbering = err ? NUMBERING_UNKNOWN : NUMBERING_KNOWN;
    struct slink *waiting = take_waiting(l);
    pthread_mutex_unlock(&l->lock);
    submit_chain(l, waiting, err);
}

/* One that cannot be asked for now is asked for again with the next act. */
static void ask_numbering(struct control_log *l)
{
    int err = store_load_room(l->store, NULL, log_room(), on_loaded, l);
    if (err) on_loaded(l, err, NULL);
}

void control_log_submit(struct control_log *l, struct control_request *r)
{
    pthread_mutex_lock(&l->lock);
    bool known = l->numbering == NUMBERING_KNOWN;
    bool ask = l->numbering == NUMBERING_UNKNOWN;
    if (!known) {
        r->link.next = l->waiting;
        l->waiting = &r->link;
        l->numbering = NUMBERING_ASKED;
    }
    pthread_mutex_unlock(&l->lock);
    if (known) {
        r->link.next = NULL;
        submit_chain(l, &r->link, 0);
    }
    if (ask) ask_numbering(l);
}

void control_log_on_done(struct control_log *l, const struct store_done *done)
{
    struct control_request *r = done->tag;
    struct slink *nobody;
    pthread_mutex_lock(&l->lock);
    journal_settle(l->journal, &l->room, done, &nobody);
    pthread_mutex_unlock(&l->lock);
    r->id.seq = done->event->seq;
    r->ts_ms = done->event->ts_ms;
    if (done->err)
        control_give_up(l->control, &r->act);
    else
        control_apply(l->control, &r->act, r->ts_ms);
    r->on_decided(r, done->err);
}
