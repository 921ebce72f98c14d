/* A library for LD_PRELOAD that lets the n-th allocation, or the n-th use of a file, of the whole
 * process fail: OpenSSL's, SQLite's and zlib's as well as our own; lets all reading of files take
 * longer; or sets the clock. For tests/e2e/faults.test.js, which drives the real server with it;
 * never shipped.
 *
 * FAULTS_FILE names a file that is mapped: the test writes to it what is to fail, and reads what
 * has. Only regular files count: a pipe or eventfd that fails is not a disk that does. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* In the order in which the test writes and reads it, 8 bytes each. */
struct control {
    _Atomic int64_t allocs;  /* the allocation that fails: 0 is the next; below 0: none */
    _Atomic int64_t files;   /* the same of uses of files */
    _Atomic int64_t sticky;  /* all that follow fail, too */
    _Atomic int64_t error;   /* errno of files */
    _Atomic int64_t hits;    /* failures so far */
    _Atomic int64_t slow_us; /* that each read of a file takes longer */
    _Atomic int64_t ahead_s; /* of the wall clock */
};

static struct control *control;

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("FAULTS_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) control = at;
}

static bool hits(_Atomic int64_t *left)
{
    int64_t n = atomic_load(left);
    while (n >= 0) {
        bool stays = n == 0 && atomic_load(&control->sticky);
        if (!atomic_compare_exchange_weak(left, &n, stays ? 0 : n - 1)) continue;
        if (n > 0) return false;
        atomic_fetch_add(&control->hits, 1);
        return true;
    }
    return false;
}

static bool alloc_fails(void)
{
    if (!control || !hits(&control->allocs)) return false;
    errno = ENOMEM;
    return true;
}

static bool is_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static bool file_fails(int fd)
{
    if (!control || atomic_load(&control->files) < 0) return false;
    if (fd >= 0 && !is_file(fd)) return false;
    if (!hits(&control->files)) return false;
    errno = (int)atomic_load(&control->error);
    return true;
}

static bool read_fails(int fd)
{
    int64_t slow_us = control ? atomic_load(&control->slow_us) : 0;
    if (slow_us > 0 && is_file(fd)) usleep((useconds_t)slow_us);
    return file_fails(fd);
}

/* The function that would have been called without us. */
#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

void *malloc(size_t size)
{
    NEXT(malloc);
    return alloc_fails() ? NULL : next(size);
}

void *calloc(size_t count, size_t size)
{
    NEXT(calloc);
    return alloc_fails() ? NULL : next(count, size);
}

void *realloc(void *ptr, size_t size)
{
    NEXT(realloc);
    return alloc_fails() ? NULL : next(ptr, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    NEXT(posix_memalign);
    return alloc_fails() ? ENOMEM : next(out, alignment, size);
}

#define FILE_CALL(type, name, fails, parameters, ...)                                              \
    type name parameters;                                                                          \
    type name parameters                                                                           \
    {                                                                                              \
        NEXT(name);                                                                                \
        return fails(fd) ? -1 : next(__VA_ARGS__);                                                 \
    }

FILE_CALL(ssize_t, read, read_fails, (int fd, void *to, size_t n), fd, to, n)
FILE_CALL(ssize_t, write, file_fails, (int fd, const void *from, size_t n), fd, from, n)
FILE_CALL(ssize_t, pread, read_fails, (int fd, void *to, size_t n, off_t at), fd, to, n, at)
FILE_CALL(ssize_t, pread64, read_fails, (int fd, void *to, size_t n, off64_t at), fd, to, n, at)
FILE_CALL(ssize_t, pwrite, file_fails, (int fd, const void *from, size_t n, off_t at), fd, from, n,
          at)
FILE_CALL(ssize_t, pwrite64, file_fails, (int fd, const void *from, size_t n, off64_t at), fd, from,
          n, at)
FILE_CALL(int, ftruncate, file_fails, (int fd, off_t size), fd, size)
FILE_CALL(int, ftruncate64, file_fails, (int fd, off64_t size), fd, size)
FILE_CALL(int, fsync, file_fails, (int fd), fd)
FILE_CALL(int, fdatasync, file_fails, (int fd), fd)

int clock_gettime(clockid_t which, struct timespec *out)
{
    NEXT(clock_gettime);
    int rc = next(which, out);
    if (control && which == CLOCK_REALTIME) out->tv_sec += atomic_load(&control->ahead_s);
    return rc;
}

#define OPEN_CALL(name)                                                                            \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        NEXT(name);                                                                                \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;                  \
        va_end(args);                                                                              \
        return file_fails(-1) ? -1 : next(path, flags, mode);                                      \
    }

OPEN_CALL(open)
OPEN_CALL(open64)
