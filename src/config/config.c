/* config.c - opens a recipe: composes its files, applies overrides, resolves references, checks; then hands out typed values.
 * In: a recipe and key=value strings. Out: swg_config.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "config/compose.h"
#include "swage/config.h"

struct swg_config {
    swg__tree tree;
    swg__node *root;              /* after composing and overrides */
    swg__config_value *values;    /* one per key, in the order of the table */
    int64_t count;
    const swg__composer *composer; /* knows which files were chosen */
    swg__text yaml;
    swg_status status;            /* first failure of a getter */
    char message[512];
};

static const swg__node command_line = {.file = "command line"};

/* ---- overrides ---- */

typedef struct override {
    const char *text;             /* as given */
    char *key, *value;            /* value NULL: ~key */
    bool add, force;              /* +key, ++key */
} override;

static swg_status split_override(swg_config *config, const char *text, override *out) {
    const char *start = text + (*text == '~' ? 1 : strspn(text, "+")), *equals = strchr(start, '=');
    bool remove = *text == '~';
    *out = (override){.text = text, .add = start - text == 1 && !remove, .force = start - text == 2};
    if (start - text > 2 || start == equals || !*start || (remove && equals) || (!remove && !equals))
        return swg__fail(config->tree.ctx, SWG_EUSAGE, "'%.200s': not one of key=value, +key=value, ++key=value, ~key, group=option", text);
    size_t bytes = strlen(start) + 1;
    if (!(out->key = swg__arena_strdup(&config->tree.arena, start)))
        return swg__fail_memory(config->tree.ctx, bytes, "an override");
    if (equals) {
        out->key[equals - start] = 0;
        out->value = out->key + (equals - start) + 1;
        while (*out->value == ' ')
            out->value++;
    }
    return SWG_OK;
}

static const char *group_of(const override *o) {
    for (const char *const *group = swg__config_groups; *group; group++)
        if (strcmp(*group, o->key) == 0)
            return *group;
    return NULL;
}

/* group=option, noted before any file is read. */
static swg_status choose_group(swg_config *config, swg__composer *composer, const override *o) {
    for (int i = 0; i < composer->choice_count; i++)
        if (strcmp(composer->choices[i].group, o->key) == 0)
            return swg__fail(config->tree.ctx, SWG_EUSAGE, "%.200s: %s is chosen twice on the command line", o->text, o->key);
    const swg__node option = {.text = o->value ? o->value : ""};
    return swg__compose_choose(composer, &(swg__choice){.group = group_of(o), .option = swg__node_is_null(&option) ? NULL : o->value,
                                                        .place = &command_line, .is_override = true, .must_be_new = o->add,
                                                        .must_exist = !o->value, .last = swg__config_group_is_last(o->key)});
}

/* The text of a value to a node: a list or quoted text is YAML, anything else is taken as it stands, so that * and # need no quotes. */
static swg_status read_value(swg_config *config, const char *text, const swg__node *place, swg__node **node) {
    swg_status status = SWG_OK;
    if (*text == '{')
        return swg__fail(config->tree.ctx, SWG_EUSAGE, "'%.100s': a map cannot be a value here; set its keys one by one", text);
    if (*text && strchr("[\"'", *text))
        return swg__yaml_parse(&config->tree, text, strlen(text), place, node);
    if (!(*node = swg__node_add(&config->tree, NULL, SWG__NODE_SCALAR, NULL, place, &status)))
        return status;
    size_t length = strlen(text);
    while (length && text[length - 1] == ' ')
        length--;
    return swg__node_set_text(&config->tree, *node, text, length, false);
}

/* A tree with nothing but key: value, checked against the table. */
static swg_status make_layer(swg_config *config, const char *key, const char *text, const swg__node *place, swg__node **layer) {
    char parent[256];
    swg_status status = SWG_OK;
    swg__node *value, *map, *leaf;
    const char *dot = strrchr(key, '.');
    if (strlen(key) >= sizeof parent || *key == '.' || (dot && !dot[1]) || strstr(key, ".."))
        return swg__fail(config->tree.ctx, SWG_EUSAGE, "'%.64s': not a key: names are joined by single dots, as in optimizer.lr", key);
    snprintf(parent, sizeof parent, "%.*s", dot ? (int)(dot - key) : 0, key);
    if (!(*layer = swg__node_add(&config->tree, NULL, SWG__NODE_MAP, NULL, place, &status)))
        return status;
    SWG__TRY(swg__node_make_map(&config->tree, *layer, parent, place, &map));
    SWG__TRY(read_value(config, text, place, &value));
    if (!(leaf = swg__node_add(&config->tree, map, value->kind, dot ? dot + 1 : key, place, &status)))
        return status;
    SWG__TRY(swg__node_copy(&config->tree, leaf, value, true));
    return swg__config_check_keys(&config->tree, *layer);
}

static swg_status remove_key(swg_config *config, const override *o) {
    swg__node *layer, *node = swg__node_find(config->root, swg__config_real_key(o->key));
    if (node && node != config->root) {
        swg__node_unlink(node);
        return SWG_OK;
    }
    SWG__TRY(make_layer(config, o->key, "null", &command_line, &layer)); /* an unknown key is refused as such */
    return swg__fail(config->tree.ctx, SWG_EUSAGE, "%.200s: the recipe does not set it; nothing to remove", o->text);
}

static swg_status apply_override(swg_config *config, const override *o) {
    char where[256];
    swg__node *layer, *old;
    if (!o->value)
        return remove_key(config, o);
    SWG__TRY(make_layer(config, o->key, o->value, &command_line, &layer));
    old = swg__node_find(config->root, swg__config_real_key(o->key));
    if (o->add && old) {
        swg__node_place(old, where, sizeof where);
        return swg__fail(config->tree.ctx, SWG_EUSAGE, "%.200s: it is set already %s; leave out the + to replace it", o->text, where);
    }
    return swg__node_merge(&config->tree, config->root, layer);
}

/* ---- opening ---- */

static bool is_pattern(const swg__config_key *row) { return strchr(row->key, '*') != NULL; }

/* The key's node, or its default; left out where it is of another family. */
static swg_status check_row(swg_config *config, const swg__config_key *row, const char *family) {
    char text[128], where[256], families[64];
    swg__node *node = swg__node_find(config->root, row->key);
    const bool given = node && !swg__node_is_null(node);
    if (!swg__config_belongs(row->key, family)) {
        if (!given)
            return SWG_OK;
        swg__node_place(node, where, sizeof where);
        swg__config_owners(row->key, families, sizeof families);
        return swg__fail(config->tree.ctx, SWG_EUSAGE, "%s: a setting of family %s, set %s; model.family is %s here", row->key, families, where,
                         family);
    }
    if (!given) {
        swg__config_fallback(row, config->root, text, sizeof text);
        SWG__TRY(swg__yaml_parse(&config->tree, text, strlen(text), &(swg__node){.file = "default"}, &node));
    }
    return swg__config_check_value(&config->tree, row, row->key, node, &config->values[config->count++]);
}

static swg_status check_all(swg_config *config) {
    char key[512];
    const swg__node *paths = swg__node_child(config->root, "paths");
    int64_t most = swg__config_table_size;
    const swg__config_key *families = swg__config_row("model.family");
    swg__config_item standard = {.text = families->fallback};
    swg__config_value family = {.items = &standard};
    const swg__node *named = swg__node_find(config->root, families->key);
    if (named && !swg__node_is_null(named))
        SWG__TRY(swg__config_check_value(&config->tree, families, families->key, named, &family));
    for (const swg__node *path = paths ? paths->first : NULL; path; path = path->next)
        most++;
    if (!(config->values = swg__arena_alloc(&config->tree.arena, (size_t)most * sizeof *config->values)))
        return swg__fail_memory(config->tree.ctx, (size_t)most * sizeof *config->values, "the configuration");
    for (int64_t i = 0; i < swg__config_table_size; i++)
        if (swg__config_table[i].type != SWG__NOT_YET && !is_pattern(&swg__config_table[i]))
            SWG__TRY(check_row(config, &swg__config_table[i], family.items[0].text));
    for (const swg__node *path = paths ? paths->first : NULL; path; path = path->next) {
        swg__node_path(path, key, sizeof key);
        char *own = swg__arena_strdup(&config->tree.arena, key);
        if (!own)
            return swg__fail_memory(config->tree.ctx, sizeof key, "the configuration");
        SWG__TRY(swg__config_check_value(&config->tree, swg__config_row(own), own, path, &config->values[config->count++]));
    }
    return SWG_OK;
}

static swg_status fill(swg_config *config, const char *recipe, const char *text, const swg_config_opts *opts) {
    int64_t count = opts ? opts->override_count : 0;
    swg__composer *composer = swg__arena_alloc(&config->tree.arena, sizeof *composer);
    override *overrides = swg__arena_alloc(&config->tree.arena, (size_t)(count + 1) * sizeof *overrides);
    swg_status status = SWG_OK;
    config->root = swg__node_add(&config->tree, NULL, SWG__NODE_MAP, NULL, &command_line, &status);
    if (!composer || !overrides || !config->root)
        return swg__fail_memory(config->tree.ctx, sizeof *composer, "the configuration");
    config->composer = composer;
    *composer = (swg__composer){.tree = &config->tree, .root = config->root, .folder = opts ? opts->recipes : NULL};
    for (int64_t i = 0; i < count; i++) {
        SWG__TRY(split_override(config, opts->overrides[i], &overrides[i]));
        if (group_of(&overrides[i]))
            SWG__TRY(choose_group(config, composer, &overrides[i]));
    }
    SWG__TRY(text ? swg__compose_text(composer, text, recipe) : swg__compose_recipe(composer, recipe));
    for (int64_t i = 0; i < count; i++)
        if (!group_of(&overrides[i]))
            SWG__TRY(apply_override(config, &overrides[i]));
    SWG__TRY(swg__config_resolve(&config->tree, config->root));
    return check_all(config);
}

static swg_status open_either(swg_context *ctx, const char *recipe, const char *text, const swg_config_opts *opts, swg_config **out) {
    *out = NULL;
    swg_config *config = swg__calloc(ctx, 1, sizeof *config);
    if (!config)
        return swg__fail_memory(ctx, sizeof *config, "the configuration");
    config->tree.ctx = ctx;
    swg__arena_init(&config->tree.arena, ctx);
    swg__text_init(&config->yaml, ctx);
    swg_status status = fill(config, recipe, text, opts);
    if (status != SWG_OK)
        swg_config_close(config);
    else
        *out = config;
    return status;
}

swg_status swg_config_open(swg_context *ctx, const char *recipe, const swg_config_opts *opts, swg_config **out) {
    if (!ctx || !recipe || !out || (opts && opts->override_count && !opts->overrides))
        return swg__fail(ctx, SWG_EINVAL, "swg_config_open: context, recipe, overrides and out must not be NULL");
    return open_either(ctx, recipe, NULL, opts, out);
}

swg_status swg_config_open_text(swg_context *ctx, const char *text, const char *name, const swg_config_opts *opts,
                                swg_config **out) {
    if (!ctx || !text || !name || !out || (opts && opts->override_count && !opts->overrides))
        return swg__fail(ctx, SWG_EINVAL, "swg_config_open_text: context, text, name, overrides and out must not be NULL");
    return open_either(ctx, name, text, opts, out);
}

void swg_config_close(swg_config *config) {
    if (!config)
        return;
    swg_context *ctx = config->tree.ctx;
    swg__text_free(&config->yaml);
    swg__arena_free(&config->tree.arena);
    swg__free(ctx, config);
}

/* ---- values ---- */

static swg__config_value *find_value(const swg_config *config, const char *key) {
    key = swg__config_real_key(key);
    for (int64_t i = 0; i < config->count; i++)
        if (strcmp(config->values[i].key, key) == 0)
            return &config->values[i];
    return NULL;
}

static void latch(swg_config *config, swg_status status, const char *key, const char *what) {
    if (config->status != SWG_OK)
        return;
    config->status = status;
    snprintf(config->message, sizeof config->message, "%.200s: %s", key, what);
}

/* The item a getter is to read, or NULL with the failure kept. */
static const swg__config_item *get(swg_config *config, const char *key, int64_t index, bool list, unsigned types) {
    const swg__config_value *value = find_value(config, key);
    if (!value)
        latch(config, SWG_EINVAL, key, "not in the table of settings");
    else if (!(types & 1u << value->row->type))
        latch(config, SWG_EINVAL, key, "asked for as another type than it has in the table of settings");
    else if (value->null)
        latch(config, SWG_EUSAGE, key, "not set, but needed here; add it to the recipe or to the command line as key=value");
    else if (index < 0 || index >= value->count)
        latch(config, SWG_EINVAL, key, "asked for an item beyond the end of the list");
    else if (value->items[index].word && value->row->type != SWG__CHOICE)
        latch(config, SWG_EUSAGE, key, "a word (such as auto) where a number is needed here; give a number");
    else
        return &value->items[list ? index : 0];
    return NULL;
}

#define TYPE(name) (1u << SWG__##name)

bool swg_config_has(const swg_config *config, const char *key) {
    const swg__config_value *value = find_value(config, key);
    return value && !value->null;
}

bool swg_config_is(const swg_config *config, const char *key, const char *word) {
    const swg__config_value *value = find_value(config, key);
    return value && !value->null && value->count == 1 && strcmp(value->items[0].text, word) == 0;
}

int64_t swg_config_int(swg_config *config, const char *key) {
    const swg__config_item *item = get(config, key, 0, false, TYPE(INT));
    return item ? item->integer : 0;
}

double swg_config_float(swg_config *config, const char *key) {
    const swg__config_item *item = get(config, key, 0, false, TYPE(INT) | TYPE(FLOAT));
    return item ? item->number : 0;
}

bool swg_config_bool(swg_config *config, const char *key) {
    const swg__config_item *item = get(config, key, 0, false, TYPE(BOOL));
    return item && strcmp(item->text, "true") == 0;
}

const char *swg_config_string(swg_config *config, const char *key) {
    const swg__config_item *item = get(config, key, 0, false, TYPE(STRING) | TYPE(CHOICE));
    return item ? item->text : NULL;
}

int64_t swg_config_count(swg_config *config, const char *key) {
    const swg__config_value *value = find_value(config, key);
    if (!value)
        latch(config, SWG_EINVAL, key, "not in the table of settings");
    return value ? value->count : 0;
}

int64_t swg_config_int_at(swg_config *config, const char *key, int64_t index) {
    const swg__config_item *item = get(config, key, index, true, TYPE(INT_LIST));
    return item ? item->integer : 0;
}

double swg_config_float_at(swg_config *config, const char *key, int64_t index) {
    const swg__config_item *item = get(config, key, index, true, TYPE(INT_LIST) | TYPE(FLOAT_LIST));
    return item ? item->number : 0;
}

const char *swg_config_string_at(swg_config *config, const char *key, int64_t index) {
    const swg__config_item *item = get(config, key, index, true, TYPE(STRING_LIST));
    return item ? item->text : NULL;
}

swg_status swg_config_status(const swg_config *config) {
    return config->status == SWG_OK ? SWG_OK : swg__fail(config->tree.ctx, config->status, "%s", config->message);
}

swg_status swg_config_set(swg_config *config, const char *key, const char *value, const char *origin) {
    swg__node *layer, place = {.file = swg__arena_strdup(&config->tree.arena, origin)};
    swg__config_value *old = find_value(config, key), fresh;
    if (!place.file)
        return swg__fail_memory(config->tree.ctx, strlen(origin), "the configuration");
    SWG__TRY(make_layer(config, key, value, &place, &layer));
    if (!old)
        return swg__fail(config->tree.ctx, SWG_EINVAL, "%.200s: not set in this configuration", key);
    SWG__TRY(swg__config_check_value(&config->tree, old->row, old->key, swg__node_find(layer, old->key), &fresh));
    *old = fresh;
    return SWG_OK;
}

/* ---- the whole tree ---- */

/* "a.b.c: 1" as three lines, each name under the last, but for the maps that `before` has opened. */
static void add_line(swg__text *out, const char *before, const swg__config_value *value) {
    const char *name = value->key, *dot;
    int depth = 0;
    for (; (dot = strchr(name, '.')); name = dot + 1, depth++)
        if (strncmp(before, value->key, (size_t)(dot - value->key) + 1) != 0)
            swg__text_printf(out, "%*s%.*s:\n", 2 * depth, "", (int)(dot - name), name);
    swg__text_printf(out, "%*s%s: %s\n", 2 * depth, "", name, value->text);
}

swg_status swg_config_yaml(swg_config *config, const char **text) {
    *text = NULL;
    swg__text_free(&config->yaml);
    const char *before = "";
    for (int64_t i = 0; i < config->count; i++) {
        const swg__config_value *value = &config->values[i];
        add_line(&config->yaml, before, value);
        before = value->key;
    }
    if (config->yaml.failed) {
        swg__text_free(&config->yaml);
        return swg__fail_memory(config->tree.ctx, 4096, "the configuration as YAML");
    }
    *text = config->yaml.data;
    return SWG_OK;
}

const char *swg_config_group(const swg_config *config, int64_t index, const char **option) {
    *option = NULL;
    for (const char *const *group = swg__config_groups; *group && index >= 0; group++) {
        if (strcmp(*group, "experiment") == 0 || strcmp(*group, "paths") == 0 || index-- > 0)
            continue;
        *option = "none";
        for (int i = 0; i < config->composer->choice_count; i++)
            if (strcmp(config->composer->choices[i].group, *group) == 0 && config->composer->choices[i].option)
                *option = config->composer->choices[i].option;
        return *group;
    }
    return NULL;
}

int64_t swg_config_size(const swg_config *config) { return config->count; }

const char *swg_config_key(const swg_config *config, int64_t index) {
    return index >= 0 && index < config->count ? config->values[index].key : NULL;
}

const char *swg_config_text(const swg_config *config, const char *key) {
    const swg__config_value *value = find_value(config, key);
    return value ? value->text : NULL;
}

const char *swg_config_origin(const swg_config *config, const char *key) {
    const swg__config_value *value = find_value(config, key);
    return value ? value->origin : NULL;
}
