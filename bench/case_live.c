/* Cases about being connected: talk, idle connections, handshakes. And what all cases share. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cases.h"
#include "proc.h"

int case_failed(const struct load_case *self, const struct crowd *w, const char *what)
{
    printf("{\"case\":\"%s\",\"failed\":\"%s%s%s\"}\n", self->name, what,
           w->net.first_death[0] ? ": " : "", w->net.first_death);
    return 2;
}

double case_percentile_us(const struct hist *h, unsigned per_mille)
{
    return (double)hist_at(h, per_mille) / 1000.0;
}

void case_print_common(const struct load_case *self, const struct crowd *w)
{
    const struct crowd_options *o = &w->opt;
    printf("{\"case\":\"%s\",\"clients\":%u,\"rooms\":%u,\"talkers\":%u,\"rate\":%g,\"window\":%u,",
           self->name, o->clients, o->rooms, o->talkers, o->rate, o->rate > 0 ? 0 : o->window);
    printf("\"arrived\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"duplicated\":%" PRIu64
           ",\"out_of_order\":%" PRIu64 ",\"misrouted\":%" PRIu64 ",\"foreign\":%" PRIu64
           ",\"dead\":%" PRIu64 ",\"death\":\"%s\"",
           w->verdict.arrived, w->verdict.lost, w->verdict.duplicated, w->verdict.out_of_order,
           w->misrouted, w->foreign, w->net.dead, w->net.first_death);
    printf(",\"unacked\":%" PRIu64, w->acks_due - w->acks);
    if (w->first_foreign[0]) fprintf(stderr, "unexpected text frame: %s\n", w->first_foreign);
}

static uint64_t own_cpu_ns(void)
{
    uint64_t ns = 0;
    proc_cpu_ns(getpid(), &ns);
    return ns;
}

/* Cases one, ten, pairs, chatter: warm up, measure a window of talk, drain. */
int case_talk(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    if (crowd_connect(w, 0, w->opt.clients)) return case_failed(self, w, "could not connect");
    crowd_run(w, CASE_SETTLE_MS * CASE_MS);
    crowd_talk(w);
    crowd_run(w, set->warm_ms * CASE_MS);

    uint64_t cpu0 = 0, cpu1 = 0;
    uint64_t own0 = own_cpu_ns(), t0 = crowd_clock_ns();
    if (proc_cpu_ns(set->pid, &cpu0)) return case_failed(self, w, "the server is gone");
    w->measuring = true;
    crowd_run(w, set->measure_ms * CASE_MS);
    w->measuring = false;
    uint64_t own1 = own_cpu_ns(), t1 = crowd_clock_ns();
    if (proc_cpu_ns(set->pid, &cpu1)) return case_failed(self, w, "the server is gone");
    crowd_drain(w, set->patience_ms * CASE_MS);
    if (w->deliveries == 0) return case_failed(self, w, "nothing was delivered");

    double wall = (double)(t1 - t0), deliveries = (double)w->deliveries;
    case_print_common(self, w);
    printf(",\"deliveries\":%" PRIu64 ",\"seconds\":%.3f,\"deliveries_per_s\":%.0f,"
           "\"cpu_us_per_delivery\":%.4f,\"server_cpu_share\":%.3f,\"load_cpu_share\":%.3f,",
           w->deliveries, wall / 1e9, deliveries / wall * 1e9,
           (double)(cpu1 - cpu0) / 1e3 / deliveries, (double)(cpu1 - cpu0) / wall,
           (double)(own1 - own0) / wall);
    printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n",
           case_percentile_us(&w->latency, 500), case_percentile_us(&w->latency, 990),
           case_percentile_us(&w->latency, 999));
    return 0;
}

/* Case idle: memory with all connected against memory with one connected (what the first connection
 * makes the server load or allocate once is no cost per connection). Then one text in each room
 * shows that all are alive and joined. */
int case_idle(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    uint64_t before = 0, after = 0;
    if (w->opt.clients < 2) return case_failed(self, w, "it takes two clients");
    if (crowd_connect(w, 0, 1)) return case_failed(self, w, "could not connect");
    crowd_run(w, CASE_SETTLE_MS * CASE_MS);
    if (proc_memory_bytes(set->pid, &before)) return case_failed(self, w, "the server is gone");
    if (crowd_connect(w, 1, w->opt.clients)) return case_failed(self, w, "could not connect");
    crowd_run(w, set->warm_ms * CASE_MS);
    if (proc_memory_bytes(set->pid, &after)) return case_failed(self, w, "the server is gone");
    crowd_say(w, 1);
    crowd_drain(w, set->patience_ms * CASE_MS);

    case_print_common(self, w);
    printf(",\"memory_before\":%" PRIu64 ",\"memory_after\":%" PRIu64
           ",\"bytes_per_connection\":%.1f}\n",
           before, after, ((double)after - (double)before) / (double)(w->opt.clients - 1));
    return 0;
}

/* Case storm: rounds of connecting everybody as fast as the server answers, `at_once` at a time.
 * The server's CPU from before the first connect until after the last answer, connections held. */
int case_storm(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    uint64_t cpu_ns = 0, close_ns = 0, wall_ns = 0, own0 = own_cpu_ns(), own_ns = 0;
    for (uint32_t round = 0; round < set->rounds; round++) {
        uint64_t cpu[3], t0 = crowd_clock_ns();
        if (proc_cpu_ns(set->pid, &cpu[0])) return case_failed(self, w, "the server is gone");
        if (crowd_connect(w, 0, w->opt.clients)) return case_failed(self, w, "could not connect");
        wall_ns += crowd_clock_ns() - t0;
        own_ns = own_cpu_ns();
        crowd_run(w, 50 * CASE_MS); /* what the server still does after its answers */
        if (proc_cpu_ns(set->pid, &cpu[1])) return case_failed(self, w, "the server is gone");
        crowd_reset(w);
        crowd_run(w, set->warm_ms * CASE_MS);
        if (proc_cpu_ns(set->pid, &cpu[2])) return case_failed(self, w, "the server is gone");
        cpu_ns += cpu[1] - cpu[0];
        close_ns += cpu[2] - cpu[1];
    }
    double shakes = (double)w->opt.clients * set->rounds;
    case_print_common(self, w);
    printf(",\"handshakes\":%.0f,\"handshakes_per_s\":%.0f,\"cpu_us_per_handshake\":%.3f,"
           "\"cpu_us_per_close\":%.3f,\"load_cpu_share\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"p999_us\":%.1f}\n",
           shakes, shakes / (double)wall_ns * 1e9, (double)cpu_ns / 1e3 / shakes,
           (double)close_ns / 1e3 / shakes, (double)(own_ns - own0) / (double)wall_ns,
           case_percentile_us(&w->shake, 500), case_percentile_us(&w->shake, 990),
           case_percentile_us(&w->shake, 999));
    return 0;
}
