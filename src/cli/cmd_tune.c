/* cmd_tune.c - `swage tune`: measures how the steps of a recipe run fastest on this machine, for performance.mode=max-autotune.
 * In: a recipe. Out: a table or one JSON object; choices in the cache.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/train.h"

static const cli_option options[] = {
    {"batch", 'b', "N", "batch size (default: data.batch_size)"},
    {"again", 0, NULL, "measure also what is known"},
    {"list", 0, NULL, "print all that is known, of any recipe"},
    {"clear", 0, NULL, "forget all that is known"},
    CLI_RECIPES, CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

typedef struct screen {
    cli_progress progress;
    cJSON *rows;                /* --json; else NULL */
    double heuristic_ns, best_ns;
    int shown;
} screen;

static void show_progress(void *user, int64_t done, int64_t total) {
    screen *s = user;
    cli_progress_show(&s->progress, "measuring %lld of %lld", (long long)done, (long long)total);
}

static void show_row(void *user, const swg_tune_row *r) {
    screen *s = user;
    char label[160];
    cli_progress_close(&s->progress);
    s->heuristic_ns += r->heuristic_ns;
    s->best_ns += r->best_ns;
    cli_clean(r->label, label, sizeof label);
    if (s->rows) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "step", label);
        cJSON_AddStringToObject(row, "choice", r->choice);
        cJSON_AddNumberToObject(row, "heuristic_ns", r->heuristic_ns);
        cJSON_AddNumberToObject(row, "best_ns", r->best_ns);
        cJSON_AddBoolToObject(row, "known", r->known);
        cJSON_AddItemToArray(s->rows, row);
        return;
    }
    if (s->shown++ == 0)
        printf("%-60s %12s %12s %6s  %s\n", "step", "heuristic us", "best us", "gain", "choice");
    printf("%-60.60s %12.2f %12.2f %6.2f  %s\n", label, r->heuristic_ns * 1e-3, r->best_ns * 1e-3, r->best_ns > 0 ? r->heuristic_ns / r->best_ns : 1,
           r->choice);
}

static swg_status finish(screen *s, const swg_tuning *tuning) {
    if (!s->rows) {
        if (s->shown)
            printf("%-60s %12.2f %12.2f %6.2f\n", "all", s->heuristic_ns * 1e-3, s->best_ns * 1e-3, s->best_ns > 0 ? s->heuristic_ns / s->best_ns : 1);
        printf("%lld choices in %s\n", (long long)swg_tuning_count(tuning), *swg_tuning_path(tuning) ? swg_tuning_path(tuning) : "no file");
        return SWG_OK;
    }
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "file", swg_tuning_path(tuning));
    cJSON_AddNumberToObject(root, "choices", (double)swg_tuning_count(tuning));
    cJSON_AddItemToObject(root, "rows", s->rows);
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
    s->rows = NULL;
    return SWG_OK;
}

/* Training and inference with the recipe's switches; a stop keeps what is done. */
static swg_status measure(cli *c, swg_tuning *tuning, swg_config *config, screen *s) {
    int64_t batch = 0;
    SWG__TRY(cli_integer(c, "batch", 1, 1 << 24, &batch));
    cli_signals_catch();
    const swg_tune_opts opts = {.seconds = swg_config_float(config, "performance.tune_seconds"), .again = cli_flag(c, "again"), .stop = cli_signal_flag(),
                                .progress = show_progress, .row = show_row, .user = s};
    swg_status status = swg_train_tune(c->ctx, config, batch, tuning, &opts), saved = swg_tuning_save(tuning);
    return status == SWG_OK ? saved : status;
}

static swg_status list_or_clear(cli *c, screen *s) {
    swg_tuning *tuning;
    SWG__TRY(swg_tuning_open(c->ctx, NULL, &tuning));
    swg_status status = cli_flag(c, "clear") ? swg_tuning_clear(tuning) : SWG_OK;
    for (int64_t i = 0; status == SWG_OK && i < swg_tuning_count(tuning); i++) {
        swg_tune_row row;
        swg_tuning_at(tuning, i, &row);
        show_row(s, &row);
    }
    if (status == SWG_OK)
        status = finish(s, tuning);
    swg_tuning_close(tuning);
    return status;
}

static swg_status tune(cli *c) {
    bool whole = cli_flag(c, "list") || cli_flag(c, "clear");
    if (whole == (c->positional_count > 0) || (cli_flag(c, "list") && cli_flag(c, "clear")))
        return cli_fail(c, SWG_EUSAGE, "tune: give a recipe, or --list, or --clear");
    screen s = {.rows = cli_flag(c, "json") ? cJSON_CreateArray() : NULL};
    cli_progress_open(&s.progress, 2);
    swg_context *own = NULL, *frame = c->ctx;
    swg_config *config = NULL;
    swg_tuning *tuning = NULL;
    swg_status status = whole ? list_or_clear(c, &s) : cli_open_work(c, 0, &config, &own);
    if (!whole && status == SWG_OK)
        status = swg_tuning_open(c->ctx, NULL, &tuning);
    if (!whole && status == SWG_OK)
        status = measure(c, tuning, config, &s);
    cli_progress_close(&s.progress);
    if (!whole && (status == SWG_OK || status == SWG_EINTERRUPTED)) {
        swg_status shown = finish(&s, tuning);
        status = status == SWG_OK ? shown : status;
    }
    if (status != SWG_OK && own)
        cli_fail(c, status, "%s", swg_context_message(own));
    cJSON_Delete(s.rows);
    swg_tuning_close(tuning);
    swg_config_close(config);
    c->ctx = frame;
    swg_context_close(own);
    return status;
}

const cli_command cli_cmd_tune = {
    .name = "tune",
    .usage = "RECIPE [key=value ...] | --list | --clear",
    .help = "measure how the steps of a recipe run fastest here",
    .details = "For performance.mode=max-autotune, which measures by itself what is missing. Choices hold for this machine, instruction set, number\n"
               "of threads, batch size and version, and change no bit of a result. They are kept in tune.txt in $SWAGE_CACHE_DIR,\n"
               "$XDG_CACHE_HOME/swage or ~/.cache/swage. Ctrl-C keeps what has been measured.\n"
               "  swage tune swae/mlp-deep data.batch_size=4096",
    .options = options,
    .least = 0,
    .most = 1,
    .overrides = true,
    .keys = "data.batch_size model.* performance.*",
    .run = tune,
};
