/* A site that publishes keys, well or badly: an HTTP server on 127.0.0.1 with one thread, which
 * takes one connection after the other, reads a request head, sends what it was told to, and
 * closes. */
#ifndef TESTS_KEY_SITE_H
#define TESTS_KEY_SITE_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

struct key_site;

enum key_site_then {
    KEY_SITE_CLOSE,
    KEY_SITE_HANG, /* sends no more, and keeps the connection until the other end closes it */
    KEY_SITE_DRIP, /* sends a byte a millisecond, then closes */
};

enum { KEY_SITE_REQUESTS_MAX = 256, KEY_SITE_HEAD_MAX = 4096 };

/* tls: borrowed; NULL: plain. It begins with hanging. */
struct key_site *key_site_start(SSL_CTX *tls);
void key_site_stop(struct key_site *site);

uint16_t key_site_port(const struct key_site *site);

/* What is answered from the next request on. */
void key_site_says(struct key_site *site, const char *bytes, size_t len, enum key_site_then then);

/* The same of 200 with this body, and its length. */
void key_site_publishes(struct key_site *site, const char *body);

/* How many connections were taken. */
unsigned key_site_connections(struct key_site *site);

/* How many requests there were, when each was (monotonic milliseconds; i below that count and
 * KEY_SITE_REQUESTS_MAX), and the head of the last. */
unsigned key_site_requests(struct key_site *site);
int64_t key_site_request_ms(struct key_site *site, unsigned i);
void key_site_head(struct key_site *site, char head[static KEY_SITE_HEAD_MAX]);

/* What a site needs for TLS: a new key, and a certificate for this name that vouches for itself,
 * also written to ca_path. */
SSL_CTX *key_site_tls(const char *name, const char *ca_path);

#endif
