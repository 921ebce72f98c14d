/* Where the keys of tokens come from: fixed ones, out of a file, or a JWK Set that an issuer
 * publishes under a URL. Who verifies takes the newest set, and need not know which it is.
 *
 * A source with a URL has a thread of its own, so no worker ever waits for a site: it fetches at
 * once, then every KEY_SOURCE_RENEW_MS, sooner if somebody saw a key that is not known, and after a
 * failure again with growing waits. Only a set with a usable key takes the place of the one before,
 * so a site that is down, or lies broken, changes nothing for the keys that are there already.
 *
 * Invariants (under the source's lock)
 *  1. keys is NULL only in a source with a URL that has never been loaded.
 *  2. From the start of one fetch to that of the next pass at least ask_ms; only after a failure it
 *     may be less (retry_ms, doubled each time, at most ask_ms, and up to a quarter less). What
 *     strangers send changes nothing of that.
 *
 * main calls curl_global_init(CURL_GLOBAL_DEFAULT) before it has threads and before the first
 * source (a fixed one needs none), and the process ignores SIGPIPE. The thread inherits the
 * caller's signal mask. A source with a URL has up to eight descriptors open. */
#ifndef AUTH_KEY_SOURCE_H
#define AUTH_KEY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jwk_set;
struct key_source;

enum {
    KEY_SOURCE_RENEW_MS = 10 * 60 * 1000,
    KEY_SOURCE_ASK_MS = 60 * 1000,
    KEY_SOURCE_RETRY_MS = 1000,
    KEY_SOURCE_CONNECT_MS = 5 * 1000,
    KEY_SOURCE_TOTAL_MS = 15 * 1000,
    KEY_SOURCE_ERROR_MAX = 320,
};

/* How it stands, for the operator. Nothing in it is secret. */
struct key_source_health {
    const char *url;     /* without its query; as long as the source lives */
    uint64_t loads;      /* fetches that gave a set */
    uint64_t failures;   /* and those that did not */
    unsigned failing;    /* failures since the last set */
    int64_t loaded_ms;   /* Unix time of the last set; 0: never */
    int64_t failed_ms;   /* likewise of the last failure */
    size_t keys;         /* in the set that is in use */
    const char *ignored; /* why a key of it is not used, the last of them (static text), or NULL */
    char error[KEY_SOURCE_ERROR_MAX]; /* of the last failure, or "" */
};

/* After each fetch, on the source's thread, without its lock. h is borrowed. */
typedef void key_source_fn(void *ctx, const struct key_source_health *h);

/* Borrowed, only during the call, but for ctx. A number that is 0 is the one above. */
struct key_source_options {
    const char *url;
    const char *ca_file; /* PEM of whom to believe about the site; NULL: whom the system believes */
    uint32_t renew_ms;   /* each time up to a quarter less, so that servers do not ask in step */
    uint32_t ask_ms;     /* least time between fetches, and most between those that fail */
    uint32_t retry_ms;   /* first wait after a failure, up to a quarter less; then doubled */
    uint32_t connect_ms;
    uint32_t total_ms;
    key_source_fn *on_fetch; /* may be NULL */
    void *ctx;
};

/* Starts a source with a URL. 0: *out is the caller's, for key_source_close. ERR_CONFIG: *why is
 * what is wrong with the URL. ERR_IO: *why is what failed. ERR_NOMEM. *why is static text for the
 * operator, NULL but where said; on errors *out is NULL. */
int key_source_open(const struct key_source_options *o, struct key_source **out, const char **why);

/* A source of these keys for ever; takes the reference. NULL if memory is short, and the reference
 * stays the caller's. */
struct key_source *key_source_open_fixed(struct jwk_set *keys);

/* Does not wait for the site. Nobody uses the source any more; sets that were handed out live on.
 * NULL is nothing. */
void key_source_close(struct key_source *s);

/* A reference to the newest set, the caller's; NULL: none was ever loaded, ask again later. Any
 * thread. */
struct jwk_set *key_source_keys(struct key_source *s);

/* Somebody named a key that the newest set does not have. True: there may be newer keys soon, at
 * the latest ask_ms (and a fetch) from now if the site works. False: there will not, as these are
 * fixed. Any thread; does not wait, and costs a lock however often it is called. */
bool key_source_renew(struct key_source *s);

/* Any thread. A fixed source has only keys. */
void key_source_health(struct key_source *s, struct key_source_health *out);

#endif
