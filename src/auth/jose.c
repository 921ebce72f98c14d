/* See jose.h. */
#include "auth/jose.h"

#include "base/check.h"
#include "base/err.h"
#include "base/utf8.h"
#include "proto/json.h"

/* 0..63; -1: no character of the alphabet. */
static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '-') return 62;
    return c == '_' ? 63 : -1;
}

bool jose_decode(struct slice text, uint8_t *out, size_t cap, size_t *len)
{
    uint32_t bits = 0;
    unsigned pending = 0;
    *len = 0;
    for (size_t i = 0; i < text.len; i++) {
        int six = sextet(text.ptr[i]);
        if (six < 0) return false;
        bits = bits << 6 | (uint32_t)six;
        pending += 6;
        if (pending < 8) continue;
        if (*len == cap) return false;
        pending -= 8;
        out[(*len)++] = (uint8_t)(bits >> pending);
        bits &= (1U << pending) - 1;
    }
    return pending < 6 && bits == 0; /* 6: a character too many, that is no whole byte */
}

void jose_encode(const void *bytes, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *at = bytes;
    CHECK(len % 3 == 0);
    for (; len > 0; len -= 3, at += 3) {
        uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *out++ = digits[bits >> shift & 63];
    }
}

/* jansson recurses 2048 deep and passes over a NUL byte behind a number, so our own scanner looks
 * first. */
static bool is_json_text(struct slice text)
{
    struct json j = {text.ptr, text.ptr + text.len};
    struct slice value;
    if (text.len == 0 || !utf8_valid(text.ptr, text.len)) return false;
    json_scan_space(&j);
    if (json_scan_value(&j, 0, &value)) return false;
    json_scan_space(&j);
    return j.at == j.end;
}

int jose_object(struct slice text, json_t **out)
{
    json_error_t error = {0};
    if (!is_json_text(text)) return ERR_BAD_JSON;
    json_t *value = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    /* Short of memory, jansson says nothing; but within a string it says that it is invalid. */
    if (!value) return error.text[0] == '\0' ? ERR_NOMEM : ERR_BAD_JSON;
    if (!json_is_object(value)) {
        json_decref(value);
        return ERR_BAD_JSON;
    }
    *out = value;
    return 0;
}

struct slice jose_text(const json_t *value)
{
    return (struct slice){json_string_value(value), json_string_length(value)};
}
