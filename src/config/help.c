/* help.c - the table of settings as text for --help and the documentation.
 * In: a pattern of keys. Out: lines.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "config/schema.h"
#include "swage/config.h"

/* Appends to out as far as it goes. */
static void add(char *out, size_t capacity, const char *before, const char *text, size_t length) {
    size_t used = strlen(out);
    snprintf(out + used, capacity - used, "%s%.*s", before, (int)length, text);
}

/* "a b>c !d [1,9]" as "[1,9], a or b" and the words that wait for their feature. */
static void allowed_text(const swg__config_key *row, char *out, char *not_yet, size_t capacity) {
    *out = *not_yet = 0;
    for (const char *p = row->allowed; *p; p += strcspn(p, " "), p += *p == ' ') {
        size_t length = strcspn(p, " ");
        if (*p == '!')
            add(not_yet, capacity, *not_yet ? ", " : "", p + 1, length - 1);
        else if (*p != '#' && !memchr(p, '>', length))
            add(out, capacity, *out ? (row->type == SWG__CHOICE ? "|" : " or ") : "", p, length);
    }
}

/* "0; a.b=c:1" as "0 (1 with a.b=c)". */
static void default_text(const swg__config_key *row, char *out, size_t capacity) {
    snprintf(out, capacity, "%.*s", (int)strcspn(row->fallback, ";"), row->fallback);
    for (const char *p = strchr(row->fallback, ';'); p; p = strchr(p + 1, ';')) {
        const char *colon = strchr(p, ':');
        add(out, capacity, " (", colon + 1, strcspn(colon + 1, ";"));
        add(out, capacity, " with ", p + 2, (size_t)(colon - p) - 2);
        add(out, capacity, "", ")", 1);
    }
}

void swg_config_help(const char *pattern, void (*line)(void *user, const char *text), void *user) {
    static const char *const types[] = {"true|false", "integer", "number", "text", "", "list of integers", "list of numbers",
                                        "list of texts", ""};
    char text[1024], allowed[512], not_yet[256], fallback[256];
    for (int64_t i = 0; i < swg__config_table_size; i++) {
        const swg__config_key *row = &swg__config_table[i];
        if (!swg__glob(pattern, row->key))
            continue;
        allowed_text(row, allowed, not_yet, 256);
        default_text(row, fallback, sizeof fallback);
        if (row->type == SWG__NOT_YET)
            snprintf(text, sizeof text, "  %s: not supported by this build yet", row->key);
        else
            snprintf(text, sizeof text, "  %s: %s%s%s%s%s, default %s", row->key, types[row->type], *row->unit ? ", " : "", row->unit,
                     *types[row->type] && *allowed ? ", " : "", allowed, fallback);
        line(user, text);
        char families[64];
        bool owned = swg__config_owners(row->key, families, sizeof families);
        const size_t length = strlen(families);
        if (owned && strncmp(row->help, families, length) == 0 && row->help[length] == ':') { /* the text says so itself */
            families[0] = 0;
            owned = false;
        }
        snprintf(text, sizeof text, "      %s%s%s%s%s%s", families, owned ? ": " : "", row->help, *not_yet ? " (not supported yet: " : "", not_yet, *not_yet ? ")" : "");
        line(user, text);
    }
}
