/* See log.h.
 *
 * How a line gets out without ever waiting for a reader. O_NONBLOCK belongs to the open file
 * description, which stdout and stderr share with the shell that started us, so setting it there
 * would break other programs. Instead:
 *  - a pipe or terminal is opened once more through /proc/self/fd, which gives a description of our
 *    own that can be non-blocking; where that is not permitted, poll(2) asks before each write;
 *  - a socket (systemd's journal) takes MSG_DONTWAIT;
 *  - a file just takes the bytes.
 *
 * Threads: any. The mutex guards the repeat counters alone and is never held across a write. Lines
 * are not mixed because each is one write(2) of at most PIPE_BUF bytes. */
#include "ops/log.h"

#include "base/check.h"
#include "base/clock.h"
#include "ops/log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_TRIES = 8 }; /* write(2) calls for one line: interruptions and short writes */

enum sink { SINK_PLAIN, SINK_POLL, SINK_SOCKET };

/* How often an event was seen in its window. A slot whose window is over and that has nothing to
 * report is free. */
struct repeat {
    const char *event;
    enum log_level level;
    uint64_t window_ms; /* when the window began */
    unsigned lines;
    uint64_t suppressed;
};

struct log {
    struct log_style style;
    enum log_level level;
    enum sink sink;
    int fd;
    int own_fd; /* the descriptor to close at the end, or -1 */
    log_clock_fn clock;
    void *clock_arg;
    _Atomic uint64_t lost;
    _Atomic uint64_t lost_untold;
    atomic_bool torn;    /* the last line ended in the middle: begin the next with a newline */
    atomic_uint pending; /* slots with suppressed lines, so that a quiet path takes no lock */

    pthread_mutex_t lock; /* guards repeats */
    struct repeat repeats[LOG_EVENTS_MAX];
};

static void system_clock(void *arg, uint64_t *wall_ms, uint64_t *mono_ms)
{
    (void)arg;
    *wall_ms = (uint64_t)clock_ms(CLOCK_REALTIME);
    *mono_ms = (uint64_t)clock_ms(CLOCK_MONOTONIC);
}

/* Finds out what fd is and how to write to it without waiting. */
static void open_sink(struct log *log, int fd)
{
    log->fd = fd;
    log->own_fd = -1;
    log->sink = SINK_PLAIN;

    struct stat st;
    if (fstat(fd, &st) != 0) return;
    if (S_ISSOCK(st.st_mode)) {
        log->sink = SINK_SOCKET;
        return;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK)) return;
    if (!S_ISFIFO(st.st_mode) && !isatty(fd)) return;

    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    log->own_fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (log->own_fd >= 0)
        log->fd = log->own_fd;
    else
        log->sink = SINK_POLL;
}

struct log *log_new(enum log_format format, enum log_level level, int fd)
{
    struct log *log = calloc(1, sizeof *log);
    if (!log) return NULL;
    log->style.format = format;
    log->level = level;
    const char *no_color = getenv("NO_COLOR");
    log->style.colour = format == LOG_TEXT && isatty(fd) && !(no_color && *no_color);
    log->clock = system_clock;
    pthread_mutex_init(&log->lock, NULL);
    open_sink(log, fd);
    return log;
}

void log_set_clock(struct log *log, log_clock_fn fn, void *arg)
{
    log->clock = fn;
    log->clock_arg = arg;
}

bool log_enabled(const struct log *log, enum log_level level)
{
    return level >= log->level;
}

uint64_t log_lost(const struct log *log)
{
    return atomic_load_explicit(&log->lost, memory_order_relaxed);
}

static ssize_t write_some(struct log *log, const char *data, size_t len)
{
    if (log->sink == SINK_SOCKET) return send(log->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (log->sink == SINK_POLL) {
        struct pollfd p = {.fd = log->fd, .events = POLLOUT};
        if (poll(&p, 1, 0) != 1) {
            errno = EAGAIN;
            return -1;
        }
    }
    return write(log->fd, data, len);
}

/* Writes a formatted line; false if it could not be written whole. */
static bool write_line(struct log *log, const struct log_line *line)
{
    bool torn = atomic_exchange_explicit(&log->torn, false, memory_order_relaxed);
    size_t start = torn ? 0 : 1;
    size_t at = start;
    for (int tries = 0; at < line->len && tries < WRITE_TRIES; tries++) {
        ssize_t n = write_some(log, line->data + at, line->len - at);
        if (n > 0)
            at += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    if (at == line->len) return true;
    if (torn || at > start) atomic_store_explicit(&log->torn, true, memory_order_relaxed);
    return false;
}

static bool emit(struct log *log, uint64_t wall_ms, const struct log_event *e)
{
    struct log_line line;
    log_line_format(&line, log->style, wall_ms, e);
    return write_line(log, &line);
}

/* Tells of lost lines, if there are any and the descriptor takes lines again. False if it does
 * not, so that the caller need not try its own. */
static bool tell_lost(struct log *log, uint64_t wall_ms)
{
    if (atomic_load_explicit(&log->lost_untold, memory_order_relaxed) == 0) return true;
    uint64_t n = atomic_exchange_explicit(&log->lost_untold, 0, memory_order_relaxed);
    if (n == 0) return true;
    const struct log_field fields[] = {LOG_U64("lines", n)};
    const struct log_event e = {
        .level = LOG_WARN,
        .event = "log_lost",
        .text = "log lines were lost because nobody took them",
        .fields = fields,
        .n = 1,
    };
    if (emit(log, wall_ms, &e)) return true;
    atomic_fetch_add_explicit(&log->lost_untold, n, memory_order_relaxed);
    return false;
}

static void write_event(struct log *log, uint64_t wall_ms, const struct log_event *e)
{
    if (tell_lost(log, wall_ms) && emit(log, wall_ms, e)) return;
    atomic_fetch_add_explicit(&log->lost, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&log->lost_untold, 1, memory_order_relaxed);
}

/* Signed, because another thread may have begun the window after this one read the clock. */
static bool window_over(const struct repeat *r, uint64_t mono_ms)
{
    return (int64_t)(mono_ms - r->window_ms) >= LOG_WINDOW_MS;
}

/* The slot of an event, a free one if it has none, or NULL. */
static struct repeat *find_repeat_locked(struct log *log, const char *event, uint64_t mono_ms)
{
    struct repeat *unused = NULL;
    for (size_t i = 0; i < LOG_EVENTS_MAX; i++) {
        struct repeat *r = &log->repeats[i];
        if (r->event && (r->event == event || strcmp(r->event, event) == 0)) return r;
        if (!unused && (!r->event || (window_over(r, mono_ms) && r->suppressed == 0))) unused = r;
    }
    if (unused) *unused = (struct repeat){.event = event, .window_ms = mono_ms};
    return unused;
}

/* True iff this line is within the burst of its event. */
static bool admit(struct log *log, enum log_level level, const char *event, uint64_t mono_ms)
{
    bool ok = true;
    pthread_mutex_lock(&log->lock);
    struct repeat *r = find_repeat_locked(log, event, mono_ms);
    if (r) {
        /* With suppressed lines untold the window stays as it is: flush_repeats reports first. */
        if (window_over(r, mono_ms) && r->suppressed == 0) {
            r->window_ms = mono_ms;
            r->lines = 0;
        }
        r->level = level;
        ok = r->lines < LOG_BURST;
        if (ok) {
            r->lines++;
        } else if (r->suppressed++ == 0) {
            atomic_fetch_add_explicit(&log->pending, 1, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&log->lock);
    return ok;
}

/* Takes one slot with suppressed lines whose window is over (or any, if all). */
static bool take_repeat(struct log *log, uint64_t mono_ms, bool all, struct repeat *out)
{
    bool found = false;
    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < LOG_EVENTS_MAX && !found; i++) {
        struct repeat *r = &log->repeats[i];
        if (r->suppressed == 0 || !(all || window_over(r, mono_ms))) continue;
        *out = *r;
        *r = (struct repeat){.event = r->event, .window_ms = mono_ms};
        atomic_fetch_sub_explicit(&log->pending, 1, memory_order_relaxed);
        found = true;
    }
    pthread_mutex_unlock(&log->lock);
    return found;
}

static void flush_repeats(struct log *log, uint64_t wall_ms, uint64_t mono_ms, bool all)
{
    for (int i = 0; i < LOG_EVENTS_MAX; i++) {
        struct repeat r;
        if (atomic_load_explicit(&log->pending, memory_order_relaxed) == 0) return;
        if (!take_repeat(log, mono_ms, all, &r)) return;
        char text[64];
        snprintf(text, sizeof text, "%" PRIu64 " more like this suppressed", r.suppressed);
        const struct log_field fields[] = {LOG_U64("suppressed", r.suppressed)};
        const struct log_event e = {
            .level = r.level,
            .event = r.event,
            .text = text,
            .fields = fields,
            .n = 1,
        };
        write_event(log, wall_ms, &e);
    }
}

void log_event(struct log *log, const struct log_event *e)
{
    CHECK(e->n <= LOG_FIELDS_MAX);
    if (!log_enabled(log, e->level)) return;
    uint64_t wall_ms;
    uint64_t mono_ms;
    log->clock(log->clock_arg, &wall_ms, &mono_ms);
    flush_repeats(log, wall_ms, mono_ms, false);
    if (admit(log, e->level, e->event, mono_ms)) write_event(log, wall_ms, e);
}

void log_tick(struct log *log)
{
    uint64_t wall_ms;
    uint64_t mono_ms;
    log->clock(log->clock_arg, &wall_ms, &mono_ms);
    flush_repeats(log, wall_ms, mono_ms, false);
    tell_lost(log, wall_ms);
}

void log_free(struct log *log)
{
    if (!log) return;
    uint64_t wall_ms;
    uint64_t mono_ms;
    log->clock(log->clock_arg, &wall_ms, &mono_ms);
    flush_repeats(log, wall_ms, mono_ms, true);
    tell_lost(log, wall_ms);
    if (log->own_fd >= 0) close(log->own_fd);
    pthread_mutex_destroy(&log->lock);
    free(log);
}
