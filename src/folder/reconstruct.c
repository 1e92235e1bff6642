/* reconstruct.c - all_variables_encoded.h5 and its model to all_variables_reconstructed.h5, in a process that has never seen the data.
 * In: latents and side information, read ahead by a thread. Out: one file, or none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "data/loader.h"
#include "folder/encoded.h"

enum { SLOTS = 2 };

/* Where the parts of a batch lie in a slot; each is 64-byte aligned. */
typedef struct parts {
    int64_t latents, offset, exponent, flag, constant, raw, shell, bytes;
} parts;

/* Rows of a variable that the reader has taken. */
typedef struct taken {
    int64_t blocks, constants, raws, items;
} taken;

typedef struct reconstruct {
    swg__job job;
    swg__encoded file;
    swg__loader *loader;
    taken *taken;           /* per variable; of the reader's thread */
    int64_t most_shell;     /* bytes of the shells of a batch */
    parts parts;
} reconstruct;

static int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

/* ---- opening ---- */

static swg_status check_model(reconstruct *r) {
    swg__job *job = &r->job;
    char hash[SWG__HASH_CHARS];
    const swg_swae *network = swg_model_network(job->model);
    SWG__TRY(swg__model_hash(job->ctx, job->model, hash));
    if (strcmp(hash, r->file.hash) != 0)
        return swg__fail(job->ctx, SWG_EINVAL, "%s was encoded by another network (%s, model_sha256 %.16s...) than %s (%.16s...); its latents mean nothing "
                         "to this one", r->file.path, r->file.arch, r->file.hash, swg_model_path(job->model), hash);
    if (r->file.edge != swg_model_edge(job->model) || r->file.latent != network->latent)
        return swg__fail(job->ctx, SWG_ECORRUPT, "%s: block_edge or latent_dim is not the model's: the file is damaged", r->file.path);
    return SWG_OK;
}

static swg_status list_arrays(reconstruct *r) {
    static const struct { const char *name; swg_metric metric; } figures[] = {{"mse", SWG_METRIC_MSE}, {"psnr", SWG_METRIC_PSNR_DB},
        {"mae", SWG_METRIC_MAE}, {"mean_relative_error", SWG_METRIC_RELATIVE_MEAN}};
    swg__job *job = &r->job;
    job->array_count = r->file.array_count;
    job->variable_count = r->file.variable_count;
    const swg_array **arrays = swg__calloc(job->ctx, (size_t)job->array_count, sizeof *arrays);
    job->arrays = arrays;
    job->variables = swg__calloc(job->ctx, (size_t)job->variable_count, sizeof *job->variables);
    r->taken = swg__calloc(job->ctx, (size_t)job->variable_count, sizeof *r->taken);
    if (!arrays || !job->variables || !r->taken)
        return swg__fail_memory(job->ctx, (size_t)job->array_count * sizeof *arrays, "the list of arrays");
    for (int64_t v = 0; v < job->variable_count; v++) {
        swg__folder_variable *variable = &job->variables[v];
        *variable = (swg__folder_variable){.name = r->file.variables[v], .norm = swg_norm_variable(swg_model_norm(job->model), r->file.variables[v])};
        if (variable->norm < 0)
            return swg__fail(job->ctx, SWG_ENOTFOUND, "%s: variable \"%s\": the normaliser of the model was fitted without it", r->file.path, variable->name);
        for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
            double value;
            if (swg__encoded_number(&r->file, v, figures[i].name, &value)) {
                variable->row.compared = variable->row.metrics.has[figures[i].metric] = true;
                variable->row.metrics.value[figures[i].metric] = value;
            }
        }
    }
    for (int64_t a = 0; a < job->array_count; a++) {
        arrays[a] = &r->file.arrays[a];
        swg_folder_row *row = &job->variables[arrays[a]->variable_index].row;
        row->arrays++;
        row->bytes_in += arrays[a]->count * swg_element_bytes(arrays[a]->element);
    }
    return SWG_OK;
}

/* Every column must have the rows that the arrays ask for, before anything of their size is allocated. */
static swg_status check_rows(reconstruct *r) {
    swg__job *job = &r->job;
    for (int64_t a = 0; a < job->array_count; a++) {
        swg_blocks blocks;
        SWG__TRY(swg__block_plan(job->ctx, job->arrays[a], &job->rules, &blocks));
        job->variables[job->arrays[a]->variable_index].row.blocks += blocks.count;
    }
    for (int64_t v = 0; v < job->variable_count; v++) {
        const int64_t *rows = r->file.rows[v], blocks = job->variables[v].row.blocks;
        if (rows[SWG__LATENTS] != blocks || rows[SWG__FLAG] != blocks || (job->has_offset && rows[SWG__OFFSET] != blocks) ||
            (job->has_exponent && rows[SWG__EXPONENT] != blocks))
            return swg__fail(job->ctx, SWG_ECORRUPT, "%s: variable \"%s\" should have %lld blocks, its columns have %lld, %lld: the file is damaged", r->file.path,
                             job->variables[v].name, (long long)blocks, (long long)rows[SWG__LATENTS], (long long)rows[SWG__FLAG]);
        job->variables[v].row.blocks = 0;
    }
    return SWG_OK;
}

/* ---- reading ahead ---- */

static void lay_out(reconstruct *r) {
    const swg__job *job = &r->job;
    const int64_t blocks = job->most_blocks;
    parts *p = &r->parts;
    p->offset = aligned(blocks * job->latent * (int64_t)sizeof(float));
    p->exponent = p->offset + aligned(blocks * (int64_t)sizeof(double));
    p->flag = p->exponent + aligned(blocks);
    p->constant = p->flag + aligned(blocks);
    p->raw = p->constant + aligned(blocks * (int64_t)sizeof(double));
    p->shell = p->raw + aligned(blocks * job->volume * (int64_t)sizeof(double));
    p->bytes = p->shell + r->most_shell;
}

static int64_t shell_bytes(const swg__job *job, const swg__piece *piece) {
    const swg_array *array = job->arrays[piece->array];
    return aligned(piece->rows * swg__shell_values(job, array) * swg_element_bytes(job->variables[array->variable_index].element));
}

static swg_status fetch_piece(reconstruct *r, const swg__piece *piece, char *slot, int64_t *shell) {
    const swg__job *job = &r->job;
    const swg_array *array = job->arrays[piece->array];
    const int64_t v = array->variable_index, blocks = piece->blocks.count, b = piece->block, outside = swg__shell_values(job, array);
    taken *t = &r->taken[v];
    uint8_t *flags = (uint8_t *)slot + r->parts.flag + b;
    SWG__TRY(swg__encoded_rows(&r->file, v, SWG__FLAG, t->blocks, blocks, 1, SWG_ELEMENT_U8, flags));
    SWG__TRY(swg__encoded_rows(&r->file, v, SWG__LATENTS, t->blocks, blocks, job->latent, SWG_ELEMENT_F32, slot + r->parts.latents + b * job->latent * 4));
    if (job->has_offset)
        SWG__TRY(swg__encoded_rows(&r->file, v, SWG__OFFSET, t->blocks, blocks, 1, SWG_ELEMENT_F64, slot + r->parts.offset + b * 8));
    if (job->has_exponent)
        SWG__TRY(swg__encoded_rows(&r->file, v, SWG__EXPONENT, t->blocks, blocks, 1, SWG_ELEMENT_I8, slot + r->parts.exponent + b));
    int64_t constants = 0, raws = 0;
    for (int64_t i = 0; i < blocks; i++) {
        if (flags[i] > SWG_BLOCK_RAW)
            return swg__fail(job->ctx, SWG_ECORRUPT, "%s: block_flag of \"%s\" holds %d: the file is damaged", r->file.path, job->variables[v].name, flags[i]);
        constants += flags[i] == SWG_BLOCK_CONSTANT;
        raws += flags[i] == SWG_BLOCK_RAW;
    }
    /* Packed at the front of the piece's share. Raw blocks come in the array's own type. */
    SWG__TRY(swg__encoded_rows(&r->file, v, SWG__CONSTANT, t->constants, constants, 1, SWG_ELEMENT_F64, slot + r->parts.constant + b * 8));
    SWG__TRY(swg__encoded_rows(&r->file, v, SWG__RAW, t->raws, raws, job->volume, array->element, slot + r->parts.raw + b * job->volume * 8));
    if (outside)
        SWG__TRY(swg__encoded_rows(&r->file, v, SWG__SHELL_ROWS, t->items, piece->rows, outside, job->variables[v].element, slot + r->parts.shell + *shell));
    *shell += shell_bytes(job, piece);
    t->blocks += blocks;
    t->constants += constants;
    t->raws += raws;
    t->items += array->ndim == 4 ? piece->rows : 0;
    return SWG_OK;
}

/* One worker: tickets come in order, and so do the rows. */
static swg_status fetch(void *arg, int64_t ticket, int worker, void *out, char *message, size_t capacity) {
    (void)worker;
    reconstruct *r = arg;
    const swg__batch *batch = &r->job.batches[ticket];
    int64_t shell = 0;
    for (int64_t p = 0; p < batch->pieces; p++) {
        swg_status status = fetch_piece(r, &r->job.pieces[batch->first + p], out, &shell);
        if (status != SWG_OK) {
            snprintf(message, capacity, "%s", swg_context_message(r->job.ctx));
            return status;
        }
    }
    return SWG_OK;
}

/* ---- a batch ---- */

/* From the slot to what restoring reads. */
static void unpack(reconstruct *r, const char *slot) {
    swg__job *job = &r->job;
    const double *offsets = (const double *)(const void *)(slot + r->parts.offset), *constants = (const double *)(const void *)(slot + r->parts.constant);
    const int8_t *exponents = (const int8_t *)slot + r->parts.exponent;
    const uint8_t *flags = (const uint8_t *)slot + r->parts.flag;
    const char *latents = slot + r->parts.latents;
    int64_t shell = 0;
    job->normal = 0;
    for (int64_t p = 0; p < job->batch->pieces; p++) {
        const swg__piece *piece = &job->pieces[job->batch->first + p];
        const swg_array *array = job->arrays[piece->array];
        int64_t constant = piece->block;
        job->shells[p] = slot + r->parts.shell + shell;
        shell += shell_bytes(job, piece);
        for (int64_t i = piece->block; i < piece->block + piece->blocks.count; i++) {
            swg_side *side = &job->side[i];
            job->piece_of[i] = job->batch->first + p;
            *side = (swg_side){.flag = flags[i], .offset = job->has_offset ? offsets[i] : 0, .exponent = job->has_exponent ? exponents[i] : 0};
            job->dense[i] = side->flag == SWG_BLOCK_NORMAL ? job->normal++ : -1;
            if (side->flag == SWG_BLOCK_NORMAL)
                memcpy(job->z + job->dense[i] * job->latent, latents + i * job->latent * 4, (size_t)job->latent * sizeof *job->z);
            else if (side->flag == SWG_BLOCK_CONSTANT)
                side->offset = constants[constant++];
        }
        /* Raw blocks lie densely in the array's own type. */
        const int64_t bytes = job->volume * swg_element_bytes(array->element);
        const char *from = slot + r->parts.raw + piece->block * job->volume * 8;
        for (int64_t i = piece->block; i < piece->block + piece->blocks.count; i++)
            if (job->side[i].flag == SWG_BLOCK_RAW) {
                memcpy(job->blocks + (size_t)(i * job->volume) * 8, from, (size_t)bytes);
                from += bytes;
            }
    }
}

static swg_status stream(reconstruct *r) {
    swg__job *job = &r->job;
    int64_t began = swg__now_ns(), done = 0;
    for (int64_t b = 0; b < job->batch_count; b++) {
        int64_t shell = 0;
        for (int64_t p = 0; p < job->batches[b].pieces; p++)
            shell += shell_bytes(job, &job->pieces[job->batches[b].first + p]);
        r->most_shell = shell > r->most_shell ? shell : r->most_shell;
    }
    lay_out(r);
    SWG__TRY(swg__loader_open(job->ctx, &(swg__loader_opts){.workers = 1, .prefetch = SLOTS, .batch_bytes = r->parts.bytes, .fetch = fetch, .arg = r},
                              &r->loader));
    swg__loader_begin(r->loader, 0, job->batch_count);
    for (int64_t b = 0; b < job->batch_count; b++) {
        void *slot;
        int64_t asked = swg__now_ns();
        swg_status status = swg__loader_borrow(r->loader, &slot);
        job->report->wait_s += (double)(swg__now_ns() - asked) * 1e-9;
        job->batch = &job->batches[b];
        if (status == SWG_OK && swg__job_stopped(job))
            status = swg__job_interrupted(job);
        if (status == SWG_OK) {
            unpack(r, slot);
            swg__folder_count(job);
            status = swg__restore_batch(job, false);
        }
        swg__loader_drop(r->loader);
        swg__job_memory(job);
        SWG__TRY(status);
        done += job->batch->blocks;
        if (job->hooks.progress)
            job->hooks.progress(job->hooks.user, done, job->total);
    }
    job->report->stream_s = (double)(swg__now_ns() - began) * 1e-9;
    return SWG_OK;
}

/* ---- public ---- */

static swg_status run(reconstruct *r, const char *path, const char *out) {
    static const swg_cut cuts[] = {[SWG__SHELL_TILE] = SWG_CUT_TILE, [SWG__SHELL_KEEP] = SWG_CUT_CENTER, [SWG__SHELL_NONE] = SWG_CUT_CENTER};
    swg__job *job = &r->job;
    SWG__TRY(swg__encoded_open(job->ctx, path, &r->file));
    SWG__TRY(check_model(r));
    if (swg__shell_parse(job->ctx, r->file.shell, &job->shell) != SWG_OK)
        return swg__fail(job->ctx, SWG_ECORRUPT, "%s: the attribute \"shell\" is damaged", path);
    job->rules = (swg__block_rules){.cut = cuts[job->shell], .edge = r->file.edge};
    SWG__TRY(list_arrays(r));
    swg__job_sides(job);
    SWG__TRY(check_rows(r));
    SWG__TRY(swg__job_plan(job));
    SWG__TRY(swg__folder_report_open(job));
    SWG__TRY(swg__make_folders(job->ctx, out));
    snprintf(job->report->folder, sizeof job->report->folder, "%s", out);
    snprintf(job->report->encoded, sizeof job->report->encoded, "%s", path);
    snprintf(job->report->reconstructed, sizeof job->report->reconstructed, "%s/all_variables_reconstructed.h5", out);
    SWG__TRY(swg__restore_open(job, job->report->reconstructed));
    SWG__TRY(stream(r));
    swg__folder_report_finish(job);
    SWG__TRY(swg__restore_commit(job, r->file.source_folder, r->file.hash));
    swg__folder_report_finish(job);
    return SWG_OK;
}

swg_status swg_folder_reconstruct(swg_context *ctx, swg_model *model, const char *encoded, const char *out, const swg_folder_opts *opts,
                                  const swg_folder_hooks *hooks, swg_folder_report **report) {
    *report = NULL;
    reconstruct r = {.job = {.ctx = ctx, .model = model, .began_ns = swg__now_ns()}};
    if (opts)
        r.job.opts = (swg_folder_opts){.deflate = opts->deflate, .batch = opts->batch};
    swg_context_peak_rss_reset(ctx);
    if (hooks)
        r.job.hooks = *hooks;
    swg_status status = run(&r, encoded, out);
    swg__loader_close(r.loader);
    swg__restore_close(&r.job);
    swg__job_release(&r.job);
    swg__free(ctx, r.taken);
    swg__encoded_close(&r.file);
    if (status != SWG_OK)
        swg_folder_report_free(ctx, r.job.report);
    else
        *report = r.job.report;
    return status;
}
