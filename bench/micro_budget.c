/* What a look at a client's budget costs a message: the measurement behind
 * docs/decisions/0006-clients-and-budgets.md.
 *
 * Build and run from the root of the project:
 *   gcc -std=gnu17 -D_GNU_SOURCE -Isrc -O2 -pthread bench/micro_budget.c src/server/budget.c \
 *       src/base/hash.c -o micro_budget && taskset -c 1 ./micro_budget
 *
 * One client is a busy talker, whose entry stays in the cache; 60,000 are a server full of them, in
 * an order that no prefetcher guesses. The best round counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/budget.h"

enum { ROUNDS = 9, TAKES = 2000000 };

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* now_us: goes on from run to run, one message in 10 us. */
static double run(struct budgets *b, uint32_t clients, uint64_t *now_us)
{
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t state = 1;
        unsigned taken = 0;
        double start = seconds();
        for (unsigned i = 0; i < TAKES; i++) {
            uint8_t ip[IP_BYTES] = {0x20, 0x01};
            state = state * 1664525 + 1013904223;
            uint32_t client = (state >> 8) % clients;
            memcpy(ip + 4, &client, sizeof client);
            taken += budget_take(b, ip, BUDGET_MESSAGES, 1, (*now_us += 10) / 1000);
        }
        double ns = (seconds() - start) / TAKES * 1e9;
        if (ns < best) best = ns;
        if (taken == 0) exit(1);
    }
    return best;
}

int main(void)
{
    const struct budget_options options = {{[BUDGET_MESSAGES] = 1000000}};
    struct budgets *b = budget_new(&options);
    if (!b) return 1;
    uint64_t now_us = 1000000000;
    const uint32_t clients[] = {1, 1000, 60000};
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++)
        printf("%6u clients: %.0f ns a look\n", clients[i], run(b, clients[i], &now_us));
    budget_free(b);
    return 0;
}
