/* See fail_alloc.h. Counters are atomic because some suites run threads. */
#include "fail_alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static atomic_long left = -1; /* below 0: off */
static atomic_long live;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
void __real_free(void *ptr);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void __wrap_free(void *ptr);

void fail_alloc_after(long n)
{
    atomic_store(&left, n);
}

void fail_alloc_off(void)
{
    atomic_store(&left, -1);
}

long fail_alloc_live(void)
{
    return atomic_load(&live);
}

static bool must_fail(void)
{
    long n = atomic_load(&left);
    if (n < 0) return false;
    if (n == 0) return true;
    atomic_store(&left, n - 1);
    return false;
}

static void *counted(void *ptr)
{
    if (ptr) atomic_fetch_add(&live, 1);
    return ptr;
}

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *ptr, size_t size)
{
    if (must_fail()) return NULL;
    void *out = __real_realloc(ptr, size);
    return ptr ? out : counted(out);
}

void __wrap_free(void *ptr)
{
    if (ptr) atomic_fetch_sub(&live, 1);
    __real_free(ptr);
}
