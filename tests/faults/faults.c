/* A library for LD_PRELOAD that lets the n-th allocation, or the n-th use of a file, of the whole
 * process fail: OpenSSL's, SQLite's and zlib's as well as our own. For tests/e2e/faults.test.js,
 * which drives the real server with it; never shipped.
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
#include <unistd.h>

/* In the order in which the test writes and reads it, 8 bytes each. */
struct control {
    _Atomic int64_t allocs; /* the allocation that fails: 0 is the next; below 0: none */
    _Atomic int64_t files;  /* the same of uses of files */
    _Atomic int64_t sticky; /* all that follow fail, too */
    _Atomic int64_t error;  /* errno of files */
    _Atomic int64_t hits;   /* failures so far */
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

static bool file_fails(int fd)
{
    struct stat st;
    if (!control || atomic_load(&control->files) < 0) return false;
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) return false;
    if (!hits(&control->files)) return false;
    errno = (int)atomic_load(&control->error);
    return true;
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

#define FILE_CALL(type, name, parameters, ...)                                                     \
    type name parameters;                                                                          \
    type name parameters                                                                           \
    {                                                                                              \
        NEXT(name);                                                                                \
        return file_fails(fd) ? -1 : next(__VA_ARGS__);                                            \
    }

FILE_CALL(ssize_t, read, (int fd, void *to, size_t n), fd, to, n)
FILE_CALL(ssize_t, write, (int fd, const void *from, size_t n), fd, from, n)
FILE_CALL(ssize_t, pread, (int fd, void *to, size_t n, off_t at), fd, to, n, at)
FILE_CALL(ssize_t, pread64, (int fd, void *to, size_t n, off64_t at), fd, to, n, at)
FILE_CALL(ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), fd, from, n, at)
FILE_CALL(ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), fd, from, n, at)
FILE_CALL(int, ftruncate, (int fd, off_t size), fd, size)
FILE_CALL(int, ftruncate64, (int fd, off64_t size), fd, size)
FILE_CALL(int, fsync, (int fd), fd)
FILE_CALL(int, fdatasync, (int fd), fd)

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
