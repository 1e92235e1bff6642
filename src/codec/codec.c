/* codec.c - the public one-array functions: compress to memory or a file, compare.
 * SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"
#include "powers.h"

const char *swg_codec_mode_name(swg_codec_mode mode) {
    static const char *const names[SWG_MODE_COUNT] = {"constant", "level", "stencil", "network", "planes", "stored", "poly", "interpolation", "mlp", "blocks"};
    return (size_t)mode < SWG_MODE_COUNT ? names[mode] : "?";
}

static swg_status compress(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, swg__text *out, swg_codec_stats *stats) {
    swg__encoded coded;
    const swg_codec_model *model = opts ? opts->model : NULL;
    SWG__TRY(swg__encode_array(ctx, array, opts, model, &coded));
    int blob[SWG__BLOBS];
    swg_status status = swg__encoded_write(&coded, (swg__model_use){blob, swg__encoded_choose(&coded, blob), false}, out, stats);
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
    int64_t violations, first, finite, filled;  /* finite: and no fill */
    double max_ratio, max_abs_error, squares, least, most;
} piece;

typedef struct compare_job {
    const swg_codec_array *original;
    const void *restored;
    int64_t count;
    double eb;
    bool relative;      /* eb is a fraction of each value */
    swg__fill fill;
    piece *pieces;
    double scale;                   /* of errors before they are squared */
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
    piece p = {.first = -1, .least = INFINITY, .most = -INFINITY};
    int64_t end = (task + 1) * COMPARE_PIECE < job->count ? (task + 1) * COMPARE_PIECE : job->count;
    for (int64_t i = task * COMPARE_PIECE; i < end; i++) {
        double a, gap = 0;
        bool inside, fill = job->fill.mode != SWG_FILL_NONE && swg__is_fill(&job->fill, type, job->original->data, i);
        if (fill) {
            a = NAN;
            p.filled++;
            inside = swg__bits_of(type, job->original->data, i) == swg__bits_of(type, job->restored, i);
        } else if (swg__is_float(type)) {
            double b = swg__load_value(type, job->restored, i);
            a = swg__load_value(type, job->original->data, i);
            bool same = swg__bits_of(type, job->original->data, i) == swg__bits_of(type, job->restored, i);
            inside = same || (isfinite(a) && isfinite(b) && job->eb > 0 &&
                              (job->relative ? swg__accept_relative(b, a, job->eb) : swg__accept(b, a, job->eb)));
            gap = isfinite(a) && isfinite(b) ? fabs(b - a) : 0;
        } else {
            gap = integer_gap(job, i, &inside, &a);
        }
        if (!inside) {
            p.first = p.violations++ ? p.first : i;
        }
        if (isfinite(a)) {
            p.finite++;
            p.squares += gap * job->scale * (gap * job->scale);
            double bound = job->relative ? job->eb * fabs(a) : job->eb, ratio = gap > 0 && bound > 0 ? gap / bound : 0;
            p.max_ratio = ratio > p.max_ratio ? ratio : p.max_ratio;
            p.max_abs_error = gap > p.max_abs_error ? gap : p.max_abs_error;
            p.least = a < p.least ? a : p.least;
            p.most = a > p.most ? a : p.most;
        }
    }
    job->pieces[task] = p;
}

static swg_status compare(swg_context *ctx, compare_job job, swg_codec_gap *gap) {
    const swg_codec_array *original = job.original;
    int64_t count = 1;
    if (!swg_element_bytes(original->type) || original->ndim < 1 || original->ndim > 4 || !(job.eb >= 0))
        return swg__fail(ctx, SWG_EINVAL, "comparison needs a known element type, 1 to 4 dimensions and a bound >= 0");
    for (int i = 0; i < original->ndim; i++)
        if (swg__mul_overflow(count, original->dims[i], &count))
            return swg__fail(ctx, SWG_ESHAPE, "the array has too many values");
    int64_t tasks = (count + COMPARE_PIECE - 1) / COMPARE_PIECE;
    job.count = count;
    /* Errors whose squares f64 does not hold are added up in units of the bound. */
    job.scale = !job.relative && job.eb > 0 && (job.eb < 1e-140 || job.eb > 1e140) ? 1 / job.eb : 1;
    job.pieces = swg__calloc(ctx, (size_t)tasks, sizeof *job.pieces);
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
        gap->max_ratio = p->max_ratio > gap->max_ratio ? p->max_ratio : gap->max_ratio;
        gap->filled += p->filled;
        squares += p->squares;
        gap->finite += p->finite;
        least = p->least < least ? p->least : least;
        most = p->most > most ? p->most : most;
    }
    swg__free(ctx, job.pieces);
    gap->rmse = gap->finite ? sqrt(squares / (double)gap->finite) / job.scale : 0;
    gap->psnr_db = gap->rmse > 0 ? 20 * log10((most - least) / gap->rmse) : INFINITY;
    return SWG_OK;
}

swg_status swg_codec_compare(swg_context *ctx, const swg_codec_array *original, const void *restored, double eb_abs, swg_codec_gap *gap) {
    return compare(ctx, (compare_job){.original = original, .restored = restored, .eb = eb_abs, .fill = {.mode = SWG_FILL_NONE}}, gap);
}

swg_status swg_codec_audit(swg_context *ctx, const swg_codec_array *original, const void *restored, const swg_swz_info *info, swg_codec_gap *gap) {
    SWG__TRY(compare(ctx, (compare_job){.original = original, .restored = restored, .eb = info->eb_abs,
                                        .relative = info->bound == SWG_BOUND_PW_REL,
                                        .fill = {info->fill, info->fill_bits, info->fill_threshold}}, gap));
    gap->psnr_db = gap->rmse > 0 ? 20 * log10((info->range_max - info->range_min) / gap->rmse) : INFINITY;
    return SWG_OK;
}

/* ---- fill values ---- */

double swg_fill_number(swg_element type, uint64_t bits) {
    uint64_t store = 0;
    swg__bits_store(type, &store, 0, bits);
    return swg__number(type, &store, 0);
}

bool swg_fill_bits(swg_element type, double number, uint64_t *bits) {
    union { float f; double d; uint8_t bytes[8]; uint64_t u; } v = {.u = 0};
    *bits = 0;
    if (type == SWG_ELEMENT_F32) {
        v.f = (float)number;
        if (!isnan(number) && isfinite(number) && !isfinite(v.f))
            return false;
        *bits = swg__bits_of(type, v.bytes, 0);
        return true;
    }
    if (type == SWG_ELEMENT_F64) {
        v.d = number;
        *bits = v.u;
        return true;
    }
    bool is_signed = type == SWG_ELEMENT_I8 || type == SWG_ELEMENT_I16 || type == SWG_ELEMENT_I32 || type == SWG_ELEMENT_I64;
    int width = 8 * swg_element_bytes(type) - is_signed;
    if (!width || floor(number) != number || number >= ldexp(1, width) || number < (is_signed ? -ldexp(1, width) : 0))
        return false;
    v.u = number < 0 ? (uint64_t)(int64_t)number : (uint64_t)number;
    *bits = width >= 63 ? v.u : v.u & (((uint64_t)1 << 8 * swg_element_bytes(type)) - 1);
    return true;
}
