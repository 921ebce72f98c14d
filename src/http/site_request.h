/* What of a handshake the site is asked with (auth/site.h). Worker's thread. */
#ifndef HTTP_SITE_REQUEST_H
#define HTTP_SITE_REQUEST_H

#include "base/buf.h"

struct conn;
struct http_request;
struct site_question;

/* 0: *out is a reference, the caller's; NULL where no site is asked, or the request has nothing
 * that the site could know somebody by. ERR_BAD_REQUEST: Authorization is there twice;
 * ERR_HEAD_TOO_LARGE: it is too much; ERR_NOMEM. */
int site_request_read(const struct conn *c, const struct http_request *r, struct slice room,
                      struct site_question **out);

#endif
