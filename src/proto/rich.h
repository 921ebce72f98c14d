/* The frames of the subprotocol parlor.v1 (protocol section 5): what a client's frame says, and the
 * JSON of every frame that the server sends to rich clients alone. Pure; any thread.
 *
 * The frame is scanned once (json.h), its members kept as they were found; then the type says which
 * of them have to be there. Whatever is wrong with a frame, its ref is known if it could be read,
 * so that the error names it. */
#ifndef PROTO_RICH_H
#define PROTO_RICH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/event.h"
#include "proto/id.h"
#include "proto/name.h"

#define RICH_SUBPROTOCOL "parlor.v1"

enum {
    RICH_REF_MAX = 64,   /* bytes of `ref` as it was sent, quotes included */
    RICH_NONCE_MAX = 64, /* bytes, decoded */
    RICH_EMOJI_MAX = 32, /* bytes, decoded: a reaction is one emoji or a short word */
    RICH_PAGE_MAX = 200, /* messages in a page of history */
    RICH_PAGE_DEFAULT = 50,
    RICH_JOIN_MAX = 1000,       /* messages of `history` when a room is entered */
    RICH_CREDENTIAL_MAX = 8192, /* bytes, decoded, of a token; more than any that is believed */
};

enum rich_type {
    RICH_MESSAGE, /* also a frame without `type` */
    RICH_JOIN,
    RICH_LEAVE,
    RICH_HISTORY,
    RICH_WHO,
    RICH_TYPING,
    RICH_READ,
    RICH_AUTH,
    RICH_CHANGE, /* of a message; the last, as its words are those of event_kinds */
};

enum rich_position { RICH_NEWEST, RICH_BEFORE, RICH_AFTER, RICH_AROUND };

/* A client's frame. Slices point into the frame or the scratch, room into the struct itself, which
 * is therefore not to be copied; len 0: absent. */
struct rich_input {
    enum rich_type type;
    int kind;         /* CHANGE: its number in event_kinds */
    struct slice ref; /* raw JSON, a string or a number */
    char room_name[NAME_ROOM_MAX];
    struct slice room;           /* valid by name.h, in room_name; absent: the room of the URL */
    struct slice message;        /* MESSAGE, CHANGE whose text is one */
    struct slice username;       /* MESSAGE; cleaned */
    struct slice data;           /* MESSAGE; raw JSON */
    struct slice nonce;          /* MESSAGE */
    struct slice emoji;          /* CHANGE whose text is one */
    struct slice since;          /* JOIN; as given, which may be no id at all */
    struct slice token;          /* AUTH: one of these two */
    struct slice guest;          /* a guest's key */
    struct id id;                /* CHANGE, READ */
    struct id reply_to;          /* MESSAGE; seq 0: absent */
    struct id at;                /* HISTORY, unless NEWEST */
    enum rich_position position; /* HISTORY */
    unsigned limit; /* HISTORY: 1..RICH_PAGE_MAX; JOIN: `history`, 0..RICH_JOIN_MAX, 0: absent */
    bool on;        /* TYPING; absent is true */
    char name[NAME_USER_MAX];
};

/* Reads one client frame; json is valid UTF-8. scratch as for envelope_parse. Unknown fields are
 * ignored, and so are known ones of other types; null is absent; of repeated keys the last wins.
 * On error only ref and type are of use: ref is set if it was read and is good, also when the rest
 * is no JSON; type from ERR_BAD_ROOM on.
 *
 * Errors, in this order of precedence: ERR_BAD_JSON, ERR_BAD_REF (neither string nor number, or
 * over RICH_REF_MAX), ERR_UNKNOWN_TYPE (`type` is no string or not known), ERR_BAD_ROOM, ERR_BAD_ID
 * (of id, reply_to, before, after, around; or an id that has to be there is not), ERR_BAD_FIELD (a
 * field of another kind or size: since, history, limit, on, emoji, nonce, token, guest; several
 * positions; not just one of token and guest), then those of envelope_parse for message, username
 * and data. ERR_NOMEM at any time. */
int rich_parse(struct slice json, size_t max_message_bytes, struct buf *scratch,
               struct rich_input *out);

/* The encoders append one JSON object. Errors as buf_reserve, with out as it was. `ref` is raw JSON
 * as rich_parse gave it; len 0: left out. */

struct rich_limits {
    uint32_t frame_bytes; /* 0: none, as for the others */
    uint32_t message_bytes;
    uint32_t rate;  /* messages per 10 s */
    uint32_t rooms; /* of one connection */
};

/* {"type":"welcome","version":"parlor.v1","server":...,"user":...,"username":...,
 * "guest":{"id":<user>,"key":...}?,"room":...,"limits":{...},"ping_s":25}. */
struct rich_welcome {
    struct slice server;    /* version of the program */
    struct slice user;      /* who it is */
    struct slice username;  /* the name that it has */
    struct slice guest_key; /* of a guest that is new; len 0: left out */
    struct slice room;      /* of the URL */
    struct rich_limits limits;
    uint32_t ping_ms;
};
int rich_encode_welcome(const struct rich_welcome *w, struct buf *out, size_t max_bytes);

/* {"type":"ack","ref":...,"room":...,"id":...,"seq":...,"ts":...,"dup":false} */
struct rich_ack {
    struct slice ref;
    struct slice room;
    struct id id;
    int64_t ts_ms;
    bool dup;
};
int rich_encode_ack(const struct rich_ack *a, struct buf *out, size_t max_bytes);

/* {"type":"ack","ref":...,"user":...,"username":...,"expires":...}: who it is from now on. expires:
 * ms since 1970; UINT64_MAX: never, left out. */
struct rich_auth_ack {
    struct slice ref;
    struct slice user;
    struct slice username;
    uint64_t expires_ms;
};
int rich_encode_auth_ack(const struct rich_auth_ack *a, struct buf *out, size_t max_bytes);

/* Whether trying again may help, as its close code says (protocol section 8). */
bool rich_is_temporary(int err);

/* {"type":"error","ref":...,"code":...,"detail":...,"temporary":true,"retry_after_ms":...}; code,
 * detail and temporary come from the table of errors; retry_after_ms 0: left out. */
int rich_encode_error(struct slice ref, int err, uint32_t retry_after_ms, struct buf *out,
                      size_t max_bytes);

/* {"type":"joined","ref":...,"room":...,"epoch":...,"seq":...,"id":...,"recovered":...,
 * "replayed":...,"members":...,"right":...,"read":...}: the head of the log at which the room was
 * entered. */
struct rich_joined {
    struct slice ref;
    struct slice room;
    struct id head;
    bool recovered;    /* everything since `since` follows; true if none was given */
    uint64_t replayed; /* events that follow before the live ones */
    uint64_t members;
    struct slice right; /* that who joins has in the room */
    uint64_t read_seq;  /* the read marker of who joins, of head's epoch; 0: none, left out */
};
int rich_encode_joined(const struct rich_joined *j, struct buf *out, size_t max_bytes);

/* {"type":"left","ref":...,"room":...,"code":...,"detail":...}: the last two as in an error, of who
 * was put out; err 0: it wanted to, and they are left out. */
int rich_encode_left(struct slice ref, struct slice room, int err, struct buf *out,
                     size_t max_bytes);

/* {"type":"history","ref":...,"room":...,"messages":[ ... then ... ],"more":...}; between the two
 * the caller appends messages with envelope_encode_full and commas. */
int rich_begin_history(struct slice ref, struct slice room, struct buf *out, size_t max_bytes);
int rich_end_history(bool more, struct buf *out, size_t max_bytes);

struct rich_member {
    struct slice username;
    struct slice user; /* len 0: not signed in */
    int64_t since_ms;  /* 1970 */
};
/* {"type":"members","ref":...,"room":...,"count":...,"members":[{"username","user"?,"since"}]}: the
 * end, which all who ask share, follows the beginning. */
struct rich_members {
    struct slice room;
    uint64_t count; /* of all */
    const struct rich_member *members;
    size_t member_count;
};
int rich_begin_members(struct slice ref, struct buf *out, size_t max_bytes);
int rich_end_members(const struct rich_members *m, struct buf *out, size_t max_bytes);

/* {"type":"typing","room":...,"username":...,"on":...} */
int rich_encode_typing(struct slice room, struct slice username, bool on, struct buf *out,
                       size_t max_bytes);

/* {"type":"presence","room":...,"event":"join","username":...,"joined":[...],"left":[...],
 * "count":...}. event and username are of the newest change; joined and left are there iff more
 * than one change is told at once; with no name at all only count is. */
struct rich_presence {
    struct slice room;
    const struct slice *joined;
    size_t joined_count;
    const struct slice *left;
    size_t left_count;
    bool join;             /* the newest change was one */
    struct slice username; /* of the newest change; len 0: counts only */
    uint64_t count;
};
int rich_encode_presence(const struct rich_presence *p, struct buf *out, size_t max_bytes);

/* {"type":"edit","room":...,"id":<target>,"event_id":...,"seq":...,"ts":...,"username":...,
 * "user"?,"message":...}; "emoji" is in the place of "message", or nothing, where its kind says so.
 * id is that of the message changed, event_id that of the event, which is the value for `since`. */
struct rich_event {
    const struct event_kind *kind;
    struct slice room;
    struct id target;
    struct id id;
    int64_t ts_ms;
    struct slice username;
    struct slice user;
    struct slice text; /* message or emoji */
};
int rich_encode_event(const struct rich_event *e, struct buf *out, size_t max_bytes);

/* {"type":"gap","room":...,"from":<seq>,"to":<seq>,"next":<id>}: the events from..to were not
 * sent; `history` with after: next brings them. */
struct rich_gap {
    struct slice room;
    uint64_t from;
    uint64_t to;
    struct id next;
};
int rich_encode_gap(const struct rich_gap *g, struct buf *out, size_t max_bytes);

/* {"type":"notice","room"?,"code":...,"detail":...} */
int rich_encode_notice(struct slice room, struct slice code, struct slice detail, struct buf *out,
                       size_t max_bytes);

/* {"type":"bye","code":1012,"retry_after_ms":...} */
int rich_encode_bye(unsigned code, uint32_t retry_after_ms, struct buf *out, size_t max_bytes);

#endif
