/* See outage.h. */
#include "server/outage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "ops/log.h"
#include "ops/metrics.h"
#include "server/worker.h"

static uint64_t count_refused(const struct server *s)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        sum +=
            atomic_load_explicit(&s->workers[i].metrics.refusals[-ERR_STORE], memory_order_relaxed);
    return sum;
}

static void clear(struct outage_set *set)
{
    for (int i = 0; i < OUTAGE_CELLS / 64; i++)
        atomic_store_explicit(&set->cells[i], 0, memory_order_relaxed);
    atomic_store(&set->count, 0);
}

/* True if it was not in. */
static bool add(struct outage_set *set, const void *key, size_t len)
{
    uint64_t cell = hash_keyed(key, len) % OUTAGE_CELLS;
    uint64_t bit = UINT64_C(1) << cell % 64;
    if (atomic_fetch_or(&set->cells[cell / 64], bit) & bit) return false;
    atomic_fetch_add(&set->count, 1);
    return true;
}

void outage_note_message(struct server *s, struct slice room)
{
    if (!atomic_load(&s->outage.since_ms)) return;
    atomic_fetch_add(&s->outage.messages, 1);
    if (!add(&s->outage.rooms, room.ptr, room.len)) return;
    LOG(s->options.log, LOG_DEBUG, "store_refused_room", "the first refused message of a room",
        LOG_SLICE("room", room));
}

void outage_note_client(struct server *s, const uint8_t ip[static SOCKET_IP_BYTES])
{
    uint8_t client[SOCKET_IP_BYTES];
    char peer[SOCKET_TEXT_MAX];
    if (!atomic_load(&s->outage.since_ms)) return;
    memcpy(client, ip, sizeof client);
    socket_ip_client(client);
    if (!add(&s->outage.clients, client, sizeof client)) return;
    socket_ip_text(ip, peer);
    LOG(s->options.log, LOG_DEBUG, "store_refused_client", "the first refused message of a client",
        LOG_STR("peer", peer));
}

bool outage_begin(struct server *s)
{
    if (atomic_load(&s->outage.since_ms)) return false;
    atomic_store(&s->outage.messages, 0);
    clear(&s->outage.rooms);
    clear(&s->outage.clients);
    atomic_store(&s->outage.refused_before, count_refused(s));
    atomic_store(&s->outage.since_ms, clock_ms(CLOCK_REALTIME)); /* of any thread, not of a turn */
    return true;
}

bool outage_look(struct server *s, struct outage_sum *sum)
{
    sum->since_ms = atomic_load(&s->outage.since_ms);
    if (sum->since_ms == 0) return false;
    int64_t lasted_ms = clock_ms(CLOCK_REALTIME) - sum->since_ms;
    sum->lasted_ms = lasted_ms > 0 ? (uint64_t)lasted_ms : 0; /* the clock may have been set */
    sum->refused = count_refused(s) - atomic_load(&s->outage.refused_before);
    sum->messages = atomic_load(&s->outage.messages);
    sum->rooms = atomic_load(&s->outage.rooms.count);
    sum->clients = atomic_load(&s->outage.clients.count);
    return true;
}

void outage_end(struct server *s)
{
    atomic_store(&s->outage.since_ms, 0);
}

void outage_since(const struct outage_sum *sum, char out[static OUTAGE_SINCE_MAX])
{
    time_t seconds = (time_t)(sum->since_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, OUTAGE_SINCE_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void outage_text(const struct outage_sum *sum, char out[static OUTAGE_TEXT_MAX])
{
    char since[OUTAGE_SINCE_MAX];
    outage_since(sum, since);
    snprintf(out, OUTAGE_TEXT_MAX,
             "the store fails since %s (%" PRIu64 " s): %" PRIu64 " refused, of them %" PRIu64
             " messages in %" PRIu64 " rooms from %" PRIu64 " clients",
             since, sum->lasted_ms / 1000, sum->refused, sum->messages, sum->rooms, sum->clients);
}
