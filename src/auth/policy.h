/* What somebody may do. The one judge: whoever joins (and so reads), publishes, changes or marks
 * asks here, by whatever door it came; the API also for each of its calls. Any thread. */
#ifndef AUTH_POLICY_H
#define AUTH_POLICY_H

#include "auth/right.h"
#include "store/store.h"

struct identity;

/* The one table of what can be done in a room. X(symbol, the right that it takes there). What
 * changes a message is for its author; a moderator removes. */
#define ACTION_TABLE(X)                                                                            \
    X(ACTION_JOIN, RIGHT_READ)                                                                     \
    X(ACTION_HISTORY, RIGHT_READ)                                                                  \
    X(ACTION_SEARCH, RIGHT_READ)                                                                   \
    X(ACTION_WHO, RIGHT_READ)  /* see who is there */                                              \
    X(ACTION_MARK, RIGHT_READ) /* keep a read marker */                                            \
    X(ACTION_DELETE, RIGHT_READ)                                                                   \
    X(ACTION_PUBLISH, RIGHT_WRITE)                                                                 \
    X(ACTION_EDIT, RIGHT_WRITE)                                                                    \
    X(ACTION_REACT, RIGHT_WRITE)                                                                   \
    X(ACTION_TYPE, RIGHT_WRITE) /* be shown as typing */                                           \
    X(ACTION_KICK, RIGHT_MODERATE)                                                                 \
    X(ACTION_MUTE, RIGHT_MODERATE)                                                                 \
    X(ACTION_BAN, RIGHT_MODERATE)                                                                  \
    X(ACTION_REMOVE, RIGHT_MODERATE)                                                               \
    X(ACTION_PURGE, RIGHT_MODERATE)                                                                \
    X(ACTION_SLOW, RIGHT_MODERATE)   /* the setting slow_mode_s */                                 \
    X(ACTION_FREEZE, RIGHT_MODERATE) /* the setting frozen */                                      \
    X(ACTION_SET, RIGHT_OWN)         /* the other settings */                                      \
    X(ACTION_GRANT, RIGHT_OWN)                                                                     \
    X(ACTION_REVOKE, RIGHT_OWN)

enum action {
#define X(symbol, right) symbol,
    ACTION_TABLE(X)
#undef X
        ACTION_COUNT
};

/* The least right it takes. */
enum right policy_right(enum action action);

/* What it takes to cause an event of this kind. */
enum action policy_action(enum store_kind kind);

/* Who has said what is to be changed. */
struct author {
    struct slice user; /* empty: a guest without a key, and so nobody */
};

/* 0, or why not: ERR_NO_RIGHT (in this room, whether it exists or not), ERR_FORBIDDEN (it is
 * somebody else's), ERR_UNAUTHORIZED (it would have to be somebody). author: NULL where
 * no message is changed. What was said is the user's, whatever the names are; without a user it is
 * nobody's. */
int may(const struct identity *who, enum action action, struct slice room,
        const struct author *author);

#endif
