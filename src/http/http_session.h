/* The HTTP life of a connection: request heads in, answers out, or an upgrade to a WebSocket.
 * Worker's thread. */
#ifndef HTTP_HTTP_SESSION_H
#define HTTP_HTTP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct conn_ops;
struct http_request;

enum { HTTP_ALLOW_MAX = 64 }; /* bytes of a list of methods, its end included */

/* What answers requests below the API's prefix. While c->api is set, the request that began it is
 * not answered yet, and what comes on the connection is its body. */
struct http_api {
    const char *prefix;   /* of its paths */
    const char *document; /* the one among them that is an asset where there is a key */

    /* A head: answers it, or sets c->api. */
    void (*on_request)(struct conn *c, const struct http_request *r);

    /* The methods of the request's path. False: there is no such path. */
    bool (*allow)(const struct http_request *r, char allow[static HTTP_ALLOW_MAX]);

    /* Of c->api, as struct conn_ops has them; drop frees it. */
    size_t (*on_body)(struct conn *c, const uint8_t *data, size_t len);
    void (*on_writable)(struct conn *c);
    void (*on_timeout)(struct conn *c);
    void (*refuse)(struct conn *c, int err);
    void (*drop)(struct conn *c);
    size_t (*input_bytes)(const struct conn *c);
};

extern const struct conn_ops http_session;

#endif
