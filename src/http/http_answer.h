/* Builds and sends HTTP responses. Worker's thread. */
#ifndef HTTP_HTTP_ANSWER_H
#define HTTP_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct conn;
struct http_request;

/* The page's policy: its own files, its own server, nothing else. */
#define HTTP_PAGE_POLICY                                                                           \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "       \
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* For refusals that are over soon. */
#define HTTP_RETRY_AFTER "Retry-After: 5\r\n"

struct http_answer {
    unsigned status;
    const char *content_type;
    const char *cache_control; /* NULL: no-store */
    const char *headers;       /* further lines, each with CRLF; NULL: none */
    struct slice body;         /* ignored with 204 and 304, which have none */
};

/* What the answer has to know of its request, which may be gone by then. */
struct http_manner {
    bool keep_alive; /* the request is consumed to its end and wants the connection kept */
    bool head_only;  /* it was HEAD */
    bool http_1_0;   /* it knows no chunks */
};

/* Of a request whose body, if it has one, is not going to be read. NULL: it could not be read. */
struct http_manner http_manner(const struct http_request *r);

/* Sends the answer to a request (NULL: it could not be read; the connection is closed then). A HEAD
 * request gets the same head without the body. The connection may be dead afterwards. */
void http_answer(struct conn *c, const struct http_request *r, const struct http_answer *a);

/* The same for an error of the table, as {"error":{"code","detail"}}; headers as above. */
void http_answer_error(struct conn *c, const struct http_request *r, int err, const char *headers);

/* The same with a text that says more than the table's: at most 400 bytes of it are sent, and it
 * holds no control characters and no backslashes. */
void http_answer_error_text(struct conn *c, const struct http_request *r, int err,
                            const char *text);

/* All three, after the request. */
void http_answer_later(struct conn *c, struct http_manner m, const struct http_answer *a);
void http_answer_error_later(struct conn *c, struct http_manner m, int err, const char *headers);
void http_answer_error_text_later(struct conn *c, struct http_manner m, int err, const char *text);

/* An answer whose length is not known when it begins: the head, then pieces (RFC 9112 section 7.1,
 * as they are for HTTP/1.0), then the end. The body of `a` is not used. After the end the
 * connection is kept or closed as m wants; to cut the answer short, drop the connection. */
void http_stream_begin(struct conn *c, struct http_manner m, const struct http_answer *a);
void http_stream_piece(struct conn *c, struct http_manner m, struct slice piece);
void http_stream_end(struct conn *c, struct http_manner m);

#endif
