/* cli.h - the frame every command of `swage` stands in: its row of the table, its options, its way to fail.
 * A command is one file cmd_<name>.c that defines `const cli_command cli_cmd_<name>`, and one row in CLI_COMMANDS.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_H
#define SWAGE_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "swage/config.h"
#include "swage/context.h"
#include "swage/model.h"

#if defined(__GNUC__)
#define CLI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CLI_PRINTF(fmt, args)
#endif

/* One row per command, in the order of `swage --help`. */
#define CLI_COMMANDS(X) \
    X(train) X(search) X(eval) X(example) X(predict) X(instances) X(separate) X(score) \
    X(encode) X(reconstruct) \
    X(compress) X(decompress) X(verify) \
    X(plan) X(diagram) X(plot) X(costs) X(profile) X(tune) X(bench) \
    X(quantise) X(info) X(config) X(ops) X(h5args) X(doctor)

typedef struct cli_option {
    const char *name;          /* "threads": --threads; NULL ends a table */
    char letter;               /* 'e': -e; 0: none */
    const char *value;         /* "N" for --help; "[=N]": it may be left out, and stands behind = only; NULL: a flag without a value */
    const char *help;
} cli_option;

/* Rows that several commands share; read by the frame (threads, isa) or by cli_open_config (recipes). */
#define CLI_JSON {"json", 0, NULL, "print JSON instead of a table"}
#define CLI_THREADS {"threads", 0, "N", "threads to use (default: as many as the machine allows)"}
#define CLI_ISA {"isa", 0, "NAME", "instruction set, as performance.isa takes it (default: the best of this machine)"}
#define CLI_RECIPES {"recipes", 0, "DIR", "folder searched before the built-in recipes"}

enum { CLI_MAX_OPTIONS = 32 };

typedef struct cli cli;

typedef struct cli_command {
    const char *name;
    const char *usage;               /* what follows the name: "RECIPE [key=value ...]" */
    const char *help;                /* one line for `swage --help` */
    const char *details;             /* further lines for `swage NAME --help`; NULL: none */
    const cli_option *options;       /* at most CLI_MAX_OPTIONS */
    int least, most;                 /* number of positional arguments; most -1: any */
    bool overrides;                  /* arguments with = and ~key are changes of the recipe */
    const char *keys;                /* settings shown by --help: patterns with blanks between, "*" for all; NULL: none */
    swg_status (*run)(cli *c);
} cli_command;

struct cli {
    const cli_command *command;
    swg_context *ctx;
    const char *values[CLI_MAX_OPTIONS];   /* by row of command->options; "" for a flag that is given */
    char **positional;
    int positional_count;
    char **overrides;
    int override_count;
    char message[1024];                    /* of cli_fail; "" : the context's message holds */
};

/* ---- what a command calls ---- */

bool cli_flag(const cli *c, const char *name);              /* option given? */
const char *cli_value(const cli *c, const char *name);      /* its value; NULL: not given */
/* An option's integer in low..high; left as it is where the option is not given. SWG_EUSAGE with a message. */
swg_status cli_integer(cli *c, const char *name, int64_t low, int64_t high, int64_t *value);
swg_status cli_number(cli *c, const char *name, double low, double high, double *value);    /* the same of any number */

/* Leaves a message for main to print and returns the status. SWG_EUSAGE ends the program with 2, all others with 1. */
swg_status cli_fail(cli *c, swg_status status, const char *format, ...) CLI_PRINTF(3, 4);
/* The log of every context the command opens: remarks and warnings to stderr. */
void cli_log(void *user, swg_log_level level, const char *text);
/* "swage: ..." to stderr: a remark that is not a failure. */
void cli_say(const char *format, ...) CLI_PRINTF(1, 2);

/* Text from a file, fit for a terminal and for JSON: control characters and what is not UTF-8 become "?". Returns out. */
const char *cli_clean(const char *text, char *out, size_t capacity);

/* SWG_EUSAGE if a change of the recipe names another key than those in `keys` (blanks between). */
swg_status cli_only_keys(cli *c, const char *keys);
/* Is it a run folder or a checkpoint, by its name, and not a recipe or another file? (model_arg.c) */
bool cli_names_model(const char *path);

/* --without: "network,stencil" as bits of the codec's modes (without_arg.c). */
swg_status cli_without(cli *c, uint32_t *bits);

/* The recipe (positional argument `index`) with all overrides and --recipes. */
swg_status cli_open_config(cli *c, int index, swg_config **config);
/* A trained network: the first argument is its run folder or checkpoint; or a recipe, and ckpt_path=RUN stands among the changes, which it leaves. The
 * changes may be of `keys` alone, as of cli_only_keys. *model may be open after a failure. SWG_EUSAGE: RUN is not of that recipe. */
swg_status cli_open_model(cli *c, const char *keys, swg_model **model);
/* The model computes as inference.* of the configuration says. */
swg_status cli_set_inference(cli *c, swg_model *model, swg_config *config);
/* The configuration of a trained network, with all overrides. */
swg_status cli_open_model_config(cli *c, swg_model *model, swg_config **config);
/* The same for work that trains: where the recipe asks for threads or an instruction set that no option names, in a context of its own,
 * which becomes c->ctx. *own: that context, to be closed after *config, when c->ctx is the frame's again; NULL if there is none. */
swg_status cli_open_work(cli *c, int index, swg_config **config, swg_context **own);

/* Trains the codec models of a recipe with codec.models (train_codec.c). */
swg_status cli_train_codec(cli *c, swg_config *config);

/* ---- args.c ---- */

typedef enum cli_parsed { CLI_RUN, CLI_HELP, CLI_WRONG } cli_parsed;
/* Sorts the arguments after the command's name; argv is reordered. CLI_WRONG: a message has been printed. */
cli_parsed cli_parse(cli *c, int argc, char **argv);
void cli_print_help(const cli_command *command);

/* ---- signals.c ---- */

/* From now on the first SIGINT, SIGTERM or SIGUSR1 only raises the flag; a second one ends the program. */
void cli_signals_catch(void);
/* The signal that came, 0 if none. The pointer may be handed to long-running work. */
const volatile sig_atomic_t *cli_signal_flag(void);

/* ---- progress.c: one line of a terminal, rewritten at most ten times a second ---- */

typedef struct cli_progress {
    int fd;
    bool terminal, shown;
    int64_t last_ns;
} cli_progress;
void cli_progress_open(cli_progress *p, int fd);            /* shows nothing unless fd is a terminal */
void cli_progress_show(cli_progress *p, const char *format, ...) CLI_PRINTF(2, 3);
void cli_progress_close(cli_progress *p);                   /* wipes the line */

#endif
