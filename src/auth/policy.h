/* What somebody may do. The one judge: whoever joins (and so reads), publishes, changes or marks
 * asks here, by whatever door it came; the API also for each of its calls. Any thread. */
#ifndef AUTH_POLICY_H
#define AUTH_POLICY_H

#include "auth/right.h"
#include "store/store.h"

struct control;
struct identity;
struct rights_verdict;
struct room_rules;

/* What may() judges by. Borrowed by whoever asks. */
struct policy {
    const struct room_rules *rules; /* of the configuration; NULL: none, an open server */
    struct control *control;        /* what was decided since; NULL: nothing */
};

/* The one table of what can be done in a room. X(symbol, word in answers, the right that it takes
 * there). What changes a message is for its author; a moderator removes. */
#define ACTION_TABLE(X)                                                                            \
    X(ACTION_JOIN, "join", RIGHT_READ)                                                             \
    X(ACTION_HISTORY, "history", RIGHT_READ)                                                       \
    X(ACTION_SEARCH, "search", RIGHT_READ)                                                         \
    X(ACTION_WHO, "who", RIGHT_READ)   /* see who is there */                                      \
    X(ACTION_MARK, "read", RIGHT_READ) /* keep a read marker */                                    \
    X(ACTION_DELETE, "delete", RIGHT_READ)                                                         \
    X(ACTION_PUBLISH, "message", RIGHT_WRITE)                                                      \
    X(ACTION_EDIT, "edit", RIGHT_WRITE)                                                            \
    X(ACTION_REACT, "react", RIGHT_WRITE)                                                          \
    X(ACTION_TYPE, "typing", RIGHT_WRITE) /* be shown as typing */                                 \
    X(ACTION_KICK, "kick", RIGHT_MODERATE)                                                         \
    X(ACTION_MUTE, "mute", RIGHT_MODERATE)                                                         \
    X(ACTION_BAN, "ban", RIGHT_MODERATE)                                                           \
    X(ACTION_REMOVE, "remove", RIGHT_MODERATE)                                                     \
    X(ACTION_PURGE, "purge", RIGHT_MODERATE)                                                       \
    X(ACTION_SLOW, "slow_mode", RIGHT_MODERATE) /* the setting slow_mode_s */                      \
    X(ACTION_FREEZE, "frozen", RIGHT_MODERATE)  /* the setting */                                  \
    X(ACTION_SET, "room", RIGHT_OWN)            /* the other settings */                           \
    X(ACTION_GRANT, "grant", RIGHT_OWN)                                                            \
    X(ACTION_REVOKE, "revoke", RIGHT_OWN)

enum action {
#define X(symbol, word, right) symbol,
    ACTION_TABLE(X)
#undef X
        ACTION_COUNT
};

/* Static text. */
const char *policy_word(enum action action);

/* The least right it takes. */
enum right policy_right(enum action action);

/* What it takes to cause an event of this kind. */
enum action policy_action(enum store_kind kind);

/* Who has said what is to be changed. */
struct author {
    struct slice user; /* empty: a guest without a key, and so nobody */
};

/* 0, or why not: ERR_NO_RIGHT or ERR_READ_ONLY (in this room, whether it exists or not),
 * ERR_FORBIDDEN (it is somebody else's), ERR_UNAUTHORIZED (it would have to be somebody). author:
 * NULL where no message is changed. What was said is the user's, whatever the names are; without a
 * user it is nobody's. Allocates nothing. */
int may(const struct policy *p, const struct identity *who, enum action action, struct slice room,
        const struct author *author);

/* Whether what it came in with was revoked: then it is nobody who may anything. */
bool policy_is_revoked(const struct policy *p, const struct identity *who);

/* The right that may() goes by in this room. */
enum right policy_right_in(const struct policy *p, const struct identity *who, struct slice room);

/* The same and why, of somebody who is not here: a user, or with an empty one a guest. As far as
 * the server's settings go, since what a token says of rooms is not known then. The pattern is
 * borrowed from p, or is room. */
void policy_explain(const struct policy *p, struct slice user, struct slice room,
                    struct rights_verdict *out);

#endif
