/* compare_report.c - a comparison of settings or batch sizes as a table, or as one JSON object.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "bench/compare.h"

static const double mib = 0x1p-20;
static const char *const sides[SWG__COMPARE_SIDES] = {"training", "inference"};
static const char *const kinds[] = {[SWG__COMPARE_OPTS] = "compare-opts", [SWG__COMPARE_EACH] = "each", [SWG__COMPARE_BATCHES] = "batch-sizes"};

static void switch_rows(const swg__comparison *c, int side, swg__text *text) {
    swg__text_printf(text, "\n%-24s %12s %10s %17s %8s %12s %12s %11s\n", sides[side], "samples/s", "median", "of baseline", "of above",
                     "planned MiB", "measured MiB", "loss diff");
    for (int i = 0; i < c->row_count; i++) {
        const swg__compare_row *row = &c->rows[i];
        const swg__compare_side *s = &row->sides[side];
        char gain[48];
        if (*row->failure && s->median_ns <= 0) {
            swg__text_printf(text, "%-24s %s\n", row->name, row->failure);
            continue;
        }
        snprintf(gain, sizeof gain, "%.2f (%.2f-%.2f)", s->gain.median, s->gain.low, s->gain.high);
        swg__text_printf(text, "%-24s %12.0f %7.0f us %17s %8.2f %12.2f %12.2f", row->name, s->samples_per_s, s->median_ns * 1e-3, gain,
                         s->gain_above, (double)s->planned_bytes * mib, (double)s->measured_bytes * mib);
        if (side == SWG__TRAINING)
            swg__text_printf(text, " %11.1e", row->loss_difference);
        swg__text_printf(text, "%s%s\n", *row->failure ? "  FAILED: " : "", row->failure);
    }
}

static void batch_rows(const swg__comparison *c, int side, swg__text *text) {
    swg__text_printf(text, "\n%-14s %12s %12s %12s %9s %-10s %12s %12s\n", sides[side], "latency", "least", "samples/s", "x floor", "of", "planned MiB",
                     "measured MiB");
    for (int i = 0; i < c->row_count; i++) {
        const swg__compare_row *row = &c->rows[i];
        const swg__compare_side *s = &row->sides[side];
        if (*row->failure)
            swg__text_printf(text, "%-14s %s\n", row->name, row->failure);
        else
            swg__text_printf(text, "%-14s %9.1f us %9.1f us %12.0f %9.2f %-10s %12.2f %12.2f%s\n", row->name, s->median_ns * 1e-3, s->min_ns * 1e-3,
                             s->samples_per_s, s->median_ns / s->floor_ns, s->floor_by, (double)s->planned_bytes * mib,
                             (double)s->measured_bytes * mib, side == SWG__TRAINING && i == c->best ? "  <" : "");
    }
}

void swg__compare_table(const swg__comparison *c, swg__text *text) {
    swg__bench_machine_line(&c->machine, &c->team, text);
    swg__bench_peak_line(&c->team, text);
    swg__text_printf(text, "\n%s, %s, %d thread%s, %d round%s in turns, each row in processes of its own\n", c->opts.recipe,
                     c->synthetic ? "synthetic data (data.path is not set)" : "data of the recipe", c->team.threads, c->team.threads > 1 ? "s" : "",
                     c->rounds, c->rounds > 1 ? "s" : "");
    for (int side = 0; side < SWG__COMPARE_SIDES; side++)
        (c->opts.kind == SWG__COMPARE_BATCHES ? batch_rows : switch_rows)(c, side, text);
    if (c->opts.kind != SWG__COMPARE_BATCHES)
        swg__text_puts(text, "\nloss diff: of the mean of the first 10 training losses to the baseline's, relative; where no bit may change, the largest of the ten\n");
    else if (c->best >= 0)
        swg__text_printf(text, "\nsmallest batch within 5 %% of the best training throughput: %lld\n", (long long)c->rows[c->best].batch);
}

/* ---- JSON ---- */

static void add(cJSON *to, const char *key, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(to, key, round(value * 1e4) / 1e4);
    else
        cJSON_AddNullToObject(to, key);
}

static void add_side(const swg__comparison *c, const swg__compare_side *s, cJSON *to) {
    add(to, "median_ns", s->median_ns);
    add(to, "min_ns", s->min_ns);
    add(to, "samples_per_s", s->samples_per_s);
    add(to, "peak_bytes_planned", (double)s->planned_bytes);
    add(to, "peak_bytes_measured", (double)s->measured_bytes);
    add(to, "flop", s->flop);
    add(to, "floor_ns", s->floor_ns);
    cJSON_AddStringToObject(to, "floor_by", s->floor_by);
    add(to, "x_floor", s->median_ns / s->floor_ns);
    if (c->opts.kind == SWG__COMPARE_BATCHES)
        return;
    add(to, "gain", s->gain.median);
    add(to, "gain_low", s->gain.low);
    add(to, "gain_high", s->gain.high);
    add(to, "gain_over_row_above", s->gain_above);
}

static void add_row(const swg__comparison *c, const swg__compare_row *row, cJSON *rows) {
    cJSON *to = cJSON_CreateObject();
    cJSON_AddItemToArray(rows, to);
    cJSON_AddStringToObject(to, "name", row->name);
    cJSON_AddStringToObject(to, "settings", row->settings);
    add(to, "batch", (double)row->batch);
    for (int side = 0; side < SWG__COMPARE_SIDES; side++)
        if (row->sides[side].median_ns > 0)
            add_side(c, &row->sides[side], cJSON_AddObjectToObject(to, sides[side]));
        else
            cJSON_AddNullToObject(to, sides[side]);
    cJSON *losses = cJSON_AddArrayToObject(to, "losses");
    for (int i = 0; i < SWG__COMPARE_LOSSES && row->sides[SWG__TRAINING].median_ns > 0; i++)
        cJSON_AddItemToArray(losses, cJSON_CreateNumber(isfinite(row->losses[i]) ? row->losses[i] : -1));
    if (c->opts.kind != SWG__COMPARE_BATCHES) {
        cJSON_AddNumberToObject(to, "loss_difference", isfinite(row->loss_difference) ? row->loss_difference : -1);
        cJSON_AddNumberToObject(to, "loss_tolerance", row->tolerance);
    }
    if (*row->failure)
        cJSON_AddStringToObject(to, "failure", row->failure);
}

char *swg__compare_json(const swg__comparison *c) {
    cJSON *root = cJSON_CreateObject();
    add(root, "schema", 1);
    swg__bench_machine_json(&c->machine, &c->team, cJSON_AddObjectToObject(root, "machine"));
    cJSON_AddStringToObject(root, "kind", kinds[c->opts.kind]);
    cJSON_AddStringToObject(root, "recipe", c->opts.recipe);
    cJSON_AddStringToObject(root, "data", c->synthetic ? "synthetic" : "recipe");
    add(root, "threads", c->team.threads);
    add(root, "rounds", c->rounds);
    if (c->opts.kind == SWG__COMPARE_BATCHES)
        add(root, "best_batch", c->best >= 0 ? (double)c->rows[c->best].batch : NAN);
    cJSON *rows = cJSON_AddArrayToObject(root, "rows");
    for (int i = 0; i < c->row_count; i++)
        add_row(c, &c->rows[i], rows);
    char *text = cJSON_GetArraySize(rows) == c->row_count ? cJSON_Print(root) : NULL; /* rows are added last */
    cJSON_Delete(root);
    return text;
}
