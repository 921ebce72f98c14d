/* Options in, parts wired together, signals. The only place that sees everything. */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "api/api_import.h"
#include "auth/control.h"
#include "auth/guest_key.h"
#include "auth/key_file.h"
#include "auth/key_source.h"
#include "auth/policy.h"
#include "auth/room_rules.h"
#include "auth/site.h"
#include "auth/tokens.h"
#include "base/err.h"
#include "http/http_session.h"
#include "journal/local.h"
#include "ops/config.h"
#include "ops/log.h"
#include "ops/version.h"
#include "proto/forwarded.h"
#include "server/server.h"
#include "server/websocket.h"
#include "session/bare.h"
#include "session/pending_ack.h"
#include "session/rich_session.h"
#include "store/store_memory.h"
#include "store/store_sqlite.h"

enum { EXIT_OK = 0, EXIT_START_FAILED = 1, EXIT_USAGE = 2 };

/* Between the seqs of a room. Builds for tests have more, so that who takes a gap for a loss is
 * found. */
#ifndef PARLOR_SEQ_STEP
#define PARLOR_SEQ_STEP 1
#endif
enum { SEQ_STEP = PARLOR_SEQ_STEP };
enum { DRAIN_POLL_MS = 10, DATA_PATH_MAX = 4096, KEPT_MEMORY_MIN = 4 << 20 };

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

static unsigned core_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1) return 1;
    return n > SERVER_WORKERS_MAX ? SERVER_WORKERS_MAX : (unsigned)n;
}

static bool in_memory(const struct config *cf)
{
    return strcmp(cf->data, CONFIG_DATA_MEMORY) == 0;
}

/* What of the memory budget the store has; the other half is for who comes back. */
static uint32_t kept_memory(const struct config *cf)
{
    return in_memory(cf) ? cf->memory_budget_bytes / 2 : 0;
}

static struct store_limits store_limits(const struct config *cf)
{
    uint32_t kept = kept_memory(cf);
    if (kept < KEPT_MEMORY_MIN) kept = KEPT_MEMORY_MIN;
    return (struct store_limits){.max_rooms = cf->max_rooms,
                                 .max_bytes = in_memory(cf) ? kept : cf->max_database_bytes,
                                 .trim_when_full = cf->database_full == CONFIG_TRIM};
}

/* A plain name belongs into the directory that systemd made for the service, if it did. */
static void data_path(const struct config *cf, char path[static DATA_PATH_MAX])
{
    const char *dir = getenv("STATE_DIRECTORY");
    if (dir && dir[0] && !strchr(cf->data, '/'))
        snprintf(path, DATA_PATH_MAX, "%s/%s", dir, cf->data);
    else
        snprintf(path, DATA_PATH_MAX, "%s", cf->data);
}

/* import: as in store_sqlite.h. NULL after having logged why not. */
static struct store *open_store(const struct config *cf, struct log *log,
                                const struct store_options *options,
                                struct store_sqlite_import *import)
{
    char path[DATA_PATH_MAX];
    char why[STORE_SQLITE_TEXT_MAX] = "not enough memory to start";
    struct store *store;
    data_path(cf, path);
    if (in_memory(cf)) {
        store = store_memory_open(options);
    } else {
        int64_t undone_s = 0;
        const struct store_sqlite_options sqlite = {.path = path,
                                                    .relaxed = cf->durability == CONFIG_RELAXED,
                                                    .import = import,
                                                    .undone_s = &undone_s};
        store = store_sqlite_open(&sqlite, options, why);
        if (undone_s)
            LOG(log, LOG_WARN, "import_undone",
                "an import did not end: nothing of it is here, begin it again",
                LOG_I64("began_s", undone_s), LOG_STR("file", path));
        if (store) LOG(log, LOG_INFO, "store_opened", "history is kept", LOG_STR("file", path));
    }
    if (!store) LOG(log, LOG_ERROR, "store_failed", why, LOG_STR("file", path));
    return store;
}

static enum forwarded_header client_header(enum config_header header)
{
    if (header == CONFIG_FORWARDED) return FORWARDED_RFC7239;
    return header == CONFIG_X_REAL_IP ? FORWARDED_X_REAL_IP : FORWARDED_X_FORWARDED_FOR;
}

/* After each fetch of keys, on the source's thread. */
static void tell_keys(void *log, const struct key_source_health *h)
{
    if (h->failing)
        LOG(log, LOG_WARN, "keys_failed", "the keys of tokens could not be fetched, tries go on",
            LOG_STR("url", h->url), LOG_STR("why", h->error), LOG_U64("failures", h->failing),
            LOG_U64("keys", h->keys));
    else
        LOG(log, LOG_INFO, "keys_fetched", "the keys of tokens are here", LOG_STR("url", h->url),
            LOG_U64("keys", h->keys), LOG_STR("ignored", h->ignored ? h->ignored : "none"));
}

/* Of the one option that is given. NULL, and *why is a sentence for the log, or "". */
static struct key_source *open_keys(const struct config *cf, struct log *log,
                                    char why[static KEY_FILE_WHY_MAX])
{
    struct jwk_set *set = NULL;
    struct key_source *keys = NULL;
    why[0] = '\0';
    if (cf->jwks_url[0]) {
        const char *reason = NULL;
        const struct key_source_options o = {
            .url = cf->jwks_url, .on_fetch = tell_keys, .ctx = log};
        if (key_source_open(&o, &keys, &reason) != 0 && reason)
            snprintf(why, KEY_FILE_WHY_MAX, "%s", reason);
        return keys;
    }
    int err = cf->jwt_key[0] ? key_file_pem(cf->jwt_key, &set, why)
                             : key_file_secret(cf->jwt_secret_file, &set, why);
    if (!err) keys = key_source_open_fixed(set);
    return keys;
}

/* *out is NULL where no key is given. False after having logged why a key cannot be used. */
static bool open_tokens(const struct config *cf, struct log *log, struct tokens **out)
{
    char why[KEY_FILE_WHY_MAX];
    const struct jwt_rules rules = {.issuer = slice_of(cf->jwt_issuer),
                                    .audience = slice_of(cf->jwt_audience),
                                    .max_age_s = cf->token_max_age_s};
    *out = NULL;
    const char *option = cf->jwks_url[0]          ? "jwks-url"
                         : cf->jwt_key[0]         ? "jwt-key"
                         : cf->jwt_secret_file[0] ? "jwt-secret-file"
                                                  : NULL;
    if (!option) return true;
    struct key_source *keys = open_keys(cf, log, why);
    if (keys) *out = tokens_new(keys, &rules);
    if (*out) {
        LOG(log, LOG_INFO, "tokens_believed", "who has a token of this key is signed in",
            LOG_STR("option", option));
        return true;
    }
    LOG(log, LOG_ERROR, "key_failed", *why ? why : "not enough memory to start",
        LOG_STR("option", option));
    key_source_close(keys);
    return false;
}

/* Of the sections of rooms in the file. *out is for room_rules_free; NULL where there are none.
 * False after having said what is wrong. */
static bool make_rules(const struct config *cf, struct room_rules **out)
{
    struct room_rules_error wrong;
    size_t count = cf->room_line_count;
    *out = NULL;
    if (count == 0) return true;
    struct room_line *lines = calloc(count, sizeof *lines);
    for (size_t i = 0; lines && i < count; i++)
        lines[i] =
            (struct room_line){slice_of(cf->room_lines[i].pattern), slice_of(cf->room_lines[i].key),
                               slice_of(cf->room_lines[i].value)};
    int err = lines ? room_rules_new(lines, count, out, &wrong) : ERR_NOMEM;
    free(lines);
    if (err == ERR_CONFIG)
        fprintf(stderr, "parlor: %.256s:%u: %s\n", cf->file, cf->room_lines[wrong.line].line,
                wrong.why);
    else if (err)
        fprintf(stderr, "parlor: not enough memory to start\n");
    return err == 0;
}

/* When the site begins to fail, and when it works again; on its thread. */
static void tell_site(void *log, const struct site_health *h)
{
    if (h->failing)
        LOG(log, LOG_WARN, "site_failed",
            "auth-url does not say who somebody is: who signs in there is told to come back",
            LOG_STR("url", h->url), LOG_STR("why", h->error));
    else
        LOG(log, LOG_INFO, "site_works", "auth-url says again who somebody is",
            LOG_STR("url", h->url));
}

/* *out is NULL where the site is not to be asked. False after having logged why it cannot be. */
static bool open_site(const struct config *cf, struct log *log, struct site **out)
{
    const char *why = NULL;
    const struct site_options o = {.url = cf->auth_url,
                                   .cookies = cf->auth_cookies,
                                   .timeout_ms = cf->auth_timeout_ms,
                                   .cache_ms = cf->auth_cache_ms,
                                   .again_ms = cf->auth_recheck_ms,
                                   .on_change = tell_site,
                                   .ctx = log};
    *out = NULL;
    if (!cf->auth_url[0]) return true;
    if (site_open(&o, out, &why) == 0) {
        LOG(log, LOG_INFO, "site_believed", "who is signed in at the site is signed in here",
            LOG_STR("cookies", cf->auth_cookies[0] ? cf->auth_cookies : "none"));
        return true;
    }
    LOG(log, LOG_ERROR, "site_failed", why ? why : "not enough memory to start",
        LOG_STR("option", "auth-url, auth-cookies"));
    return false;
}

/* Whom the server believes, and what they may do. */
struct auth {
    struct tokens *tokens;              /* NULL: none is believed */
    struct site *site;                  /* NULL: it is not asked */
    struct guest_key_signer guest_keys; /* of a file, or else of the store's secret, see start */
    struct policy policy;
};

/* Of the file, if one is given. False after having logged why not. */
static bool read_guest_keys(const struct config *cf, struct log *log, struct guest_key_signer *out)
{
    char why[KEY_FILE_WHY_MAX];
    if (!cf->secret_file[0] || key_file_guest(cf->secret_file, out, why) == 0) return true;
    LOG(log, LOG_ERROR, "key_failed", *why ? why : "not enough memory to start",
        LOG_STR("option", "secret-file"));
    return false;
}

/* Of the store's secret, which is wiped, unless a file was given. False: memory is short. */
static bool make_guest_keys(const struct config *cf, uint8_t secret[static STORE_SECRET_BYTES],
                            struct guest_key_signer *out)
{
    const struct slice bytes = {(const char *)secret, STORE_SECRET_BYTES};
    int err = cf->secret_file[0] ? 0 : guest_key_signer_init(out, bytes);
    explicit_bzero(secret, STORE_SECRET_BYTES);
    return !err;
}

/* False after having logged why not; auth_close in any case. */
static bool auth_open(const struct config *cf, struct log *log, const struct room_rules *rules,
                      struct auth *out)
{
    bool fetches = cf->jwks_url[0] || cf->auth_url[0];
    *out = (struct auth){.policy = {.rules = rules, .control = control_new()}};
    if (!out->policy.control || (fetches && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)) {
        LOG(log, LOG_ERROR, "start_failed", "not enough memory to start");
        return false;
    }
    return open_tokens(cf, log, &out->tokens) && open_site(cf, log, &out->site) &&
           read_guest_keys(cf, log, &out->guest_keys);
}

static void auth_close(struct auth *auth)
{
    guest_key_signer_fini(&auth->guest_keys);
    control_free(auth->policy.control);
    site_close(auth->site);
    tokens_free(auth->tokens);
}

static void fill_addresses(const struct config *cf, struct server_address addresses[])
{
    for (size_t i = 0; i < cf->listen_count; i++)
        addresses[i] = (struct server_address){
            .host = cf->listen[i].host,
            .port = cf->listen[i].port,
            .optional = cf->listen[i].optional,
            .proxied = cf->listen[i].proxy,
        };
}

/* NULL after having logged why not. addresses and rules are filled in, for the server to borrow. */
static struct server *start(const struct config *cf, struct log *log, struct auth *auth,
                            struct server_address addresses[CONFIG_LISTEN_MAX],
                            struct forwarded_rules *rules)
{
    uint8_t secret[STORE_SECRET_BYTES] = {0};
    *rules = (struct forwarded_rules){.header = client_header(cf->client_address_header),
                                      .trusted = cf->trusted_proxies,
                                      .trusted_count = cf->trusted_proxy_count};
    fill_addresses(cf, addresses);
    const struct server_options options = {
        .log = log,
        .http = &http_session,
        .websocket = &websocket_ops,
        .bare = &bare_session,
        .rich = &rich_session,
        .api = &api_http,
        .addresses = addresses,
        .address_count = cf->listen_count,
        .workers = cf->workers ? cf->workers : core_count(),
        .max_connections = cf->max_connections,
        .max_connections_per_ip = cf->max_connections_per_ip,
        .budgets = {{[BUDGET_MESSAGES] = cf->messages_per_ip,
                     [BUDGET_CONNECTS] = cf->connects_per_ip,
                     [BUDGET_ROOMS] = cf->rooms_per_ip,
                     [BUDGET_HISTORY] = cf->history_per_ip,
                     [BUDGET_REQUESTS] = cf->requests_per_ip,
                     [BUDGET_SIGN_INS] = cf->sign_ins_per_ip}},
        .forwarded = rules,
        .loopback_exempt = cf->trust_loopback,
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
        .any_origin = cf->any_origin,
        .tokens = auth->tokens,
        .policy = &auth->policy,
        .site = auth->site,
        .guest_keys = &auth->guest_keys,
        .compression = cf->compression,
        .echo = cf->echo,
        .api_key = cf->api_key[0] ? cf->api_key : NULL,
        .memory_budget_bytes = cf->memory_budget_bytes - kept_memory(cf),
        .keep_events = cf->keep_messages,
        .keep_age_ms = (uint64_t)cf->keep_age_s * 1000,
    };
    struct server *server = server_new(&options);
    if (!server) return NULL;
    struct store_options store_options = {
        .keep = {(uint64_t)cf->keep_age_s * 1000, cf->keep_messages, cf->keep_bytes},
        .limits = store_limits(cf),
        .secret = secret};
    server_store_options(server, &store_options);
    pending_ack_store_options(server, &store_options);
    struct store *store = open_store(cf, log, &store_options, NULL);
    bool ready = make_guest_keys(cf, secret, &auth->guest_keys) && store;
    struct journal *journal =
        ready ? journal_local_new(store, cf->durability == CONFIG_STRICT, SEQ_STEP) : NULL;
    if (journal && server_start(server, store, journal) == 0) return server;
    if (store && !journal) LOG(log, LOG_ERROR, "start_failed", "not enough memory to start");
    if (!journal) store_close(store);
    server_free(server);
    return NULL;
}

/* Waits at most ms for a signal to stop, and lets the log say what it held back. What other
 * programs take for "reload" or "reopen the log" must not be the end of this one. */
static int wait_signal(const sigset_t *signals, long ms, struct log *log)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int got = sigtimedwait(signals, NULL, &time);
    log_tick(log);
    if (got == SIGTERM || got == SIGINT) return got;
    if (got > 0)
        LOG(log, LOG_INFO, "signal_ignored", "options are read at the start only: restart instead",
            LOG_STR("signal", got == SIGHUP    ? "SIGHUP"
                              : got == SIGUSR1 ? "SIGUSR1"
                                               : "SIGUSR2"));
    return 0;
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

static int serve(const struct config *cf, const struct room_rules *room_rules)
{
    /* Blocked before any thread starts, so that only sigwait sees them. */
    static const int heard[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof heard / sizeof heard[0]; i++)
        sigaddset(&signals, heard[i]);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    struct log *log = log_new(cf->log_format, cf->log_level, STDERR_FILENO);
    if (!log) {
        fprintf(stderr, "parlor: not enough memory to start\n");
        return EXIT_START_FAILED;
    }
    raise_file_limit(log);
    struct server_address addresses[CONFIG_LISTEN_MAX];
    struct forwarded_rules rules;
    struct auth auth;
    struct server *server =
        auth_open(cf, log, room_rules, &auth) ? start(cf, log, &auth, addresses, &rules) : NULL;
    if (server) run(server, log, &signals);
    auth_close(&auth);
    log_free(log);
    return server ? EXIT_OK : EXIT_START_FAILED;
}

/* Imports, closes the store, and prints what happened; true if all of it is there. */
static bool import_from(struct api_import *import, struct store *store,
                        struct store_sqlite_import *outcome, FILE *in)
{
    char why[API_IMPORT_TEXT_MAX];
    struct api_import_sum sum;
    bool read = api_import_run(import, store, in, &sum, why) == 0;
    if (!read) fprintf(stderr, "parlor: import: %s\n", why);
    outcome->end = read ? STORE_IMPORT_KEEP : STORE_IMPORT_NONE;
    store_close(store);
    if (read && outcome->end == STORE_IMPORT_NONE)
        fprintf(stderr,
                "parlor: import: it cannot be stored at its end: %s; nothing was imported: "
                "see to that, and import it again\n",
                outcome->why);
    if (outcome->end == STORE_IMPORT_UNKNOWN)
        fprintf(stderr,
                "parlor: import: the disk failed at its end (%s), and it is not known "
                "whether all was imported or nothing: import it again, which is refused if "
                "it was\n",
                outcome->why);
    if (outcome->end != STORE_IMPORT_KEEP) return false;
    printf("parlor: imported; rooms: %" PRIu64 ", events: %" PRIu64 "\n", sum.rooms, sum.events);
    return true;
}

static void tell_import(void *ctx, enum store_file_event what, const char *text)
{
    (void)ctx;
    (void)what;
    fprintf(stderr, "parlor: import: %s\n", text);
}

static int import(const struct config *cf)
{
    bool done = false;
    struct store_sqlite_import outcome = {.end = STORE_IMPORT_NONE};
    struct store_options options = {.on_file =
                                        tell_import}; /* a server that starts on it will trim */
    struct store *store = NULL;
    struct api_import *import = NULL;
    struct log *log = NULL;
    bool standard_input = strcmp(cf->operand, "-") == 0;
    FILE *in = standard_input ? stdin : fopen(cf->operand, "re");
    if (!in) {
        fprintf(stderr, "parlor: import: %s: %s\n", cf->operand, strerror(errno));
        return EXIT_START_FAILED;
    }
    if (in_memory(cf)) {
        fprintf(stderr, "parlor: import: --data " CONFIG_DATA_MEMORY " would keep nothing\n");
        goto out;
    }
    log = log_new(cf->log_format, LOG_WARN, STDERR_FILENO);
    import = api_import_new(&options);
    if (!log || !import) {
        fprintf(stderr, "parlor: not enough memory to start\n");
        goto out;
    }
    store = open_store(cf, log, &options, &outcome);
    if (store) done = import_from(import, store, &outcome, in);
out:
    api_import_free(import);
    if (log) log_free(log);
    if (!standard_input) fclose(in);
    return done ? EXIT_OK : EXIT_START_FAILED;
}

static int restore(const struct config *cf)
{
    char path[DATA_PATH_MAX];
    char why[STORE_SQLITE_TEXT_MAX] = "--data " CONFIG_DATA_MEMORY " keeps nothing";
    data_path(cf, path);
    bool memory = strcmp(cf->data, CONFIG_DATA_MEMORY) == 0;
    if (memory || store_sqlite_restore(cf->operand, path, why) != 0) {
        fprintf(stderr, "parlor: restore: %s\n", why);
        return EXIT_START_FAILED;
    }
    printf("parlor: restored %s; every room has a new epoch\n", path);
    return EXIT_OK;
}

static int examine(const struct config *cf)
{
    if (access(cf->operand, R_OK) != 0) { /* which is no damage */
        fprintf(stderr, "parlor: check: %s: %s\n", cf->operand, strerror(errno));
        return EXIT_USAGE;
    }
    return store_sqlite_check(cf->operand, stdout) == 0 ? EXIT_OK : EXIT_START_FAILED;
}

int main(int argc, char **argv)
{
    struct config cf;
    char error[CONFIG_ERROR_BYTES];
    if (config_load(argc, argv, environ, &cf, error, sizeof error) != 0) {
        fprintf(stderr, "parlor: %s\n", error);
        return EXIT_USAGE;
    }
    config_hide_secrets(argv);
    struct room_rules *rules;
    if (!make_rules(&cf, &rules)) {
        config_fini(&cf);
        return EXIT_USAGE;
    }
    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is a full disk, not an end */
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
    case CONFIG_IMPORT:
        status = import(&cf);
        break;
    case CONFIG_EXAMINE:
        status = examine(&cf);
        break;
    case CONFIG_RESTORE:
        status = restore(&cf);
        break;
    case CONFIG_RUN:
        status = serve(&cf, rules);
        break;
    }
    room_rules_free(rules);
    config_fini(&cf);
    return status;
}
