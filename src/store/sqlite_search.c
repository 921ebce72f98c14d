/* The index for search in the SQLite store: an FTS5 table that holds no text, only which words are
 * in which event. sqlite_reader.c asks it.
 *
 * Why not in the transaction of the batch: indexing a message costs more than storing it. So the
 * writer indexes in steps of its own, and meta.indexed says how far it got: exactly the messages
 * with an id up to it, with the texts that they have now, are in the index. It is committed
 * together with the index, so neither kill -9 nor a rollback can part them. What changes the text
 * of an indexed message (an edit, a delete, retention) changes the index in the same transaction,
 * because FTS5 has to be told the text that goes. Retention may remove the newest event, and SQLite
 * gives its id to the next one: meta.indexed goes back then. An index that turns out to be damaged
 * is emptied and made anew: it holds nothing that the messages do not. Until it has everything of
 * before, and while it cannot be written, a search is refused: it would find too little.
 *
 * The room's id is indexed as a word of its own, so that a search does not read what other rooms
 * have said. Ids of events grow with the seqs of their room, so the newest come first for free. */
#include <limits.h>

#include "base/err.h"
#include "store/sqlite_db.h"

enum {
    STEP_MAX = 256, /* events in one step of indexing, then appends have their turn */
    STEP_MAX_BYTES = 128 << 10,
    MATCH_MAX_BYTES = 16 * STORE_SEARCH_MAX_BYTES, /* quotes and ANDs around one-letter words */
};

/* ---- the writer ---- */

int sqlite_search_add(struct sqlite_store *s, int64_t id)
{
    const int64_t range[] = {id - 1, id};
    return id > s->indexed ? SQLITE_OK : sqlite_run_with(s->stmt[WRITE_INDEX], range, 2);
}

int sqlite_search_remove(struct sqlite_store *s, int64_t room, int64_t from_seq, int64_t to_seq)
{
    const int64_t values[] = {room, from_seq, to_seq, s->indexed};
    return sqlite_run_with(s->stmt[WRITE_UNINDEX], values, 4);
}

/* The index has everything again once it has what there is now. */
static int lack(struct sqlite_store *s)
{
    s->index_goal = INT64_MAX;
    atomic_store(&s->index_whole, 0);
    return sqlite_db_number(s->stmt[WRITE_LAST_ID], &s->index_goal);
}

/* Nothing of before is missing any more. A reader may notice damage meanwhile. */
static void whole(struct sqlite_store *s)
{
    if (atomic_load(&s->index_whole)) return;
    atomic_store(&s->index_whole, ++s->index_times);
    if (atomic_load(&s->index_damaged)) atomic_store(&s->index_whole, 0);
}

int sqlite_search_mend(struct sqlite_store *s)
{
    const int64_t none = 0;
    if (!atomic_load(&s->index_damaged)) return SQLITE_OK;
    int rc = lack(s);
    if (!rc) rc = sqlite_run(s->stmt[WRITE_BEGIN]);
    if (!rc) rc = sqlite_run(s->stmt[WRITE_CLEAR_INDEX]);
    if (!rc) rc = sqlite_run_with(s->stmt[WRITE_SET_INDEXED], &none, 1);
    if (!rc) rc = sqlite_run(s->stmt[WRITE_COMMIT]);
    if (!rc) {
        s->indexed = 0;
        atomic_store(&s->index_damaged, false);
    }
    if (rc) sqlite_db_rollback(s);
    sqlite_file_settle(s); /* whoever called may not come to a transaction of its own */
    return rc;
}

/* Sets *to to the last id of the next step, 0 if everything is indexed. */
static int choose_end(struct sqlite_store *s, int64_t *to)
{
    sqlite3_stmt *stmt = s->stmt[WRITE_UNINDEXED];
    int64_t bytes = 0;
    int rc;
    *to = 0;
    sqlite3_bind_int64(stmt, 1, s->indexed);
    sqlite3_bind_int64(stmt, 2, STEP_MAX);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && bytes < STEP_MAX_BYTES) {
        *to = sqlite3_column_int64(stmt, 0);
        bytes += sqlite3_column_int64(stmt, 1);
    }
    int end = sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : end;
}

static int index_up_to(struct sqlite_store *s, int64_t to)
{
    const int64_t range[] = {s->indexed, to};
    int rc = sqlite_run_with(s->stmt[WRITE_INDEX], range, 2);
    if (!rc) rc = sqlite_run_with(s->stmt[WRITE_SET_INDEXED], &to, 1);
    return rc ? rc : sqlite_run(s->stmt[WRITE_COMMIT]);
}

int sqlite_search_step(struct sqlite_store *s, bool *more)
{
    int64_t to = 0;
    *more = false;
    if (s->import) return 0; /* it has a transaction of its own open; the next start indexes */
    int rc = sqlite_db_sync(s, false);
    if (!rc) rc = sqlite_search_mend(s);
    if (!rc) rc = choose_end(s, &to);
    *more = rc || to != 0;
    if (!rc && (to == 0 || s->indexed >= s->index_goal)) whole(s);
    if (!rc && to == 0) return 0;
    if (!rc) rc = sqlite_run(s->stmt[WRITE_BEGIN]);
    if ((rc & 0xff) == SQLITE_BUSY) return ERR_BUSY; /* another program writes for long */
    if (!rc) rc = index_up_to(s, to);
    if (rc) {
        atomic_store(&s->index_whole, 0);
        return sqlite_db_fail(s, rc);
    }
    s->indexed = to;
    sqlite_file_settle(s);
    return 0;
}

int sqlite_search_trimmed(struct sqlite_store *s, int64_t *indexed)
{
    int64_t last = 0;
    int rc = sqlite_db_number(s->stmt[WRITE_LAST_ID], &last);
    *indexed = s->indexed;
    if (!rc) rc = sqlite_file_trimmed(s, last);
    if (rc || last >= s->indexed) return rc;
    *indexed = last;
    return sqlite_run_with(s->stmt[WRITE_SET_INDEXED], &last, 1);
}

/* ---- words ---- */

int sqlite_search_open(struct sqlite_store *s)
{
    static const char type[] = "fts5_api_ptr";
    fts5_api *api = NULL;
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(s->db, "SELECT fts5(?1)", -1, &stmt, NULL);
    if (rc) return rc;
    sqlite3_bind_pointer(stmt, 1, &api, type, NULL);
    sqlite3_step(stmt);
    rc = sqlite3_finalize(stmt);
    if (rc) return rc;
    if (!api) return SQLITE_ERROR;
    lack(s); /* if it fails, until everything is indexed */
    return api->xFindTokenizer(api, "unicode61", &s->words_ctx, &s->words);
}

struct match {
    struct buf *out;
    int last_len; /* of the last word */
    int err;
};

/* A word has letters and digits only, so in quotes it is nothing but a word. The parameters are
 * what FTS5 calls it with. NOLINTNEXTLINE(readability-function-size) */
static int on_word(void *ctx, int flags, const char *word, int len, int start, int end)
{
    struct match *m = ctx;
    (void)flags;
    (void)start;
    (void)end;
    const char *before = m->out->len ? " AND \"" : "\"";
    m->err = buf_append(m->out, before, m->out->len ? 6 : 1, MATCH_MAX_BYTES);
    if (!m->err) m->err = buf_append(m->out, word, (size_t)len, MATCH_MAX_BYTES);
    if (!m->err) m->err = buf_append(m->out, "\"", 1, MATCH_MAX_BYTES);
    m->last_len = len;
    return m->err ? SQLITE_ABORT : SQLITE_OK;
}

int sqlite_search_parse(struct store_backend *b, struct slice text, struct buf *out)
{
    const struct sqlite_store *s = (struct sqlite_store *)b;
    const char *arguments[] = {"remove_diacritics", "2"};
    struct match m = {.out = out};
    Fts5Tokenizer *tokenizer = NULL; /* one for each call: it is not made for several threads */
    int rc = s->words.xCreate(s->words_ctx, arguments, 2, &tokenizer);
    if (!rc)
        rc = s->words.xTokenize(tokenizer, &m, FTS5_TOKENIZE_QUERY, text.ptr, (int)text.len,
                                on_word);
    if (tokenizer) s->words.xDelete(tokenizer);
    if (m.err) return m.err;
    if (rc) return ERR_NOMEM;
    if (out->len == 0) return ERR_BAD_REQUEST;
    bool prefix = m.last_len >= STORE_PREFIX_MIN_BYTES;
    return prefix ? buf_append(out, "*", 1, MATCH_MAX_BYTES) : 0;
}
