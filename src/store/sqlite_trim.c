/* Retention of the SQLite store: one small transaction a step, without fsync (events that come back
 * after a power cut are removed again), so that a batch waits a few ms for it at most.
 *
 * It does not walk over the rooms, of which there may be a million with nothing to remove. Who has
 * too many events or bytes is known from writing (sqlite_rooms.h); who has too old ones, from an
 * index on the time of each room's oldest event, which only retention itself changes; who is the
 * largest, from an index on the weights in the rows. Only at start every room is looked at once.
 *
 * A room whose last event goes is gone, markers and all.
 *
 * A room with damage is passed over for a while, and the others have their turn. As there is no
 * more writing in a transaction that has met damage, the step begins anew without that room, where
 * it began before. */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/sqlite_rooms.h"

enum {
    ROOMS_MAX = 64,            /* looked at in a step */
    STUCK_MS = 600 * 1000,     /* until a room with damage is tried again */
    LARGE_MIN_BYTES = 64 << 10 /* what a row may not know of yet, see sqlite_rooms.c */
};

/* What is left to do in this step, and what it has done. */
struct step {
    struct sqlite_store *s;
    int64_t before_ms; /* events older than this are too old */
    bool make_place;   /* whatever is there may go */
    int64_t at;        /* the room that is looked at; 0: none */
    unsigned rooms;
    int64_t events; /* and reactions to them, of those that go */
    int64_t bytes;
    uint64_t trimmed;
    uint64_t gone;                         /* rooms */
    int64_t sweep_id;                      /* of before */
    struct sqlite_room *listed[ROOMS_MAX]; /* taken out of the list */
    unsigned listed_count;
};

/* A room that is looked at, with its tail in its row. */
struct candidate {
    struct sqlite_room *room;
    int64_t id;
    int64_t count;
    int64_t bytes;
    int64_t oldest_ms;
};

/* What goes from one room now: the oldest events. */
struct cut {
    int64_t seq;
    int64_t count;
    int64_t bytes;
    bool rest;       /* something stays */
    int64_t rest_ms; /* time of the oldest that does */
    int64_t reactions;
};

void sqlite_trim_all(struct sqlite_store *s)
{
    s->sweep_id = 1;
    s->base.trim_need = TRIM_NOW;
}

int sqlite_trim_measure(struct sqlite_store *s)
{
    int64_t pages = 0;
    int64_t unused = 0;
    int64_t most = (int64_t)s->base.limits.max_bytes;
    if (!most) return SQLITE_OK;
    int rc = sqlite_db_number(s->stmt[WRITE_PAGES], &pages);
    if (!rc) rc = sqlite_db_number(s->stmt[WRITE_FREE_PAGES], &unused);
    if (rc) return rc;
    int64_t used = (pages - unused) * s->page_bytes;
    s->space = most - used;
    atomic_store_explicit(&s->base.bytes, (uint64_t)used, memory_order_relaxed);
    if (s->space <= 0) atomic_store_explicit(&s->base.full, true, memory_order_relaxed);
    /* Not at once, or it would go back and forth with every message. */
    if (s->space > most / 16) atomic_store_explicit(&s->base.full, false, memory_order_relaxed);
    s->crowded = s->space < most / 16 && atomic_load(&s->base.rooms) > s->stuck.count;
    if (s->crowded && s->base.limits.trim_when_full) s->base.trim_need = TRIM_NOW;
    return SQLITE_OK;
}

/* Reads the row; the tail is written away first, since retention may take some of it. */
static int find_candidate(struct sqlite_store *s, struct candidate *c)
{
    char text[STORE_NAME_MAX_BYTES];
    struct slice name = {text, 0};
    sqlite3_stmt *stmt = s->stmt[WRITE_TRIMMED_ROOM];
    sqlite3_bind_int64(stmt, 1, c->id);
    int rc = sqlite3_step(stmt);
    bool tail = false;
    if (rc == SQLITE_ROW) {
        const void *bytes = sqlite3_column_text(stmt, 0);
        name.len = (size_t)sqlite3_column_bytes(stmt, 0);
        if (name.len > sizeof text) name.len = 0;
        if (name.len) memcpy(text, bytes, name.len);
        c->count = sqlite3_column_int64(stmt, 1);
        c->bytes = sqlite3_column_int64(stmt, 2);
        c->oldest_ms = sqlite3_column_int64(stmt, 3);
        tail = sqlite3_column_int(stmt, 4);
    }
    int end = sqlite3_reset(stmt);
    bool sound =
        rc == SQLITE_ROW && name.len > 0 && sqlite_db_sane(c->count) && sqlite_db_sane(c->bytes);
    if (!sound) return end ? end : SQLITE_CORRUPT;
    HASH_FIND(hh, s->rooms, name.ptr, name.len, c->room);
    if (!tail) return SQLITE_OK;
    rc = sqlite_rooms_find(s, name, &c->room);
    if (!rc && !c->room->found) rc = SQLITE_CORRUPT;
    if (rc) return rc;
    c->count += c->room->count;
    c->bytes += c->room->bytes;
    return sqlite_rooms_settle(s, c->room);
}

/* Whether the event of this row goes. The newest goes for its age, or to make place. */
static bool goes(const struct step *t, const struct candidate *c, const struct cut *cut,
                 sqlite3_stmt *row)
{
    const struct store_keep *keep = &t->s->base.keep;
    if (cut->count && (t->events + cut->count + cut->reactions >= STORE_TRIM_MAX ||
                       t->bytes + cut->bytes >= STORE_TRIM_MAX_BYTES))
        return false;
    if (t->make_place || sqlite3_column_int64(row, 1) < t->before_ms) return true;
    return cut->count + 1 < c->count &&
           (cut->count < sqlite_rooms_excess(c->count, keep->max_events) ||
            cut->bytes < sqlite_rooms_excess(c->bytes, keep->max_bytes));
}

static int choose_cut(const struct step *t, const struct candidate *c, struct cut *cut)
{
    sqlite3_stmt *stmt = t->s->stmt[WRITE_OLDEST];
    *cut = (struct cut){0};
    sqlite3_bind_int64(stmt, 1, c->id);
    sqlite3_bind_int64(stmt, 2, STORE_TRIM_MAX + 1);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        cut->rest_ms = sqlite3_column_int64(stmt, 1);
        cut->rest = !goes(t, c, cut, stmt);
        if (cut->rest) break;
        cut->seq = sqlite3_column_int64(stmt, 0);
        cut->count++;
        cut->bytes += sqlite3_column_int64(stmt, 2);
        cut->reactions += sqlite3_column_int64(stmt, 3);
    }
    int end = sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : end;
}

static int drop_room(struct step *t, const struct candidate *c)
{
    int rc = sqlite_run_with(t->s->stmt[WRITE_DROP_MARKS], &c->id, 1);
    if (!rc) rc = sqlite_run_with(t->s->stmt[WRITE_DROP_ROOM], &c->id, 1);
    if (c->room) sqlite_rooms_gone(c->room);
    t->gone++;
    return rc;
}

static int apply_cut(struct step *t, const struct candidate *c, const struct cut *cut)
{
    struct sqlite_store *s = t->s;
    const int64_t values[] = {c->id, cut->seq, cut->count, cut->bytes, cut->rest_ms};
    int rc = SQLITE_OK;
    if (cut->count) {
        rc = sqlite_search_remove(s, c->id, 0, cut->seq);
        if (!rc) rc = sqlite_state_forget(s, c->id, 0, cut->seq);
        if (!rc) rc = sqlite_run_with(s->stmt[WRITE_DELETE], values, 2);
        if (c->room) sqlite_rooms_shrink(c->room, cut->count, cut->bytes);
    }
    if (rc) return rc;
    if (!cut->rest) return drop_room(t, c);
    if (cut->count) return sqlite_run_with(s->stmt[WRITE_TRIMMED], values, 5);
    if (cut->rest_ms == c->oldest_ms) return SQLITE_OK;
    const int64_t oldest[] = {c->id, cut->rest_ms};
    return sqlite_run_with(s->stmt[WRITE_SET_OLDEST], oldest, 2);
}

/* Removes what has to go from the room, as far as this step may. An SQLITE_ code. */
static int tidy(struct step *t, int64_t id)
{
    struct candidate c = {.id = id};
    struct cut cut;
    t->at = id;
    int rc = find_candidate(t->s, &c);
    if (!rc) rc = choose_cut(t, &c, &cut);
    if (!rc) rc = apply_cut(t, &c, &cut);
    if (rc) return rc;
    t->at = 0;
    t->rooms++;
    t->events += cut.count + cut.reactions;
    t->bytes += cut.bytes;
    t->trimmed += (uint64_t)cut.count;
    return SQLITE_OK;
}

static bool step_may_go_on(const struct step *t)
{
    return t->rooms < ROOMS_MAX && t->events < STORE_TRIM_MAX && t->bytes < STORE_TRIM_MAX_BYTES;
}

static bool is_stuck(const struct sqlite_store *s, int64_t id)
{
    for (unsigned i = 0; i < s->stuck.count; i++)
        if (s->stuck.ids[i] == id) return true;
    return false;
}

/* Whether it can be. An index for search with damage is not of the room, and is made anew. */
static bool pass_over(struct sqlite_store *s, int64_t id)
{
    struct sqlite_stuck *stuck = &s->stuck;
    if (!id || s->met.mends || stuck->count == SQLITE_STUCK_MAX) return false;
    if (stuck->count == 0) stuck->until_ms = clock_ms(CLOCK_MONOTONIC) + STUCK_MS;
    stuck->ids[stuck->count++] = id;
    return true;
}

static void try_stuck_again(struct sqlite_store *s)
{
    if (s->stuck.count == 0 || clock_ms(CLOCK_MONOTONIC) < s->stuck.until_ms) return;
    s->stuck.count = 0;
    sqlite_trim_all(s);
}

/* The first id that the query gives, but for rooms that are passed over; 0 if there is none. */
static int first_room(struct sqlite_store *s, enum write_stmt which, int64_t value, int64_t *id)
{
    sqlite3_stmt *stmt = s->stmt[which];
    *id = 0;
    if (sqlite3_bind_parameter_count(stmt)) sqlite3_bind_int64(stmt, 1, value);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        *id = sqlite3_column_int64(stmt, 0);
        if (!is_stuck(s, *id)) break;
        *id = 0;
    }
    int end = sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : end;
}

/* Those that have too many events or bytes, one after the other. */
static int tidy_rooms_over(struct step *t)
{
    struct sqlite_store *s = t->s;
    struct sqlite_room *room;
    int rc = SQLITE_OK;
    while (!rc && step_may_go_on(t) && t->listed_count < ROOMS_MAX &&
           (room = sqlite_rooms_next_over(s))) {
        if (is_stuck(s, room->id)) continue;
        t->listed[t->listed_count++] = room;
        t->at = room->id;
        rc = sqlite_rooms_find(s, (struct slice){room->name, room->name_len}, &room);
        bool gone = !rc && !room->found;
        if (rc || gone || is_stuck(s, room->id)) continue;
        t->at = room->id;
        rc = tidy(t, room->id);
        if (!rc) sqlite_rooms_note_over(s, room);
    }
    return rc;
}

/* After an error: what was done will be undone, and is to be done again. */
static void begin_anew(struct step *t)
{
    struct sqlite_store *s = t->s;
    for (unsigned i = 0; i < t->listed_count; i++)
        sqlite_rooms_list_over(s, t->listed[i]);
    s->sweep_id = t->sweep_id;
    s->base.trim_need = TRIM_NOW;
}

static int tidy_rooms_aged(struct step *t)
{
    int64_t id = 0;
    int rc = SQLITE_OK;
    while (!rc && step_may_go_on(t) && t->before_ms != INT64_MIN) {
        rc = first_room(t->s, WRITE_AGED_ROOM, t->before_ms, &id);
        if (rc || !id) break;
        rc = tidy(t, id);
    }
    return rc;
}

/* The largest give way first; if none is large, those that have been there for the longest. */
static int tidy_rooms_largest(struct step *t)
{
    struct sqlite_store *s = t->s;
    int64_t id = 0;
    int rc = SQLITE_OK;
    t->make_place = true;
    while (!rc && step_may_go_on(t) && s->crowded && s->base.limits.trim_when_full) {
        rc = first_room(s, WRITE_LARGEST_ROOM, LARGE_MIN_BYTES, &id);
        if (!rc && !id) rc = first_room(s, WRITE_OLDEST_ROOM, 0, &id);
        if (rc || !id) break;
        s->base.trims_rooms = true;
        rc = tidy(t, id);
        if (!rc) rc = sqlite_trim_measure(s);
    }
    t->make_place = false;
    return rc;
}

static int tidy_all(struct step *t)
{
    struct sqlite_store *s = t->s;
    bool limits = s->base.keep.max_events || s->base.keep.max_bytes;
    int64_t id = 0;
    int rc = SQLITE_OK;
    if (!limits) s->sweep_id = 0;
    while (!rc && step_may_go_on(t) && s->sweep_id) {
        rc = first_room(s, WRITE_NEXT_ROOM, s->sweep_id, &id);
        if (!rc && id) rc = tidy(t, id);
        bool more = t->events >= STORE_TRIM_MAX || t->bytes >= STORE_TRIM_MAX_BYTES;
        s->sweep_id = !id || id == INT64_MAX ? 0
                      : more                 ? id
                                             : id + 1; /* one that may have had more comes again */
    }
    return rc;
}

/* What there is to do after a step; some of it may have been too much for it. */
static void set_trim_need(const struct step *t)
{
    struct sqlite_store *s = t->s;
    bool again = !step_may_go_on(t) || s->sweep_id;
    s->base.trim_need = again ? TRIM_NOW : s->over || s->stuck.count ? TRIM_SOON : TRIM_NONE;
}

int sqlite_trim_step(struct sqlite_store *s, int64_t now_ms, uint64_t *trimmed, bool *passed)
{
    struct store_backend *b = &s->base;
    struct step t = {.s = s, .before_ms = INT64_MIN};
    int64_t indexed = s->indexed;
    uint64_t max_age_ms = b->keep.max_age_ms;
    if (max_age_ms && now_ms > 0 && max_age_ms < (uint64_t)now_ms)
        t.before_ms = now_ms - (int64_t)max_age_ms;
    sqlite_rooms_bound(s);
    try_stuck_again(s);
    t.sweep_id = s->sweep_id;
    int rc = sqlite_db_sync(s, false);
    if (!rc) rc = sqlite_run(s->stmt[WRITE_BEGIN]);
    if ((rc & 0xff) == SQLITE_BUSY) return ERR_BUSY; /* another program writes for long */
    if (!rc) rc = tidy_rooms_over(&t);
    if (!rc) rc = tidy_rooms_aged(&t);
    if (!rc) rc = tidy_rooms_largest(&t);
    if (!rc) rc = tidy_all(&t);
    if (!rc && t.trimmed) rc = sqlite_search_trimmed(s, &indexed);
    if (!rc) rc = sqlite_run(s->stmt[WRITE_COMMIT]);
    if (rc) {
        int err = sqlite_db_fail(s, rc);
        *passed = err == ERR_STORE_DAMAGED && pass_over(s, t.at);
        begin_anew(&t);
        return err;
    }
    s->indexed = indexed;
    *trimmed = t.trimmed;
    uint64_t rooms = atomic_load(&b->rooms); /* at least, if damage kept them from being counted */
    if (t.gone) atomic_store(&b->rooms, rooms > t.gone ? rooms - t.gone : 0);
    set_trim_need(&t);
    (void)sqlite_trim_measure(s); /* the next batch does it again */
    sqlite_file_settle(s);
    return 0;
}
