/* See sqlite_witness.h. The record is one sector, so that it is written whole or not at all. */
#include "store/sqlite_witness.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    FILE_MODE = 0600,
    RECORD_BYTES = 4096,        /* that is kept when the reserve is given back */
    RESERVE_BYTES = 192 * 1024, /* what SQLite needs to open a database: its -shm, a few frames */
};

/* What the file's own time may differ by from that of the record: what passes between reading the
 * clock and writing; and after a power cut, what a system keeps of either without the other. */
#define SECOND_NS (INT64_C(1000) * 1000 * 1000)
#define SLACK_NS SECOND_NS
#define SLACK_BOOT_NS (60 * SECOND_NS)

static const char magic[8] = "ParlorW1";

static_assert(sizeof(struct witness_record) == 88, "no padding: it is written as it is");

/* FNV-1a: against a torn or foreign file, not against people. */
static uint64_t sum_bytes(const void *data, size_t len)
{
    const unsigned char *bytes = data;
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
    return sum;
}

static uint64_t sum_of(const struct witness_record *r)
{
    return sum_bytes(r, offsetof(struct witness_record, sum));
}

static uint64_t this_boot(void)
{
    char id[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, id, sizeof id);
    if (fd >= 0) close(fd);
    return n > 0 ? sum_bytes(id, (size_t)n) : 0;
}

/* Whether the file is where and as it was when the record was written into it. */
static bool times_fit(const struct witness_record *r, const struct stat *st, int64_t slack_ns)
{
    int64_t changed_ns = (int64_t)st->st_ctim.tv_sec * SECOND_NS + st->st_ctim.tv_nsec;
    int64_t late_ns = changed_ns - r->written_ns;
    return late_ns <= slack_ns && late_ns >= -slack_ns;
}

static enum witness_state judge(const struct witness *w, const struct stat *st)
{
    int64_t slack_ns = w->same_boot ? SLACK_NS : SLACK_BOOT_NS;
    return times_fit(&w->record, st, slack_ns) ? WITNESS_GOOD : WITNESS_COPIED;
}

void witness_open(struct witness *w, const char *path)
{
    struct stat st;
    w->state = WITNESS_MISSING;
    w->fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
    if (w->fd < 0) return;
    struct witness_record *r = &w->record;
    bool whole = fstat(w->fd, &st) == 0 && S_ISREG(st.st_mode) &&
                 pread(w->fd, r, sizeof *r, 0) == (ssize_t)sizeof *r &&
                 memcmp(r->magic, magic, sizeof magic) == 0 && r->sum == sum_of(r);
    w->same_boot = whole && r->boot == this_boot();
    if (whole)
        w->state = judge(w, &st);
    else
        *r = (struct witness_record){.life = 0};
    if (!whole || st.st_size <= RECORD_BYTES) return;
    /* It changes the file's time, which has to fit also if this start goes no further. */
    if (ftruncate(w->fd, RECORD_BYTES) == 0 && w->state == WITNESS_GOOD) witness_write(w, false);
}

int witness_sync_directory(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    int error = errno;
    if (fd >= 0) close(fd);
    errno = error;
    return rc;
}

int witness_make(struct witness *w, const char *path)
{
    if (w->fd >= 0) return 0;
    w->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, FILE_MODE);
    if (w->fd < 0) return -1;
    (void)witness_sync_directory(path); /* a start without its witness is seen */
    return 0;
}

int witness_write(struct witness *w, bool sync)
{
    struct witness_record *r = &w->record;
    memcpy(r->magic, magic, sizeof magic);
    r->written_ns = clock_ns(CLOCK_REALTIME_COARSE); /* that file systems take their times from */
    if (w->boot == 0) w->boot = this_boot();
    r->boot = w->boot;
    r->sum = sum_of(r);
    ssize_t n = pwrite(w->fd, r, sizeof *r, 0);
    if (n != (ssize_t)sizeof *r) {
        if (n >= 0) errno = ENOSPC;
        return -1;
    }
    return sync ? fsync(w->fd) : 0;
}

void witness_refresh(struct witness *w)
{
    struct stat st;
    if (fstat(w->fd, &st) == 0 && !times_fit(&w->record, &st, SLACK_NS)) witness_write(w, false);
}

static int64_t time_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * SECOND_NS + st->st_mtim.tv_nsec;
}

void witness_note_main(struct witness *w, const char *path)
{
    struct stat st;
    bool known = path && stat(path, &st) == 0;
    w->record.main_ns = known ? time_of(&st) : 0;
    w->record.main_bytes = known ? st.st_size : 0;
}

bool witness_sees_change(const struct witness *w, const struct stat *st)
{
    const struct witness_record *r = &w->record;
    if (!r->main_ns || !w->same_boot) return false;
    return r->main_ns != time_of(st) || r->main_bytes != st->st_size;
}

void witness_reserve(struct witness *w)
{
    if (w->fd < 0) return;
    if (posix_fallocate(w->fd, 0, RESERVE_BYTES) != 0) return; /* full: what is there has to do */
    witness_write(w, false);
}

void witness_close(struct witness *w)
{
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
}
