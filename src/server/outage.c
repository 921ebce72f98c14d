/* See outage.h. */
#include "server/outage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "ops/log.h"

static void clear(struct outage_set *set)
{
    for (int i = 0; i < OUTAGE_CELLS / 64; i++)
        atomic_store_explicit(&set->cells[i], 0, memory_order_relaxed);
    atomic_store(&set->count, 0);
}

/* True if it was not in. */
static bool outage_add(struct outage_set *set, const void *key, size_t len)
{
    uint64_t cell = hash_keyed(key, len) % OUTAGE_CELLS;
    uint64_t bit = UINT64_C(1) << cell % 64;
    if (atomic_fetch_or(&set->cells[cell / 64], bit) & bit) return false;
    atomic_fetch_add(&set->count, 1);
    return true;
}

void outage_note_message(struct outage *o, struct log *log, struct slice room)
{
    if (!atomic_load(&o->since_ms)) return;
    atomic_fetch_add(&o->messages, 1);
    if (!outage_add(&o->rooms, room.ptr, room.len)) return;
    LOG(log, LOG_DEBUG, "store_refused_room", "the first refused message of a room",
        LOG_SLICE("room", room));
}

void outage_note_client(struct outage *o, struct log *log, const uint8_t ip[static SOCKET_IP_BYTES])
{
    uint8_t client[SOCKET_IP_BYTES];
    char peer[SOCKET_TEXT_MAX];
    if (!atomic_load(&o->since_ms)) return;
    memcpy(client, ip, sizeof client);
    socket_ip_client(client);
    if (!outage_add(&o->clients, client, sizeof client)) return;
    socket_ip_text(ip, peer);
    LOG(log, LOG_DEBUG, "store_refused_client", "the first refused message of a client",
        LOG_STR("peer", peer));
}

bool outage_begin(struct outage *o, uint64_t refused)
{
    if (atomic_load(&o->since_ms)) return false;
    atomic_store(&o->messages, 0);
    clear(&o->rooms);
    clear(&o->clients);
    atomic_store(&o->refused_before, refused);
    atomic_store(&o->since_ms, clock_ms(CLOCK_REALTIME)); /* of any thread, not of a turn */
    return true;
}

bool outage_look(const struct outage *o, uint64_t refused, struct outage_sum *sum)
{
    sum->since_ms = atomic_load(&o->since_ms);
    if (sum->since_ms == 0) return false;
    int64_t lasted_ms = clock_ms(CLOCK_REALTIME) - sum->since_ms;
    sum->lasted_ms = lasted_ms > 0 ? (uint64_t)lasted_ms : 0; /* the clock may have been set */
    sum->refused = refused - atomic_load(&o->refused_before);
    sum->messages = atomic_load(&o->messages);
    sum->rooms = atomic_load(&o->rooms.count);
    sum->clients = atomic_load(&o->clients.count);
    return true;
}

void outage_end(struct outage *o)
{
    atomic_store(&o->since_ms, 0);
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
