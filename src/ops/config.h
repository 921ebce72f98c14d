/* The server's options: one table (config_table.h) feeds the command line, the environment, the
 * file, --help, --print-config and docs/operations.md, so that none of them can disagree.
 *
 * Each option is known under one name: `--max-connections 10` or `--max-connections=10`,
 * PARLOR_MAX_CONNECTIONS=10, and `max-connections = 10` in the INI file of --config. Precedence:
 * command line, environment, file, default. A list given at one level replaces that of the lower
 * ones. What is set for rooms by their names stands in the file alone. Anything not understood
 * stops the start with one line: where it stood, the key, the value, what is allowed. Running with
 * half of what the operator asked for is never an answer.
 *
 * Only main includes this; every module takes an options struct of its own. */
#ifndef OPS_CONFIG_H
#define OPS_CONFIG_H

#include "base/ip.h"
#include "ops/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    CONFIG_LISTEN_MAX = 16,        /* addresses after localhost and * became two each */
    CONFIG_NETS_MAX = 64,          /* networks of proxies; loopback counts as two */
    CONFIG_ORIGINS_MAX = 32,       /* origins in the list */
    CONFIG_ORIGIN_BYTES_MAX = 255, /* bytes of one origin */
    CONFIG_PATH_MAX = 512,         /* bytes of a file name, with its NUL */
    CONFIG_TEXT_MAX = 256,         /* bytes of a text, with its NUL */
    CONFIG_SECRET_MIN = 16,        /* characters of a key */
    CONFIG_SECRET_MAX = 256,       /* bytes of a key, with its NUL */
    CONFIG_ERROR_BYTES = 1024,     /* an errbuf of this size never cuts a message */
};

enum config_action {
    CONFIG_RUN,     /* start the server */
    CONFIG_HELP,    /* config_help, exit 0 */
    CONFIG_VERSION, /* print PARLOR_VERSION, exit 0 */
    CONFIG_CHECK,   /* everything was understood: say so, exit 0 */
    CONFIG_PRINT,   /* config_print, exit 0 */
    CONFIG_IMPORT,  /* read operand into the database, exit */
    CONFIG_EXAMINE, /* say whether the database operand is sound, exit */
    CONFIG_RESTORE, /* put the backup operand in the place of the database, exit */
};

/* The value of --data that keeps nothing beyond the process, and how much then without a limit. */
#define CONFIG_DATA_MEMORY ":memory:"
enum { CONFIG_MEMORY_MESSAGES = 1000 };

/* Where a proxy tells the client's address. */
enum config_header { CONFIG_X_FORWARDED_FOR, CONFIG_FORWARDED, CONFIG_X_REAL_IP };

enum config_durability { CONFIG_RELAXED, CONFIG_COMMIT, CONFIG_STRICT };
enum config_when_full { CONFIG_REFUSE, CONFIG_TRIM };

struct config_address {
    char host[64]; /* numeric, as getaddrinfo(AI_NUMERICHOST) takes it; no brackets; may have %scope
                    */
    uint16_t port; /* 0: any free port */
    bool optional; /* one of a pair (localhost, *): may be skipped where the machine lacks that
                    * address family, as long as the other of the pair listens */
    bool proxy;    /* every connection begins with a header of the PROXY protocol */
};

/* KEY = VALUE in a section [room "PATTERN"] of the file, as text: what it means is not ops'. */
struct config_room_line {
    char *pattern; /* owned; the others lie behind it */
    const char *key;
    const char *value;
    unsigned line; /* of the file, from 1 */
};

struct config {
    enum config_action action;
    const char *operand; /* of a command, from argv: a file; of import, "-" is standard input */
    const char *file;    /* that was read, from argv or env; NULL: none */

    struct config_room_line *room_lines; /* in the order of the file; owned */
    size_t room_line_count;

    struct config_address listen[CONFIG_LISTEN_MAX];
    size_t listen_count; /* at least 1 */
    uint32_t workers;    /* 0: one per core */

    /* Limits; 0 means none. */
    uint32_t max_connections;
    uint32_t max_connections_per_ip;
    uint32_t max_frame_bytes;
    uint32_t max_message_bytes; /* at most max_frame_bytes where both are set */
    uint32_t rate;              /* messages per 10 s and connection, with a burst of as many */
    uint32_t lag_max_bytes;

    /* What one client may do in 10 s, on all its connections together; 0 means no limit. */
    uint32_t messages_per_ip;
    uint32_t connects_per_ip;
    uint32_t rooms_per_ip;
    uint32_t history_per_ip;
    uint32_t requests_per_ip;
    uint32_t sign_ins_per_ip;

    struct ip_net trusted_proxies[CONFIG_NETS_MAX];
    size_t trusted_proxy_count;
    bool trust_loopback; /* the word loopback was given; its two networks are in the list */
    enum config_header client_address_header;

    char data[CONFIG_PATH_MAX]; /* a file, or CONFIG_DATA_MEMORY */
    enum config_durability durability;
    uint32_t keep_age_s; /* these three for each room; 0: no limit; not all 0 in memory */
    uint32_t keep_messages;
    uint32_t keep_bytes;
    uint32_t memory_budget_bytes;
    uint32_t max_rooms;
    uint64_t max_database_bytes;
    enum config_when_full database_full;

    uint32_t handshake_timeout_ms;
    uint32_t keepalive_timeout_ms;
    uint32_t ping_interval_ms;
    uint32_t drain_timeout_ms;

    char *origins[CONFIG_ORIGINS_MAX]; /* lower case, as browsers send them; owned */
    size_t origin_count;               /* 0: none was named */
    bool any_origin;                   /* "*" */
    bool compression;
    bool echo;

    char jwt_secret_file[CONFIG_PATH_MAX]; /* of these three at most one; "": none */
    char jwt_key[CONFIG_PATH_MAX];
    char jwks_url[CONFIG_TEXT_MAX];   /* with both of these: */
    char jwt_issuer[CONFIG_TEXT_MAX]; /* "": any */
    char jwt_audience[CONFIG_TEXT_MAX];
    uint32_t token_max_age_s;
    char auth_url[CONFIG_TEXT_MAX]; /* "": the site is not asked */
    char auth_cookies[CONFIG_TEXT_MAX];
    uint32_t auth_timeout_ms;
    uint32_t auth_cache_ms;
    uint32_t auth_recheck_ms;
    char secret_file[CONFIG_PATH_MAX]; /* "": the secret that the data has */

    char api_key[CONFIG_SECRET_MAX]; /* given, or read from api_key_file; "": no API */
    char api_key_file[CONFIG_PATH_MAX];

    enum log_format log_format;
    enum log_level log_level;
};

/* Fills out from the defaults, the file, the environment (env: NULL-terminated, NAME=value) and
 * the command line. Returns 0 and out is owned by the caller, for config_fini; or -1 (ERR_*) with
 * one line without newline in errbuf, and out holds nothing to free. --help and --version win over
 * everything else that was given, mistakes in the environment and file included. Nothing of argv or
 * env is kept but operand and file. One thread, before others start: inih and getenv are not made
 * for more. */
int config_load(int argc, char **argv, char **env, struct config *out, char *errbuf, size_t errlen);

/* Overwrites the keys on a command line that config_load has read: any user of the machine can look
 * at it. */
void config_hide_secrets(char **argv);

/* Frees what config_load gave. Harmless when zeroed or called twice. */
void config_fini(struct config *config);

/* Prints every option with its value in force as an INI file that config_load reads back to the
 * same configuration, but for keys, which are not printed. */
void config_print(const struct config *config, FILE *out);

/* Prints the text of --help, at most 100 columns. */
void config_help(FILE *out);

/* Prints the options as Markdown tables, for docs/operations.md. */
void config_document(FILE *out);

#endif
