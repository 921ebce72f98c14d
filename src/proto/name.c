/* See name.h. */
#include "proto/name.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "proto/http.h"
#include "proto/look.h"

enum {
    UTF8_MAX_BYTES = 4,
    CLEANED_MAX = 4 * NAME_USER_MAX /* of a name whose invisible characters are gone, untrimmed */
};

static_assert((int)LOOK_MAX >= (int)NAME_USER_MAX, "every name can be looked at");

/* True if valid UTF-8 holds U+0000-001F or U+007F-009F. In valid UTF-8 the byte C2 is always the
 * first of two, so the pair C2 80..9F is what it seems. */
bool name_has_control(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 || c == 0x7F) return true;
        if (c == 0xC2 && i + 1 < s.len && (unsigned char)s.ptr[i + 1] <= 0x9F) return true;
    }
    return false;
}

int name_room_check(struct slice name)
{
    if (name.len == 0 || name.len > NAME_ROOM_MAX || memchr(name.ptr, '/', name.len) ||
        slice_is(name, ".") || slice_is(name, "..") || !utf8_valid(name.ptr, name.len) ||
        name_has_control(name))
        return ERR_BAD_ROOM;
    return 0;
}

int name_room_decode(struct slice raw_segment, char out[static NAME_ROOM_MAX], size_t *len)
{
    if (http_percent_decode(raw_segment, false, out, NAME_ROOM_MAX, len)) return ERR_BAD_ROOM;
    return name_room_check((struct slice){out, *len});
}

/* The property White_Space of Unicode 15. */
static bool is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* What is not white space by name, but by its looks: the Braille pattern without a dot. */
static bool is_blank(uint32_t c)
{
    return is_space(c) || c == 0x2800;
}

/* Reads the code point of n bytes of valid UTF-8; one that is longer than 3 bytes is no space and
 * reads as 0. */
static uint32_t code_of(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n == 1) return u[0];
    if (n == 2) return (uint32_t)(u[0] & 0x1F) << 6 | (u[1] & 0x3F);
    if (n == 3) return (uint32_t)(u[0] & 0x0F) << 12 | (uint32_t)(u[1] & 0x3F) << 6 | (u[2] & 0x3F);
    return 0;
}

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Bytes of the code point that s starts with, or ends with. */
static size_t first_size(struct slice s)
{
    size_t n = 1;
    while (n < s.len && n < UTF8_MAX_BYTES && is_tail(s.ptr[n]))
        n++;
    return n;
}

static size_t last_size(struct slice s)
{
    size_t n = 1;
    while (n < s.len && n < UTF8_MAX_BYTES && is_tail(s.ptr[s.len - n]))
        n++;
    return n;
}

static struct slice trim(struct slice s)
{
    while (s.len > 0) {
        size_t n = first_size(s);
        if (!is_blank(code_of(s.ptr, n))) break;
        s.ptr += n;
        s.len -= n;
    }
    while (s.len > 0) {
        size_t n = last_size(s);
        if (!is_blank(code_of(s.ptr + s.len - n, n))) break;
        s.len -= n;
    }
    return s;
}

/* Control characters, and those that end a line or a paragraph: E2 80 A8 and A9, which in valid
 * UTF-8 begin nowhere else. */
static bool breaks_line(struct slice s)
{
    return name_has_control(s) || memmem(s.ptr, s.len, "\xe2\x80\xa8", 3) ||
           memmem(s.ptr, s.len, "\xe2\x80\xa9", 3);
}

static bool is_ascii(struct slice s)
{
    unsigned char all = 0;
    for (size_t i = 0; i < s.len; i++)
        all |= (unsigned char)s.ptr[i];
    return all <= 0x7F;
}

int name_user_clean(struct slice in, char out[static NAME_USER_MAX], struct slice *name)
{
    char seen[CLEANED_MAX];
    struct slice got = trim(in);
    if (!is_ascii(got)) {
        struct slice stripped = {seen, 0};
        if (look_strip(got, seen, sizeof seen, &stripped.len) != 0) return ERR_BAD_USERNAME;
        if (stripped.len < got.len) got = trim(stripped);
        if (look_is_marks(got)) return ERR_BAD_USERNAME;
    }
    if (got.len == 0 || got.len > NAME_USER_MAX || breaks_line(got) || look_is_system(got))
        return ERR_BAD_USERNAME;
    *name = got;
    if (got.ptr < seen || got.ptr >= seen + sizeof seen) return 0;
    memcpy(out, got.ptr, got.len);
    name->ptr = out;
    return 0;
}

bool name_is_word(struct slice text)
{
    if (text.len == 0 || name_has_control(text)) return false;
    while (text.len > 0) {
        size_t n = first_size(text);
        if (is_space(code_of(text.ptr, n))) return false;
        text.ptr += n;
        text.len -= n;
    }
    return true;
}
