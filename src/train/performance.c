/* performance.c - what the settings of performance come to: ours, and the published names, which rule where they are set.
 * In: a configuration. Out: fields of the recipe; for a program, what of the published set-up is in force here.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/performance.h"
#include <string.h>
#include "cpu.h"
#include "train/recipe.h"

/* ---- a recipe ---- */

static bool bool_or(swg_config *c, const char *key, bool otherwise) { return swg_config_has(c, key) ? swg_config_bool(c, key) : otherwise; }

static swg_plan_mode mode_of(const swg_config *c, const char *key) {
    return swg_config_is(c, key, "max-autotune")      ? SWG_PLAN_MAX_AUTOTUNE
           : swg_config_is(c, key, "reduce-overhead") ? SWG_PLAN_REDUCE_OVERHEAD
                                                      : SWG_PLAN_DEFAULT;
}

static swg_plan_mode read_mode(swg_config *c) {
    const bool compiled = bool_or(c, "performance.compile.enabled", true), own = !swg_config_has(c, "performance.compile.mode");
    swg_plan_mode mode = !compiled ? SWG_PLAN_DEFAULT : mode_of(c, own ? "performance.mode" : "performance.compile.mode");
    if (mode == SWG_PLAN_MAX_AUTOTUNE && own && !bool_or(c, "performance.autotune", true))
        mode = SWG_PLAN_REDUCE_OVERHEAD; /* the same but for the measuring */
    if (mode == SWG_PLAN_DEFAULT && bool_or(c, "performance.cuda_graphs.enabled", false))
        mode = SWG_PLAN_REDUCE_OVERHEAD;
    return bool_or(c, "performance.autotune", false) ? SWG_PLAN_MAX_AUTOTUNE : mode;
}

swg_status swg__recipe_performance(swg_config *c, swg__recipe *r) {
    r->fusion = bool_or(c, "performance.compile.enabled", swg_config_bool(c, "performance.fusion"));
    r->channels_last = swg_config_bool(c, "performance.channels_last");
    r->mode = read_mode(c);
    r->tune_seconds = swg_config_float(c, "performance.tune_seconds");
    r->fused_optimiser = swg_config_bool(c, "performance.fused_optimizer") || swg_config_is(c, "optimizer.name", "adam_fused") ||
                         swg_config_is(c, "optimizer.name", "adamw_fused");
    r->bf16 = swg_config_is(c, "trainer.precision", "bf16-mixed") || swg_config_is(c, "performance.matmul_precision", "medium");
    r->provider = swg_config_string(c, "performance.provider");
    return swg_config_status(c);
}

void swg__recipe_recompute(swg_config *c, char *out, size_t capacity) {
    const char *own = swg_config_string(c, "gradient_checkpointing");
    const bool enabled = bool_or(c, "performance.gradient_checkpointing.enabled", false);
    if (enabled && swg_config_has(c, "performance.gradient_checkpointing.checkpoint_segments"))
        snprintf(out, capacity, "segments:%lld", (long long)swg_config_int(c, "performance.gradient_checkpointing.checkpoint_segments"));
    else
        snprintf(out, capacity, "%s", enabled ? "segments" : own ? own : "none");
}

/* ---- a program ---- */

int swg_optimal_workers(void) {
    int half = swg__cpu_count() / 2;
    return half < 2 ? 2 : half > 8 ? 8 : half;
}

static void say(char *to, size_t capacity, const char *text) { snprintf(to, capacity, "%s", text); }

swg_status swg_performance_setup(swg_config *config, const swg_performance_opts *asked, swg_performance *out) {
    static const swg_performance_opts published = {.autotune = true, .tf32 = true, .matmul_precision = "high", .channels_last = true};
    const swg_performance_opts o = asked ? *asked : published;
    const char *precision = o.matmul_precision ? o.matmul_precision : "highest";
    const struct { const char *key, *value; } settings[] = {{"performance.autotune", o.autotune ? "true" : "false"},
                                                            {"performance.tf32", o.tf32 ? "true" : "false"},
                                                            {"performance.matmul_precision", precision},
                                                            {"performance.channels_last", o.channels_last ? "true" : "false"}};
    const bool medium = strcmp(precision, "medium") == 0;
    *out = (swg_performance){0};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        SWG__TRY(swg_config_set(config, settings[i].key, settings[i].value, "swg_performance_setup"));
    out->autotune = o.autotune;
    out->channels_last = o.channels_last;
    out->workers = swg_optimal_workers();
    say(out->matmul_precision, sizeof out->matmul_precision, medium ? "medium" : "highest");
    say(out->why_autotune, sizeof out->why_autotune, o.autotune ? "kernels are measured once per shape and kept in the cache" : "not asked for");
    say(out->why_tf32, sizeof out->why_tf32, o.tf32 ? "a processor has no TF32 unit: products stay f32, which is more exact" : "not asked for");
    say(out->why_matmul_precision, sizeof out->why_matmul_precision,
        medium ? "products in bf16, sums in f32" : strcmp(precision, "high") == 0 ? "high is TF32 or three bf16 products, for GPUs: f32 here" : "f32");
    say(out->why_channels_last, sizeof out->why_channels_last, o.channels_last ? "activations and weights; acts where there are convolutions" : "not asked for");
    say(out->why_gpu, sizeof out->why_gpu, "this build computes on processors only");
    return SWG_OK;
}
