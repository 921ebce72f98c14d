/* What messages have become, in the SQLite store; the writer thread's, in the transaction of the
 * batch. reactions says who gave what, so that nobody counts twice; reaction_counts is what pages
 * show, so that a page costs the same whether ten or ten thousand have reacted.
 *
 * A message in the index for search is taken out before its text changes, since the index has to be
 * given the text that was put in; see sqlite_search.c. */
#include <assert.h>

#include "store/sqlite_db.h"

static_assert(STORE_MESSAGE == 0, "the number is in the SQL");

/* The message to change. */
struct target {
    int64_t room;
    int64_t seq;
    int64_t id; /* 0: there is none, or it is deleted */
    int64_t bytes;
};

static int find_target(struct sqlite_store *s, struct target *t)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_FIND_TARGET];
    sqlite3_bind_int64(stmt, 1, t->room);
    sqlite3_bind_int64(stmt, 2, t->seq);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        t->id = sqlite3_column_int64(stmt, 0);
        t->bytes = sqlite3_column_int64(stmt, 1);
    }
    int end = sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : end;
}

/* Takes away the text of the edit that STORE_EDITS_MAX newer ones have followed: so there is a
 * bound on what a delete has to take away. */
static int forget_old_edit(struct sqlite_store *s, const struct target *t, int64_t *weight)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_OLD_EDIT];
    int64_t values[] = {t->room, t->seq, STORE_EDITS_MAX};
    for (int i = 0; i < 3; i++)
        sqlite3_bind_int64(stmt, 1 + i, values[i]);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        values[2] = sqlite3_column_int64(stmt, 0);
        *weight -= sqlite3_column_int64(stmt, 1);
    }
    int end = sqlite3_reset(stmt);
    if (rc != SQLITE_ROW) return rc == SQLITE_DONE ? SQLITE_OK : end;
    rc = sqlite_run_with(s->stmt[WRITE_WIPE_EDIT], values, 3);
    return rc ? rc : sqlite_run_with(s->stmt[WRITE_DROP_EDIT], values, 3);
}

static int edit_message(struct sqlite_store *s, const struct target *t, const struct store_event *e,
                        int64_t *weight)
{
    const int64_t values[] = {t->room, t->seq, (int64_t)e->seq};
    int rc = sqlite_run_with(s->stmt[WRITE_ADD_EDIT], values, 3);
    if (!rc) rc = forget_old_edit(s, t, weight);
    if (!rc) rc = sqlite_search_remove(s, t->room, t->seq, t->seq);
    if (rc) return rc;
    sqlite3_stmt *stmt = s->stmt[WRITE_EDIT];
    sqlite3_bind_int64(stmt, 1, t->id);
    sqlite3_bind_int64(stmt, 2, (int64_t)e->message.len);
    sqlite_bind_slice(stmt, 3, e->message);
    sqlite3_bind_int64(stmt, 4, e->ts_ms);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *weight += sqlite3_column_int64(stmt, 0) - t->bytes;
        rc = sqlite3_step(stmt);
    }
    int end = sqlite3_reset(stmt);
    if (rc != SQLITE_DONE) return end ? end : SQLITE_CORRUPT;
    return sqlite_search_add(s, t->id);
}

/* Takes away the texts of the message and of its edits. */
static int wipe(struct sqlite_store *s, const struct target *t, int64_t *weight)
{
    const int64_t values[] = {t->room, t->seq};
    sqlite3_stmt *stmt = s->stmt[WRITE_TEXTS_WEIGHT];
    int64_t texts = 0;
    int rc = sqlite_search_remove(s, t->room, t->seq, t->seq);
    if (rc) return rc;
    sqlite3_bind_int64(stmt, 1, t->room);
    sqlite3_bind_int64(stmt, 2, t->seq);
    rc = sqlite_db_number(stmt, &texts);
    *weight -= texts;
    if (!rc) rc = sqlite_run_with(s->stmt[WRITE_WIPE_TEXTS], values, 2);
    return rc ? rc : sqlite_state_forget(s, t->room, t->seq, t->seq);
}

static void bind_emoji(sqlite3_stmt *stmt, const struct target *t, const struct store_event *e)
{
    sqlite3_bind_int64(stmt, 1, t->room);
    sqlite3_bind_int64(stmt, 2, t->seq);
    sqlite_bind_slice(stmt, 3, e->message);
}

static struct slice reactor_of(const struct store_event *e)
{
    struct slice who = e->user.ptr ? e->user : e->username;
    return who.ptr ? who : SLICE_LIT("");
}

static int insert_reaction(struct sqlite_store *s, const struct target *t,
                           const struct store_event *e)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_REACT];
    bind_emoji(stmt, t, e);
    sqlite_bind_slice(stmt, 4, reactor_of(e));
    sqlite3_bind_int64(stmt, 5, STORE_REACTIONS_MAX);
    sqlite3_bind_int64(stmt, 6, STORE_REACTORS_MAX);
    int rc = sqlite_run(stmt);
    if (rc || sqlite3_changes(s->db) == 0) return rc;
    stmt = s->stmt[WRITE_COUNT_REACT];
    bind_emoji(stmt, t, e);
    sqlite3_bind_int64(stmt, 4, (int64_t)e->seq);
    return sqlite_run(stmt);
}

static int unreact(struct sqlite_store *s, const struct target *t, const struct store_event *e)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_UNREACT];
    bind_emoji(stmt, t, e);
    sqlite_bind_slice(stmt, 4, reactor_of(e));
    int rc = sqlite_run(stmt);
    if (rc || sqlite3_changes(s->db) == 0) return rc;
    bind_emoji(s->stmt[WRITE_COUNT_LAST], t, e);
    rc = sqlite_run(s->stmt[WRITE_COUNT_LAST]);
    if (rc || sqlite3_changes(s->db) > 0) return rc;
    bind_emoji(s->stmt[WRITE_COUNT_UNREACT], t, e);
    return sqlite_run(s->stmt[WRITE_COUNT_UNREACT]);
}

int sqlite_state_apply(struct sqlite_store *s, int64_t room, const struct store_event *e,
                       int64_t *weight)
{
    struct target t = {.room = room, .seq = (int64_t)e->target};
    int rc = find_target(s, &t);
    if (rc || t.id == 0) return rc;
    switch (e->kind) {
    case STORE_EDIT:
        return edit_message(s, &t, e, weight);
    case STORE_DELETE:
        return wipe(s, &t, weight);
    case STORE_REACT:
        return e->message.ptr ? insert_reaction(s, &t, e) : SQLITE_OK;
    case STORE_UNREACT:
        return e->message.ptr ? unreact(s, &t, e) : SQLITE_OK;
    case STORE_MESSAGE:
    case STORE_KIND_COUNT:
        break;
    }
    return SQLITE_OK;
}

int sqlite_state_forget(struct sqlite_store *s, int64_t room, int64_t from_seq, int64_t to_seq)
{
    const int64_t values[] = {room, from_seq, to_seq};
    int rc = sqlite_run_with(s->stmt[WRITE_FORGET_EDITS], values, 3);
    if (!rc) rc = sqlite_run_with(s->stmt[WRITE_FORGET_REACTIONS], values, 3);
    return rc ? rc : sqlite_run_with(s->stmt[WRITE_FORGET_COUNTS], values, 3);
}
