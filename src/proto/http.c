/* See http.h. A head is read in three passes over at most HTTP_HEAD_MAX_BYTES: one over its bytes
 * for what no part of a head may hold, the library's own, and one over the headers it found. The
 * first makes the second safe to rely on: with CR, LF and control bytes accounted for, the library
 * and a proxy in front of us cannot disagree about where a line ends. */
#include "proto/http.h"

#include <http_parser.h>
#include <stdint.h>
#include <string.h>

#include "base/ascii.h"
#include "base/err.h"

enum { METHOD_MAX_BYTES = 24 };

/* What the callbacks of one parse know. */
struct read_marker {
    struct http_request *out;
    bool value_seen; /* of the last header */
    bool too_many;
    bool complete;
};

bool http_looks_wrong(const char *data, size_t len)
{
    size_t start = 0;
    if (len > 0 && data[0] == '\r') start = len == 1 || data[1] == '\n' ? 2 : 0;
    for (size_t i = start; i < len; i++) {
        if (data[i] == ' ') return i == start;
        bool letter = (data[i] >= 'A' && data[i] <= 'Z') || (data[i] == '-' && i > start);
        if (!letter || i - start >= METHOD_MAX_BYTES) return true;
    }
    return false;
}

size_t http_head_size(const char *data, size_t len, size_t *scanned)
{
    size_t at = *scanned;
    while (at < len) {
        const char *lf = memchr(data + at, '\n', len - at);
        if (!lf) break;
        at = (size_t)(lf - data);
        /* The bytes behind the LF decide; if they are not here yet, it is looked at again. */
        size_t next = at + 1;
        if (next < len && data[next] == '\r') next++;
        if (next >= len) {
            *scanned = at;
            return 0;
        }
        if (data[next] == '\n') return next + 1;
        at++;
    }
    *scanned = len;
    return 0;
}

/* RFC 9112 sections 2.2 and 5.2: lines end with CRLF, no line but the first starts with a blank, CR
 * and LF stand nowhere else, and there are no other control bytes than HT. */
static bool bytes_are_clean(const char *head, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)head[i];
        if (c >= 0x20 && c != 0x7F) continue;
        if (c == '\t') continue;
        if (c != '\r' || i + 1 == len || head[i + 1] != '\n') return false;
        i++;
        if (i + 1 < len && ascii_is_blank(head[i + 1])) return false;
    }
    return true;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
    struct read_marker *r = p->data;
    if (r->out->target.ptr) return 1;
    r->out->target = (struct slice){at, len};
    return 0;
}

static int on_header_field(http_parser *p, const char *at, size_t len)
{
    struct read_marker *r = p->data;
    if (r->out->header_count == HTTP_HEADERS_MAX) {
        r->too_many = true;
        return 1;
    }
    /* Debian builds the library in its lenient mode, which lets blanks into names. */
    if (memchr(at, ' ', len)) return 1;
    r->out->headers[r->out->header_count++] = (struct http_header){{at, len}, {at + len, 0}};
    r->value_seen = false;
    return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t len)
{
    struct read_marker *r = p->data;
    if (r->out->header_count == 0 || r->value_seen) return 1;
    while (len > 0 && ascii_is_blank(at[len - 1]))
        len--;
    r->out->headers[r->out->header_count - 1].value = (struct slice){at, len};
    r->value_seen = true;
    return 0;
}

static int on_headers_complete(http_parser *p)
{
    struct read_marker *r = p->data;
    r->complete = true;
    r->out->minor = p->http_minor;
    r->out->keep_alive = http_should_keep_alive(p);
    r->out->upgrade = p->upgrade;
    r->out->has_length = p->flags & F_CONTENTLENGTH;
    r->out->body_bytes = r->out->has_length ? p->content_length : 0;
    r->out->has_body = r->out->body_bytes > 0;
    return 0;
}

/* RFC 9112 section 3: method, one blank, target, one blank, version. The library is looser about
 * blanks and knows HTTP/0.9. */
static bool split_request_line(const char *head, size_t len, struct http_request *r)
{
    static const char version[] = " HTTP/1.";
    const size_t version_len = sizeof(version) - 1;
    const char *end = head + len;
    const char *start = len >= 2 && head[0] == '\r' ? head + 2 : head;
    if (!r->target.ptr || r->target.ptr <= start) return false;
    r->method = (struct slice){start, (size_t)(r->target.ptr - start) - 1};
    if (memchr(start, ' ', r->method.len) || start[r->method.len] != ' ') return false;

    const char *after = r->target.ptr + r->target.len;
    return (size_t)(end - after) > version_len + 1 && memcmp(after, version, version_len) == 0 &&
           after[version_len + 1] == '\r';
}

/* RFC 9110 section 7.2: what can never be part of host and port. */
static bool host_is_clean(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        if (c <= 0x20 || c >= 0x7F || strchr("\"#/<>?@\\^`{|}", c)) return false;
    }
    return true;
}

/* Takes scheme and authority off the front of an absolute-form target. RFC 9110 sections 4.2.1 and
 * 4.2.4: its host is not empty, and there is no userinfo. */
static bool take_authority(struct slice *target, struct slice *authority)
{
    const char *end = target->ptr + target->len;
    const char *start = memmem(target->ptr, target->len, "://", 3);
    if (!start) return false;
    start += 3;
    const char *at = start;
    while (at < end && *at != '/' && *at != '?')
        at++;
    *target = (struct slice){at, (size_t)(end - at)};
    *authority = (struct slice){start, (size_t)(at - start)};
    return authority->len > 0 && start[0] != ':' && host_is_clean(*authority);
}

/* RFC 9112 section 3.2: origin-form, absolute-form, and `*` for OPTIONS. *authority is set for the
 * second alone. */
static bool split_target(struct http_request *r, struct slice *authority)
{
    struct slice t = r->target;
    if (slice_is(r->method, "CONNECT")) return false;
    if (memchr(t.ptr, '#', t.len) || memchr(t.ptr, '\t', t.len)) return false;
    if (slice_is(t, "*")) {
        r->path = t;
        return slice_is(r->method, "OPTIONS");
    }
    if (t.ptr[0] != '/' && !take_authority(&t, authority)) return false;
    const char *mark = t.len ? memchr(t.ptr, '?', t.len) : NULL;
    if (mark) {
        r->query = (struct slice){mark + 1, t.len - (size_t)(mark - t.ptr) - 1};
        t.len = (size_t)(mark - t.ptr);
    }
    r->path = t.len ? t : SLICE_LIT("/"); /* an absolute-form target may have no path */
    return true;
}

/* RFC 9112 sections 3.2 (Host; an authority in the target counts in its place) and 6.1 (two
 * framings of a body are an attack, and so is one that HTTP/1.0 does not know). */
static int check_headers(struct http_request *r, struct slice authority)
{
    size_t hosts = 0;
    size_t codings = 0;
    bool length = false;
    for (size_t i = 0; i < r->header_count; i++) {
        struct http_header *h = &r->headers[i];
        if (slice_is_nocase(h->name, "host")) {
            hosts++;
            if (!host_is_clean(h->value)) return ERR_BAD_REQUEST;
            if (authority.len) h->value = authority;
        } else if (slice_is_nocase(h->name, "content-length")) {
            length = true;
        } else if (slice_is_nocase(h->name, "transfer-encoding")) {
            codings++;
            r->chunked = slice_is_nocase(h->value, "chunked");
        }
    }
    if (codings) r->has_body = true;
    struct slice expect = http_header_get(r, "Expect");
    r->expects_continue = r->has_body && r->minor > 0 && http_list_has(expect, "100-continue");
    bool framed = !codings || (!length && r->minor > 0);
    bool needs_host = r->minor > 0 || authority.len;
    if (!framed || hosts > 1 || (hosts == 0 && needs_host)) return ERR_BAD_REQUEST;
    return codings && !(codings == 1 && r->chunked) ? ERR_BAD_CODING : 0;
}

int http_request_parse(const char *head, size_t len, struct http_request *out)
{
    memset(out, 0, offsetof(struct http_request, headers));
    if (!bytes_are_clean(head, len)) return ERR_BAD_REQUEST;

    struct read_marker reading = {.out = out};
    http_parser parser;
    http_parser_settings settings;
    http_parser_init(&parser, HTTP_REQUEST);
    http_parser_settings_init(&settings);
    parser.data = &reading;
    settings.on_url = on_url;
    settings.on_header_field = on_header_field;
    settings.on_header_value = on_header_value;
    settings.on_headers_complete = on_headers_complete;
    size_t used = http_parser_execute(&parser, &settings, head, len);
    if (reading.too_many) return ERR_HEAD_TOO_LARGE;
    if (HTTP_PARSER_ERRNO(&parser) != HPE_OK || used != len || !reading.complete)
        return ERR_BAD_REQUEST;

    struct slice authority = {0};
    if (!split_request_line(head, len, out) || !split_target(out, &authority))
        return ERR_BAD_REQUEST;
    out->is_get = slice_is(out->method, "GET");
    out->is_head = slice_is(out->method, "HEAD");
    return check_headers(out, authority);
}

struct slice http_header_get(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (slice_is_nocase(r->headers[i].name, name)) return r->headers[i].value;
    return (struct slice){0};
}

struct slice http_list_take(struct slice *list)
{
    const char *comma = memchr(list->ptr, ',', list->len);
    struct slice item = {list->ptr, comma ? (size_t)(comma - list->ptr) : list->len};
    size_t used = item.len + (comma ? 1 : 0);
    list->ptr += used;
    list->len -= used;
    return slice_trim(item);
}

bool http_list_has(struct slice list, const char *token)
{
    while (list.len > 0)
        if (slice_is_nocase(http_list_take(&list), token)) return true;
    return false;
}

bool http_list_has_exactly(struct slice list, const char *token)
{
    while (list.len > 0)
        if (slice_is(http_list_take(&list), token)) return true;
    return false;
}

int http_query_get(struct slice query, const char *key, struct slice *raw)
{
    size_t key_len = strlen(key);
    while (query.len > 0) {
        const char *amp = memchr(query.ptr, '&', query.len);
        size_t len = amp ? (size_t)(amp - query.ptr) : query.len;
        if (len >= key_len && memcmp(query.ptr, key, key_len) == 0 &&
            (len == key_len || query.ptr[key_len] == '=')) {
            size_t skip = len == key_len ? len : key_len + 1;
            *raw = (struct slice){query.ptr + skip, len - skip};
            return 1;
        }
        if (!amp) return 0;
        query.ptr += len + 1;
        query.len -= len + 1;
    }
    return 0;
}

int http_percent_decode(struct slice in, bool plus_is_space, char *out, size_t out_max,
                        size_t *out_len)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (c == '%') {
            int high = i + 2 < in.len ? ascii_hex_value(in.ptr[i + 1]) : -1;
            int low = i + 2 < in.len ? ascii_hex_value(in.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) return ERR_BAD_REQUEST;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (n == out_max) return ERR_TOO_LONG;
        out[n++] = c;
    }
    *out_len = n;
    return 0;
}
