/* See event.h. */
#include "base/event.h"

#include "base/ascii.h"

const struct event_kind event_kinds[] = {
#define X(symbol, word, text, action) {word, text},
    EVENT_KIND_TABLE(X)
#undef X
};

int event_kind_find(struct slice word)
{
    for (size_t i = 0; i < sizeof event_kinds / sizeof *event_kinds; i++)
        if (slice_is(word, event_kinds[i].word)) return (int)i;
    return -1;
}

bool event_epoch_is_valid(const char *epoch)
{
    for (int i = 0; i < EVENT_EPOCH_LEN; i++)
        if (!ascii_is_digit(epoch[i]) && !(epoch[i] >= 'a' && epoch[i] <= 'z')) return false;
    return true;
}
