/* From a handshake to a WebSocket: the request is read, its room entered, and a session begins. The
 * room may have to be asked of the store; then the connection is held until it is there. Worker's
 * thread. */
#ifndef HTTP_HTTP_UPGRADE_H
#define HTTP_HTTP_UPGRADE_H

struct conn;
struct http_request;

#define HTTP_CHAT_PREFIX "/ws/chat/"

/* Answer a handshake for a room, whose name follows the prefix, or for the echo route. */
void http_upgrade_chat(struct conn *c, const struct http_request *r);
void http_upgrade_echo(struct conn *c, const struct http_request *r);

/* The connection waits no more: it goes, or is told something else. */
void http_upgrade_abandon(struct conn *c);

#endif
