/* See ws_handshake.h. Headers are gone through once; of the list-valued ones each is read where it
 * stands, which is the same as joining them with commas first (RFC 9110 section 5.2). */
#include "proto/ws_handshake.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/ascii.h"
#include "base/check.h"
#include "base/err.h"
#include "proto/http.h"

enum {
    KEY_LEN = 24, /* base64 of 16 bytes: 22 digits and two '=' */
    KEY_DIGITS = 22,
    SHA1_LEN = 20,
    WINDOW_BITS_MIN = 8, /* RFC 7692 section 7.1.2 */
    WINDOW_BITS_MAX = 15,
    VALUE_MAX = 8 /* bytes kept of a parameter's value; no valid one has more than 2 */
};

static const char ACCEPT_GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#define DEFLATE_ANSWER "permessage-deflate; server_no_context_takeover"
#define CLIENT_CONTEXT "; client_no_context_takeover"
#define SERVER_BITS "; server_max_window_bits="
#define CLIENT_BITS "; client_max_window_bits="
static_assert(sizeof(DEFLATE_ANSWER CLIENT_CONTEXT SERVER_BITS "15" CLIENT_BITS "15") <=
                  WS_HANDSHAKE_EXTENSIONS_MAX,
              "the longest answer fits");

/* A parameter of an extension offer. */
struct param {
    struct slice name;
    bool has_value;
    size_t value_len; /* may be more than was kept */
    char value[VALUE_MAX];
};

/* One permessage-deflate offer as far as it has been read. */
struct offer {
    bool is_deflate;
    bool declined;
    bool server_no_context;
    bool client_no_context;
    bool client_bits_seen;
    unsigned server_bits; /* 0: not offered */
    unsigned client_bits; /* 0: not offered, or without a value */
};

/* What the headers of a handshake amount to. */
struct seen {
    bool upgrade;
    bool connection;
    bool version_ok;
    bool version_bad;
    unsigned keys;
    struct slice key;
    struct slice protocols;
};

/* A reading position in a header's value. */
struct scan {
    const char *at;
    const char *end;
};

static void skip_blanks(struct scan *r)
{
    while (r->at < r->end && ascii_is_blank(*r->at))
        r->at++;
}

static bool scan_take(struct scan *r, char c)
{
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static bool scan_token(struct scan *r, struct slice *token)
{
    const char *start = r->at;
    while (r->at < r->end && ascii_is_token(*r->at))
        r->at++;
    *token = (struct slice){start, (size_t)(r->at - start)};
    return token->len > 0;
}

static void value_push(struct param *p, char c)
{
    if (p->value_len < VALUE_MAX) p->value[p->value_len] = c;
    p->value_len++;
}

/* RFC 6455 section 9.1: a quoted value has to be a token once it is unquoted. */
static bool take_quoted(struct scan *r, struct param *p)
{
    while (r->at < r->end && *r->at != '"') {
        if (*r->at == '\\') r->at++;
        if (r->at == r->end || !ascii_is_token(*r->at)) return false;
        value_push(p, *r->at++);
    }
    return scan_take(r, '"') && p->value_len > 0;
}

static bool take_param(struct scan *r, struct param *p)
{
    struct slice token;
    *p = (struct param){0};
    if (!scan_token(r, &p->name)) return false;
    skip_blanks(r);
    if (!scan_take(r, '=')) return true;
    skip_blanks(r);
    p->has_value = true;
    if (scan_take(r, '"')) return take_quoted(r, p);
    if (!scan_token(r, &token)) return false;
    for (size_t i = 0; i < token.len; i++)
        value_push(p, token.ptr[i]);
    return true;
}

/* 8..15 without leading zeros, or 0 for anything else. */
static unsigned window_bits(const struct param *p)
{
    uint64_t bits;
    if (!p->has_value || p->value_len > 2 || p->value[0] == '0') return 0;
    if (!slice_to_u64((struct slice){p->value, p->value_len}, &bits)) return 0;
    return bits >= WINDOW_BITS_MIN && bits <= WINDOW_BITS_MAX ? (unsigned)bits : 0;
}

/* A parameter that takes no value and may stand once. */
static bool set_flag(bool *flag, const struct param *p)
{
    bool ok = !*flag && !p->has_value;
    *flag = true;
    return ok;
}

/* False if this parameter makes the offer one to decline (RFC 7692 section 7.1). */
static bool offer_add(struct offer *o, const struct param *p)
{
    if (slice_is_nocase(p->name, "server_no_context_takeover"))
        return set_flag(&o->server_no_context, p);
    if (slice_is_nocase(p->name, "client_no_context_takeover"))
        return set_flag(&o->client_no_context, p);
    if (slice_is_nocase(p->name, "server_max_window_bits")) {
        bool first = o->server_bits == 0;
        o->server_bits = window_bits(p);
        return first && o->server_bits != 0;
    }
    if (slice_is_nocase(p->name, "client_max_window_bits")) {
        bool first = !o->client_bits_seen;
        o->client_bits_seen = true;
        o->client_bits = window_bits(p);
        return first && (!p->has_value || o->client_bits != 0);
    }
    return false;
}

/* Reads one extension with its parameters. False if it breaks the grammar. */
static bool take_offer(struct scan *r, struct offer *o)
{
    struct slice name;
    *o = (struct offer){0};
    if (!scan_token(r, &name)) return false;
    o->is_deflate = slice_is_nocase(name, "permessage-deflate");
    for (;;) {
        struct param p;
        skip_blanks(r);
        if (!scan_take(r, ';')) return true;
        skip_blanks(r);
        if (!take_param(r, &p)) return false;
        if (!offer_add(o, &p)) o->declined = true;
    }
}

/* What we say of the client's window; 0: nothing. It is chosen small where it costs us memory. */
static unsigned client_bits(const struct ws_handshake *h)
{
    if (!h->client_keeps_context) return h->client_bits;
    if (!h->client_bits_offered) return 0;
    bool smaller = h->client_bits && h->client_bits < WS_HANDSHAKE_PAST_BITS;
    return smaller ? h->client_bits : WS_HANDSHAKE_PAST_BITS;
}

static void write_extensions(struct ws_handshake *h)
{
    char server[sizeof(SERVER_BITS "15")] = "";
    char client[sizeof(CLIENT_BITS "15")] = "";
    if (h->server_bits) snprintf(server, sizeof(server), SERVER_BITS "%u", h->server_bits & 15U);
    if (client_bits(h)) snprintf(client, sizeof(client), CLIENT_BITS "%u", client_bits(h) & 15);
    snprintf(h->extensions, sizeof(h->extensions), DEFLATE_ANSWER "%s%s%s",
             h->client_keeps_context ? "" : CLIENT_CONTEXT, server, client);
}

static void accept_offer(struct ws_handshake *h, const struct offer *o)
{
    h->deflate = true;
    h->client_keeps_context = !o->client_no_context;
    h->client_bits_offered = o->client_bits_seen;
    h->client_bits = (uint8_t)o->client_bits;
    h->server_bits = (uint8_t)o->server_bits;
    if (o->server_bits) h->server_window_bits = (uint8_t)o->server_bits;
    write_extensions(h);
}

unsigned ws_handshake_past_bits(const struct ws_handshake *h)
{
    if (!h->deflate || !h->client_keeps_context) return 0;
    return client_bits(h) ? client_bits(h) : WINDOW_BITS_MAX;
}

void ws_handshake_keep_nothing(struct ws_handshake *h, bool demand)
{
    h->client_keeps_context = false;
    if (demand) {
        write_extensions(h);
        return;
    }
    h->deflate = false;
    h->server_window_bits = WINDOW_BITS_MAX;
    h->extensions[0] = '\0';
}

/* One Sec-WebSocket-Extensions header. RFC 6455 section 9.1: what breaks the grammar fails the
 * handshake; empty list elements do not (RFC 9110 section 5.6.1.2). */
static int read_extensions(struct slice value, bool allow_deflate, struct ws_handshake *h)
{
    struct scan r = {value.ptr, value.ptr + value.len};
    for (;;) {
        struct offer o;
        skip_blanks(&r);
        if (r.at == r.end) return 0;
        if (scan_take(&r, ',')) continue;
        if (!take_offer(&r, &o)) return ERR_BAD_UPGRADE;
        if (o.is_deflate && !o.declined && allow_deflate && !h->deflate) accept_offer(h, &o);
        if (r.at < r.end && !scan_take(&r, ',')) return ERR_BAD_UPGRADE;
    }
}

static int read_upgrade_header(const struct http_header *header, struct seen *s, bool allow_deflate,
                               struct ws_handshake *h)
{
    struct slice value = header->value;
    switch (header->name.len) { /* most headers differ in length from all of these */
    case sizeof("upgrade") - 1:
        if (slice_is_nocase(header->name, "upgrade") && http_list_has(value, "websocket"))
            s->upgrade = true;
        return 0;
    case sizeof("connection") - 1:
        if (slice_is_nocase(header->name, "connection") && http_list_has(value, "upgrade"))
            s->connection = true;
        return 0;
    case sizeof("sec-websocket-key") - 1:
        if (slice_is_nocase(header->name, "sec-websocket-key")) {
            s->keys++;
            s->key = value;
        }
        return 0;
    case sizeof("sec-websocket-version") - 1:
        if (slice_is_nocase(header->name, "sec-websocket-version")) {
            if (slice_is(value, "13"))
                s->version_ok = true;
            else
                s->version_bad = true;
        }
        return 0;
    case sizeof("sec-websocket-protocol") - 1:
        if (!s->protocols.ptr && slice_is_nocase(header->name, "sec-websocket-protocol"))
            s->protocols = value;
        return 0;
    case sizeof("sec-websocket-extensions") - 1:
        if (slice_is_nocase(header->name, "sec-websocket-extensions"))
            return read_extensions(value, allow_deflate, h);
        return 0;
    default:
        return 0;
    }
}

static bool key_is_valid(struct slice key)
{
    if (key.len != KEY_LEN || key.ptr[KEY_DIGITS] != '=' || key.ptr[KEY_DIGITS + 1] != '=')
        return false;
    for (size_t i = 0; i < KEY_DIGITS; i++) {
        char c = key.ptr[i];
        if (!ascii_is_alnum(c) && c != '+' && c != '/') return false;
    }
    return true;
}

/* RFC 6455 section 4.2.2 step 5.4. EVP_Digest fetches the algorithm anew each time, about 0.2 us
 * that a cached EVP_MD would save; a global to hold it is not worth that. */
static int compute_accept(struct slice key, char out[static WS_HANDSHAKE_ACCEPT_LEN + 1])
{
    char text[KEY_LEN + sizeof(ACCEPT_GUID) - 1];
    unsigned char digest[SHA1_LEN];
    memcpy(text, key.ptr, KEY_LEN);
    memcpy(text + KEY_LEN, ACCEPT_GUID, sizeof(ACCEPT_GUID) - 1);
    if (EVP_Digest(text, sizeof(text), digest, NULL, EVP_sha1(), NULL) != 1) return ERR_NOMEM;
    CHECK(EVP_EncodeBlock((unsigned char *)out, digest, SHA1_LEN) == WS_HANDSHAKE_ACCEPT_LEN);
    return 0;
}

int ws_handshake_init(void)
{
    static const char key[] = "AAAAAAAAAAAAAAAAAAAAAA==";
    char accept[WS_HANDSHAKE_ACCEPT_LEN + 1];
    return compute_accept((struct slice){key, KEY_LEN}, accept);
}

int ws_handshake_parse(const struct http_request *r, bool allow_deflate, struct ws_handshake *out)
{
    struct seen seen = {0};
    int extensions_err = 0;
    out->deflate = false;
    out->client_keeps_context = false;
    out->server_window_bits = WINDOW_BITS_MAX;
    out->extensions[0] = '\0';
    for (size_t i = 0; i < r->header_count; i++) {
        int err = read_upgrade_header(&r->headers[i], &seen, allow_deflate, out);
        if (err) extensions_err = err;
    }
    if (!seen.upgrade) return ERR_UPGRADE_REQUIRED;
    if (!r->is_get || r->minor < 1 || r->has_body || !seen.connection) return ERR_BAD_UPGRADE;
    if (!seen.version_ok || seen.version_bad) return ERR_BAD_VERSION;
    if (seen.keys != 1 || !key_is_valid(seen.key) || extensions_err) return ERR_BAD_UPGRADE;
    out->protocols = seen.protocols;
    return compute_accept(seen.key, out->accept);
}

static int append_text(struct buf *out, const char *text, size_t max_bytes)
{
    return buf_append(out, text, strlen(text), max_bytes);
}

static int append_response(const struct ws_handshake *h, struct slice protocol, struct buf *out,
                           size_t max_bytes)
{
    int err;
    if ((err = append_text(out,
                           "HTTP/1.1 101 Switching Protocols\r\n"
                           "Upgrade: websocket\r\n"
                           "Connection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: ",
                           max_bytes)) ||
        (err = buf_append(out, h->accept, WS_HANDSHAKE_ACCEPT_LEN, max_bytes)))
        return err;
    if (protocol.len && ((err = append_text(out, "\r\nSec-WebSocket-Protocol: ", max_bytes)) ||
                         (err = buf_append(out, protocol.ptr, protocol.len, max_bytes))))
        return err;
    if (h->extensions[0] &&
        ((err = append_text(out, "\r\nSec-WebSocket-Extensions: ", max_bytes)) ||
         (err = append_text(out, h->extensions, max_bytes))))
        return err;
    return append_text(out, "\r\n\r\n", max_bytes);
}

int ws_handshake_response(const struct ws_handshake *h, struct slice protocol, struct buf *out,
                          size_t max_bytes)
{
    size_t start = out->len;
    int err = append_response(h, protocol, out, max_bytes);
    if (err) buf_truncate(out, start);
    return err;
}
