/* The head of an HTTP/1.x request, from bytes to a view that a router can use.
 *
 * The grammar is libhttp-parser's; what this module adds is what a server at the edge has to be
 * strict about (RFC 9112 sections 2.2, 3, 5.2, 6.1, 11.2) and the library is not: bare LF, folded
 * lines, control bytes, a missing or repeated Host, blanks in names. Pure: no I/O, no allocation,
 * no state besides the caller's; any thread. All slices point into the caller's bytes, but for
 * the path "/" of an absolute-form target that has none. */
#ifndef PROTO_HTTP_H
#define PROTO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    HTTP_HEADERS_MAX = 64,
    HTTP_HEAD_MAX_BYTES = 16384 /* what callers collect before they give up */
};

struct http_header {
    struct slice name;
    struct slice value; /* without outer blanks */
};

struct http_request {
    struct slice method;
    struct slice target; /* as sent */
    struct slice path;   /* starts with '/', still percent-encoded; or "*" */
    struct slice query;  /* without '?' */
    bool is_get;
    bool is_head;
    unsigned minor; /* HTTP/1.minor */
    bool keep_alive;
    bool has_body;         /* Content-Length above 0, or Transfer-Encoding */
    bool has_length;       /* Content-Length, and no Transfer-Encoding */
    bool chunked;          /* Transfer-Encoding: chunked */
    uint64_t body_bytes;   /* Content-Length */
    bool expects_continue; /* RFC 9110 section 10.1.1: the body waits for a 100 (Continue) */
    bool upgrade;          /* Connection: upgrade, and Upgrade present */
    size_t header_count;
    struct http_header headers[HTTP_HEADERS_MAX];
};

/* True if these first bytes of a connection cannot begin a request, so that a TLS hello or other
 * noise on a plain port is refused at once instead of by time-out. False for len 0. */
bool http_looks_wrong(const char *data, size_t len);

/* Bytes of the request head at data, its empty line included; 0 if it has not all arrived.
 * *scanned starts at 0 for a new head and is kept by the caller between calls with the same bytes
 * and more behind them: a sender of single bytes costs linear time in total. */
size_t http_head_size(const char *data, size_t len, size_t *scanned);

/* Reads a whole head: len is what http_head_size returned. Slices in *out live as long as head.
 * ERR_BAD_REQUEST, ERR_HEAD_TOO_LARGE for more than HTTP_HEADERS_MAX headers, or
 * ERR_BAD_CODING for a Transfer-Encoding other than chunked alone; *out is then of no use. An
 * absolute-form target is accepted and its path extracted; its host and port become the value of
 * Host, which has to be there (RFC 9112 section 3.2.2). Bytes above 0x7F are accepted in the path
 * and the query: people type room names into tools that send them raw. */
int http_request_parse(const char *head, size_t len, struct http_request *out);

/* Value of the first header of this name (ASCII case ignored); {NULL, 0} if there is none. */
struct slice http_header_get(const struct http_request *r, const char *name);

/* Takes the next item off a comma-separated list that is not empty, without the blanks around it.
 */
struct slice http_list_take(struct slice *list);

/* True if a comma-separated list holds this token (ASCII case ignored; RFC 9110 section 5.6.1). */
bool http_list_has(struct slice list, const char *token);

/* The same, but upper and lower case are different: names of subprotocols (RFC 6455 section 4.1:
 * the client compares what comes back with what it sent). */
bool http_list_has_exactly(struct slice list, const char *token);

/* Finds the first `key=` (or a bare `key`, whose value is empty) in a query. 1 and the value, still
 * percent-encoded, in *raw; or 0 and *raw untouched. Keys are compared as they were sent. */
int http_query_get(struct slice query, const char *key, struct slice *raw);

/* Decodes %XX, and '+' to a blank if plus_is_space. *out_len is set on success only.
 * ERR_BAD_REQUEST for a '%' without two hex digits, ERR_TOO_LONG if the result passes out_max. */
int http_percent_decode(struct slice in, bool plus_is_space, char *out, size_t out_max,
                        size_t *out_len);

#endif
