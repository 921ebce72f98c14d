/* The addresses that the server itself asks (--jwks-url, --auth-url): which are taken, and what of
 * one may be shown. Whoever can answer for it decides who everybody is, so it is https, or does not
 * leave this machine. libcurl takes the URL apart here, as it does when it fetches it, so that both
 * see the same host. Any thread. */
#ifndef AUTH_FETCH_URL_H
#define AUTH_FETCH_URL_H

#include <stdbool.h>

enum { FETCH_URL_MAX = 2048 }; /* bytes of the text, with its NUL */

struct fetch_url {
    char text[FETCH_URL_MAX];  /* as libcurl spells it, without a fragment */
    char shown[FETCH_URL_MAX]; /* the same without its query, where people keep secrets: for logs */
    bool is_plain;             /* http, and the host has to be this machine */
};

/* 0; ERR_CONFIG with *why, static text for the operator; or ERR_NOMEM. On errors *out is undefined;
 * *why is NULL but where said. Nothing is asked of the network. */
int fetch_url_parse(const char *text, struct fetch_url *out, const char **why);

#endif
