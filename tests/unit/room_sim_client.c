/* The clients of the simulation: what they receive and remember, how they come in, are served from
 * memory or from the store, and leave; and the workers that flush to them. See room_sim_core.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chat/event_json.h"
#include "chat/feed.h"
#include "fail_alloc.h"
#include "proto/ws_deflate.h"
#include "proto/ws_frame.h"
#include "room_sim_core.h"

/* A client on its way into a room. */
struct visit {
    struct job job;
    struct sock *sock; /* NULL: gone */
    struct join join;
};

/* A page that was asked for, for a client whose past is not in memory. */
struct replay {
    struct job job;
    struct sock *sock; /* NULL: gone */
    struct event_room room;
    enum event_form form;
    bool newest;
    bool begun;
    bool asked;
    unsigned history;
    uint64_t next;
    uint64_t until;
    /* The answer. */
    int err;
    struct buf frames;
    uint64_t last;
    uint64_t trimmed_seq;
    bool more;
};

struct sim *sim;

int64_t sim_read_wall(void)
{
    return atomic_load(&sim->wall_ms);
}

uint64_t sim_rnd(uint64_t below)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return sim->random % below;
}

/* Memory is short in one of n calls; only when none of the store's threads could be hit. */
void sim_maybe_fail(uint64_t n)
{
    if (!sim->calm && gate_holds(&sim->gate) && sim_rnd(n) == 0) {
        fail_alloc_after((long)sim_rnd(8));
        sim->counts->no_memory++;
    }
}

static struct sock *sock_of(struct member *m)
{
    return container_of(m, struct sock, member);
}

struct slice sim_name_of_room(unsigned room)
{
    const struct model_room *r = &sim->model.rooms[room];
    return (struct slice){r->name, r->name_len};
}

struct slice sim_name_of_sock(const struct sock *s, char out[static 8])
{
    return (struct slice){out, (size_t)snprintf(out, 8, "u%u", s->number)};
}

struct room *sim_room_of(const struct sock *s)
{
    return s->member.feed->room;
}

static void post(struct job *j)
{
    j->link.next = NULL;
    pthread_mutex_lock(&sim->lock);
    *sim->jobs_end = &j->link;
    sim->jobs_end = &j->link.next;
    pthread_mutex_unlock(&sim->lock);
}

/* ---- what a client receives ---- */

static void take_payload(struct sock *s, const uint8_t *frame, uint64_t size)
{
    size_t head = size - 2 < 126 ? 2 : size - 4 < 65536 ? 4 : 10;
    struct slice json = {(const char *)frame + head, (size_t)size - head};
    assert_int_equal(frame[0] & 0x8f, 0x80 | WS_TEXT);
    if (frame[0] & 0x40) {
        assert_true(encoding_is_deflate(s->encoding));
        sim->inflated.len = 0;
        assert_int_equal(ws_inflater_run(sim->inflater, (const uint8_t *)json.ptr, json.len,
                                         &sim->inflated, SIZE_MAX),
                         0);
        json = (struct slice){(const char *)sim->inflated.data, sim->inflated.len};
    }
    view_take(&s->view, json);
    sim->counts->received++;
    if (!encoding_keeps(s->encoding)) return;
    s->last.seq = s->view.pos;
    s->known = true;
}

void sim_receive(struct sock *s, const void *bytes, size_t len)
{
    assert_int_equal(buf_append(&s->got, bytes, len, SIZE_MAX), 0);
    size_t at = 0;
    while (s->got.len - at >= WS_HEAD_MAX) {
        uint64_t size = ws_frame_size(s->got.data + at);
        if (size > s->got.len - at) break;
        take_payload(s, s->got.data + at, size);
        at += size;
    }
    buf_drop(&s->got, at);
}

/* ---- leaving ---- */

static void free_replay(struct replay *r)
{
    buf_fini(&r->frames);
    free(r);
}

void sim_leave(struct sock *s)
{
    char name[8];
    if (s->state == SOCK_ENTERING) s->visit->sock = NULL;
    if (s->replay && s->replay->asked) s->replay->sock = NULL;
    if (s->replay && !s->replay->asked) free_replay(s->replay);
    s->replay = NULL;
    s->visit = NULL;
    room_leave(&s->member, sim_name_of_sock(s, name), sim->now_ms);
    s->state = SOCK_OUT;
    s->stalled = false;
    buf_fini(&s->got);
}

ssize_t sim_on_send(struct member *m, const struct iovec *iov, int n, size_t bytes)
{
    struct sock *s = sock_of(m);
    assert_true(bytes > 0 && s->state == SOCK_IN && !s->replay);
    if (!sim->calm && sim_rnd(400) == 0) {
        sim_leave(s);
        return -1;
    }
    size_t takes = s->stalled ? 0 : bytes;
    if (!s->stalled && !sim->calm && sim_rnd(6) == 0) {
        takes = sim_rnd(bytes + 1);
        s->stalled = takes < bytes;
    }
    size_t left = takes;
    for (int i = 0; i < n && left > 0; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        sim_receive(s, iov[i].iov_base, part);
        left -= part;
    }
    return (ssize_t)takes;
}

void sim_on_lag(struct member *m, uint64_t lag)
{
    if (lag == 0)
        sim->counts->lost++;
    else
        assert_true(lag > sim->delivery.lag_max_bytes);
    if (lag && lag <= 2 * sim->delivery.lag_max_bytes) return; /* it stays, for now */
    sim->counts->lags++;
    sim_leave(sock_of(m));
}

/* ---- workers ---- */

void sim_push_woken(struct slink *woken)
{
    while (woken) {
        struct slink *next = woken->next;
        struct feed *r = container_of(woken, struct feed, dirty_link);
        woken->next = sim->dirty[r->worker];
        sim->dirty[r->worker] = woken;
        woken = next;
    }
}

void sim_run_worker(unsigned worker)
{
    struct slink *link = sim->dirty[worker];
    sim->dirty[worker] = NULL;
    while (link) {
        struct slink *next = link->next;
        struct feed *r = container_of(link, struct feed, dirty_link);
        bool more = feed_flush(r, &sim->delivery);
        feed_check(r);
        if ((more && !r->detached) || !room_settle(r)) {
            link->next = sim->dirty[worker];
            sim->dirty[worker] = link;
        }
        link = next;
    }
}

bool sim_run_job(void)
{
    pthread_mutex_lock(&sim->lock);
    struct slink *link = sim->jobs;
    if (link) sim->jobs = link->next;
    if (!sim->jobs) sim->jobs_end = &sim->jobs;
    pthread_mutex_unlock(&sim->lock);
    if (!link) return false;
    struct job *j = container_of(link, struct job, link);
    sim->jobs_out--;
    j->run(j);
    return true;
}

/* ---- a past that has to be read from the store ---- */

static void on_page(void *ctx, int err, const struct store_page *page)
{
    struct replay *r = ctx;
    struct buf json = {0};
    bool beyond = false;
    bool nothing = err == ERR_NOT_FOUND; /* as in replay.c */
    r->err = nothing ? 0 : err;
    if (nothing) r->trimmed_seq = r->until;
    r->more = false;
    for (size_t i = 0; page && i < page->count && !r->err; i++) {
        const struct store_event *e = page->events[i];
        beyond = e->seq > r->until;
        if (beyond) break;
        json.len = 0;
        r->last = e->seq;
        r->err = event_encode(&r->room, e, r->form, &json);
        const struct slice text = {(const char *)json.data, json.len};
        if (!r->err && json.len)
            r->err = ws_frame_append(&r->frames, WS_TEXT, false, text, SIZE_MAX);
    }
    buf_fini(&json);
    if (page) {
        r->more = page->more_after && !beyond && r->last < r->until;
        r->trimmed_seq = page->room.trimmed_seq;
    }
    post(&r->job);
}

static void ask_page(struct replay *r)
{
    const struct store_query q = {
        .room = r->room.name,
        .direction = r->newest ? STORE_BEFORE : STORE_AFTER,
        .position = r->newest ? r->until + 1 : r->next,
        .limit = r->newest ? r->history : 1 + (unsigned)sim_rnd(40),
        .max_bytes = r->newest ? 0 : sim_rnd(2) * sim_rnd(20000),
        .messages_only = r->form != EVENT_RICH,
    };
    r->frames.len = 0;
    int err = store_read_page(sim->gate.store, &q, on_page, r);
    assert_int_equal(err, 0);
    gate_mark(&sim->gate);
    r->asked = true;
    sim->jobs_out++;
}

static void on_page_here(struct job *j)
{
    struct replay *r = container_of(j, struct replay, job);
    struct sock *s = r->sock;
    r->asked = false;
    if (!s) {
        free_replay(r);
        return;
    }
    /* What was to come next is trimmed: the newest page if nothing was said yet, else the end. */
    bool hole = !r->newest && r->trimmed_seq > r->next;
    if (r->err || (hole && r->begun)) {
        sim_leave(s);
        return;
    }
    if (hole) {
        assert_true(sim->retention || r->next + 1 < model_first(&sim->model, s->room));
        r->newest = true;
        r->history = r->history ? r->history : ROOM_HISTORY_DEFAULT;
        view_turn_to_newest(&s->view, r->history);
        sim->counts->newest++;
        ask_page(r);
        return;
    }
    r->begun = true;
    sim_receive(s, r->frames.data, r->frames.len);
    assert_int_equal(s->got.len, 0);
    if (r->last > r->next) r->next = r->last;
    if (r->more && !r->newest) {
        ask_page(r);
        return;
    }
    s->replay = NULL;
    free_replay(r);
    if (!s->stalled) feed_resume(&s->member, &sim->delivery);
}

static void start_replay(struct sock *s, const struct join *j)
{
    struct replay *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->job.run = on_page_here;
    r->sock = s;
    r->room = (struct event_room){sim_name_of_room(s->room), sim->model.rooms[s->room].epoch};
    r->form = encoding_is_rich(s->encoding) ? EVENT_RICH : EVENT_FULL;
    r->newest = !(j->resume && j->recovered);
    r->history = j->history;
    r->next = j->since.seq;
    r->until = j->head.seq;
    s->replay = r;
    assert_true(s->member.blocked);
    ask_page(r);
}

/* ---- coming in ---- */

static void wake(struct join *j)
{
    post(&container_of(j, struct visit, join)->job);
}

static void end_visit(struct visit *v)
{
    if (v->sock) v->sock->visit = NULL;
    room_unref(v->join.room);
    free(v);
}

/* Whether the client is where it was, as far as one can tell from here. */
static void check_recovered(const struct sock *s, const struct join *j)
{
    if (!j->resume) {
        assert_true(j->recovered);
        return;
    }
    bool same = memcmp(j->since.epoch, j->head.epoch, EVENT_EPOCH_LEN) == 0;
    bool can = same && j->since.seq <= j->head.seq;
    if (j->recovered) assert_true(can);
    /* Before the first event the store has, it cannot tell whether there were others; and by age
     * anything may be gone. */
    bool kept = j->since.seq + 1 >= model_first(&sim->model, s->room) && !sim->model.forgets;
    if (can && kept && !j->recovered) {
        assert_true(sim->retention);
        assert_true(model_after(&sim->model, s->room, j->since.seq) >= sim->model.keep_events);
    }
    *(j->recovered ? &sim->counts->resumed : &sim->counts->unresumed) += 1;
}

static void on_joined(struct sock *s, const struct join *j)
{
    s->state = SOCK_IN;
    model_epoch(&sim->model, s->room, j->head.epoch);
    view_begin(&s->view, &sim->model, s->room, j);
    check_recovered(s, j);
    if (encoding_keeps(s->encoding)) {
        s->known = true;
        s->last = j->head; /* as a client is told on joining */
        if (j->resume && j->recovered) s->last.seq = j->since.seq;
        s->last_room = s->room;
    }
    sim->counts->memory += j->replayed > 0;
    sim->counts->store += j->from_store;
    if (j->from_store)
        start_replay(s, j);
    else
        feed_resume(&s->member, &sim->delivery);
}

static void try_join(struct visit *v)
{
    struct sock *s = v->sock;
    char name[8];
    v->join.username = sim_name_of_sock(s, name);
    v->join.now_ms = sim->now_ms;
    v->join.wall_ms = sim_read_wall();
    sim_maybe_fail(25);
    int err = room_join(&v->join, &s->member);
    fail_alloc_off();
    gate_mark(&sim->gate);
    if (err == ERR_AGAIN) {
        sim->counts->fills++;
        sim->jobs_out++;
        return;
    }
    if (err) {
        assert_int_equal(err, ERR_NOMEM);
        assert_null(s->member.feed);
        s->state = SOCK_OUT;
    } else {
        on_joined(s, &v->join);
    }
    end_visit(v);
}

static void on_wake_here(struct job *j)
{
    struct visit *v = container_of(j, struct visit, job);
    if (v->sock && !v->join.err) {
        try_join(v);
        return;
    }
    if (v->sock) v->sock->state = SOCK_OUT;
    end_visit(v);
}

/* The client's `since`. */
static void choose_since(const struct sock *s, struct join *j)
{
    j->resume = true;
    j->since = s->last;
    if (s->settled) return;
    switch (sim_rnd(12)) {
    case 0:
        memset(&j->since, 0, sizeof j->since); /* not to be read */
        break;
    case 1:
        j->since.epoch[0] = j->since.epoch[0] == 'x' ? 'y' : 'x';
        break;
    case 2:
        j->since.seq += 1000000;
        break;
    case 3:
    case 4:
        j->since.seq -= sim_rnd(s->last.seq + 1);
        break;
    default:
        break;
    }
}

void sim_enter(struct sock *s)
{
    struct visit *v = calloc(1, sizeof *v);
    assert_non_null(v);
    v->job.run = on_wake_here;
    v->join.wake = wake;
    v->sock = s;
    bool resume = s->settled || (s->known && sim_rnd(4) > 0);
    s->room = resume ? s->last_room : (unsigned)sim_rnd(MODEL_ROOMS);
    s->worker = (unsigned)sim_rnd(SIM_WORKERS);
    s->encoding = (enum encoding)(resume ? ENCODING_FULL + sim_rnd(4) : sim_rnd(ENCODING_COUNT));
    v->join.encoding = s->encoding;
    v->join.worker = s->worker;
    if (encoding_keeps(s->encoding) && sim_rnd(2)) v->join.history = (unsigned)sim_rnd(80);
    if (resume) choose_since(s, &v->join);
    s->visit = v;
    s->state = SOCK_ENTERING;
    sim_maybe_fail(40);
    int err = hub_enter(sim->hub, sim_name_of_room(s->room), &v->join);
    fail_alloc_off();
    gate_mark(&sim->gate);
    if (err == ERR_AGAIN) {
        sim->jobs_out++;
    } else if (err) {
        assert_int_equal(err, ERR_NOMEM);
        s->state = SOCK_OUT;
        s->visit = NULL;
        free(v);
    } else {
        try_join(v);
    }
}

void sim_unstall(struct sock *s)
{
    s->stalled = false;
    if (s->state == SOCK_IN && s->member.blocked && !s->replay)
        feed_resume(&s->member, &sim->delivery);
}
