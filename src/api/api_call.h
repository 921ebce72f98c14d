/* A call of the API, and what its handlers share. Worker's thread but where it says otherwise.
 *
 * A handler answers at once, or asks and answers later, or returns an error, which api.c answers.
 * After api_answer, api_fail and api_end the call is gone. */
#ifndef API_API_CALL_H
#define API_API_CALL_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api_route.h"
#include "auth/api_key.h"
#include "base/buf.h"
#include "chat/event_json.h"
#include "http/http_answer.h"
#include "proto/http_chunks.h"
#include "proto/id.h"
#include "proto/name.h"
#include "proto/rich.h"
#include "server/pending.h"
#include "store/store.h"

/* An Idempotency-Key is the nonce of its message. Not as it is: members see nonces, and one of them
 * who guessed the next key could use it up. So it is hashed into a nonce longer than theirs can be.
 */
#define API_NONCE_PREFIX "api:"
enum {
    API_IDEMPOTENCY_KEY_MAX = 255,
    API_NONCE_LEN = sizeof API_NONCE_PREFIX - 1 + 2 * API_KEY_DIGEST_BYTES,
};
static_assert((int)API_NONCE_LEN > (int)RICH_NONCE_MAX, "a nonce that no member can give");

struct conn;
struct hub;
struct json_out;
struct room;

enum {
    API_PAGE_DEFAULT = 50, /* messages */
    API_PAGE_MAX = 200,
    API_PAGE_MAX_BYTES = 1 << 20, /* of texts, and of the answer; one message may be longer */
    API_ROOMS_DEFAULT = 100,
    API_ROOMS_MAX = STORE_ROOMS_MAX,
};

/* An export on its way. */
struct api_export {
    uint64_t next;  /* events after this seq are wanted */
    uint64_t until; /* the room's head when it began: a busy room would never end */
    uint64_t events;
    bool begun;
    bool asked;
};

struct api_call {
    enum api_route route;
    struct http_manner manner;
    size_t body_bytes; /* to be received in all, unless it is chunked */
    bool chunked;
    bool running; /* the body is here, and the handler was asked */
    struct http_chunks chunks;
    struct buf body;
    struct buf scratch; /* decoded strings of the body */
    char room_name[NAME_ROOM_MAX];
    struct slice room;  /* of the path, in room_name; later that of `export` too */
    struct id id;       /* of the path */
    struct slice query; /* in text */
    char nonce[API_NONCE_LEN];
    struct room *entered;       /* a reference, or NULL; owned */
    struct api_question *asked; /* of the store and not answered yet, or NULL; not owned */
    struct store_event event;   /* to be published; texts in body, scratch, username and user */
    char username[NAME_USER_MAX];
    char user[NAME_USER_MAX];
    struct id reply_to;
    struct api_export export;
    char text[];
};

/* The call that the connection has, which may be another than the one that was asked for; NULL if
 * it has none, or is gone (c is NULL then). */
struct api_call *api_call_of(const struct conn *c);

/* ---- answers ---- */

/* Answers and ends the call. */
void api_answer(struct conn *c, struct api_call *call, unsigned status, struct slice json);
void api_fail(struct conn *c, struct api_call *call, int err);

/* With a text that says more than the table's, see http_answer_error_text. */
void api_fail_text(struct conn *c, struct api_call *call, int err, const char *text);

/* The answer was given otherwise. Goes on with what the connection has received meanwhile. */
void api_end(struct conn *c, struct api_call *call);

/* Frees it, with nothing answered. */
void api_call_free(struct api_call *call);

/* ---- query parameters; missing ones leave *out as it was ---- */

/* A number from 1; one over max is max. ERR_BAD_PARAMETER. */
int api_param_count(const struct api_call *call, const char *key, unsigned max, unsigned *out);

/* The id of a message. ERR_BAD_ID. */
int api_param_id(const struct api_call *call, const char *key, struct id *out);

/* Decoded text of at most max bytes, valid UTF-8. ERR_BAD_PARAMETER. */
int api_param_text(const struct api_call *call, const char *key, char *text, size_t max,
                   size_t *len);

/* ---- questions to the store ---- */

struct api_question;

/* Makes q->json of the page, which is NULL if the room is not known. The store's thread. */
typedef int api_encode_fn(struct api_question *q, const struct store_page *page);

/* The same of a list of rooms. */
typedef int api_encode_rooms_fn(struct api_question *q, const struct store_rooms *rooms);

/* The answer has come; q is freed after it. */
typedef void api_take_fn(struct conn *c, struct api_call *call, struct api_question *q);

struct api_question {
    struct pending p; /* gone: the call is */
    struct hub *hub;
    struct event_window window; /* of a page */
    api_encode_fn *encode;
    api_encode_rooms_fn *encode_rooms;
    api_take_fn *take;
    char room_name[NAME_ROOM_MAX];
    struct slice room; /* in room_name */
    struct id id;      /* seq 0: none. Else the answer has to be of its epoch */
    struct api_export export;
    bool more;
    unsigned status; /* of a good answer */
    struct buf json;
};

/* A question about the room of the call, to be asked by one of the following or freed. NULL if
 * memory is short. */
struct api_question *api_question_new(struct conn *c, const struct api_call *call);
void api_question_free(struct api_question *q);

/* They take q, also on error. */
int api_ask_page(struct conn *c, const struct store_query *query, struct api_question *q);
int api_ask_search(struct conn *c, const struct store_search *search, struct api_question *q);
int api_ask_rooms(struct conn *c, struct slice after, unsigned limit, struct api_question *q);

/* The usual take: q->json with q->status, or q->p.err. */
void api_take_json(struct conn *c, struct api_call *call, struct api_question *q);

/* Asks for the one message of call->id or `id`, and answers with it. */
int api_ask_message(struct conn *c, const struct api_call *call, const struct id *id,
                    unsigned status);

/* ---- handlers ---- */

typedef int api_handler_fn(struct conn *c, struct api_call *call);

/* api_read.c */
api_handler_fn api_get_rooms, api_get_room, api_get_messages, api_get_message, api_search;
/* api_write.c */
api_handler_fn api_post, api_edit, api_delete;
/* api_acts.c */
api_handler_fn api_get_acts, api_post_act;
/* api_live.c */
api_handler_fn api_get_members, api_get_stats;
/* api_export.c */
api_handler_fn api_get_export;
void api_export_go_on(struct conn *c, struct api_call *call);

#endif
