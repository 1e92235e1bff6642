/* args.c - sorts a command's arguments into options, positional arguments and changes of the recipe; prints --help.
 * In: argv and the command's table. Out: a filled cli, or a message and exit status 2.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "base.h"

static int find_row(const cli_command *command, const char *name, size_t length) {
    for (int i = 0; command->options && command->options[i].name; i++)
        if (strlen(command->options[i].name) == length && strncmp(command->options[i].name, name, length) == 0)
            return i;
    return -1;
}

static int find_letter(const cli_command *command, char letter) {
    for (int i = 0; command->options && command->options[i].name; i++)
        if (command->options[i].letter == letter)
            return i;
    return -1;
}

bool cli_flag(const cli *c, const char *name) { return cli_value(c, name) != NULL; }

const char *cli_value(const cli *c, const char *name) {
    int row = find_row(c->command, name, strlen(name));
    return row < 0 ? NULL : c->values[row];
}

swg_status cli_fail(cli *c, swg_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->message, sizeof c->message, format, args);
    va_end(args);
    return status;
}

swg_status cli_integer(cli *c, const char *name, int64_t low, int64_t high, int64_t *value) {
    const char *text = cli_value(c, name);
    if (!text)
        return SWG_OK;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (!*text || *end || errno || number < low || number > high)
        return cli_fail(c, SWG_EUSAGE, "--%s %s: not an integer from %lld to %lld", name, text, (long long)low, (long long)high);
    *value = number;
    return SWG_OK;
}

swg_status cli_number(cli *c, const char *name, double low, double high, double *value) {
    const char *text = cli_value(c, name);
    char *end;
    if (!text)
        return SWG_OK;
    const double number = strtod(text, &end);
    if (!*text || *end || !(number >= low && number <= high))
        return cli_fail(c, SWG_EUSAGE, "--%s %s: expected a number from %g to %g", name, text, low, high);
    *value = number;
    return SWG_OK;
}

swg_status cli_only_keys(cli *c, const char *keys) {
    for (int i = 0; i < c->override_count; i++) {
        const char *key = c->overrides[i] + strspn(c->overrides[i], "+~");
        size_t length = strcspn(key, "=");
        bool known = false;
        for (const char *word = keys; *word && !known; word += strcspn(word, " "), word += *word == ' ') {
            size_t n = strcspn(word, " ");
            bool all = word[n - 1] == '*'; /* "noise.*": every key of a group */
            known = (all ? length >= n : length == n) && strncmp(word, key, n - all) == 0;
        }
        if (!known)
            return cli_fail(c, SWG_EUSAGE, "%s: %s takes the network as it was trained; it reads %s", c->overrides[i], c->command->name, keys);
    }
    return SWG_OK;
}

static cli_parsed unknown_option(const cli_command *command, const char *arg) {
    const char *names[CLI_MAX_OPTIONS + 1] = {"help"}, *name = arg + strspn(arg, "-");
    char word[64];
    size_t count = 1;
    for (int i = 0; command->options && command->options[i].name; i++)
        names[count++] = command->options[i].name;
    snprintf(word, sizeof word, "%.*s", (int)strcspn(name, "="), name);
    const char *near = swg__nearest(word, names, count);
    if (near)
        cli_say("%s: unknown option; did you mean --%s?", arg, near);
    else
        cli_say("%s: unknown option; `swage %s --help` shows what there is", arg, command->name);
    return CLI_WRONG;
}

/* key=value, +key=value, ~key: what stands before the = looks like a key, not like a path. */
static bool is_override(const char *arg) {
    const char *p = arg + strspn(arg, "+~");
    if (!isalpha((unsigned char)*p))
        return false;
    while (isalnum((unsigned char)*p) || *p == '_' || *p == '.')
        p++;
    return *arg == '~' ? !*p : *p == '=';
}

/* argv[*at] is an option; its value may stand in argv[*at + 1]. */
static cli_parsed take_option(cli *c, int argc, char **argv, int *at) {
    const char *arg = argv[*at], *attached = NULL;
    int row;
    if (arg[1] == '-') {
        size_t length = strcspn(arg + 2, "=");
        row = find_row(c->command, arg + 2, length);
        attached = arg[2 + length] ? arg + 3 + length : NULL;
    } else {
        row = find_letter(c->command, arg[1]);
        attached = arg[2] ? arg + 2 : NULL;
    }
    if (row < 0)
        return unknown_option(c->command, arg);
    const cli_option *option = &c->command->options[row];
    if (c->values[row]) {
        cli_say("--%s is given twice", option->name);
        return CLI_WRONG;
    }
    if (!option->value && attached) {
        cli_say("%s: --%s takes no value", arg, option->name);
        return CLI_WRONG;
    }
    const bool needed = option->value && option->value[0] != '[';
    if (needed && !attached && *at + 1 < argc)
        attached = argv[++*at];
    if (needed && !attached) {
        cli_say("--%s needs a value: --%s %s", option->name, option->name, option->value);
        return CLI_WRONG;
    }
    c->values[row] = attached ? attached : "";
    return CLI_RUN;
}

/* Positional arguments move to the front of argv, overrides to the end of what has been read: neither needs memory of its own. */
cli_parsed cli_parse(cli *c, int argc, char **argv) {
    bool options = true;
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        char *arg = argv[i];
        if (options && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0))
            return CLI_HELP;
        if (options && strcmp(arg, "--") == 0) {
            options = false;
        } else if (options && *arg == '-' && arg[1]) {
            if (take_option(c, argc, argv, &i) != CLI_RUN)
                return CLI_WRONG;
        } else if (c->command->overrides && is_override(arg)) {
            argv[kept++] = arg;
            c->override_count++;
        } else {
            /* stands before the overrides read so far */
            memmove(argv + c->positional_count + 1, argv + c->positional_count, (size_t)c->override_count * sizeof *argv);
            argv[c->positional_count++] = arg;
            kept++;
        }
    }
    c->positional = argv;
    c->overrides = argv + c->positional_count;
    if (c->positional_count < c->command->least || (c->command->most >= 0 && c->positional_count > c->command->most)) {
        const char *extra = c->positional_count > c->command->least ? argv[c->positional_count - 1] : NULL;
        if (extra)
            cli_say("%s: one argument too many", extra);
        else
            cli_say("%s: an argument is missing", c->command->name);
        fprintf(stderr, "usage: swage %s %s\n", c->command->name, c->command->usage);
        return CLI_WRONG;
    }
    return CLI_RUN;
}

const char *cli_clean(const char *text, char *out, size_t capacity) {
    const char *end = text + strlen(text);
    size_t used = 0;
    while (text < end) {
        const char *next = text;
        int32_t code = swg__utf8_next(&next, end);
        bool fit = code >= 32 && code != 127 && !(code >= 128 && code < 160);
        size_t length = next > text ? (size_t)(next - text) : 1;
        if (used + (fit ? length : 1) >= capacity)
            break;
        if (fit)
            memcpy(out + used, text, length);
        else
            out[used] = '?';
        used += fit ? length : 1;
        text += length;
    }
    out[used] = 0;
    return out;
}

static void print_line(void *user, const char *text) { fprintf(user, "%s\n", text); }

void cli_print_help(const cli_command *command) {
    char left[64], pattern[64];
    printf("usage: swage %s %s\n\n%s\n", command->name, command->usage, command->help);
    if (command->details)
        printf("\n%s\n", command->details);
    printf("\noptions:\n");
    for (const cli_option *o = command->options; o && o->name; o++) {
        snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                 o->value && o->value[0] != '[' ? " " : "", o->value ? o->value : "");
        printf("  %-22s %s\n", left, o->help);
    }
    printf("  %-22s %s\n", "-h, --help", "this text");
    if (!command->keys)
        return;
    printf("\nsettings (in a recipe, or as key=value):\n");
    for (const char *p = command->keys; *p; p += strcspn(p, " "), p += *p == ' ') {
        snprintf(pattern, sizeof pattern, "%.*s", (int)strcspn(p, " "), p);
        swg_config_help(pattern, print_line, stdout);
    }
}

/* The value of ckpt_path=, which is no key of a recipe; it is taken off the list. */
static const char *take_ckpt_path(cli *c) {
    const char *path = NULL;
    int kept = 0;
    for (int i = 0; i < c->override_count; i++)
        if (strncmp(c->overrides[i], "ckpt_path=", 10) == 0)
            path = c->overrides[i] + 10;
        else
            c->overrides[kept++] = c->overrides[i];
    c->override_count = kept;
    return path;
}

/* Is the network what the recipe describes? */
static swg_status check_recipe(cli *c, const char *recipe, swg_model *model) {
    static const char *const keys[] = {"model.family", "model.name"};
    swg_config *config, *own = swg_model_config(model);
    SWG__TRY(swg_config_open(c->ctx, recipe, NULL, &config));
    swg_status status = SWG_OK;
    for (int i = 0; i < 2 && status == SWG_OK; i++)
        if (!swg_config_is(own, keys[i], swg_config_string(config, keys[i])))
            status = cli_fail(c, SWG_EUSAGE, "ckpt_path: %s is of %s=%s, recipe %s of %s", swg_model_path(model), keys[i], swg_config_string(own, keys[i]), recipe,
                              swg_config_string(config, keys[i]));
    swg_config_close(config);
    return status;
}

swg_status cli_open_model(cli *c, const char *keys, swg_model **model) {
    const char *path = take_ckpt_path(c);
    *model = NULL;
    SWG__TRY(cli_only_keys(c, keys));
    SWG__TRY(swg_model_open(c->ctx, path ? path : c->positional[0], model));
    return path ? check_recipe(c, c->positional[0], *model) : SWG_OK;
}

swg_status cli_open_model_config(cli *c, swg_model *model, swg_config **config) {
    const char *yaml;
    SWG__TRY(swg_config_yaml(swg_model_config(model), &yaml));
    return swg_config_open_text(c->ctx, yaml, swg_model_path(model), &(swg_config_opts){
        .overrides = (const char *const *)c->overrides, .override_count = c->override_count}, config);
}

swg_status cli_set_inference(cli *c, swg_model *model, swg_config *config) {
    char keep[512] = "";
    swg_inference inference;
    const char *name = swg_config_string(config, "inference.precision");
    const bool given = swg_config_has(config, "inference.keep_f32");
    for (int64_t i = 0; given && i < swg_config_count(config, "inference.keep_f32"); i++) {
        const char *pattern = swg_config_string_at(config, "inference.keep_f32", i);
        size_t used = strlen(keep);
        if (snprintf(keep + used, sizeof keep - used, "%s%s", i ? "," : "", pattern ? pattern : "") >= (int)(sizeof keep - used))
            return cli_fail(c, SWG_EUSAGE, "inference.keep_f32: the list is too long");
    }
    SWG__TRY(swg_config_status(config));
    if (!name || !swg_inference_find(name, &inference))
        return cli_fail(c, SWG_EUSAGE, "inference.precision: unknown precision");
    return swg_model_set_inference(model, inference, keep);
}

swg_status cli_open_config(cli *c, int index, swg_config **config) {
    const swg_config_opts opts = {.recipes = cli_value(c, "recipes"), .overrides = (const char *const *)c->overrides,
                                  .override_count = c->override_count};
    return swg_config_open(c->ctx, c->positional[index], &opts, config);
}
