/* grid.h - the integer grid of the lossy modes: its step, the one reconstruction expression, the exact acceptance test.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_GRID_H
#define SWAGE_CODEC_GRID_H

#include <float.h>
#include <math.h>
#include "base.h"
#include "swage/codec.h"

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "the bound needs IEEE arithmetic without excess precision (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif
_Static_assert(-257 >> 8 == -2, "the format needs arithmetic right shifts");

#define SWG__LEVEL_LIMIT ((int64_t)1 << 45) /* |u| on the grid of any mode */

typedef struct swg__grid {
    swg_element type;
    double eb;      /* resolved absolute bound, of point-wise relative bounds p; 0: lossless */
    double step;    /* of the main grid; integers: odd, >= 1; 0: lossless */
    double base;
    int sig;        /* significant bits of the step, 12..24; 0: no float grid */
    bool fine;      /* modes on the grid of step / 16 are allowed */
    uint64_t pw_h;  /* spacing of the logarithmic grid, Q40; 0: none. step is 0 then */
    double reach;   /* |u| a lossy value may have on the main grid; beyond: outlier. Encoder only */
} swg__grid;

/* The one reconstruction expression; the caller casts to the array's type. step has at most 24 significant bits and |u| few enough
 * that the product is exact: only the sum is rounded, with or without FMA. u is a whole number. */
static inline double swg__grid_value(double base, double step, double u) { return base + u * step; }

/* step of the grid with `shift` (0 or 4) sub-grid bits: a power of two, hence exact */
static inline double swg__grid_step(const swg__grid *grid, int shift) { return shift ? grid->step * 0.0625 : grid->step; }

/* |value - x| <= eb in exact arithmetic: rounding is monotone, so only the tail of an exact tie needs a look (TwoSum). */
static inline bool swg__accept(double value, double x, double eb) {
    double d = value - x, size = fabs(d);
    if (size < eb)
        return true;
    if (size != eb)
        return false;
    double back = d - value, tail = (value - (d - back)) + (-x - back);
    return d > 0 ? tail <= 0 : tail >= 0;
}

static inline bool swg__is_float(swg_element type) { return type == SWG_ELEMENT_F32 || type == SWG_ELEMENT_F64; }

/* A float of either type as f64; the integer types have their own functions. */
static inline double swg__load_value(swg_element type, const void *data, int64_t i) {
    return type == SWG_ELEMENT_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

/* Grid value in the array's type (as f64), and whether the type may hold it: subnormal results depend on flush-to-zero. */
static inline double swg__typed_value(const swg__grid *grid, int shift, int64_t u, bool *usable) {
    double exact = swg__grid_value(grid->base, swg__grid_step(grid, shift), (double)u);
    double value = grid->type == SWG_ELEMENT_F32 ? (double)(float)exact : exact;
    double least = grid->type == SWG_ELEMENT_F32 ? (double)FLT_MIN : DBL_MIN;
    *usable = value == 0 || (fabs(value) >= least && isfinite(value));
    return value;
}

/* Tries u and its neighbours `stride` away. Sets *u and *error to the accepted one, false: an outlier. */
bool swg__level_find(const swg__grid *grid, int shift, int64_t stride, double x, int64_t *u, double *error);

/* Integers of up to 64 bits: level <-> value with the odd step m. */
int64_t swg__integer_load(swg_element type, const void *data, int64_t i, bool *above); /* above: u64 >= 2^63, returned as its bits */
bool swg__integer_level(swg_element type, const void *data, int64_t i, int64_t m, int64_t *u); /* false: |u| too large */
void swg__integer_store(swg_element type, void *data, int64_t i, int64_t m, int64_t u);       /* clamps to the type */

/* Any value as f64; integers beyond 2^53 are rounded. */
static inline double swg__number(swg_element type, const void *data, int64_t i) {
    if (swg__is_float(type))
        return swg__load_value(type, data, i);
    bool above;
    int64_t v = swg__integer_load(type, data, i, &above);
    return above ? (double)(uint64_t)v : (double)v;
}

/* Lossless f32: the monotone key of the bits, and back. */
static inline int32_t swg__key32(uint32_t bits) { return (int32_t)(bits ^ ((uint32_t)((int32_t)bits >> 31) & 0x7FFFFFFFu)); }
static inline uint32_t swg__unkey32(int32_t key) { return (uint32_t)key ^ ((uint32_t)(key >> 31) & 0x7FFFFFFFu); }
static inline uint64_t swg__key64(uint64_t bits) { return bits ^ ((uint64_t)((int64_t)bits >> 63) & 0x7FFFFFFFFFFFFFFFu); }

/* Values that are not data: they come back bit for bit and take part in nothing. */
typedef struct swg__fill {
    swg_fill_mode mode;  /* never SWG_FILL_AUTO */
    uint64_t bits;       /* SWG_FILL_VALUE: the pattern; SWG_FILL_ABOVE: what most of them look like */
    double threshold;    /* SWG_FILL_ABOVE: NaN and |x| >= threshold; infinity is allowed */
} swg__fill;

/* The bits of a value, in the low bytes. */
static inline uint64_t swg__bits_of(swg_element type, const void *data, int64_t i) {
    switch (swg_element_bytes(type)) {
    case 1: return ((const uint8_t *)data)[i];
    case 2: return ((const uint16_t *)data)[i];
    case 4: return ((const uint32_t *)data)[i];
    default: return ((const uint64_t *)data)[i];
    }
}
static inline void swg__bits_store(swg_element type, void *data, int64_t i, uint64_t bits) {
    switch (swg_element_bytes(type)) {
    case 1: ((uint8_t *)data)[i] = (uint8_t)bits; break;
    case 2: ((uint16_t *)data)[i] = (uint16_t)bits; break;
    case 4: ((uint32_t *)data)[i] = (uint32_t)bits; break;
    default: ((uint64_t *)data)[i] = bits;
    }
}
bool swg__is_fill(const swg__fill *fill, swg_element type, const void *data, int64_t i);

/* Smallest and largest finite value of an array that is no fill; *any false if there is none. nan: index of the first NaN, -1 none; may be NULL. */
void swg__range(swg_context *ctx, swg_element type, const void *data, int64_t count, const swg__fill *fill, double *least, double *most,
                bool *any, int64_t *nan);

/* Short step: the largest f64 <= 2 * eb with at most `sig` significant bits. */
double swg__short_step(double eb, int sig);

/* The encoder's part of a grid that was read from a header: which levels it may use. Values beyond them are outliers. */
void swg__grid_reopen(swg__grid *grid);

/* Turns a request into a grid. data: the whole array (the step is chosen on a sample of it).
 * SWG_EINVAL: negative, NaN, infinite. SWG_EDTYPE: a point-wise relative bound of integers. */
swg_status swg__grid_resolve(swg_context *ctx, const swg_codec_array *array, int64_t count, const swg_codec_opts *opts,
                             const swg__fill *fill, double least, double most, swg__grid *grid);

/* error / eb as f32, rounded up, at most 1 */
float swg__ratio_up(double error, double eb);

#endif
