/* The files of web/, embedded into the binary: tools/embed-web writes the tables at build time, so
 * the server needs no directory beside it and a page always fits the server it came with. */
#ifndef HTTP_WEB_ASSETS_H
#define HTTP_WEB_ASSETS_H

#include <stddef.h>

/* The etag is strong (RFC 9110 section 8.8.3), from a hash of the bytes, and has its quotes. */
struct web_asset {
    const char *path;         /* as in a request: "/app.css"; index.html is "/" */
    const char *content_type; /* value of the Content-Type header */
    const unsigned char *data;
    size_t len;
    const char *etag;
};

/* In no order: there are few. Static storage. Any thread. */
extern const struct web_asset web_assets[];
extern const size_t web_asset_count;

#endif
