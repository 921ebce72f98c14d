/* The layout of a log line: pure text work, no descriptor, no clock, no lock. Kept apart from log.c
 * so that everything that decides what bytes reach a terminal is in one place.
 *
 * A line lives on its writer's stack. What does not fit is cut at a character boundary and marked;
 * a cut JSON line is still one valid JSON object. */
#ifndef OPS_LOG_LINE_H
#define OPS_LOG_LINE_H

#include "ops/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOG_VALUE_MAX = 1024, /* bytes of one escaped value or text */
};

struct log_style {
    enum log_format format;
    bool colour; /* text only */
};

struct log_line {
    size_t len;
    bool cut;
    char data[LOG_LINE_MAX]; /* data[0] is a newline, see log_line_format */
};

/* The word for a level or a format, as in configuration and output. Static storage. */
const char *log_level_name(enum log_level level);
const char *log_format_name(enum log_format format);

/* Lays out e, which happened at wall_ms, in line. data[1..len) is the line with its newline at the
 * end; data[0] is an extra newline for the writer whose previous line was torn. Any thread. */
void log_line_format(struct log_line *line, struct log_style style, uint64_t wall_ms,
                     const struct log_event *e);

#endif
