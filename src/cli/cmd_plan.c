/* cmd_plan.c - `swage plan`: parameters, work and memory of a recipe, before anything runs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "cli/layers_out.h"
#include "cli/recompute_out.h"

static const cli_option options[] = {
    {"batch", 'b', "N", "batch size (default: data.batch_size)"},
    {"input", 0, "SHAPE", "shape of the network's input, batch first, such as 1x2x1025x259; implies --compare"},
    {"compare", 0, "[=LIST]", "the training step under several gradient_checkpointing (default: off,attention,blocks,segments:4,budget:60%,budget:30%)"},
    {"measure", 0, "[=ROUNDS]", "run a step of each, too: time and peak of the resident set (default: 3 rounds)"},
    {"explain", 0, NULL, "say what each pass and the planner did"},
    {"layers", 0, NULL, "one line per layer, too"},
    CLI_RECIPES, CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

/* One table for text and JSON: category, its bytes. */
static const struct { const char *name; size_t offset; } categories[] = {
    {"parameters", offsetof(swg_memory, parameters_bytes)}, {"optimiser", offsetof(swg_memory, optimiser_bytes)},
    {"gradients", offsetof(swg_memory, gradients_bytes)},   {"state", offsetof(swg_memory, state_bytes)},
    {"arrays", offsetof(swg_memory, array_bytes)},
    {"saved", offsetof(swg_memory, saved_bytes)},
    {"transient", offsetof(swg_memory, transient_bytes)},   {"scratch", offsetof(swg_memory, scratch_bytes)},
    {"io", offsetof(swg_memory, io_bytes)},
};
enum { CATEGORIES = sizeof categories / sizeof categories[0] };

static int64_t bytes_of(const swg_memory *m, int i) { return *(const int64_t *)((const char *)m + categories[i].offset); }

/* Between the sum of what is live and the arena lies only what best-fit placement could not fill. */
static int64_t unfilled(const swg_memory *m) { return m->arena_bytes - m->bound_bytes; }

static double saving(const swg_train_plan *p) { return 100 * (1 - (double)p->training.peak_bytes / (double)p->without_peak_bytes); }
static double extra_flops(const swg_train_plan *p) { return 100 * ((double)p->training_flops / (double)p->without_flops - 1); }

static void print_json(const swg_train_plan *p, const swg_layers *layers, const swg_train_recompute *rows, int row_count) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "batch", (double)p->batch);
    cJSON_AddStringToObject(root, "precision", p->precision);
    cJSON_AddStringToObject(root, "inference_precision", p->inference_precision);
    cJSON_AddStringToObject(root, "network", p->name);
    cli_json_layers(root, layers);
    cJSON_AddNumberToObject(root, "training_flops_per_step", (double)p->training_flops);
    const swg_memory *sides[2] = {&p->training, &p->inference};
    static const char *const names[2] = {"training", "inference"};
    cJSON *peak = cJSON_AddObjectToObject(root, "peak_bytes"), *memory = cJSON_AddObjectToObject(root, "memory");
    for (int s = 0; s < 2; s++) {
        cJSON_AddNumberToObject(peak, names[s], (double)sides[s]->peak_bytes);
        cJSON *own = cJSON_AddObjectToObject(memory, names[s]);
        for (int i = 0; i < CATEGORIES; i++)
            cJSON_AddNumberToObject(own, categories[i].name, (double)bytes_of(sides[s], i));
        cJSON_AddNumberToObject(own, "unfilled", (double)unfilled(sides[s]));
        cJSON_AddNumberToObject(own, "lower_bound", (double)sides[s]->bound_bytes);
    }
    cJSON_AddStringToObject(root, "peak_at", p->peak_at);
    cJSON *recompute = cJSON_AddObjectToObject(root, "recompute");
    cJSON_AddStringToObject(recompute, "policy", swg_recompute_name(p->policy));
    cJSON_AddNumberToObject(recompute, "without_peak_bytes", (double)p->without_peak_bytes);
    cJSON_AddNumberToObject(recompute, "savings_percent", saving(p));
    cJSON_AddNumberToObject(recompute, "extra_flops_percent", extra_flops(p));
    cJSON *saved = cJSON_AddArrayToObject(root, "largest_saved");
    for (int i = 0; i < p->saved_count; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", p->saved[i].name);
        cJSON_AddNumberToObject(one, "bytes", (double)p->saved[i].bytes);
        cJSON_AddItemToArray(saved, one);
    }
    if (row_count)
        cli_json_recompute(root, rows, row_count);
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static void print_text(const cli *c, const swg_train_plan *p, const swg_layers *layers) {
    printf("%s: %s\n", c->positional[0], p->title);
    cli_print_work(layers, p->sample);
    printf("FLOP / training step  %14lld  (batch %lld)\n\n", (long long)p->training_flops, (long long)p->batch);
    char head[40];
    snprintf(head, sizeof head, "memory, %s, batch %lld", strcmp(p->precision, "32") == 0 ? "f32" : p->precision, (long long)p->batch);
    printf("%-32s training      inference, %s\n", head, p->inference_precision);
    const bool large = p->training.peak_bytes >= (int64_t)1 << 30;
    const char *unit = large ? "MiB" : "KiB";
    const double per = large ? 0x1p-20 : 0x1p-10;
    for (int i = 0; i < CATEGORIES + 2; i++) {
        const bool own = i < CATEGORIES;
        const char *name = own ? categories[i].name : i == CATEGORIES ? "unfilled" : "peak";
        const int64_t training = own ? bytes_of(&p->training, i) : i == CATEGORIES ? unfilled(&p->training) : p->training.peak_bytes;
        const int64_t inference = own ? bytes_of(&p->inference, i) : i == CATEGORIES ? unfilled(&p->inference) : p->inference.peak_bytes;
        printf("  %-18s %12.1f %s %10.1f %s\n", name, (double)training * per, unit, (double)inference * per, unit);
    }
    if (*p->peak_at)
        printf("most is live at: %s\n", p->peak_at);
    printf("without remat %.1f %s    lower bound %.1f %s    extra FLOPs %+.1f %%    remat=%s\n", (double)p->without_peak_bytes * per, unit,
           (double)(p->training.peak_bytes - unfilled(&p->training)) * per, unit, extra_flops(p), swg_recompute_name(p->policy));
    for (int i = 0; i < p->saved_count; i++)
        printf("%s%s %.1f %s%s", i ? ", " : "largest saved: ", p->saved[i].name, (double)p->saved[i].bytes * per, unit, i + 1 < p->saved_count ? "" : "\n");
    if (*p->note)
        printf("%s\n", p->note);
    if (p->policy == SWG_RECOMPUTE_OFF)
        printf("Recomputation by default would save less than 5 %% here and is left off.\n");
    else
        printf("Recomputation saves %.1f %% of the peak.\n", saving(p));
    printf("The data set in memory comes on top of a training run.\n");
}

/* Of a recipe, or what a run was made with. */
static swg_status open_config(cli *c, swg_config **config) {
    swg_model *model;
    if (!cli_names_model(c->positional[0]))
        return cli_open_config(c, 0, config);
    SWG__TRY(swg_model_open(c->ctx, c->positional[0], &model));
    swg_status status = cli_open_model_config(c, model, config);
    swg_model_close(model);
    return status;
}

/* --input: "1x2x1025x259". */
static swg_status set_input(cli *c, swg_config *config) {
    enum { MOST_AXES = 8 };
    const char *text = cli_value(c, "input");
    int64_t shape[MOST_AXES];
    int count = 0;
    for (const char *at = text; at && *at;) {
        char *end;
        const long long extent = *at >= '0' && *at <= '9' ? strtoll(at, &end, 10) : 0;
        if (extent < 1 || extent > 1 << 24 || count == MOST_AXES || (*end && *end != 'x' && *end != ',') || (*end && !end[1]))
            return cli_fail(c, SWG_EUSAGE, "--input %s: expected extents with x between, batch first, such as 1x2x1025x259", text);
        shape[count++] = extent;
        at = end + (*end != 0);
    }
    if (count && cli_value(c, "batch"))
        return cli_fail(c, SWG_EUSAGE, "--input says the batch; --batch is too much");
    return text && !count ? cli_fail(c, SWG_EUSAGE, "--input: expected a shape, such as 1x2x1025x259") : count ? swg_train_set_input(c->ctx, config, count, shape) : SWG_OK;
}

static swg_status plan(cli *c) {
    swg_config *config;
    swg_train_plan p;
    swg_train_recompute rows[SWG_TRAIN_RECOMPUTE];
    swg_layers layers = {0};
    int64_t batch = 0;
    int row_count = 0;
    SWG__TRY(cli_integer(c, "batch", 1, 1 << 24, &batch));
    SWG__TRY(open_config(c, &config));
    swg_status status = set_input(c, config);
    if (status == SWG_OK)
        status = swg_train_plan_of(c->ctx, config, batch, &p);
    if (status == SWG_OK && cli_flag(c, "explain"))
        status = swg_train_explain(c->ctx, config, batch, cli_flag(c, "json") ? stderr : stdout);
    if (status == SWG_OK)
        status = swg_train_layers(c->ctx, config, &layers);
    if (status == SWG_OK)
        status = cli_compare_recompute(c, config, batch, rows, &row_count);
    if (status == SWG_OK && cli_flag(c, "json"))
        print_json(&p, &layers, rows, row_count);
    else if (status == SWG_OK)
        print_text(c, &p, &layers);
    if (status == SWG_OK && row_count && !cli_flag(c, "json"))
        cli_print_recompute(c, rows, row_count);
    if (status == SWG_OK && cli_flag(c, "layers") && !cli_flag(c, "json")) {
        printf("\n");
        cli_print_layers(&layers);
    }
    swg_layers_free(c->ctx, &layers);
    swg_config_close(config);
    return status;
}

const cli_command cli_cmd_plan = {
    .name = "plan",
    .usage = "RECIPE|RUN [key=value ...] [--input SHAPE] [--compare[=LIST]] [--measure[=ROUNDS]] [--explain]",
    .help = "print parameters, work and memory of a recipe without running it",
    .details = "The peak is what a run will use: nothing is measured and nothing is allocated, but with --measure.\n"
               "  swage plan swae/mlp-deep data.batch_size=4096\n"
               "  swage plan cyto/segmentation --input 2x1x32x64x64 --measure",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = "model.* performance.* inference.*",
    .run = plan,
};
