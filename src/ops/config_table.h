/* The table of options: the one list behind everything config.h does. Inside the config module
 * only. To add an option: a field in struct config and a row in config_table.c. */
#ifndef OPS_CONFIG_TABLE_H
#define OPS_CONFIG_TABLE_H

#include "ops/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONFIG_KEY_MAX = 64,     /* bytes of a key, with its NUL */
    CONFIG_ALLOWED_MAX = 160 /* bytes of the text that says what a value may be */
};

enum config_kind {
    CONFIG_KIND_COUNT,      /* uint32_t field */
    CONFIG_KIND_SIZE,       /* uint32_t field, bytes; k, m, g */
    CONFIG_KIND_DISK,       /* uint64_t field, bytes; k, m, g, t */
    CONFIG_KIND_DURATION,   /* uint32_t field, milliseconds; ms, s, m */
    CONFIG_KIND_AGE,        /* uint32_t field, seconds; s, m, h, d */
    CONFIG_KIND_PATH,       /* char[CONFIG_PATH_MAX] field; "" for the word of zero */
    CONFIG_KIND_TEXT,       /* char[CONFIG_TEXT_MAX] field; "" for the word of zero */
    CONFIG_KIND_SECRET,     /* char[CONFIG_SECRET_MAX] field; never shown */
    CONFIG_KIND_DURABILITY, /* enum config_durability field */
    CONFIG_KIND_WHEN_FULL,  /* enum config_when_full field */
    CONFIG_KIND_BOOL,       /* bool field; on, off */
    CONFIG_KIND_FLAG,       /* bool field; on the command line the key alone means on */
    CONFIG_KIND_FORMAT,     /* enum log_format field */
    CONFIG_KIND_LEVEL,      /* enum log_level field */
    CONFIG_KIND_LISTEN,     /* the list of addresses */
    CONFIG_KIND_ORIGINS,    /* the list of origins */
    CONFIG_KIND_NETS,       /* the list of networks */
    CONFIG_KIND_HEADER,     /* enum config_header field */
    CONFIG_KIND_FILE,       /* --config: not a field */
    CONFIG_KIND_ACTION,     /* sets action to max; command line only, no value */
};

enum config_group {
    CONFIG_GROUP_ADDRESS,
    CONFIG_GROUP_HISTORY,
    CONFIG_GROUP_LIMITS,
    CONFIG_GROUP_CLIENTS,
    CONFIG_GROUP_TIMEOUTS,
    CONFIG_GROUP_PROTOCOL,
    CONFIG_GROUP_IDENTITY,
    CONFIG_GROUP_API,
    CONFIG_GROUP_LOG,
    CONFIG_GROUP_ACTIONS,
    CONFIG_GROUP_COUNT
};

struct config_option {
    const char *key; /* lower case, words joined by '-' */
    enum config_kind kind;
    enum config_group group;
    size_t offset;        /* of the field in struct config */
    uint64_t min;         /* of a number, in the unit of its field */
    uint64_t max;         /* likewise; for an action, the action */
    const char *zero;     /* a word that means 0, or NULL if 0 is only allowed by min */
    const char *metavar;  /* what --help shows for the value; "" without one */
    const char *fallback; /* the default, parsed like any value; NULL without one */
    const char *help;     /* sentences for people; no markup */
};

extern const struct config_option config_options[];
extern const size_t config_option_count;

/* The heading of a group. Static storage. */
const char *config_group_title(enum config_group group);

/* The option of a key in which '_' counts as '-' and case does not matter, or NULL. */
const struct config_option *config_option_find(const char *key);

/* The option whose key looks most like this one, or NULL if none looks like it. */
const struct config_option *config_option_nearest(const char *key);

#endif
