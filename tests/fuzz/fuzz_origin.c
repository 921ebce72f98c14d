/* Origins and hosts of strangers: an origin and a host, parted by a newline. Whatever they are, the
 * option made of them holds nothing that a shell, a terminal or a JSON string would act on. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_option(const char *option)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "-._+:/ '[]";
    CHECK(strlen(option) < ORIGIN_OPTION_MAX);
    CHECK(option[strspn(option, harmless)] == '\0');
    if (strpbrk(option, "[]")) CHECK(strchr(option, '\'') != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char option[ORIGIN_OPTION_MAX];
    char *text = malloc(size + 1); /* of its exact size, so that ASan sees a step beyond */
    if (!text) return 0;
    memcpy(text, data, size);
    const char *newline = memchr(text, '\n', size);
    size_t len = newline ? (size_t)(newline - text) : size;
    struct slice origin = {text, len};
    struct slice host = {newline ? newline + 1 : text + size, newline ? size - len - 1 : 0};
    bool same = origin_is_same(origin, host);
    if (same) CHECK(origin_host_is(host, origin));
    if (same) CHECK(origin_option(origin, option));
    bool local = origin_host_is_local(host);
    if (local || origin_host_is_address(host)) CHECK(host.len > 0);
    if (local && same) CHECK(origin_is_local(origin));
    (void)origin_option(origin, option);
    check_option(option);
    (void)origin_host_option(host, option);
    check_option(option);
    free(text);
    return 0;
}
