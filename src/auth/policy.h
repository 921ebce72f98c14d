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

/* Who has said what is to be changed. */
struct author {
    struct slice user; /* empty: a guest */
    struct slice name;
};

/* 0, or why not: ERR_FORBIDDEN, ERR_UNAUTHORIZED (it would have to be somebody). author: NULL where
 * no message is changed. What somebody has said who was signed in is that user's, whatever names
 * are; what guests have said is nobody's who is signed in. */
int may(const struct identity *who, enum action action, struct slice room,
        const struct author *author);

#endif
