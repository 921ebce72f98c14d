/* See fetch.h. */
#include "auth/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/ip.h"
#include "net/socket.h"
#include "ops/version.h"

enum { HEAD_BYTES_MAX = 64 << 10, KIB = 1024 };

struct fetch {
    CURL *easy;
    struct curl_slist *headers;
    bool is_plain;
    uint32_t body_max_bytes;

    /* Of the run. */
    struct buf *body;
    size_t head_bytes;
    int err;                    /* ours, which libcurl cannot put in words */
    char text[CURL_ERROR_SIZE]; /* of err, or else of libcurl's */
};

/* ---- what libcurl calls ---- */

static size_t on_answer_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct fetch *f = arg;
    int err = buf_append(f->body, bytes, size * count, f->body_max_bytes);
    if (!err) return size * count;
    f->err = err == ERR_NOMEM ? err : ERR_TOO_LONG;
    return 0; /* less than was given: libcurl ends the transfer */
}

static size_t on_answer_head(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes;
    struct fetch *f = arg;
    f->head_bytes += size * count;
    if (f->head_bytes <= HEAD_BYTES_MAX) return size * count;
    f->err = ERR_HEAD_TOO_LARGE;
    return 0;
}

/* A name that fetch_url takes for this machine's may still be one that a resolver gave away. */
static curl_socket_t open_checked_socket(void *arg, curlsocktype purpose,
                                         struct curl_sockaddr *address)
{
    (void)purpose;
    struct fetch *f = arg;
    struct sockaddr_storage to = {0};
    uint8_t ip[SOCKET_IP_BYTES];
    if (address->addrlen <= sizeof to) memcpy(&to, &address->addr, address->addrlen);
    socket_ip(&to, ip); /* of neither IPv4 nor IPv6: [::] */
    if (f->is_plain && !ip_is_loopback(ip)) {
        f->err = ERR_FORBIDDEN;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- life ---- */

/* The first of these that fails is the result, so that none is missing unnoticed. */
static CURLcode set_all(struct fetch *f, const struct fetch_options *o)
{
    CURL *e = f->easy;
    CURLcode code = CURLE_OK;
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK) code = curl_easy_setopt(e, (option), (value));                       \
    } while (0)
    SET(CURLOPT_URL, o->url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, o->is_plain ? "http" : "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (o->ca_file) SET(CURLOPT_CAINFO, o->ca_file);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)o->total_ms);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* or a name that is not answered holds up who stops */
    SET(CURLOPT_FORBID_REUSE, o->keep_alive ? 0L : 1L);
    SET(CURLOPT_USERAGENT, "Parlor/" PARLOR_VERSION);
    SET(CURLOPT_HTTPHEADER, f->headers);
    SET(CURLOPT_ERRORBUFFER, f->text);
    SET(CURLOPT_WRITEFUNCTION, on_answer_body);
    SET(CURLOPT_WRITEDATA, f);
    SET(CURLOPT_HEADERFUNCTION, on_answer_head);
    SET(CURLOPT_HEADERDATA, f);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_checked_socket);
    SET(CURLOPT_OPENSOCKETDATA, f);
#undef SET
    return code;
}

static bool add_headers(struct fetch *f, const struct fetch_options *o)
{
    for (size_t i = 0; i < o->header_count; i++) {
        struct curl_slist *longer = curl_slist_append(f->headers, o->headers[i]);
        if (!longer) return false;
        f->headers = longer;
    }
    return true;
}

int fetch_new(const struct fetch_options *o, struct fetch **out, const char **why)
{
    *out = NULL;
    *why = NULL;
    struct fetch *f = calloc(1, sizeof *f);
    if (!f) return ERR_NOMEM;
    f->is_plain = o->is_plain;
    f->body_max_bytes = o->body_max_bytes;
    f->easy = curl_easy_init();
    CURLcode code = f->easy && add_headers(f, o) ? set_all(f, o) : CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK) {
        *out = f;
        return 0;
    }
    fetch_free(f);
    if (code == CURLE_OUT_OF_MEMORY) return ERR_NOMEM;
    *why = curl_easy_strerror(code);
    return ERR_IO;
}

void fetch_free(struct fetch *f)
{
    if (!f) return;
    curl_easy_cleanup(f->easy);
    for (struct curl_slist *h = f->headers; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(f->headers);
    free(f);
}

/* ---- a run ---- */

int fetch_begin(struct fetch *f, CURLM *multi, struct buf *body, void *owner)
{
    f->body = body;
    f->head_bytes = 0;
    f->err = 0;
    f->text[0] = '\0';
    curl_easy_setopt(f->easy, CURLOPT_PRIVATE, owner); /* which cannot fail */
    return curl_multi_add_handle(multi, f->easy) == CURLM_OK ? 0 : ERR_NOMEM;
}

void *fetch_owner(const CURLMsg *done)
{
    char *owner = NULL;
    curl_easy_getinfo(done->easy_handle, CURLINFO_PRIVATE, &owner);
    return owner;
}

void fetch_end(struct fetch *f, CURLM *multi)
{
    curl_multi_remove_handle(multi, f->easy);
}

static void say_error(const struct fetch *f, CURLcode result, char why[static FETCH_WHY_MAX])
{
    if (f->err == ERR_TOO_LONG)
        snprintf(why, FETCH_WHY_MAX, "the answer is longer than %u KiB", f->body_max_bytes / KIB);
    else if (f->err == ERR_HEAD_TOO_LARGE)
        snprintf(why, FETCH_WHY_MAX, "the head of the answer is longer than 64 KiB");
    else if (f->err == ERR_FORBIDDEN)
        snprintf(why, FETCH_WHY_MAX,
                 "the name leads to another machine; http:// is for this one alone");
    else
        snprintf(why, FETCH_WHY_MAX, "%s", f->text[0] ? f->text : curl_easy_strerror(result));
}

int fetch_result(struct fetch *f, CURLcode result, long *status, char why[static FETCH_WHY_MAX])
{
    why[0] = '\0';
    if (f->err == ERR_NOMEM || result == CURLE_OUT_OF_MEMORY) return ERR_NOMEM;
    if (result != CURLE_OK) {
        say_error(f, result, why);
        return ERR_IO;
    }
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, status);
    return 0;
}

int64_t fetch_spread(int64_t ms)
{
    uint32_t bits = 0;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        bits = (uint32_t)clock_ms(CLOCK_MONOTONIC);
    return ms - (int64_t)bits % (ms / 4 + 1);
}

void fetch_say_status(long status, char why[static FETCH_WHY_MAX])
{
    snprintf(why, FETCH_WHY_MAX, "the site answered with status %ld%s", status,
             status >= 300 && status < 400
                 ? "; redirects are not followed, name the address they lead to"
                 : "");
}
