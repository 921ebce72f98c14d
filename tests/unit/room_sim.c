/* See room_sim.h: what clients say, the store's part, and the steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/encoder.h"
#include "chat/feed.h"
#include "chat/room.h"
#include "chat/room_state.h"
#include "fail_alloc.h"
#include "proto/ws_deflate.h"
#include "room_sim_core.h"

enum { WALL_MS = 1000000, DRAIN_MAX = 100000 };

/* A message that was sent again before the first of it was decided. */
struct retry {
    struct slink link;
    uint64_t seq;
};

/* ---- talking ---- */

/* A message of the room to change, or 0. */
static uint64_t choose_target(const struct sock *s)
{
    const struct model_room *r = &sim->model.rooms[s->room];
    if (r->count == 0) return 0;
    size_t window = sim_rnd(2) && r->count > 10 ? 10 : r->count;
    const struct model_event *e = &r->events[r->count - 1 - sim_rnd(window)];
    bool fit = e->kind == STORE_MESSAGE && !e->deleted && e->state != MODEL_LOST;
    return fit ? e->seq : 0;
}

static void choose_kind(const struct sock *s, struct store_event *e)
{
    static const enum store_kind kinds[] = {STORE_EDIT, STORE_EDIT, STORE_DELETE, STORE_REACT,
                                            STORE_UNREACT};
    if (sim_rnd(sim->change_every) > 0) return;
    e->target = choose_target(s);
    if (e->target) e->kind = kinds[sim_rnd(sizeof kinds / sizeof *kinds)];
}

/* Publishes, with everything that must be so whether it works or not. */
static int publish(struct sock *s, struct submission *p, uint64_t label)
{
    struct room *room = sim_room_of(s);
    struct slink *woken;
    uint64_t ends[ENCODING_COUNT];
    uint64_t seq = room->order.seq;
    for (int i = 0; i < ENCODING_COUNT; i++)
        ends[i] = room->logs[i] ? room->logs[i]->log.end : 0;
    bool healthy = store_healthy(sim->gate.store);
    p->now_ms = p->event.ts_ms;
    sim_maybe_fail(30);
    int err = room_submit(room, &sim->encoder, p, &woken);
    fail_alloc_off();
    if (err || p->dup) {
        assert_null(woken);
        assert_int_equal(room->order.seq, seq);
        for (int i = 0; i < ENCODING_COUNT; i++)
            assert_int_equal(room->logs[i] ? room->logs[i]->log.end : 0, ends[i]);
        if (err) assert_true(err == ERR_NOMEM || err == ERR_STORE);
        if (!healthy && !p->dup) sim->counts->refused++;
        return err;
    }
    assert_true(healthy);
    assert_true(p->event.seq > seq && p->event.seq == room->order.seq);
    model_epoch(&sim->model, s->room, room->epoch);
    model_add(&sim->model, s->room, &p->event, label);
    gate_appended(&sim->gate); /* may decide it at once */
    sim_push_woken(woken);
    sim->counts->published++;
    return 0;
}

static void say(struct sock *s)
{
    static char text[MODEL_TEXT_MAX];
    char name[8];
    size_t len;
    struct submission p = {
        .event = {.ts_ms = sim_read_wall(), .username = sim_name_of_sock(s, name)}};
    choose_kind(s, &p.event);
    uint64_t label = model_label(&sim->model, text, &len);
    if (p.event.kind != STORE_DELETE) p.event.message = (struct slice){text, len};
    bool nonce = p.event.kind == STORE_MESSAGE && sim_rnd(3) == 0;
    if (nonce) {
        int n = snprintf(s->nonce, sizeof s->nonce, "n%llu", (unsigned long long)label);
        p.event.nonce = (struct slice){s->nonce, (size_t)n};
        s->nonce_label = label;
    }
    p.tag = sim;
    int err = publish(s, &p, label);
    assert_false(p.dup);
    if (nonce && err) s->nonce[0] = '\0';
}

/* Sends the last message with a nonce again. It is posted again only if the first was lost. */
static void say_again(struct sock *s)
{
    static char text[MODEL_TEXT_MAX];
    char name[8];
    size_t len;
    if (!s->nonce[0]) return;
    const struct model_place first = sim->model.places[s->nonce_label];
    if (first.room != s->room) return;
    const struct model_event *e = model_find(&sim->model, first.room, first.seq);
    bool kept = e && e->label == s->nonce_label && e->state != MODEL_LOST;
    struct submission p = {.event = {.ts_ms = sim_read_wall(),
                                     .username = sim_name_of_sock(s, name),
                                     .nonce = {s->nonce, strlen(s->nonce)}},
                           .tag = sim};
    uint64_t label = model_label(&sim->model, text, &len);
    p.event.message = (struct slice){text, len};
    struct retry *retry = calloc(1, sizeof *retry);
    assert_non_null(retry);
    p.waiter = &retry->link;
    int err = publish(s, &p, label);
    if (kept && !sim->retention) assert_true(err || p.dup);
    if (p.dup) {
        retry->seq = p.event.seq;
        sim->counts->dups++;
        if (kept) assert_int_equal(p.event.seq, first.seq);
    } else if (!err) {
        s->nonce_label = label;
    }
    sim->retries += p.waiting;
    sim->counts->waited += p.waiting;
    if (!p.waiting) free(retry);
}

/* ---- the store ---- */

static void on_batch(void *ctx, const struct store_done *done, size_t count)
{
    struct sim *s = ctx;
    for (size_t i = 0; i < count; i++) {
        assert_true(done[i].err == 0 || done[i].err == ERR_STORE);
        assert_ptr_equal(done[i].tag, s);
        model_decide(&s->model, done[i].room, done[i].event->seq, done[i].err);
    }
    s->counts->failed_batches += done[0].err != 0;
}

/* Brings one decision to its room, as the server does on the store's thread. */
static bool run_done(void)
{
    struct slink *woken;
    struct slink *waiters;
    const struct store_done *d = gate_next_done(&sim->gate);
    if (!d) return false;
    if (d->err) model_refuse(&sim->model, d->room, d->event->seq);
    if (!d->err && !sim->model.strict && !d->event->nonce.len) return true;
    struct room *room = hub_find(sim->hub, d->room);
    if (!room) return true;
    sim_maybe_fail(20);
    room_deliver(room, &sim->writer_encoder, d, &woken, &waiters);
    fail_alloc_off();
    sim_push_woken(woken);
    while (waiters) {
        struct retry *r = container_of(waiters, struct retry, link);
        waiters = waiters->next;
        assert_int_equal(r->seq, d->event->seq);
        sim->retries--;
        free(r);
    }
    room_unref(room);
    return true;
}

/* One decision, or the next batch; some batches fail. */
static bool run_writer(void)
{
    if (run_done()) return true;
    bool batch = sim->gate.accepted > sim->gate.decided;
    if (batch && !sim->calm && sim_rnd(12) == 0) fail_alloc_after((long)sim_rnd(4));
    bool turned = gate_turn_writer(&sim->gate);
    fail_alloc_off();
    return turned;
}

/* Answers some questions; memory may be short while it is done. */
static void run_answers(void)
{
    for (uint64_t n = 1 + sim_rnd(6); n > 0; n--) {
        if (sim_rnd(60) == 0) fail_alloc_after((long)sim_rnd(12));
        bool answered = gate_answer(&sim->gate);
        fail_alloc_off();
        if (!answered) return;
    }
}

/* ---- the simulation ---- */

/* A frame of the connection's own: it has to be able to start at once, on a frame boundary. */
static void private_frame(struct sock *s)
{
    struct buf rest = {0};
    feed_block(&s->member);
    s->stalled = true;
    assert_int_equal(feed_take_frame_rest(&s->member, &rest, SIZE_MAX), 0);
    if (rest.len) sim_receive(s, rest.data, rest.len);
    assert_int_equal(s->got.len, 0);
    buf_fini(&rest);
}

static void check_hub(void)
{
    uint64_t members[MODEL_ROOMS] = {0};
    uint64_t bytes = 0;
    for (int i = 0; i < SIM_SOCKETS; i++)
        members[sim->socks[i].room] += sim->socks[i].state == SOCK_IN;
    for (unsigned i = 0; i < MODEL_ROOMS; i++) {
        struct room *room = hub_find(sim->hub, sim_name_of_room(i));
        if (!room) {
            assert_int_equal(members[i], 0);
            continue;
        }
        assert_int_equal(room_member_count(room), members[i]);
        bytes += room->recent_bytes;
        for (unsigned e = 0; e < ENCODING_COUNT; e++)
            assert_true(!room->logs[e] ||
                        room->logs[e]->log.kept_bytes < 1 << 24); /* never below zero */
        room_unref(room);
    }
    assert_int_equal(hub_recent_bytes(sim->hub), bytes);
    assert_true(bytes <= sim->options.memory_budget_bytes);
    hub_check(sim->hub, false);
}

static void tick(void)
{
    sim->now_ms += sim_rnd(1000);
    if (sim_rnd(3) == 0) hub_sweep(sim->hub, sim_read_wall());
    atomic_fetch_add(&sim->wall_ms, (long long)sim_rnd(sim->model.forgets ? 300 : 20));
}

static void step_sock(struct sock *s)
{
    switch (sim_rnd(14)) {
    case 0:
        if (s->state != SOCK_OUT && sim_rnd(5) == 0) sim_leave(s);
        break;
    case 1:
    case 2:
        sim_unstall(s);
        break;
    case 3:
        if (s->state == SOCK_IN && !s->replay && sim_rnd(4) == 0) private_frame(s);
        break;
    case 4:
        if (s->state == SOCK_IN && sim_rnd(2)) say_again(s);
        break;
    case 5:
    case 6:
        if (s->state == SOCK_OUT) sim_enter(s);
        break;
    default:
        if (s->state == SOCK_IN) say(s);
    }
}

/* A room empties all at once. */
static void evacuate(unsigned room)
{
    for (unsigned i = 0; i < sim->sockets; i++)
        if (sim->socks[i].room == room) sim_leave(&sim->socks[i]);
}

/* A burst, as of somebody who pastes. */
static void burst(struct sock *s)
{
    for (uint64_t n = sim_rnd(20); n > 0 && s->state == SOCK_IN; n--)
        say(s);
}

static void step(void)
{
    switch (sim_rnd(16)) {
    case 0:
    case 1:
    case 2:
        sim_run_worker((unsigned)sim_rnd(SIM_WORKERS));
        break;
    case 3:
    case 4:
        for (uint64_t n = sim_rnd(6); n > 0; n--)
            sim_run_job();
        break;
    case 5:
        run_answers();
        break;
    case 6:
    case 7:
    case 8:
        run_writer();
        break;
    case 9:
        tick();
        if (sim_rnd(4) == 0) burst(&sim->socks[sim_rnd(sim->sockets)]);
        if (sim_rnd(20) == 0) evacuate((unsigned)sim_rnd(MODEL_ROOMS));
        break;
    default:
        step_sock(&sim->socks[sim_rnd(sim->sockets)]);
    }
    check_hub();
}

/* Everything that is on its way arrives. */
static void drain(void)
{
    for (int i = 0; i < DRAIN_MAX; i++) {
        bool busy = sim_run_job();
        busy = run_done() || busy;
        busy = gate_answer(&sim->gate) || busy;
        if (gate_holds(&sim->gate) && sim->gate.done_next == sim->gate.done_count)
            busy = gate_turn_writer(&sim->gate) || busy;
        for (unsigned w = 0; w < SIM_WORKERS; w++) {
            busy = busy || sim->dirty[w];
            sim_run_worker(w);
        }
        for (int k = 0; k < SIM_SOCKETS; k++) {
            busy = busy || sim->socks[k].member.blocked;
            sim_unstall(&sim->socks[k]);
        }
        if (!busy) break;
    }
    assert_int_equal(sim->jobs_out, 0);
    assert_int_equal(sim->retries, 0);
}

/* Who is in a room has everything, and costs nothing more. */
static void check_all(void)
{
    for (int i = 0; i < SIM_SOCKETS; i++) {
        struct sock *s = &sim->socks[i];
        if (s->state != SOCK_IN) continue;
        view_end(&s->view);
        assert_int_equal(s->got.len, 0);
        assert_null(s->member.cursor.chunk);
        const struct room_log *rl = sim_room_of(s)->logs[s->encoding];
        assert_int_equal(rl->dirty_count, 0);
        if (!encoding_keeps(s->encoding)) assert_null(rl->log.tail);
    }
    hub_check(sim->hub, true);
}

static bool all_home(void)
{
    for (int i = 0; i < SIM_SOCKETS; i++)
        if (sim->socks[i].known && sim->socks[i].state != SOCK_IN) return false;
    return true;
}

static void finish(void)
{
    sim->calm = true;
    drain();
    check_all();
    for (int i = 0; i < SIM_SOCKETS; i++) {
        struct sock *s = &sim->socks[i];
        s->settled = s->known;
        if (s->known && sim_rnd(2)) sim_leave(s);
    }
    /* More than once, since retention may take away what is being read. */
    for (int round = 0; !all_home() && round < 20; round++) {
        for (int i = 0; i < SIM_SOCKETS; i++)
            if (sim->socks[i].known && sim->socks[i].state == SOCK_OUT) sim_enter(&sim->socks[i]);
        drain();
    }
    assert_true(all_home());
    check_all();
    for (int i = 0; i < SIM_SOCKETS; i++)
        sim_leave(&sim->socks[i]);
    drain();
    assert_int_equal(hub_room_count(sim->hub), 0);
}

static void choose_options(const struct sim_options *o, struct store_options *store)
{
    static const uint64_t budgets[] = {3000, 30000, 300000, 1 << 30};
    static const uint32_t events[] = {0, 1, 8, 40, 200, RECENT_MAX};
    static const uint32_t bytes[] = {1, 4000, 50000, RECENT_MAX_BYTES};
    const bool age = sim_rnd(6) == 0;
    sim->options = (struct hub_options){
        .seed = o->seed,
        .memory_budget_bytes = budgets[sim_rnd(4)],
        .recent = {events[sim_rnd(6)], bytes[sim_rnd(4)], age ? 2000 : 0},
    };
    *store = (struct store_options){.now_ms = sim_read_wall};
    if (sim_rnd(4) == 0) store->keep.max_events = 20 + sim_rnd(100);
    if (age) store->keep.max_age_ms = 2000;
    sim->sockets = 4 + (unsigned)sim_rnd(SIM_SOCKETS - 3);
    sim->change_every = 2 + (unsigned)sim_rnd(6);
    sim->model.strict = sim_rnd(3) == 0;
    sim->model.keep_events = store->keep.max_events;
    sim->model.forgets = age;
    sim->retention = age || store->keep.max_events;
    sim->delivery = (struct delivery){
        .send = sim_on_send, .on_lag = sim_on_lag, .lag_max_bytes = sim_rnd(3) ? 20000 : 0};
}

static void begin(const struct sim_options *o)
{
    struct store_options store;
    model_init(&sim->model);
    choose_options(o, &store);
    pthread_mutex_init(&sim->lock, NULL);
    sim->jobs_end = &sim->jobs;
    atomic_store(&sim->wall_ms, WALL_MS);
    gate_open(&sim->gate, store, o->path, on_batch, sim);
    sim->hub = hub_new(&sim->options);
    assert_non_null(sim->hub);
    sim->journal = journal_local_new(sim->gate.store, sim->model.strict, sim_rnd(2) ? 1 : 7);
    assert_non_null(sim->journal);
    hub_set_store(sim->hub, sim->gate.store, sim->journal);
    sim->encoder.deflater = ws_deflater_new(1);
    sim->writer_encoder.deflater = ws_deflater_new(1);
    sim->inflater = ws_inflater_new();
    for (unsigned i = 0; i < SIM_SOCKETS; i++)
        sim->socks[i].number = i;
}

static void end(void)
{
    struct store_stats stats;
    store_stats(sim->gate.store, &stats);
    sim->counts->trims += stats.trimmed;
    gate_close(&sim->gate);
    hub_free(sim->hub);
    journal_free(sim->journal);
    encoder_fini(&sim->encoder);
    encoder_fini(&sim->writer_encoder);
    ws_inflater_free(sim->inflater);
    buf_fini(&sim->inflated);
    model_fini(&sim->model);
    pthread_mutex_destroy(&sim->lock);
}

void room_sim_run(const struct sim_options *o, struct sim_counts *counts)
{
    long live = fail_alloc_live();
    sim = calloc(1, sizeof *sim);
    assert_non_null(sim);
    sim->random = o->seed * 0x9e3779b97f4a7c15U + 1;
    sim->counts = counts;
    begin(o);
    for (unsigned i = 0; i < o->steps; i++)
        step();
    finish();
    end();
    free(sim);
    assert_int_equal(fail_alloc_live(), live);
}
