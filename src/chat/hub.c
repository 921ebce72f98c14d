/* See hub.h. */
#include "chat/hub.h"
#include "chat/feed.h"
#include "chat/recent.h"
#include "chat/room_state.h"
#include "journal/journal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/table.h"

enum {
    FORGET_STEPS_MAX = 64,       /* rooms looked at by one publisher that found the budget passed */
    ANSWERS_MIN_BYTES = 8 << 20, /* they may take half of the budget, and this in any case */
    INPUT_SHARE = 4,             /* of the budget, one part may be unfinished input ... */
    INPUT_MIN_BYTES = 8 << 20,   /* ... and this in any case ... */
    INPUT_MESSAGES = 4,          /* ... and so many of the largest messages */
    CONTEXTS_SHARE = 4,          /* of the budget, one part may be contexts */
    MARKS_SHARE = 8,             /* of the budget, one part may be read markers ... */
    MARKS_MIN_BYTES = 1 << 20,   /* ... but always so much */
    MARKS_FEW = 16,              /* of a room, beyond that */
    SWEEP_ROOMS_MAX = 1024,      /* in one hub_sweep; the rest has its turn in the next */
    SWEEP_NONCES_MAX = 16384,    /* likewise */
    SWEEP_STEP = 256,            /* nonces taken out under the room's lock at once */
};

struct hub {
    struct hub_options options;
    struct store *store;
    struct journal *journal;
    atomic_uint_fast64_t recent_bytes;
    struct account held;
    struct account own;   /* of `held`: the rooms, without chunks */
    struct account marks; /* of `own`: read markers */
    struct account answers;
    struct account input;
    struct account contexts;
    pthread_mutex_t lock;
    struct room *rooms; /* uthash, by name */
    struct list warm;   /* rooms with a recent past, the least recently looked at first */
    struct room *sweep; /* where hub_sweep goes on; NULL: at the first */
    uint64_t in_use;
    uint64_t epoch; /* of the next room */
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

struct hub *hub_new(const struct hub_options *options)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub) return NULL;
    pthread_mutex_init(&hub->lock, NULL);
    list_init(&hub->warm);
    hub->options = *options;
    if (options->memory_budget_bytes == 0) hub->options.recent.max_events = 0;
    hub->answers.max = larger(options->memory_budget_bytes / 2, ANSWERS_MIN_BYTES);
    hub->input.max = larger(larger(options->memory_budget_bytes / INPUT_SHARE, INPUT_MIN_BYTES),
                            options->message_max_bytes * INPUT_MESSAGES);
    hub->contexts.max = options->memory_budget_bytes / CONTEXTS_SHARE;
    hub->marks.max = larger(options->memory_budget_bytes / MARKS_SHARE, MARKS_MIN_BYTES);
    hub->epoch = options->seed;
    return hub;
}

void hub_set_store(struct hub *hub, struct store *store, struct journal *journal)
{
    hub->store = store;
    hub->journal = journal;
}

struct store *hub_store(const struct hub *hub)
{
    return hub->store;
}

struct journal *hub_journal(const struct hub *hub)
{
    return hub->journal;
}

const struct recent_limits *hub_recent_limits(const struct hub *hub)
{
    return &hub->options.recent;
}

/* Letters and digits that are not mistaken for each other. An odd step walks through all values
 * before one returns, so within a process no epoch comes back. */
static void take_epoch_locked(struct hub *hub, char out[static EVENT_EPOCH_LEN])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    hub->epoch += 0x9e3779b97f4a7c15U;
    uint64_t bits = hub->epoch;
    for (int i = 0; i < EVENT_EPOCH_LEN; i++, bits >>= 5)
        out[i] = digits[bits & 31];
}

static uint64_t own_bytes(const struct room *room)
{
    uint64_t bytes = sizeof *room + room->name_len + journal_room_bytes(&room->order) +
                     read_markers_bytes(&room->markers);
    for (unsigned i = 0; i < ENCODING_COUNT; i++)
        if (room->logs[i])
            bytes += sizeof *room->logs[i] + recent_index_bytes(&room->logs[i]->recent);
    return bytes;
}

static uint64_t past_bytes(const struct room *room)
{
    uint64_t bytes = 0;
    for (unsigned i = ENCODING_FULL; i < ENCODING_COUNT; i++)
        if (room->logs[i]) bytes += recent_bytes(&room->logs[i]->recent, &room->logs[i]->log);
    return bytes;
}

static struct room *room_new(struct hub *hub, struct slice name)
{
    struct room *room = calloc(1, sizeof *room + name.len);
    if (!room) return NULL;
    room->hub = hub;
    room->name_len = (uint8_t)name.len;
    memcpy(room->name, name.ptr, name.len);
    take_epoch_locked(hub, room->epoch);
    pthread_mutex_init(&room->lock, NULL);
    list_init(&room->warm_link);
    room->own_bytes = own_bytes(room);
    account_add(&hub->own, room->own_bytes);
    account_add(&hub->held, room->own_bytes);
    return room;
}

struct room_log *hub_log_locked(struct room *room, unsigned encoding)
{
    struct hub *hub = room->hub;
    struct room_log *rl = room->logs[encoding];
    if (rl) return rl;
    rl = calloc(1, sizeof *rl);
    if (!rl) return NULL;
    list_init(&rl->feeds);
    frame_log_init(&rl->log, encoding_keeps(encoding) && hub->options.recent.max_events);
    rl->log.account = &hub->held;
    rl->recent.from_seq = room->head;
    room->logs[encoding] = rl;
    return rl;
}

static void log_free(struct room_log *rl)
{
    if (!rl) return;
    CHECK(list_empty(&rl->feeds) && rl->dirty_count == 0);
    frame_log_forget(&rl->log);
    recent_fini(&rl->recent);
    CHECK(!rl->log.tail);
    free(rl);
}

static void room_free(struct room *room)
{
    CHECK(!room->waits);
    for (unsigned i = 0; i < ENCODING_COUNT; i++)
        log_free(room->logs[i]);
    journal_room_fini(&room->order);
    read_markers_fini(&room->markers);
    presence_fini(&room->presence);
    free(room->typing);
    account_sub(&room->hub->marks, room->markers_bytes);
    account_sub(&room->hub->own, room->own_bytes);
    account_sub(&room->hub->held, room->own_bytes);
    pthread_mutex_destroy(&room->lock);
    free(room);
}

/* Takes it out of the table, for the caller to free. */
static void take_out_locked(struct hub *hub, struct room *room)
{
    if (hub->sweep == room) hub->sweep = room->hh.next;
    HASH_DELETE(hh, hub->rooms, room);
    list_remove(&room->warm_link);
    atomic_fetch_sub(&hub->recent_bytes, room->recent_bytes);
}

void hub_free(struct hub *hub)
{
    if (!hub) return;
    struct room *room = NULL;
    struct room *next = NULL;
    HASH_ITER(hh, hub->rooms, room, next)
    {
        CHECK(room->refs == 0);
        take_out_locked(hub, room);
        room_free(room);
    }
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

static void ref_locked(struct room *room)
{
    if (room->refs++ == 0) room->hub->in_use++;
}

static struct room *find_locked(struct hub *hub, struct slice name)
{
    struct room *room = NULL;
    HASH_FIND(hh, hub->rooms, name.ptr, name.len, room);
    if (room) ref_locked(room);
    return room;
}

static struct room *make_locked(struct hub *hub, struct slice name)
{
    struct room *room = room_new(hub, name);
    if (!room) return NULL;
    HASH_ADD_KEYPTR(hh, hub->rooms, room->name, room->name_len, room);
    if (!room->hh.tbl) {
        room_free(room);
        return NULL;
    }
    ref_locked(room);
    return room;
}

void room_ref(struct room *room)
{
    pthread_mutex_lock(&room->hub->lock);
    ref_locked(room);
    pthread_mutex_unlock(&room->hub->lock);
}

struct room *hub_find(struct hub *hub, struct slice name)
{
    pthread_mutex_lock(&hub->lock);
    struct room *room = find_locked(hub, name);
    pthread_mutex_unlock(&hub->lock);
    return room;
}

bool hub_has(struct hub *hub, struct slice name)
{
    struct room *room = NULL;
    pthread_mutex_lock(&hub->lock);
    HASH_FIND(hh, hub->rooms, name.ptr, name.len, room);
    pthread_mutex_unlock(&hub->lock);
    return room;
}

void room_unref(struct room *room)
{
    struct hub *hub = room->hub;
    pthread_mutex_lock(&hub->lock);
    bool last = --room->refs == 0;
    if (last) hub->in_use--;
    /* A room that was never loaded has to be asked for again. */
    bool drop = last && !journal_room_is_waited(&room->order) &&
                (room->recent_bytes == 0 || room->state != ROOM_READY);
    if (drop) take_out_locked(hub, room);
    pthread_mutex_unlock(&hub->lock);
    if (drop) room_free(room);
}

uint64_t hub_room_count(struct hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    uint64_t n = hub->in_use;
    pthread_mutex_unlock(&hub->lock);
    return n;
}

uint64_t hub_recent_bytes(const struct hub *hub)
{
    return atomic_load_explicit(&hub->recent_bytes, memory_order_relaxed);
}

uint64_t hub_memory_bytes(const struct hub *hub)
{
    return account_used(&hub->held) + account_used(&hub->answers) + account_used(&hub->input) +
           account_used(&hub->contexts);
}

struct account *hub_answers(struct hub *hub)
{
    return &hub->answers;
}

struct account *hub_input(struct hub *hub)
{
    return &hub->input;
}

struct account *hub_contexts(struct hub *hub)
{
    return &hub->contexts;
}

struct account *hub_held(struct hub *hub)
{
    return &hub->held;
}

static bool is_over(const struct hub *hub)
{
    return hub_memory_bytes(hub) > hub->options.memory_budget_bytes;
}

bool hub_is_pressed(const struct hub *hub)
{
    uint64_t max = hub->answers.max;
    if (account_used(&hub->answers) > max - max / 8) return true;
    uint64_t all = hub_memory_bytes(hub);
    uint64_t rest = account_used(&hub->own) + hub_recent_bytes(hub) + account_used(&hub->contexts);
    return all > 2 * max && all > rest + max / 4;
}

bool hub_input_is_pressed(const struct hub *hub)
{
    return account_used(&hub->input) > hub->input.max / 2;
}

/* ---- loading ---- */

void room_wake_all(struct slink *waits, int err)
{
    while (waits) {
        struct join *j = container_of(waits, struct join, link);
        waits = waits->next; /* before: the waiter may be gone after its call */
        j->err = err;
        j->wake(j);
    }
}

static int note_marks(struct read_markers *out, const struct store_loaded *loaded)
{
    int err = 0;
    for (size_t i = 0; i < loaded->mark_count && !err; i++)
        err = read_markers_move(out, &loaded->marks[i]);
    return err;
}

static bool is_waited_locked(const struct room *room)
{
    bool waited = false;
    for (struct slink *l = room->waits; l && !waited; l = l->next)
        waited = !atomic_load(&container_of(l, struct join, link)->gone);
    return waited;
}

bool room_is_waited(struct room *room, unsigned filling)
{
    pthread_mutex_lock(&room->lock);
    bool waited = (!filling || room->filling & filling) && is_waited_locked(room);
    pthread_mutex_unlock(&room->lock);
    return waited;
}

static bool load_is_wanted(void *room)
{
    return room_is_waited(room, 0);
}

static void on_loaded(void *ctx, int err, const struct store_loaded *loaded);

/* Asks for the room; the caller has counted it in room->loads and has a reference for it. */
static void ask_for(struct room *room, uint64_t client)
{
    const struct store_asker asker = {.client = client, .wanted = load_is_wanted};
    int err = store_load_room(room->hub->store, &asker, (struct slice){room->name, room->name_len},
                              on_loaded, room);
    if (err) on_loaded(room, err, NULL);
}

/* What the store says of a room that nobody has loaded before; the room is locked. */
static void take_loaded_locked(struct room *room, int err, const struct store_loaded *loaded,
                               struct journal_room *order, struct read_markers *marks)
{
    if (!err && loaded) {
        memcpy(room->epoch, loaded->room.epoch, EVENT_EPOCH_LEN);
        room->trimmed_seq = loaded->room.trimmed_seq;
        room->order = *order; /* which has neither before it is READY */
        room->markers = *marks;
        *order = (struct journal_room){0};
        *marks = (struct read_markers){0};
    }
    room->head = room->order.seq; /* there are no logs yet */
    room->state = err ? ROOM_COLD : ROOM_READY;
    hub_account_locked(room);
}

/* Of several answers the first good one counts, and of bad ones the last: those before it may be
 * about their asker alone. */
static void on_loaded(void *ctx, int err, const struct store_loaded *loaded)
{
    struct room *room = ctx;
    struct journal_room order = {0};
    struct read_markers marks = {0};
    struct slink *waits = NULL;
    if (err == ERR_NOT_FOUND) err = 0; /* nobody has spoken yet: the new epoch stands */
    /* Without the lock: of a busy room there are a million, and a worker may want to enter. */
    if (loaded) err = journal_load(room->hub->journal, loaded, &order);
    if (loaded && !err) err = note_marks(&marks, loaded);
    pthread_mutex_lock(&room->lock);
    bool last = --room->loads == 0;
    /* From before what was said meanwhile: of no use. */
    if (!err && room->loading_seq > (loaded ? loaded->room.last_seq : 0)) err = ERR_CLOSED;
    bool counts = room->state == ROOM_LOADING && (!err || last);
    /* Somebody has come since it was found that nobody wanted it, or wants it as it is now. */
    bool again = counts && err == ERR_CLOSED && is_waited_locked(room);
    uint64_t client = room->load_client;
    if (again) {
        room->loads++;
        room->loading_seq = 0;
    }
    if (counts && !again) {
        take_loaded_locked(room, err, loaded, &order, &marks);
        waits = room->waits;
        room->waits = NULL;
    }
    pthread_mutex_unlock(&room->lock);
    journal_room_fini(&order);
    read_markers_fini(&marks);
    if (again) {
        ask_for(room, client);
        return;
    }
    room_wake_all(waits, err);
    room_unref(room);
}

/* Whether j->room is ready; else j waits in it, and *ask is set if the store has to be asked. So it
 * is once for each client that comes in a row: what one has waiting is not for others to wait for.
 */
static bool wait_for_load(struct join *j, bool *ask)
{
    struct room *room = j->room;
    pthread_mutex_lock(&room->lock);
    bool ready = room->state == ROOM_READY;
    *ask = room->state == ROOM_COLD || (!ready && room->load_client != j->client);
    if (room->state == ROOM_COLD) room->loading_seq = 0;
    if (!ready) {
        j->link.next = room->waits;
        room->waits = &j->link;
        room->state = ROOM_LOADING;
    }
    if (*ask) {
        room->load_client = j->client;
        room->loads++;
    }
    pthread_mutex_unlock(&room->lock);
    return ready;
}

int hub_enter(struct hub *hub, struct slice name, struct join *j)
{
    CHECK(name.len > 0 && name.len <= UINT8_MAX);
    pthread_mutex_lock(&hub->lock);
    struct room *room = find_locked(hub, name);
    if (!room) room = make_locked(hub, name);
    if (room) room->refs++; /* for the load, if there has to be one */
    pthread_mutex_unlock(&hub->lock);
    if (!room) return ERR_NOMEM;

    j->room = room;
    j->err = 0;
    uint64_t client = j->client; /* j may be woken, and gone, as soon as it waits */
    bool ask;
    bool ready = wait_for_load(j, &ask);
    if (ask)
        ask_for(room, client);
    else
        room_unref(room);
    return ready ? 0 : ERR_AGAIN;
}

/* ---- memory ---- */

void hub_note_use(struct room *room)
{
    if (!atomic_load_explicit(&room->used, memory_order_relaxed))
        atomic_store_explicit(&room->used, true, memory_order_relaxed);
}

/* A room that people are in stays, with its read markers: beyond the share of these it keeps those
 * that were moved last. The store has the others, for when the room is loaded again. */
static void account_markers_locked(struct room *room)
{
    struct account *all = &room->hub->marks;
    size_t bytes = read_markers_bytes(&room->markers);
    if (bytes == room->markers_bytes) return;
    if (bytes > room->markers_bytes && account_used(all) + bytes - room->markers_bytes > all->max) {
        read_markers_shrink(&room->markers, MARKS_FEW);
        bytes = read_markers_bytes(&room->markers);
    }
    account_change(all, room->markers_bytes, bytes);
    room->markers_bytes = bytes;
}

bool hub_account_locked(struct room *room)
{
    struct hub *hub = room->hub;
    account_markers_locked(room);
    uint64_t past = past_bytes(room);
    uint64_t own = own_bytes(room);
    if (past == room->recent_bytes && own == room->own_bytes) return false;
    atomic_fetch_add(&hub->recent_bytes, past - room->recent_bytes);
    account_change(&hub->own, room->own_bytes, own);
    account_change(&hub->held, room->own_bytes, own);
    bool grown = past > room->recent_bytes || own > room->own_bytes;
    bool cold = room->recent_bytes == 0 && past > 0;
    room->recent_bytes = past;
    room->own_bytes = own;
    return grown && (cold || is_over(hub));
}

void room_forget_locked(struct room *room)
{
    for (unsigned i = ENCODING_FULL; i < ENCODING_COUNT; i++)
        if (room->logs[i]) recent_forget(&room->logs[i]->recent, &room->logs[i]->log, room->head);
    hub_account_locked(room);
}

/* Second chance: a room that was used since the last look goes to the end of the list. What is
 * forgotten is not always free at once: who is behind, or has yet to be sent what was just said,
 * may hold it. */
static void forget_some_locked(struct hub *hub, struct list *freed)
{
    uint64_t goal = hub->options.memory_budget_bytes - hub->options.memory_budget_bytes / 8;
    uint64_t used = hub_memory_bytes(hub);
    uint64_t forgotten = 0;
    for (int i = 0; i < FORGET_STEPS_MAX && used > goal && forgotten < used - goal; i++) {
        if (list_empty(&hub->warm)) return;
        struct room *room = container_of(hub->warm.next, struct room, warm_link);
        list_remove(&room->warm_link);
        if (atomic_exchange(&room->used, false)) {
            list_push(&hub->warm, &room->warm_link);
            continue;
        }
        pthread_mutex_lock(&room->lock);
        forgotten += room->recent_bytes;
        room_forget_locked(room);
        pthread_mutex_unlock(&room->lock);
        if (room->refs > 0 || journal_room_is_waited(&room->order)) continue;
        forgotten += room->own_bytes;
        take_out_locked(hub, room);
        list_push(freed, &room->warm_link);
    }
}

static void free_rooms(struct list *freed)
{
    while (!list_empty(freed)) {
        struct room *gone = container_of(freed->next, struct room, warm_link);
        list_remove(&gone->warm_link);
        room_free(gone);
    }
}

void hub_balance(struct room *room)
{
    struct hub *hub = room->hub;
    struct list freed;
    list_init(&freed);
    pthread_mutex_lock(&hub->lock);
    if (list_empty(&room->warm_link)) list_push(&hub->warm, &room->warm_link);
    if (is_over(hub)) forget_some_locked(hub, &freed);
    pthread_mutex_unlock(&hub->lock);
    free_rooms(&freed);
}

void hub_relieve(struct hub *hub)
{
    struct list freed;
    list_init(&freed);
    if (!is_over(hub)) return;
    pthread_mutex_lock(&hub->lock);
    forget_some_locked(hub, &freed);
    pthread_mutex_unlock(&hub->lock);
    free_rooms(&freed);
}

/* ---- what time takes away ---- */

/* The room at which hub_sweep is, with a reference; NULL at the end. */
static struct room *sweep_at(struct hub *hub, bool first)
{
    pthread_mutex_lock(&hub->lock);
    if (first && !hub->sweep) hub->sweep = hub->rooms;
    struct room *room = hub->sweep;
    if (room) ref_locked(room);
    pthread_mutex_unlock(&hub->lock);
    return room;
}

static void sweep_on(struct hub *hub, struct room *room)
{
    pthread_mutex_lock(&hub->lock);
    if (hub->sweep == room) hub->sweep = room->hh.next;
    pthread_mutex_unlock(&hub->lock);
}

/* Takes out at most SWEEP_STEP nonces; returns how many. */
static size_t sweep_room(struct room *room, int64_t now_ms)
{
    const struct recent_limits *limits = hub_recent_limits(room->hub);
    pthread_mutex_lock(&room->lock);
    size_t n = journal_room_expire(&room->order, now_ms, SWEEP_STEP);
    for (unsigned i = ENCODING_FULL; i < ENCODING_COUNT; i++)
        if (room->logs[i])
            (void)recent_expire(&room->logs[i]->recent, &room->logs[i]->log, now_ms, limits);
    hub_account_locked(room);
    pthread_mutex_unlock(&room->lock);
    return n;
}

void hub_sweep(struct hub *hub, int64_t now_ms)
{
    size_t nonces = 0;
    for (int i = 0; i < SWEEP_ROOMS_MAX && nonces < SWEEP_NONCES_MAX; i++) {
        struct room *room = sweep_at(hub, i == 0);
        if (!room) return;
        size_t n = sweep_room(room, now_ms);
        nonces += n;
        if (n < SWEEP_STEP) sweep_on(hub, room);
        room_unref(room);
    }
}

void hub_feed_free(struct feed *r)
{
    struct room *room = r->room;
    free(r->members);
    free(r);
    room_unref(room);
}

/* ---- the same as a check ---- */

#ifdef PARLOR_DEBUG
/* Detached feeds are in dirty_count, and in no list. */
static void log_check(const struct room *room, unsigned encoding)
{
    const struct room_log *rl = room->logs[encoding];
    unsigned dirty = 0;
    for (const struct list *l = rl->feeds.next; l != &rl->feeds; l = l->next)
        dirty += container_of(l, const struct feed, link)->dirty;
    CHECK(dirty <= rl->dirty_count);
    CHECK(rl->recent.from_seq <= room->head);
    CHECK(list_empty(&rl->feeds) == !(room->encodings & 1 << encoding));
}

void room_check_locked(const struct room *room)
{
    CHECK(room->state == ROOM_READY || !room->encodings);
    CHECK(room->state != ROOM_LOADING || room->loads > 0);
    for (unsigned i = 0; i < ENCODING_COUNT; i++) {
        CHECK(!(room->filling & 1 << i) || (room->logs[i] && room->fills[i] > 0));
        CHECK(room->logs[i] || !(room->encodings & 1 << i));
        if (room->logs[i]) log_check(room, i);
    }
}
#endif

void hub_check(struct hub *hub, bool alone)
{
    uint64_t past = 0;
    uint64_t held = 0;
    uint64_t own = 0;
    pthread_mutex_lock(&hub->lock);
    for (struct room *room = hub->rooms; room; room = room->hh.next) {
        pthread_mutex_lock(&room->lock);
        room_check_locked(room);
        CHECK(room->own_bytes == own_bytes(room));
        CHECK(room->recent_bytes == past_bytes(room));
        CHECK(room->recent_bytes == 0 || !list_empty(&room->warm_link));
        past += room->recent_bytes;
        held += room->own_bytes;
        own += room->own_bytes;
        for (unsigned i = 0; i < ENCODING_COUNT; i++)
            if (room->logs[i]) held += frame_log_bytes(&room->logs[i]->log);
        pthread_mutex_unlock(&room->lock);
    }
    CHECK(past == hub_recent_bytes(hub) && own == account_used(&hub->own));
    CHECK(alone ? held == account_used(&hub->held) : held <= account_used(&hub->held));
    pthread_mutex_unlock(&hub->lock);
}
