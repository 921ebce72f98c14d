/* See key_fetch.h. */
#include "auth/key_fetch.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "auth/fetch.h"
#include "auth/fetch_url.h"
#include "auth/jwk.h"
#include "base/err.h"

static_assert(KEY_FETCH_WHY_MAX >= (int)FETCH_WHY_MAX, "the words are passed on");

enum { POLL_MS_MAX = 60 * 1000 }; /* how long a poll may be; sleeping goes on after it */

struct key_fetch {
    CURLM *multi;
    struct fetch *fetch;
    atomic_bool stopped;
};

/* ---- life ---- */

int key_fetch_new(const struct key_fetch_options *o, struct key_fetch **out, const char **why)
{
    static const char *const accept = "Accept: application/jwk-set+json, application/json";
    const struct fetch_options fetch = {
        .url = o->url->text,
        .is_plain = o->url->is_plain,
        .ca_file = o->ca_file,
        .connect_ms = o->connect_ms,
        .total_ms = o->total_ms,
        .body_max_bytes = JWK_SET_BYTES_MAX,
        .headers = &accept,
        .header_count = 1,
    };
    *out = NULL;
    *why = NULL;
    struct key_fetch *f = calloc(1, sizeof *f);
    if (!f) return ERR_NOMEM;
    f->multi = curl_multi_init();
    int err = f->multi ? fetch_new(&fetch, &f->fetch, why) : ERR_NOMEM;
    if (err)
        key_fetch_free(f);
    else
        *out = f;
    return err;
}

void key_fetch_free(struct key_fetch *f)
{
    if (!f) return;
    fetch_free(f->fetch);
    curl_multi_cleanup(f->multi);
    free(f);
}

/* ---- a run ---- */

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
    long status = 0;
    why[0] = '\0';
    int err = fetch_begin(f->fetch, f->multi, body, f);
    if (err) return err;
    err = fetch_result(f->fetch, drive(f), &status, why);
    fetch_end(f->fetch, f->multi);
    if (atomic_load(&f->stopped)) return ERR_CLOSED;
    if (err || status == 200) return err;
    fetch_say_status(status, why);
    return ERR_IO;
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
