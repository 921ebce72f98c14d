/* Message ids: one text for one id, and nothing else is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/id.h"

/* Parses out of a block of exactly its size, so that the sanitizer sees a read past the end. */
static int parse(const char *text, size_t len, struct id *out)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    int err = id_parse((struct slice){copy, len}, out);
    free(copy);
    return err;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t seq;
    } good[] = {
        {"k3f90abc-0", 0},
        {"00000000-1", 1},
        {"zzzzzzzz-9", 9},
        {"k3f90abc-10", 10},
        {"k3f90abc-1052", 1052},
        {"k3f90abc-9007199254740990", ID_SEQ_MAX - 1},
        {"k3f90abc-9007199254740991", ID_SEQ_MAX},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct id id;
        char text[ID_TEXT_MAX];
        size_t len = strlen(good[i].text);
        if (parse(good[i].text, len, &id)) fail_msg("refused: %s", good[i].text);
        assert_memory_equal(id.epoch, good[i].text, EVENT_EPOCH_LEN);
        assert_int_equal(id.seq, good[i].seq);
        assert_int_equal(id_write(&id, text), len);
        assert_memory_equal(text, good[i].text, len);
    }
    for (uint64_t seq = 1; seq <= ID_SEQ_MAX; seq = seq * 3 + 1) {
        struct id id = {.epoch = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}, .seq = seq};
        struct id back;
        char text[ID_TEXT_MAX];
        size_t len = id_write(&id, text);
        assert_int_equal(parse(text, len, &back), 0);
        assert_int_equal(back.seq, seq);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "-",
        "1052",
        "-1052",
        "k3f90abc",
        "k3f90abc-",
        "k3f90ab-1",
        "k3f90abcd-1",
        "k3f90abc_1",
        "k3f90abc1",
        "k3f90abc--1",
        "k3f90abc-+1",
        "k3f90abc- 1",
        "k3f90abc-1 ",
        " k3f90abc-1",
        "k3f90abc-01",
        "k3f90abc-00",
        "k3f90abc-1a",
        "k3f90abc-a",
        "k3f90abc-1.0",
        "k3f90abc-1-1",
        "K3f90abc-1",
        "k3f90abC-1",
        "k3f9.abc-1",
        "k3f9-abc-1",
        "k3f9`abc-1",
        "k3f9{abc-1",
        "k3f9/abc-1",
        "k3f9:abc-1",
        "k3f9\xc3\xa4z-1",
        "k3f90abc-9007199254740992",
        "k3f90abc-9999999999999999",
        "k3f90abc-10000000000000000",
        "k3f90abc-18446744073709551617",
        "k3f90abc-00000000000000000000000000001",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct id id = {.seq = 77};
        if (parse(bad[i], strlen(bad[i]), &id) != ERR_BAD_ID) fail_msg("taken: %s", bad[i]);
        assert_int_equal(id.seq, 77);
    }
    struct id id;
    assert_int_equal(id_parse((struct slice){0}, &id), ERR_BAD_ID);
    assert_int_equal(parse("k3f90abc-1\0", 11, &id), ERR_BAD_ID);
    assert_int_equal(parse("k3f90abc-\0", 10, &id), ERR_BAD_ID);
}

/* Every byte in every place of the epoch. */
static void test_epoch_bytes(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < EVENT_EPOCH_LEN; at++) {
            char text[] = "k3f90abc-7";
            struct id id;
            text[at] = (char)c;
            int want = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ? 0 : ERR_BAD_ID;
            assert_int_equal(parse(text, sizeof(text) - 1, &id), want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_epoch_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
