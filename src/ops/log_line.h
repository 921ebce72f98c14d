/* An event, and the layout of its line: pure text work, no descriptor, no clock, no lock. Kept
 * apart from log.c so that everything that decides what bytes reach a terminal is in one place.
 *
 * A line lives on its writer's stack. What does not fit is cut at a character boundary and marked;
 * a cut JSON line is still one valid JSON object. */
#ifndef OPS_LOG_LINE_H
#define OPS_LOG_LINE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LOG_LINE_MAX = 4096,  /* bytes of a line with its newline; longer ones are cut, marked "..." */
    LOG_FIELDS_MAX = 16,  /* fields of an event; a programming error above that (CHECK) */
    LOG_VALUE_MAX = 1024, /* bytes of one escaped value or text */
};

enum log_format { LOG_TEXT, LOG_JSON };
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_field_type { LOG_FIELD_BYTES, LOG_FIELD_U64, LOG_FIELD_I64, LOG_FIELD_BOOL };

struct log_field {
    const char *key; /* [a-z0-9_]+, not time, level, event or text; unique in its event */
    enum log_field_type type;
    union {
        struct slice bytes;
        uint64_t u64;
        int64_t i64;
        bool boolean;
    } value;
};

/* event and text are NUL-terminated. event is a constant of the program, [a-z0-9_]+, and kept by
 * reference to count repeats; the rest is borrowed for the call. */
struct log_event {
    enum log_level level;
    const char *event;
    const char *text;
    const struct log_field *fields;
    size_t n; /* fields, at most LOG_FIELDS_MAX */
};

/* A view of a C string; NULL reads as "(none)". */
static inline struct slice log_slice(const char *text)
{
    if (!text) text = "(none)";
    return (struct slice){text, strlen(text)};
}

struct log_style {
    enum log_format format;
    bool colour; /* text only */
};

struct log_line {
    size_t len;
    bool cut;
    char data[LOG_LINE_MAX]; /* data[0] is a newline, see log_line_format */
};

/* The words for levels and formats, as in configuration and output. */
extern const char *const log_levels[];
extern const char *const log_formats[];

/* Lays out e, which happened at wall_ms, in line. data[1..len) is the line with its newline at the
 * end; data[0] is an extra newline for the writer whose previous line was torn. Any thread. */
void log_line_format(struct log_line *line, struct log_style style, uint64_t wall_ms,
                     const struct log_event *e);

#endif
