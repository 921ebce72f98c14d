/* See secret_file.h. */
#include "ops/secret_file.h"

#include <sys/stat.h>
#include <unistd.h>

bool secret_file_is_public(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return false;
    bool by_group = st.st_uid != geteuid() && geteuid() != 0;
    return st.st_mode & (by_group ? 037U : 077U);
}
