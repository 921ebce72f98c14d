/* See room_rules.h. Settings lie by key, not by section: a list of patterns for each. So to find
 * the best pattern that states a setting is to find the best of its list. */
#include "auth/room_rules.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/name.h"

struct rule_list {
    size_t count;
    struct room_right rules[ROOM_RULES_MAX];
};

struct room_rules {
    struct rule_list lists[ROOM_SETTING_COUNT];
    char text[]; /* the patterns */
};

static const char *const keys[] = {
#define X(symbol, key, fallback, most) [symbol] = (key),
    ROOM_SETTINGS(X)
#undef X
};

static const enum right defaults[] = {
#define X(symbol, key, fallback, most) [symbol] = (fallback),
    ROOM_SETTINGS(X)
#undef X
};

static const enum right mosts[] = {
#define X(symbol, key, fallback, most) [symbol] = (most),
    ROOM_SETTINGS(X)
#undef X
};

/* Begins with ", ". */
static const char all_keys[] =
#define X(symbol, key, fallback, most) ", " key
    ROOM_SETTINGS(X)
#undef X
    ;

enum { WORDS_MAX = 64 }; /* bytes of all words of rights, with what is between them */

__attribute__((format(printf, 2, 3))) static int complain(struct room_rules_error *wrong,
                                                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(wrong->why, sizeof wrong->why, format, args);
    va_end(args);
    return ERR_CONFIG;
}

/* Bad text, of any bytes and length, made fit for a log. */
static const char *show_bad(struct slice bad, char out[static ROOM_RULES_SHOWN_MAX + 4])
{
    size_t n = bad.len < ROOM_RULES_SHOWN_MAX ? bad.len : ROOM_RULES_SHOWN_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = bad.ptr[i] >= 0x20 && bad.ptr[i] < 0x7f ? bad.ptr[i] : '?';
    snprintf(out + n, 4, "%s", n < bad.len ? "..." : "");
    return out;
}

static bool find_key(struct slice key, size_t *setting)
{
    for (size_t i = 0; i < ROOM_SETTING_COUNT; i++) {
        if (!slice_is(key, keys[i])) continue;
        *setting = i;
        return true;
    }
    return false;
}

/* The words of the rights that a setting may give. */
static const char *allowed_words(size_t setting, char out[static WORDS_MAX])
{
    size_t n = 0;
    for (size_t r = 0; r <= mosts[setting]; r++)
        n += (size_t)snprintf(out + n, WORDS_MAX - n, "%s%s", r ? ", " : "",
                              right_word((enum right)r));
    return out;
}

static bool is_in_list(const struct rule_list *list, struct slice pattern)
{
    for (size_t i = 0; i < list->count; i++)
        if (slice_equal(list->rules[i].pattern, pattern)) return true;
    return false;
}

/* Reads a line, its pattern first, which can be shown as it is when it is good. */
static int read_line(const struct room_line *line, size_t *setting, enum right *right,
                     struct room_rules_error *wrong)
{
    char bad[ROOM_RULES_SHOWN_MAX + 4];
    char allowed[WORDS_MAX];
    if (name_room_check(line->pattern))
        return complain(wrong, "room \"%s\": neither a room nor a pattern: %s",
                        show_bad(line->pattern, bad), err_info(ERR_BAD_ROOM)->text);
    int len = (int)line->pattern.len;
    if (!find_key(line->key, setting))
        return complain(wrong, "room \"%.*s\": %s: unknown setting; expected one of %s", len,
                        line->pattern.ptr, show_bad(line->key, bad), all_keys + 2);
    if (!right_find(line->value, right))
        return complain(wrong, "room \"%.*s\": %s: \"%s\" is not allowed; expected one of %s", len,
                        line->pattern.ptr, keys[*setting], show_bad(line->value, bad),
                        allowed_words(*setting, allowed));
    if (*right > mosts[*setting])
        return complain(
            wrong,
            "room \"%.*s\": %s: \"%s\" is too much for whoever comes along; expected one "
            "of %s",
            len, line->pattern.ptr, keys[*setting], right_word(*right),
            allowed_words(*setting, allowed));
    return 0;
}

/* Takes a line in. *text is where its pattern goes, and moves on. */
static int add_line(struct room_rules *rules, const struct room_line *line, char **text,
                    struct room_rules_error *wrong)
{
    size_t setting = 0;
    enum right right = RIGHT_NONE;
    int err = read_line(line, &setting, &right, wrong);
    if (err) return err;
    struct slice pattern = line->pattern;
    struct rule_list *list = &rules->lists[setting];
    if (is_in_list(list, pattern))
        return complain(wrong, "room \"%.*s\": %s: given twice", (int)pattern.len, pattern.ptr,
                        keys[setting]);
    if (list->count == ROOM_RULES_MAX)
        return complain(wrong, "room \"%.*s\": %s: given for more than %d rooms and patterns",
                        (int)pattern.len, pattern.ptr, keys[setting], ROOM_RULES_MAX);
    memcpy(*text, pattern.ptr, pattern.len);
    list->rules[list->count++] = (struct room_right){{*text, pattern.len}, right};
    *text += pattern.len;
    return 0;
}

int room_rules_new(const struct room_line *lines, size_t count, struct room_rules **out,
                   struct room_rules_error *wrong)
{
    size_t bytes = 0;
    *out = NULL;
    for (size_t i = 0; i < count; i++)
        bytes += lines[i].pattern.len;
    struct room_rules *rules = malloc(sizeof *rules + bytes);
    if (!rules) return ERR_NOMEM;
    for (size_t s = 0; s < ROOM_SETTING_COUNT; s++)
        rules->lists[s].count = 0;
    char *text = rules->text;
    for (size_t i = 0; i < count; i++) {
        wrong->line = i;
        int err = add_line(rules, &lines[i], &text, wrong);
        if (!err) continue;
        free(rules);
        return err;
    }
    *out = rules;
    return 0;
}

void room_rules_free(struct room_rules *rules)
{
    free(rules);
}

void room_rules_settings(const struct room_rules *rules, struct slice room,
                         struct room_settings *out)
{
    for (size_t s = 0; s < ROOM_SETTING_COUNT; s++) {
        const struct rule_list *list = rules ? &rules->lists[s] : NULL;
        const struct room_right *best = list ? pattern_best(list->rules, list->count, room) : NULL;
        out->access[s] = best ? *best : (struct room_right){.right = defaults[s]};
    }
}
