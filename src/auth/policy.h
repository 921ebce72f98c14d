/* What somebody may do. The one judge: whoever joins (and so reads), publishes, changes or marks
 * asks here, by whatever door it came; the API also for each of its calls. Any thread. */
#ifndef AUTH_POLICY_H
#define AUTH_POLICY_H

#include "store/store.h"

struct identity;

enum action {
    ACTION_JOIN, /* and read what was said, and see who is there */
    ACTION_MARK, /* keep a read marker */
    ACTION_PUBLISH,
    ACTION_REACT,
    ACTION_EDIT,
    ACTION_DELETE,
};

/* What it takes to cause an event of this kind. */
enum action policy_action(enum store_kind kind);

/* 0, or why not: ERR_FORBIDDEN, ERR_UNAUTHORIZED (it would have to be somebody). author: of the
 * message that is changed, else empty. */
int may(const struct identity *who, enum action action, struct slice room, struct slice author);

#endif
