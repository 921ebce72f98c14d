/* What the server is told when it is made, which its workers look up while they run. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/budget.h"

struct conn_ops;
struct forwarded_rules;
struct guest_key_signer;
struct http_api;
struct log;
struct policy;
struct session_ops;
struct site;
struct store;
struct tokens;

enum {
    SERVER_ADDRESSES_MAX = 16,
    SERVER_WORKERS_MAX = 256,
    SERVER_DEFLATE_LEVEL = 6,
    SERVER_RESERVED_FDS = 32, /* never a connection's: files of the store, a socket just accepted */
};

struct server_address {
    const char *host; /* numeric */
    uint16_t port;
    bool optional; /* may be missing where the machine lacks the address family */
    bool proxied;  /* every connection begins with a header of the PROXY protocol */
};

/* Borrowed until server_free. Limits: 0 means none. */
struct server_options {
    struct log *log;
    const struct conn_ops *http; /* spoken on a new connection */
    const struct conn_ops *websocket;
    const struct session_ops *bare; /* of members whose encoding is not rich */
    const struct session_ops *rich;
    const struct http_api *api;
    const struct server_address *addresses;
    size_t address_count;
    unsigned workers; /* 1..SERVER_WORKERS_MAX */
    uint32_t max_connections;
    uint32_t max_connections_per_ip;
    struct budget_options budgets;
    const struct forwarded_rules *forwarded; /* whom to believe about addresses */
    bool loopback_exempt;                    /* see client.h */
    uint32_t max_frame_bytes;
    uint32_t max_message_bytes;
    uint32_t rate; /* messages per 10 s and connection */
    uint64_t lag_max_bytes;
    uint32_t handshake_timeout_ms;
    uint32_t keepalive_timeout_ms;
    uint32_t ping_interval_ms;
    uint32_t drain_timeout_ms;
    const char *const *origins; /* that may connect besides a page of our own; lower case */
    size_t origin_count; /* 0, without any_origin: any on loopback listeners, else only our own */
    bool any_origin;
    struct tokens *tokens; /* that say who somebody is; NULL: none is believed */
    struct site *site;     /* that is asked who somebody is; stopped by server_free; or NULL */
    const struct policy *policy;               /* what may() judges by */
    const struct guest_key_signer *guest_keys; /* set when the server starts, at the latest */
    bool compression;
    bool echo;
    const char *api_key;          /* NULL: no API */
    uint64_t memory_budget_bytes; /* of what was said lately, kept for who comes back */
    uint32_t keep_events;         /* as the store keeps, 0: no limit; memory keeps no more */
    uint64_t keep_age_ms;
    struct store *store;     /* set by server_start */
    struct journal *journal; /* likewise */
};

#endif
