/* See site_request.h. */
#include "http/site_request.h"

#include <string.h>

#include "auth/site.h"
#include "auth/site_question.h"
#include "base/err.h"
#include "proto/cookie.h"
#include "proto/http.h"
#include "server/conn.h"
#include "server/worker.h"

enum { CREDENTIALS_MAX = 8 << 10 }; /* bytes of the cookies, and of Authorization */

/* Of a scheme that is not ours to look at, or where no token is believed; a Bearer token would have
 * been found before. */
static int read_site_authorization(const struct http_request *r, struct slice *out)
{
    bool found = false;
    *out = (struct slice){NULL, 0};
    for (size_t i = 0; i < r->header_count; i++) {
        if (!slice_is_nocase(r->headers[i].name, "authorization")) continue;
        if (found) return ERR_BAD_REQUEST;
        found = true;
        *out = r->headers[i].value;
    }
    return out->len > CREDENTIALS_MAX ? ERR_HEAD_TOO_LARGE : 0;
}

int site_request_read(const struct conn *c, const struct http_request *r, struct slice room,
                      struct site_question **out)
{
    const struct site *site = c->worker->server->options.site;
    char cookies[CREDENTIALS_MAX];
    size_t len;
    *out = NULL;
    if (!site) return 0;
    struct site_fields f = {.origin = http_header_get(r, "Origin"), .ip = c->ip};
    int err = read_site_authorization(r, &f.authorization);
    if (!err) err = cookie_pick(r, site_cookies(site), cookies, sizeof cookies, &len);
    if (err) return err;
    f.cookies = (struct slice){cookies, len};
    if (f.cookies.len == 0 && f.authorization.len == 0) return 0;
    if (site_asks_rooms(site)) f.room = room;
    *out = site_question_new(&f);
    explicit_bzero(cookies, len);
    return *out ? 0 : ERR_NOMEM;
}
