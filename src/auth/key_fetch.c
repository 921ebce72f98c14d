/* See key_fetch.h. */
#include "auth/key_fetch.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "auth/jwk.h"
#include "auth/key_url.h"
#include "base/err.h"
#include "base/ip.h"
#include "net/socket.h"
#include "ops/version.h"

enum {
    HEAD_BYTES_MAX = 64 << 10,
    POLL_MS_MAX = 60 * 1000, /* how long a poll may be; sleeping goes on after it */
};

struct key_fetch {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    bool is_plain;
    atomic_bool stopped;

    /* Of the run. */
    struct buf *body;
    size_t head_bytes;
    int err;         /* ours, which libcurl cannot put in words */
    const char *why; /* of err */
    char text[CURL_ERROR_SIZE];
};

/* ---- what libcurl calls ---- */

static size_t refuse_bytes(struct key_fetch *f, int err, const char *why)
{
    f->err = err;
    f->why = why;
    return 0; /* less than was given: libcurl ends the transfer */
}

static size_t on_answer_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct key_fetch *f = arg;
    int err = buf_append(f->body, bytes, size * count, JWK_SET_BYTES_MAX);
    if (!err) return size * count;
    return err == ERR_NOMEM ? refuse_bytes(f, err, "")
                            : refuse_bytes(f, ERR_IO, "the answer is longer than 256 KiB");
}

static size_t on_answer_head(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes;
    struct key_fetch *f = arg;
    f->head_bytes += size * count;
    if (f->head_bytes <= HEAD_BYTES_MAX) return size * count;
    return refuse_bytes(f, ERR_IO, "the head of the answer is longer than 64 KiB");
}

/* A name that key_url takes for this machine's may still be one that a resolver gave away. */
static curl_socket_t open_checked_socket(void *arg, curlsocktype purpose,
                                         struct curl_sockaddr *address)
{
    (void)purpose;
    struct key_fetch *f = arg;
    struct sockaddr_storage to = {0};
    uint8_t ip[SOCKET_IP_BYTES];
    if (address->addrlen <= sizeof to) memcpy(&to, &address->addr, address->addrlen);
    socket_ip(&to, ip); /* of neither IPv4 nor IPv6: [::] */
    if (f->is_plain && !ip_is_loopback(ip)) {
        f->err = ERR_IO;
        f->why = "the name leads to another machine; http:// is for this one alone";
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- life ---- */

/* The first of these that fails is the result, so that none is missing unnoticed. */
static CURLcode set_all(struct key_fetch *f, const struct key_fetch_options *o)
{
    CURL *e = f->easy;
    CURLcode code = CURLE_OK;
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK) code = curl_easy_setopt(e, (option), (value));                       \
    } while (0)
    SET(CURLOPT_URL, o->url->text);
    SET(CURLOPT_PROTOCOLS_STR, o->url->is_plain ? "http" : "https");
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
    SET(CURLOPT_FORBID_REUSE, 1L);
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

int key_fetch_new(const struct key_fetch_options *o, struct key_fetch **out, const char **why)
{
    *out = NULL;
    *why = NULL;
    struct key_fetch *f = calloc(1, sizeof *f);
    if (!f) return ERR_NOMEM;
    f->multi = curl_multi_init();
    f->easy = curl_easy_init();
    f->headers = curl_slist_append(NULL, "Accept: application/jwk-set+json, application/json");
    f->is_plain = o->url->is_plain;
    CURLcode code = f->multi && f->easy && f->headers ? set_all(f, o) : CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK) {
        *out = f;
        return 0;
    }
    key_fetch_free(f);
    if (code == CURLE_OUT_OF_MEMORY) return ERR_NOMEM;
    *why = curl_easy_strerror(code);
    return ERR_IO;
}

void key_fetch_free(struct key_fetch *f)
{
    if (!f) return;
    curl_easy_cleanup(f->easy);
    curl_multi_cleanup(f->multi);
    curl_slist_free_all(f->headers);
    free(f);
}

/* ---- a run ---- */

static int refuse_status(long status, char why[static KEY_FETCH_WHY_MAX])
{
    snprintf(why, KEY_FETCH_WHY_MAX, "the site answered with status %ld%s", status,
             status >= 300 && status < 400
                 ? "; redirects are not followed, name the address they lead to"
                 : "");
    return ERR_IO;
}

/* What became of it. */
static int conclude(struct key_fetch *f, CURLcode code, char why[static KEY_FETCH_WHY_MAX])
{
    if (f->err == ERR_NOMEM || code == CURLE_OUT_OF_MEMORY) return ERR_NOMEM;
    if (code != CURLE_OK) {
        const char *words = f->text[0] ? f->text : curl_easy_strerror(code);
        snprintf(why, KEY_FETCH_WHY_MAX, "%s", f->err ? f->why : words);
        return ERR_IO;
    }
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 ? 0 : refuse_status(status, why);
}

/* Until the transfer is over, or stopped; its result. */
static CURLcode drive(struct key_fetch *f)
{
    int running = 1;
    while (!atomic_load(&f->stopped)) {
        if (curl_multi_perform(f->multi, &running) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
        if (!running) break;
        if (curl_multi_poll(f->multi, NULL, 0, POLL_MS_MAX, NULL) != CURLM_OK)
            return CURLE_OUT_OF_MEMORY;
    }
    int left;
    const CURLMsg *done = curl_multi_info_read(f->multi, &left);
    return done ? done->data.result : CURLE_ABORTED_BY_CALLBACK;
}

int key_fetch_run(struct key_fetch *f, struct buf *body, char why[static KEY_FETCH_WHY_MAX])
{
    why[0] = '\0';
    f->body = body;
    f->head_bytes = 0;
    f->err = 0;
    f->why = NULL;
    f->text[0] = '\0';
    if (curl_multi_add_handle(f->multi, f->easy) != CURLM_OK) return ERR_NOMEM;
    CURLcode code = drive(f);
    int err = conclude(f, code, why);
    curl_multi_remove_handle(f->multi, f->easy);
    return atomic_load(&f->stopped) ? ERR_CLOSED : err;
}

/* ---- sleep ---- */

bool key_fetch_sleep(struct key_fetch *f, int64_t ms)
{
    if (atomic_load(&f->stopped)) return false;
    if (ms > 0)
        curl_multi_poll(f->multi, NULL, 0, (int)(ms < POLL_MS_MAX ? ms : POLL_MS_MAX), NULL);
    return !atomic_load(&f->stopped);
}

void key_fetch_wake(struct key_fetch *f)
{
    curl_multi_wakeup(f->multi);
}

void key_fetch_stop(struct key_fetch *f)
{
    atomic_store(&f->stopped, true);
    curl_multi_wakeup(f->multi);
}
