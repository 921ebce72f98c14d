/* See api_route.h. */
#include "api/api_route.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

const struct api_route_info api_routes[API_ROUTE_COUNT] = {
#define X(symbol, method, path, body) [symbol] = {method, path, body},
    API_ROUTES(X)
#undef X
};

/* Bytes before the next slash. */
static size_t segment_len(const char *at, const char *end)
{
    const char *slash = memchr(at, '/', (size_t)(end - at));
    return (size_t)((slash ? slash : end) - at);
}

/* True if the path below the root is that of the pattern; {room} and {id} stand for any segment,
 * also for an empty one: that is a bad name, not an unknown path. */
static bool matches(const char *pattern, struct slice path, struct api_match *out)
{
    const char *pattern_end = pattern + strlen(pattern);
    const char *at = path.ptr;
    const char *end = path.ptr + path.len;
    for (;;) {
        struct slice part = {pattern, segment_len(pattern, pattern_end)};
        struct slice given = {at, segment_len(at, end)};
        if (slice_is(part, "{room}"))
            out->room = given;
        else if (slice_is(part, "{id}"))
            out->id = given;
        else if (!slice_equal(part, given))
            return false;
        pattern += part.len;
        at += given.len;
        if (pattern == pattern_end || at == end) return pattern == pattern_end && at == end;
        pattern++; /* the slash */
        at++;
    }
}

static void add_method(char allow[static API_ALLOW_MAX], const char *method)
{
    size_t len = strlen(allow);
    const char *name = strcmp(method, "GET") == 0 ? "GET, HEAD" : method;
    snprintf(allow + len, API_ALLOW_MAX - len, "%s%s", len ? ", " : "", name);
}

int api_route_find(struct slice method, struct slice path, struct api_match *out,
                   char allow[static API_ALLOW_MAX])
{
    char others[API_ALLOW_MAX] = "";
    const size_t root = sizeof API_ROOT - 1;
    if (path.len <= root || memcmp(path.ptr, API_ROOT, root) != 0) return ERR_NOT_FOUND;
    struct slice below = {path.ptr + root, path.len - root};
    for (int i = 0; i < API_ROUTE_COUNT; i++) {
        struct api_match match = {.route = (enum api_route)i};
        const char *own = api_routes[i].method;
        if (!matches(api_routes[i].path, below, &match)) continue;
        if (slice_is(method, own) || (slice_is(method, "HEAD") && strcmp(own, "GET") == 0)) {
            *out = match;
            return 0;
        }
        add_method(others, own);
    }
    if (!others[0]) return ERR_NOT_FOUND;
    add_method(others, "OPTIONS");
    memcpy(allow, others, API_ALLOW_MAX);
    return ERR_BAD_METHOD;
}
