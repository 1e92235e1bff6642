/* interp.c - mode G, both ways: a coarse grid of anchors, then level by level the points between, each predicted from all sides.
 * In: dense float values. Out: PARAM, RANS, RAW and OUTLIERS of a record; and back. Off axes and w are slices that share all parameters.
 * SPDX-License-Identifier: Apache-2.0 */
#include "interp.h"

enum { FINE = 16, TAPS_MOST = 32, CONTEXTS = 128 * 3, LEARN_FROM = 256, SAMPLES = 4096 };
#define DIFFERENCE_LIMIT ((int64_t)1 << 30)

/* ---- what a pass predicts from ---- */

/* Points of one feature relative to the target, in strides of the level; feature i has points first[i] .. first[i + 1] - 1. */
typedef struct pass_shape {
    int odd;                                   /* axes on which targets are odd */
    int features, first[SWG__INTERP_FEATURES + 1];
    int8_t tap[TAPS_MOST][3];
    int64_t difference_weight, residual_weight; /* 2^16 / (8 (features - 1)), 3 * 2^16 / taps, rounded */
} pass_shape;

/* Which axes are odd in the passes of a level: bit 0 z, 1 y, 2 x. */
static const uint8_t pass_axes[SWG__INTERP_PASSES] = {1, 2, 4, 3, 5, 6, 7};

/* Appends the feature of all points at +-size[0..n) along axis[0..n). */
static void add_feature(pass_shape *s, int n, const int *axis, const int *size) {
    int at = s->first[s->features];
    for (int signs = 0; signs < 1 << n; signs++, at++) {
        s->tap[at][0] = s->tap[at][1] = s->tap[at][2] = 0;
        for (int i = 0; i < n; i++)
            s->tap[at][axis[i]] = (int8_t)(signs >> i & 1 ? size[i] : -size[i]);
    }
    s->first[++s->features] = at;
}

/* axes: interpolated along; odd: of these, those on which the targets are odd. Order: inner pairs, outer pairs, pairs seen from
 * a row beside, diagonals, corners. */
static void shape_pass(int axes, int odd, pass_shape *s) {
    *s = (pass_shape){0};
    for (int a = 0; a < 3; a++)
        if (odd >> a & 1) {
            s->odd++;
            add_feature(s, 1, &a, &(int){1});
        }
    for (int a = 0; a < 3; a++)
        if (odd >> a & 1)
            add_feature(s, 1, &a, &(int){3});
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
            if ((odd >> a & 1) && (axes >> b & 1) && !(odd >> b & 1))
                add_feature(s, 2, (int[]){a, b}, (int[]){1, 2});
    for (int a = 0; a < 3; a++)
        for (int b = a + 1; b < 3; b++)
            if ((odd >> a & 1) && (odd >> b & 1))
                add_feature(s, 2, (int[]){a, b}, (int[]){1, 1});
    if (odd == 7)
        add_feature(s, 3, (int[]){0, 1, 2}, (int[]){1, 1, 1});
    int taps = s->first[s->features], differences = 8 * (s->features - 1);
    s->difference_weight = (65536 + differences / 2) / differences;
    s->residual_weight = (3 * 65536 + taps / 2) / taps;
}

void swg__interp_built_in(int kind, int odd, int features, int16_t *w) {
    for (int i = 1; i < features; i++) {
        int mean = kind == SWG__INTERP_CUBIC ? (9216 + odd / 2) / odd : (8192 + odd / 2) / odd;
        w[i - 1] = (int16_t)(i < odd ? mean : kind == SWG__INTERP_CUBIC && i < 2 * odd ? -(1024 / odd) : 0);
    }
}

/* Whether the value at a place has no symbol; it takes its prediction. */
static inline bool is_masked(const swg__chunk *chunk, int64_t at) { return chunk->mask && chunk->mask[at]; }

static inline int64_t saturate(int64_t d) { return d > DIFFERENCE_LIMIT ? DIFFERENCE_LIMIT : d < -DIFFERENCE_LIMIT ? -DIFFERENCE_LIMIT : d; }

int64_t swg__interp_predict(const int64_t *g, int count, const int16_t *w) {
    int64_t sum = 0;
    for (int i = 1; i < count; i++)
        sum += w[i - 1] * saturate(g[i] - g[0]);
    int64_t p = (g[0] * 8192 + sum + 32768) >> 16;
    return p > SWG__LEVEL_LIMIT ? SWG__LEVEL_LIMIT : p < -SWG__LEVEL_LIMIT ? -SWG__LEVEL_LIMIT : p;
}

/* ---- a pass over a chunk ---- */

/* The chunk's levels and the magnitudes of its residuals, and scratch for one row. */
typedef struct field {
    const swg__chunk *chunk;
    int axes;
    int64_t *u;
    uint16_t *size;            /* |k| in fine steps, saturated */
    int64_t *g;                /* (features, row) sums of a row of targets */
    int64_t *guess;            /* (row) */
    int64_t *k;                /* (row) */
    uint32_t *around;          /* (row) sum of sizes */
    uint16_t *context;         /* (row) 3 * class + r */
    uint8_t *bucket;           /* (row) */
    int32_t *column[7];        /* (row) x of the taps at -3..3 */
    int64_t row;               /* room for targets */
} field;

static swg_status field_open(field *f, const swg__chunk *chunk, int axes) {
    *f = (field){.chunk = chunk, .axes = axes, .row = chunk->extent[3]};
    const size_t row = (size_t)f->row;
    f->u = swg__calloc(chunk->ctx, (size_t)chunk->count, sizeof *f->u);
    f->size = swg__calloc(chunk->ctx, (size_t)chunk->count, sizeof *f->size);
    f->g = swg__alloc(chunk->ctx, (SWG__INTERP_FEATURES + 2) * row * sizeof *f->g);
    f->around = swg__alloc(chunk->ctx, 8 * row * sizeof *f->around);
    f->context = swg__alloc(chunk->ctx, row * sizeof *f->context);
    f->bucket = swg__alloc(chunk->ctx, row);
    if (!f->u || !f->size || !f->g || !f->around || !f->context || !f->bucket)
        return swg__fail_memory(chunk->ctx, (size_t)chunk->count * 10, "levels");
    f->guess = f->g + SWG__INTERP_FEATURES * row;
    f->k = f->guess + row;
    for (int i = 0; i < 7; i++)
        f->column[i] = (int32_t *)f->around + (size_t)(i + 1) * row;
    return SWG_OK;
}

static void field_close(field *f) {
    swg_context *ctx = f->chunk->ctx;
    swg__free(ctx, f->bucket);
    swg__free(ctx, f->context);
    swg__free(ctx, f->around);
    swg__free(ctx, f->g);
    swg__free(ctx, f->size);
    swg__free(ctx, f->u);
}

/* Where the targets of a pass lie: on axis a at start[a], start[a] + step[a], ..., count[a] of them; w is never strided. */
typedef struct pass {
    const swg__interp_level *level;
    const int16_t *w;
    pass_shape shape;
    int64_t start[3], step[3], count[3], stride, extent[3]; /* extent: in strides, of the grid that is complete after the level */
    int16_t built_in[SWG__INTERP_FEATURES - 1];
} pass;

/* False: no targets. */
static bool open_pass(field *f, const swg__interp *model, int level, int index, pass *p) {
    const int odd = pass_axes[index];
    *p = (pass){.level = &model->level[level], .stride = (int64_t)1 << (model->levels - 1 - level)};
    if (odd & ~f->axes)
        return false;
    for (int a = 0; a < 3; a++) {
        const int64_t n = f->chunk->extent[a + 1];
        bool on = f->axes >> a & 1, is_odd = odd >> a & 1;
        p->start[a] = is_odd ? p->stride : 0;
        p->step[a] = on ? 2 * p->stride : 1;
        p->count[a] = n > p->start[a] ? (n - p->start[a] + p->step[a] - 1) / p->step[a] : 0;
        p->extent[a] = on ? (n + p->stride - 1) / p->stride : n;
        if (!p->count[a])
            return false;
    }
    shape_pass(f->axes, odd, &p->shape);
    swg__interp_built_in(p->level->kind[index], p->shape.odd, p->shape.features, p->built_in);
    p->w = p->level->kind[index] == SWG__INTERP_LEARNED ? p->level->w[index] : NULL; /* NULL: built_in; the struct may move */
    return true;
}

/* Coordinate of a tap: d strides beside target i of axis a, brought inside in steps of two strides. */
static int64_t tap_place(const pass *p, int a, int64_t i, int d) {
    int64_t at = p->start[a] + i * p->step[a];
    if (!d)
        return at;
    int64_t in_strides = at / p->stride + d;
    while (in_strides >= p->extent[a])
        in_strides -= 2;
    while (in_strides < 0)
        in_strides += 2;
    return in_strides * p->stride;
}

static void open_columns(field *f, const pass *p) {
    for (int d = -3; d <= 3; d++)
        if (d == 0 || (f->axes & 4))
            for (int64_t i = 0; i < p->count[2]; i++)
                f->column[d + 3][i] = (int32_t)tap_place(p, 2, i, d);
}

/* Features and sums of sizes of row (z, y) of the targets in slice w. Returns where its values begin in the chunk. */
static int64_t row_features(field *f, const pass *p, int64_t w, int64_t z, int64_t y) {
    const int64_t *extent = f->chunk->extent, n = p->count[2];
    const pass_shape *s = &p->shape;
    memset(f->around, 0, (size_t)n * sizeof *f->around);
    for (int i = 0; i < s->features; i++) {
        int64_t *g = f->g + i * f->row;
        const int taps = s->first[i + 1] - s->first[i], scale = 8 / taps;
        for (int j = s->first[i]; j < s->first[i + 1]; j++) {
            const int8_t *d = s->tap[j];
            const int64_t base = ((w * extent[1] + tap_place(p, 0, z, d[0])) * extent[2] + tap_place(p, 1, y, d[1])) * extent[3];
            const int64_t *u = f->u + base;
            const uint16_t *size = f->size + base;
            const int32_t *column = f->column[d[2] + 3];
            if (j == s->first[i])
                for (int64_t x = 0; x < n; x++)
                    g[x] = u[column[x]];
            else
                for (int64_t x = 0; x < n; x++)
                    g[x] += u[column[x]];
            for (int64_t x = 0; x < n; x++)
                f->around[x] += size[column[x]];
        }
        for (int64_t x = 0; x < n; x++)
            g[x] *= scale;
    }
    return ((w * extent[1] + tap_place(p, 0, z, 0)) * extent[2] + tap_place(p, 1, y, 0)) * extent[3];
}

/* Predictions and contexts from the features at hand. */
static void row_predict(field *f, const pass *p) {
    const pass_shape *s = &p->shape;
    const int16_t *w = p->w ? p->w : p->built_in;
    const int64_t n = p->count[2], taps = s->first[s->features];
    for (int64_t x = 0; x < n; x++) {
        int64_t first = f->g[x], sum = 0, difference = 0;
        for (int i = 1; i < s->features; i++) {
            int64_t d = saturate(f->g[i * f->row + x] - first);
            sum += w[i - 1] * d;
            difference += d < 0 ? -d : d;
        }
        int64_t guess = (first * 8192 + sum + 32768) >> 16;
        f->guess[x] = guess > SWG__LEVEL_LIMIT ? SWG__LEVEL_LIMIT : guess < -SWG__LEVEL_LIMIT ? -SWG__LEVEL_LIMIT : guess;
        const int64_t around = f->around[x];
        const int64_t activity = 27 + ((27 * (difference * s->difference_weight + around * s->residual_weight)) >> (18 - p->level->t));
        const int e = 63 - __builtin_clzll((uint64_t)activity), c = 4 * (e - 4) + (int)(activity >> (e - 2) & 3);
        f->context[x] = (uint16_t)(3 * (c < 127 ? c : 127) + (around != 0) + (10 * around >= 3 * FINE * taps));
    }
}

static inline uint16_t size_of(int64_t k, int t) {
    int64_t size = (k < 0 ? -k : k) * (FINE >> t);
    return (uint16_t)(size < 65535 ? size : 65535);
}

/* Anchors: every 2^levels-th point along the axes that are interpolated along. */
static void open_anchors(const field *f, const swg__interp *model, pass *p) {
    *p = (pass){0};
    for (int a = 0; a < 3; a++) {
        p->step[a] = f->axes >> a & 1 ? (int64_t)1 << model->levels : 1;
        p->count[a] = (f->chunk->extent[a + 1] + p->step[a] - 1) / p->step[a];
    }
}

/* ---- parameters ---- */

void swg__interp_write(const swg__interp *m, swg__text *out) {
    size_t start = out->length;
    swg__put8(out, (unsigned)m->levels);
    swg__put8(out, (unsigned)m->axes);
    swg__put8(out, m->anchor_bucket);
    swg__put8(out, 0);
    for (int l = 0; l < m->levels; l++) {
        const swg__interp_level *level = &m->level[l];
        swg__put8(out, level->t);
        swg__put(out, level->kind, sizeof level->kind);
        for (int i = 0; i < SWG__INTERP_PASSES; i++)
            if (level->kind[i] == SWG__INTERP_LEARNED) {
                pass_shape s;
                shape_pass(m->axes, pass_axes[i], &s);
                for (int j = 1; j < s.features; j++)
                    swg__put16(out, (uint16_t)level->w[i][j - 1]);
            }
    }
    swg__put8(out, (unsigned)m->c_min);
    swg__put8(out, (unsigned)m->c_max);
    swg__put16(out, 0);
    for (int c = m->c_min; c <= m->c_max; c++)
        swg__put(out, m->bucket[c], 3);
    swg__put_padding(out, start);
}

const char *swg__interp_read(swg__span param, swg__interp *m) {
    swg__cursor in = {.at = param.data, .end = param.data + param.bytes};
    *m = (swg__interp){0};
    m->levels = (int)swg__take8(&in);
    m->axes = (int)swg__take8(&in);
    m->anchor_bucket = (uint8_t)swg__take8(&in);
    (void)swg__take8(&in);
    if (in.bad || m->levels < 1 || m->levels > SWG__INTERP_LEVELS || m->axes < 1 || m->axes > 7)
        return "number of levels or axes of an interpolation is impossible";
    if (m->anchor_bucket > 127)
        return "bucket above 127";
    for (int l = 0; l < m->levels; l++) {
        swg__interp_level *level = &m->level[l];
        level->t = (uint8_t)swg__take8(&in);
        if (level->t > 3)
            return "residual step of an interpolation level is impossible";
        for (int i = 0; i < SWG__INTERP_PASSES; i++) {
            level->kind[i] = (uint8_t)swg__take8(&in);
            if (level->kind[i] >= SWG__INTERP_KINDS)
                return "predictor of an interpolation is unknown";
            if (level->kind[i] && (pass_axes[i] & ~m->axes))
                return "predictor of an interpolation stands where nothing is predicted";
        }
        for (int i = 0; i < SWG__INTERP_PASSES; i++)
            if (level->kind[i] == SWG__INTERP_LEARNED) {
                pass_shape s;
                int64_t sum = 0;
                shape_pass(m->axes, pass_axes[i], &s);
                for (int j = 1; j < s.features; j++) {
                    level->w[i][j - 1] = (int16_t)swg__take16(&in);
                    sum += level->w[i][j - 1] < 0 ? -level->w[i][j - 1] : level->w[i][j - 1];
                }
                if (sum > 262143)
                    return "weights of an interpolation are too large";
            }
    }
    m->c_min = (int)swg__take8(&in);
    m->c_max = (int)swg__take8(&in);
    (void)swg__take16(&in);
    if (in.bad || m->c_min > m->c_max || m->c_max > 127)
        return "interpolation parameters are too short or their classes impossible";
    for (int c = m->c_min; c <= m->c_max; c++)
        for (int r = 0; r < 3; r++) {
            uint32_t bucket = swg__take8(&in);
            if (bucket > 127)
                return "bucket above 127";
            m->bucket[c][r] = (uint8_t)bucket;
        }
    if (in.bad || swg__left(&in) > 3)
        return "interpolation parameters have the wrong length";
    for (int c = 0; c < 128; c++)
        if (c < m->c_min || c > m->c_max)
            memcpy(m->bucket[c], m->bucket[c < m->c_min ? m->c_min : m->c_max], 3);
    return NULL;
}

/* ---- encoder ---- */

typedef struct coder {
    field f;
    swg__interp model;
    double inverse, reach;       /* value -> fine level; largest |level| */
    int64_t *residual;           /* (count) in stream order */
    uint16_t *context;           /* (count), of anchors not used */
    int64_t done, anchors;
    swg__outliers outliers;
    double worst;                /* error */
} coder;

/* The level that is nearest to a value, unrounded; NaN: out of reach. */
static inline double level_of(const coder *c, int64_t at) {
    const swg__grid *grid = &c->f.chunk->grid;
    double level = (swg__load_value(grid->type, c->f.chunk->values, at) - grid->base) * c->inverse;
    return fabs(level) <= c->reach ? level : NAN;
}

/* Codes the value at `at` as guess + k * step. Returns k; outliers code 0. */
static int64_t code_value(coder *c, int64_t at, int64_t guess, int64_t step) {
    const swg__grid *grid = &c->f.chunk->grid;
    const double x = swg__load_value(grid->type, c->f.chunk->values, at), level = level_of(c, at);
    bool good = !isnan(level), usable;
    int64_t k = good ? llrint((level - (double)guess) / (double)step) : 0, u = guess + k * step;
    if (good) {
        double error = fabs(swg__typed_value(grid, 4, u, &usable) - x);
        if (!(usable && error < grid->eb)) {
            good = swg__level_find(grid, 4, step, x, &u, &error);
            k = good ? (u - guess) / step : 0;
        }
        if (good && (u > SWG__LEVEL_LIMIT || u < -SWG__LEVEL_LIMIT))
            good = false;
        if (good)
            c->worst = error > c->worst ? error : c->worst;
    }
    if (!good) {
        swg__outlier_add(&c->outliers, at);
        k = 0;
    }
    c->f.u[at] = guess + k * step;
    return k;
}

static void code_anchors(coder *c) {
    pass p;
    int64_t before = 0, sum = 0;
    const int64_t *extent = c->f.chunk->extent;
    open_anchors(&c->f, &c->model, &p);
    for (int64_t w = 0; w < extent[0]; w++)
        for (int64_t z = 0; z < p.count[0]; z++)
            for (int64_t y = 0; y < p.count[1]; y++)
                for (int64_t x = 0; x < p.count[2]; x++) {
                    int64_t at = ((w * extent[1] + z * p.step[0]) * extent[2] + y * p.step[1]) * extent[3] + x * p.step[2];
                    if (is_masked(c->f.chunk, at)) {
                        c->f.u[at] = before;
                        continue;
                    }
                    int64_t k = code_value(c, at, before, FINE);
                    before = c->f.u[at];
                    c->residual[c->done++] = k;
                    sum += k < 0 ? -k : k;
                }
    c->anchors = c->done;
    c->model.anchor_bucket = (uint8_t)swg__bucket_for((double)sum / (double)(c->done ? c->done : 1), SWG__WIDE_BUCKETS - 1);
}

/* Solves a x = b for a symmetric positive definite a of order n; false: it is not. */
static bool solve(double a[SWG__INTERP_FEATURES][SWG__INTERP_FEATURES], int n, double *b) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double sum = a[i][j];
            for (int k = 0; k < j; k++)
                sum -= a[i][k] * a[j][k];
            if (i == j && !(sum > 0))
                return false;
            a[i][j] = i == j ? sqrt(sum) : sum / a[j][j];
        }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
    return true;
}

/* Samples of a pass: features and targets. */
typedef struct sample {
    int64_t (*g)[SWG__INTERP_FEATURES];
    double *target;
    int64_t count;
} sample;

static void take_sample(coder *c, const pass *p, int64_t rows, sample *s) {
    const int64_t n = p->count[2], per_slice = p->count[0] * p->count[1];
    const int64_t every = rows * n / SAMPLES + 1, first = every / 2 < rows ? every / 2 : 0;
    s->count = 0;
    for (int64_t r = first; r < rows; r += every) {
        int64_t at = row_features(&c->f, p, r / per_slice, r % per_slice / p->count[1], r % p->count[1]);
        int64_t apart = n / SAMPLES + 1;
        for (int64_t x = 0; x < n && s->count < 2 * SAMPLES; x += apart) {
            s->target[s->count] = level_of(c, at + c->f.column[3][x]);
            for (int i = 0; i < p->shape.features; i++)
                s->g[s->count][i] = c->f.g[i * c->f.row + x];
            s->count += !isnan(s->target[s->count]) && !is_masked(c->f.chunk, at + c->f.column[3][x]);
        }
    }
}

/* Least squares, each sample weighted by 1 / (mean difference + a quarter step)^2. False: nothing learned. */
static bool learn(const pass *p, const sample *s, int16_t *w) {
    const int n = p->shape.features - 1;
    double a[SWG__INTERP_FEATURES][SWG__INTERP_FEATURES] = {0}, b[SWG__INTERP_FEATURES] = {0}, trace = 0;
    for (int64_t i = 0; i < s->count; i++) {
        double d[SWG__INTERP_FEATURES], mean = 0, target = s->target[i] - (double)s->g[i][0] * 0.125;
        for (int j = 0; j < n; j++) {
            d[j] = (double)saturate(s->g[i][j + 1] - s->g[i][0]) * 0.125;
            mean += fabs(d[j]);
        }
        mean = mean / n + FINE / 4;
        double weight = 1 / (mean * mean);
        for (int j = 0; j < n; j++) {
            for (int k = 0; k <= j; k++)
                a[j][k] += weight * d[j] * d[k];
            b[j] += weight * d[j] * target;
        }
    }
    for (int j = 0; j < n; j++)
        trace += a[j][j];
    for (int j = 0; j < n; j++)
        a[j][j] += 1e-4 * trace / n;
    if (!(trace > 0) || !solve(a, n, b))
        return false;
    double sum = 0;
    for (int j = 0; j < n; j++) {
        if (!(fabs(b[j]) < 3.999))
            return false;
        w[j] = (int16_t)rint(b[j] * 8192);
        sum += fabs((double)w[j]);
    }
    return sum <= 262143;
}

/* About the bits that the residuals of a sample take, times 256: log2(1 + |k|), its mantissa linear. */
static int64_t sample_cost(const sample *s, const pass *p, const int16_t *w) {
    const double step = 1.0 / (FINE >> p->level->t);
    int64_t cost = 0;
    for (int64_t i = 0; i < s->count; i++) {
        int64_t k = llrint((s->target[i] - (double)swg__interp_predict(s->g[i], p->shape.features, w)) * step);
        uint64_t v = (uint64_t)(k < 0 ? -k : k) + 1;
        int e = 63 - __builtin_clzll(v);
        cost += 256 * e + (int64_t)(((v << 8) >> e) - 256);
    }
    return cost;
}

/* Chooses the predictor of a pass on a sample of it. */
static void train_pass(coder *c, pass *p, int level, int index, sample *s) {
    swg__interp_level *l = &c->model.level[level];
    const int64_t rows = c->f.chunk->extent[0] * p->count[0] * p->count[1], points = rows * p->count[2];
    const int features = p->shape.features;
    take_sample(c, p, rows, s);
    int16_t w[SWG__INTERP_FEATURES - 1];
    int64_t best = sample_cost(s, p, p->built_in);
    swg__interp_built_in(SWG__INTERP_CUBIC, p->shape.odd, features, w);
    int64_t cost = sample_cost(s, p, w);
    if (cost < best) {
        best = cost;
        l->kind[index] = SWG__INTERP_CUBIC;
        memcpy(p->built_in, w, sizeof w);
    }
    if (points < LEARN_FROM || s->count < LEARN_FROM / 2 || !learn(p, s, w))
        return;
    cost = sample_cost(s, p, w) + (int64_t)(256.0 * 16 * (features - 1) * (double)s->count / (double)points);
    if (cost < best) {
        l->kind[index] = SWG__INTERP_LEARNED;
        memcpy(l->w[index], w, sizeof w);
        p->w = l->w[index];
    }
}

static void code_pass(coder *c, int level, int index, sample *s) {
    pass p;
    field *f = &c->f;
    if (!open_pass(f, &c->model, level, index, &p))
        return;
    open_columns(f, &p);
    train_pass(c, &p, level, index, s);
    const int64_t n = p.count[2], step = FINE >> p.level->t;
    for (int64_t w = 0; w < f->chunk->extent[0]; w++)
        for (int64_t z = 0; z < p.count[0]; z++)
            for (int64_t y = 0; y < p.count[1]; y++) {
                int64_t at = row_features(f, &p, w, z, y);
                row_predict(f, &p);
                for (int64_t x = 0; x < n; x++) {
                    const int64_t place = at + f->column[3][x];
                    if (is_masked(f->chunk, place)) {
                        f->u[place] = f->guess[x];
                        continue;
                    }
                    int64_t k = code_value(c, place, f->guess[x], step);
                    f->size[place] = size_of(k, p.level->t);
                    c->context[c->done] = f->context[x];
                    c->residual[c->done++] = k;
                }
            }
}

/* Buckets of least code length for the residuals of each context. */
static swg_status choose_buckets(coder *c) {
    enum { SYMBOLS = 32 };
    swg_context *ctx = c->f.chunk->ctx;
    uint32_t (*histogram)[SYMBOLS] = swg__calloc(ctx, CONTEXTS, sizeof *histogram);
    double *sum = swg__calloc(ctx, CONTEXTS, sizeof *sum);
    int64_t *count = swg__calloc(ctx, CONTEXTS, sizeof *count);
    swg__interp *m = &c->model;
    m->c_min = m->c_max = 2;
    bool ok = histogram && sum && count;
    for (int64_t i = c->anchors; ok && i < c->done; i++) {
        int64_t k = c->residual[i], h = k < -15 || k > 15 ? SWG__ESCAPE : k + 15;
        histogram[c->context[i]][h]++;
        sum[c->context[i]] += fabs((double)k);
        count[c->context[i]]++;
    }
    int last = -1;
    for (int class = 0; ok && class < 128; class++) {
        bool any = count[3 * class] || count[3 * class + 1] || count[3 * class + 2];
        if (any) {
            m->c_min = last < 0 ? class : m->c_min;
            m->c_max = class;
        }
        for (int r = 0; r < 3; r++) {
            const int at = 3 * class + r;
            if (!count[at]) { /* as in the class below */
                m->bucket[class][r] = last < 0 ? 0 : m->bucket[class - 1][r];
                continue;
            }
            int most = swg__bucket_for(sum[at] / (double)count[at], SWG__WIDE_BUCKETS - 1), best = most;
            uint64_t least = UINT64_MAX;
            for (int b = 0; most < 26 && b < 28; b++) { /* a mean magnitude says little of many zeros */
                uint64_t cost = 0;
                for (int s = 0; s < SYMBOLS; s++)
                    cost += (uint64_t)histogram[at][s] * swg__cost[9 * b][s];
                if (cost < least) {
                    least = cost;
                    best = b;
                }
            }
            m->bucket[class][r] = (uint8_t)best;
        }
        last = any ? class : last;
    }
    swg__free(ctx, count);
    swg__free(ctx, sum);
    swg__free(ctx, histogram);
    return ok ? SWG_OK : swg__fail_memory(ctx, CONTEXTS * sizeof *histogram, "a histogram");
}

/* Root mean square of the cubic's error along each axis, on a sample, in fine steps; 0 of axes too short. */
static void roughness(const coder *c, double out[3]) {
    const swg__chunk *chunk = c->f.chunk;
    const int64_t stride[3] = {chunk->extent[2] * chunk->extent[3], chunk->extent[3], 1};
    const int64_t every = chunk->count / 4096 + 1;
    for (int a = 0; a < 3; a++) {
        const int64_t n = chunk->extent[a + 1], s = stride[a];
        double sum = 0;
        int64_t count = 0;
        for (int64_t i = 0; n >= 3 && i < chunk->count; i += every) {
            int64_t x = i / s % n;
            if (x < 1 || x + 1 >= n)
                continue;
            double e = level_of(c, i) - 0.5 * (level_of(c, i - s) + level_of(c, i + s));
            if (!isnan(e)) {
                sum += fabs(e);
                count++;
            }
        }
        out[a] = count ? sum / (double)count : 0;
    }
}

/* Axes worth interpolating along: not those whose neighbours say far less than those of the best axis. */
static int choose_axes(const coder *c) {
    double rough[3], least = INFINITY;
    int axes = 0;
    roughness(c, rough);
    for (int a = 0; a < 3; a++)
        if (c->f.chunk->extent[a + 1] >= 3 && rough[a] < least)
            least = rough[a];
    for (int a = 0; a < 3; a++)
        if (c->f.chunk->extent[a + 1] >= 2 && (least == INFINITY || rough[a] <= 8 * least + FINE / 2))
            axes |= 1 << a;
    return axes ? axes : 4;
}

static void coder_close(coder *c) {
    swg_context *ctx = c->f.chunk->ctx;
    swg__outliers_free(&c->outliers);
    swg__free(ctx, c->context);
    swg__free(ctx, c->residual);
    field_close(&c->f);
}

/* All residuals of a chunk and the parameters. Close in any case. */
static swg_status code_chunk(const swg__chunk *chunk, coder *c) {
    *c = (coder){.outliers.ctx = chunk->ctx, .inverse = 1 / swg__grid_step(&chunk->grid, 4), .reach = chunk->grid.reach * 16};
    sample s = {0};
    swg_status status = field_open(&c->f, chunk, 7);
    c->residual = swg__alloc(chunk->ctx, (size_t)chunk->count * sizeof *c->residual);
    c->context = swg__alloc(chunk->ctx, (size_t)chunk->count * sizeof *c->context);
    s.g = swg__alloc(chunk->ctx, (2 * SAMPLES + 1) * sizeof *s.g);
    s.target = swg__alloc(chunk->ctx, (2 * SAMPLES + 1) * sizeof *s.target);
    if (status == SWG_OK && !(c->residual && c->context && s.g && s.target))
        status = swg__fail_memory(chunk->ctx, (size_t)chunk->count * sizeof *c->residual, "residuals");
    if (status == SWG_OK) {
        int64_t longest = 1;
        c->f.axes = c->model.axes = choose_axes(c);
        for (int a = 0; a < 3; a++)
            if ((c->model.axes >> a & 1) && chunk->extent[a + 1] > longest)
                longest = chunk->extent[a + 1];
        c->model.levels = 1;
        while (c->model.levels < SWG__INTERP_LEVELS && (int64_t)1 << c->model.levels < longest)
            c->model.levels++;
        code_anchors(c);
        for (int l = 0; l < c->model.levels; l++)
            for (int i = 0; i < SWG__INTERP_PASSES; i++)
                code_pass(c, l, i, &s);
        status = choose_buckets(c);
    }
    swg__free(chunk->ctx, s.target);
    swg__free(chunk->ctx, s.g);
    return status;
}

static bool possible(const swg__chunk *chunk) { return swg__is_float(chunk->grid.type) && chunk->grid.step > 0 && chunk->grid.fine; }

static inline int bucket_at(const coder *c, int64_t i) {
    return i < c->anchors ? c->model.anchor_bucket : c->model.bucket[c->context[i] / 3][c->context[i] % 3];
}

swg_status swg__interp_encode(const swg__chunk *chunk, swg__draft *draft, bool *coded) {
    *coded = false;
    if (!possible(chunk))
        return SWG_OK;
    coder c;
    swg__symbols symbols = {0};
    swg_status status = code_chunk(chunk, &c);
    if (status == SWG_OK)
        status = swg__symbols_open(&symbols, chunk->ctx, chunk->count);
    for (int64_t i = 0; status == SWG_OK && i < c.done; i++)
        swg__residual_put(&symbols, bucket_at(&c, i), 0, c.residual[i]);
    if (status == SWG_OK) {
        swg__record_head *head = &draft->head;
        swg__bits_finish(&symbols.bits);
        swg__interp_write(&c.model, &draft->stream[SWG__PARAM]);
        if (symbols.raw.length)
            swg__put(&draft->stream[SWG__RAW], symbols.raw.data, symbols.raw.length);
        head->mode = SWG__MODE_G;
        head->sub_shift = 4;
        head->flags = SWG__FLAG_LOCAL;
        head->max_ratio = swg__ratio_up(c.worst, chunk->grid.eb);
        head->lanes_log2 = (uint8_t)swg__lanes_for(swg__rans_estimate(symbols.code, symbols.count) +
                                                   (int64_t)(symbols.raw.length + draft->stream[SWG__PARAM].length));
        status = swg__rans_encode(symbols.code, symbols.count, head->lanes_log2, chunk->ctx, &draft->stream[SWG__RANS]);
    }
    if (status == SWG_OK)
        status = swg__outliers_write(&c.outliers, chunk, draft);
    for (int k = 1; status == SWG_OK && k < SWG__STREAM_KINDS; k++)
        if (draft->stream[k].failed || symbols.raw.failed)
            status = swg__fail_memory(chunk->ctx, symbols.raw.length, "a chunk");
    *coded = status == SWG_OK;
    swg__symbols_close(&symbols);
    coder_close(&c);
    return status;
}

swg_status swg__interp_estimate(const swg__chunk *chunk, int64_t *bytes) {
    enum { EDGE = 24, PART = EDGE * EDGE * EDGE };
    *bytes = INT64_MAX;
    if (!possible(chunk))
        return SWG_OK;
    /* A box in the middle with as many values as a cube of that edge, or all the axes have. */
    swg__chunk part = *chunk;
    const size_t size = (size_t)swg_element_bytes(chunk->grid.type);
    int64_t rest = PART, origin[4];
    part.count = 1;
    for (int left = 4; left; left--) { /* shortest axis first: what it does not use is left to the others */
        int a = -1;
        for (int i = 0; i < 4; i++)
            if (part.extent[i] > 0 && (a < 0 || part.extent[i] < part.extent[a]))
                a = i;
        int64_t room = (int64_t)floor(pow((double)rest, 1.0 / left) + 0.5);
        origin[a] = chunk->extent[a] > room ? room : chunk->extent[a];
        rest = rest / origin[a] > 1 ? rest / origin[a] : 1;
        part.extent[a] = 0;
    }
    for (int a = 0; a < 4; a++) {
        part.extent[a] = origin[a];
        part.count *= origin[a];
        origin[a] = (chunk->extent[a] - origin[a]) / 2;
    }
    char *values = swg__alloc(chunk->ctx, (size_t)part.count * size), *to = values;
    if (!values)
        return swg__fail_memory(chunk->ctx, (size_t)part.count * size, "a sample");
    for (int64_t w = 0; w < part.extent[0]; w++)
        for (int64_t z = 0; z < part.extent[1]; z++)
            for (int64_t y = 0; y < part.extent[2]; y++, to += (size_t)part.extent[3] * size) {
                int64_t at = (((origin[0] + w) * chunk->extent[1] + origin[1] + z) * chunk->extent[2] + origin[2] + y) * chunk->extent[3] + origin[3];
                memcpy(to, (const char *)chunk->values + (size_t)at * size, (size_t)part.extent[3] * size);
            }
    part.values = values;
    part.mask = NULL; /* substitutes are as good as values here */
    part.masked = 0;
    coder c;
    swg_status status = code_chunk(&part, &c);
    uint64_t cost = 0;
    for (int64_t i = c.anchors; status == SWG_OK && i < c.done; i++)
        cost += swg__residual_cost(bucket_at(&c, i), 0, c.residual[i]);
    *bytes = (int64_t)((double)cost / 2048 * (double)chunk->count / (double)part.count) + 5 * c.outliers.count + 300;
    coder_close(&c);
    swg__free(chunk->ctx, values);
    return status;
}

/* ---- decoder ---- */

/* The residuals of a row's targets, 0 where masked: at first, first + step, ... of the row that begins at `row`. */
static void read_row(field *f, int64_t row, int64_t step, int64_t first, int64_t n, swg__rans *in) {
    const uint8_t *mask = f->chunk->mask;
    if (!mask) {
        f->chunk->kernels->residuals(in, f->bucket, NULL, n, f->k);
        return;
    }
    int64_t symbols = 0;
    for (int64_t x = 0; x < n; x++)
        if (!mask[row + first + x * step])
            f->bucket[symbols++] = f->bucket[x];
    f->chunk->kernels->residuals(in, f->bucket, NULL, symbols, f->k);
    for (int64_t x = n - 1; x >= 0; x--)
        f->k[x] = mask[row + first + x * step] ? 0 : f->k[--symbols];
}

static const char *decode_anchors(field *f, const swg__interp *model, swg__rans *in) {
    pass p;
    int64_t before = 0;
    const int64_t *extent = f->chunk->extent;
    open_anchors(f, model, &p);
    for (int64_t w = 0; w < extent[0]; w++)
        for (int64_t z = 0; z < p.count[0]; z++)
            for (int64_t y = 0; y < p.count[1]; y++) {
                memset(f->bucket, model->anchor_bucket, (size_t)p.count[2]);
                const int64_t row = ((w * extent[1] + z * p.step[0]) * extent[2] + y * p.step[1]) * extent[3];
                read_row(f, row, p.step[2], 0, p.count[2], in);
                for (int64_t x = 0; x < p.count[2]; x++) {
                    before += FINE * f->k[x];
                    if (before > SWG__LEVEL_LIMIT || before < -SWG__LEVEL_LIMIT)
                        return "level beyond 2^45";
                    f->u[row + x * p.step[2]] = before;
                }
            }
    return NULL;
}

static const char *decode_pass(field *f, const swg__interp *model, int level, int index, swg__rans *in) {
    pass p;
    if (!open_pass(f, model, level, index, &p))
        return NULL;
    open_columns(f, &p);
    const int64_t n = p.count[2], step = FINE >> p.level->t;
    for (int64_t w = 0; w < f->chunk->extent[0]; w++)
        for (int64_t z = 0; z < p.count[0]; z++)
            for (int64_t y = 0; y < p.count[1]; y++) {
                int64_t at = row_features(f, &p, w, z, y), beyond = 0;
                row_predict(f, &p);
                for (int64_t x = 0; x < n; x++)
                    f->bucket[x] = model->bucket[f->context[x] / 3][f->context[x] % 3];
                read_row(f, at, p.step[2], p.start[2], n, in);
                for (int64_t x = 0; x < n; x++) {
                    int64_t place = at + f->column[3][x], u = f->guess[x] + step * f->k[x];
                    beyond |= (u > SWG__LEVEL_LIMIT) | (u < -SWG__LEVEL_LIMIT);
                    f->u[place] = u;
                    f->size[place] = size_of(f->k[x], p.level->t);
                }
                if (beyond)
                    return "level beyond 2^45";
            }
    return NULL;
}

const char *swg__interp_decode(const swg__chunk *chunk, const swg__record *record) {
    swg__interp model;
    swg__rans in;
    const swg__span *stream = record->stream;
    if (!(record->head.flags & SWG__FLAG_LOCAL))
        return swg__why_unsupported; /* weights from a model of kind 3 */
    if (!stream[SWG__PARAM].data || !stream[SWG__RANS].data)
        return "interpolation parameters or symbols are missing";
    if (!swg__is_float(chunk->grid.type) || chunk->grid.step == 0 || record->head.sub_shift != 4)
        return "mode G needs a float grid with sub-grid bits";
    const char *why = swg__interp_read(stream[SWG__PARAM], &model);
    if (!why)
        why = swg__rans_open(&in, record->head.lanes_log2, stream[SWG__RANS].data, stream[SWG__RANS].bytes, stream[SWG__RAW].data,
                             stream[SWG__RAW].bytes);
    if (why)
        return why;
    field f;
    why = field_open(&f, chunk, model.axes) == SWG_OK ? decode_anchors(&f, &model, &in) : swg__why_memory;
    for (int l = 0; l < model.levels && !why; l++)
        for (int i = 0; i < SWG__INTERP_PASSES && !why; i++)
            why = decode_pass(&f, &model, l, i, &in);
    if (!why)
        why = swg__rans_finish(&in);
    if (!why)
        why = swg__levels_store(chunk, 4, f.u, 0, chunk->count);
    field_close(&f);
    return why;
}
