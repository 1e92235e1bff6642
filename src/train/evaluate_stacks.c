/* evaluate_stacks.c - a network of family cyto over a data set: whole images against their targets, objects against labels; or patches.
 * In: an opened model, images. Out: figures per image and over all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "swage/evaluate.h"
#include "train/run.h"
#include "train/whole.h"

enum { PATCHES_AT_ONCE = 8 };
static const char *const part_names[] = {"train", "val", "test", "all"};
enum { ALL = SWG_PARTS };

typedef struct work {
    swg_context *ctx;
    swg_model *model;
    const swg_stack_evaluate_opts *opts;
    swg_stack_evaluation *out;
    swg_instances_opts instances;
    swg__volumes *volumes;
    int64_t *items, count;
    int part, axes, heads;
    char labels[512];           /* text of their key */
    swg__whole_head head[SWG__STEP_OUTPUTS];
    float *made[SWG__STEP_OUTPUTS];         /* of the image in work: (channels, z, y, x) */
    int64_t extent[SWG__STEP_OUTPUTS][3];
} work;

static swg_status find_part(work *w) {
    const char *name = w->opts->part ? w->opts->part : part_names[SWG_TEST];
    for (w->part = 0; w->part <= ALL; w->part++)
        if (strcmp(name, part_names[w->part]) == 0)
            return SWG_OK;
    return swg__fail(w->ctx, SWG_EUSAGE, "part \"%s\": expected train, val, test or all", name);
}

static swg_status copy_line(work *w, char **to, const char *text) {
    *to = swg__strdup(w->ctx, text);
    return *to ? SWG_OK : swg__fail_memory(w->ctx, strlen(text), "a line of the report");
}

/* ---- whole images ---- */

static int64_t voxels(const work *w, int head) { return w->extent[head][0] * w->extent[head][1] * w->extent[head][2]; }

static swg_status write_slab(void *user, int64_t k, int head, const int64_t start[3], const int64_t count[3], const float *values) {
    work *w = user;
    if (start[0] == 0 && start[1] == 0 && start[2] == 0) {
        int64_t dims[4];
        SWG__TRY(swg__volumes_extent(w->volumes, w->items[k], 0, dims));
        for (int i = 0; i < 3; i++)
            w->extent[head][i] = dims[1 + i] * (i < 3 - w->axes ? 1 : w->head[head].scale);
        const size_t bytes = (size_t)(voxels(w, head) * w->head[head].channels) * sizeof(float);
        if (!(w->made[head] = swg__alloc(w->ctx, bytes)))
            return swg__fail_memory(w->ctx, bytes, "a predicted image");
    }
    const int64_t plane = count[1] * count[2], slab = count[0] * plane;
    for (int c = 0; c < w->head[head].channels; c++)
        memcpy(w->made[head] + c * voxels(w, head) + start[0] * plane, values + c * slab, (size_t)slab * sizeof *values);
    return SWG_OK;
}

/* Both cut to what they have in common: a target of a zoomed image may be a few voxels larger. */
static swg_status crop(work *w, const float *from, const int64_t dims[4], const int64_t extent[3], float **out) {
    const size_t bytes = (size_t)(dims[0] * extent[0] * extent[1] * extent[2]) * sizeof **out;
    float *to = *out = swg__alloc(w->ctx, bytes);
    if (!to)
        return swg__fail_memory(w->ctx, bytes, "an image");
    for (int64_t c = 0; c < dims[0]; c++)
        for (int64_t z = 0; z < extent[0]; z++)
            for (int64_t y = 0; y < extent[1]; y++, to += extent[2])
                memcpy(to, from + ((c * dims[1] + z) * dims[2] + y) * dims[3], (size_t)extent[2] * sizeof *to);
    return SWG_OK;
}

static swg_status score_objects(work *w, const float *made, const float *labels, const int64_t extent[3], swg_instance_score *sums) {
    const int64_t count = extent[0] * extent[1] * extent[2];
    uint32_t *found = swg__alloc(w->ctx, 2 * (size_t)count * sizeof *found), *reference = found + count;
    if (!found)
        return swg__fail_memory(w->ctx, 2 * (size_t)count * sizeof *found, "labels");
    swg_status status = swg_instances_find(w->ctx, extent, made, &w->instances, found, NULL);
    for (int64_t i = 0; i < count; i++)
        reference[i] = labels[i] > 0 ? (uint32_t)labels[i] : 0;
    if (status == SWG_OK)
        status = swg_instance_score_add(w->ctx, sums, count, reference, found);
    swg__free(w->ctx, found);
    return status;
}

/* Compares a head's result with key `key` of the data, both cut to what they share. */
static swg_status compare(work *w, int64_t item, int head, int key, swg_stack_row *row) {
    swg__volume truth;
    float *made = NULL, *target = NULL;
    int64_t extent[3];
    SWG__TRY(swg__volumes_whole(w->volumes, item, key, &truth));
    for (int i = 0; i < 3; i++)
        extent[i] = truth.dims[1 + i] < w->extent[head][i] ? truth.dims[1 + i] : w->extent[head][i];
    const int64_t dims[4] = {w->head[head].channels, w->extent[head][0], w->extent[head][1], w->extent[head][2]};
    swg_status status = crop(w, w->made[head], dims, extent, &made);
    if (status == SWG_OK)
        status = crop(w, truth.values, truth.dims, extent, &target);
    if (status == SWG_OK && key > w->heads)
        status = score_objects(w, made, target, extent, &row->objects);
    else if (status == SWG_OK && w->head[head].mask)
        swg_overlap_add(&row->overlap, target, made, dims[0] * extent[0] * extent[1] * extent[2]);
    else if (status == SWG_OK)
        status = swg_image_quality_add(w->ctx, &row->quality, target, made, &(swg_quality_opts){.channels = (int)dims[0], .fit_taps = true,
                                       .extent = {extent[0], extent[1], extent[2]}});
    swg__free(w->ctx, made);
    swg__free(w->ctx, target);
    swg__volumes_release(w->volumes, &truth);
    return status;
}

static swg_status finish(void *user, int64_t k) {
    work *w = user;
    const int64_t item = w->items[k];
    for (int h = 0; h < w->heads; h++) {
        swg_stack_row *row = &w->out->rows[k * w->heads + h], *all = &w->out->rows[w->count * w->heads + h];
        SWG__TRY(copy_line(w, &row->image, swg__volumes_item_at(w->volumes, item)->stem));
        row->head = h;
        SWG__TRY(compare(w, item, h, 1 + h, row));
        if (w->out->scored[h])
            SWG__TRY(compare(w, item, h, 1 + w->heads, row));
        swg_image_quality_join(&all->quality, &row->quality);
        swg_overlap_join(&all->overlap, &row->overlap);
        swg_instance_score_join(&all->objects, &row->objects);
        swg__free(w->ctx, w->made[h]);
        w->made[h] = NULL;
    }
    return SWG_OK;
}

static swg_status choose_items(work *w) {
    const int64_t all = swg__volumes_items(w->volumes);
    w->items = swg__calloc(w->ctx, (size_t)(all ? all : 1), sizeof *w->items);
    if (!w->items)
        return swg__fail_memory(w->ctx, (size_t)all * sizeof *w->items, "a list of images");
    for (int64_t i = 0; i < all; i++)
        if (w->part == ALL || swg__volumes_item_at(w->volumes, i)->part == w->part)
            w->items[w->count++] = i;
    return w->count ? SWG_OK : swg__fail(w->ctx, SWG_EINVAL, "no image in part %s of the data", part_names[w->part]);
}

/* data.labels, which are ids whether it says so or not: what changes values is refused with them. */
static swg_status read_labels(work *w, swg_config *config, const char **out) {
    const char *text = swg_config_string(config, "data.labels");
    swg__volume_key key;
    SWG__TRY(swg__volume_key_parse(w->ctx, "data.labels", text, &key));
    if (snprintf(w->labels, sizeof w->labels, "%s%s", text, key.labels ? "" : " labels") >= (int)sizeof w->labels)
        return swg__fail(w->ctx, SWG_EUSAGE, "data.labels is longer than %zu characters", sizeof w->labels - 8);
    *out = w->labels;
    return SWG_OK;
}

/* Targets have their heads' channels, labels one. */
static swg_status check_channels(const work *w) {
    for (int key = 1; key < swg__volumes_keys(w->volumes); key++) {
        const int64_t there = swg__volumes_channels(w->volumes, key), wanted = key <= w->heads ? w->head[key - 1].channels : 1;
        if (there != wanted)
            return swg__fail(w->ctx, SWG_EINVAL, "%s: \"%s\" has %lld channels, expected %lld; say which, as channel=0", key <= w->heads ? "data.target" : "data.labels",
                             swg__volumes_key(w->volumes, key)->column, (long long)there, (long long)wanted);
    }
    return SWG_OK;
}

static swg_status open_volumes(work *w, swg_config *config) {
    const swg__recipe *r = swg__model_recipe(w->model);
    const char *targets[SWG__CYTO_HEADS + 1];
    swg__volumes_opts opts;
    SWG__TRY(swg__cyto_volumes(w->ctx, config, r, targets, &opts));
    SWG__TRY(swg__cyto_path(w->ctx, &opts));
    opts.use = w->part == SWG_TEST ? SWG__VOLUMES_EVAL : SWG__VOLUMES_ALL;
    opts.cache = "none";
    memset(opts.patch, 0, sizeof opts.patch);
    opts.note = w->opts->note;
    opts.note_user = w->opts->user;
    if (swg_config_has(config, "data.labels"))
        SWG__TRY(read_labels(w, config, &targets[opts.target_count++]));
    int first = 0; /* head that predicts a mask */
    while (first < w->heads && !w->head[first].mask)
        first++;
    if (opts.target_count > w->heads && first == w->heads)
        return swg__fail(w->ctx, SWG_EUSAGE, "data.labels: this network predicts no mask, so there are no objects to compare");
    for (int h = 0; h < w->heads; h++)
        w->out->scored[h] = h == first && opts.target_count > w->heads;
    SWG__TRY(swg__volumes_open(w->ctx, &opts, &w->volumes));
    SWG__TRY(check_channels(w));
    SWG__TRY(copy_line(w, &w->out->data, swg__volumes_summary(w->volumes)));
    SWG__TRY(copy_line(w, &w->out->split, swg__volumes_split(w->volumes)->description));
    return choose_items(w);
}

static swg_status evaluate_whole(work *w, swg_config *config) {
    const swg__recipe_cyto *c = &swg__model_recipe(w->model)->cyto;
    swg_stack_evaluation *e = w->out;
    SWG__TRY(open_volumes(w, config));
    e->images = w->count;
    e->rows = swg__calloc(w->ctx, (size_t)((w->count + 1) * w->heads), sizeof *e->rows);
    if (!e->rows)
        return swg__fail_memory(w->ctx, (size_t)((w->count + 1) * w->heads) * sizeof *e->rows, "figures");
    e->count = (w->count + 1) * w->heads;
    for (int h = 0; h < w->heads; h++) {
        e->rows[w->count * w->heads + h].head = h;
        SWG__TRY(copy_line(w, &e->rows[w->count * w->heads + h].image, "all"));
    }
    swg__whole whole = {.ctx = w->ctx, .model = w->model, .volumes = w->volumes, .items = w->items, .count = w->count, .overlap = w->opts->overlap,
                        .constant = w->opts->constant, .batch = w->opts->batch, .write = write_slab, .finish = finish, .user = w,
                        .progress = w->opts->progress, .progress_user = w->opts->user, .stop = w->opts->stop};
    for (int i = 0; i < 3; i++)
        whole.roi[i] = w->opts->roi[i] < 0 ? 0 : w->opts->roi[i] ? w->opts->roi[i] : c->patch[i];
    swg_status status = swg__whole_run(&whole);
    e->windows = whole.windows;
    e->planned_bytes = whole.planned_bytes;
    return status;
}

/* ---- patches: networks of tokens ---- */

static void add_term(swg_stack_evaluation *e, const char *name, double value) {
    if (e->terms < SWG_STACK_TERMS && !isnan(value)) {
        e->term[e->terms].name = name;
        e->term[e->terms++].value = value;
    }
}

/* As a validation of the run sees them. */
static swg_status run_patches(work *w, swg__run *run, swg__stage *s, void *judge) {
    const swg_split *split = run->data.split;
    const int64_t *indices = w->part == ALL ? NULL : split->indices[w->part], total = w->part == ALL ? run->data_count : split->count[w->part];
    const swg__draw draw = {.seed = run->recipe.seed};
    double sum = 0;
    int64_t one;
    char message[256] = "";
    if (!total)
        return swg__fail(w->ctx, SWG_EINVAL, "no image in part %s of the data", part_names[w->part]);
    float *batch = swg__alloc(w->ctx, (size_t)swg__run_batch_bytes(&run->recipe, 1));
    swg_status status = batch ? SWG_OK : swg__fail_memory(w->ctx, (size_t)swg__run_batch_bytes(&run->recipe, 1), "a patch");
    for (int64_t i = 0; i < total && status == SWG_OK; i++) {
        if (w->opts->stop && *w->opts->stop)
            status = swg__fail(w->ctx, SWG_EINTERRUPTED, "stopped after %lld of %lld patches", (long long)i, (long long)total);
        one = indices ? indices[i] : i;
        if (status == SWG_OK && run->recipe.family->fetch(&run->data, &draw, &one, 1, batch, message, sizeof message) != SWG_OK)
            status = swg__fail(w->ctx, SWG_EIO, "%s", message);
        const float *from = batch;
        for (int k = 0; k < s->graph.inputs && status == SWG_OK; k++) {
            const int64_t n = swg_elements(s->graph.g, s->graph.in[k]);
            void *to = swg_plan_data(s->plan, s->graph.in[k]);
            if (to)
                memcpy(to, from, (size_t)n * sizeof *from);
            from += n;
        }
        if (status == SWG_OK)
            status = swg_plan_run(s->plan, 0, 0);
        if (status == SWG_OK) {
            sum += (double)*(const float *)swg_plan_data(s->plan, s->graph.loss);
            status = run->recipe.family->judge_add(run, judge, s->plan, &s->graph, &one, 1);
        }
        if (w->opts->progress && status == SWG_OK)
            w->opts->progress(w->opts->user, i + 1, total);
    }
    swg__free(w->ctx, batch);
    if (status == SWG_OK)
        add_term(w->out, "loss", sum / (double)total);
    return status;
}

typedef struct noter { const swg_stack_evaluate_opts *opts; } noter;

static void pass_note(void *user, const char *text) {
    const noter *n = user;
    if (n->opts->note)
        n->opts->note(n->opts->user, text);
}

static swg_status evaluate_patches(work *w, swg_config *config) {
    noter n = {w->opts};
    const swg_train_hooks hooks = {.note = pass_note, .user = &n};
    swg__run run = {.ctx = w->ctx, .config = config, .hooks = &hooks, .recipe = *swg__model_recipe(w->model)};
    swg__stage stage = {0};
    void *judge = NULL;
    double figures[SWG__FIGURES];
    if (swg_config_has(config, "data.labels"))
        return swg__fail(w->ctx, SWG_EUSAGE, "data.labels: this network predicts no mask, so there are no objects to compare");
    run.recipe.batch = 1;
    run.recipe.workers = 0;
    for (int i = 0; i < SWG__FIGURES; i++)
        figures[i] = NAN;
    swg_status status = swg__run_data(&run);
    if (status == SWG_OK)
        status = copy_line(w, &w->out->split, run.data.split->description);
    if (status == SWG_OK)
        status = swg__stage_make(&run, &stage, 1, false);
    if (status == SWG_OK)
        status = swg_plan_open(stage.plan, swg_model_weights(w->model), NULL);
    if (status == SWG_OK)
        status = run.recipe.family->judge_open(&run, &judge);
    if (status == SWG_OK)
        status = run_patches(w, &run, &stage, judge);
    if (judge)
        run.recipe.family->judge_end(&run, judge, status, figures);
    for (int i = 0; i < SWG__FIGURES && run.recipe.family->figures[i] && status == SWG_OK; i++)
        add_term(w->out, run.recipe.family->figures[i], figures[i]);
    swg__stage_free(&stage);
    run.recipe.family->close(&run, &run.data);
    return status;
}

/* ---- all of it ---- */

swg_status swg_evaluate_stacks(swg_context *ctx, swg_model *model, swg_config *config, const swg_stack_evaluate_opts *opts, swg_stack_evaluation *out) {
    static const swg_stack_evaluate_opts none = {0};
    const int64_t begin = swg__now_ns();
    work w = {.ctx = ctx, .model = model, .opts = opts ? opts : &none, .out = out};
    *out = (swg_stack_evaluation){0};
    if (strcmp(swg_model_family(model), "cyto") != 0)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: a network of family %s; one of family cyto is needed here", swg_model_path(model), swg_model_family(model));
    SWG__TRY(find_part(&w));
    config = config ? config : swg_model_config(model);
    w.axes = swg__model_recipe(model)->cyto.axes;
    w.heads = out->heads = swg__whole_heads(model, w.head);
    for (int h = 0; h < w.heads; h++) {
        snprintf(out->head[h], sizeof out->head[h], "%s", w.head[h].name);
        out->mask[h] = w.head[h].mask;
    }
    swg_instances_defaults(&w.instances);
    if (w.opts->instances)
        w.instances = *w.opts->instances;
    swg_status status = w.heads ? evaluate_whole(&w, config) : evaluate_patches(&w, config);
    for (int h = 0; h < w.heads; h++)
        swg__free(ctx, w.made[h]);
    swg__free(ctx, w.items);
    swg__volumes_close(w.volumes);
    out->seconds = (double)(swg__now_ns() - begin) * 1e-9;
    if (status != SWG_OK)
        swg_stack_evaluation_free(ctx, out);
    return status;
}

void swg_stack_evaluation_free(swg_context *ctx, swg_stack_evaluation *e) {
    for (int64_t i = 0; i < e->count; i++)
        swg__free(ctx, e->rows[i].image);
    swg__free(ctx, e->rows);
    swg__free(ctx, e->data);
    swg__free(ctx, e->split);
    *e = (swg_stack_evaluation){0};
}
