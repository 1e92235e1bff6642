/* evaluate_images.c - a network of images over a data set: errors of its input and of its result, per group and over all.
 * In: an opened model, images. Out: figures, and the tiles themselves where they are wanted.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "data/npy.h"
#include "swage/evaluate.h"
#include "train/recipe.h"

enum { TILES_AT_ONCE = 8, ALL = SWG_PARTS, CLEAN = 0, NOISY, DECODED, ARRAYS };
static const char *const part_names[] = {"train", "val", "test", "all"};
static const char *const array_names[ARRAYS] = {"clean", "noisy", "decoded"};

typedef struct work {
    swg_context *ctx;
    swg_model *model;
    const swg_image_evaluate_opts *opts;
    swg__recipe recipe;             /* of the model, with the noise that is asked for */
    swg__images *images;
    const int64_t *indices;         /* NULL: all of them */
    int64_t total, batch;
    swg__step_graph step;
    swg_plan *plan;
    float *pair;                    /* (2, batch, values): noisy, clean */
    int64_t *row_of;                /* (images): of the group */
    swg__writer writer[ARRAYS];
    int writers;
    swg_image_evaluation *out;
} work;

/* ---- what is read ---- */

static swg_status find_part(work *w, int *part) {
    const char *name = w->opts->part ? w->opts->part : part_names[ALL];
    for (*part = 0; *part <= ALL; ++*part)
        if (strcmp(name, part_names[*part]) == 0)
            return SWG_OK;
    return swg__fail(w->ctx, SWG_EUSAGE, "part \"%s\": expected all, train, val or test", name);
}

static swg_status open_images(work *w, swg_config *config) {
    swg__images_opts opts;
    int part;
    SWG__TRY(find_part(w, &part));
    if (!swg_config_has(config, "data.path"))
        return swg__fail(w->ctx, SWG_EUSAGE, "data.path is not set; say data.path=FOLDER, a CSV with a column Image, or an image");
    swg__kan_images(config, &w->recipe, &opts);
    opts.no_split = part == ALL;
    opts.note = w->opts->note;
    opts.note_user = w->opts->user;
    SWG__TRY(swg_config_status(config));
    SWG__TRY(swg__images_open(w->ctx, &opts, &w->images));
    if (part != ALL && (!swg_model_data(w->model) || strcmp(swg_model_data(w->model), swg__images_digest(w->images)) != 0))
        return swg__fail(w->ctx, SWG_EINVAL, "part %s: the data or their split are not those of the training run, so the parts are not, either; "
                         "leave the part out", part_names[part]);
    const swg_split *split = swg__images_split(w->images);
    w->indices = part == ALL ? NULL : split->indices[part];
    w->total = part == ALL ? swg__images_count(w->images) : split->count[part];
    if (w->total < 1)
        return swg__fail(w->ctx, SWG_EINVAL, "part %s has no tiles", part_names[part]);
    swg_image_evaluation *out = w->out;
    out->images = swg__images_files(w->images);
    out->skipped = swg__images_skipped(w->images);
    out->split = swg__strdup(w->ctx, part == ALL ? "split: none (all images)" : split->description);
    out->data = swg__strdup(w->ctx, swg__images_summary(w->images));
    return out->split && out->data ? SWG_OK : swg__fail_memory(w->ctx, 0, "an evaluation");
}

/* A row per group that occurs, in order of appearance, and the one over all. */
static swg_status make_rows(work *w) {
    swg_image_evaluation *out = w->out;
    const int64_t files = swg__images_files(w->images);
    w->row_of = swg__calloc(w->ctx, (size_t)files, sizeof *w->row_of);
    out->rows = swg__calloc(w->ctx, (size_t)files + 1, sizeof *out->rows);
    if (!w->row_of || !out->rows)
        return swg__fail_memory(w->ctx, (size_t)files * sizeof *out->rows, "groups of images");
    for (int64_t f = 0; f < files; f++) {
        const char *group = swg__images_file_at(w->images, f)->group;
        int64_t row = 0;
        if (!group) {
            w->row_of[f] = -1;
            continue;
        }
        while (row < out->count && strcmp(out->rows[row].group, group) != 0)
            row++;
        w->row_of[f] = row;
        if (row == out->count && !(out->rows[out->count++].group = swg__strdup(w->ctx, group)))
            return swg__fail_memory(w->ctx, strlen(group), "groups of images");
    }
    out->rows[out->count++].group = swg__strdup(w->ctx, "all");
    return out->rows[out->count - 1].group ? SWG_OK : swg__fail_memory(w->ctx, 4, "groups of images");
}

/* ---- the network ---- */

static int64_t tile_values(const work *w) { return w->recipe.family->sample_values(&w->recipe) / 2; }

static swg_status make_plan(work *w) {
    swg_image_evaluation *out = w->out;
    swg_value outputs[SWG__STEP_TERMS + SWG__STEP_OUTPUTS];
    int count = 0;
    w->batch = w->opts->batch ? w->opts->batch : TILES_AT_ONCE;
    w->batch = w->batch < w->total ? w->batch : w->total;
    SWG__TRY(swg__step_graph_build(w->ctx, &w->recipe, w->batch, false, &w->step));
    for (int i = 0; i < w->step.outputs; i++)
        outputs[count++] = w->step.out[i];
    for (int i = 0; i < w->step.terms; i++)
        outputs[count++] = w->step.term[i];
    const swg_plan_opts opts = swg__recipe_plan_opts(&w->recipe, outputs, count, true);
    SWG__TRY(swg_plan_make(w->step.g, &opts, &w->plan));
    SWG__TRY(swg_plan_open(w->plan, swg_model_weights(w->model), NULL));
    out->z_channels = swg_shape(w->step.g, w->step.out[1])[1];
    for (int i = 1; i < w->step.terms; i++) /* the first is the error, which has its own figures */
        out->term[out->terms++].name = w->step.term_name[i];
    const size_t channels = (size_t)out->z_channels, pair = (size_t)(2 * w->batch * tile_values(w));
    out->z_mean = swg__calloc(w->ctx, channels, sizeof(double));
    out->z_sd = swg__calloc(w->ctx, channels, sizeof(double));
    w->pair = swg__alloc(w->ctx, pair * sizeof *w->pair);
    return out->z_mean && out->z_sd && w->pair ? SWG_OK : swg__fail_memory(w->ctx, pair * sizeof *w->pair, "tiles to be judged");
}

static swg_status open_arrays(work *w) {
    const int64_t dims[4] = {w->total, w->recipe.kan.network.image, w->recipe.kan.tile, w->recipe.kan.tile};
    if (!w->opts->arrays)
        return SWG_OK;
    SWG__TRY(swg__make_folders(w->ctx, w->opts->arrays));
    for (; w->writers < ARRAYS; w->writers++) {
        char path[2048];
        swg__text head;
        snprintf(path, sizeof path, "%.1900s/%s.npy", w->opts->arrays, array_names[w->writers]);
        SWG__TRY(swg__writer_open(&w->writer[w->writers], w->ctx, path));
        swg__text_init(&head, w->ctx);
        swg__npy_head(SWG_ELEMENT_F32, 4, dims, &head);
        swg_status status = head.failed ? swg__fail_memory(w->ctx, 128, path) : swg__writer_write(&w->writer[w->writers], head.data, head.length);
        swg__text_free(&head);
        if (status != SWG_OK) {
            w->writers++; /* is open, and to be dropped */
            return status;
        }
    }
    return SWG_OK;
}

/* ---- batches ---- */

static swg_status judge(work *w, int64_t count, const int64_t *indices) {
    const int64_t values = tile_values(w), tile = w->recipe.kan.tile;
    const swg_quality_opts opts = {.channels = (int)w->recipe.kan.network.image, .extent = {1, tile, tile}, .range = 1, .clip = true};
    const float *noisy = w->pair, *clean = w->pair + count * values, *decoded = swg_plan_data(w->plan, w->step.out[0]);
    swg_image_row *all = &w->out->rows[w->out->count - 1];
    for (int64_t i = 0; i < count; i++) {
        int64_t group = w->row_of[swg__images_sample_at(w->images, indices[i])->image];
        swg_image_quality before = {0}, after = {0};
        SWG__TRY(swg_image_quality_add(w->ctx, &before, clean + i * values, noisy + i * values, &opts));
        SWG__TRY(swg_image_quality_add(w->ctx, &after, clean + i * values, decoded + i * values, &opts));
        for (int k = group < 0 ? 1 : 0; k < 2; k++) {
            swg_image_row *row = k ? all : &w->out->rows[group];
            row->tiles++;
            swg_image_quality_join(&row->noisy, &before);
            swg_image_quality_join(&row->restored, &after);
        }
    }
    return SWG_OK;
}

static void add_latents(work *w, int64_t count) {
    const float *z = swg_plan_data(w->plan, w->step.out[1]);
    const int64_t channels = w->out->z_channels, plane = swg_elements(w->step.g, w->step.out[1]) / w->batch / channels;
    for (int64_t i = 0; i < count * channels; i++)
        for (int64_t p = 0; p < plane; p++, z++) {
            w->out->z_mean[i % channels] += (double)*z;
            w->out->z_sd[i % channels] += (double)*z * (double)*z;
        }
    for (int i = 0; i < w->out->terms; i++)
        w->out->term[i].value += (double)*(const float *)swg_plan_data(w->plan, w->step.term[i + 1]) * (double)count / (double)w->total;
}

static swg_status run_batch(work *w, int64_t count, const int64_t *indices) {
    const int64_t values = tile_values(w);
    const size_t bytes = (size_t)(count * values) * sizeof(float);
    char message[256] = "";
    swg__images_draw draw;
    swg__kan_draw(&w->recipe, &(swg__draw){.seed = w->recipe.seed}, &draw);
    swg_status status = swg__images_fetch(w->images, indices, count, &draw, w->pair, w->pair + count * values, message, sizeof message);
    if (status != SWG_OK)
        return swg__fail(w->ctx, status, "%s", message);
    for (int i = 0; i < w->step.inputs; i++) {
        float *in = swg_plan_data(w->plan, w->step.in[i]);
        memcpy(in, w->pair + i * count * values, bytes);
        for (int64_t k = count; k < w->batch; k++) /* a short batch is filled up with its first tile: shares of the terms hardly move */
            memcpy(in + k * values, in, (size_t)values * sizeof *in);
    }
    SWG__TRY(swg_plan_run(w->plan, 0, 0));
    add_latents(w, count);
    const float *arrays[ARRAYS] = {w->pair + count * values, w->pair, swg_plan_data(w->plan, w->step.out[0])};
    for (int i = 0; i < w->writers; i++)
        SWG__TRY(swg__writer_write(&w->writer[i], arrays[i], bytes));
    return judge(w, count, indices);
}

static swg_status run_batches(work *w) {
    int64_t *indices = swg__alloc(w->ctx, (size_t)w->batch * sizeof *indices);
    if (!indices)
        return swg__fail_memory(w->ctx, (size_t)w->batch * sizeof *indices, "a batch");
    swg_status status = SWG_OK;
    for (int64_t first = 0; first < w->total && status == SWG_OK; first += w->batch) {
        int64_t count = w->total - first < w->batch ? w->total - first : w->batch;
        for (int64_t i = 0; i < count; i++)
            indices[i] = w->indices ? w->indices[first + i] : first + i;
        status = w->opts->stop && *w->opts->stop ? swg__fail(w->ctx, SWG_EINTERRUPTED, "stopped after %lld of %lld tiles", (long long)first, (long long)w->total)
                                                 : run_batch(w, count, indices);
        if (status == SWG_OK && w->opts->progress)
            w->opts->progress(w->opts->user, first + count, w->total);
    }
    swg__free(w->ctx, indices);
    return status;
}

static void finish(work *w) {
    swg_image_evaluation *out = w->out;
    const double n = (double)(w->total * (swg_elements(w->step.g, w->step.out[1]) / w->batch / out->z_channels));
    for (int64_t c = 0; c < out->z_channels; c++) {
        out->z_mean[c] /= n;
        out->z_sd[c] = sqrt(fmax(0, out->z_sd[c] / n - out->z_mean[c] * out->z_mean[c]));
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < out->count; i++) { /* groups of which this part has nothing */
        if (out->rows[i].tiles || i == out->count - 1)
            out->rows[kept++] = out->rows[i];
        else
            swg__free(w->ctx, out->rows[i].group);
    }
    out->count = kept;
}

static swg_status evaluate(work *w, swg_config *config) {
    char text[128];
    swg__recipe asked;
    SWG__TRY(swg__recipe_read(w->ctx, config, &asked));
    w->recipe = *swg__model_recipe(w->model);
    if (w->recipe.family != &swg__family_kan)
        return swg__fail(w->ctx, SWG_EUNSUPPORTED, "%s: a network of family %s, not of images", swg_model_path(w->model), w->recipe.family->name);
    w->recipe.kan.noise = asked.kan.noise;
    w->recipe.seed = asked.seed;
    const swg__noise *n = &w->recipe.kan.noise;
    snprintf(text, sizeof text, "noise: %s", swg__noise_name(n->kind));
    if (n->kind == SWG__NOISE_GAUSS || n->kind == SWG__NOISE_RECT_GAUSS)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", sigma %g", n->sigma);
    w->out->noise = swg__strdup(w->ctx, text);
    SWG__TRY(open_images(w, config));
    SWG__TRY(make_rows(w));
    SWG__TRY(make_plan(w));
    SWG__TRY(open_arrays(w));
    SWG__TRY(run_batches(w));
    finish(w);
    for (; w->writers > 0; w->writers--)
        SWG__TRY(swg__writer_commit(&w->writer[w->writers - 1]));
    return SWG_OK;
}

swg_status swg_evaluate_images(swg_context *ctx, swg_model *model, swg_config *config, const swg_image_evaluate_opts *opts, swg_image_evaluation *out) {
    static const swg_image_evaluate_opts none = {0};
    const int64_t begin = swg__now_ns();
    *out = (swg_image_evaluation){0};
    work w = {.ctx = ctx, .model = model, .opts = opts ? opts : &none, .out = out};
    swg_status status = evaluate(&w, config ? config : swg_model_config(model));
    for (int i = 0; i < w.writers; i++)
        swg__writer_abort(&w.writer[i]);
    swg_plan_destroy(w.plan);
    swg_graph_destroy(w.step.g);
    swg__images_close(w.images);
    swg__free(ctx, w.pair);
    swg__free(ctx, w.row_of);
    out->seconds = (double)(swg__now_ns() - begin) * 1e-9;
    if (status != SWG_OK)
        swg_image_evaluation_free(ctx, out);
    return status;
}

void swg_image_evaluation_free(swg_context *ctx, swg_image_evaluation *e) {
    for (int64_t i = 0; i < e->count; i++)
        swg__free(ctx, e->rows[i].group);
    void *const all[] = {e->rows, e->split, e->data, e->noise, e->z_mean, e->z_sd};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        swg__free(ctx, all[i]);
    *e = (swg_image_evaluation){0};
}
