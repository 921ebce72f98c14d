/* See stamp.h. */
#include "stamp.h"

#include <stdio.h>
#include <string.h>

static const char PAD[] = "abcdefghijklmnopqrstuvwx";
static const char HEX[] = "0123456789abcdef";

enum { AT_ROOM = 10, AT_TALKER = 14, AT_SEQ = 16, AT_TIME = 24, AT_PAD = 40 };

_Static_assert(AT_PAD + sizeof PAD - 1 == STAMP_LEN, "the text fills its length");

static void put_hex(char *out, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i-- > 0; value >>= 4)
        out[i] = HEX[value & 15];
}

/* Only our own digits are read: 0-9 and a-f. Anything else sets *bad. */
static uint64_t get_hex(const char *in, unsigned digits, bool *bad)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < digits; i++) {
        unsigned c = (unsigned char)in[i];
        unsigned low = c - '0', high = c - 'a';
        if (low > 9 && high > 5) *bad = true;
        value = value << 4 | ((low <= 9 ? low : high + 10) & 15);
    }
    return value;
}

void stamp_needle(char *needle, uint32_t run)
{
    memcpy(needle, "~P", 2);
    put_hex(needle + 2, run, 8);
}

void stamp_write(char *out, const char *needle, const struct stamp *s)
{
    memcpy(out, needle, STAMP_NEEDLE_LEN);
    put_hex(out + AT_ROOM, s->room, 4);
    put_hex(out + AT_TALKER, s->talker, 2);
    put_hex(out + AT_SEQ, s->seq, 8);
    put_hex(out + AT_TIME, s->sent_ns, 16);
    memcpy(out + AT_PAD, PAD, sizeof PAD - 1);
}

static bool stands_at(const char *payload, size_t len, size_t offset, const char *needle)
{
    return offset >= 1 && offset + STAMP_LEN < len &&
           memcmp(payload + offset, needle, STAMP_NEEDLE_LEN) == 0 && payload[offset - 1] == '"' &&
           payload[offset + STAMP_LEN] == '"';
}

/* The slow path, once per shape of payload: search, then check the keys around the text. */
static bool find(const char *payload, size_t len, const char *needle, struct stamp_hint *hint)
{
    const char *at = memmem(payload, len, needle, STAMP_NEEDLE_LEN);
    if (!at || len > UINT16_MAX) return false;
    size_t offset = (size_t)(at - payload);
    if (!stands_at(payload, len, offset, needle)) return false;

    bool bad = false;
    char name[16];
    int n = snprintf(name, sizeof name, "\"u%u\"", (unsigned)get_hex(at + AT_TALKER, 2, &bad));
    if (bad || !memmem(payload, len, "\"message\"", 9) ||
        !memmem(payload, len, "\"username\"", 10) || !memmem(payload, len, name, (size_t)n))
        return false;
    *hint = (struct stamp_hint){(uint16_t)offset, (uint16_t)len};
    return true;
}

bool stamp_read(const char *payload, size_t len, const char *needle, struct stamp_hint *hint,
                struct stamp *out)
{
    if ((hint->length != len || !stands_at(payload, len, hint->offset, needle)) &&
        !find(payload, len, needle, hint))
        return false;

    const char *text = payload + hint->offset;
    bool bad = memcmp(text + AT_PAD, PAD, sizeof PAD - 1) != 0;
    out->room = (uint32_t)get_hex(text + AT_ROOM, 4, &bad);
    out->talker = (uint32_t)get_hex(text + AT_TALKER, 2, &bad);
    out->seq = (uint32_t)get_hex(text + AT_SEQ, 8, &bad);
    out->sent_ns = get_hex(text + AT_TIME, 16, &bad);
    return !bad;
}

void track_arrival(struct track *t, uint32_t seq, struct verdict *v)
{
    if (seq >= t->next) {
        uint32_t gap = seq - t->next;
        v->lost += gap;
        v->arrived++;
        t->seen = (gap + 1 < 64 ? t->seen << (gap + 1) : 0) | 1;
        t->next = seq + 1;
        return;
    }
    uint32_t back = t->next - 1 - seq;
    if (back < 64 && !(t->seen >> back & 1)) {
        t->seen |= UINT64_C(1) << back;
        v->lost--;
        v->arrived++;
        v->out_of_order++;
        return;
    }
    v->duplicated++;
}

void track_end(const struct track *t, uint32_t sent, struct verdict *v)
{
    if (sent > t->next) v->lost += sent - t->next;
}
