/* Counters of the server, and their exposition as Prometheus text (format 0.0.4).
 *
 * Every worker owns one struct metrics and is the only one to write it; /metrics is answered by
 * whichever worker was asked and reads all of them. So a field needs no lock and no locked
 * instruction, only loads and stores that cannot tear: an increment is one plain load, add, store.
 * The price is that a scrape is not one instant over all fields, which Prometheus does not expect.
 *
 * The tables below are the only list of metrics; the enum, the text of /metrics and the table in
 * docs/operations.md come from them. */
#ifndef OPS_METRICS_H
#define OPS_METRICS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* X(symbol, name, type, help): one number per worker, summed over workers. */
#define METRICS_TABLE(X)                                                                           \
    X(METRIC_CONNECTIONS, "parlor_connections", "gauge", "TCP connections open now.")              \
    X(METRIC_CONNECTIONS_ACCEPTED, "parlor_connections_accepted_total", "counter",                 \
      "TCP connections accepted.")                                                                 \
    X(METRIC_CONNECTIONS_REFUSED, "parlor_connections_refused_total", "counter",                   \
      "TCP connections over a limit or budget: closed at once or answered with 429 or 503.")       \
    X(METRIC_WEBSOCKETS, "parlor_websockets", "gauge", "WebSockets open now.")                     \
    X(METRIC_MESSAGES_RECEIVED, "parlor_messages_received_total", "counter",                       \
      "Chat messages accepted into a room.")                                                       \
    X(METRIC_DELIVERIES, "parlor_deliveries_total", "counter",                                     \
      "Chat messages handed to the kernel, counted once per receiving member.")                    \
    X(METRIC_SENDS, "parlor_sends_total", "counter",                                               \
      "System calls that sent deliveries; deliveries divided by sends is the batching.")           \
    X(METRIC_SENT_BYTES, "parlor_sent_bytes_total", "counter", "Bytes sent on all sockets.")       \
    X(METRIC_RECEIVED_BYTES, "parlor_received_bytes_total", "counter",                             \
      "Bytes received on all sockets.")                                                            \
    X(METRIC_LAG_CLOSES, "parlor_lag_closes_total", "counter",                                     \
      "Members closed with 4202 because they lagged past lag-max-bytes.")                          \
    X(METRIC_EPHEMERALS_DROPPED, "parlor_whispers_dropped_total", "counter",                       \
      "Typing and presence frames not sent to a member whose socket was full.")                    \
    X(METRIC_API_KEYS_REFUSED, "parlor_api_keys_refused_total", "counter",                         \
      "Requests to the API without its key, or with a wrong one.")                                 \
    X(METRIC_WAKEUPS, "parlor_wakeups_total", "counter",                                           \
      "Times a worker was woken by the mailbox of another thread.")

/* X(field, name, type, help): numbers the caller of metrics_render measures itself. */
#define METRICS_GAUGES(X)                                                                          \
    X(rooms, "parlor_rooms", "gauge", "Rooms that have a member now.")                             \
    X(recent_bytes, "parlor_recent_bytes", "gauge",                                                \
      "Memory with what was said lately, kept for who comes back (memory-budget).")                \
    X(memory_bytes, "parlor_memory_bytes", "gauge",                                                \
      "Memory counted against memory-budget: rooms and what is kept of them, pages on their way, " \
      "output that sockets do not take, messages and requests that are not finished, contexts of " \
      "compression.")                                                                              \
    X(past_bytes, "parlor_deflate_context_bytes", "gauge",                                         \
      "Memory promised to clients that keep their compression context.")                           \
    X(store_healthy, "parlor_store_healthy", "gauge",                                              \
      "1 while messages can be stored; 0 from a failure until a write has worked again.")          \
    X(store_in_flight, "parlor_store_in_flight", "gauge", "Events not committed yet.")             \
    X(store_committed, "parlor_store_committed_total", "counter", "Events committed.")             \
    X(store_failed, "parlor_store_failed_total", "counter", "Events refused by the disk.")         \
    X(store_refused, "parlor_store_refused_total", "counter",                                      \
      "Events and read markers refused because too many wait to be stored.")                       \
    X(store_batches, "parlor_store_batches_total", "counter",                                      \
      "Transactions; committed events divided by them is the group commit.")                       \
    X(store_trimmed, "parlor_store_trimmed_total", "counter", "Events removed by retention.")      \
    X(store_reads, "parlor_store_reads_total", "counter", "Questions answered by the store.")      \
    X(store_read_errors, "parlor_store_read_errors_total", "counter",                              \
      "Questions that the store could not answer.")                                                \
    X(store_damaged, "parlor_store_damaged", "gauge",                                              \
      "1 once damage in the database was met, until the next start.")                              \
    X(store_rooms, "parlor_store_rooms", "gauge",                                                  \
      "Rooms in which something was said and is kept (max-rooms).")                                \
    X(store_bytes, "parlor_store_bytes", "gauge",                                                  \
      "Bytes in use of the database file, if max-database-bytes is set; of :memory:, bytes kept.") \
    X(store_full, "parlor_store_full", "gauge",                                                    \
      "1 while messages are refused because of max-database-bytes.")                               \
    X(store_faults, "parlor_store_file_faults_total", "counter",                                   \
      "Times the database's files were missing, replaced, changed by others, or older ones.")      \
    X(site_questions, "parlor_site_questions_total", "counter",                                    \
      "Questions that auth-url was asked.")                                                        \
    X(site_failures, "parlor_site_failures_total", "counter",                                      \
      "Those that it did not answer with 200, 401 or 403, or not in time.")                        \
    X(workers, "parlor_workers", "gauge", "Worker threads.")                                       \
    X(open_fds, "process_open_fds", "gauge", "File descriptors open now.")                         \
    X(max_fds, "process_max_fds", "gauge", "File descriptors the process may open.")

/* clang-format cannot settle on a layout for these lists. */
/* clang-format off */

/* X(code): close codes that have a label of their own; any other counts as "other". */
#define METRICS_CLOSE_CODES(X)                                                                     \
    X(1000) X(1001) X(1002) X(1003) X(1005) X(1006) X(1007) X(1008) X(1009) X(1010) X(1011)        \
    X(1012) X(1013) X(4001) X(4003) X(4006) X(4007) X(4009) X(4100) X(4101) X(4102) X(4103)        \
    X(4201) X(4202) X(4203) X(4204)

/* X(status): HTTP statuses that have a label of their own; any other counts as "other". */
#define METRICS_HTTP_STATUSES(X)                                                                   \
    X(101) X(200) X(201) X(204) X(206) X(301) X(304) X(308) X(400) X(401) X(403) X(404) X(405)     \
    X(408) X(411) X(413) X(414) X(415) X(421) X(426) X(429) X(431) X(500) X(501) X(503) X(505)

/* X(upper bound in nanoseconds, the same in seconds as Prometheus prints it). */
#define METRICS_TURN_BUCKETS(X)                                                                    \
    X(10000, "1e-05") X(25000, "2.5e-05") X(50000, "5e-05") X(100000, "0.0001")                    \
    X(250000, "0.00025") X(500000, "0.0005") X(1000000, "0.001") X(5000000, "0.005")               \
    X(10000000, "0.01") X(50000000, "0.05") X(100000000, "0.1") X(1000000000, "1")

/* clang-format on */

enum metric {
#define X(symbol, name, type, help) symbol,
    METRICS_TABLE(X)
#undef X
        METRIC_COUNT
};

#define METRICS_ONE(...) +1
enum {
    METRICS_CLOSE_COUNT = 0 METRICS_CLOSE_CODES(METRICS_ONE) + 1, /* the last one is "other" */
    METRICS_HTTP_COUNT = 0 METRICS_HTTP_STATUSES(METRICS_ONE) + 1,
    METRICS_TURN_COUNT = 0 METRICS_TURN_BUCKETS(METRICS_ONE) + 1, /* the last one is +Inf */
};

/* One worker's numbers. All zero is the valid initial state. Written by its worker only. */
struct metrics {
    _Alignas(64) _Atomic uint64_t value[METRIC_COUNT];
    _Atomic uint64_t turn[METRICS_TURN_COUNT]; /* not cumulative here */
    _Atomic uint64_t turn_sum_ns;
    _Atomic uint64_t closes[METRICS_CLOSE_COUNT];
    _Atomic uint64_t http[METRICS_HTTP_COUNT];
    _Atomic uint64_t refusals[ERR_COUNT]; /* by -err */
};

struct metrics_gauges {
#define X(field, name, type, help) uint64_t field;
    METRICS_GAUGES(X)
#undef X
    uint64_t uptime_ms;
};

/* A single-writer increment: only the owner of the field may call it. */
static inline void metrics_bump(_Atomic uint64_t *field, uint64_t n)
{
    atomic_store_explicit(field, atomic_load_explicit(field, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Adds to a counter or gauge. Owner's thread. */
static inline void metrics_add(struct metrics *m, enum metric which, uint64_t n)
{
    metrics_bump(&m->value[which], n);
}

/* Subtracts from a gauge; what one worker added only that worker subtracts. Owner's thread. */
static inline void metrics_sub(struct metrics *m, enum metric which, uint64_t n)
{
    metrics_bump(&m->value[which], 0 - n);
}

/* Counts a closed WebSocket by the code that ended it: the one received, or else the one sent,
 * 1006 if there was neither. Owner's thread. */
void metrics_close(struct metrics *m, unsigned code);

/* Counts refused input by its error, one of enum err below 0. Owner's thread. */
void metrics_refusal(struct metrics *m, int err);

/* Counts an HTTP response by status. Owner's thread. */
void metrics_http(struct metrics *m, unsigned status);

/* Counts one turn of the loop that worked (did not wait) for ns nanoseconds. Owner's thread. */
void metrics_turn(struct metrics *m, uint64_t ns);

/* Appends the exposition of n workers' sums and of the gauges g (one that is 0 and begins with
 * "process_" is left out as unknown). Serve it as METRICS_CONTENT_TYPE. Returns 0, ERR_NOMEM, or
 * ERR_TOO_LONG if out would pass max_bytes (64 KiB is plenty); out is then as it was. Any thread.
 */
int metrics_render(struct buf *out, const struct metrics *const *workers, size_t n,
                   const struct metrics_gauges *g, size_t max_bytes);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Prints the tables above as a Markdown table, for docs/operations.md. */
void metrics_document(FILE *out);

#endif
