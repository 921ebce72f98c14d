/* See utf8.h. Chat text is mostly ASCII, so runs of it are skipped a word at a time; the rest goes
 * byte by byte. All special cases of RFC 3629 section 4 are limits on the second byte of a code
 * point, so a range for the next byte is all the state it takes, and no table. */
#include "base/utf8.h"

#include <string.h>

enum { CONTINUATION_MIN = 0x80, CONTINUATION_MAX = 0xBF };

static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
    uint64_t word;
    while ((size_t)(end - p) >= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        if (word & UINT64_C(0x8080808080808080)) break;
        p += sizeof(word);
    }
    while (p < end && *p < 0x80)
        p++;
    return p;
}

/* Opens a code point at its first byte, which is not ASCII. */
static bool utf8_begin(struct utf8 *u, uint8_t c)
{
    if (c < 0xC2 || c > 0xF4) return false; /* continuation, overlong, or over U+10FFFF */
    u->lo = CONTINUATION_MIN;
    u->hi = CONTINUATION_MAX;
    if (c < 0xE0) {
        u->left = 1;
    } else if (c < 0xF0) {
        u->left = 2;
        if (c == 0xE0) u->lo = 0xA0; /* below: overlong */
        if (c == 0xED) u->hi = 0x9F; /* above: surrogates */
    } else {
        u->left = 3;
        if (c == 0xF0) u->lo = 0x90; /* below: overlong */
        if (c == 0xF4) u->hi = 0x8F; /* above: over U+10FFFF */
    }
    return true;
}

bool utf8_feed(struct utf8 *u, const uint8_t *p, size_t n)
{
    if (!n) return true;
    struct utf8 s = *u;
    const uint8_t *end = p + n;
    while (p < end) {
        if (!s.left) {
            p = skip_ascii(p, end);
            if (p == end) break;
            if (!utf8_begin(&s, *p++)) return false;
            continue;
        }
        uint8_t c = *p++;
        if (c < s.lo || c > s.hi) return false;
        s.lo = CONTINUATION_MIN;
        s.hi = CONTINUATION_MAX;
        s.left--;
    }
    *u = s;
    return true;
}

bool utf8_complete(const struct utf8 *u)
{
    return u->left == 0;
}

bool utf8_valid(const void *p, size_t n)
{
    struct utf8 u = {0};
    return utf8_feed(&u, p, n) && utf8_complete(&u);
}
