/* Cases about what a server remembers: acks, bytes in the database, memory of a room, and a crowd
 * that comes back. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cases.h"
#include "proc.h"

enum {
    AFTERWARDS_MS = 50, /* what the server still does when everything has arrived */
    GONE_MS = 500,      /* time for the server to see that everybody has left */
};

/* Case acks: each talker keeps `window` texts that are not acked yet. A room has its talker alone,
 * so there is one delivery for each ack. */
int case_acks(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    if (crowd_connect(w, 0, w->opt.clients)) return case_failed(self, w, "could not connect");
    crowd_run(w, CASE_SETTLE_MS * CASE_MS);
    crowd_talk(w);
    crowd_run(w, set->warm_ms * CASE_MS);

    uint64_t cpu0 = 0, cpu1 = 0, t0 = crowd_clock_ns();
    if (proc_cpu_ns(set->pid, &cpu0)) return case_failed(self, w, "the server is gone");
    w->measuring = true;
    crowd_run(w, set->measure_ms * CASE_MS);
    w->measuring = false;
    uint64_t t1 = crowd_clock_ns();
    if (proc_cpu_ns(set->pid, &cpu1)) return case_failed(self, w, "the server is gone");
    crowd_drain(w, set->patience_ms * CASE_MS);
    if (w->acks_measured == 0) return case_failed(self, w, "nothing was acked");

    double wall = (double)(t1 - t0), acks = (double)w->acks_measured;
    case_print_common(self, w);
    printf(",\"acks_per_s\":%.0f,\"cpu_us_per_ack\":%.3f,\"server_cpu_share\":%.3f,",
           acks / wall * 1e9, (double)(cpu1 - cpu0) / 1e3 / acks, (double)(cpu1 - cpu0) / wall);
    printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n", case_percentile_us(&w->ack, 500),
           case_percentile_us(&w->ack, 990), case_percentile_us(&w->ack, 999));
    return 0;
}

/* Case database: the same until `messages` are acked; who started the server then looks at its
 * file. */
int case_database(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    if (crowd_connect(w, 0, w->opt.clients)) return case_failed(self, w, "could not connect");
    crowd_run(w, CASE_SETTLE_MS * CASE_MS);
    crowd_talk(w);
    uint64_t acks = 0;
    while (w->acks < set->messages) {
        crowd_run(w, 10 * CASE_MS);
        if (w->acks == acks && w->now_ns - w->progress_ns > set->patience_ms * CASE_MS) break;
        acks = w->acks;
    }
    crowd_drain(w, set->patience_ms * CASE_MS);
    case_print_common(self, w);
    printf(",\"messages\":%" PRIu64 "}\n", w->acks);
    return 0;
}

/* One text in each room, `times` times over, each after the one before has reached everybody: so
 * no server can merge two. -1 when one did not arrive. */
static int say_in_turn(struct crowd *w, uint32_t times, uint64_t patience_ns)
{
    for (uint32_t i = 0; i < times; i++) {
        crowd_say(w, 1);
        if (crowd_await(w, patience_ns)) return -1;
    }
    return 0;
}

/* Case rooms: memory with one connected, with all connected, and after `messages` in each room. */
int case_rooms(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    uint64_t one = 0, silent = 0, active = 0;
    if (crowd_connect(w, 0, 1)) return case_failed(self, w, "could not connect");
    crowd_run(w, CASE_SETTLE_MS * CASE_MS);
    if (proc_memory_bytes(set->pid, &one)) return case_failed(self, w, "the server is gone");
    if (crowd_connect(w, 1, w->opt.clients)) return case_failed(self, w, "could not connect");
    crowd_run(w, set->warm_ms * CASE_MS);
    if (proc_memory_bytes(set->pid, &silent)) return case_failed(self, w, "the server is gone");
    if (say_in_turn(w, set->messages, set->patience_ms * CASE_MS))
        return case_failed(self, w, "a text did not arrive everywhere");
    crowd_run(w, set->warm_ms * CASE_MS);
    if (proc_memory_bytes(set->pid, &active)) return case_failed(self, w, "the server is gone");
    crowd_drain(w, set->patience_ms * CASE_MS);

    double rooms = (double)w->opt.rooms;
    case_print_common(self, w);
    printf(",\"messages\":%u,\"bytes_per_silent_room\":%.0f,\"bytes_per_room\":%.0f}\n",
           set->messages, ((double)silent - (double)one) / rooms,
           ((double)active - (double)one) / rooms);
    return 0;
}

/* Everybody comes back at once. *cpu_ns is the server's CPU, from before the first connect
 * until after the last text. NULL, or what went wrong. */
static const char *come_back(struct crowd *w, pid_t pid, uint64_t patience_ns, uint64_t *cpu_ns)
{
    uint64_t cpu0 = 0, cpu1 = 0;
    crowd_rewind(w, 0);
    if (proc_cpu_ns(pid, &cpu0)) return "the server is gone";
    if (crowd_connect(w, 0, w->opt.clients)) return "could not connect again";
    (void)crowd_await(w, patience_ns); /* who is not complete is counted */
    crowd_run(w, AFTERWARDS_MS * CASE_MS);
    if (proc_cpu_ns(pid, &cpu1)) return "the server is gone";
    *cpu_ns = cpu1 - cpu0;
    return NULL;
}

/* 0: there is none. */
static pid_t other_server(void)
{
    char line[32];
    printf("restart\n");
    fflush(stdout);
    long pid = fgets(line, sizeof line, stdin) ? strtol(line, NULL, 10) : 0;
    return (pid_t)pid;
}

static void print_return(const struct hist *resumed, const char *name, uint64_t cpu_ns)
{
    printf(",\"%s_complete\":%" PRIu64 ",\"%s_cpu_ms\":%.3f,\"%s_p50_ms\":%.3f,\"%s_p99_ms\":%.3f",
           name, resumed->count, name, (double)cpu_ns / 1e6, name,
           case_percentile_us(resumed, 500) / 1e3, name, case_percentile_us(resumed, 990) / 1e3);
}

struct live_cost {
    uint64_t shake_ns;
    uint64_t talk_ns;
};

/* What the storm is compared with: the same crowd connects without an id, and is told the same
 * texts while it is there. Text 0 of each room is the one after which everybody will resume. */
static const char *be_there(const struct settings *set, struct crowd *w, struct live_cost *cost)
{
    uint64_t cpu[4];
    if (proc_cpu_ns(set->pid, &cpu[0])) return "the server is gone";
    if (crowd_connect(w, 0, w->opt.clients)) return "could not connect";
    crowd_run(w, AFTERWARDS_MS * CASE_MS);
    if (proc_cpu_ns(set->pid, &cpu[1])) return "the server is gone";
    crowd_run(w, CASE_SETTLE_MS * CASE_MS);
    if (crowd_mark(w, set->patience_ms * CASE_MS)) return "the first text did not arrive";
    if (proc_cpu_ns(set->pid, &cpu[2])) return "the server is gone";
    if (say_in_turn(w, set->messages, set->patience_ms * CASE_MS))
        return "a text did not arrive everywhere";
    crowd_run(w, AFTERWARDS_MS * CASE_MS);
    if (proc_cpu_ns(set->pid, &cpu[3])) return "the server is gone";
    *cost = (struct live_cost){cpu[1] - cpu[0], cpu[3] - cpu[2]};
    crowd_reset(w);
    crowd_run(w, GONE_MS * CASE_MS);
    return NULL;
}

/* Case resume: the crowd is there and is told `messages` texts a room; it leaves and comes back at
 * once with the id from before them: first while the server has the rooms in memory (warm), then to
 * another process that has to read them from the file (cold). At the end one more text shows that
 * everybody is live again. */
int case_resume(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    struct live_cost live;
    uint64_t warm_ns = 0, cold_ns = 0, patience_ns = set->patience_ms * CASE_MS;
    if (w->opt.talkers != 1 || w->opt.rung == CLIENT_BARE)
        return case_failed(self, w, "it takes one talker a room, and clients that get ids");
    const char *why = be_there(set, w, &live);
    if (!why) why = come_back(w, set->pid, patience_ns, &warm_ns);
    if (why) return case_failed(self, w, why);
    struct hist warm = w->resumed;
    crowd_reset(w);
    crowd_run(w, GONE_MS * CASE_MS);
    pid_t other = other_server();
    if (!other) return case_failed(self, w, "there is no other server");
    why = come_back(w, other, patience_ns, &cold_ns);
    if (why) return case_failed(self, w, why);
    crowd_say(w, 1);
    crowd_drain(w, patience_ns);

    case_print_common(self, w);
    printf(",\"messages\":%u,\"shake_cpu_ms\":%.3f,\"live_cpu_ms\":%.3f", set->messages,
           (double)live.shake_ns / 1e6, (double)live.talk_ns / 1e6);
    print_return(&warm, "warm", warm_ns);
    print_return(&w->resumed, "cold", cold_ns);
    printf("}\n");
    return 0;
}
