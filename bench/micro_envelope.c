/* What one chat message costs to read and to write: the envelope scanned by hand against the same
 * work done with jansson. This is the measurement behind docs/decisions/0002-json-by-hand.md.
 *
 * Build and run from the root of the project:
 *   gcc -std=gnu17 -D_GNU_SOURCE -Isrc -O2 bench/micro_envelope.c src/proto/envelope.c \
 *       src/proto/json.c src/proto/json_out.c src/proto/id.c src/proto/name.c src/proto/http.c \
 *       src/base/buf.c src/base/err.c src/base/check.c src/base/utf8.c -lhttp_parser -ljansson -o
 * micro_envelope taskset -c 1 ./micro_envelope
 *
 * Both sides read a client's frame, take `message` and `username` out of it, and write the frame
 * that goes to bare members. jansson is spared what it cannot do: lone surrogates, `data` as it was
 * written, the rules for names. The rounds of the two alternate and the best round of each counts,
 * so that a busy machine disturbs both alike. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "proto/envelope.h"

enum { ROUNDS = 15, FRAME_MAX = 65536, ROUND_BYTES = 4 << 20, TURNS_MIN = 200 };

struct job {
    const char *name;
    char json[FRAME_MAX];
    size_t len;
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void by_hand(const struct job *job, struct buf *scratch, struct buf *out)
{
    struct envelope_input in;
    CHECK(envelope_parse((struct slice){job->json, job->len}, 0, scratch, &in) == 0);
    struct envelope_message m = {.message = in.message, .username = in.username};
    out->len = 0;
    CHECK(envelope_encode_bare(&m, out, FRAME_MAX) == 0);
}

static void by_jansson(const struct job *job, char *out, size_t *len)
{
    json_t *in = json_loadb(job->json, job->len, JSON_ALLOW_NUL, NULL);
    CHECK(in);
    json_t *m = json_object_get(in, "message");
    json_t *u = json_object_get(in, "username");
    CHECK(json_is_string(m) && json_is_string(u));
    json_t *frame = json_pack("{s:O,s:O}", "message", m, "username", u);
    CHECK(frame);
    *len = json_dumpb(frame, out, FRAME_MAX, JSON_COMPACT);
    CHECK(*len > 0 && *len <= FRAME_MAX);
    json_decref(frame);
    json_decref(in);
}

/* A text of n bytes; every `every`-th one has to be escaped, 0 for none. */
static void make_job(struct job *job, const char *name, size_t n, size_t every)
{
    static const char words[] = "See you at the station at eight, bring the blue bag. ";
    char *at = stpcpy(job->json, "{\"message\":\"");
    for (size_t i = 1; i <= n; i++) {
        if (every && i % every == 0)
            at = stpcpy(at, "\\n");
        else
            *at++ = words[i % (sizeof(words) - 1)];
    }
    at = stpcpy(at, "\",\"username\":\"currentUser\"}");
    job->name = name;
    job->len = (size_t)(at - job->json);
}

static void measure(const struct job *job)
{
    static char text[FRAME_MAX];
    struct buf scratch = {0};
    struct buf out = {0};
    size_t len = 0;
    by_hand(job, &scratch, &out);
    by_jansson(job, text, &len);
    CHECK(out.len == len && memcmp(out.data, text, len) == 0);

    double best_hand = 0;
    double best_jansson = 0;
    int turns = ROUND_BYTES / (int)job->len;
    if (turns < TURNS_MIN) turns = TURNS_MIN;
    for (int round = 0; round < ROUNDS; round++) {
        double t0 = now_ns();
        for (int i = 0; i < turns; i++)
            by_hand(job, &scratch, &out);
        double t1 = now_ns();
        for (int i = 0; i < turns; i++)
            by_jansson(job, text, &len);
        double hand = (t1 - t0) / turns;
        double jansson = (now_ns() - t1) / turns;
        if (round == 0 || hand < best_hand) best_hand = hand;
        if (round == 0 || jansson < best_jansson) best_jansson = jansson;
    }
    printf("%-28s %7zu %12.0f %12.0f %8.1f\n", job->name, job->len, best_hand, best_jansson,
           best_jansson / best_hand);
    buf_fini(&scratch);
    buf_fini(&out);
}

int main(void)
{
    static struct job job;
    printf("%-28s %7s %12s %12s %8s\n", "message", "bytes", "by hand, ns", "jansson, ns", "ratio");
    make_job(&job, "16 bytes", 16, 0);
    measure(&job);
    make_job(&job, "64 bytes", 64, 0);
    measure(&job);
    make_job(&job, "64 bytes, 4 escapes", 64, 16);
    measure(&job);
    make_job(&job, "1 KiB", 1024, 0);
    measure(&job);
    make_job(&job, "1 KiB, 16 escapes", 1024, 64);
    measure(&job);
    make_job(&job, "16 KiB", 16384, 0);
    measure(&job);
    return 0;
}
