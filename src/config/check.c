/* check.c - holds a tree against the table of settings: known keys, types, ranges, choices.
 * In: nodes and rows. Out: typed values, or a message with the place, what was found and what is allowed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "config/schema.h"

/* ---- keys ---- */

static bool is_prefix(const char *key) {
    size_t length = strlen(key);
    for (int64_t i = 0; i < swg__config_table_size; i++)
        if (strncmp(swg__config_table[i].key, key, length) == 0 && swg__config_table[i].key[length] == '.')
            return true;
    return false;
}

/* "inference_args": a group that only aliases stand in; what was in it has other names now. */
static bool is_alias_group(const char *key) {
    size_t length = strlen(key);
    for (int64_t i = 0; i < swg__config_alias_count; i++)
        if (strncmp(swg__config_aliases[i].alias, key, length) == 0 && swg__config_aliases[i].alias[length] == '.')
            return true;
    return false;
}

static const swg__config_alias *find_alias(const char *key) {
    for (int64_t i = 0; i < swg__config_alias_count; i++)
        if (strcmp(swg__config_aliases[i].alias, key) == 0)
            return &swg__config_aliases[i];
    return NULL;
}

const char *swg__config_real_key(const char *key) {
    const swg__config_alias *alias = find_alias(key);
    return alias ? alias->key : key;
}

swg_status swg__config_unknown(swg_context *ctx, const char *key, const swg__node *node) {
    char where[256];
    const char *candidates[512];
    size_t count = 0;
    for (int round = 0; round < 2; round++) /* of equally near keys the first wins: one the wrong key begins with */
        for (int64_t i = 0; i < swg__config_table_size && count < 512; i++)
            if ((strncmp(swg__config_table[i].key, key, strlen(swg__config_table[i].key)) == 0) == (round == 0))
                candidates[count++] = swg__config_table[i].key;
    for (int64_t i = 0; i < swg__config_alias_count && count < 512; i++)
        candidates[count++] = swg__config_aliases[i].alias;
    const char *near = swg__nearest(key, candidates, count);
    swg__node_place(node, where, sizeof where);
    if (near)
        return swg__fail(ctx, SWG_EUSAGE, "%.200s: unknown key %s; did you mean %s?", key, where, near);
    return swg__fail(ctx, SWG_EUSAGE, "%.200s: unknown key %s; `swage config --keys` lists all keys", key, where);
}

static swg_status rename_alias(swg__tree *tree, swg__node *root, const swg__config_alias *alias) {
    char where[256], other[256], parent[128];
    swg__node *node = swg__node_find(root, alias->alias), *map, *renamed;
    swg_status status = SWG_OK;
    if (!node || node->kind == SWG__NODE_MAP || (swg__node_is_null(node) && is_prefix(alias->alias)))
        return SWG_OK;
    const swg__node *both = swg__node_find(root, alias->key);
    if (both) {
        swg__node_place(node, where, sizeof where);
        swg__node_place(both, other, sizeof other);
        return swg__fail(tree->ctx, SWG_EUSAGE, "%s %s and %s %s are the same setting; keep one", alias->alias, where, alias->key, other);
    }
    swg__node_unlink(node);
    const char *dot = strrchr(alias->key, '.');
    snprintf(parent, sizeof parent, "%.*s", dot ? (int)(dot - alias->key) : 0, alias->key);
    SWG__TRY(swg__node_make_map(tree, root, parent, node, &map));
    if (!(renamed = swg__node_add(tree, map, node->kind, dot ? dot + 1 : alias->key, node, &status)))
        return status;
    return swg__node_copy(tree, renamed, node, false);
}

static swg_status check_key(swg__tree *tree, const swg__node *node) {
    char path[512], where[256];
    swg__node_path(node, path, sizeof path);
    const swg__config_key *row = swg__config_row(path);
    swg__node_place(node, where, sizeof where);
    if (node->kind == SWG__NODE_MAP) {
        if (row)
            return swg__fail(tree->ctx, SWG_EUSAGE, "%.200s: a map %s, but this key takes one value", path, where);
        return node->first || is_prefix(path) || is_alias_group(path) || !node->parent ? SWG_OK : swg__config_unknown(tree->ctx, path, node);
    }
    if (row && row->type == SWG__NOT_YET)
        return swg__fail(tree->ctx, SWG_EUNSUPPORTED, "%s: not supported by this build yet (%s), set %s; remove it", row->key,
                         row->help, where);
    if (row)
        return SWG_OK;
    if (!is_prefix(path))
        return swg__config_unknown(tree->ctx, path, node);
    if (swg__node_is_null(node))
        return SWG_OK; /* removes the whole group of keys */
    return swg__fail(tree->ctx, SWG_EUSAGE, "%.200s: one value %s, but this is a group of keys (%.200s.*)", path, where, path);
}

swg_status swg__config_check_keys(swg__tree *tree, swg__node *root) {
    for (int64_t i = 0; i < swg__config_alias_count; i++)
        SWG__TRY(rename_alias(tree, root, &swg__config_aliases[i]));
    for (const swg__node *node = swg__node_next(root, root); node; node = swg__node_next(node, root)) {
        char path[512];
        swg__node_path(node, path, sizeof path);
        if (!strchr(path, '[')) /* items of a list are looked at with their value */
            SWG__TRY(check_key(tree, node));
    }
    return SWG_OK;
}

/* ---- values ---- */

typedef struct allowed {
    bool has_range, low_open, high_open;
    double low, high;
    int64_t items;               /* of a list; 0: any */
    char words[512];             /* "a, b or c" for messages */
    const char *near;            /* nearest word to the one looked for */
} allowed;

/* strtod as in the C locale: a host program may have set another one. */
static bool parse_number(const char *text, double *number) {
    if (!*text || text[strspn(text, "0123456789+-.eE")])
        return false;
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return false;
    char *end;
    *number = strtod_l(text, &end, plain);
    freelocale(plain);
    return !*end && isfinite(*number);
}

static bool parse_integer(const char *text, int64_t *integer) {
    char *end;
    if (!*text || !text[strspn(text, "+-")] || text[strspn(text, "0123456789+-")])
        return false;
    errno = 0;
    *integer = strtoll(text, &end, 10);
    return !*end && errno == 0;
}

static void parse_range(const char *token, size_t length, allowed *out) {
    char copy[64];
    snprintf(copy, sizeof copy, "%.*s", (int)length - 2, token + 1);
    char *comma = strchr(copy, ',');
    *comma = 0;
    out->has_range = parse_number(copy, &out->low) && parse_number(comma + 1, &out->high);
    out->low_open = token[0] == '(';
    out->high_open = token[length - 1] == ')';
}

/* Looks a word up in the row. Returns its canonical form (in the arena) in *found, NULL if it is none of the words.
 * *not_yet: it is one, but its feature is not built. */
static swg_status read_allowed(swg__tree *tree, const swg__config_key *row, const char *word, allowed *out, const char **found,
                               bool *not_yet) {
    const char *words[32];
    size_t count = 0, used = 0;
    *out = (allowed){.items = 0};
    *found = NULL;
    *not_yet = false;
    for (const char *p = row->allowed; *p; p += strcspn(p, " "), p += *p == ' ') {
        size_t length = strcspn(p, " ");
        if (*p == '[' || *p == '(') {
            parse_range(p, length, out);
            continue;
        }
        if (*p == '#') {
            out->items = strtoll(p + 1, NULL, 10);
            continue;
        }
        bool refused = *p == '!';
        const char *start = p + refused;
        size_t spelt = strcspn(start, "> ");
        const char *meaning = start[spelt] == '>' ? start + spelt + 1 : start;
        char *copy = swg__arena_alloc(&tree->arena, length + 1);
        if (!copy)
            return swg__fail_memory(tree->ctx, length, "a configuration value");
        memcpy(copy, meaning, strcspn(meaning, " "));
        if (strlen(word) == spelt && strncmp(word, start, spelt) == 0) {
            *found = copy;
            *not_yet = refused;
        }
        if (!refused && meaning == start && count < 32) {
            words[count++] = copy;
            used += (size_t)snprintf(out->words + used, sizeof out->words - used, "%s%s", used ? ", " : "", copy);
        }
    }
    out->near = swg__nearest(word, words, count);
    return SWG_OK;
}

static const char *type_name(swg__config_type type) {
    switch (type) {
    case SWG__BOOL: return "true or false";
    case SWG__INT: return "an integer";
    case SWG__FLOAT: return "a number";
    case SWG__INT_LIST: return "a list of integers";
    case SWG__FLOAT_LIST: return "a list of numbers";
    case SWG__STRING_LIST: return "a list of texts";
    default: return "text";
    }
}

/* "KEY: 'x' WHERE is not ...": what is allowed, in words. */
static swg_status refuse(swg__tree *tree, const swg__config_key *row, const char *key, const swg__node *node, const allowed *a) {
    char where[256], limits[64] = "";
    swg__node_place(node, where, sizeof where);
    const char *mark = node->kind == SWG__NODE_SCALAR && !node->quoted ? "'" : "";
    const char *shown = node->kind == SWG__NODE_MAP ? "a map" : node->kind == SWG__NODE_LIST ? "a list"
        : node->quoted ? "text in quotes" : node->text;
    if (row->type == SWG__CHOICE)
        return swg__fail(tree->ctx, SWG_EUSAGE, "%.200s: '%.64s' %s is none of %s%s%s%s", key,
                         node->kind == SWG__NODE_SCALAR ? node->text : shown, where, a->words, a->near ? "; did you mean " : "",
                         a->near ? a->near : "", a->near ? "?" : "");
    if (a->has_range)
        snprintf(limits, sizeof limits, " in %.*s", (int)strcspn(row->allowed, " "), row->allowed);
    return swg__fail(tree->ctx, SWG_EUSAGE, "%.200s: %s%.64s%s %s is not %s%s%s%s", key, mark, shown, mark, where, type_name(row->type),
                     limits, *a->words ? " or " : "", a->words);
}

static bool parse_bool(const char *text, const char **canonical) {
    static const char *const words[] = {"true", "yes", "on", "false", "no", "off"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *canonical = i < 3 ? "true" : "false";
            return true;
        }
    return false;
}

static swg_status check_item(swg__tree *tree, const swg__config_key *row, const char *key, const swg__node *node,
                             swg__config_item *item) {
    allowed a;
    const char *word;
    bool not_yet, good = false;
    char where[256];
    if (node->kind != SWG__NODE_SCALAR) {
        SWG__TRY(read_allowed(tree, row, "", &a, &word, &not_yet));
        return refuse(tree, row, key, node, &a);
    }
    SWG__TRY(read_allowed(tree, row, node->text, &a, &word, &not_yet));
    if (word && not_yet) {
        swg__node_place(node, where, sizeof where);
        return swg__fail(tree->ctx, SWG_EUNSUPPORTED, "%.200s: '%s' %s is not supported by this build yet; there is %s", key, node->text,
                         where, a.words);
    }
    *item = (swg__config_item){.text = word ? word : node->text, .word = word != NULL};
    switch (row->type) {
    case SWG__BOOL: good = !node->quoted && parse_bool(node->text, &item->text); break;
    case SWG__INT:
    case SWG__INT_LIST:
        good = !node->quoted && parse_integer(node->text, &item->integer);
        item->number = (double)item->integer;
        break;
    case SWG__FLOAT:
    case SWG__FLOAT_LIST: good = !node->quoted && parse_number(node->text, &item->number); break;
    case SWG__CHOICE: good = false; break; /* a word, or nothing */
    default: good = true;
    }
    if (good && a.has_range)
        good = (a.low_open ? item->number > a.low : item->number >= a.low)
            && (a.high_open ? item->number < a.high : item->number <= a.high);
    return good || word ? SWG_OK : refuse(tree, row, key, node, &a);
}

static bool is_list(swg__config_type type) {
    return type == SWG__INT_LIST || type == SWG__FLOAT_LIST || type == SWG__STRING_LIST;
}

/* The value as YAML, the place as text. */
static swg_status describe(swg__tree *tree, const swg__node *node, swg__config_value *value) {
    swg__text text;
    swg__text_init(&text, tree->ctx);
    bool list = is_list(value->row->type), words = value->row->type == SWG__STRING || value->row->type == SWG__STRING_LIST;
    if (value->null)
        swg__text_puts(&text, "null");
    swg__text_puts(&text, list && !value->null ? "[" : "");
    for (int64_t i = 0; i < value->count; i++) {
        swg__text_puts(&text, i ? ", " : "");
        if (words)
            swg__yaml_scalar(&text, value->items[i].text);
        else
            swg__text_puts(&text, value->items[i].text);
    }
    swg__text_puts(&text, list && !value->null ? "]" : "");
    value->text = text.failed ? NULL : swg__arena_strdup(&tree->arena, text.data);
    swg__text_free(&text);
    swg__text_init(&text, tree->ctx);
    swg__text_puts(&text, node->file);
    if (node->line)
        swg__text_printf(&text, ":%d", node->line);
    value->origin = text.failed ? NULL : swg__arena_strdup(&tree->arena, text.data);
    swg__text_free(&text);
    return value->text && value->origin ? SWG_OK : swg__fail_memory(tree->ctx, 64, "a configuration value");
}

swg_status swg__config_check_value(swg__tree *tree, const swg__config_key *row, const char *key, const swg__node *node,
                                   swg__config_value *value) {
    char where[256];
    allowed a;
    const char *word;
    bool not_yet;
    swg__node_place(node, where, sizeof where);
    *value = (swg__config_value){.key = key, .row = row, .null = swg__node_is_null(node)};
    if (value->null)
        return describe(tree, node, value);
    bool list = is_list(row->type) && node->kind == SWG__NODE_LIST;
    const swg__node *first = list ? node->first : node;
    for (const swg__node *item = list ? first : NULL; item; item = item->next)
        value->count++;
    if (!list)
        value->count = 1;
    SWG__TRY(read_allowed(tree, row, "", &a, &word, &not_yet));
    if (value->count == 0 || (a.items && value->count != a.items))
        return swg__fail(tree->ctx, SWG_EUSAGE, "%.200s: %lld value(s) %s, but it takes %s%lld", key, (long long)value->count, where,
                         a.items ? "" : "at least ", (long long)(a.items ? a.items : 1));
    if (!(value->items = swg__arena_alloc(&tree->arena, (size_t)value->count * sizeof *value->items)))
        return swg__fail_memory(tree->ctx, (size_t)value->count * sizeof *value->items, "a configuration value");
    int64_t i = 0;
    for (const swg__node *item = first; item && i < value->count; item = item->next)
        SWG__TRY(check_item(tree, row, key, item, &value->items[i++]));
    return describe(tree, node, value);
}
