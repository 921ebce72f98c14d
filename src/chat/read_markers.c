/* See read_markers.h. */
#include "chat/read_markers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/table.h"

static_assert(sizeof(struct read_markers) <= 16, "every room has one");

struct marker {
    UT_hash_handle hh;
    uint64_t seq;
    char user[]; /* hh.keylen bytes */
};

static struct marker *mark_find(const struct read_markers *m, struct slice user)
{
    struct marker *mark = NULL;
    HASH_FIND(hh, m->first, user.ptr, user.len, mark);
    return mark;
}

uint64_t read_markers_find(const struct read_markers *m, struct slice user)
{
    const struct marker *mark = m->first ? mark_find(m, user) : NULL;
    return mark ? mark->seq : 0;
}

static void drop_first(struct read_markers *m)
{
    struct marker *first = m->first;
    m->entry_bytes -= sizeof *first + first->hh.keylen;
    HASH_DELETE(hh, m->first, first);
    free(first);
}

static int mark_add(struct read_markers *m, const struct store_mark *from)
{
    struct marker *mark = malloc(sizeof *mark + from->user.len);
    if (!mark) return ERR_NOMEM;
    *mark = (struct marker){.seq = from->seq};
    memcpy(mark->user, from->user.ptr, from->user.len);
    HASH_ADD_KEYPTR(hh, m->first, mark->user, from->user.len, mark);
    if (!mark->hh.tbl) {
        free(mark);
        return ERR_NOMEM;
    }
    m->entry_bytes += sizeof *mark + from->user.len;
    if (read_markers_count(m) > STORE_MARKS_MAX) drop_first(m);
    return 0;
}

/* To the end of the order. Nothing here can fail: the table has another entry, so it stays, and it
 * is kept from growing. */
static void move_last(struct read_markers *m, struct marker *mark)
{
    if (!mark->hh.next) return;
    UT_hash_table *table = mark->hh.tbl;
    unsigned noexpand = table->noexpand;
    unsigned len = mark->hh.keylen;
    table->noexpand = 1;
    HASH_DELETE(hh, m->first, mark);
    HASH_ADD_KEYPTR(hh, m->first, mark->user, len, mark);
    table->noexpand = noexpand;
}

int read_markers_move(struct read_markers *m, const struct store_mark *mark)
{
    struct marker *mine = m->first ? mark_find(m, mark->user) : NULL;
    if (!mine) return mark_add(m, mark);
    if (mine->seq >= mark->seq) return 0;
    mine->seq = mark->seq;
    move_last(m, mine);
    return 0;
}

/* Into a table of their own: one that was large keeps its buckets. */
void read_markers_shrink(struct read_markers *m, size_t most)
{
    size_t count = read_markers_count(m);
    struct read_markers kept = {0};
    int err = 0;
    if (count <= most) return;
    size_t skip = count - most;
    for (struct marker *mark = m->first; mark && !err; mark = mark->hh.next) {
        const struct store_mark copy = {mark->seq, {mark->user, mark->hh.keylen}};
        if (skip > 0)
            skip--;
        else
            err = mark_add(&kept, &copy);
    }
    if (err) read_markers_fini(&kept);
    read_markers_fini(m);
    *m = kept;
}

size_t read_markers_count(const struct read_markers *m)
{
    return HASH_COUNT(m->first);
}

size_t read_markers_bytes(const struct read_markers *m)
{
    if (!m->first) return 0;
    const UT_hash_table *table = m->first->hh.tbl;
    return m->entry_bytes + sizeof *table + table->num_buckets * sizeof *table->buckets;
}

void read_markers_fini(struct read_markers *m)
{
    m->entry_bytes = 0;
    struct marker *mark = m->first;
    HASH_CLEAR(hh, m->first);
    while (mark) {
        struct marker *next = mark->hh.next;
        free(mark);
        mark = next;
    }
}
