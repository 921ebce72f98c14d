/* The routes of the HTTP API: which method and path is what. Pure; any thread.
 *
 * The table is all there is to routing, so that a test can hold it against the OpenAPI document. */
#ifndef API_API_ROUTE_H
#define API_API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define API_PREFIX "/api/"
#define API_ROOT "/api/v1/"
#define API_DOCUMENT API_ROOT "openapi.json"

enum { API_ALLOW_MAX = 64 }; /* bytes of an Allow header's value, with its NUL */

/* X(symbol, method, path below API_ROOT, takes a body) */
#define API_ROUTES(X)                                                                              \
    X(API_STATS, "GET", "stats", false)                                                            \
    X(API_EXPORT, "GET", "export", false)                                                          \
    X(API_ROOMS, "GET", "rooms", false)                                                            \
    X(API_ROOM, "GET", "rooms/{room}", false)                                                      \
    X(API_MEMBERS, "GET", "rooms/{room}/members", false)                                           \
    X(API_SEARCH, "GET", "rooms/{room}/search", false)                                             \
    X(API_MESSAGES, "GET", "rooms/{room}/messages", false)                                         \
    X(API_POST, "POST", "rooms/{room}/messages", true)                                             \
    X(API_MESSAGE, "GET", "rooms/{room}/messages/{id}", false)                                     \
    X(API_EDIT, "PATCH", "rooms/{room}/messages/{id}", true)                                       \
    X(API_DELETE, "DELETE", "rooms/{room}/messages/{id}", false)                                   \
    X(API_ACTS, "GET", "acts", false)                                                              \
    X(API_ACT, "POST", "acts", true)

enum api_route {
#define X(symbol, method, path, body) symbol,
    API_ROUTES(X)
#undef X
        API_ROUTE_COUNT
};

struct api_route_info {
    const char *method;
    const char *path;
    bool takes_body;
};

/* In the order of enum api_route. */
extern const struct api_route_info api_routes[API_ROUTE_COUNT];

struct api_match {
    enum api_route route;
    struct slice room; /* as in the path, still percent-encoded; of routes that have one */
    struct slice id;
};

/* Finds the route of a path, which begins with API_PREFIX; HEAD is the route of GET. ERR_NOT_FOUND;
 * ERR_BAD_METHOD, and allow lists the methods of this path. out is set only on success, allow only
 * with ERR_BAD_METHOD. */
int api_route_find(struct slice method, struct slice path, struct api_match *out,
                   char allow[static API_ALLOW_MAX]);

#endif
