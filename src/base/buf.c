/* See buf.h. */
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "base/check.h"
#include "base/err.h"

enum { BUF_MIN_CAP = 64 };

bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool slice_is(struct slice a, const char *b)
{
    return slice_equal(a, slice_of(b));
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

bool slice_is_nocase(struct slice a, const char *b)
{
    return slice_equal_nocase(a, slice_of(b));
}

struct slice slice_trim(struct slice s)
{
    for (; s.len > 0 && ascii_is_blank(s.ptr[0]); s.len--)
        s.ptr++;
    while (s.len > 0 && ascii_is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool slice_to_u64(struct slice digits, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.len; i++) {
        unsigned digit = (unsigned char)digits.ptr[i] - (unsigned)'0';
        if (digit > 9) return false;
        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
    }
    if (digits.len == 0) return false;
    *out = n;
    return true;
}

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

int buf_reserve(struct buf *b, size_t more, size_t max_bytes)
{
    DCHECK(b->len <= b->cap);
    if (max_bytes > UINT32_MAX) max_bytes = UINT32_MAX;
    if (b->len > max_bytes || more > max_bytes - b->len) return ERR_TOO_LONG;
    size_t need = b->len + more;
    if (need <= b->cap) return 0;

    size_t cap = b->cap < BUF_MIN_CAP / 2 ? BUF_MIN_CAP : (size_t)b->cap * 2;
    if (cap > max_bytes) cap = max_bytes;
    if (cap < need) cap = need;
    uint8_t *data = realloc(b->data, cap);
    if (!data) return ERR_NOMEM;
    b->data = data;
    b->cap = (uint32_t)cap;
    return 0;
}

int buf_append(struct buf *b, const void *data, size_t len, size_t max_bytes)
{
    int err = buf_reserve(b, len, max_bytes);
    if (err) return err;
    if (len) memcpy(b->data + b->len, data, len);
    buf_commit(b, len);
    return 0;
}

void buf_drop(struct buf *b, size_t n)
{
    DCHECK(n <= b->len);
    buf_truncate(b, b->len - n);
    if (b->len) memmove(b->data, b->data + n, b->len);
}
