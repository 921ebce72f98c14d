/* See log_line.h.
 *
 * One escaper serves both formats. It lets printable UTF-8 through and turns the rest into what
 * JSON can say as well: \n, \t, \r, \u and four digits for C0, DEL and C1 controls, for the line
 * separators and for the bidirectional overrides (which make a terminal show text in another order
 * than it is), and U+FFFD for each byte that is not part of valid UTF-8. */
#include "ops/log_line.h"

#include "base/check.h"
#include "base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    TAIL = 48,       /* kept free for what has to follow a cut: marks, quotes, brace, newline */
    NUMBER_MAX = 24, /* bytes of a number or a boolean */
    PIECE_MAX = 8,   /* bytes of one escaped character with its NUL */
};

static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line is written to a pipe in one piece");

#define DIM "\x1b[2m"
#define BOLD "\x1b[1m"
#define YELLOW "\x1b[33m"
#define RED "\x1b[31m"
#define RESET "\x1b[0m"

const char *const log_levels[] = {"debug", "info", "warn", "error"};
const char *const log_formats[] = {"text", "json"};

static void put(struct log_line *line, const char *bytes, size_t n)
{
    CHECK(n <= sizeof line->data - line->len);
    memcpy(line->data + line->len, bytes, n);
    line->len += n;
}

static void put_text(struct log_line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* Bytes that may still be written before the tail. */
static size_t room_left(const struct log_line *line)
{
    size_t limit = sizeof line->data - TAIL;
    return line->len < limit ? limit - line->len : 0;
}

/* The length of the UTF-8 sequence at s and its code point in *cp; 0 if it is not valid. */
static size_t utf8_sequence(const unsigned char *s, size_t n, uint32_t *cp)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len > n || !utf8_valid(s, len)) return 0;
    uint32_t c = len == 1 ? s[0] : s[0] & (0xffU >> (len + 1));
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (s[i] & 0x3fU);
    *cp = c;
    return len;
}

/* Controls, direction marks and overrides, line separators, byte order mark. */
static bool is_unprintable(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* Writes the escaped form of the character at s into piece; returns the bytes of s it covers. */
static size_t escape_one(const unsigned char *s, size_t n, bool quoted, char piece[PIECE_MAX])
{
    uint32_t c = 0;
    size_t len = utf8_sequence(s, n, &c);
    if (len == 0) {
        memcpy(piece, "\xef\xbf\xbd", 4);
        return 1;
    }
    if (c == '\n' || c == '\r' || c == '\t') {
        snprintf(piece, PIECE_MAX, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    } else if (quoted && (c == '"' || c == '\\')) {
        snprintf(piece, PIECE_MAX, "\\%c", (char)c);
    } else if (is_unprintable(c)) {
        snprintf(piece, PIECE_MAX, "\\u%04x", (unsigned)(c & 0xffff));
    } else {
        memcpy(piece, s, len);
        piece[len] = '\0';
    }
    return len;
}

static void put_escaped(struct log_line *line, struct slice value, bool quoted)
{
    const unsigned char *s = (const unsigned char *)value.ptr;
    size_t end = line->len + LOG_VALUE_MAX;
    for (size_t i = 0; i < value.len;) {
        char piece[PIECE_MAX];
        size_t step = escape_one(s + i, value.len - i, quoted, piece);
        size_t len = strlen(piece);
        if (len > room_left(line) || line->len + len > end) {
            line->cut = true;
            put_text(line, "...");
            return;
        }
        put(line, piece, len);
        i += step;
    }
}

/* True iff a value can stand in a text line without quotes and mean one thing only. */
static bool is_bare(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') return false;
    }
    return value.len > 0;
}

static void put_quoted(struct log_line *line, struct slice value)
{
    put_text(line, "\"");
    put_escaped(line, value, true);
    put_text(line, "\"");
}

static void put_value(struct log_line *line, enum log_format format, const struct log_field *f)
{
    char number[NUMBER_MAX];
    switch (f->type) {
    case LOG_FIELD_BYTES:
        if (format == LOG_TEXT && is_bare(f->value.bytes))
            put_escaped(line, f->value.bytes, false);
        else
            put_quoted(line, f->value.bytes);
        return;
    case LOG_FIELD_U64:
        snprintf(number, sizeof number, "%" PRIu64, f->value.u64);
        break;
    case LOG_FIELD_I64:
        snprintf(number, sizeof number, "%" PRId64, f->value.i64);
        break;
    case LOG_FIELD_BOOL:
        snprintf(number, sizeof number, "%s", f->value.boolean ? "true" : "false");
        break;
    }
    put_text(line, number);
}

static void put_fields(struct log_line *line, enum log_format format, const struct log_event *e)
{
    for (size_t i = 0; i < e->n; i++) {
        const struct log_field *f = &e->fields[i];
        if (strlen(f->key) + NUMBER_MAX + 4 > room_left(line)) {
            line->cut = true;
            return;
        }
        put_text(line, format == LOG_JSON ? ",\"" : " ");
        put_text(line, f->key);
        put_text(line, format == LOG_JSON ? "\":" : "=");
        put_value(line, format, f);
    }
}

static void put_time(struct log_line *line, uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    char text[32];
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    put(line, text, n);
    snprintf(text, sizeof text, ".%03uZ", (unsigned)(wall_ms % 1000));
    put_text(line, text);
}

static const char *level_colour(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return DIM;
    case LOG_INFO:
        return "";
    case LOG_WARN:
        return YELLOW;
    case LOG_ERROR:
        return RED;
    }
    return "";
}

static void format_text(struct log_line *line, bool colour, uint64_t wall_ms,
                        const struct log_event *e)
{
    if (colour) put_text(line, DIM);
    put_time(line, wall_ms);
    put_text(line, colour ? RESET " " : " ");

    char level[8];
    snprintf(level, sizeof level, "%-5s ", log_levels[e->level]);
    if (colour) put_text(line, level_colour(e->level));
    put_text(line, level);
    if (colour) put_text(line, RESET BOLD);
    put_escaped(line, log_slice(e->event), false);
    put_text(line, colour ? RESET "  " : "  ");
    put_escaped(line, log_slice(e->text), false);
    put_fields(line, LOG_TEXT, e);
    put_text(line, line->cut ? " cut=true\n" : "\n");
}

static void format_json(struct log_line *line, uint64_t wall_ms, const struct log_event *e)
{
    put_text(line, "{\"time\":\"");
    put_time(line, wall_ms);
    put_text(line, "\",\"level\":\"");
    put_text(line, log_levels[e->level]);
    put_text(line, "\",\"event\":");
    put_quoted(line, log_slice(e->event));
    put_text(line, ",\"text\":");
    put_quoted(line, log_slice(e->text));
    put_fields(line, LOG_JSON, e);
    put_text(line, line->cut ? ",\"cut\":true}\n" : "}\n");
}

void log_line_format(struct log_line *line, struct log_style style, uint64_t wall_ms,
                     const struct log_event *e)
{
    line->len = 0;
    line->cut = false;
    put_text(line, "\n");
    if (style.format == LOG_JSON)
        format_json(line, wall_ms, e);
    else
        format_text(line, style.colour, wall_ms, e);
}
