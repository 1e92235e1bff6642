/* cmd_plan.c - `swage plan`: parameters, work and memory of a recipe, before anything runs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "cli/layers_out.h"
#include "swage/train.h"

static const cli_option options[] = {
    {"batch", 'b', "N", "batch size (default: data.batch_size)"},
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

static void print_json(const swg_train_plan *p, const swg_layers *layers) {
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
    for (int i = 0; i < CATEGORIES; i++)
        printf("  %-18s %12.1f KiB %10.1f KiB\n", categories[i].name, (double)bytes_of(&p->training, i) / 1024,
               (double)bytes_of(&p->inference, i) / 1024);
    printf("  %-18s %12.1f KiB %10.1f KiB\n", "unfilled", (double)unfilled(&p->training) / 1024, (double)unfilled(&p->inference) / 1024);
    printf("  %-18s %12.1f KiB %10.1f KiB\n", "peak", (double)p->training.peak_bytes / 1024, (double)p->inference.peak_bytes / 1024);
    if (*p->peak_at)
        printf("most is live at: %s\n", p->peak_at);
    printf("without remat %.1f KiB    lower bound %.1f KiB    extra FLOPs %+.1f %%    remat=%s\n", (double)p->without_peak_bytes / 1024,
           (double)(p->training.peak_bytes - unfilled(&p->training)) / 1024, extra_flops(p), swg_recompute_name(p->policy));
    for (int i = 0; i < p->saved_count; i++)
        printf("%s%s %.1f KiB%s", i ? ", " : "largest saved: ", p->saved[i].name, (double)p->saved[i].bytes / 1024, i + 1 < p->saved_count ? "" : "\n");
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

static swg_status plan(cli *c) {
    swg_config *config;
    swg_train_plan p;
    swg_layers layers = {0};
    int64_t batch = 0;
    SWG__TRY(cli_integer(c, "batch", 1, 1 << 24, &batch));
    SWG__TRY(open_config(c, &config));
    swg_status status = swg_train_plan_of(c->ctx, config, batch, &p);
    if (status == SWG_OK && cli_flag(c, "explain"))
        status = swg_train_explain(c->ctx, config, batch, cli_flag(c, "json") ? stderr : stdout);
    if (status == SWG_OK)
        status = swg_train_layers(c->ctx, config, &layers);
    if (status == SWG_OK && cli_flag(c, "json"))
        print_json(&p, &layers);
    else if (status == SWG_OK)
        print_text(c, &p, &layers);
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
    .usage = "RECIPE|RUN [key=value ...] [--explain]",
    .help = "print parameters, work and memory of a recipe without running it",
    .details = "The peak is what a run will use: nothing is measured and nothing is allocated.\n"
               "  swage plan swae/mlp-deep data.batch_size=4096",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = "model.* performance.* inference.*",
    .run = plan,
};
