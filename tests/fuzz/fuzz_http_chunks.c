/* Chunked bodies. However the bytes come, the body is the same, ends at the same place, and is
 * shorter than what was read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "proto/http_chunks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct read_marker {
    struct buf body;
    size_t used;
    int result;
};

static void read_in_pieces(const uint8_t *data, size_t size, size_t piece, struct read_marker *r)
{
    struct http_chunks chunks = {0};
    *r = (struct read_marker){0};
    for (size_t at = 0; at < size && !r->result; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        char *copy = malloc(len);
        CHECK(copy);
        memcpy(copy, data + at, len);
        struct slice in = {copy, len};
        while (in.len > 0 && !r->result) {
            struct slice run;
            r->result = http_chunks_read(&chunks, &in, &run);
            CHECK(buf_append(&r->body, run.ptr, run.len, size) == 0);
        }
        r->used += len - in.len;
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct read_marker whole;
    struct read_marker parts;
    if (size == 0) return 0;
    read_in_pieces(data + 1, size - 1, size, &whole);
    read_in_pieces(data + 1, size - 1, data[0] % 16 + 1U, &parts);
    CHECK(whole.result == parts.result && whole.used == parts.used);
    CHECK(whole.body.len == parts.body.len);
    if (whole.body.len) CHECK(memcmp(whole.body.data, parts.body.data, whole.body.len) == 0);
    if (whole.result == 1) CHECK(whole.used >= whole.body.len + 5);
    buf_fini(&whole.body);
    buf_fini(&parts.body);
    return 0;
}
