/* What the table of options looks like to people: --help, --print-config, the manual. */
#include "ops/config.h"
#include "ops/config_value.h"
#include "ops/version.h"

#include <ctype.h>
#include <string.h>

enum {
    WIDTH = 100,      /* columns of --help, at most */
    HELP_COLUMN = 34, /* where descriptions begin */
};

/* Prints text in lines that end before WIDTH, each after the first behind `lead` and `indent`
 * blanks; the first begins at column `column`. Ends with a newline. */
static void wrap(FILE *out, const char *text, const char *lead, int indent, int column)
{
    bool fresh = true;
    for (const char *p = text; *p;) {
        int len = (int)strcspn(p, " ");
        if (!fresh && column + 1 + len > WIDTH) {
            column = fprintf(out, "\n%s%*s", lead, indent, "") - 1;
            fresh = true;
        }
        column += fprintf(out, "%s%.*s", fresh ? "" : " ", len, p);
        fresh = false;
        p += len;
        p += strspn(p, " ");
    }
    fputc('\n', out);
}

static void help_option(FILE *out, const struct config_option *o)
{
    char text[1024];
    snprintf(text, sizeof text, "%s%s%s%s", o->help, o->fallback ? " Default: " : "",
             o->fallback ? o->fallback : "", o->fallback ? "." : "");
    int n = fprintf(out, "  --%s%s%s", o->key, *o->metavar ? " " : "", o->metavar);
    fprintf(out, "%*s", n < HELP_COLUMN ? HELP_COLUMN - n : 1, "");
    wrap(out, text, "", HELP_COLUMN, n < HELP_COLUMN ? HELP_COLUMN : n + 1);
}

void config_help(FILE *out)
{
    fputs("Usage: parlor [OPTION]...\n"
          "       parlor import FILE [OPTION]...\n"
          "       parlor check FILE\n"
          "       parlor restore BACKUP [OPTION]...\n"
          "Parlor, a real-time chat server: rooms over WebSocket, a chat page at /.\n",
          out);
    for (int group = 0; group < CONFIG_GROUP_COUNT; group++) {
        fprintf(out, "\n%s\n", config_group_title((enum config_group)group));
        for (size_t i = 0; i < config_option_count; i++) {
            if ((int)config_options[i].group == group) help_option(out, &config_options[i]);
        }
    }
    fputs(
        "\n"
        "Sizes take k, m, g (of 1024); times take ms, s, m, and are in seconds without. Each "
        "option\n"
        "is also an environment variable (--log-level is PARLOR_LOG_LEVEL) and a key of the file\n"
        "(log-level = debug). The command line wins over the environment, that over the file. "
        "Lists\n"
        "take commas. Anything not understood stops the start.\n"
        "\n"
        "Examples\n"
        "  parlor                                     chat on http://localhost:8000/\n"
        "  parlor --listen '*:80' --log-format json   open to the network\n"
        "  parlor --print-config > parlor.ini         a file to start from\n"
        "  parlor --config parlor.ini --check-config  is it right?\n"
        "  parlor import lobby.ndjson --data new.db   read back what the API exported (-: standard "
        "input)\n"
        "  parlor check parlor.db                     is the database sound? also while it is in "
        "use\n"
        "  parlor restore copy.db --data parlor.db    put a backup in its place\n",
        out);
}

static void print_rooms(FILE *out, const struct config *config)
{
    const struct config_room_line *before = NULL;
    if (config->room_line_count) fputs("\n# --- Rooms ---\n", out);
    for (size_t i = 0; i < config->room_line_count; i++) {
        const struct config_room_line *line = &config->room_lines[i];
        if (!before || strcmp(before->pattern, line->pattern) != 0)
            fprintf(out, "\n[room \"%s\"]\n", line->pattern);
        fprintf(out, "%s = %s\n", line->key, line->value);
        before = line;
    }
}

void config_print(const struct config *config, FILE *out)
{
    fprintf(out, "# Configuration of Parlor " PARLOR_VERSION ", as in force.\n");
    for (int group = 0; group < CONFIG_GROUP_COUNT; group++) {
        if (group == CONFIG_GROUP_ACTIONS) continue;
        fprintf(out, "\n# --- %s ---\n", config_group_title((enum config_group)group));
        for (size_t i = 0; i < config_option_count; i++) {
            const struct config_option *o = &config_options[i];
            if ((int)o->group != group) continue;
            char text[CONFIG_VALUE_MAX];
            fputs("\n# ", out);
            wrap(out, o->help, "# ", 0, 2);
            config_value_allowed(o, text);
            fprintf(out, "# Default: %s; allowed: ", o->fallback);
            wrap(out, text, "# ", 0, 20 + (int)strlen(o->fallback) + 2);

            size_t n = config_value_count(config, o);
            if (n == 0) fprintf(out, "# %s is not printed.\n", o->key);
            for (size_t k = 0; k < n;) {
                k += config_value_text(config, o, k, text);
                fprintf(out, "%s = %s\n", o->key, text);
            }
        }
    }
    print_rooms(out, config);
}

/* Prints text for a cell of a Markdown table. */
static void cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '*') fputc('\\', out);
        fputc(*text, out);
    }
}

void config_document(FILE *out)
{
    for (int group = 0; group < CONFIG_GROUP_COUNT; group++) {
        fprintf(out, "%s**%s**\n\n", group ? "\n" : "",
                config_group_title((enum config_group)group));
        fprintf(out, "| option | default | allowed | meaning |\n|---|---|---|---|\n");
        for (size_t i = 0; i < config_option_count; i++) {
            const struct config_option *o = &config_options[i];
            if ((int)o->group != group) continue;
            char allowed[CONFIG_ALLOWED_MAX];
            config_value_allowed(o, allowed);
            fprintf(out, "| `--%s` | ", o->key);
            cell(out, o->fallback ? o->fallback : "");
            fputs(" | ", out);
            cell(out, allowed);
            fputs(" | ", out);
            cell(out, o->help);
            fputs(" |\n", out);
        }
    }
}
