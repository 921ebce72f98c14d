/* The frames that the server sends to rich clients alone. See rich.h; what clients send is read in
 * rich_parse.c, and chat messages are encoded by envelope.c. */
#include "proto/rich.h"

#include "base/check.h"
#include "base/err.h"
#include "proto/json_out.h"

enum { MS_PER_S = 1000 };

/* Every frame begins with its type, so that all members after it begin with a comma. */
static struct json_out frame_begin(const char *type, struct slice ref, struct buf *out,
                                   size_t max_bytes)
{
    struct json_out o = json_out_begin(out, max_bytes);
    json_out_text(&o, SLICE_LIT("{\"type\":"), slice_of(type));
    if (ref.len) {
        json_out_raw(&o, SLICE_LIT(",\"ref\":"));
        json_out_raw(&o, ref);
    }
    return o;
}

static int frame_end(struct json_out *o)
{
    json_out_raw(o, SLICE_LIT("}"));
    return json_out_end(o);
}

static void frame_put_room(struct json_out *o, struct slice room)
{
    json_out_text(o, SLICE_LIT(",\"room\":"), room);
}

int rich_encode_welcome(const struct rich_welcome *w, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin("welcome", (struct slice){0}, out, max_bytes);
    json_out_text(&o, SLICE_LIT(",\"version\":"), SLICE_LIT(RICH_SUBPROTOCOL));
    json_out_text(&o, SLICE_LIT(",\"server\":"), w->server);
    json_out_text(&o, SLICE_LIT(",\"user\":"), w->user);
    json_out_text(&o, SLICE_LIT(",\"username\":"), w->username);
    if (w->guest_key.len) {
        json_out_text(&o, SLICE_LIT(",\"guest\":{\"id\":"), w->user);
        json_out_text(&o, SLICE_LIT(",\"key\":"), w->guest_key);
        json_out_raw(&o, SLICE_LIT("}"));
    }
    frame_put_room(&o, w->room);
    json_out_uint(&o, SLICE_LIT(",\"limits\":{\"frame_bytes\":"), w->limits.frame_bytes);
    json_out_uint(&o, SLICE_LIT(",\"message_bytes\":"), w->limits.message_bytes);
    json_out_uint(&o, SLICE_LIT(",\"rate\":"), w->limits.rate);
    json_out_uint(&o, SLICE_LIT(",\"rooms\":"), w->limits.rooms);
    /* Rounded up: who waits for a ping must not give up too early. */
    uint64_t ping_s = ((uint64_t)w->ping_ms + MS_PER_S - 1) / MS_PER_S;
    json_out_uint(&o, SLICE_LIT("},\"ping_s\":"), ping_s);
    return frame_end(&o);
}

int rich_encode_ack(const struct rich_ack *a, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin("ack", a->ref, out, max_bytes);
    frame_put_room(&o, a->room);
    json_out_id(&o, SLICE_LIT(",\"id\":"), &a->id);
    json_out_uint(&o, SLICE_LIT(",\"seq\":"), a->id.seq);
    json_out_int(&o, SLICE_LIT(",\"ts\":"), a->ts_ms);
    json_out_bool(&o, SLICE_LIT(",\"dup\":"), a->dup);
    return frame_end(&o);
}

int rich_encode_auth_ack(const struct rich_auth_ack *a, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin("ack", a->ref, out, max_bytes);
    json_out_text(&o, SLICE_LIT(",\"user\":"), a->user);
    json_out_text(&o, SLICE_LIT(",\"username\":"), a->username);
    if (a->expires_ms != UINT64_MAX) json_out_uint(&o, SLICE_LIT(",\"expires\":"), a->expires_ms);
    return frame_end(&o);
}

/* Close codes say whether to come back (protocol section 8): 1012, 1013, 41xx and 42xx do. The
 * same holds for trying again on a connection that stays open. */
bool rich_is_temporary(int err)
{
    enum { RESTART = 1012, TRY_LATER = 1013, COME_BACK_MIN = 4100, COME_BACK_MAX = 4299 };
    unsigned code = err_info(err)->close_code;
    return code == RESTART || code == TRY_LATER || (code >= COME_BACK_MIN && code <= COME_BACK_MAX);
}

static void frame_put_reason(struct json_out *o, const struct err_info *info)
{
    json_out_text(o, SLICE_LIT(",\"code\":"), slice_of(info->word));
    json_out_text(o, SLICE_LIT(",\"detail\":"), slice_of(info->text));
}

int rich_encode_error(struct slice ref, int err, uint32_t retry_after_ms, struct buf *out,
                      size_t max_bytes)
{
    CHECK(err < 0);
    const struct err_info *info = err_info(err);
    struct json_out o = frame_begin("error", ref, out, max_bytes);
    frame_put_reason(&o, info);
    json_out_bool(&o, SLICE_LIT(",\"temporary\":"), rich_is_temporary(err));
    if (retry_after_ms) json_out_uint(&o, SLICE_LIT(",\"retry_after_ms\":"), retry_after_ms);
    return frame_end(&o);
}

int rich_encode_joined(const struct rich_joined *j, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin("joined", j->ref, out, max_bytes);
    frame_put_room(&o, j->room);
    json_out_text(&o, SLICE_LIT(",\"epoch\":"), (struct slice){j->head.epoch, EVENT_EPOCH_LEN});
    json_out_uint(&o, SLICE_LIT(",\"seq\":"), j->head.seq);
    json_out_id(&o, SLICE_LIT(",\"id\":"), &j->head);
    json_out_bool(&o, SLICE_LIT(",\"recovered\":"), j->recovered);
    json_out_uint(&o, SLICE_LIT(",\"replayed\":"), j->replayed);
    json_out_uint(&o, SLICE_LIT(",\"members\":"), j->members);
    json_out_text(&o, SLICE_LIT(",\"right\":"), j->right);
    if (j->read_seq) {
        struct id read = j->head;
        read.seq = j->read_seq;
        json_out_id(&o, SLICE_LIT(",\"read\":"), &read);
    }
    return frame_end(&o);
}

int rich_encode_left(struct slice ref, struct slice room, int err, struct buf *out,
                     size_t max_bytes)
{
    struct json_out o = frame_begin("left", ref, out, max_bytes);
    frame_put_room(&o, room);
    if (err) frame_put_reason(&o, err_info(err));
    return frame_end(&o);
}

int rich_begin_history(struct slice ref, struct slice room, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin("history", ref, out, max_bytes);
    frame_put_room(&o, room);
    json_out_raw(&o, SLICE_LIT(",\"messages\":["));
    return json_out_end(&o);
}

int rich_end_history(bool more, struct buf *out, size_t max_bytes)
{
    struct json_out o = json_out_begin(out, max_bytes);
    json_out_bool(&o, SLICE_LIT("],\"more\":"), more);
    return frame_end(&o);
}

int rich_begin_members(struct slice ref, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin("members", ref, out, max_bytes);
    return json_out_end(&o);
}

int rich_end_members(const struct rich_members *m, struct buf *out, size_t max_bytes)
{
    struct json_out o = json_out_begin(out, max_bytes);
    frame_put_room(&o, m->room);
    json_out_uint(&o, SLICE_LIT(",\"count\":"), m->count);
    json_out_raw(&o, SLICE_LIT(",\"members\":["));
    for (size_t i = 0; i < m->member_count; i++) {
        const struct rich_member *member = &m->members[i];
        if (i) json_out_raw(&o, SLICE_LIT(","));
        json_out_text(&o, SLICE_LIT("{\"username\":"), member->username);
        if (member->user.len) json_out_text(&o, SLICE_LIT(",\"user\":"), member->user);
        json_out_int(&o, SLICE_LIT(",\"since\":"), member->since_ms);
        json_out_raw(&o, SLICE_LIT("}"));
    }
    json_out_raw(&o, SLICE_LIT("]"));
    return frame_end(&o);
}

int rich_encode_typing(struct slice room, struct slice username, bool on, struct buf *out,
                       size_t max_bytes)
{
    struct json_out o = frame_begin("typing", (struct slice){0}, out, max_bytes);
    frame_put_room(&o, room);
    json_out_text(&o, SLICE_LIT(",\"username\":"), username);
    json_out_bool(&o, SLICE_LIT(",\"on\":"), on);
    return frame_end(&o);
}

static void put_names(struct json_out *o, struct slice key, const struct slice *names, size_t count)
{
    json_out_raw(o, key);
    for (size_t i = 0; i < count; i++)
        json_out_text(o, i ? SLICE_LIT(",") : SLICE_LIT("["), names[i]);
    json_out_raw(o, count ? SLICE_LIT("]") : SLICE_LIT("[]"));
}

int rich_encode_presence(const struct rich_presence *p, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin("presence", (struct slice){0}, out, max_bytes);
    frame_put_room(&o, p->room);
    if (p->username.len) {
        json_out_text(&o, SLICE_LIT(",\"event\":"),
                      p->join ? SLICE_LIT("join") : SLICE_LIT("leave"));
        json_out_text(&o, SLICE_LIT(",\"username\":"), p->username);
        if (p->joined_count + p->left_count > 1) {
            put_names(&o, SLICE_LIT(",\"joined\":"), p->joined, p->joined_count);
            put_names(&o, SLICE_LIT(",\"left\":"), p->left, p->left_count);
        }
    }
    json_out_uint(&o, SLICE_LIT(",\"count\":"), p->count);
    return frame_end(&o);
}

int rich_encode_event(const struct rich_event *e, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin(e->kind->word, (struct slice){0}, out, max_bytes);
    frame_put_room(&o, e->room);
    json_out_id(&o, SLICE_LIT(",\"id\":"), &e->target);
    json_out_id(&o, SLICE_LIT(",\"event_id\":"), &e->id);
    json_out_uint(&o, SLICE_LIT(",\"seq\":"), e->id.seq);
    json_out_int(&o, SLICE_LIT(",\"ts\":"), e->ts_ms);
    json_out_text(&o, SLICE_LIT(",\"username\":"), e->username);
    if (e->user.len) json_out_text(&o, SLICE_LIT(",\"user\":"), e->user);
    if (e->kind->text == EVENT_TEXT_MESSAGE) json_out_text(&o, SLICE_LIT(",\"message\":"), e->text);
    if (e->kind->text == EVENT_TEXT_EMOJI) json_out_text(&o, SLICE_LIT(",\"emoji\":"), e->text);
    return frame_end(&o);
}

int rich_encode_gap(const struct rich_gap *g, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin("gap", (struct slice){0}, out, max_bytes);
    frame_put_room(&o, g->room);
    json_out_uint(&o, SLICE_LIT(",\"from\":"), g->from);
    json_out_uint(&o, SLICE_LIT(",\"to\":"), g->to);
    json_out_id(&o, SLICE_LIT(",\"next\":"), &g->next);
    return frame_end(&o);
}

int rich_encode_notice(struct slice room, struct slice code, struct slice detail, struct buf *out,
                       size_t max_bytes)
{
    struct json_out o = frame_begin("notice", (struct slice){0}, out, max_bytes);
    if (room.len) frame_put_room(&o, room);
    json_out_text(&o, SLICE_LIT(",\"code\":"), code);
    json_out_text(&o, SLICE_LIT(",\"detail\":"), detail);
    return frame_end(&o);
}

int rich_encode_bye(unsigned code, uint32_t retry_after_ms, struct buf *out, size_t max_bytes)
{
    struct json_out o = frame_begin("bye", (struct slice){0}, out, max_bytes);
    json_out_uint(&o, SLICE_LIT(",\"code\":"), code);
    json_out_uint(&o, SLICE_LIT(",\"retry_after_ms\":"), retry_after_ms);
    return frame_end(&o);
}
