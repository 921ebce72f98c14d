/* The table of errors: what a client may be told stands in the manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* Words that no client is ever sent. The last ones close a WebSocket with a text of their own. */
static bool is_internal(const char *word)
{
    static const char *const words[] = {
        "io",       "again",  "closed",  "bad_config", "conflict", "protocol", "bad_utf8",
        "bad_data", "binary", "too_big", "abuse",      "no_pong",  "too_slow", "unfinished"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) return true;
    return false;
}

static char *read_file(const char *name)
{
    FILE *f = fopen(name, "re");
    char *text = calloc(1, 1 << 20);
    if (!f) fail_msg("%s cannot be read", name);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void test_documented(void **state)
{
    (void)state;
    char *protocol = read_file("docs/protocol.md");
    char *api = read_file("docs/api.md");
    for (int err = -1; err > -(int)ERR_COUNT; err--) {
        char code[64];
        const char *word = err_info(err)->word;
        if (is_internal(word)) continue;
        snprintf(code, sizeof code, "`%s`", word);
        if (!strstr(protocol, code) && !strstr(api, code))
            fail_msg("%s is in neither docs/protocol.md nor docs/api.md", code);
    }
    free(protocol);
    free(api);
}

/* A close frame holds 123 bytes of reason, an answer's JSON as much text as there is. */
static void test_texts(void **state)
{
    (void)state;
    for (int err = -1; err > -(int)ERR_COUNT; err--) {
        const struct err_info *info = err_info(err);
        assert_in_range(strlen(info->text), 5, 123);
        assert_null(strpbrk(info->text, "\\\n\r\t"));
        assert_in_range(info->http_status, 400, 599);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documented),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
