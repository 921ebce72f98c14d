/* See bearer.h. */
#include "proto/bearer.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "proto/http.h"
#include "proto/rich.h"

#define SCHEME "Bearer"
#define OFFER "bearer."
#define GUEST_OFFER "guest."

static int note(struct bearer *b, struct slice token)
{
    if (b->carried) return ERR_BAD_REQUEST;
    b->carried = true;
    b->token = token;
    return 0;
}

static int read_authorization(const struct http_request *r, struct bearer *b)
{
    const size_t scheme = sizeof SCHEME - 1;
    int err = 0;
    for (size_t i = 0; i < r->header_count && !err; i++) {
        struct slice value = r->headers[i].value;
        if (!slice_is_nocase(r->headers[i].name, "authorization")) continue;
        if (value.len < scheme || strncasecmp(value.ptr, SCHEME, scheme) != 0) continue;
        if (value.len > scheme && value.ptr[scheme] != ' ') continue;
        for (value.ptr += scheme, value.len -= scheme; value.len && *value.ptr == ' '; value.len--)
            value.ptr++;
        err = note(b, value);
    }
    return err;
}

/* The credential behind this prefix. False: the item is another. */
static bool read_offer(struct slice item, struct slice prefix, struct slice *out)
{
    if (item.len < prefix.len || memcmp(item.ptr, prefix.ptr, prefix.len) != 0) return false;
    *out = (struct slice){item.ptr + prefix.len, item.len - prefix.len};
    return true;
}

/* What is offered beside the subprotocol that is selected. ptr NULL: it is not. */
struct offers {
    struct slice token;
    struct slice guest;
};

static int read_list(struct slice list, struct offers *o)
{
    while (list.len) {
        struct slice item = http_list_take(&list);
        struct slice offered;
        bool token = read_offer(item, SLICE_LIT(OFFER), &offered);
        if (!token && !read_offer(item, SLICE_LIT(GUEST_OFFER), &offered)) continue;
        struct slice *to = token ? &o->token : &o->guest;
        if (to->ptr) return ERR_BAD_REQUEST;
        *to = offered;
    }
    return 0;
}

/* A client may offer them in one header or in several. */
static int read_offers(const struct http_request *r, struct offers *o, struct bearer *b)
{
    int err = 0;
    for (size_t i = 0; i < r->header_count && !err; i++) {
        struct slice list = r->headers[i].value;
        if (!slice_is_nocase(r->headers[i].name, "sec-websocket-protocol")) continue;
        if (http_list_has_exactly(list, RICH_SUBPROTOCOL))
            b->subprotocol = RICH_SUBPROTOCOL;
        else if (!b->subprotocol && http_list_has_exactly(list, BEARER_BARE_SUBPROTOCOL))
            b->subprotocol = BEARER_BARE_SUBPROTOCOL;
        err = read_list(list, o);
    }
    if (err) return err;
    return (o->token.ptr || o->guest.ptr) && !b->subprotocol ? ERR_BEARER_ALONE : 0;
}

static int read_query(const struct http_request *r, struct bearer *b)
{
    struct slice raw;
    struct slice token = {b->decoded, 0};
    if (!http_query_get(r->query, "token", &raw)) return 0;
    int err = http_percent_decode(raw, false, b->decoded, sizeof b->decoded, &token.len);
    return err ? err : note(b, token);
}

int bearer_read(const struct http_request *r, bool authorization, struct bearer *out)
{
    struct offers offers = {{NULL, 0}, {NULL, 0}};
    out->carried = false;
    out->guest = false;
    out->token = (struct slice){NULL, 0};
    out->subprotocol = NULL;
    int err = authorization ? read_authorization(r, out) : 0;
    if (!err) err = read_offers(r, &offers, out);
    if (!err && !out->carried && offers.token.ptr) (void)note(out, offers.token);
    if (!err && !out->carried) err = read_query(r, out);
    if (err || out->carried || !offers.guest.ptr) return err;
    out->guest = true;
    return note(out, offers.guest);
}
