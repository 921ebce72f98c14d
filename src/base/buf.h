/* A growable byte buffer with a cap named by its user at every growth. It owns its bytes; an empty
 * one owns nothing, so an idle connection pays for the struct alone. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view of bytes owned by somebody else; not NUL-terminated. */
struct slice {
    const char *ptr;
    size_t len;
};

#define SLICE_LIT(text) ((struct slice){(text), sizeof(text) - 1})

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

/* True iff a holds exactly the bytes of b; of the C string b; but for the case of ASCII. */
bool slice_equal(struct slice a, struct slice b);
bool slice_is(struct slice a, const char *b);
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_is_nocase(struct slice a, const char *b);

/* Without the blanks and tabs around it. */
struct slice slice_trim(struct slice s);

/* A whole number, in digits alone; one that is too large becomes UINT64_MAX. False, and *out is as
 * it was: it is none, or empty. */
bool slice_to_u64(struct slice digits, uint64_t *out);

struct buf {
    uint8_t *data;
    uint32_t len; /* below 4 GiB, and small: a connection has three of these */
    uint32_t cap;
};

/* Frees the bytes and leaves an empty buffer. */
void buf_fini(struct buf *b);

/* Makes room for `more` bytes behind len, so that data[len..len+more) may be written. Capacity at
 * least doubles. ERR_NOMEM (buffer unchanged) if memory is short; ERR_TOO_LONG if len + more would
 * pass max_bytes, or what len can be. */
int buf_reserve(struct buf *b, size_t more, size_t max_bytes);

/* n of the bytes that buf_reserve made room for were written. */
static inline void buf_commit(struct buf *b, size_t n)
{
    b->len += (uint32_t)n;
}

/* buf_reserve, then copies. data may be NULL iff len is 0. Errors as buf_reserve. */
int buf_append(struct buf *b, const void *data, size_t len, size_t max_bytes);

/* Drops all bytes but the first len, of which there are at least so many. */
static inline void buf_truncate(struct buf *b, size_t len)
{
    b->len = (uint32_t)len;
}

/* Drops the first n bytes (n <= len), moving the rest to the front. */
void buf_drop(struct buf *b, size_t n);

#endif
