/* restore.c - from latents and side information to values: decode, inverse normalisation, items and layers put together, written. Encoding and
 * reconstructing share every line of it, so both give the same bits.
 * In: a batch with z, side and dense filled. Out: rows of all_variables_reconstructed.h5.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "folder/folder.h"

enum { TASK_BLOCKS = 32, CHUNK_BYTES = 256 << 10, PENDING_BYTES = 64 << 20, NAME_BYTES = 600 };

/* ---- the file ---- */

static swg_status add_data(swg__job *job) {
    const int64_t n = job->shell == SWG__SHELL_NONE ? job->rules.edge : job->item;
    const int64_t row_bytes = n * n * n * swg_element_bytes(job->data_element);
    int64_t chunk = CHUNK_BYTES / row_bytes, most = PENDING_BYTES / (row_bytes * job->variable_count), number = -1;
    chunk = chunk < most ? chunk : most;
    chunk = chunk < job->layout_rows ? chunk : job->layout_rows;
    const int64_t dims[5] = {job->variable_count, job->layout_rows, n, n, n};
    for (int64_t v = 0; v < job->variable_count; v++) {
        swg__folder_variable *variable = &job->variables[v];
        SWG__TRY(swg__packer_column(job->packer, &(swg__column_opts){.dataset = "var_data", .element = job->data_element, .ndim = 5, .dims = dims, .axis = 1,
                                    .lead = v, .chunk_rows = chunk > 1 ? chunk : 1, .rows = variable->items, .number = number}, &variable->recon));
        number = swg__packer_dataset(job->packer, variable->recon);
    }
    return SWG_OK;
}

static swg_status add_grid(swg__job *job, int64_t index) {
    const swg_array *array = job->arrays[index];
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "grids/%.255s/%.255s", swg__base_name(array->file), array->variable);
    int64_t chunk = job->rules.edge < array->dims[0] ? job->rules.edge : array->dims[0];
    return swg__packer_column(job->packer, &(swg__column_opts){.dataset = name, .element = array->element, .ndim = 3, .dims = array->dims,
                              .chunk_rows = chunk, .rows = array->dims[0], .number = -1}, &job->targets[index].column);
}

swg_status swg__restore_open(swg__job *job, const char *path) {
    SWG__TRY(swg__sink_open_direct(job->ctx, path, H5P_DEFAULT, &job->sink));
    SWG__TRY(swg__packer_open(job->ctx, job->sink, job->opts.deflate, &job->packer));
    if (job->item)
        SWG__TRY(add_data(job));
    for (int64_t a = 0; a < job->array_count; a++) {
        const swg_array *array = job->arrays[a];
        if (array->ndim == 3) /* opened when it is its turn: there may be very many */
            job->targets[a] = (swg__folder_target){-1, array->element};
        else
            job->targets[a] = (swg__folder_target){job->variables[array->variable_index].recon, job->data_element};
    }
    return SWG_OK;
}

void swg__restore_close(swg__job *job) {
    swg__packer_close(job->packer);
    swg_sink_abort(job->sink);
    job->packer = NULL;
    job->sink = NULL;
}

/* ---- a batch ---- */

typedef struct restore {
    swg__job *job;
    bool originals;
    bool *failed;       /* per block; only with originals */
    char **out;         /* per piece of the batch: its rows in the column */
} restore;

static const swg__piece *piece_of(const swg__job *job, int64_t block) { return &job->pieces[job->piece_of[block]]; }

/* The values of one block, exact for constant and raw ones. */
static void restore_block(const restore *r, int64_t i, const swg__piece *piece, const swg_array *array, void *to) {
    swg__job *job = r->job;
    const swg_norm *norm = swg_model_norm(job->model);
    swg_side *side = &job->side[i];
    if (side->flag == SWG_BLOCK_NORMAL) {
        const float *y = job->x + job->dense[i] * job->volume;
        swg_norm_inverse(norm, job->variables[array->variable_index].norm, side, y, job->volume, array->element, to);
        if (r->originals && !swg__block_finite(array->element, to, job->volume)) {
            side->flag = SWG_BLOCK_RAW;
            r->failed[i] = true;
            swg_blocks_cut(&piece->blocks, array->element, job->values + piece->at, i - piece->block, 1, to);
        }
    } else if (side->flag == SWG_BLOCK_CONSTANT) {
        for (int64_t k = 0; k < job->volume; k++) {
            if (array->element == SWG_ELEMENT_F32)
                ((float *)to)[k] = (float)side->offset;
            else
                ((double *)to)[k] = side->offset;
        }
    }
}

static void restore_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const restore *r = arg;
    swg__job *job = r->job;
    double wide[SWG__BLOCK_VALUES];
    for (int64_t i = task * TASK_BLOCKS; i < (task + 1) * TASK_BLOCKS && i < job->batch->blocks; i++) {
        const swg__piece *piece = piece_of(job, i);
        const swg_array *array = job->arrays[piece->array];
        const swg__folder_target *target = &job->targets[piece->array];
        char *block = job->blocks + (size_t)(i * job->volume) * sizeof(double);
        int64_t b = i - piece->block;
        restore_block(r, i, piece, array, block);
        const void *from = block;
        if (target->element != array->element) {
            swg__convert(array->element, block, target->element, wide, job->volume);
            from = wide;
        }
        char *rows = r->out[job->piece_of[i] - job->batch->first];
        if (array->ndim == 4 && job->shell == SWG__SHELL_NONE)
            memcpy(rows + (size_t)(b * job->volume * swg_element_bytes(target->element)), from, (size_t)(job->volume * swg_element_bytes(target->element)));
        else
            swg_blocks_join(&piece->blocks, target->element, from, b, 1, rows);
    }
}

static void shell_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const restore *r = arg;
    const swg__job *job = r->job;
    const swg__piece *piece = &job->pieces[job->batch->first + task];
    const swg_array *array = job->arrays[piece->array];
    const swg__folder_target *target = &job->targets[piece->array];
    const swg_element stored = job->variables[array->variable_index].element;
    const int64_t values = swg__shell_values(job, array), item = array->count / array->dims[0];
    for (int64_t k = 0; values && k < piece->rows; k++)
        swg__shell_give(job, array, stored, job->shells[task] + (size_t)(k * values * swg_element_bytes(stored)), target->element,
                        r->out[task] + (size_t)(k * item * swg_element_bytes(target->element)));
}

/* Compares the normal blocks of one piece; padding is no value. */
static swg_status compare_piece(restore *r, const swg__piece *piece, char *a, char *b) {
    swg__job *job = r->job;
    const swg_array *array = job->arrays[piece->array];
    const size_t bytes = (size_t)swg_element_bytes(array->element);
    const int64_t edge = job->rules.edge;
    swg__folder_variable *variable = &job->variables[array->variable_index];
    int64_t values = 0;
    for (int64_t k = 0; k < piece->blocks.count; k++) {
        int64_t i = piece->block + k, extent[3];
        if (job->side[i].flag != SWG_BLOCK_NORMAL)
            continue;
        swg_blocks_inside(&piece->blocks, k, extent);
        const char *restored = job->blocks + (size_t)(i * job->volume) * sizeof(double);
        double block[SWG__BLOCK_VALUES];
        swg_blocks_cut(&piece->blocks, array->element, job->values + piece->at, k, 1, block);
        for (int64_t z = 0; z < extent[0]; z++)
            for (int64_t y = 0; y < extent[1]; y++) {
                size_t from = (size_t)((z * edge + y) * edge) * bytes;
                memcpy(a + (size_t)values * bytes, (char *)block + from, (size_t)extent[2] * bytes);
                memcpy(b + (size_t)values * bytes, restored + from, (size_t)extent[2] * bytes);
                values += extent[2];
            }
    }
    return swg_compare_add(variable->compare, array->element, a, b, values);
}

static swg_status compare(restore *r) {
    swg__job *job = r->job;
    int64_t most = 0;
    for (int64_t p = 0; p < job->batch->pieces; p++) {
        int64_t blocks = job->pieces[job->batch->first + p].blocks.count;
        most = blocks > most ? blocks : most;
    }
    char *pairs = swg__alloc(job->ctx, (size_t)(2 * most * job->volume) * sizeof(double));
    swg_status status = pairs ? SWG_OK : swg__fail_memory(job->ctx, (size_t)(2 * most * job->volume) * sizeof(double), "a comparison");
    for (int64_t p = 0; p < job->batch->pieces && status == SWG_OK; p++)
        status = compare_piece(r, &job->pieces[job->batch->first + p], pairs, pairs + (size_t)(most * job->volume) * sizeof(double));
    swg__free(job->ctx, pairs);
    return status;
}

/* Rows of all pieces first: a column may move when it grows. */
static swg_status make_room(restore *r) {
    swg__job *job = r->job;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t p = 0; p < job->batch->pieces; p++) {
            const swg__piece *piece = &job->pieces[job->batch->first + p];
            if (job->targets[piece->array].column < 0)
                SWG__TRY(add_grid(job, piece->array));
            int64_t column = job->targets[piece->array].column;
            if (!pass) {
                job->rows[p] = swg__packer_rows(job->packer, column);
                if (!swg__packer_add(job->packer, column, piece->rows))
                    return swg__fail_memory(job->ctx, 0, "rows of the reconstruction");
            } else {
                r->out[p] = swg__packer_at(job->packer, column, job->rows[p]);
            }
        }
    return SWG_OK;
}

swg_status swg__restore_batch(swg__job *job, bool originals) {
    restore r = {.job = job, .originals = originals};
    int64_t began = swg__now_ns();
    r.failed = swg__calloc(job->ctx, (size_t)job->batch->blocks, sizeof *r.failed);
    r.out = swg__calloc(job->ctx, (size_t)job->batch->pieces, sizeof *r.out);
    swg_status status = r.failed && r.out ? make_room(&r) : swg__fail_memory(job->ctx, (size_t)job->batch->blocks, "a batch");
    if (status == SWG_OK && job->normal)
        status = swg_model_decode(job->model, job->normal, job->z, job->x);
    int64_t decoded = swg__now_ns();
    job->report->network_s += (double)(decoded - began) * 1e-9;
    if (status == SWG_OK) {
        swg__parallel(job->ctx, job->batch->pieces, shell_task, &r);
        swg__parallel(job->ctx, (job->batch->blocks - 1) / TASK_BLOCKS + 1, restore_task, &r);
        for (int64_t i = 0; i < job->batch->blocks; i++)
            job->variables[job->arrays[piece_of(job, i)->array]->variable_index].row.failed_blocks += r.failed[i];
        if (originals)
            status = compare(&r);
    }
    job->report->restore_s += (double)(swg__now_ns() - decoded) * 1e-9;
    began = swg__now_ns();
    if (status == SWG_OK)
        status = swg__packer_flush(job->packer, false);
    job->report->pack_s += (double)(swg__now_ns() - began) * 1e-9;
    swg__free(job->ctx, r.out);
    swg__free(job->ctx, r.failed);
    return status;
}

/* ---- the end ---- */

static swg_status put_means(swg__job *job) {
    static const struct { const char *name; swg_metric metric; } means[] = {
        {"avg_mse", SWG_METRIC_MSE}, {"avg_psnr", SWG_METRIC_PSNR_DB}, {"avg_mae", SWG_METRIC_MAE}, {"avg_relative_error", SWG_METRIC_RELATIVE_MEAN}};
    const swg_metrics *all = &job->report->rows[job->variable_count].metrics;
    for (size_t i = 0; i < sizeof means / sizeof *means; i++)
        if (all->has[means[i].metric])
            SWG__TRY(swg_sink_number(job->sink, "/", means[i].name, all->value[means[i].metric]));
    return SWG_OK;
}

swg_status swg__restore_commit(swg__job *job, const char *source_folder, const char *hash) {
    char text[400], arch[256];
    SWG__TRY(swg__packer_flush(job->packer, true));
    swg__model_arch(job->model, arch, sizeof arch);
    const struct { const char *name, *value; } texts[] = {
        {"source_folder", source_folder}, {"normalization_method", swg_norm_name(swg_model_norm(job->model))}, {"model_arch", arch},
        {"model_sha256", hash}, {"swage_version", swg_version()}, {"reconstruction_method", "decoder of the network, inverse normalisation"},
        {"shell", swg__shell_name(job->shell)}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        SWG__TRY(swg_sink_text(job->sink, "/", texts[i].name, texts[i].value));
    SWG__TRY(swg_sink_integers(job->sink, "/", "latent_dim", &job->latent, 1));
    SWG__TRY(swg_sink_integers(job->sink, "/", "processed_variables", &job->variable_count, 1));
    const char **names = swg__calloc(job->ctx, (size_t)job->variable_count, sizeof *names);
    if (!names)
        return swg__fail_memory(job->ctx, (size_t)job->variable_count * sizeof *names, "the names of the variables");
    swg_status status = SWG_OK;
    for (int64_t v = 0; v < job->variable_count && status == SWG_OK; v++) {
        names[v] = job->variables[v].name;
        snprintf(text, sizeof text, "%.300s_num_samples", names[v]);
        status = swg_sink_integers(job->sink, "/", text, &job->variables[v].items, 1);
    }
    if (status == SWG_OK)
        status = swg_sink_put_names(job->sink, "vars", names, job->variable_count);
    swg__free(job->ctx, names);
    if (status == SWG_OK)
        status = put_means(job);
    swg_sink *sink = job->sink;
    if (status != SWG_OK)
        return status;
    job->sink = NULL;
    return swg_sink_commit(sink);
}
