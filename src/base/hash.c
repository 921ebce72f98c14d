/* See hash.h. */
#include "base/hash.h"

#include <string.h>
#include <sys/auxv.h>

struct state {
    uint64_t v[4];
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void round_once(struct state *s)
{
    uint64_t *v = s->v;
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void absorb(struct state *s, uint64_t word)
{
    s->v[3] ^= word;
    round_once(s);
    round_once(s);
    s->v[0] ^= word;
}

static uint64_t read_le(const uint8_t *p, size_t n)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

uint64_t hash_siphash(const uint8_t key[static 16], const void *data, size_t len)
{
    uint64_t k0 = read_le(key, 8);
    uint64_t k1 = read_le(key + 8, 8);
    struct state s = {{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                       k1 ^ 0x7465646279746573}};
    const uint8_t *p = data;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8)
        absorb(&s, read_le(p, 8));
    absorb(&s, (uint64_t)len << 56 | (left ? read_le(p, left) : 0));
    s.v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        round_once(&s);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

/* The kernel gives every process 16 random bytes at its start (getauxval(3)): a key that is there
 * before any thread, without a global of our own. */
uint64_t hash_keyed(const void *data, size_t len)
{
    static const uint8_t none[16];
    const uint8_t *random =
        (const uint8_t *)getauxval(AT_RANDOM); /* NOLINT(performance-no-int-to-ptr) */
    return hash_siphash(random ? random : none, data, len);
}
