/* See check.h. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "parlor: %s:%d: invariant broken: %s\n", file, line, cond);
    abort();
}
