/* See turn.h. */
#include "server/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/identity.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/guarded_clock.h"
#include "chat/hub.h"
#include "journal/journal.h"
#include "net/socket.h"
#include "ops/log.h"
#include "proto/ws_deflate.h"
#include "proto/ws_reader.h"
#include "server/client.h"
#include "server/conn.h"
#include "server/overflow.h"
#include "server/recheck.h"
#include "server/session.h"
#include "server/tally.h"
#include "server/task.h"
#include "server/worker.h"

static int make_tools(struct worker *w)
{
    w->input = malloc(WORKER_REST_BYTES + WORKER_READ_BYTES);
    if (!w->input) return ERR_NOMEM;
    w->overflow = calloc(1, sizeof *w->overflow);
    if (!w->overflow) return ERR_NOMEM;
    w->overflow->most = OVERFLOW_MAX;
    w->reader = calloc(1, sizeof *w->reader);
    w->clock = calloc(1, sizeof *w->clock);
    if (!w->reader || !w->clock) return ERR_NOMEM;
    w->inflater = ws_inflater_new();
    w->encoder.deflater = ws_deflater_new(SERVER_DEFLATE_LEVEL);
    return w->inflater && w->encoder.deflater ? 0 : ERR_NOMEM;
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int turn_init(struct worker *w, struct server *server, unsigned index)
{
    const struct server_options *o = &server->options;
    w->server = server;
    w->index = index;
    w->loop.epoll_fd = -1;
    w->mailbox.io.fd = -1;
    w->tasks.io.fd = -1;
    w->dirty_end = &w->dirty_first;
    w->expiry_ms = INT64_MAX;
    w->delivery = (struct delivery){
        .send = o->bare->deliver, .on_lag = o->bare->on_lag, .lag_max_bytes = o->lag_max_bytes};
    w->rich_delivery = (struct delivery){
        .send = o->rich->deliver, .on_lag = o->rich->on_lag, .lag_max_bytes = o->lag_max_bytes};
    timer_queue_init(&w->later, TASK_LATER_MS);
    timer_queue_init(&w->timeouts[TIMEOUT_HANDSHAKE], o->handshake_timeout_ms);
    timer_queue_init(&w->timeouts[TIMEOUT_KEEPALIVE], o->keepalive_timeout_ms);
    timer_queue_init(&w->timeouts[TIMEOUT_PING], o->ping_interval_ms);
    timer_queue_init(&w->timeouts[TIMEOUT_CLOSE], CONN_CLOSE_TIMEOUT_MS);
    timer_queue_init(&w->timeouts[TIMEOUT_OVER], CONN_OVER_TIMEOUT_MS);
    w->spare_fd = open_spare();

    int err = make_tools(w);
    if (!err) err = loop_init(&w->loop);
    if (!err) err = mailbox_init(&w->mailbox);
    if (!err) err = mailbox_init(&w->tasks);
    if (!err) err = loop_add(&w->loop, &w->mailbox.io, EPOLLIN);
    if (!err) err = loop_add(&w->loop, &w->tasks.io, EPOLLIN);
    return err;
}

static void stop_listening(struct worker *w)
{
    for (size_t i = 0; i < w->listener_count; i++) {
        loop_remove(&w->loop, &w->listeners[i].io);
        close(w->listeners[i].io.fd);
    }
    w->listener_count = 0;
    w->accept_again_ms = 0;
}

/* Paused listeners are watched again after a while: they would be reported in every turn. */
static void watch_listeners(struct worker *w, bool on)
{
    for (size_t i = 0; i < w->listener_count; i++)
        loop_set(&w->loop, &w->listeners[i].io, on ? EPOLLIN : 0U);
    w->accept_again_ms = on ? 0 : w->now_ms + WORKER_ACCEPT_PAUSE_MS;
}

/* No descriptor is left: turn one connection away, so that it is not reported again at once. */
static void turn_away(struct worker *w, int listener)
{
    LOG(w->server->options.log, LOG_ERROR, "out_of_files",
        "no file descriptor left for a new connection; raise the open-file limit",
        LOG_U64("connections", worker_connections(w->server)));
    if (w->spare_fd >= 0) {
        close(w->spare_fd);
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) close(fd);
    }
    w->spare_fd = open_spare();
    if (w->spare_fd < 0) watch_listeners(w, false); /* another thread was faster */
}

static void accept_some(struct io *io, uint32_t events)
{
    const struct listener *l = container_of(io, struct listener, io);
    struct worker *w = l->worker;
    (void)events;
    for (int n = 0; n < WORKER_ACCEPTS_MAX; n++) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        int fd =
            accept4(l->io.fd, (struct sockaddr *)&from, &from_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) turn_away(w, l->io.fd);
            if (errno == ENOBUFS || errno == ENOMEM) watch_listeners(w, false);
            return;
        }
        uint8_t ip[SOCKET_IP_BYTES];
        socket_ip(&from, ip);
        conn_accept(w, fd, ip, l);
    }
}

int turn_listen(struct worker *w, int fd, const struct server_address *address)
{
    CHECK(w->listener_count < SERVER_ADDRESSES_MAX);
    struct listener *l = &w->listeners[w->listener_count];
    *l = (struct listener){.io = {.on_events = accept_some, .fd = fd},
                           .worker = w,
                           .address = address,
                           .on_loopback = socket_is_loopback(fd)};
    int err = loop_add(&w->loop, &l->io, EPOLLIN);
    if (!err) w->listener_count++;
    return err;
}

/* Phase: timers. */
static void run_timeouts(struct worker *w)
{
    for (int i = 0; i < TIMEOUT_COUNT; i++) {
        struct timer *t;
        while ((t = timer_queue_expired(&w->timeouts[i], w->now_ms)))
            conn_on_timeout(container_of(t, struct conn, timer));
    }
}

/* Phase: timers, of tasks. */
static void run_later(struct worker *w, uint64_t now_ms)
{
    struct timer *t;
    while ((t = timer_queue_expired(&w->later, now_ms))) {
        struct later *l = container_of(t, struct later, timer);
        l->task.run(w, &l->task);
    }
}

/* Phase: timers, of the worker itself. */
static void run_accept_again(struct worker *w)
{
    if (!w->accept_again_ms || w->now_ms < w->accept_again_ms) return;
    if (w->spare_fd < 0) w->spare_fd = open_spare();
    watch_listeners(w, true);
}

/* Phase: deferred input, of the turns before: before new input, which waits for its own place
 * behind it. */
static void run_deferred(struct worker *w)
{
    struct fair_queue_deferred turn[FAIR_QUEUE_DEFERRED_MAX];
    size_t n = fair_queue_take(&w->fair, turn);
    for (size_t i = 0; i < n; i++) {
        struct conn *c = conn_of(loop_find(&w->loop, turn[i].key));
        if (c) conn_go_on(c);
    }
}

/* Phase: socket events. An event whose owner was dropped in this turn finds none. */
static void run_events(struct worker *w, const struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        struct io *io = loop_owner(&w->loop, &events[i]);
        if (io) io->on_events(io, events[i].events);
    }
}

/* Phase: tasks. Those that a task posts wait for the next turn. False: there was none. */
static bool run_tasks(struct worker *w)
{
    struct slink *link = mailbox_take(&w->tasks);
    bool any = link;
    while (link) {
        struct slink *next = link->next;
        struct task *t = container_of(link, struct task, link);
        t->run(w, t);
        link = next;
    }
    return any;
}

/* The journal begins with what was submitted in this turn, all of it together. */
static void kick_journal(struct worker *w)
{
    if (w->published) journal_kick(w->server->options.journal);
    w->published = 0;
}

/* Phase: post. Only now, after all events: a worker woken by the first message of a burst would
 * send it alone, and the rest again; the store would commit it alone. While a burst is sent the
 * disk is busy with it; the writer of a lone message would only interrupt its sending (history
 * costs a fan-out to 1,000 members 6 % then, on one core, instead of 4). */
static void run_post(struct worker *w)
{
    if (w->published > 1) kick_journal(w);
    while (w->outgoing) {
        struct slink *link = w->outgoing;
        w->outgoing = link->next;
        const struct feed *r = container_of(link, struct feed, dirty_link);
        mailbox_post(&w->server->workers[r->worker].mailbox, link);
    }
}

/* Phase: mailbox. */
static void run_mailbox(struct worker *w)
{
    struct slink *link = mailbox_take(&w->mailbox);
    while (link) {
        struct slink *next = link->next;
        worker_add_dirty(w, link);
        link = next;
    }
}

/* Phase: room flush. What has more than one turn's worth, or got new messages meanwhile, waits for
 * the next turn, so that one busy room does not keep the others waiting. */
static void run_flush(struct worker *w)
{
    struct slink *link = w->dirty_first;
    if (!link) return;
    w->dirty_first = NULL;
    w->dirty_end = &w->dirty_first;
    while (link) {
        struct slink *next = link->next;
        struct feed *r = container_of(link, struct feed, dirty_link);
        if (next) __builtin_prefetch(container_of(next, struct feed, dirty_link));
        struct delivery *d = encoding_is_rich(r->encoding) ? &w->rich_delivery : &w->delivery;
        bool more = feed_flush(r, d);
        if ((more && !r->detached) || !room_settle(r)) worker_add_dirty(w, link);
        link = next;
    }
}

/* Deliveries are counted here once a turn: a counter of metrics costs more than they can spare. */
static void count_turn(struct worker *w)
{
    if (w->mailbox.wakeups + w->tasks.wakeups > 0)
        metrics_add(&w->metrics, METRIC_WAKEUPS, w->mailbox.wakeups + w->tasks.wakeups);
    w->mailbox.wakeups = 0;
    w->tasks.wakeups = 0;
    if (w->delivery_sends == 0) return;
    metrics_add(&w->metrics, METRIC_DELIVERIES, w->delivery.frames + w->rich_delivery.frames);
    metrics_add(&w->metrics, METRIC_SENDS, w->delivery_sends);
    metrics_add(&w->metrics, METRIC_SENT_BYTES, w->delivery_bytes);
    w->delivery.frames = 0;
    w->rich_delivery.frames = 0;
    w->delivery_sends = 0;
    w->delivery_bytes = 0;
}

static struct conn *conn_at(struct worker *w, uint32_t slot)
{
    return conn_of(loop_at(&w->loop, slot));
}

/* Whoever holds memory because its socket does not take what it has to be sent. */
static bool is_behind(const struct conn *c)
{
    return c->behind_ms && (c->state == CONN_OPEN || conn_unsent(c) > WORKER_BEHIND_BYTES);
}

/* Not for an instant; but nobody stays by coming back every second while memory stays short. */
static bool may_go(const struct worker *w, const struct conn *c)
{
    return c->kept > 0 || w->now_ms - c->behind_ms >= WORKER_BEHIND_MS ||
           w->now_ms - w->pressed_ms >= WORKER_BEHIND_MS;
}

/* What closing the connection gives back of what is short. */
static uint64_t weight_of(const struct conn *c, bool input_alone)
{
    bool behind = !input_alone && is_behind(c);
    return c->kept + (behind ? conn_behind_bytes(c) : 0);
}

static void weigh(struct worker *w, struct tally *t, bool input_alone)
{
    for (uint32_t slot = 0; slot < w->loop.slot_count; slot++) {
        const struct conn *c = conn_at(w, slot);
        uint64_t bytes = c ? weight_of(c, input_alone) : 0;
        if (bytes > 0) tally_add(t, client_id(c), bytes);
    }
}

/* Connections of clients that hold about as much as the one that holds most, on any worker. */
static void close_heaviest(struct worker *w, const struct tally *t, bool input_alone)
{
    const struct server *s = w->server;
    uint64_t most = 0;
    for (unsigned i = 0; i < s->worker_count; i++) {
        uint64_t its = atomic_load(&s->workers[i].heaviest);
        if (its > most) most = its;
    }
    uint64_t least = most - most / 4;
    if (t->most < least) return;
    for (uint32_t slot = 0; slot < w->loop.slot_count; slot++) {
        struct conn *c = conn_at(w, slot);
        uint64_t bytes = c ? weight_of(c, input_alone) : 0;
        if (bytes == 0 || !may_go(w, c)) continue;
        if (tally_of(t, client_id(c), bytes) < least) continue;
        if (!hub_is_pressed(s->hub) && !hub_input_is_pressed(s->hub)) return;
        if (is_behind(c))
            conn_close_behind(c);
        else
            conn_close_unfinished(c);
    }
}

/* While memory is short, the clients that hold most of it have to go, not who happens to be a few
 * KiB behind. What counts is what they are behind, and what they have not finished to send. Each
 * worker sees its own connections, so it tells the others how much its heaviest client has, and
 * lets them look, too, before it closes anything. */
static void run_pressure(struct worker *w)
{
    struct hub *hub = w->server->hub;
    if (w->now_ms < w->pressure_at_ms) return;
    hub_relieve(hub);
    bool pressed = hub_is_pressed(hub);
    bool input_alone = !pressed && hub_input_is_pressed(hub);
    if (!pressed && !input_alone) {
        w->pressure_at_ms = w->now_ms + WORKER_PRESSURE_MS;
        w->pressed_ms = 0;
        atomic_store(&w->heaviest, 0);
        return;
    }
    struct tally tally = {0};
    if (w->behind_count || w->keeper_count) weigh(w, &tally, input_alone);
    atomic_store(&w->heaviest, tally.most);
    if (tally.most == 0)
        w->pressed_ms = 0; /* it may sleep, and miss what the others see */
    else if (!w->pressed_ms)
        w->pressed_ms = w->now_ms;
    else if (w->now_ms - w->pressed_ms >= WORKER_WEIGH_MS)
        close_heaviest(w, &tally, input_alone);
    w->pressure_at_ms = w->now_ms + WORKER_PRESSED_MS + w->loop.slot_count / WORKER_PRESSED_SLOTS;
}

/* Asks about who is signed in without an end, if it is time. When to look next. */
static int64_t ask_again(struct conn *c)
{
    if (c->identity->ask_again_ms <= (uint64_t)c->worker->wall_ms) recheck_start(c);
    uint64_t next_ms = c->state == CONN_OPEN ? c->identity->ask_again_ms : UINT64_MAX;
    return next_ms > INT64_MAX ? INT64_MAX : (int64_t)next_ms;
}

/* Tells who is signed in that its token ends, and closes it when it has. When this one is to be
 * looked at next. */
static int64_t expire(struct conn *c)
{
    const struct worker *w = c->worker;
    const struct session_ops *session = c->session;
    uint64_t ends_ms = identity_expires_ms(c->identity);
    if (c->state != CONN_OPEN) return INT64_MAX;
    if (ends_ms > INT64_MAX) return ask_again(c);
    int64_t left_ms = (int64_t)ends_ms - w->wall_ms;
    if (left_ms > WORKER_EXPIRY_WARN_MS) return (int64_t)ends_ms - WORKER_EXPIRY_WARN_MS;
    if (left_ms > 0) {
        if (session->warn_end) session->warn_end(c);
        return (int64_t)ends_ms;
    }
    conn_end(c, ERR_TOKEN_EXPIRED);
    return INT64_MAX;
}

/* Phase: expiry. All are looked at, but not more often than once a second, and only if somebody's
 * token may end. */
static void run_expiry(struct worker *w)
{
    if (w->wall_ms < w->expiry_ms) return;
    int64_t next_ms = INT64_MAX;
    for (uint32_t slot = 0; slot < w->loop.slot_count; slot++) {
        struct conn *c = conn_at(w, slot);
        int64_t ms = c ? expire(c) : INT64_MAX;
        if (ms < next_ms) next_ms = ms;
    }
    w->expiry_looked_ms = w->wall_ms;
    bool soon = next_ms < w->wall_ms + WORKER_EXPIRY_MS;
    w->expiry_ms = soon ? w->wall_ms + WORKER_EXPIRY_MS : next_ms;
}

/* Phase: sweep. */
static void run_sweep(struct worker *w)
{
    run_pressure(w);
    if (w->index != 0 || w->now_ms < w->sweep_at_ms) return;
    w->sweep_at_ms = w->now_ms + WORKER_SWEEP_MS;
    hub_sweep(w->server->hub, w->believed_ms);
    store_tell_refused(w->server->options.store);
}

/* Phase: reap. */
static void run_reap(struct worker *w)
{
    while (w->reap) {
        struct conn *c = w->reap;
        w->reap = c->next_reap;
        conn_free(c);
    }
}

static void start_draining(struct worker *w)
{
    uint32_t timeout_ms = w->server->options.drain_timeout_ms;
    w->draining = true;
    w->drain_deadline_ms = w->now_ms + timeout_ms;
    w->drain_tick_ms = w->now_ms;
    stop_listening(w);
    /* All are told within half the time, so that the last one can still answer. */
    uint32_t ticks = timeout_ms / 2 / WORKER_DRAIN_TICK_MS + 1;
    w->drain_per_tick = w->conn_count / ticks + WORKER_DRAIN_MIN_PER_TICK;
}

static void drop_all(struct worker *w)
{
    for (uint32_t slot = 0; slot < w->loop.slot_count; slot++) {
        struct conn *c = conn_at(w, slot);
        if (c) conn_drop(c);
    }
}

/* When a client should come back: spread, such that no more than BYE_RETURNS_PER_S do so at once.
 */
static uint32_t bye_delay_ms(struct worker *w)
{
    uint32_t window_ms = WORKER_BYE_MIN_MS + w->conn_count * 1000 / WORKER_BYE_RETURNS_PER_S;
    w->bye_random = w->bye_random * 1664525 + 1013904223; /* spread is all that is asked of it */
    return WORKER_BYE_MIN_MS / 2 + (uint32_t)((uint64_t)w->bye_random * window_ms >> 32);
}

/* Tells the next few. Returns true if every WebSocket was told. */
static bool drain_some(struct worker *w)
{
    uint32_t left = w->drain_per_tick;
    while (left > 0 && w->drain_slot < w->loop.slot_count) {
        struct conn *c = conn_at(w, w->drain_slot++);
        if (!c || c->state != CONN_OPEN) continue;
        if (c->session->bye)
            c->session->bye(c, err_info(ERR_DRAINING)->close_code, bye_delay_ms(w));
        w->server->options.websocket->refuse(c, ERR_DRAINING);
        left--;
    }
    return w->drain_slot >= w->loop.slot_count;
}

static bool only_http_left(struct worker *w)
{
    for (uint32_t slot = 0; slot < w->loop.slot_count; slot++) {
        const struct conn *c = conn_at(w, slot);
        if (c && (c->state != CONN_HTTP || conn_unsent(c) > 0 || c->held || c->deferred))
            return false;
    }
    return true;
}

static void run_drain(struct worker *w)
{
    if (!w->draining) start_draining(w);
    bool told = false;
    if (w->now_ms >= w->drain_tick_ms) {
        w->drain_tick_ms = w->now_ms + WORKER_DRAIN_TICK_MS;
        told = drain_some(w);
    }
    bool late = w->now_ms >= w->drain_deadline_ms || atomic_load(&w->server->stopping);
    if (late || (told && only_http_left(w))) drop_all(w);
}

static int wait_ms(const struct worker *w)
{
    if (w->dirty_first || w->fair.deferred_count) return 0;
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < TIMEOUT_COUNT; i++) {
        uint64_t deadline = timer_queue_deadline(&w->timeouts[i]);
        if (deadline < next) next = deadline;
    }
    uint64_t later_ms = timer_queue_deadline(&w->later);
    if (later_ms < next) next = later_ms;
    if (w->draining && w->drain_tick_ms < next) next = w->drain_tick_ms;
    if (w->accept_again_ms && w->accept_again_ms < next) next = w->accept_again_ms;
    bool weighs = w->behind_count || w->keeper_count || atomic_load(&w->heaviest);
    if (weighs && w->pressure_at_ms < next) next = w->pressure_at_ms;
    if (w->index == 0 && w->sweep_at_ms < next) next = w->sweep_at_ms;
    if (w->expiry_ms < INT64_MAX) {
        uint64_t expiry_ms = w->expiry_ms > w->wall_ms ? (uint64_t)(w->expiry_ms - w->wall_ms) : 0;
        if (w->now_ms + expiry_ms < next) next = w->now_ms + expiry_ms;
    }
    if (next == UINT64_MAX) return -1;
    if (next <= w->now_ms) return 0;
    uint64_t ms = next - w->now_ms;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void worker_turn(struct worker *w)
{
    struct epoll_event events[WORKER_EVENTS_MAX];
    w->fair.turn++;
    bool idle = mailbox_sleep(&w->mailbox);
    idle = mailbox_sleep(&w->tasks) && idle;
    int timeout_ms = idle ? wait_ms(w) : 0;
    int n = loop_wait(&w->loop, timeout_ms, events, WORKER_EVENTS_MAX);
    mailbox_awake(&w->mailbox);
    mailbox_awake(&w->tasks);
    uint64_t start_ns = (uint64_t)clock_ns(CLOCK_MONOTONIC);
    w->now_ms = start_ns / 1000000;
    w->wall_ms = clock_ms(CLOCK_REALTIME);
    (void)guarded_clock_tick(w->clock, w->wall_ms, (int64_t)w->now_ms, NONCE_KEEP_MS);
    w->believed_ms = w->clock->believed_ms;
    w->metrics_text.len = 0;

    run_timeouts(w);
    run_accept_again(w);
    run_later(w, w->now_ms);
    run_deferred(w);
    run_events(w, events, n);
    run_tasks(w);
    run_post(w);
    run_mailbox(w);
    run_flush(w);
    kick_journal(w);
    run_expiry(w);
    run_sweep(w);
    if (atomic_load_explicit(&w->server->draining, memory_order_relaxed)) run_drain(w);
    run_reap(w);
    count_turn(w);
    metrics_turn(&w->metrics, (uint64_t)clock_ns(CLOCK_MONOTONIC) - start_ns);
}

bool turn_empty(struct worker *w)
{
    bool any = false;
    w->over = true;
    run_later(w, UINT64_MAX - 1);
    while (run_tasks(w))
        any = true;
    run_mailbox(w); /* readers whose last member has left */
    run_flush(w);
    return any;
}

void turn_fini(struct worker *w)
{
    CHECK(w->conn_count == 0);
    for (size_t i = 0; i < w->listener_count; i++)
        close(w->listeners[i].io.fd);
    if (w->spare_fd >= 0) close(w->spare_fd);
    mailbox_fini(&w->mailbox);
    mailbox_fini(&w->tasks);
    loop_fini(&w->loop);
    ws_inflater_free(w->inflater);
    encoder_fini(&w->encoder);
    buf_fini(&w->inflated);
    buf_fini(&w->text);
    buf_fini(&w->reply);
    buf_fini(&w->metrics_text);
    fair_queue_fini(&w->fair);
    free(w->overflow);
    free(w->clock);
    free(w->reader);
    free(w->input);
}

void *turn_run(void *arg)
{
    struct worker *w = arg;
    w->now_ms = (uint64_t)clock_ms(CLOCK_MONOTONIC);
    guarded_clock_init(w->clock, 0, clock_ms(CLOCK_REALTIME), (int64_t)w->now_ms);
    while (!w->draining || w->conn_count > 0 || w->dirty_first)
        worker_turn(w);
    atomic_fetch_add(&w->server->ended, 1);
    return NULL;
}
