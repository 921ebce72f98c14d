/* One GET by libcurl, as all that the server itself asks: of keys (key_fetch.h), and of who
 * somebody is (site.h). Several may run on one thread, in one multi handle.
 *
 * What a site can do to us is bounded: so many bytes of body, 64 KiB of head, and a time. What it
 * may lead us to is nothing but itself: no redirect, no proxy from the environment, no protocol but
 * HTTP/1.1, over TLS that is always verified, or for http:// over loopback, whatever address the
 * name may have turned into.
 *
 * curl_global_init has been called before. The process ignores SIGPIPE. One thread. */
#ifndef AUTH_FETCH_H
#define AUTH_FETCH_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { FETCH_WHY_MAX = 320 };

struct fetch;

/* Borrowed, only during the call. */
struct fetch_options {
    const char *url;     /* one that fetch_url takes */
    bool is_plain;       /* as that says */
    const char *ca_file; /* PEM of whom to believe about the site; NULL: whom the system believes */
    uint32_t connect_ms; /* for name, connection and TLS; 0: libcurl's own limit */
    uint32_t total_ms;   /* 0: the caller watches */
    uint32_t body_max_bytes;
    bool keep_alive;            /* the connection may serve another one in the same multi handle */
    const char *const *headers; /* whole ones, without their line ends; wiped by fetch_free */
    size_t header_count;
};

/* 0, ERR_NOMEM, or ERR_IO: this libcurl cannot do it, *why (static text, else NULL) says what. */
int fetch_new(const struct fetch_options *o, struct fetch **out, const char **why);

/* Not while it runs. NULL is nothing. */
void fetch_free(struct fetch *f);

/* Starts it in this handle. What is answered comes into body, the caller's and empty; owner is what
 * fetch_owner gives for its CURLMsg. ERR_NOMEM: it did not start. */
int fetch_begin(struct fetch *f, CURLM *multi, struct buf *body, void *owner);

void *fetch_owner(const CURLMsg *done);

/* Takes it out of the handle again; also one that is not over. */
void fetch_end(struct fetch *f, CURLM *multi);

/* Before fetch_end: what became of one whose result is this. 0: *status is that of the answer, and
 * body all of it; ERR_IO: why says why not, in words that show nothing of the URL but its host;
 * ERR_NOMEM. */
int fetch_result(struct fetch *f, CURLcode result, long *status, char why[static FETCH_WHY_MAX]);

/* So many ms, up to a quarter less, so that servers do not ask in step. */
int64_t fetch_spread(int64_t ms);

/* Words for a status that is of no use. */
void fetch_say_status(long status, char why[static FETCH_WHY_MAX]);

#endif
