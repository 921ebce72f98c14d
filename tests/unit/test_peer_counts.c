/* What clients keep of their input, beside their connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/peer_counts.h"

/* An address is remembered as long as it has a connection or keeps something; freeing the table
 * checks that it is empty. */
static void test_kept(void **state)
{
    (void)state;
    static const uint8_t ann[SOCKET_IP_BYTES] = {1};
    static const uint8_t bob[SOCKET_IP_BYTES] = {2};
    struct peer_counts *pc = peer_counts_new();
    assert_non_null(pc);
    assert_int_equal(peer_counts_keep(pc, ann, PEER_INPUT, 0, 3000),
                     3000); /* not counted as a connection */
    assert_true(peer_counts_add(pc, ann, 1));
    assert_int_equal(peer_counts_keep(pc, ann, PEER_INPUT, 0, 500), 3500);
    assert_int_equal(peer_counts_keep(pc, bob, PEER_INPUT, 0, 7), 7);
    assert_int_equal(peer_counts_keep(pc, ann, PEER_INPUT, 3000, 1000), 1500);
    peer_counts_remove(pc, ann);
    assert_int_equal(peer_counts_keep(pc, ann, PEER_INPUT, 500, 0), 1000);
    assert_int_equal(peer_counts_keep(pc, ann, PEER_INPUT, 1000, 0), 0);
    assert_int_equal(peer_counts_keep(pc, bob, PEER_INPUT, 7, 0), 0);
    assert_true(peer_counts_add(pc, ann, 1));
    assert_false(peer_counts_add(pc, ann, 1));
    peer_counts_remove(pc, ann);
    peer_counts_free(pc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
