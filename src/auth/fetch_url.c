/* See fetch_url.h. */
#include "auth/fetch_url.h"

#include <curl/curl.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "proto/origin.h"

static int of_curl(CURLUcode code, const char **why)
{
    if (code == CURLUE_OK) return 0;
    if (code == CURLUE_OUT_OF_MEMORY) return ERR_NOMEM;
    *why = code == CURLUE_USER_NOT_ALLOWED
               ? "a URL with a user or a password in it is refused"
               : "this is no URL; it has to be like https://site.example/path";
    return ERR_CONFIG;
}

/* Reads a part into text; one that is missing is "", one that does not fit ERR_CONFIG. */
static int get_part(CURLU *u, CURLUPart part, char text[static FETCH_URL_MAX], const char **why)
{
    char *found = NULL;
    text[0] = '\0';
    CURLUcode code = curl_url_get(u, part, &found, 0);
    if (code == CURLUE_NO_HOST) return 0;
    int err = of_curl(code, why);
    if (err) return err;
    size_t len = strlen(found);
    bool fits = len < FETCH_URL_MAX;
    if (fits) memcpy(text, found, len + 1);
    curl_free(found);
    if (fits) return 0;
    *why = "a URL has at most 2047 bytes";
    return ERR_CONFIG;
}

static int check_scheme(CURLU *u, struct fetch_url *out, const char **why)
{
    char part[FETCH_URL_MAX];
    int err = get_part(u, CURLUPART_SCHEME, part, why);
    if (err) return err;
    out->is_plain = strcmp(part, "http") == 0;
    if (!out->is_plain && strcmp(part, "https") != 0) {
        *why = "it has to begin with https://, or on this machine http://";
        return ERR_CONFIG;
    }
    err = get_part(u, CURLUPART_HOST, part, why);
    if (err || !out->is_plain || origin_host_is_local(slice_of(part))) return err;
    *why = "http:// is for this machine alone (localhost, 127.0.0.1, [::1]), as anybody on the way "
           "could say who is who; take https://";
    return ERR_CONFIG;
}

static int write_texts(CURLU *u, struct fetch_url *out, const char **why)
{
    int err = of_curl(curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0), why);
    if (!err) err = get_part(u, CURLUPART_URL, out->text, why);
    if (!err) err = of_curl(curl_url_set(u, CURLUPART_QUERY, NULL, 0), why);
    if (!err) err = get_part(u, CURLUPART_URL, out->shown, why);
    return err;
}

int fetch_url_parse(const char *text, struct fetch_url *out, const char **why)
{
    *why = NULL;
    CURLU *u = curl_url();
    if (!u) return ERR_NOMEM;
    unsigned flags = CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME;
    int err = of_curl(curl_url_set(u, CURLUPART_URL, text, flags), why);
    if (!err) err = check_scheme(u, out, why);
    if (!err) err = write_texts(u, out, why);
    curl_url_cleanup(u);
    return err;
}
