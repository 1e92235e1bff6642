/* cmd_config.c - `swage config`: the settings a recipe comes to, each with the file and line it was set in.
 * In: a recipe and overrides. Out: YAML with comments, or JSON; with --diff what two runs set differently.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <string.h>
#include "cli/cli.h"

static const cli_option options[] = {
    {"yaml", 0, NULL, "print the YAML alone, as it is kept beside a checkpoint"},
    {"diff", 0, "RECIPE", "print only the settings that another recipe or run folder has otherwise"},
    {"keys", 0, NULL, "print the table of settings (with an argument: those that match it, such as 'optimizer.*')"},
    {"list", 0, NULL, "list the built-in recipes"},
    CLI_RECIPES,
    CLI_JSON,
    {NULL, 0, NULL, NULL},
};

static void print_line(void *user, const char *text) { fprintf(user, "%s\n", text); }

static void print_recipe(void *user, const char *text) {
    if (strncmp(text, "experiment/", 11) == 0)
        fprintf(user, "%s\n", text + 11);
}

static cJSON *groups_json(const swg_config *config) {
    cJSON *groups = cJSON_CreateObject();
    const char *group, *option;
    for (int64_t i = 0; (group = swg_config_group(config, i, &option)); i++)
        cJSON_AddStringToObject(groups, group, option);
    return groups;
}

/* {"recipe": ..., "groups": {"optimizer": "adam"}, "settings": {"optimizer.lr": {"value": "2e-4", "origin": "recipes/optimizer/adam.yaml:2"}}} */
static swg_status print_json(cli *c, const swg_config *config) {
    cJSON *root = cJSON_CreateObject(), *settings = cJSON_AddObjectToObject(root, "settings");
    bool good = cJSON_AddStringToObject(root, "recipe", c->positional[0]) != NULL;
    cJSON_AddItemToObject(root, "groups", groups_json(config));
    for (int64_t i = 0; good && i < swg_config_size(config); i++) {
        const char *key = swg_config_key(config, i);
        cJSON *entry = cJSON_AddObjectToObject(settings, key);
        good = cJSON_AddStringToObject(entry, "value", swg_config_text(config, key))
            && cJSON_AddStringToObject(entry, "origin", swg_config_origin(config, key));
    }
    char *text = good ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text)
        return cli_fail(c, SWG_ENOMEM, "out of memory");
    puts(text);
    cJSON_free(text);
    return SWG_OK;
}

static void print_settings(const swg_config *config) {
    const char *group, *option;
    for (int64_t i = 0; (group = swg_config_group(config, i, &option)); i++)
        printf("%s%s=%s", i ? ", " : "# groups: ", group, option);
    printf("\n");
    for (int64_t i = 0; i < swg_config_size(config); i++) {
        const char *key = swg_config_key(config, i);
        int width = printf("%s: %s", key, swg_config_text(config, key));
        printf("%*s# %s\n", width < 48 ? 48 - width : 1, "", swg_config_origin(config, key));
    }
}

static void print_difference(const char *key, const char *here, const char *there) {
    if (!here || !there || strcmp(here, there) != 0)
        printf("%s: %s  # there: %s\n", key, here ? here : "not set", there ? there : "not set");
}

static swg_status print_diff(cli *c, const swg_config *config) {
    swg_config *other = NULL;
    const swg_config_opts opts = {.recipes = cli_value(c, "recipes")};
    swg_status status = swg_config_open(c->ctx, cli_value(c, "diff"), &opts, &other);
    for (int64_t i = 0; status == SWG_OK && i < swg_config_size(config); i++) {
        const char *key = swg_config_key(config, i);
        print_difference(key, swg_config_text(config, key), swg_config_text(other, key));
    }
    for (int64_t i = 0; status == SWG_OK && i < swg_config_size(other); i++) {
        const char *key = swg_config_key(other, i);
        if (!swg_config_text(config, key))
            print_difference(key, NULL, swg_config_text(other, key));
    }
    swg_config_close(other);
    return status;
}

static swg_status run(cli *c) {
    if (cli_flag(c, "list")) {
        swg_config_recipes(print_recipe, stdout);
        return SWG_OK;
    }
    if (cli_flag(c, "keys")) {
        swg_config_help(c->positional_count ? c->positional[0] : "*", print_line, stdout);
        return SWG_OK;
    }
    if (!c->positional_count)
        return cli_fail(c, SWG_EUSAGE, "config: which recipe? `swage config --list` shows the built-in ones");
    swg_config *config;
    const char *yaml;
    swg_status status = cli_open_config(c, 0, &config);
    if (status != SWG_OK)
        return status;
    if (cli_flag(c, "diff"))
        status = print_diff(c, config);
    else if (cli_flag(c, "json"))
        status = print_json(c, config);
    else if (!cli_flag(c, "yaml"))
        print_settings(config);
    else if ((status = swg_config_yaml(config, &yaml)) == SWG_OK)
        fputs(yaml, stdout);
    swg_config_close(config);
    return status;
}

const cli_command cli_cmd_config = {
    .name = "config",
    .usage = "RECIPE [key=value ...] [--yaml | --json | --diff RECIPE]",
    .help = "print the settings a recipe comes to, and where each was set",
    .details = "RECIPE is a name (swae/mlp), a .yaml file or a run folder. Changes: key=value, +key=value (not set before),\n"
               "++key=value, ~key (back to the default), group=option (another file of a group, as in optimizer=adamw).",
    .options = options,
    .least = 0,
    .most = 1,
    .overrides = true,
    .keys = "*",
    .run = run,
};
