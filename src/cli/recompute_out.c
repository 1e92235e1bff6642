/* recompute_out.c - ways of recomputation side by side, as text and as JSON: every share is of the first row that could be planned.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/recompute_out.h"
#include <stdio.h>
#include <string.h>
#include "base.h"

enum { ROUNDS = 3, MOST_ROUNDS = 64 };

static const double mib = 0x1p-20;

static void show(void *user, const char *policy, int round) { cli_progress_show(user, "measuring %s, round %d", policy, round + 1); }

static swg_status read_rounds(cli *c, int64_t *rounds) {
    const char *text = cli_value(c, "measure");
    *rounds = text ? ROUNDS : 0;
    return text && *text ? cli_integer(c, "measure", 1, MOST_ROUNDS, rounds) : SWG_OK;
}

swg_status cli_compare_recompute(cli *c, swg_config *config, int64_t batch, swg_train_recompute rows[SWG_TRAIN_RECOMPUTE], int *count) {
    const char *list = cli_value(c, "compare");
    cli_progress progress;
    int64_t rounds;
    *count = 0;
    SWG__TRY(read_rounds(c, &rounds));
    if (!list && !rounds && !cli_value(c, "input"))
        return SWG_OK;
    cli_progress_open(&progress, 2);
    const swg_train_recompute_opts opts = {.batch = batch, .policies = list && *list ? list : NULL, .rounds = (int)rounds, .progress = show, .user = &progress};
    swg_status status = swg_train_compare_recompute(c->ctx, config, &opts, rows, count);
    cli_progress_close(&progress);
    return status;
}

/* The first row that has a plan; -1: none. */
static int base_of(const swg_train_recompute *rows, int count) {
    int base = 0;
    while (base < count && !rows[base].peak_bytes)
        base++;
    return base < count ? base : -1;
}

static double less(const swg_train_recompute *row, const swg_train_recompute *base) { return 100 * (1 - (double)row->peak_bytes / (double)base->peak_bytes); }

static double extra_flops(const swg_train_recompute *row, const swg_train_recompute *base) {
    return base->flops ? 100 * ((double)row->flops / (double)base->flops - 1) : 0;
}

void cli_print_recompute(const cli *c, const swg_train_recompute *rows, int count) {
    const int base = base_of(rows, count);
    bool measured = false, chosen = false;
    for (int i = 0; i < count; i++) {
        measured = measured || rows[i].seconds > 0;
        chosen = chosen || rows[i].chosen;
    }
    printf("\n%-24s %12s %12s %9s %11s", "gradient_checkpointing", "planned MiB", "saved MiB", "less", "extra FLOP");
    printf(measured ? " %13s %9s %10s %8s\n" : "\n", "measured MiB", "of plan", "step ms", "time");
    for (int i = 0; i < count; i++) {
        const swg_train_recompute *row = &rows[i];
        char name[64];
        snprintf(name, sizeof name, "%s%s", row->name, row->chosen ? " *" : "");
        printf("%-24s", name);
        if (row->peak_bytes)
            printf(" %12.1f %12.1f %7.1f %% %+9.1f %%", (double)row->peak_bytes * mib, (double)row->saved_bytes * mib, less(row, &rows[base]), extra_flops(row, &rows[base]));
        if (row->seconds > 0)
            printf(" %13.1f %9.3f %10.1f %7.2fx", (double)row->measured_bytes * mib, (double)row->measured_bytes / (double)row->peak_bytes, row->seconds * 1e3, row->slower);
        printf(*row->failure ? "  %s\n" : "\n", row->failure);
    }
    if (chosen)
        printf("* what this recipe comes to\n");
    if (measured)
        printf("%s of a step, median of the rounds, %d thread%s\n", swg_context_threads(c->ctx) > 1 ? "wall time" : "processor time", swg_context_threads(c->ctx),
               swg_context_threads(c->ctx) > 1 ? "s" : "");
}

void cli_json_recompute(cJSON *root, const swg_train_recompute *rows, int count) {
    const int base = base_of(rows, count);
    cJSON *list = cJSON_AddArrayToObject(root, "recompute_policies");
    for (int i = 0; i < count; i++) {
        const swg_train_recompute *row = &rows[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(list, o);
        cJSON_AddStringToObject(o, "gradient_checkpointing", row->name);
        cJSON_AddBoolToObject(o, "chosen", row->chosen);
        if (*row->failure)
            cJSON_AddStringToObject(o, "failure", row->failure);
        if (!row->peak_bytes)
            continue;
        cJSON_AddNumberToObject(o, "peak_bytes", (double)row->peak_bytes);
        cJSON_AddNumberToObject(o, "saved_bytes", (double)row->saved_bytes);
        cJSON_AddNumberToObject(o, "flops", (double)row->flops);
        cJSON_AddNumberToObject(o, "savings_percent", less(row, &rows[base]));
        cJSON_AddNumberToObject(o, "extra_flops_percent", extra_flops(row, &rows[base]));
        if (row->seconds <= 0)
            continue;
        cJSON_AddNumberToObject(o, "measured_bytes", (double)row->measured_bytes);
        cJSON_AddNumberToObject(o, "step_seconds", row->seconds);
        cJSON_AddNumberToObject(o, "time_ratio", row->slower);
    }
}
