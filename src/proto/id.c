/* See id.h. One text for one id, so that two ids are the same iff their texts are: no leading zero,
 * no sign, no upper case. */
#include "proto/id.h"

#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

enum { SEQ_DIGITS_MAX = ID_TEXT_MAX - EVENT_EPOCH_LEN - 1 };

static int read_seq(const char *p, size_t n, uint64_t *out)
{
    if (n == 0 || n > SEQ_DIGITS_MAX || (p[0] == '0' && n > 1)) return ERR_BAD_ID;
    return slice_to_u64((struct slice){p, n}, out) && *out <= ID_SEQ_MAX ? 0 : ERR_BAD_ID;
}

int id_parse(struct slice text, struct id *out)
{
    if (text.len <= EVENT_EPOCH_LEN || text.ptr[EVENT_EPOCH_LEN] != '-' ||
        !event_epoch_is_valid(text.ptr))
        return ERR_BAD_ID;
    const size_t prefix = EVENT_EPOCH_LEN + 1;
    uint64_t seq;
    int err = read_seq(text.ptr + prefix, text.len - prefix, &seq);
    if (err) return err;
    memcpy(out->epoch, text.ptr, EVENT_EPOCH_LEN);
    out->seq = seq;
    return 0;
}

size_t id_write(const struct id *id, char out[static ID_TEXT_MAX])
{
    CHECK(id->seq <= ID_SEQ_MAX);
    DCHECK(event_epoch_is_valid(id->epoch));
    char digits[SEQ_DIGITS_MAX];
    size_t at = sizeof(digits);
    uint64_t seq = id->seq;
    do {
        digits[--at] = (char)('0' + seq % 10);
        seq /= 10;
    } while (seq);
    memcpy(out, id->epoch, EVENT_EPOCH_LEN);
    out[EVENT_EPOCH_LEN] = '-';
    size_t n = sizeof(digits) - at;
    memcpy(out + EVENT_EPOCH_LEN + 1, digits + at, n);
    return EVENT_EPOCH_LEN + 1 + n;
}
