/* Calls of the API that read: rooms, messages, search. See api_call.h. */
#include <string.h>

#include "api/api_call.h"
#include "base/err.h"
#include "chat/event_json.h"
#include "chat/hub.h"
#include "proto/json_out.h"
#include "server/conn.h"
#include "server/worker.h"

/* ---- rooms; encoded on the store's thread ---- */

static struct id id_in_epoch(const char *epoch, uint64_t seq)
{
    struct id id = {.seq = seq};
    memcpy(id.epoch, epoch, EVENT_EPOCH_LEN);
    return id;
}

static void put_room_info(struct json_out *o, const struct store_room_info *info, uint64_t members)
{
    const struct id head = id_in_epoch(info->room.epoch, info->room.last_seq);
    const struct id first = id_in_epoch(info->room.epoch, info->room.first_seq);
    json_out_text(o, SLICE_LIT("{\"room\":"), info->name);
    json_out_uint(o, SLICE_LIT(",\"members\":"), members);
    json_out_id(o, SLICE_LIT(",\"head\":"), &head);
    if (first.seq) {
        json_out_id(o, SLICE_LIT(",\"first\":"), &first);
        json_out_int(o, SLICE_LIT(",\"last_ts\":"), info->last_ts_ms);
    } else {
        json_out_raw(o, SLICE_LIT(",\"first\":null,\"last_ts\":null"));
    }
    json_out_uint(o, SLICE_LIT(",\"events\":"), info->events);
    json_out_uint(o, SLICE_LIT(",\"bytes\":"), info->bytes);
    json_out_raw(o, SLICE_LIT("}"));
}

static uint64_t count_members(struct hub *hub, struct slice name)
{
    struct room *room = hub_find(hub, name);
    if (!room) return 0;
    uint64_t members = room_member_count(room);
    room_unref(room);
    return members;
}

static int encode_rooms(struct api_question *q, const struct store_rooms *rooms)
{
    struct json_out o = json_out_begin(&q->json, CONN_OUT_MAX_BYTES);
    json_out_raw(&o, SLICE_LIT("{\"rooms\":["));
    for (size_t i = 0; i < rooms->count; i++) {
        if (i > 0) json_out_raw(&o, SLICE_LIT(","));
        put_room_info(&o, &rooms->rooms[i], count_members(q->hub, rooms->rooms[i].name));
    }
    json_out_bool(&o, SLICE_LIT("],\"more\":"), rooms->more);
    json_out_raw(&o, SLICE_LIT("}"));
    return json_out_end(&o);
}

int api_get_rooms(struct conn *c, struct api_call *call)
{
    char name[NAME_ROOM_MAX];
    struct slice after = {name, 0};
    unsigned limit = API_ROOMS_DEFAULT;
    int err = api_param_count(call, "limit", API_ROOMS_MAX, &limit);
    if (!err) err = api_param_text(call, "after", name, sizeof name, &after.len);
    if (err) return err;
    struct api_question *q = api_question_new(c, call);
    if (!q) return ERR_NOMEM;
    q->encode_rooms = encode_rooms;
    return api_ask_rooms(c, after, limit, q);
}

/* A room of which the store knows nothing exists if somebody is in it. */
static int put_silent_room(struct json_out *o, struct hub *hub, struct slice name)
{
    struct room *room = hub_find(hub, name);
    uint64_t members = room ? room_member_count(room) : 0;
    struct store_room_info info = {.name = name};
    if (members) { /* then it is READY, and its epoch is known */
        memcpy(info.room.epoch, room_epoch(room), EVENT_EPOCH_LEN);
        put_room_info(o, &info, members);
    }
    if (room) room_unref(room);
    return members ? 0 : ERR_NO_ROOM;
}

static int encode_room(struct api_question *q, const struct store_rooms *rooms)
{
    int err = 0;
    struct json_out o = json_out_begin(&q->json, CONN_OUT_MAX_BYTES);
    if (rooms->count > 0 && slice_equal(rooms->rooms[0].name, q->room))
        put_room_info(&o, &rooms->rooms[0], count_members(q->hub, q->room));
    else
        err = put_silent_room(&o, q->hub, q->room);
    return err ? err : json_out_end(&o);
}

/* The store tells all of a room in lists only. No name lies between this room's and the text that
 * is asked for here: it ends in a byte that UTF-8 does not have, after a last byte one lower. */
int api_get_room(struct conn *c, struct api_call *call)
{
    char before[NAME_ROOM_MAX + 1];
    size_t len = call->room.len;
    struct api_question *q = api_question_new(c, call);
    if (!q) return ERR_NOMEM;
    memcpy(before, call->room.ptr, len);
    before[len - 1] = (char)(before[len - 1] - 1); /* no name has a byte of 0 */
    before[len] = (char)0xFF;
    q->encode_rooms = encode_room;
    return api_ask_rooms(c, (struct slice){before, len + 1}, 1, q);
}

/* ---- messages ---- */

/* The store's thread. */
static int encode_messages(struct api_question *q, const struct store_page *page)
{
    struct json_out o = json_out_begin(&q->json, CONN_OUT_MAX_BYTES);
    json_out_text(&o, SLICE_LIT("{\"room\":"), q->room);
    json_out_raw(&o, SLICE_LIT(",\"messages\":["));
    q->window.max_bytes = API_PAGE_MAX_BYTES;
    if (page && !o.err) {
        const struct event_room room = {q->room, page->room.epoch};
        o.err = event_encode_page(&room, page, &q->window, &q->json);
    }
    bool more = q->window.cut || (page && (page->more_before || page->more_after));
    json_out_bool(&o, SLICE_LIT("],\"more\":"), more);
    json_out_raw(&o, SLICE_LIT("}"));
    return json_out_end(&o);
}

/* At most one of before, after and around. */
static int read_page_position(const struct api_call *call, struct store_query *query, struct id *at)
{
    static const struct {
        const char *key;
        enum store_direction direction;
    } positions[] = {{"before", STORE_BEFORE}, {"after", STORE_AFTER}, {"around", STORE_AROUND}};
    unsigned given = 0;
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        struct id id = {.seq = UINT64_MAX};
        int err = api_param_id(call, positions[i].key, &id);
        if (err) return err;
        if (id.seq == UINT64_MAX) continue;
        query->direction = positions[i].direction;
        query->position = id.seq;
        *at = id;
        given++;
    }
    return given > 1 ? ERR_BAD_PARAMETER : 0;
}

int api_get_messages(struct conn *c, struct api_call *call)
{
    struct id at = {.seq = 0};
    struct store_query query = {
        .direction = STORE_BEFORE,
        .position = STORE_SEQ_MAX + 1,
        .limit = API_PAGE_DEFAULT,
        .max_bytes = API_PAGE_MAX_BYTES,
        .messages_only = true,
        .reactions = true,
    };
    int err = read_page_position(call, &query, &at);
    if (!err) err = api_param_count(call, "limit", API_PAGE_MAX, &query.limit);
    if (err) return err;
    struct api_question *q = api_question_new(c, call);
    if (!q) return ERR_NOMEM;
    q->encode = encode_messages;
    q->id = at;
    q->window.direction = query.direction;
    q->window.position = query.position;
    query.room = q->room;
    return api_ask_page(c, &query, q);
}

int api_get_message(struct conn *c, struct api_call *call)
{
    return api_ask_message(c, call, &call->id, 200);
}

int api_search(struct conn *c, struct api_call *call)
{
    char text[STORE_SEARCH_MAX_BYTES];
    struct store_search search = {
        .text = {text, 0}, .before = STORE_SEQ_MAX + 1, .limit = API_PAGE_DEFAULT};
    struct id before = {.seq = 0};
    int err = api_param_count(call, "limit", API_PAGE_MAX, &search.limit);
    if (!err) err = api_param_id(call, "before", &before);
    if (err) return err;
    if (api_param_text(call, "q", text, sizeof text, &search.text.len) != 0) return ERR_BAD_SEARCH;
    struct api_question *q = api_question_new(c, call);
    if (!q) return ERR_NOMEM;
    q->encode = encode_messages;
    q->id = before;
    q->window.direction = STORE_AFTER; /* they come newest first: the first are kept */
    if (before.seq) search.before = before.seq;
    search.room = q->room;
    return api_ask_search(c, &search, q);
}
