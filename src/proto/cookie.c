/* See cookie.h. */
#include "proto/cookie.h"

#include <string.h>

#include "base/ascii.h"
#include "base/err.h"
#include "proto/http.h"

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!ascii_is_token(s.ptr[i])) return false;
    return s.len > 0;
}

bool cookie_names_valid(struct slice names)
{
    size_t count = 0;
    do {
        if (!is_name(http_list_take(&names)) || ++count > COOKIE_NAMES_MAX) return false;
    } while (names.len);
    return true;
}

static bool is_named(struct slice name, struct slice names)
{
    while (names.len)
        if (slice_equal(http_list_take(&names), name)) return true;
    return false;
}

static int put_pair(struct slice pair, char *out, size_t cap, size_t *len)
{
    const size_t between = *len ? 2 : 0;
    if (pair.len + between > cap - *len) return ERR_HEAD_TOO_LARGE;
    memcpy(out + *len, "; ", between);
    memcpy(out + *len + between, pair.ptr, pair.len);
    *len += between + pair.len;
    return 0;
}

/* Pairs are separated by semicolons, whatever else is in their values. One without `=` has no name.
 */
static int pick_of_header(struct slice header, struct slice names, char *out, size_t cap,
                          size_t *len)
{
    int err = 0;
    while (header.len && !err) {
        const char *end = memchr(header.ptr, ';', header.len);
        size_t n = end ? (size_t)(end - header.ptr) : header.len;
        struct slice pair = slice_trim((struct slice){header.ptr, n});
        const char *equals = pair.len ? memchr(pair.ptr, '=', pair.len) : NULL;
        struct slice name = {pair.ptr, equals ? (size_t)(equals - pair.ptr) : 0};
        n += end ? 1 : 0;
        header = (struct slice){header.ptr + n, header.len - n};
        if (equals && is_named(name, names)) err = put_pair(pair, out, cap, len);
    }
    return err;
}

int cookie_pick(const struct http_request *r, struct slice names, char *out, size_t cap,
                size_t *len)
{
    int err = 0;
    *len = 0;
    for (size_t i = 0; i < r->header_count && !err; i++)
        if (slice_is_nocase(r->headers[i].name, "cookie"))
            err = pick_of_header(r->headers[i].value, names, out, cap, len);
    return err;
}
