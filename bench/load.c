/* The load generator: one case against one server, one JSON object on standard output.
 *
 *   load --case one|ten|pairs|chatter|idle|storm|acks|database|rooms|resume --port P --pid PID
 *        [--clients N] [--rooms N] [--talkers N] [--rate R] [--window W] [--rung bare|full|rich]
 *        [--messages N] [--warm-ms T] [--measure-ms T] [--patience-ms T] [--rounds N] [--at-once N]
 *        [--spin]
 *
 * A case is a row of CASES below: who is in which room and talks how, and what is measured. Server
 * CPU is read from outside (proc.h) at the edges of the measured window and divided by the
 * deliveries that arrived inside it, so a slow generator stretches time but does not change the
 * figure. After the window everything sent has to arrive everywhere (crowd_drain): the counts of
 * lost, duplicated and out-of-order texts are over the whole run, warm-up included.
 *
 * The case resume asks for another server process on the same port and data by a line "restart" on
 * standard output, and reads its PID from standard input.
 *
 * Exit code: 0 when the case ran to its end (faults are in the counts), 2 when it could not. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cases.h"

static const struct load_case CASES[] = {
    {"one", case_talk, .rooms = 1, .clients = 1000, .talkers = 1, .rate = 60},
    {"ten", case_talk, .rooms = 1, .clients = 1000, .talkers = 10, .window = 8},
    {"pairs", case_talk, .rooms = 500, .clients = 1000, .talkers = 2, .window = 1, .bounce = true},
    {"chatter", case_talk, .rooms = 500, .clients = 1000, .talkers = 2, .window = 1},
    {"idle", case_idle, .rooms = 500, .clients = 15000, .talkers = 1, .window = 1},
    {"storm", case_storm, .rooms = 500, .clients = 5000, .talkers = 0, .window = 1},
    {"acks", case_acks, .rooms = 64, .clients = 64, .talkers = 1, .window = 1, .acked = true,
     .rung = CLIENT_RICH},
    {"database", case_database, .rooms = 64, .clients = 64, .talkers = 1, .window = 16,
     .acked = true, .rung = CLIENT_RICH, .messages = 200000},
    {"rooms", case_rooms, .rooms = 1000, .clients = 2000, .talkers = 1, .window = 1,
     .rung = CLIENT_FULL, .messages = 100},
    {"resume", case_resume, .rooms = 50, .clients = 5000, .talkers = 1, .window = 1,
     .rung = CLIENT_FULL, .at_once = 4000, .messages = 200},
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

static enum client_rung rung(const char *text)
{
    static const char *const names[] = {"bare", "full", "rich"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(names[i], text)) return (enum client_rung)i;
    fprintf(stderr, "load: --rung takes bare, full or rich, not \"%s\"\n", text);
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
    OPT_WINDOW,
    OPT_RUNG,
    OPT_MESSAGES
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
    {"rung", required_argument, NULL, OPT_RUNG},
    {"messages", required_argument, NULL, OPT_MESSAGES},
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
        o->clients = (uint32_t)number(name, optarg, 1, CROWD_CLIENTS_MAX);
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
    case OPT_RUNG:
        o->rung = rung(optarg);
        break;
    case OPT_MESSAGES:
        set->messages = (uint32_t)number(name, optarg, 1, 1e7);
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

static void use_case(struct settings *set, const struct load_case *c)
{
    struct crowd_options *o = &set->crowd;
    o->rooms = c->rooms;
    o->clients = c->clients;
    o->talkers = c->talkers;
    o->rate = c->rate;
    o->window = c->window;
    o->bounce = c->bounce;
    o->acked = c->acked;
    o->rung = c->rung;
    if (c->at_once) o->at_once = c->at_once;
    set->messages = c->messages;
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
            use_case(set, chosen);
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
