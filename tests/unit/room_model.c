/* See room_model.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "room_model.h"

/* ---- what was said ---- */

void model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
    for (unsigned i = 0; i < MODEL_ROOMS; i++) {
        struct model_room *r = &m->rooms[i];
        r->name_len = (size_t)snprintf(r->name, sizeof r->name, "room%u", i);
    }
}

void model_fini(struct model *m)
{
    for (unsigned i = 0; i < MODEL_ROOMS; i++)
        free(m->rooms[i].events);
    free(m->places);
}

/* "L17-qqqq...": most are short, some are worth deflating, a few need a chunk of their own. */
static size_t text_of(uint64_t label, char text[static MODEL_TEXT_MAX])
{
    int n = snprintf(text, 32, "L%llu-", (unsigned long long)label);
    size_t fill = (size_t)(label * 2654435761U % 3000);
    if (label % 3) fill %= 60;
    memset(text + n, 'a' + (int)(label % 26), fill);
    return (size_t)n + fill;
}

/* Doubles an array that is full. */
static void *grown(void *array, uint64_t count, uint64_t *cap, size_t size)
{
    if (count < *cap) return array;
    *cap = *cap ? *cap * 2 : 64;
    array = realloc(array, *cap * size);
    assert_non_null(array);
    return array;
}

uint64_t model_label(struct model *m, char text[static MODEL_TEXT_MAX], size_t *len)
{
    uint64_t label = m->label_count++;
    m->places = grown(m->places, label, &m->label_cap, sizeof *m->places);
    m->places[label] = (struct model_place){0, 0};
    *len = text_of(label, text);
    return label;
}

void model_epoch(struct model *m, unsigned room, const char *epoch)
{
    struct model_room *r = &m->rooms[room];
    if (memcmp(r->epoch, epoch, EVENT_EPOCH_LEN) == 0) return;
    /* A room of which retention by age left nothing is gone, and begins anew. */
    for (size_t i = 0; i < r->count && !m->forgets; i++)
        assert_int_equal(r->events[i].state, MODEL_LOST);
    memcpy(r->epoch, epoch, EVENT_EPOCH_LEN);
    r->count = 0;
}

/* Index of the first event with a larger seq. */
static size_t upper(const struct model_room *r, uint64_t seq)
{
    size_t low = 0;
    size_t high = r->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->events[mid].seq <= seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct model_event *model_find(const struct model *m, unsigned room, uint64_t seq)
{
    const struct model_room *r = &m->rooms[room];
    size_t i = upper(r, seq);
    return i > 0 && r->events[i - 1].seq == seq ? &r->events[i - 1] : NULL;
}

uint64_t model_first(const struct model *m, unsigned room)
{
    const struct model_room *r = &m->rooms[room];
    for (size_t i = 0; i < r->count; i++)
        if (r->events[i].state != MODEL_LOST) return r->events[i].seq;
    return 0;
}

uint64_t model_after(const struct model *m, unsigned room, uint64_t seq)
{
    const struct model_room *r = &m->rooms[room];
    uint64_t n = 0;
    for (size_t i = upper(r, seq); i < r->count; i++)
        n += r->events[i].state != MODEL_LOST;
    return n;
}

void model_add(struct model *m, unsigned room, const struct store_event *e, uint64_t label)
{
    struct model_room *r = &m->rooms[room];
    if (r->count) assert_true(e->seq > r->events[r->count - 1].seq);
    uint64_t cap = r->cap;
    r->events = grown(r->events, r->count, &cap, sizeof *r->events);
    r->cap = cap;
    r->events[r->count++] =
        (struct model_event){.seq = e->seq, .target = e->target, .label = label, .kind = e->kind};
    m->places[label] = (struct model_place){room, e->seq};
    struct model_event *target = e->target ? model_find(m, room, e->target) : NULL;
    if (target && e->kind == STORE_EDIT) target->edited = true;
    if (target && e->kind == STORE_DELETE) target->deleted = true;
}

unsigned model_room(const struct model *m, struct slice name)
{
    for (unsigned i = 0; i < MODEL_ROOMS; i++)
        if (slice_is(name, m->rooms[i].name)) return i;
    fail_msg("no such room");
    return 0;
}

void model_decide(struct model *m, struct slice room, uint64_t seq, bool lost)
{
    struct model_event *e = model_find(m, model_room(m, room), seq);
    assert_non_null(e);
    assert_int_equal(e->state, MODEL_PENDING);
    e->state = lost ? MODEL_LOST : MODEL_COMMITTED;
}

void model_refuse(struct model *m, struct slice room, uint64_t seq)
{
    struct model_event *e = model_find(m, model_room(m, room), seq);
    if (e) e->refused = ++m->clock; /* else the room has begun again without it */
}

/* ---- what a member sees ---- */

void view_begin(struct view *v, struct model *m, unsigned room, const struct join *j)
{
    bool resumed = j->resume && j->recovered;
    *v = (struct view){
        .model = m,
        .room = room,
        .encoding = j->encoding,
        .head = j->head.seq,
        .pos = resumed ? j->since.seq : j->head.seq,
        .open = !resumed,
        .past = true,
        .from_store = j->from_store,
        .replayed = j->replayed,
        .history = resumed ? 0 : j->history,
        .began = ++m->clock,
    };
}

void view_turn_to_newest(struct view *v, unsigned history)
{
    v->open = true;
    v->pos = v->head;
    v->history = history;
}

static const struct model_room *room_of(const struct view *v)
{
    return &v->model->rooms[v->room];
}

/* Whether a view that goes beyond this event must have it. */
static bool is_wanted(const struct view *v, const struct model_event *e)
{
    if (e->kind != STORE_MESSAGE && !encoding_is_rich(v->encoding)) return false;
    bool live = e->seq > v->head;
    if (live && !v->model->strict) return true; /* lost or not, changed later or not */
    if (e->state == MODEL_LOST) return false;
    const struct model_event *m = e;
    if (e->kind == STORE_EDIT) m = model_find(v->model, v->room, e->target);
    return e->kind > STORE_EDIT || !m || !m->deleted;
}

/* Nothing that the member must have lies between its place and seq. */
static void check_no_hole(const struct view *v, uint64_t seq)
{
    const struct model_room *r = room_of(v);
    for (size_t i = upper(r, v->pos); i < r->count && r->events[i].seq < seq; i++)
        if (is_wanted(v, &r->events[i]))
            fail_msg(
                "encoding %u: %llu is missing between %llu and %llu (head %llu, replayed %u%s)",
                v->encoding, (unsigned long long)r->events[i].seq, (unsigned long long)v->pos,
                (unsigned long long)seq, (unsigned long long)v->head, v->replayed,
                v->from_store ? ", from store" : "");
}

/* Messages that have to be in the newest page up to the head. */
static uint64_t past_messages(const struct view *v)
{
    const struct model_room *r = room_of(v);
    uint64_t newer = 0; /* events of the room that are kept */
    uint64_t n = 0;
    for (size_t i = r->count; i-- > 0;) {
        const struct model_event *e = &r->events[i];
        newer += e->state == MODEL_COMMITTED;
        if (v->model->keep_events && newer > v->model->keep_events) break;
        n += e->seq <= v->head && e->kind == STORE_MESSAGE && e->state == MODEL_COMMITTED &&
             !e->deleted;
    }
    return v->model->forgets ? 0 : n;
}

/* The past is over. */
static void end_past(struct view *v)
{
    if (!v->past) return;
    v->past = false;
    if (!v->from_store) assert_int_equal(v->past_frames, v->replayed);
    if (v->open && v->history > 0) {
        bool exact = !v->from_store || !encoding_is_rich(v->encoding); /* else changes count too */
        uint64_t there = past_messages(v);
        if (exact) assert_true(v->past_messages >= (there < v->history ? there : v->history));
        assert_true(v->past_messages <= v->history);
    }
    if (v->open && v->history == 0) assert_int_equal(v->past_frames, 0);
    if (v->open && v->past_frames == 0) v->pos = v->head;
    v->open = false;
    check_no_hole(v, v->head + 1);
    if (v->pos < v->head) v->pos = v->head;
}

static uint64_t number_behind(struct slice json, const char *key)
{
    const char *at = memmem(json.ptr, json.len, key, strlen(key));
    if (!at) fail_msg("no %s in %.*s", key, (int)json.len, json.ptr);
    return strtoull(at + strlen(key), NULL, 10);
}

/* The label of the text behind this key, which has to be whole. */
static uint64_t label_behind(const struct view *v, struct slice json, const char *key)
{
    char text[MODEL_TEXT_MAX];
    char begin[32];
    int n = snprintf(begin, sizeof begin, "\"%s\":\"L", key);
    uint64_t label = number_behind(json, begin);
    size_t len = text_of(label, text);
    const char *at = memmem(json.ptr, json.len, begin, (size_t)n) + n - 1;
    assert_true(label < v->model->label_count);
    bool whole = (size_t)(json.ptr + json.len - at) > len && at[len] == '"';
    if (!whole || memcmp(at, text, len) != 0)
        fail_msg("not the text of label %llu: %.*s", (unsigned long long)label, (int)json.len,
                 json.ptr);
    return label;
}

/* The message as of this label may be shown now. */
static void check_version(const struct view *v, const struct model_event *e, uint64_t label)
{
    const struct model_room *r = room_of(v);
    bool live = e->seq > v->head;
    if (live && !v->model->strict) assert_int_equal(label, e->label);
    uint64_t version = e->seq;
    if (label != e->label) {
        const struct model_place *place = &v->model->places[label];
        assert_int_equal(place->room, v->room);
        const struct model_event *edit = model_find(v->model, v->room, place->seq);
        assert_true(edit && edit->kind == STORE_EDIT && edit->target == e->seq);
        version = edit->seq;
    }
    if (live || encoding_is_rich(v->encoding) || (!e->edited && !e->deleted)) return;
    for (size_t i = upper(r, e->seq); i < r->count && r->events[i].seq <= v->head; i++) {
        const struct model_event *x = &r->events[i];
        if (x->target != e->seq || x->state != MODEL_COMMITTED) continue;
        if (x->kind == STORE_EDIT && version < x->seq)
            fail_msg("%llu is shown as of %llu, but was edited by %llu", (unsigned long long)e->seq,
                     (unsigned long long)version, (unsigned long long)x->seq);
        if (x->kind == STORE_DELETE)
            fail_msg("%llu is shown, but was deleted by %llu", (unsigned long long)e->seq,
                     (unsigned long long)x->seq);
    }
}

static void check_content(const struct view *v, const struct model_event *e, struct slice json)
{
    static const char *const types[] = {"message", "edit", "delete", "react", "unreact"};
    char type[32];
    int n = snprintf(type, sizeof type, "{\"type\":\"%s\"", types[e->kind]);
    if (encoding_keeps(v->encoding)) assert_memory_equal(json.ptr, type, (size_t)n);
    if (e->kind == STORE_MESSAGE)
        check_version(v, e, label_behind(v, json, "message"));
    else if (e->kind == STORE_EDIT)
        assert_int_equal(label_behind(v, json, "message"), e->label);
    else if (e->kind != STORE_DELETE)
        assert_int_equal(label_behind(v, json, "emoji"), e->label);
}

/* A member of rung 0 is told no seq. Under strict it may see the text of an edit. */
static uint64_t seq_of(const struct view *v, struct slice json)
{
    if (encoding_keeps(v->encoding)) return number_behind(json, "\"seq\":");
    const struct model_place *place = &v->model->places[label_behind(v, json, "message")];
    assert_int_equal(place->room, v->room);
    const struct model_event *e = model_find(v->model, v->room, place->seq);
    assert_non_null(e);
    return e->kind == STORE_EDIT ? e->target : e->seq;
}

void view_take(struct view *v, struct slice json)
{
    uint64_t seq = seq_of(v, json);
    const struct model_event *e = model_find(v->model, v->room, seq);
    assert_non_null(e);
    assert_true(e->kind == STORE_MESSAGE || encoding_is_rich(v->encoding));
    if (v->model->strict && e->state != MODEL_COMMITTED)
        fail_msg("%llu is delivered in state %d (head %llu)", (unsigned long long)seq, e->state,
                 (unsigned long long)v->head);
    if (e->refused && e->refused < v->began)
        fail_msg("%llu is delivered although it was refused", (unsigned long long)seq);
    if (seq > v->head) end_past(v);
    if (v->open && v->past_frames == 0) v->pos = seq - 1;
    if (seq <= v->pos)
        fail_msg("%llu came after %llu (head %llu)", (unsigned long long)seq,
                 (unsigned long long)v->pos, (unsigned long long)v->head);
    check_no_hole(v, seq);
    check_content(v, e, json);
    v->past_frames += v->past;
    v->past_messages += v->past && e->kind == STORE_MESSAGE;
    v->pos = seq;
    v->received++;
}

void view_end(struct view *v)
{
    end_past(v);
    check_no_hole(v, UINT64_MAX);
}
