/* auth/guest_key: a key is believed by who signed it and nobody else, in one spelling, for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "auth/guest_key.h"
#include "base/err.h"

#define SECRET "0123456789abcdef0123456789abcdef"

/* Of SECRET, id 00 01 ... 0b, issued at 1700000000; made with Python's hmac. */
#define KNOWN "AQABAgMEBQYHCAkKC2VT8QAjAZ13SMpzgmolrxPjLbIM"
#define KNOWN_USER "guest:AAECAwQFBgcICQoL"

static struct guest_key_signer signer_of(const char *secret)
{
    struct guest_key_signer s;
    assert_int_equal(guest_key_signer_init(&s, slice_of(secret)), 0);
    return s;
}

static int verify_text(const struct guest_key_signer *s, const char *key)
{
    struct guest_key_holder holder;
    return guest_key_verify(s, slice_of(key), &holder);
}

/* What was given out once is a key as long as the secret stays. */
static void test_known(void **state)
{
    (void)state;
    struct guest_key_signer s = signer_of(SECRET);
    struct guest_key_holder holder;
    assert_int_equal(guest_key_verify(&s, SLICE_LIT(KNOWN), &holder), 0);
    assert_memory_equal(holder.user, KNOWN_USER, GUEST_KEY_USER_LEN);
    assert_int_equal(holder.issued_s, 1700000000);
}

static void test_made(void **state)
{
    (void)state;
    struct guest_key_signer s = signer_of(SECRET);
    char keys[2][GUEST_KEY_LEN];
    struct guest_key_holder made[2];
    struct guest_key_holder read;
    static const uint64_t issued[] = {0, UINT32_MAX};
    for (int i = 0; i < 2; i++) {
        const struct slice key = {keys[i], GUEST_KEY_LEN};
        assert_int_equal(guest_key_make(&s, issued[i], keys[i], &made[i]), 0);
        assert_int_equal(guest_key_verify(&s, key, &read), 0);
        assert_memory_equal(read.user, made[i].user, GUEST_KEY_USER_LEN);
        assert_memory_equal(read.user, "guest:", 6);
        assert_int_equal(read.issued_s, issued[i]);
        assert_int_equal(made[i].issued_s, issued[i]);
    }
    assert_memory_not_equal(made[0].user, made[1].user, GUEST_KEY_USER_LEN);
}

static void test_other_secrets(void **state)
{
    (void)state;
    struct guest_key_signer other = signer_of("0123456789abcdef0123456789abcdeF");
    struct guest_key_signer longer = signer_of(SECRET "0");
    struct guest_key_signer wiped = signer_of(SECRET);
    static const struct guest_key_signer zero;
    guest_key_signer_fini(&wiped);
    assert_memory_equal(&wiped, &zero, sizeof wiped);
    assert_int_equal(verify_text(&other, KNOWN), ERR_GUEST_KEY);
    assert_int_equal(verify_text(&longer, KNOWN), ERR_GUEST_KEY);
    assert_int_equal(verify_text(&zero, KNOWN), ERR_GUEST_KEY);
}

/* No character can be another, be left out or be added. */
static void test_every_character(void **state)
{
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                                 "=+/. \n";
    struct guest_key_signer s = signer_of(SECRET);
    char key[GUEST_KEY_LEN + 2] = KNOWN;
    for (size_t at = 0; at < GUEST_KEY_LEN; at++) {
        for (const char *c = digits; *c; c++) {
            key[at] = *c;
            assert_int_equal(verify_text(&s, key), *c == KNOWN[at] ? 0 : ERR_GUEST_KEY);
        }
        key[at] = '\0'; /* within the key, */
        struct guest_key_holder holder;
        assert_int_equal(guest_key_verify(&s, (struct slice){key, GUEST_KEY_LEN}, &holder),
                         ERR_GUEST_KEY);
        assert_int_equal(verify_text(&s, key), ERR_GUEST_KEY); /* and as its end */
        key[at] = KNOWN[at];
    }
    key[GUEST_KEY_LEN] = 'A';
    assert_int_equal(verify_text(&s, key), ERR_GUEST_KEY);
    assert_int_equal(verify_text(&s, KNOWN "="), ERR_GUEST_KEY);
    assert_int_equal(verify_text(&s, KNOWN KNOWN), ERR_GUEST_KEY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_other_secrets),
        cmocka_unit_test(test_every_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
