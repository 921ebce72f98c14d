/* See policy.h. */
#include "auth/policy.h"

#include "auth/claims.h"
#include "auth/control.h"
#include "auth/identity.h"
#include "auth/rights.h"
#include "auth/room_rules.h"
#include "base/err.h"

const char *policy_word(enum action action)
{
    static const char *const words[] = {
#define X(symbol, word, right) [symbol] = (word),
        ACTION_TABLE(X)
#undef X
    };
    return words[action];
}

enum right policy_right(enum action action)
{
    static const enum right rights[] = {
#define X(symbol, word, right) [symbol] = (right),
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

/* claims: of the token, or NULL. If they name rooms, only a role counts beside them. */
static struct rights_verdict decide(const struct policy *p, struct slice user,
                                    const struct claims *claims, struct slice room)
{
    struct room_settings settings;
    bool signed_in = user.len > 0 && !claims_is_guest(user);
    struct rights_question q = {.room = room, .signed_in = signed_in, .settings = &settings};
    if (p->control) q.has_role = control_role(p->control, room, user, &q.role);
    if (claims && claims->has_rooms) {
        q.has_rooms = true;
        q.rooms = claims->rooms;
        q.room_count = claims->room_count;
    } else {
        room_rules_settings(p->rules, room, &settings);
        if (p->control) control_settings(p->control, room, &settings);
    }
    return rights_decide(&q);
}

bool policy_is_revoked(const struct policy *p, const struct identity *who)
{
    return p->control && control_is_revoked(p->control, who);
}

enum right policy_right_in(const struct policy *p, const struct identity *who, struct slice room)
{
    if (who->source == IDENTITY_API) return RIGHT_OWN;
    return decide(p, identity_user(who), who->claims, room).right;
}

void policy_explain(const struct policy *p, struct slice user, struct slice room,
                    struct rights_verdict *out)
{
    *out = decide(p, user, NULL, room);
}

/* What somebody is told who has this right, which is too little for that. */
static int lacks_right(enum right right, enum action action)
{
    bool writes = policy_right(action) == RIGHT_WRITE;
    return writes && right == RIGHT_READ ? ERR_READ_ONLY : ERR_NO_RIGHT;
}

int may(const struct policy *p, const struct identity *who, enum action action, struct slice room,
        const struct author *author)
{
    if (who->source == IDENTITY_API) return 0;
    enum right right = policy_right_in(p, who, room);
    if (right < policy_right(action)) return lacks_right(right, action);
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
