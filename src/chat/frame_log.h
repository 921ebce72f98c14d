/* The room log: final WebSocket frames in a chain of immutable, reference-counted chunks.
 *
 * Why: fan-out must not cost a queue per member. The bytes of a frame exist once; whoever has to
 * send them holds a place (struct cursor) in the one log and, only while bytes are pending, a
 * reference on the chunk of that place.
 *
 * Invariants
 *  1. A byte below chunk->len never changes; len only grows; next is set once, and only after len
 *     has its last value. So reading needs no lock: load next, then len (both acquire).
 *  2. A frame never straddles chunks, so data[0] of every chunk begins a frame.
 *  3. References: one by the log on its tail, one by each chunk on its successor, one by each
 *     cursor that is not at rest, and one by a log that keeps its past on the oldest chunk kept.
 * The chain from any held chunk to the tail is therefore alive.
 *  4. Offsets count the bytes of the log and never go back: chunk->base is the offset of data[0].
 *     They begin high enough for a past to be put in front. Where one was put in front of what is
 *     kept, offsets before the joint are those of other frames in chunks that are kept no more.
 *
 * Threads: frame_log_* calls need the lock of the room that owns the log; cursor_* calls belong to
 * the cursor's owner and take no lock. */
#ifndef CHAT_FRAME_LOG_H
#define CHAT_FRAME_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"

/* What of a log may be held once it is sent, see recent.h. */
struct recent_limits {
    uint32_t max_events; /* at most RECENT_MAX; 0: nothing is kept, and no frame ever noted */
    uint32_t max_bytes;
    uint64_t max_age_ms; /* 0: any */
};

struct account;
struct chunk;

struct frame_log {
    struct chunk *tail;      /* NULL while nobody has anything to read */
    struct chunk *spare;     /* reserved, not yet part of the chain */
    struct chunk *first;     /* oldest chunk kept; NULL: no past is kept */
    size_t kept_bytes;       /* allocated from first to the tail */
    uint64_t end;            /* offset behind the newest byte */
    uint64_t start;          /* offset at which the present chain began */
    uint64_t joint;          /* where a past was put in front last; 0: none was */
    uint32_t last_bytes;     /* length of the chain before it: how large a burst to expect */
    bool keeps;              /* what is committed stays until it is trimmed or forgotten */
    bool sealed;             /* the next frame begins a new chunk */
    struct account *account; /* where its chunks are counted as long as they live, whoever holds
                                them; NULL: nowhere */
};

/* A place in a log. chunk is NULL at rest: everything up to offset has been read. */
struct cursor {
    struct chunk *chunk;
    uint64_t offset;
};

#define FRAME_LOG_ORIGIN (UINT64_C(1) << 48) /* offset of the first byte */

enum {
    FRAME_LOG_CHUNK_MIN_BYTES = 512, /* whole allocation; the first chunk fits the last burst */
    FRAME_LOG_CHUNK_MAX_BYTES =
        65536, /* later ones double up to this; a larger frame gets its own */
};

/* Of zeroed memory. keeps: see there. */
void frame_log_init(struct frame_log *log, bool keeps);

/* Room for one frame of n bytes (n > 0); NULL if memory is short (the log is unchanged). Valid
 * until the next frame_log_ call. */
uint8_t *frame_log_reserve(struct frame_log *log, size_t n);

/* Publishes the n bytes written at the pointer that frame_log_reserve(log, n) returned last. */
void frame_log_commit(struct frame_log *log, size_t n);

/* Gives the chunks back unless they are kept or a cursor holds some: it has to find the next frames
 * behind them. Once the last such cursor rests, its owner calls this. Offsets go on from where they
 * were. */
void frame_log_relax(struct frame_log *log);

/* Of a log that keeps its past: gives back chunks that end at or before the offset. */
void frame_log_trim(struct frame_log *log, uint64_t offset);

/* Forgets the past: nothing before the present end can be sought any more. */
void frame_log_forget(struct frame_log *log);

/* Puts the frames of `older` (never shared with anybody) in front of what log keeps, such that they
 * end at the offset `at`: where the kept frames begin, or the end if there are none. older is empty
 * afterwards. Returns the difference to add to an offset of older. */
uint64_t frame_log_prepend(struct frame_log *log, struct frame_log *older, uint64_t at);

/* Sets *c, which is at rest, to an offset in the kept past, or to the end. */
void frame_log_seek(const struct frame_log *log, struct cursor *c, uint64_t offset);

/* Sets *c, which is at rest, to the given offset within the tail chunk, which has to exist. */
void frame_log_seek_tail(const struct frame_log *log, struct cursor *c, uint64_t offset);

/* Memory of the chunks that the log holds itself. Exact as a sum of all its chunks if no cursor
 * stands before what is kept. */
size_t frame_log_bytes(const struct frame_log *log);

/* Sets *to, which is at rest, to the place of *from. */
void cursor_copy(struct cursor *to, const struct cursor *from);

/* Gives the reference back; the offset stays. */
void cursor_rest(struct cursor *c);

/* Fills at most max entries with what lies between the cursor and offset `limit` (UINT64_MAX: all
 * that is published). Returns the number of entries; *bytes gets their sum. */
int cursor_span(const struct cursor *c, uint64_t limit, struct iovec *iov, int max, size_t *bytes);

/* Moves on by n bytes that cursor_span has shown. */
void cursor_advance(struct cursor *c, uint64_t n);

/* Number of frames that end behind the cursor and not behind offset `to` (<= what is published). */
uint64_t cursor_frames(const struct cursor *c, uint64_t to);

/* The rest of the frame the cursor stands in, empty on a frame boundary or at rest. The view lives
 * as long as the cursor's reference. */
struct slice cursor_frame_rest(const struct cursor *c);

#endif
