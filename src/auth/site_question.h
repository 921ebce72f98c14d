/* What the site is asked about somebody (site.h): all that is sent of a request, and the name under
 * which the answer is remembered, which is the SHA-256 of all of it. Immutable and
 * reference-counted, any thread; the last unref wipes it, as it holds credentials. */
#ifndef AUTH_SITE_QUESTION_H
#define AUTH_SITE_QUESTION_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ip.h"

enum { SITE_KEY_BYTES = 32 };

/* Of a request; borrowed. Texts are without control characters; one that is empty is not sent. */
struct site_fields {
    struct slice room; /* empty where the URL has no place for it */
    struct slice cookies;
    struct slice authorization;
    struct slice origin;
    const uint8_t *ip; /* IP_BYTES: the client's */
};

struct site_question {
    atomic_uint refs;
    struct site_fields fields;
    uint8_t key[SITE_KEY_BYTES];
    size_t len; /* of texts: the fields, each with its length in front */
    char texts[];
};

/* A reference, the caller's; NULL if memory is short. */
struct site_question *site_question_new(const struct site_fields *fields);

/* The same question about another room. */
struct site_question *site_question_of_room(const struct site_question *q, struct slice room);

struct site_question *site_question_ref(struct site_question *q);

/* NULL is nothing. */
void site_question_unref(struct site_question *q);

#endif
