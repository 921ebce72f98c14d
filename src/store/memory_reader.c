/* The reading half of the memory store. Everything is done under the lock and copied.
 *
 * A search is a scan of the room, and its words are runs of ASCII letters and digits and of
 * whatever is not ASCII, compared without regard to the case of ASCII letters: enough where nothing
 * is kept for long. */
#include "store/memory_db.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

struct source {
    const struct mem_room *room;
    bool reactions;
};

static void describe(const struct mem *m, const struct mem_room *room, struct store_room *out)
{
    *out = (struct store_room){
        .first_seq = room->first < room->end ? room->events[room->first]->seq : 0,
        .last_seq = room->last_seq,
        .trimmed_seq = room->trimmed_seq,
        .outages = m->outages - room->outages,
    };
    memcpy(out->epoch, room->epoch, EVENT_EPOCH_LEN);
}

/* The room with its description, or NULL. Locks in any case. */
static struct mem_room *lock_room(struct mem *m, struct slice name, struct store_room *out)
{
    pthread_mutex_lock(&m->lock);
    struct mem_room *room = memory_find(m, name);
    if (!room || room->last_seq == 0) return NULL;
    describe(m, room, out);
    return room;
}

static bool is_shown(const struct mem_event *event)
{
    return event->kind == STORE_MESSAGE && !event->deleted;
}

static int add_nonce(const struct store_event *e, struct store_nonces *nonces)
{
    struct store_nonce nonce = {
        .seq = e->seq,
        .ts_ms = e->ts_ms,
        .user = e->user.ptr ? e->user : e->username,
        .nonce = e->nonce,
    };
    return store_nonces_add(nonces, &nonce);
}

static int add_marks(const struct mem_room *room, struct store_marks *out)
{
    int err = 0;
    for (const struct mem_mark *m = room->marks; m && !err; m = m->hh.next) {
        const struct store_mark mark = {m->seq, {m->user, m->user_len}};
        err = store_marks_add(out, &mark);
    }
    return err;
}

int memory_load(struct store_backend *b, unsigned reader, struct slice name, int64_t since_ms,
                struct store_load *out)
{
    (void)reader;
    struct mem *m = mem_of(b);
    int err = 0;
    const struct mem_room *room = lock_room(m, name, &out->room);
    for (size_t i = room ? room->end : 0; i > 0 && i > room->first && !err; i--) {
        const struct mem_event *event = room->events[i - 1];
        if (event->kind != STORE_MESSAGE || event->ts_ms <= since_ms) continue;
        const struct store_event e = memory_event_view(event);
        if (e.nonce.ptr) err = add_nonce(&e, &out->nonces);
    }
    if (err == ERR_FULL) err = 0;
    if (room && !err) err = add_marks(room, &out->marks);
    pthread_mutex_unlock(&m->lock);
    return room ? err : ERR_NOT_FOUND;
}

static int by_first(const void *a, const void *b)
{
    const struct mem_emoji *const *x = a;
    const struct mem_emoji *const *y = b;
    return ((*x)->first > (*y)->first) - ((*x)->first < (*y)->first);
}

static int add_reactions(struct store_answer *out, struct store_record *record,
                         const struct mem_event *event)
{
    const struct mem_emoji *emoji[STORE_REACTIONS_MAX];
    struct store_reaction reactions[STORE_REACTIONS_MAX];
    size_t n = 0;
    for (const struct mem_emoji *e = event->emojis; e && n < STORE_REACTIONS_MAX; e = e->next)
        if (e->count) emoji[n++] = e;
    if (n == 0) return 0;
    qsort(emoji, n, sizeof *emoji, by_first);
    for (size_t i = 0; i < n; i++) {
        reactions[i] = (struct store_reaction){{emoji[i]->text, emoji[i]->len}, emoji[i]->count};
        int err = store_arena_copy(&out->arena, &reactions[i].emoji);
        if (err) return err;
    }
    return store_answer_react(out, record, reactions, n);
}

static int add_copy(struct store_answer *out, const struct mem_event *event, bool reactions)
{
    const struct store_event e = memory_event_view(event);
    struct store_record *copy = store_record_new((struct slice){NULL, 0}, &e);
    if (!copy) return ERR_NOMEM;
    out->records[out->count++] = copy;
    return reactions ? add_reactions(out, copy, event) : 0;
}

/* Goes over a room from a position on. */
struct walk {
    const struct mem_room *room;
    size_t at; /* the event before which it stands */
    bool backward;
    bool messages_only;
};

static struct walk walk_from(const struct mem_room *room, uint64_t position, bool backward,
                             bool messages_only)
{
    size_t at = memory_lower_bound(room, backward ? position : position + 1);
    return (struct walk){room, at, backward, messages_only};
}

static size_t ahead(const struct walk *w)
{
    return w->backward ? w->at - w->room->first : w->room->end - w->at;
}

/* The event that comes after n others. */
static struct mem_event *event_ahead(const struct walk *w, size_t n)
{
    return w->room->events[w->backward ? w->at - 1 - n : w->at + n];
}

static size_t skip(const struct walk *w, size_t n)
{
    uint32_t known = event_ahead(w, n)->skip[w->backward];
    return known ? known : 1;
}

/* How many come before the next message. Each of them learns it, so that a crowd is walked over
 * once and from then on in leaps. */
static size_t crowd(const struct walk *w)
{
    size_t most = ahead(w);
    size_t n = 0;
    while (n < most && !is_shown(event_ahead(w, n)))
        n += skip(w, n);
    if (n > most) n = most; /* retention has removed the rest */
    for (size_t i = 0; i < n;) {
        size_t next = i + skip(w, i);
        event_ahead(w, i)->skip[w->backward] = n - i < UINT32_MAX ? (uint32_t)(n - i) : UINT32_MAX;
        i = next;
    }
    return n;
}

/* NULL at the end. */
static struct mem_event *walk_next(struct walk *w)
{
    size_t n = w->messages_only ? crowd(w) : 0;
    if (n == ahead(w)) return NULL;
    struct mem_event *event = event_ahead(w, n);
    w->at = w->backward ? w->at - n - 1 : w->at + n + 1;
    return event;
}

static int read_span(void *ctx, struct store_span *span, struct store_answer *out)
{
    const struct source *source = ctx;
    struct walk w = walk_from(source->room, span->position, span->backward, span->messages_only);
    const struct mem_event *event;
    while ((event = walk_next(&w))) {
        if (!store_answer_take(span, memory_event_weigh(event))) break;
        int err = add_copy(out, event, source->reactions);
        if (err) return err;
    }
    return 0;
}

static uint64_t count_ahead(const struct mem_room *room, const struct store_query *q)
{
    bool backward = q->direction == STORE_BEFORE;
    struct walk w = walk_from(room, q->position, backward, q->messages_only);
    uint64_t n = 0;
    while (n < q->count_max && walk_next(&w))
        n++;
    return n;
}

/* As find_newest of sqlite_reader.c. */
static void find_newest(const struct mem_room *room, struct store_query *q, uint64_t *total)
{
    struct walk w = walk_from(room, q->position, true, q->messages_only);
    const struct mem_event *event;
    uint64_t first = 0;
    while (*total < q->limit && (event = walk_next(&w))) {
        first = event->seq;
        ++*total;
    }
    q->direction = STORE_AFTER;
    q->position = first ? first - 1 : q->position;
    q->count_max = 0;
}

int memory_page(struct store_backend *b, unsigned reader, const struct store_query *q,
                struct store_answer *out)
{
    (void)reader;
    struct mem *m = mem_of(b);
    int err = ERR_NOT_FOUND;
    struct source source = {lock_room(m, q->room, &out->room), q->reactions};
    if (source.room) {
        struct store_query mine = *q;
        if (q->direction == STORE_NEWEST) find_newest(source.room, &mine, &out->total);
        err = store_answer_page(out, &mine, read_span, &source);
        bool counted = mine.count_max && q->direction != STORE_AROUND;
        if (counted) out->total = count_ahead(source.room, &mine);
    }
    pthread_mutex_unlock(&m->lock);
    return err;
}

static bool in_word(char c)
{
    return (c & 0x80) || isalnum((unsigned char)c);
}

/* Takes the next word off the text; empty at the end. */
static struct slice next_word(struct slice *text)
{
    while (text->len && !in_word(*text->ptr)) {
        text->ptr++;
        text->len--;
    }
    struct slice word = {text->ptr, 0};
    while (word.len < text->len && in_word(word.ptr[word.len]))
        word.len++;
    text->ptr += word.len;
    text->len -= word.len;
    return word;
}

int memory_parse(struct store_backend *b, struct slice text, struct buf *out)
{
    (void)b;
    struct slice rest = text;
    if (next_word(&rest).len == 0) return ERR_BAD_REQUEST;
    return buf_append(out, text.ptr, text.len, STORE_SEARCH_MAX_BYTES);
}

static bool has_word(struct slice text, struct slice word, bool prefix)
{
    for (struct slice w = next_word(&text); w.len; w = next_word(&text)) {
        if (w.len < word.len || (w.len > word.len && !prefix)) continue;
        if (strncasecmp(w.ptr, word.ptr, word.len) == 0) return true;
    }
    return false;
}

static bool has_words(struct slice text, struct slice words)
{
    struct slice word = next_word(&words);
    while (word.len) {
        struct slice next = next_word(&words);
        bool prefix = next.len == 0 && word.len >= STORE_PREFIX_MIN_BYTES;
        if (!has_word(text, word, prefix)) return false;
        word = next;
    }
    return true;
}

static int find_words(const struct mem_room *room, const struct store_search *q,
                      struct store_span *span, struct store_answer *out)
{
    struct walk w = walk_from(room, q->before, true, true);
    const struct mem_event *event;
    int err = 0;
    while (!err && (event = walk_next(&w))) {
        if (!has_words(memory_event_view(event).message, q->text)) continue;
        if (!store_answer_take(span, memory_event_weigh(event))) break;
        err = add_copy(out, event, false);
    }
    return err;
}

int memory_search(struct store_backend *b, unsigned reader, const struct store_search *q,
                  struct store_answer *out)
{
    (void)reader;
    struct mem *m = mem_of(b);
    int err = 0;
    struct store_span span = {.limit = q->limit, .sure = 1, .max_bytes = STORE_PAGE_MAX_BYTES};
    const struct mem_room *room = lock_room(m, q->room, &out->room);
    if (room) err = find_words(room, q, &span, out);
    pthread_mutex_unlock(&m->lock);
    out->more_before = span.more;
    return room ? err : ERR_NOT_FOUND;
}

static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t len = a_len < b_len ? a_len : b_len;
    int order = len ? memcmp(a, b, len) : 0;
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int by_name(const void *a, const void *b)
{
    const struct mem_room *x = *(struct mem_room *const *)a;
    const struct mem_room *y = *(struct mem_room *const *)b;
    return compare_names(x->name, x->name_len, y->name, y->name_len);
}

static int add_info(const struct mem *m, const struct mem_room *room, struct store_room_list *out)
{
    bool kept = room->first < room->end;
    struct store_room_info *info = &out->rooms[out->count];
    *info = (struct store_room_info){
        .name = {room->name, room->name_len},
        .events = room->end - room->first,
        .bytes = room->bytes,
        .last_ts_ms = kept ? room->events[room->end - 1]->ts_ms : 0,
    };
    describe(m, room, &info->room);
    int err = store_arena_copy(&out->names, &info->name);
    if (!err) out->count++;
    return err;
}

int memory_list(struct store_backend *b, unsigned reader, struct slice after, unsigned limit,
                struct store_room_list *out)
{
    (void)reader;
    struct mem *m = mem_of(b);
    size_t n = 0;
    int err = 0;
    pthread_mutex_lock(&m->lock);
    struct mem_room **rooms = malloc((HASH_COUNT(m->rooms) + 1) * sizeof *rooms);
    for (struct mem_room *room = rooms ? m->rooms : NULL; room; room = room->hh.next)
        if (room->last_seq && compare_names(room->name, room->name_len, after.ptr, after.len) > 0)
            rooms[n++] = room;
    if (n) qsort(rooms, n, sizeof *rooms, by_name);
    for (size_t i = 0; i < n && i < limit && !err; i++)
        err = add_info(m, rooms[i], out);
    pthread_mutex_unlock(&m->lock);
    out->more = n > limit;
    if (!rooms) err = ERR_NOMEM;
    free(rooms);
    return err;
}
