/* User names: whatever text comes, what is let in is 1 to 64 bytes of valid UTF-8 that are not read
 * as "system", and cleaning it again changes nothing. Each input is also looked at with a character
 * that nobody sees in front, in the middle and at the end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/utf8.h"
#include "proto/look.h"
#include "proto/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 4096 };

/* False: it was refused. */
static bool clean(const char *text, size_t len, char out[static NAME_USER_MAX], size_t *out_len)
{
    char *in = malloc(len + 1); /* of just that size, for the sanitizer */
    CHECK(in);
    if (len) memcpy(in, text, len);
    char changed[NAME_USER_MAX];
    struct slice name = {0};
    int err = name_user_clean((struct slice){in, len}, changed, &name);
    CHECK(err == 0 || err == ERR_BAD_USERNAME);
    if (!err) {
        CHECK(name.len > 0 && name.len <= NAME_USER_MAX && name.len <= len);
        CHECK(name.ptr == changed || (name.ptr >= in && name.ptr + name.len <= in + len));
        memcpy(out, name.ptr, name.len);
        *out_len = name.len;
    }
    free(in);
    return err == 0;
}

static void check_name(const char *text, size_t len)
{
    char first[NAME_USER_MAX];
    char second[NAME_USER_MAX];
    size_t first_len;
    size_t second_len;
    if (!clean(text, len, first, &first_len)) return;
    CHECK(utf8_valid(first, first_len));
    CHECK(!look_is_system((struct slice){first, first_len}));
    CHECK(clean(first, first_len, second, &second_len));
    CHECK(first_len == second_len && memcmp(first, second, first_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const unseen[] = {"\u200b", "\u200d", "\ufe0f", "\u3164"};
    char text[TEXT_MAX + 4];
    if (size > TEXT_MAX || !utf8_valid(data, size)) return 0;
    check_name((const char *)data, size);
    for (size_t i = 0; i < sizeof(unseen) / sizeof(*unseen); i++) {
        size_t n = strlen(unseen[i]);
        for (size_t at = 0; at <= size; at += size / 2 + 1) {
            while (at < size && (data[at] & 0xC0) == 0x80)
                at++;
            memcpy(text, data, at);
            memcpy(text + at, unseen[i], n);
            memcpy(text + at + n, data + at, size - at);
            check_name(text, size + n);
        }
    }
    return 0;
}
