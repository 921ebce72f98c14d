/* See look.h.
 *
 * Two strings look the same if their skeletons are equal (TS 39 section 4), but a skeleton knows
 * nothing of upper and lower case, and letters of one case are confused with others than those of
 * the other case: the Cyrillic small te is a small capital, the capital is a T. So a name is looked
 * at twice, its case folded before and after, and without what stands around it. What is left of
 * either is compared letter by letter in struct read_marker, where the few small capitals that have
 * no skeleton in ASCII, marks and spaces do not count. */
#include "proto/look.h"

#include <pthread.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uspoof.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#include "base/ascii.h"
#include "base/err.h"

enum {
    UNITS_MAX = 2048, /* of a skeleton, UTF-16; one that is longer is not that of "system" */
    ZWNJ = 0x200C,
    ZWJ = 0x200D,
    TEXT_STYLE = 0xFE0E, /* variation selectors of emoji */
    EMOJI_STYLE = 0xFE0F,
    KEYCAP = 0x20E3,
    VIRAMA = 9, /* canonical combining class */
    NONE = -1   /* no character */
};

/* ICU has no object of the process for this one, as it has for normalization. Set once. */
static struct {
    pthread_once_t once;
    const USpoofChecker *spoof;
    const UNormalizer2 *fold; /* NFKC and case folding, without what is ignorable */
} tables = {.once = PTHREAD_ONCE_INIT};

static void open_tables(void)
{
    UErrorCode err = U_ZERO_ERROR;
    const USpoofChecker *spoof = uspoof_open(&err);
    tables.fold = unorm2_getNFKCCasefoldInstance(&err);
    if (U_SUCCESS(err)) tables.spoof = spoof;
}

int look_init(void)
{
    (void)pthread_once(&tables.once, open_tables);
    return tables.spoof ? 0 : ERR_NOMEM;
}

/* ---- what is not seen ---- */

static bool is_invisible(UChar32 c)
{
    if (u_charType(c) == U_FORMAT_CHAR) /* of these only signs of numbers are seen */
        return !u_hasBinaryProperty(c, UCHAR_PREPENDED_CONCATENATION_MARK);
    bool object = c == 0xFFFC;    /* stands for one that is not there; not ignorable */
    bool filler = c == 0x16FE4;   /* of Khitan */
    bool notehead = c == 0x1D159; /* the one that is empty */
    return object || filler || notehead ||
           u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT);
}

/* The character at a place, NONE at the end. Of what is no UTF-8 it makes something, but no step
 * beyond the end. */
static UChar32 char_at(struct slice s, size_t at, size_t *size)
{
    static const uint8_t masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    const uint8_t *p = (const uint8_t *)s.ptr + at;
    *size = 0;
    if (at >= s.len) return NONE;
    size_t n = 1;
    while (n < U8_MAX_LENGTH && at + n < s.len && U8_IS_TRAIL(p[n]))
        n++;
    UChar32 c = p[0] & masks[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3F);
    *size = n;
    return c;
}

/* The character that ends at *at, which moves to its beginning; NONE at the start. */
static UChar32 char_before(struct slice s, size_t *at)
{
    size_t end = *at;
    size_t size;
    if (end == 0) return NONE;
    do
        (*at)--;
    while (*at > 0 && end - *at < U8_MAX_LENGTH && U8_IS_TRAIL((uint8_t)s.ptr[*at]));
    return char_at(s, *at, &size);
}

static int joining(UChar32 c)
{
    return u_getIntPropertyValue(c, UCHAR_JOINING_TYPE);
}

/* UAX 31, context A1: a letter that joins to what follows, one that joins to what was before, and
 * marks between them. */
static bool parts_letters(struct slice before, struct slice after)
{
    size_t at = before.len;
    UChar32 c;
    do
        c = char_before(before, &at);
    while (c != NONE && joining(c) == U_JT_TRANSPARENT);
    if (c == NONE || (joining(c) != U_JT_DUAL_JOINING && joining(c) != U_JT_LEFT_JOINING))
        return false;
    size_t size;
    for (at = 0; (c = char_at(after, at, &size)) != NONE; at += size)
        if (joining(c) != U_JT_TRANSPARENT) break;
    return c != NONE && (joining(c) == U_JT_DUAL_JOINING || joining(c) == U_JT_RIGHT_JOINING);
}

static bool is_pictograph(UChar32 c)
{
    return c != NONE && u_hasBinaryProperty(c, UCHAR_EXTENDED_PICTOGRAPHIC);
}

/* A joiner is seen by what it does to its neighbours. before: what was kept so far. */
static bool joiner_is_seen(UChar32 c, struct slice before, struct slice after)
{
    size_t at = before.len;
    UChar32 last = char_before(before, &at);
    size_t size;
    UChar32 next = char_at(after, 0, &size);
    if (last == NONE) return false;
    if (u_getCombiningClass(last) == VIRAMA) return true;
    if (u_isalpha(last) && next != NONE && u_getCombiningClass(next) == VIRAMA) return true;
    if (c == ZWNJ) return parts_letters(before, after);
    if (last == EMOJI_STYLE) last = char_before(before, &at);
    bool emoji =
        is_pictograph(last) || (last != NONE && u_hasBinaryProperty(last, UCHAR_EMOJI_MODIFIER));
    return emoji && is_pictograph(next);
}

static bool style_is_seen(struct slice before, struct slice after)
{
    size_t at = before.len;
    UChar32 last = char_before(before, &at);
    if (last == NONE || !u_hasBinaryProperty(last, UCHAR_EMOJI)) return false;
    size_t size;
    return last > 0x7F || char_at(after, 0, &size) == KEYCAP; /* digits are emoji, too */
}

static bool is_seen(UChar32 c, struct slice before, struct slice after)
{
    if (!is_invisible(c)) return true;
    if (c == ZWJ || c == ZWNJ) return joiner_is_seen(c, before, after);
    return (c == EMOJI_STYLE || c == TEXT_STYLE) && style_is_seen(before, after);
}

int look_strip(struct slice text, char *out, size_t max, size_t *len)
{
    size_t kept = 0;
    size_t size;
    for (size_t at = 0; at < text.len; at += size) {
        UChar32 c = char_at(text, at, &size);
        const struct slice before = {out, kept};
        const struct slice after = {text.ptr + at + size, text.len - at - size};
        if (is_seen(c, before, after)) {
            if (size > max - kept) return ERR_TOO_LONG;
            for (size_t i = 0; i < size; i++)
                out[kept++] = text.ptr[at + i];
        }
    }
    *len = kept;
    return 0;
}

/* ---- what reads as "system" ---- */

/* "system" as far as it was read, letter by letter; "m" is "rn" to the eye, and so in skeletons. */
struct read_marker {
    const char *left; /* NULL: it is something else */
};

static void read_one(struct read_marker *r, UChar32 c)
{
    if (!r->left) return;
    if (*r->left && *r->left == c)
        r->left++;
    else
        r->left = NULL;
}

static void read_letter(struct read_marker *r, UChar32 c)
{
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    if (c == 'm') {
        read_one(r, 'r');
        c = 'n';
    }
    read_one(r, c);
}

static struct read_marker reading_start(void)
{
    return (struct read_marker){"systern"};
}

static bool reading_done(const struct read_marker *r)
{
    return r->left && *r->left == '\0';
}

enum { ALPHABET = 26 };

/* Letters that Unicode has as symbols, each from A to Z: in parentheses, circles and squares, and
 * those that flags are made of, where there are no flags. */
static const UChar32 alphabets[] = {
    0x249C, 0x24B6, 0x24D0, 0x1F110, 0x1F130, 0x1F150, 0x1F170, 0x1F1E6,
};

/* Letters that a skeleton leaves as they are: those, small capitals, and lunate epsilon. */
static UChar32 plain_letter(UChar32 c)
{
    for (size_t i = 0; i < sizeof alphabets / sizeof alphabets[0]; i++)
        if (c >= alphabets[i] && c < alphabets[i] + ALPHABET) return 'a' + (c - alphabets[i]);
    switch (c) {
    case 0x1D1B:
        return 't';
    case 0x1D0D:
    case 0x028D:
        return 'm';
    case 0x1D07:
    case 0xA793:
        return 'e';
    default:
        return c;
    }
}

struct units {
    UChar text[UNITS_MAX];
    int32_t len;
};

/* The character at *at, which moves behind it. ICU wrote them: each lead has its trail. */
static UChar32 next_char(const struct units *u, int32_t *at)
{
    UChar unit = u->text[(*at)++];
    if (!U16_IS_LEAD(unit) || *at == u->len) return unit;
    return U16_GET_SUPPLEMENTARY(unit, u->text[(*at)++]);
}

static bool is_letter_or_digit(UChar32 c)
{
    return (U_GET_GC_MASK(c) & (U_GC_L_MASK | U_GC_N_MASK)) != 0;
}

static bool is_mark(UChar32 c)
{
    return (U_GET_GC_MASK(c) & U_GC_M_MASK) != 0;
}

/* Makes letters of symbols that are some, and leaves away marks and what stands before the first
 * and behind the last letter or digit. Before anything else: what stands there may look like a
 * letter, and a mark with a width of its own like a colon. */
static void unadorn(struct units *u)
{
    int32_t kept = 0;
    int32_t end = 0;
    for (int32_t i = 0; i < u->len;) {
        int32_t at = i;
        UChar32 c = plain_letter(next_char(u, &i));
        bool counts = is_letter_or_digit(c);
        if (is_mark(c) || (!counts && kept == 0)) continue;
        if (c <= 0xFFFF)
            u->text[kept++] = (UChar)c;
        else
            while (at < i)
                u->text[kept++] = u->text[at++];
        if (counts) end = kept;
    }
    u->len = end;
}

static bool reads_system(const struct units *u)
{
    struct read_marker r = reading_start();
    for (int32_t i = 0; i < u->len && r.left;) {
        UChar32 c = next_char(u, &i);
        if (!is_mark(c) && !u_isUWhiteSpace(c)) read_letter(&r, plain_letter(c));
    }
    return reading_done(&r);
}

static void fold(const struct units *in, struct units *out, UErrorCode *err)
{
    out->len = unorm2_normalize(tables.fold, in->text, in->len, out->text, UNITS_MAX, err);
}

static void skeleton(const struct units *in, struct units *out, UErrorCode *err)
{
    out->len = uspoof_getSkeleton(tables.spoof, 0, in->text, in->len, out->text, UNITS_MAX, err);
}

static bool looks_like_system(struct slice text)
{
    struct units name;
    struct units a;
    struct units b;
    UErrorCode err = U_ZERO_ERROR;
    if (look_init() != 0) return false;
    u_strFromUTF8(name.text, UNITS_MAX, &name.len, text.ptr, (int32_t)text.len, &err);
    if (U_FAILURE(err)) return false; /* no UTF-8: it never gets here from a socket */
    unadorn(&name);
    fold(&name, &a, &err);
    skeleton(&a, &b, &err);
    if (U_SUCCESS(err) && reads_system(&b)) return true;
    err = U_ZERO_ERROR;
    skeleton(&name, &a, &err);
    fold(&a, &b, &err);
    return U_SUCCESS(err) && reads_system(&b);
}

bool look_is_system(struct slice text)
{
    struct read_marker r = reading_start();
    bool begun = false;
    bool parted = false; /* by what does not count before the first letter and behind the last */
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c > 0x7F) return looks_like_system(text);
        if (!ascii_is_alnum((char)c)) {
            parted = parted || (begun && c != ' ');
            continue;
        }
        begun = true;
        if (parted) r.left = NULL;
        read_letter(&r, c);
    }
    return reading_done(&r);
}

bool look_is_marks(struct slice text)
{
    size_t size;
    for (size_t at = 0; at < text.len; at += size) {
        UChar32 c = char_at(text, at, &size);
        bool counts = !is_mark(c) && u_charType(c) != U_FORMAT_CHAR;
        if (counts && !u_isUWhiteSpace(c)) return false;
    }
    return true;
}
