/* kernels.inc.h - the text of the codec's inner loops; an ISA file sets the macros and includes it.
 * LANES: f64 lanes of a vector. KERNELS: name of the table. find_symbol(start, slot): largest i with start[i] <= slot.
 * lookup(table, index): see choice_kernels.inc.h; LOOKUP_BY_LOOP: with plain loads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "codec/kernels.h"

typedef double vf64 __attribute__((vector_size(8 * LANES)));
typedef int64_t vi64 __attribute__((vector_size(8 * LANES)));
typedef uint64_t vu64 __attribute__((vector_size(8 * LANES)));
typedef float vf32 __attribute__((vector_size(4 * LANES)));
typedef int32_t vi32h __attribute__((vector_size(4 * LANES)));
typedef int32_t vi32 __attribute__((vector_size(8 * LANES)));
typedef uint32_t vu32 __attribute__((vector_size(8 * LANES)));
typedef int16_t vi16 __attribute__((vector_size(4 * LANES)));
typedef int8_t vi8 __attribute__((vector_size(2 * LANES)));

/* ---- quantiser ---- */

/* Adding and subtracting 1.5 * 2^52 rounds half to even; the low bits of the sum are the level in two's complement. */
#define ROUNDER 0x1.8p52
#define ROUNDER_BITS 0x4338000000000000

static inline vf64 broadcast(double v) { return v - (vf64){0}; }
static inline vf64 magnitude(vf64 v) { return (vf64)((vi64)v & INT64_MAX); }
static inline vf64 choose(vi64 mask, vf64 yes, vf64 no) { return (vf64)((mask & (vi64)yes) | (~mask & (vi64)no)); }

typedef struct quantiser {
    vf64 base, step, inverse, eb, reach, least, lowest, highest, error;
    vi64 ok;
} quantiser;

/* x: the values; returns the rounded sums, whose bits hold the levels. single: the array's type is f32 */
static inline vf64 quantise(quantiser *q, vf64 x, bool single) {
    vf64 sum = (x - q->base) * q->inverse + ROUNDER, level = sum - ROUNDER;
    vf64 value = q->base + level * q->step; /* swg__grid_value, in lanes */
    if (single)
        value = __builtin_convertvector(__builtin_convertvector(value, vf32), vf64);
    vf64 error = magnitude(value - x);
    q->ok &= (error < q->eb) & (magnitude(level) <= q->reach) & ((magnitude(value) >= q->least) | (value == 0));
    q->error = choose(error > q->error, error, q->error);
    q->lowest = choose(level < q->lowest, level, q->lowest);
    q->highest = choose(level > q->highest, level, q->highest);
    return sum;
}

static inline quantiser quantiser_open(const swg__grid *grid, double least) {
    return (quantiser){broadcast(grid->base), broadcast(grid->step), broadcast(1 / grid->step), broadcast(grid->eb),
                       broadcast(grid->reach), broadcast(least), broadcast(INFINITY), broadcast(-INFINITY), broadcast(0),
                       (vi64){0} - 1};
}

static inline bool quantiser_close(const quantiser *q, swg__row_extent *extent) {
    int64_t ok = -1;
    for (int i = 0; i < LANES; i++) {
        ok &= q->ok[i];
        extent->lowest = q->lowest[i] < extent->lowest ? q->lowest[i] : extent->lowest;
        extent->highest = q->highest[i] > extent->highest ? q->highest[i] : extent->highest;
        extent->error = q->error[i] > extent->error ? q->error[i] : extent->error;
    }
    return ok == -1;
}

static inline vf64 load_f32(const float *x) {
    vf32 v;
    memcpy(&v, x, sizeof v);
    return __builtin_convertvector(v, vf64);
}
static inline vf64 load_f64(const double *x) {
    vf64 v;
    memcpy(&v, x, sizeof v);
    return v;
}
static inline void store_32(int32_t *u, vf64 sum) {
    vi32h v = __builtin_convertvector((vi64)sum, vi32h);
    memcpy(u, &v, sizeof v);
}
static inline void store_64(int64_t *u, vf64 sum) {
    vi64 v = (vi64)((vu64)sum - (uint64_t)ROUNDER_BITS); /* unsigned: the sums of a row that is given up may be anything */
    memcpy(u, &v, sizeof v);
}

/* The last, partial vector repeats its final value: that changes neither extent nor acceptance. */
#define QUANTISE(name, type, load, single, least, width, level_type)                                               \
    static bool name(const type *x, int64_t n, const swg__grid *grid, level_type *u, swg__row_extent *extent) {    \
        quantiser q = quantiser_open(grid, least);                                                                 \
        int64_t i = 0;                                                                                             \
        for (; i + LANES <= n; i += LANES)                                                                         \
            store_##width(u + i, quantise(&q, load(x + i), single));                                               \
        if (i < n) {                                                                                               \
            type rest[LANES];                                                                                      \
            level_type out[LANES];                                                                                 \
            for (int64_t j = 0; j < LANES; j++)                                                                    \
                rest[j] = x[i + j < n ? i + j : n - 1];                                                            \
            store_##width(out, quantise(&q, load(rest), single));                                                  \
            memcpy(u + i, out, (size_t)(n - i) * sizeof *u);                                                       \
        }                                                                                                          \
        return quantiser_close(&q, extent);                                                                        \
    }
QUANTISE(quantise_f32_32, float, load_f32, true, (double)FLT_MIN, 32, int32_t)
QUANTISE(quantise_f64_32, double, load_f64, false, DBL_MIN, 32, int32_t)
QUANTISE(quantise_f32_64, float, load_f32, true, (double)FLT_MIN, 64, int64_t)
QUANTISE(quantise_f64_64, double, load_f64, false, DBL_MIN, 64, int64_t)

/* ---- stencil ---- */

enum { LANES32 = 2 * LANES };

static inline vi32 load_i32(const int32_t *p) {
    vi32 v;
    memcpy(&v, p, sizeof v);
    return v;
}

#ifdef LOOKUP_BY_LOOP
static inline vi32 lookup(const uint16_t *table, vi32 index) {
    vi32 v;
    for (int j = 0; j < LANES32; j++)
        v[j] = table[index[j]];
    return v;
}
#endif

/* Differences wrap at 32 bits, which is exact as long as the levels of a chunk span less than 2^31. */
static inline vi32 narrow_block(const int32_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], int64_t i, vi32 *accumulator,
                                vi32 *activity) {
    vu32 anchor = (vu32)load_i32(tap[0] + i), outside = {0}, sum = {0}, size = {0};
    for (int k = 1; k < SWG__TAPS; k++) {
        vu32 d = (vu32)load_i32(tap[k] + i) - anchor, sign = (vu32)((vi32)d >> 31);
        sum += d * (uint32_t)w[k];
        size += (d ^ sign) - sign;
        outside |= (d + 8192) & ~(uint32_t)16383;
    }
    *accumulator = (vi32)sum;
    *activity = (vi32)(4 * size + 27);
    return (vi32)outside;
}

/* The lanes behind the end of a row are computed and forgotten. */
static bool stencil_narrow(const int32_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], int64_t n, int64_t *accumulator,
                           int64_t *activity) {
    vi32 outside = {0}, lane, sum, size;
    for (int j = 0; j < LANES32; j++)
        lane[j] = j;
    for (int64_t i = 0; i < n; i += LANES32) {
        int32_t sums[LANES32], sizes[LANES32], left = n - i < LANES32 ? (int32_t)(n - i) : LANES32;
        outside |= narrow_block(tap, w, i, &sum, &size) & (lane < left);
        memcpy(sums, &sum, sizeof sum);
        memcpy(sizes, &size, sizeof size);
        for (int32_t j = 0; j < left; j++) {
            accumulator[i + j] = sums[j];
            activity[i + j] = sizes[j];
        }
    }
    int32_t any = 0;
    for (int j = 0; j < LANES32; j++)
        any |= outside[j];
    return any != 0;
}

#include "codec/choice_kernels.inc.h"

static bool stencil_codes(const int32_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], const int32_t *level, int64_t n, const uint32_t table[192],
                          int32_t residual, uint16_t *code, int32_t *value, uint8_t *low) {
    typedef float vf32w __attribute__((vector_size(8 * LANES)));
    vi32 outside = {0}, lane, sum, size;
    for (int j = 0; j < LANES32; j++)
        lane[j] = j;
    for (int64_t i = 0; i < n; i += LANES32) {
        int32_t left = n - i < LANES32 ? (int32_t)(n - i) : LANES32, classes[LANES32], symbols[LANES32], sizes[LANES32 + 1], values[LANES32];
        outside |= narrow_block(tap, w, i, &sum, &size) & (lane < left);
        /* Quarter octaves from 16 on are the top bits of a float, which holds sizes below 2^24 exactly. */
        vi32 class = ((vi32)__builtin_convertvector(size, vf32w) >> 21) - 4 * (127 + 4);
        vi32 mu = (sum + 256) >> 9, half = (mu + 8) >> 4, phase = mu - 16 * half, sign = phase >> 31;
        vi32 rest = (vi32)((vu32)load_i32(level + i) - (vu32)load_i32(tap[0] + i)) - half;
        vi32 h = (rest ^ sign) - sign, fits = (h >= -15) & (h <= 15), any = (rest != 0) & 1, more = ((rest > 1) | (rest < -1)) & 1;
        vi32 symbol = 32 * ((phase ^ sign) - sign) + ((fits & (h + 15)) | (~fits & SWG__ESCAPE));
        class = 3 * ((class & (class < 63)) | (63 & (class >= 63)));
        sizes[0] = residual == 0 ? 0 : residual == 1 || residual == -1 ? 1 : 2;
        any += more;
        memcpy(classes, &class, sizeof class);
        memcpy(symbols, &symbol, sizeof symbol);
        memcpy(sizes + 1, &any, sizeof any);
        memcpy(values, &h, sizeof h);
        memcpy(value + i, values, (size_t)left * sizeof *value);
        memcpy(values, &rest, sizeof rest);
        uint32_t low_bits = 0;
        for (int32_t j = 0; j < left; j++) {
            const uint32_t t = table[classes[j] + sizes[j]];
            low_bits |= t;
            code[i + j] = (uint16_t)(t + (uint32_t)symbols[j]);
            low[i + j] = (uint8_t)(t >> 16);
        }
        for (int32_t j = 0; j < left && low_bits >> 16; j++) /* seldom */
            if (low[i + j]) {
                int64_t ignored;
                code[i + j] = (uint16_t)swg__residual_code(table[classes[j] + sizes[j]], 0, values[j], &ignored);
                value[i + j] = values[j];
            }
        residual = values[left - 1];
    }
    int32_t some = 0;
    for (int j = 0; j < LANES32; j++)
        some |= outside[j];
    return some != 0;
}

/* In f64, where every product and sum is a whole number below 2^53: exact, and there are lanes for it everywhere. */
static void stencil_middle(const int32_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], int64_t n, int64_t *accumulator,
                           int64_t *activity) {
    for (int64_t i = 0; i < n; i += LANES) {
        vi32h anchor, level;
        vf64 sum = {0}, size = {0};
        memcpy(&anchor, tap[0] + i, sizeof anchor);
        for (int k = 1; k < SWG__TAPS; k++) {
            memcpy(&level, tap[k] + i, sizeof level);
            vf64 d = __builtin_convertvector(level, vf64) - __builtin_convertvector(anchor, vf64);
            sum += d * (double)w[k];
            size += magnitude(d);
        }
        int64_t left = n - i < LANES ? n - i : LANES;
        for (int64_t j = 0; j < left; j++) {
            accumulator[i + j] = (int64_t)sum[j];
            activity[i + j] = 4 * (int64_t)size[j] + 27;
        }
    }
}

static void stencil_wide(const int64_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], int64_t least, int64_t most, int64_t n,
                         int64_t *accumulator, int64_t *activity) {
    for (int64_t i = 0; i < n; i++) {
        int64_t anchor = tap[0][i], sum = 0, size = 0;
        for (int k = 1; k < SWG__TAPS; k++) {
            int64_t d = tap[k][i] - anchor;
            d = d < least ? least : d > most ? most : d;
            sum += w[k] * d;
            size += d < 0 ? -d : d;
        }
        accumulator[i] = sum;
        activity[i] = 4 * size + 27;
    }
}

/* Four samples share the loads and stores of the sums; each sum still grows in sample order. */
static void normal_sums(const double *d, const double *target, const uint8_t *mark, int64_t count,
                        double sums[SWG__TAPS][SWG__SUM_WIDTH]) {
    enum { GROUP = 4 };
    for (int64_t s = 0; s < count; s += GROUP) {
        double x[GROUP][SWG__SUM_WIDTH] = {{0}}, weight[GROUP] = {0};
        for (int64_t g = 0; g < GROUP && s + g < count; g++) {
            double size = 0;
            if (mark[s + g] & SWG__SAMPLE_BORDER)
                continue;
            x[g][0] = target[s + g];
            for (int k = 1; k < SWG__TAPS; k++) {
                x[g][k] = d[(s + g) * (SWG__TAPS - 1) + k - 1];
                size += fabs(x[g][k]);
            }
            weight[g] = 1 / (size / (SWG__TAPS - 1) + 1);
        }
        for (int i = 1; i < SWG__TAPS; i++)
            for (int j = 0; j <= i; j += LANES) {
                vf64 sum = load_f64(&sums[i][j]);
                for (int g = 0; g < GROUP; g++)
                    sum += (weight[g] * x[g][i]) * load_f64(&x[g][j]);
                memcpy(&sums[i][j], &sum, sizeof sum);
            }
    }
}

/* Every sum is exact, so their order does not matter. The last vector overlaps the one before. */
static void stencil_points(const double *d, int64_t count, const int32_t w[SWG__TAPS], double least, double most, int64_t *sum, int64_t *size) {
    enum { N = SWG__TAPS - 1, FULL = N / LANES, VECTORS = FULL + (N % LANES > 0) };
    const vf64 low = broadcast(least), high = broadcast(most);
    vf64 weight[VECTORS], once[VECTORS];
    int at[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        at[v] = v < FULL ? v * LANES : N - LANES;
        for (int i = 0; i < LANES; i++) {
            const bool fresh = at[v] + i >= v * LANES;
            weight[v][i] = fresh ? w[at[v] + i + 1] : 0;
            once[v][i] = fresh;
        }
    }
    for (int64_t p = 0; p < count; p++, d += N) {
        vf64 s = {0}, a = {0};
        for (int v = 0; v < VECTORS; v++) {
            vf64 x = load_f64(d + at[v]);
            x = choose(x < low, low, x);
            x = choose(x > high, high, x);
            s += weight[v] * x;
            a += once[v] * magnitude(x);
        }
        double both[2] = {0, 0};
        for (int i = 0; i < LANES; i++) {
            both[0] += s[i];
            both[1] += a[i];
        }
        sum[p] = (int64_t)both[0];
        size[p] = (int64_t)both[1];
    }
}

/* Integer comparisons on monotone keys, so that the loop is vectorised and NaN needs no branch. */
static void range_f32(const uint32_t *bits, int64_t n, int32_t *least, int32_t *most, int32_t *largest) {
    int32_t low = INT32_MAX, high = INT32_MIN, top = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t size = (int32_t)(bits[i] & 0x7FFFFFFFu), key = swg__key32(bits[i]);
        const bool finite = size < 0x7F800000;
        const int32_t a = finite ? key : INT32_MAX, b = finite ? key : INT32_MIN;
        top = size > top ? size : top;
        low = a < low ? a : low;
        high = b > high ? b : high;
    }
    *least = low;
    *most = high;
    *largest = top;
}

static double dot(const double *a, const double *b, int64_t n) {
    enum { SUMS = 8, VECTORS = SUMS / LANES };
    vf64 sum[VECTORS] = {{0}};
    double parts[SUMS];
    int64_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int v = 0; v < VECTORS; v++)
            sum[v] += load_f64(a + i + v * LANES) * load_f64(b + i + v * LANES);
    memcpy(parts, sum, sizeof parts);
    for (; i < n; i++)
        parts[i % SUMS] += a[i] * b[i];
    return ((parts[0] + parts[4]) + (parts[2] + parts[6])) + ((parts[1] + parts[5]) + (parts[3] + parts[7]));
}

/* ---- entropy decoder ---- */

static void residuals(swg__rans *r, const uint8_t *bucket, const int8_t *phase, int64_t n, int64_t *e) {
    for (int64_t i = 0; i < n; i++) {
        int b = bucket[i], phi = phase && b < 28 ? phase[i] : 0;
        int table = b < 28 ? 9 * b + (phi < 0 ? -phi : phi) : 252 + (b & 3);
        uint32_t x = r->state[r->lane], slot = x & 32767;
        int symbol = find_symbol(swg__start[table], slot);
        swg__rans_step(r, x, slot, swg__frequency[table][symbol], swg__start[table][symbol]);
        int64_t h = symbol - 15;
        if (symbol == SWG__ESCAPE)
            h = swg__rans_escape(r);
        if (b >= 28) {
            int low_bits = (b - 28) / 4 + 1;
            int64_t low = (int64_t)swg__bits_get(&r->raw, low_bits), most = SWG__RESIDUAL_LIMIT >> low_bits;
            if (h < -most || h > most) {
                r->bad = true;
                h = 0;
            }
            h = h * ((int64_t)1 << low_bits) + low - ((int64_t)1 << (low_bits - 1));
        } else if (h < -SWG__RESIDUAL_LIMIT || h > SWG__RESIDUAL_LIMIT) {
            r->bad = true;
            h = 0;
        }
        e[i] = phi < 0 ? -h : h;
    }
}

/* ---- integer network ---- */

/* Four outputs at a time share the loads of x; the compilers turn the int16 products into multiply-add pairs. */
static void linear(const int16_t *x, int64_t rows, int64_t stride, const int16_t *w, const int32_t *bias, int64_t out, int32_t *y) {
    int64_t j = 0;
    for (; j + 4 <= out; j += 4) {
        const int16_t *w0 = w + j * stride, *w1 = w0 + stride, *w2 = w1 + stride, *w3 = w2 + stride;
        int64_t row = 0;
        for (; row + 2 <= rows; row += 2) {
            const int16_t *a = x + row * stride, *b = a + stride;
            int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
            for (int64_t i = 0; i < (stride & -SWG__NET_PAD); i++) {
                a0 += a[i] * w0[i];
                a1 += a[i] * w1[i];
                a2 += a[i] * w2[i];
                a3 += a[i] * w3[i];
                b0 += b[i] * w0[i];
                b1 += b[i] * w1[i];
                b2 += b[i] * w2[i];
                b3 += b[i] * w3[i];
            }
            int32_t *p = y + row * out + j, *q = p + out;
            p[0] = bias[j] + a0;
            p[1] = bias[j + 1] + a1;
            p[2] = bias[j + 2] + a2;
            p[3] = bias[j + 3] + a3;
            q[0] = bias[j] + b0;
            q[1] = bias[j + 1] + b1;
            q[2] = bias[j + 2] + b2;
            q[3] = bias[j + 3] + b3;
        }
        for (; row < rows; row++) {
            const int16_t *a = x + row * stride;
            int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
            for (int64_t i = 0; i < (stride & -SWG__NET_PAD); i++) {
                a0 += a[i] * w0[i];
                a1 += a[i] * w1[i];
                a2 += a[i] * w2[i];
                a3 += a[i] * w3[i];
            }
            int32_t *p = y + row * out + j;
            p[0] = bias[j] + a0;
            p[1] = bias[j + 1] + a1;
            p[2] = bias[j + 2] + a2;
            p[3] = bias[j + 3] + a3;
        }
    }
    for (; j < out; j++)
        for (int64_t row = 0; row < rows; row++) {
            const int16_t *a = x + row * stride, *w0 = w + j * stride;
            int32_t sum = 0;
            for (int64_t i = 0; i < (stride & -SWG__NET_PAD); i++)
                sum += a[i] * w0[i];
            y[row * out + j] = bias[j] + sum;
        }
}

/* ---- training ---- */

typedef float vfull __attribute__((vector_size(8 * LANES)));
enum { FULL = 2 * LANES };

/* One block of the product, its sums in registers. */
static inline __attribute__((always_inline)) void product_block(const float *a, int64_t stride, const float *b, const float *start, int64_t k,
                                                                int64_t n, float *c, int rows, int vectors) {
    vfull sum[4][2];
    for (int j = 0; j < rows; j++)
        for (int v = 0; v < vectors; v++)
            sum[j][v] = (vfull){0} + (start ? start[j] : 0.f);
    for (int64_t i = 0; i < k; i++) {
        vfull x[2];
        memcpy(x, b + i * n, (size_t)vectors * sizeof *x);
        for (int j = 0; j < rows; j++)
            for (int v = 0; v < vectors; v++)
                sum[j][v] += a[j * stride + i] * x[v];
    }
    for (int j = 0; j < rows; j++)
        memcpy(c + j * n, sum[j], (size_t)vectors * sizeof *sum[j]);
}

static void product(const float *a, int64_t stride, const float *b, const float *start, int64_t m, int64_t k, int64_t n, float *c) {
    int64_t j = 0, v;
    for (; j + 4 <= m; j += 4, a += 4 * stride, c += 4 * n, start += start ? 4 : 0) {
        for (v = 0; v + 2 * FULL <= n; v += 2 * FULL)
            product_block(a, stride, b + v, start, k, n, c + v, 4, 2);
        if (v < n)
            product_block(a, stride, b + v, start, k, n, c + v, 4, 1);
    }
    for (; j < m; j++, a += stride, c += n, start += start ? 1 : 0) {
        for (v = 0; v + 2 * FULL <= n; v += 2 * FULL)
            product_block(a, stride, b + v, start, k, n, c + v, 1, 2);
        if (v < n)
            product_block(a, stride, b + v, start, k, n, c + v, 1, 1);
    }
}


/* ---- mode B-causal ---- */

/* In f64, where every product and sum is a whole number. */
static void block_sums(const int32_t *const *row, const int32_t *w, int64_t rows, int64_t n, int32_t *out) {
    const vf64 most = broadcast(1 << 25);
    for (int64_t i = 0; i < n; i += LANES) {
        vf64 sum = {0};
        for (int64_t k = 0; k < rows; k++) {
            vi32h v;
            memcpy(&v, row[k] + i, sizeof v);
            sum += __builtin_convertvector(v, vf64) * (double)w[k];
        }
        sum *= 1.0 / 8192;
        sum = choose(sum > most, most, sum);
        sum = choose(sum < -most, -most, sum);
        store_32(out + i, sum + ROUNDER);
    }
}

#include "codec/interp_kernels.inc.h"
#include "codec/poly_kernels.inc.h"

const swg__codec_kernels KERNELS = {
    .quantise_f32_32 = quantise_f32_32,
    .quantise_f64_32 = quantise_f64_32,
    .quantise_f32_64 = quantise_f32_64,
    .quantise_f64_64 = quantise_f64_64,
    .stencil_narrow = stencil_narrow,
    .stencil_codes = stencil_codes,
    .stencil_middle = stencil_middle,
    .stencil_wide = stencil_wide,
    .normal_sums = normal_sums,
    .stencil_points = stencil_points,
    .range_f32 = range_f32,
    .dot = dot,
    .residuals = residuals,
    .linear = linear,
    .stencil_gather = stencil_gather,
    .stencil_choices = stencil_choices,
    .stencil_guesses = stencil_guesses,
    .poly_analysis = poly_analysis,
    .poly_synthesis = poly_synthesis,
    .poly_quantise = poly_quantise,
    .poly_weigh = poly_weigh,
    .poly_gaps = poly_gaps,
    .poly_check = poly_check,
    .product = product,
    .interp_narrow = interp_narrow,
    .interp_middle = interp_middle,
    .interp_wide = interp_wide,
    .interp_place = interp_place,
    .interp_code = interp_code,
    .block_sums = block_sums,
};
