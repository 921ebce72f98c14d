/* The address that a JWK Set is fetched from (--jwks-url): which are taken, and what of one may be
 * shown. Whoever can answer for it decides who everybody is, so it is https, or does not leave this
 * machine. libcurl takes the URL apart here, as it does when it fetches it, so that both see the
 * same host. Any thread. */
#ifndef AUTH_KEY_URL_H
#define AUTH_KEY_URL_H

#include <stdbool.h>

enum { KEY_URL_MAX = 2048 }; /* bytes of the text, with its NUL */

struct key_url {
    char text[KEY_URL_MAX];  /* as libcurl spells it, without a fragment */
    char shown[KEY_URL_MAX]; /* the same without its query, where people keep secrets: for logs */
    bool is_plain;           /* http, and the host has to be this machine */
};

/* 0; ERR_CONFIG with *why, static text for the operator; or ERR_NOMEM. On errors *out is undefined;
 * *why is NULL but where said. Nothing is asked of the network. */
int key_url_parse(const char *text, struct key_url *out, const char **why);

#endif
