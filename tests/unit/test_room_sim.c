/* The simulation of room_sim.h, seed after seed. PARLOR_SIM_SEEDS=n runs n of them and
 * PARLOR_SIM_FIRST=n begins at another one than the first: so does who looks for one that fails, or
 * looks at one that did. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "room_sim.h"

enum { SEEDS = 30, STEPS = 12000, SQLITE_SEEDS = 4, SQLITE_STEPS = 2000 };

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_simulation(void **state)
{
    (void)state;
    struct sim_counts n = {0};
    uint64_t first = from_environment("PARLOR_SIM_FIRST", 1);
    uint64_t seeds = from_environment("PARLOR_SIM_SEEDS", SEEDS);
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        room_sim_run(&(struct sim_options){.seed = seed, .steps = STEPS}, &n);
    }
    print_message("published %llu, received %llu; resumed %llu, not %llu; from memory %llu, store "
                  "%llu, waited %llu, turned %llu\n",
                  (unsigned long long)n.published, (unsigned long long)n.received,
                  (unsigned long long)n.resumed, (unsigned long long)n.unresumed,
                  (unsigned long long)n.memory, (unsigned long long)n.store,
                  (unsigned long long)n.fills, (unsigned long long)n.newest);
    print_message("too slow %llu, lost %llu; sent again %llu, early %llu; batches failed %llu, "
                  "refused %llu; memory short %llu; trimmed %llu\n",
                  (unsigned long long)n.lags, (unsigned long long)n.lost,
                  (unsigned long long)n.dups, (unsigned long long)n.waited,
                  (unsigned long long)n.failed_batches, (unsigned long long)n.refused,
                  (unsigned long long)n.no_memory, (unsigned long long)n.trims);
    if (seeds < SEEDS) return;
    assert_true(n.received > n.published && n.resumed > 100 && n.unresumed > 100);
    assert_true(n.memory > 100 && n.store > 100 && n.fills > 100 && n.newest > 0);
    assert_true(n.lags > n.lost && n.lost > 0 && n.dups > 100 && n.waited > 10);
    assert_true(n.failed_batches > 10 && n.refused > 10 && n.no_memory > 100 && n.trims > 100);
}

/* Its threads run as they like, so one run may come to few of the cases that are counted. */
static void test_simulation_with_sqlite(void **state)
{
    (void)state;
    static const char *const ends[] = {"", "-wal", "-shm", "-journal", "-witness"};
    struct sim_counts n = {0};
    char dir[] = "/tmp/parlor-room-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/p.db", dir);
    for (uint64_t seed = 1; seed <= SQLITE_SEEDS; seed++) {
        room_sim_run(&(struct sim_options){.seed = seed, .steps = SQLITE_STEPS, .path = path}, &n);
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            char file[80];
            snprintf(file, sizeof file, "%s%s", path, ends[i]);
            unlink(file);
        }
    }
    rmdir(dir);
    print_message("from memory %llu, store %llu\n", (unsigned long long)n.memory,
                  (unsigned long long)n.store);
    assert_true(n.received > n.published && n.memory + n.store > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simulation),
        cmocka_unit_test(test_simulation_with_sqlite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
