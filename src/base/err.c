/* See err.h. */
#include "base/err.h"

#include "base/check.h"

#include <assert.h>

static const struct err_info table[ERR_COUNT] = {[0] = {"ok", "no error", 200, 1000},
#define X(symbol, word, http, close, text) [symbol##_INDEX] = {word, text, http, close},
                                                 ERR_TABLE(X)
#undef X
};

#define X(symbol, word, http, close, text)                                                         \
    static_assert(sizeof(text) - 1 <= 123, "RFC 6455 section 5.5: a control frame holds 125 "      \
                                           "bytes");
ERR_TABLE(X)
#undef X

const struct err_info *err_info(int err)
{
    CHECK(err <= 0 && err > -(int)ERR_COUNT);
    return &table[-err];
}

bool err_is_ours(int err)
{
    return err_info(err)->http_status >= 500 || err == ERR_STORE_ORDER;
}
