/* The chat envelope: what a client's frame says, and the frames it becomes (protocol sections 3 and
 * 4). One message is parsed once and encoded once per encoding that has a member, so this is the
 * hot path of every message, though not of every delivery. Pure; any thread. */
#ifndef PROTO_ENVELOPE_H
#define PROTO_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "proto/id.h"
#include "proto/name.h"

enum { ENVELOPE_DATA_MAX = 4096 }; /* bytes of `data` as it was sent */

struct envelope_input {
    struct slice message;
    struct slice username; /* cleaned; len 0: absent */
    struct slice data;     /* raw JSON, `null` included; len 0: absent */
    char name[NAME_USER_MAX];
};

/* Reads one client frame; json is valid UTF-8. Slices in *out point into json, scratch or *out.
 * scratch is emptied first and reserved at most once, so what it holds never moves. Of repeated
 * keys the last wins, as in JSON.parse. max_message_bytes 0 means no limit.
 *
 * Errors, in this order of precedence: ERR_BAD_JSON (not exactly one JSON object, or too deep),
 * ERR_BAD_MESSAGE (`message` missing, not a string, or empty), ERR_TOO_LONG (`message` decoded),
 * ERR_BAD_USERNAME (not a string, or against name.h), ERR_TOO_LONG (`data` over
 * ENVELOPE_DATA_MAX). ERR_NOMEM at any time. *out is then of no use. */
int envelope_parse(struct slice json, size_t max_message_bytes, struct buf *scratch,
                   struct envelope_input *out);

struct envelope_reaction {
    struct slice emoji;
    uint32_t count;
};

/* Everything a numbered message has. room, username and message are valid UTF-8; what is optional
 * is absent when its len (count, number) is 0. */
struct envelope_message {
    struct slice room;
    struct slice username;
    struct slice message;
    struct slice data; /* raw JSON; optional */
    struct id id;
    int64_t ts_ms;      /* since 1970 */
    struct slice user;  /* stable id of who is signed in; optional */
    struct slice nonce; /* optional */
    uint64_t reply_to;  /* seq; optional */
    int64_t edited_ms;  /* of the last edit; optional */
    const struct envelope_reaction *reactions;
    size_t reaction_count;
};

/* The encoders append one JSON object. Errors as buf_reserve, with out as it was. */

/* Rung 0: exactly the keys `message` and `username`. */
int envelope_encode_bare(const struct envelope_message *m, struct buf *out, size_t max_bytes);

/* Section 4: type, room, id, seq, ts, username, message, and what there is of user, data, reply_to
 * (an id), nonce, edited (ms) and reactions ({"emoji":count, ...}). */
int envelope_encode_full(const struct envelope_message *m, struct buf *out, size_t max_bytes);

/* Section 3: what the sender of a refused message is shown. err: one of enum err, below 0. */
int envelope_encode_refusal(int err, struct buf *out, size_t max_bytes);

/* Appends what the server says to one that shows what it is sent: {"message","username":"system",
 * "error":{"code"}}. words: valid UTF-8. Errors as above. */
int envelope_encode_system(struct slice words, const char *code, struct buf *out, size_t max_bytes);

#endif
