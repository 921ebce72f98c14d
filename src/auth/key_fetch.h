/* Fetches a JWK Set with libcurl, again and again, for one thread that has nothing else to do. It
 * is also what that thread sleeps in, so that there is one thing to wake it by.
 *
 * What bounds a site is in fetch.h; JWK_SET_BYTES_MAX of body.
 *
 * curl_global_init has been called before. The process ignores SIGPIPE. */
#ifndef AUTH_KEY_FETCH_H
#define AUTH_KEY_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { KEY_FETCH_WHY_MAX = 320 };

struct key_fetch;
struct fetch_url;

/* Borrowed, only during the call. */
struct key_fetch_options {
    const struct fetch_url *url;
    uint32_t connect_ms; /* for name, connection and TLS */
    uint32_t total_ms;
    const char *ca_file; /* PEM of whom to believe about the site; NULL: whom the system believes */
};

/* 0, ERR_NOMEM, or ERR_IO: this libcurl cannot do it, *why (static text, else NULL) says what. */
int key_fetch_new(const struct key_fetch_options *o, struct key_fetch **out, const char **why);

/* After the thread has ended. NULL is nothing. */
void key_fetch_free(struct key_fetch *f);

/* Asks the site once, and waits. 0: body, which was empty, holds what it answered with 200, and is
 * the caller's to free, on errors too. ERR_IO: why says why not, in words that show nothing of the
 * URL but its host. ERR_CLOSED: stopped. ERR_NOMEM. Its thread only. */
int key_fetch_run(struct key_fetch *f, struct buf *body, char why[static KEY_FETCH_WHY_MAX]);

/* Sleeps for ms, or until it is woken, or for no reason. False: stopped. Its thread only. */
bool key_fetch_sleep(struct key_fetch *f, int64_t ms);

/* Ends the sleep; if there is none, the next. Any thread. */
void key_fetch_wake(struct key_fetch *f);

/* Ends run and sleep, now and from now on, however the site behaves. Any thread. */
void key_fetch_stop(struct key_fetch *f);

#endif
