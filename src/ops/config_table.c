/* See config_table.h. */
#include "ops/config_table.h"

#include "base/check.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define DAY_S UINT64_C(86400)
#define FIELD(name) offsetof(struct config, name)

const struct config_option config_options[] = {
    {"listen", CONFIG_KIND_LISTEN, CONFIG_GROUP_ADDRESS, FIELD(listen), 0, 0, NULL, "ADDR:PORT",
     "localhost:8000",
     "Address to listen on; may be given several times. localhost is 127.0.0.1 and ::1, * or "
     "nothing before the colon is every address of the machine, a port alone is on localhost. "
     "Port 0 takes a free one. proxy: in front takes connections of proxies that begin with a "
     "header of the PROXY protocol, and no others."},
    {"workers", CONFIG_KIND_COUNT, CONFIG_GROUP_ADDRESS, FIELD(workers), 1, 256, "auto", "N",
     "auto", "Worker threads. auto is one for each processor core."},

    {"data", CONFIG_KIND_PATH, CONFIG_GROUP_HISTORY, FIELD(data), 0, 0, NULL, "FILE", "parlor.db",
     "SQLite file that keeps what was said; it is made if it does not exist. A name without a "
     "directory is in the working directory, or in systemd's state directory if there is one. "
     ":memory: keeps nothing beyond the process and, without one of the keep options, the newest "
     "1000 of a room."},
    {"durability", CONFIG_KIND_DURABILITY, CONFIG_GROUP_HISTORY, FIELD(durability), 0,
     CONFIG_STRICT, NULL, "WORD", "commit",
     "What an ack promises. commit: the message is on the disk; others may have it before that. "
     "strict: nobody gets it before it is on the disk. relaxed: it is with the system; a power cut "
     "may take the newest."},
    {"keep-age", CONFIG_KIND_AGE, CONFIG_GROUP_HISTORY, FIELD(keep_age_s), 1, 36500 * DAY_S, "none",
     "TIME", "none", "How long a room keeps what was said."},
    {"keep-messages", CONFIG_KIND_COUNT, CONFIG_GROUP_HISTORY, FIELD(keep_messages), 1, UINT32_MAX,
     "none", "N", "none",
     "How many messages a room keeps; edits, deletions and reactions count too."},
    {"keep-bytes", CONFIG_KIND_SIZE, CONFIG_GROUP_HISTORY, FIELD(keep_bytes), KIB, 3 * GIB, "none",
     "SIZE", "none", "How many bytes of text a room keeps, and 64 for each message."},
    {"memory-budget", CONFIG_KIND_SIZE, CONFIG_GROUP_HISTORY, FIELD(memory_budget_bytes), 0,
     3 * GIB, NULL, "SIZE", "64m",
     "Memory for what was said lately, in all rooms together: who comes back is served from there, "
     "without a look at the disk. Rooms, nonces, read markers, pages of history on their way and "
     "what sockets do not take come out of it first. So do, up to a quarter of it each, messages "
     "and requests that have begun and not ended, and what clients keep of their compression. With "
     "--data :memory: half of it, but 4m at least, is all that is kept."},
    {"max-rooms", CONFIG_KIND_COUNT, CONFIG_GROUP_HISTORY, FIELD(max_rooms), 1, UINT32_MAX, "none",
     "N", "1000000",
     "Rooms in which something was said and is kept; a new one beyond is refused with "
     "server_full."},
    {"max-database-bytes", CONFIG_KIND_DISK, CONFIG_GROUP_HISTORY, FIELD(max_database_bytes), MIB,
     64 * TIB, "none", "SIZE", "none",
     "How large the SQLite file may grow; its -wal beside it takes up to 64m more."},
    {"database-full", CONFIG_KIND_WHEN_FULL, CONFIG_GROUP_HISTORY, FIELD(database_full), 0,
     CONFIG_TRIM, NULL, "WORD", "refuse",
     "What happens at max-database-bytes. refuse: messages are refused with unavailable, nothing "
     "is lost. trim: the oldest messages of the largest rooms make place."},

    {"max-connections", CONFIG_KIND_COUNT, CONFIG_GROUP_LIMITS, FIELD(max_connections), 1,
     100000000, "none", "N", "none",
     "Connections at one time, all workers together; more are answered with 503. Without it, and "
     "at most, what the open-file limit allows, less a reserve."},
    {"max-connections-per-ip", CONFIG_KIND_COUNT, CONFIG_GROUP_LIMITS,
     FIELD(max_connections_per_ip), 1, 100000000, "none", "N", "none",
     "Connections at one time of one client: an IPv4 address or an IPv6 /64. Without it, half of "
     "all that may be open."},
    {"max-frame-bytes", CONFIG_KIND_SIZE, CONFIG_GROUP_LIMITS, FIELD(max_frame_bytes), 128, GIB,
     "none", "SIZE", "64k",
     "Largest WebSocket message taken from a client, decompressed, all fragments together; a "
     "larger one closes the connection with 1009."},
    {"max-message-bytes", CONFIG_KIND_SIZE, CONFIG_GROUP_LIMITS, FIELD(max_message_bytes), 1, GIB,
     "none", "SIZE", "16k",
     "Largest chat text, in bytes of UTF-8; a longer one is refused with too_long."},
    {"rate", CONFIG_KIND_COUNT, CONFIG_GROUP_LIMITS, FIELD(rate), 1, 1000000, "none", "N", "20",
     "Messages a connection may send in 10 seconds, as many of them at once; more are refused with "
     "rate_limited."},
    {"lag-max-bytes", CONFIG_KIND_SIZE, CONFIG_GROUP_LIMITS, FIELD(lag_max_bytes), 4 * KIB, GIB,
     "none", "SIZE", "1m",
     "How far a slow reader may lag behind its room before it is closed with 4202: for a second, "
     "or at once if it is four times as far."},

    {"messages-per-ip", CONFIG_KIND_COUNT, CONFIG_GROUP_CLIENTS, FIELD(messages_per_ip), 1, 1000000,
     "none", "N", "1000",
     "Messages, edits and reactions of one client in 10 seconds, on all its connections together; "
     "one whose text and data are more than 1 KiB as JSON counts once for each KiB begun. More are "
     "refused with rate_limited."},
    {"connects-per-ip", CONFIG_KIND_COUNT, CONFIG_GROUP_CLIENTS, FIELD(connects_per_ip), 1, 1000000,
     "none", "N", "500",
     "Connections that one client may open in 10 seconds; more are answered with 429, or closed."},
    {"rooms-per-ip", CONFIG_KIND_COUNT, CONFIG_GROUP_CLIENTS, FIELD(rooms_per_ip), 1, 1000000,
     "none", "N", "200",
     "Rooms in which nobody ever spoke or is, that one client may enter in 10 seconds; more are "
     "refused with rate_limited."},
    {"history-per-ip", CONFIG_KIND_COUNT, CONFIG_GROUP_CLIENTS, FIELD(history_per_ip), 1, 1000000,
     "none", "N", "500",
     "Times that one client may ask for what was said before, in 10 seconds; more are refused with "
     "rate_limited."},
    {"requests-per-ip", CONFIG_KIND_COUNT, CONFIG_GROUP_CLIENTS, FIELD(requests_per_ip), 1, 1000000,
     "none", "N", "10000",
     "Requests of one client in 10 seconds: by HTTP, and frames that are no messages, as join, "
     "who, typing and read; an answer to who counts once for each KiB begun. More are refused "
     "with rate_limited, by HTTP with 429. Health checks, and calls of the API with its key, do "
     "not "
     "count."},
    {"sign-ins-per-ip", CONFIG_KIND_COUNT, CONFIG_GROUP_CLIENTS, FIELD(sign_ins_per_ip), 1, 1000000,
     "none", "N", "200",
     "Questions to the site (auth-url) that one client may bring about in 10 seconds; one whose "
     "answer is known, or on its way, is none. More are refused with rate_limited."},
    {"trusted-proxies", CONFIG_KIND_NETS, CONFIG_GROUP_CLIENTS, FIELD(trusted_proxies), 0, 0, NULL,
     "LIST", "loopback",
     "Whom the server believes whose a connection is, separated by commas. loopback is 127.0.0.0/8 "
     "and ::1, and a program there that forwards for nobody has none of the budgets above; none is "
     "nobody."},
    {"client-address-header", CONFIG_KIND_HEADER, CONFIG_GROUP_CLIENTS,
     FIELD(client_address_header), 0, CONFIG_X_REAL_IP, NULL, "NAME", "X-Forwarded-For",
     "The header in which the trusted proxies name the client. Only one is believed, since a proxy "
     "passes on what it does not set."},

    {"handshake-timeout", CONFIG_KIND_DURATION, CONFIG_GROUP_TIMEOUTS, FIELD(handshake_timeout_ms),
     10, 10 * MINUTE, NULL, "TIME", "10s",
     "Time a peer has to send what it has begun: its first request, or a WebSocket message."},
    {"keepalive-timeout", CONFIG_KIND_DURATION, CONFIG_GROUP_TIMEOUTS, FIELD(keepalive_timeout_ms),
     10, 60 * MINUTE, NULL, "TIME", "15s",
     "Time an HTTP connection may stay idle between requests; clients are told one second less."},
    {"ping-interval", CONFIG_KIND_DURATION, CONFIG_GROUP_TIMEOUTS, FIELD(ping_interval_ms), 10,
     60 * MINUTE, NULL, "TIME", "25s",
     "Time between pings to a WebSocket; a peer silent for two of them is cut. Keep it below the "
     "idle timeout of any proxy on the way."},
    {"drain-timeout", CONFIG_KIND_DURATION, CONFIG_GROUP_TIMEOUTS, FIELD(drain_timeout_ms), 0,
     60 * MINUTE, NULL, "TIME", "10s",
     "Time to close all connections in a paced way after SIGTERM or SIGINT."},

    {"origins", CONFIG_KIND_ORIGINS, CONFIG_GROUP_PROTOCOL, FIELD(origins), 0, 0, "auto", "LIST",
     "auto",
     "Web origins whose pages may open a WebSocket besides the server's own, separated by commas; "
     "* is any. auto is any where the server listens on a loopback address and auth-url is none, "
     "else none. A loopback listener answers to localhost, addresses and the hosts of these "
     "origins only."},
    {"compression", CONFIG_KIND_BOOL, CONFIG_GROUP_PROTOCOL, FIELD(compression), 0, 1, NULL,
     "on|off", "on", "permessage-deflate for clients that offer it."},
    {"echo", CONFIG_KIND_FLAG, CONFIG_GROUP_PROTOCOL, FIELD(echo), 0, 1, NULL, "", "off",
     "Serve /ws/echo/, which sends every message back as it came, for conformance suites. Not for "
     "production."},

    {"jwt-secret-file", CONFIG_KIND_PATH, CONFIG_GROUP_IDENTITY, FIELD(jwt_secret_file), 0, 0,
     "none", "FILE", "none",
     "File with the secret of 32 bytes or more with which your site signs the tokens (JWTs, HS256 "
     "to HS512) that say who its users are; nobody else may be able to read it (chmod 600). One "
     "line feed at its end is no part of it."},
    {"jwt-key", CONFIG_KIND_PATH, CONFIG_GROUP_IDENTITY, FIELD(jwt_key), 0, 0, "none", "FILE",
     "none",
     "PEM file with the public key of who signs them instead: RSA (RS256 to PS512), P-256, P-384, "
     "P-521 (ES256 to ES512) or Ed25519 (EdDSA)."},
    {"jwks-url", CONFIG_KIND_TEXT, CONFIG_GROUP_IDENTITY, FIELD(jwks_url), 0, 0, "none", "URL",
     "none",
     "https address at which who signs them publishes the keys (JWK Set) instead; they are fetched "
     "again every ten minutes, and when a token names a new one. Demands jwt-issuer and "
     "jwt-audience."},
    {"jwt-issuer", CONFIG_KIND_TEXT, CONFIG_GROUP_IDENTITY, FIELD(jwt_issuer), 0, 0, "any", "TEXT",
     "any", "What iss of a token has to be."},
    {"jwt-audience", CONFIG_KIND_TEXT, CONFIG_GROUP_IDENTITY, FIELD(jwt_audience), 0, 0, "none",
     "TEXT", "none",
     "What aud of a token has to be, or to hold. With none, a token that has one is for somebody "
     "else, and refused."},
    {"token-max-age", CONFIG_KIND_AGE, CONFIG_GROUP_IDENTITY, FIELD(token_max_age_s), 60,
     365 * DAY_S, NULL, "TIME", "30d",
     "How far ahead exp of a token may be; one that lives longer is refused."},
    {"auth-url", CONFIG_KIND_TEXT, CONFIG_GROUP_IDENTITY, FIELD(auth_url), 0, 0, "none", "URL",
     "none",
     "Address of your site that says who has the session that a browser or program sends along: "
     "200 with {\"user\": ..., \"username\": ...}, 401 for nobody, 403 for not let in. https, or "
     "http on this machine. With {room} in its path or query, each room is asked about. Then only "
     "pages of this host, or of origins, may connect."},
    {"auth-cookies", CONFIG_KIND_TEXT, CONFIG_GROUP_IDENTITY, FIELD(auth_cookies), 0, 0, "none",
     "LIST", "none",
     "Names of the cookies that auth-url is sent, separated by commas, as sessionid; no others "
     "are. Authorization is sent, too, unless it is a token that is read here."},
    {"auth-timeout", CONFIG_KIND_DURATION, CONFIG_GROUP_IDENTITY, FIELD(auth_timeout_ms), 100,
     MINUTE, NULL, "TIME", "5s",
     "Time auth-url has to answer; beyond, who waits for it is told to come back (4103). Has to be "
     "less than handshake-timeout."},
    {"auth-cache", CONFIG_KIND_DURATION, CONFIG_GROUP_IDENTITY, FIELD(auth_cache_ms), 0, MINUTE,
     "none", "TIME", "10s", "How long an answer of auth-url holds for the same question."},
    {"auth-recheck", CONFIG_KIND_DURATION, CONFIG_GROUP_IDENTITY, FIELD(auth_recheck_ms), SECOND,
     60 * MINUTE, NULL, "TIME", "5m",
     "After what time auth-url is asked again about an open connection, if its answer had no "
     "expires; up to a quarter earlier. 401 and 403 close it."},
    {"secret-file", CONFIG_KIND_PATH, CONFIG_GROUP_IDENTITY, FIELD(secret_file), 0, 0, "none",
     "FILE", "none",
     "File with a secret of 32 bytes or more with which the server signs the keys of guests; "
     "nobody "
     "else may be able to read it (chmod 600). Without it, one that was made with the database and "
     "is kept in it. Servers that are to know each other's guests have the same file."},

    {"api-key-file", CONFIG_KIND_PATH, CONFIG_GROUP_API, FIELD(api_key_file), 0, 0, "none", "FILE",
     "none",
     "File whose first line is the key of the HTTP API, 16 characters or more; nobody else may be "
     "able to read it (chmod 600). Without a key there is no API."},
    {"api-key", CONFIG_KIND_SECRET, CONFIG_GROUP_API, FIELD(api_key), 0, 0, "none", "KEY", "none",
     "The key itself. On the command line other users of the machine can see it: prefer the file "
     "or PARLOR_API_KEY."},

    {"log-format", CONFIG_KIND_FORMAT, CONFIG_GROUP_LOG, FIELD(log_format), 0, LOG_JSON, NULL,
     "text|json", "text", "Log lines for people or for machines; they go to standard error."},
    {"log-level", CONFIG_KIND_LEVEL, CONFIG_GROUP_LOG, FIELD(log_level), 0, LOG_ERROR, NULL,
     "LEVEL", "info", "Least level that is logged: debug, info, warn or error."},

    {"config", CONFIG_KIND_FILE, CONFIG_GROUP_ACTIONS, 0, 0, 0, NULL, "FILE", NULL,
     "Read options from an INI file: one KEY = VALUE a line, keys as here without the dashes in "
     "front. Sections like [room \"team-*\"] with access-guests = none say what people may do in "
     "rooms; they are possible in the file alone."},
    {"check-config", CONFIG_KIND_ACTION, CONFIG_GROUP_ACTIONS, 0, 0, CONFIG_CHECK, NULL, "", NULL,
     "Read all options, report the first mistake if there is one, and exit."},
    {"print-config", CONFIG_KIND_ACTION, CONFIG_GROUP_ACTIONS, 0, 0, CONFIG_PRINT, NULL, "", NULL,
     "Print the options in force as an INI file for --config, and exit."},
    {"help", CONFIG_KIND_ACTION, CONFIG_GROUP_ACTIONS, 0, 0, CONFIG_HELP, NULL, "", NULL,
     "Print this text and exit."},
    {"version", CONFIG_KIND_ACTION, CONFIG_GROUP_ACTIONS, 0, 0, CONFIG_VERSION, NULL, "", NULL,
     "Print the version and exit."},
};

const size_t config_option_count = sizeof config_options / sizeof config_options[0];

static const char *const titles[CONFIG_GROUP_COUNT] = {
    [CONFIG_GROUP_ADDRESS] = "Where and how wide",
    [CONFIG_GROUP_HISTORY] = "History",
    [CONFIG_GROUP_LIMITS] = "Limits (none or 0 switches one off)",
    [CONFIG_GROUP_CLIENTS] = "Clients: budgets, and whose a connection is",
    [CONFIG_GROUP_TIMEOUTS] = "Times",
    [CONFIG_GROUP_PROTOCOL] = "WebSocket",
    [CONFIG_GROUP_IDENTITY] = "Users: who has signed in at your site",
    [CONFIG_GROUP_API] = "HTTP API",
    [CONFIG_GROUP_LOG] = "Log",
    [CONFIG_GROUP_ACTIONS] = "Configuration and information",
};

const char *config_group_title(enum config_group group)
{
    CHECK(group < CONFIG_GROUP_COUNT);
    return titles[group];
}

static char canonical(char c)
{
    return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

const struct config_option *config_option_find(const char *key)
{
    for (size_t i = 0; i < config_option_count; i++) {
        const char *a = config_options[i].key;
        const char *b = key;
        while (*a && *a == canonical(*b)) {
            a++;
            b++;
        }
        if (!*a && !*b) return &config_options[i];
    }
    return NULL;
}

/* Edits (insert, delete, replace one character) that make one key of the other; Levenshtein's
 * distance, row by row. Both shorter than CONFIG_KEY_MAX. */
static size_t distance(const char *a, const char *b)
{
    size_t row[CONFIG_KEY_MAX];
    size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (canonical(a[i - 1]) != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

const struct config_option *config_option_nearest(const char *key)
{
    const struct config_option *nearest = NULL;
    size_t least = strlen(key) / 3 + 2; /* more edits than that is another word */
    if (strlen(key) >= CONFIG_KEY_MAX) return NULL;
    for (size_t i = 0; i < config_option_count; i++) {
        size_t d = distance(key, config_options[i].key);
        if (d >= least) continue;
        least = d;
        nearest = &config_options[i];
    }
    return nearest;
}
