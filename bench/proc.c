/* See proc.h. */
#include "proc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TREE_MAX = 64 }; /* processes; a tree larger than that is cut, no peer comes near */

struct tree {
    pid_t pid[TREE_MAX];
    unsigned count;
};

static void add_children_of_task(struct tree *t, pid_t pid, const char *task)
{
    char path[64];
    int n = snprintf(path, sizeof path, "/proc/%d/task/%.10s/children", (int)pid, task);
    if (n < 0 || (size_t)n >= sizeof path) return;
    FILE *f = fopen(path, "re");
    if (!f) return;
    char list[TREE_MAX * 12] = "";
    if (!fgets(list, sizeof list, f)) list[0] = 0;
    fclose(f);
    char *rest = list;
    for (long child = strtol(rest, &rest, 10); child > 0 && t->count < TREE_MAX;
         child = strtol(rest, &rest, 10))
        t->pid[t->count++] = (pid_t)child;
}

/* Breadth first: the list grows while it is walked. */
static void tree_fill(struct tree *t, pid_t root)
{
    t->pid[0] = root;
    t->count = 1;
    for (unsigned i = 0; i < t->count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task", (int)t->pid[i]);
        DIR *dir = opendir(path);
        if (!dir) continue;
        for (struct dirent *e = readdir(dir); e; e = readdir(dir))
            if (e->d_name[0] != '.') add_children_of_task(t, t->pid[i], e->d_name);
        closedir(dir);
    }
}

int proc_cpu_ns(pid_t pid, uint64_t *ns)
{
    struct tree t;
    tree_fill(&t, pid);
    *ns = 0;
    for (unsigned i = 0; i < t.count; i++) {
        clockid_t clock;
        struct timespec ts;
        if (clock_getcpuclockid(t.pid[i], &clock) || clock_gettime(clock, &ts)) {
            if (i == 0) return -1;
            continue;
        }
        *ns += (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
    }
    return 0;
}

/* Lines look like "Pss_Anon:            112 kB". */
static int one_memory(pid_t pid, uint64_t *bytes)
{
    char path[64], line[160];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f) return -1;
    while (fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (!value) continue;
        *value++ = 0;
        if (!strcmp(line, "Pss_Anon") || !strcmp(line, "Pss_Shmem") || !strcmp(line, "SwapPss"))
            *bytes += strtoull(value, NULL, 10) * 1024;
    }
    fclose(f);
    return 0;
}

int proc_memory_bytes(pid_t pid, uint64_t *bytes)
{
    struct tree t;
    tree_fill(&t, pid);
    *bytes = 0;
    for (unsigned i = 0; i < t.count; i++)
        if (one_memory(t.pid[i], bytes) && i == 0) return -1;
    return 0;
}
