/* Read markers in the memory store. The table keeps its entries in the order of their last move,
 * which an undo could not restore; so put changes the seq alone, and the order follows at commit.
 */
#include "store/memory_db.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

static void free_mark(struct mem_room *room, struct mem_mark *mark)
{
    HASH_DEL(room->marks, mark);
    memory_gave(room, sizeof *mark + mark->user_len);
    free(mark);
}

static struct mem_mark *add_mark(struct mem_room *room, struct slice user)
{
    struct mem_mark *mark = calloc(1, sizeof *mark + user.len);
    if (!mark) return NULL;
    memcpy(mark->user, user.ptr, user.len);
    mark->user_len = user.len;
    HASH_ADD_KEYPTR(hh, room->marks, mark->user, mark->user_len, mark);
    if (!mark->hh.tbl) {
        free(mark);
        return NULL;
    }
    memory_took(room, sizeof *mark + user.len);
    return mark;
}

int memory_marks_put(struct mem_undo *u, struct slice user, uint64_t seq)
{
    struct mem_mark *mark;
    HASH_FIND(hh, u->room->marks, user.ptr, user.len, mark);
    if (!mark) mark = add_mark(u->room, user);
    if (!mark) return ERR_NOMEM;
    u->mark = mark;
    u->last_seq = mark->seq;
    if (mark->seq < seq) mark->seq = seq;
    return 0;
}

void memory_marks_undo(const struct mem_undo *u)
{
    u->mark->seq = u->last_seq;
    if (u->last_seq == 0) free_mark(u->room, u->mark);
}

void memory_marks_commit(const struct mem_undo *u)
{
    struct mem_mark *mark = u->mark;
    if (mark->seq == u->last_seq || !mark->hh.next) return; /* not moved, or the last */
    UT_hash_table *table = mark->hh.tbl; /* it stays, and if it does not grow nothing can fail */
    unsigned noexpand = table->noexpand;
    table->noexpand = 1;
    HASH_DEL(u->room->marks, mark);
    HASH_ADD_KEYPTR(hh, u->room->marks, mark->user, mark->user_len, mark);
    table->noexpand = noexpand;
}

void memory_marks_trim(struct mem_room *room)
{
    while (HASH_COUNT(room->marks) > STORE_MARKS_MAX) {
        CHECK(!room->marks->hh.prev); /* so that removing it moves room->marks on */
        free_mark(room, room->marks);
    }
}

void memory_marks_free(struct mem_room *room)
{
    while (room->marks)
        free_mark(room, room->marks);
}
