/* setup.c - what a training run opens before its first step: data, run folder, plans, loader, log; resuming and saving.
 * In: a configuration. Out: a run that can be stepped.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/profiling.h"
#include "train/record.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void swg__run_note(const swg__run *r, const char *format, ...) {
    if (!r->hooks || !r->hooks->note)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->hooks->note(r->hooks->user, text);
}

double swg__run_seconds(const swg__run *r) { return r->seconds_before + (double)(swg__now_ns() - r->began_ns) * 1e-9; }

swg_status swg__run_tuning(swg__run *r) {
    return r->recipe.mode == SWG_PLAN_MAX_AUTOTUNE ? swg_tuning_open(r->ctx, NULL, &r->tuning) : SWG_OK;
}

swg_status swg__run_plan(swg__run *r, swg_graph *g, const swg_plan_opts *untuned, swg_plan **plan) {
    swg_plan_opts opts = *untuned;
    if (r->tuning) {
        int64_t begin = swg__now_ns();
        swg_status status = r->plans_only ? SWG_OK : swg_tune(r->tuning, g, &opts, &(swg_tune_opts){.seconds = r->recipe.tune_seconds, .stop = r->hooks ? r->hooks->stop : NULL});
        r->tune_ns += swg__now_ns() - begin;
        if (status != SWG_OK && status != SWG_EINTERRUPTED) /* who asked to stop is heard by the first step */
            return status;
        if (!r->plans_only)
            SWG__TRY(swg_tuning_save(r->tuning));
        opts.tuning = r->tuning;
    }
    swg_status status = swg_plan_make(g, &opts, plan);
    return status == SWG_EINVAL && opts.tuning ? swg_plan_make(g, untuned, plan) : status; /* what was measured may not fit into this budget */
}

void swg__stage_free(swg__stage *s) {
    swg_plan_destroy(s->plan);
    swg_graph_destroy(s->graph.g);
    *s = (swg__stage){0};
}

swg_status swg__run_data(swg__run *r) {
    if (r->arrays && r->recipe.family != &swg__family_cyto)
        return swg__fail(r->ctx, SWG_EUNSUPPORTED, "family %s trains on files, not on arrays", r->recipe.family->name);
    SWG__TRY(r->recipe.family->open(r, &r->data));
    for (int part = 0; part < SWG_PARTS; part++)
        r->data_count += r->data.split->count[part];
    return SWG_OK;
}

/* ---- inputs of a step ---- */

static int64_t input_bytes(const swg__stage *s, int i, int64_t count) {
    return swg_elements(s->graph.g, s->graph.in[i]) / swg_shape(s->graph.g, s->graph.in[i])[0] * count * (int64_t)sizeof(float);
}

swg_status swg__run_stage_inputs(swg__run *r, const swg__stage *s) {
    int64_t bytes = swg__run_batch_bytes(&r->recipe, swg__run_largest_batch(r));
    if (s->graph.inputs == 1 || r->recipe.workers)
        return SWG_OK;
    r->staging = swg__alloc(r->ctx, (size_t)bytes);
    return r->staging ? SWG_OK : swg__fail_memory(r->ctx, (size_t)bytes, "a batch");
}

swg_status swg__run_next(swg__run *r, swg__stage *s, int64_t count) {
    if (s->graph.inputs == 1)
        return swg__loader_next(r->loader, swg_plan_data(s->plan, s->graph.in[0]), input_bytes(s, 0, count));
    void *batch = r->staging;
    SWG__TRY(batch ? swg__loader_next(r->loader, batch, swg__run_batch_bytes(&r->recipe, count)) : swg__loader_borrow(r->loader, &batch));
    const char *from = batch;
    for (int i = 0; i < s->graph.inputs; from += input_bytes(s, i, count), i++) {
        void *to = swg_plan_data(s->plan, s->graph.in[i]);
        if (to) /* NULL: nothing of the plan reads it, as targets where nothing but the network runs */
            memcpy(to, from, (size_t)input_bytes(s, i, count));
    }
    if (!r->staging)
        swg__loader_drop(r->loader);
    return SWG_OK;
}

void swg__run_control(swg__run *r, swg__stage *s, const swg__draw *draw) {
    if (s->graph.control != SWG_NONE)
        r->recipe.family->control(&r->recipe, draw, swg_plan_data(s->plan, s->graph.control));
}

/* ---- run folder ---- */

/* What a kill in the middle of a checkpoint left behind: unnamed temporary files. Two runs never share a folder. */
static swg_status clean_folder(swg__run *r, const char *folder) {
    char **names, path[2048];
    size_t count;
    SWG__TRY(swg__list_folder(r->ctx, folder, &names, &count));
    for (size_t i = 0; i < count; i++)
        if (swg__glob(".*.safetensors.*.tmp", names[i]) && snprintf(path, sizeof path, "%s/%s", folder, names[i]) < (int)sizeof path)
            unlink(path);
    swg__list_free(r->ctx, names, count);
    return SWG_OK;
}

static swg_status make_folder(swg__run *r) {
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

void swg__run_checkpoint(const swg__run *r, const char *name, char *out, size_t capacity) {
    snprintf(out, capacity, "%s/ckpt/%s.safetensors", r->dir, name);
}

/* Where to resume from; "" : start afresh. A folder that holds another run is never overwritten silently. */
static swg_status resume_path(swg__run *r, char *out, size_t capacity) {
    char last[1100];
    swg__run_checkpoint(r, "last", last, sizeof last);
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

static swg_status open_checkpoint(swg__run *r, const char *path) {
    SWG__TRY(swg_safetensors_open(r->ctx, path, &r->checkpoint));
    return swg_safetensors_check(r->checkpoint);
}

/* Settings that change what weights mean, and that their shapes do not show. */
static swg_status check_same_network(swg__run *r, const char *path) {
    static const char *const keys[] = {"model.mask", "model.window_mask", "model.window", "model.shift", "model.attention_heads"};
    const char *text = swg_safetensors_note(r->checkpoint, "config");
    swg_config *before = NULL;
    if (!text)
        return SWG_OK;
    swg_status status = swg_config_open_text(r->ctx, text, path, NULL, &before);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == SWG_OK; i++) {
        const char *was = swg_config_text(before, keys[i]), *now = swg_config_text(r->config, keys[i]);
        if (was && now && strcmp(was, now) != 0)
            status = swg__fail(r->ctx, SWG_EINVAL, "%s was trained with %s=%s, and it is %s now; resume with the same, or choose another run.name", path, keys[i],
                               was, now);
    }
    swg_config_close(before);
    return status;
}

static swg_status restore(swg__run *r, const char *path) {
    SWG__TRY(check_same_network(r, path));
    SWG__TRY(swg__checkpoint_restore(r->ctx, r->checkpoint, path, r->weights, &r->state, r->recipe.provider,
                                     swg__recipe_precision(&r->recipe)));
    const char *norm = swg_safetensors_note(r->checkpoint, "norm"), *data = swg_safetensors_note(r->checkpoint, "data");
    if (!norm || !data || strcmp(norm, r->data.note) != 0 || strcmp(data, r->data.digest) != 0)
        return swg__fail(r->ctx, SWG_EINVAL, "%s was trained on other data, or with another data.norm, data.split or trainer.seed; resume with those, "
                         "or choose another run.name", path);
    if (r->state.batch && r->state.batch_size != r->recipe.batch)
        return swg__fail(r->ctx, SWG_EINVAL, "%s stopped inside an epoch of batches of %lld; data.batch_size is %lld now", path,
                         (long long)r->state.batch_size, (long long)r->recipe.batch);
    if (r->state.batch && r->state.accumulate != r->recipe.accumulate)
        return swg__fail(r->ctx, SWG_EINVAL, "%s stopped inside an epoch with trainer.accumulate=%lld; it is %lld now", path,
                         (long long)r->state.accumulate, (long long)r->recipe.accumulate);
    if (r->average)
        SWG__TRY(swg__checkpoint_average(r->ctx, r->checkpoint, path, r->average));
    swg_safetensors_close(r->checkpoint);
    r->checkpoint = NULL;
    r->early.best = r->state.best;
    r->early.bad = r->state.bad;
    r->seconds_before = r->state.seconds;
    return SWG_OK;
}

/* trainer.limit_*: the first batches of `samples`. */
static int64_t limited(const swg__run *r, int64_t samples, int64_t batches) {
    return batches && batches < (samples + r->recipe.batch - 1) / r->recipe.batch ? batches * r->recipe.batch : samples;
}

int64_t swg__run_validated(const swg__run *r) { return limited(r, r->data.split->count[SWG_VAL], r->recipe.val_batches); }

int64_t swg__run_used(const swg__run *r) {
    int64_t n = limited(r, r->data.split->count[SWG_TRAIN], r->recipe.train_batches), rest = n % r->recipe.batch;
    return rest && n > rest && (r->recipe.drop_last || rest < r->recipe.family->least_batch(&r->recipe)) ? n - rest : n;
}

int64_t swg__run_largest_batch(const swg__run *r) {
    const int64_t *count = r->data.split ? r->data.split->count : NULL;
    int64_t most = count ? count[SWG_TRAIN] > count[SWG_VAL] ? count[SWG_TRAIN] : count[SWG_VAL] : r->recipe.batch;
    return r->recipe.batch < most ? r->recipe.batch : most;
}

int64_t swg__run_batches(const swg__run *r, int64_t samples) { return (samples + r->recipe.batch - 1) / r->recipe.batch; }

/* Batch `ticket` of the feed; on a worker's thread. */
static swg_status fetch_batch(void *arg, int64_t ticket, int worker, void *out, char *message, size_t capacity) {
    (void)worker;
    const swg__feed *f = arg;
    int64_t first = ticket * f->batch, count = f->count - first < f->batch ? f->count - first : f->batch;
    return f->family->fetch(f->data, &f->draw, f->indices + first, count, out, message, capacity);
}

static swg_status open_loader(swg__run *r) {
    r->feed = (swg__feed){.family = r->recipe.family, .data = &r->data, .batch = r->recipe.batch};
    SWG__TRY(swg__loader_open(r->ctx, &(swg__loader_opts){.workers = r->recipe.workers, .prefetch = r->recipe.prefetch, .batch_bytes = swg__run_batch_bytes(&r->recipe, swg__run_largest_batch(r)),
                                                          .fetch = fetch_batch, .arg = &r->feed}, &r->loader));
    if (r->recipe.workers)
        swg__run_note(r, "loader: %d workers read ahead, %d batches each, %.1f MiB", r->recipe.workers, r->recipe.prefetch,
             (double)swg__run_loader_bytes(&r->recipe, swg__run_largest_batch(r)) / 1048576);
    return SWG_OK;
}

/* What a plan needs is known before it is allocated; a system that promises more memory than it has would end the process. */
static swg_status check_memory(const swg__run *r, const swg__stage *largest) {
    const int64_t needed = swg_plan_memory_of(largest->plan).arena_bytes, available = swg__available_bytes();
    if (!available || needed <= available)
        return SWG_OK;
    return swg__fail(r->ctx, SWG_ENOMEM, "a step needs %.2f GiB by its plan, %.2f GiB are available: a smaller data.batch_size%s, gradient_checkpointing=blocks or "
                     "trainer.precision=bf16-mixed takes less", (double)needed / 0x1p30, (double)available / 0x1p30,
                     r->recipe.family == &swg__family_cyto ? " or data.patch" : "");
}

/* All plans of a run take turns in the arena of the largest. */
static swg_status make_plans(swg__run *r) {
    const swg_split *split = r->data.split;
    int64_t all = split->count[SWG_TRAIN], least = r->recipe.family->least_batch(&r->recipe);
    const char *samples = r->recipe.family->samples;
    if (all < 1)
        return swg__fail(r->ctx, SWG_EINVAL, "the training part is empty");
    if (all < least)
        return swg__fail(r->ctx, SWG_EINVAL, "the training part has %lld %s; model.name=%s has batch norm, which needs %lld", (long long)all,
                         all == 1 ? r->recipe.family->sample : samples, swg_config_string(r->config, "model.name"), (long long)least);
    swg_context_peak_rss_reset(r->ctx); /* a budget is of the whole run: the data are in */
    SWG__TRY(swg__run_settle_batch(r, all));
    int64_t batch = r->recipe.batch, n = swg__run_used(r), m = swg__run_validated(r);
    if (n < limited(r, all, r->recipe.train_batches) && !r->recipe.drop_last)
        swg__run_note(r, "the last batch of an epoch would be one %s, too few for batch norm: it is dropped (another one each epoch)", r->recipe.family->sample);
    if (!split->count[SWG_VAL])
        swg__run_note(r, "no validation part: the best epoch is the one of the lowest training loss");
    if (r->recipe.bf16)
        swg__run_note(r, "precision bf16-mixed: activations and products in bf16; weights, sums, statistics and losses in f32");
    if (batch > n)
        swg__run_note(r, "a batch of %lld is larger than the training part (%lld %s): one batch per epoch", (long long)batch, (long long)n, samples);
    if (r->recipe.schedule_by_step)
        r->recipe.schedule.total = r->recipe.max_epochs * ((swg__run_batches(r, n) + r->recipe.accumulate - 1) / r->recipe.accumulate);
    SWG__TRY(swg__run_tuning(r));
    SWG__TRY(swg__stage_make(r, &r->train, n >= batch ? batch : 0, true));
    SWG__TRY(swg__stage_make(r, &r->train_rest, n % batch, true));
    SWG__TRY(swg__stage_make(r, &r->val, m >= batch ? batch : 0, false));
    SWG__TRY(swg__stage_make(r, &r->val_rest, m % batch, false));
    swg__stage *stages[4] = {&r->train, &r->train_rest, &r->val, &r->val_rest};
    swg__stage *host = NULL;
    for (int i = 0; i < 4; i++)
        if (stages[i]->plan && (!host || swg_plan_memory_of(stages[i]->plan).arena_bytes > swg_plan_memory_of(host->plan).arena_bytes))
            host = stages[i];
    SWG__TRY(check_memory(r, host));
    swg_context_peak_rss_reset(r->ctx); /* the data are in; what grows from here is what was planned */
    SWG__TRY(swg_weights_create((r->train.plan ? &r->train : &r->train_rest)->graph.g, true, &r->weights)); /* has the spans of the update */
    swg_weights_init(r->weights, r->recipe.seed);
    if (r->recipe.family->start && !r->checkpoint)
        SWG__TRY(r->recipe.family->start(r));
    SWG__TRY(swg__optimiser_group(r->ctx, &r->recipe.optimiser, r->weights));
    if (r->recipe.optimiser.average) {
        SWG__TRY(swg_weights_create(host->graph.g, false, &r->average));
        swg_weights_init(r->average, r->recipe.seed); /* begins as the weights do */
        SWG__TRY(swg_weights_blend(r->average, r->weights, 1));
    }
    swg_weights *judged = r->recipe.optimiser.average_validates ? r->average : r->weights;
    SWG__TRY(swg_plan_open(host->plan, host == &r->val || host == &r->val_rest ? judged : r->weights, NULL));
    for (int i = 0; i < 4; i++)
        if (stages[i]->plan && stages[i] != host)
            SWG__TRY(swg_plan_open(stages[i]->plan, i < 2 ? r->weights : judged, host->plan));
    for (int i = 0; i < 2 && r->recipe.detect_anomaly; i++)
        if (stages[i]->plan)
            swg_plan_watch(stages[i]->plan, &r->anomaly);
    SWG__TRY(open_loader(r));
    SWG__TRY(swg__run_stage_inputs(r, host));
    r->order = swg__calloc(r->ctx, (size_t)all, sizeof *r->order);
    if (!r->order)
        return swg__fail_memory(r->ctx, (size_t)all * sizeof *r->order, "the order of an epoch");
    r->planned_bytes = swg_plan_memory_of(host->plan).arena_bytes + swg_weights_bytes(r->weights) +
                       (r->average ? swg_weights_bytes(r->average) : 0) + swg__run_loader_bytes(&r->recipe, swg__run_largest_batch(r)) +
                       (r->staging ? swg__run_batch_bytes(&r->recipe, swg__run_largest_batch(r)) : 0);
    return SWG_OK;
}

static swg_status log_start(swg__run *r, bool resumed) {
    const swg_split *split = r->data.split;
    swg__run_log_begin(&r->log, resumed ? "resume" : "start");
    swg__run_log_text(&r->log, "version", swg_version());
    swg__run_log_text(&r->log, "isa", swg_context_isa(r->ctx));
    swg__run_log_text(&r->log, "precision", swg__recipe_precision(&r->recipe));
    swg__run_log_integer(&r->log, "threads", swg_context_threads(r->ctx));
    swg__run_log_integer(&r->log, "parameters", swg_graph_parameters((r->train.plan ? &r->train : &r->train_rest)->graph.g));
    static const char *const parts[SWG_PARTS] = {"train", "val", "test"};
    char key[32];
    for (int part = 0; part < SWG_PARTS; part++) {
        snprintf(key, sizeof key, "%s_%s", r->recipe.family->samples, parts[part]);
        swg__run_log_integer(&r->log, key, split->count[part]);
    }
    if (r->recipe.family->log_data)
        r->recipe.family->log_data(r);
    swg__run_log_text(&r->log, "split", split->description);
    swg__run_log_integer(&r->log, "workers", r->recipe.workers);
    swg__run_log_integer(&r->log, "loader_bytes", swg__run_loader_bytes(&r->recipe, swg__run_largest_batch(r)));
    swg__run_log_integer(&r->log, "planned_bytes", r->planned_bytes);
    return swg__run_log_end(&r->log);
}

swg_status swg__run_save(swg__run *r, const char *name) {
    char path[1100];
    const char *yaml;
    SWG__TRY(swg_config_yaml(r->config, &yaml));
    swg__run_checkpoint(r, name, path, sizeof path);
    r->state.best = r->early.best;
    r->state.bad = r->early.bad;
    r->state.log_bytes = r->log.bytes;
    r->state.seconds = swg__run_seconds(r);
    r->state.batch_size = r->recipe.batch;
    r->state.accumulate = r->recipe.accumulate;
    return swg__checkpoint_save(r->ctx, path, r->weights, r->average, &r->state,
                                &(swg__run_notes){.config = yaml, .norm = r->data.note, .data = r->data.digest,
                                                  .precision = swg__recipe_precision(&r->recipe), .provider = r->recipe.provider,
                                                  .seed = r->recipe.seed});
}

swg_status swg__run_prepare(swg__run *r) {
    char from[1200], path[1100];
    SWG__TRY(swg__recipe_read(r->ctx, r->config, &r->recipe));
    r->early = r->recipe.early;
    r->state = (swg__run_state){.b1_power = 1, .b2_power = 1, .best = HUGE_VAL, .best_loss = NAN, .last_loss = NAN, .best_epoch = -1, .accumulate = 1,
                               .plateau = {.lr = r->recipe.schedule.lr, .best = HUGE_VAL}};
    SWG__TRY(swg__run_data(r));
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
    SWG__TRY(swg__record_open(r));
    SWG__TRY(swg__record_tidy(r));
    /* From here on a kill leaves something to resume, and ckpt/last covers no more of the log than there is. */
    swg__run_checkpoint(r, "last", path, sizeof path);
    return strcmp(from, path) == 0 ? SWG_OK : swg__run_save(r, "last");
}

void swg__run_release(swg__run *r) {
    swg__stage *stages[4] = {&r->train, &r->train_rest, &r->val, &r->val_rest};
    swg__run_profile_close(r);
    swg__run_log_close(&r->log);
    swg__events_close(&r->events);
    for (int i = 0; i < 4; i++)
        swg__stage_free(stages[i]);
    swg_tuning_close(r->tuning);
    swg__loader_close(r->loader);
    swg_weights_destroy(r->average);
    swg_weights_destroy(r->weights);
    swg_safetensors_close(r->checkpoint);
    if (r->recipe.family)
        r->recipe.family->close(r, &r->data);
    swg__free(r->ctx, r->order);
    swg__free(r->ctx, r->staging);
}
