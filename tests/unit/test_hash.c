/* The keyed hash against the vectors of its authors' paper, and what tables need of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

/* Appendix A of the SipHash paper: key 00..0f, message 00..0e. */
static void test_vector(void **state)
{
    (void)state;
    uint8_t key[16];
    uint8_t message[15];
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    for (uint8_t i = 0; i < 15; i++)
        message[i] = i;
    assert_true(hash_siphash(key, message, sizeof message) == UINT64_C(0xa129ca6149be45e5));
}

/* Every bit of key and message, and the length, changes the hash. */
static void test_depends_on_all(void **state)
{
    (void)state;
    uint8_t key[16] = {1, 2, 3};
    uint8_t message[40] = {0};
    for (size_t len = 0; len <= sizeof message; len++) {
        uint64_t hash = hash_siphash(key, message, len);
        if (len < sizeof message) assert_true(hash != hash_siphash(key, message, len + 1));
        for (size_t bit = 0; bit < len * 8; bit++) {
            message[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_true(hash != hash_siphash(key, message, len));
            message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t bit = 0; bit < 128; bit++) {
            key[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_true(hash != hash_siphash(key, message, len));
            key[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void test_process_key(void **state)
{
    (void)state;
    static const uint8_t none[16];
    assert_true(hash_keyed("room", 4) == hash_keyed("room", 4));
    assert_true(hash_keyed("room", 4) != hash_siphash(none, "room", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_depends_on_all),
        cmocka_unit_test(test_process_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
