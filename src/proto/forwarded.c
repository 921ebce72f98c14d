/* See forwarded.h. */
#include "proto/forwarded.h"

#include <string.h>
#include <strings.h>

#include "base/ascii.h"

static const char *const names[] = {
    [FORWARDED_X_FORWARDED_FOR] = "X-Forwarded-For",
    [FORWARDED_RFC7239] = "Forwarded",
    [FORWARDED_X_REAL_IP] = "X-Real-IP",
};

bool forwarded_trusts(const struct forwarded_rules *rules, const uint8_t ip[static IP_BYTES])
{
    for (size_t i = 0; i < rules->trusted_count; i++)
        if (ip_net_has(&rules->trusted[i], ip)) return true;
    return false;
}

bool forwarded_is_marked(const struct http_request *r)
{
    static const char family[] = "X-Forwarded-";
    const size_t family_len = sizeof family - 1;
    for (size_t i = 0; i < r->header_count; i++) {
        struct slice name = r->headers[i].name;
        if (name.len > family_len && strncasecmp(name.ptr, family, family_len) == 0) return true;
        if (slice_is_nocase(name, "Forwarded") || slice_is_nocase(name, "X-Real-IP") ||
            slice_is_nocase(name, "Via"))
            return true;
    }
    return false;
}

bool forwarded_names_client(const struct http_request *r)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (http_header_get(r, names[i]).ptr) return true;
    return false;
}

/* Takes what stands behind the last comma. In Forwarded a comma may stand within quotes; what is
 * behind it there has a quote too many, and is refused as malformed. */
static struct slice take_last(struct slice *list)
{
    size_t at = list->len;
    while (at > 0 && list->ptr[at - 1] != ',')
        at--;
    struct slice item = {list->ptr + at, list->len - at};
    list->len = at > 0 ? at - 1 : 0;
    return slice_trim(item);
}

static bool is_node_port(struct slice s)
{
    uint64_t n;
    return s.len <= 5 && slice_to_u64(s, &n);
}

/* An address, perhaps in brackets, perhaps with a port (RFC 7239 section 6). An IPv6 address
 * without brackets has none. */
static bool read_node(struct slice node, uint8_t ip[static IP_BYTES])
{
    if (node.len == 0) return false;
    struct slice rest = {0};
    if (node.ptr[0] == '[') {
        const char *end = memchr(node.ptr, ']', node.len);
        if (!end) return false;
        rest = (struct slice){end + 1, node.len - (size_t)(end - node.ptr) - 1};
        node = (struct slice){node.ptr + 1, (size_t)(end - node.ptr) - 1};
        if (!memchr(node.ptr, ':', node.len)) return false;
    } else {
        const char *colon = memchr(node.ptr, ':', node.len);
        size_t before = colon ? (size_t)(colon - node.ptr) : 0;
        bool one = colon && !memchr(colon + 1, ':', node.len - before - 1);
        if (one) {
            rest = (struct slice){colon, node.len - before};
            node.len = before;
        }
    }
    if (rest.len > 0) {
        if (rest.ptr[0] != ':') return false;
        if (!is_node_port((struct slice){rest.ptr + 1, rest.len - 1})) return false;
    }
    return ip_parse(node, ip);
}

static struct slice take_name(struct slice *s)
{
    struct slice token = {s->ptr, 0};
    while (s->len > 0 && ascii_is_token(s->ptr[0])) {
        s->ptr++;
        s->len--;
        token.len++;
    }
    return token;
}

/* Takes a token or a quoted string, without its quotes. No address has anything to escape, so a
 * value that holds an escape is left as it stands. */
static bool take_value(struct slice *s, struct slice *value)
{
    if (s->len == 0 || s->ptr[0] != '"') {
        *value = take_name(s);
        return value->len > 0;
    }
    size_t end = 1;
    while (end < s->len && s->ptr[end] != '"')
        end += s->ptr[end] == '\\' ? 2 : 1;
    if (end >= s->len) return false;
    *value = (struct slice){s->ptr + 1, end - 1};
    s->ptr += end + 1;
    s->len -= end + 1;
    return true;
}

/* One forwarded-element (RFC 7239 section 4): pairs between semicolons, exactly one of them `for`.
 */
static bool read_element(struct slice element, uint8_t ip[static IP_BYTES])
{
    struct slice node = {0};
    for (;;) {
        struct slice value;
        struct slice name = take_name(&element);
        if (name.len == 0 || element.len == 0 || element.ptr[0] != '=') return false;
        element.ptr++;
        element.len--;
        if (!take_value(&element, &value)) return false;
        if (slice_is_nocase(name, "for")) {
            if (node.ptr) return false;
            node = value;
        }
        element = slice_trim(element);
        if (element.len == 0) break;
        if (element.ptr[0] != ';') return false;
        element.ptr++;
        element.len--;
        element = slice_trim(element);
    }
    return node.ptr && read_node(node, ip);
}

static bool read_single(const struct http_request *r, const char *name, uint8_t ip[static IP_BYTES])
{
    const struct http_header *found = NULL;
    for (size_t i = 0; i < r->header_count; i++) {
        if (!slice_is_nocase(r->headers[i].name, name)) continue;
        if (found) return false;
        found = &r->headers[i];
    }
    return found && read_node(found->value, ip);
}

/* What is known of the way so far. */
struct way {
    const struct forwarded_rules *rules;
    uint8_t ip[IP_BYTES]; /* of the leftmost element read */
    unsigned hops;
    bool malformed;
    bool ended; /* at one that is not trusted: what is left of it, anybody may have written */
};

static void way_read_line(struct way *way, struct slice line)
{
    while (line.len > 0 && !way->malformed && !way->ended) {
        struct slice item = take_last(&line);
        if (++way->hops > FORWARDED_HOPS_MAX) way->malformed = true;
        if (item.len == 0) continue; /* RFC 9110 section 5.6.1.2 */
        bool plain = way->rules->header == FORWARDED_X_FORWARDED_FOR;
        bool good = plain ? read_node(item, way->ip) : read_element(item, way->ip);
        if (!good) way->malformed = true;
        way->ended = good && !forwarded_trusts(way->rules, way->ip);
    }
}

bool forwarded_client(const struct http_request *r, const struct forwarded_rules *rules,
                      uint8_t ip[static IP_BYTES])
{
    const char *name = names[rules->header];
    if (rules->header == FORWARDED_X_REAL_IP) return read_single(r, name, ip);
    struct way way = {.rules = rules};
    bool any = false;
    for (size_t i = r->header_count; i > 0 && !way.malformed && !way.ended; i--) {
        if (!slice_is_nocase(r->headers[i - 1].name, name)) continue;
        any = any || r->headers[i - 1].value.len > 0;
        way_read_line(&way, r->headers[i - 1].value);
    }
    static const uint8_t none[IP_BYTES];
    bool found = any && !way.malformed && memcmp(way.ip, none, sizeof none) != 0;
    if (found) memcpy(ip, way.ip, IP_BYTES);
    return found;
}
