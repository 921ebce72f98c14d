/* See presence.h. */
#include "chat/presence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static_assert(sizeof(struct presence) <= 48, "every room has one");
static_assert(NAME_USER_MAX <= UINT8_MAX && PRESENCE_PENDING_MAX <= UINT8_MAX, "kept in a byte");

static void forget_names(struct presence *p)
{
    free(p->names);
    p->names = NULL;
    p->name_count = 0;
    p->name_cap = 0;
}

static void lose_names(struct presence *p)
{
    forget_names(p);
    p->names_lost = true;
}

void presence_fini(struct presence *p)
{
    forget_names(p);
}

static struct slice name_slice(const struct presence_name *name)
{
    return (struct slice){name->text, name->len};
}

/* The newest entry with the name, or NULL. */
static struct presence_name *find_name(const struct presence *p, struct slice username)
{
    for (unsigned i = p->name_count; i-- > 0;) {
        struct presence_name *name = &p->names[i];
        if (slice_equal(name_slice(name), username)) return name;
    }
    return NULL;
}

static void remove_name(struct presence *p, struct presence_name *name)
{
    struct presence_name *end = p->names + p->name_count;
    memmove(name, name + 1, (size_t)(end - name - 1) * sizeof *name);
    p->name_count--;
    if (p->name_count == 0) forget_names(p);
}

/* Room for one more. False: there are too many, or memory is short. */
static bool grow_names(struct presence *p)
{
    if (p->name_count < p->name_cap) return true;
    if (p->name_cap == PRESENCE_PENDING_MAX) return false;
    unsigned cap = p->name_cap ? p->name_cap * 2U : 1; /* a small room never has two */
    if (cap > PRESENCE_PENDING_MAX) cap = PRESENCE_PENDING_MAX;
    struct presence_name *names = realloc(p->names, cap * sizeof *names);
    if (!names) return false;
    p->names = names;
    p->name_cap = (uint8_t)cap;
    return true;
}

/* count is already that after the change. */
static void presence_note(struct presence *p, struct slice username, bool joined)
{
    CHECK(username.len > 0 && username.len <= NAME_USER_MAX);
    if (p->names_lost) return;
    if (p->count > PRESENCE_NAMES_MAX) {
        lose_names(p);
        return;
    }
    struct presence_name *same = find_name(p, username);
    if (same && same->joined != joined) {
        remove_name(p, same);
        return;
    }
    if (!grow_names(p)) {
        lose_names(p);
        return;
    }
    struct presence_name *name = &p->names[p->name_count++];
    name->joined = joined;
    name->len = (uint8_t)username.len;
    memcpy(name->text, username.ptr, username.len);
}

static bool is_news(const struct presence *p)
{
    return p->name_count > 0 || p->count != p->told_count;
}

uint64_t presence_deadline_ms(const struct presence *p)
{
    return p->last_ms + PRESENCE_INTERVAL_MS;
}

static bool is_in_second(const struct presence *p, uint64_t now_ms)
{
    return now_ms < p->second_ms + PRESENCE_INTERVAL_MS;
}

static bool may_tell(const struct presence *p, uint64_t now_ms)
{
    if (now_ms >= presence_deadline_ms(p)) return true;
    if (p->count > PRESENCE_EACH_MAX) return false;
    return p->second_count < PRESENCE_AT_ONCE_MAX || !is_in_second(p, now_ms);
}

/* One more frame was told. */
static void count_told(struct presence *p, uint64_t now_ms)
{
    if (now_ms > p->last_ms) p->last_ms = now_ms;
    if (!is_in_second(p, now_ms)) {
        p->second_ms = now_ms;
        p->second_count = 0;
    }
    if (p->second_count < PRESENCE_AT_ONCE_MAX) p->second_count++;
}

static enum presence_due due(struct presence *p, uint64_t now_ms)
{
    if (!is_news(p)) return PRESENCE_NOTHING;
    if (may_tell(p, now_ms)) return PRESENCE_NOW;
    if (p->timer) return PRESENCE_NOTHING;
    p->timer = true;
    return PRESENCE_LATER;
}

enum presence_due presence_join(struct presence *p, struct slice username, uint64_t now_ms)
{
    CHECK(p->count < UINT32_MAX);
    p->count++;
    presence_note(p, username, true);
    return due(p, now_ms);
}

enum presence_due presence_leave(struct presence *p, struct slice username, uint64_t now_ms)
{
    CHECK(p->count > 0);
    p->count--;
    presence_note(p, username, false);
    return due(p, now_ms);
}

void presence_count(struct presence *p, int change)
{
    CHECK(change > 0 ? p->count < UINT32_MAX : p->count > 0);
    p->count += (uint32_t)change;
    p->told_count = p->count;
    forget_names(p);
    p->names_lost = false;
}

enum presence_due presence_on_timer(struct presence *p, uint64_t now_ms)
{
    p->timer = false;
    /* Names were lost, yet the count is the same: there is nothing to say, so the next interval
     * begins here as if it had been told. Not earlier: names noted after it would be only some. */
    if (!is_news(p)) p->names_lost = false;
    return due(p, now_ms);
}

enum presence_due presence_put_off(struct presence *p, uint64_t now_ms)
{
    count_told(p, now_ms);
    p->second_count = PRESENCE_AT_ONCE_MAX;
    return due(p, now_ms);
}

/* The names that came, or left, oldest first; returns how many. */
static size_t pick(const struct presence_news *news, size_t name_count, bool joined,
                   struct slice *out)
{
    size_t n = 0;
    for (size_t i = 0; i < name_count; i++)
        if (news->names[i].joined == joined) out[n++] = name_slice(&news->names[i]);
    return n;
}

bool presence_take(struct presence *p, uint64_t now_ms, struct presence_news *news)
{
    if (!is_news(p)) return false;
    struct rich_presence *frame = &news->frame;
    size_t name_count = p->name_count;
    *frame = (struct rich_presence){.count = p->count};
    if (name_count > 0) {
        memcpy(news->names, p->names, name_count * sizeof *p->names);
        frame->joined = news->slices;
        frame->joined_count = pick(news, name_count, true, news->slices);
        frame->left = news->slices + frame->joined_count;
        frame->left_count = pick(news, name_count, false, news->slices + frame->joined_count);
        frame->join = news->names[name_count - 1].joined;
        frame->username = name_slice(&news->names[name_count - 1]);
    }
    forget_names(p);
    p->names_lost = false;
    p->told_count = p->count;
    count_told(p, now_ms);
    return true;
}
