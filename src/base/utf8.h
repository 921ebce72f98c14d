/* UTF-8 validation (RFC 3629) that can stop and go on at any byte. Text arrives in pieces that a
 * peer chooses, and RFC 6455 section 8.1 wants a connection failed on bad text; conformance suites
 * want it failed at the first byte that cannot be right, not at the end of the message. So the
 * validator keeps what it needs to judge the next byte, three bytes of state, and nothing else. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised: at the start of a text. lo and hi bound the next byte while left is not 0. */
struct utf8 {
    uint8_t left; /* continuation bytes that the open code point still needs */
    uint8_t lo;
    uint8_t hi;
};

/* Takes the next n bytes of the text. False as soon as the bytes so far cannot begin any valid
 * text: overlong forms, surrogates, code points over U+10FFFF and stray bytes are refused at the
 * earliest byte that shows them. After false, u must be zeroed before it is used again.
 * p may be NULL iff n is 0. Any thread. */
bool utf8_feed(struct utf8 *u, const uint8_t *p, size_t n);

/* True iff no code point is open, so that the text may end here. */
bool utf8_complete(const struct utf8 *u);

/* True iff the n bytes at p are a valid text. p may be NULL iff n is 0. */
bool utf8_valid(const void *p, size_t n);

#endif
