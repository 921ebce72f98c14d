/* Reading the options, see config.h.
 *
 * One pass over the command line finds what decides how the rest is read (--help, --config); then
 * the sources are applied from the weakest to the strongest, each value through the one parser of
 * config_value.c. The first mistake ends it: err is set once, with the place it was found at.
 *
 * inih reads the file, but through a reader of ours, which counts lines for the messages and
 * refuses what inih would pass over in silence: lines longer than its buffer and NUL bytes. It also
 * drops leading white space, so that an indented key is a key and not a continuation of the line
 * above. The heads of sections it reads itself: inih would cut the name of a room after 50 bytes,
 * and at a ']'. */
#include "ops/config.h"

#include "ops/config_value.h"
#include "ops/secret_file.h"

#include "base/check.h"
#include "base/err.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILE_LINES_MAX = 10000, /* lines of a configuration file */
    OPTIONS_MAX = 64,       /* rows of the table, at most */
    SHOWN_MAX = 64,         /* bytes of a bad value that are shown */
};

enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_ARGUMENTS };

#define ENV_PREFIX "PARLOR_"
#define PUBLIC_TEXT                                                                                \
    "other users can read the file; chmod 600 it, or leave it to its group if another user owns "  \
    "it"

struct loader {
    struct config *config;
    char *errbuf;
    size_t errlen;
    int err; /* the first mistake; errbuf tells of it */

    enum source source;
    const char *path; /* of the file */
    FILE *file;
    unsigned line;                 /* of the file; being read, from 1 */
    char *room;                    /* whose section it is, a pattern; NULL: none; owned */
    enum source from[OPTIONS_MAX]; /* who set each option last */
    unsigned line_of[OPTIONS_MAX]; /* where the file set it */
};

/* Makes text from outside fit for an error line: no control characters, not too long. */
static const char *shown(const char *text, char out[SHOWN_MAX + 4])
{
    size_t n = 0;
    for (; n < SHOWN_MAX && text[n]; n++) {
        unsigned char c = (unsigned char)text[n];
        out[n] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
    }
    snprintf(out + n, 4, "%s", text[n] ? "..." : "");
    return out;
}

/* Records the first mistake, behind the place where it stands. */
__attribute__((format(printf, 3, 4))) static int fail_config(struct loader *l, int err,
                                                             const char *format, ...)
{
    if (l->err) return l->err;
    l->err = err;
    int n = 0;
    if (l->source == SOURCE_FILE && l->line > 0)
        n = snprintf(l->errbuf, l->errlen, "%.256s:%u: ", l->path, l->line);
    else if (l->source == SOURCE_FILE)
        n = snprintf(l->errbuf, l->errlen, "%.256s: ", l->path);
    else if (l->source == SOURCE_ENVIRONMENT)
        n = snprintf(l->errbuf, l->errlen, "environment: ");
    else if (l->source == SOURCE_ARGUMENTS)
        n = snprintf(l->errbuf, l->errlen, "command line: ");
    if (n < 0 || (size_t)n >= l->errlen) return err;
    va_list args;
    va_start(args, format);
    vsnprintf(l->errbuf + n, l->errlen - (size_t)n, format, args);
    va_end(args);
    return err;
}

/* The name of an option as its source spells it. */
static const char *spelled(const struct loader *l, const char *key, char out[CONFIG_KEY_MAX + 16])
{
    const char *prefix = l->source == SOURCE_ENVIRONMENT ? ENV_PREFIX
                         : l->source == SOURCE_ARGUMENTS ? "--"
                                                         : "";
    size_t n = (size_t)snprintf(out, CONFIG_KEY_MAX + 16, "%s%.*s", prefix, CONFIG_KEY_MAX, key);
    for (size_t i = 0; l->source == SOURCE_ENVIRONMENT && i < n; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
    return out;
}

/* key as the user wrote it, with what its source puts before it. */
static int fail_unknown(struct loader *l, const char *written, const char *key)
{
    char safe[SHOWN_MAX + 4];
    char name[CONFIG_KEY_MAX + 16];
    const struct config_option *near = config_option_nearest(key);
    if (!near)
        return fail_config(l, ERR_CONFIG, "%s: unknown option; --help lists them all",
                           shown(written, safe));
    return fail_config(l, ERR_CONFIG, "%s: unknown option; did you mean %s?", shown(written, safe),
                       spelled(l, near->key, name));
}

/* Sets one option from the source being read. */
static int apply(struct loader *l, const struct config_option *o, const char *value)
{
    size_t i = (size_t)(o - config_options);
    char name[CONFIG_KEY_MAX + 16];
    bool only_arguments =
        o->kind == CONFIG_KIND_ACTION || (o->kind == CONFIG_KIND_FILE && l->source == SOURCE_FILE);
    if (only_arguments)
        return fail_config(l, ERR_CONFIG, "%s: only possible %s", spelled(l, o->key, name),
                           o->kind == CONFIG_KIND_FILE
                               ? "on the command line and in the environment"
                               : "on the command line");
    if (o->kind == CONFIG_KIND_FILE) return 0; /* it was read first */

    if (o->kind == CONFIG_KIND_SECRET && l->source == SOURCE_FILE &&
        secret_file_is_public(fileno(l->file)))
        return fail_config(l, ERR_CONFIG, "%s: " PUBLIC_TEXT, o->key);

    if (l->source == SOURCE_FILE && l->line_of[i] && !config_value_is_list(o))
        return fail_config(l, ERR_CONFIG, "%s: given twice, first in line %u", o->key,
                           l->line_of[i]);
    if (l->from[i] != l->source) config_value_clear(l->config, o);
    l->from[i] = l->source;
    l->line_of[i] = l->line;

    char why[CONFIG_ALLOWED_MAX];
    char safe[SHOWN_MAX + 4];
    int err = config_value_set(l->config, o, value, why);
    if (err == ERR_CONFIG && o->kind == CONFIG_KIND_SECRET)
        return fail_config(l, err, "%s: this is not allowed; expected %s", spelled(l, o->key, name),
                           why);
    if (err == ERR_CONFIG)
        return fail_config(l, err, "%s: \"%s\" is not allowed; expected %s",
                           spelled(l, o->key, name), shown(value, safe), why);
    return err ? fail_config(l, err, "out of memory") : 0;
}

static int apply_defaults(struct loader *l)
{
    CHECK(config_option_count <= OPTIONS_MAX);
    l->source = SOURCE_DEFAULT;
    for (size_t i = 0; i < config_option_count && !l->err; i++) {
        if (config_options[i].fallback) apply(l, &config_options[i], config_options[i].fallback);
    }
    CHECK(l->err != ERR_CONFIG); /* a row of the table contradicts itself */
    return l->err;
}

/* --- command line --- */

/* The command line, being read. */
struct arguments {
    char **next;                   /* NULL-terminated */
    const struct config_option *o; /* the option just read */
    const char *value;
};

/* Splits the next argument into option and value, and moves past what it used. */
static int read_argument(struct loader *l, struct arguments *a)
{
    const char *arg = *a->next++;
    char safe[SHOWN_MAX + 4];
    if (strcmp(arg, "-h") == 0) arg = "--help";
    if (arg[0] != '-' || arg[1] == '\0' || strcmp(arg, "--") == 0)
        return fail_config(l, ERR_CONFIG, "\"%s\" is not an option; options begin with --",
                           shown(arg, safe));

    const char *start = arg + strspn(arg, "-");
    const char *equals = strchr(start, '=');
    size_t len = equals ? (size_t)(equals - start) : strlen(start);
    char key[CONFIG_KEY_MAX];
    snprintf(key, sizeof key, "%.*s", (int)(len < sizeof key ? len : sizeof key - 1), start);
    const struct config_option *o =
        len < sizeof key && start - arg == 2 ? config_option_find(key) : NULL;
    if (!o) { /* without its value, which may be a key */
        char written[SHOWN_MAX + 4];
        snprintf(written, sizeof written, "%.*s", (int)(start + len - arg), arg);
        return fail_unknown(l, written, key);
    }

    a->o = o;
    a->value = equals ? equals + 1 : NULL;
    bool alone = o->kind == CONFIG_KIND_ACTION || o->kind == CONFIG_KIND_FLAG;
    if (o->kind == CONFIG_KIND_ACTION && equals)
        return fail_config(l, ERR_CONFIG, "--%s: takes no value", o->key);
    if (alone && !equals) a->value = "on";
    if (a->value) return 0;
    if (*a->next && strncmp(*a->next, "--", 2) != 0) {
        a->value = *a->next++;
        return 0;
    }
    char allowed[CONFIG_ALLOWED_MAX];
    config_value_allowed(o, allowed);
    return fail_config(l, ERR_CONFIG, "--%s: a value is missing; expected %s", o->key, allowed);
}

/* The word before the options, and the file that belongs to it. Moves past both. */
static int read_command(struct loader *l, char ***argv)
{
    static const struct {
        const char *word;
        enum config_action action;
        const char *missing;
    } commands[] = {
        {"import", CONFIG_IMPORT, "; - is standard input"},
        {"check", CONFIG_EXAMINE, ""},
        {"restore", CONFIG_RESTORE, ""},
    };
    char **at = *argv;
    size_t i = 0;
    size_t n = sizeof commands / sizeof *commands;
    while (*at && i < n && strcmp(*at, commands[i].word) != 0)
        i++;
    if (!*at || i == n) return 0;
    l->source = SOURCE_ARGUMENTS;
    if (at[1] && (strcmp(at[1], "--help") == 0 || strcmp(at[1], "-h") == 0)) {
        *argv = at + 1;
        return 0;
    }
    if (!at[1] || strncmp(at[1], "--", 2) == 0)
        return fail_config(l, ERR_CONFIG, "%s: a file name is missing%s", *at, commands[i].missing);
    l->config->action = commands[i].action;
    l->config->operand = at[1];
    *argv = at + 2;
    return 0;
}

/* Finds the action and the name of the file; stops at --help and --version. */
static int survey_arguments(struct loader *l, char **argv)
{
    l->source = SOURCE_ARGUMENTS;
    struct arguments a = {.next = argv};
    while (*a.next) {
        if (read_argument(l, &a)) return l->err;
        CHECK(a.o);
        if (a.o->kind == CONFIG_KIND_FILE) l->path = a.value;
        if (a.o->kind != CONFIG_KIND_ACTION) continue;
        l->config->action = (enum config_action)a.o->max;
        if (a.o->max == CONFIG_HELP || a.o->max == CONFIG_VERSION) return 0;
    }
    return 0;
}

static int apply_arguments(struct loader *l, char **argv)
{
    l->source = SOURCE_ARGUMENTS;
    struct arguments a = {.next = argv};
    while (*a.next && !l->err) {
        if (read_argument(l, &a)) return l->err;
        CHECK(a.o);
        if (a.o->kind != CONFIG_KIND_ACTION) apply(l, a.o, a.value);
    }
    return l->err;
}

/* --- environment --- */

/* Kubernetes gives every pod variables named after the services of its namespace; a service called
 * parlor must not keep the server of that name from starting. */
static bool is_service_link(const char *name, size_t len, const char *value)
{
    static const char host[] = "_SERVICE_HOST";
    static const char port[] = "_PORT";
    char text[256];
    if (len >= sizeof text) return false;
    memcpy(text, name, len);
    text[len] = '\0';
    bool ends_host = len >= sizeof host && strcmp(text + len - (sizeof host - 1), host) == 0;
    bool ends_port = len >= sizeof port && strcmp(text + len - (sizeof port - 1), port) == 0;
    bool protocol = strstr(text, "_TCP") || strstr(text, "_UDP") || strstr(text, "_SCTP");
    return ends_host || strstr(text, "_SERVICE_PORT") || (ends_port && strstr(value, "://")) ||
           (strstr(text, "_PORT_") && protocol);
}

static int apply_environment(struct loader *l, char **env)
{
    l->source = SOURCE_ENVIRONMENT;
    l->line = 0;
    for (; *env && !l->err; env++) {
        const char *equals = strchr(*env, '=');
        if (!equals || strncmp(*env, ENV_PREFIX, sizeof ENV_PREFIX - 1) != 0) continue;
        size_t len = (size_t)(equals - *env);
        if (is_service_link(*env, len, equals + 1)) continue;

        char name[CONFIG_KEY_MAX + sizeof ENV_PREFIX];
        size_t shown_len = len < sizeof name ? len : sizeof name - 1;
        snprintf(name, sizeof name, "%.*s", (int)shown_len, *env);
        const char *key = name + sizeof ENV_PREFIX - 1;
        const struct config_option *o = len < sizeof name ? config_option_find(key) : NULL;
        if (o)
            apply(l, o, equals + 1);
        else
            fail_unknown(l, name, key);
    }
    return l->err;
}

static void survey_environment(struct loader *l, char **env)
{
    static const char name[] = ENV_PREFIX "CONFIG=";
    for (; *env && !l->path; env++) {
        if (strncmp(*env, name, sizeof name - 1) == 0) l->path = *env + sizeof name - 1;
    }
}

/* --- file --- */

/* Reads one line into out (at most size - 1 bytes, newline included). False at the end or a
 * mistake. */
static bool read_ini_line(struct loader *l, char *out, size_t size)
{
    size_t n = 0;
    bool comment = false;
    for (int c = getc(l->file); c != EOF; c = getc(l->file)) {
        if (n == 0 && !comment) {
            if (c != '\n' && isspace(c)) continue;
            comment = c == '#' || c == ';';
        }
        if (c == '\0') {
            fail_config(l, ERR_CONFIG, "this is not a text file");
            return false;
        }
        if (!comment && n + 2 > size) {
            fail_config(l, ERR_CONFIG,
                        "longer than %zu bytes; a list may be given in several lines", size - 2);
            return false;
        }
        if (!comment || c == '\n') out[n++] = (char)c;
        if (c == '\n') break;
    }
    out[n] = '\0';
    if (ferror(l->file)) fail_config(l, ERR_IO, "cannot be read: %s", strerror(errno));
    return !l->err && (n > 0 || comment);
}

/* Nothing follows but blanks and a comment. */
static bool ends_line(const char *rest)
{
    rest += strspn(rest, " \t\r\n");
    return *rest == '\0' || *rest == '#' || *rest == ';';
}

/* The pattern of [room "PATTERN"], which may hold anything but "]; NULL: it is no such head. */
static const char *find_pattern(const char *head, size_t *len)
{
    static const char word[] = "[room";
    if (strncmp(head, word, sizeof word - 1) != 0) return NULL;
    const char *quote = head + sizeof word - 1;
    quote += strspn(quote, " \t");
    if (*quote != '"' || quote == head + sizeof word - 1) return NULL;
    const char *end = strstr(quote + 1, "\"]");
    if (!end || !ends_line(end + 2)) return NULL;
    *len = (size_t)(end - quote - 1);
    return quote + 1;
}

static void enter_room(struct loader *l, const char *pattern, size_t len)
{
    l->room = malloc(len + 1);
    if (!l->room) {
        fail_config(l, ERR_NOMEM, "out of memory");
        return;
    }
    memcpy(l->room, pattern, len);
    l->room[len] = '\0';
}

/* Whether a line is the head of a section, which is noted; or else a mistake. */
static bool take_section(struct loader *l, const char *line)
{
    static const char parlor[] = "[parlor]";
    static const char bom[] = "\xef\xbb\xbf";
    const char *head = line;
    size_t len = 0;
    if (l->line == 1 && strncmp(head, bom, sizeof bom - 1) == 0) head += sizeof bom - 1;
    if (*head != '[') return false;
    free(l->room);
    l->room = NULL;
    if (strncmp(head, parlor, sizeof parlor - 1) == 0 && ends_line(head + sizeof parlor - 1))
        return true;
    const char *pattern = find_pattern(head, &len);
    char safe[SHOWN_MAX + 4];
    char text[SHOWN_MAX + 2];
    snprintf(text, sizeof text, "%.*s", (int)strcspn(head, "\r\n"), head);
    if (!pattern)
        fail_config(l, ERR_CONFIG, "unknown section %s; expected [parlor], [room \"NAME\"] or none",
                    shown(text, safe));
    else
        enter_room(l, pattern, len);
    return true;
}

static char *on_ini_line(char *out, int size, void *arg)
{
    struct loader *l = arg;
    if (l->err) return NULL;
    l->line++;
    if (l->line > FILE_LINES_MAX) {
        fail_config(l, ERR_CONFIG, "more than %d lines", FILE_LINES_MAX);
        return NULL;
    }
    if (!read_ini_line(l, out, (size_t)size)) return NULL;
    if (take_section(l, out)) memcpy(out, "\n", sizeof "\n");
    return l->err ? NULL : out;
}

static int add_room_line(struct loader *l, const char *key, const char *value)
{
    struct config *c = l->config;
    size_t pattern_size = strlen(l->room) + 1;
    size_t key_size = strlen(key) + 1;
    size_t value_size = strlen(value) + 1;
    struct config_room_line *lines =
        realloc(c->room_lines, (c->room_line_count + 1) * sizeof *lines);
    if (lines) c->room_lines = lines;
    char *text = lines ? malloc(pattern_size + key_size + value_size) : NULL;
    if (!text) return fail_config(l, ERR_NOMEM, "out of memory");
    char *key_copy = memcpy(text + pattern_size, key, key_size);
    char *value_copy = memcpy(key_copy + key_size, value, value_size);
    memcpy(text, l->room, pattern_size);
    lines[c->room_line_count++] = (struct config_room_line){text, key_copy, value_copy, l->line};
    return 0;
}

static int on_ini_value(void *arg, const char *section, const char *key, const char *value)
{
    struct loader *l = arg;
    (void)section; /* take_section has left none */
    if (l->err) return 0;
    if (l->room) return add_room_line(l, key, value) == 0;
    const struct config_option *o = config_option_find(key);
    if (!o) return fail_unknown(l, key, key) == 0;
    return apply(l, o, value) == 0;
}

static int apply_file(struct loader *l)
{
    if (!l->path) return 0;
    char safe[SHOWN_MAX + 4];
    l->file = fopen(l->path, "re");
    if (!l->file) {
        int why = errno;
        l->source = SOURCE_DEFAULT; /* the message names the file itself */
        return fail_config(l, ERR_IO, "configuration file \"%s\": %s", shown(l->path, safe),
                           strerror(why));
    }
    l->source = SOURCE_FILE;
    l->config->file = l->path;
    l->line = 0;
    int bad_line = ini_parse_stream((ini_reader)on_ini_line, l, on_ini_value, l);
    fclose(l->file);
    l->file = NULL;
    free(l->room);
    l->room = NULL;
    bool syntax = bad_line > 0 && (!l->err || (unsigned)bad_line < l->line);
    if (syntax) {
        l->err = 0;
        l->line = (unsigned)bad_line;
        fail_config(l, ERR_CONFIG, "expected KEY = VALUE, a section or a comment");
    } else if (bad_line < 0) {
        fail_config(l, ERR_NOMEM, "out of memory");
    }
    l->line = 0;
    return l->err;
}

/* --- the key's file --- */

/* Reads the first line; key is of CONFIG_SECRET_MAX bytes. A reason, or NULL. */
static const char *read_first_line(const char *path, char *key)
{
    char line[CONFIG_SECRET_MAX + 2] = ""; /* of one that is too long enough to see that it is */
    FILE *file = fopen(path, "re");
    if (!file) return strerror(errno);
    bool public = secret_file_is_public(fileno(file));
    const char *read = fgets(line, sizeof line, file);
    const char *why = !read && ferror(file) ? strerror(errno) : NULL;
    fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    bool fits = config_value_is_secret(line);
    if (fits) memcpy(key, line, strlen(line) + 1);
    explicit_bzero(line, sizeof line);
    if (why) return why;
    if (public) return SECRET_FILE_PUBLIC;
    return fits ? NULL : "its first line has to be 16 to 255 visible ASCII characters";
}

static int load_key(struct loader *l)
{
    struct config *c = l->config;
    char safe[SHOWN_MAX + 4];
    l->source = SOURCE_DEFAULT; /* the messages name the options themselves */
    if (!c->api_key_file[0]) return 0;
    if (c->api_key[0])
        return fail_config(l, ERR_CONFIG,
                           "api-key and api-key-file are both given; keep one of them");
    const char *why = read_first_line(c->api_key_file, c->api_key);
    if (!why) return 0;
    return fail_config(l, ERR_CONFIG, "api-key-file \"%s\": %s", shown(c->api_key_file, safe), why);
}

/* --- together --- */

static int check_tokens(struct loader *l)
{
    const struct config *c = l->config;
    int keys = (c->jwt_secret_file[0] != 0) + (c->jwt_key[0] != 0) + (c->jwks_url[0] != 0);
    if (keys > 1)
        return fail_config(l, ERR_CONFIG,
                           "jwt-secret-file, jwt-key and jwks-url are three ways to the keys of "
                           "tokens; keep one of them");
    if (c->jwks_url[0] && (!c->jwt_issuer[0] || !c->jwt_audience[0]))
        return fail_config(l, ERR_CONFIG,
                           "jwks-url is of somebody who may sign for others too: give jwt-issuer "
                           "and jwt-audience with it");
    if (!keys && (c->jwt_issuer[0] || c->jwt_audience[0]))
        return fail_config(l, ERR_CONFIG,
                           "jwt-issuer and jwt-audience are about tokens, but there is no key for "
                           "any; give jwt-secret-file, jwt-key or jwks-url");
    return 0;
}

static int check_site(struct loader *l)
{
    const struct config *c = l->config;
    if (!c->auth_url[0] && c->auth_cookies[0])
        return fail_config(
            l, ERR_CONFIG,
            "auth-cookies is what auth-url is sent, but there is none; give auth-url");
    if (!c->auth_url[0]) return 0;
    if (c->any_origin)
        return fail_config(l, ERR_CONFIG,
                           "origins = * with auth-url would let any page use the session of who "
                           "looks at it; name the origins of your pages");
    if (c->auth_timeout_ms >= c->handshake_timeout_ms)
        return fail_config(l, ERR_CONFIG,
                           "auth-timeout (%" PRIu32 " ms) has to be less than handshake-timeout "
                           "(%" PRIu32 " ms), or nobody is told; change one of them",
                           c->auth_timeout_ms, c->handshake_timeout_ms);
    return 0;
}

/* What no single value shows. */
static int check_together(struct loader *l)
{
    const struct config *c = l->config;
    l->source = SOURCE_DEFAULT;
    if (c->max_frame_bytes && c->max_message_bytes > c->max_frame_bytes)
        return fail_config(l, ERR_CONFIG,
                           "max-message-bytes (%" PRIu32
                           ") is larger than max-frame-bytes (%" PRIu32
                           "), so the largest messages could never arrive; change one of them",
                           c->max_message_bytes, c->max_frame_bytes);
    if (c->lag_max_bytes && c->max_message_bytes > c->lag_max_bytes)
        return fail_config(l, ERR_CONFIG,
                           "max-message-bytes (%" PRIu32 ") is larger than lag-max-bytes (%" PRIu32
                           "), so one message could cut a whole room; change one of them",
                           c->max_message_bytes, c->lag_max_bytes);
    bool proxied = false;
    for (size_t i = 0; i < c->listen_count; i++)
        proxied = proxied || c->listen[i].proxy;
    if (proxied && c->trusted_proxy_count == 0)
        return fail_config(
            l, ERR_CONFIG,
            "listen has a proxy: address, but trusted-proxies is none, so nobody could "
            "connect to it; change one of them");
    int err = check_tokens(l);
    return err ? err : check_site(l);
}

/* A disk that fills up is noticed and emptied, memory is not. */
static void bound_memory(struct config *c)
{
    if (strcmp(c->data, CONFIG_DATA_MEMORY) != 0) return;
    if (!c->keep_age_s && !c->keep_messages && !c->keep_bytes)
        c->keep_messages = CONFIG_MEMORY_MESSAGES;
}

/* argc and argv are one thing, as are errbuf and errlen. */
/* NOLINTNEXTLINE(readability-function-size) */
int config_load(int argc, char **argv, char **env, struct config *out, char *errbuf, size_t errlen)
{
    CHECK(errlen > 0);
    *out = (struct config){0};
    errbuf[0] = '\0';
    struct loader l = {.config = out, .errbuf = errbuf, .errlen = errlen};
    char **arguments = argc > 0 ? argv + 1 : argv; /* both are NULL-terminated */
    if (read_command(&l, &arguments) || survey_arguments(&l, arguments) || apply_defaults(&l))
        goto out;
    if (out->action == CONFIG_HELP || out->action == CONFIG_VERSION) goto out;
    survey_environment(&l, env);
    if (apply_file(&l) || apply_environment(&l, env) || apply_arguments(&l, arguments)) goto out;
    bound_memory(out);
    if (check_together(&l) == 0) load_key(&l);
out:
    if (l.err) config_fini(out);
    return l.err;
}

void config_hide_secrets(char **argv)
{
    for (; *argv; argv++) {
        if (strncmp(*argv, "--", 2) != 0) continue;
        char key[CONFIG_KEY_MAX];
        size_t len = strcspn(*argv + 2, "=");
        snprintf(key, sizeof key, "%.*s", len < sizeof key ? (int)len : 0, *argv + 2);
        const struct config_option *o = config_option_find(key);
        if (!o || o->kind != CONFIG_KIND_SECRET) continue;
        char *value = (*argv)[2 + len] ? *argv + 2 + len + 1 : argv[1];
        if (value) memset(value, 'x', strlen(value));
    }
}

void config_fini(struct config *config)
{
    explicit_bzero(config->api_key, sizeof config->api_key);
    for (size_t i = 0; i < config_option_count; i++)
        config_value_clear(config, &config_options[i]);
    for (size_t i = 0; i < config->room_line_count; i++)
        free(config->room_lines[i].pattern);
    free(config->room_lines);
    config->room_lines = NULL;
    config->room_line_count = 0;
}
