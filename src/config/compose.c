/* compose.c - from a recipe's name to one merged tree: finds files, follows `defaults` lists, honours overrides.
 * In: a name and the choices of the command line. Out: a tree whose references are not resolved yet.
 * The files in work stand on an explicit stack, so that a file that names itself is seen.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "config/compose.h"
#include "config/embedded.h"
#include "swage/config.h"

static swg_status out_of_memory(swg__composer *c) { return swg__fail_memory(c->tree->ctx, 256, "a recipe"); }

static char *join(swg__composer *c, const char *a, const char *b, const char *d) {
    swg__text text;
    swg__text_init(&text, c->tree->ctx);
    swg__text_printf(&text, "%s%s%s", a, b, d);
    char *own = text.failed ? NULL : swg__arena_strdup(&c->tree->arena, text.data);
    swg__text_free(&text);
    return own;
}

/* ---- files ---- */

/* A name from a recipe or the command line must stay inside the recipes folder. */
static bool is_safe(const char *option) {
    if (!*option || *option == '/' || strstr(option, "..") || strstr(option, "//"))
        return false;
    for (const char *p = option; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./", *p))
            return false;
    return true;
}

static const char *embedded_text(const char *path) {
    for (const swg__embedded_file *file = swg__embedded_recipes; file->path; file++)
        if (strcmp(file->path, path) == 0)
            return file->text;
    return NULL;
}

void swg_config_recipes(void (*name)(void *user, const char *text), void *user) {
    char text[256];
    for (const swg__embedded_file *file = swg__embedded_recipes; file->path; file++) {
        snprintf(text, sizeof text, "%.*s", (int)strlen(file->path) - 5, file->path); /* without ".yaml" */
        name(user, text);
    }
}

/* Adds "option" for every embedded group/option.yaml. */
static size_t list_options(swg__composer *c, const char *group, const char **names, size_t capacity) {
    size_t count = 0, length = strlen(group);
    for (const swg__embedded_file *file = swg__embedded_recipes; file->path && count < capacity; file++) {
        if (strncmp(file->path, group, length) != 0 || file->path[length] != '/')
            continue;
        char *own = swg__arena_strdup(&c->tree->arena, file->path + length + 1);
        if (own) {
            own[strlen(own) - 5] = 0;
            names[count++] = own;
        }
    }
    return count;
}

static swg_status unknown_option(swg__composer *c, const char *group, const char *option, const swg__node *place) {
    const char *names[64] = {NULL}, *experiment = strcmp(group, "experiment") == 0 ? "recipe" : group;
    char list[512] = "", where[256];
    size_t count = list_options(c, group, names, 64), used = 0;
    const char *near = swg__nearest(option, names, count);
    for (size_t i = 0; i < count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    swg__node_place(place, where, sizeof where);
    return swg__fail(c->tree->ctx, SWG_EUSAGE, "%s '%.128s' %s: not found%s%s%s; built in: %s", experiment, option, where,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "", *list ? list : "none");
}

/* ---- choices ---- */

/* The group's name in the table, for a text of that length. */
static swg_status find_group(swg__composer *c, const char *text, size_t length, const swg__node *place, const char **group) {
    char where[256], name[64];
    size_t count = 0;
    for (; swg__config_groups[count]; count++) {
        *group = swg__config_groups[count];
        if (strlen(*group) == length && strncmp(*group, text, length) == 0)
            return SWG_OK;
    }
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), text);
    const char *near = swg__nearest(name, swg__config_groups, count);
    swg__node_place(place, where, sizeof where);
    return swg__fail(c->tree->ctx, SWG_EUSAGE, "defaults: '%s' %s is not a group%s%s%s; groups: experiment, model, data, trainer, "
                     "performance, optimizer, logger, callbacks, recipe, debug, paths", name, where, near ? "; did you mean " : "", near ? near : "",
                     near ? "?" : "");
}

/* The group of an entry's key: "trainer", "/trainer", "override trainer", "override /trainer". */
static swg_status entry_group(swg__composer *c, const swg__node *entry, const char **group, bool *is_override) {
    *is_override = strncmp(entry->key, "override ", 9) == 0;
    const char *name = entry->key + (*is_override ? 9 : 0);
    name += strspn(name, " ");
    name += *name == '/';
    return find_group(c, name, strlen(name), entry, group);
}

static swg__choice *find_choice(swg__composer *c, const char *group) {
    for (int i = 0; i < c->choice_count; i++)
        if (strcmp(c->choices[i].group, group) == 0)
            return &c->choices[i];
    return NULL;
}

/* The first to speak wins: the command line before files, the outer file before those it names. */
swg_status swg__compose_choose(swg__composer *c, const swg__choice *choice) {
    if (find_choice(c, choice->group))
        return SWG_OK;
    if (c->choice_count == SWG__COMPOSE_CHOICES)
        return swg__fail(c->tree->ctx, SWG_EUSAGE, "defaults: more than %d groups", SWG__COMPOSE_CHOICES);
    c->choices[c->choice_count++] = *choice;
    return SWG_OK;
}

/* Overrides hold for everything that is read from now on, so they are noted before the list is followed. */
static swg_status note_overrides(swg__composer *c, const swg__node *defaults) {
    for (const swg__node *item = defaults ? defaults->first : NULL; item; item = item->next) {
        const swg__node *entry = item->kind == SWG__NODE_MAP ? item->first : NULL;
        const char *group;
        bool is_override;
        if (!entry || entry->kind != SWG__NODE_SCALAR || strncmp(entry->key, "override ", 9) != 0)
            continue;
        SWG__TRY(entry_group(c, entry, &group, &is_override));
        SWG__TRY(swg__compose_choose(c, &(swg__choice){.group = group, .option = swg__node_is_null(entry) ? NULL : entry->text,
                                                       .place = entry, .is_override = true}));
    }
    return SWG_OK;
}

/* ---- the stack of files ---- */

/* Takes `defaults` off the content, notes its overrides and puts the file on the stack. */
static swg_status push(swg__composer *c, const char *group, const char *file, swg__node *content) {
    swg_status status = SWG_OK;
    char where[256];
    swg__node_place(content, where, sizeof where);
    for (int i = 0; i < c->depth; i++)
        if (strcmp(c->frames[i].file, file) == 0)
            return swg__fail(c->tree->ctx, SWG_EUSAGE, "%s: names itself in its defaults, by way of %s", file, c->frames[c->depth - 1].file);
    if (c->depth == SWG__COMPOSE_DEPTH)
        return swg__fail(c->tree->ctx, SWG_EUSAGE, "%s: more than %d files deep in defaults", file, SWG__COMPOSE_DEPTH);
    if (swg__node_is_null(content))
        *content = (swg__node){.kind = SWG__NODE_MAP, .file = content->file, .line = content->line};
    if (content->kind != SWG__NODE_MAP)
        return swg__fail(c->tree->ctx, SWG_EUSAGE, "not a map of keys %s", where);
    swg__node *defaults = swg__node_child(content, "defaults");
    if (defaults) {
        swg__node_place(defaults, where, sizeof where);
        swg__node_unlink(defaults);
        if (defaults->kind != SWG__NODE_LIST && !swg__node_is_null(defaults))
            return swg__fail(c->tree->ctx, SWG_EUSAGE, "defaults: not a list %s; write one '- group: option' per line", where);
    }
    SWG__TRY(note_overrides(c, defaults));
    const char *package = swg__config_group_package(group);
    swg__node *own = swg__node_add(c->tree, NULL, SWG__NODE_MAP, NULL, content, &status), *inner;
    if (!own)
        return status;
    SWG__TRY(swg__node_make_map(c->tree, own, package, content, &inner));
    SWG__TRY(swg__node_copy(c->tree, inner, content, false));
    SWG__TRY(swg__config_check_keys(c->tree, own));
    c->frames[c->depth++] = (swg__compose_frame){defaults ? defaults->first : NULL, own, group, file};
    return SWG_OK;
}

static swg_status push_text(swg__composer *c, const char *group, const char *file, const char *text, size_t bytes) {
    swg__node *content, place = {.line = 1};
    char *own = swg__arena_strdup(&c->tree->arena, file);
    if (!own)
        return out_of_memory(c);
    place.file = own;
    SWG__TRY(swg__yaml_parse(c->tree, text, bytes, &place, &content));
    return push(c, group, own, content);
}

static swg_status push_path(swg__composer *c, const char *group, const char *path) {
    uint8_t *text;
    size_t bytes;
    SWG__TRY(swg__file_read(c->tree->ctx, path, &text, &bytes));
    swg_status status = push_text(c, group, path, (const char *)text, bytes);
    swg__free(c->tree->ctx, text);
    return status;
}

/* group/option.yaml of the user's folder, of the entry file's own folder, of the library: the first that exists. */
static swg_status push_option(swg__composer *c, const char *group, const char *option, const swg__node *place) {
    if (!is_safe(option))
        return unknown_option(c, group, option, place);
    char *name = join(c, group, "/", option), *relative = name ? join(c, name, ".yaml", "") : NULL;
    if (!relative)
        return out_of_memory(c);
    const char *folders[2] = {c->folder, c->home};
    for (int i = 0; i < 2; i++) {
        char *path = folders[i] ? join(c, folders[i], "/", relative) : NULL;
        if (folders[i] && !path)
            return out_of_memory(c);
        if (path && swg__exists(path))
            return push_path(c, group, path);
    }
    const char *text = embedded_text(relative);
    if (!text)
        return unknown_option(c, group, option, place);
    char *file = join(c, "recipes/", relative, "");
    return file ? push_text(c, group, file, text, strlen(text)) : out_of_memory(c);
}

/* `- group: option` and `- override group: option`. */
static swg_status choose(swg__composer *c, const swg__node *entry, const char *group, bool is_override) {
    char where[256], earlier[256];
    swg__choice *choice = find_choice(c, group);
    const char *option = swg__node_is_null(entry) ? NULL : entry->text;
    swg__node_place(entry, where, sizeof where);
    if (!choice) {
        SWG__TRY(swg__compose_choose(c, &(swg__choice){.group = group, .option = option, .place = entry}));
        choice = find_choice(c, group);
    } else if (choice->used && choice->is_override && is_override) {
        return SWG_OK; /* it has spoken where the group was met */
    } else if (choice->used && !choice->option && !choice->is_override) {
        choice->option = option; /* `group: null` before left the choice open */
        choice->place = entry;
    } else if (choice->used) {
        swg__node_place(choice->place, earlier, sizeof earlier);
        return swg__fail(c->tree->ctx, SWG_EUSAGE, "defaults: %s is chosen %s and again %s; %s", group, earlier, where,
                         is_override ? "the override comes too late: put it into a file that is read before"
                                     : "write 'override GROUP: OPTION' to replace it");
    } else if (choice->must_be_new) {
        return swg__fail(c->tree->ctx, SWG_EUSAGE, "+%s=%s: the recipe chooses a %s already (%s); leave out the +", group,
                         choice->option ? choice->option : "null", group, where);
    }
    choice->used = true;
    return choice->option && !choice->last ? push_option(c, group, choice->option, choice->place) : SWG_OK;
}

/* One item of a defaults list of the file on top of the stack. */
static swg_status step(swg__composer *c, const swg__node *item) {
    swg__compose_frame *top = &c->frames[c->depth - 1];
    char where[256];
    swg__node_place(item, where, sizeof where);
    if (item->kind == SWG__NODE_SCALAR && strcmp(item->text, "_self_") == 0) {
        if (!top->own)
            return swg__fail(c->tree->ctx, SWG_EUSAGE, "defaults: _self_ is given twice, again %s", where);
        const swg__node *own = top->own;
        top->own = NULL;
        return swg__node_merge(c->tree, c->root, own);
    }
    const char *group = top->group;
    if (item->kind == SWG__NODE_SCALAR && !swg__node_is_null(item)) { /* another file of this group, or /group/option */
        const char *option = item->text;
        if (*option == '/') {
            size_t length = strcspn(option + 1, "/");
            SWG__TRY(find_group(c, option + 1, length, item, &group));
            option += length + 1;
            option += *option == '/';
        }
        return push_option(c, group, option, item);
    }
    const swg__node *entry = item->kind == SWG__NODE_MAP ? item->first : NULL;
    bool is_override;
    if (!entry || entry->next || entry->kind != SWG__NODE_SCALAR)
        return swg__fail(c->tree->ctx, SWG_EUSAGE, "defaults: an entry %s is none of '- group: option', '- override group: option', "
                         "'- option', '- _self_'", where);
    SWG__TRY(entry_group(c, entry, &group, &is_override));
    return choose(c, entry, group, is_override);
}

/* Works the stack down to nothing. */
static swg_status run(swg__composer *c) {
    while (c->depth) {
        swg__compose_frame *top = &c->frames[c->depth - 1];
        if (top->entry) {
            const swg__node *item = top->entry;
            top->entry = item->next;
            SWG__TRY(step(c, item));
            continue;
        }
        if (top->own)
            SWG__TRY(swg__node_merge(c->tree, c->root, top->own));
        c->depth--;
    }
    return SWG_OK;
}

/* Choices of the command line that no file asked for, or that have the last word, are laid on top. */
static swg_status compose(swg__composer *c) {
    SWG__TRY(run(c));
    for (int i = 0; i < c->choice_count; i++) {
        swg__choice *choice = &c->choices[i];
        if (choice->used && !choice->last)
            continue;
        if (choice->must_exist && !choice->used)
            return swg__fail(c->tree->ctx, SWG_EUSAGE, "~%s: the recipe chooses no %s; nothing to remove", choice->group, choice->group);
        choice->used = true;
        if (choice->option)
            SWG__TRY(push_option(c, choice->group, choice->option, choice->place));
        SWG__TRY(run(c));
    }
    return SWG_OK;
}

swg_status swg__compose_text(swg__composer *c, const char *text, const char *name) {
    SWG__TRY(push_text(c, "experiment", name, text, strlen(text)));
    return compose(c);
}

/* For recipes/experiment/x/y.yaml the groups stand in recipes/, for ./y.yaml beside the file. */
static swg_status find_home(swg__composer *c, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    for (const char *p = strstr(path, "experiment/"); p; p = strstr(p + 1, "experiment/"))
        if (p == path || p[-1] == '/')
            length = p == path ? 0 : (size_t)(p - path) - 1;
    char *home = swg__arena_alloc(&c->tree->arena, length + 2);
    if (!home)
        return out_of_memory(c);
    memcpy(home, length ? path : *path == '/' ? "/" : ".", length ? length : 1);
    c->home = home;
    return SWG_OK;
}

static bool ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

swg_status swg__compose_recipe(swg__composer *c, const char *recipe) {
    static const swg__node place = {.file = "command line"};
    if (ends_with(recipe, ".yaml") || ends_with(recipe, ".yml")) {
        SWG__TRY(find_home(c, recipe));
        SWG__TRY(push_path(c, "experiment", recipe));
        return compose(c);
    }
    char *resolved = join(c, recipe, "/config.yaml", "");
    if (!resolved)
        return out_of_memory(c);
    if (swg__exists(resolved))
        SWG__TRY(push_path(c, "experiment", resolved));
    else
        SWG__TRY(push_option(c, "experiment", recipe, &place));
    return compose(c);
}
