/* The one table of errors. A function that can fail returns 0 or one of these negative codes; the
 * table says how each is told to a client: the word in a JSON error, the HTTP status, the WebSocket
 * close code (RFC 6455 section 7.4.1 or Parlor's 4xxx range) and the text a person reads. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

/* X(symbol, word, HTTP status, close code, text) */
#define ERR_TABLE(X)                                                                               \
    X(ERR_NOMEM, "unavailable", 503, 1013, "the server is out of memory")                          \
    X(ERR_IO, "io", 500, 1011, "input or output failed")                                           \
    X(ERR_AGAIN, "again", 503, 1013, "not possible right now")                                     \
    X(ERR_CLOSED, "closed", 400, 1006, "the connection is closed")                                 \
    X(ERR_BAD_JSON, "bad_json", 400, 1008, "this is not a JSON object")                            \
    X(ERR_BAD_MESSAGE, "bad_message", 400, 1008,                                                   \
      "\"message\" has to be a string that is not empty")                                          \
    X(ERR_TOO_LONG, "too_long", 413, 1009, "the message is too long")                              \
    X(ERR_BAD_USERNAME, "bad_username", 400, 1008,                                                 \
      "a user name has 1 to 64 bytes, no control characters, and does not look like \"system\"")   \
    X(ERR_RATE_LIMITED, "rate_limited", 429, 4101, "too many messages, wait a moment")             \
    X(ERR_BAD_ROOM, "bad_room", 400, 1008,                                                         \
      "a room name has 1 to 128 bytes of UTF-8, no control characters and no '/'")                 \
    X(ERR_BAD_REQUEST, "bad_request", 400, 1002, "the request is not valid HTTP")                  \
    X(ERR_BAD_UPGRADE, "bad_upgrade", 400, 1002, "the WebSocket handshake is not valid")           \
    X(ERR_BAD_VERSION, "bad_version", 426, 1002, "only WebSocket version 13 is supported")         \
    X(ERR_UPGRADE_REQUIRED, "upgrade_required", 426, 1002, "this is a WebSocket endpoint")         \
    X(ERR_NOT_FOUND, "not_found", 404, 1008, "there is nothing at this path")                      \
    X(ERR_BAD_METHOD, "bad_method", 405, 1008, "this method is not allowed here")                  \
    X(ERR_HEAD_TOO_LARGE, "head_too_large", 431, 1009, "the request head is too large")            \
    X(ERR_BODY_REFUSED, "body_refused", 413, 1009, "a request body is not accepted here")          \
    X(ERR_TIMEOUT, "timeout", 408, 1002, "the request took too long")                              \
    X(ERR_ORIGIN, "forbidden", 403, 4003, "this origin is not allowed")                            \
    X(ERR_FULL, "server_full", 503, 4100, "the server is full")                                    \
    X(ERR_DRAINING, "draining", 503, 1012, "the server is restarting")                             \
    X(ERR_WS_PROTOCOL, "protocol", 400, 1002, "WebSocket protocol violation")                      \
    X(ERR_WS_UTF8, "bad_utf8", 400, 1007, "text that is not UTF-8")                                \
    X(ERR_WS_DATA, "bad_data", 400, 1007, "compressed data that cannot be read")                   \
    X(ERR_WS_BINARY, "binary", 400, 1003, "binary frames are not accepted here")                   \
    X(ERR_WS_TOO_BIG, "too_big", 413, 1009, "the frame is over the size limit")                    \
    X(ERR_ABUSE, "abuse", 429, 1008, "refused input over and over")                                \
    X(ERR_NO_PONG, "no_pong", 408, 4201, "no sign of life, come back")                             \
    X(ERR_TOO_SLOW, "too_slow", 408, 4202, "too slow, come back and resume")                       \
    X(ERR_MISSED_MORE, "too_slow", 408, 4202, "you missed more, come back with your newest id")    \
    X(ERR_CONFIG, "bad_config", 500, 1011, "the configuration is not valid")                       \
    X(ERR_STORE, "unavailable", 503, 1013, "messages cannot be stored right now, try again soon")  \
    X(ERR_STORE_ORDER, "conflict", 409, 1011, "the room's log does not continue like this")        \
    X(ERR_UNKNOWN_TYPE, "unknown_type", 400, 1008, "no frame of this type is known")               \
    X(ERR_BAD_REF, "bad_ref", 400, 1008,                                                           \
      "\"ref\" has to be a string or number of at most 64 bytes")                                  \
    X(ERR_BAD_ID, "bad_id", 400, 1008, "this is not the id of a message")                          \
    X(ERR_BAD_FIELD, "bad_field", 400, 1008, "a field is of the wrong kind or size")               \
    X(ERR_NO_MESSAGE, "no_message", 404, 1008, "there is no such message in the room")             \
    X(ERR_FORBIDDEN, "forbidden", 403, 4003, "this is not yours to change")                        \
    X(ERR_NO_RIGHT, "forbidden", 403, 4003, "your rights in this room do not go so far")           \
    X(ERR_NOT_JOINED, "not_joined", 409, 1008, "join the room first")                              \
    X(ERR_JOINED, "already_joined", 409, 1008, "this connection is in the room already")           \
    X(ERR_TOO_MANY_ROOMS, "too_many_rooms", 429, 1008, "one connection cannot be in more rooms")   \
    X(ERR_UNAUTHORIZED, "unauthorized", 401, 4001, "sign in first")                                \
    X(ERR_TOKEN, "unauthorized", 401, 4001, "the token is not valid")                              \
    X(ERR_GUEST_KEY, "bad_guest_key", 401, 4001,                                                   \
      "this is no key of a guest here: come without it, for a new one")                            \
    X(ERR_OTHER_USER, "other_user", 409, 1008,                                                     \
      "this connection is somebody's already: open another one for somebody else")                 \
    X(ERR_NO_KEYS, "unavailable", 503, 4103, "the token cannot be verified yet: come back soon")   \
    X(ERR_TOKEN_EXPIRED, "token_expired", 401, 4203,                                               \
      "your sign-in ends: come back with a new token")                                             \
    X(ERR_REVOKED, "revoked", 401, 4009, "you were signed out: sign in again")                     \
    X(ERR_BEARER_ALONE, "bad_upgrade", 400, 1002,                                                  \
      "offer parlor.v1 or parlor.bare beside bearer.TOKEN or guest.KEY: a browser wants one")      \
    X(ERR_API_OFF, "not_found", 404, 1008,                                                         \
      "the HTTP API is off; the option --api-key-file FILE switches it on")                        \
    X(ERR_API_KEY, "unauthorized", 401, 4001, "the API wants its key: Authorization: Bearer KEY")  \
    X(ERR_NO_ROOM, "not_found", 404, 1008, "nothing was said in this room, and nobody is there")   \
    X(ERR_LENGTH_REQUIRED, "length_required", 411, 1008,                                           \
      "a body is needed, with Content-Length or Transfer-Encoding: chunked")                       \
    X(ERR_BODY_TOO_LARGE, "body_too_large", 413, 1009, "the request body is too large")            \
    X(ERR_MEDIA_TYPE, "bad_media_type", 415, 1008,                                                 \
      "the body has to be Content-Type: application/json")                                         \
    X(ERR_BAD_PARAMETER, "bad_parameter", 400, 1008,                                               \
      "a query parameter is missing, or of the wrong kind or size")                                \
    X(ERR_BAD_SEARCH, "bad_search", 400, 1008, "\"q\" has to hold a word, and at most 512 bytes")  \
    X(ERR_BAD_KEY, "bad_idempotency_key", 400, 1008,                                               \
      "an Idempotency-Key has 1 to 255 visible ASCII characters")                                  \
    X(ERR_HOST, "bad_host", 421, 4003, "this server does not answer to that host name")            \
    X(ERR_BAD_CODING, "bad_coding", 501, 1008, "the only Transfer-Encoding taken is chunked")      \
    X(ERR_BUSY, "unavailable", 503, 1013,                                                          \
      "too much that you asked for is waiting, try again soon")                                    \
    X(ERR_MANY_CONNECTS, "rate_limited", 429, 4101,                                                \
      "too many connections from your address, wait a moment")                                     \
    X(ERR_MANY_ROOMS, "rate_limited", 429, 4101,                                                   \
      "too many new rooms from your address, wait a moment")                                       \
    X(ERR_MUCH_HISTORY, "rate_limited", 429, 4101,                                                 \
      "too many requests for history from your address, wait a moment")                            \
    X(ERR_MANY_REQUESTS, "rate_limited", 429, 4101,                                                \
      "too many requests from your address, wait a moment")                                        \
    X(ERR_WS_UNFINISHED, "unfinished", 408, 1008, "the rest of the message took too long")         \
    X(ERR_STORE_READ, "unavailable", 503, 1013, "this cannot be read right now, try again later")  \
    X(ERR_STORE_DAMAGED, "unavailable", 503, 1013,                                                 \
      "this cannot be stored: a part of the database is damaged")                                  \
    X(ERR_ROOMS_FULL, "server_full", 503, 4100,                                                    \
      "the server has as many rooms as it may have; use one that exists")                          \
    X(ERR_STORE_FULL, "unavailable", 503, 1013,                                                    \
      "the database is as large as it may be; no message can be stored")                           \
    X(ERR_MUCH_UNFINISHED, "unavailable", 503, 1013,                                               \
      "too much that you began to send is not finished, try again soon")                           \
    X(ERR_READ_ONLY, "forbidden", 403, 4003, "you may read here, but not write")                   \
    X(ERR_AUTH_DOWN, "unavailable", 503, 4103,                                                     \
      "who you are cannot be asked right now: come back soon")                                     \
    X(ERR_SITE_FORBIDDEN, "forbidden", 403, 4003, "the site does not let you in here")             \
    X(ERR_MANY_SIGN_INS, "rate_limited", 429, 4101,                                                \
      "too many sign-ins from your address, wait a moment")

/* Codes are -1, -2, ... in the order of the table. */
enum err_index {
    ERR_OK_INDEX = 0,
#define X(symbol, word, http, close, text) symbol##_INDEX,
    ERR_TABLE(X)
#undef X
        ERR_COUNT
};

enum err {
    ERR_OK = 0,
#define X(symbol, word, http, close, text) symbol = -(int)symbol##_INDEX,
    ERR_TABLE(X)
#undef X
};

struct err_info {
    const char *word; /* for "code" in a JSON error, for metrics labels and logs */
    const char *text; /* for people; fits a close frame (123 bytes) */
    unsigned http_status;
    unsigned close_code;
};

/* The row of a code; err is one of enum err, below 0. Static storage. Any thread. */
const struct err_info *err_info(int err);

/* Whether it says that the server cannot do now what it was rightly asked for: nobody's abuse. */
bool err_is_ours(int err);

#endif
