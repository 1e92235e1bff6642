/* samples.c - the data set of a training run in memory: cut, flagged, split, normalised.
 * In: a source and the rules. Out: (count, edge^3) f32, one record per sample, index lists per part.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "normalise.h"
#include "prepare.h"

enum { TASK_BLOCKS = 64 };

struct swg_samples {
    swg_context *ctx;
    int64_t count, edge, volume;   /* volume = edge^3 */
    swg_sample *list;
    float *values;
    swg_norm *own;                 /* NULL if the caller's is used */
    const swg_norm *norm;
    swg_split split;
    int64_t flagged[3];
};

struct build {
    swg_source *source;
    swg_samples *samples;
    swg__block_rules rules;
    void *buffer;           /* values of the array at hand */
    int64_t *norm_variable; /* variable of the source -> variable of the normaliser */
    /* the array at hand */
    const swg_array *array;
    swg_blocks blocks;
    swg_sample *list;
    float *values;
};

/* ---- one block ---- */

static void finish_block(const struct build *build, int64_t b) {
    const int64_t volume = build->samples->volume;
    double block[SWG__BLOCK_VALUES];
    float *y = build->values + b * volume;
    swg_side *side = &build->list[b].side;
    swg__block_scan scan = swg__block_load(build->array, &build->blocks, build->buffer, b, block);
    int32_t flag = swg__block_judge(&build->rules, &scan);
    if (flag == SWG_BLOCK_NORMAL) {
        swg__norm_forward_f32(build->samples->norm, build->norm_variable[build->array->variable_index], build->array->element, block, volume, side, y);
        return;
    }
    *side = (swg_side){.flag = flag, .offset = flag == SWG_BLOCK_CONSTANT ? scan.min : 0};
    memset(y, 0, (size_t)volume * sizeof *y);
}

static void finish_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const struct build *build = arg;
    int64_t end = (task + 1) * TASK_BLOCKS;
    for (int64_t b = task * TASK_BLOCKS; b < end && b < build->blocks.count; b++)
        finish_block(build, b);
}

static swg_status refuse_block(const struct build *build, int64_t b) {
    double block[SWG__BLOCK_VALUES];
    swg__block_scan scan = swg__block_load(build->array, &build->blocks, build->buffer, b, block);
    return swg__block_refuse(build->samples->ctx, build->array, b, &scan);
}

/* ---- all arrays ---- */

/* Reads array a into the buffer and points the build at its samples. */
static swg_status take_array(struct build *build, int64_t a, int64_t first) {
    build->array = swg_source_array(build->source, a);
    SWG__TRY(swg__block_plan(build->samples->ctx, build->array, &build->rules, &build->blocks));
    build->list = build->samples->list + first;
    build->values = build->samples->values ? build->samples->values + first * build->samples->volume : NULL;
    return swg_source_read(build->source, a, build->buffer);
}

static swg_status fit_norm(struct build *build) {
    swg_samples *samples = build->samples;
    int64_t first = 0, *training = swg__calloc(samples->ctx, (size_t)swg_source_variables(build->source), sizeof *training);
    if (!training)
        return swg__fail_memory(samples->ctx, (size_t)swg_source_variables(build->source) * sizeof *training, "the counts of a fit");
    for (int64_t i = 0; i < samples->count; i++)
        if (samples->list[i].part == SWG_TRAIN)
            training[build->norm_variable[samples->list[i].variable]] += samples->volume;
    swg_status status = swg__norm_fit_begin(samples->own, training);
    swg__free(samples->ctx, training);
    for (int64_t a = 0; status == SWG_OK && a < swg_source_count(build->source); a++) {
        status = take_array(build, a, first);
        for (int64_t b = 0; status == SWG_OK && b < build->blocks.count; b++) {
            double block[SWG__BLOCK_VALUES];
            if (build->list[b].part != SWG_TRAIN)
                continue;
            swg__block_scan scan = swg__block_load(build->array, &build->blocks, build->buffer, b, block);
            int32_t flag = swg__block_judge(&build->rules, &scan);
            if (flag == SWG__BLOCK_REFUSED)
                status = refuse_block(build, b);
            else if (flag == SWG_BLOCK_NORMAL)
                swg__norm_fit_add(samples->own, build->norm_variable[build->array->variable_index], block, 1, samples->volume);
        }
        first += build->blocks.count;
    }
    return status == SWG_OK ? swg__norm_fit_end(samples->own) : status;
}

static swg_status normalise(struct build *build) {
    swg_samples *samples = build->samples;
    int64_t first = 0;
    for (int64_t a = 0; a < swg_source_count(build->source); a++) {
        SWG__TRY(take_array(build, a, first));
        swg__parallel(samples->ctx, (build->blocks.count - 1) / TASK_BLOCKS + 1, finish_task, build);
        for (int64_t b = 0; b < build->blocks.count; b++) {
            if (build->list[b].side.flag == SWG__BLOCK_REFUSED)
                return refuse_block(build, b);
            samples->flagged[build->list[b].side.flag]++;
        }
        first += build->blocks.count;
    }
    return SWG_OK;
}

/* ---- split ---- */

static swg_status make_split(swg_samples *samples, const swg_samples_opts *opts) {
    swg_split *split = &samples->split;
    if (!opts->no_split) {
        SWG__TRY(swg_split_make(samples->ctx, samples->list, samples->count, &opts->split, split));
    } else {
        split->indices[0] = swg__alloc(samples->ctx, (size_t)samples->count * sizeof(int64_t));
        split->description = swg__strdup(samples->ctx, "split: none (all samples)");
        if (!split->indices[0] || !split->description)
            return swg__fail_memory(samples->ctx, (size_t)samples->count * sizeof(int64_t), "the list of samples");
        split->indices[1] = split->indices[2] = split->indices[0];
        split->count[SWG_TEST] = samples->count;
        for (int64_t i = 0; i < samples->count; i++)
            split->indices[0][i] = i;
    }
    for (int part = 0; part < SWG_PARTS; part++)
        for (int64_t i = 0; i < split->count[part]; i++)
            samples->list[split->indices[part][i]].part = part;
    return SWG_OK;
}

/* Takes constant and raw blocks out of the lists. */
static swg_status drop_flagged(swg_samples *samples, bool may_be_empty) {
    static const char *const names[SWG_PARTS] = {"train", "val", "test"};
    for (int part = 0; part < SWG_PARTS; part++) {
        int64_t *list = samples->split.indices[part], before = samples->split.count[part], kept = 0;
        for (int64_t i = 0; i < before; i++)
            if (samples->list[list[i]].side.flag == SWG_BLOCK_NORMAL)
                list[kept++] = list[i];
        samples->split.count[part] = kept;
        if (before && !kept && !may_be_empty)
            return swg__fail(samples->ctx, SWG_EINVAL, "the %s part has no usable sample: all of its %lld blocks are constant or not finite "
                             "(data.constant=include keeps constant ones)", names[part], (long long)before);
    }
    return SWG_OK;
}

/* ---- public ---- */

static int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

swg_status swg_samples_plan(swg_context *ctx, const swg_source *source, const swg_samples_opts *opts, int64_t *samples, int64_t *bytes) {
    *samples = *bytes = 0;
    swg_samples_opts standard = {0};
    opts = opts ? opts : &standard;
    swg__block_rules rules;
    swg_norm *norm = NULL;
    int64_t count, read_bytes;
    SWG__TRY(swg__block_rules_read(ctx, opts, &rules));
    SWG__TRY(swg__block_count(ctx, source, &rules, &count, &read_bytes));
    int64_t volume = rules.edge * rules.edge * rules.edge, fit = 0;
    if (!opts->fitted) {
        SWG__TRY(swg_norm_open(ctx, opts->norm, NULL, 0, &norm));
        fit = swg__norm_fit_bytes(norm, count * volume);
        swg_norm_close(norm);
    }
    int64_t lists = count * (int64_t)(sizeof(swg_sample) + sizeof(int64_t)), splitting = count * 3 * (int64_t)sizeof(int64_t);
    int64_t values = count * volume * (int64_t)sizeof(float);
    *samples = count;
    *bytes = lists + greater(opts->no_split ? 0 : splitting, read_bytes + greater(fit, values));
    return SWG_OK;
}

static swg_status open_norm(struct build *build, const swg_samples_opts *opts) {
    swg_samples *samples = build->samples;
    swg_context *ctx = samples->ctx;
    int64_t count = swg_source_variables(build->source);
    build->norm_variable = swg__calloc(ctx, (size_t)count, sizeof *build->norm_variable);
    const char **names = swg__calloc(ctx, (size_t)count, sizeof *names);
    if (!names || !build->norm_variable) {
        swg__free(ctx, names);
        return swg__fail_memory(ctx, (size_t)count * sizeof *names, "the names of the variables");
    }
    for (int64_t v = 0; v < count; v++)
        names[v] = swg_source_variable(build->source, v);
    swg_status status = opts->fitted ? SWG_OK : swg_norm_open(ctx, opts->norm, names, count, &samples->own);
    samples->norm = opts->fitted ? opts->fitted : samples->own;
    if (opts->fitted && !swg__norm_fitted(opts->fitted))
        status = swg__fail(ctx, SWG_EINVAL, "normaliser %s has no parameters yet", swg_norm_name(opts->fitted));
    if (status == SWG_OK)
        status = swg__block_variables(ctx, build->source, samples->norm, build->norm_variable);
    swg__free(ctx, names);
    return status;
}

static swg_status fill(struct build *build, const swg_samples_opts *opts) {
    swg_samples *samples = build->samples;
    swg_context *ctx = samples->ctx;
    int64_t read_bytes;
    SWG__TRY(swg__block_rules_read(ctx, opts, &build->rules));
    SWG__TRY(swg__block_count(ctx, build->source, &build->rules, &samples->count, &read_bytes));
    samples->edge = build->rules.edge;
    samples->volume = samples->edge * samples->edge * samples->edge;
    SWG__TRY(open_norm(build, opts));
    samples->list = swg__alloc(ctx, (size_t)samples->count * sizeof *samples->list);
    if (!samples->list)
        return swg__fail_memory(ctx, (size_t)samples->count * sizeof *samples->list, "the list of samples");
    swg__block_list(ctx, build->source, &build->rules, samples->list);
    SWG__TRY(make_split(samples, opts));
    build->buffer = swg__alloc(ctx, (size_t)read_bytes);
    if (!build->buffer)
        return swg__fail_memory(ctx, (size_t)read_bytes, "the largest array of the data set");
    if (samples->own && swg_norm_needs_fit(samples->own))
        SWG__TRY(fit_norm(build));
    size_t bytes = (size_t)(samples->count * samples->volume) * sizeof *samples->values;
    if (!(samples->values = swg__alloc(ctx, bytes)))
        return swg__fail_memory(ctx, bytes, "the samples");
    SWG__TRY(normalise(build));
    return drop_flagged(samples, opts->no_split);
}

swg_status swg_samples_open(swg_context *ctx, swg_source *source, const swg_samples_opts *opts, swg_samples **out) {
    *out = NULL;
    swg_samples_opts standard = {.split.seed = 42};
    struct build build = {.source = source, .samples = swg__calloc(ctx, 1, sizeof(swg_samples))};
    if (!build.samples)
        return swg__fail_memory(ctx, sizeof(swg_samples), "the samples");
    build.samples->ctx = ctx;
    swg_status status = fill(&build, opts ? opts : &standard);
    swg__free(ctx, build.buffer);
    swg__free(ctx, build.norm_variable);
    if (status != SWG_OK) {
        swg_samples_close(build.samples);
        return status;
    }
    *out = build.samples;
    return SWG_OK;
}

void swg_samples_close(swg_samples *samples) {
    if (!samples)
        return;
    swg_split_free(samples->ctx, &samples->split);
    swg_norm_close(samples->own);
    swg__free(samples->ctx, samples->values);
    swg__free(samples->ctx, samples->list);
    swg__free(samples->ctx, samples);
}

int64_t swg_samples_count(const swg_samples *samples) { return samples->count; }
int64_t swg_samples_edge(const swg_samples *samples) { return samples->edge; }
const swg_sample *swg_samples_list(const swg_samples *samples) { return samples->list; }
const float *swg_samples_values(const swg_samples *samples) { return samples->values; }
const swg_norm *swg_samples_norm(const swg_samples *samples) { return samples->norm; }
const swg_split *swg_samples_split(const swg_samples *samples) { return &samples->split; }

int64_t swg_samples_flagged(const swg_samples *samples, int flag) {
    return flag >= SWG_BLOCK_NORMAL && flag <= SWG_BLOCK_RAW ? samples->flagged[flag] : 0;
}

swg_status swg_samples_gather(const swg_samples *samples, const int64_t *indices, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) {
        if (indices[i] < 0 || indices[i] >= samples->count)
            return swg__fail(samples->ctx, SWG_EINVAL, "sample %lld: there are %lld", (long long)indices[i], (long long)samples->count);
        memcpy(out + i * samples->volume, samples->values + indices[i] * samples->volume, (size_t)samples->volume * sizeof *out);
    }
    return SWG_OK;
}
