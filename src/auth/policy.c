/* See policy.h. Rooms have no rules of their own yet: what counts is what a token says of them, and
 * who said what. */
#include "auth/policy.h"

#include "auth/identity.h"
#include "auth/jwt.h"
#include "auth/rights.h"
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
    return author && user.len > 0 && slice_equal(user, author->user);
}

/* Everybody may write where no token says anything else. */
static enum right right_in(const struct identity *who, struct slice room)
{
    const struct jwt_claims *claims = who->claims;
    if (!claims || !claims->has_rooms) return RIGHT_WRITE;
    const struct rights_question q = {.room = room,
                                      .signed_in = true,
                                      .has_rooms = true,
                                      .rooms = claims->rooms,
                                      .room_count = claims->room_count};
    return rights_decide(&q).right;
}

int may(const struct identity *who, enum action action, struct slice room,
        const struct author *author)
{
    if (who->source == IDENTITY_API) return 0;
    if (right_in(who, room) < policy_right(action)) return ERR_NO_RIGHT;
    switch (action) {
    case ACTION_EDIT:
    case ACTION_DELETE:
        return is_author(who, author) ? 0 : ERR_FORBIDDEN;
    case ACTION_MARK: /* nobody would ever come back for that of a guest without a key */
        return identity_user(who).len > 0 ? 0 : ERR_UNAUTHORIZED;
    default: /* the right is all that it takes */
        return 0;
    }
}
