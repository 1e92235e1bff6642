/* train.c - the training loop: batches in a fixed order, one planned step each, validation, checkpoints, log, resume.
 * In: a configuration. Out: a run folder. Every number but times is a function of the configuration alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base.h"
#include "data/prepare.h"
#include "philox.h"
#include "swage/metrics.h"
#include "train/checkpoint.h"
#include "train/log.h"
#include "train/recipe.h"

enum { SKIPS_MOST = 10 };
/* Validation draws its directions and prior from a seed of its own, so that epochs compare. */
static const uint64_t validation_seed = 0x76616c6964617465u;

/* A planned step for one batch size. */
typedef struct stage {
    swg_plan *plan;
    swg__step_graph graph;
} stage;

typedef struct run {
    swg_context *ctx;
    swg_config *config;
    const swg_train_hooks *hooks;
    swg__recipe recipe;
    swg_source *source;
    swg_samples *samples;
    swg_weights *weights;
    stage train, train_rest, val, val_rest; /* *_rest: the last, shorter batch */
    int64_t *order;                         /* this epoch's permutation of the training part */
    double *pair;                           /* an original block and its reconstruction */
    swg__run_state state;
    swg__early_stop early;
    swg__run_log log;
    char *norm_json;
    char data_digest[SWG__DIGEST_CHARS];
    swg_safetensors *checkpoint;            /* the run goes on from here; open until it is restored */
    char dir[1024];
    swg_train_result *result;
    int64_t began_ns, epoch_ns, epoch_blocks, data_ns, planned_bytes;
    double seconds_before;                  /* of earlier sittings of a resumed run */
    double step_loss;
} run;

static bool asked_to_stop(const run *r) { return r->hooks && r->hooks->stop && *r->hooks->stop; }

static void note(const run *r, const char *format, ...) SWG__PRINTF(2, 3);
static void note(const run *r, const char *format, ...) {
    if (!r->hooks || !r->hooks->note)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->hooks->note(r->hooks->user, text);
}

static double seconds(const run *r) { return r->seconds_before + (double)(swg__now_ns() - r->began_ns) * 1e-9; }

static void show(const run *r, double loss, bool epoch_end) {
    if (!r->hooks || !r->hooks->progress)
        return;
    int64_t count = swg_samples_split(r->samples)->count[SWG_TRAIN], batch = r->recipe.batch;
    double elapsed = (double)(swg__now_ns() - r->epoch_ns) * 1e-9;
    r->hooks->progress(r->hooks->user, &(swg_train_progress){
        .run_dir = r->dir, .epoch = r->state.epoch, .epochs = r->recipe.max_epochs, .batch = r->state.batch,
        .batches = (count + batch - 1) / batch, .step = r->state.step, .loss = loss,
        .val_loss = r->state.best_epoch >= 0 ? r->state.best_loss : NAN, .lr = r->state.last_lr,
        .blocks_per_s = elapsed > 0 ? (double)r->epoch_blocks / elapsed : 0,
        .data_share = elapsed > 0 ? (double)r->data_ns * 1e-9 / elapsed : 0, .seconds = seconds(r),
        .memory_bytes = r->planned_bytes, .epoch_end = epoch_end});
}

/* ---- preparation ---- */

static swg_status stage_make(run *r, stage *s, int64_t batch, bool training) {
    if (batch == 0)
        return SWG_OK;
    SWG__TRY(swg__step_graph_build(r->ctx, &r->recipe, batch, training, &s->graph));
    swg_value outputs[4] = {s->graph.loss, s->graph.reconstruction, s->graph.distance, training ? s->graph.norm : s->graph.y};
    return swg_plan_make(s->graph.g, &(swg_plan_opts){.outputs = outputs, .output_count = 4, .no_fusion = !r->recipe.fusion, .provider = r->recipe.provider}, &s->plan);
}

static void stage_free(stage *s) {
    swg_plan_destroy(s->plan);
    swg_graph_destroy(s->graph.g);
    *s = (stage){0};
}

/* Bytes of memory the system would give us, 0 if unknown. */
static int64_t available_bytes(void) {
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    long long kilobytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lld", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

/* The largest power of two whose plan fits in nine tenths of the available memory and that the data can fill. */
static swg_status choose_batch(run *r, int64_t samples) {
    int64_t budget = available_bytes() / 10 * 9, chosen = 0, peak = 0;
    for (int64_t batch = 1; batch <= samples && batch <= 1 << 16; batch *= 2) {
        stage s = {0};
        swg_status status = stage_make(r, &s, batch, true);
        int64_t bytes = s.plan ? swg_plan_memory_of(s.plan).peak_bytes : 0;
        stage_free(&s);
        SWG__TRY(status);
        if (chosen && budget && bytes > budget)
            break;
        chosen = batch;
        peak = bytes;
    }
    r->recipe.batch = chosen;
    note(r, "batch %lld (auto): %.1f MiB of %.1f MiB available", (long long)chosen, (double)peak / 1048576, (double)budget / 1048576);
    return SWG_OK;
}

static swg_status open_samples(run *r) {
    SWG__TRY(swg__recipe_source(r->ctx, r->config, &r->source));
    swg_samples_opts samples;
    swg__recipe_samples(r->config, &r->recipe, &samples);
    SWG__TRY(swg_config_status(r->config));
    SWG__TRY(swg__block_digest(r->ctx, r->source, &samples, r->data_digest));
    SWG__TRY(swg_samples_open(r->ctx, r->source, &samples, &r->samples));
    int64_t length = swg_norm_json(swg_samples_norm(r->samples), NULL, 0);
    r->norm_json = length < 0 ? NULL : swg__alloc(r->ctx, (size_t)length + 1);
    if (!r->norm_json)
        return swg__fail_memory(r->ctx, (size_t)length, "the normaliser");
    swg_norm_json(swg_samples_norm(r->samples), r->norm_json, length + 1);
    return SWG_OK;
}

/* What a kill in the middle of a checkpoint left behind: unnamed temporary files. Two runs never share a folder. */
static swg_status clean_folder(run *r, const char *folder) {
    char **names, path[2048];
    size_t count;
    SWG__TRY(swg__list_folder(r->ctx, folder, &names, &count));
    for (size_t i = 0; i < count; i++)
        if (swg__glob(".*.safetensors.*.tmp", names[i]) && snprintf(path, sizeof path, "%s/%s", folder, names[i]) < (int)sizeof path)
            unlink(path);
    swg__list_free(r->ctx, names, count);
    return SWG_OK;
}

static swg_status make_folder(run *r) {
    const char *base = swg_config_string(r->config, "run.dir");
    char name[128], path[1100];
    if (swg_config_has(r->config, "run.name")) {
        snprintf(name, sizeof name, "%s", swg_config_string(r->config, "run.name"));
    } else {
        time_t now = time(NULL);
        struct tm parts;
        localtime_r(&now, &parts);
        snprintf(name, sizeof name, "%s-", swg_config_string(r->config, "model.name"));
        strftime(name + strlen(name), sizeof name - strlen(name), "%Y%m%d-%H%M%S", &parts);
    }
    if (snprintf(r->dir, sizeof r->dir, "%s/%s", base ? base : "runs", name) >= (int)sizeof r->dir)
        return swg__fail(r->ctx, SWG_EUSAGE, "run.dir and run.name: the path is too long");
    snprintf(r->result->run_dir, sizeof r->result->run_dir, "%s", r->dir);
    snprintf(path, sizeof path, "%s/ckpt", r->dir);
    SWG__TRY(swg__make_folders(r->ctx, path));
    return clean_folder(r, path);
}

static void checkpoint_path(const run *r, const char *name, char *out, size_t capacity) {
    snprintf(out, capacity, "%s/ckpt/%s.safetensors", r->dir, name);
}

/* Where to resume from; "" : start afresh. A folder that holds another run is never overwritten silently. */
static swg_status resume_path(run *r, char *out, size_t capacity) {
    char last[1100];
    checkpoint_path(r, "last", last, sizeof last);
    const char *resume = swg_config_string(r->config, "resume");
    out[0] = 0;
    if (resume && strcmp(resume, "none") != 0)
        snprintf(out, capacity, "%s", strcmp(resume, "auto") == 0 ? last : resume);
    if (out[0] && strcmp(resume, "auto") == 0 && !swg__exists(out))
        out[0] = 0;
    if (!out[0] && swg__exists(last))
        return swg__fail(r->ctx, SWG_EINVAL, "%s holds a run already; go on with resume=auto, or choose another run.name", r->dir);
    return SWG_OK;
}

static swg_status open_checkpoint(run *r, const char *path) {
    SWG__TRY(swg_safetensors_open(r->ctx, path, &r->checkpoint));
    return swg_safetensors_check(r->checkpoint);
}

/* data.batch_size=auto: the size a resumed run began with, else what fits. It becomes part of the configuration. */
static swg_status settle_batch(run *r, int64_t samples) {
    if (r->recipe.batch)
        return SWG_OK;
    const char *before = r->checkpoint ? swg_safetensors_note(r->checkpoint, "run.batch_size") : NULL;
    r->recipe.batch = before ? strtoll(before, NULL, 10) : 0;
    if (r->recipe.batch < 1)
        SWG__TRY(choose_batch(r, samples));
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)r->recipe.batch);
    return swg_config_set(r->config, "data.batch_size", text, "auto");
}

static swg_status restore(run *r, const char *path) {
    SWG__TRY(swg__checkpoint_restore(r->ctx, r->checkpoint, path, r->weights, &r->state, r->recipe.provider));
    const char *norm = swg_safetensors_note(r->checkpoint, "norm"), *data = swg_safetensors_note(r->checkpoint, "data");
    if (!norm || !data || strcmp(norm, r->norm_json) != 0 || strcmp(data, r->data_digest) != 0)
        return swg__fail(r->ctx, SWG_EINVAL, "%s was trained on other data, or with another data.norm, data.split or trainer.seed; resume with those, "
                         "or choose another run.name", path);
    if (r->state.batch && r->state.batch_size != r->recipe.batch)
        return swg__fail(r->ctx, SWG_EINVAL, "%s stopped inside an epoch of batches of %lld blocks; data.batch_size is %lld now", path,
                         (long long)r->state.batch_size, (long long)r->recipe.batch);
    swg_safetensors_close(r->checkpoint);
    r->checkpoint = NULL;
    r->early.best = r->state.best;
    r->early.bad = r->state.bad;
    r->seconds_before = r->state.seconds;
    return SWG_OK;
}

/* All plans of a run take turns in the arena of the largest. */
static swg_status make_plans(run *r) {
    const swg_split *split = swg_samples_split(r->samples);
    int64_t n = split->count[SWG_TRAIN], m = split->count[SWG_VAL];
    if (n < 1)
        return swg__fail(r->ctx, SWG_EINVAL, "the training part is empty");
    SWG__TRY(settle_batch(r, n));
    int64_t batch = r->recipe.batch;
    if (batch > n)
        note(r, "a batch of %lld is larger than the training part (%lld blocks): one batch per epoch", (long long)batch, (long long)n);
    if (r->recipe.schedule_by_step)
        r->recipe.schedule.total = r->recipe.max_epochs * ((n + batch - 1) / batch);
    SWG__TRY(stage_make(r, &r->train, n >= batch ? batch : 0, true));
    SWG__TRY(stage_make(r, &r->train_rest, n % batch, true));
    SWG__TRY(stage_make(r, &r->val, m >= batch ? batch : 0, false));
    SWG__TRY(stage_make(r, &r->val_rest, m % batch, false));
    stage *stages[4] = {&r->train, &r->train_rest, &r->val, &r->val_rest};
    stage *host = NULL;
    for (int i = 0; i < 4; i++)
        if (stages[i]->plan && (!host || swg_plan_memory_of(stages[i]->plan).arena_bytes > swg_plan_memory_of(host->plan).arena_bytes))
            host = stages[i];
    swg_context_peak_rss_reset(r->ctx); /* the data are in; what grows from here is what was planned */
    SWG__TRY(swg_weights_create(host->graph.g, true, &r->weights));
    swg_weights_init(r->weights, r->recipe.seed);
    SWG__TRY(swg_plan_open(host->plan, r->weights, NULL));
    for (int i = 0; i < 4; i++)
        if (stages[i]->plan && stages[i] != host)
            SWG__TRY(swg_plan_open(stages[i]->plan, r->weights, host->plan));
    r->order = swg__calloc(r->ctx, (size_t)n, sizeof *r->order);
    r->pair = swg__calloc(r->ctx, (size_t)(2 * r->recipe.network.input), sizeof *r->pair);
    if (!r->order || !r->pair)
        return swg__fail_memory(r->ctx, (size_t)n * sizeof *r->order, "the order of an epoch");
    r->planned_bytes = swg_plan_memory_of(host->plan).arena_bytes + swg_weights_bytes(r->weights);
    return SWG_OK;
}

static swg_status log_start(run *r, bool resumed) {
    const swg_split *split = swg_samples_split(r->samples);
    swg__run_log_begin(&r->log, resumed ? "resume" : "start");
    swg__run_log_text(&r->log, "version", swg_version());
    swg__run_log_text(&r->log, "isa", swg_context_isa(r->ctx));
    swg__run_log_integer(&r->log, "threads", swg_context_threads(r->ctx));
    swg__run_log_integer(&r->log, "parameters", swg_graph_parameters((r->train.plan ? &r->train : &r->train_rest)->graph.g));
    swg__run_log_integer(&r->log, "blocks_train", split->count[SWG_TRAIN]);
    swg__run_log_integer(&r->log, "blocks_val", split->count[SWG_VAL]);
    swg__run_log_integer(&r->log, "blocks_test", split->count[SWG_TEST]);
    swg__run_log_integer(&r->log, "blocks_constant", swg_samples_flagged(r->samples, SWG_BLOCK_CONSTANT));
    swg__run_log_integer(&r->log, "blocks_raw", swg_samples_flagged(r->samples, SWG_BLOCK_RAW));
    swg__run_log_text(&r->log, "split", split->description);
    swg__run_log_integer(&r->log, "planned_bytes", r->planned_bytes);
    return swg__run_log_end(&r->log);
}

static swg_status save(run *r, const char *name) {
    char path[1100];
    const char *yaml;
    SWG__TRY(swg_config_yaml(r->config, &yaml));
    checkpoint_path(r, name, path, sizeof path);
    r->state.best = r->early.best;
    r->state.bad = r->early.bad;
    r->state.log_bytes = r->log.bytes;
    r->state.seconds = seconds(r);
    r->state.batch_size = r->recipe.batch;
    return swg__checkpoint_save(r->ctx, path, r->weights, &r->state,
                                &(swg__run_notes){.config = yaml, .norm = r->norm_json, .data = r->data_digest,
                                                  .provider = r->recipe.provider, .seed = r->recipe.seed});
}

static swg_status prepare(run *r) {
    char from[1200], path[1100];
    SWG__TRY(swg__recipe_read(r->ctx, r->config, &r->recipe));
    r->early = r->recipe.early;
    r->state = (swg__run_state){.b1_power = 1, .b2_power = 1, .best = HUGE_VAL, .best_loss = NAN, .last_loss = NAN, .best_epoch = -1,
                               .plateau = {.lr = r->recipe.schedule.lr, .best = HUGE_VAL}};
    SWG__TRY(open_samples(r));
    SWG__TRY(make_folder(r));
    SWG__TRY(resume_path(r, from, sizeof from));
    if (from[0])
        SWG__TRY(open_checkpoint(r, from));
    SWG__TRY(make_plans(r));
    if (from[0])
        SWG__TRY(restore(r, from));
    snprintf(path, sizeof path, "%s/log.jsonl", r->dir);
    SWG__TRY(swg__run_log_open(&r->log, r->ctx, path, r->state.log_bytes));
    const char *yaml;
    SWG__TRY(swg_config_yaml(r->config, &yaml));
    snprintf(path, sizeof path, "%s/config.yaml", r->dir);
    SWG__TRY(swg__file_write(r->ctx, path, yaml, strlen(yaml)));
    SWG__TRY(log_start(r, from[0] != 0));
    /* From here on a kill leaves something to resume, and ckpt/last covers no more of the log than there is. */
    checkpoint_path(r, "last", path, sizeof path);
    return strcmp(from, path) == 0 ? SWG_OK : save(r, "last");
}

/* ---- steps ---- */

static float scalar_of(swg_plan *plan, swg_value v) { return *(const float *)swg_plan_data(plan, v); }

static swg_status gather(run *r, stage *s, const int64_t *indices, int64_t count) {
    int64_t before = swg__now_ns();
    swg_status status = swg_samples_gather(r->samples, indices, count, swg_plan_data(s->plan, s->graph.x));
    r->data_ns += swg__now_ns() - before;
    return status;
}

static swg_status bad_step(run *r, int64_t batch, double last_finite) {
    r->state.skipped++;
    r->state.skipped_in_row++;
    if (!r->recipe.skip_nonfinite || (r->recipe.check_finite && r->state.skipped_in_row >= SKIPS_MOST))
        return swg__fail(r->ctx, SWG_ENONFINITE,
                         "epoch %lld, batch %lld: loss %g, gradient norm %g (last finite loss %g); %lld steps skipped. A smaller "
                         "optimizer.lr or loss.lambda may help; trainer.nonfinite=skip drops such batches",
                         (long long)r->state.epoch, (long long)batch, r->step_loss, r->state.last_norm, last_finite, (long long)r->state.skipped);
    return SWG_OK;
}

/* One optimiser step on batch number `batch` of the epoch. */
static swg_status step(run *r, int64_t batch) {
    int64_t n = swg_samples_split(r->samples)->count[SWG_TRAIN], first = batch * r->recipe.batch;
    int64_t count = n - first < r->recipe.batch ? n - first : r->recipe.batch;
    stage *s = count == r->recipe.batch ? &r->train : &r->train_rest;
    SWG__TRY(gather(r, s, r->order + first, count));
    double last_finite = r->step_loss, b1 = r->state.b1_power, b2 = r->state.b2_power;
    int64_t counted = r->recipe.schedule_by_step ? r->state.step : r->state.epoch;
    swg_adam_hyper hyper = r->recipe.hyper;
    hyper.lr = r->state.last_lr = swg__schedule_lr(&r->recipe.schedule, &r->state.plateau, counted);
    hyper.beta1 = swg__schedule_momentum(&r->recipe.schedule, hyper.beta1, counted);
    swg_hyper_adam(&hyper, &b1, &b2, SWG_F32, swg_plan_data(s->plan, s->graph.hyper));
    SWG__TRY(swg_plan_run(s->plan, r->recipe.seed, (uint32_t)r->state.step));
    r->step_loss = (double)scalar_of(s->plan, s->graph.loss);
    r->state.last_norm = (double)scalar_of(s->plan, s->graph.norm);
    r->epoch_blocks += count;
    if (!isfinite(r->step_loss) || !isfinite(r->state.last_norm)) /* the update left everything as it was */
        return bad_step(r, batch, last_finite);
    r->state.skipped_in_row = 0;
    r->state.b1_power = b1;
    r->state.b2_power = b2;
    r->state.step++;
    r->state.loss_sum += r->step_loss * (double)count;
    r->state.reconstruction_sum += (double)scalar_of(s->plan, s->graph.reconstruction) * (double)count;
    r->state.distance_sum += (double)scalar_of(s->plan, s->graph.distance) * (double)count;
    r->state.loss_blocks += count;
    return SWG_OK;
}

typedef struct losses { double loss, reconstruction, distance; } losses;

/* Originals and reconstructions of one batch, both back in original units, into a comparison. A network that is not trained yet may
 * give numbers whose exponential is infinite: such blocks count as raw. */
static swg_status compare_batch(run *r, swg_compare *compare, stage *s, const int64_t *indices, int64_t count) {
    int64_t values = r->recipe.network.input;
    const swg_norm *norm = swg_samples_norm(r->samples);
    for (int64_t i = 0; i < count; i++) {
        const swg_sample *sample = &swg_samples_list(r->samples)[indices[i]];
        const float *x = swg_samples_values(r->samples) + indices[i] * values;
        const float *y = (const float *)swg_plan_data(s->plan, s->graph.y) + i * values;
        swg_norm_inverse(norm, sample->variable, &sample->side, x, values, SWG_ELEMENT_F64, r->pair);
        swg_norm_inverse(norm, sample->variable, &sample->side, y, values, SWG_ELEMENT_F64, r->pair + values);
        if (swg__block_finite(SWG_ELEMENT_F64, r->pair, 2 * values))
            SWG__TRY(swg_compare_add(compare, SWG_ELEMENT_F64, r->pair, r->pair + values, values));
        else
            swg_compare_exclude(compare, 0, 1);
    }
    return SWG_OK;
}

/* Losses of the validation part; with `compare`, also the reconstruction in original units. */
static swg_status validate(run *r, losses *out, swg_compare *compare) {
    const swg_split *split = swg_samples_split(r->samples);
    int64_t n = split->count[SWG_VAL];
    *out = (losses){0};
    for (int64_t first = 0, batch = 0; first < n; first += r->recipe.batch, batch++) {
        int64_t count = n - first < r->recipe.batch ? n - first : r->recipe.batch;
        stage *s = count == r->recipe.batch ? &r->val : &r->val_rest;
        SWG__TRY(gather(r, s, split->indices[SWG_VAL] + first, count));
        SWG__TRY(swg_plan_run(s->plan, validation_seed, (uint32_t)batch));
        out->loss += (double)scalar_of(s->plan, s->graph.loss) * (double)count;
        out->reconstruction += (double)scalar_of(s->plan, s->graph.reconstruction) * (double)count;
        out->distance += (double)scalar_of(s->plan, s->graph.distance) * (double)count;
        if (compare)
            SWG__TRY(compare_batch(r, compare, s, split->indices[SWG_VAL] + first, count));
    }
    double total = n ? (double)n : NAN;
    *out = (losses){out->loss / total, out->reconstruction / total, out->distance / total};
    return SWG_OK;
}

static swg_status log_losses(run *r, const char *phase, losses l, bool training) {
    swg__run_log_begin(&r->log, phase);
    swg__run_log_integer(&r->log, "epoch", r->state.epoch);
    swg__run_log_integer(&r->log, "step", r->state.step);
    swg__run_log_number(&r->log, "loss", l.loss);
    swg__run_log_number(&r->log, "reconstruction", l.reconstruction);
    swg__run_log_number(&r->log, "distance", l.distance);
    if (training) {
        double elapsed = (double)(swg__now_ns() - r->epoch_ns) * 1e-9;
        swg__run_log_number(&r->log, "lr", r->state.last_lr);
        swg__run_log_number(&r->log, "grad_norm", r->state.last_norm);
        swg__run_log_integer(&r->log, "skipped", r->state.skipped);
        swg__run_log_number(&r->log, "samples_per_s", elapsed > 0 ? (double)r->epoch_blocks / elapsed : 0);
        swg__run_log_number(&r->log, "data_ms", (double)r->data_ns * 1e-6);
        swg__run_log_number(&r->log, "seconds", seconds(r));
    }
    return swg__run_log_end(&r->log);
}

/* Validation losses, and every trainer.eval_every epochs the figures of the reconstruction itself. */
static swg_status validate_and_log(run *r, losses *val) {
    static const swg_metric shown[] = {SWG_METRIC_MSE, SWG_METRIC_PSNR_DB, SWG_METRIC_MAX_ABS_ERROR, SWG_METRIC_CORRELATION};
    bool quality = (r->state.epoch + 1) % r->recipe.eval_every == 0;
    swg_compare *compare = NULL;
    if (quality)
        SWG__TRY(swg_compare_open(r->ctx, &(swg_compare_opts){.no_percentiles = true}, &compare));
    swg_status status = validate(r, val, compare);
    if (status == SWG_OK)
        status = log_losses(r, "val", *val, false);
    if (status == SWG_OK && quality) {
        swg_metrics metrics;
        swg_compare_result(compare, &metrics);
        swg__run_log_begin(&r->log, "quality");
        swg__run_log_integer(&r->log, "epoch", r->state.epoch);
        for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
            swg__run_log_number(&r->log, swg_metric_key(shown[i]), metrics.has[shown[i]] ? metrics.value[shown[i]] : NAN);
        status = swg__run_log_end(&r->log);
    }
    swg_compare_close(compare);
    return status;
}

/* ---- epochs ---- */

static swg_status interrupted(run *r) {
    SWG__TRY(save(r, "last"));
    return swg__fail(r->ctx, SWG_EINTERRUPTED, "stopped in epoch %lld after batch %lld; saved. Go on with resume=auto run.dir=... run.name=... "
                     "(run folder %s)", (long long)r->state.epoch, (long long)r->state.batch, r->dir);
}

/* After the last batch: means, validation, best, checkpoints. *stop: no further epoch. */
static swg_status finish_epoch(run *r, bool *stop) {
    double blocks = r->state.loss_blocks ? (double)r->state.loss_blocks : NAN;
    losses train = {r->state.loss_sum / blocks, r->state.reconstruction_sum / blocks, r->state.distance_sum / blocks}, val;
    SWG__TRY(log_losses(r, "train", train, true));
    SWG__TRY(validate_and_log(r, &val));
    if (r->recipe.check_finite && isnan(val.loss))
        return swg__fail(r->ctx, SWG_ENONFINITE, "epoch %lld: the validation loss is NaN", (long long)r->state.epoch);
    bool improved;
    *stop = swg__early_stop_check(&r->early, val.loss, &improved);
    if (r->recipe.schedule.kind == SWG__LR_PLATEAU && swg__plateau_check(&r->recipe.schedule, &r->state.plateau, val.loss))
        note(r, "plateau: learning rate %g from epoch %lld on", r->state.plateau.lr, (long long)r->state.epoch + 1);
    if (improved) {
        r->state.best_epoch = r->state.epoch;
        r->state.best_loss = val.loss;
    }
    r->state.last_loss = train.loss;
    show(r, train.loss, true);
    r->state.epoch++;
    r->state.batch = 0;
    r->state.loss_sum = r->state.reconstruction_sum = r->state.distance_sum = 0;
    r->state.loss_blocks = 0;
    if (improved)
        SWG__TRY(save(r, "best"));
    if (r->state.epoch % r->recipe.keep_every == 0) {
        char name[32];
        snprintf(name, sizeof name, "epoch-%04lld", (long long)r->state.epoch);
        SWG__TRY(save(r, name));
    }
    if (*stop)
        note(r, "early stop: no better validation loss for %lld epochs", (long long)r->early.patience);
    r->result->early_stop = *stop;
    return save(r, "last");
}

static bool steps_done(const run *r) { return r->recipe.max_steps && r->state.step >= r->recipe.max_steps; }

static swg_status epochs(run *r) {
    const swg_split *split = swg_samples_split(r->samples);
    int64_t n = split->count[SWG_TRAIN], batches = (n + r->recipe.batch - 1) / r->recipe.batch;
    bool stop = r->early.enabled && r->early.bad >= r->early.patience;
    r->step_loss = NAN;
    /* An epoch that was left in its middle is finished even if the steps are done: a run that was not stopped does so, too. */
    while (r->state.epoch < r->recipe.max_epochs && !stop && (!steps_done(r) || r->state.batch)) {
        swg__shuffle(r->recipe.seed, (uint32_t)r->state.epoch, r->order, n);
        for (int64_t i = 0; i < n; i++) /* ranks in the training part -> samples */
            r->order[i] = split->indices[SWG_TRAIN][r->order[i]];
        r->epoch_ns = swg__now_ns();
        r->epoch_blocks = r->data_ns = 0;
        while (r->state.batch < batches && !steps_done(r)) {
            SWG__TRY(step(r, r->state.batch));
            r->state.batch++;
            if (r->state.step % r->recipe.log_every == 0) {
                double blocks = (double)r->state.loss_blocks;
                SWG__TRY(log_losses(r, "step", (losses){r->step_loss, r->state.reconstruction_sum / blocks, r->state.distance_sum / blocks}, true));
            }
            show(r, r->step_loss, false);
            if (asked_to_stop(r))
                return interrupted(r);
        }
        SWG__TRY(finish_epoch(r, &stop));
    }
    return SWG_OK;
}

static void fill_result(run *r) {
    swg_train_result *out = r->result;
    checkpoint_path(r, "best", out->best, sizeof out->best);
    checkpoint_path(r, "last", out->last, sizeof out->last);
    if (!swg__exists(out->best))
        out->best[0] = 0;
    if (!swg__exists(out->last))
        out->last[0] = 0;
    out->best_loss = r->state.best_loss;
    out->last_loss = r->state.last_loss;
    out->best_epoch = r->state.best_epoch;
    out->epochs = r->state.epoch;
    out->steps = r->state.step;
    out->skipped = r->state.skipped;
    out->seconds = seconds(r);
    out->planned_bytes = r->planned_bytes;
    out->measured_bytes = swg_context_peak_rss_growth(r->ctx);
}

swg_status swg_train(swg_context *ctx, swg_config *config, const swg_train_hooks *hooks, swg_train_result *result) {
    swg_train_result ignored;
    run r = {.ctx = ctx, .config = config, .hooks = hooks, .result = result ? result : &ignored, .began_ns = swg__now_ns()};
    *r.result = (swg_train_result){.best_loss = NAN, .last_loss = NAN, .best_epoch = -1};
    swg_status status = prepare(&r);
    if (status == SWG_OK)
        status = epochs(&r);
    if (r.dir[0])
        fill_result(&r);
    swg__run_log_close(&r.log);
    stage *stages[4] = {&r.train, &r.train_rest, &r.val, &r.val_rest};
    for (int i = 0; i < 4; i++)
        stage_free(stages[i]);
    swg_weights_destroy(r.weights);
    swg_safetensors_close(r.checkpoint);
    swg_samples_close(r.samples);
    swg_source_close(r.source);
    swg__free(ctx, r.order);
    swg__free(ctx, r.pair);
    swg__free(ctx, r.norm_json);
    return status;
}

/* ---- plans without data ---- */

swg_status swg_train_plan_of(swg_context *ctx, swg_config *config, int64_t batch, swg_train_plan *out) {
    run r = {.ctx = ctx, .config = config};
    *out = (swg_train_plan){0};
    SWG__TRY(swg__recipe_read(ctx, config, &r.recipe));
    r.recipe.batch = batch ? batch : r.recipe.batch ? r.recipe.batch : 256;
    swg_status status = stage_make(&r, &r.train, r.recipe.batch, true);
    if (status == SWG_OK)
        status = swg__step_graph_build(ctx, &r.recipe, r.recipe.batch, false, &r.val.graph);
    if (status == SWG_OK)
        status = swg_plan_make(r.val.graph.g, &(swg_plan_opts){.outputs = &r.val.graph.y, .output_count = 1, .frozen = true,
                                                               .no_fusion = !r.recipe.fusion, .provider = r.recipe.provider}, &r.val.plan);
    if (status == SWG_OK) {
        out->network = r.recipe.network;
        out->batch = r.recipe.batch;
        out->parameters = swg_graph_parameters(r.val.graph.g);
        out->macs_per_block = swg_graph_macs(r.val.graph.g, r.val.graph.y) / out->batch;
        out->encoder_macs = swg_graph_macs(r.val.graph.g, r.val.graph.z) / out->batch;
        out->decoder_macs = out->macs_per_block - out->encoder_macs;
        out->training = swg_plan_memory_of(r.train.plan);
        out->inference = swg_plan_memory_of(r.val.plan);
        out->training_flops = swg_plan_flops(r.train.plan);
        out->training.peak_at = out->inference.peak_at = NULL; /* those names end with the plans */
    }
    stage_free(&r.train);
    stage_free(&r.val);
    return status;
}
