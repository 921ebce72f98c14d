/* What is told of the server to those who watch it. Worker's thread. */
#ifndef HTTP_HTTP_STATUS_H
#define HTTP_HTTP_STATUS_H

struct conn;
struct http_request;

/* Answer a request: is the process alive; are new clients welcome; Prometheus' text. */
void http_status_healthz(struct conn *c, const struct http_request *r);
void http_status_readyz(struct conn *c, const struct http_request *r);
void http_status_metrics(struct conn *c, const struct http_request *r);

#endif
