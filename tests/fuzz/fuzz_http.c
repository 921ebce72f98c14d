/* Fuzzes the request head, and the WebSocket handshake and the token in it. Properties: collecting
 * a head in two pieces finds the end that one look finds; every slice lies within the head; a parse
 * changes nothing and says the same again; what is taken does not look wrong and holds none of the
 * bytes that a head must not hold; a handshake that is taken gets an answer that is itself a sound
 * head.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/utf8.h"
#include "proto/bearer.h"
#include "proto/http.h"
#include "proto/name.h"
#include "proto/ws_handshake.h"

enum { RESPONSE_MAX = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct slice s, const char *head, size_t len)
{
    CHECK(s.len == 0 || (s.ptr >= head && s.ptr + s.len <= head + len));
}

static void slices_are_inside(const struct http_request *r, const char *head, size_t len)
{
    inside(r->method, head, len);
    inside(r->target, head, len);
    inside(r->query, head, len);
    if (!slice_is(r->path, "/")) inside(r->path, head, len);
    CHECK(r->method.len > 0 && r->target.len > 0 && r->path.len > 0);
    CHECK(r->path.ptr[0] == '/' || slice_is(r->path, "*"));
    CHECK(r->header_count <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < r->header_count; i++) {
        struct slice name = r->headers[i].name;
        struct slice value = r->headers[i].value;
        inside(name, head, len);
        inside(value, head, len);
        CHECK(name.len > 0 && !memchr(name.ptr, ' ', name.len));
        CHECK(value.len == 0 || !memchr(value.ptr, '\n', value.len));
        CHECK(value.len == 0 || (value.ptr[0] != ' ' && value.ptr[value.len - 1] != ' '));
    }
}

static void use_parts(const struct http_request *r)
{
    char room[NAME_ROOM_MAX];
    char text[64];
    size_t len;
    struct slice raw;
    struct slice segment = {r->path.ptr + 1, r->path.len - 1};
    if (name_room_decode(segment, room, &len) == 0)
        CHECK(len > 0 && len <= sizeof(room) && utf8_valid(room, len));
    if (http_query_get(r->query, "username", &raw)) {
        inside(raw, r->query.ptr, r->query.len);
        if (http_percent_decode(raw, true, text, sizeof(text), &len) == 0)
            CHECK(len <= sizeof(text) && len <= raw.len);
    }
}

static void handshake(const struct http_request *r, const char *head, size_t len)
{
    struct ws_handshake h;
    struct ws_handshake off;
    int err = ws_handshake_parse(r, true, &h);
    CHECK(ws_handshake_parse(r, false, &off) == err);
    if (err) {
        CHECK(err == ERR_UPGRADE_REQUIRED || err == ERR_BAD_VERSION || err == ERR_BAD_UPGRADE);
        return;
    }
    CHECK(!off.deflate && off.extensions[0] == '\0' && off.server_window_bits == 15);
    CHECK(h.deflate == (h.extensions[0] != '\0'));
    CHECK(h.server_window_bits >= 8 && h.server_window_bits <= 15);
    CHECK(strlen(h.accept) == WS_HANDSHAKE_ACCEPT_LEN);
    inside(h.protocols, head, len);

    struct buf out = {0};
    size_t scanned = 0;
    CHECK(ws_handshake_response(&h, (struct slice){0}, &out, RESPONSE_MAX) == 0);
    CHECK(http_head_size((const char *)out.data, out.len, &scanned) == out.len);
    buf_fini(&out);
}

static void bearer(const struct http_request *r, const char *head, size_t len)
{
    static struct bearer b;
    static struct bearer other;
    int err = bearer_read(r, true, &b);
    CHECK(err == 0 || err == ERR_BAD_REQUEST || err == ERR_BEARER_ALONE || err == ERR_TOO_LONG);
    if (err) return;
    if (!b.carried) CHECK(bearer_read(r, false, &other) == 0 && !other.carried);
    bool decoded = b.token.ptr == b.decoded;
    CHECK(b.carried || b.token.len == 0);
    if (decoded)
        CHECK(b.token.len <= sizeof b.decoded);
    else
        inside(b.token, head, len);
    CHECK(!b.subprotocol ||
          http_list_has_exactly(slice_of("parlor.v1, parlor.bare"), b.subprotocol));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t all = 0;
    size_t len = http_head_size(text, size, &all);
    CHECK(len <= size);
    size_t known = 0;
    size_t pieces = 0;
    for (size_t have = 0; have <= size && pieces == 0; have++)
        pieces = http_head_size(text, have, &known);
    CHECK(pieces == len);
    if (len == 0) return 0;

    /* A block of its own, so that the sanitizer sees a read past the end of the head. */
    char *head = malloc(len);
    CHECK(head);
    memcpy(head, data, len);
    struct http_request r;
    int err = http_request_parse(head, len, &r);
    CHECK(memcmp(head, data, len) == 0);
    CHECK(err == 0 || err == ERR_BAD_REQUEST || err == ERR_HEAD_TOO_LARGE || err == ERR_BAD_CODING);
    if (err == 0) {
        CHECK(!http_looks_wrong(head, len) && !memchr(head, '\0', len));
        slices_are_inside(&r, head, len);
        use_parts(&r);
        handshake(&r, head, len);
        bearer(&r, head, len);
    }
    free(head);
    return 0;
}
