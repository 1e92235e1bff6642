/* codec.c - the public one-array functions: compress to memory or a file, compare.
 * SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"

const char *swg_codec_mode_name(swg_codec_mode mode) {
    static const char *const names[SWG_MODE_COUNT] = {"constant", "level", "stencil", "network", "planes", "stored", "poly"};
    return (size_t)mode < SWG_MODE_COUNT ? names[mode] : "?";
}

static swg_status compress(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, swg__text *out, swg_codec_stats *stats) {
    swg__encoded coded;
    const swg_codec_model *model = opts ? opts->model : NULL;
    SWG__TRY(swg__encode_array(ctx, array, opts, model, &coded));
    bool pays = coded.saving > 0 && coded.saving > (int64_t)swg__models_bytes(model);
    swg_status status = swg__encoded_write(&coded, pays ? SWG__MODEL_INSIDE : SWG__MODEL_NONE, out, stats);
    swg__encoded_free(&coded);
    return status;
}

swg_status swg_codec_compress(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, swg_codec_buffer *out,
                              swg_codec_stats *stats) {
    swg__text text;
    *out = (swg_codec_buffer){0};
    swg__text_init(&text, ctx);
    swg_status status = compress(ctx, array, opts, &text, stats);
    if (status == SWG_OK)
        *out = (swg_codec_buffer){(uint8_t *)text.data, text.length};
    else
        swg__text_free(&text);
    return status;
}

void swg_codec_buffer_free(swg_context *ctx, swg_codec_buffer *buffer) {
    swg__free(ctx, buffer->data);
    *buffer = (swg_codec_buffer){0};
}

swg_status swg_codec_compress_file(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, const char *path,
                                   swg_codec_stats *stats) {
    swg_codec_buffer buffer;
    SWG__TRY(swg_codec_compress(ctx, array, opts, &buffer, stats));
    swg_status status = swg__file_write(ctx, path, buffer.data, buffer.bytes);
    swg_codec_buffer_free(ctx, &buffer);
    return status;
}

/* ---- comparison: pieces in parallel, joined in order ---- */

enum { COMPARE_PIECE = 1 << 16 };

typedef struct piece {
    int64_t violations, first, finite;
    double max_abs_error, squares, least, most;
} piece;

typedef struct compare_job {
    const swg_codec_array *original;
    const void *restored;
    int64_t count;
    double eb;
    piece *pieces;
} compare_job;

/* Error of a pair of integers as f64, and whether it is inside the bound, in exact arithmetic. */
static double integer_gap(const compare_job *job, int64_t i, bool *inside, double *value) {
    bool above_a, above_b;
    swg_element type = job->original->type;
    int64_t a = swg__integer_load(type, job->original->data, i, &above_a), b = swg__integer_load(type, job->restored, i, &above_b);
    bool order = above_a != above_b ? above_b : type == SWG_ELEMENT_U64 && above_a ? (uint64_t)b >= (uint64_t)a : b >= a;
    uint64_t gap = order ? (uint64_t)b - (uint64_t)a : (uint64_t)a - (uint64_t)b;
    *value = above_a ? (double)(uint64_t)a : (double)a;
    *inside = gap == 0 || (job->eb >= 0x1p64 || gap <= (uint64_t)job->eb); /* truncation: an integer gap <= eb iff <= floor(eb) */
    return (double)gap;
}

static void compare_piece(void *arg, int64_t task, int worker) {
    (void)worker;
    const compare_job *job = arg;
    const swg_element type = job->original->type;
    const size_t bytes = (size_t)swg_element_bytes(type);
    piece p = {.first = -1, .least = INFINITY, .most = -INFINITY};
    int64_t end = (task + 1) * COMPARE_PIECE < job->count ? (task + 1) * COMPARE_PIECE : job->count;
    for (int64_t i = task * COMPARE_PIECE; i < end; i++) {
        double a, gap = 0;
        bool inside;
        if (swg__is_float(type)) {
            double b = swg__load_value(type, job->restored, i);
            a = swg__load_value(type, job->original->data, i);
            bool same = memcmp((const char *)job->original->data + (size_t)i * bytes, (const char *)job->restored + (size_t)i * bytes, bytes) == 0;
            inside = same || (isfinite(a) && isfinite(b) && job->eb > 0 && swg__accept(b, a, job->eb));
            gap = isfinite(a) && isfinite(b) ? fabs(b - a) : 0;
        } else {
            gap = integer_gap(job, i, &inside, &a);
        }
        if (!inside) {
            p.first = p.violations++ ? p.first : i;
        }
        if (isfinite(a)) {
            p.finite++;
            p.squares += gap * gap;
            p.max_abs_error = gap > p.max_abs_error ? gap : p.max_abs_error;
            p.least = a < p.least ? a : p.least;
            p.most = a > p.most ? a : p.most;
        }
    }
    job->pieces[task] = p;
}

swg_status swg_codec_compare(swg_context *ctx, const swg_codec_array *original, const void *restored, double eb_abs, swg_codec_gap *gap) {
    int64_t count = 1;
    if (!swg_element_bytes(original->type) || original->ndim < 1 || original->ndim > 4 || !(eb_abs >= 0))
        return swg__fail(ctx, SWG_EINVAL, "comparison needs a known element type, 1 to 4 dimensions and a bound >= 0");
    for (int i = 0; i < original->ndim; i++)
        if (swg__mul_overflow(count, original->dims[i], &count))
            return swg__fail(ctx, SWG_ESHAPE, "the array has too many values");
    int64_t tasks = (count + COMPARE_PIECE - 1) / COMPARE_PIECE;
    compare_job job = {original, restored, count, eb_abs, swg__calloc(ctx, (size_t)tasks, sizeof *job.pieces)};
    if (!job.pieces)
        return swg__fail_memory(ctx, (size_t)tasks * sizeof *job.pieces, "a comparison");
    swg__parallel(ctx, tasks, compare_piece, &job);
    *gap = (swg_codec_gap){.values = count, .first = -1};
    double squares = 0, least = INFINITY, most = -INFINITY;
    for (int64_t t = 0; t < tasks; t++) {
        const piece *p = &job.pieces[t];
        gap->first = gap->first < 0 ? p->first : gap->first;
        gap->violations += p->violations;
        gap->max_abs_error = p->max_abs_error > gap->max_abs_error ? p->max_abs_error : gap->max_abs_error;
        squares += p->squares;
        gap->finite += p->finite;
        least = p->least < least ? p->least : least;
        most = p->most > most ? p->most : most;
    }
    swg__free(ctx, job.pieces);
    gap->rmse = gap->finite ? sqrt(squares / (double)gap->finite) : 0;
    gap->psnr_db = gap->rmse > 0 ? 20 * log10((most - least) / gap->rmse) : INFINITY;
    return SWG_OK;
}
