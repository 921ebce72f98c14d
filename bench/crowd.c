/* See crowd.h. */
#include "crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    SLEEP_MS = 20, /* the loop looks at its clock at least this often */
};

static const uint64_t CONNECT_PATIENCE_NS = 20000000000U;
static const uint64_t HOLD_NS = 500000000U;
static const uint64_t SURPLUS_NS = 100000000U;

uint64_t crowd_clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static struct talker *talker_of(struct crowd *w, const struct client *c)
{
    return &w->talkers[(uint64_t)c->room * w->opt.talkers + (uint32_t)c->talker];
}

static void make_ready(struct crowd *w, struct talker *t)
{
    if (t->ready) return;
    t->ready = true;
    w->ready[w->ready_count++] = (uint32_t)(t - w->talkers);
}

static void on_foreign(struct crowd *w, const char *payload, size_t len)
{
    w->foreign++;
    if (w->first_foreign[0]) return;
    snprintf(w->first_foreign, sizeof w->first_foreign, "%.*s", (int)(len < 100 ? len : 100),
             payload);
}

static bool begins_with(const char *payload, size_t len, const char *head)
{
    size_t n = strlen(head);
    return len >= n && memcmp(payload, head, n) == 0;
}

static bool holds(const char *payload, size_t len, const char *text)
{
    return memmem(payload, len, text, strlen(text)) != NULL;
}

/* An ack has to name the oldest text of its talker that is not acked yet. */
static bool on_ack(struct crowd *w, const struct client *c, const char *payload, size_t len)
{
    const char *ref = memmem(payload, len, "\"ref\":", 6);
    if (!ref || c->talker < 0 || !holds(payload, len, "\"dup\":false")) return false;
    struct talker *t = talker_of(w, c);
    if (t->acked == t->sent || strtoul(ref + 6, NULL, 10) != t->acked) return false;
    if (w->measuring) {
        size_t slot = (size_t)(t - w->talkers) * CROWD_WINDOW_MAX + t->acked % CROWD_WINDOW_MAX;
        w->acks_measured++;
        hist_add(&w->ack, w->now_ns - w->sent_ns[slot]);
    }
    t->acked++;
    w->acks++;
    w->progress_ns = w->now_ns;
    if (w->opt.acked) {
        t->on_the_way--;
        make_ready(w, t);
    }
    return true;
}

/* Frames for rich clients that are no chat message. A client that came back has to be told that
 * nothing is missing. */
static bool on_rich_frame(struct crowd *w, const struct client *c, const char *payload, size_t len)
{
    if (begins_with(payload, len, "{\"type\":\"ack\",")) return on_ack(w, c, payload, len);
    if (begins_with(payload, len, "{\"type\":\"joined\","))
        return holds(payload, len, "\"recovered\":true");
    return begins_with(payload, len, "{\"type\":\"welcome\",") ||
           begins_with(payload, len, "{\"type\":\"presence\",");
}

/* The server's number has to grow from message to message. It is looked for where it stood the last
 * time before it is searched. */
static bool check_seq(struct client *c, const char *payload, size_t len)
{
    static const char key[] = "\"seq\":";
    const size_t n = sizeof key - 1;
    if (c->seq_at + n >= len || memcmp(payload + c->seq_at, key, n) != 0) {
        const char *at = memmem(payload, len, key, n);
        if (!at) return false;
        c->seq_at = (uint16_t)(at - payload);
    }
    uint64_t seq = strtoull(payload + c->seq_at + n, NULL, 10);
    bool grows = seq > c->last_seq;
    c->last_seq = seq;
    return grows;
}

static void keep_id(struct crowd *w, const struct client *c, const char *payload, size_t len)
{
    static const char key[] = "\"id\":\"";
    char *id = w->ids[c->room];
    const char *at = memmem(payload, len, key, sizeof key - 1);
    if (!at || id[0]) return;
    at += sizeof key - 1;
    const char *end = memchr(at, '"', (size_t)(payload + len - at));
    if (end && end - at < CLIENT_ID_BYTES) memcpy(id, at, (size_t)(end - at));
}

static void on_arrival(struct crowd *w, struct client *c, const struct stamp *s)
{
    uint64_t index = (uint64_t)(c - w->clients), arrived = w->verdict.arrived;
    track_arrival(&w->tracks[index * w->opt.talkers + s->talker], s->seq, &w->verdict);
    w->progress_ns = w->now_ns;
    if (w->missed && w->verdict.arrived != arrived && ++c->resumed == w->missed)
        hist_add(&w->resumed, w->now_ns - c->started_ns);
    if (w->measuring) {
        w->deliveries++;
        hist_add(&w->latency, w->now_ns - s->sent_ns);
    }
    if (c->talker < 0 || w->opt.acked) return;
    struct talker *t = talker_of(w, c);
    bool own = c->talker == (int32_t)s->talker;
    if (own && t->on_the_way) t->on_the_way--;
    if (own != w->opt.bounce && w->opt.rate == 0) make_ready(w, t);
}

static void on_text(void *arg, struct client *c, const char *payload, size_t len)
{
    struct crowd *w = arg;
    struct stamp s;
    if (w->opt.rung == CLIENT_RICH && !begins_with(payload, len, "{\"type\":\"message\",")) {
        if (!on_rich_frame(w, c, payload, len)) on_foreign(w, payload, len);
        return;
    }
    if (!stamp_read(payload, len, w->needle, &c->hint, &s) || s.talker >= w->opt.talkers) {
        on_foreign(w, payload, len);
        return;
    }
    if (s.room != c->room) {
        w->misrouted++;
        return;
    }
    if (w->opt.rung != CLIENT_BARE && !check_seq(c, payload, len)) w->verdict.out_of_order++;
    if (w->marking) keep_id(w, c, payload, len);
    on_arrival(w, c, &s);
}

static void place(struct crowd *w)
{
    uint32_t rooms = w->opt.rooms, members = w->opt.clients / rooms;
    for (uint32_t i = 0; i < w->opt.clients; i++)
        w->clients[i] = (struct client){.fd = -1, .room = i % rooms, .talker = -1};
    for (uint32_t r = 0; r < rooms; r++) {
        for (uint32_t t = 0; t < w->opt.talkers; t++) {
            uint32_t member = t * members / w->opt.talkers;
            uint32_t client = member * rooms + r;
            w->clients[client].talker = (int32_t)t;
            w->talkers[(uint64_t)r * w->opt.talkers + t].client = client;
        }
    }
}

int crowd_init(struct crowd *w, const struct crowd_options *opt)
{
    *w = (struct crowd){.opt = *opt};
    uint32_t run = 0;
    if (getrandom(&run, sizeof run, 0) != (ssize_t)sizeof run) return -1;
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0 || client_net_init(&w->net, epfd, opt->port, run)) return -1;
    w->net.on_text = on_text;
    w->net.arg = w;
    w->net.rung = opt->rung;
    stamp_needle(w->needle, run);

    size_t talkers = (size_t)opt->rooms * opt->talkers;
    w->clients = calloc(opt->clients, sizeof *w->clients);
    w->talkers = calloc(talkers + 1, sizeof *w->talkers);
    w->ready = calloc(talkers + 1, sizeof *w->ready);
    w->tracks = calloc((size_t)opt->clients * opt->talkers + 1, sizeof *w->tracks);
    w->ids = calloc(opt->rooms, sizeof *w->ids);
    w->sent_ns =
        calloc(opt->rung == CLIENT_RICH ? talkers * CROWD_WINDOW_MAX : 1, sizeof *w->sent_ns);
    if (!w->clients || !w->talkers || !w->ready || !w->tracks || !w->ids || !w->sent_ns) return -1;
    place(w);
    return 0;
}

void crowd_reset(struct crowd *w)
{
    for (uint32_t i = 0; i < w->opt.clients; i++)
        client_reset(&w->clients[i]);
    w->open = 0;
}

void crowd_free(struct crowd *w)
{
    if (w->clients) crowd_reset(w);
    close(w->net.epfd);
    client_net_fini(&w->net);
    free(w->clients);
    free(w->talkers);
    free(w->ready);
    free(w->tracks);
    free(w->ids);
    free(w->sent_ns);
}

static size_t next_frame(struct crowd *w, struct talker *t, uint8_t *out)
{
    const struct client *c = &w->clients[t->client];
    uint32_t n = t->sent++;
    struct stamp s = {c->room, (uint32_t)c->talker, n, crowd_clock_ns()};
    char text[STAMP_LEN + 1], rich[64] = "", json[200];
    stamp_write(text, w->needle, &s);
    text[STAMP_LEN] = 0;
    if (w->opt.rung == CLIENT_RICH) {
        snprintf(rich, sizeof rich, "\"type\":\"message\",\"ref\":%u,", n);
        w->sent_ns[(size_t)(t - w->talkers) * CROWD_WINDOW_MAX + n % CROWD_WINDOW_MAX] = s.sent_ns;
    }
    int len = snprintf(json, sizeof json, "{%s\"message\":\"%s\",\"username\":\"u%u\"}", rich, text,
                       s.talker);
    return client_frame(out, 1, json, (size_t)len);
}

/* All texts a talker may send go out with one send, as a client that is fast would do it. */
static void talk(struct crowd *w, struct talker *t, uint32_t texts)
{
    uint8_t frames[CROWD_WINDOW_MAX * CLIENT_FRAME_MAX];
    struct client *c = &w->clients[t->client];
    if (c->state != CLIENT_OPEN) return;
    size_t len = 0;
    for (uint32_t i = 0; i < texts; i++)
        len += next_frame(w, t, frames + len);
    t->on_the_way += texts;
    w->due += (uint64_t)texts * (w->opt.clients / w->opt.rooms);
    if (w->opt.rung == CLIENT_RICH) w->acks_due += texts;
    w->progress_ns = w->now_ns;
    client_send(&w->net, c, frames, len);
}

static void talk_closed_loop(struct crowd *w)
{
    for (uint32_t i = 0; i < w->ready_count; i++) {
        struct talker *t = &w->talkers[w->ready[i]];
        t->ready = false;
        if (w->opt.bounce)
            talk(w, t, 1);
        else if (w->opt.window > t->on_the_way)
            talk(w, t, w->opt.window - t->on_the_way);
    }
    w->ready_count = 0;
}

/* One text of each talker when it is time and the last one has arrived everywhere; a text that is
 * lost for good holds the next one up for HOLD_NS only. */
static void talk_at_rate(struct crowd *w)
{
    if ((double)w->now_ns < w->rate_due_ns) return;
    if (w->verdict.arrived < w->due && w->now_ns - w->progress_ns < HOLD_NS) return;
    w->rate_due_ns = (double)w->now_ns + 1e9 / w->opt.rate;
    for (uint64_t i = 0; i < (uint64_t)w->opt.rooms * w->opt.talkers; i++)
        talk(w, &w->talkers[i], 1);
}

static int sleep_ms(const struct crowd *w)
{
    if (w->opt.spin) return 0;
    if (!w->talking || w->opt.rate == 0) return SLEEP_MS;
    double left_ms = (w->rate_due_ns - (double)w->now_ns) / 1e6;
    return left_ms <= 0 ? 0 : left_ms >= SLEEP_MS ? SLEEP_MS : (int)left_ms + 1;
}

static void turn(struct crowd *w)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(w->net.epfd, events, EVENTS_MAX, sleep_ms(w));
    for (int i = 0; i < n; i++) {
        uint32_t index = events[i].data.u32;
        struct client *c = &w->clients[index];
        bool opening = c->state == CLIENT_CONNECTING || c->state == CLIENT_SHAKING;
        w->now_ns = crowd_clock_ns();
        client_on_event(&w->net, c, index);
        if (opening && (c->state == CLIENT_OPEN || c->state == CLIENT_DEAD)) {
            w->opening--;
            if (c->state == CLIENT_OPEN) w->open++;
            hist_add(&w->shake, w->now_ns - c->started_ns);
        }
    }
    w->now_ns = crowd_clock_ns();
    if (!w->talking) return;
    if (w->opt.rate > 0)
        talk_at_rate(w);
    else
        talk_closed_loop(w);
}

int crowd_connect(struct crowd *w, uint32_t from, uint32_t to)
{
    uint32_t next = from, open_before = w->open;
    uint64_t progress_ns = crowd_clock_ns();
    w->now_ns = progress_ns;
    while (w->open - open_before < to - from) {
        while (next < to && w->opening < w->opt.at_once) {
            if (client_connect(&w->net, &w->clients[next], next, crowd_clock_ns())) return -1;
            w->opening++;
            next++;
        }
        uint32_t before = w->open;
        turn(w);
        if (w->net.dead) return -1;
        if (w->open != before) progress_ns = w->now_ns;
        if (w->now_ns - progress_ns > CONNECT_PATIENCE_NS) {
            snprintf(w->net.first_death, sizeof w->net.first_death, "no handshake done for 20 s");
            return -1;
        }
    }
    return 0;
}

void crowd_run(struct crowd *w, uint64_t ns)
{
    w->now_ns = crowd_clock_ns();
    uint64_t end_ns = w->now_ns + ns;
    while (w->now_ns < end_ns)
        turn(w);
}

void crowd_talk(struct crowd *w)
{
    w->talking = true;
    w->rate_due_ns = 0;
    if (w->opt.rate > 0) return;
    for (uint64_t i = 0; i < (uint64_t)w->opt.rooms * w->opt.talkers; i++)
        if (!w->opt.bounce || i % w->opt.talkers == 0) make_ready(w, &w->talkers[i]);
}

void crowd_say(struct crowd *w, uint32_t texts)
{
    for (uint64_t i = 0; i < (uint64_t)w->opt.rooms * w->opt.talkers; i++)
        talk(w, &w->talkers[i], texts);
}

static bool is_owed(const struct crowd *w)
{
    return w->verdict.arrived < w->due || w->acks < w->acks_due;
}

int crowd_await(struct crowd *w, uint64_t patience_ns)
{
    w->progress_ns = w->now_ns = crowd_clock_ns();
    while (is_owed(w) && w->now_ns - w->progress_ns < patience_ns)
        turn(w);
    return is_owed(w) ? -1 : 0;
}

int crowd_mark(struct crowd *w, uint64_t patience_ns)
{
    w->marking = true;
    crowd_say(w, 1);
    int err = crowd_await(w, patience_ns);
    w->marking = false;
    return err;
}

void crowd_rewind(struct crowd *w, uint32_t mark)
{
    w->net.since = w->ids;
    w->missed = w->talkers[0].sent - 1 - mark;
    w->due += (uint64_t)w->missed * w->opt.clients;
    w->resumed = (struct hist){0};
    for (uint32_t i = 0; i < w->opt.clients; i++) {
        w->tracks[i] = (struct track){.next = mark + 1, .seen = UINT64_MAX};
        w->clients[i].last_seq = 0;
        w->clients[i].resumed = 0;
    }
}

void crowd_drain(struct crowd *w, uint64_t patience_ns)
{
    w->talking = false;
    (void)crowd_await(w, patience_ns); /* what is missing is counted below */
    crowd_run(w, SURPLUS_NS);

    for (uint32_t i = 0; i < w->opt.clients; i++)
        for (uint32_t k = 0; k < w->opt.talkers; k++)
            track_end(&w->tracks[(uint64_t)i * w->opt.talkers + k],
                      w->talkers[(uint64_t)w->clients[i].room * w->opt.talkers + k].sent,
                      &w->verdict);
}
