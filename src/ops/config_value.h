/* Values of options: from text and back to text. Inside the config module only; no files, no
 * environment, no error lines. */
#ifndef OPS_CONFIG_VALUE_H
#define OPS_CONFIG_VALUE_H

#include "ops/config_table.h"

#include <stdbool.h>
#include <stddef.h>

/* True if the text can be a key: visible ASCII, which can stand in an HTTP header. */
bool config_value_is_secret(const char *text);

enum { CONFIG_VALUE_MAX = 512 }; /* bytes of one value as text, with its NUL */

/* Sets the field of o from text. A list is appended to; config_value_clear empties it first where
 * that is wanted. Returns 0; ERR_CONFIG if the text is not allowed, with the reason in why
 * (CONFIG_ALLOWED_MAX bytes, what would be allowed); ERR_NOMEM. */
int config_value_set(struct config *c, const struct config_option *o, const char *text, char *why);

bool config_value_is_list(const struct config_option *o);

/* Empties a list; no effect on other options. */
void config_value_clear(struct config *c, const struct config_option *o);

/* Number of values an option has: 1 but for lists, where it may be 0 or more; 0 of what is never
 * shown. */
size_t config_value_count(const struct config *c, const struct config_option *o);

/* Writes the i-th value of o into text (CONFIG_VALUE_MAX bytes), such that config_value_set reads
 * it back. Returns how many values that text covers: 2 for a pair of addresses like localhost. */
size_t config_value_text(const struct config *c, const struct config_option *o, size_t i,
                         char *text);

/* Writes what a value of o may be into text (CONFIG_ALLOWED_MAX bytes): "a number from 1 to 256, or
 * auto". */
void config_value_allowed(const struct config_option *o, char *text);

#endif
