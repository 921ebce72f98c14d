/* See key_site.h. */
#include "key_site.h"

#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/socket.h"
#include "token_maker.h"

struct answer {
    char *bytes;
    size_t len;
    enum key_site_then then;
};

struct key_site {
    SSL_CTX *tls;
    int listener;
    int stop; /* eventfd */
    pthread_t thread;

    pthread_mutex_t lock; /* of all below */
    struct answer answer;
    unsigned connections;
    unsigned requests;
    int64_t request_ms[KEY_SITE_REQUESTS_MAX];
    char head[KEY_SITE_HEAD_MAX];
};

/* A connection; ssl is NULL on a plain site. */
struct peer {
    int fd;
    SSL *ssl;
};

/* False: the site is to stop. */
static bool wait_readable(const struct key_site *site, int fd)
{
    struct pollfd fds[2] = {{.fd = site->stop, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int n;
    do
        n = poll(fds, 2, -1);
    while (n < 0);
    return fds[0].revents == 0;
}

static ssize_t peer_read(const struct key_site *site, struct peer *p, char *bytes, size_t len)
{
    if (p->ssl && SSL_has_pending(p->ssl)) return SSL_read(p->ssl, bytes, (int)len);
    if (!wait_readable(site, p->fd)) return 0;
    return p->ssl ? SSL_read(p->ssl, bytes, (int)len) : read(p->fd, bytes, len);
}

static ssize_t peer_write(struct peer *p, const char *bytes, size_t len)
{
    if (len == 0) return 0;
    return p->ssl ? SSL_write(p->ssl, bytes, (int)len) : send(p->fd, bytes, len, MSG_NOSIGNAL);
}

static struct answer copy_answer(const char *bytes, size_t len, enum key_site_then then)
{
    struct answer a = {malloc(len + 1), len, then};
    CHECK(a.bytes);
    if (len) memcpy(a.bytes, bytes, len);
    return a;
}

/* True: the answer is the caller's to free. A request that is counted needs no more memory. */
static bool read_request(struct key_site *site, struct peer *p, struct answer *out)
{
    char head[KEY_SITE_HEAD_MAX];
    size_t len = 0;
    do {
        ssize_t n = peer_read(site, p, head + len, sizeof head - 1 - len);
        if (n <= 0) return false;
        len += (size_t)n;
        head[len] = '\0';
    } while (!strstr(head, "\r\n\r\n"));
    pthread_mutex_lock(&site->lock);
    *out = copy_answer(site->answer.bytes, site->answer.len, site->answer.then);
    memcpy(site->head, head, len + 1);
    if (site->requests < KEY_SITE_REQUESTS_MAX)
        site->request_ms[site->requests] = clock_ms(CLOCK_MONOTONIC);
    site->requests++;
    pthread_mutex_unlock(&site->lock);
    return true;
}

static void send_slowly(struct peer *p, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len && peer_write(p, bytes + i, 1) == 1; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void send_answer(struct key_site *site, struct peer *p, struct answer *a)
{
    char rest[256];
    if (a->then == KEY_SITE_DRIP)
        send_slowly(p, a->bytes, a->len);
    else
        peer_write(p, a->bytes, a->len);
    free(a->bytes);
    if (a->then != KEY_SITE_HANG) return;
    while (peer_read(site, p, rest, sizeof rest) > 0) {
    }
}

static void serve_peer(struct key_site *site, int fd)
{
    struct peer p = {.fd = fd};
    pthread_mutex_lock(&site->lock);
    site->connections++;
    pthread_mutex_unlock(&site->lock);
    struct answer answer;
    struct timeval patience = {5, 0}; /* for a handshake that is not gone on with */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (site->tls) {
        p.ssl = SSL_new(site->tls);
        CHECK(p.ssl && SSL_set_fd(p.ssl, fd) == 1);
        bool ok = SSL_accept(p.ssl) == 1;
        if (ok && read_request(site, &p, &answer)) send_answer(site, &p, &answer);
        if (ok) SSL_shutdown(p.ssl);
        SSL_free(p.ssl);
    } else if (read_request(site, &p, &answer)) {
        send_answer(site, &p, &answer);
    }
    close(fd);
}

static void *site_main(void *arg)
{
    struct key_site *site = arg;
    while (wait_readable(site, site->listener)) {
        int fd = accept(site->listener, NULL, NULL);
        if (fd >= 0) serve_peer(site, fd);
    }
    return NULL;
}

struct key_site *key_site_start(SSL_CTX *tls)
{
    struct key_site *site = calloc(1, sizeof *site);
    CHECK(site);
    site->tls = tls;
    site->answer.then = KEY_SITE_HANG;
    site->listener = socket_listen("127.0.0.1", 0, true);
    site->stop = eventfd(0, 0);
    CHECK(site->listener >= 0 && site->stop >= 0);
    CHECK(pthread_mutex_init(&site->lock, NULL) == 0);
    CHECK(pthread_create(&site->thread, NULL, site_main, site) == 0);
    return site;
}

void key_site_stop(struct key_site *site)
{
    uint64_t one = 1;
    CHECK(write(site->stop, &one, sizeof one) == sizeof one);
    pthread_join(site->thread, NULL);
    close(site->listener);
    close(site->stop);
    pthread_mutex_destroy(&site->lock);
    free(site->answer.bytes);
    free(site);
}

uint16_t key_site_port(const struct key_site *site)
{
    return socket_port(site->listener);
}

void key_site_says(struct key_site *site, const char *bytes, size_t len, enum key_site_then then)
{
    struct answer new = copy_answer(bytes, len, then);
    pthread_mutex_lock(&site->lock);
    struct answer old = site->answer;
    site->answer = new;
    pthread_mutex_unlock(&site->lock);
    free(old.bytes);
}

void key_site_publishes(struct key_site *site, const char *body)
{
    char *text = NULL;
    int n = asprintf(&text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    CHECK(n > 0);
    key_site_says(site, text, (size_t)n, KEY_SITE_CLOSE);
    free(text);
}

unsigned key_site_connections(struct key_site *site)
{
    pthread_mutex_lock(&site->lock);
    unsigned n = site->connections;
    pthread_mutex_unlock(&site->lock);
    return n;
}

unsigned key_site_requests(struct key_site *site)
{
    pthread_mutex_lock(&site->lock);
    unsigned n = site->requests;
    pthread_mutex_unlock(&site->lock);
    return n;
}

int64_t key_site_request_ms(struct key_site *site, unsigned i)
{
    pthread_mutex_lock(&site->lock);
    int64_t ms = site->request_ms[i];
    pthread_mutex_unlock(&site->lock);
    return ms;
}

void key_site_head(struct key_site *site, char head[static KEY_SITE_HEAD_MAX])
{
    pthread_mutex_lock(&site->lock);
    memcpy(head, site->head, KEY_SITE_HEAD_MAX);
    pthread_mutex_unlock(&site->lock);
}

/* ---- TLS ---- */

static X509 *make_certificate(EVP_PKEY *pkey, const char *name)
{
    X509 *cert = X509_new();
    CHECK(cert && X509_set_version(cert, X509_VERSION_3) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
    X509_set_issuer_name(cert, subject);
    X509_set_pubkey(cert, pkey);
    char alt[128];
    snprintf(alt, sizeof alt, "DNS:%s", name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt);
    CHECK(extension && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
    CHECK(X509_sign(cert, pkey, EVP_sha256()) > 0);
    return cert;
}

SSL_CTX *key_site_tls(const char *name, const char *ca_path)
{
    EVP_PKEY *pkey = token_key("P-256");
    X509 *cert = make_certificate(pkey, name);
    FILE *file = fopen(ca_path, "we");
    CHECK(file && PEM_write_X509(file, cert) == 1);
    fclose(file);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    CHECK(tls && SSL_CTX_use_certificate(tls, cert) == 1 && SSL_CTX_use_PrivateKey(tls, pkey) == 1);
    X509_free(cert);
    EVP_PKEY_free(pkey);
    return tls;
}
