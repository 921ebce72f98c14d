/* See server.h. */
#include "server/server.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/api_key.h"
#include "auth/policy.h"
#include "auth/site.h"
#include "base/account.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "chat/hub.h"
#include "chat/recent.h"
#include "journal/journal.h"
#include "net/socket.h"
#include "ops/log.h"
#include "proto/look.h"
#include "proto/ws_deflate.h"
#include "proto/ws_handshake.h"
#include "server/budget.h"
#include "server/control_log.h"
#include "server/outage.h"
#include "server/overflow.h"
#include "server/peer_counts.h"
#include "server/store_log.h"
#include "server/turn.h"
#include "server/websocket.h"
#include "server/worker.h"

static void log_memory(const struct server_options *o)
{
    LOG(o->log, LOG_ERROR, "start_failed", "not enough memory or descriptors to start",
        LOG_STR("reason", strerror(errno)));
}

static void log_listen_failed(const struct server_options *o, const struct server_address *a)
{
    const char *text =
        errno == EADDRINUSE
            ? "cannot listen: the address is in use; is another server running there?"
            : "cannot listen on the address";
    LOG(o->log, LOG_ERROR, "listen_failed", text, LOG_STR("host", a->host),
        LOG_U64("port", a->port), LOG_STR("reason", strerror(errno)));
}

/* The URL is one to open: "every address" is none, so a phone beside it needs this machine's. */
static void log_listening(const struct server *s, const struct server_address *a, uint16_t port)
{
    char outward[SOCKET_TEXT_MAX];
    bool everywhere = socket_outward_address(a->host, outward);
    const char *host = everywhere ? outward : a->host;
    const char *text = a->proxied   ? "ready for proxies that speak the PROXY protocol"
                       : everywhere ? "ready for connections, also from other devices"
                                    : "ready for connections";
    char url[SOCKET_TEXT_MAX * 2];
    snprintf(url, sizeof url, strchr(host, ':') ? "http://[%s]:%u/" : "http://%s:%u/", host, port);
    LOG(s->options.log, LOG_INFO, "listening", text, LOG_STR("url", url),
        LOG_U64("workers", s->worker_count));
}

/* One socket per worker for the address. Returns 0, or ERR_IO after logging. */
static int listen_on(struct server *s, const struct server_address *a)
{
    uint16_t port = a->port;
    for (unsigned i = 0; i < s->worker_count; i++) {
        int fd = socket_listen(a->host, port, i == 0);
        if (fd >= 0 && port == 0) port = socket_port(fd); /* the others join the one we got */
        if (fd < 0) {
            bool lacking = errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT;
            if (i == 0 && a->optional && lacking) return 0;
            log_listen_failed(&s->options, a);
            return ERR_IO;
        }
        if (turn_listen(&s->workers[i], fd, a) != 0) {
            close(fd);
            log_memory(&s->options);
            return ERR_IO;
        }
    }
    log_listening(s, a, port);
    return 0;
}

static int listen_all(struct server *s)
{
    for (size_t i = 0; i < s->options.address_count; i++) {
        int err = listen_on(s, &s->options.addresses[i]);
        if (err) return err;
    }
    if (s->workers[0].listener_count > 0) return 0;
    LOG(s->options.log, LOG_ERROR, "listen_failed", "none of the addresses exists on this machine");
    return ERR_IO;
}

static uint64_t random_bits(void)
{
    uint64_t bits = 0;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits) bits = (uint64_t)time(NULL);
    return bits;
}

/* What the workers share, and memory for them; false if memory is short. */
static bool make_parts(struct server *s)
{
    size_t bytes = s->options.workers * sizeof *s->workers;
    s->guest_seed = random_bits();
    const struct server_options *o = &s->options;
    uint64_t lag_half = o->lag_max_bytes / 2; /* or a member that resumes would be cut for it */
    const struct hub_options hub = {
        .seed = random_bits(),
        .memory_budget_bytes = o->memory_budget_bytes,
        .message_max_bytes = websocket_message_limit(o, o->echo),
        .recent = {.max_events =
                       o->keep_events && o->keep_events < RECENT_MAX ? o->keep_events : RECENT_MAX,
                   .max_bytes = lag_half && lag_half < RECENT_MAX_BYTES ? (uint32_t)lag_half
                                                                        : RECENT_MAX_BYTES,
                   .max_age_ms = o->keep_age_ms},
    };
    s->outage = calloc(1, sizeof *s->outage);
    s->hub = hub_new(&hub);
    s->budgets = budget_new(&o->budgets);
    atomic_init(&s->loopback_exempt, o->loopback_exempt);
    s->encoder.deflater = ws_deflater_new(SERVER_DEFLATE_LEVEL);
    s->workers = aligned_alloc(_Alignof(struct worker), bytes);
    if (!s->outage || !s->hub || !s->workers || !s->encoder.deflater || !s->budgets) return false;
    memset(s->workers, 0, bytes);
    s->peers = peer_counts_new();
    return s->peers;
}

/* Counted once, before there are many: a look at /proc takes as long as there are descriptors. */
static uint64_t count_open_fds(void)
{
    uint64_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the directory itself */
}

/* How many connections there may be, so that descriptors are always left for the store, and for
 * those beyond the limit that are told so or ask for /healthz. */
static void plan_descriptors(struct server *s, uint64_t limit)
{
    uint64_t wanted = s->options.max_connections ? s->options.max_connections : INT32_MAX;
    uint64_t used = s->own_fds + SERVER_RESERVED_FDS + (s->options.site ? SITE_FDS_MAX : 0);
    uint64_t left = limit > used ? limit - used : 0;
    uint64_t beyond = left > wanted && left - wanted > left / 4 ? left - wanted : left / 4;
    uint64_t most = beyond / s->worker_count;
    most = most < OVERFLOW_MIN ? OVERFLOW_MIN : most > OVERFLOW_MAX ? OVERFLOW_MAX : most;
    for (unsigned i = 0; i < s->worker_count; i++)
        s->workers[i].overflow->most = (unsigned)most;
    uint64_t room = left > most * s->worker_count ? left - most * s->worker_count : 1;
    s->max_connections = (uint32_t)(wanted < room ? wanted : room);
    s->max_per_client = s->options.max_connections_per_ip ? s->options.max_connections_per_ip
                                                          : (s->max_connections + 1) / 2;
    if (s->options.max_connections && wanted > room)
        LOG(s->options.log, LOG_WARN, "connections_capped",
            "the open-file limit allows fewer connections than max-connections",
            LOG_U64("connections", room), LOG_U64("open_files", limit));
}

/* False if memory is short. */
static bool take_key(struct server *s)
{
    const char *key = s->options.api_key;
    if (!key) return true;
    s->api_key = malloc(API_KEY_DIGEST_BYTES);
    return s->api_key && api_key_digest((struct slice){key, strlen(key)}, s->api_key) == 0;
}

struct server *server_new(const struct server_options *options)
{
    CHECK(options->workers >= 1 && options->workers <= SERVER_WORKERS_MAX);
    CHECK(options->address_count <= SERVER_ADDRESSES_MAX);
    struct server *s = ws_handshake_init() == 0 && look_init() == 0 ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        log_memory(options);
        return NULL;
    }
    s->options = *options;
    s->start_ms = (uint64_t)clock_ms(CLOCK_MONOTONIC);
    bool whole = make_parts(s) && take_key(s);
    while (whole && s->worker_count < options->workers) {
        unsigned i = s->worker_count++;
        whole = turn_init(&s->workers[i], s, i) == 0;
    }
    if (whole) return s;
    log_memory(options);
    server_free(s);
    return NULL;
}

void server_store_options(struct server *server, struct store_options *out)
{
    store_log_options(server, out);
}

static bool start_workers(struct server *s)
{
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct worker *w = &s->workers[i];
        int rc = pthread_create(&w->thread, NULL, turn_run, w);
        if (rc != 0) {
            errno = rc;
            return false;
        }
        char name[32]; /* at most 15 are used: the index is below 256 */
        snprintf(name, sizeof name, "worker-%u", i);
        pthread_setname_np(w->thread, name);
        s->started++;
    }
    return true;
}

int server_start(struct server *s, struct store *store, struct journal *journal)
{
    s->options.store = store;
    s->options.journal = journal;
    hub_set_store(s->hub, store, journal);
    struct rlimit files = {.rlim_cur = RLIM_INFINITY};
    getrlimit(RLIMIT_NOFILE, &files);
    s->control_log = control_log_open(store, journal, s->options.policy->control, s->options.log);
    if (!s->control_log || listen_all(s) != 0) return ERR_IO;
    s->own_fds = count_open_fds();
    plan_descriptors(s, files.rlim_cur);
    if (start_workers(s)) return 0;
    log_memory(&s->options);
    server_drain(s, true);
    return ERR_IO;
}

void server_drain(struct server *s, bool now)
{
    if (now) atomic_store(&s->stopping, true);
    atomic_store(&s->draining, true);
    for (unsigned i = 0; i < s->worker_count; i++)
        mailbox_wake(&s->workers[i].mailbox);
}

bool server_ended(const struct server *s)
{
    return atomic_load(&s->ended) == s->started;
}

/* Not once for each: what one worker does last may be an answer to another, which was asked before
 * its thread had ended. */
static void empty_workers(struct server *s)
{
    bool any = true;
    while (any) {
        any = false;
        for (unsigned i = 0; i < s->worker_count; i++)
            any = turn_empty(&s->workers[i]) || any;
    }
}

/* Nobody is left: what is counted has to be what the rooms keep, to the byte. */
static void check_memory(const struct server *s)
{
#ifdef PARLOR_DEBUG
    if (!s->hub) return;
    hub_check(s->hub, true);
    CHECK(account_used(hub_answers(s->hub)) == 0);
    CHECK(account_used(hub_input(s->hub)) == 0);
    CHECK(account_used(hub_contexts(s->hub)) == 0);
#else
    (void)s;
#endif
}

void server_free(struct server *s)
{
    for (unsigned i = 0; i < s->started; i++)
        pthread_join(s->workers[i].thread, NULL);
    store_close(s->options.store); /* its last answers come now */
    if (s->options.site) site_stop(s->options.site);
    empty_workers(s);
    for (unsigned i = 0; i < s->worker_count; i++)
        turn_fini(&s->workers[i]);
    check_memory(s);
    hub_free(s->hub);
    control_log_free(s->control_log);
    journal_free(s->options.journal);
    encoder_fini(&s->encoder);
    peer_counts_free(s->peers);
    budget_free(s->budgets);
    free(s->outage);
    free(s->api_key);
    free(s->workers); /* NULL only if none was started */
    free(s);
}
