/* grid.c - from a requested bound to a grid: absolute bound, short step, base, number of significant bits.
 * In: array, bound, range. Out: swg__grid; acceptance of single values, integers on their grid.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "context.h"
#include "kernels.h"
#include "powers.h"

/* Range of the integer types; of u64 the part that fits. */
static const struct { int64_t least, most; } types[] = {
    [SWG_ELEMENT_I8] = {INT8_MIN, INT8_MAX},
    [SWG_ELEMENT_U8] = {0, UINT8_MAX},
    [SWG_ELEMENT_I16] = {INT16_MIN, INT16_MAX},
    [SWG_ELEMENT_U16] = {0, UINT16_MAX},
    [SWG_ELEMENT_I32] = {INT32_MIN, INT32_MAX},
    [SWG_ELEMENT_U32] = {0, UINT32_MAX},
    [SWG_ELEMENT_I64] = {INT64_MIN, INT64_MAX},
    [SWG_ELEMENT_U64] = {0, INT64_MAX},
};

/* ---- integers ---- */

int64_t swg__integer_load(swg_element type, const void *data, int64_t i, bool *above) {
    *above = false;
    switch (type) {
    case SWG_ELEMENT_I8: return ((const int8_t *)data)[i];
    case SWG_ELEMENT_U8: return ((const uint8_t *)data)[i];
    case SWG_ELEMENT_I16: return ((const int16_t *)data)[i];
    case SWG_ELEMENT_U16: return ((const uint16_t *)data)[i];
    case SWG_ELEMENT_I32: return ((const int32_t *)data)[i];
    case SWG_ELEMENT_U32: return ((const uint32_t *)data)[i];
    case SWG_ELEMENT_U64: *above = ((const uint64_t *)data)[i] > INT64_MAX; return (int64_t)((const uint64_t *)data)[i];
    default: return ((const int64_t *)data)[i];
    }
}

bool swg__integer_level(swg_element type, const void *data, int64_t i, int64_t m, int64_t *u) {
    bool above;
    int64_t x = swg__integer_load(type, data, i, &above), level, rest;
    if (above) {
        level = (int64_t)((uint64_t)x / (uint64_t)m); /* m == 1 would not fit, and is refused below as its sign */
        rest = (int64_t)((uint64_t)x % (uint64_t)m);
    } else {
        level = x / m;
        rest = x % m;
    }
    if (level < 0 ? above || level <= -SWG__LEVEL_LIMIT : level >= SWG__LEVEL_LIMIT - 1)
        return false;
    *u = level + (rest > m / 2) - (rest < -(m / 2));
    return true;
}

void swg__integer_store(swg_element type, void *data, int64_t i, int64_t m, int64_t u) {
    if (type == SWG_ELEMENT_U64) {
        uint64_t value = 0;
        if (u > 0 && __builtin_mul_overflow((uint64_t)u, (uint64_t)m, &value))
            value = UINT64_MAX;
        ((uint64_t *)data)[i] = value;
        return;
    }
    int64_t value;
    if (__builtin_mul_overflow(u, m, &value))
        value = u < 0 ? INT64_MIN : INT64_MAX;
    value = value < types[type].least ? types[type].least : value > types[type].most ? types[type].most : value;
    switch (type) {
    case SWG_ELEMENT_I8: ((int8_t *)data)[i] = (int8_t)value; break;
    case SWG_ELEMENT_U8: ((uint8_t *)data)[i] = (uint8_t)value; break;
    case SWG_ELEMENT_I16: ((int16_t *)data)[i] = (int16_t)value; break;
    case SWG_ELEMENT_U16: ((uint16_t *)data)[i] = (uint16_t)value; break;
    case SWG_ELEMENT_I32: ((int32_t *)data)[i] = (int32_t)value; break;
    case SWG_ELEMENT_U32: ((uint32_t *)data)[i] = (uint32_t)value; break;
    default: ((int64_t *)data)[i] = value; break;
    }
}

/* ---- range of an array: pieces in parallel, joined in order ---- */

enum { RANGE_PIECE = 1 << 18 };

struct range_job {
    const swg__codec_kernels *kernels;
    swg_element type;
    const void *data;
    int64_t count;
    const swg__fill *fill;  /* NULL: none but what is not finite anyway */
    double least, most;
    bool any, nan;
    struct range_job *pieces;
};

static void range_f32(const swg__codec_kernels *kernels, const uint32_t *bits, int64_t n, struct range_job *out) {
    int32_t least, most, largest;
    kernels->range_f32(bits, n, &least, &most, &largest);
    out->any = least <= most;
    out->nan = largest > 0x7F800000;
    if (out->any) {
        uint32_t a = swg__unkey32(least), b = swg__unkey32(most);
        float low, high;
        memcpy(&low, &a, sizeof low);
        memcpy(&high, &b, sizeof high);
        out->least = (double)low;
        out->most = (double)high;
    }
}

static void range_other(swg_element type, const void *data, int64_t n, const swg__fill *fill, struct range_job *out) {
    double least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (fill && swg__is_fill(fill, type, data, i))
            continue;
        double x = swg__number(type, data, i);
        out->nan |= isnan(x) != 0;
        if (isfinite(x)) {
            least = x < least ? x : least;
            most = x > most ? x : most;
        }
    }
    out->any = least <= most;
    out->least = least;
    out->most = most;
}

static void range_piece(void *arg, int64_t task, int worker) {
    (void)worker;
    struct range_job *job = arg;
    int64_t first = task * RANGE_PIECE, n = job->count - first < RANGE_PIECE ? job->count - first : RANGE_PIECE;
    const char *data = (const char *)job->data + first * swg_element_bytes(job->type);
    struct range_job piece = {0};
    if (job->type == SWG_ELEMENT_F32 && !job->fill)
        range_f32(job->kernels, (const uint32_t *)(const void *)data, n, &piece);
    else
        range_other(job->type, data, n, job->fill, &piece);
    if (!job->pieces) { /* no memory for the pieces: one after the other, joined at once */
        if (piece.any) {
            job->least = job->any && job->least < piece.least ? job->least : piece.least;
            job->most = job->any && job->most > piece.most ? job->most : piece.most;
            job->any = true;
        }
        job->nan |= piece.nan;
    } else {
        job->pieces[task] = piece;
    }
}

void swg__range(swg_context *ctx, swg_element type, const void *data, int64_t count, const swg__fill *fill, double *least, double *most,
                bool *any, int64_t *nan) {
    int64_t tasks = (count + RANGE_PIECE - 1) / RANGE_PIECE;
    bool passed_over = fill->mode == SWG_FILL_NONE || (fill->mode == SWG_FILL_ABOVE && !isfinite(fill->threshold));
    struct range_job job = {.kernels = swg__codec_kernels_for(ctx->isa), .type = type, .data = data, .count = count, .fill = passed_over ? NULL : fill};
    struct range_job *pieces = tasks > 1 ? swg__calloc(ctx, (size_t)tasks, sizeof *pieces) : NULL;
    if (pieces) {
        job.pieces = pieces;
        swg__parallel(ctx, tasks, range_piece, &job);
        job.pieces = NULL;
        for (int64_t t = 0; t < tasks; t++) {
            job.nan |= pieces[t].nan;
            if (pieces[t].any) {
                job.least = job.any && job.least < pieces[t].least ? job.least : pieces[t].least;
                job.most = job.any && job.most > pieces[t].most ? job.most : pieces[t].most;
                job.any = true;
            }
        }
        swg__free(ctx, pieces);
    } else {
        for (int64_t t = 0; t < tasks; t++)
            range_piece(&job, t, 0);
    }
    *any = job.any;
    *least = job.any ? job.least + 0.0 : 0; /* + 0.0: the header has no use for the sign of zero */
    *most = job.any ? job.most + 0.0 : 0;
    if (!nan)
        return;
    *nan = job.nan ? 0 : -1;
    while (job.nan && !isnan(swg__load_value(type, data, *nan)))
        ++*nan;
}

/* ---- the grid ---- */

double swg__short_step(double eb, int sig) {
    double step = 2 * eb;
    uint64_t bits;
    memcpy(&bits, &step, sizeof bits);
    bits &= ~(((uint64_t)1 << (53 - sig)) - 1);
    memcpy(&step, &bits, sizeof step);
    return step;
}

/* Bits left for the step when |x - base| <= reach: the product u * step must fit 53. factor: 16 with sub-grid bits, else 1. */
static int significant_bits(double reach, double eb, int factor) {
    double levels = ceil(reach / (2 * eb));
    if (!(levels < 0x1p41))
        return 0;
    uint64_t bound = (uint64_t)levels * (uint64_t)factor + (uint64_t)factor;
    int bits = 53 - (64 - __builtin_clzll(bound));
    return bits > 24 ? 24 : bits;
}

static bool set_grid(swg__grid *grid, double base, double reach) {
    grid->base = base;
    grid->fine = true;
    grid->sig = significant_bits(reach, grid->eb, 16);
    if (grid->sig < 12) {
        grid->fine = false;
        grid->sig = significant_bits(reach, grid->eb, 1);
    }
    if (grid->sig < 12)
        return false;
    double levels = ldexp(1, 53 - grid->sig) / (grid->fine ? 16 : 1) - 2;
    grid->reach = levels < 0x1p41 ? levels : 0x1p41;
    grid->step = swg__short_step(grid->eb, grid->sig);
    return true;
}

void swg__grid_reopen(swg__grid *grid) {
    if (!(grid->step > 0))
        return;
    /* Below 16 bits the step may be one that left no room for the fine grid. */
    grid->fine = swg__is_float(grid->type) && grid->sig >= 16;
    double levels = ldexp(1, 53 - grid->sig) / (grid->fine ? 16 : 1) - 2;
    grid->reach = !swg__is_float(grid->type) ? 0x1p45 : levels < 0x1p41 ? levels : 0x1p41;
}

bool swg__level_find(const swg__grid *grid, int shift, int64_t stride, double x, int64_t *u, double *error) {
    static const int order[3] = {0, 1, -1};
    for (int i = 0; i < 3; i++) {
        int64_t candidate = *u + order[i] * stride;
        bool usable;
        double value = swg__typed_value(grid, shift, candidate, &usable);
        if (usable && swg__accept(value, x, grid->eb)) {
            *u = candidate;
            *error = fabs(value - x);
            return true;
        }
    }
    return false;
}

/* Bits per value that outliers and a smaller step cost, on a sample; for the choice between steps. */
static double step_cost(const swg__grid *grid, const swg_codec_array *array, int64_t count) {
    int64_t stride = count / 16384 + 1, seen = 0, outliers = 0;
    for (int64_t i = 0; i < count; i += stride, seen++) {
        double x = swg__load_value(array->type, array->data, i), t = (x - grid->base) / grid->step, error;
        int64_t u = fabs(t) <= grid->reach ? (int64_t)rint(t) : 0;
        outliers += !(fabs(t) <= grid->reach) || !swg__level_find(grid, 0, 1, x, &u, &error);
    }
    return 48.0 * (double)outliers / (double)seen - log2(grid->step / grid->eb);
}

/* Where the type's spacing is not small against the bound, a step made of whole spacings may cost fewer outliers. */
static void choose_step(swg__grid *grid, const swg_codec_array *array, int64_t count, double least, double most) {
    double reach = fabs(least - grid->base) > fabs(most - grid->base) ? fabs(least - grid->base) : fabs(most - grid->base);
    double top = fabs(least) > fabs(most) ? fabs(least) : fabs(most);
    double ulp = array->type == SWG_ELEMENT_F32 ? (double)(nextafterf((float)top, INFINITY) - (float)top) : nextafter(top, INFINITY) - top;
    if (!(ulp > grid->eb / 64) || !isfinite(ulp))
        return;
    swg__grid best = *grid;
    double best_cost = step_cost(grid, array, count);
    double low = least > 0 ? least : most < 0 ? -most : 0;
    bool one_binade = low > 0 && ilogb(low) == ilogb(top);
    double candidates[2] = {2 * (grid->eb - ulp / 2), one_binade ? (2 * floor(grid->eb / ulp) + 1) * ulp : 0};
    for (int i = 0; i < 2; i++) {
        swg__grid other = *grid;
        if (!(candidates[i] > 0) || !isfinite(candidates[i]))
            continue;
        other.step = swg__short_step(candidates[i] / 2, grid->sig);
        /* A multiple of the spacing shortened is none any more; a longer step must still reach every value. */
        if ((i == 1 && other.step != candidates[i]) || other.step < 0x1p-1001 || reach / other.step > grid->reach)
            continue;
        double cost = step_cost(&other, array, count);
        if (cost < best_cost) {
            best = other;
            best_cost = cost;
        }
    }
    *grid = best;
}

/* Largest magnitude among the values that a grid of 12 significant bits reaches; false if more than 1/256 are beyond. */
static bool trimmed_reach(const swg_codec_array *array, int64_t count, const swg__fill *fill, double eb, double *reach) {
    double most = eb * 0x1p36;
    int64_t beyond = 0;
    *reach = 0;
    for (int64_t i = 0; i < count; i++) {
        double size = fabs(swg__load_value(array->type, array->data, i));
        if (size <= most)
            *reach = size > *reach ? size : *reach;
        else if (!swg__is_fill(fill, array->type, array->data, i))
            beyond += isfinite(size) != 0;
    }
    return beyond <= count / 256;
}

/* The grid of a point-wise relative bound. The type's own rounding is taken off it, so that it makes no outliers; where that leaves
 * less than half of the bound, the type is hardly finer than it and everything is kept. */
static swg_status resolve_relative(swg_context *ctx, double p, swg__grid *grid) {
    double rounding = grid->type == SWG_ELEMENT_F32 ? 0x1p-24 : 0x1p-51;
    if (!swg__is_float(grid->type))
        return swg__fail(ctx, SWG_EDTYPE, "a point-wise relative bound is for floating-point arrays, not for %s: give an absolute one",
                         swg_element_name(grid->type));
    if (p >= 0.5)
        return swg__fail(ctx, SWG_EINVAL, "a point-wise relative bound of %g is not below 0.5", p);
    if (p < 2 * rounding)
        return SWG_OK;
    grid->eb = p;
    grid->pw_h = swg__power_step(p - rounding);
    return SWG_OK;
}

swg_status swg__grid_resolve(swg_context *ctx, const swg_codec_array *array, int64_t count, const swg_codec_opts *opts,
                             const swg__fill *fill, double least, double most, swg__grid *grid) {
    *grid = (swg__grid){.type = array->type};
    if (opts->bound != SWG_BOUND_LOSSLESS && opts->bound != SWG_BOUND_ABS && opts->bound != SWG_BOUND_REL && opts->bound != SWG_BOUND_PW_REL)
        return swg__fail(ctx, SWG_EINVAL, "bound mode %d does not exist", (int)opts->bound);
    if (opts->bound == SWG_BOUND_LOSSLESS)
        return SWG_OK;
    if (!(opts->value >= 0) || !isfinite(opts->value))
        return swg__fail(ctx, SWG_EINVAL, "an error bound of %g is not a number >= 0", opts->value);
    if (opts->bound == SWG_BOUND_PW_REL)
        return resolve_relative(ctx, opts->value, grid);
    double eb = opts->value;
    if (opts->bound == SWG_BOUND_REL) {
        double low = opts->has_range ? opts->range_min : least, high = opts->has_range ? opts->range_max : most;
        if (!(low <= high) || !isfinite(low) || !isfinite(high))
            return swg__fail(ctx, SWG_EINVAL, "the range %g .. %g given for a relative bound is not one", low, high);
        eb = opts->value * (high / 2 - low / 2) * (2 * (1 - 0x1p-50)); /* halves: the difference of two huge values may overflow */
        eb = isfinite(eb) ? eb : 0x1p1000;
    }
    if (eb < 0x1p-1000)
        return SWG_OK;
    grid->eb = eb > 0x1p1000 ? 0x1p1000 : eb;
    if (!swg__is_float(array->type)) {
        double half = floor(grid->eb);
        if (half < 1) {
            grid->eb = 0;
            return SWG_OK;
        }
        grid->step = 2 * (half < 0x1p51 ? half : 0x1p51) + 1;
        grid->reach = 0x1p45;
        return SWG_OK;
    }
    double reach = fabs(least) > fabs(most) ? fabs(least) : fabs(most), middle = least / 2 + most / 2;
    middle = array->type == SWG_ELEMENT_F32 ? (double)(float)middle : middle;
    double about = most - middle > middle - least ? most - middle : middle - least;
    bool ok = significant_bits(reach, eb, 16) >= 12 && set_grid(grid, 0, reach);
    ok = ok || (isfinite(middle) && set_grid(grid, middle, about));
    ok = ok || (trimmed_reach(array, count, fill, eb, &reach) && set_grid(grid, 0, reach));
    if (!ok)
        *grid = (swg__grid){.type = array->type};
    else
        choose_step(grid, array, count, least, most);
    return SWG_OK;
}

float swg__ratio_up(double error, double eb) {
    if (!(error > 0))
        return 0;
    double ratio = error / eb * (1 + 0x1p-51);
    float up = (float)ratio;
    if ((double)up < ratio)
        up = nextafterf(up, INFINITY);
    return up > 1 ? 1 : up;
}
