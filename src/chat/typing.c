/* See typing.h. */
#include "chat/typing.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static struct typist *typist_find(struct typing *t, const struct member *m)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->typists[i].member == m) return &t->typists[i];
    return NULL;
}

bool typing_note(struct typing **t, const struct member *m, struct slice name, bool on)
{
    CHECK(name.len > 0 && name.len <= NAME_USER_MAX);
    bool first = !*t;
    if (first) *t = calloc(1, sizeof **t);
    if (!*t) return false;
    struct typist *to = typist_find(*t, m);
    if (!to && (*t)->count == TYPING_TOLD_MAX) return false;
    if (!to) to = &(*t)->typists[(*t)->count++];
    *to = (struct typist){.member = m, .on = on, .len = (uint8_t)name.len};
    memcpy(to->name, name.ptr, name.len);
    return first;
}

void typing_forget(struct typing *t, const struct member *m)
{
    struct typist *gone = t ? typist_find(t, m) : NULL;
    if (!gone) return;
    struct typist *end = t->typists + t->count--;
    memmove(gone, gone + 1, (size_t)(end - gone - 1) * sizeof *gone);
}

bool typing_take(struct typing **t, struct typing *news)
{
    if (!*t) return false;
    if ((*t)->count == 0) {
        free(*t);
        *t = NULL;
        return false;
    }
    *news = **t;
    (*t)->count = 0;
    return true;
}
