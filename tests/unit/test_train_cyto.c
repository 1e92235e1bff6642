/* test_train_cyto.c - proves of family cyto's training: learning rates are the published ones; validation changes nothing; the teacher follows its
 * momentum; a GAN is judged by its generator; heads add up by their weights; arrays train as files do; stopped runs go on to the same bits; every
 * performance key acts, or says why not, and moves the loss of ten steps by no more than its rounding; bad settings are refused with a way out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cyto_testing.h"
#include "train/recipe.h"
#include "volumes_testing.h"

/* ---- settings ---- */

static void read_recipe(swg_context *ctx, const char *name, const char *const *more, swg__recipe *out) {
    swg_config *config;
    int count = 0;
    while (more && more[count])
        count++;
    assert_ok(ctx, swg_config_open(ctx, name, &(swg_config_opts){.overrides = more, .override_count = count}, &config));
    assert_ok(ctx, swg__recipe_read(ctx, config, out));
    swg_config_close(config);
}

/* Section 5 of the specification, and its table of values. */
static void published_rates(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *name; double lr, decay, beta1, clip; int count; struct { int64_t at; double rate; } rates[4]; bool decoupled; } cases[] = {
        {"cyto/segmentation", 1e-4, 1e-4, .9, 0, 3, {{1, 9.95e-5}, {10, 9.51110130466e-5}, {99, 6.08814509036e-5}}, false},
        {"cyto/labelfree", 1e-4, 1e-4, .9, 0, 3, {{1, 9.95e-5}, {10, 9.51110130466e-5}, {99, 6.08814509036e-5}}, false},
        {"cyto/gan_superres", 1e-4, 1e-4, .5, 0, 2, {{0, 1e-4}, {99, 8.20207219127e-5}}, false},
        {"cyto/mae", 1e-4, .05, .9, 10, 4, {{0, 4e-6}, {9, 1e-4}, {50, 5.69588272134e-5}, {99, 4e-10}}, true},
        {"cyto/iwm", 3e-3, .05, .9, 10, 4, {{0, 1.2e-4}, {5, 1.81005337584e-3}, {50, 1.7087648164e-3}, {99, 1.2e-8}}, true},
        {"cyto/ijepa", 3e-3, .05, .9, 10, 1, {{99, 1.2e-8}}, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg__recipe r;
        read_recipe(ctx, cases[i].name, NULL, &r);
        assert_int_equal(r.seed, 12345);
        assert_int_equal(r.batch, 1);
        assert_int_equal(r.max_epochs, 100);
        assert_false(r.schedule_by_step);
        assert_int_equal(r.early.patience, 100);
        assert_close(r.optimiser.adam.weight_decay, cases[i].decay, 0, 0);
        assert_close(r.optimiser.adam.beta1, cases[i].beta1, 0, 0);
        assert_close(r.optimiser.adam.beta2, .999, 0, 0);
        assert_int_equal(r.optimiser.update.kind == SWG_UPDATE_ADAMW, cases[i].decoupled);
        assert_close(r.optimiser.adam.clip_norm, cases[i].clip, 0, 0);
        for (int k = 0; k < cases[i].count; k++)
            assert_close(swg__schedule_lr(&r.schedule, NULL, cases[i].rates[k].at), cases[i].rates[k].rate, 0, 1e-11);
    }
}

/* optimizer=adamw_fused is the optimiser of the run, whatever the experiment set. */
static void optimiser_group_rules(void **state) {
    swg__recipe r;
    read_recipe(*state, "cyto/gan_superres", MORE("optimizer=adamw_fused"), &r);
    assert_true(r.optimiser.update.kind == SWG_UPDATE_ADAMW && r.fused_optimiser);
    assert_close(r.optimiser.adam.lr, 1e-3, 0, 0);
    assert_close(r.optimiser.adam.beta1, .9, 0, 0);
    assert_close(r.optimiser.adam.weight_decay, .01, 0, 0);
}

/* ---- runs ---- */

static void rates_fall(void **state) {
    swg_context *ctx = *state;
    scratch s;
    cells c;
    scratch_open(&s);
    cells_open(&c, 1);
    assert_ok(ctx, train_cyto(ctx, &cyto_gan, &c, s.folder, "run", MORE("trainer.max_epochs=4"), NULL, NULL));
    for (int e = 0; e < 4; e++) {
        const char *log = in_run(s.folder, "run", "log.jsonl");
        assert_close(logged(ctx, log, "train", e, "lr"), 1e-4 * pow(.998, e), 0, 1e-12);
        /* what best and early stopping look at is the generator's loss; training's is the sum */
        assert_close(logged(ctx, log, "val", e, "loss"), logged(ctx, log, "val", e, "generator_loss"), 0, 0);
        assert_close(logged(ctx, log, "train", e, "loss"), logged(ctx, log, "train", e, "generator_loss") + logged(ctx, log, "train", e, "discriminator_loss"), 0, 1e-6);
    }
    remove_tree(in_run(s.folder, "run", ""));
    cells_close(&c);
    scratch_close(&s, ctx, 0);
}

/* Two checkpoints have the same tensors: weights, moments, teacher. Returns how many are of the teacher. */
static int same_tensors(swg_context *ctx, const char *a_path, const char *b_path) {
    swg_safetensors *a, *b;
    int teacher = 0;
    assert_ok(ctx, swg_safetensors_open(ctx, a_path, &a));
    assert_ok(ctx, swg_safetensors_open(ctx, b_path, &b));
    assert_int_equal(swg_safetensors_count(a), swg_safetensors_count(b));
    for (int64_t i = 0; i < swg_safetensors_count(a); i++) {
        const swg_tensor *x = swg_safetensors_at(a, i), *y = swg_safetensors_at(b, i);
        assert_string_equal(x->name, y->name);
        if (memcmp(x->data, y->data, (size_t)x->bytes) != 0)
            fail_msg("tensor %s differs between %s and %s", x->name, a_path, b_path);
        teacher += strncmp(x->name, "state.teacher.", 14) == 0;
    }
    swg_safetensors_close(a);
    swg_safetensors_close(b);
    return teacher;
}

/* Four validations or one: the same weights, moments and teacher. */
static void validation_changes_nothing(void **state) {
    swg_context *ctx = *state;
    scratch s;
    cells c;
    scratch_open(&s);
    cells_open(&c, 1);
    for (int i = 0; i < CYTO_CASES; i++) {
        static const char *const names[] = {"often", "seldom"};
        for (int k = 0; k < 2; k++)
            assert_ok(ctx, train_cyto(ctx, cyto_cases[i], &c, s.folder, names[k], MORE("trainer.max_epochs=3", k ? "trainer.check_val_every_n_epoch=9" : "data.crops=1"), NULL, NULL));
        int teacher = same_tensors(ctx, in_run(s.folder, "often", "ckpt/last.safetensors"), in_run(s.folder, "seldom", "ckpt/last.safetensors"));
        assert_int_equal(teacher, cyto_cases[i] == &cyto_iwm ? 16 : 0);
        assert_close(logged(ctx, in_run(s.folder, "often", "log.jsonl"), "val", 2, "loss"), logged(ctx, in_run(s.folder, "seldom", "log.jsonl"), "val", 0, "loss"), 0, 0);
        remove_tree(in_run(s.folder, "often", ""));
        remove_tree(in_run(s.folder, "seldom", ""));
    }
    cells_close(&c);
    scratch_close(&s, ctx, 0);
}

enum { TEACHER = 64 }; /* numbers of one of its tensors that are followed */

static void read_tensor(swg_context *ctx, const char *path, const char *name, double *out) {
    swg_safetensors *file;
    assert_ok(ctx, swg_safetensors_open(ctx, path, &file));
    const swg_tensor *t = swg_safetensors_find(file, name);
    assert_non_null(t);
    assert_true(t->bytes >= TEACHER * 4);
    for (int i = 0; i < TEACHER; i++)
        out[i] = (double)((const float *)t->data)[i];
    swg_safetensors_close(file);
}

/* t <- m t + (1 - m) s before each step, m = 0.998 + 0.002 epoch / epochs: one step a sitting, so that both are seen at every step. A rate of 0.1 moves
 * the student far enough to tell momenta apart. */
static void teacher_follows(void **state) {
    swg_context *ctx = *state;
    enum { EPOCHS = 4, STEPS = 8 };
    static const char *const names[2] = {"param.encoder.position.weight", "state.teacher.position.weight"};
    double student[2][TEACHER], teacher[2][TEACHER];
    scratch s;
    cells c;
    scratch_open(&s);
    cells_open(&c, 1);
    for (int step = 0; step < STEPS; step++) {
        halt h = {.at = 0};
        swg_train_hooks hooks = {.progress = halt_progress, .stop = &h.flag, .user = &h};
        swg_status status = train_cyto(ctx, &cyto_iwm, &c, s.folder, "run", MORE("trainer.max_epochs=4", "optimizer.lr=0.1", "scheduler.name=none"), &hooks, NULL);
        if (status != SWG_OK)
            assert_int_equal(status, SWG_EINTERRUPTED);
        read_tensor(ctx, in_run(s.folder, "run", "ckpt/last.safetensors"), names[0], student[step % 2]);
        read_tensor(ctx, in_run(s.folder, "run", "ckpt/last.safetensors"), names[1], teacher[step % 2]);
        const double m = .998 + .002 * (step / 2) / EPOCHS; /* two batches an epoch */
        double moved = 0;
        for (int i = 0; i < TEACHER && step; i++) {
            const double *old = teacher[(step + 1) % 2], *from = student[(step + 1) % 2];
            assert_close(teacher[step % 2][i], m * old[i] + (1 - m) * from[i], 2e-8, 2e-7);
            moved = fmax(moved, fabs(from[i] - old[i]));
        }
        if (step > 1 && !(moved * .0005 > 1e-5)) /* another epoch's momentum would be off by this */
            fail_msg("step %d: the student is only %g from its teacher", step, moved);
    }
    remove_tree(in_run(s.folder, "run", ""));
    cells_close(&c);
    scratch_close(&s, ctx, 0);
}

/* Two heads: each one's loss is in the log, and the loss is their weighted sum. */
static void heads_add_up(void **state) {
    swg_context *ctx = *state;
    scratch s;
    cells c;
    scratch_open(&s);
    cells_open(&c, 1);
    const char *const *more = MORE("data.target=[\"seg\", \"raw normalise\"]", "model.heads=[\"nuclei loss=bce weight=0.5\", \"dye loss=mse weight=2\"]");
    assert_ok(ctx, train_cyto(ctx, &cyto_unet, &c, s.folder, "run", more, NULL, NULL));
    const char *log = in_run(s.folder, "run", "log.jsonl");
    static const char *const phases[] = {"train", "val"};
    for (int i = 0; i < 4; i++) {
        const char *phase = phases[i / 2];
        assert_close(.5 * logged(ctx, log, phase, i % 2, "loss_nuclei") + 2 * logged(ctx, log, phase, i % 2, "loss_dye"), logged(ctx, log, phase, i % 2, "loss"), 0, 1e-6);
    }
    remove_tree(in_run(s.folder, "run", ""));
    cells_close(&c);
    scratch_close(&s, ctx, 0);
}

/* The same data from files: the same losses to the bit. */
static void arrays_are_files(void **state) {
    swg_context *ctx = *state;
    scratch s;
    cells c;
    scratch_open(&s);
    cells_open(&c, DEPTH);
    swg__text table;
    swg__text_init(&table, ctx);
    swg__text_puts(&table, "raw,seg,split\n");
    for (int i = 0; i < CELLS; i++) {
        char name[2][32];
        for (int k = 0; k < 2; k++) {
            snprintf(name[k], sizeof name[k], "%c%d.npy", "rs"[k], i);
            put_npy(ctx, &s, name[k], SWG_ELEMENT_F32, 4, (int64_t[]){1, DEPTH, SIDE, SIDE}, (k ? c.seg : c.raw) + i * VOXELS);
        }
        swg__text_printf(&table, "%s,%s,%s\n", name[0], name[1], i < CELLS - 2 ? "train" : "valid");
    }
    put_text(ctx, &s, "all.csv", table.data);
    swg__text_free(&table);
    char path[400];
    snprintf(path, sizeof path, "data.path=%s/all.csv", s.folder);
    swg_config *config;
    const char *const *more = MORE("model.spatial_dims=3", "data.patch=[8,16,16]", path, "data.source=raw layout=CZYX normalise", "data.target=[seg layout=CZYX]");
    assert_ok(ctx, open_cyto(ctx, &cyto_unet, s.folder, "files", more, &config));
    assert_ok(ctx, swg_train(ctx, config, NULL, NULL));
    swg_config_close(config);
    assert_ok(ctx, train_cyto(ctx, &cyto_unet, &c, s.folder, "arrays", MORE("model.spatial_dims=3", "data.patch=[8,16,16]"), NULL, NULL));
    same_tensors(ctx, in_run(s.folder, "files", "ckpt/last.safetensors"), in_run(s.folder, "arrays", "ckpt/last.safetensors"));
    for (int i = 0; i < 4; i++)
        assert_close(logged(ctx, in_run(s.folder, "files", "log.jsonl"), "step", i, "loss"), logged(ctx, in_run(s.folder, "arrays", "log.jsonl"), "step", i, "loss"), 0, 0);
    assert_close(logged(ctx, in_run(s.folder, "files", "log.jsonl"), "quality", 0, "dice"), logged(ctx, in_run(s.folder, "arrays", "log.jsonl"), "quality", 0, "dice"), 0, 0);
    remove_tree(in_run(s.folder, "files", ""));
    remove_tree(in_run(s.folder, "arrays", ""));
    cells_close(&c);
    scratch_close(&s, ctx, 2 * CELLS + 1);
}

/* Stopped in the middle of an epoch and at its end, with augmentation. */
static void goes_on_to_the_bit(void **state) {
    swg_context *ctx = *state;
    scratch s;
    cells c;
    scratch_open(&s);
    cells_open(&c, 1);
    for (int i = 0; i < CYTO_CASES; i += 1 + TESTING_RACES) {
        const char *const *more = MORE("trainer.max_epochs=3", "data.augment=histogram,std,gamma,flip,turn", "data.crops=2", "data.workers=2");
        const int64_t stops[] = {1, 4, 0};
        swg_train_result result;
        assert_ok(ctx, train_cyto(ctx, cyto_cases[i], &c, s.folder, "whole", more, NULL, NULL));
        for (int k = 0; k < 3; k++) {
            halt h = {.at = stops[k]};
            swg_train_hooks hooks = {.progress = halt_progress, .stop = &h.flag, .user = &h};
            assert_int_equal(train_cyto(ctx, cyto_cases[i], &c, s.folder, "torn", more, &hooks, NULL), SWG_EINTERRUPTED);
        }
        assert_ok(ctx, train_cyto(ctx, cyto_cases[i], &c, s.folder, "torn", more, NULL, &result));
        assert_int_equal(result.steps, 12);
        assert_same_run(ctx, s.folder, "whole", "torn");
        remove_tree(in_run(s.folder, "whole", ""));
        remove_tree(in_run(s.folder, "torn", ""));
    }
    cells_close(&c);
    scratch_close(&s, ctx, 0);
}

/* ---- keys of performance ---- */

typedef struct seen {
    const char *key;
    char effective[32], why[128];
} seen;

static void find_switch(void *user, const swg_train_switch *rows, int count) {
    seen *found = user;
    for (int i = 0; i < count; i++)
        if (strcmp(rows[i].key, found->key) == 0) {
            snprintf(found->effective, sizeof found->effective, "%s", rows[i].effective);
            snprintf(found->why, sizeof found->why, "%s", rows[i].why);
        }
}

/* Ten steps with a key changed; what the planner said. Free with free(). */
static char *ten_steps(swg_context *ctx, const cells *c, const char *folder, const char *setting, seen *found, double loss[10]) {
    char *text = calloc(1, 1 << 18);
    FILE *explain = tmpfile();
    assert_true(text && explain);
    const char *const *more = MORE("model.spatial_dims=3", "data.patch=[8,16,16]", "data.augment=none", "trainer.max_steps=10", "trainer.max_epochs=5", "data.workers=0",
                                   "performance.tune_seconds=0.5", setting);
    assert_ok(ctx, train_cyto(ctx, &cyto_unet, c, folder, "run", more, &(swg_train_hooks){.explain = explain, .switches = find_switch, .user = found}, NULL));
    for (int i = 0; i < 10; i++)
        loss[i] = logged(ctx, in_run(folder, "run", "log.jsonl"), "step", i, "loss");
    rewind(explain);
    assert_true(fread(text, 1, (1 << 18) - 1, explain) > 100);
    fclose(explain);
    remove_tree(in_run(folder, "run", ""));
    return text;
}

static void keys_act(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *setting, *key; bool plan; double gap; } keys[] = {
        {"performance.channels_last=false", "performance.channels_last", true, 1e-4},
        {"performance.compile.enabled=false", "performance.compile", true, 1e-4},
        {"performance.compile.mode=reduce-overhead", "performance.compile.mode", true, 0},
        {"performance.compile.mode=max-autotune", "performance.compile.mode", true, 1e-4},
        {"performance.autotune=true", "performance.autotune", true, 1e-4},
        {"performance.cuda_graphs.enabled=true", "performance.cuda_graphs", true, 0},
        {"performance.gradient_checkpointing.enabled=true", "gradient_checkpointing", true, 0},
        {"performance.fused_optimizer=false", "performance.fused_optimizer", true, 1e-4},
        {"performance.matmul_precision=medium", "performance.matmul_precision", true, 2e-2},
        {"trainer.precision=bf16-mixed", "trainer.precision", true, 2e-2},
        {"performance.tf32=true", "performance.tf32", false, 0},
        {"performance.compile.fullgraph=true", "performance.compile.fullgraph", false, 0},
        {"performance.compile.dynamic=true", "performance.compile.dynamic", false, 0},
        {"data.workers=2", "data.workers", false, 0},
        {"data.persistent_workers=false", "data.persistent_workers", false, 0}};
    double loss[10], base[10];
    scratch s;
    cells c;
    scratch_open(&s);
    cells_open(&c, DEPTH);
    setenv("SWAGE_CACHE_DIR", scratch_path(&s, "cache"), 1);
    seen found = {.key = "trainer.precision"};
    char *plain = ten_steps(ctx, &c, s.folder, "resume=none", &found, base);
    assert_string_equal(found.effective, "32");
    char *again = ten_steps(ctx, &c, s.folder, "resume=none", &found, loss);
    assert_string_equal(again, plain); /* what differs below is the key's doing */
    assert_memory_equal(loss, base, sizeof loss);
    free(again);
    for (int i = 0; i < 10; i++)
        assert_true(base[i] > 0.1 && base[i] < 10);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k += TESTING_SLOW ? 4 : 1) {
        found = (seen){.key = keys[k].key};
        char *text = ten_steps(ctx, &c, s.folder, keys[k].setting, &found, loss);
        if (!*found.effective || !*found.why)
            fail_msg("%s: no row of %s in the table of switches", keys[k].setting, keys[k].key);
        if (keys[k].plan && strcmp(text, plain) == 0)
            fail_msg("%s: the plan is what it was", keys[k].setting);
        for (int i = 0; i < 10; i++)
            if (!(fabs(loss[i] - base[i]) <= keys[k].gap))
                fail_msg("%s: step %d: loss %.9g, without %.9g", keys[k].setting, i, loss[i], base[i]);
        free(text);
    }
    free(plain);
    unsetenv("SWAGE_CACHE_DIR");
    remove_tree(scratch_path(&s, "cache"));
    cells_close(&c);
    scratch_close(&s, ctx, 0);
}

/* ---- refusals ---- */

static void refused(void **state) {
    swg_context *ctx = *state;
    static const struct { const cyto_case *k; const char *settings[2]; swg_status status; const char *words[2]; } cases[] = {
        {&cyto_unet, {"data.patch=[18,16]"}, SWG_EUSAGE, {"data.patch: 18 does not divide by 4", "model.filters"}},
        {&cyto_unet, {"data.patch=[16,16,16]"}, SWG_EUSAGE, {"3 extents", "y x"}},
        {&cyto_unet, {"data.patch=[64,64]"}, SWG_EINVAL, {"less than the patch", "data.pad"}},
        {&cyto_unet, {"data.target=[]"}, SWG_EUSAGE, {"data.target", "at least 1"}},
        {&cyto_unet, {"~data.target"}, SWG_EUSAGE, {"data.target is not set", "seg channel=0"}},
        {&cyto_unet, {"model.heads=[\"a\", \"b\"]"}, SWG_EUSAGE, {"2 heads for 1 of data.target"}},
        {&cyto_unet, {"data.target=[\"seg\", \"seg\"]", "model.heads=[\"a\", \"a\"]"}, SWG_EUSAGE, {"two are called a"}},
        {&cyto_unet, {"model.heads=[\"a loss=l2\"]"}, SWG_EUSAGE, {"l2", "dice_ce, bce, mse or mae"}},
        {&cyto_unet, {"model.heads=[\"a weight=-1\"]"}, SWG_EUSAGE, {"weight=-1", "from 0 to 1e6"}},
        {&cyto_unet, {"model.heads=[\"a/b\"]"}, SWG_EUSAGE, {"a/b", "weight=1"}},
        {&cyto_unet, {"data.target=[\"seg\",\"seg\",\"seg\",\"seg\",\"seg\"]"}, SWG_EUSAGE, {"5 keys, there can be 4"}},
        {&cyto_unet, {"data.source=raw channel=0+1"}, SWG_ENOTFOUND, {"channel"}},
        {&cyto_unet, {"data.source=dye"}, SWG_ENOTFOUND, {"dye"}},
        {&cyto_unet, {"data.source=raw normalis"}, SWG_EINVAL, {"normalis", "did you mean normalise"}},
        {&cyto_unet, {"model.filters=[16]"}, SWG_EUSAGE, {"1 levels, expected 2"}},
        {&cyto_unet, {"model.name=resnet"}, SWG_EUSAGE, {"resnet"}},
        {&cyto_unet, {"model.encoder_from=nowhere", "model.name=vit-unet"}, SWG_ENOTFOUND, {"nowhere"}},
        {&cyto_unet, {"loss.name=log"}, SWG_EUSAGE, {"loss.name", "dice_ce, bce, mse or mae"}},
        {&cyto_unet, {"data.target=[fine scale=2]"}, SWG_EUSAGE, {"scale=2", "model.name=gan at a finer one"}},
        {&cyto_iwm, {"data.target=[fine scale=2]"}, SWG_EUSAGE, {"scale=2", "model.name=gan at a finer one"}},
        {&cyto_gan, {"model.scale=4"}, SWG_EUSAGE, {"scale=2", "model.scale is 4"}},
        {&cyto_gan, {"data.target=[\"fine scale=2\", \"fine scale=2\"]"}, SWG_EUSAGE, {"2 keys", "model.name=gan takes 1"}},
        {&cyto_mae, {"data.target=[seg]"}, SWG_EUSAGE, {"1 keys", "model.name=mae takes 0"}},
        {&cyto_mae, {"model.patch=3"}, SWG_EUSAGE, {"model.patch=3 does not divide"}},
        {&cyto_mae, {"model.mask_ratio=0.9999"}, SWG_EUSAGE, {"no token visible"}},
        {&cyto_mae, {"model.encoder_from=x"}, SWG_EUSAGE, {"model.encoder_from is for model.name=vit-unet"}},
        {&cyto_mae, {"data.source=raw channel=0+1"}, SWG_EUSAGE, {"2 channels; the transformers take one"}},
    };
    scratch s;
    cells c;
    scratch_open(&s);
    cells_open(&c, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const swg_status status = train_cyto(ctx, cases[i].k, &c, s.folder, "run", cases[i].settings[1] ? MORE(cases[i].settings[0], cases[i].settings[1])
                                                                                                      : MORE(cases[i].settings[0]), NULL, NULL);
        if (status != cases[i].status)
            fail_msg("%s: %s, expected %s: %s", cases[i].settings[0], swg_status_name(status), swg_status_name(cases[i].status), swg_context_message(ctx));
        for (int w = 0; w < 2 && cases[i].words[w]; w++)
            assert_message(ctx, cases[i].words[w]);
        remove_tree(in_run(s.folder, "run", ""));
    }
    swg_config *config;
    assert_ok(ctx, open_cyto(ctx, &cyto_unet, s.folder, "run", NULL, &config));
    assert_int_equal(swg_train(ctx, config, NULL, NULL), SWG_EUSAGE);
    assert_message(ctx, "data.path is not set", "data.path=CSV");
    /* colours are channels, too */
    const swg_train_array colours[] = {{.column = "raw", .values = c.fine, .element = SWG_ELEMENT_F32, .layout = "BCYX", .ndim = 4, .dims = {6, 3, SIDE, SIDE}}, c.arrays[2], c.arrays[3]};
    assert_int_equal(swg_train_arrays(ctx, config, colours, 1, NULL, NULL), SWG_ENOTFOUND);
    const swg_train_array both[] = {colours[0], {.column = "seg", .values = c.fine, .element = SWG_ELEMENT_F32, .layout = "BYX", .ndim = 3, .dims = {6, SIDE, SIDE}}};
    assert_int_equal(swg_train_arrays(ctx, config, both, 2, NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "3 channels", "channel=0");
    remove_tree(in_run(s.folder, "run", ""));
    swg_config_close(config);
    assert_ok(ctx, swg_config_open(ctx, "kan/dae", NULL, &config));
    assert_int_equal(swg_train_arrays(ctx, config, c.arrays, 6, NULL, NULL), SWG_EUNSUPPORTED);
    assert_message(ctx, "family kan trains on files");
    swg_config_close(config);
    remove_tree("runs");
    cells_close(&c);
    scratch_close(&s, ctx, 0);
}

/* ---- experiments as objects ---- */

static char *printed(swg_context *ctx, swg_experiment *e) {
    char *text = calloc(1, 1 << 16);
    FILE *file = tmpfile();
    assert_true(text && file);
    assert_ok(ctx, swg_experiment_print(e, file));
    rewind(file);
    assert_true(fread(text, 1, (1 << 16) - 1, file) > 100);
    fclose(file);
    return text;
}

static void experiments(void **state) {
    swg_context *ctx = *state;
    scratch s;
    cells c;
    swg_experiment *e, *again;
    swg_prediction p;
    swg_train_result result;
    scratch_open(&s);
    cells_open(&c, 1);
    assert_int_equal(swg_experiment_default(ctx, "cyto/segmentatoin", s.folder, NULL, 0, &e), SWG_EUSAGE);
    assert_message(ctx, "did you mean", "cyto/segmentation");
    assert_null(e);
    const char *const changes[] = {"model.spatial_dims=2", "data.source=raw normalise", "data.target=[seg]", "data.patch=[16,16]", "trainer.max_epochs=1", "data.augment=none"};
    assert_ok(ctx, swg_experiment_default(ctx, "cyto/segmentation", s.folder, changes, 6, &e));
    char *before = printed(ctx, e);
    /* a change that fails, alone and behind one that would do */
    static const char *const wrong[][2] = {{"trainer.max_epochs=2", "optimizer.lr_rate=1"}, {"data.patch=[32,32]", "trainer.max_epochs=many"}, {"model.spatial_dims=2", "model.spatial_dims=4"}};
    for (int i = 0; i < 3; i++) {
        if (swg_experiment_override(e, wrong[i], 2) != SWG_EUSAGE)
            fail_msg("%s: %s", wrong[i][1], swg_context_message(ctx));
        char *after = printed(ctx, e);
        assert_string_equal(after, before);
        free(after);
    }
    /* saved, opened, and read from text: the same */
    assert_ok(ctx, swg_experiment_save(e, scratch_path(&s, "e.yaml")));
    assert_ok(ctx, swg_experiment_file(ctx, scratch_path(&s, "e.yaml"), &again));
    char *after = printed(ctx, again);
    assert_string_equal(after, before);
    free(after);
    swg_experiment_close(again);
    assert_ok(ctx, swg_experiment_text(ctx, before, &again));
    after = printed(ctx, again);
    assert_string_equal(after, before);
    free(after);
    swg_experiment_close(again);
    assert_ok(ctx, swg_experiment_override(e, (const char *const[]){"trainer.max_epochs=2"}, 1));
    after = printed(ctx, e);
    assert_string_not_equal(after, before);
    free(after);
    free(before);
    assert_int_equal(swg_config_int(swg_experiment_config(e), "trainer.max_epochs"), 2);
    /* nothing is trained; then it is, and another object finds it in the same folder */
    assert_int_equal(swg_experiment_predict(e, (int64_t[]){1, 1, SIDE, SIDE}, c.raw, NULL, &p), SWG_ENOTFOUND);
    assert_ok(ctx, swg_experiment_train(e, c.arrays, 6, NULL, &result));
    assert_int_equal(result.epochs, 2);
    assert_non_null(strstr(result.run_dir, "/segmentation")); /* the last part of the recipe's name */
    assert_ok(ctx, swg_experiment_predict(e, (int64_t[]){1, 1, SIDE, SIDE}, c.raw, NULL, &p));
    swg_prediction q;
    assert_ok(ctx, swg_experiment_default(ctx, "cyto/segmentation", s.folder, changes, 6, &again));
    assert_ok(ctx, swg_experiment_predict(again, (int64_t[]){1, 1, SIDE, SIDE}, c.raw, NULL, &q));
    assert_memory_equal(p.values[0], q.values[0], SIDE * SIDE * sizeof(float));
    swg_prediction_free(ctx, &q);
    assert_ok(ctx, swg_experiment_model(again, result.last));
    assert_ok(ctx, swg_experiment_predict(again, (int64_t[]){1, 1, SIDE, SIDE}, c.raw, NULL, &q));
    swg_prediction_free(ctx, &q);
    swg_prediction_free(ctx, &p);
    /* a folder that holds a run is not overwritten in silence */
    assert_int_equal(swg_experiment_train(again, c.arrays, 6, NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "holds a run already");
    swg_experiment_close(again);
    swg_experiment_close(e);
    swg_experiment_close(NULL);
    remove_tree(in_run(s.folder, "segmentation", ""));
    cells_close(&c);
    scratch_close(&s, ctx, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(published_rates, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(optimiser_group_rules, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(rates_fall, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(validation_changes_nothing, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(teacher_follows, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(heads_add_up, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(arrays_are_files, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(goes_on_to_the_bit, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(keys_act, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(experiments, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
