/* Structured log events, one line each, for people (text) or for machines (JSON).
 *
 * A log is an object that main makes and passes down; there is no global one. An event has a name
 * that never changes (operators grep and alert on it), a sentence for people, and typed fields.
 * Tokens and message bodies never belong in a field.
 *
 * Promises, which docs/operations.md repeats to operators:
 *  1. One event is one line of at most LOG_LINE_MAX bytes (PIPE_BUF), written with one write(2), so
 *     that lines of different threads never mix, without a lock around the write.
 *  2. A log nobody reads never stops a worker: a line the descriptor cannot take now is dropped and
 *     counted, and the count is logged (event "log_lost") as soon as a line gets through again.
 *  3. No byte from outside reaches a terminal raw: control characters and invalid UTF-8 are escaped
 *     or replaced in both formats.
 *  4. At most LOG_BURST lines a second per event name; the rest become one line
 *     "N more like this suppressed" when the second is over.
 */
#ifndef OPS_LOG_H
#define OPS_LOG_H

#include "ops/log_line.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LOG_BURST = 10,       /* lines per event name and window */
    LOG_WINDOW_MS = 1000, /* the window of the line above */
    LOG_EVENTS_MAX = 64,  /* event names counted at once; one that finds no slot is not limited */
};

struct log;

/* Reads a clock: wall-clock milliseconds since 1970 and a monotonic count of milliseconds. */
typedef void (*log_clock_fn)(void *arg, uint64_t *wall_ms, uint64_t *mono_ms);

/* Makes a log that writes lines of at least `level` to fd. fd is borrowed and stays open until
 * log_free. Text is coloured iff fd is a terminal and NO_COLOR is not set. The process must ignore
 * SIGPIPE. NULL if memory is short. */
struct log *log_new(enum log_format format, enum log_level level, int fd);

/* Writes what is pending of suppressed lines and frees. NULL is allowed. */
void log_free(struct log *log);

/* True iff a line of this level would be written. Any thread. */
bool log_enabled(const struct log *log, enum log_level level);

/* Writes one event, see the promises above; mostly called through LOG. Text and field values may
 * hold any bytes. Never fails visibly, never blocks on the reader of the log. Any thread. */
void log_event(struct log *log, const struct log_event *e);

/* Writes the "N more like this suppressed" lines whose second is over. Any log_event does this
 * too, so calling it from a timer (once a second is plenty) only matters when the log is quiet. Any
 * thread. */
void log_tick(struct log *log);

/* Lines lost so far because the descriptor would not take them. Any thread. */
uint64_t log_lost(const struct log *log);

/* Replaces the system's clocks (tests, simulations). Before the first event. */
void log_set_clock(struct log *log, log_clock_fn fn, void *arg);

#define LOG_SLICE(k, v)                                                                            \
    {                                                                                              \
        .key = (k), .type = LOG_FIELD_BYTES, .value.bytes = (v)                                    \
    }
#define LOG_STR(k, v) LOG_SLICE(k, log_slice(v))
#define LOG_U64(k, v)                                                                              \
    {                                                                                              \
        .key = (k), .type = LOG_FIELD_U64, .value.u64 = (v)                                        \
    }
#define LOG_I64(k, v)                                                                              \
    {                                                                                              \
        .key = (k), .type = LOG_FIELD_I64, .value.i64 = (v)                                        \
    }
#define LOG_BOOL(k, v)                                                                             \
    {                                                                                              \
        .key = (k), .type = LOG_FIELD_BOOL, .value.boolean = (v)                                   \
    }

/* LOG(log, LOG_INFO, "listening", "listening on ...", LOG_STR("address", s), LOG_U64("port", p));
 * with any number of fields, none included. Fields are not evaluated if the level is off. */
#define LOG(log, level, event, text, ...)                                                          \
    do {                                                                                           \
        if (log_enabled((log), (level))) {                                                         \
            const struct log_field log_fields_[] = {{.key = NULL}, ##__VA_ARGS__};                 \
            log_event((log), &(struct log_event){(level), (event), (text), log_fields_ + 1,        \
                                                 sizeof log_fields_ / sizeof log_fields_[0] - 1}); \
        }                                                                                          \
    } while (0)

#endif
