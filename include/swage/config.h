/* config.h - the settings of a run: a recipe in YAML, the files it names, and key=value changes from the command line.
 * Every key stands in one table (src/config/schema.c) with type, default, range and help; any other key is refused, with the
 * file and line it came from. After opening, values are typed, complete and in range. docs/config.md describes the language.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CONFIG_H
#define SWAGE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include "swage/context.h"

typedef struct swg_config swg_config;

/* Zero is the default everywhere. The strings need to live only during the call. */
typedef struct swg_config_opts {
    const char *recipes;            /* folder searched before the recipes built into the library; NULL: none */
    const char *const *overrides;   /* "optimizer.lr=1e-3", "+key=value", "++key=value", "~key", "optimizer=adamw" */
    int64_t override_count;
} swg_config_opts;

/* Opens a recipe: a name ("swae/mlp" is experiment/swae/mlp.yaml), the path of a .yaml file, or a run folder with config.yaml.
 * opts may be NULL. The caller closes *out; it is NULL on failure.
 * SWG_EUSAGE: unknown recipe, group, option or key, wrong type, value out of range, bad reference, malformed YAML (the message
 * has file and line, and the nearest known name). SWG_EUNSUPPORTED: a key or value whose feature is not built yet.
 * SWG_ENOTFOUND, SWG_EIO: a file cannot be read. SWG_ENOMEM. */
swg_status swg_config_open(swg_context *ctx, const char *recipe, const swg_config_opts *opts, swg_config **out);

/* The same for YAML text in memory, e.g. the configuration kept in a checkpoint. `name` stands for the file in messages. */
swg_status swg_config_open_text(swg_context *ctx, const char *text, const char *name, const swg_config_opts *opts,
                                swg_config **out);
void swg_config_close(swg_config *config); /* NULL is allowed */

/* ---- values ----
 * A getter that cannot answer (key not in the table, another type, no value set) returns 0, false or NULL and keeps the first
 * such failure: read all keys, then ask swg_config_status once. Strings live as long as the config. */

bool swg_config_has(const swg_config *config, const char *key);                     /* set, and not null */
bool swg_config_is(const swg_config *config, const char *key, const char *word);    /* the value is this word or text */
int64_t swg_config_int(swg_config *config, const char *key);
double swg_config_float(swg_config *config, const char *key);                       /* integers too */
bool swg_config_bool(swg_config *config, const char *key);
const char *swg_config_string(swg_config *config, const char *key);                 /* text and choices */
int64_t swg_config_count(swg_config *config, const char *key);                      /* items of a list */
int64_t swg_config_int_at(swg_config *config, const char *key, int64_t index);
double swg_config_float_at(swg_config *config, const char *key, int64_t index);
const char *swg_config_string_at(swg_config *config, const char *key, int64_t index);

/* SWG_OK, or the first failure of a getter since opening; its message is put into the context again. */
swg_status swg_config_status(const swg_config *config);

/* Sets one key to a value written as on the command line ("256", "[512, 256]"); for what a program works out itself, such as
 * a batch size chosen by `auto`. `origin` is kept as the place it came from. Errors as swg_config_open. */
swg_status swg_config_set(swg_config *config, const char *key, const char *value, const char *origin);

/* ---- the whole tree ---- */

/* Every key with its value as YAML; opens again to the same values. Valid until the next call or the close. SWG_ENOMEM. */
swg_status swg_config_yaml(swg_config *config, const char **text);

int64_t swg_config_size(const swg_config *config);                                  /* number of keys */
const char *swg_config_key(const swg_config *config, int64_t index);                /* NULL outside 0..size-1 */
const char *swg_config_text(const swg_config *config, const char *key);             /* value as YAML; NULL: unknown key */
const char *swg_config_origin(const swg_config *config, const char *key);           /* "recipes/x.yaml:3", "command line", "default" */

/* The index-th group of recipe files whose choice matters, e.g. "optimizer", and which of its files was chosen last: "adamw", "none". NULL outside. */
const char *swg_config_group(const swg_config *config, int64_t index, const char **option);

/* Calls line(user, text) for each line of the table of keys that match the pattern ("*", "optimizer.*"). */
void swg_config_help(const char *pattern, void (*line)(void *user, const char *text), void *user);

/* Calls name(user, text) for each recipe built into the library, e.g. "experiment/swae/mlp". */
void swg_config_recipes(void (*name)(void *user, const char *text), void *user);

#endif
