/* See budget.h. A bucket is one number (GCRA): the time at which it will be full again. Taking one
 * moves that by the time one token takes, and is refused where it would lie further ahead than the
 * period; those taken with it may move it further, by another period at most. */
#include "server/budget.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"

enum { LOCKS = 64, CACHE_LINE = 64 };

#define PERIOD_US (BUDGET_PERIOD_MS * UINT64_C(1000))

/* Addresses apart from their buckets: a look touches three or four cache lines. */
struct set {
    _Alignas(CACHE_LINE) uint8_t ip[BUDGET_WAYS][IP_BYTES];
    uint64_t full_us[BUDGET_WAYS][BUDGET_KINDS];
};

struct lock {
    _Alignas(CACHE_LINE) pthread_mutex_t mutex;
};

struct budgets {
    struct lock locks[LOCKS];
    uint64_t token_us[BUDGET_KINDS]; /* 0: no limit */
    struct set sets[BUDGET_SETS];
};

struct budgets *budget_new(const struct budget_options *options)
{
    /* Pages that are zero and take no memory until an address needs them. */
    struct budgets *b =
        mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED) return NULL;
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&b->locks[i].mutex, NULL);
    for (int i = 0; i < BUDGET_KINDS; i++)
        if (options->most[i]) b->token_us[i] = PERIOD_US / options->most[i];
    return b;
}

void budget_free(struct budgets *b)
{
    if (!b) return;
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&b->locks[i].mutex);
    munmap(b, sizeof *b);
}

/* When the last of its buckets is full, which makes the entry as good as a free one. */
static uint64_t idle_us(const uint64_t *full_us)
{
    uint64_t last = 0;
    for (int i = 0; i < BUDGET_KINDS; i++)
        if (full_us[i] > last) last = full_us[i];
    return last;
}

/* The way of an address, or -1. */
static int budget_find(const struct set *s, const uint8_t *ip)
{
    for (int i = 0; i < BUDGET_WAYS; i++)
        if (memcmp(s->ip[i], ip, IP_BYTES) == 0) return i;
    return -1;
}

/* Takes the way that is forgotten with the least loss. */
static int budget_replace(struct set *s, const uint8_t *ip)
{
    int least = 0;
    for (int i = 1; i < BUDGET_WAYS; i++)
        if (idle_us(s->full_us[i]) < idle_us(s->full_us[least])) least = i;
    memcpy(s->ip[least], ip, IP_BYTES);
    memset(s->full_us[least], 0, sizeof s->full_us[least]);
    return least;
}

static struct set *lock_set(struct budgets *b, const uint8_t *ip, pthread_mutex_t **mutex)
{
    size_t i = hash_keyed(ip, IP_BYTES) % BUDGET_SETS;
    *mutex = &b->locks[i % LOCKS].mutex;
    pthread_mutex_lock(*mutex);
    return &b->sets[i];
}

bool budget_take(struct budgets *b, const uint8_t ip[static IP_BYTES], enum budget_kind kind,
                 unsigned n, uint64_t now_ms)
{
    uint64_t token_us = b->token_us[kind];
    if (!token_us) return true;
    pthread_mutex_t *mutex;
    struct set *s = lock_set(b, ip, &mutex);
    uint64_t now_us = now_ms * 1000;
    int way = budget_find(s, ip);
    uint64_t full_us = way < 0 ? 0 : s->full_us[way][kind];
    if (full_us < now_us) full_us = now_us;
    bool has = full_us + token_us <= now_us + PERIOD_US;
    if (has && n) {
        uint64_t latest_us = now_us + 2 * PERIOD_US;
        full_us += token_us * n;
        if (way < 0) way = budget_replace(s, ip);
        s->full_us[way][kind] = full_us < latest_us ? full_us : latest_us;
    }
    pthread_mutex_unlock(mutex);
    return has;
}

uint32_t budget_wait_ms(struct budgets *b, const uint8_t ip[static IP_BYTES], enum budget_kind kind,
                        uint64_t now_ms)
{
    uint64_t token_us = b->token_us[kind];
    if (!token_us) return 0;
    pthread_mutex_t *mutex;
    struct set *s = lock_set(b, ip, &mutex);
    int way = budget_find(s, ip);
    uint64_t full_us = way < 0 ? 0 : s->full_us[way][kind];
    pthread_mutex_unlock(mutex);
    uint64_t latest_us = now_ms * 1000 + PERIOD_US;
    uint64_t wait_us = full_us + token_us > latest_us ? full_us + token_us - latest_us : 0;
    return (uint32_t)((wait_us + 999) / 1000);
}
