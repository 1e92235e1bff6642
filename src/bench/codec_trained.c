/* codec_trained.c - what a model is worth that was trained on the other half of a field: arrays of a series share it in one file.
 * In: the array of a cell, the other half. Out: bytes of one member, and of the model that all of them share.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "bench/codec.h"

enum { SERIES = 16 }; /* members: so many that every model pays that shortens them */

/* The file of a series; the model stays borrowed until it is written. */
static swg_status write_series(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, const swg_codec_model *model, const char *path) {
    swg_codec_writer *writer = NULL;
    SWG__TRY(swg_codec_writer_open(ctx, path, model, &writer));
    for (int i = 0; i < SERIES; i++) {
        char source[16];
        snprintf(source, sizeof source, "%d", i);
        swg_status status = swg_codec_writer_add(writer, source, array, opts, NULL);
        if (status != SWG_OK) {
            swg_codec_writer_abort(writer);
            return status;
        }
    }
    return swg_codec_writer_commit(writer, NULL);
}

static swg_status read_member(swg__codec_bench *b, swg_context *ctx, const swg_codec_array *array, const char *path, swg__codec_cell *cell) {
    swg_swz *file = NULL;
    swg_codec_gap gap;
    SWG__TRY(swg_swz_open(ctx, path, &file));
    swg_status status = swg_swz_read(file, 0, b->memory + b->half, (size_t)cell->raw);
    if (status == SWG_OK)
        status = swg_codec_compare(ctx, array, b->memory + b->half, cell->bound_abs, &gap);
    if (status == SWG_OK) {
        cell->trained.bytes = swg_swz_member(file, 0)->bytes_stored;
        cell->trained.violations = gap.violations;
        cell->trained.max_ratio = gap.max_abs_error / cell->bound_abs;
        cell->trained.psnr_db = gap.psnr_db;
        cell->model_bytes = swg_swz_model_bytes(file);
    }
    swg_swz_close(file);
    return status;
}

swg_status swg__codec_trained(swg__codec_bench *b, const swg_codec_array *array, const swg_codec_array *other, const swg_codec_opts *opts,
                              const char *kinds, const char *folder, swg__codec_cell *cell) {
    swg_context *ctx = b->team.ctx;
    swg_codec_model *model = NULL;
    char path[160];
    snprintf(path, sizeof path, "%.120s/series.swz", folder);
    swg_status status = swg_codec_model_new(ctx, &model);
    if (status == SWG_OK)
        status = swg_codec_fit(ctx, other, 1, opts, &(swg_codec_fit_opts){.kinds = kinds, .seed = 1}, model);
    if (status == SWG_OK)
        status = write_series(ctx, array, opts, model, path);
    if (status == SWG_OK)
        status = read_member(b, ctx, array, path, cell);
    swg_codec_model_free(ctx, model);
    unlink(path);
    return status == SWG_OK ? SWG_OK : swg__fail(b->ctx, status, "bench codec: %s, trained: %s", cell->data, swg_context_message(ctx));
}
