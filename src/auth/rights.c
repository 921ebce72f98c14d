/* See rights.h. */
#include "auth/rights.h"

#include "auth/pattern.h"
#include "auth/room_rules.h"

static const char *const reason_words[] = {
#define X(symbol, word, text) [symbol] = (word),
    RIGHTS_REASONS(X)
#undef X
};

static const char *const reason_texts[] = {
#define X(symbol, word, text) [symbol] = (text),
    RIGHTS_REASONS(X)
#undef X
};

const char *rights_reason_word(enum rights_reason reason)
{
    return reason_words[reason];
}

const char *rights_reason_text(enum rights_reason reason)
{
    return reason_texts[reason];
}

static struct rights_verdict by_token(const struct rights_question *q)
{
    const struct room_right *best = pattern_best(q->rooms, q->room_count, q->room);
    if (!best) return (struct rights_verdict){RIGHT_NONE, RIGHTS_NOT_IN_TOKEN, {NULL, 0}};
    return (struct rights_verdict){best->right, RIGHTS_BY_TOKEN, best->pattern};
}

static struct rights_verdict by_settings(const struct rights_question *q)
{
    enum room_setting setting = q->signed_in ? ROOM_ACCESS_SIGNED_IN : ROOM_ACCESS_GUESTS;
    const struct room_right *access = &q->settings->access[setting];
    bool stated = access->pattern.len > 0;
    return (struct rights_verdict){access->right, stated ? RIGHTS_BY_SETTING : RIGHTS_BY_DEFAULT,
                                   access->pattern};
}

struct rights_verdict rights_decide(const struct rights_question *q)
{
    struct rights_verdict v = q->has_rooms ? by_token(q) : by_settings(q);
    bool decides = q->has_role && (q->role == RIGHT_NONE || q->role > v.right);
    return decides ? (struct rights_verdict){q->role, RIGHTS_BY_ROLE, {NULL, 0}} : v;
}
