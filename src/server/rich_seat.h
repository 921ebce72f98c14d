/* What the files of the rich session share: its state, its seats, and how it answers. */
#ifndef SERVER_RICH_SEAT_H
#define SERVER_RICH_SEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "chat/hub.h"
#include "proto/rich.h"
#include "server/chat_session.h"

struct conn;
struct entry;
struct replay;

/* A room the connection is in, or about to be in (then it has no reader yet). */
struct seat {
    struct member member;
    struct list link; /* in its session */
    struct conn *conn;
    struct entry *entry;   /* while it is about to enter; not owned */
    struct replay *replay; /* while its past comes from the store; owned */
    int64_t since_ms;      /* 1970 */
    char *name;            /* it is known by in this room, if not by the connection's first */
    uint32_t whisper;      /* number of the last that it was offered */
    bool answered;         /* the join was, with joined or an error */
    bool typing;           /* as the others were told */
    uint8_t name_len;
    uint8_t room_len;
    uint8_t ref_len; /* of the join, until it is answered */
    char text[];     /* room, ref */
};

/* A frame for a room that is being entered, or whose answer is long while the client has yet to
 * take what it was sent. One at most: what is behind it stays in the socket. */
struct rich_waiting {
    size_t len;
    char json[];
};

struct rich {
    struct list seats;
    struct list asked;            /* questions that are not answered yet (rich_ask.c) */
    struct rich_waiting *waiting; /* then nothing is read until its time has come; owned */
    uint8_t seat_count;
    uint8_t questions; /* asked of the store or the workers, not answered yet */
    uint8_t pages;     /* those of them for a page of history */
    uint8_t replays;   /* pages on their way for rooms that it enters */
    bool asks_members; /* who is in a room; then nothing is read until that is answered */
    uint8_t home_len;
    uint64_t typing_next_ms;
    uint64_t requests_next_us;
    struct seat *home; /* NULL once it was left */
    char home_name[];
};

/* ERR_NOMEM, ERR_TOO_MANY_ROOMS. It is linked, and not in the room yet. */
int seat_new(struct conn *c, struct slice room, struct slice ref, struct seat **out);

/* By name; empty: home. NULL if there is none. */
struct seat *seat_find(const struct rich *rich, struct slice room);

/* The same for one that is in the room; else NULL. */
struct seat *seat_find_joined(const struct rich *rich, struct slice room);

struct slice seat_room(const struct seat *s);
struct slice seat_ref(const struct seat *s);

/* The name that the members of the room were told. Another one is told to the room that is spoken
 * in and to no other, so that a message makes at most one presence frame. */
struct slice seat_name(const struct seat *s, char guest[static CHAT_GUEST_LEN]);

/* Remembers that they were told another one. ERR_NOMEM: no change. */
int seat_set_name(struct seat *s, struct slice name);

/* After room_join: tells the client, and brings what it missed. */
void seat_start(struct seat *s, const struct join *j);

/* Leaves the room if it is in it, and frees it. */
void seat_free(struct seat *s);

/* Sends what is in the worker's `text` as one frame, unless err. */
void rich_send(struct conn *c, int err);

/* Counts and answers a refusal. */
void rich_refuse(struct conn *c, struct slice ref, int err);

/* Goes on reading, if there is no other reason not to. */
void rich_release(struct conn *c);

/* Frames that ask the store or the other workers (rich_ask.c). 0, or an error to be answered. */
int rich_ask_history(struct conn *c, struct seat *s, const struct rich_input *in);
int rich_ask_members(struct conn *c, struct seat *s, const struct rich_input *in);

/* Edit, delete, react, unreact: looks at the message first, then publishes. */
int rich_ask_change(struct conn *c, struct seat *s, const struct rich_input *in);

/* The session ends: what was asked for it is wanted no more. */
void rich_ask_drop(struct rich *rich);

/* The receipt's function for everything that is acked. */
struct receipt;
void rich_tell_ack(struct conn *c, const struct receipt *r);

#endif
