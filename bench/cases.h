/* The cases of the load generator, and what they share. A case connects a crowd (crowd.h), lets it
 * do something, reads what the server has cost (proc.h), and prints one JSON object. case_live.c
 * has those about being connected, case_history.c those about what a server remembers. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include <stdint.h>
#include <sys/types.h>

#include "crowd.h"

struct settings {
    struct crowd_options crowd;
    pid_t pid; /* of the server */
    uint32_t warm_ms;
    uint32_t measure_ms;
    uint32_t patience_ms;
    uint32_t rounds;
    uint32_t messages;
};

struct load_case;
typedef int case_run(const struct load_case *self, const struct settings *set, struct crowd *w);

/* The numbers are what the case does unless an option says otherwise; 0: the general default. */
struct load_case {
    const char *name;
    case_run *run;
    uint32_t rooms, clients, talkers, window;
    double rate;
    bool bounce, acked;
    enum client_rung rung;
    uint32_t at_once;
    uint32_t messages;
};

#define CASE_MS UINT64_C(1000000)
enum { CASE_SETTLE_MS = 300 }; /* after the handshakes: every server has joined everybody */

/* Each returns the exit code: 0, or that of case_failed. */
int case_talk(const struct load_case *self, const struct settings *set, struct crowd *w);
int case_idle(const struct load_case *self, const struct settings *set, struct crowd *w);
int case_storm(const struct load_case *self, const struct settings *set, struct crowd *w);
int case_acks(const struct load_case *self, const struct settings *set, struct crowd *w);
int case_database(const struct load_case *self, const struct settings *set, struct crowd *w);
int case_rooms(const struct load_case *self, const struct settings *set, struct crowd *w);
int case_resume(const struct load_case *self, const struct settings *set, struct crowd *w);

/* Prints that the case could not run to its end, and why; returns 2. */
int case_failed(const struct load_case *self, const struct crowd *w, const char *what);

/* Prints the fields all cases share: what went in, and what must be zero. Begins the object. */
void case_print_common(const struct load_case *self, const struct crowd *w);

double case_percentile_us(const struct hist *h, unsigned per_mille);

#endif
