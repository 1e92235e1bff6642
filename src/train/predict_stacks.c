/* predict_stacks.c - stacks through a network of family cyto: files in, files out; arrays in, arrays out.
 * In: an opened model, images. Out: a TIFF per head and image, label images, or a table of embeddings.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "data/image_list.h"
#include "swage/predict.h"
#include "swage/stack.h"
#include "train/recipe.h"
#include "train/whole.h"

enum { PATH_MOST = 4096 };

/* What is being made of one image by one head. */
typedef struct output {
    swg_stack_writer *writer;
    float *values;              /* the whole image, where it must be seen whole: (channels, z, y, x) */
    int64_t extent[3];
    double size_um[3];          /* of a voxel; 0: not told */
    char path[PATH_MOST];
} output;

typedef struct job {
    swg_context *ctx;
    const swg_predict_stacks_opts *opts;
    swg_predict_stacks_result *result;
    const char *folder;
    swg__volumes *volumes;
    int64_t *items, count;
    int heads;
    swg__whole_head head[SWG__STEP_OUTPUTS];
    output out[SWG__STEP_OUTPUTS];
    int axes;
    swg__text table;            /* embeddings.csv */
    swg__text account;          /* predict.txt: what results are made of; written before the first of them */
    bool accounted;
    swg_prediction *arrays;     /* results go there instead of files */
} job;

/* ---- names ---- */

static swg_status path_of(job *j, int head, const char *ending, int64_t item, char out[PATH_MOST]) {
    const char *stem = swg__volumes_item_at(j->volumes, item)->stem;
    if (snprintf(out, PATH_MOST, "%s/%s%s/%s.tif", j->folder, j->head[head].name, ending, stem) >= PATH_MOST)
        return swg__fail(j->ctx, SWG_EINVAL, "%s: the path of its output is too long", stem);
    return SWG_OK;
}

static swg_status make_parent(job *j, const char *path) {
    char parent[PATH_MOST];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    return swg__make_folders(j->ctx, parent);
}

/* FOLDER/predict.txt, before the first result has its name. */
static swg_status write_account(job *j) {
    char path[PATH_MOST];
    if (j->accounted)
        return SWG_OK;
    j->accounted = true;
    snprintf(path, sizeof path, "%s/predict.txt", j->folder);
    SWG__TRY(swg__make_folders(j->ctx, j->folder));
    return swg__file_write(j->ctx, path, j->account.data, j->account.length);
}

static bool labelled(const job *j, int head) { return j->opts->instances && j->head[head].mask; }

/* Is everything there that image `item` becomes, or a part of it? */
static swg_status is_there(job *j, int64_t item, bool *all, bool *some) {
    char path[PATH_MOST];
    *all = true;
    *some = false;
    for (int h = 0; h < j->heads; h++)
        for (int part = 0; part < 1 + labelled(j, h); part++) {
            SWG__TRY(path_of(j, h, part ? "_instances" : "", item, path));
            const bool exists = swg__exists(path);
            *all = *all && exists;
            *some = *some || exists;
            if (exists && j->opts->existing == SWG_EXISTING_ERROR)
                return swg__fail(j->ctx, SWG_EINVAL, "%s stands there already; choose another folder, or say predict.existing=skip or replace", path);
        }
    return SWG_OK;
}

/* Items whose outputs are not there yet. */
static swg_status choose_items(job *j) {
    const int64_t all = swg__volumes_items(j->volumes);
    j->items = swg__calloc(j->ctx, (size_t)(all ? all : 1), sizeof *j->items);
    if (!j->items)
        return swg__fail_memory(j->ctx, (size_t)all * sizeof *j->items, "a list of images");
    for (int64_t i = 0; i < all; i++) {
        bool complete = false, some;
        if (j->heads && !j->arrays)
            SWG__TRY(is_there(j, i, &complete, &some));
        if (complete && j->opts->existing == SWG_EXISTING_SKIP)
            j->result->skipped++;
        else
            j->items[j->count++] = i;
    }
    return SWG_OK;
}

/* ---- values to files ---- */

static swg_element type_of(const job *j, int head) {
    const swg__whole_head *h = &j->head[head];
    return j->opts->type ? j->opts->type : h->mask || h->signed_unit || j->opts->thresholded ? SWG_ELEMENT_U8 : SWG_ELEMENT_F32;
}

static double top_of(swg_element type) { return type == SWG_ELEMENT_U8 ? 255 : type == SWG_ELEMENT_U16 ? 65535 : 1; }

/* Objects need a mask; integers a range to be scaled to. */
static swg_status check_types(job *j) {
    bool masks = false;
    for (int h = 0; h < j->heads; h++)
        masks = masks || j->head[h].mask;
    if (j->opts->instances && !masks && !j->arrays) /* of arrays what concerns files is not read */
        return swg__fail(j->ctx, SWG_EUSAGE, "predict.instances: this network predicts no mask to find objects in");
    for (int h = 0; h < j->heads; h++) {
        const swg__whole_head *head = &j->head[h];
        const swg_element type = type_of(j, h);
        if (type != SWG_ELEMENT_U8 && type != SWG_ELEMENT_U16 && type != SWG_ELEMENT_F32)
            return swg__fail(j->ctx, SWG_EINVAL, "files of %s: expected u8, u16 or f32", swg_element_name(type));
        if (type != SWG_ELEMENT_F32 && !head->mask && !head->signed_unit && !j->opts->minmax && !j->opts->thresholded)
            return swg__fail(j->ctx, SWG_EINVAL, "head %s predicts values of any range: as %s they need predict.scale=minmax, or say predict.type=f32",
                             head->name, swg_element_name(type));
    }
    return SWG_OK;
}

/* value * scale + shift, for values that are not thresholded. */
static void scale_of(const job *j, int head, const output *o, int64_t count, double *scale, double *shift) {
    const double top = top_of(type_of(j, head));
    *scale = 1;
    *shift = 0;
    if (j->opts->minmax) {
        float low = INFINITY, high = -INFINITY;
        for (int64_t i = 0; i < count; i++) {
            low = o->values[i] < low ? o->values[i] : low;
            high = o->values[i] > high ? o->values[i] : high;
        }
        *scale = high > low ? top / ((double)high - (double)low) : 0;
        *shift = high > low ? -(double)low * *scale : 0;
    } else if (type_of(j, head) != SWG_ELEMENT_F32) {
        *scale = j->head[head].signed_unit ? top / 2 : top;
        *shift = j->head[head].signed_unit ? top / 2 : 0;
    }
}

static void convert(const job *j, int head, double scale, double shift, int64_t count, const float *from, float *to) {
    const double top = top_of(type_of(j, head));
    for (int64_t i = 0; i < count; i++)
        to[i] = j->opts->thresholded ? (double)from[i] > j->opts->threshold ? (float)top : 0 : (float)((double)from[i] * scale + shift);
}

/* Whole images are needed where values of all of it count, or planes of several channels follow each other. */
static bool held(const job *j, int head) { return j->arrays || j->opts->minmax || labelled(j, head) || j->head[head].channels > 1; }

static int64_t voxels(const output *o) { return o->extent[0] * o->extent[1] * o->extent[2]; }

/* Micrometres of a voxel of the result, where the input tells its own: what was made smaller has larger ones. 0: not told. */
static void voxel_size(const job *j, int64_t item, int head, double out[3]) {
    const swg__volume_key *key = swg__volumes_key(j->volumes, 0);
    int64_t dims[4];
    swg_stack *stack;
    if (swg_stack_open(j->ctx, swg__volumes_item_at(j->volumes, item)->path, &(swg_stack_opts){.layout = *key->layout ? key->layout : NULL}, &stack) != SWG_OK)
        return; /* it was read before; without a size the result is as good */
    const swg_stack_info *info = swg_stack_about(stack);
    const int64_t planes = key->z.kind == SWG__PICK_RANGE ? key->z.last - key->z.first + 1 : info->z, extent[3] = {planes, info->y, info->x};
    if (swg__volumes_extent(j->volumes, item, 0, dims) == SWG_OK)
        for (int i = 0; i < 3; i++) {
            const double shrunk = key->resize[i] ? (double)extent[i] / (double)dims[1 + i] : key->zoom[i] > 0 ? 1 / key->zoom[i] : 1;
            out[i] = info->size_um[i] * shrunk / (double)(i < 3 - j->axes ? 1 : j->head[head].scale);
        }
    swg_stack_close(stack);
}

static swg_status open_output(job *j, int64_t item, int head, const int64_t extent[3]) {
    output *o = &j->out[head];
    const swg__whole_head *h = &j->head[head];
    for (int i = 0; i < 3; i++)
        o->extent[i] = extent[i] * (i < 3 - j->axes ? 1 : h->scale);
    const size_t bytes = (size_t)(voxels(o) * h->channels) * sizeof(float);
    if (held(j, head) && !(o->values = swg__alloc(j->ctx, bytes)))
        return swg__fail_memory(j->ctx, bytes, "a predicted image");
    if (j->arrays)
        return SWG_OK;
    voxel_size(j, item, head, o->size_um);
    SWG__TRY(path_of(j, head, "", item, o->path));
    SWG__TRY(make_parent(j, o->path));
    swg_stack_write_opts write = {.element = type_of(j, head), .deflate = true};
    memcpy(write.size_um, o->size_um, sizeof write.size_um);
    return swg_stack_create(j->ctx, o->path, 1, h->channels, o->extent[0], o->extent[1], o->extent[2], &write, &o->writer);
}

/* Planes of one channel, whole: they are written, or kept. Images come one after the other, so the first slab opens them. */
static swg_status write_slab(void *user, int64_t k, int head, const int64_t start[3], const int64_t count[3], const float *values) {
    job *j = user;
    output *o = &j->out[head];
    if (start[0] == 0 && start[1] == 0 && start[2] == 0) {
        int64_t dims[4];
        SWG__TRY(swg__volumes_extent(j->volumes, j->items[k], 0, dims));
        SWG__TRY(open_output(j, j->items[k], head, dims + 1));
    }
    const int64_t plane = count[1] * count[2], slab = count[0] * plane;
    if (held(j, head)) {
        for (int c = 0; c < j->head[head].channels; c++)
            memcpy(o->values + c * voxels(o) + start[0] * plane, values + c * slab, (size_t)slab * sizeof *values);
        return SWG_OK;
    }
    double scale, shift;
    float *row = swg__alloc(j->ctx, (size_t)plane * sizeof *row);
    swg_status status = row ? SWG_OK : swg__fail_memory(j->ctx, (size_t)plane * sizeof *row, "a plane");
    scale_of(j, head, o, 0, &scale, &shift);
    for (int64_t z = 0; z < count[0] && status == SWG_OK; z++) {
        convert(j, head, scale, shift, plane, values + z * plane, row);
        status = swg_stack_append_f32(o->writer, row, 1);
    }
    swg__free(j->ctx, row);
    return status;
}

static swg_status write_labels(job *j, int head, int64_t item) {
    const output *o = &j->out[head];
    char path[PATH_MOST];
    swg_instances_result found;
    swg_instances_opts opts = *j->opts->instances;
    swg_stack_writer *writer;
    const size_t bytes = (size_t)voxels(o) * sizeof(uint32_t);
    uint32_t *labels = swg__alloc(j->ctx, bytes);
    swg_status status = labels ? path_of(j, head, "_instances", item, path) : swg__fail_memory(j->ctx, bytes, "labels");
    for (int i = 0; i < 3 && o->size_um[0] > 0 && o->size_um[1] > 0 && o->size_um[2] > 0 && opts.spacing[2] == 0; i++)
        opts.spacing[i] = o->size_um[i] / o->size_um[2]; /* lengths are in voxels along x; x comes last */
    if (status == SWG_OK)
        status = swg_instances_find(j->ctx, o->extent, o->values, &opts, labels, &found);
    if (status == SWG_OK)
        status = make_parent(j, path);
    swg_stack_write_opts write = {.element = status == SWG_OK && found.objects > 65535 ? SWG_ELEMENT_U32 : SWG_ELEMENT_U16, .deflate = true};
    memcpy(write.size_um, o->size_um, sizeof write.size_um);
    if (status == SWG_OK)
        status = swg_stack_create(j->ctx, path, 1, 1, o->extent[0], o->extent[1], o->extent[2], &write, &writer);
    if (status == SWG_OK) {
        if (found.objects <= 65535) { /* in place, from the front */
            uint16_t *narrow = (uint16_t *)labels;
            for (int64_t i = 0; i < voxels(o); i++) {
                uint32_t id = labels[i];
                memcpy(narrow + i, &(uint16_t){(uint16_t)id}, sizeof *narrow);
            }
        }
        status = swg_stack_append(writer, labels, o->extent[0]);
        if (status == SWG_OK)
            status = swg_stack_finish(writer);
        else
            swg_stack_abort(writer);
        j->result->objects += found.objects;
    }
    if (status == SWG_OK && j->opts->wrote)
        j->opts->wrote(j->opts->user, path);
    swg__free(j->ctx, labels);
    return status;
}

static swg_status finish_head(job *j, int head, int64_t item) {
    output *o = &j->out[head];
    if (j->arrays) {
        const int64_t dims[4] = {j->head[head].channels, o->extent[0], o->extent[1], o->extent[2]};
        memcpy(j->arrays->dims[head], dims, sizeof dims);
        snprintf(j->arrays->name[head], sizeof j->arrays->name[head], "%s", j->head[head].name);
        j->arrays->values[head] = o->values;
        *o = (output){0};
        return SWG_OK;
    }
    SWG__TRY(write_account(j));
    if (labelled(j, head))
        SWG__TRY(write_labels(j, head, item));
    if (o->values) {
        double scale, shift;
        const int64_t values = voxels(o) * j->head[head].channels;
        scale_of(j, head, o, values, &scale, &shift);
        convert(j, head, scale, shift, values, o->values, o->values);
        SWG__TRY(swg_stack_append_f32(o->writer, o->values, o->extent[0] * j->head[head].channels));
        swg__free(j->ctx, o->values);
    }
    swg_stack_writer *writer = o->writer;
    o->writer = NULL;
    o->values = NULL;
    SWG__TRY(swg_stack_finish(writer));
    if (j->opts->wrote)
        j->opts->wrote(j->opts->user, o->path);
    return SWG_OK;
}

static swg_status finish(void *user, int64_t k) {
    job *j = user;
    for (int h = 0; h < j->heads; h++)
        SWG__TRY(finish_head(j, h, j->items[k]));
    j->result->written++;
    return SWG_OK;
}

static void drop_outputs(job *j) {
    for (int h = 0; h < SWG__STEP_OUTPUTS; h++) {
        swg_stack_abort(j->out[h].writer);
        swg__free(j->ctx, j->out[h].values);
    }
}

/* ---- embeddings ---- */

static swg_status add_embedding(void *user, int64_t k, const double *values, int64_t width) {
    job *j = user;
    if (j->arrays) {
        float *row = swg__alloc(j->ctx, (size_t)width * sizeof *row);
        if (!row)
            return swg__fail_memory(j->ctx, (size_t)width * sizeof *row, "an embedding");
        for (int64_t i = 0; i < width; i++)
            row[i] = (float)values[i];
        j->arrays->values[0] = row;
        j->arrays->dims[0][0] = width;
        return SWG_OK;
    }
    if (!j->table.length) {
        swg__text_puts(&j->table, "image");
        for (int64_t i = 0; i < width; i++)
            swg__text_printf(&j->table, ",e%lld", (long long)i);
    }
    swg__text_puts(&j->table, "\n");
    swg__text_csv(&j->table, swg__volumes_item_at(j->volumes, j->items[k])->stem);
    for (int64_t i = 0; i < width; i++)
        swg__text_printf(&j->table, ",%.9g", (double)(float)values[i]);
    return SWG_OK;
}

/* A table that is there must be of the same images: they are not told apart by their files. */
static swg_status compare_table(job *j, const char *path) {
    swg__table table;
    SWG__TRY(swg__table_read(j->ctx, path, &table));
    bool same = table.rows == j->count;
    for (int64_t i = 0; i < j->count && same; i++)
        same = strcmp(table.cells[i * table.columns], swg__volumes_item_at(j->volumes, j->items[i])->stem) == 0;
    swg__table_free(&table);
    return same ? SWG_OK : swg__fail(j->ctx, SWG_EINVAL, "%s is of other images; choose another folder, or say predict.existing=replace", path);
}

static swg_status check_table(job *j, char path[PATH_MOST]) {
    if (snprintf(path, PATH_MOST, "%s/embeddings.csv", j->folder) >= PATH_MOST)
        return swg__fail(j->ctx, SWG_EINVAL, "%s: the path is too long", j->folder);
    if (!swg__exists(path) || j->opts->existing == SWG_EXISTING_REPLACE)
        return SWG_OK;
    if (j->opts->existing == SWG_EXISTING_ERROR)
        return swg__fail(j->ctx, SWG_EINVAL, "%s stands there already; choose another folder, or say predict.existing=replace", path);
    SWG__TRY(compare_table(j, path));
    j->result->skipped = j->count;
    j->count = 0;
    return SWG_OK;
}

static swg_status write_table(job *j, const char *path) {
    swg__text_puts(&j->table, "\n");
    if (j->table.failed)
        return swg__fail_memory(j->ctx, 4096, "a table");
    SWG__TRY(write_account(j));
    SWG__TRY(swg__file_write(j->ctx, path, j->table.data, j->table.length));
    if (j->opts->wrote)
        j->opts->wrote(j->opts->user, path);
    return SWG_OK;
}

/* ---- what results were made of ---- */

static uint32_t weights_digest(swg_model *model) {
    swg_weights *w = swg_model_weights(model);
    uint32_t crc = 0;
    for (int i = 0; i < swg_weights_count(w); i++) {
        size_t bytes = sizeof(float);
        for (int axis = 0; axis < swg_weights_ndim(w, i); axis++)
            bytes *= (size_t)swg_weights_shape(w, i)[axis];
        crc = swg__crc32c(crc, swg_weights_value(w, i), bytes);
    }
    return crc;
}

/* Everything that a result depends on beside its image, a line each. */
static void describe_results(const job *j, swg_model *model, swg__text *out) {
    const swg_predict_stacks_opts *o = j->opts;
    const swg_instances_opts *n = o->instances;
    char key[1024];
    swg__volume_key_text(swg__volumes_key(j->volumes, 0), key, sizeof key);
    swg__text_printf(out, "network %08x %s\nsource %s\nwindows %.17g %s", weights_digest(model), swg_inference_name(swg_model_inference(model)), key, o->overlap,
                     o->constant ? "constant" : "gaussian");
    for (int i = 0; i < 3; i++)
        swg__text_printf(out, " %lld", (long long)o->roi[i]);
    for (int i = 0; i < 3 && o->boxed; i++)
        swg__text_printf(out, " %lld:%lld", (long long)o->box[i][0], (long long)o->box[i][1]);
    swg__text_printf(out, "\nvalues %s %s", o->type ? swg_element_name(o->type) : "auto", o->minmax ? "minmax" : "fixed");
    if (o->thresholded)
        swg__text_printf(out, " above %.17g", o->threshold);
    if (n)
        swg__text_printf(out, "\nobjects %.17g %d %d %.17g %.17g %.17g %.17g %.17g %.17g %lld %d %d", n->threshold, n->otsu, (int)n->neighbours, n->spacing[0], n->spacing[1],
                         n->spacing[2], n->smooth, n->min_depth, n->min_distance, (long long)n->min_voxels, n->whole, n->keep_holes);
    swg__text_puts(out, "\n");
}

/* What is there already is only left alone if that is what is asked for now. */
static swg_status check_account(job *j, swg_model *model) {
    char path[PATH_MOST];
    uint8_t *kept;
    size_t bytes;
    if (snprintf(path, sizeof path, "%s/predict.txt", j->folder) >= (int)sizeof path)
        return swg__fail(j->ctx, SWG_EINVAL, "%s: the path is too long", j->folder);
    describe_results(j, model, &j->account);
    if (j->account.failed)
        return swg__fail_memory(j->ctx, 2048, "an account of results");
    if (!j->result->skipped || !swg__exists(path))
        return SWG_OK;
    SWG__TRY(swg__file_read(j->ctx, path, &kept, &bytes));
    const bool same = bytes == j->account.length && memcmp(kept, j->account.data, bytes) == 0;
    swg__free(j->ctx, kept);
    return same ? SWG_OK
                : swg__fail(j->ctx, SWG_EINVAL, "%s holds results of another network or with other settings (%s says of which); choose another folder, or say "
                            "predict.existing=replace", j->folder, path);
}

/* ---- all of it ---- */

static swg_status check_opts(swg_context *ctx, const swg_predict_stacks_opts *o) {
    if (!(o->overlap >= 0 && o->overlap < 1))
        return swg__fail(ctx, SWG_EINVAL, "overlap %g: a share of a window, 0 <= overlap < 1", o->overlap);
    if (o->batch < 0 || o->batch > 65536)
        return swg__fail(ctx, SWG_EINVAL, "%lld windows at a time: expected 1 to 65536", (long long)o->batch);
    return SWG_OK;
}

static swg_status run_job(job *j, swg_model *model) {
    const swg__recipe_cyto *c = &swg__model_recipe(model)->cyto;
    const swg_predict_stacks_opts *o = j->opts;
    char table[PATH_MOST];
    j->axes = c->axes;
    j->heads = swg__whole_heads(model, j->head);
    j->result->images = swg__volumes_items(j->volumes);
    SWG__TRY(check_types(j));
    SWG__TRY(choose_items(j));
    if (!j->heads && !j->arrays)
        SWG__TRY(check_table(j, table));
    if (!j->arrays)
        SWG__TRY(check_account(j, model));
    if (!j->count)
        return SWG_OK;
    swg__whole w = {.ctx = j->ctx, .model = model, .volumes = j->volumes, .items = j->items, .count = j->count, .overlap = o->overlap, .constant = o->constant,
                    .batch = o->batch, .boxed = o->boxed, .write = write_slab, .embedding = add_embedding, .finish = finish, .progress = o->progress,
                    .stop = o->stop, .progress_user = o->user, .user = j};
    memcpy(w.box, o->box, sizeof w.box);
    for (int i = 0; i < 3; i++)
        w.roi[i] = o->roi[i] < 0 ? 0 : o->roi[i] ? o->roi[i] : c->patch[i];
    SWG__TRY(swg__whole_run(&w));
    j->result->windows = w.windows;
    j->result->planned_bytes = w.planned_bytes;
    return j->heads || j->arrays ? SWG_OK : write_table(j, table);
}

static void close_job(job *j) {
    drop_outputs(j);
    swg__text_free(&j->table);
    swg__text_free(&j->account);
    swg__volumes_close(j->volumes);
    swg__free(j->ctx, j->items);
}

static swg_status refuse_other(swg_context *ctx, const swg_model *model) {
    if (strcmp(swg_model_family(model), "cyto") == 0)
        return SWG_OK;
    return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: a network of family %s; one of family cyto is needed here", swg_model_path(model), swg_model_family(model));
}

swg_status swg_predict_stacks(swg_context *ctx, swg_model *model, swg_config *config, const char *input, const char *folder,
                              const swg_predict_stacks_opts *opts, swg_predict_stacks_result *result) {
    static const swg_predict_stacks_opts none = {0};
    swg_predict_stacks_result ignored;
    const char *targets[SWG__CYTO_HEADS];
    swg__volumes_opts volumes;
    const int64_t start = swg__now_ns();
    job j = {.ctx = ctx, .opts = opts ? opts : &none, .result = result ? result : &ignored, .folder = folder};
    *j.result = (swg_predict_stacks_result){0};
    swg__text_init(&j.table, ctx);
    swg__text_init(&j.account, ctx);
    SWG__TRY(refuse_other(ctx, model));
    SWG__TRY(check_opts(ctx, j.opts));
    SWG__TRY(swg__cyto_volumes(ctx, config ? config : swg_model_config(model), swg__model_recipe(model), targets, &volumes));
    volumes.use = SWG__VOLUMES_PREDICT;
    volumes.path = input;
    volumes.results = folder;
    volumes.note = j.opts->note;
    volumes.note_user = j.opts->user;
    volumes.cache = "none"; /* each image is used once */
    memset(volumes.patch, 0, sizeof volumes.patch);
    swg_status status = swg__volumes_open(ctx, &volumes, &j.volumes);
    if (status == SWG_OK)
        status = run_job(&j, model);
    close_job(&j);
    j.result->seconds = (double)(swg__now_ns() - start) * 1e-9;
    return status;
}

swg_status swg_predict_stack(swg_context *ctx, swg_model *model, const int64_t dims[4], const float *x, const swg_predict_stacks_opts *opts,
                             swg_prediction *out) {
    static const swg_predict_stacks_opts none = {0};
    swg_predict_stacks_result result = {0};
    const char *targets[SWG__CYTO_HEADS];
    swg__volumes_opts volumes;
    job j = {.ctx = ctx, .opts = opts ? opts : &none, .result = &result, .arrays = out};
    *out = (swg_prediction){0};
    swg__text_init(&j.table, ctx);
    swg__text_init(&j.account, ctx);
    SWG__TRY(refuse_other(ctx, model));
    SWG__TRY(check_opts(ctx, j.opts));
    const swg__recipe *recipe = swg__model_recipe(model);
    const swg__volume_array array = {.column = recipe->cyto.source.column, .values = x, .element = SWG_ELEMENT_F32, .layout = "CZYX", .ndim = 4,
                                     .dims = {dims[0], dims[1], dims[2], dims[3]}};
    SWG__TRY(swg__cyto_volumes(ctx, swg_model_config(model), recipe, targets, &volumes));
    volumes.use = SWG__VOLUMES_PREDICT;
    volumes.path = NULL;
    volumes.arrays = &array;
    volumes.array_count = 1;
    volumes.note = j.opts->note;
    volumes.note_user = j.opts->user;
    volumes.cache = "none";
    memset(volumes.patch, 0, sizeof volumes.patch);
    swg_status status = swg__volumes_open(ctx, &volumes, &j.volumes);
    if (status == SWG_OK)
        status = run_job(&j, model);
    out->heads = j.heads;
    close_job(&j);
    if (status != SWG_OK)
        swg_prediction_free(ctx, out);
    return status;
}

void swg_prediction_free(swg_context *ctx, swg_prediction *p) {
    for (int h = 0; h < SWG_PREDICTION_HEADS; h++)
        swg__free(ctx, p->values[h]);
    *p = (swg_prediction){0};
}
