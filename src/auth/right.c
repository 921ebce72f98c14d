/* See right.h. */
#include "auth/right.h"

#include <stddef.h>

static const char *const words[] = {
#define X(symbol, word) [symbol] = (word),
    RIGHT_TABLE(X)
#undef X
};

const char *right_word(enum right right)
{
    return words[right];
}

bool right_find(struct slice word, enum right *out)
{
    for (size_t i = 0; i < RIGHT_COUNT; i++) {
        if (!slice_is(word, words[i])) continue;
        *out = (enum right)i;
        return true;
    }
    return false;
}

bool right_acts_on(enum right own, enum right theirs)
{
    return theirs < own;
}

bool right_grants(enum right own, enum right given)
{
    return given < own || own == RIGHT_OWN;
}
