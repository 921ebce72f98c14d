/* The 64-byte text that travels through the server under test, and the check that every member of
 * a room gets every text of every talker exactly once and in order.
 *
 * Text: "~P" run(8) room(4) talker(2) seq(8) send time in ns(16), all hexadecimal, then 24 fixed
 * bytes. "~P" and the run number together are the needle by which the text is found inside whatever
 * JSON the server wraps it in: key order and spacing differ from server to server. */
#ifndef BENCH_STAMP_H
#define BENCH_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STAMP_LEN = 64, STAMP_NEEDLE_LEN = 10 };

struct stamp {
    uint32_t room;
    uint32_t talker;
    uint32_t seq;
    uint64_t sent_ns;
};

/* Makes the needle (STAMP_NEEDLE_LEN bytes, no NUL) that tells texts of this run from any other's.
 */
void stamp_needle(char *needle, uint32_t run);

/* Writes STAMP_LEN bytes, no NUL. */
void stamp_write(char *out, const char *needle, const struct stamp *s);

/* Finds and reads the text of this run in a frame's payload. *hint is the caller's memory of one
 * connection: where the text stood the last time, and in how long a payload; a payload of the same
 * shape is read there without a search. A payload of a new shape is also checked to have the keys
 * "message" and "username" with the talker's name. False if there is no intact text. */
struct stamp_hint {
    uint16_t offset;
    uint16_t length;
};
bool stamp_read(const char *payload, size_t len, const char *needle, struct stamp_hint *hint,
                struct stamp *out);

/* What one member knows about one talker. seen: bit i tells that text next - 1 - i has arrived. */
struct track {
    uint32_t next;
    uint64_t seen;
};

struct verdict {
    uint64_t arrived; /* different texts */
    uint64_t lost;
    uint64_t duplicated;
    uint64_t out_of_order;
};

/* Judges the arrival of text number seq. A text that was skipped counts as lost until it comes
 * late; then it counts as out of order (as a duplicate if it is over 64 texts late). */
void track_arrival(struct track *t, uint32_t seq, struct verdict *v);

/* After the last arrival: the talker has sent `sent` texts, whatever is missing at the end is lost.
 */
void track_end(const struct track *t, uint32_t sent, struct verdict *v);

#endif
