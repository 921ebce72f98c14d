/* See site_question.h. */
#include "auth/site_question.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* Without the lengths, what stands at the end of one field could as well begin the next. */
static struct slice put_field(char **to, const void *bytes, size_t len)
{
    const uint32_t length = (uint32_t)len;
    memcpy(*to, &length, sizeof length);
    struct slice own = {*to + sizeof length, len};
    if (len) memcpy(*to + sizeof length, bytes, len);
    *to += sizeof length + len;
    return own;
}

static struct slice put_text_field(char **to, struct slice text)
{
    return put_field(to, text.ptr, text.len);
}

struct site_question *site_question_new(const struct site_fields *f)
{
    size_t len = 5 * sizeof(uint32_t) + f->room.len + f->cookies.len + f->authorization.len +
                 f->origin.len + IP_BYTES;
    struct site_question *q = malloc(sizeof *q + len);
    if (!q) return NULL;
    char *to = q->texts;
    atomic_init(&q->refs, 1);
    q->len = len;
    q->fields.room = put_text_field(&to, f->room);
    q->fields.cookies = put_text_field(&to, f->cookies);
    q->fields.authorization = put_text_field(&to, f->authorization);
    q->fields.origin = put_text_field(&to, f->origin);
    q->fields.ip = (const uint8_t *)put_field(&to, f->ip, IP_BYTES).ptr;
    if (EVP_Digest(q->texts, len, q->key, NULL, EVP_sha256(), NULL) == 1) return q;
    site_question_unref(q);
    return NULL;
}

struct site_question *site_question_of_room(const struct site_question *q, struct slice room)
{
    struct site_fields fields = q->fields;
    fields.room = room;
    return site_question_new(&fields);
}

struct site_question *site_question_ref(struct site_question *q)
{
    atomic_fetch_add(&q->refs, 1);
    return q;
}

void site_question_unref(struct site_question *q)
{
    if (!q || atomic_fetch_sub(&q->refs, 1) > 1) return;
    explicit_bzero(q->texts, q->len);
    free(q);
}
