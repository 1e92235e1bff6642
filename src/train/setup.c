/* setup.c - what a training run opens before its first step: data, run folder, plans, loader, log; resuming and saving.
 * In: a configuration. Out: a run that can be stepped.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"
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

swg_status swg__stage_make(swg__run *r, swg__stage *s, int64_t batch, bool training) {
    if (batch == 0)
        return SWG_OK;
    SWG__TRY(swg__step_graph_build(r->ctx, &r->recipe, batch, training, &s->graph));
    swg_value outputs[4] = {s->graph.loss, s->graph.reconstruction, s->graph.distance, training ? s->graph.norm : s->graph.y};
    const swg_plan_opts opts = swg__recipe_plan_opts(&r->recipe, outputs, 4, false);
    return swg_plan_make(s->graph.g, &opts, &s->plan);
}

void swg__stage_free(swg__stage *s) {
    swg_plan_destroy(s->plan);
    swg_graph_destroy(s->graph.g);
    *s = (swg__stage){0};
}

int64_t swg__run_average_bytes(const swg__recipe *recipe, int64_t weights_bytes) { return recipe->optimiser.average ? weights_bytes : 0; }

static int64_t batch_bytes(const swg__recipe *recipe, int64_t batch) { return batch * recipe->network.input * (int64_t)sizeof(float); }

int64_t swg__run_loader_bytes(const swg__recipe *recipe, int64_t batch) {
    return swg__loader_bytes(recipe->workers, recipe->prefetch, batch_bytes(recipe, batch));
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
static swg_status choose_batch(swg__run *r, int64_t samples) {
    int64_t budget = available_bytes() / 10 * 9, chosen = 0, peak = 0;
    for (int64_t batch = swg_swae_has_norm(&r->recipe.network) ? 2 : 1; batch <= samples && batch <= 1 << 16; batch *= 2) {
        swg__stage s = {0};
        swg_status status = swg__stage_make(r, &s, batch, true);
        int64_t bytes = 0;
        if (s.plan) {
            const swg_memory memory = swg_plan_memory_of(s.plan);
            bytes = memory.peak_bytes + swg__run_average_bytes(&r->recipe, memory.parameters_bytes + memory.state_bytes) + swg__run_loader_bytes(&r->recipe, batch);
        }
        swg__stage_free(&s);
        SWG__TRY(status);
        if (chosen && budget && bytes > budget)
            break;
        chosen = batch;
        peak = bytes;
    }
    r->recipe.batch = chosen;
    swg__run_note(r, "batch %lld (auto): %.1f MiB of %.1f MiB available", (long long)chosen, (double)peak / 1048576, (double)budget / 1048576);
    return SWG_OK;
}

swg_status swg__run_samples(swg__run *r) {
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

/* data.batch_size=auto: the size a resumed run began with, else what fits. It becomes part of the configuration. */
swg_status swg__run_settle_batch(swg__run *r, int64_t samples) {
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

static swg_status restore(swg__run *r, const char *path) {
    SWG__TRY(swg__checkpoint_restore(r->ctx, r->checkpoint, path, r->weights, &r->state, r->recipe.provider,
                                     swg__recipe_precision(&r->recipe)));
    const char *norm = swg_safetensors_note(r->checkpoint, "norm"), *data = swg_safetensors_note(r->checkpoint, "data");
    if (!norm || !data || strcmp(norm, r->norm_json) != 0 || strcmp(data, r->data_digest) != 0)
        return swg__fail(r->ctx, SWG_EINVAL, "%s was trained on other data, or with another data.norm, data.split or trainer.seed; resume with those, "
                         "or choose another run.name", path);
    if (r->state.batch && r->state.batch_size != r->recipe.batch)
        return swg__fail(r->ctx, SWG_EINVAL, "%s stopped inside an epoch of batches of %lld blocks; data.batch_size is %lld now", path,
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

int64_t swg__run_blocks(const swg__run *r) {
    int64_t n = swg_samples_split(r->samples)->count[SWG_TRAIN];
    return swg_swae_has_norm(&r->recipe.network) && n % r->recipe.batch == 1 ? n - 1 : n;
}

int64_t swg__run_batches(const swg__run *r, int64_t samples) { return (samples + r->recipe.batch - 1) / r->recipe.batch; }

/* Batch `ticket` of the feed; on a worker's thread. */
static swg_status fetch_batch(void *arg, int64_t ticket, int worker, void *out, char *message, size_t capacity) {
    (void)worker;
    const swg__feed *f = arg;
    int64_t first = ticket * f->batch, count = f->count - first < f->batch ? f->count - first : f->batch;
    swg_status status = swg_samples_gather(f->samples, f->indices + first, count, out);
    if (status != SWG_OK)
        snprintf(message, capacity, "batch %lld: a sample of it does not exist", (long long)ticket);
    return status;
}

static swg_status open_loader(swg__run *r) {
    r->feed = (swg__feed){.samples = r->samples, .batch = r->recipe.batch};
    SWG__TRY(swg__loader_open(r->ctx, &(swg__loader_opts){.workers = r->recipe.workers, .prefetch = r->recipe.prefetch, .batch_bytes = batch_bytes(&r->recipe, r->recipe.batch),
                                                          .fetch = fetch_batch, .arg = &r->feed}, &r->loader));
    if (r->recipe.workers)
        swg__run_note(r, "loader: %d workers read ahead, %d batches each, %.1f MiB", r->recipe.workers, r->recipe.prefetch,
             (double)swg__run_loader_bytes(&r->recipe, r->recipe.batch) / 1048576);
    return SWG_OK;
}

/* All plans of a run take turns in the arena of the largest. */
static swg_status make_plans(swg__run *r) {
    const swg_split *split = swg_samples_split(r->samples);
    int64_t all = split->count[SWG_TRAIN], m = split->count[SWG_VAL];
    if (all < 1)
        return swg__fail(r->ctx, SWG_EINVAL, "the training part is empty");
    if (all < 2 && swg_swae_has_norm(&r->recipe.network))
        return swg__fail(r->ctx, SWG_EINVAL, "the training part is one block; model.name=%s has batch norm, which needs two",
                         swg_swae_kind_name(r->recipe.network.kind));
    SWG__TRY(swg__run_settle_batch(r, all));
    int64_t batch = r->recipe.batch, n = swg__run_blocks(r);
    if (n < all)
        swg__run_note(r, "the last batch of an epoch would be one block, too few for batch norm: it is dropped (another one each epoch)");
    if (r->recipe.bf16)
        swg__run_note(r, "precision bf16-mixed: activations and products in bf16; weights, sums, statistics and losses in f32");
    if (batch > n)
        swg__run_note(r, "a batch of %lld is larger than the training part (%lld blocks): one batch per epoch", (long long)batch, (long long)n);
    if (r->recipe.schedule_by_step)
        r->recipe.schedule.total = r->recipe.max_epochs * ((swg__run_batches(r, n) + r->recipe.accumulate - 1) / r->recipe.accumulate);
    SWG__TRY(swg__stage_make(r, &r->train, n >= batch ? batch : 0, true));
    SWG__TRY(swg__stage_make(r, &r->train_rest, n % batch, true));
    SWG__TRY(swg__stage_make(r, &r->val, m >= batch ? batch : 0, false));
    SWG__TRY(swg__stage_make(r, &r->val_rest, m % batch, false));
    swg__stage *stages[4] = {&r->train, &r->train_rest, &r->val, &r->val_rest};
    swg__stage *host = NULL;
    for (int i = 0; i < 4; i++)
        if (stages[i]->plan && (!host || swg_plan_memory_of(stages[i]->plan).arena_bytes > swg_plan_memory_of(host->plan).arena_bytes))
            host = stages[i];
    swg_context_peak_rss_reset(r->ctx); /* the data are in; what grows from here is what was planned */
    SWG__TRY(swg_weights_create((r->train.plan ? &r->train : &r->train_rest)->graph.g, true, &r->weights)); /* has the spans of the update */
    swg_weights_init(r->weights, r->recipe.seed);
    SWG__TRY(swg__optimiser_group(r->ctx, &r->recipe.optimiser, r->weights));
    if (r->recipe.optimiser.average) {
        SWG__TRY(swg_weights_create(host->graph.g, false, &r->average));
        swg_weights_init(r->average, r->recipe.seed); /* begins as the weights do */
    }
    swg_weights *judged = r->recipe.optimiser.average_validates ? r->average : r->weights;
    SWG__TRY(swg_plan_open(host->plan, host == &r->val || host == &r->val_rest ? judged : r->weights, NULL));
    for (int i = 0; i < 4; i++)
        if (stages[i]->plan && stages[i] != host)
            SWG__TRY(swg_plan_open(stages[i]->plan, i < 2 ? r->weights : judged, host->plan));
    SWG__TRY(open_loader(r));
    r->order = swg__calloc(r->ctx, (size_t)all, sizeof *r->order);
    r->pair = swg__calloc(r->ctx, (size_t)(2 * r->recipe.network.input), sizeof *r->pair);
    if (!r->order || !r->pair)
        return swg__fail_memory(r->ctx, (size_t)all * sizeof *r->order, "the order of an epoch");
    r->planned_bytes = swg_plan_memory_of(host->plan).arena_bytes + swg_weights_bytes(r->weights) +
                       (r->average ? swg_weights_bytes(r->average) : 0) + swg__run_loader_bytes(&r->recipe, batch);
    return SWG_OK;
}

static swg_status log_start(swg__run *r, bool resumed) {
    const swg_split *split = swg_samples_split(r->samples);
    swg__run_log_begin(&r->log, resumed ? "resume" : "start");
    swg__run_log_text(&r->log, "version", swg_version());
    swg__run_log_text(&r->log, "isa", swg_context_isa(r->ctx));
    swg__run_log_text(&r->log, "precision", swg__recipe_precision(&r->recipe));
    swg__run_log_integer(&r->log, "threads", swg_context_threads(r->ctx));
    swg__run_log_integer(&r->log, "parameters", swg_graph_parameters((r->train.plan ? &r->train : &r->train_rest)->graph.g));
    swg__run_log_integer(&r->log, "blocks_train", split->count[SWG_TRAIN]);
    swg__run_log_integer(&r->log, "blocks_val", split->count[SWG_VAL]);
    swg__run_log_integer(&r->log, "blocks_test", split->count[SWG_TEST]);
    swg__run_log_integer(&r->log, "blocks_constant", swg_samples_flagged(r->samples, SWG_BLOCK_CONSTANT));
    swg__run_log_integer(&r->log, "blocks_raw", swg_samples_flagged(r->samples, SWG_BLOCK_RAW));
    swg__run_log_text(&r->log, "split", split->description);
    swg__run_log_integer(&r->log, "workers", r->recipe.workers);
    swg__run_log_integer(&r->log, "loader_bytes", swg__run_loader_bytes(&r->recipe, r->recipe.batch));
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
                                &(swg__run_notes){.config = yaml, .norm = r->norm_json, .data = r->data_digest,
                                                  .precision = swg__recipe_precision(&r->recipe), .provider = r->recipe.provider,
                                                  .seed = r->recipe.seed});
}

swg_status swg__run_prepare(swg__run *r) {
    char from[1200], path[1100];
    SWG__TRY(swg__recipe_read(r->ctx, r->config, &r->recipe));
    r->early = r->recipe.early;
    r->state = (swg__run_state){.b1_power = 1, .b2_power = 1, .best = HUGE_VAL, .best_loss = NAN, .last_loss = NAN, .best_epoch = -1, .accumulate = 1,
                               .plateau = {.lr = r->recipe.schedule.lr, .best = HUGE_VAL}};
    SWG__TRY(swg__run_samples(r));
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
    swg__run_checkpoint(r, "last", path, sizeof path);
    return strcmp(from, path) == 0 ? SWG_OK : swg__run_save(r, "last");
}

void swg__run_release(swg__run *r) {
    swg__stage *stages[4] = {&r->train, &r->train_rest, &r->val, &r->val_rest};
    swg__run_log_close(&r->log);
    for (int i = 0; i < 4; i++)
        swg__stage_free(stages[i]);
    swg__loader_close(r->loader);
    swg_weights_destroy(r->average);
    swg_weights_destroy(r->weights);
    swg_safetensors_close(r->checkpoint);
    swg_samples_close(r->samples);
    swg_source_close(r->source);
    swg__free(r->ctx, r->order);
    swg__free(r->ctx, r->pair);
    swg__free(r->ctx, r->norm_json);
}
