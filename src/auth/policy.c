/* See policy.h. Today rooms have no rules of their own: what counts is who said what. */
#include "auth/policy.h"

#include "auth/identity.h"
#include "base/err.h"

enum right policy_right(enum action action)
{
    static const enum right rights[] = {
#define X(symbol, right) [symbol] = (right),
        ACTION_TABLE(X)
#undef X
    };
    return rights[action];
}

enum action policy_action(enum store_kind kind)
{
    static const enum action actions[] = {
#define X(symbol, word, text, action) action,
        EVENT_KIND_TABLE(X)
#undef X
    };
    return actions[kind];
}

static bool is_author(const struct identity *who, const struct author *author)
{
    struct slice user = identity_user(who);
    struct slice name = identity_name(who);
    if (!author || user.len != author->user.len) return false;
    if (user.len > 0) return slice_equal(user, author->user);
    return name.len > 0 && slice_equal(name, author->name);
}

int may(const struct identity *who, enum action action, struct slice room,
        const struct author *author)
{
    (void)room;
    if (who->source == IDENTITY_API) return 0;
    if (policy_right(action) >= RIGHT_MODERATE) return ERR_FORBIDDEN; /* which nobody has yet */
    switch (action) {
    case ACTION_EDIT:
    case ACTION_DELETE:
        return is_author(who, author) ? 0 : ERR_FORBIDDEN;
    case ACTION_MARK: /* nobody would ever come back for that of a guest without a name */
        return who->chosen ? 0 : ERR_UNAUTHORIZED;
    default:
        return 0;
    }
}
