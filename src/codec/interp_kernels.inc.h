/* interp_kernels.inc.h - the inner loops of mode G, part of kernels.inc.h: predictions and contexts of rows of targets, and what they become
 * with their residuals. Lanes behind the end of a row are computed and forgotten.
 * SPDX-License-Identifier: Apache-2.0 */

typedef uint16_t vu16 __attribute__((vector_size(4 * LANES)));
typedef union pair { vi32 all; vi32h half[2]; } pair;

static inline vu32 load_sizes(const uint16_t *p) {
    vu16 v;
    memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, vu32);
}
static inline vu32 load_u32(const void *p, int64_t at) { return (vu32)load_i32((const int32_t *)p + at); }

/* All ones in the first `left` lanes. */
static inline vi32 lanes_below(int64_t left) {
    vi32 lane;
    for (int j = 0; j < LANES32; j++)
        lane[j] = j;
    return lane < (int32_t)(left < LANES32 ? left : LANES32);
}
static inline int32_t any_of(vu32 v) {
    uint32_t any = 0;
    for (int j = 0; j < LANES32; j++)
        any |= v[j];
    return any != 0;
}

/* Feature i at `at`; its sizes are added to *around. */
static inline vu32 interp_feature(const swg__interp_taps *t, int i, int64_t at, vu32 *around) {
    vu32 g = {0};
    for (int j = t->first[i]; j < t->first[i + 1]; j++) {
        g += load_u32(t->u[j], at);
        *around += load_sizes(t->size[j] + at);
    }
    return g << t->scale[i];
}

/* S is exact in f64; its class is the exponent and the two bits behind it. */
static inline void store_contexts(const swg__interp_taps *t, vf64 low, vf64 high, vu32 around, uint16_t *to) {
    const vf64 size[2] = {low, high};
    pair sizes = {.all = (vi32)around}, class;
    for (int h = 0; h < 2; h++) {
        vf64 s = size[h] * t->difference_scale + __builtin_convertvector(sizes.half[h], vf64) * t->size_scale + 27.0;
        class.half[h] = __builtin_convertvector(((vi64)s >> 50) - (4 * 1023 + 16), vi32h);
    }
    vi32 context = 3 * class.all - ((vi32)around != 0) - ((vi32)around >= t->busy);
    vu16 out = __builtin_convertvector((vu32)context, vu16);
    memcpy(to, &out, sizeof out);
}

static bool interp_narrow(const swg__interp_taps *t, int64_t rows, int64_t n, int64_t pitch, int32_t *guess, uint16_t *context) {
    vu32 outside = {0};
    for (int64_t row = 0; row < rows; row++, guess += n, context += n)
        for (int64_t x = 0; x < n; x += LANES32) {
            const int64_t at = row * pitch + x;
            vu32 around = {0}, sum = {0}, distances = {0}, any = {0};
            const vu32 first = interp_feature(t, 0, at, &around);
            for (int i = 1; i < t->features; i++) {
                vu32 d = interp_feature(t, i, at, &around) - first, sign = (vu32)((vi32)d >> 31), distance = (d ^ sign) - sign;
                sum += d * (uint32_t)t->w[i];
                distances += distance;
                any |= distance;
            }
            outside |= any & (vu32)lanes_below(n - x);
            vi32 p = ((vi32)first >> 3) + ((vi32)((first & 7) * 8192 + sum + 32768) >> 16);
            memcpy(guess + x, &p, sizeof p);
            const pair size = {.all = (vi32)distances};
            store_contexts(t, __builtin_convertvector(size.half[0], vf64), __builtin_convertvector(size.half[1], vf64), around, context + x);
        }
    return !any_of(outside & ~(t->limit - 1));
}

/* In f64, where every product and sum is a whole number below 2^53. Adding 1.5 * 2^68 rounds to multiples of 2^16; half a unit more makes
 * that "half up" of a whole number. */
static bool interp_middle(const swg__interp_taps *t, int64_t rows, int64_t n, int64_t pitch, int32_t *guess, uint16_t *context) {
    vu64 outside = {0};
    for (int64_t row = 0; row < rows; row++, guess += n, context += n)
        for (int64_t x = 0; x < n; x += LANES32) {
            const int64_t at = row * pitch + x;
            vu32 around = {0};
            vf64 sum[2] = {{0}, {0}}, size[2] = {{0}, {0}};
            const vu32 first = interp_feature(t, 0, at, &around);
            for (int i = 1; i < t->features; i++) {
                pair d = {.all = (vi32)(interp_feature(t, i, at, &around) - first)};
                for (int h = 0; h < 2; h++) {
                    vf64 v = __builtin_convertvector(d.half[h], vf64);
                    sum[h] += v * (double)t->w[i];
                    size[h] += magnitude(v);
                }
            }
            pair g = {.all = (vi32)first}, p, inside = {.all = lanes_below(n - x)};
            for (int h = 0; h < 2; h++) {
                vf64 rounded = __builtin_convertvector(g.half[h], vf64) * 8192.0 + sum[h] + 0.5 + 0x1.8p68;
                vi64 whole = (vi64)rounded - (vi64)broadcast(0x1.8p68);
                outside |= (vu64)((whole + SWG__INTERP_NARROW) & __builtin_convertvector(inside.half[h], vi64));
                p.half[h] = __builtin_convertvector(whole, vi32h);
            }
            memcpy(guess + x, &p, sizeof p);
            store_contexts(t, size[0], size[1], around, context + x);
        }
    uint64_t any = 0;
    for (int j = 0; j < LANES; j++)
        any |= outside[j];
    return !(any & ~(uint64_t)(2 * SWG__INTERP_NARROW - 1));
}

static void interp_wide(const swg__interp_taps *t, int64_t rows, int64_t n, int64_t pitch, int64_t *guess, uint16_t *context) {
    const int64_t most = (int64_t)1 << 30;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t x = 0; x < n; x++) {
            const int64_t at = row * pitch + x;
            int64_t first = 0, sum = 32768, size = 0, around = 0;
            for (int i = 0; i < t->features; i++) {
                int64_t g = 0;
                for (int j = t->first[i]; j < t->first[i + 1]; j++) {
                    g += ((const int64_t *)t->u[j])[at];
                    around += t->size[j][at];
                }
                g *= (int64_t)1 << t->scale[i];
                first = i ? first : g;
                int64_t d = g - first;
                d = d > most ? most : d < -most ? -most : d;
                sum += t->w[i] * d;
                size += d < 0 ? -d : d;
            }
            const int64_t p = (first * 8192 + sum) >> 16;
            const int64_t s = 27 + ((27 * (size * t->difference_weight + around * t->size_weight)) >> t->shift);
            const int e = 63 - __builtin_clzll((uint64_t)s), c = 4 * (e - 4) + (int)(s >> (e - 2) & 3);
            *guess++ = p > SWG__LEVEL_LIMIT ? SWG__LEVEL_LIMIT : p < -SWG__LEVEL_LIMIT ? -SWG__LEVEL_LIMIT : p;
            *context++ = (uint16_t)(3 * (c < 127 ? c : 127) + (around != 0) + (around >= t->busy));
        }
}

/* v as u16, saturated; 0 <= v < 2^31 */
static inline vu16 saturated(vi32 v) {
    const vi32 above = v > 65535;
    return __builtin_convertvector((vu32)((v & ~above) | (65535 & above)), vu16);
}

static inline void store_some(void *to, const void *from, size_t bytes, size_t most) {
    if (bytes >= most)
        memcpy(to, from, most);
    else
        memcpy(to, from, bytes);
}

static bool interp_place(const int32_t *guess, const int64_t *e, int64_t n, int shift, int32_t *u, uint16_t *size) {
    vu32 outside = {0};
    vu64 far = {0};
    for (int64_t i = 0; i < n; i += LANES32) {
        const vi32 inside = lanes_below(n - i);
        pair k, mine = {.all = inside};
        for (int h = 0; h < 2; h++) {
            vi64 v;
            memcpy(&v, e + i + h * LANES, sizeof v);
            far |= (vu64)((v + SWG__INTERP_NARROW) & __builtin_convertvector(mine.half[h], vi64));
            k.half[h] = __builtin_convertvector(v, vi32h);
        }
        vu32 step = (vu32)k.all << shift, sign = (vu32)(k.all >> 31), level = (vu32)load_i32(guess + i) + step;
        outside |= (level + (uint32_t)SWG__INTERP_NARROW) & (vu32)inside;
        vu16 sizes = saturated((vi32)((step ^ sign) - sign));
        store_some(u + i, &level, (size_t)(n - i) * sizeof *u, sizeof level);
        store_some(size + i, &sizes, (size_t)(n - i) * sizeof *size, sizeof sizes);
    }
    uint64_t any = 0;
    for (int j = 0; j < LANES; j++)
        any |= far[j];
    return !(any & ~(uint64_t)(2 * SWG__INTERP_NARROW - 1)) && !any_of(outside & ~(uint32_t)(2 * SWG__INTERP_NARROW - 1));
}

typedef struct interp_coder {
    quantiser q;          /* base; step, inverse of the fine grid; eb, reach, least; error, ok */
    vf64 first, spacing, scale;
} interp_coder;

/* swg__grid_value and the tests of the quantiser for u = guess + spacing e. Levels that int32 does not hold are not ok. */
static inline vi32h interp_residual(interp_coder *c, vf64 x, vf64 guess, bool single, vf64 *level) {
    vf64 wanted = (x - c->q.base) * c->q.inverse, sum = ((wanted - c->first) - guess) * c->scale + ROUNDER;
    *level = guess + (sum - ROUNDER) * c->spacing;
    vf64 value = c->q.base + (c->first + *level) * c->q.step;
    if (single)
        value = __builtin_convertvector(__builtin_convertvector(value, vf32), vf64);
    vf64 error = magnitude(value - x);
    c->q.ok &= (error < c->q.eb) & (magnitude(wanted) <= c->q.reach) & (magnitude(*level) <= (double)SWG__INTERP_NARROW) &
               ((magnitude(value) >= c->q.least) | (value == 0));
    c->q.error = choose(error > c->q.error, error, c->q.error);
    return __builtin_convertvector((vi64)sum, vi32h);
}

/* The last, partial vector repeats its final value. */
static inline bool interp_code_row(const double *x, const int32_t *guess, int64_t n, interp_coder *c, bool single, int shift, int32_t *e,
                                   int32_t *u, uint16_t *size) {
    for (int64_t i = 0; i < n; i += LANES32) {
        double values[LANES32];
        int32_t guesses[LANES32];
        const double *v = x + i;
        const int32_t *g = guess + i;
        if (n - i < LANES32) {
            for (int64_t j = 0; j < LANES32; j++) {
                values[j] = x[i + j < n ? i + j : n - 1];
                guesses[j] = guess[i + j < n ? i + j : n - 1];
            }
            v = values;
            g = guesses;
        }
        pair k, level;
        for (int h = 0; h < 2; h++) {
            vi32h p;
            vf64 whole;
            memcpy(&p, g + h * LANES, sizeof p);
            k.half[h] = interp_residual(c, load_f64(v + h * LANES), __builtin_convertvector(p, vf64), single, &whole);
            level.half[h] = __builtin_convertvector((vi64)(whole + ROUNDER), vi32h);
        }
        vu32 sign = (vu32)(k.all >> 31);
        vu16 sizes = saturated((vi32)((((vu32)k.all << shift) ^ sign) - sign) & INT32_MAX);
        memcpy(e + i, &k, sizeof k);
        store_some(u + i, &level, (size_t)(n - i) * sizeof *u, sizeof level);
        store_some(size + i, &sizes, (size_t)(n - i) * sizeof *size, sizeof sizes);
    }
    int64_t ok = -1;
    for (int i = 0; i < LANES; i++)
        ok &= c->q.ok[i];
    return ok == -1;
}

static bool interp_code(const double *x, const int32_t *guess, int64_t n, const swg__grid *grid, double first, int shift, int32_t *e,
                        int32_t *u, uint16_t *size, double *worst) {
    const bool single = grid->type == SWG_ELEMENT_F32;
    interp_coder c = {.q = quantiser_open(grid, single ? (double)FLT_MIN : DBL_MIN), .first = broadcast(first),
                      .spacing = broadcast((double)(1 << shift)), .scale = broadcast(1.0 / (1 << shift))};
    c.q.step = broadcast(swg__grid_step(grid, 4));
    c.q.inverse = broadcast(1 / swg__grid_step(grid, 4));
    c.q.reach = broadcast(grid->reach * 16);
    if (!(single ? interp_code_row(x, guess, n, &c, true, shift, e, u, size) : interp_code_row(x, guess, n, &c, false, shift, e, u, size)))
        return false;
    for (int i = 0; i < LANES; i++)
        *worst = c.q.error[i] > *worst ? c.q.error[i] : *worst;
    return true;
}
