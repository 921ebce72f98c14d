/* A room: a name, a sequence, and one log per encoding that has a member.
 *
 * Why: a message is numbered and turned into its final frame once per encoding, under the room's
 * own lock (a few microseconds; 150 where it deflates 16 KiB), and from then on only read. Members
 * join at the head of the log in one atomic step, so what has a larger seq arrives and nothing
 * arrives twice. What was said goes to the store in the same step, and what a member missed comes
 * from the recent past of the log or, before that, from the store. */
#ifndef CHAT_ROOM_H
#define CHAT_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "proto/id.h"
#include "store/store.h"

struct member;
struct presence_news;
struct feed;
struct room;
struct encoder;
struct submission;
struct typing;

/* What a member receives, protocol.md section 2, each plain or with permessage-deflate. */
enum encoding {
    ENCODING_BARE,
    ENCODING_BARE_DEFLATE,
    ENCODING_FULL,
    ENCODING_FULL_DEFLATE,
    ENCODING_RICH,
    ENCODING_RICH_DEFLATE,
    ENCODING_COUNT,
};

enum presence_due {
    PRESENCE_NOTHING, /* nothing is new, or a timer runs that will tell it */
    PRESENCE_NOW,     /* room_take_presence */
    PRESENCE_LATER,   /* start a timer, then room_on_presence_timer */
};

enum {
    ROOM_DEFLATE_MIN_BYTES = 200, /* below, deflate costs more than it saves */
    ROOM_FRAME_MAX_BYTES = 1 << 26,
    ROOM_HISTORY_DEFAULT = 50, /* messages given to who cannot be resumed */
};

/* Its name and its epoch (EVENT_EPOCH_LEN bytes), as long as it exists. Any thread. */
struct slice room_name(const struct room *room);
const char *room_epoch(const struct room *room);

/* Whether it is an id of this room. Any thread. */
bool room_gave(const struct room *room, const struct id *id);

/* Gives the event to the journal. If that is not late, it is numbered and appended to every log
 * that has a feed, in the same step. All of that or, on error, nothing. The caller kicks the
 * journal when it has submitted what it has to for now. Feeds that turned dirty are chained by
 * dirty_link into *woken (NULL-terminated), and the caller hands each to its worker. As
 * journal_submit. */
int room_submit(struct room *room, struct encoder *encoder, struct submission *s,
                struct slink **woken);

/* An event of the room is decided: what is safe and not in the logs yet enters them, whether the
 * room is full of members, empty, or being loaded. A nonce is settled; *waiters are those who sent
 * it again. After an error the recent past is forgotten, since the event may be in it. One thread,
 * in the order of seqs. */
void room_deliver(struct room *room, struct encoder *s, const struct store_done *done,
                  struct slink **woken, struct slink **waiters);

/* A read marker to be moved. */
struct read_marker {
    struct store_mark mark; /* borrowed */
    void *tag;              /* comes back in store_done, iff 0 is returned and !old */
    bool old;               /* the marker is there already, or further on: nothing was to be done */
};

/* Hands the move to the journal; the caller kicks it as after room_submit. Returns 0, or
 * ERR_NO_MESSAGE (seq is 0, or beyond the head), ERR_STORE, ERR_NOMEM. Any thread. */
int room_read(struct room *room, struct read_marker *r);

/* The seq up to which the user has read; 0: not known. Any thread. */
uint64_t room_read_seq(struct room *room, struct slice user);

/* The store has committed the move of a marker: from now on the room knows it. If memory is short,
 * it does so only once it is loaded anew. The store's writer thread. */
void room_on_read(struct room *room, const struct store_mark *mark);

/* A member of this log that had a cursor of its own needs it no more. */
void room_relax(struct room *room, enum encoding encoding);

/* After feed_flush: true if the feed has read everything (it is clean now), or is detached (it
 * is freed, together with the room if it was the last). False: it stays dirty, flush it again. */
bool room_settle(struct feed *r);

/* Frames for rich members that are no part of the log. Any thread.
 *
 * What has changed in who is here: taken to be told now, unless it is put off. *due says when there
 * is more to do. False: *news is of no use. */
bool room_take_presence(struct room *room, bool put_off, uint64_t now_ms,
                        struct presence_news *news, enum presence_due *due);

/* The timer fired that PRESENCE_LATER asked for; or could not be started, and so will not. */
enum presence_due room_on_presence_timer(struct room *room, uint64_t now_ms);
void room_no_presence_timer(struct room *room);

/* A member types or stopped; what is to be told of that. As typing_note and typing_take. */
bool room_note_typing(struct room *room, const struct member *m, struct slice name, bool on);
bool room_take_typing(struct room *room, struct typing *news);

/* How many such frames are on their way to members, on all workers together; one more or less. */
unsigned room_ephemerals(const struct room *room);
void room_count_ephemeral(struct room *room, int change);

/* Whether members of this encoding can resume, and which events they see. */
static inline bool encoding_keeps(unsigned e)
{
    return e >= ENCODING_FULL;
}

static inline bool encoding_is_rich(unsigned e)
{
    return e >= ENCODING_RICH;
}

static inline bool encoding_is_deflate(unsigned e)
{
    return e & 1;
}

#endif
