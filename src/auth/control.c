/* See control.h. One table has all: the key of an entry is the kind of its acts and what they are
 * about. Neither names of rooms nor users hold a NUL, so one between them keeps them apart. */
#include "auth/control.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "auth/act.h"
#include "auth/identity.h"
#include "auth/room_rules.h"
#include "base/check.h"
#include "base/err.h"
#include "base/table.h"
#include "proto/name.h"

enum { KEY_MAX = 2 + NAME_ROOM_MAX + ACT_SUBJECT_MAX };

struct entry {
    UT_hash_handle hh;
    unsigned reserved; /* acts on their way to it */
    bool holds;        /* an act has decided; else it is only a place */
    int64_t revoked_s; /* Unix time */
    enum right role;
    struct act_right access[ROOM_SETTING_COUNT];
    size_t key_len;
    char key[];
};

struct control {
    pthread_rwlock_t lock;
    struct entry *entries;
    atomic_uint counts[ACT_KIND_COUNT]; /* entries that hold */
};

struct control *control_new(void)
{
    struct control *c = calloc(1, sizeof *c);
    if (c && pthread_rwlock_init(&c->lock, NULL) != 0) {
        free(c);
        c = NULL;
    }
    return c;
}

void control_free(struct control *c)
{
    struct entry *entry = NULL;
    struct entry *next = NULL;
    if (!c) return;
    HASH_ITER(hh, c->entries, entry, next)
    {
        HASH_DEL(c->entries, entry); /* the analyzer does not follow it NOLINT(*-unix.Malloc) */
        free(entry);
    }
    pthread_rwlock_destroy(&c->lock);
    free(c);
}

static size_t make_key(enum act_kind kind, struct slice room, struct slice subject,
                       char out[static KEY_MAX])
{
    CHECK(room.len <= NAME_ROOM_MAX && subject.len <= ACT_SUBJECT_MAX);
    char *at = out;
    *at++ = (char)kind;
    if (room.len) memcpy(at, room.ptr, room.len);
    at += room.len;
    *at++ = '\0';
    if (subject.len) memcpy(at, subject.ptr, subject.len);
    return (size_t)(at - out) + subject.len;
}

/* Under the lock, as the next two. */
static struct entry *find(const struct control *c, enum act_kind kind, struct slice room,
                          struct slice subject)
{
    char key[KEY_MAX];
    struct entry *entry;
    size_t len = make_key(kind, room, subject, key);
    HASH_FIND(hh, c->entries, key, len, entry);
    return entry;
}

static struct entry *add(struct control *c, const struct act *a)
{
    char key[KEY_MAX];
    size_t len = make_key(a->kind, a->room, a->subject, key);
    struct entry *entry = calloc(1, sizeof *entry + len);
    if (!entry) return NULL;
    memcpy(entry->key, key, len);
    entry->key_len = len;
    HASH_ADD_KEYPTR(hh, c->entries, entry->key, entry->key_len, entry);
    if (entry->hh.tbl) return entry;
    free(entry);
    return NULL;
}

static void drop_if_empty(struct control *c, struct entry *entry)
{
    if (entry->holds || entry->reserved) return;
    HASH_DEL(c->entries, entry);
    free(entry);
}

int control_reserve(struct control *c, const struct act *a)
{
    pthread_rwlock_wrlock(&c->lock);
    struct entry *entry = find(c, a->kind, a->room, a->subject);
    if (!entry) entry = add(c, a);
    if (entry) entry->reserved++;
    pthread_rwlock_unlock(&c->lock);
    return entry ? 0 : ERR_NOMEM;
}

/* Whether the entry holds anything after it. */
static bool change(struct entry *entry, const struct act *a, int64_t ts_ms)
{
    if (a->kind == ACT_GRANT) {
        entry->role = a->right.right;
        return a->right.stated;
    }
    if (a->kind != ACT_SET) {
        if (ts_ms / 1000 > entry->revoked_s) entry->revoked_s = ts_ms / 1000;
        return true;
    }
    bool any = false;
    for (size_t i = 0; i < ROOM_SETTING_COUNT; i++) {
        if (a->access[i].given) entry->access[i] = a->access[i];
        any = any || entry->access[i].stated;
    }
    return any;
}

void control_apply(struct control *c, const struct act *a, int64_t ts_ms)
{
    pthread_rwlock_wrlock(&c->lock);
    struct entry *entry = find(c, a->kind, a->room, a->subject);
    CHECK(entry && entry->reserved > 0);
    bool held = entry->holds;
    entry->reserved--;
    entry->holds = change(entry, a, ts_ms);
    if (entry->holds && !held) atomic_fetch_add(&c->counts[a->kind], 1);
    if (!entry->holds && held) atomic_fetch_sub(&c->counts[a->kind], 1);
    drop_if_empty(c, entry);
    pthread_rwlock_unlock(&c->lock);
}

void control_give_up(struct control *c, const struct act *a)
{
    pthread_rwlock_wrlock(&c->lock);
    struct entry *entry = find(c, a->kind, a->room, a->subject);
    CHECK(entry && entry->reserved > 0);
    entry->reserved--;
    drop_if_empty(c, entry);
    pthread_rwlock_unlock(&c->lock);
}

static bool is_any(const struct control *c, enum act_kind kind)
{
    return atomic_load(&c->counts[kind]) > 0;
}

/* What holds is copied out, as another act may come. */
static bool look(struct control *c, enum act_kind kind, struct slice room, struct slice subject,
                 struct entry *out)
{
    if (!is_any(c, kind) || subject.len > ACT_SUBJECT_MAX) return false;
    pthread_rwlock_rdlock(&c->lock);
    const struct entry *entry = find(c, kind, room, subject);
    bool holds = entry && entry->holds;
    if (holds) *out = *entry;
    pthread_rwlock_unlock(&c->lock);
    return holds;
}

static bool is_revoked(struct control *c, enum act_kind kind, struct slice subject,
                       uint64_t issued_ms)
{
    const struct slice none = {NULL, 0};
    struct entry entry;
    if (subject.len == 0 || !look(c, kind, none, subject, &entry)) return false;
    return issued_ms == 0 || issued_ms / 1000 <= (uint64_t)entry.revoked_s;
}

bool control_is_revoked(struct control *c, const struct identity *who)
{
    const struct issuance id = identity_issuance(who);
    return is_revoked(c, ACT_REVOKE_USER, identity_user(who), id.issued_ms) ||
           is_revoked(c, ACT_REVOKE_SESSION, id.session, id.issued_ms) ||
           is_revoked(c, ACT_REVOKE_TOKEN, id.token, id.issued_ms);
}

bool control_role(struct control *c, struct slice room, struct slice user, enum right *out)
{
    struct entry entry;
    if (user.len == 0 || !look(c, ACT_GRANT, room, user, &entry)) return false;
    *out = entry.role;
    return true;
}

void control_settings(struct control *c, struct slice room, struct room_settings *s)
{
    const struct slice none = {NULL, 0};
    struct entry entry;
    if (!look(c, ACT_SET, room, none, &entry)) return;
    for (size_t i = 0; i < ROOM_SETTING_COUNT; i++)
        if (entry.access[i].stated) s->access[i] = (struct room_right){room, entry.access[i].right};
}
