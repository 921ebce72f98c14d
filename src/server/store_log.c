/* See store_log.h. */
#include "server/store_log.h"
#include "chat/room.h"
#include "store/store.h"

#include "ops/log.h"
#include "server/outage.h"
#include "server/worker.h"

enum { TROUBLE_TELL_MS = 10 * 1000 };

void store_log_refused(struct server *s, struct slice room, const uint8_t *ip)
{
    if (room.ptr) outage_note_message(s->outage, s->options.log, room);
    if (ip) outage_note_client(s->outage, s->options.log, ip);
}

static void on_health(void *ctx, bool healthy, const char *text)
{
    struct server *s = ctx;
    if (healthy) {
        struct outage_sum sum = {0};
        char since[OUTAGE_SINCE_MAX];
        outage_look(s->outage, worker_refused(s), &sum);
        outage_end(s->outage);
        outage_since(&sum, since);
        LOG(s->options.log, LOG_INFO, "store_recovered", text, LOG_STR("since", since),
            LOG_U64("after_ms", sum.lasted_ms), LOG_U64("refused", sum.refused),
            LOG_U64("messages", sum.messages), LOG_U64("rooms", sum.rooms),
            LOG_U64("clients", sum.clients));
    } else if (outage_begin(s->outage, worker_refused(s))) {
        LOG(s->options.log, LOG_ERROR, "store_failed",
            "messages cannot be stored and are refused until it works again",
            LOG_STR("reason", text));
    }
}

/* The first at once, then one for all that there was in TROUBLE_TELL_MS. A room's name may be what
 * keeps strangers out of it: only at level debug. */
static void on_trouble(void *ctx, const struct store_trouble *t)
{
    struct server *s = ctx;
    int64_t now_ms = t->last_ms;
    LOG(s->options.log, LOG_DEBUG, "store_trouble_room", t->what, LOG_SLICE("room", t->room),
        LOG_I64("code", t->code));
    int64_t told_ms = atomic_load(&s->trouble_told_ms);
    bool due = !told_ms || now_ms < told_ms || now_ms >= told_ms + TROUBLE_TELL_MS;
    if (!due || !atomic_compare_exchange_strong(&s->trouble_told_ms, &told_ms, now_ms)) return;
    LOG(s->options.log, LOG_ERROR, "store_trouble",
        t->damage ? "the database is damaged: what needs that place is refused, the rest goes on"
                  : "something could not be read or written: it is refused, the rest goes on",
        LOG_STR("what", t->what), LOG_STR("reason", t->text), LOG_I64("code", t->code),
        LOG_I64("errno", t->os_error), LOG_U64("count", t->count),
        LOG_I64("since_s", (now_ms - t->since_ms) / 1000));
}

static void on_notice(void *ctx, enum store_notice what, uint64_t number)
{
    static const struct {
        enum log_level level;
        const char *event;
        const char *field;
        const char *text;
    } lines[STORE_NOTICE_COUNT] = {
        [STORE_CLOCK_JUMPED] = {LOG_WARN, "clock_jumped", "ahead_s",
                                "the clock is ahead, or nothing was said for as long: keep-age "
                                "removes nothing more for it until it has stayed so for a while"},
        [STORE_CLOCK_BACK] = {LOG_WARN, "clock_back", "back_s",
                              "the clock was set back: keep-age goes by it"},
        [STORE_CLOCK_BELIEVED] = {LOG_INFO, "clock_believed", "ahead_s",
                                  "keep-age goes by the clock"},
        [STORE_ROOMS_FULL] = {LOG_WARN, "rooms_full", "rooms",
                              "a new room was refused: there are max-rooms"},
        [STORE_FULL] = {LOG_ERROR, "database_full", "bytes",
                        "max-database-bytes is reached: messages are refused"},
        [STORE_NOT_FULL] = {LOG_INFO, "database_not_full", "bytes", "messages are stored again"},
        [STORE_TRIMS] = {LOG_WARN, "database_trimmed", "bytes",
                         "the oldest messages of the largest rooms go, to stay within the limit"},
        [STORE_QUEUE_FULL] =
            {LOG_WARN, "store_busy", "waiting",
             "more comes than can be stored: messages or read markers are refused"},
    };
    const struct server *s = ctx;
    LOG(s->options.log, lines[what].level, lines[what].event, lines[what].text,
        LOG_U64(lines[what].field, number));
}

static void on_file(void *ctx, enum store_file_event what, const char *text)
{
    static const char *const event[] = {
        [STORE_FILE_RESTORED] = "store_restored", [STORE_FILE_LOST] = "store_lost",
        [STORE_FILE_TOUCHED] = "store_touched",   [STORE_FILE_STALE] = "store_stale",
        [STORE_FILE_UPGRADE] = "store_upgrade",
    };
    enum log_level level = what == STORE_FILE_LOST      ? LOG_ERROR
                           : what == STORE_FILE_UPGRADE ? LOG_INFO
                                                        : LOG_WARN;
    struct server *s = ctx;
    LOG(s->options.log, level, event[what], text);
}

void store_log_options(struct server *s, struct store_options *o)
{
    o->on_health = on_health;
    o->on_trouble = on_trouble;
    o->on_notice = on_notice;
    o->on_file = on_file;
    o->ctx = s;
}
