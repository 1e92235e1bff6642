/* test_switches.c - proves: every performance switch of a recipe alone changes a number that can be counted, from the key on the command line down to
 * the plan: steps, calls to the threads, measured choices, permutes, updates, lanes, bytes. What does not claim to change results changes no
 * bit of them. The groups say what docs/config.md says, and the table of switches tells what is in effect.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"
#include "provider/provider.h"
#include "scratch.h"
#include "swage/nn.h"
#include "swage/performance.h"
#include "train/trial.h"

enum { ROOM = 1 << 15, BATCH = 64 };

/* What can be counted in a training step of a small network. */
typedef struct numbers {
    int steps, calls, updates, lanes, provided, tuned, bf16, again;
    int64_t bytes, known;
    float weights[ROOM];
    int64_t weight_count;
} numbers;

static void count(swg_context *ctx, const char *const *overrides, numbers *n) {
    const char *all[16] = {"model.hidden=[48]", "loss.directions=16", "data.batch_size=64"};
    int used = 3;
    swg_config *config;
    swg__trial t;
    for (; overrides && *overrides; overrides++)
        all[used++] = *overrides;
    *n = (numbers){0};
    assert_ok(ctx, swg_config_open(ctx, "swae/mlp", &(swg_config_opts){.overrides = all, .override_count = used}, &config));
    assert_ok(ctx, swg__trial_open(ctx, config, false, &t));
    const swg_plan *plan = t.stage->plan;
    n->steps = swg_plan_steps(plan);
    n->calls = swg_plan_parallel_calls(plan);
    n->bytes = swg__trial_planned_bytes(&t);
    n->known = t.run.tuning ? swg_tuning_count(t.run.tuning) : 0;
    for (int i = 0; i < plan->step_count; i++) {
        const swg__step *s = &plan->steps[i];
        n->updates += s->call.node->op == SWG__UPDATE;
        n->provided += s->kernel == &swg__kernel_provided;
        n->tuned += s->choice.shift != 0;
        n->bf16 += s->call.node->dtype == SWG_BF16;
        n->again += s->call.node->clone;
        n->lanes = s->call.isa->vl;
    }
    for (int i = 0; i < 3; i++)
        assert_ok(ctx, swg__trial_step(&t));
    n->weight_count = t.run.weights->span;
    assert_true(n->weight_count <= ROOM);
    memcpy(n->weights, t.run.weights->value, (size_t)n->weight_count * sizeof(float));
    swg__trial_close(&t);
    swg_config_close(config);
}

#define WITH(...) ((const char *const[]){__VA_ARGS__, NULL})

static void same_bits(const numbers *a, const numbers *b) {
    assert_int_equal(a->weight_count, b->weight_count);
    assert_memory_equal(a->weights, b->weights, (size_t)a->weight_count * sizeof(float));
}

static void each_alone(void **state) {
    swg_context *ctx = *state;
    static numbers base, other;
    count(ctx, NULL, &base);
    assert_true(base.updates == 1 && base.known == 0 && base.tuned == 0 && base.provided == 0);

    count(ctx, WITH("performance.fusion=false"), &other);
    assert_true(other.steps > base.steps);

    count(ctx, WITH("trainer.precision=bf16-mixed"), &other);
    assert_true(base.bf16 == 0 && other.bf16 > 8 && other.bytes < base.bytes);

    count(ctx, WITH("gradient_checkpointing=segments:2"), &other);
    assert_true(base.again == 0 && other.again > 0 && other.bytes < base.bytes);
    same_bits(&base, &other);

    count(ctx, WITH("performance.mode=reduce-overhead"), &other);
    assert_true(other.calls < base.calls && other.steps == base.steps && other.bytes == base.bytes);
    same_bits(&base, &other);

    count(ctx, WITH("performance.fused_optimizer=false"), &other); /* gradient, first moment, second moment, weights */
    assert_int_equal(other.updates, 4);
    assert_int_equal(other.steps, base.steps + 3);

    count(ctx, WITH("data.workers=2", "data.prefetch=3"), &other);
    assert_int_equal(other.bytes - base.bytes, swg__run_loader_bytes(&(swg__recipe){.workers = 2, .prefetch = 3, .family = &swg__family_swae, .swae.network.input = 125}, BATCH));
    assert_true(other.bytes > base.bytes);
    same_bits(&base, &other);

    if (swg__provider_version((char[64]){0}, 64)) {
        count(ctx, WITH("performance.provider=onednn"), &other);
        assert_true(other.provided > 10);
    }
    swg_context *scalar;
    assert_ok(ctx, swg_context_open(&(swg_context_opts){.isa = "scalar"}, &scalar));
    count(scalar, NULL, &other);
    assert_true(other.lanes == 1 && (base.lanes > 1 || strcmp(swg_context_isa(ctx), "scalar") == 0));
    swg_context_close(scalar);
}

/* The published names come to the same as ours, and rule over them where both are set; each changes what can be counted. */
static void published_names(void **state) {
    swg_context *ctx = *state;
    static numbers base, own, other;
    scratch s;
    scratch_open(&s);
    setenv("SWAGE_CACHE_DIR", s.folder, 1);
    count(ctx, NULL, &base);
    count(ctx, WITH("performance.fusion=false"), &own);
    count(ctx, WITH("performance.compile.enabled=false", "performance.mode=reduce-overhead"), &other);
    assert_true(other.steps == own.steps && other.calls == own.calls && other.steps > base.steps);
    same_bits(&own, &other);
    count(ctx, WITH("performance.mode=reduce-overhead"), &own);
    assert_true(own.calls < base.calls);
    count(ctx, WITH("model.compile_model=true", "model.compile_mode=reduce-overhead", "performance.fusion=false"), &other);
    assert_true(other.steps == own.steps && other.calls == own.calls);
    count(ctx, WITH("performance.cuda_graphs.enabled=true"), &other);
    assert_true(other.steps == own.steps && other.calls == own.calls);
    same_bits(&base, &other);
    count(ctx, WITH("performance.cuda_graphs.enabled=false", "performance.cuda_graphs.warmup_iterations=7"), &other);
    assert_int_equal(other.calls, base.calls);
    count(ctx, WITH("performance.autotune=true"), &other);
    assert_true(base.known == 0 && other.known > 0);
    same_bits(&base, &other);
    count(ctx, WITH("performance.mode=max-autotune", "performance.autotune=false"), &other); /* all of it but the measuring */
    assert_true(other.known == 0 && other.calls == own.calls);
    count(ctx, WITH("trainer.precision=bf16-mixed"), &own);
    count(ctx, WITH("performance.matmul_precision=medium"), &other);
    assert_true(base.bf16 == 0 && other.bf16 == own.bf16 && other.bf16 > 0);
    same_bits(&own, &other);
    count(ctx, WITH("performance.matmul_precision=high", "performance.tf32=true"), &other);
    same_bits(&base, &other);
    count(ctx, WITH("gradient_checkpointing=segments:2"), &own);
    count(ctx, WITH("performance.gradient_checkpointing.enabled=true", "performance.gradient_checkpointing.checkpoint_segments=2"), &other);
    assert_true(other.again == own.again && own.again > 0 && other.bytes == own.bytes);
    same_bits(&base, &other);
    count(ctx, WITH("model.gradient_checkpointing=true"), &other);
    assert_true(other.again > 0);
    count(ctx, WITH("performance.fused_optimizer=false", "optimizer.name=adam_fused"), &other);
    assert_int_equal(other.updates, 1);
    same_bits(&base, &other);
    unsetenv("SWAGE_CACHE_DIR");
    unlink(scratch_path(&s, "tune.txt"));
    unlink(scratch_path(&s, "tune.lock"));
    scratch_close(&s, ctx, 0);
}

/* The set-up of a program: sets the keys, and says of each wish what became of it. */
static void set_up(void **state) {
    swg_context *ctx = *state;
    swg_config *c;
    swg_performance p;
    assert_ok(ctx, swg_config_open(ctx, "swae/mlp", NULL, &c));
    assert_ok(ctx, swg_performance_setup(c, NULL, &p));
    assert_true(p.autotune && !p.tf32 && p.channels_last && !p.gpu);
    assert_string_equal(p.matmul_precision, "highest");
    assert_true(*p.why_autotune && *p.why_tf32 && *p.why_matmul_precision && *p.why_channels_last && *p.why_gpu);
    assert_true(swg_config_bool(c, "performance.autotune") && swg_config_bool(c, "performance.tf32") && swg_config_bool(c, "performance.channels_last"));
    assert_true(swg_config_is(c, "performance.matmul_precision", "high"));
    assert_string_equal(swg_config_origin(c, "performance.autotune"), "swg_performance_setup");
    assert_ok(ctx, swg_performance_setup(c, &(swg_performance_opts){.matmul_precision = "medium"}, &p));
    assert_true(!p.autotune && !p.tf32 && !p.channels_last);
    assert_string_equal(p.matmul_precision, "medium");
    assert_false(swg_config_bool(c, "performance.channels_last"));
    assert_int_equal(swg_performance_setup(c, &(swg_performance_opts){.matmul_precision = "low"}, &p), SWG_EUSAGE);
    assert_in_range(swg_optimal_workers(), 2, 8);
    assert_int_equal(p.workers, 0); /* it failed before */
    swg_config_close(c);
}

/* The first time everything is measured and kept, the second time nothing; a choice in the file is taken. */
static void measured_choices(void **state) {
    swg_context *ctx = *state;
    static numbers base, first, second, forced;
    scratch s;
    scratch_open(&s);
    char *kept = getenv("SWAGE_CACHE_DIR") ? swg__strdup(ctx, getenv("SWAGE_CACHE_DIR")) : NULL;
    setenv("SWAGE_CACHE_DIR", s.folder, 1);
    count(ctx, NULL, &base);
    count(ctx, WITH("performance.mode=max-autotune"), &first);
    assert_true(first.known > 20 && first.calls <= base.calls);
    same_bits(&base, &first);
    count(ctx, WITH("performance.mode=max-autotune", "performance.tune_seconds=1e-6"), &second); /* no time to measure: all is known */
    assert_int_equal(second.known, first.known);
    same_bits(&base, &second);
    swg_tuning *t;
    assert_ok(ctx, swg_tuning_open(ctx, NULL, &t));
    for (int64_t i = 0; i < t->count; i++) {
        swg__tune_record r = t->records[i];
        r.choice.shift = r.choice.panel_rows ? 0 : SWG__TUNE_ONE_TASK;
        r.fresh = true;
        assert_ok(ctx, swg__tuning_put(t, &r));
    }
    assert_ok(ctx, swg_tuning_save(t));
    swg_tuning_close(t);
    count(ctx, WITH("performance.mode=max-autotune", "performance.tune_seconds=1e-6"), &forced);
    assert_true(forced.tuned > 10 && forced.calls < first.calls + 1);
    same_bits(&base, &forced);
    count(ctx, NULL, &second); /* the default does not look */
    assert_int_equal(second.tuned, 0);
    assert_int_equal(second.bytes, base.bytes);
    if (kept)
        setenv("SWAGE_CACHE_DIR", kept, 1);
    else
        unsetenv("SWAGE_CACHE_DIR");
    swg__free(ctx, kept);
    scratch_close(&s, ctx, 2);
}

/* The recipes of today have no convolutions: the switch is counted where it acts. */
static void channels_last(void **state) {
    swg_context *ctx = *state;
    int permutes[2] = {0, 0};
    for (int off = 0; off < 2; off++) {
        swg_graph *g;
        swg_plan *plan;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value x = swg_input(g, "x", 5, (int64_t[]){2, 3, 6, 6, 6});
        swg_value h = swg_gelu(g, swg_conv(g, x, 8, 3, NULL, "a"));
        const swg_value out = swg_conv(g, h, 4, 3, NULL, "b");
        const swg_plan_opts opts = swg__recipe_plan_opts(&(swg__recipe){.fusion = true, .channels_last = !off}, &out, 1, false);
        assert_ok(ctx, swg_plan_make(g, &opts, &plan));
        for (int i = 0; i < plan->step_count; i++)
            permutes[off] += plan->steps[i].call.node->op == SWG__PERMUTE;
        swg_plan_destroy(plan);
        swg_graph_destroy(g);
    }
    assert_int_equal(permutes[0], 2);
    assert_int_equal(permutes[1], 4);
}

/* ---- groups and the table ---- */

static const swg_train_switch *find(const swg_train_switch *rows, int count, const char *key) {
    for (int i = 0; i < count; i++)
        if (strcmp(rows[i].key, key) == 0)
            return &rows[i];
    fail_msg("no row for %s", key);
    return NULL;
}

static void groups(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *override, *key, *requested, *effective, *why; } cases[] = {
        {"performance=auto", "performance.mode", "default", "default", "calls"},
        {"performance=auto", "performance.fusion", "true", "true", "4 of"},
        {"performance=auto", "performance.channels_last", "true", "false", "no convolutions"},
        {"performance=auto", "performance.fused_optimizer", "true", "true", "8 parameters in 1 pass"},
        {"performance=auto", "data.workers", "auto", "0", "in memory"},
        {"performance=default", "performance.fused_optimizer", "false", "false", "8 parameters in 4 passes"},
        {"performance=default", "performance.compile", "false", "false", "static plan"},
        {"performance=default", "performance.mode", "default", "default", "heuristics"},
        {"performance=default", "performance.fusion", "true", "false", "a step per operation"},
        {"performance=default", "performance.matmul_precision", "highest", "highest", "f32 products"},
        {"performance=gpu_optimized", "performance.mode", "default", "max-autotune", "measuring"},
        {"performance=gpu_optimized", "performance.autotune", "true", "true", "as measured"},
        {"performance=gpu_optimized", "performance.tf32", "true", "no", "no TF32"},
        {"performance=gpu_optimized", "performance.matmul_precision", "high", "highest", "for GPUs"},
        {"performance=gpu_optimized", "performance.compile", "true", "true", "static plan"},
        {"performance=gpu_optimized", "performance.compile.mode", "default", "max-autotune", "measured kernels"},
        {"performance=gpu_optimized", "performance.compile.fullgraph", "false", "true", "whole step"},
        {"performance=gpu_optimized", "performance.compile.dynamic", "false", "no", "fixed"},
        {"performance.matmul_precision=medium", "trainer.precision", "32", "bf16-mixed", "steps write bf16"},
        {"performance.matmul_precision=medium", "performance.matmul_precision", "medium", "medium", "bf16"},
        {"performance.cuda_graphs.enabled=true", "performance.cuda_graphs", "true", "replay", "replayed"},
        {"performance.cuda_graphs.enabled=true", "performance.mode", "default", "reduce-overhead", "calls"},
        {"performance.cuda_graphs.enabled=false", "performance.cuda_graphs", "false", "no", "no GPU"},
        {"model.compile_mode=reduce-overhead", "performance.mode", "default", "reduce-overhead", "calls"},
        {"model.compile_model=false", "performance.fusion", "true", "false", "a step per operation"},
        {"model.gradient_checkpointing=true", "gradient_checkpointing", "segments", "segments", "kept for the backward pass"},
        {"performance.gradient_checkpointing.checkpoint_segments=2", "gradient_checkpointing", "none", "off", "0 steps done again"},
        {"trainer=gpu", "trainer.accelerator", "gpu", "cpu", "processors only"},
        {"trainer=gpu", "trainer.devices", "1", "1", "one process"},
        {"trainer.precision=16", "trainer.precision", "16", "32", "no path for f16"},
        {"data.workers=2", "data.persistent_workers", "true", "true", "stay for the whole run"},
        {"data.workers=2", "data.prefetch", "2", "2", "ahead per worker"},
        {"trainer.deterministic=false", "trainer.deterministic", "false", "true", "same bits"},
        {"optimizer=adamw_fused", "performance.fused_optimizer", "true", "true", "8 parameters in 1 pass"},
        {"performance=max", "performance.mode", "max-autotune", "max-autotune", "measuring"},
        {"performance=max", "trainer.precision", "bf16-mixed", "bf16-mixed", "steps write bf16"},
        {"performance=lowmem", "gradient_checkpointing", "blocks", "blocks", "kept for the backward pass"},
        {"gradient_checkpointing=kan", "gradient_checkpointing", "kan", "kan", "kept for the backward pass"},
        {"gradient_checkpointing=budget:99%", "gradient_checkpointing", "budget:99%", NULL, "kept for the backward pass"},
        {"performance=lowmem", "data.workers", "0", "0", "between steps"},
        {"performance=plain", "performance.fusion", "false", "false", "a step per operation"},
        {"performance=plain", "performance.fused_optimizer", "false", "false", "8 parameters in 4 passes"},
        {"performance=plain", "performance.channels_last", "false", "false", "no convolutions"},
        {"performance.mode=reduce-overhead", "performance.mode", "reduce-overhead", "reduce-overhead", "calls"},
        {"trainer.threads=3", "trainer.threads", "3", NULL, "do not depend"},
        {"performance.isa=scalar", "performance.isa", "scalar", NULL, "context"},
        {"optimizer.name=sgd", "performance.fused_optimizer", "true", "true", "one form"},
        {"performance=auto", "gradient_checkpointing", "none", "off", "0 steps done again"},
        {"performance=auto", "memory.budget", "none", NULL, "planned peak of a step"},
        {"memory.budget=64GiB", "memory.budget", "64GiB", NULL, "planned peak of a step"},
        {"trainer.precision=f32", "trainer.precision", "32", "32", "f32"},
    };
    scratch s;
    scratch_open(&s);
    setenv("SWAGE_CACHE_DIR", s.folder, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *all[] = {"model.hidden=[24]", "loss.directions=8", "data.batch_size=32", "performance.tune_seconds=0.01", cases[i].override};
        swg_config *config;
        swg__trial t;
        swg_train_switch rows[SWG_TRAIN_SWITCHES];
        assert_ok(ctx, swg_config_open(ctx, "swae/mlp", &(swg_config_opts){.overrides = all, .override_count = 5}, &config));
        assert_ok(ctx, swg__trial_open(ctx, config, false, &t));
        int n = swg__run_switches(&t.run, rows);
        assert_in_range(n, 10, SWG_TRAIN_SWITCHES);
        for (int k = 0; k < n; k++)
            assert_true(*rows[k].requested && *rows[k].effective && *rows[k].why);
        const swg_train_switch *row = find(rows, n, cases[i].key);
        assert_string_equal(row->requested, cases[i].requested);
        if (cases[i].effective)
            assert_string_equal(row->effective, cases[i].effective);
        if (!strstr(row->why, cases[i].why) && !(cases[i].effective == NULL && strcmp(row->requested, row->effective) == 0))
            fail_msg("%s with %s: \"%s\"", cases[i].key, cases[i].override, row->why);
        swg__trial_close(&t);
        swg_config_close(config);
    }
    unsetenv("SWAGE_CACHE_DIR");
    unlink(scratch_path(&s, "tune.txt"));
    unlink(scratch_path(&s, "tune.lock"));
    scratch_close(&s, ctx, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_alone, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(published_names, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(set_up, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(measured_choices, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(channels_last, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(groups, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
