/* report.c - figures of a compression, array by array, added up by variable and in all.
 * In: what a .swz stores of each member, comparisons with the originals. Out: swg_archive_report.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include "archive/archive.h"

static const char *keep_name(swg_archive_report *r, size_t *used, const char *text) {
    char *at = r->names + *used;
    size_t length = strlen(text) + 1;
    memcpy(at, text, length);
    *used += length;
    return at;
}

static void fill_row(swg_archive_row *row, const swg_swz_info *info) {
    row->arrays = 1;
    row->values = info->values;
    row->bytes_in = info->bytes_raw;
    row->bytes_out = info->bytes_stored;
    row->bound = info->eb_abs;
    row->range_min = info->range_min;
    row->range_max = info->range_max;
    /* Without originals: what the encoder measured and stored. */
    row->max_ratio = info->max_ratio;
    row->max_abs_error = info->bound == SWG_BOUND_PW_REL && info->eb_abs > 0 ? NAN : info->max_ratio * info->eb_abs;
    row->square_sum = NAN;
    memcpy(row->mode_chunks, info->mode_chunks, sizeof row->mode_chunks);
}

swg_status swg__report_alloc(swg_context *ctx, const char *path, int64_t count, size_t names, swg_archive_report **out) {
    struct stat file;
    *out = NULL;
    if (stat(path, &file) != 0)
        return swg__fail(ctx, SWG_EIO, "%s: cannot read its size", path);
    swg_archive_report *r = swg__calloc(ctx, 1, sizeof *r);
    if (!r)
        return swg__fail_memory(ctx, sizeof *r, "a report");
    *r = (swg_archive_report){.ctx = ctx, .count = count, .file_bytes = (int64_t)file.st_size};
    r->rows = swg__calloc(ctx, (size_t)count + 1, sizeof *r->rows);
    r->variables = swg__calloc(ctx, (size_t)count + 1, sizeof *r->variables);
    r->names = swg__calloc(ctx, 1, names);
    if (!r->rows || !r->variables || !r->names) {
        swg_archive_report_free(r);
        return swg__fail_memory(ctx, (size_t)count * 2 * sizeof *r->rows + names, "a report");
    }
    *out = r;
    return SWG_OK;
}

swg_status swg__report_open(swg_context *ctx, const char *path, const swg_swz *swz, swg_archive_report **out) {
    size_t names = 1, used = 0;
    int64_t count = swg_swz_count(swz);
    for (int64_t i = 0; i < count; i++)
        names += strlen(swg_swz_member(swz, i)->source) + strlen(swg_swz_member(swz, i)->name) + 2;
    SWG__TRY(swg__report_alloc(ctx, path, count, names, out));
    swg_archive_report *r = *out;
    r->model_bytes = swg_swz_model_bytes(swz);
    for (int64_t i = 0; i < count; i++) {
        const swg_swz_info *info = swg_swz_member(swz, i);
        fill_row(&r->rows[i], info);
        r->rows[i].source = keep_name(r, &used, info->source);
        r->rows[i].variable = keep_name(r, &used, info->name);
    }
    return SWG_OK;
}

void swg_archive_report_free(swg_archive_report *r) {
    if (!r)
        return;
    swg__free(r->ctx, r->rows);
    swg__free(r->ctx, r->variables);
    swg__free(r->ctx, r->names);
    swg__free(r->ctx, r);
}

void swg__row_compare(swg_archive_row *row, const swg_codec_gap *gap, const swg_swz_info *info) {
    row->max_abs_error = gap->max_abs_error;
    row->max_ratio = gap->max_ratio;
    row->filled = gap->filled;
    row->violations = gap->violations;
    row->finite = gap->finite;
    row->square_sum = gap->rmse * gap->rmse * (double)gap->finite;
    row->range_min = gap->finite ? info->range_min : NAN; /* a header says 0 where there is no finite value */
    row->range_max = gap->finite ? info->range_max : NAN;
}

static double psnr(const swg_archive_row *row) {
    double range = row->range_max - row->range_min, mse = row->square_sum / (double)row->finite;
    if (!(range > 0) || !isfinite(range) || !isfinite(mse))
        return NAN;
    return mse > 0 ? 20 * log10(range) - 10 * log10(mse) : INFINITY;
}

static void add(swg_archive_row *to, const swg_archive_row *from) {
    bool first = to->arrays == 0;
    to->arrays += from->arrays;
    to->values += from->values;
    to->finite += from->finite;
    to->filled += from->filled;
    to->bytes_in += from->bytes_in;
    to->bytes_out += from->bytes_out;
    to->bound = fmax(to->bound, from->bound);
    to->max_abs_error = fmax(to->max_abs_error, from->max_abs_error);
    to->max_ratio = fmax(to->max_ratio, from->max_ratio);
    to->violations += from->violations;
    to->square_sum += from->square_sum;
    to->range_min = first ? from->range_min : fmin(to->range_min, from->range_min); /* fmin and fmax step over NaN */
    to->range_max = first ? from->range_max : fmax(to->range_max, from->range_max);
    to->compress_s += from->compress_s;
    to->decompress_s += from->decompress_s;
    for (int i = 0; i < SWG_MODE_COUNT; i++)
        to->mode_chunks[i] += from->mode_chunks[i];
}

void swg__report_sum(swg_archive_report *r) {
    for (int64_t i = 0; i < r->count; i++) {
        swg_archive_row *row = &r->rows[i];
        int64_t v = 0;
        row->psnr_db = psnr(row);
        while (v < r->variable_count && strcmp(r->variables[v].variable, row->variable) != 0)
            v++;
        if (v == r->variable_count)
            r->variables[r->variable_count++] = (swg_archive_row){.variable = row->variable};
        add(&r->variables[v], row);
        add(&r->total, row);
    }
    for (int64_t v = 0; v < r->variable_count; v++)
        r->variables[v].psnr_db = psnr(&r->variables[v]);
    r->total.psnr_db = NAN; /* units differ: a PSNR over variables means nothing */
    r->total.variable = "all";
    r->total.bytes_out = r->file_bytes;
}
