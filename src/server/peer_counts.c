/* See peer_counts.h. */
#include "server/peer_counts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/table.h"

struct peer_count {
    UT_hash_handle hh;
    uint32_t count;
    uint64_t kept_bytes[PEER_KEPT_COUNT];
    uint8_t ip[SOCKET_IP_BYTES];
};

struct peer_counts {
    pthread_mutex_t lock;
    struct peer_count *table;
};

struct peer_counts *peer_counts_new(void)
{
    struct peer_counts *pc = calloc(1, sizeof *pc);
    if (pc) pthread_mutex_init(&pc->lock, NULL);
    return pc;
}

void peer_counts_free(struct peer_counts *pc)
{
    if (!pc) return;
    CHECK(!pc->table);
    pthread_mutex_destroy(&pc->lock);
    free(pc);
}

static struct peer_count *peer_find_locked(struct peer_counts *pc, const uint8_t *ip)
{
    struct peer_count *p;
    HASH_FIND(hh, pc->table, ip, SOCKET_IP_BYTES, p);
    return p;
}

static struct peer_count *insert_locked(struct peer_counts *pc, const uint8_t *ip)
{
    struct peer_count *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    memcpy(p->ip, ip, SOCKET_IP_BYTES);
    HASH_ADD(hh, pc->table, ip, SOCKET_IP_BYTES, p);
    if (p->hh.tbl) return p;
    free(p);
    return NULL;
}

bool peer_counts_add(struct peer_counts *pc, const uint8_t ip[static SOCKET_IP_BYTES], uint32_t max)
{
    pthread_mutex_lock(&pc->lock);
    struct peer_count *p = peer_find_locked(pc, ip);
    if (!p) p = insert_locked(pc, ip);
    bool counted = p && p->count < max;
    if (counted) p->count++;
    pthread_mutex_unlock(&pc->lock);
    return counted;
}

static void forget_if_empty_locked(struct peer_counts *pc, struct peer_count *p)
{
    if (p->count > 0) return;
    for (int i = 0; i < PEER_KEPT_COUNT; i++)
        if (p->kept_bytes[i] > 0) return;
    HASH_DELETE(hh, pc->table, p);
    free(p);
}

uint64_t peer_counts_keep(struct peer_counts *pc, const uint8_t ip[static SOCKET_IP_BYTES],
                          enum peer_kept what, uint64_t before, uint64_t now)
{
    uint64_t kept = UINT64_MAX;
    pthread_mutex_lock(&pc->lock);
    struct peer_count *p = peer_find_locked(pc, ip);
    CHECK(before == 0 || (p && p->kept_bytes[what] >= before));
    if (!p) p = insert_locked(pc, ip);
    if (p) {
        kept = p->kept_bytes[what] += now - before;
        forget_if_empty_locked(pc, p);
    }
    pthread_mutex_unlock(&pc->lock);
    return kept;
}

void peer_counts_remove(struct peer_counts *pc, const uint8_t ip[static SOCKET_IP_BYTES])
{
    pthread_mutex_lock(&pc->lock);
    struct peer_count *p = peer_find_locked(pc, ip);
    CHECK(p && p->count > 0);
    p->count--;
    forget_if_empty_locked(pc, p);
    pthread_mutex_unlock(&pc->lock);
}
