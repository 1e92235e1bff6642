/* encode.c - the folder job: a reader thread, batches through the network, columns of all_variables_encoded.h5 and of the reconstruction.
 * In: a source and a model. Out: two files, or none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "data/loader.h"
#include "data/normalise.h"
#include "data/source.h"
#include "folder/folder.h"
#include "train/recipe.h"

enum { TASK_BLOCKS = 64, SLOTS = 2, CHUNK_ROWS = 4096, CHUNK_BYTES = 256 << 10, PENDING_BYTES = 64 << 20, NAME_BYTES = 400, NAME_MOST = 255 };

typedef struct encode {
    swg__job job;
    const char *path;           /* of the source */
    swg_source *source;
    swg__loader *loader;
    swg_sink *sink;
    swg__packer *packer;
    char hash[SWG__HASH_CHARS];
    int64_t *first;             /* per piece of the batch: its first row among the blocks of its variable */
    char **shells;              /* per piece: where the values outside its blocks go */
    int64_t pieces_capacity;
} encode;

/* ---- opening ---- */

static swg_status read_rules(encode *e, swg_config *config) {
    swg__job *job = &e->job;
    static const char *const cuts[] = {[SWG__SHELL_TILE] = "tile", [SWG__SHELL_KEEP] = "center", [SWG__SHELL_NONE] = "center"};
    const swg_samples_opts samples = {.cut = cuts[job->shell], .edge = swg_model_edge(job->model), .constant = swg_config_string(config, "data.constant"),
                                      .nonfinite = swg_config_string(config, "data.nonfinite")};
    SWG__TRY(swg_config_status(config));
    return swg__block_rules_read(job->ctx, &samples, &job->rules);
}

static swg_status list_source(encode *e) {
    swg__job *job = &e->job;
    swg_context *ctx = job->ctx;
    job->array_count = swg_source_count(e->source);
    job->variable_count = swg_source_variables(e->source);
    const swg_array **arrays = swg__calloc(ctx, (size_t)job->array_count, sizeof *arrays);
    job->arrays = arrays;
    job->variables = swg__calloc(ctx, (size_t)job->variable_count, sizeof *job->variables);
    int64_t *norm = swg__calloc(ctx, (size_t)job->variable_count, sizeof *norm);
    swg_status status = arrays && job->variables && norm ? swg__block_variables(ctx, e->source, swg_model_norm(job->model), norm)
                                                         : swg__fail_memory(ctx, (size_t)job->array_count * sizeof *arrays, "the list of arrays");
    for (int64_t v = 0; v < job->variable_count && status == SWG_OK; v++) {
        swg__folder_variable *variable = &job->variables[v];
        *variable = (swg__folder_variable){.name = swg_source_variable(e->source, v), .norm = norm[v], .exponent = -1, .offset = -1, .shell = -1, .recon = -1};
        if (strcmp(variable->name, "vars") == 0 || strcmp(variable->name, "arrays") == 0)
            status = swg__fail(ctx, SWG_EINVAL, "a variable may not be called \"%s\": the encoded file keeps its own lists there", variable->name);
        else if (strlen(variable->name) > NAME_MOST)
            status = swg__fail(ctx, SWG_EINVAL, "variable \"%.40s...\": its name is longer than %d characters", variable->name, NAME_MOST);
        else if (!job->opts.latents_only)
            status = swg_compare_open(ctx, &(swg_compare_opts){.no_percentiles = true}, &variable->compare);
    }
    swg__free(ctx, norm);
    for (int64_t a = 0; a < job->array_count && status == SWG_OK; a++) {
        arrays[a] = swg_source_array(e->source, a);
        swg_folder_row *row = &job->variables[arrays[a]->variable_index].row;
        row->arrays++;
        row->bytes_in += arrays[a]->count * swg_element_bytes(arrays[a]->element);
    }
    return status;
}

static swg_status add_column(encode *e, swg__folder_variable *v, const char *dataset, swg_element element, int64_t width, int64_t *column) {
    char name[NAME_BYTES];
    int64_t row_bytes = width * swg_element_bytes(element), rows = CHUNK_BYTES / row_bytes, most = PENDING_BYTES / (row_bytes * e->job.variable_count);
    rows = rows < CHUNK_ROWS ? rows : CHUNK_ROWS;
    rows = rows < most ? rows : most;
    snprintf(name, sizeof name, "%.300s/%s", v->name, dataset);
    return swg__packer_column(e->packer, &(swg__column_opts){.dataset = name, .element = element, .ndim = width > 1 ? 2 : 1, .dims = (int64_t[]){0, width},
                              .chunk_rows = rows > 1 ? rows : 1, .number = -1}, column);
}

static swg_status add_columns(encode *e) {
    swg__job *job = &e->job;
    const bool mean = strcmp(swg_norm_name(swg_model_norm(job->model)), "block_scale") == 0;
    for (int64_t i = 0; i < job->variable_count; i++) {
        swg__folder_variable *v = &job->variables[i];
        SWG__TRY(add_column(e, v, "latent_vectors", SWG_ELEMENT_F32, job->latent, &v->latents));
        if (job->has_offset)
            SWG__TRY(add_column(e, v, mean ? "block_mean" : "block_min", v->element, 1, &v->offset));
        if (job->has_exponent)
            SWG__TRY(add_column(e, v, "block_scale_exp", SWG_ELEMENT_I8, 1, &v->exponent));
        SWG__TRY(add_column(e, v, "block_flag", SWG_ELEMENT_U8, 1, &v->flag));
        SWG__TRY(add_column(e, v, "const_value", v->element, 1, &v->constant));
        SWG__TRY(add_column(e, v, "raw_blocks", v->element, job->volume, &v->raw));
        int64_t outside = v->item * v->item * v->item - job->volume;
        if (job->shell == SWG__SHELL_KEEP && v->item && outside > 0)
            SWG__TRY(add_column(e, v, "shell_values", v->element, outside, &v->shell));
    }
    return SWG_OK;
}

/* out/<stamp>, a fresh folder. */
static swg_status make_folder(encode *e, const char *out) {
    swg__job *job = &e->job;
    char stamp[64], *folder = job->report->folder;
    time_t now = time(NULL);
    struct tm local;
    SWG__TRY(swg__make_folders(job->ctx, out));
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    for (int attempt = 1; attempt < 1000; attempt++) {
        int n = snprintf(folder, sizeof job->report->folder, attempt > 1 ? "%s/%s-%d" : "%s/%s", out, job->opts.stamp ? job->opts.stamp : stamp, attempt);
        if (n >= (int)sizeof job->report->folder)
            return swg__fail(job->ctx, SWG_EINVAL, "%s: the path is too long", out);
        if (mkdir(folder, 0777) == 0)
            return SWG_OK;
        if (errno != EEXIST || job->opts.stamp)
            break;
    }
    int error = errno;
    swg__fail(job->ctx, SWG_EIO, "%s: cannot create folder: %s", folder, strerror(error));
    folder[0] = 0; /* not ours to remove */
    return SWG_EIO;
}

static swg_status open_files(encode *e, const char *out) {
    swg__job *job = &e->job;
    swg_folder_report *report = job->report;
    SWG__TRY(make_folder(e, out));
    snprintf(report->encoded, sizeof report->encoded, "%s/all_variables_encoded.h5", report->folder);
    SWG__TRY(swg__sink_open_direct(job->ctx, report->encoded, H5P_DEFAULT, &e->sink));
    SWG__TRY(swg__packer_open(job->ctx, e->sink, job->opts.deflate, &e->packer));
    SWG__TRY(add_columns(e));
    if (job->opts.latents_only)
        return SWG_OK;
    snprintf(report->reconstructed, sizeof report->reconstructed, "%s/all_variables_reconstructed.h5", report->folder);
    return swg__restore_open(job, report->reconstructed);
}

/* ---- reading ahead ---- */

static swg_status fetch(void *arg, int64_t ticket, int worker, void *out, char *message, size_t capacity) {
    (void)worker;
    encode *e = arg;
    const swg__job *job = &e->job;
    const swg__batch *batch = &job->batches[ticket];
    for (int64_t p = batch->first; p < batch->first + batch->pieces; p++) {
        const swg__piece *piece = &job->pieces[p];
        int64_t first[4] = {piece->first}, extent[4];
        memcpy(extent, job->arrays[piece->array]->dims, sizeof extent);
        extent[0] = piece->rows;
        swg_status status = swg__source_read_part(e->source, piece->array, first, extent, (char *)out + piece->at);
        if (status != SWG_OK) {
            snprintf(message, capacity, "%s", swg_context_message(job->ctx));
            return status;
        }
    }
    return SWG_OK;
}

/* ---- stages of a batch ---- */

static void enter_task(void *arg, int64_t task, int worker) {
    (void)worker;
    encode *e = arg;
    swg__job *job = &e->job;
    double block[SWG__BLOCK_VALUES];
    for (int64_t i = task * TASK_BLOCKS; i < (task + 1) * TASK_BLOCKS && i < job->batch->blocks; i++) {
        const swg__piece *piece = &job->pieces[job->piece_of[i]];
        const swg_array *array = job->arrays[piece->array];
        swg_side *side = &job->side[i];
        swg__block_scan scan = swg__block_load(array, &piece->blocks, job->values + piece->at, i - piece->block, block);
        *side = (swg_side){.flag = swg__block_judge(&job->rules, &scan)};
        if (side->flag == SWG_BLOCK_NORMAL)
            swg__norm_forward_f32(swg_model_norm(job->model), job->variables[array->variable_index].norm, array->element, block, job->volume, side,
                                  job->x + i * job->volume);
        else if (side->flag == SWG_BLOCK_CONSTANT)
            side->offset = scan.min;
    }
}

/* Moves the normal blocks together; refuses what is to be refused. */
static swg_status gather(encode *e) {
    swg__job *job = &e->job;
    job->normal = 0;
    for (int64_t i = 0; i < job->batch->blocks; i++) {
        const swg__piece *piece = &job->pieces[job->piece_of[i]];
        if (job->side[i].flag == SWG__BLOCK_REFUSED) {
            double block[SWG__BLOCK_VALUES];
            const swg_array *array = job->arrays[piece->array];
            swg__block_scan scan = swg__block_load(array, &piece->blocks, job->values + piece->at, i - piece->block, block);
            int64_t layer = array->ndim == 3 ? piece->first / job->rules.edge : piece->first;
            return swg__block_refuse(job->ctx, array, layer * (piece->blocks.count / (array->ndim == 3 ? piece->blocks.tiles[0] : piece->rows)) + i - piece->block,
                                     &scan);
        }
        job->dense[i] = job->side[i].flag == SWG_BLOCK_NORMAL ? job->normal++ : -1;
        if (job->dense[i] >= 0 && job->dense[i] < i)
            memcpy(job->x + job->dense[i] * job->volume, job->x + i * job->volume, (size_t)job->volume * sizeof *job->x);
    }
    return SWG_OK;
}

/* Room for the rows of every piece; values outside the blocks are copied at once, for the reconstruction reads them. */
static void shell_task(void *arg, int64_t task, int worker) {
    (void)worker;
    encode *e = arg;
    const swg__job *job = &e->job;
    const swg__piece *piece = &job->pieces[job->batch->first + task];
    const swg_array *array = job->arrays[piece->array];
    const swg__folder_variable *v = &job->variables[array->variable_index];
    const int64_t item = array->count / array->dims[0] * swg_element_bytes(array->element);
    const int64_t shell = swg__shell_values(job, array) * swg_element_bytes(v->element);
    for (int64_t k = 0; shell && k < piece->rows; k++)
        swg__shell_take(job, array, job->values + piece->at + k * item, v->element, e->shells[task] + k * shell);
}

static swg_status make_room(encode *e) {
    swg__job *job = &e->job;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t p = 0; p < job->batch->pieces; p++) {
            const swg__piece *piece = &job->pieces[job->batch->first + p];
            const swg_array *array = job->arrays[piece->array];
            swg__folder_variable *v = &job->variables[array->variable_index];
            const int64_t columns[] = {v->latents, v->flag, v->offset, v->exponent}, blocks = piece->blocks.count, outside = swg__shell_values(job, array);
            if (pass) {
                e->shells[p] = outside ? swg__packer_at(e->packer, v->shell, (int64_t)(intptr_t)e->shells[p]) : NULL;
                continue;
            }
            e->first[p] = swg__packer_rows(e->packer, v->latents);
            for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
                if (columns[c] >= 0 && !swg__packer_add(e->packer, columns[c], blocks))
                    return swg__fail_memory(job->ctx, 0, "rows of the encoded file");
            if (outside) {
                e->shells[p] = (char *)(intptr_t)swg__packer_rows(e->packer, v->shell); /* the row, until the second pass */
                if (!swg__packer_add(e->packer, v->shell, piece->rows))
                    return swg__fail_memory(job->ctx, 0, "rows of the encoded file");
            }
        }
    swg__parallel(job->ctx, job->batch->pieces, shell_task, e);
    memcpy((void *)job->shells, e->shells, (size_t)job->batch->pieces * sizeof *e->shells);
    return SWG_OK;
}

static void put_number(swg_element element, void *at, double value) {
    if (element == SWG_ELEMENT_F32)
        *(float *)at = (float)value;
    else
        *(double *)at = value;
}

static void leave_task(void *arg, int64_t task, int worker) {
    (void)worker;
    encode *e = arg;
    const swg__job *job = &e->job;
    for (int64_t i = task * TASK_BLOCKS; i < (task + 1) * TASK_BLOCKS && i < job->batch->blocks; i++) {
        const swg__piece *piece = &job->pieces[job->piece_of[i]];
        const swg__folder_variable *v = &job->variables[job->arrays[piece->array]->variable_index];
        const swg_side *side = &job->side[i];
        const bool normal = side->flag == SWG_BLOCK_NORMAL;
        int64_t row = e->first[job->piece_of[i] - job->batch->first] + i - piece->block;
        float *z = swg__packer_at(e->packer, v->latents, row);
        if (normal)
            memcpy(z, job->z + job->dense[i] * job->latent, (size_t)job->latent * sizeof *z);
        else
            memset(z, 0, (size_t)job->latent * sizeof *z);
        *(uint8_t *)swg__packer_at(e->packer, v->flag, row) = (uint8_t)side->flag;
        if (job->has_offset)
            put_number(v->element, swg__packer_at(e->packer, v->offset, row), normal ? side->offset : 0);
        if (job->has_exponent)
            *(int8_t *)swg__packer_at(e->packer, v->exponent, row) = normal ? (int8_t)side->exponent : 0;
    }
}

/* Constants and raw blocks are few: one after the other, in order. */
static swg_status leave_rare(encode *e) {
    swg__job *job = &e->job;
    for (int64_t i = 0; i < job->batch->blocks; i++) {
        const swg__piece *piece = &job->pieces[job->piece_of[i]];
        const swg_array *array = job->arrays[piece->array];
        const swg__folder_variable *v = &job->variables[array->variable_index];
        const swg_side *side = &job->side[i];
        if (side->flag == SWG_BLOCK_NORMAL)
            continue;
        bool constant = side->flag == SWG_BLOCK_CONSTANT;
        void *at = swg__packer_add(e->packer, constant ? v->constant : v->raw, 1);
        if (!at)
            return swg__fail_memory(job->ctx, 0, "rows of the encoded file");
        if (constant) {
            put_number(v->element, at, side->offset);
        } else {
            double block[SWG__BLOCK_VALUES];
            swg_blocks_cut(&piece->blocks, array->element, job->values + piece->at, i - piece->block, 1, block);
            swg__convert(array->element, block, v->element, at, job->volume);
        }
    }
    return SWG_OK;
}

/* Raw blocks as the reconstruction wants them. */
static void take_raw(encode *e) {
    swg__job *job = &e->job;
    for (int64_t i = 0; i < job->batch->blocks; i++) {
        const swg__piece *piece = &job->pieces[job->piece_of[i]];
        if (job->side[i].flag == SWG_BLOCK_RAW)
            swg_blocks_cut(&piece->blocks, job->arrays[piece->array]->element, job->values + piece->at, i - piece->block, 1,
                           job->blocks + (size_t)(i * job->volume) * sizeof(double));
    }
}

static swg_status run_batch(encode *e) {
    swg__job *job = &e->job;
    swg_folder_report *report = job->report;
    const int64_t tasks = (job->batch->blocks - 1) / TASK_BLOCKS + 1;
    for (int64_t p = job->batch->first; p < job->batch->first + job->batch->pieces; p++)
        for (int64_t b = 0; b < job->pieces[p].blocks.count; b++)
            job->piece_of[job->pieces[p].block + b] = p;
    int64_t began = swg__now_ns();
    swg__parallel(job->ctx, tasks, enter_task, e);
    SWG__TRY(gather(e));
    int64_t entered = swg__now_ns();
    report->normalise_s += (double)(entered - began) * 1e-9;
    if (job->normal)
        SWG__TRY(swg_model_encode(job->model, job->normal, job->x, job->z));
    report->network_s += (double)(swg__now_ns() - entered) * 1e-9;
    SWG__TRY(make_room(e));
    if (!job->opts.latents_only) {
        take_raw(e);
        SWG__TRY(swg__restore_batch(job, true));
    }
    began = swg__now_ns();
    swg__parallel(job->ctx, tasks, leave_task, e);
    SWG__TRY(leave_rare(e));
    swg__folder_count(job);
    SWG__TRY(swg__packer_flush(e->packer, false));
    report->pack_s += (double)(swg__now_ns() - began) * 1e-9;
    return SWG_OK;
}

static swg_status stream(encode *e) {
    swg__job *job = &e->job;
    int64_t began = swg__now_ns(), done = 0;
    SWG__TRY(swg__loader_open(job->ctx, &(swg__loader_opts){.workers = 1, .prefetch = SLOTS, .batch_bytes = job->most_bytes, .fetch = fetch, .arg = e},
                              &e->loader));
    swg__loader_begin(e->loader, 0, job->batch_count);
    for (int64_t b = 0; b < job->batch_count; b++) {
        void *values;
        int64_t asked = swg__now_ns();
        swg_status status = swg__loader_borrow(e->loader, &values);
        job->report->wait_s += (double)(swg__now_ns() - asked) * 1e-9;
        job->batch = &job->batches[b];
        job->values = values;
        if (status == SWG_OK)
            status = swg__job_stopped(job) ? swg__job_interrupted(job) : run_batch(e);
        swg__loader_drop(e->loader);
        swg__job_memory(job);
        SWG__TRY(status);
        done += job->batch->blocks;
        if (job->hooks.progress)
            job->hooks.progress(job->hooks.user, done, job->total);
    }
    job->report->stream_s = (double)(swg__now_ns() - began) * 1e-9;
    return SWG_OK;
}

/* ---- what the encoded file says about itself ---- */

static swg_status put_numbers(encode *e, const char *group, swg_element element, int width, const void *data) {
    return swg_sink_put(e->sink, group, element, width > 1 ? 2 : 1, (int64_t[]){e->job.array_count, width}, data, &(swg_sink_opts){.deflate = 6});
}

/* The list of arrays: what was where, in the order of the rows. */
static swg_status put_arrays(encode *e) {
    swg__job *job = &e->job;
    swg_context *ctx = job->ctx;
    size_t count = (size_t)job->array_count;
    const char **files = swg__calloc(ctx, count, sizeof *files), **paths = swg__calloc(ctx, count, sizeof *paths);
    int64_t *dims = swg__calloc(ctx, count * 4, sizeof *dims), *variable = swg__calloc(ctx, count, sizeof *variable);
    double *time = swg__calloc(ctx, count, sizeof *time);
    uint8_t *layout = swg__calloc(ctx, count, 1), *bytes = swg__calloc(ctx, count, 1);
    swg_status status = files && paths && dims && variable && time && layout && bytes ? SWG_OK : swg__fail_memory(ctx, count * 64, "the list of arrays");
    for (size_t a = 0; a < count && status == SWG_OK; a++) {
        const swg_array *array = job->arrays[a];
        files[a] = swg__base_name(array->file);
        paths[a] = array->path;
        memcpy(dims + 4 * a, array->dims, sizeof array->dims);
        variable[a] = array->variable_index;
        time[a] = array->has_time ? array->time : NAN;
        layout[a] = (uint8_t)array->layout;
        bytes[a] = (uint8_t)swg_element_bytes(array->element);
    }
    if (status == SWG_OK)
        status = swg_sink_put_names(e->sink, "arrays/file", files, job->array_count);
    if (status == SWG_OK)
        status = swg_sink_put_names(e->sink, "arrays/dataset", paths, job->array_count);
    const struct { const char *name; swg_element element; int width; const void *data; } lists[] = {
        {"arrays/variable", SWG_ELEMENT_I64, 1, variable}, {"arrays/layout", SWG_ELEMENT_U8, 1, layout}, {"arrays/bytes_per_value", SWG_ELEMENT_U8, 1, bytes},
        {"arrays/shape", SWG_ELEMENT_I64, 4, dims}, {"arrays/time", SWG_ELEMENT_F64, 1, time}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists && status == SWG_OK; i++)
        status = put_numbers(e, lists[i].name, lists[i].element, lists[i].width, lists[i].data);
    void *const all[] = {(void *)files, (void *)paths, dims, variable, time, layout, bytes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        swg__free(ctx, all[i]);
    return status;
}

static swg_status put_variable(encode *e, int64_t index) {
    static const struct { const char *name; swg_metric metric; } figures[] = {{"mse", SWG_METRIC_MSE}, {"psnr", SWG_METRIC_PSNR_DB},
        {"mae", SWG_METRIC_MAE}, {"mean_relative_error", SWG_METRIC_RELATIVE_MEAN}};
    swg__job *job = &e->job;
    const swg__folder_variable *v = &job->variables[index];
    const swg_folder_row *row = &job->report->rows[index];
    const int64_t edge = job->rules.edge, processed[4] = {row->blocks, edge, edge, edge};
    const swg_array *first = NULL;
    for (int64_t a = job->array_count; a-- > 0;)
        if (job->arrays[a]->variable_index == index && (!first || job->arrays[a]->ndim == 4 || first->ndim == 3))
            first = job->arrays[a];
    int64_t original[4];
    memcpy(original, first->dims, sizeof original);
    original[0] = v->items ? v->items : original[0];
    const struct { const char *name; const int64_t *values; int64_t count; } lists[] = {
        {"num_samples", v->items ? &v->items : &row->arrays, 1}, {"original_shape", original, first->ndim}, {"processed_shape", processed, 4},
        {"constant_blocks", &row->constant_blocks, 1}, {"raw_blocks_count", &row->raw_blocks, 1}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        SWG__TRY(swg_sink_integers(e->sink, v->name, lists[i].name, lists[i].values, lists[i].count));
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (row->compared && row->metrics.has[figures[i].metric])
            SWG__TRY(swg_sink_number(e->sink, v->name, figures[i].name, row->metrics.value[figures[i].metric]));
    return SWG_OK;
}

static swg_status put_attributes(encode *e) {
    swg__job *job = &e->job;
    char arch[256];
    swg__model_arch(job->model, arch, sizeof arch);
    const struct { const char *name, *value; } texts[] = {
        {"source_folder", e->path}, {"normalization_method", swg_norm_name(swg_model_norm(job->model))}, {"model_arch", arch}, {"model_sha256", e->hash},
        {"swage_version", swg_version()}, {"shell", swg__shell_name(job->shell)}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        SWG__TRY(swg_sink_text(e->sink, "/", texts[i].name, texts[i].value));
    const struct { const char *name; int64_t value; } numbers[] = {
        {"format_version", SWG__FOLDER_FORMAT}, {"latent_dim", job->latent}, {"block_edge", job->rules.edge}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        SWG__TRY(swg_sink_integers(e->sink, "/", numbers[i].name, &numbers[i].value, 1));
    const char **names = swg__calloc(job->ctx, (size_t)job->variable_count, sizeof *names);
    if (!names)
        return swg__fail_memory(job->ctx, (size_t)job->variable_count * sizeof *names, "the names of the variables");
    for (int64_t v = 0; v < job->variable_count; v++)
        names[v] = job->variables[v].name;
    swg_status status = swg_sink_put_names(e->sink, "vars", names, job->variable_count);
    swg__free(job->ctx, names);
    for (int64_t v = 0; v < job->variable_count && status == SWG_OK; v++)
        status = put_variable(e, v);
    return status == SWG_OK ? put_arrays(e) : status;
}

/* ---- public ---- */

static swg_status commit(encode *e) {
    swg__job *job = &e->job;
    swg__folder_report_finish(job);
    SWG__TRY(swg__packer_flush(e->packer, true));
    SWG__TRY(put_attributes(e));
    if (!job->opts.latents_only)
        SWG__TRY(swg__restore_commit(job, e->path, e->hash));
    swg_sink *sink = e->sink;
    e->sink = NULL;
    swg_status status = swg_sink_commit(sink);
    if (status != SWG_OK && *job->report->reconstructed)
        unlink(job->report->reconstructed); /* without its latents it would pass for a finished job */
    swg__folder_report_finish(job);
    return status;
}

static swg_status run(encode *e, swg_config *config, const char *out) {
    swg__job *job = &e->job;
    SWG__TRY(swg__shell_parse(job->ctx, job->opts.shell, &job->shell));
    SWG__TRY(read_rules(e, config));
    SWG__TRY(swg__recipe_source_at(job->ctx, config, e->path, &e->source));
    SWG__TRY(list_source(e));
    SWG__TRY(swg__job_plan(job));
    SWG__TRY(swg__model_hash(job->ctx, job->model, e->hash));
    int64_t pieces = 1;
    for (int64_t b = 0; b < job->batch_count; b++)
        pieces = job->batches[b].pieces > pieces ? job->batches[b].pieces : pieces;
    e->first = swg__calloc(job->ctx, (size_t)pieces, sizeof *e->first);
    e->shells = swg__calloc(job->ctx, (size_t)pieces, sizeof *e->shells);
    if (!e->first || !e->shells)
        return swg__fail_memory(job->ctx, (size_t)pieces * 16, "a batch");
    SWG__TRY(swg__folder_report_open(job));
    SWG__TRY(open_files(e, out));
    SWG__TRY(stream(e));
    return commit(e);
}

swg_status swg_folder_encode(swg_context *ctx, swg_model *model, swg_config *config, const char *path, const char *out, const swg_folder_opts *opts,
                             const swg_folder_hooks *hooks, swg_folder_report **report) {
    *report = NULL;
    encode e = {.path = path, .job = {.ctx = ctx, .model = model, .began_ns = swg__now_ns()}};
    if (opts)
        e.job.opts = *opts;
    swg_context_peak_rss_reset(ctx);
    if (hooks)
        e.job.hooks = *hooks;
    swg_status status = run(&e, config ? config : swg_model_config(model), out);
    swg__loader_close(e.loader);
    swg__packer_close(e.packer);
    swg_sink_abort(e.sink);
    swg__restore_close(&e.job);
    swg__free(ctx, e.first);
    swg__free(ctx, e.shells);
    swg__job_release(&e.job);
    swg_source_close(e.source);
    if (status != SWG_OK && e.job.report) {
        if (*e.job.report->folder)
            rmdir(e.job.report->folder);
        swg_folder_report_free(ctx, e.job.report);
    } else {
        *report = e.job.report;
    }
    return status;
}
