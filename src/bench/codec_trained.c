/* codec_trained.c - what a model is worth that was trained on the other half of a field: arrays of a series share it in one file.
 * In: the array of a cell, the other half. Out: bytes of one member, and of the model that all of them share.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

const char *const swg__codec_causal[SWG__CODEC_MODELS] = {"causal", "causal-deep"};

const char *swg__codec_trained_name(swg__codec_table table, int which) {
    static const char *const name[SWG__CODEC_MODELS] = {"mlp 28-16-8-2", "mlp 28-64-32-2"};
    if (table == SWG__CODEC_BLOCKS)
        return which ? NULL : "Swage, model of the other half";
    return table == SWG__CODEC_LEARNED ? name[which] : NULL;
}

/* An even share of the file without its models. */
static swg_status read_member(swg__codec_bench *b, swg_context *ctx, const swg_codec_array *array, const char *path, swg__codec_cell *cell, int which) {
    swg__codec_result *r = &cell->trained[which];
    swg_swz *file = NULL;
    swg_codec_gap gap;
    struct stat about;
    if (stat(path, &about) != 0)
        return swg__fail(ctx, SWG_EIO, "%s: not there", path);
    SWG__TRY(swg_swz_open(ctx, path, &file));
    swg_status status = swg_swz_read(file, 0, b->memory + b->half, (size_t)cell->raw);
    if (status == SWG_OK)
        status = swg_codec_compare(ctx, array, b->memory + b->half, cell->bound_abs, &gap);
    if (status == SWG_OK) {
        cell->model_bytes[which] = swg_swz_model_bytes(file);
        r->bytes = ((int64_t)about.st_size - cell->model_bytes[which] + SERIES - 1) / SERIES;
        r->violations = gap.violations;
        r->max_ratio = gap.max_abs_error / cell->bound_abs;
        r->psnr_db = gap.psnr_db;
    }
    swg_swz_close(file);
    return status;
}

static swg_status told(const swg__codec_bench *b, swg_status status, const char *data) {
    return status == SWG_OK ? SWG_OK : swg__fail(b->ctx, status, "bench codec: %s, trained: %s", data, swg_context_message(b->team.ctx));
}

swg_status swg__codec_fit(swg__codec_bench *b, const swg_codec_array *array, const swg_codec_opts *opts, const char *kinds, double seconds, swg_codec_model **model) {
    *model = NULL;
    if (b->opts.progress) {
        char text[128];
        snprintf(text, sizeof text, "training %s: %s %g", kinds, opts->name, opts->value);
        b->opts.progress(b->opts.user, text);
    }
    swg__team all = {.ctx = NULL}; /* every processor: the model is the same */
    swg_status status = swg_codec_model_new(b->team.ctx, model);
    if (status != SWG_OK)
        return told(b, status, opts->name);
    SWG__TRY(swg__team_open(&all, b->machine.allowed, &b->cpus));
    status = swg_codec_fit(all.ctx, array, 1, opts, &(swg_codec_fit_opts){.kinds = kinds, .seed = 1, .seconds = seconds, .stop = b->opts.stop}, *model);
    if (status != SWG_OK)
        status = swg__fail(b->ctx, status, "bench codec: %s, training: %s", opts->name, swg_context_message(all.ctx));
    swg__team_close(&all);
    return status;
}

swg_status swg__codec_series(swg__codec_bench *b, const swg_codec_array *array, const swg_codec_opts *opts, const swg_codec_model *model, const char *folder,
                             swg__codec_cell *cell, int which) {
    char path[160];
    snprintf(path, sizeof path, "%.120s/series.swz", folder);
    swg_status status = write_series(b->team.ctx, array, opts, model, path);
    if (status == SWG_OK)
        status = read_member(b, b->team.ctx, array, path, cell, which);
    unlink(path);
    return told(b, status, cell->data);
}
