/* Builds and sends HTTP responses. Worker's thread. */
#ifndef SERVER_HTTP_ANSWER_H
#define SERVER_HTTP_ANSWER_H

#include <stdbool.h>

#include "base/buf.h"

struct conn;
struct http_request;

/* The page's policy: its own files, its own server, nothing else. */
#define HTTP_PAGE_POLICY                                                                           \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "       \
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct http_answer {
    unsigned status;
    const char *content_type;
    const char *cache_control; /* NULL: no-store */
    const char *headers;       /* further lines, each with CRLF; NULL: none */
    struct slice body;
};

/* Sends the answer to a request (NULL: it could not be read; the connection is closed then). A HEAD
 * request gets the same head without the body. The connection may be dead afterwards. */
void http_answer(struct conn *c, const struct http_request *r, const struct http_answer *a);

/* The same for an error of the table, as {"error":{"code","detail"}}; headers as above. */
void http_answer_error(struct conn *c, const struct http_request *r, int err, const char *headers);

#endif
