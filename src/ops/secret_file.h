/* Files that hold a secret: can others read them? */
#ifndef OPS_SECRET_FILE_H
#define OPS_SECRET_FILE_H

#include <stdbool.h>

/* What is wrong with such a file, and how to mend it. */
#define SECRET_FILE_PUBLIC                                                                         \
    "other users can read it; chmod 600 it, or leave it readable to its group alone if another "   \
    "user owns it"

/* True if somebody can read it who is not meant to. A file that is not ours we can only read by its
 * group or an access list (whose mask stands in the group's place): so systemd and Kubernetes hand
 * out secrets, and nobody could take that right away and leave us ours. What is no regular file,
 * as a pipe, is nobody's to open later. Any thread. */
bool secret_file_is_public(int fd);

#endif
