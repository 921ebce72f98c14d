/* Fuzzes the header of the PROXY protocol. Properties: what is taken lies within the input, and the
 * same bytes with more behind them give the same; a prefix of what is taken is never refused, and
 * a prefix of what is refused never taken; nobody is asked for more than the longest header. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "proto/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A block of its own, so that the sanitizer sees a read past the end. */
static int parse(const uint8_t *data, size_t len, struct proxy_source *source, size_t *used)
{
    uint8_t *copy = calloc(1, len ? len : 1);
    CHECK(copy);
    if (len) memcpy(copy, data, len);
    int err = proxy_parse(copy, len, source, used);
    CHECK(len == 0 || memcmp(copy, data, len) == 0);
    free(copy);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_source whole;
    size_t used = 0;
    int err = parse(data, size, &whole, &used);
    CHECK(err == 0 || err == ERR_AGAIN || err == ERR_BAD_REQUEST);
    if (err) CHECK(!whole.known);
    if (err == ERR_AGAIN) CHECK(size < PROXY_HEADER_MAX_BYTES);
    if (err == 0) CHECK(used > 0 && used <= size && used <= PROXY_HEADER_MAX_BYTES);

    size_t end = err == 0 ? used : size;
    for (size_t n = 0; n < end && n < 256; n++) {
        struct proxy_source source;
        size_t part = 0;
        int prefix = parse(data, n, &source, &part);
        CHECK(prefix == ERR_AGAIN || (prefix == ERR_BAD_REQUEST && err == ERR_BAD_REQUEST));
    }
    if (err) return 0;
    struct proxy_source alone;
    size_t again = 0;
    CHECK(parse(data, used, &alone, &again) == 0 && again == used && alone.known == whole.known);
    if (alone.known) CHECK(memcmp(alone.ip, whole.ip, IP_BYTES) == 0);
    return 0;
}
