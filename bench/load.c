/* The load generator: one case against one server, one JSON object on standard output.
 *
 *   load --case one|ten|pairs|chatter|idle|storm --port P --pid PID
 *        [--clients N] [--rooms N] [--talkers N] [--rate R] [--window W] [--warm-ms T]
 *        [--measure-ms T] [--patience-ms T] [--rounds N] [--at-once N] [--spin]
 *
 * A case is a row of CASES below: who is in which room and talks how, and what is measured. Server
 * CPU is read from outside (proc.h) at the edges of the measured window and divided by the
 * deliveries that arrived inside it, so a slow generator stretches time but does not change the
 * figure. After the window everything sent has to arrive everywhere (crowd_drain): the counts of
 * lost, duplicated and out-of-order texts are over the whole run, warm-up included.
 *
 * Exit code: 0 when the case ran to its end (faults are in the counts), 2 when it could not. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crowd.h"
#include "proc.h"

struct settings {
    struct crowd_options crowd;
    pid_t pid;
    uint32_t warm_ms;
    uint32_t measure_ms;
    uint32_t patience_ms;
    uint32_t rounds;
};

struct load_case {
    const char *name;
    int (*run)(const struct load_case *self, const struct settings *set, struct crowd *w);
    uint32_t rooms, clients, talkers, window;
    double rate;
    bool bounce;
};

static const uint64_t MS = 1000000;
static const uint64_t SETTLE_MS = 300; /* after the handshakes: every server has joined everybody */

static int failed(const struct load_case *self, const struct crowd *w, const char *what)
{
    printf("{\"case\":\"%s\",\"failed\":\"%s%s%s\"}\n", self->name, what,
           w->net.first_death[0] ? ": " : "", w->net.first_death);
    return 2;
}

static double percentile_us(const struct hist *h, unsigned per_mille)
{
    return (double)hist_at(h, per_mille) / 1000.0;
}

/* The fields all cases share: what went in, and what must be zero. Begins the object. */
static void print_common(const struct load_case *self, const struct crowd *w)
{
    const struct crowd_options *o = &w->opt;
    printf("{\"case\":\"%s\",\"clients\":%u,\"rooms\":%u,\"talkers\":%u,\"rate\":%g,\"window\":%u,",
           self->name, o->clients, o->rooms, o->talkers, o->rate, o->rate > 0 ? 0 : o->window);
    printf("\"arrived\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"duplicated\":%" PRIu64
           ",\"out_of_order\":%" PRIu64 ",\"misrouted\":%" PRIu64 ",\"foreign\":%" PRIu64
           ",\"dead\":%" PRIu64 ",\"death\":\"%s\"",
           w->verdict.arrived, w->verdict.lost, w->verdict.duplicated, w->verdict.out_of_order,
           w->misrouted, w->foreign, w->net.dead, w->net.first_death);
    if (w->first_foreign[0]) fprintf(stderr, "unexpected text frame: %s\n", w->first_foreign);
}

static uint64_t own_cpu_ns(void)
{
    uint64_t ns = 0;
    proc_cpu_ns(getpid(), &ns);
    return ns;
}

/* Cases one, ten, pairs, chatter: warm up, measure a window of talk, drain. */
static int run_talk(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    if (crowd_connect(w, 0, w->opt.clients)) return failed(self, w, "could not connect");
    crowd_run(w, SETTLE_MS * MS);
    crowd_talk(w);
    crowd_run(w, set->warm_ms * MS);

    uint64_t cpu0 = 0, cpu1 = 0;
    uint64_t own0 = own_cpu_ns(), t0 = crowd_clock_ns();
    if (proc_cpu_ns(set->pid, &cpu0)) return failed(self, w, "the server is gone");
    w->measuring = true;
    crowd_run(w, set->measure_ms * MS);
    w->measuring = false;
    uint64_t own1 = own_cpu_ns(), t1 = crowd_clock_ns();
    if (proc_cpu_ns(set->pid, &cpu1)) return failed(self, w, "the server is gone");
    crowd_drain(w, set->patience_ms * MS);
    if (w->deliveries == 0) return failed(self, w, "nothing was delivered");

    double wall = (double)(t1 - t0), deliveries = (double)w->deliveries;
    print_common(self, w);
    printf(",\"deliveries\":%" PRIu64 ",\"seconds\":%.3f,\"deliveries_per_s\":%.0f,"
           "\"cpu_us_per_delivery\":%.4f,\"server_cpu_share\":%.3f,\"load_cpu_share\":%.3f,",
           w->deliveries, wall / 1e9, deliveries / wall * 1e9,
           (double)(cpu1 - cpu0) / 1e3 / deliveries, (double)(cpu1 - cpu0) / wall,
           (double)(own1 - own0) / wall);
    printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n", percentile_us(&w->latency, 500),
           percentile_us(&w->latency, 990), percentile_us(&w->latency, 999));
    return 0;
}

/* Case idle: memory with all connected against memory with one connected (what the first connection
 * makes the server load or allocate once is no cost per connection). Then one text in each room
 * shows that all are alive and joined. */
static int run_idle(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    uint64_t before = 0, after = 0;
    if (crowd_connect(w, 0, 1)) return failed(self, w, "could not connect");
    crowd_run(w, SETTLE_MS * MS);
    if (proc_memory_bytes(set->pid, &before)) return failed(self, w, "the server is gone");
    if (crowd_connect(w, 1, w->opt.clients)) return failed(self, w, "could not connect");
    crowd_run(w, set->warm_ms * MS);
    if (proc_memory_bytes(set->pid, &after)) return failed(self, w, "the server is gone");
    crowd_say(w, 1);
    crowd_drain(w, set->patience_ms * MS);

    print_common(self, w);
    printf(",\"memory_before\":%" PRIu64 ",\"memory_after\":%" PRIu64
           ",\"bytes_per_connection\":%.1f}\n",
           before, after, ((double)after - (double)before) / (double)(w->opt.clients - 1));
    return 0;
}

/* Case storm: rounds of connecting everybody as fast as the server answers, `at_once` at a time.
 * The server's CPU from before the first connect until after the last answer, connections held. */
static int run_storm(const struct load_case *self, const struct settings *set, struct crowd *w)
{
    uint64_t cpu_ns = 0, close_ns = 0, wall_ns = 0, own0 = own_cpu_ns(), own_ns = 0;
    for (uint32_t round = 0; round < set->rounds; round++) {
        uint64_t cpu[3], t0 = crowd_clock_ns();
        if (proc_cpu_ns(set->pid, &cpu[0])) return failed(self, w, "the server is gone");
        if (crowd_connect(w, 0, w->opt.clients)) return failed(self, w, "could not connect");
        wall_ns += crowd_clock_ns() - t0;
        own_ns = own_cpu_ns();
        crowd_run(w, 50 * MS); /* what the server still does after its answers */
        if (proc_cpu_ns(set->pid, &cpu[1])) return failed(self, w, "the server is gone");
        crowd_reset(w);
        crowd_run(w, set->warm_ms * MS);
        if (proc_cpu_ns(set->pid, &cpu[2])) return failed(self, w, "the server is gone");
        cpu_ns += cpu[1] - cpu[0];
        close_ns += cpu[2] - cpu[1];
    }
    double shakes = (double)w->opt.clients * set->rounds;
    print_common(self, w);
    printf(",\"handshakes\":%.0f,\"handshakes_per_s\":%.0f,\"cpu_us_per_handshake\":%.3f,"
           "\"cpu_us_per_close\":%.3f,\"load_cpu_share\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"p999_us\":%.1f}\n",
           shakes, shakes / (double)wall_ns * 1e9, (double)cpu_ns / 1e3 / shakes,
           (double)close_ns / 1e3 / shakes, (double)(own_ns - own0) / (double)wall_ns,
           percentile_us(&w->shake, 500), percentile_us(&w->shake, 990),
           percentile_us(&w->shake, 999));
    return 0;
}

static const struct load_case CASES[] = {
    {"one", run_talk, .rooms = 1, .clients = 1000, .talkers = 1, .rate = 60},
    {"ten", run_talk, .rooms = 1, .clients = 1000, .talkers = 10, .window = 8},
    {"pairs", run_talk, .rooms = 500, .clients = 1000, .talkers = 2, .window = 1, .bounce = true},
    {"chatter", run_talk, .rooms = 500, .clients = 1000, .talkers = 2, .window = 1},
    {"idle", run_idle, .rooms = 500, .clients = 15000, .talkers = 1, .window = 1},
    {"storm", run_storm, .rooms = 500, .clients = 5000, .talkers = 0, .window = 1},
};

static const struct load_case *find_case(const char *name)
{
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        if (!strcmp(CASES[i].name, name)) return &CASES[i];
    return NULL;
}

/* A number within [min, max], or exit: there is nothing sensible to measure with a bad option. */
static double number(const char *name, const char *text, double min, double max)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end != text && *end == 0 && value >= min && value <= max) return value;
    fprintf(stderr, "load: --%s takes a number from %g to %g, not \"%s\"\n", name, min, max, text);
    exit(2);
}

enum {
    OPT_CASE = 256,
    OPT_PORT,
    OPT_PID,
    OPT_CLIENTS,
    OPT_ROOMS,
    OPT_TALKERS,
    OPT_RATE,
    OPT_WINDOW
};
enum { OPT_WARM = 300, OPT_MEASURE, OPT_PATIENCE, OPT_ROUNDS, OPT_AT_ONCE, OPT_SPIN };

static const struct option OPTIONS[] = {
    {"case", required_argument, NULL, OPT_CASE},
    {"port", required_argument, NULL, OPT_PORT},
    {"pid", required_argument, NULL, OPT_PID},
    {"clients", required_argument, NULL, OPT_CLIENTS},
    {"rooms", required_argument, NULL, OPT_ROOMS},
    {"talkers", required_argument, NULL, OPT_TALKERS},
    {"rate", required_argument, NULL, OPT_RATE},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"warm-ms", required_argument, NULL, OPT_WARM},
    {"measure-ms", required_argument, NULL, OPT_MEASURE},
    {"patience-ms", required_argument, NULL, OPT_PATIENCE},
    {"rounds", required_argument, NULL, OPT_ROUNDS},
    {"at-once", required_argument, NULL, OPT_AT_ONCE},
    {"spin", no_argument, NULL, OPT_SPIN},
    {0},
};

static void apply_option(struct settings *set, int option, const char *name)
{
    struct crowd_options *o = &set->crowd;
    switch (option) {
    case OPT_PORT:
        o->port = (uint16_t)number(name, optarg, 1, 65535);
        break;
    case OPT_PID:
        set->pid = (pid_t)number(name, optarg, 1, 1 << 30);
        break;
    case OPT_CLIENTS:
        o->clients = (uint32_t)number(name, optarg, 2, CROWD_CLIENTS_MAX);
        break;
    case OPT_ROOMS:
        o->rooms = (uint32_t)number(name, optarg, 1, CROWD_CLIENTS_MAX);
        break;
    case OPT_TALKERS:
        o->talkers = (uint32_t)number(name, optarg, 0, CROWD_TALKERS_MAX);
        break;
    case OPT_RATE:
        o->rate = number(name, optarg, 0, 1e6);
        break;
    case OPT_WINDOW:
        o->window = (uint32_t)number(name, optarg, 1, CROWD_WINDOW_MAX);
        break;
    case OPT_WARM:
        set->warm_ms = (uint32_t)number(name, optarg, 0, 60000);
        break;
    case OPT_MEASURE:
        set->measure_ms = (uint32_t)number(name, optarg, 1, 600000);
        break;
    case OPT_PATIENCE:
        set->patience_ms = (uint32_t)number(name, optarg, 1, 60000);
        break;
    case OPT_ROUNDS:
        set->rounds = (uint32_t)number(name, optarg, 1, 100);
        break;
    case OPT_AT_ONCE:
        o->at_once = (uint32_t)number(name, optarg, 1, 4000);
        break;
    case OPT_SPIN:
        o->spin = true;
        break;
    default:
        exit(2); /* getopt has said why */
    }
}

/* Fills in the case's own numbers first, so that later options can change them. */
static const struct load_case *parse(int argc, char **argv, struct settings *set)
{
    const struct load_case *chosen = NULL;
    int index = 0;
    for (int c = getopt_long(argc, argv, "", OPTIONS, &index); c != -1;
         c = getopt_long(argc, argv, "", OPTIONS, &index)) {
        if (c == OPT_CASE) {
            chosen = find_case(optarg);
            if (!chosen) break;
            struct crowd_options *o = &set->crowd;
            o->rooms = chosen->rooms;
            o->clients = chosen->clients;
            o->talkers = chosen->talkers;
            o->rate = chosen->rate;
            o->window = chosen->window;
            o->bounce = chosen->bounce;
        } else {
            apply_option(set, c, OPTIONS[index].name);
        }
    }
    const struct crowd_options *o = &set->crowd;
    if (!chosen || !o->port || !set->pid || o->clients % o->rooms ||
        o->clients / o->rooms < o->talkers) {
        fprintf(stderr, "load: needs --case (first), --port, --pid, as many clients in each room, "
                        "and no more talkers than members\n");
        exit(2);
    }
    return chosen;
}

int main(int argc, char **argv)
{
    struct settings set = {
        .crowd = {.at_once = 64},
        .warm_ms = 500,
        .measure_ms = 2000,
        .patience_ms = 3000,
        .rounds = 1,
    };
    const struct load_case *chosen = parse(argc, argv, &set);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct crowd crowd;
    if (crowd_init(&crowd, &set.crowd)) {
        fprintf(stderr, "load: cannot start\n");
        return 2;
    }
    int code = chosen->run(chosen, &set, &crowd);
    crowd_free(&crowd);
    return code;
}
