/* Prints the parts of the manual that come from the code's own tables, for tools/update-docs. A
 * program of its own, so that the server carries no option that only its authors need. */
#include "ops/config.h"
#include "ops/metrics.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "options") == 0) {
        config_document(stdout);
    } else if (argc == 2 && strcmp(argv[1], "metrics") == 0) {
        metrics_document(stdout);
    } else {
        fputs("usage: gen_docs options|metrics\n", stderr);
        return 2;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
