/* See room.h. */
#include "chat/room.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "chat/hub.h"
#include "proto/envelope.h"
#include "proto/ws_deflate.h"
#include "proto/ws_frame.h"

enum { MESSAGE_WINDOW_BITS = 15 };

void scribe_fini(struct scribe *s)
{
    ws_deflater_free(s->deflater);
    for (int full = 0; full < 2; full++) {
        buf_fini(&s->json[full]);
        buf_fini(&s->deflated[full]);
    }
    *s = (struct scribe){0};
}

/* Bytes of one frame, ready but for their place in the log. */
struct draft {
    struct room_log *to;
    struct slice payload;
    bool rsv1;
    uint8_t *at;
};

static int draft_payload(struct scribe *s, struct draft *d, bool full, bool deflate)
{
    const struct buf *json = &s->json[full];
    struct buf *small = &s->deflated[full];
    d->payload = (struct slice){(const char *)json->data, json->len};
    if (!deflate || !s->deflater || json->len < ROOM_DEFLATE_MIN_BYTES) return 0;
    small->len = 0;
    int err = ws_deflater_run(s->deflater, MESSAGE_WINDOW_BITS, json->data, json->len, small,
                              ROOM_FRAME_MAX_BYTES);
    if (err) return err;
    if (small->len >= json->len) return 0;
    d->payload = (struct slice){(const char *)small->data, small->len};
    d->rsv1 = true;
    return 0;
}

static int encode(const struct room *room, const struct post *post, bool full, struct buf *json)
{
    struct envelope_message m = {
        .room = {room->name, room->name_len},
        .username = post->username,
        .message = post->message,
        .data = post->data,
        .epoch = {room->epoch, ROOM_EPOCH_LEN},
        .seq = room->seq + 1,
        .ts_ms = post->ts_ms,
    };
    return full ? envelope_encode_full(&m, json, ROOM_FRAME_MAX_BYTES)
                : envelope_encode_bare(&m, json, ROOM_FRAME_MAX_BYTES);
}

/* Encodes bare or full once, for the plain and the deflated log as far as they have readers. */
static int draft_kind(struct room *room, struct scribe *s, const struct post *post, bool full,
                      struct draft *drafts)
{
    enum encoding plain = full ? ENCODING_FULL : ENCODING_BARE;
    enum encoding deflated = full ? ENCODING_FULL_DEFLATE : ENCODING_BARE_DEFLATE;
    bool has_plain = room->encodings & 1 << plain;
    bool has_deflated = room->encodings & 1 << deflated;
    if (!has_plain && !has_deflated) return 0;

    s->json[full].len = 0;
    int err = encode(room, post, full, &s->json[full]);
    if (!err && has_plain) {
        drafts[0].to = &room->logs[plain];
        err = draft_payload(s, &drafts[0], full, false);
    }
    if (!err && has_deflated) {
        drafts[1].to = &room->logs[deflated];
        err = draft_payload(s, &drafts[1], full, true);
    }
    return err;
}

static size_t draft_bytes(const struct draft *d)
{
    return ws_frame_head_size(d->payload.len) + d->payload.len;
}

/* Appends the frame and turns the log's clean readers dirty. */
static void commit(struct draft *d, struct slink **woken)
{
    struct frame_log *log = &d->to->log;
    uint64_t start = log->end;
    uint8_t head[WS_HEAD_MAX];
    size_t head_len = ws_frame_head(head, WS_TEXT, d->rsv1, d->payload.len);
    memcpy(d->at, head, head_len);
    memcpy(d->at + head_len, d->payload.ptr, d->payload.len);
    frame_log_commit(log, head_len + d->payload.len);

    for (struct list *l = d->to->readers.next; l != &d->to->readers; l = l->next) {
        struct reader *r = container_of(l, struct reader, link);
        if (r->dirty) continue;
        r->dirty = true;
        d->to->dirty_count++;
        frame_log_seek_tail(log, &r->start, start);
        r->dirty_link.next = *woken;
        *woken = &r->dirty_link;
    }
}

int room_publish(struct room *room, struct scribe *s, const struct post *post, struct slink **woken)
{
    struct draft drafts[ENCODING_COUNT] = {0};
    *woken = NULL;
    pthread_mutex_lock(&room->lock);
    int err = draft_kind(room, s, post, false, &drafts[0]);
    if (!err) err = draft_kind(room, s, post, true, &drafts[2]);
    for (int i = 0; !err && i < ENCODING_COUNT; i++) {
        if (!drafts[i].to) continue;
        drafts[i].at = frame_log_reserve(&drafts[i].to->log, draft_bytes(&drafts[i]));
        if (!drafts[i].at) err = ERR_NOMEM;
    }
    if (!err) {
        room->seq++;
        for (int i = 0; i < ENCODING_COUNT; i++)
            if (drafts[i].to) commit(&drafts[i], woken);
    }
    pthread_mutex_unlock(&room->lock);
    return err;
}

void room_relax(struct room *room, enum encoding encoding)
{
    struct room_log *rl = &room->logs[encoding];
    pthread_mutex_lock(&room->lock);
    if (rl->dirty_count == 0) frame_log_relax(&rl->log);
    pthread_mutex_unlock(&room->lock);
}

bool room_settle(struct reader *r)
{
    struct room *room = r->room;
    struct room_log *rl = &room->logs[r->encoding];
    bool detached = r->detached; /* set on this thread only */
    pthread_mutex_lock(&room->lock);
    bool clean = detached || r->cursor.offset == rl->log.end;
    if (clean) {
        r->dirty = false;
        cursor_rest(&r->cursor);
        cursor_rest(&r->start); /* detached before its worker looked at it */
        if (--rl->dirty_count == 0) frame_log_relax(&rl->log);
    }
    pthread_mutex_unlock(&room->lock);
    if (detached) hub_reader_free(r);
    return clean;
}
