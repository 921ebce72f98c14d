/* See config_value.h. */
#include "ops/config_value.h"

#include "base/check.h"
#include "base/err.h"
#include "base/ip.h"
#include "ops/log_line.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What differs from kind to kind: a row of kinds, below. */
struct kind {
    int (*set)(struct config *c, const struct config_option *o, const char *text);
    /* As config_value_text. NULL: its value is never shown. */
    size_t (*text)(const struct config *c, const struct config_option *o, size_t i, char *text);
    /* As config_value_allowed. NULL: the hint is all there is to say. */
    void (*allow)(const struct config_option *o, char *text);
    const char *hint;
    const struct unit *units;        /* of a number */
    const char *const *words;        /* of an enum */
    void (*clear)(struct config *c); /* of a list, as are count and most */
    size_t (*count)(const struct config *c);
    int most;
    bool wide; /* of a number: its field has 64 bits */
};

static const struct kind *kind_of(const struct config_option *o);

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static void *field(struct config *c, const struct config_option *o)
{
    return (char *)c + o->offset;
}

static const void *const_field(const struct config *c, const struct config_option *o)
{
    return (const char *)c + o->offset;
}

/* ---- numbers ---- */

struct unit {
    const char *suffix; /* NULL: the end */
    uint64_t factor;
};

/* Largest first: the first that divides a value is the one to print it with. "": a plain number. */
static const struct unit count_units[] = {{"", 1}, {NULL, 0}};
static const struct unit size_units[] = {{"t", UINT64_C(1) << 40},
                                         {"g", UINT64_C(1) << 30},
                                         {"m", UINT64_C(1) << 20},
                                         {"k", UINT64_C(1) << 10},
                                         {"", 1},
                                         {NULL, 0}};
static const struct unit duration_units[] = {
    {"m", 60000}, {"s", 1000}, {"", 1000}, {"ms", 1}, {NULL, 0}};
static const struct unit age_units[] = {{"d", 86400}, {"h", 3600}, {"m", 60},
                                        {"s", 1},     {"", 1},     {NULL, 0}};

static bool read_amount(const char *text, const struct unit *units, uint64_t *value)
{
    struct slice digits = {text, strspn(text, "0123456789")};
    if (!slice_to_u64(digits, value) || *value > UINT32_MAX) return false;
    while (units->suffix && strcasecmp(text + digits.len, units->suffix) != 0)
        units++;
    *value *= units->factor;
    return units->suffix != NULL;
}

static int set_number(struct config *c, const struct config_option *o, const char *text)
{
    uint64_t value = 0;
    bool zero = o->zero && strcasecmp(text, o->zero) == 0;
    if (!zero && !read_amount(text, kind_of(o)->units, &value)) return ERR_CONFIG;
    bool in_range = (value >= o->min && value <= o->max) || (value == 0 && o->zero);
    if (!in_range) return ERR_CONFIG;
    if (kind_of(o)->wide)
        *(uint64_t *)field(c, o) = value;
    else
        *(uint32_t *)field(c, o) = (uint32_t)value;
    return 0;
}

static void print_number(uint64_t value, const struct unit *units, char *text)
{
    while (value % units->factor != 0)
        units++;
    snprintf(text, CONFIG_VALUE_MAX, "%" PRIu64 "%s", value / units->factor,
             value ? units->suffix : "");
}

static size_t number_text(const struct config *c, const struct config_option *o, size_t i,
                          char *text)
{
    (void)i;
    const void *at = const_field(c, o);
    uint64_t value = kind_of(o)->wide ? *(const uint64_t *)at : *(const uint32_t *)at;
    if (value == 0 && o->zero)
        snprintf(text, CONFIG_VALUE_MAX, "%s", o->zero);
    else
        print_number(value, kind_of(o)->units, text);
    return 1;
}

static void allow_number(const struct config_option *o, char *text)
{
    char low[CONFIG_VALUE_MAX];
    char high[CONFIG_VALUE_MAX];
    print_number(o->min, kind_of(o)->units, low);
    print_number(o->max, kind_of(o)->units, high);
    snprintf(text, CONFIG_ALLOWED_MAX, "%s from %.20s to %.20s%s%s%s", kind_of(o)->hint, low, high,
             o->zero ? ", or " : "", o->zero ? o->zero : "", o->zero ? " (0)" : "");
}

/* ---- words ---- */

static const char *const durabilities[] = {
    [CONFIG_RELAXED] = "relaxed", [CONFIG_COMMIT] = "commit", [CONFIG_STRICT] = "strict"};
static const char *const when_full[] = {[CONFIG_REFUSE] = "refuse", [CONFIG_TRIM] = "trim"};
static const char *const headers[] = {[CONFIG_X_FORWARDED_FOR] = "X-Forwarded-For",
                                      [CONFIG_FORWARDED] = "Forwarded",
                                      [CONFIG_X_REAL_IP] = "X-Real-IP"};

/* The field is an enum, which both compilers keep in an unsigned. */
static int set_word(struct config *c, const struct config_option *o, const char *text)
{
    for (unsigned i = 0; i <= o->max; i++) {
        if (strcasecmp(text, kind_of(o)->words[i]) != 0) continue;
        *(unsigned *)field(c, o) = i;
        return 0;
    }
    return ERR_CONFIG;
}

static size_t word_text(const struct config *c, const struct config_option *o, size_t i, char *text)
{
    (void)i;
    unsigned value = *(const unsigned *)const_field(c, o);
    snprintf(text, CONFIG_VALUE_MAX, "%s", kind_of(o)->words[value]);
    return 1;
}

static void allow_words(const struct config_option *o, char *text)
{
    size_t n = 0;
    for (unsigned i = 0; i <= o->max && n < CONFIG_ALLOWED_MAX; i++) {
        const char *before = i == 0 ? "" : i == o->max ? " or " : ", ";
        n += (size_t)snprintf(text + n, CONFIG_ALLOWED_MAX - n, "%s%s", before,
                              kind_of(o)->words[i]);
    }
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

static size_t bool_text(const struct config *c, const struct config_option *o, size_t i, char *text)
{
    (void)i;
    snprintf(text, CONFIG_VALUE_MAX, "%s", *(const bool *)const_field(c, o) ? "on" : "off");
    return 1;
}

/* ---- texts ---- */

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

/* A file name, or a text of other use. */
static int set_text(struct config *c, const struct config_option *o, const char *text)
{
    size_t len = strlen(text);
    if (o->zero && strcasecmp(text, o->zero) == 0) {
        *(char *)field(c, o) = '\0';
        return 0;
    }
    size_t max = o->kind == CONFIG_KIND_PATH ? CONFIG_PATH_MAX : CONFIG_TEXT_MAX;
    if (len == 0 || len >= max) return ERR_CONFIG;
    memcpy(field(c, o), text, len + 1);
    return 0;
}

static size_t plain_text(const struct config *c, const struct config_option *o, size_t i,
                         char *text)
{
    (void)i;
    const char *value = const_field(c, o);
    snprintf(text, CONFIG_VALUE_MAX, "%s", *value || !o->zero ? value : o->zero);
    return 1;
}

static void allow_text(const struct config_option *o, char *text)
{
    snprintf(text, CONFIG_ALLOWED_MAX, "%s%s%s", kind_of(o)->hint, o->zero ? ", or " : "",
             o->zero ? o->zero : "");
}

/* ---- lists ---- */

/* Sets each element of a comma-separated list. */
static int set_list(struct config *c, const char *text,
                    int (*set_element)(struct config *c, const char *text))
{
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
        int err = set_element(c, one);
        if (err) return err;
        p += len;
        if (!*p) return 0;
    }
}

static bool port_of(const char *text, uint16_t *port)
{
    uint64_t n;
    if (!slice_to_u64(slice_of(text), &n) || n > UINT16_MAX) return false;
    *port = (uint16_t)n;
    return true;
}

/* ---- list of addresses ---- */

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
static int add_listen(struct config *c, const char *text)
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

    if (!port_of(port_text, &wanted.port)) return ERR_CONFIG;
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

static int set_listen(struct config *c, const struct config_option *o, const char *text)
{
    (void)o;
    return set_list(c, text, add_listen);
}

static void clear_listen(struct config *c)
{
    memset(c->listen, 0, sizeof c->listen);
    c->listen_count = 0;
}

static size_t count_listen(const struct config *c)
{
    return c->listen_count;
}

/* An optional address came from a name for two; printed as that name it stays optional when read
 * back, even where the other one was also given by itself. */
static size_t listen_text(const struct config *c, const struct config_option *o, size_t i,
                          char *text)
{
    (void)o;
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

/* ---- list of origins ---- */

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
    uint16_t port;
    if (!port_of(colon + 1, &port) || port == 0) return false;
    bool is_default = (strncmp(origin, "https:", 6) == 0 && port == 443) ||
                      (strncmp(origin, "http:", 5) == 0 && port == 80);
    if (is_default) *colon = '\0';
    return true;
}

static int add_origin(struct config *c, const char *text)
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

static int set_origins(struct config *c, const struct config_option *o, const char *text)
{
    if (strcmp(text, "*") == 0) return set_origins_word(c, true);
    if (*text == '\0' || strcasecmp(text, o->zero) == 0) return set_origins_word(c, false);
    return set_list(c, text, add_origin);
}

static void clear_origins(struct config *c)
{
    for (size_t i = 0; i < c->origin_count; i++)
        free(c->origins[i]);
    memset(c->origins, 0, sizeof c->origins);
    c->origin_count = 0;
    c->any_origin = false;
}

static size_t count_origins(const struct config *c)
{
    return c->origin_count ? c->origin_count : 1;
}

static size_t origin_text(const struct config *c, const struct config_option *o, size_t i,
                          char *text)
{
    const char *none = c->any_origin ? "*" : o->zero;
    snprintf(text, CONFIG_VALUE_MAX, "%s", c->origin_count ? c->origins[i] : none);
    return 1;
}

/* ---- list of networks ---- */

#define LOOPBACK_WORD "loopback"
static const char *const loopback[] = {"127.0.0.0/8", "::1/128"};

static int add_net(struct config *c, const char *text)
{
    struct ip_net net;
    if (!ip_net_parse(slice_of(text), &net)) return ERR_CONFIG;
    for (size_t i = 0; i < c->trusted_proxy_count; i++)
        if (memcmp(&c->trusted_proxies[i], &net, sizeof net) == 0) return 0;
    if (c->trusted_proxy_count == CONFIG_NETS_MAX) return ERR_TOO_LONG;
    c->trusted_proxies[c->trusted_proxy_count++] = net;
    return 0;
}

static int add_net_or_word(struct config *c, const char *text)
{
    if (strcasecmp(text, LOOPBACK_WORD) != 0) return add_net(c, text);
    c->trust_loopback = true;
    int err = 0;
    for (size_t i = 0; i < COUNT_OF(loopback) && !err; i++)
        err = add_net(c, loopback[i]);
    return err;
}

static int set_nets(struct config *c, const struct config_option *o, const char *text)
{
    (void)o;
    if (strcasecmp(text, "none") == 0) return c->trusted_proxy_count == 0 ? 0 : ERR_CONFIG;
    return set_list(c, text, add_net_or_word);
}

static void clear_nets(struct config *c)
{
    c->trusted_proxy_count = 0;
    c->trust_loopback = false;
}

static size_t count_nets(const struct config *c)
{
    return c->trusted_proxy_count ? c->trusted_proxy_count : 1;
}

/* The two networks of the word are one value where they stand together; else one of them had been
 * given before it, and is printed by itself, which changes nothing. */
static size_t net_text(const struct config *c, const struct config_option *o, size_t i, char *text)
{
    (void)o;
    char net[IP_NET_TEXT_MAX] = "none";
    char next[IP_NET_TEXT_MAX] = "";
    if (i < c->trusted_proxy_count) ip_net_text(&c->trusted_proxies[i], net);
    if (i + 1 < c->trusted_proxy_count) ip_net_text(&c->trusted_proxies[i + 1], next);
    bool word = c->trust_loopback && strcmp(net, loopback[0]) == 0;
    snprintf(text, CONFIG_VALUE_MAX, "%s", word ? LOOPBACK_WORD : net);
    return word && strcmp(next, loopback[1]) == 0 ? 2 : 1;
}

/* ---- all of them ---- */

static_assert(CONFIG_SECRET_MIN == 16 && CONFIG_SECRET_MAX == 256, "the text says so");

static const struct kind kinds[] = {
    [CONFIG_KIND_COUNT] = {set_number, number_text, allow_number, "a whole number",
                           .units = count_units},
    [CONFIG_KIND_SIZE] = {set_number, number_text, allow_number, "a size (bytes, or with k, m, g)",
                          .units = size_units},
    [CONFIG_KIND_DISK] = {set_number, number_text, allow_number,
                          "a size (bytes, or with k, m, g, t)", .units = size_units, .wide = true},
    [CONFIG_KIND_DURATION] = {set_number, number_text, allow_number,
                              "a time (seconds, or with ms, s, m)", .units = duration_units},
    [CONFIG_KIND_AGE] = {set_number, number_text, allow_number,
                         "a time (seconds, or with s, m, h, d)", .units = age_units},
    [CONFIG_KIND_PATH] = {set_text, plain_text, allow_text, .hint = "a file name"},
    [CONFIG_KIND_TEXT] = {set_text, plain_text, allow_text, .hint = "at most 255 bytes of text"},
    [CONFIG_KIND_SECRET] = {set_secret, NULL, allow_text,
                            .hint = "16 to 255 visible ASCII characters"},
    [CONFIG_KIND_DURABILITY] = {set_word, word_text, allow_words, .words = durabilities},
    [CONFIG_KIND_WHEN_FULL] = {set_word, word_text, allow_words, .words = when_full},
    [CONFIG_KIND_BOOL] = {set_bool, bool_text, .hint = "on or off"},
    [CONFIG_KIND_FLAG] = {set_bool, bool_text, .hint = "on or off"},
    [CONFIG_KIND_FORMAT] = {set_word, word_text, allow_words, .words = log_formats},
    [CONFIG_KIND_LEVEL] = {set_word, word_text, allow_words, .words = log_levels},
    [CONFIG_KIND_LISTEN] =
        {set_listen, listen_text, .clear = clear_listen, .count = count_listen,
         .most = CONFIG_LISTEN_MAX,
         .hint = "ADDR:PORT, like localhost:8000, 127.0.0.1:8000, [::1]:8000, *:8000 or "
                 "8000 (numeric addresses, no other names)"},
    [CONFIG_KIND_ORIGINS] =
        {set_origins, origin_text, .clear = clear_origins, .count = count_origins,
         .most = CONFIG_ORIGINS_MAX,
         .hint = "origins like https://example.org or http://localhost:3000, without a "
                 "path, or * or auto alone"},
    [CONFIG_KIND_NETS] =
        {set_nets, net_text, .clear = clear_nets, .count = count_nets, .most = CONFIG_NETS_MAX,
         .hint = "addresses and networks like 10.0.0.0/8 or 2001:db8::1, loopback, or none "
                 "alone"},
    [CONFIG_KIND_HEADER] = {set_word, word_text, allow_words, .words = headers},
    [CONFIG_KIND_FILE] = {.allow = allow_text, .hint = "a file name"},
    [CONFIG_KIND_ACTION] = {.hint = "no value"},
};

static const struct kind *kind_of(const struct config_option *o)
{
    return &kinds[o->kind];
}

int config_value_set(struct config *c, const struct config_option *o, const char *text, char *why)
{
    CHECK(kind_of(o)->set);
    int err = kind_of(o)->set(c, o, text);
    if (err == ERR_CONFIG) config_value_allowed(o, why);
    if (err != ERR_TOO_LONG) return err;
    snprintf(why, CONFIG_ALLOWED_MAX, "at most %d in all (localhost, * and loopback count as 2)",
             kind_of(o)->most);
    return ERR_CONFIG;
}

bool config_value_is_list(const struct config_option *o)
{
    return kind_of(o)->count;
}

void config_value_clear(struct config *c, const struct config_option *o)
{
    if (config_value_is_list(o)) kind_of(o)->clear(c);
}

size_t config_value_count(const struct config *c, const struct config_option *o)
{
    if (!kind_of(o)->text) return 0;
    return config_value_is_list(o) ? kind_of(o)->count(c) : 1;
}

size_t config_value_text(const struct config *c, const struct config_option *o, size_t i,
                         char *text)
{
    CHECK(i < config_value_count(c, o));
    return kind_of(o)->text(c, o, i, text);
}

void config_value_allowed(const struct config_option *o, char *text)
{
    if (kind_of(o)->allow)
        kind_of(o)->allow(o, text);
    else
        snprintf(text, CONFIG_ALLOWED_MAX, "%s", kind_of(o)->hint);
}
