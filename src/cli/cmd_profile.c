/* cmd_profile.c - `swage profile`: where the time and the memory of a recipe's step go.
 * In: a recipe. Out: tables or one JSON object; a trace and a page in a folder.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <string.h>
#include "cli/cli.h"
#include "train/profiling.h"

static const cli_option options[] = {
    {"steps", 0, "N", "steps to record, after a warm-up (default 10)"},
    {"infer", 0, NULL, "encode and decode in place of training"},
    {"top", 0, "N", "rows of each table (default 15)"},
    {"output", 'o', "DIR", "folder for trace.json and report.html (default: profile)"},
    CLI_RECIPES, CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

static swg_status print(const cli *c, const swg__profiled *p, int top, const char *folder) {
    if (cli_flag(c, "json")) {
        char *json = swg__profiled_json(p, top);
        if (!json)
            return swg__fail_memory(p->ctx, 0, "the profile");
        puts(json);
        cJSON_free(json);
        return SWG_OK;
    }
    swg__text text;
    swg__text_init(&text, p->ctx);
    swg_status status = swg__profiled_table(p, top, &text);
    if (status == SWG_OK)
        printf("%s\n%s/trace.json: open it in ui.perfetto.dev or chrome://tracing; %s/report.html: memory timeline and tables\n", text.data,
               folder, folder);
    swg__text_free(&text);
    return status;
}

static swg_status profile(cli *c) {
    int64_t steps = 10, top = 15;
    const char *folder = cli_value(c, "output");
    SWG__TRY(cli_integer(c, "steps", 1, 100000, &steps));
    SWG__TRY(cli_integer(c, "top", 1, 100000, &top));
    folder = folder ? folder : "profile";
    swg_config *config;
    swg_context *own, *frame = c->ctx;
    swg_status status = cli_open_work(c, 0, &config, &own);
    swg__trial trial = {.given = 0};
    swg__profiled p = {.ctx = NULL};
    cli_signals_catch();
    if (status == SWG_OK) {
        const swg__profile_opts opts = {.inference = cli_flag(c, "infer"), .steps = steps, .stop = cli_signal_flag()};
        status = swg__profile_trial(c->ctx, config, c->positional[0], &opts, &trial, &p);
    }
    if (status == SWG_OK)
        status = swg__profiled_write(&p, (int)top, folder, "report.html");
    if (status == SWG_OK)
        status = print(c, &p, (int)top, folder);
    if (status != SWG_OK && own)
        cli_fail(c, status, "%s", swg_context_message(own));
    swg__profiled_free(&p);
    if (trial.run.ctx)
        swg__trial_close(&trial);
    swg_config_close(config);
    c->ctx = frame;
    swg_context_close(own);
    return status;
}

const cli_command cli_cmd_profile = {
    .name = "profile",
    .usage = "RECIPE [key=value ...] [--infer] [--steps N] [--top N] [--output DIR] [--json]",
    .help = "show where the time and the memory of a recipe's step go",
    .details = "Without data.path the step runs on numbers of the right shape. The floor of a row is what this machine, measured in the\n"
               "same run, needs at least for its operations or its bytes.\n"
               "  swage profile swae/mlp-deep data.path=samples/bssn -o profile",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = "data.* model.* performance.* trainer.precision trainer.threads",
    .run = profile,
};
