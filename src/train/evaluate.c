/* evaluate.c - runs a trained network over a data set, array by array, and compares what comes back with what went in.
 * In: a model and a source. Out: figures per variable and over all.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/evaluate.h"
#include <math.h>
#include <string.h>
#include "base.h"
#include "data/normalise.h"
#include "data/prepare.h"
#include "train/recipe.h"

enum { BATCH = 4096, TASK_BLOCKS = 64, ALL = SWG_PARTS };
static const char *const part_names[] = {"train", "val", "test", "all"};

/* What is known of one variable, or of all. */
typedef struct tally {
    swg_compare *original, *normalised;
    int64_t flags[3];                   /* blocks by fate; failed ones count as raw */
    int64_t failed, bytes_in, normal_bytes, latent_bytes, side_bytes, raw_bytes;
} tally;

typedef struct work {
    swg_context *ctx;
    swg_model *model;
    const swg_evaluate_opts *opts;
    swg__block_rules rules;
    swg_source *source;
    int64_t volume, latent;             /* numbers per block, per latent vector */
    bool codes;                         /* latents are int8, with a scale per vector among the side information */
    int64_t total, done;                /* blocks in the part */
    uint8_t *wanted;                    /* one per block of the source; NULL: all */
    int64_t *norm_variable;             /* variable of the source -> of the normaliser */
    tally *tallies;                     /* one per variable of the source, and the last over all */
    /* the array at hand, and a batch of its blocks */
    const swg_array *array;
    swg_blocks blocks;
    void *values;
    int64_t count;                      /* blocks in the batch; the lists below are as long */
    int64_t index[BATCH];               /* block in the array */
    swg_side side[BATCH];
    bool finite[BATCH];
    float *x, *y, *z;                   /* (BATCH, volume) input and output of the network, (BATCH, latent) */
    char *original, *reconstruction;    /* (BATCH, volume) in the array's element type */
} work;

/* ---- what is to be looked at ---- */

static swg_status find_part(swg_context *ctx, const char *word, int *part) {
    for (*part = 0; *part <= ALL; ++*part)
        if (strcmp(word, part_names[*part]) == 0)
            return SWG_OK;
    char near[64];
    return swg__fail(ctx, SWG_EUSAGE, "part %s: expected all, train, val or test%s", word,
                     swg__did_you_mean(word, part_names, ALL + 1, near, sizeof near));
}

/* Makes the split of the training run again, and marks the blocks of one part. */
static swg_status mark_part(work *w, const swg_samples_opts *samples, int part, int64_t count, char **description) {
    swg_context *ctx = w->ctx;
    char digest[SWG__DIGEST_CHARS];
    const char *trained = swg_model_data(w->model);
    SWG__TRY(swg__block_digest(ctx, w->source, samples, digest));
    if (!trained || strcmp(trained, digest) != 0)
        return swg__fail(ctx, SWG_EINVAL, "the data are not those %s was trained on (other variables, extents, files or times), so its %s part "
                         "cannot be found again; evaluate all of them (--part all)", swg_model_path(w->model), part_names[part]);
    swg_sample *list = swg__alloc(ctx, (size_t)count * sizeof *list);
    w->wanted = swg__calloc(ctx, (size_t)count, sizeof *w->wanted);
    if (!list || !w->wanted) {
        swg__free(ctx, list);
        return swg__fail_memory(ctx, (size_t)count * sizeof *list, "the list of samples");
    }
    swg__block_list(ctx, w->source, &w->rules, list);
    swg_split split;
    swg_status status = swg_split_make(ctx, list, count, &samples->split, &split);
    swg__free(ctx, list);
    if (status != SWG_OK)
        return status;
    for (int64_t i = 0; i < split.count[part]; i++)
        w->wanted[split.indices[part][i]] = 1;
    w->total = split.count[part];
    *description = split.description;
    split.description = NULL;
    swg_split_free(ctx, &split);
    return w->total ? SWG_OK : swg__fail(ctx, SWG_EINVAL, "the %s part of the split is empty", part_names[part]);
}

static swg_status choose_blocks(work *w, const swg_samples_opts *samples, swg_evaluation *out, int64_t *largest_bytes) {
    int part;
    int64_t count;
    SWG__TRY(find_part(w->ctx, w->opts->part ? w->opts->part : part_names[ALL], &part));
    SWG__TRY(swg__block_count(w->ctx, w->source, &w->rules, &count, largest_bytes));
    w->total = count;
    if (part != ALL)
        return mark_part(w, samples, part, count, &out->split);
    out->split = swg__strdup(w->ctx, "split: none (all samples, those of the training part among them)");
    return out->split ? SWG_OK : swg__fail_memory(w->ctx, 0, "the description of the split");
}

/* ---- memory ---- */

static swg_status allocate(work *w, int64_t largest_bytes) {
    swg_context *ctx = w->ctx;
    int64_t variables = swg_source_variables(w->source);
    size_t values = (size_t)(BATCH * w->volume);
    w->values = swg__alloc(ctx, (size_t)largest_bytes);
    w->x = swg__alloc(ctx, values * sizeof(float));
    w->y = swg__alloc(ctx, values * sizeof(float));
    w->z = swg__alloc(ctx, (size_t)(BATCH * w->latent) * sizeof(float));
    w->original = swg__alloc(ctx, values * sizeof(double));
    w->reconstruction = swg__alloc(ctx, values * sizeof(double));
    w->norm_variable = swg__calloc(ctx, (size_t)variables, sizeof *w->norm_variable);
    w->tallies = swg__calloc(ctx, (size_t)variables + 1, sizeof *w->tallies);
    if (!w->values || !w->x || !w->y || !w->z || !w->original || !w->reconstruction || !w->norm_variable || !w->tallies)
        return swg__fail_memory(ctx, (size_t)largest_bytes + values * 24, "an evaluation");
    bool percentiles = w->opts->percentiles || w->total <= SWG_EVALUATE_VALUES / w->volume;
    const swg_compare_opts compared = {.no_percentiles = !percentiles, .relative_floor = w->opts->relative_floor};
    for (int64_t v = 0; v <= variables; v++) {
        SWG__TRY(swg_compare_open(ctx, &compared, &w->tallies[v].original));
        SWG__TRY(swg_compare_open(ctx, &compared, &w->tallies[v].normalised));
    }
    return swg__block_variables(ctx, w->source, swg_model_norm(w->model), w->norm_variable);
}

static void release(work *w) {
    swg_context *ctx = w->ctx;
    for (int64_t v = 0; w->tallies && v <= swg_source_variables(w->source); v++) {
        swg_compare_close(w->tallies[v].original);
        swg_compare_close(w->tallies[v].normalised);
    }
    void *const all[] = {w->values, w->x, w->y, w->z, w->original, w->reconstruction, w->norm_variable, w->tallies, w->wanted};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        swg__free(ctx, all[i]);
    swg_source_close(w->source);
    swg__free(ctx, w);
}

/* ---- one batch ---- */

/* Cut, judge, normalise. */
static void enter_task(void *arg, int64_t task, int worker) {
    (void)worker;
    work *w = arg;
    const swg_norm *norm = swg_model_norm(w->model);
    int64_t variable = w->norm_variable[w->array->variable_index];
    double block[SWG__BLOCK_VALUES];
    for (int64_t i = task * TASK_BLOCKS; i < (task + 1) * TASK_BLOCKS && i < w->count; i++) {
        swg__block_scan scan = swg__block_load(w->array, &w->blocks, w->values, w->index[i], block);
        w->side[i] = (swg_side){.flag = swg__block_judge(&w->rules, &scan)};
        if (w->side[i].flag == SWG_BLOCK_NORMAL)
            swg__norm_forward_f32(norm, variable, w->array->element, block, w->volume, &w->side[i], w->x + i * w->volume);
    }
}

/* Moves the values inside the item to the front of a block, where padding stood between them. */
static void drop_padding(void *block, int64_t edge, const int64_t extent[3], size_t bytes) {
    char *to = block;
    for (int64_t z = 0; z < extent[0]; z++)
        for (int64_t y = 0; y < extent[1]; y++) {
            memmove(to, (char *)block + (size_t)((z * edge + y) * edge) * bytes, (size_t)extent[2] * bytes);
            to += (size_t)extent[2] * bytes;
        }
}

/* Back to original units, beside the original itself; padding is dropped from all four. */
static void leave_task(void *arg, int64_t task, int worker) {
    (void)worker;
    work *w = arg;
    const swg_norm *norm = swg_model_norm(w->model);
    const swg_element element = w->array->element;
    const size_t bytes = (size_t)swg_element_bytes(element), stride = (size_t)w->volume * bytes;
    int64_t variable = w->norm_variable[w->array->variable_index];
    for (int64_t i = task * TASK_BLOCKS; i < (task + 1) * TASK_BLOCKS && i < w->count; i++) {
        char *original = w->original + (size_t)i * stride, *reconstruction = w->reconstruction + (size_t)i * stride;
        float *x = w->x + i * w->volume, *y = w->y + i * w->volume;
        int64_t extent[3], inside = swg_blocks_inside(&w->blocks, w->index[i], extent);
        swg_blocks_cut(&w->blocks, element, w->values, w->index[i], 1, original);
        swg_norm_inverse(norm, variable, &w->side[i], y, w->volume, element, reconstruction);
        if (inside < w->volume) {
            drop_padding(original, w->blocks.edge, extent, bytes);
            drop_padding(reconstruction, w->blocks.edge, extent, bytes);
            drop_padding(x, w->blocks.edge, extent, sizeof *x);
            drop_padding(y, w->blocks.edge, extent, sizeof *y);
        }
        w->finite[i] = swg__block_finite(element, reconstruction, inside) && swg__block_finite(SWG_ELEMENT_F32, y, inside);
    }
}

static int64_t tasks_of(const work *w) { return (w->count + TASK_BLOCKS - 1) / TASK_BLOCKS; }

/* Counts block i of the batch for its variable and for all. */
static void count_block(work *w, int64_t i) {
    const swg_element element = w->array->element;
    const int32_t flag = w->side[i].flag;
    int64_t extent[3], bytes = swg_blocks_inside(&w->blocks, w->index[i], extent) * swg_element_bytes(element);
    tally *both[2] = {&w->tallies[w->array->variable_index], &w->tallies[swg_source_variables(w->source)]};
    for (int t = 0; t < 2; t++) {
        both[t]->flags[flag]++;
        both[t]->bytes_in += bytes;
        both[t]->normal_bytes += flag == SWG_BLOCK_NORMAL ? bytes : 0;
        both[t]->latent_bytes += flag == SWG_BLOCK_NORMAL ? w->latent * (w->codes ? (int64_t)sizeof(int8_t) : (int64_t)sizeof(float)) : 0;
        both[t]->raw_bytes += flag == SWG_BLOCK_RAW ? bytes : 0;
        both[t]->side_bytes += flag == SWG_BLOCK_NORMAL ? swg_norm_side_bytes(swg_model_norm(w->model), element) + (w->codes ? (int64_t)sizeof(float) : 0)
                             : flag == SWG_BLOCK_CONSTANT ? swg_element_bytes(element) : 0;
        swg_compare_exclude(both[t]->original, flag == SWG_BLOCK_CONSTANT, flag == SWG_BLOCK_RAW);
        swg_compare_exclude(both[t]->normalised, flag == SWG_BLOCK_CONSTANT, flag == SWG_BLOCK_RAW);
    }
}

/* Constant and raw blocks are counted and leave the batch. */
static swg_status keep_normal(work *w) {
    int64_t kept = 0;
    for (int64_t i = 0; i < w->count; i++) {
        if (w->side[i].flag == SWG__BLOCK_REFUSED) {
            double block[SWG__BLOCK_VALUES];
            swg__block_scan scan = swg__block_load(w->array, &w->blocks, w->values, w->index[i], block);
            return swg__block_refuse(w->ctx, w->array, w->index[i], &scan);
        }
        if (w->side[i].flag != SWG_BLOCK_NORMAL) {
            count_block(w, i);
            continue;
        }
        w->index[kept] = w->index[i];
        w->side[kept] = w->side[i];
        memmove(w->x + kept * w->volume, w->x + i * w->volume, (size_t)w->volume * sizeof *w->x);
        kept++;
    }
    w->count = kept;
    return SWG_OK;
}

/* Counts what went through the network and packs the values to be compared densely. */
static int64_t pack(work *w) {
    const size_t bytes = (size_t)swg_element_bytes(w->array->element), wide = sizeof *w->x;
    const int64_t all = swg_source_variables(w->source);
    int64_t packed = 0;
    for (int64_t i = 0; i < w->count; i++) {
        int64_t extent[3], inside = swg_blocks_inside(&w->blocks, w->index[i], extent);
        if (!w->finite[i]) {
            w->side[i].flag = SWG_BLOCK_RAW;
            w->tallies[w->array->variable_index].failed++;
            w->tallies[all].failed++;
        } else {
            memmove(w->original + (size_t)packed * bytes, w->original + (size_t)(i * w->volume) * bytes, (size_t)inside * bytes);
            memmove(w->reconstruction + (size_t)packed * bytes, w->reconstruction + (size_t)(i * w->volume) * bytes, (size_t)inside * bytes);
            memmove(w->x + packed, w->x + i * w->volume, (size_t)inside * wide);
            memmove(w->y + packed, w->y + i * w->volume, (size_t)inside * wide);
            packed += inside;
        }
        count_block(w, i);
    }
    return packed;
}

static swg_status run_batch(work *w) {
    int64_t looked_at = w->count;
    swg__parallel(w->ctx, tasks_of(w), enter_task, w);
    SWG__TRY(keep_normal(w));
    if (w->count) {
        SWG__TRY(swg_model_encode(w->model, w->count, w->x, w->z));
        SWG__TRY(swg_model_decode(w->model, w->count, w->z, w->y));
        swg__parallel(w->ctx, tasks_of(w), leave_task, w);
        int64_t values = pack(w);
        tally *both[2] = {&w->tallies[w->array->variable_index], &w->tallies[swg_source_variables(w->source)]};
        for (int t = 0; t < 2; t++) {
            SWG__TRY(swg_compare_add(both[t]->original, w->array->element, w->original, w->reconstruction, values));
            SWG__TRY(swg_compare_add(both[t]->normalised, SWG_ELEMENT_F32, w->x, w->y, values));
        }
    }
    w->count = 0;
    w->done += looked_at;
    if (w->opts->progress)
        w->opts->progress(w->opts->user, w->done, w->total);
    return SWG_OK;
}

static swg_status run_arrays(work *w) {
    int64_t first = 0; /* block of the source that the array begins with */
    for (int64_t a = 0; a < swg_source_count(w->source); a++, first += w->blocks.count) {
        w->array = swg_source_array(w->source, a);
        SWG__TRY(swg__block_plan(w->ctx, w->array, &w->rules, &w->blocks));
        if (w->wanted && !memchr(w->wanted + first, 1, (size_t)w->blocks.count))
            continue;
        SWG__TRY(swg_source_read(w->source, a, w->values));
        for (int64_t b = 0; b < w->blocks.count; b++) {
            if (!w->wanted || w->wanted[first + b])
                w->index[w->count++] = b;
            if (w->count == BATCH)
                SWG__TRY(run_batch(w));
        }
        if (w->count)
            SWG__TRY(run_batch(w));
    }
    return SWG_OK;
}

/* ---- results ---- */

/* Order-0 entropy of the flags in bytes, rounded up. */
static int64_t flag_bytes(const int64_t flags[3]) {
    double total = (double)(flags[0] + flags[1] + flags[2]), bits = 0;
    for (int i = 0; i < 3; i++)
        bits += flags[i] ? (double)flags[i] * log2(total / (double)flags[i]) : 0;
    return (int64_t)ceil(bits / 8);
}

static swg_status add_row(work *w, swg_evaluation *out, const tally *t, const char *name) {
    int64_t blocks = t->flags[0] + t->flags[1] + t->flags[2];
    if (!blocks)
        return SWG_OK;
    swg_evaluation_row *row = &out->rows[out->count];
    char *copy = swg__strdup(w->ctx, name);
    if (!copy)
        return swg__fail_memory(w->ctx, strlen(name), "the name of a variable");
    *row = (swg_evaluation_row){.variable = copy, .blocks = blocks, .failed_blocks = t->failed, .bytes_in = t->bytes_in,
                                .latent_bytes = t->latent_bytes, .side_bytes = t->side_bytes + flag_bytes(t->flags), .raw_bytes = t->raw_bytes};
    row->ratio_latent = t->latent_bytes ? (double)t->normal_bytes / (double)t->latent_bytes : 0;
    row->ratio = (double)row->bytes_in / (double)(row->latent_bytes + row->side_bytes + row->raw_bytes);
    swg_compare_result(t->original, &row->original);
    swg_compare_result(t->normalised, &row->normalised);
    out->count++;
    return SWG_OK;
}

static swg_status add_rows(work *w, swg_evaluation *out) {
    int64_t variables = swg_source_variables(w->source);
    out->rows = swg__calloc(w->ctx, (size_t)variables + 1, sizeof *out->rows);
    if (!out->rows)
        return swg__fail_memory(w->ctx, (size_t)(variables + 1) * sizeof *out->rows, "the rows of an evaluation");
    for (int64_t v = 0; v < variables; v++)
        SWG__TRY(add_row(w, out, &w->tallies[v], swg_source_variable(w->source, v)));
    return add_row(w, out, &w->tallies[variables], "all");
}

/* ---- public ---- */

static swg_status evaluate(work *w, swg_config *config, swg_evaluation *out) {
    swg__recipe recipe;
    swg_samples_opts samples;
    int64_t largest_bytes;
    SWG__TRY(swg__recipe_read(w->ctx, swg_model_config(w->model), &recipe));
    swg__recipe_samples(swg_model_config(w->model), &recipe, &samples);
    samples.constant = swg_config_string(config, "data.constant");
    samples.nonfinite = swg_config_string(config, "data.nonfinite");
    SWG__TRY(swg_config_status(config));
    SWG__TRY(swg__block_rules_read(w->ctx, &samples, &w->rules));
    w->volume = swg_model_network(w->model)->input;
    w->latent = swg_model_network(w->model)->latent;
    w->codes = swg_model_network(w->model)->latent_int8;
    SWG__TRY(swg__recipe_source(w->ctx, config, &w->source));
    out->files = swg_source_files(w->source);
    out->arrays = swg_source_count(w->source);
    SWG__TRY(choose_blocks(w, &samples, out, &largest_bytes));
    SWG__TRY(allocate(w, largest_bytes));
    SWG__TRY(run_arrays(w));
    return add_rows(w, out);
}

swg_status swg_evaluate(swg_context *ctx, swg_model *model, swg_config *config, const swg_evaluate_opts *opts, swg_evaluation *out) {
    const swg_evaluate_opts standard = {0};
    int64_t began_ns = swg__now_ns();
    *out = (swg_evaluation){0};
    work *w = swg__calloc(ctx, 1, sizeof *w);
    if (!w)
        return swg__fail_memory(ctx, sizeof *w, "an evaluation");
    w->ctx = ctx;
    w->model = model;
    w->opts = opts ? opts : &standard;
    swg_status status = evaluate(w, config ? config : swg_model_config(model), out);
    release(w);
    out->seconds = (double)(swg__now_ns() - began_ns) * 1e-9;
    if (status != SWG_OK)
        swg_evaluation_free(ctx, out);
    return status;
}

void swg_evaluation_free(swg_context *ctx, swg_evaluation *evaluation) {
    for (int64_t i = 0; i < evaluation->count; i++)
        swg__free(ctx, evaluation->rows[i].variable);
    swg__free(ctx, evaluation->rows);
    swg__free(ctx, evaluation->split);
    *evaluation = (swg_evaluation){0};
}

/* ---- CSV ---- */

static void csv_line(swg__text *text, const swg_evaluation_row *row, const char *scale, const swg_metrics *metrics) {
    swg__text_csv(text, row->variable);
    swg__text_printf(text, ",%s,%lld,%lld,%lld,%lld,%lld,%lld,%.17g,%.17g", scale, (long long)row->blocks,
                     (long long)row->failed_blocks, (long long)row->bytes_in, (long long)row->latent_bytes, (long long)row->side_bytes,
                     (long long)row->raw_bytes, row->ratio_latent, row->ratio);
    for (int m = 0; m < SWG_METRICS; m++) {
        swg__text_puts(text, ",");
        if (metrics->has[m])
            swg__text_printf(text, "%.17g", metrics->value[m]);
    }
    swg__text_puts(text, "\n");
}

swg_status swg_evaluation_write_csv(swg_context *ctx, const swg_evaluation *evaluation, const char *path) {
    swg__text text;
    swg__text_init(&text, ctx);
    swg__text_puts(&text, "variable,scale,blocks,failed_blocks,bytes_in,latent_bytes,side_bytes,raw_bytes,ratio_latent,ratio");
    for (int m = 0; m < SWG_METRICS; m++)
        swg__text_printf(&text, ",%s", swg_metric_key((swg_metric)m));
    swg__text_puts(&text, "\n");
    for (int64_t i = 0; i < evaluation->count; i++) {
        csv_line(&text, &evaluation->rows[i], "original", &evaluation->rows[i].original);
        csv_line(&text, &evaluation->rows[i], "normalised", &evaluation->rows[i].normalised);
    }
    swg_status status = text.failed ? swg__fail_memory(ctx, 0, "the CSV of an evaluation") : swg__file_write(ctx, path, text.data, text.length);
    swg__text_free(&text);
    return status;
}
