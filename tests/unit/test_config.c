/* test_config.c - proves: recipes compose in the order of their defaults lists, overrides and references do what docs/config.md
 * says, values are typed and in range, every mistake is named with its place, the resolved YAML opens to the same values,
 * and no failed allocation crashes or leaks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <sys/stat.h>
#include <unistd.h>
#include "config/schema.h"
#include "swage/config.h"

static swg_config *open_text(swg_context *ctx, const char *text, int64_t count, const char *const *overrides) {
    swg_config *config;
    assert_ok(ctx, swg_config_open_text(ctx, text, "test.yaml", &(swg_config_opts){.overrides = overrides, .override_count = count},
                                        &config));
    return config;
}

/* Opening must fail with this status and this text in the message; an override may be NULL. */
static void refused(swg_context *ctx, const char *text, const char *override, swg_status expected, const char *message) {
    swg_config *config;
    const char *const overrides[1] = {override};
    swg_status status = swg_config_open_text(ctx, text, "test.yaml",
                                             &(swg_config_opts){.overrides = overrides, .override_count = override ? 1 : 0}, &config);
    if (status != expected || !strstr(swg_context_message(ctx), message))
        fail_msg("'%s' with '%s': %s: %s; expected %s with: %s", text, override ? override : "", swg_status_name(status),
                 status == SWG_OK ? "" : swg_context_message(ctx), swg_status_name(expected), message);
    assert_null(config);
}

/* One value of a text and at most one override. */
static void gives(swg_context *ctx, const char *text, const char *override, const char *key, const char *value) {
    const char *const overrides[1] = {override};
    swg_config *config = open_text(ctx, text, override ? 1 : 0, overrides);
    assert_string_equal(swg_config_text(config, key), value);
    swg_config_close(config);
}

static void presets(void **state) {
    swg_context *ctx = *state;
    swg_config *c;
    assert_ok(ctx, swg_config_open(ctx, "swae/mlp", NULL, &c));
    assert_string_equal(swg_config_string(c, "model.name"), "mlp");
    assert_int_equal(swg_config_count(c, "model.hidden"), 1);
    assert_int_equal(swg_config_int_at(c, "model.hidden", 0), 512);
    assert_int_equal(swg_config_int(c, "model.latent"), 16);
    assert_true(swg_config_is(c, "model.act", "gelu"));
    assert_close(swg_config_float(c, "optimizer.lr"), 2e-4, 0, 0);
    assert_close(swg_config_float_at(c, "optimizer.betas", 1), 0.999, 0, 0);
    assert_close(swg_config_float(c, "optimizer.weight_decay"), 0, 0, 0);
    assert_true(swg_config_is(c, "scheduler.name", "step"));
    assert_int_equal(swg_config_int(c, "scheduler.step"), 30);
    assert_close(swg_config_float(c, "scheduler.gamma"), 0.5, 0, 0);
    assert_close(swg_config_float(c, "trainer.clip_norm"), 1, 0, 0);
    assert_int_equal(swg_config_int(c, "data.batch_size"), 256);
    assert_int_equal(swg_config_int(c, "trainer.max_epochs"), 80);
    assert_int_equal(swg_config_int(c, "trainer.seed"), 42);
    assert_int_equal(swg_config_int(c, "early_stopping.patience"), 40);
    assert_close(swg_config_float(c, "early_stopping.min_delta"), 1e-4, 0, 0);
    assert_close(swg_config_float(c, "loss.lambda"), 1, 0, 0);
    assert_int_equal(swg_config_int(c, "loss.directions"), 50);
    assert_true(swg_config_bool(c, "early_stopping.enabled"));
    assert_string_equal(swg_config_string_at(c, "data.vars", 0), "U_*");
    assert_false(swg_config_has(c, "data.path"));
    assert_string_equal(swg_config_origin(c, "optimizer.lr"), "recipes/optimizer/adam.yaml:2");
    assert_string_equal(swg_config_origin(c, "loss.scale"), "default");
    assert_ok(ctx, swg_config_status(c));
    swg_config_close(c);
    assert_ok(ctx, swg_config_open(ctx, "swae/mlp-deep", NULL, &c));
    assert_string_equal(swg_config_text(c, "model.hidden"), "[512, 256]");
    assert_string_equal(swg_config_text(c, "model.act"), "relu");
    assert_string_equal(swg_config_text(c, "model.latent"), "16");
    swg_config_close(c);
}

static void overrides(void **state) {
    swg_context *ctx = *state;
    const char *const changes[] = {"data.path=/data/run 1",  "model.hidden=[64, 32]", "trainer.epochs=5",     "optimizer=adamw",
                                   "data.vars=*",            "+trainer.max_steps=7",  "++optimizer.lr=1e-3",  "~trainer.precision",
                                   "data.batch_size=auto",   "loss=log",              "autotune=False", "compile_model=no",
                                   "run.name='a, b: #c'"};
    swg_config *c;
    assert_ok(ctx, swg_config_open(ctx, "swae/mlp", &(swg_config_opts){.overrides = changes, .override_count = 13}, &c));
    assert_string_equal(swg_config_string(c, "data.path"), "/data/run 1");
    assert_string_equal(swg_config_origin(c, "data.path"), "command line");
    assert_int_equal(swg_config_int_at(c, "model.hidden", 1), 32);
    assert_int_equal(swg_config_int(c, "trainer.max_epochs"), 5);
    assert_int_equal(swg_config_int(c, "trainer.epochs"), 5); /* the alias reads, too */
    assert_true(swg_config_is(c, "optimizer.name", "adamw"));
    assert_close(swg_config_float(c, "optimizer.weight_decay"), 0.01, 0, 0);
    assert_string_equal(swg_config_string_at(c, "data.vars", 0), "*");
    assert_int_equal(swg_config_int(c, "trainer.max_steps"), 7);
    assert_close(swg_config_float(c, "optimizer.lr"), 1e-3, 0, 0);
    assert_string_equal(swg_config_origin(c, "trainer.precision"), "default");
    assert_true(swg_config_is(c, "data.batch_size", "auto"));
    assert_true(swg_config_is(c, "loss.name", "log"));
    assert_close(swg_config_float(c, "loss.lambda"), 0.1, 0, 0); /* default of the log loss */
    assert_false(swg_config_bool(c, "performance.autotune")); /* from the alias */
    assert_false(swg_config_bool(c, "performance.compile.enabled"));
    assert_string_equal(swg_config_string(c, "run.name"), "a, b: #c");
    assert_ok(ctx, swg_config_status(c));
    assert_int_equal(swg_config_int(c, "data.batch_size"), 0); /* auto is no number: kept as a failure */
    assert_int_equal(swg_config_status(c), SWG_EUSAGE);
    assert_non_null(strstr(swg_context_message(ctx), "data.batch_size"));
    assert_ok(ctx, swg_config_set(c, "data.batch_size", "512", "batch auto"));
    assert_int_equal(swg_config_int(c, "data.batch_size"), 512);
    assert_string_equal(swg_config_origin(c, "data.batch_size"), "batch auto");
    assert_int_equal(swg_config_set(c, "data.batch_size", "-1", "batch auto"), SWG_EUSAGE);
    assert_int_equal(swg_config_set(c, "data.batchsize", "1", "batch auto"), SWG_EUSAGE);
    swg_config_close(c);

    gives(ctx, "{}", "optimizer=adamw", "optimizer.weight_decay", "0.01"); /* a group no file asks for */
    gives(ctx, "{}", "optimizer.name=adamw_fused", "optimizer.weight_decay", "0.01");
    gives(ctx, "{}", "scheduler=exponential", "scheduler.gamma", "0.995");
    gives(ctx, "trainer: {seed: 1}", "trainer.seed=", "trainer.seed", "42"); /* nothing is null, null is the default */
    gives(ctx, "early_stopping: {patience: 1, min_delta: 0}", "~early_stopping", "early_stopping.patience", "40");
    gives(ctx, "{}", "trainer.precision=f32", "trainer.precision", "32");
    gives(ctx, "{}", "trainer.precision=bf16", "trainer.precision", "bf16-mixed");
    gives(ctx, "{}", "run.name=\"true\"", "run.name", "\"true\"");
    gives(ctx, "{}", "data.vars=[U_CHI, 'C_*']", "data.vars", "[U_CHI, C_*]");

    refused(ctx, "{}", "~data.path", SWG_EUSAGE, "nothing to remove");
    refused(ctx, "{}", "~data.pth", SWG_EUSAGE, "did you mean data.path?");
    refused(ctx, "{}", "~trainer.precision=32", SWG_EUSAGE, "not one of key=value");
    refused(ctx, "trainer: {seed: 1}", "+trainer.seed=2", SWG_EUSAGE, "set already in test.yaml:1");
    refused(ctx, "{}", "trainer.seeed=2", SWG_EUSAGE, "trainer.seeed: unknown key on the command line; did you mean trainer.seed?");
    refused(ctx, "{}", "trainer.seed", SWG_EUSAGE, "not one of key=value");
    refused(ctx, "{}", "=2", SWG_EUSAGE, "not one of key=value");
    refused(ctx, "{}", "+++run.name=2", SWG_EUSAGE, "not one of key=value");
    refused(ctx, "{}", "data={path: x}", SWG_EUSAGE, "data");
    refused(ctx, "{}", "run.name={a: x}", SWG_EUSAGE, "a map cannot be a value here");
    refused(ctx, "{}", "trainer.=1", SWG_EUSAGE, "joined by single dots");
    refused(ctx, "{}", "a..b=1", SWG_EUSAGE, "joined by single dots");
    refused(ctx, "{}", "data.vars=[a", SWG_EUSAGE, "not YAML");
    refused(ctx, "{}", "optimizer=adma", SWG_EUSAGE, "optimizer 'adma' on the command line: not found; did you mean adam?");
    refused(ctx, "{}", "optimizer=../optimizer/adam", SWG_EUSAGE, "not found");
    refused(ctx, "{}", "~optimizer", SWG_EUSAGE, "chooses no optimizer");
    refused(ctx, "defaults: [optimizer: adam]", "+optimizer=adamw", SWG_EUSAGE, "leave out the +");
}

static void composing(void **state) {
    swg_context *ctx = *state;
    /* later wins; maps merge, lists and scalars replace; _self_ says where the file's own keys stand */
    gives(ctx, "defaults: [model: swae_mlp_deep]\nmodel: {latent: 8}", NULL, "model.latent", "8");
    gives(ctx, "defaults: [model: swae_mlp_deep]\nmodel: {latent: 8}", NULL, "model.hidden", "[512, 256]");
    gives(ctx, "defaults: [_self_, model: swae_mlp_deep]\nmodel: {latent: 8}", NULL, "model.latent", "16");
    gives(ctx, "defaults: [model: swae_mlp_deep]\nmodel: {hidden: [7]}", NULL, "model.hidden", "[7]");
    gives(ctx, "defaults: [/model: swae_mlp_deep]", NULL, "model.act", "relu");
    gives(ctx, "defaults: [/model/swae_mlp_deep]", NULL, "model.act", "relu");
    gives(ctx, "defaults: [swae/mlp, override model: swae_mlp_deep]", NULL, "model.act", "relu");
    gives(ctx, "defaults: [swae/mlp, override /model: swae_mlp_deep]", NULL, "model.act", "relu");
    gives(ctx, "defaults: [data: swae, override model: swae_mlp_deep]", NULL, "model.act", "relu"); /* nothing to replace */
    gives(ctx, "defaults: [swae/mlp, override trainer: null]", NULL, "trainer.eval_every", "10");
    gives(ctx, "defaults: [swae/mlp, override trainer: null]", NULL, "trainer.seed", "42");
    gives(ctx, "defaults: [swae/mlp-deep, override model: swae_mlp]", NULL, "model.act", "gelu"); /* the outer file wins */
    gives(ctx, "defaults: [swae/mlp, override model: swae_mlp_deep]", "model=swae_mlp", "model.act", "gelu"); /* then the command line */
    gives(ctx, "defaults: [model: null, model: swae_mlp_deep]", NULL, "model.act", "relu");
    gives(ctx, "defaults: [swae/mlp]\nearly_stopping: null", NULL, "early_stopping.patience", "40");
    gives(ctx, "defaults: [optimizer: adamw]\noptimizer: {weight_decay: null}", NULL, "optimizer.weight_decay", "0.01");
}

static void references(void **state) {
    swg_context *ctx = *state;
    setenv("SWAGE_TEST_NAME", "from outside", 1);
    setenv("SWAGE_TEST_NUMBER", "17", 1);
    setenv("SWAGE_TEST_BAD", "${run.dir}", 1);
    unsetenv("SWAGE_TEST_NOTHING");
    gives(ctx, "paths: {data: /d}\ndata: {path: ${paths.data}/run1, batch_size: auto}", NULL, "data.path", "/d/run1");
    gives(ctx, "paths: {data: /d}\ndata: {path: '${paths.data}'}", "paths.data=/e", "data.path", "/e"); /* after overrides */
    gives(ctx, "trainer: {seed: 7, log_every: '${trainer.seed}'}", NULL, "trainer.log_every", "7");  /* keeps its type */
    gives(ctx, "{}", "trainer.log_every=${trainer.seed}", "trainer.log_every", "42");                /* a default */
    gives(ctx, "{}", "trainer.log_every=${trainer.epochs}", "trainer.log_every", "80");              /* an alias */
    gives(ctx, "{}", "optimizer.weight_decay=${scheduler.gamma}", "optimizer.weight_decay", "0.5");
    gives(ctx, "scheduler: exponential", "optimizer.weight_decay=${scheduler.gamma}", "optimizer.weight_decay", "0.995");
    gives(ctx, "model: {hidden: [3, 4]}\ndata: {vars: [a, '${run.dir}']}", NULL, "data.vars", "[a, runs]");
    gives(ctx, "model: {hidden: [3, '${model.latent}']}", NULL, "model.hidden", "[3, 16]");
    gives(ctx, "{}", "run.name=${env:SWAGE_TEST_NAME}", "run.name", "\"from outside\"");
    gives(ctx, "{}", "trainer.seed=${oc.env:SWAGE_TEST_NUMBER}", "trainer.seed", "17");
    gives(ctx, "trainer: {seed: ${env:SWAGE_TEST_NOTHING,5}}", NULL, "trainer.seed", "5");
    gives(ctx, "run: {name: ${env:SWAGE_TEST_NOTHING,${run.dir}} }", NULL, "run.name", "runs");
    gives(ctx, "{}", "run.name=x-${model.latent}-${run.dir}", "run.name", "x-16-runs");
    gives(ctx, "{}", "data.path=${run.name}", "data.path", "null");
    refused(ctx, "paths: {a: '${paths.b}', b: '${paths.c}', c: 'x${paths.a}'}", NULL, SWG_EUSAGE,
            "references go in a circle in test.yaml:1: paths.a -> paths.b -> paths.c -> paths.a");
    refused(ctx, "run: {name: '${run.name}'}", NULL, SWG_EUSAGE, "run.name -> run.name");
    refused(ctx, "model: {hidden: ['${model.hidden}']}", NULL, SWG_EUSAGE, "circle");
    refused(ctx, "run: {name: '${paths.a}'}\npaths: {a: '${paths.bee}', bees: x}", NULL, SWG_EUSAGE,
            "does not exist (did you mean paths.bees?) in test.yaml:2: run.name -> paths.a -> paths.bee");
    refused(ctx, "run: {name: '${env:SWAGE_TEST_NOTHING}'}", NULL, SWG_EUSAGE, "SWAGE_TEST_NOTHING");
    refused(ctx, "run: {name: '${env:SWAGE_TEST_BAD}'}", NULL, SWG_EUSAGE, "holds ${");
    refused(ctx, "run: {name: '${now:x}'}", NULL, SWG_EUSAGE, "only ${a.b} and ${env:NAME,default} are known");
    refused(ctx, "run: {name: '${run.dir'}", NULL, SWG_EUSAGE, "${ without }");
    refused(ctx, "run: {name: '${}'}", NULL, SWG_EUSAGE, "test.yaml:1");
    refused(ctx, "run: {name: '${model}'}\nmodel: {latent: 3}", NULL, SWG_EUSAGE, "group of keys");
    refused(ctx, "run: {name: 'x${model.hidden}'}", NULL, SWG_EUSAGE, "a list inside text");
    refused(ctx, "run: {name: 'x${data.path}'}", NULL, SWG_EUSAGE, "without a value inside text");
    refused(ctx, "trainer: {seed: 'x${model.latent}'}", NULL, SWG_EUSAGE, "text in quotes");
    /* doubling at each of 30 steps would make a gigabyte */
    char text[2048] = "paths: {a0: 0123456789";
    for (int i = 1; i < 30; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", a%d: ${paths.a%d}${paths.a%d}", i, i - 1, i - 1);
    strcat(text, "}");
    refused(ctx, text, NULL, SWG_EUSAGE, "64 KiB");
}

static void values(void **state) {
    swg_context *ctx = *state;
    gives(ctx, "data: {vars: U_CHI}", NULL, "data.vars", "[U_CHI]");
    gives(ctx, "early_stopping: {enabled: Off}", NULL, "early_stopping.enabled", "false");
    gives(ctx, "run: {name: \"a\\u2028\\x85\\\"\\\\\\t\"}", NULL, "run.name", "\"a\\U00002028\\U00000085\\\"\\\\\\U00000009\"");
    refused(ctx, "trainer: {seed: x}", NULL, SWG_EUSAGE, "trainer.seed: 'x' in test.yaml:1 is not an integer in [0,");
    refused(ctx, "\n\ntrainer:\n  seed: 1.5", NULL, SWG_EUSAGE, "trainer.seed: '1.5' in test.yaml:4 is not an integer");
    refused(ctx, "trainer: {seed: '1'}", NULL, SWG_EUSAGE, "text in quotes");
    refused(ctx, "trainer: {seed: 9223372036854775808}", NULL, SWG_EUSAGE, "is not an integer");
    refused(ctx, "trainer: {seed: -1}", NULL, SWG_EUSAGE, "is not an integer in [0,");
    refused(ctx, "trainer: {seed: [1]}", NULL, SWG_EUSAGE, "a list in test.yaml:1");
    refused(ctx, "trainer: {seed: {a: 1}}", NULL, SWG_EUSAGE, "trainer.seed: a map in test.yaml:1");
    refused(ctx, "trainer: 5", NULL, SWG_EUSAGE, "trainer: one value in test.yaml:1, but this is a group of keys");
    refused(ctx, "optimizer: {lr: 0}", NULL, SWG_EUSAGE, "'0' in test.yaml:1 is not a number in (0,1e3]");
    refused(ctx, "optimizer: {lr: .inf}", NULL, SWG_EUSAGE, "is not a number");
    refused(ctx, "optimizer: {lr: 1e999}", NULL, SWG_EUSAGE, "is not a number");
    refused(ctx, "optimizer: {lr: 0x1p3}", NULL, SWG_EUSAGE, "is not a number");
    refused(ctx, "optimizer: {betas: [0.9]}", NULL, SWG_EUSAGE, "it takes 2");
    refused(ctx, "optimizer: {betas: [0.9, 1]}", NULL, SWG_EUSAGE, "is not a list of numbers in [0,1)");
    refused(ctx, "model: {hidden: []}", NULL, SWG_EUSAGE, "at least 1");
    refused(ctx, "model: {hidden: [[3]]}", NULL, SWG_EUSAGE, "a list in test.yaml:1");
    refused(ctx, "early_stopping: {enabled: maybe}", NULL, SWG_EUSAGE, "true or false");
    refused(ctx, "loss: {name: mese}", NULL, SWG_EUSAGE, "none of mse, log, relative, robust, mse+ssim, dice_ce, bce, mae, mag, wave; did you mean mse?");
    refused(ctx, "data: {batch_size: many}", NULL, SWG_EUSAGE, "is not an integer in [1,16777216] or auto");
    refused(ctx, "trainer: {precision: tf32}", NULL, SWG_EUNSUPPORTED, "'tf32' in test.yaml:1 is not supported by this build yet; there is 32, bf16-mixed, 16");
    refused(ctx, "data: {missing: true}", NULL, SWG_EUSAGE, "error, skip");
    refused(ctx, "num_workers: 65", NULL, SWG_EUSAGE, "data.workers: '65' in test.yaml:1 is not an integer in [0,64] or auto");
    refused(ctx, "trainer: {accumulate: 0}", NULL, SWG_EUSAGE, "is not an integer in [1,1000000]");
    refused(ctx, "scheduler: plateux", NULL, SWG_EUSAGE, "did you mean plateau?");
    refused(ctx, "ema: {momentum: 1.5}", NULL, SWG_EUSAGE, "is not a number in [0,1]");
    refused(ctx, "model: {name: gmpl}", NULL, SWG_EUSAGE, "did you mean gmlp?");
    refused(ctx, "optimizer:\n  lr_rate: 1", NULL, SWG_EUSAGE, "optimizer.lr_rate: unknown key in test.yaml:2; did you mean optimizer.lr?");
    refused(ctx, "optimiser: {lr: 1}", NULL, SWG_EUSAGE, "did you mean optimizer.lr?");
    refused(ctx, "zzzzzzzzzzzz: 1", NULL, SWG_EUSAGE, "zzzzzzzzzzzz: unknown key in test.yaml:1; `swage config --keys`");
    refused(ctx, "trainer: {epochs: 3, max_epochs: 4}", NULL, SWG_EUSAGE, "are the same setting");
    refused(ctx, "cudnn_benchmark: 3", NULL, SWG_EUSAGE, "performance.autotune: '3' in test.yaml:1 is not true or false");
    refused(ctx, "paths: {a: {b: 1}}", NULL, SWG_EUSAGE, "paths.a");
}

/* What a list of overrides makes of a recipe. */
static void recipe_gives(swg_context *ctx, const char *recipe, const char *first, const char *second, const char *key, const char *value) {
    const char *const overrides[2] = {first, second};
    swg_config *config;
    assert_ok(ctx, swg_config_open(ctx, recipe, &(swg_config_opts){.overrides = overrides, .override_count = second ? 2 : 1}, &config));
    if (strcmp(swg_config_text(config, key), value) != 0)
        fail_msg("%s %s %s: %s is %s, expected %s", recipe, first, second ? second : "", key, swg_config_text(config, key), value);
    swg_config_close(config);
}

/* Names and values of the published groups; which of them the command line may lay over a recipe's own keys. */
static void published(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *choice, *key, *value; } groups[] = {
        {"performance=default", "performance.autotune", "false"}, {"performance=default", "performance.tf32", "false"},
        {"performance=default", "performance.matmul_precision", "highest"}, {"performance=default", "performance.channels_last", "false"},
        {"performance=default", "performance.compile.enabled", "false"}, {"performance=default", "performance.compile.mode", "default"},
        {"performance=default", "performance.compile.fullgraph", "false"}, {"performance=default", "performance.compile.dynamic", "false"},
        {"performance=default", "performance.cuda_graphs.enabled", "false"}, {"performance=default", "performance.cuda_graphs.warmup_iterations", "3"},
        {"performance=default", "performance.gradient_checkpointing.enabled", "false"},
        {"performance=default", "performance.gradient_checkpointing.checkpoint_segments", "null"},
        {"performance=gpu_optimized", "performance.autotune", "true"}, {"performance=gpu_optimized", "performance.tf32", "true"},
        {"performance=gpu_optimized", "performance.matmul_precision", "high"}, {"performance=gpu_optimized", "performance.channels_last", "true"},
        {"performance=gpu_optimized", "performance.compile.enabled", "true"}, {"performance=gpu_optimized", "performance.cuda_graphs.enabled", "false"},
        {"performance=max", "performance.compile.enabled", "null"}, /* ours leave the published names unset */
        {"trainer=gpu", "trainer.accelerator", "gpu"}, {"trainer=gpu", "trainer.devices", "\"1\""}, {"trainer=gpu", "trainer.precision", "bf16-mixed"},
        {"trainer=gpu_optimized", "trainer.accelerator", "gpu"}, {"trainer=gpu_optimized", "trainer.clip_norm", "1.0"},
        {"trainer=gpu_optimized", "trainer.gradient_clip_algorithm", "norm"}, {"trainer=gpu_optimized", "trainer.detect_anomaly", "false"},
        {"trainer=gpu_optimized", "trainer.deterministic", "false"},
        {"optimizer=adamw_fused", "optimizer.name", "adamw_fused"}, {"optimizer=adamw_fused", "optimizer.lr", "1e-3"},
        {"optimizer=adamw_fused", "optimizer.weight_decay", "0.01"}, {"optimizer=adam_fused", "optimizer.name", "adam_fused"},
        {"optimizer=adam_fused", "optimizer.weight_decay", "0"}, {"optimizer=adam_fused", "optimizer.betas", "[0.9, 0.999]"},
        {"debug=profile_gpu", "trainer.max_epochs", "2"}, {"debug=profile_gpu", "trainer.limit_train_batches", "100"},
        {"debug=profile_gpu", "trainer.limit_val_batches", "20"}, {"debug=profile_gpu", "profiler.name", "time"},
        {"debug=profile", "profiler.wait", "1"}, {"debug=profile_time", "profiler.warmup", "1"}, {"debug=profile", "profiler.active", "3"},
        {"debug=profile", "profiler.repeat", "2"}, {"debug=profile_memory", "trainer.max_epochs", "1"},
        {"debug=profile_memory", "trainer.limit_train_batches", "50"}, {"debug=profile_memory", "trainer.limit_val_batches", "10"},
        {"debug=profile_memory", "data.batch_size", "1"}, {"debug=profile_memory", "performance.gradient_checkpointing.enabled", "true"},
        {"callbacks=early_stopping", "early_stopping.patience", "100"}, {"callbacks=early_stopping", "early_stopping.min_delta", "0"},
        {"callbacks=model_checkpoint", "early_stopping.enabled", "false"}, {"callbacks=model_checkpoint", "checkpoint.save_top_k", "1"},
        {"callbacks=image_saver", "image_saver.every", "10"}, {"callbacks=none", "checkpoint.save_top_k", "0"},
        {"callbacks=none", "image_saver.enabled", "false"}, {"logger=csv", "logger.name", "csv"}, {"logger=tensorboard", "logger.name", "tensorboard"},
        {"logger=all", "logger.name", "all"}, {"logger=none", "logger.name", "none"}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        recipe_gives(ctx, "swae/mlp", groups[i].choice, NULL, groups[i].key, groups[i].value);
    /* over the recipe's own keys where those are a choice of the same kind; not where they make the recipe */
    recipe_gives(ctx, "cyto/iwm", "optimizer=adamw", NULL, "optimizer.weight_decay", "0.01");
    recipe_gives(ctx, "cyto/gan_superres", "optimizer=adamw_fused", NULL, "optimizer.betas", "[0.9, 0.999]");
    recipe_gives(ctx, "codec/swae-mlp", "optimizer=adamw", NULL, "optimizer.lr", "2e-4");
    recipe_gives(ctx, "codec/swae-mlp", "optimizer=adamw", "optimizer.lr=3e-4", "optimizer.lr", "3e-4");
    recipe_gives(ctx, "codec/swae-mlp", "performance=max", NULL, "trainer.precision", "bf16-mixed");
    recipe_gives(ctx, "codec/swae-mlp", "data=swae", NULL, "data.norm", "block_scale");
    recipe_gives(ctx, "codec/swae-mlp", "trainer=default", NULL, "trainer.max_epochs", "40");
    recipe_gives(ctx, "cyto/segmentation", "trainer=default", NULL, "trainer.max_epochs", "100");
    recipe_gives(ctx, "cyto/segmentation", "trainer=default", NULL, "trainer.seed", "12345");
    recipe_gives(ctx, "swae/mlp", "trainer=gpu", NULL, "trainer.max_epochs", "80");
    /* a recipe's own keys over the file that its own list chooses */
    gives(ctx, "defaults: [swae/mlp, override /performance: gpu_optimized, override /optimizer: adamw_fused]\noptimizer: {lr: 5e-4}", NULL, "optimizer.lr", "5e-4");
    gives(ctx, "defaults: [swae/mlp, override /performance: gpu_optimized, override /optimizer: adamw_fused]", NULL, "performance.autotune", "true");
    gives(ctx, "# @package _global_\ndefaults:\n  - override /performance: gpu_optimized\n  - override /optimizer: adamw_fused\n", NULL, "optimizer.name", "adamw_fused");
    gives(ctx, "defaults: [override /trainer: gpu_optimized]\nmodel: {compile_model: true, channels_last: true, gradient_checkpointing: true}", NULL,
          "performance.gradient_checkpointing.enabled", "true");
    /* other spellings */
    gives(ctx, "model: {compile_model: true, compile_mode: max-autotune}", NULL, "performance.compile.mode", "max-autotune");
    gives(ctx, "{}", "model.channels_last=true", "performance.channels_last", "true");
    gives(ctx, "{}", "performance.cudnn_benchmark=true", "performance.autotune", "true");
    gives(ctx, "{}", "data.num_workers=4", "data.workers", "4");
    gives(ctx, "{}", "trainer.gradient_clip_val=10", "trainer.clip_norm", "10");
    gives(ctx, "{}", "trainer.precision=16-mixed", "trainer.precision", "16");
    gives(ctx, "performance: {compile: {enabled: true}}", "~performance.compile", "performance.compile.enabled", "null");
    gives(ctx, "performance: {compile: {enabled: true}}", "performance.compile.mode=reduce-overhead", "performance.compile.enabled", "true");
    refused(ctx, "{}", "performance.compile=true", SWG_EUSAGE, "this is a group of keys");
    refused(ctx, "{}", "performance.compile.modes=default", SWG_EUSAGE, "did you mean performance.compile.mode?");
    refused(ctx, "{}", "debug=profil", SWG_EUSAGE, "debug 'profil' on the command line: not found; did you mean profile?");
    refused(ctx, "{}", "logger=wandb", SWG_EUSAGE, "built in: all, csv, none, tensorboard");
    refused(ctx, "trainer: {gradient_clip_algorithm: value}", NULL, SWG_EUNSUPPORTED, "not supported by this build yet");
}

/* Anchors, merge keys and all that is refused while reading. */
static void reading(void **state) {
    swg_context *ctx = *state;
    gives(ctx, "", NULL, "trainer.seed", "42");
    gives(ctx, "---\n...\n", NULL, "trainer.seed", "42");
    gives(ctx, "trainer: {seed: &s 9, log_every: *s}", NULL, "trainer.log_every", "9");
    gives(ctx, "early_stopping: &e {patience: 3}\npaths:\n  <<: {a: x, b: y}\n  b: z\n", NULL, "paths.b", "z");
    gives(ctx, "paths:\n  <<: [{a: x}, {a: y, b: w}]\n", NULL, "paths.a", "x");
    gives(ctx, "paths:\n  <<: [{a: x}, {a: y, b: w}]\n", NULL, "paths.b", "w");
    refused(ctx, "paths: {<<: 3}", NULL, SWG_EUSAGE, "<<: needs a map");
    refused(ctx, "paths: {a: !!str 3}", NULL, SWG_EUSAGE, "tags (!)");
    refused(ctx, "paths: !x {a: 3}", NULL, SWG_EUSAGE, "tags (!)");
    refused(ctx, "paths: {a: *b}", NULL, SWG_EUSAGE, "*b: no such anchor");
    refused(ctx, "paths: &a {a: *a}", NULL, SWG_EUSAGE, "alias to the value that holds it");
    refused(ctx, "paths: {a: 1, a: 2}", NULL, SWG_EUSAGE, "'a' is given twice, again in test.yaml:1");
    refused(ctx, "trainer.seed: 1", NULL, SWG_EUSAGE, "nest maps instead");
    refused(ctx, "[1]: 2", NULL, SWG_EUSAGE, "cannot be a key");
    refused(ctx, "- 1", NULL, SWG_EUSAGE, "not a map of keys in test.yaml:1");
    refused(ctx, "run: {}\n---\nrun: {}", NULL, SWG_EUSAGE, "second document (---) in test.yaml:2");
    refused(ctx, "run:\n\tname: x", NULL, SWG_EUSAGE, "test.yaml:2");
    refused(ctx, "run: {name: \"\\0\"}", NULL, SWG_EUSAGE, "zero byte");
    refused(ctx, "run: {name: \xff}", NULL, SWG_EUSAGE, "not YAML");
    refused(ctx, "run: {name: \xee\x80\xa4}", NULL, SWG_EUSAGE, "private-use");
    refused(ctx, "{}", "run.name=\xff", SWG_EUSAGE, "not UTF-8");
    refused(ctx, "defaults: 3", NULL, SWG_EUSAGE, "defaults: not a list");
    refused(ctx, "defaults: [3: 4, 5]", NULL, SWG_EUSAGE, "is not a group");
    refused(ctx, "defaults: [modle: x]", NULL, SWG_EUSAGE, "did you mean model?");
    refused(ctx, "defaults: [{model: x, data: y}]", NULL, SWG_EUSAGE, "none of '- group: option'");
    refused(ctx, "defaults: [model: [a]]", NULL, SWG_EUSAGE, "none of '- group: option'");
    refused(ctx, "defaults: [model: swae_mpl]", NULL, SWG_EUSAGE, "model 'swae_mpl' in test.yaml:1: not found; did you mean swae_mlp?");
    refused(ctx, "defaults: [model: swae_mlp, model: swae_mlp]", NULL, SWG_EUSAGE, "write 'override GROUP: OPTION'");
    refused(ctx, "defaults: [_self_, _self_]", NULL, SWG_EUSAGE, "_self_ is given twice");
    refused(ctx, "defaults: [/x/y]", NULL, SWG_EUSAGE, "is not a group");
    char deep[256] = "";
    for (int i = 0; i < 60; i++)
        strcat(deep, "{a: ");
    refused(ctx, deep, NULL, SWG_EUSAGE, "nested more than");
    /* nine aliases of nine aliases of ...: 9^8 values from a few lines */
    char bomb[2048] = "a0: &a0 [1,1,1,1,1,1,1,1,1]\n";
    for (int i = 1; i < 8; i++)
        snprintf(bomb + strlen(bomb), sizeof bomb - strlen(bomb), "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    refused(ctx, bomb, NULL, SWG_EUSAGE, "more than 10000 values");
}

static void write_file(swg_context *ctx, const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    *strrchr(path, '/') = 0;
    assert_ok(ctx, swg__make_folders(ctx, path));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(ctx, swg__file_write(ctx, path, text, strlen(text)));
}

static void files(void **state) {
    swg_context *ctx = *state;
    swg_config *c;
    char folder[] = "/tmp/swage-config-XXXXXX", path[256];
    assert_non_null(mkdtemp(folder));
    write_file(ctx, folder, "experiment/mine/one.yaml", "defaults:\n  - swae/mlp\n  - override model: own\n");
    write_file(ctx, folder, "experiment/loop.yaml", "defaults: [loop2]");
    write_file(ctx, folder, "experiment/loop2.yaml", "defaults: [loop]");
    write_file(ctx, folder, "experiment/late.yaml", "defaults: [model: own, late2]");
    write_file(ctx, folder, "experiment/late2.yaml", "defaults: [override model: swae_mlp]");
    write_file(ctx, folder, "model/own.yaml", "hidden: [3]\n");
    write_file(ctx, folder, "model/wrong.yaml", "hidden: [3]\nhiden: [4]\n");
    write_file(ctx, folder, "run/config.yaml", "trainer: {seed: 77}\n");
    write_file(ctx, folder, "beside.yaml", "defaults: [model: own]\n");
    const swg_config_opts opts = {.recipes = folder};
    assert_ok(ctx, swg_config_open(ctx, "mine/one", &opts, &c)); /* a name, in the folder */
    assert_string_equal(swg_config_text(c, "model.hidden"), "[3]");
    snprintf(path, sizeof path, "%s/model/own.yaml:1", folder);
    assert_string_equal(swg_config_origin(c, "model.hidden"), path);
    swg_config_close(c);
    snprintf(path, sizeof path, "%s/experiment/mine/one.yaml", folder); /* a path: groups are found beside experiment/ */
    assert_ok(ctx, swg_config_open(ctx, path, NULL, &c));
    assert_string_equal(swg_config_text(c, "model.hidden"), "[3]");
    assert_string_equal(swg_config_text(c, "trainer.max_epochs"), "80");
    swg_config_close(c);
    snprintf(path, sizeof path, "%s/beside.yaml", folder); /* a path: groups are found beside the file */
    assert_ok(ctx, swg_config_open(ctx, path, NULL, &c));
    assert_string_equal(swg_config_text(c, "model.hidden"), "[3]");
    swg_config_close(c);
    snprintf(path, sizeof path, "%s/run", folder); /* a run folder */
    assert_ok(ctx, swg_config_open(ctx, path, NULL, &c));
    assert_int_equal(swg_config_int(c, "trainer.seed"), 77);
    swg_config_close(c);
    assert_int_equal(swg_config_open(ctx, "loop", &opts, &c), SWG_EUSAGE);
    assert_non_null(strstr(swg_context_message(ctx), "names itself in its defaults"));
    assert_int_equal(swg_config_open(ctx, "late", &opts, &c), SWG_EUSAGE);
    assert_non_null(strstr(swg_context_message(ctx), "comes too late"));
    assert_int_equal(swg_config_open(ctx, "mine/one", &(swg_config_opts){.recipes = folder, .override_count = 1,
                                     .overrides = (const char *const[]){"model=wrong"}}, &c), SWG_EUSAGE);
    snprintf(path, sizeof path, "model.hiden: unknown key in %s/model/wrong.yaml:2; did you mean model.hidden?", folder);
    assert_string_equal(swg_context_message(ctx), path);
    assert_int_equal(swg_config_open(ctx, "/nowhere/x.yaml", NULL, &c), SWG_ENOTFOUND);
    assert_null(c);
    assert_int_equal(swg_config_open(ctx, "swae/mpl", NULL, &c), SWG_EUSAGE);
    assert_non_null(strstr(swg_context_message(ctx), "recipe 'swae/mpl' on the command line: not found; did you mean swae/mlp?"));
    snprintf(path, sizeof path, "rm -rf %s", folder);
    assert_int_equal(system(path), 0);
}

/* What is saved beside a checkpoint opens to the same values, and prints the same bytes. */
static void round_trip(void **state) {
    swg_context *ctx = *state;
    static const char *const changes[] = {"data.path=/a b/#c: 'd'", "run.name=null and void", "data.vars=[U_*, '*', \"1\", '', ä]",
                                          "trainer.max_steps=12", "+paths.data=/x/${run.dir}", "+paths.t='true'", "scheduler.min_lr=1e-6",
                                          "performance=gpu_optimized"};
    swg_config *a, *b;
    const char *text, *again;
    assert_ok(ctx, swg_config_open(ctx, "swae/mlp-deep", &(swg_config_opts){.overrides = changes, .override_count = 8}, &a));
    assert_ok(ctx, swg_config_yaml(a, &text));
    assert_ok(ctx, swg_config_open_text(ctx, text, "saved", NULL, &b));
    assert_int_equal(swg_config_size(a), swg_config_size(b));
    for (int64_t i = 0; i < swg_config_size(a); i++) {
        const char *key = swg_config_key(a, i);
        assert_string_equal(swg_config_key(b, i), key);
        assert_string_equal(swg_config_text(b, key), swg_config_text(a, key));
    }
    assert_ok(ctx, swg_config_yaml(b, &again));
    assert_string_equal(text, again);
    assert_string_equal(swg_config_string_at(b, "data.vars", 4), "ä");
    assert_string_equal(swg_config_string_at(b, "data.vars", 3), "");
    assert_string_equal(swg_config_text(b, "paths.data"), "/x/runs");
    swg_config_close(b);
    swg_config_close(a);
}

static void getters(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *key; int type; swg_status status; const char *message; } rows[] = {
        {"data.path", 's', SWG_EUSAGE, "data.path: not set, but needed here"},
        {"trainer.sed", 'i', SWG_EINVAL, "trainer.sed: not in the table"},
        {"trainer.sed", 'n', SWG_EINVAL, "trainer.sed: not in the table"},
        {"trainer.seed", 'b', SWG_EINVAL, "another type"},
        {"optimizer.lr", 'i', SWG_EINVAL, "another type"},
        {"model.hidden", 'i', SWG_EINVAL, "another type"},
        {"model.hidden", '9', SWG_EINVAL, "beyond the end"},
        {"data.vars", '9', SWG_EINVAL, "another type"},
        {"trainer.threads", 'i', SWG_EUSAGE, "a word"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        swg_config *c = open_text(ctx, "", 0, NULL);
        switch (rows[i].type) {
        case 's': assert_null(swg_config_string(c, rows[i].key)); break;
        case 'i': assert_int_equal(swg_config_int(c, rows[i].key), 0); break;
        case 'b': assert_false(swg_config_bool(c, rows[i].key)); break;
        case 'n': assert_int_equal(swg_config_count(c, rows[i].key), 0); break;
        default: assert_int_equal(swg_config_int_at(c, rows[i].key, 9), 0);
        }
        assert_close(swg_config_float(c, "no.such"), 0, 0, 0); /* the first failure stays */
        assert_int_equal(swg_config_status(c), rows[i].status);
        if (!strstr(swg_context_message(ctx), rows[i].message))
            fail_msg("%s: %s", rows[i].message, swg_context_message(ctx));
        swg_config_close(c);
    }
    swg_config *c;
    assert_int_equal(swg_config_open(ctx, NULL, NULL, &c), SWG_EINVAL);
    assert_int_equal(swg_config_open_text(ctx, "", NULL, NULL, &c), SWG_EINVAL);
    assert_int_equal(swg_config_open(ctx, "swae/mlp", &(swg_config_opts){.override_count = 1}, &c), SWG_EINVAL);
    swg_config_close(NULL);
}

/* The table keeps its own rules: keys of one group stand together, no key twice, aliases lead to keys, every row has help. */
static void table(void **state) {
    swg_context *ctx = *state;
    for (int64_t i = 0; i < swg__config_table_size; i++) {
        const swg__config_key *row = &swg__config_table[i];
        assert_true(strlen(row->help) > 0);
        for (int64_t j = 0; j < i; j++)
            assert_string_not_equal(swg__config_table[j].key, row->key);
        size_t group = strcspn(row->key, ".") + 1;
        bool seen = false, left = false;
        for (int64_t j = 0; j < i; j++) {
            bool same = strncmp(swg__config_table[j].key, row->key, group) == 0;
            left = seen && !same ? true : left;
            seen = seen || same;
            if (left && same)
                fail_msg("%s stands apart from its group", row->key);
        }
        if (left && seen)
            fail_msg("%s stands apart from its group", row->key);
    }
    for (int64_t i = 0; i < swg__config_alias_count; i++)
        assert_non_null(swg__config_row(swg__config_aliases[i].key));
    for (const char *const *group = swg__config_groups; *group; group++)
        assert_true(swg__config_is_group(*group));
    assert_false(swg__config_is_group("mode"));
    assert_null(swg__config_row("paths."));
    assert_null(swg__config_row("paths.a.b"));
    assert_non_null(swg__config_row("paths.a"));
    (void)ctx;
}

static void note(void *user, const char *text) {
    swg__text *out = user;
    swg__text_puts(out, text);
    swg__text_puts(out, "\n");
}

static void help(void **state) {
    swg_context *ctx = *state;
    swg__text out;
    swg__text_init(&out, ctx);
    swg_config_help("*", note, &out);
    for (int64_t i = 0; i < swg__config_table_size; i++)
        assert_non_null(strstr(out.data, swg__config_table[i].key));
    assert_non_null(strstr(out.data, "  optimizer.lr: number, (0,1e3], default 2e-4\n      learning rate\n"));
    assert_non_null(strstr(out.data, "(10 with model.name=conv7) (0.1 with loss.name=log)"));
    assert_non_null(strstr(out.data, "data.batch_size: integer, samples, [1,16777216] or auto, default 256"));
    assert_non_null(strstr(out.data, "mse|log|relative|robust"));
    swg__text_free(&out);
    swg_config_recipes(note, &out);
    assert_non_null(strstr(out.data, "experiment/swae/mlp-deep\n"));
    swg__text_free(&out);
}

/* Fails the n-th allocation for every n until all goes well. */
static void memory(void **state) {
    (void)state;
    static const char *const changes[] = {"data.path=/x/${run.dir}", "model=swae_mlp_deep", "data.vars=[a, b]"};
    for (int64_t n = 0;; n++) {
        testing_allocator t = {.fail_at = -1};
        swg_context *ctx;
        swg_config *config;
        const char *text;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx), SWG_OK);
        t.fail_at = t.calls + n;
        swg_status status = swg_config_open(ctx, "swae/mlp", &(swg_config_opts){.overrides = changes, .override_count = 3}, &config);
        if (status == SWG_OK)
            status = swg_config_yaml(config, &text);
        assert_true(status == SWG_OK || status == SWG_ENOMEM);
        swg_config_close(config);
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
        if (status == SWG_OK && t.calls <= t.fail_at) {
            assert_true(n > 20);
            return;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(presets, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(overrides, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(composing, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(references, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(values, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(published, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(reading, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(files, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(round_trip, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(getters, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(table, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(help, testing_open, testing_close),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
