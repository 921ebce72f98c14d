/* A room: a name, a sequence, and one log per encoding that has a member.
 *
 * Why: a message is numbered and turned into its final frame once per encoding, under the room's
 * own lock (about a microsecond; 150 where it deflates 16 KiB), and from then on only read. Members
 * join at the head of the log in one atomic step, so what has a larger seq arrives and nothing
 * arrives twice.
 *
 * Invariants (under the lock)
 *  1. A log has chunks iff one of its readers is dirty or one of its members lags; a room in which
 *     everybody has everything owns none.
 *  2. dirty_count of a log is the number of its readers, attached or detached, with dirty set.
 *  3. seq counts up by one per published message; epoch is another one in every life of a room, so
 *     an id never comes back.
 *
 * Lock order: hub, then room. Neither is held across a system call. */
#ifndef CHAT_ROOM_H
#define CHAT_ROOM_H

#include <pthread.h>
#include <stdint.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/list.h"
#include "chat/reader.h"

struct hub;
struct ws_deflater;

/* What a member receives, protocol.md section 2, each plain or with permessage-deflate. */
enum encoding {
    ENCODING_BARE,
    ENCODING_BARE_DEFLATE,
    ENCODING_FULL,
    ENCODING_FULL_DEFLATE,
    ENCODING_COUNT,
};

enum {
    ROOM_EPOCH_LEN = 8,
    ROOM_DEFLATE_MIN_BYTES = 200, /* below, deflate costs more than it saves */
    ROOM_FRAME_MAX_BYTES = 1 << 26,
};

struct room_log {
    struct frame_log log;
    struct list readers;
    unsigned dirty_count;
};

struct room {
    pthread_mutex_t lock;
    uint64_t seq;
    char epoch[ROOM_EPOCH_LEN];
    uint8_t encodings; /* bit e: logs[e] has a reader; spares publishing a look at the others */
    uint8_t name_len;
    unsigned refs; /* readers, and callers of join; under the hub's lock */
    struct room_log logs[ENCODING_COUNT];
    struct hub *hub;
    UT_hash_handle hh; /* in the hub's table, by name */
    char name[];       /* not terminated */
};

/* What somebody says; borrowed for the call. */
struct post {
    struct slice username;
    struct slice message;
    struct slice data; /* raw JSON, or empty */
    int64_t ts_ms;     /* since 1970 */
};

/* A publishing worker's tools: used by its thread only. */
struct scribe {
    struct ws_deflater *deflater; /* NULL: deflated logs get plain frames */
    struct buf json[2];           /* bare, full */
    struct buf deflated[2];
};

void scribe_fini(struct scribe *s);

/* Numbers the message and appends it to every log that has a reader; all of them or, on error,
 * none. Readers that turned dirty are chained by dirty_link into *woken (NULL-terminated), and the
 * caller hands each to its worker. Returns 0, ERR_NOMEM or ERR_TOO_LONG. Any thread. */
int room_publish(struct room *room, struct scribe *s, const struct post *post,
                 struct slink **woken);

/* A member of this log that had a cursor of its own needs it no more. */
void room_relax(struct room *room, enum encoding encoding);

/* After reader_flush: true if the reader has read everything (it is clean now), or is detached (it
 * is freed, together with the room if it was the last). False: it stays dirty, flush it again. */
bool room_settle(struct reader *r);

#endif
