/* main.c - the command `swage`: finds the command in the table, opens a context, turns statuses into exit statuses.
 * In: argv. Out: 0 done, 1 failed, 2 wrong use, 128 + n stopped by signal n.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>
#include "cli/cli.h"
#include "swage/features.h"
#include "base.h"
#include "cpu.h"

#define X(name) extern const cli_command cli_cmd_##name;
CLI_COMMANDS(X)
#undef X

static const cli_command *const commands[] = {
#define X(name) &cli_cmd_##name,
    CLI_COMMANDS(X)
#undef X
};
enum { COMMANDS = sizeof commands / sizeof *commands, DONE = 0, FAILED = 1, USAGE = 2 };

void cli_say(const char *format, ...) {
    char text[4096], clean[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "swage: %s\n", cli_clean(text, clean, sizeof clean));
}

void cli_log(void *user, swg_log_level level, const char *text) {
    (void)user;
    cli_say("%s%s", level == SWG_LOG_WARNING ? "warning: " : "", text);
}

static void print_usage(FILE *out) {
    fputs("usage: swage COMMAND [arguments]\n\ncommands:\n", out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->help);
    fputs("\n  swage COMMAND --help   arguments, options and settings of a command\n"
          "  swage --version        version, built-in libraries, instruction set\n", out);
}

static int print_version(void) {
    swg_context *ctx;
    printf("swage %s\n", swg_version());
    const swg_feature *feature;
    for (int64_t i = 0; (feature = swg_feature_at(i)); i++)
        printf("%s %s\n", feature->name, feature->version ? feature->version : "absent");
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        return FAILED;
    printf("instruction set %s\n", swg_context_isa(ctx));
    swg_context_close(ctx);
    return DONE;
}

static const cli_command *find_command(const char *name) {
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(names[i] = commands[i]->name, name) == 0)
            return commands[i];
    const char *near = swg__nearest(name, names, COMMANDS);
    if (near)
        cli_say("'%s' is not a command; did you mean %s?", name, near);
    else
        cli_say("'%s' is not a command; `swage --help` lists them", name);
    return NULL;
}

/* The context a command runs in, with --threads and --isa where it has them. */
static swg_status open_context(cli *c) {
    int64_t threads = 0;
    SWG__TRY(cli_integer(c, "threads", 1, 4096, &threads));
    const char *isa = cli_value(c, "isa");
    swg_status status = swg_context_open(&(swg_context_opts){.threads = (int)threads, .isa = isa, .log = cli_log}, &c->ctx);
    if (status == SWG_EINVAL) {
        const char *names[SWG__ISA_COUNT];
        char near[64];
        for (int i = 0; i < SWG__ISA_COUNT; i++)
            names[i] = swg__isa_name((swg__isa)i);
        return swg__isa_find(isa) >= 0 ? cli_fail(c, SWG_EUSAGE, "--isa %s: not offered by this machine; scalar always is", isa)
                                       : cli_fail(c, SWG_EUSAGE, "--isa %s: unknown; there are"
#define ISA(id, name, fast, like, int8) " " #name
#include "isa.def"
#undef ISA
                                                  "%s", isa,
                                                  swg__did_you_mean(isa, names, SWG__ISA_COUNT, near, sizeof near));
    }
    return status;
}

static int run_command(const cli_command *command, int argc, char **argv) {
    cli c = {.command = command};
    cli_parsed parsed = cli_parse(&c, argc, argv);
    if (parsed == CLI_HELP)
        cli_print_help(command);
    if (parsed != CLI_RUN)
        return parsed == CLI_HELP ? DONE : USAGE;
    swg_status status = open_context(&c);
    if (status == SWG_OK)
        status = command->run(&c);
    if (status != SWG_OK) {
        const char *message = *c.message || !c.ctx ? c.message : swg_context_message(c.ctx);
        cli_say("%s", *message ? message : swg_status_text(status));
    }
    swg_context_close(c.ctx);
    int stopped_by = *cli_signal_flag();
    if (status == SWG_EINTERRUPTED && stopped_by)
        return 128 + stopped_by;
    return status == SWG_OK ? DONE : status == SWG_EUSAGE ? USAGE : FAILED;
}

int main(int argc, char **argv) {
    int result = DONE;
    if (argc < 2) {
        print_usage(stderr);
        return USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
    } else if (strcmp(argv[1], "--version") == 0) {
        result = print_version();
    } else if (*argv[1] == '-') {
        cli_say("%s: unknown option; `swage --help` shows what there is", argv[1]);
        return USAGE;
    } else {
        const cli_command *command = find_command(argv[1]);
        if (!command)
            return USAGE;
        result = run_command(command, argc - 2, argv + 2);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) { /* a full disk behind a redirection is a failure, too */
        cli_say("cannot write the output");
        return FAILED;
    }
    return result;
}
