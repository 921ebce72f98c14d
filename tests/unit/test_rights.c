/* auth/right, pattern, room_rules and rights, and what actions take (auth/policy): who may do what
 * in a room. What section 11 of the protocol says stands, sentence by sentence, where it is held.
 *
 * Not yet anywhere: sanctions ("Whatever shows text or a name (edits, reactions, typing, renames)
 * is publishing, so mute and freeze stop it", "sanctions lower last"), acts on addresses and
 * everywhere, settings changed at run time. What every door asks is in tests/e2e/rights.test.js. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/pattern.h"
#include "auth/policy.h"
#include "auth/right.h"
#include "auth/rights.h"
#include "auth/room_rules.h"
#include "base/err.h"
#include "fail_alloc.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static enum right right_named(const char *word)
{
    enum right right;
    if (!right_find(slice_of(word), &right)) fail_msg("%s is no right", word);
    return right;
}

/* ---- rights ---- */

/* "`none < read < write < moderate < own`" */
static void test_order(void **state)
{
    (void)state;
    static const char *const words[] = {"none", "read", "write", "moderate", "own"};
    assert_int_equal(RIGHT_COUNT, COUNT_OF(words));
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        assert_int_equal(right_named(words[i]), i);
        assert_string_equal(right_word((enum right)i), words[i]);
    }
}

static void test_other_words(void **state)
{
    (void)state;
    static const char *const others[] = {"",      "None",   "READ", "rea",       "reads", " read",
                                         "read ", "owner",  "0",    "moderator", "null",  "*",
                                         "nil",   "writer", "ow",   "admin"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        enum right right = RIGHT_WRITE;
        assert_false(right_find(slice_of(others[i]), &right));
        assert_int_equal(right, RIGHT_WRITE);
    }
    enum right right;
    assert_false(right_find((struct slice){NULL, 0}, &right));
    assert_false(right_find((struct slice){"none", 5}, &right)); /* with its NUL */
}

/* "read: join, history, search, who, read marker, delete one's own. write: message, edit one's own,
 * react, typing. moderate: kick, mute, ban, remove, purge, slow_mode, frozen. own: the other
 * settings, grant, revoke." */
static void test_what_each_is_for(void **state)
{
    (void)state;
    static const struct {
        enum action action;
        enum right right;
    } cases[] = {
        {ACTION_JOIN, RIGHT_READ},       {ACTION_HISTORY, RIGHT_READ},
        {ACTION_SEARCH, RIGHT_READ},     {ACTION_WHO, RIGHT_READ},
        {ACTION_MARK, RIGHT_READ},       {ACTION_DELETE, RIGHT_READ},
        {ACTION_PUBLISH, RIGHT_WRITE},   {ACTION_EDIT, RIGHT_WRITE},
        {ACTION_REACT, RIGHT_WRITE},     {ACTION_TYPE, RIGHT_WRITE},
        {ACTION_KICK, RIGHT_MODERATE},   {ACTION_MUTE, RIGHT_MODERATE},
        {ACTION_BAN, RIGHT_MODERATE},    {ACTION_REMOVE, RIGHT_MODERATE},
        {ACTION_PURGE, RIGHT_MODERATE},  {ACTION_SLOW, RIGHT_MODERATE},
        {ACTION_FREEZE, RIGHT_MODERATE}, {ACTION_SET, RIGHT_OWN},
        {ACTION_GRANT, RIGHT_OWN},       {ACTION_REVOKE, RIGHT_OWN},
    };
    assert_int_equal(COUNT_OF(cases), ACTION_COUNT);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(policy_right(cases[i].action), cases[i].right);
}

/* A row for each right of one's own, from none to own; a column for the other's. */
static void expect_pairs(bool (*ask)(enum right, enum right), const char *const rows[RIGHT_COUNT])
{
    for (int own = 0; own < RIGHT_COUNT; own++) {
        for (int other = 0; other < RIGHT_COUNT; other++)
            if (ask((enum right)own, (enum right)other) != (rows[own][other] == 'y'))
                fail_msg("%s, %s", right_word((enum right)own), right_word((enum right)other));
    }
}

/* "One acts only on strictly lower rights" */
static void test_acts_on(void **state)
{
    (void)state;
    static const char *const rows[] = {"-----", "y----", "yy---", "yyy--", "yyyy-"};
    expect_pairs(right_acts_on, rows);
}

/* "and grants only below one's own (an owner may grant own)." */
static void test_grants(void **state)
{
    (void)state;
    static const char *const rows[] = {"-----", "y----", "yy---", "yyy--", "yyyyy"};
    expect_pairs(right_grants, rows);
}

/* ---- patterns ---- */

/* Texts in blocks that end where they do, so that reading on is found. */
static struct slice exact_copy(struct slice s)
{
    char *copy = malloc(s.len ? s.len : 1);
    assert_non_null(copy);
    if (s.len) memcpy(copy, s.ptr, s.len);
    return (struct slice){copy, s.len};
}

/* "an exact name beats a pattern, only a final `*` is a wildcard, the longest wins, no match is
 * `none`": which of the patterns counts, or "" if none does. */
static const struct {
    const char *patterns; /* separated by blanks */
    const char *room;
    const char *best;
} pattern_cases[] = {
    {"lobby", "lobby", "lobby"},
    {"lobby", "lobb", ""},
    {"lobby", "lobby2", ""},
    {"lobby", "Lobby", ""},
    {"", "lobby", ""},
    {"*", "lobby", "*"},
    {"*", "*", "*"},
    {"team-*", "team-a", "team-*"},
    {"team-*", "team-", "team-*"}, /* any text, also none */
    {"team-*", "team", ""},
    {"team-*", "tea", ""},
    {"team-*", "team-*", "team-*"},
    {"team-*", "ateam-a", ""},
    {"* team-a", "team-a", "team-a"},
    {"team-a* team-a", "team-a", "team-a"}, /* although it is shorter */
    {"team-a team-a*", "team-ab", "team-a*"},
    {"* t* team-* te*", "team-a", "team-*"},
    {"* t* team-* te*", "tent", "te*"},
    {"* t* team-* te*", "tea", "te*"},
    {"* t* team-* te*", "lobby", "*"},
    {"*a a", "ba", ""}, /* elsewhere `*` is an ordinary character */
    {"*a a", "*a", "*a"},
    {"t*m *", "team", "*"},
    {"t*m *", "t*m", "t*m"},
    {"t*m* *", "team", "*"},
    {"t*m* *", "t*mx", "t*m*"},
    {"** *", "*x", "**"},
    {"** *", "x", "*"},
    {"** *", "*", "**"},
    {"r\xc3\xa4ume-* r*", "r\xc3\xa4ume-1", "r\xc3\xa4ume-*"},
    {"? [a] team.*", "teamx", ""}, /* no other character is anything else */
    {"a?* \\*", "ab", ""},
    {"a?* \\*", "*", ""},
};

static size_t split_patterns(const char *text, struct room_right *list)
{
    size_t n = 0;
    for (const char *p = text; *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        list[n++] = (struct room_right){{p, len}, RIGHT_READ};
        p += len;
    }
    return n;
}

static void test_patterns(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pattern_cases); i++) {
        struct room_right list[8];
        struct room_right turned[8];
        size_t n = split_patterns(pattern_cases[i].patterns, list);
        struct slice room = exact_copy(slice_of(pattern_cases[i].room));
        for (size_t k = 0; k < n; k++)
            turned[k] = list[n - 1 - k];
        const struct room_right *best = pattern_best(list, n, room);
        const struct room_right *again = pattern_best(turned, n, room);
        if (!slice_is(best ? best->pattern : SLICE_LIT(""), pattern_cases[i].best))
            fail_msg("%s of %s", pattern_cases[i].room, pattern_cases[i].patterns);
        assert_true(best ? again && again->pattern.ptr == best->pattern.ptr : !again);
        free((char *)room.ptr);
    }
}

/* ---- rules ---- */

static const char *const setting_keys[] = {"access-guests", "access-signed-in"};

static struct room_line line_of(const char *pattern, const char *key, const char *value)
{
    return (struct room_line){slice_of(pattern), slice_of(key), slice_of(value)};
}

static struct room_rules *rules_of(const struct room_line *lines, size_t count)
{
    struct room_rules *rules;
    struct room_rules_error wrong;
    int err = room_rules_new(lines, count, &rules, &wrong);
    if (err) fail_msg("line %zu: %s", wrong.line, wrong.why);
    return rules;
}

/* A site that several tests are about; the examples of docs/decisions/0011-rights.md too. */
static struct room_rules *example_rules(void)
{
    const struct room_line lines[] = {
        line_of("*", "access-guests", "read"),
        line_of("team-*", "access-guests", "none"),
        line_of("team-*", "access-signed-in", "read"),
        line_of("team-lobby", "access-signed-in", "write"),
    };
    return rules_of(lines, COUNT_OF(lines));
}

static void expect_setting(const struct room_settings *s, enum room_setting setting,
                           const char *right, const char *pattern)
{
    assert_string_equal(right_word(s->access[setting].right), right);
    assert_true(slice_is(s->access[setting].pattern, pattern));
}

/* "A room's settings: `access` (what guests, what signed-in users get by default), [...] by name
 * pattern in the configuration (`[room "team-*"]`)": each for itself, from the best pattern that
 * states it. */
static void test_settings(void **state)
{
    (void)state;
    static const struct {
        const char *room;
        const char *guests[2]; /* right, pattern */
        const char *signed_in[2];
    } cases[] = {
        {"lobby", {"read", "*"}, {"write", ""}},
        {"team-a", {"none", "team-*"}, {"read", "team-*"}},
        {"team-lobby", {"none", "team-*"}, {"write", "team-lobby"}},
        {"team-lobby2", {"none", "team-*"}, {"read", "team-*"}},
        {"team", {"read", "*"}, {"write", ""}},
    };
    struct room_rules *rules = example_rules();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct room_settings s;
        room_rules_settings(rules, slice_of(cases[i].room), &s);
        expect_setting(&s, ROOM_ACCESS_GUESTS, cases[i].guests[0], cases[i].guests[1]);
        expect_setting(&s, ROOM_ACCESS_SIGNED_IN, cases[i].signed_in[0], cases[i].signed_in[1]);
    }
    room_rules_free(rules);
}

/* An open server, where nothing is configured. */
static void test_defaults(void **state)
{
    (void)state;
    struct room_rules *empty = rules_of(NULL, 0);
    const struct room_rules *rules[] = {empty, NULL};
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        struct room_settings s;
        room_rules_settings(rules[i], SLICE_LIT("lobby"), &s);
        expect_setting(&s, ROOM_ACCESS_GUESTS, "write", "");
        expect_setting(&s, ROOM_ACCESS_SIGNED_IN, "write", "");
    }
    room_rules_free(empty);
    room_rules_free(NULL);
}

/* The second line of each is the one that is wrong. */
static void test_bad_lines(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *key, *value, *why;
    } cases[] = {
        {"team-*", "acces-guests", "none",
         "room \"team-*\": acces-guests: unknown setting; expected one of access-guests, "
         "access-signed-in"},
        {"team-*", "Access-Guests", "none",
         "room \"team-*\": Access-Guests: unknown setting; expected one of access-guests, "
         "access-signed-in"},
        {"team-*", "\x1b[2J\xc3\xa4", "none",
         "room \"team-*\": ?[2J\?\?: unknown setting; expected one of access-guests, "
         "access-signed-in"},
        {"team-*", "access-guests", "wirte",
         "room \"team-*\": access-guests: \"wirte\" is not allowed; expected one of none, read, "
         "write"},
        {"team-*", "access-guests", "moderate",
         "room \"team-*\": access-guests: \"moderate\" is too much for whoever comes along; "
         "expected one of none, read, write"},
        {"lobby2", "access-guests", "own",
         "room \"lobby2\": access-guests: \"own\" is too much for whoever comes along; "
         "expected one of none, read, write"},
        {"r\xc3\xa4ume-*", "access-signed-in", "",
         "room \"r\xc3\xa4ume-*\": access-signed-in: \"\" is not allowed; expected one of none, "
         "read, write, moderate, own"},
        {"r\xc3\xa4ume-*", "access-signed-in",
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
         "room \"r\xc3\xa4ume-*\": access-signed-in: "
         "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" is not allowed; "
         "expected one of none, read, write, moderate, own"},
        {"r\xc3\xa4ume-*", "access-signed-in",
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef+",
         "room \"r\xc3\xa4ume-*\": access-signed-in: "
         "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef...\" is not allowed; "
         "expected one of none, read, write, moderate, own"},
        {"lobby", "access-guests", "read", "room \"lobby\": access-guests: given twice"},
        {"a/b", "access-guests", "none",
         "room \"a/b\": neither a room nor a pattern: a room name has 1 to 128 bytes of UTF-8, no "
         "control characters and no '/'"},
        {"", "access-guests", "none",
         "room \"\": neither a room nor a pattern: a room name has 1 to 128 bytes of UTF-8, no "
         "control characters and no '/'"},
        {"a\n\xff*", "no key", "no value",
         "room \"a\?\?*\": neither a room nor a pattern: a room name has 1 to 128 bytes of UTF-8, "
         "no control characters and no '/'"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct room_line lines[] = {
            line_of("lobby", "access-guests", "write"),
            line_of(cases[i].pattern, cases[i].key, cases[i].value),
            line_of("/", "", ""), /* is not reached */
        };
        struct room_rules *rules = (struct room_rules *)(uintptr_t)1;
        struct room_rules_error wrong;
        assert_int_equal(room_rules_new(lines, COUNT_OF(lines), &rules, &wrong), ERR_CONFIG);
        assert_string_equal(wrong.why, cases[i].why);
        assert_int_equal(wrong.line, 1);
        assert_null(rules);
    }
}

/* The longest text that an error can have is whole. */
static void test_long_error(void **state)
{
    (void)state;
    char pattern[129] = "";
    char value[129] = "";
    memset(pattern, 'p', 128);
    memset(value, 'v', 128);
    const struct room_line line = line_of(pattern, "access-signed-in", value);
    struct room_rules *rules;
    struct room_rules_error wrong;
    assert_int_equal(room_rules_new(&line, 1, &rules, &wrong), ERR_CONFIG);
    assert_non_null(strstr(wrong.why, "v...\" is not allowed"));
    assert_non_null(strstr(wrong.why, "moderate, own"));
    pattern[127] = '*';
    const struct room_line good = line_of(pattern, "access-signed-in", "own");
    rules = rules_of(&good, 1);
    struct room_settings s;
    room_rules_settings(rules, slice_of(pattern), &s);
    expect_setting(&s, ROOM_ACCESS_SIGNED_IN, "own", pattern);
    room_rules_free(rules);
}

/* As many as may be for each key, and one more. */
static void test_many_rules(void **state)
{
    (void)state;
    enum { LINES = 2 * ROOM_RULES_MAX + 1 };
    static char patterns[LINES][16];
    static struct room_line lines[LINES];
    struct room_rules_error wrong;
    struct room_rules *rules;
    for (size_t i = 0; i < LINES; i++) {
        snprintf(patterns[i], sizeof patterns[i], "r%zu", i / 2);
        lines[i] = line_of(patterns[i], setting_keys[i % 2], "read");
    }
    assert_int_equal(room_rules_new(lines, LINES, &rules, &wrong), ERR_CONFIG);
    assert_int_equal(wrong.line, LINES - 1);
    assert_string_equal(wrong.why,
                        "room \"r256\": access-guests: given for more than 256 rooms and patterns");
    rules = rules_of(lines, LINES - 1);
    struct room_settings s;
    room_rules_settings(rules, SLICE_LIT("r255"), &s);
    expect_setting(&s, ROOM_ACCESS_GUESTS, "read", "r255");
    expect_setting(&s, ROOM_ACCESS_SIGNED_IN, "read", "r255");
    room_rules_free(rules);
}

static void test_rules_memory(void **state)
{
    (void)state;
    const struct room_line line = line_of("*", "access-guests", "none");
    struct room_rules *rules = (struct room_rules *)(uintptr_t)1;
    struct room_rules_error wrong;
    fail_alloc_after(0);
    int err = room_rules_new(&line, 1, &rules, &wrong);
    fail_alloc_off();
    assert_int_equal(err, ERR_NOMEM);
    assert_null(rules);

    long live = fail_alloc_live();
    char text[] = "team-*";
    const struct room_line own = line_of(text, "access-guests", "none");
    rules = rules_of(&own, 1);
    memset(text, 'x', sizeof text); /* it holds nothing of the lines */
    struct room_settings s;
    room_rules_settings(rules, SLICE_LIT("team-a"), &s);
    expect_setting(&s, ROOM_ACCESS_GUESTS, "none", "team-*");
    room_rules_free(rules);
    assert_int_equal(fail_alloc_live(), live);
}

/* ---- decisions ---- */

struct example {
    const char *who;   /* "guest", "user" */
    const char *token; /* "lobby=write *=read"; NULL: says nothing */
    const char *role;  /* NULL: none is given */
    const char *room;
    const char *right;
    const char *reason;
    const char *pattern;
};

static size_t read_token(const char *text, struct room_right *list)
{
    size_t n = split_patterns(text, list);
    for (size_t i = 0; i < n; i++) {
        struct slice all = list[i].pattern;
        const char *equals = memchr(all.ptr, '=', all.len);
        assert_non_null(equals);
        list[i].pattern.len = (size_t)(equals - all.ptr);
        struct slice word = {equals + 1, all.len - list[i].pattern.len - 1};
        assert_true(right_find(word, &list[i].right));
    }
    return n;
}

static void expect_example(const struct room_rules *rules, const struct example *e)
{
    struct room_right rooms[8];
    struct room_settings settings;
    room_rules_settings(rules, slice_of(e->room), &settings);
    const struct rights_question q = {
        .room = slice_of(e->room),
        .signed_in = strcmp(e->who, "user") == 0,
        .has_rooms = e->token != NULL,
        .rooms = rooms,
        .room_count = e->token ? read_token(e->token, rooms) : 0,
        .has_role = e->role != NULL,
        .role = e->role ? right_named(e->role) : RIGHT_NONE,
        .settings = &settings,
    };
    struct rights_verdict v = rights_decide(&q);
    if (v.right != right_named(e->right) || !slice_is(v.pattern, e->pattern) ||
        strcmp(rights_reason_word(v.reason), e->reason) != 0)
        fail_msg("%s, token %s, role %s, room %s: %s by %s \"%.*s\"", e->who,
                 e->token ? e->token : "-", e->role ? e->role : "-", e->room, right_word(v.right),
                 rights_reason_word(v.reason), (int)v.pattern.len, v.pattern.ptr);
}

static void expect_examples(const struct example *examples, size_t count)
{
    struct room_rules *rules = example_rules();
    for (size_t i = 0; i < count; i++)
        expect_example(rules, &examples[i]);
    room_rules_free(rules);
}

/* "A token's `parlor.rooms` claim is complete: {"lobby": "write", "team-*": "moderate", "*":
 * "read"}: an exact name beats a pattern, [...] no match is `none`; it replaces the room's
 * defaults." */
static void test_token(void **state)
{
    (void)state;
    static const char all[] = "lobby=write team-*=moderate *=read";
    static const struct example examples[] = {
        {"user", all, NULL, "lobby", "write", "token", "lobby"},
        {"user", all, NULL, "team-a", "moderate", "token", "team-*"},
        {"user", all, NULL, "team-lobby", "moderate", "token", "team-*"},
        {"user", all, NULL, "news", "read", "token", "*"},
        {"user", "team-*=moderate", NULL, "lobby", "none", "not_in_token", ""},
        {"user", "", NULL, "lobby", "none", "not_in_token", ""},
        {"user", "team-*=moderate team-x=none", NULL, "team-x", "none", "token", "team-x"},
        {"user", "team-lobby=none", NULL, "team-lobby", "none", "token", "team-lobby"},
        {"user", "*=own", NULL, "team-a", "own", "token", "*"}, /* not lowered by defaults */
        {"guest", "team-*=write", NULL, "team-a", "write", "token", "team-*"},
    };
    expect_examples(examples, COUNT_OF(examples));
}

/* "Without it the defaults hold." */
static void test_no_token(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"guest", NULL, NULL, "lobby", "read", "setting", "*"},
        {"user", NULL, NULL, "lobby", "write", "default", ""},
        {"guest", NULL, NULL, "team-a", "none", "setting", "team-*"},
        {"user", NULL, NULL, "team-a", "read", "setting", "team-*"},
        {"guest", NULL, NULL, "team-lobby", "none", "setting", "team-*"},
        {"user", NULL, NULL, "team-lobby", "write", "setting", "team-lobby"},
    };
    expect_examples(examples, COUNT_OF(examples));
}

/* "Roles given in the room raise either, except an explicit `none`; sanctions lower last." */
static void test_roles(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"user", NULL, "moderate", "team-a", "moderate", "role", ""},
        {"guest", NULL, "write", "team-a", "write", "role", ""},
        {"user", NULL, "read", "lobby", "write", "default", ""},
        {"user", NULL, "write", "lobby", "write", "default", ""},
        {"user", NULL, "none", "lobby", "none", "role", ""},
        {"guest", NULL, "none", "team-a", "none", "role", ""},
        {"user", "team-*=moderate", "write", "lobby", "write", "role", ""},
        {"user", "team-*=moderate", "write", "team-a", "moderate", "token", "team-*"},
        {"user", "team-*=moderate", "own", "team-a", "own", "role", ""},
        {"user", "team-x=none", "read", "team-x", "read", "role", ""},
        {"user", "*=own", "none", "team-a", "none", "role", ""},
        {"user", "", "none", "lobby", "none", "role", ""},
    };
    expect_examples(examples, COUNT_OF(examples));
}

/* "Entering a new room makes nobody its owner." There is no room here that could be new or old:
 * only the name and what was given decide. */
static void test_no_owner(void **state)
{
    (void)state;
    struct room_rules *rules = rules_of(NULL, 0);
    static const struct example examples[] = {
        {"guest", NULL, NULL, "new", "write", "default", ""},
        {"user", NULL, NULL, "new", "write", "default", ""},
    };
    for (size_t i = 0; i < COUNT_OF(examples); i++)
        expect_example(rules, &examples[i]);
    room_rules_free(rules);
}

/* "A refusal depends on the name and the settings alone and comes before the room is looked up; so
 * a room one may not read cannot be told from one that does not exist, where the pattern is
 * closed." */
static void test_closed_pattern(void **state)
{
    (void)state;
    char name[24];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "team-%d", i);
        const struct example e = {"guest", NULL, NULL, name, "none", "setting", "team-*"};
        expect_examples(&e, 1);
    }
}

/* "`GET /api/v1/rooms/{room}/rights?user=` says what somebody may do and which rule decided." */
static void test_reasons(void **state)
{
    (void)state;
    static const char *const words[] = {"default", "setting", "token", "not_in_token", "role"};
    assert_int_equal(RIGHTS_REASON_COUNT, COUNT_OF(words));
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        assert_string_equal(rights_reason_word((enum rights_reason)i), words[i]);
        assert_true(strlen(rights_reason_text((enum rights_reason)i)) > 0);
    }
}

/* ---- against a model ---- */

enum { MODEL_LEN = 4, MODEL_LIST = 12 };

static uint32_t seed = 20231114;

static size_t below(size_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* A name or a pattern that has much in common with others. */
static void random_text(char out[static MODEL_LEN + 1])
{
    size_t len = 1 + below(MODEL_LEN);
    for (size_t i = 0; i < len; i++)
        out[i] = "ab*"[below(3)];
    out[len] = '\0';
}

struct model_list {
    size_t count;
    char patterns[MODEL_LIST][MODEL_LEN + 1];
    enum right rights[MODEL_LIST];
};

static int model_find(const struct model_list *l, const char *pattern)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->patterns[i], pattern) == 0) return (int)i;
    return -1;
}

/* Of rights below this. */
static void random_list(struct model_list *l, size_t rights)
{
    size_t count = below(MODEL_LIST + 1);
    l->count = 0;
    for (size_t i = 0; i < count; i++) {
        random_text(l->patterns[l->count]);
        if (model_find(l, l->patterns[l->count]) >= 0) continue;
        l->rights[l->count++] = (enum right)below(rights);
    }
}

/* Asks for every pattern that could count, the best first. */
static int model_best(const struct model_list *l, const char *room)
{
    char pattern[MODEL_LEN + 2];
    size_t len = strlen(room);
    if (room[len - 1] != '*' && model_find(l, room) >= 0) return model_find(l, room);
    for (size_t n = len + 1; n-- > 0;) {
        snprintf(pattern, sizeof pattern, "%.*s*", (int)n, room);
        if (model_find(l, pattern) >= 0) return model_find(l, pattern);
    }
    return -1;
}

struct model {
    struct model_list token;
    struct model_list settings[ROOM_SETTING_COUNT];
    bool has_rooms, signed_in, has_role;
    enum right role;
};

/* What is told of it: the right, the word of its reason, and the pattern. */
static void model_decide(const struct model *m, const char *room, char *out, size_t size)
{
    const struct model_list *list = m->has_rooms ? &m->token : &m->settings[m->signed_in ? 1 : 0];
    int best = model_best(list, room);
    enum right right = best >= 0 ? list->rights[best] : m->has_rooms ? RIGHT_NONE : RIGHT_WRITE;
    const char *pattern = best >= 0 ? list->patterns[best] : "";
    const char *reason = m->has_rooms ? best >= 0 ? "token" : "not_in_token"
                         : best >= 0  ? "setting"
                                      : "default";
    if (m->has_role && m->role == RIGHT_NONE)
        snprintf(out, size, "none role ");
    else if (m->has_role && m->role > right)
        snprintf(out, size, "%s role ", right_word(m->role));
    else
        snprintf(out, size, "%s %s %s", right_word(right), reason, pattern);
}

static size_t lines_of(const struct model *m, struct room_line *lines)
{
    size_t n = 0;
    for (size_t s = 0; s < ROOM_SETTING_COUNT; s++) {
        const struct model_list *l = &m->settings[s];
        for (size_t i = 0; i < l->count; i++)
            lines[n++] = line_of(l->patterns[i], setting_keys[s], right_word(l->rights[i]));
    }
    for (size_t i = n; i-- > 1;) { /* their order says nothing */
        size_t k = below(i + 1);
        struct room_line line = lines[i];
        lines[i] = lines[k];
        lines[k] = line;
    }
    return n;
}

static struct model random_model(void)
{
    struct model m = {.has_rooms = below(2),
                      .signed_in = below(2),
                      .has_role = below(2),
                      .role = (enum right)below(RIGHT_COUNT)};
    random_list(&m.token, RIGHT_COUNT);
    random_list(&m.settings[ROOM_ACCESS_GUESTS], RIGHT_WRITE + 1);
    random_list(&m.settings[ROOM_ACCESS_SIGNED_IN], RIGHT_COUNT);
    return m;
}

/* Decides without memory. */
static struct rights_verdict decide_in(const struct room_rules *rules, const struct model *m,
                                       struct slice room)
{
    struct room_right rooms[MODEL_LIST];
    struct room_settings settings;
    for (size_t i = 0; i < m->token.count; i++)
        rooms[i] = (struct room_right){slice_of(m->token.patterns[i]), m->token.rights[i]};
    const struct rights_question q = {.room = room,
                                      .signed_in = m->signed_in,
                                      .has_rooms = m->has_rooms,
                                      .rooms = rooms,
                                      .room_count = m->token.count,
                                      .has_role = m->has_role,
                                      .role = m->role,
                                      .settings = &settings};
    fail_alloc_after(0);
    room_rules_settings(rules, room, &settings);
    struct rights_verdict v = rights_decide(&q);
    fail_alloc_off();
    return v;
}

static void test_model(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct model m = random_model();
        struct room_line lines[2 * MODEL_LIST];
        struct room_rules *rules = rules_of(lines, lines_of(&m, lines));
        for (int i = 0; i < 20; i++) {
            char room[MODEL_LEN + 1];
            char want[64];
            char got[64];
            random_text(room);
            model_decide(&m, room, want, sizeof want);
            struct slice exact = exact_copy(slice_of(room));
            struct rights_verdict v = decide_in(rules, &m, exact);
            snprintf(got, sizeof got, "%s %s %.*s", right_word(v.right),
                     rights_reason_word(v.reason), (int)v.pattern.len,
                     v.pattern.len ? v.pattern.ptr : "");
            if (strcmp(got, want) != 0)
                fail_msg("round %d, room %s: %s; wanted %s", round, room, got, want);
            free((char *)exact.ptr);
        }
        room_rules_free(rules);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_other_words),
        cmocka_unit_test(test_what_each_is_for),
        cmocka_unit_test(test_acts_on),
        cmocka_unit_test(test_grants),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_long_error),
        cmocka_unit_test(test_many_rules),
        cmocka_unit_test(test_rules_memory),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_no_token),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_no_owner),
        cmocka_unit_test(test_closed_pattern),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
