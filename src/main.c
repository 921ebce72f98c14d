/* Options in, parts wired together, signals. The only place that sees everything. */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ops/config.h"
#include "ops/log.h"
#include "ops/version.h"
#include "server/server.h"

enum { EXIT_OK = 0, EXIT_START_FAILED = 1, EXIT_USAGE = 2 };
enum { DRAIN_POLL_MS = 10 };

extern char **environ;

/* Every connection is a descriptor: takes as many as the system allows, and says how many. */
static void raise_file_limit(struct log *log)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) != 0) return;
    rlim_t before = rl.rlim_cur;
    rl.rlim_cur = rl.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &rl) != 0) rl.rlim_cur = before;
    LOG(log, LOG_INFO, "file_limit", "open files this process may have",
        LOG_U64("limit", rl.rlim_cur), LOG_U64("was", before));
}

/* Room logs are made and given back in every turn. glibc would return that memory to the system
 * each time and fault it in again: measured at up to a fifth of the CPU with 500 busy rooms. */
static void keep_freed_memory(void)
{
    mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024);
    mallopt(M_TOP_PAD, 1024 * 1024);
}

static unsigned core_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1) return 1;
    return n > SERVER_WORKERS_MAX ? SERVER_WORKERS_MAX : (unsigned)n;
}

static struct server *start(const struct config *cf, struct log *log,
                            struct server_address addresses[CONFIG_LISTEN_MAX])
{
    for (size_t i = 0; i < cf->listen_count; i++)
        addresses[i] =
            (struct server_address){cf->listen[i].host, cf->listen[i].port, cf->listen[i].optional};
    const struct server_options options = {
        .log = log,
        .addresses = addresses,
        .address_count = cf->listen_count,
        .workers = cf->workers ? cf->workers : core_count(),
        .max_connections = cf->max_connections,
        .max_connections_per_ip = cf->max_connections_per_ip,
        .max_frame_bytes = cf->max_frame_bytes,
        .max_message_bytes = cf->max_message_bytes,
        .rate = cf->rate,
        .lag_max_bytes = cf->lag_max_bytes,
        .handshake_timeout_ms = cf->handshake_timeout_ms,
        .keepalive_timeout_ms = cf->keepalive_timeout_ms,
        .ping_interval_ms = cf->ping_interval_ms,
        .drain_timeout_ms = cf->drain_timeout_ms,
        .origins = (const char *const *)cf->origins,
        .origin_count = cf->origin_count,
        .compression = cf->compression,
        .echo = cf->echo,
    };
    return server_start(&options);
}

/* Waits at most ms for one of the signals, and lets the log say what it held back. */
static int wait_signal(const sigset_t *signals, long ms, struct log *log)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int got = sigtimedwait(signals, NULL, &time);
    log_tick(log);
    return got > 0 ? got : 0;
}

/* Waits for the signal to stop, drains, and lets a second signal end the waiting. */
static void run(struct server *server, struct log *log, const sigset_t *signals)
{
    int got = 0;
    while (!got)
        got = wait_signal(signals, LOG_WINDOW_MS, log);
    LOG(log, LOG_INFO, "draining", "closing all connections; the same signal again stops at once",
        LOG_STR("signal", got == SIGINT ? "SIGINT" : "SIGTERM"));
    server_drain(server, false);
    while (!server_ended(server))
        if (wait_signal(signals, DRAIN_POLL_MS, log)) server_drain(server, true);
    server_free(server);
    LOG(log, LOG_INFO, "stopped", "all connections are closed");
}

static int serve(const struct config *cf)
{
    /* Blocked before any thread starts, so that only sigwait sees them. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    keep_freed_memory();

    struct log *log = log_new(cf->log_format, cf->log_level, STDERR_FILENO);
    if (!log) {
        fprintf(stderr, "parlor: not enough memory to start\n");
        return EXIT_START_FAILED;
    }
    raise_file_limit(log);
    struct server_address addresses[CONFIG_LISTEN_MAX];
    struct server *server = start(cf, log, addresses);
    if (server) run(server, log, &signals);
    log_free(log);
    return server ? EXIT_OK : EXIT_START_FAILED;
}

int main(int argc, char **argv)
{
    struct config cf;
    char error[CONFIG_ERROR_BYTES];
    if (config_load(argc, argv, environ, &cf, error, sizeof error) != 0) {
        fprintf(stderr, "parlor: %s\n", error);
        return EXIT_USAGE;
    }
    int status = EXIT_OK;
    switch (cf.action) {
    case CONFIG_HELP:
        config_help(stdout);
        break;
    case CONFIG_VERSION:
        puts("parlor " PARLOR_VERSION);
        break;
    case CONFIG_CHECK:
        puts("parlor: the configuration is valid");
        break;
    case CONFIG_PRINT:
        config_print(&cf, stdout);
        break;
    case CONFIG_RUN:
        status = serve(&cf);
        break;
    }
    config_fini(&cf);
    return status;
}
