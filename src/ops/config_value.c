/* See config_value.h. */
#include "ops/config_value.h"

#include "base/check.h"
#include "base/err.h"
#include "base/ip.h"
#include "ops/log_line.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* Largest first: the first that divides a value is the one to print it with. */
static const struct unit size_units[] = {
    {"g", UINT64_C(1) << 30}, {"m", UINT64_C(1) << 20}, {"k", UINT64_C(1) << 10}, {"", 1}};
static const struct unit disk_units[] = {{"t", UINT64_C(1) << 40},
                                         {"g", UINT64_C(1) << 30},
                                         {"m", UINT64_C(1) << 20},
                                         {"k", UINT64_C(1) << 10},
                                         {"", 1}};
static const struct unit duration_units[] = {{"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit age_units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};

static const char *const durabilities[] = {
    [CONFIG_RELAXED] = "relaxed", [CONFIG_COMMIT] = "commit", [CONFIG_STRICT] = "strict"};
static const char *const when_full[] = {[CONFIG_REFUSE] = "refuse", [CONFIG_TRIM] = "trim"};

static const char *const headers[] = {[CONFIG_X_FORWARDED_FOR] = "X-Forwarded-For",
                                      [CONFIG_FORWARDED] = "Forwarded",
                                      [CONFIG_X_REAL_IP] = "X-Real-IP"};

#define LOOPBACK_WORD "loopback"
static const char *const loopback[] = {"127.0.0.0/8", "::1/128"};

/* A plain number is this many units of its field. */
enum { PLAIN_SECOND_MS = 1000 };

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static void *field(struct config *c, const struct config_option *o)
{
    return (char *)c + o->offset;
}

static const void *const_field(const struct config *c, const struct config_option *o)
{
    return (const char *)c + o->offset;
}

/* Reads digits up to *rest; false if there are none or they pass UINT32_MAX. */
static bool read_digits(const char *text, uint64_t *value, const char **rest)
{
    struct slice digits = {text, strspn(text, "0123456789")};
    *rest = text + digits.len;
    return slice_to_u64(digits, value) && *value <= UINT32_MAX;
}

/* Reads a number with one of the units; plain is the factor of a number without any. */
static bool read_number(const char *text, const struct unit *units, size_t n, uint64_t plain,
                        uint64_t *value)
{
    const char *rest;
    if (!read_digits(text, value, &rest)) return false;
    uint64_t factor = *rest ? 0 : plain;
    for (size_t i = 0; i < n && *rest; i++) {
        if (strcasecmp(rest, units[i].suffix) == 0) factor = units[i].factor;
    }
    *value *= factor;
    return factor != 0;
}

static int set_number(struct config *c, const struct config_option *o, const char *text)
{
    uint64_t value = 0;
    bool ok = false;
    if (o->zero && strcasecmp(text, o->zero) == 0)
        ok = true;
    else if (o->kind == CONFIG_KIND_SIZE)
        ok = read_number(text, size_units, COUNT_OF(size_units), 1, &value);
    else if (o->kind == CONFIG_KIND_DISK)
        ok = read_number(text, disk_units, COUNT_OF(disk_units), 1, &value);
    else if (o->kind == CONFIG_KIND_DURATION)
        ok = read_number(text, duration_units, COUNT_OF(duration_units), PLAIN_SECOND_MS, &value);
    else if (o->kind == CONFIG_KIND_AGE)
        ok = read_number(text, age_units, COUNT_OF(age_units), 1, &value);
    else
        ok = read_number(text, NULL, 0, 1, &value);

    bool in_range = (value >= o->min && value <= o->max) || (value == 0 && o->zero);
    if (!ok || !in_range) return ERR_CONFIG;
    if (o->kind == CONFIG_KIND_DISK)
        *(uint64_t *)field(c, o) = value;
    else
        *(uint32_t *)field(c, o) = (uint32_t)value;
    return 0;
}

static int set_bool(struct config *c, const struct config_option *o, const char *text)
{
    static const char *const words[2][4] = {{"off", "no", "false", "0"},
                                            {"on", "yes", "true", "1"}};
    for (size_t i = 0; i < 2 * COUNT_OF(words[0]); i++) {
        bool value = i % 2;
        if (strcasecmp(text, words[value][i / 2]) != 0) continue;
        *(bool *)field(c, o) = value;
        return 0;
    }
    return ERR_CONFIG;
}

static int set_durability(struct config *c, const struct config_option *o, const char *text)
{
    for (uint64_t i = 0; i <= o->max && i < COUNT_OF(durabilities); i++) {
        if (strcasecmp(text, durabilities[i]) != 0) continue;
        *(enum config_durability *)field(c, o) = (enum config_durability)i;
        return 0;
    }
    return ERR_CONFIG;
}

static int set_header(struct config *c, const struct config_option *o, const char *text)
{
    for (uint64_t i = 0; i <= o->max && i < COUNT_OF(headers); i++) {
        if (strcasecmp(text, headers[i]) != 0) continue;
        *(enum config_header *)field(c, o) = (enum config_header)i;
        return 0;
    }
    return ERR_CONFIG;
}

static int set_when_full(struct config *c, const struct config_option *o, const char *text)
{
    for (uint64_t i = 0; i <= o->max && i < COUNT_OF(when_full); i++) {
        if (strcasecmp(text, when_full[i]) != 0) continue;
        *(enum config_when_full *)field(c, o) = (enum config_when_full)i;
        return 0;
    }
    return ERR_CONFIG;
}

bool config_value_is_secret(const char *text)
{
    size_t len = 0;
    for (; text[len]; len++)
        if (text[len] <= ' ' || text[len] > '~') return false;
    return len >= CONFIG_SECRET_MIN && len < CONFIG_SECRET_MAX;
}

static int set_secret(struct config *c, const struct config_option *o, const char *text)
{
    bool none = strcasecmp(text, o->zero) == 0;
    if (!none && !config_value_is_secret(text)) return ERR_CONFIG;
    snprintf(field(c, o), CONFIG_SECRET_MAX, "%s", none ? "" : text);
    return 0;
}

static int set_path(struct config *c, const struct config_option *o, const char *text)
{
    size_t len = strlen(text);
    if (o->zero && strcasecmp(text, o->zero) == 0) {
        *(char *)field(c, o) = '\0';
        return 0;
    }
    if (len == 0 || len >= CONFIG_PATH_MAX) return ERR_CONFIG;
    memcpy(field(c, o), text, len + 1);
    return 0;
}

static int set_word(struct config *c, const struct config_option *o, const char *text)
{
    for (uint64_t i = 0; i <= o->max; i++) {
        bool is_format = o->kind == CONFIG_KIND_FORMAT;
        const char *word =
            is_format ? log_format_name((enum log_format)i) : log_level_name((enum log_level)i);
        if (strcasecmp(text, word) != 0) continue;
        if (is_format)
            *(enum log_format *)field(c, o) = (enum log_format)i;
        else
            *(enum log_level *)field(c, o) = (enum log_level)i;
        return 0;
    }
    return ERR_CONFIG;
}

/* wanted: what is not of the host. */
static int listen_add(struct config *c, const char *host, const struct config_address *wanted)
{
    for (size_t i = 0; i < c->listen_count; i++) {
        struct config_address *a = &c->listen[i];
        if (wanted->port == 0 || a->port != wanted->port || strcmp(a->host, host) != 0) continue;
        if (a->proxy != wanted->proxy) return ERR_CONFIG;
        a->optional = a->optional && wanted->optional;
        return 0;
    }
    if (c->listen_count == CONFIG_LISTEN_MAX) return ERR_TOO_LONG;
    struct config_address *a = &c->listen[c->listen_count++];
    *a = *wanted;
    snprintf(a->host, sizeof a->host, "%s", host);
    return 0;
}

static bool is_numeric_address(const char *host, bool v6)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    char plain[sizeof((struct config_address *)NULL)->host];
    snprintf(plain, sizeof plain, "%s", host);
    char *scope = strchr(plain, '%');
    if (scope) {
        if (!v6 || !scope[1]) return false;
        *scope = '\0';
    }
    return inet_pton(v6 ? AF_INET6 : AF_INET, plain, bytes) == 1;
}

#define PROXY_PREFIX "proxy:"
enum { PROXY_LEN = sizeof PROXY_PREFIX - 1 };

/* One address; the forms are those of the table's help text. */
static int set_listen(struct config *c, const char *text)
{
    char host[sizeof c->listen[0].host] = "localhost";
    struct config_address wanted = {.proxy = strncasecmp(text, PROXY_PREFIX, PROXY_LEN) == 0};
    if (wanted.proxy) text += PROXY_LEN;
    const char *colon = strrchr(text, ':');
    const char *port_text = colon ? colon + 1 : text;
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    if (bracketed) {
        text++;
        len -= 2;
    }
    if (len >= sizeof host) return ERR_CONFIG;
    if (colon) {
        memcpy(host, text, len);
        host[len] = '\0';
    }

    uint64_t port;
    const char *rest;
    if (!read_digits(port_text, &port, &rest) || *rest || port > UINT16_MAX) return ERR_CONFIG;
    wanted.port = (uint16_t)port;
    wanted.optional = true;
    if (!bracketed && (host[0] == '\0' || strcmp(host, "*") == 0)) {
        int err = listen_add(c, "0.0.0.0", &wanted);
        return err ? err : listen_add(c, "::", &wanted);
    }
    if (!bracketed && strcasecmp(host, "localhost") == 0) {
        int err = listen_add(c, "127.0.0.1", &wanted);
        return err ? err : listen_add(c, "::1", &wanted);
    }
    wanted.optional = false;
    if (!is_numeric_address(host, bracketed)) return ERR_CONFIG;
    return listen_add(c, host, &wanted);
}

/* Checks scheme://host[:port] and brings it to the form browsers send (RFC 6454 section 6.2): lower
 * case, without the default port. */
static bool normalize_origin(char *origin)
{
    for (char *p = origin; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (strcmp(origin, "null") == 0) return true;
    char *sep = strstr(origin, "://");
    if (!sep || sep == origin) return false;
    char *host = sep + 3;
    size_t scheme_len = strspn(origin, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
    size_t host_len = strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._[]:");
    if (origin + scheme_len != sep || host_len == 0 || host[host_len] || *host == ':') return false;

    char *colon = strrchr(host, ':');
    if (!colon || strchr(colon, ']')) return true;
    uint64_t port;
    const char *rest;
    if (!read_digits(colon + 1, &port, &rest) || *rest || port == 0 || port > UINT16_MAX)
        return false;
    bool is_default = (strncmp(origin, "https:", 6) == 0 && port == 443) ||
                      (strncmp(origin, "http:", 5) == 0 && port == 80);
    if (is_default) *colon = '\0';
    return true;
}

static int set_origin(struct config *c, const char *text)
{
    if (c->any_origin || strlen(text) > CONFIG_ORIGIN_BYTES_MAX) return ERR_CONFIG;
    char origin[CONFIG_ORIGIN_BYTES_MAX + 1];
    snprintf(origin, sizeof origin, "%s", text);
    if (!normalize_origin(origin)) return ERR_CONFIG;
    for (size_t i = 0; i < c->origin_count; i++) {
        if (strcmp(c->origins[i], origin) == 0) return 0;
    }
    if (c->origin_count == CONFIG_ORIGINS_MAX) return ERR_TOO_LONG;
    size_t size = strlen(origin) + 1;
    char *copy = malloc(size);
    if (!copy) return ERR_NOMEM;
    memcpy(copy, origin, size);
    c->origins[c->origin_count++] = copy;
    return 0;
}

/* "*" and "auto" stand for lists that cannot be written; they may not hide among others, where the
 * one would open all by mistake. */
static int set_origins_word(struct config *c, bool any)
{
    if (c->origin_count > 0 || (c->any_origin && !any)) return ERR_CONFIG;
    c->any_origin = any;
    return 0;
}

static int add_net(struct config *c, const char *text)
{
    struct ip_net net;
    if (!ip_net_parse((struct slice){text, strlen(text)}, &net)) return ERR_CONFIG;
    for (size_t i = 0; i < c->trusted_proxy_count; i++)
        if (memcmp(&c->trusted_proxies[i], &net, sizeof net) == 0) return 0;
    if (c->trusted_proxy_count == CONFIG_NETS_MAX) return ERR_TOO_LONG;
    c->trusted_proxies[c->trusted_proxy_count++] = net;
    return 0;
}

static int set_net(struct config *c, const char *text)
{
    if (strcasecmp(text, LOOPBACK_WORD) != 0) return add_net(c, text);
    c->trust_loopback = true;
    int err = 0;
    for (size_t i = 0; i < COUNT_OF(loopback) && !err; i++)
        err = add_net(c, loopback[i]);
    return err;
}

static int set_element(struct config *c, const struct config_option *o, const char *text)
{
    if (o->kind == CONFIG_KIND_ORIGINS) return set_origin(c, text);
    return o->kind == CONFIG_KIND_NETS ? set_net(c, text) : set_listen(c, text);
}

/* Sets each element of a comma-separated list. */
static int set_list(struct config *c, const struct config_option *o, const char *text)
{
    bool origins = o->kind == CONFIG_KIND_ORIGINS;
    if (origins && strcmp(text, "*") == 0) return set_origins_word(c, true);
    if (origins && (*text == '\0' || strcasecmp(text, o->zero) == 0))
        return set_origins_word(c, false);
    if (o->kind == CONFIG_KIND_NETS && strcasecmp(text, "none") == 0)
        return c->trusted_proxy_count == 0 ? 0 : ERR_CONFIG;
    for (const char *p = text;; p++) {
        p += strspn(p, " \t");
        size_t len = strcspn(p, ",");
        size_t used = len;
        while (used > 0 && isspace((unsigned char)p[used - 1]))
            used--;
        char one[CONFIG_ORIGIN_BYTES_MAX + 1];
        if (used == 0 || used >= sizeof one) return ERR_CONFIG;
        memcpy(one, p, used);
        one[used] = '\0';
        int err = set_element(c, o, one);
        if (err) return err;
        p += len;
        if (!*p) return 0;
    }
}

int config_value_set(struct config *c, const struct config_option *o, const char *text, char *why)
{
    int err = ERR_CONFIG;
    switch (o->kind) {
    case CONFIG_KIND_COUNT:
    case CONFIG_KIND_SIZE:
    case CONFIG_KIND_DISK:
    case CONFIG_KIND_DURATION:
    case CONFIG_KIND_AGE:
        err = set_number(c, o, text);
        break;
    case CONFIG_KIND_PATH:
        err = set_path(c, o, text);
        break;
    case CONFIG_KIND_SECRET:
        err = set_secret(c, o, text);
        break;
    case CONFIG_KIND_DURABILITY:
        err = set_durability(c, o, text);
        break;
    case CONFIG_KIND_WHEN_FULL:
        err = set_when_full(c, o, text);
        break;
    case CONFIG_KIND_BOOL:
    case CONFIG_KIND_FLAG:
        err = set_bool(c, o, text);
        break;
    case CONFIG_KIND_FORMAT:
    case CONFIG_KIND_LEVEL:
        err = set_word(c, o, text);
        break;
    case CONFIG_KIND_HEADER:
        err = set_header(c, o, text);
        break;
    case CONFIG_KIND_LISTEN:
    case CONFIG_KIND_ORIGINS:
    case CONFIG_KIND_NETS:
        err = set_list(c, o, text);
        break;
    case CONFIG_KIND_FILE:
    case CONFIG_KIND_ACTION:
        break;
    }
    if (err == ERR_CONFIG) config_value_allowed(o, why);
    if (err == ERR_TOO_LONG) {
        int most = o->kind == CONFIG_KIND_LISTEN    ? CONFIG_LISTEN_MAX
                   : o->kind == CONFIG_KIND_ORIGINS ? CONFIG_ORIGINS_MAX
                                                    : CONFIG_NETS_MAX;
        snprintf(why, CONFIG_ALLOWED_MAX,
                 "at most %d in all (localhost, * and loopback count as 2)", most);
        return ERR_CONFIG;
    }
    return err;
}

void config_value_clear(struct config *c, const struct config_option *o)
{
    if (o->kind == CONFIG_KIND_LISTEN) {
        memset(c->listen, 0, sizeof c->listen);
        c->listen_count = 0;
    } else if (o->kind == CONFIG_KIND_ORIGINS) {
        for (size_t i = 0; i < c->origin_count; i++)
            free(c->origins[i]);
        memset(c->origins, 0, sizeof c->origins);
        c->origin_count = 0;
        c->any_origin = false;
    } else if (o->kind == CONFIG_KIND_NETS) {
        c->trusted_proxy_count = 0;
        c->trust_loopback = false;
    }
}

size_t config_value_count(const struct config *c, const struct config_option *o)
{
    if (o->kind == CONFIG_KIND_LISTEN) return c->listen_count;
    if (o->kind == CONFIG_KIND_ORIGINS) return c->origin_count ? c->origin_count : 1;
    if (o->kind == CONFIG_KIND_SECRET) return 0;
    if (o->kind == CONFIG_KIND_NETS) return c->trusted_proxy_count ? c->trusted_proxy_count : 1;
    return 1;
}

static void number_text(uint64_t value, const struct config_option *o, char *text)
{
    const struct unit *units = o->kind == CONFIG_KIND_SIZE   ? size_units
                               : o->kind == CONFIG_KIND_DISK ? disk_units
                               : o->kind == CONFIG_KIND_AGE  ? age_units
                                                             : duration_units;
    if (value == 0 && o->zero) {
        snprintf(text, CONFIG_VALUE_MAX, "%s", o->zero);
    } else if (value == 0 || o->kind == CONFIG_KIND_COUNT) {
        snprintf(text, CONFIG_VALUE_MAX, "%" PRIu64, value);
    } else {
        while (value % units->factor != 0)
            units++;
        snprintf(text, CONFIG_VALUE_MAX, "%" PRIu64 "%s", value / units->factor, units->suffix);
    }
}

/* An optional address came from a name for two; printed as that name it stays optional when read
 * back, even where the other one was also given by itself. */
static size_t listen_text(const struct config *c, size_t i, char *text)
{
    const struct config_address *a = &c->listen[i];
    const char *proxy = a->proxy ? PROXY_PREFIX : "";
    if (!a->optional) {
        snprintf(text, CONFIG_VALUE_MAX, strchr(a->host, ':') ? "%s[%s]:%u" : "%s%s:%u", proxy,
                 a->host, a->port);
        return 1;
    }
    const struct config_address *b = i + 1 < c->listen_count ? a + 1 : a;
    bool local = strcmp(a->host, "127.0.0.1") == 0 || strcmp(a->host, "::1") == 0;
    snprintf(text, CONFIG_VALUE_MAX, "%s%s:%u", proxy, local ? "localhost" : "*", a->port);
    const char *other = local ? "::1" : "::";
    bool pair = b != a && b->optional && b->port == a->port && b->proxy == a->proxy;
    return pair && strcmp(b->host, other) == 0 ? 2 : 1;
}

/* The two networks of the word are one value where they stand together; else one of them had been
 * given before it, and is printed by itself, which changes nothing. */
static size_t net_text(const struct config *c, size_t i, char *text)
{
    char net[IP_NET_TEXT_MAX] = "none";
    char next[IP_NET_TEXT_MAX] = "";
    if (i < c->trusted_proxy_count) ip_net_text(&c->trusted_proxies[i], net);
    if (i + 1 < c->trusted_proxy_count) ip_net_text(&c->trusted_proxies[i + 1], next);
    bool word = c->trust_loopback && strcmp(net, loopback[0]) == 0;
    snprintf(text, CONFIG_VALUE_MAX, "%s", word ? LOOPBACK_WORD : net);
    return word && strcmp(next, loopback[1]) == 0 ? 2 : 1;
}

size_t config_value_text(const struct config *c, const struct config_option *o, size_t i,
                         char *text)
{
    CHECK(i < config_value_count(c, o));
    const char *word = "";
    switch (o->kind) {
    case CONFIG_KIND_COUNT:
    case CONFIG_KIND_SIZE:
    case CONFIG_KIND_DURATION:
    case CONFIG_KIND_AGE:
        number_text(*(const uint32_t *)const_field(c, o), o, text);
        return 1;
    case CONFIG_KIND_DISK:
        number_text(*(const uint64_t *)const_field(c, o), o, text);
        return 1;
    case CONFIG_KIND_PATH:
        word = const_field(c, o);
        if (!*word && o->zero) word = o->zero;
        break;
    case CONFIG_KIND_DURABILITY:
        word = durabilities[*(const enum config_durability *)const_field(c, o)];
        break;
    case CONFIG_KIND_HEADER:
        word = headers[*(const enum config_header *)const_field(c, o)];
        break;
    case CONFIG_KIND_WHEN_FULL:
        word = when_full[*(const enum config_when_full *)const_field(c, o)];
        break;
    case CONFIG_KIND_LISTEN:
        return listen_text(c, i, text);
    case CONFIG_KIND_NETS:
        return net_text(c, i, text);
    case CONFIG_KIND_BOOL:
    case CONFIG_KIND_FLAG:
        word = *(const bool *)const_field(c, o) ? "on" : "off";
        break;
    case CONFIG_KIND_FORMAT:
        word = log_format_name(*(const enum log_format *)const_field(c, o));
        break;
    case CONFIG_KIND_LEVEL:
        word = log_level_name(*(const enum log_level *)const_field(c, o));
        break;
    case CONFIG_KIND_ORIGINS:
        word = c->any_origin ? "*" : c->origin_count ? c->origins[i] : o->zero;
        break;
    case CONFIG_KIND_SECRET:
    case CONFIG_KIND_FILE:
    case CONFIG_KIND_ACTION:
        break;
    }
    snprintf(text, CONFIG_VALUE_MAX, "%s", word);
    return 1;
}

void config_value_allowed(const struct config_option *o, char *text)
{
    const size_t size = CONFIG_ALLOWED_MAX;
    struct config_option at = *o;
    char low[CONFIG_VALUE_MAX];
    char high[CONFIG_VALUE_MAX];
    switch (o->kind) {
    case CONFIG_KIND_COUNT:
    case CONFIG_KIND_SIZE:
    case CONFIG_KIND_DISK:
    case CONFIG_KIND_DURATION:
    case CONFIG_KIND_AGE:
        at.zero = NULL;
        number_text(o->min, &at, low);
        number_text(o->max, &at, high);
        snprintf(text, size, "%s from %.20s to %.20s%s%s%s",
                 o->kind == CONFIG_KIND_SIZE       ? "a size (bytes, or with k, m, g)"
                 : o->kind == CONFIG_KIND_DISK     ? "a size (bytes, or with k, m, g, t)"
                 : o->kind == CONFIG_KIND_DURATION ? "a time (seconds, or with ms, s, m)"
                 : o->kind == CONFIG_KIND_AGE      ? "a time (seconds, or with s, m, h, d)"
                                                   : "a whole number",
                 low, high, o->zero ? ", or " : "", o->zero ? o->zero : "", o->zero ? " (0)" : "");
        break;
    case CONFIG_KIND_BOOL:
    case CONFIG_KIND_FLAG:
        snprintf(text, size, "on or off");
        break;
    case CONFIG_KIND_FORMAT:
        snprintf(text, size, "text or json");
        break;
    case CONFIG_KIND_LEVEL:
        snprintf(text, size, "debug, info, warn or error");
        break;
    case CONFIG_KIND_LISTEN:
        snprintf(text, size,
                 "ADDR:PORT, like localhost:8000, 127.0.0.1:8000, [::1]:8000, *:8000 or 8000 "
                 "(numeric addresses, no other names)");
        break;
    case CONFIG_KIND_ORIGINS:
        snprintf(text, size,
                 "origins like https://example.org or http://localhost:3000, without a path, or * "
                 "or auto alone");
        break;
    case CONFIG_KIND_NETS:
        snprintf(text, size,
                 "addresses and networks like 10.0.0.0/8 or 2001:db8::1, loopback, or none alone");
        break;
    case CONFIG_KIND_HEADER:
        snprintf(text, size, "X-Forwarded-For, Forwarded or X-Real-IP");
        break;
    case CONFIG_KIND_DURABILITY:
        snprintf(text, size, "relaxed, commit or strict");
        break;
    case CONFIG_KIND_WHEN_FULL:
        snprintf(text, size, "refuse or trim");
        break;
    case CONFIG_KIND_SECRET:
        snprintf(text, size, "%d to %d visible ASCII characters, or none", CONFIG_SECRET_MIN,
                 CONFIG_SECRET_MAX - 1);
        break;
    case CONFIG_KIND_PATH:
    case CONFIG_KIND_FILE:
        snprintf(text, size, "a file name%s%s", o->zero ? ", or " : "", o->zero ? o->zero : "");
        break;
    case CONFIG_KIND_ACTION:
        snprintf(text, size, "no value");
        break;
    }
}
