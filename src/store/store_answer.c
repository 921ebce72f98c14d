/* See store_answer.h. */
#include "store/store_answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { NONCES_MIN_CAP = 64, MARKS_MIN_CAP = 16 };

bool store_answer_take(struct store_span *span, size_t bytes)
{
    bool heavy = span->count >= span->sure && span->bytes + bytes > span->max_bytes;
    if (heavy || span->count == span->limit) {
        span->more = true;
        return false;
    }
    span->count++;
    span->bytes += bytes;
    return true;
}

static void reverse(struct store_record **records, size_t count)
{
    for (size_t i = 0, j = count; i + 1 < j; i++) {
        struct store_record *r = records[--j];
        records[j] = records[i];
        records[i] = r;
    }
}

/* The second half first, so that the event at the position is given whatever it weighs; it may use
 * half of the bytes, and the first half what is left. */
static int page_around(struct store_answer *out, const struct store_query *q,
                       struct store_span *span, store_span_fn *fn, void *ctx)
{
    size_t before = q->limit / 2;
    size_t max_bytes = span->max_bytes;
    span->position = q->position ? q->position - 1 : 0;
    span->limit = q->limit - before;
    span->max_bytes = max_bytes / 2;
    int err = fn(ctx, span, out);
    if (err) return err;
    out->more_after = span->more;

    size_t after = out->count;
    struct store_span first = {.backward = true,
                               .messages_only = q->messages_only,
                               .position = q->position,
                               .limit = before,
                               .sure = after ? 0 : 1,
                               .max_bytes = max_bytes > span->bytes ? max_bytes - span->bytes : 0};
    err = fn(ctx, &first, out);
    if (err) return err;
    out->more_before = first.more;
    reverse(out->records, after);
    reverse(out->records, out->count);
    return 0;
}

int store_answer_page(struct store_answer *out, const struct store_query *q, store_span_fn *fn,
                      void *ctx)
{
    size_t max_bytes =
        q->max_bytes && q->max_bytes < STORE_PAGE_MAX_BYTES ? q->max_bytes : STORE_PAGE_MAX_BYTES;
    struct store_span span = {.backward = q->direction == STORE_BEFORE,
                              .messages_only = q->messages_only,
                              .position = q->position,
                              .limit = q->limit,
                              .sure = 1,
                              .max_bytes = max_bytes};
    if (q->direction == STORE_AROUND) return page_around(out, q, &span, fn, ctx);
    int err = fn(ctx, &span, out);
    if (err) return err;
    if (span.backward) {
        out->more_before = span.more;
        reverse(out->records, out->count);
    } else {
        out->more_after = span.more;
    }
    return 0;
}

int store_answer_react(struct store_answer *out, struct store_record *record,
                       const struct store_reaction *reactions, size_t count)
{
    if (!count) return 0;
    struct store_reaction *copy = store_arena_alloc(&out->arena, count * sizeof *copy);
    if (!copy) return ERR_NOMEM;
    memcpy(copy, reactions, count * sizeof *copy);
    record->event.reactions = copy;
    record->event.reaction_count = count;
    return 0;
}

void store_answer_fini(struct store_answer *a)
{
    for (size_t i = 0; i < a->count; i++)
        store_record_free(a->records[i]);
    a->count = 0;
    store_arena_fini(&a->arena);
}

int store_nonces_add(struct store_nonces *n, const struct store_nonce *nonce)
{
    if (n->count == STORE_NONCES_MAX) return ERR_FULL;
    if (n->count == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : NONCES_MIN_CAP;
        void *list = realloc(n->list, cap * sizeof *n->list);
        if (!list) return ERR_NOMEM;
        n->list = list;
        n->cap = cap;
    }
    struct store_nonce *mine = &n->list[n->count];
    *mine = *nonce;
    int err = store_arena_copy(&n->texts, &mine->user);
    if (!err) err = store_arena_copy(&n->texts, &mine->nonce);
    if (!err) n->count++;
    return err;
}

static int compare_nonces(const void *a, const void *b)
{
    const struct store_nonce *x = a;
    const struct store_nonce *y = b;
    if (x->ts_ms != y->ts_ms) return x->ts_ms < y->ts_ms ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

void store_nonces_sort(struct store_nonces *n)
{
    if (n->count) qsort(n->list, n->count, sizeof *n->list, compare_nonces);
}

void store_nonces_fini(struct store_nonces *n)
{
    free(n->list);
    store_arena_fini(&n->texts);
    *n = (struct store_nonces){.list = NULL};
}

int store_marks_add(struct store_marks *m, const struct store_mark *mark)
{
    if (m->count == STORE_MARKS_MAX) return ERR_FULL;
    if (m->count == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : MARKS_MIN_CAP;
        void *list = realloc(m->list, cap * sizeof *m->list);
        if (!list) return ERR_NOMEM;
        m->list = list;
        m->cap = cap;
    }
    struct store_mark *mine = &m->list[m->count];
    *mine = *mark;
    int err = store_arena_copy(&m->texts, &mine->user);
    if (!err) m->count++;
    return err;
}

void store_marks_fini(struct store_marks *m)
{
    free(m->list);
    store_arena_fini(&m->texts);
    *m = (struct store_marks){.list = NULL};
}
